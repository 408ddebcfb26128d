"""Calendars against the Korean statutes, pandas, numpy's business days and the days the exchange really traded."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.tseries.holiday import USFederalHolidayCalendar

from tsforecast.calendars.countries import holiday_table
from tsforecast.calendars.features import features
from tsforecast.calendars.korea import FAMILIES, korean_holidays
from tsforecast.datasets import load
from tsforecast.errors import ConfigError

# Enforcement decree on public holidays and the Official Gazette.
SUBSTITUTES = """
2014-09-10 2016-02-10 2017-10-06 2018-05-07 2020-01-27 2021-08-16 2021-10-04 2021-10-11 2023-01-24 2023-05-29
2025-03-03 2025-05-06 2025-10-08 2026-03-02 2026-05-25 2026-08-17 2026-10-05 2027-02-09 2027-05-03 2027-07-19
2028-10-05
"""
PINNED = {
    "substitute": SUBSTITUTES,
    "temporary": "2015-08-14 2016-05-06 2017-10-02 2020-08-17 2023-10-02 2024-10-01 2025-01-27",
    "election": "2017-05-09 2025-06-03 2026-06-03",
    "seollal": "1997-02-08 2027-02-07 2028-01-27 1997-02-07 1997-02-09",
    "buddha": "2012-05-28 2023-05-27",
    "chuseok": "2040-09-21 2040-09-20 2040-09-22 2017-10-03",
    "labor": "2012-05-01 2025-05-01 2026-05-01",
    "national": "2026-07-17 2026-03-01 2025-08-15 2025-10-03 2013-10-09",
    "new_year": "2026-01-01",
    "memorial": "2026-06-06",
    "children": "2024-05-05",
    "christmas": "2026-12-25",
}


def stamps(*args: object, **keywords: object) -> np.ndarray:
    return pd.date_range(*args, **keywords).to_numpy("datetime64[us]")  # type: ignore[call-overload]


def column(times: np.ndarray, words: str, name: str, **options: object) -> np.ndarray:
    values, labels = features(times, words, **options)  # type: ignore[arg-type]
    return values[:, labels.index(name)]


@pytest.fixture(scope="module")
def korea() -> pd.DataFrame:
    return korean_holidays(1990, 2050)


@pytest.mark.parametrize("family", PINNED)
def test_korean_dates_have_their_families(korea: pd.DataFrame, family: str) -> None:
    found = set(korea.loc[korea["family"] == family, "date"].dt.strftime("%Y-%m-%d"))
    assert set(PINNED[family].split()) <= found


def test_no_substitute_for_a_chuseok_that_meets_a_saturday(korea: pd.DataFrame) -> None:
    around = korea[korea["date"].between("2026-09-20", "2026-09-30")]
    assert list(around["date"].dt.day) == [24, 25, 26]
    assert set(around["family"]) == {"chuseok"}


def test_a_day_with_two_names_is_one_holiday(korea: pd.DataFrame) -> None:
    assert korea["date"].is_monotonic_increasing
    assert korea["date"].is_unique
    row = korea[korea["date"] == "2025-05-05"].iloc[0]
    assert set(row["name"].split("; ")) == {"부처님오신날", "어린이날"}
    assert row["family"] == "children"


def test_only_one_off_holidays_are_in_no_named_family(korea: pd.DataFrame) -> None:
    temporary = korea.loc[korea["family"] == "temporary", "name"]
    assert set(temporary) == {"임시공휴일", "국군의 날", "2002년 한일 월드컵 대표팀 4강 진출"}
    assert set(korea["family"]) == set(FAMILIES)


def test_off_runs_are_those_counted_by_hand(korea: pd.DataFrame) -> None:
    off = set(korea["date"].dt.date)

    def is_off(day: object) -> bool:
        return day in off or day.weekday() >= 5  # type: ignore[attr-defined]

    one = pd.Timedelta(days=1)
    inner = korea[korea["date"].dt.year.between(1991, 2049)]
    for row in inner.itertuples():
        first = last = row.date
        while is_off((first - one).date()):
            first -= one
        while is_off((last + one).date()):
            last += one
        assert (row.block, row.block_days) == (first, (last - first).days + 1)
        assert row.position == (row.date - first).days + 1
    days = korea.set_index("date")["block_days"]
    assert (days["2017-10-04"], days["2025-10-06"]) == (10, 7)


def test_a_run_at_the_edge_of_the_years_keeps_its_length() -> None:
    alone, among = korean_holidays(2022, 2022), korean_holidays(2010, 2030)
    among = among[among["date"].dt.year == 2022].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, among)
    bridge = {"date": ["2022-12-30"], "name": ["창립기념일"]}  # a Friday, then the Saturday, then New Year's Day
    first = korean_holidays(2023, 2023, bridge).iloc[0]
    assert (first["position"], first["block_days"]) == (3, 3)
    eve = {"date": ["2100-12-31"], "name": ["창립기념일"]}  # a Friday, at the end of what the package covers
    assert korean_holidays(2100, 2100, eve).iloc[-1]["block_days"] == 3


def test_off_weekday_is_monday_to_friday(korea: pd.DataFrame) -> None:
    days = korea["date"].to_numpy("datetime64[D]")
    np.testing.assert_array_equal(korea["off_weekday"], np.is_busday(days))


def test_overrides_add_rename_and_remove() -> None:
    changes = {
        "date": ["2026-04-20", "2026-06-03", "2026-05-05", "2027-01-05"],
        "name": ["임시공휴일", None, "어린이날", "창립기념일"],
        "family": ["temporary", None, "national", None],
    }
    plain, changed = korean_holidays(2026, 2026), korean_holidays(2026, 2026, changes)
    gone = set(plain["date"]) - set(changed["date"])
    new = set(changed["date"]) - set(plain["date"])
    assert gone == {pd.Timestamp("2026-06-03")}
    assert new == {pd.Timestamp("2026-04-20")}
    rows = changed.set_index("date")
    assert rows.loc["2026-05-05", "family"] == "national"
    assert rows.loc["2026-05-05", "source"] == "override"
    assert rows.loc["2026-04-20", "block_days"] == 3  # a Monday: with the weekend before
    assert korean_holidays(2027, 2027, changes).set_index("date").loc["2027-01-05", "family"] == "temporary"


def test_overrides_keep_to_their_calendar() -> None:
    changes = pd.DataFrame({"date": ["2026-04-20"], "name": ["Founding day"], "calendar": ["US"]})
    assert "2026-04-20" in set(holiday_table("US", 2026, 2026, changes)["date"].astype(str))
    assert len(korean_holidays(2026, 2026, changes)) == len(korean_holidays(2026, 2026))
    times = stamps("2026-04-19", periods=3)
    assert column(times, "US", "US:off_weekday", overrides=changes).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"day": ["2026-04-20"], "name": ["x"]}, "columns date and name; date is not there"),
        ({"date": ["nonsense"], "name": ["x"]}, "date 'nonsense' in row 0 cannot be read"),
        ({"date": [None], "name": ["x"]}, "lack a date in rows 0"),
        ({"date": ["2026-04-20", "2026-04-20"], "name": ["x", "y"]}, "dates twice: 2026-04-20"),
        ({"date": ["2026-04-20"], "name": ["x"], "family": ["fest"]}, "no holiday family fest; there are new_year"),
    ],
)
def test_overrides_that_cannot_be_read_are_refused(changes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        korean_holidays(2026, 2026, changes)


def test_us_weekday_holidays_are_those_of_pandas() -> None:
    table = holiday_table("US", 2022, 2026)
    found = table.loc[table["off_weekday"], "date"]
    expected = USFederalHolidayCalendar().holidays("2022-01-01", "2026-12-31")
    assert list(found) == list(expected)


# Memorial Day 1970 fell on a Saturday, and the Friday before was a trading day.
WRONG_IN_THE_PACKAGE = {np.datetime64("1970-05-29")}
CORRECTED = {"date": ["1970-05-29"], "name": [None]}


def test_scheduled_closings_are_days_the_exchange_was_closed() -> None:
    """The other closed weekdays of 1962-1986 were not scheduled: mourning, storm, blackout, paperwork."""
    traded = load("nyse")["ds"].to_numpy("datetime64[D]")
    weekdays = np.arange(traded[0], traded[-1] + 1)
    closed = set(weekdays[np.is_busday(weekdays) & ~np.isin(weekdays, traded)])
    scheduled = set(holiday_table("NYSE", 1962, 1986)["date"].to_numpy("datetime64[D]"))
    scheduled &= set(weekdays)
    assert scheduled - closed == WRONG_IN_THE_PACKAGE
    wednesdays = np.arange("1968-06-12", "1969-01-01", 7, dtype="datetime64[D]")
    others = "1963-11-25 1968-04-09 1968-07-05 1969-02-10 1969-03-31 1969-07-21 1972-12-28 1973-01-25 1977-07-14"
    one_off = set(np.array([*others.split(), "1968-11-11", "1985-09-27"], "datetime64[D]"))
    assert closed - scheduled <= one_off | set(wednesdays)
    assert len(scheduled) == 199


def test_columns_beside_a_closing_come_from_gaps_of_the_series() -> None:
    ds = load("nyse")["ds"].to_numpy("datetime64[us]")
    day = ds.astype("datetime64[D]")
    # Weekdays without trading between one row and the next, from the rows alone.
    missing = np.busday_count(day[:-1], day[1:]) - 1
    before = column(ds, "NYSE", "NYSE:before_closing", freq="B", overrides=CORRECTED)[:-1]
    after = column(ds, "NYSE", "NYSE:after_closing", freq="B", overrides=CORRECTED)[1:]
    assert np.all(missing[before == 1] >= 1)
    assert np.all(missing[after == 1] >= 1)
    assert np.mean(before[missing >= 1]) > 0.8  # the rest are one-off closings
    assert features(ds, "NYSE", freq="B")[1] == ("NYSE:before_closing", "NYSE:after_closing")


@pytest.mark.parametrize(
    ("first", "before", "closed", "after"),
    [
        ("2026-09-03", "01110000", "00001000", "00000100"),  # Labor Day, Monday 7 September
        ("2026-04-01", "01000000", "00100000", "00011100"),  # Good Friday, 3 April
    ],
)
def test_weekends_look_at_the_working_days_around(first: str, before: str, closed: str, after: str) -> None:
    values, labels = features(stamps(first, periods=8), "NYSE")
    found = {label: "".join(map(str, flags.astype(int))) for label, flags in zip(labels, values.T, strict=True)}
    assert found == {"NYSE:before_closing": before, "NYSE:after_closing": after, "NYSE:closed": closed}


HOURS = pd.date_range("2019-12-30", periods=24 * 400, freq="h")


@pytest.mark.parametrize(
    ("word", "found"),
    [("weekday", HOURS.day_of_week), ("month", HOURS.month), ("hour", HOURS.hour)],
)
def test_indicators_are_the_dummies_of_pandas(word: str, found: pd.Index) -> None:
    values, labels = features(HOURS.to_numpy("datetime64[us]"), word, freq="h")
    np.testing.assert_array_equal(values, pd.get_dummies(found).to_numpy(float))
    assert len(labels) == values.shape[1]
    assert labels[0] == {"weekday": "weekday=mon", "month": "month=1", "hour": "hour=0"}[word]


@pytest.mark.parametrize(("word", "period"), [("yearly:3", 365.25), ("weekly:2", 7), ("daily:4", 1)])
def test_harmonics_are_those_of_prophet(word: str, period: float) -> None:
    """Taylor and Letham (2018), section 3.2, in days since 1970 as their code counts them."""
    times = stamps("1965-03-01 05:00", periods=500, freq="61h")
    values, labels = features(times, word, freq="h")
    t = (times - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    for k in range(values.shape[1] // 2):
        np.testing.assert_allclose(values[:, 2 * k], np.sin(2 * np.pi * (k + 1) * t / period), atol=1e-10)
        np.testing.assert_allclose(values[:, 2 * k + 1], np.cos(2 * np.pi * (k + 1) * t / period), atol=1e-10)
    cycle = word.partition(":")[0]
    assert labels[:2] == (f"{cycle}:1:sin", f"{cycle}:1:cos")


def test_hours_are_those_of_the_local_clock() -> None:
    """A UTC grid over the end of summer time in New York: hours, weekdays and holidays by the wall clock."""
    times = stamps("2025-10-25", "2025-12-31", freq="h")
    wall = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert("America/New_York")
    hours, _ = features(times, "hour", freq="h", tz="America/New_York")
    np.testing.assert_array_equal(hours.argmax(axis=1), wall.hour)
    thanksgiving = column(times, "US", "US:holiday", freq="h", tz="America/New_York")[wall.month == 11]
    expected = (wall.day == 27) | (wall.day == 11)  # and Veterans Day
    np.testing.assert_array_equal(thanksgiving == 1, expected[wall.month == 11])


def test_a_daily_grid_is_local_already() -> None:
    times = stamps("2026-01-01", periods=40)
    plain, _ = features(times, ("weekday", "KR"))
    for tz in ("Asia/Seoul", "America/New_York"):
        np.testing.assert_array_equal(features(times, ("weekday", "KR"), tz=tz)[0], plain)


def test_korean_columns_mark_the_dates_of_the_table(korea: pd.DataFrame) -> None:
    times = stamps("2016-01-01", "2028-12-31")
    values, labels = features(times, "KR")
    assert labels[:13] == (*(f"KR:{family}" for family in FAMILIES), "KR:off_weekday")
    for position, family in enumerate(FAMILIES):
        marked = times[values[:, position] == 1]
        rows = korea[(korea["family"] == family) & korea["date"].dt.year.between(2016, 2028)]
        np.testing.assert_array_equal(marked, rows["date"].to_numpy("datetime64[us]"))
    weekday = pd.DatetimeIndex(times).day_of_week < 5
    np.testing.assert_array_equal(values[:, 12], values[:, :12].any(axis=1) & weekday)


def test_business_days_have_the_columns_that_can_differ() -> None:
    times = stamps("2026-01-01", periods=30, freq="B")
    assert features(times, "weekday", freq="B")[1] == tuple(f"weekday={d}" for d in ["mon", "tue", "wed", "thu", "fri"])
    assert "KR:off_weekday" not in features(times, "KR", freq="B")[1]
    gulf = pd.offsets.CustomBusinessDay(weekmask="Sun Mon Tue Wed Thu")
    values, labels = features(stamps("2026-01-01", periods=30, freq=gulf), "weekday", freq=gulf)
    assert labels == tuple(f"weekday={d}" for d in ["mon", "tue", "wed", "thu", "sun"])
    assert values.any(axis=0).all()


PERIODS = ["W-SUN", "W-MON", "W-WED", "2W-SUN", "MS", "ME", "QS-JAN", "QE-DEC", "QS-FEB", "YS-JAN", "YE-DEC", "14D"]


@pytest.mark.parametrize("freq", [*PERIODS, "BMS", "BME", "BQS-JAN", "BYE-DEC", "SMS-15", "2MS"])
def test_off_and_working_days_of_a_period_tile_the_calendar(freq: str) -> None:
    """Neighbouring periods share no day and leave none out: sums equal numpy's count over the whole span."""
    times = stamps("2015-01-01", "2026-12-31", freq=freq)
    values, labels = features(times, "KR", freq=freq)
    assert labels[:2] == ("KR:off_days", "KR:working_days")
    holidays = korean_holidays(2010, 2030)["date"].to_numpy("datetime64[D]")
    opens = "S" in freq.partition("-")[0] or freq in ("W-MON", "14D")
    days = times.astype("datetime64[D]")
    first, stop = (days[:-1], days[1:]) if opens else (days[:-1] + 1, days[1:] + 1)
    working = np.busday_count(first, stop, holidays=holidays)
    off = np.busday_count(first, stop) - working
    found = values[:-1] if opens else values[1:]
    np.testing.assert_array_equal(found[:, :2], np.column_stack([off, working]))


