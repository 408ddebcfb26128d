"""Columns of Prophet's model: seasonalities and holidays equal those that prophet itself makes."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.harmonics import fourier
from tsforecast.calendars.named import country_rows, read_stamps, table_rows
from tsforecast.errors import ConfigError
from tsforecast.models.prophet.holidays import Lapse, day_columns, holiday_parts, lapses
from tsforecast.panel import Float, Int

prophet = pytest.importorskip("prophet")
logging.getLogger("prophet").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # prophet's own calls of pandas


def day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))


def days(first: str, last: str) -> Int:
    return np.arange(day(first), day(last) + 1)


def stamps(numbers: Int) -> pd.Series[pd.Timestamp]:
    return pd.Series(pd.to_datetime(numbers.astype("datetime64[D]")))


def built(holidays: Any, history: Int, **given: Any) -> DayColumns:
    settings = {"prior_scale": 10.0, "mode": "additive"} | given
    return day_columns(holidays, first_day=int(history.min()), last_day=int(history.max()), **settings)


# Fourier columns


@pytest.mark.parametrize("period", [1, 7, 30.5, 365.25, 29.530588853])
@pytest.mark.parametrize("freq", ["D", "7min"])
def test_fourier_columns_are_those_of_prophet(period: float, freq: str) -> None:
    times = pd.date_range(pd.Timestamp("2013-05-30").as_unit("us"), periods=500, freq=freq)
    theirs = prophet.Prophet.fourier_series(pd.Series(times), period, 5)
    # Prophet takes the sine of angles up to 5e5, which alone costs it the digits after 1e-10.
    np.testing.assert_allclose(fourier(times.to_numpy(), period, 5), theirs, rtol=0, atol=5e-10)
    near = pd.Series(times - times[0] + pd.Timestamp("1970-01-01"))
    ours = fourier(near.to_numpy(), period, 5)
    np.testing.assert_allclose(ours, prophet.Prophet.fourier_series(near, period, 5), rtol=0, atol=2e-11)


@given(st.integers(-(2**52), 2**52), st.sampled_from([1.0, 7.0, 30.5, 365.25]), st.integers(1, 20))
def test_fourier_phase_is_exact_for_whole_microseconds(microsecond: int, period: float, order: int) -> None:
    columns = fourier(np.array([microsecond], "datetime64[us]"), period, order)[0]
    whole = int(period * 86_400_000_000)
    angle = 2 * math.pi * ((order * microsecond) % whole) / whole
    np.testing.assert_allclose(columns[-2:], [math.sin(angle), math.cos(angle)], rtol=0, atol=1e-13)


def test_fourier_columns_of_one_row_are_those_of_many() -> None:
    times = days("1960-01-01", "2040-01-01").astype("datetime64[D]")
    whole = fourier(times, 365.25, 10)
    assert all(np.array_equal(fourier(times[i : i + 1], 365.25, 10)[0], whole[i]) for i in range(0, len(times), 997))


# Holidays as prophet has them


def as_prophet(table: pd.DataFrame | None, country: str | None, history: Int, ahead: Int) -> pd.DataFrame:
    """The columns of prophet on both spans, as fit and predict make them; those that are 0 in the history left out."""
    model = prophet.Prophet(holidays=table)
    if country is not None:
        model.add_country_holidays(country)
    parts = []
    for span in (history, ahead):
        dates = stamps(span)
        features, scales, _ = model.make_holiday_features(dates, model.construct_holiday_dataframe(dates))
        features.attrs["scale"] = dict(zip(features.columns, scales, strict=True))
        parts.append(features)
    kept = parts[0].columns[parts[0].to_numpy().any(axis=0)]
    both = pd.concat([part.reindex(columns=kept) for part in parts], ignore_index=True)
    both.attrs["scale"] = {name: parts[0].attrs["scale"][name] for name in kept}
    return both


def in_our_names(name: str) -> str:
    label, _, offset = name.partition("_delim_")
    return label if offset == "+0" else label + offset


def assert_same_columns(ours: DayColumns, theirs: pd.DataFrame, at: Int) -> None:
    names = [in_our_names(name) for name in theirs.columns]
    assert sorted(ours.names) == sorted(names)
    order = [ours.names.index(name) for name in names]
    np.testing.assert_array_equal(ours.at(at)[:, order], theirs.to_numpy())
    np.testing.assert_array_equal(ours.scale[order], list(theirs.attrs["scale"].values()))
    assert [ours.component[i] for i in order] == [name.partition("_delim_")[0] for name in theirs.columns]


@pytest.mark.parametrize("country", ["KR", "US", "DE", "JP", "BR"])
@pytest.mark.parametrize("first", ["2015-01-01", "2023-03-02"])
def test_country_columns_are_those_of_prophet(country: str, first: str) -> None:
    history, ahead = days(first, "2025-07-20"), days("2025-07-21", "2027-12-31")
    theirs = as_prophet(None, country, history, ahead)
    assert theirs.shape[1] > 5
    assert_same_columns(built(country, history), theirs, np.concatenate([history, ahead]))


def test_a_name_first_seen_in_the_future_has_no_column() -> None:
    columns = built("KR", days("2023-01-01", "2025-12-31"))
    assert "Labor Day" not in columns.names
    assert not columns.at(np.array([day("2026-05-01"), day("2026-07-17")])).any()


def test_a_day_of_two_holidays_is_in_both_columns() -> None:
    columns = built("KR", days("2023-01-01", "2025-12-31"))
    on = columns.at(np.array([day("2025-05-05")]))[0]
    assert {name for name, value in zip(columns.names, on, strict=True) if value} == {
        "Buddha's Birthday",
        "Children's Day",
    }


EVENT = st.fixed_dictionaries(
    {
        "holiday": st.sampled_from(["fair", "sale", "New Year's Day"]),
        "ds": st.integers(0, 800).map(lambda k: pd.Timestamp("2023-01-01") + pd.Timedelta(days=k, hours=k % 24)),
        "lower_window": st.sampled_from([0, 0, -1, -3]),
        "upper_window": st.sampled_from([0, 0, 1, 2]),
    }
)
SCALES = {"fair": 0.5, "sale": float("nan"), "New Year's Day": 10.0}


def test_a_name_without_a_prior_scale_has_that_of_the_model() -> None:
    columns = built([{"holiday": ["fair", "sale"], "ds": ["2024-01-02"] * 2, "prior_scale": [0.5, None]}, "US"],
                    days("2024-01-01", "2024-12-31"), prior_scale=3.0)  # fmt: skip
    scale = dict(zip(columns.names, columns.scale, strict=True))
    assert (scale["fair"], scale["sale"], scale["Christmas Day"]) == (0.5, 3.0, 3.0)


@given(st.lists(EVENT, min_size=1, max_size=12), st.booleans(), st.booleans())
def test_table_columns_are_those_of_prophet(rows: list[dict[str, Any]], scaled: bool, country: bool) -> None:
    table = pd.DataFrame(rows)
    if scaled:
        table["prior_scale"] = table["holiday"].map(SCALES)
    history, ahead = days("2023-02-01", "2024-06-30"), days("2024-07-01", "2025-04-30")
    theirs = as_prophet(table.copy(), "US" if country else None, history, ahead)
    ours = built([table, "US"] if country else table, history)
    assert_same_columns(ours, theirs, np.concatenate([history, ahead]))


def test_hours_have_the_columns_of_their_day() -> None:
    table = pd.DataFrame({"holiday": ["fair"], "ds": ["2024-05-01 15:00"], "lower_window": [-1], "upper_window": [0]})
    hours = pd.Series(pd.date_range("2024-04-28", "2024-05-04", freq="h"))
    model = prophet.Prophet(holidays=table.assign(ds=pd.to_datetime(table["ds"])))
    theirs, _, _ = model.make_holiday_features(hours, model.construct_holiday_dataframe(hours))
    numbers = hours.to_numpy("datetime64[D]").astype(np.int64)
    ours = built(table, numbers)
    order = [ours.names.index(in_our_names(name)) for name in theirs.columns]
    np.testing.assert_array_equal(ours.at(numbers)[:, order], theirs.to_numpy())


def test_other_tables_and_several_at_once_give_the_same_columns() -> None:
    import polars as pl
    import pyarrow as pa

    history = days("2023-01-01", "2024-12-31")
    table = {"holiday": ["fair", "fair", "sale"], "ds": ["2023-05-01", "2024-05-02", "2024-07-01"]}
    whole = built(table, history)
    assert set(whole.names) == {"fair", "sale"}
    parts = ({k: v[:1] for k, v in table.items()}, pl.DataFrame({k: v[1:] for k, v in table.items()}))
    for other in (pd.DataFrame(table), pl.DataFrame(table), pa.table(table), parts, [None, [table]]):
        same = built(other, history)
        assert same.names == whole.names
        np.testing.assert_array_equal(same.at(history), whole.at(history))


def test_dates_of_a_zone_are_local_days() -> None:
    zoned = pd.DataFrame({"holiday": ["fair"], "ds": pd.to_datetime(["2024-05-01"]).tz_localize("Asia/Seoul")})
    assert table_rows(zoned).day.tolist() == [day("2024-05-01")]


class Pooled:
    """Two columns of a calendar that shares effects, one with a day at the beginning, one with a day at the end."""

    def columns(self, first: int, last: int) -> DayColumns:
        return DayColumns(
            day=np.array([first + 3, last - 1]),
            column=np.array([0, 1]),
            value=np.array([0.5, 1.0]),
            names=("pool:family", "pool:new"),
            scale=np.array([np.nan, 0.05]),
            component=("pool", "pool"),
            mode=(None, "multiplicative"),
            first=first,
            last=last,
        )


def test_a_pooling_calendar_gives_the_columns_that_occurred_and_keeps_their_scales() -> None:
    history = days("2023-01-01", "2024-12-31")
    columns = built([Pooled(), "US"], history, prior_scale=3.0, covers=day("2025-01-01"))
    assert columns.names[-2:] == ("pool:family", "pool:new")
    np.testing.assert_array_equal(columns.scale[-2:], [3.0, 0.05])
    assert columns.mode[-2:] == ("additive", "multiplicative")
    np.testing.assert_array_equal(columns.at(np.array([day("2023-01-04")]))[0, -2:], [0.5, 0])
    later = built([Pooled(), "US"], history, prior_scale=3.0, covers=day("2030-12-31"))
    assert later.names[-1] == "pool:family"


def test_covered_is_what_all_calendars_know() -> None:
    history = days("2023-01-01", "2024-12-31")
    assert built("KR", history).last == day("2054-12-31")
    assert built("KR", history, covers=day("2026-03-31")).last == day("2026-03-31")
    assert built("KR", days("2080-01-01", "2082-12-31")).last == day("2100-12-31")
    assert built(None, history).names == ()
    assert not built("KR", history, covers=day("2026-03-31")).at(np.array([day("2026-03-31")])).any()


def test_the_table_survives_as_state() -> None:
    history = days("2023-01-01", "2024-12-31")
    columns = built(["KR", {"holiday": ["fair"], "ds": ["2023-05-01"]}], history)
    again = DayColumns.from_state(columns.state())
    np.testing.assert_array_equal(again.at(history), columns.at(history))
    assert (again.names, again.component, again.mode) == (columns.names, columns.component, columns.mode)


# Holidays whose dates end

YEARLY = ["2021-10-03", "2022-10-02", "2023-10-01"]
HISTORY = days("2021-01-01", "2024-06-30")


def due(dates: list[str], **more: Any) -> tuple[Lapse, ...]:
    return lapses(built({"holiday": ["fair"] * len(dates), "ds": dates} | more, HISTORY), int(HISTORY[-1]))


def test_a_yearly_holiday_is_due_its_longest_gap_after_its_last_date() -> None:
    assert due(YEARLY) == (Lapse("fair", day("2023-10-01"), day("2024-09-29"), True),)
    assert due([*YEARLY, "2024-09-29"])[0].due == day("2024-09-29") + 364
    # A gap to come tells nothing of the usual one.
    assert due([*YEARLY, "2027-10-01"])[0].due == day("2027-10-01") + 364
    assert due(YEARLY[:2])[0].due == day("2023-10-01"), "also where that has passed"


def test_what_came_once_is_never_due_and_what_comes_at_odd_times_is_not_regular() -> None:
    assert not due(["2022-03-01"])
    (odd,) = due(["2022-03-01", "2022-03-05", "2022-09-01"])
    assert not odd.regular
    (twice,) = due(["2022-03-01", "2022-03-08"])
    assert not twice.regular
    (year,) = due(["2022-03-01", "2023-03-01"])
    assert year.regular


def test_the_days_of_a_window_are_one_occurrence() -> None:
    found = due(YEARLY, lower_window=[-2] * 3, upper_window=[3] * 3)
    assert found == (Lapse("fair", day("2023-10-04"), day("2024-09-27"), True),)


@pytest.mark.parametrize("ended", [[True] * 3, [False, None, True], [0.0, np.nan, 1.0]])
def test_what_has_ended_is_due_no_more_and_acts_as_before(ended: list[Any]) -> None:
    table = {"holiday": ["fair"] * 3, "ds": YEARLY}
    plain, told = built(table, HISTORY), built(pd.DataFrame(table | {"ended": ended}), HISTORY)
    assert lapses(plain, int(HISTORY[-1]))[0].due < lapses(told, int(HISTORY[-1]))[0].due == told.last + 364
    ahead = days("2021-01-01", "2040-12-31")
    np.testing.assert_array_equal(told.at(ahead), plain.at(ahead))
    again = built(table | {"ended": [False] * 3}, HISTORY)
    assert lapses(again, int(HISTORY[-1])) == lapses(plain, int(HISTORY[-1]))


def test_calendars_have_no_date_before_they_end() -> None:
    # Constitution Day was no holiday from 2008 to 2025: the calendar says so, nobody forgot it.
    history = days("2000-01-01", "2008-06-30")
    columns = built(["KR", Pooled()], history)
    assert "Constitution Day" in columns.names
    assert all(one.due > columns.last for one in lapses(columns, int(history[-1])))


# What cannot be read

GOOD = {"holiday": ["a", "b"], "ds": ["2024-01-01", "2024-02-01"]}
BAD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a number": (5, ("holidays must be a country code", "5")),
    "an unknown country": ("XX", ("no country 'XX'", "two letters")),
    "a country's other name": ("KOR", ("(did you mean KR?); there are",)),
    "a country in words": ("SouthKorea", ("(did you mean KR?); there are",)),
    "lower case": ("kr", ("(did you mean KR?); there are",)),
    "an unknown region": (
        "US-CAL",
        (
            "(did you mean US-CA",
            "?); there are AK,",
        ),
    ),
    "an exchange": ("NYSE", ("no country 'NYSE'; there are",)),
    "a country without regions": ("AF-X", ("AF has no region 'X'; there are none",)),
    "no dates": ({"holiday": ["a"]}, ("ds is not there",)),
    "columns of two lengths": ({"holiday": ["a"], "ds": ["2024-01-01", "2024-01-02"]}, ("do not make a table",)),
    "no name": (GOOD | {"holiday": ["a", None]}, ("row 1", "'holiday'")),
    "text that is no date": (GOOD | {"ds": ["2024-01-01", "soon"]}, ("'soon'", "row 1", "'ds'")),
    "day first": (GOOD | {"ds": ["01/02/2024", "02/02/2024"]}, ("'01/02/2024'", "'2020-01-25'")),
    "numbers as dates": (GOOD | {"ds": [20240101, 20240201]}, ("20240101",)),
    "a missing date": (GOOD | {"ds": ["2024-01-01", None]}, ("lacks a date in row 1",)),
    "half of the windows": (GOOD | {"lower_window": [0, 0]}, ("lower_window alone", "neither")),
    "half a window": (GOOD | {"lower_window": [0, -1], "upper_window": [0, None]}, ("row 1", "one end")),
    "a window on the wrong side": (
        GOOD | {"lower_window": [0, 2], "upper_window": [0, 2]},
        ("lower_window", "2", "row 1"),
    ),
    "a window of half days": (GOOD | {"lower_window": [0, -0.5], "upper_window": [0, 0]}, ("whole number", "-0.5")),
    "a window in words": (GOOD | {"lower_window": ["x", "y"], "upper_window": [0, 0]}, ("'x'", "row")),
    "ended in words": (GOOD | {"ended": [True, "yes"]}, ("ended must be true or false", "'yes'", "row 1")),
    "a negative prior": (GOOD | {"prior_scale": [1.0, -1.0]}, ("prior_scale", "-1", "row 1")),
    "two priors": (
        {"holiday": ["a", "a"], "ds": GOOD["ds"], "prior_scale": [1.0, 2.0]},
        ("'a'", "prior_scale 1 and 2"),
    ),
    "two columns of a name": (
        {"holiday": ["a", "a+1"], "ds": GOOD["ds"], "lower_window": [0, 0], "upper_window": [1, 0]},
        ("a+1", "rename"),
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_cannot_be_read_is_refused_with_place_and_remedy(name: str) -> None:
    holidays, words = BAD[name]
    with pytest.raises(ConfigError) as caught:
        built(holidays, days("2023-01-01", "2024-12-31"))
    for word in words:
        assert word in str(caught.value)


def test_history_before_a_calendar_begins_is_refused() -> None:
    with pytest.raises(ConfigError, match="DE is known for 1991 to 2100, but the data begins in 1985"):
        built("DE", days("1985-01-01", "1995-12-31"))
    assert country_rows("DE", 1995, 3000)[1] == 2100


@pytest.mark.parametrize("language", ["ko", "th", "C"])
def test_names_do_not_move_with_the_language_of_the_machine(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LANG"):
        monkeypatch.setenv(name, language)
    assert "Korean New Year" in built("KR", days("2023-01-01", "2023-12-31")).names


def test_a_region_has_its_own_holidays() -> None:
    history = days("2023-01-01", "2024-12-31")
    assert set(built("DE-BY", history).names) > set(built("DE", history).names)


def test_dates_are_read_as_tables_have_them() -> None:
    import datetime as dt

    given = ["2020-01-25", dt.date(2020, 2, 29), pd.Timestamp("2020-03-01 12:00"), np.datetime64("2020-04-01")]
    want = np.array(["2020-01-25", "2020-02-29", "2020-03-01T12", "2020-04-01"], "datetime64[us]")
    np.testing.assert_array_equal(read_stamps(given, "changepoints"), want)
    np.testing.assert_array_equal(read_stamps(pd.DatetimeIndex(want), "changepoints"), want)
    assert len(read_stamps([], "changepoints")) == 0


def test_parts_come_one_by_one() -> None:
    pooled = Pooled()
    assert list(holiday_parts(["KR", (pooled, None), GOOD])) == ["KR", pooled, GOOD]


def test_values_on_days_are_added_where_they_meet() -> None:
    columns = built({"holiday": ["a", "a"], "ds": ["2024-01-01", "2024-01-01"]}, days("2024-01-01", "2024-01-31"))
    values: Float = columns.at(np.array([day("2024-01-02"), day("2024-01-01"), day("2024-01-01")]))
    np.testing.assert_array_equal(values[:, 0], [0, 1, 1])


def test_a_misspelt_column_of_a_holiday_table_is_told() -> None:
    table = {"holiday": ["fair"], "ds": ["2023-05-01"], "priorscale": [1.0]}
    with pytest.raises(ConfigError, match=r"has a column 'priorscale'; did you mean 'prior_scale'\?"):
        table_rows(table)
    assert len(table_rows(table | {"prior_scale": [2.0], "note": ["x"]}).day) == 1
