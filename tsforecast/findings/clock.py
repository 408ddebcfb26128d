"""The panel's own time and its frequency: given, or read from the stamps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.findings.policies import Book
from tsforecast.frames import columns, grids
from tsforecast.panel import Int

__all__ = ["Clock", "clock"]

_SAMPLE = 20_000  # rows, by whole series, that are enough to see the common step


class Clock(NamedTuple):
    """Distinct stamps in the panel's own time, its frequency, and the zone that time belongs to."""

    stamps: NDArray[Any]
    freq: Any
    tz: str | None


def clock(book: Book, stamps: NDArray[Any], place_of: Int, codes: Int, freq: Any) -> Clock | None:
    """The clock of rows with series `codes` (N,) and stamps `stamps[place_of]`; None, and a finding, without one."""
    tz = book.table.times.tz
    days, days_tz = _days(stamps, tz)
    if _other_kind(book, stamps, freq):
        return None
    if freq is None or freq == "W":
        sample = _sample(codes, len(book.table.ids))
        chosen, owner = days[place_of[sample]], codes[sample]
        order = np.lexsort((chosen, owner))
        found = grids.infer(chosen[order], owner[order])
        if freq == "W" and not (isinstance(found, str) and found.startswith("W-")):
            found = grids.weekly(int(days.view(np.int64)[0]))  # where the data contradict it they are told row by row
        freq = found
    if freq is None:
        book.add(
            "TSF-FREQ",
            "no series has two different times, so no frequency can be read from the data",
            policy="raise",
            column=book.table.names.time,
            rows=(0,),
            found="one time a series",
            expected="a frequency",
            fix='Give it: freq="D", "h", "MS", ... or an integer step',
        )
        return None
    return Clock(days, freq, days_tz) if grids.is_coarse(freq) else Clock(stamps, freq, tz)


def _days(stamps: NDArray[Any], tz: str | None) -> tuple[NDArray[Any], str | None]:
    """Stamps as a panel of days or coarser steps counts them, and the zone of those days.

    That is local time; but stamps at one hour of UTC (local ones that jump with the clock) are days of UTC.
    """
    if tz is None or stamps.dtype.kind != "M":
        return stamps, tz
    wall = columns.local_days(stamps, tz)
    if wall is not None:
        return wall, tz
    if columns.local_days(stamps, "UTC") is not None:
        return stamps, "UTC"
    return columns.to_wall(stamps, tz), tz


def _other_kind(book: Book, stamps: NDArray[Any], freq: Any) -> bool:
    """Whether an alias was given for whole numbers, or an integer step for dates; written down if so."""
    dates = stamps.dtype.kind == "M"
    if freq is None or dates != isinstance(freq, int):
        return False
    book.add(
        "TSF-FREQ",
        f"the time column holds {'dates' if dates else 'whole numbers'}, freq={freq!r} is for the other kind",
        policy="raise",
        column=book.table.names.time,
        found=str(stamps[0]),
        expected="a frequency alias" if dates else "an integer step",
        fix="Give the freq that fits, or none at all to have it read from the data",
    )
    return True


def _sample(codes: Int, n: int) -> Int:
    """Rows of enough evenly spread series to know the common step; all rows of a small table."""
    every = min(len(codes) // _SAMPLE, n // 20)
    return np.arange(len(codes)) if every < 2 else np.flatnonzero((np.arange(n) % every == 0)[codes])
