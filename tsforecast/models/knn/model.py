"""KNN: every place forecast from its own past and that of its neighbours, or of the clusters around it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast.errors import ConfigError, DataError, DataWarning, listed, whole
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.geography import places_of
from tsforecast.intervals import Conformal
from tsforecast.models.knn import fitting, forecasting
from tsforecast.models.knn.choosing import Spec
from tsforecast.panel import Float, Panel
from tsforecast.rolling import Roll, State

__all__ = ["KNN"]

MODES = ("auto", "neighbours", "cluster")


@dataclass(eq=False, repr=False)
class KNN(Forecaster):
    """Direct ridge regressions on anomalies from the seasonal normal, one a place and step."""

    k: int | Literal["auto"] = "auto"
    mode: Literal["auto", "neighbours", "cluster"] = "auto"
    raw_mean: bool = False
    base: Literal["auto", "none"] = field(default="auto", kw_only=True)

    needs: ClassVar[Any] = "panel"
    uses_columns: ClassVar[bool] = False
    complexity: ClassVar[int] = 2

    @property
    def needs_h(self) -> bool:
        """Direct regressions are fitted for each step."""
        return True

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.k != "auto":
            whole("k", self.k, 1)
        places = places_of(panel.static, panel.ids, self.name)
        lost = panel.ids[~places.known]
        if len(lost) and self.on_error == "raise":
            raise DataError(f"{self.name} cannot place {listed(lost)}: lat or lon is missing")
        if len(panel) == 1:
            warnings.warn(f"{self.name}: a single series has no neighbours", DataWarning, stacklevel=3)

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        assert h is not None
        panel = panel.replace(series=np.arange(len(panel), dtype=np.int64))
        places = places_of(panel.static, panel.ids, self.name, quiet=True)
        back = None
        if isinstance(self.intervals, Conformal):
            back = h + self.intervals.step * np.arange(self.intervals.windows)[::-1]
        spec = Spec.of(None if self.k == "auto" else self.k, self.mode, int(places.known.sum()))
        return fitting.fit(panel, h, spec, places, self.base, back) | {"served": places.known}

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        return forecasting.predict(state, panel, h)

    def _errors(self, fit: State, panel: Panel, h: int) -> Float:
        return np.asarray(fit["errors"])[:, :, :h]

    def _inside(self, state: State, panel: Panel) -> Float | None:
        return forecasting.inside(state, panel)

    def _keep(self, state: State) -> int | None:
        return int(state["reach"])
