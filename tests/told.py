"""Members that forecast what a known column says, and validations made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.compose.validation import Validation
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Panel


@dataclass(eq=False, repr=False)
class Told(Forecaster):
    """The first known column; NaN for the series in `silent`."""

    silent: Sequence[str] = ()

    def _fit(self, panel: Panel, h: int | None, roll: Any) -> dict[str, Any]:
        return {}

    def _predict(self, state: Any, panel: Panel, h: int, known: np.ndarray, levels: Sequence[float]) -> Forecast:
        return Forecast(np.where(np.isin(panel.ids, list(self.silent))[:, None], np.nan, known[:, :, 0]))


@dataclass(eq=False, repr=False)
class ToldTogether(Told):
    """The same, of all series at once."""

    needs = "panel"


def told_table(columns: dict[str, np.ndarray], y: np.ndarray) -> pd.DataFrame:
    """Long daily table of y (n, T) with columns (n, T)."""
    n, rows = y.shape
    return pd.DataFrame({
        "unique_id": np.repeat([f"s{i:03d}" for i in range(n)], rows),
        "ds": np.tile(pd.date_range("2022-01-01", periods=rows), n),
        "y": y.ravel(),
    } | {name: values.ravel() for name, values in columns.items()})  # fmt: skip


def validation(point: np.ndarray, actual: np.ndarray, step: int = 1) -> Validation:
    """Forecasts (m, w, n, h) and the truth (w, n, h) from origins `step` rows apart."""
    w, n, h = actual.shape
    cutoffs = np.repeat(100 + step * np.arange(w)[:, None], n, axis=1)
    return Validation(
        cutoffs=cutoffs, reach=cutoffs + h, point=point, actual=actual,
        step=np.full(n, step), enough=np.ones(n, bool),
    )  # fmt: skip
