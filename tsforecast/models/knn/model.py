"""KNN: places forecast from their own past and from what their neighbours, or the clusters around them, show."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast import growth, normals
from tsforecast.errors import ConfigError, DataError, DataWarning, listed, whole
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.geography import Places, places_of
from tsforecast.intervals import Conformal
from tsforecast.models.knn import fitting, forecasting, raw
from tsforecast.models.knn.choosing import Spec
from tsforecast.panel import Float, Panel
from tsforecast.rolling import Roll, State
from tsforecast.threads import one_blas_thread
from tsforecast.windows.bands import band_names

__all__ = ["KNN"]

MODES = ("auto", "neighbours", "cluster")


@dataclass(eq=False, repr=False)
class KNN(Forecaster):
    """Each place from its own past and that of the places around it; needs static lat and lon in degrees.

    What the seasonal normal leaves (`base="none"`: the mean), in units of its spread, is regressed directly, a place
    and step, on the place's newest values and on those of others, now and a row before. Others are its k nearest
    neighbours, or the means of k-means clusters: its own one without itself, then the nearest ones; k is the number of
    clusters then. "auto" takes what errs least on the last quarter of the rows (a year of days at most), by horizon
    band: neighbours or clusters, 5 to 40 of them, and how many pseudo-rows hold a place to the model that all share,
    so that a place of few rows goes by that one. Places under 1 km apart with the same values are one: a twin is
    nobody's neighbour. Intervals come from the errors on those rows, forecast by what was fitted before them.

    `raw_mean=True` is the literal recipe: the mean of raw values of a place's cluster, the place itself among them, at
    the same calendar position in the years before. It loses to the climatology of each place by itself.
    """

    k: int | Literal["auto"] = "auto"
    mode: Literal["auto", "neighbours", "cluster"] = "auto"
    raw_mean: bool = False
    base: Literal["auto", "none"] = field(default="auto", kw_only=True)

    needs: ClassVar[Any] = "panel"
    uses_columns: ClassVar[bool] = False
    complexity: ClassVar[int] = 2

    @property
    def needs_h(self) -> bool:
        """A regression is fitted for each step."""
        return True

    @property
    def _recipe(self) -> Any:
        """The functions that say what a state is, and forecast from it."""
        return raw if self.raw_mean else forecasting

    def _validate(self, h: int | None) -> None:
        super()._validate(h)
        if self.mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.base not in ("auto", "none"):
            raise ConfigError(f'base must be "auto" (a seasonal normal) or "none" (the mean), got {self.base!r}')
        if not isinstance(self.raw_mean, bool):
            raise ConfigError(f"raw_mean must be True or False, got {self.raw_mean!r}")
        if self.raw_mean and self.mode == "neighbours":
            raise ConfigError('raw_mean is the mean of a cluster: leave mode, or write mode="cluster"')
        if self.k != "auto":
            whole("k", self.k, 1)

    def _check(self, panel: Panel, h: int | None) -> None:
        places = places_of(panel.static, panel.ids, self.name)
        lost = panel.ids[~places.known]
        if len(lost) and self.on_error == "raise":
            raise DataError(
                f"{self.name} forecasts places, and {len(lost)} of {len(panel)} series have no lat and lon: "
                f'{listed(lost)}. Give them, leave these series out, or set on_error="fallback"'
            )
        if len(panel) == 1:
            words = f"{self.name}: one series has no neighbours; it is forecast from its own past alone"
            warnings.warn(words, DataWarning, stacklevel=3)

    def _places(self, panel: Panel) -> Places:
        return places_of(panel.static, panel.ids, self.name, quiet=True)

    def _spec(self, places: Places) -> Spec:
        mode = "cluster" if self.raw_mean else self.mode
        return Spec.of(self.base, None if self.k == "auto" else int(self.k), mode, int(places.known.sum()))

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        assert h is not None  # `needs_h` has asked for it
        places = self._places(panel)
        fit = raw.fit if self.raw_mean else fitting.fit
        return fit(panel.numbered(), h, self._spec(places), places)

    def _errors(self, fit: State, panel: Panel, h: int) -> Float:
        recipe, places = self.intervals, self._places(panel)
        back = -recipe.origins(np.zeros(1, np.int64), h)[:, 0] if isinstance(recipe, Conformal) else None
        errors = raw.errors if self.raw_mean else fitting.errors
        with one_blas_thread():
            return errors(fit, panel.numbered(), h, self._spec(places), places, back)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        out: Forecast = self._recipe.predict(state, panel, h)
        return out

    def _spread(self, fit: State) -> Float | None:
        """What each series strays from its normal by, over the year (n,)."""
        if self.raw_mean:
            return None
        variance: Float = fit["normal"]["spread"][:, 0]
        return np.sqrt(np.maximum(variance, 0.0))

    def _inside(self, state: State, panel: Panel) -> Float | None:
        values: Float = self._recipe.inside(state, panel)
        return values

    def _keep(self, state: State) -> int | None:
        return 1 if self.raw_mean else int(state["reach"])

    def _completed(self, state: State, panel: Panel) -> State:
        if self.raw_mean:
            return state
        # Places that went on since the fit lie farther ahead of those that ended.
        return state | {"fit": normals.with_newer(state["fit"], panel) | {"reach": fitting.reach(panel)}}

    def _greeted(self, state: State, panel: Panel) -> State:
        """The state of series met later: no place is known of them, so that their own past alone tells of them."""
        old = state.get("errors", np.empty((0, 0, 1)))
        fit, errors = self._recipe.newcomers(state["fit"], panel.numbered(), self.base, np.arange(old.shape[1], 0, -1))
        new = {"fit": fit, "thin": self._thin(panel)}
        if "errors" in state:
            new["errors"] = np.broadcast_to(errors, (len(panel), *old.shape[1:]))
        return new

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        n_new = len(panel) - n_old
        each = {name: growth.joined(value, new[name], n_old, n_new) for name, value in old.items() if name != "fit"}
        return {"fit": self._recipe.joined(old["fit"], new["fit"], n_old, n_new), **each}

    def describe(self) -> dict[str, Any]:
        """As for all forecasters, and `bands`: what each horizon band goes by, with its error on the held-out rows.

        `mse` is in units of the places' own spread, NaN where too few rows could be held out.
        """
        said, fit = super().describe(), self.state_["fit"]
        if self.raw_mean:
            return said | {"clusters": fit["clusters"]}
        names = band_names([int(first) for first in fit["choice"]], self.h_ or 1)
        keys = ("mode", "clusters", "k", "pseudo_rows", "mse")
        bands = [
            dict(zip(("steps", *keys), (name, *one), strict=True))
            for name, one in zip(names, fit["choice"].values(), strict=True)
        ]
        return said | {"bands": bands}
