"""DayColumns: what each day says to a regression, as a sparse table that a fitted model can carry with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsforecast.panel import Float, Int

__all__ = ["DayColumns"]


@dataclass(frozen=True, slots=True, eq=False)
class DayColumns:
    """Entries day (m,) in days since 1970-01-01, column (m,), value (m,); of each column (K,) its name, prior sd
    (NaN: the model's own default), component (what it is shown and summed under) and mode (None: the model's).

    Days from `first` to `last` are covered: there a day without an entry is known to be an ordinary one.
    """

    day: Int
    column: Int
    value: Float
    names: tuple[str, ...]
    scale: Float
    component: tuple[str, ...]
    mode: tuple[str | None, ...]
    first: int
    last: int

    def at(self, days: Int) -> Float:
        """Values (P, K) on the days (P,); entries of one day and column add up."""
        wanted, back = np.unique(days, return_inverse=True)
        out = np.zeros((len(wanted), len(self.names)))
        if len(wanted):
            place = np.minimum(np.searchsorted(wanted, self.day), len(wanted) - 1)
            here = wanted[place] == self.day
            np.add.at(out, (place[here], self.column[here]), self.value[here])
        return out[back.reshape(-1)]

    def take(self, columns: Sequence[int]) -> DayColumns:
        """The chosen columns alone."""
        chosen = np.asarray(columns, dtype=np.int64)
        number = np.full(len(self.names), -1, dtype=np.int64)
        number[chosen] = np.arange(len(chosen))
        kept = number[self.column] >= 0
        return DayColumns(
            day=self.day[kept],
            column=number[self.column[kept]],
            value=self.value[kept],
            names=tuple(self.names[i] for i in chosen),
            scale=self.scale[chosen],
            component=tuple(self.component[i] for i in chosen),
            mode=tuple(self.mode[i] for i in chosen),
            first=self.first,
            last=self.last,
        )

    @classmethod
    def joined(cls, parts: Sequence[DayColumns]) -> DayColumns:
        """The columns of several tables side by side; covered are the days that all of them cover."""
        offsets = np.cumsum([0, *(len(part.names) for part in parts)])
        return cls(
            day=np.concatenate([np.empty(0, np.int64), *(part.day for part in parts)]),
            column=np.concatenate(
                [np.empty(0, np.int64), *(part.column + offset for part, offset in zip(parts, offsets, strict=False))]
            ),
            value=np.concatenate([np.empty(0), *(part.value for part in parts)]),
            names=tuple(name for part in parts for name in part.names),
            scale=np.concatenate([np.empty(0), *(part.scale for part in parts)]),
            component=tuple(name for part in parts for name in part.component),
            mode=tuple(mode for part in parts for mode in part.mode),
            first=max((part.first for part in parts), default=0),
            last=min((part.last for part in parts), default=0),
        )

    def state(self) -> dict[str, Any]:
        """The table as named arrays and plain values, for a model's state."""
        return {
            "day": self.day,
            "column": self.column,
            "value": self.value,
            "names": list(self.names),
            "scale": self.scale,
            "component": list(self.component),
            "mode": list(self.mode),
            "first": self.first,
            "last": self.last,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> DayColumns:
        """The table that `state` wrote."""
        lists = {name: tuple(state[name]) for name in ("names", "component", "mode")}
        return cls(**(state | lists))