@pytest.mark.parametrize("freq", ["W-SUN", "W-WED", "MS", "ME", "QS-JAN", "QE-DEC", "YS-JAN", "YE-DEC"])
def test_a_period_is_the_one_of_pandas(freq: str) -> None:
    times = stamps("2019-06-01", periods=8, freq=freq)
    period = {"MS": "M", "ME": "M", "QS-JAN": "Q", "QE-DEC": "Q", "YS-JAN": "Y", "YE-DEC": "Y"}.get(freq, freq)
    spans = pd.DatetimeIndex(times).to_period(period)
    first = spans.start_time.to_numpy("datetime64[D]")
    stop = spans.end_time.to_numpy("datetime64[D]") + 1
    holidays = holiday_table("US", 2015, 2030)["date"].to_numpy("datetime64[D]")
    found = column(times, "US", "US:working_days", freq=freq)
    np.testing.assert_array_equal(found, np.busday_count(first, stop, holidays=holidays))


def test_quarters_have_four_months() -> None:
    times = stamps("2020-01-01", periods=12, freq="QS-FEB")
    values, labels = features(times, "month", freq="QS-FEB")
    assert labels == ("month=2", "month=5", "month=8", "month=11")
    np.testing.assert_array_equal(values, pd.get_dummies(pd.DatetimeIndex(times).month).to_numpy(float))


