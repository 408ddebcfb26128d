"""Days off and what they make of the days around them: runs, bridge days, distances."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from tsforecast.panel import Bool, Int

__all__ = ["DaysOff", "days_off", "gap_after", "gap_before"]

_MARGIN = 40  # days looked at on both sides: longer than any run of days off


class DaysOff(NamedTuple):
    """Facts of a span of days (P,), days since 1970-01-01; a *run* is an unbroken stretch of days off.

    off: weekend or holiday. off_weekday: a holiday that is not on the weekend. start: first day of the run that holds
    the day, position: its place there from 1, length: the run's; all 0 on working days. special: in a run that holds
    a holiday off the weekend. bridge: one working day between two days off. before, after: the working day next to a
    special run.
    """

    day: Int
    holiday: Bool
    off: Bool
    off_weekday: Bool
    start: Int
    position: Int
    length: Int
    special: Bool
    bridge: Bool
    before: Bool
    after: Bool


def days_off(first: int, last: int, holidays: Int, weekend: Collection[int]) -> DaysOff:
    """Facts of the days `first` to `last`, from the days of holidays and the weekend (Monday = 0)."""
    day = np.arange(first - _MARGIN, last + _MARGIN + 1)
    holiday = np.isin(day, holidays)
    resting = np.isin((day + 3) % 7, list(weekend))
    off = holiday | resting
    off_weekday = holiday & ~resting
    index = np.arange(len(day))
    earlier, later = _neighbours(off)
    begin = np.maximum.accumulate(np.where(off & ~earlier, index, 0))
    end = np.minimum.accumulate(np.where(off & ~later, index, len(day))[::-1])[::-1]
    until = np.concatenate([[0], np.cumsum(off_weekday)])
    special = off & (until[np.minimum(end + 1, len(day))] > until[begin])
    special_earlier, special_later = _neighbours(special)
    inner = slice(_MARGIN, -_MARGIN)
    return DaysOff(
        day=day[inner],
        holiday=holiday[inner],
        off=off[inner],
        off_weekday=off_weekday[inner],
        start=np.where(off, day[begin], 0)[inner],
        position=np.where(off, index - begin + 1, 0)[inner],
        length=np.where(off, end - begin + 1, 0)[inner],
        special=special[inner],
        bridge=(~off & earlier & later)[inner],
        before=(~off & special_later)[inner],
        after=(~off & special_earlier)[inner],
    )


def _neighbours(flags: Bool) -> tuple[Bool, Bool]:
    """The flags of the day before and of the day after."""
    edge = np.zeros(1, dtype=bool)
    return np.concatenate([edge, flags[:-1]]), np.concatenate([flags[1:], edge])


def gap_after(day: Int, marked: Int, limit: int) -> Int:
    """Days since the last of the sorted days `marked` (0 on such a day), at most `limit`."""
    place = np.searchsorted(marked, day, side="right") - 1
    if not len(marked):
        return np.full(day.shape, limit)
    return np.where(place < 0, limit, np.clip(day - marked[np.maximum(place, 0)], 0, limit))


def gap_before(day: Int, marked: Int, limit: int) -> Int:
    """Days until the next of the sorted days `marked` (0 on such a day), at most `limit`."""
    return gap_after(-day, -marked[::-1], limit)
