"""The columns that a normal is made of: level, waves of the year, months, weekdays, hours, trend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.clock import wall_clock
from tsforecast.calendars.harmonics import fourier
from tsforecast.calendars.rhythm import CYCLES, Rhythm
from tsforecast.panel import Float, Int

__all__ = ["YEAR", "Blocks"]

YEAR = 365.2425
"""Days in a year of the calendar, on average."""
_EPOCH = 10_957  # 2000-01-01 in days since 1970: keeps the trend column small
_MEANS = 28.0  # days in a step from which on a year is told by means of its months


class Blocks(NamedTuple):
    """The blocks of a normal by name, in order; what the frequency says of them; `tz` where hours are local."""

    names: tuple[str, ...]
    days: float
    tz: str | None = None

    @classmethod
    def of(cls, freq: Any, dated: bool, tz: Any) -> Blocks:
        """The blocks for a frequency: a level alone for integer steps and years.

        Below a month a year is waves, otherwise months; days have weekdays, steps below a day hours as well.
        """
        rhythm = Rhythm.of(freq) if dated else None
        if rhythm is None or rhythm.days > YEAR / 2:
            return cls(("level",), 1.0)
        year = "months" if rhythm.days >= _MEANS else "waves"
        inner = {"fine": ("hours", "weekdays"), "day": ("weekdays",), "long": ()}[rhythm.kind]
        if rhythm.days != 1.0 and len(rhythm.weekdays) == 7 and rhythm.kind == "day":
            inner = ()  # every second day: a weekday comes back after two weeks
        return cls(("level", year, *inner, "trend"), rhythm.days, str(tz) if tz and rhythm.kind == "fine" else None)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Blocks:
        """The blocks of a fitted normal."""
        return cls(tuple(state["blocks"]), state["days"], state["tz"])

    @property
    def rows_a_year(self) -> float:
        """Rows in a year: 12 months, 365.25 days."""
        return round(CYCLES["yearly"] / self.days, 2)

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(_WIDTHS[name] for name in self.names)

    def place(self, name: str) -> slice:
        """Columns of a block; an empty slice where there is none."""
        first = 0
        for other in self.names:
            if other == name:
                return slice(first, first + _WIDTHS[name])
            first += _WIDTHS[other]
        return slice(first, first)

    @property
    def year(self) -> slice:
        """Columns of the yearly course."""
        return self.place("months" if "months" in self.names else "waves")

    def months(self, stamps: NDArray[Any]) -> Int:
        """Calendar month (P,) of each stamp, from 0; 0 for integer steps."""
        dated = stamps.dtype.kind == "M"
        return stamps.astype("datetime64[M]").astype(np.int64) % 12 if dated else np.zeros(len(stamps), np.int64)

    def columns(self, stamps: NDArray[Any]) -> Float:
        """Columns (P, k) at stamps (P,) of the panel's own time; their phase is the date's, whatever the series."""
        if self.names == ("level",):
            return np.ones((len(stamps), 1))
        local = stamps if self.tz is None else wall_clock(stamps, self.tz, "h")
        return np.concatenate([_COLUMNS[name](local) for name in self.names], axis=1)

    def phase(self, stamps: NDArray[Any]) -> Float:
        """Columns (P, 3) of the yearly course of a spread: 1, then sine and cosine; 0 where there is no year."""
        if self.names == ("level",):
            return np.tile([1.0, 0.0, 0.0], (len(stamps), 1))
        return np.concatenate([np.ones((len(stamps), 1)), fourier(stamps, YEAR, 1)], axis=1)


def _indicators(place: Int, count: int) -> Float:
    hot: Float = (place[:, None] == np.arange(count)).astype(np.float64)
    return hot


def _months(stamps: NDArray[Any]) -> Float:
    return _indicators(stamps.astype("datetime64[M]").astype(np.int64) % 12, 12)


def _weekdays(stamps: NDArray[Any]) -> Float:
    return _indicators(stamps.astype("datetime64[D]").astype(np.int64) % 7, 7)


def _hours(stamps: NDArray[Any]) -> Float:
    return _indicators(stamps.astype("datetime64[h]").astype(np.int64) % 24, 24)


def _trend(stamps: NDArray[Any]) -> Float:
    days = stamps.astype("datetime64[us]").astype(np.int64) / 86_400_000_000
    return ((days - _EPOCH) / YEAR)[:, None]


_COLUMNS: dict[str, Callable[[NDArray[Any]], Float]] = {
    "level": lambda stamps: np.ones((len(stamps), 1)),
    "waves": lambda stamps: fourier(stamps, YEAR, 3),
    "months": _months,
    "weekdays": _weekdays,
    "hours": _hours,
    "trend": _trend,
}
_WIDTHS = {"level": 1, "waves": 6, "months": 12, "weekdays": 7, "hours": 24, "trend": 1}