WORDS = ("weekday", "month", "yearly:2", "weekly:3", "KR", "US", "NYSE")


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(-5000, 30000), min_size=1, max_size=5))
def test_columns_of_a_day_do_not_depend_on_its_company(days: list[int]) -> None:
    times = np.array(days, "datetime64[D]").astype("datetime64[us]")
    together, labels = features(times, WORDS)
    for position in range(len(times)):
        alone, names = features(times[position : position + 1], WORDS)
        assert names == labels
        np.testing.assert_array_equal(alone[0], together[position])


def test_no_times_have_the_same_columns() -> None:
    for freq, words in (("D", WORDS), ("MS", ("month", "KR"))):
        empty, labels = features(np.empty(0, "datetime64[us]"), words, freq=freq)
        assert empty.shape == (0, len(labels))
        assert labels == features(stamps("2020-01-01", periods=3, freq=freq), words, freq=freq)[1]
    assert features(stamps("2020-01-01", periods=3), ())[0].shape == (3, 0)


@pytest.mark.parametrize(
    ("word", "freq", "message"),
    [
        ("weekdays", "D", r"unknown calendar word 'weekdays' \(did you mean weekday"),
        ("kr", "D", r"did you mean KR\?"),
        ("KOR", "D", r"did you mean KR"),
        ("nyse", "D", r"did you mean NYSE"),
        ("US-XX", "D", "unknown calendar word 'US-XX'"),
        ("yearly", "D", "needs an order, a whole number from 1: yearly:3"),
        ("yearly:0", "D", "needs an order"),
        ("weekly:4", "D", "at most weekly:3"),
        ("weekly:3", "B", "at most weekly:2"),
        ("yearly:6", "MS", "at most yearly:5"),
        ("daily:1", "D", "more than two rows a cycle, but the frequency is D"),
        ("weekday", "W-SUN", "needs days or finer rows, but the frequency is W-SUN"),
        ("hour", "D", "needs rows finer than a day"),
        ("month", "YS", "needs rows more often than once a year"),
        ("weekday", "XYZ", "frequency 'XYZ' is not one that pandas knows"),
        ("weekday", 1, "integer step 1"),
        (("weekly:2", "weekly:1"), "D", "columns twice: weekly:1:cos, weekly:1:sin"),
    ],
)
def test_words_that_cannot_work_are_refused(word: str, freq: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        features(stamps("2020-01-01", periods=3), word, freq=freq)


def test_integer_times_and_uncovered_years_are_refused() -> None:
    with pytest.raises(ConfigError, match="need dates, but the time column holds integer steps"):
        features(np.arange(5), "weekday")
    with pytest.raises(ConfigError, match="KR calendar covers 1948 to 2100, but 2101"):
        features(stamps("2101-01-01", periods=3), "KR")
    with pytest.raises(ConfigError, match="no holiday calendar 'XX'"):
        holiday_table("XX", 2020, 2021)


def test_holidays_are_imported_on_need() -> None:
    code = "import sys, tsforecast.calendars.features as f; print('holidays' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
