"""The Korean calendar day by day, against plain loops over dates, statutes, and numpy's business days."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.calendars.countries import coverage, holiday_table, weekend
from tsforecast.calendars.days import day_table
from tsforecast.calendars.features import features
from tsforecast.calendars.holiday_columns import FAR_FEAST, FAR_RUN
from tsforecast.errors import ConfigError

FIRST, LAST = 2012, 2029
# Working days between two days off, read off the official calendars of those years.
BRIDGES = {
    2024: "06-07 08-16 09-30 10-02 10-04",
    2025: "01-31 05-02 06-02 10-10 12-26",
    2026: "01-02 05-04",
    2027: "05-04 05-14 09-13 09-17",
}
LUNAR = {"seollal": "1997-02-08 2020-01-25 2027-02-07 2028-01-27", "chuseok": "2017-10-04 2026-09-25 2040-09-21"}


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    return day_table("KR", FIRST, LAST).set_index("date")


def looped(word: str, first: int, last: int) -> dict[date, dict[str, Any]]:
    """Every day of the years, worked out one by one from the dates of the holidays alone."""
    earliest, latest = coverage(word)
    holidays = set(holiday_table(word, max(first - 1, earliest), min(last + 1, latest))["date"].dt.date)
    rest = weekend(word)

    def off(day: date) -> bool:
        return day in holidays or day.weekday() in rest

    def run(day: date) -> list[date]:
        if not off(day):
            return []
        low = high = day
        while off(low - timedelta(1)):
            low -= timedelta(1)
        while off(high + timedelta(1)):
            high += timedelta(1)
        return [low + timedelta(k) for k in range((high - low).days + 1)]

    def special(day: date) -> bool:
        return any(other in holidays and other.weekday() not in rest for other in run(day))

    facts, day = {}, date(first, 1, 1)
    while day.year <= last:
        before, after, mine = day - timedelta(1), day + timedelta(1), run(day)
        facts[day] = {
            "off": off(day),
            "off_weekday": day in holidays and day.weekday() not in rest,
            "position": mine.index(day) + 1 if mine else 0,
            "run_days": len(mine),
            "bridge": off(before) and not off(day) and off(after),
            "before_run": not off(day) and special(after),
            "after_run": not off(day) and special(before),
            "special": special(day),
        }
        day = after
    return facts


@pytest.mark.parametrize(("word", "first", "last"), [("KR", 2016, 2019), ("SA", 2025, 2026), ("NYSE", 2025, 2026)])
def test_facts_of_days_are_those_of_a_loop(word: str, first: int, last: int) -> None:
    facts, table = looped(word, first, last), day_table(word, first, last)
    assert list(table["date"].dt.date) == list(facts)
    for name in ("off", "off_weekday", "position", "run_days", "bridge", "before_run", "after_run"):
        assert table[name].tolist() == [fact[name] for fact in facts.values()], name
    special = [day for day, fact in facts.items() if fact["special"]]
    for row in table[30:-30].itertuples():
        coming = [(day - row.date.date()).days for day in special if day >= row.date.date()]
        gone = [(row.date.date() - day).days for day in special if day <= row.date.date()]
        assert row.to_run == min([60, *coming])
        assert row.since_run == min([60, *gone])


@pytest.mark.parametrize("year", BRIDGES)
def test_bridge_days_are_those_of_the_year(days: pd.DataFrame, year: int) -> None:
    mine = days[days.index.year == year]
    assert list(mine.index[mine["bridge"]].strftime("%m-%d")) == BRIDGES[year].split()


@pytest.mark.parametrize("feast", LUNAR)
def test_feasts_lie_on_their_lunar_days(feast: str) -> None:
    table = day_table("KR", 1986, 2050).set_index("date")
    found = table.index[table[feast] == 0]
    assert set(LUNAR[feast].split()) <= set(found.strftime("%Y-%m-%d"))
    # Twelve or thirteen lunar months apart.
    assert set(np.diff(found).astype("timedelta64[D]").astype(int)) <= {353, 354, 355, 383, 384, 385}
    assert len(found) == 65


def test_days_count_from_the_lunar_day(days: pd.DataFrame) -> None:
    around = days.loc["2026-02-01":"2026-02-28", "seollal"]  # the feast is on the 17th
    expected = {day: day - 17 if -14 <= day - 17 <= 7 else None for day in range(1, 29)}
    assert {when.day: None if pd.isna(value) else value for when, value in around.items()} == expected
    assert days.loc["2025-12-31", "to_seollal"] == 48
    assert days.loc["2026-03-01", "since_seollal"] == 12
    assert days.loc["2026-06-30", ["to_seollal", "since_chuseok"]].tolist() == [60, 60]


def test_a_name_and_its_source_stand_by_their_date() -> None:
    changes = {"date": ["2026-04-20", "2026-06-03"], "name": ["창립기념일", None]}
    table = day_table("KR", 2026, 2026, changes).set_index("date")
    assert table.loc["2026-04-20", ["name", "family", "source"]].tolist() == ["창립기념일", "temporary", "override"]
    assert table.loc["2026-06-03", ["name", "off", "source"]].tolist() == ["", False, ""]
    assert table.loc["2026-02-17", "name"] == "설날"
    assert (table["name"] != "").sum() == (table["source"] != "").sum()
    assert table.loc["2026-02-17", "weekday"] == "Tue"


def test_years_must_run_forward() -> None:
    with pytest.raises(ConfigError, match="run forward, but 2027 to 2026"):
        day_table("KR", 2027, 2026)


def by_name(times: Any, words: Any, **options: Any) -> dict[str, np.ndarray]:
    values, names = features(pd.DatetimeIndex(times).to_numpy("datetime64[us]"), words, **options)
    return dict(zip(names, values.T, strict=True))


def test_daily_columns_say_what_the_table_says(days: pd.DataFrame) -> None:
    found = by_name(days.index, "KR")
    lunar = {name: days[["seollal", "chuseok"]].eq(k).any(axis=1) for name, k in (("feast_eve", -1), ("feast_day", 0))}
    windows = {"feast_before": range(-7, -1), "feast_after": range(2, 8)}
    lunar |= {name: days[["seollal", "chuseok"]].isin(list(span)).any(axis=1) for name, span in windows.items()}
    off = days["off_weekday"]
    expected = {
        "bridge": days["bridge"],
        "before_run": days["before_run"],
        "run_first": off & (days["position"] == 1),
        "run_last": off & (days["position"] == days["run_days"]),
        **lunar,
        "day_after": off.shift(1, fill_value=False),
        "week_after": off.shift(7, fill_value=False),
    }
    assert set(list(found)[13:]) == {f"KR:{name}" for name in expected}
    for name, flags in expected.items():
        # The table begins on a New Year's Day: what lies before is not in it.
        np.testing.assert_array_equal(found[f"KR:{name}"][7:], flags.to_numpy()[7:], name)


def test_the_day_before_a_monday_row_is_friday_on_business_days() -> None:
    rows = pd.bdate_range("2024-01-01", "2026-12-31")
    found = by_name(rows, "KR", freq="B")
    holidays = holiday_table("KR", 2023, 2026)["date"].to_numpy("datetime64[D]")
    before = np.busday_offset(rows.to_numpy("datetime64[D]"), -1)
    np.testing.assert_array_equal(found["KR:day_after"], np.isin(before, holidays))
    np.testing.assert_array_equal(found["KR:week_after"], np.isin(rows.to_numpy("datetime64[D]") - 7, holidays))


def test_distances_are_cut_where_they_are_far(days: pd.DataFrame) -> None:
    found = by_name(days.index, "KR:distances")
    assert list(found) == [f"KR:{way}_{mark}" for mark in ("seollal", "chuseok", "run") for way in ("to", "since")]
    for name, values in found.items():
        far = FAR_RUN if name.endswith("_run") else FAR_FEAST
        np.testing.assert_array_equal(values, np.minimum(days[name.removeprefix("KR:")], far), name)
    assert list(by_name(days.index, "US:distances")) == ["US:to_run", "US:since_run"]


def test_a_holiday_counts_as_a_sunday() -> None:
    when = pd.date_range("2024-01-01", "2025-12-31")
    found = by_name(when, "weekday:KR")
    off = when.isin(holiday_table("KR", 2024, 2025).query("off_weekday")["date"])
    expected = pd.get_dummies(np.where(off, 6, when.day_of_week))
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)
    assert list(found)[-1] == "weekday=sun"
    gulf = by_name(when, "weekday:SA")  # Friday and Saturday are the weekend there
    assert gulf["weekday=sat"][when == "2025-03-30"] == 1  # Eid, a Sunday
    with pytest.raises(ConfigError, match="counts holidays as sun and needs rows on it"):
        by_name(when, "weekday:KR", freq="B")
    with pytest.raises(ConfigError, match="columns twice: weekday=fri"):
        by_name(when, ("weekday", "weekday:KR"))


@pytest.mark.parametrize("freq", ["W-SUN", "W-MON", "MS", "ME", "QS-JAN", "SMS-15"])
def test_shares_of_a_window_are_days_in_the_period(freq: str) -> None:
    rows = pd.date_range("2015-01-01", "2026-12-31", freq=freq)
    found = by_name(rows, "KR", freq=freq)
    table = day_table("KR", 2014, 2027).set_index("date")
    opens = "S" in freq.partition("-")[0] or freq == "W-MON"
    edges = rows if opens else rows + pd.Timedelta(days=1)
    period = np.searchsorted(edges, table.index, side="right") - 1
    inside = (period >= 0) & (period < len(edges) - 1)
    for feast in ("seollal", "chuseok"):
        for part, window in {"before": range(-14, -1), "days": range(-1, 2), "after": range(2, 8)}.items():
            flags = table[feast].isin(list(window)) & inside
            counted = np.bincount(period[flags], minlength=len(edges) - 1)[: len(edges) - 1] / len(window)
            values = found[f"KR:{feast}_{part}"]
            np.testing.assert_allclose(values[:-1] if opens else values[1:], counted, atol=1e-12)


def test_a_year_holds_every_window() -> None:
    found = by_name(pd.date_range("2015-01-01", periods=5, freq="YS"), "KR", freq="YS")
    assert list(found) == ["KR:off_days", "KR:working_days"]
    with pytest.raises(ConfigError, match="'KR:distances' needs days or finer rows"):
        by_name(pd.date_range("2015-01-01", periods=5, freq="MS"), "KR:distances", freq="MS")


def test_the_last_years_of_the_calendar_have_no_year_behind_them() -> None:
    found = by_name(pd.date_range("2100-12-20", "2100-12-31"), ("KR", "KR:distances"))
    assert found["KR:christmas"].sum() == 1
    assert found["KR:to_seollal"][-1] == FAR_FEAST
    first = by_name(pd.date_range("1948-01-01", "1950-12-31"), "KR")
    assert first["KR:seollal"].sum() == 0  # no public holiday then
