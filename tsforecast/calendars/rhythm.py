"""What a frequency says of its rows: weekdays and months that occur, rows a cycle, days that a row spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError
from tsforecast.panel import Int

__all__ = ["CYCLES", "Rhythm", "Times"]

CYCLES = {"yearly": 365.25, "weekly": 7.0, "daily": 1.0}
"""Days in a cycle."""
# Months in a step, by what the name of pandas' offset class holds; the first that fits counts.
_MONTHS = {"SemiMonth": 0.5, "Month": 1.0, "Quarter": 3.0, "HalfYear": 6.0, "Year": 12.0}
_OPENING = ("MonthBegin", "QuarterBegin", "YearBegin", "Day")  # classes whose stamp opens its period


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A frequency as calendars see it; `kind` is fine (below a day), day, or long (a week and more)."""

    kind: Literal["fine", "day", "long"]
    label: str
    weekdays: tuple[int, ...]
    months: tuple[int, ...]
    days: float
    offset: Any

    @classmethod
    def of(cls, freq: Any) -> Rhythm:
        """Rhythm of a pandas alias or offset; ConfigError for integer steps and unknown aliases."""
        import pandas as pd

        if isinstance(freq, int | np.integer):
            raise ConfigError(f"calendar words need dates, but the frequency is the integer step {freq}")
        try:
            offset = pd.tseries.frequencies.to_offset(freq)
        except ValueError as cause:
            raise ConfigError(f"frequency {freq!r} is not one that pandas knows") from cause
        kind, days = _kind(offset)
        return cls(kind, str(offset.freqstr), _weekdays(offset), _months(offset), days, offset)

    def rows_in(self, cycle: str) -> float:
        """Rows in one cycle (yearly, weekly, daily), on average."""
        return round(CYCLES[cycle] / self.days, 2)

    def periods(self, stamps: NDArray[np.datetime64]) -> tuple[Int, Int]:
        """First day and the day after the last of each row's period (P,), as days since 1970."""
        import pandas as pd

        index = pd.DatetimeIndex(stamps)
        if self._stamp_opens():
            first, stop = index, index + self.offset
        else:
            first, stop = index - self.offset + pd.Timedelta(days=1), index + pd.Timedelta(days=1)
        return _as_days(first), _as_days(stop)

    def _stamp_opens(self) -> bool:
        name = type(self.offset).__name__
        return name.endswith(_OPENING) or (name == "Week" and self.offset.weekday == 0)


class Times(NamedTuple):
    """One time grid as the builders of columns need it: stamps (P,) of the local clock, and their frequency."""

    local: NDArray[np.datetime64]
    rhythm: Rhythm

    @property
    def day(self) -> Int:
        """Days since 1970-01-01 (P,)."""
        return self.local.astype("datetime64[D]").astype(np.int64)

    def refuse(self, word: str, why: str) -> ConfigError:
        """The error for a calendar word that cannot work at this frequency."""
        return ConfigError(f"calendar word {word!r} {why}, but the frequency is {self.rhythm.label}")


def _as_days(index: Any) -> Int:
    days: Int = index.to_numpy("datetime64[D]").astype(np.int64)
    return days


def _kind(offset: Any) -> tuple[Literal["fine", "day", "long"], float]:
    """Kind of a step and its mean length in days; a step of business days jumps over weekends."""
    import pandas as pd

    name, n = type(offset).__name__, offset.n
    if name in ("Day", "BusinessDay", "CustomBusinessDay"):
        days = n * 7 / len(_weekdays(offset))
        return ("long" if days >= 7 else "day"), days
    if isinstance(offset, pd.offsets.Tick):
        return "fine", pd.Timedelta(offset) / pd.Timedelta(days=1)
    if name == "Week":
        return "long", 7.0 * n
    for part, months in _MONTHS.items():
        if part in name:
            return "long", 365.25 / 12 * months * n
    raise ConfigError(f"calendar words cannot be used with the frequency {offset.freqstr}")


def _weekdays(offset: Any) -> tuple[int, ...]:
    name = type(offset).__name__
    if name == "CustomBusinessDay":
        return tuple(np.flatnonzero(offset.calendar.weekmask).tolist())
    return tuple(range(5 if name == "BusinessDay" else 7))


def _months(offset: Any) -> tuple[int, ...]:
    name = type(offset).__name__
    if "Year" in name and "Half" not in name:
        return (offset.month,)
    if "Quarter" in name and offset.n == 1:
        return tuple(sorted((offset.startingMonth + 3 * quarter - 1) % 12 + 1 for quarter in range(4)))
    return tuple(range(1, 13))
