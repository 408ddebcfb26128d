"""The terms that a user adds to Prophet's model: seasonalities and regressors, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Mode", "Regressor", "Seasonality", "regressors_of"]

Mode = Literal["additive", "multiplicative"]


@dataclass(frozen=True, slots=True)
class Seasonality:
    """A Fourier seasonality of `period` days; None takes the model's `seasonality_prior_scale` and `seasonality_mode`.

    With `condition_name` it acts only on rows where that column of the data is 1 (true).
    """

    name: str
    period: float
    fourier_order: int
    prior_scale: float | None = None
    mode: Mode | None = None
    condition_name: str | None = None


@dataclass(frozen=True, slots=True)
class Regressor:
    """A column of the data as a linear term; None takes the model's `holidays_prior_scale` and `seasonality_mode`.

    `standardize="auto"` leaves columns of zeros and ones, and constant ones, as they are.
    """

    name: str
    prior_scale: float | None = None
    standardize: bool | Literal["auto"] = "auto"
    mode: Mode | None = None


def regressors_of(given: Iterable[Regressor | str]) -> tuple[Regressor, ...]:
    """Regressors as they were given; a name alone is one without wishes."""
    return tuple(Regressor(one) if isinstance(one, str) else one for one in given)
