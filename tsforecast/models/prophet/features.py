"""The columns of Prophet's model: which there are, what each is called and how strongly its prior holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.harmonics import fourier
from tsforecast.models.prophet.terms import Regressor, Seasonality
from tsforecast.panel import Bool, Float, Int

__all__ = ["BUILT_IN", "Features"]

BUILT_IN = {"yearly": (365.25, 10), "weekly": (7.0, 3), "daily": (1.0, 4)}
"""Period in days and usual order of the seasonalities that the length of a history switches on."""

Order = int | bool | Literal["auto"]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """K columns: those of the calendar first (seasonalities, holidays), then those of the rows (conditional
    seasonalities, regressors). Every prior scale and mode is set; `auto` names seasonalities that a span's own
    length switches on.
    """

    seasonalities: tuple[Seasonality, ...]
    conditional: tuple[Seasonality, ...]
    regressors: tuple[Regressor, ...]
    days: DayColumns | None
    auto: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column (K,)."""
        parts = [_labels(term) for term in self.seasonalities]
        parts += [list(self.days.names) if self.days else []]
        parts += [_labels(term) for term in self.conditional]
        return (*(name for part in parts for name in part), *(term.name for term in self.regressors))

    @property
    def component(self) -> tuple[str, ...]:
        """What each column is summed under (K,)."""
        return self._spread(lambda term: term.name, list(self.days.component) if self.days else [])

    @property
    def scale(self) -> Float:
        """Prior standard deviation of each coefficient (K,)."""
        return np.array(
            self._spread(lambda term: term.prior_scale, list(self.days.scale) if self.days else []), dtype=float
        )

    @property
    def multiplicative(self) -> Bool:
        """Whether each column multiplies the trend (K,)."""
        modes = self._spread(lambda term: term.mode, list(self.days.mode) if self.days else [])
        return np.array([mode == "multiplicative" for mode in modes], dtype=bool)

    @property
    def harmonic(self) -> Int:
        """Number of the harmonic of each column of a seasonality, 0 for the others (K,)."""
        first = [j // 2 + 1 for term in self.seasonalities for j in range(2 * term.fourier_order)]
        then = [j // 2 + 1 for term in self.conditional for j in range(2 * term.fourier_order)]
        days = len(self.days.names) if self.days else 0
        return np.array([*first, *[0] * days, *then, *[0] * len(self.regressors)], dtype=np.int64)

    @property
    def holiday(self) -> Bool:
        """Whether each column is one of holidays (K,)."""
        out = np.zeros(len(self.names), dtype=bool)
        first = sum(2 * term.fourier_order for term in self.seasonalities)
        out[first : first + (len(self.days.names) if self.days else 0)] = True
        return out

    @property
    def shared(self) -> int:
        """Number of columns that the time alone decides."""
        return len(self.names) - len(self.regressors) - sum(2 * term.fourier_order for term in self.conditional)

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Columns of the data that the others are made of: conditions, then regressors, each once."""
        conditions = [str(term.condition_name) for term in self.conditional]
        return tuple(dict.fromkeys([*conditions, *(term.name for term in self.regressors)]))

    @property
    def has_row_columns(self) -> bool:
        """Whether rows have columns of their own."""
        return bool(self.conditional or self.regressors)

    def at(self, times: NDArray[Any]) -> Float:
        """Values (P, shared) of the calendar's columns at wall-clock times (P,) datetime64[us]."""
        parts = [fourier(times, term.period, term.fourier_order) for term in self.seasonalities]
        if self.days is not None:
            parts.append(self.days.at(times.astype("datetime64[D]").astype(np.int64)))
        return np.concatenate([np.empty((len(times), 0)), *parts], axis=1)

    def of_rows(self, times: NDArray[Any], rows: Float, names: Sequence[str]) -> Float:
        """Values (..., K - shared) of the rows' columns from columns `rows` (..., c) called `names` at times (...)."""
        parts = [np.empty((*times.shape, 0))]
        for term in self.conditional:
            waves = fourier(times.ravel(), term.period, term.fourier_order).reshape(*times.shape, -1)
            condition = rows[..., list(names).index(str(term.condition_name))]
            parts.append(waves * condition[..., None])
        parts += [rows[..., [list(names).index(term.name)]] for term in self.regressors]
        return np.concatenate(parts, axis=-1)

    def _spread(self, of: Any, days: list[Any]) -> tuple[Any, ...]:
        """A value of every term, once for each of its columns."""
        first = [of(term) for term in self.seasonalities for _ in range(2 * term.fourier_order)]
        then = [of(term) for term in self.conditional for _ in range(2 * term.fourier_order)]
        return (*first, *days, *then, *(of(term) for term in self.regressors))


def _labels(term: Seasonality) -> list[str]:
    return [f"{term.name}:{k}:{part}" for k in range(1, term.fourier_order + 1) for part in ("sin", "cos")]
