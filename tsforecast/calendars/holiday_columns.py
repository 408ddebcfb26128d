"""Columns of holiday words: days off, their runs, the Korean feasts, and counts a period."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.almanac import Almanac
from tsforecast.calendars.countries import Holidays, weekend
from tsforecast.calendars.days_off import DaysOff, days_off, gap_after, gap_before
from tsforecast.calendars.korea import FAMILIES, FEASTS, feast_days
from tsforecast.calendars.rhythm import Times
from tsforecast.panel import Bool, Float, Int

__all__ = ["distances", "holidays_in", "is_off_weekday"]

_Columns = tuple[Float, list[str]]

BEFORE, AFTER = range(-7, -1), range(2, 8)
"""Days from the lunar day that the columns of daily rows hold; the feast itself is -1 to 1."""
PERIODS = {"before": range(-14, -1), "days": range(-1, 2), "after": range(2, 8)}
"""Days from the lunar day whose share of a week or month is a column."""
FAR_FEAST, FAR_RUN = 30, 14
"""Days at which distances to a feast and to a special run of days off are cut."""


def holidays_in(word: str, times: Times, almanac: Almanac) -> _Columns:
    """The columns of a country or an exchange at the rhythm of the grid."""
    if times.rhythm.kind == "long":
        return _counted(word, times, almanac)
    span, back = _span(times.day)
    if word == "NYSE":
        named = _closings(span, almanac)
    elif word == "KR":
        named = _korean(span, times, almanac)
    else:
        facts = _facts(word, span, almanac)[0]
        named = {"holiday": facts.holiday, "off_weekday": facts.off_weekday}
    if not weekend(word) & set(times.rhythm.weekdays):
        # On business days every holiday is one, and rows of closed days do not exist.
        named = {name: flags for name, flags in named.items() if name not in ("off_weekday", "closed")}
    return _stacked(word, named, back)


def is_off_weekday(word: str, times: Times, almanac: Almanac) -> Bool:
    """Rows (P,) of holidays that are not on the weekend."""
    span, back = _span(times.day)
    return _facts(word, span, almanac)[0].off_weekday[back]


def distances(word: str, times: Times, almanac: Almanac) -> _Columns:
    """Days to and since a special run of days off, for KR also the lunar days of the feasts, cut where they are far."""
    if times.rhythm.kind == "long":
        raise times.refuse(f"{word}:distances", "needs days or finer rows")
    span, back = _span(times.day)
    facts, found = _facts(word, span, almanac, FAR_RUN)
    marks = {"run": (facts.day[facts.special], FAR_RUN)}
    if word == "KR":
        marks = {feast: (feast_days(found, feast), FAR_FEAST) for feast in FEASTS} | marks
    named = {}
    for name, (marked, far) in marks.items():
        named[f"to_{name}"], named[f"since_{name}"] = gap_before(span, marked, far), gap_after(span, marked, far)
    return _stacked(word, named, back)


def _span(day: Int) -> tuple[Int, Int]:
    """All days from the first to the last row, at least one, and the place of each row among them."""
    # Holidays repeat over the rows of a grid finer than a day, so the columns are made by the day.
    span = np.arange(day.min(), day.max() + 1) if len(day) else np.zeros(1, np.int64)
    return span, day - span[0]


def _stacked(word: str, named: dict[str, NDArray[Any]], back: Int) -> _Columns:
    return np.column_stack(list(named.values())).astype(float)[back], [f"{word}:{name}" for name in named]


def _facts(word: str, span: Int, almanac: Almanac, margin: int = 0) -> tuple[DaysOff, Holidays]:
    """What the days of the span and `margin` more on both sides are, and the holidays of its years and around them."""
    years = span[[0, -1]].astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    found = almanac.holidays(word, int(years[0]), int(years[1]))
    return days_off(int(span[0]) - margin, int(span[-1]) + margin, found.day, weekend(word)), found


def _korean(span: Int, times: Times, almanac: Almanac) -> dict[str, Bool]:
    facts, found = _facts("KR", span, almanac, 7)
    days = facts.day
    feasts = np.concatenate([feast_days(found, feast) for feast in FEASTS])
    place = np.arange(len(days))
    named = {
        **{family: np.isin(days, found.day[found.family == family]) for family in FAMILIES},
        "off_weekday": facts.off_weekday,
        "bridge": facts.bridge,
        "before_run": facts.before,
        "run_first": facts.off_weekday & (facts.position == 1),
        "run_last": facts.off_weekday & (facts.position == facts.length),
        "feast_before": _within(days, feasts, BEFORE),
        "feast_eve": np.isin(days, feasts - 1),
        "feast_day": np.isin(days, feasts),
        "feast_after": _within(days, feasts, AFTER),
        # What a dip leaves in the lags of a regression: in the row before, and in that of a week before.
        "day_after": facts.off_weekday[place - _row_before(days, times)],
        "week_after": facts.off_weekday[place - 7],
    }
    return {name: flags[7:-7] for name, flags in named.items()}


def _row_before(days: Int, times: Times) -> Int:
    """How many days back the row before lies, for a day of each weekday: three from Monday on business days."""
    weekdays = times.rhythm.weekdays
    steps = [next(k for k in range(1, 8) if (weekday - k) % 7 in weekdays) for weekday in range(7)]
    return np.array(steps)[(days + 3) % 7]


def _within(span: Int, feasts: Int, window: range) -> Bool:
    flags: Bool = np.isin(span, (feasts[:, None] + np.asarray(window)).ravel())
    return flags


def _closings(span: Int, almanac: Almanac) -> dict[str, Bool]:
    # "Before" looks at the next Monday-to-Friday day: the Friday before a closed Monday is before a closing.
    closed = _facts("NYSE", span, almanac, 4)[0].holiday
    dates, first = span.astype("datetime64[D]"), span[0] - 4
    after = np.busday_offset(dates, 1, roll="backward").astype(np.int64) - first
    before = np.busday_offset(dates, -1, roll="forward").astype(np.int64) - first
    return {"before_closing": closed[after], "after_closing": closed[before], "closed": closed[4:-4]}


def _counted(word: str, times: Times, almanac: Almanac) -> _Columns:
    """Counts of a period, and for KR the share of each feast's window that falls in it."""
    first, stop = times.rhythm.periods(times.local)
    span = np.arange(first.min(), stop.max()) if len(first) else np.zeros(1, np.int64)
    facts, found = _facts(word, span, almanac)

    def count(flags: NDArray[Any]) -> Float:
        until = np.concatenate([[0], np.cumsum(flags)])
        number: Float = (until[stop - span[0]] - until[first - span[0]]).astype(np.float64)
        return number

    named = {"off_days": count(facts.off_weekday), "working_days": count(~facts.off)}
    if word == "KR" and times.rhythm.days < 300:  # every year holds every window
        for feast in FEASTS:
            lunar = feast_days(found, feast)
            for part, window in PERIODS.items():
                named[f"{feast}_{part}"] = count(_within(span, lunar, window)) / len(window)
    return _stacked(word, named, np.arange(len(first)))
