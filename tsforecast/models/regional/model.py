"""RegionalLinear: linear regressions on own lags, one a region and step, shrunk to that of all series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast import growth, normals
from tsforecast.errors import ConfigError, listed
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import Conformal
from tsforecast.models.regional import fitting
from tsforecast.panel import Float, Panel
from tsforecast.rolling import Roll, State
from tsforecast.threads import one_blas_thread

__all__ = ["RegionalLinear"]


@dataclass(eq=False, repr=False)
class RegionalLinear(Forecaster):
    """Direct linear regressions of anomalies on own lags, shared by the series of a region.

    Anomalies are what the seasonal normal leaves (`base="none"`: the mean), in units of its spread. For days the
    regressors are the values 0, 1 and 2 rows back and the means of 7 and 90 rows; above a day the values 0 and 1 rows
    back and the mean of a year. `scope` is the static column that tells the regions ("auto": "region" where there is
    one), "global" or "series"; the coefficients of each are shrunk to those of all series by 1000 pseudo-rows. A region
    of fewer than 3 series, or none, goes by the series around it where static lat and lon are there, or else by all.
    Intervals come from the errors on the last quarter of the rows (a year of days at most), forecast by what was
    fitted before them.
    """

    scope: str = "auto"
    base: Literal["auto", "none"] = field(default="auto", kw_only=True)

    needs: ClassVar[Any] = "panel"
    uses_columns: ClassVar[bool] = False
    complexity: ClassVar[int] = 2

    @property
    def needs_h(self) -> bool:
        """A regression is fitted for each step."""
        return True

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.base not in ("auto", "none"):
            raise ConfigError(f'base must be "auto" (a seasonal normal) or "none" (the mean), got {self.base!r}')
        if self.scope not in ("auto", "global", "series", *panel.static):
            there = f"static columns: {listed(panel.static, 20)}" if panel.static else "no static table was given"
            raise ConfigError(
                f"{self.name}: scope={self.scope!r} is not a static column ({there}); give one, as in "
                'fit(data, h=14, static=places) with a column of regions, or scope="global" for one model of all series'
            )

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        assert h is not None  # `needs_h` has asked for it
        return fitting.fit(panel.numbered(), h, self.scope, self.name, self.base)

    def _errors(self, fit: State, panel: Panel, h: int) -> Float:
        recipe = self.intervals
        back = -recipe.origins(np.zeros(1, np.int64), h)[:, 0] if isinstance(recipe, Conformal) else None
        with one_blas_thread():
            return fitting.errors(panel.numbered(), h, self.scope, self.name, self.base, back)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        return fitting.predict(state, panel, h)

    def _spread(self, fit: State) -> Float | None:
        """What each series strays from its normal by, over the year (n,)."""
        variance: Float = fit["normal"]["spread"][:, 0]
        return np.sqrt(np.maximum(variance, 0.0))

    def _inside(self, state: State, panel: Panel) -> Float | None:
        return fitting.inside(state, panel)

    def _keep(self, state: State) -> int | None:
        return int(state["reach"])

    def _completed(self, state: State, panel: Panel) -> State:
        return state | {"fit": normals.with_newer(state["fit"], panel)}

    def _greeted(self, state: State, panel: Panel) -> State:
        """The state of series met later: the model of all series, on anomalies from normals of their own."""
        old = state.get("errors", np.empty((0, 0, 1)))
        fit, errors = fitting.newcomers(state["fit"], panel.numbered(), self.base, np.arange(old.shape[1], 0, -1))
        new = {"fit": fit, "thin": self._thin(panel), "errors": errors}
        return {name: new[name] for name in ("fit", "thin", "errors") if name in state}

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        n_new = len(panel) - n_old
        each = {name: growth.joined(value, new[name], n_old, n_new) for name, value in old.items() if name != "fit"}
        return {"fit": fitting.joined(old["fit"], new["fit"], n_old, n_new), **each}
