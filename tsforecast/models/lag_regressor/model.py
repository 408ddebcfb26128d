"""LagRegressor: a scikit-learn regressor on lags, one for the panel, a group or a series; recursive or direct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ArtifactError, ConfigError, FitError, listed
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.models.lag_regressor import estimators, fitting, forecasting
from tsforecast.models.lag_regressor.fitting import Models, Plan
from tsforecast.panel import Float, Panel, seasons
from tsforecast.rolling import Roll, State
from tsforecast.windows.plan import TRANSFORMS, lag_sets, parse_lags, parse_transform

__all__ = ["LagRegressor"]

ANY_LENGTH = 10**9


@dataclass(eq=False, repr=False)
class LagRegressor(Forecaster):
    """Any regressor of scikit-learn on the lags of the target and of past columns, and on known and calendar columns.

    estimator: an unfitted regressor, which is cloned and never fitted itself; its name ("Lasso"); or a mapping
    {"name": "Lasso", "alpha": 0.1}, as job files write it. Unset random states become `seed`.
    lags: a number (14 means 1..14), a list, or "auto": near lags and the multiples of the season that the history (the
    median one of those that share a model) carries. season: rows a season; None takes the frequency's.
    transform: "standard" (each series in its own mean and standard deviation, which a model of many series needs),
    None, "log", "diff", "seasonal-diff", "log-diff", "log-seasonal-diff", each also with "-standard" behind. Columns
    are taken as they are.
    strategy: "recursive", "direct" (one estimator a horizon) or "auto" (direct where there are past columns).
    scope: "global", "series" or a static column: how many series one estimator serves. All series take a
    step of a recursion at once; only fitting, and predicting with objects of their own, goes through them one by one.
    static: numeric static columns that are regressors too. sample: most table rows that one estimator is fitted on,
    drawn at random.

    Rows with a missing value are left out unless the estimator copes with them; missing values among the last rows
    are filled by the model's own one-step forecasts (recursive) or carried forward (direct). Linear models, trees,
    forests and boosting, also behind scalers and polynomials, are kept as arrays and forecast from them; others stay
    objects in memory and cannot be saved.
    """

    estimator: Any = "Ridge"
    lags: int | Sequence[int] | Literal["auto"] = "auto"
    season: int | Sequence[int] | None = None
    transform: str | None = "standard"
    strategy: Literal["auto", "recursive", "direct"] = "auto"
    scope: str = "global"
    static: Sequence[str] = ()
    sample: int | None = None

    @property
    def needs(self) -> Any:
        """What one fit must see together: a series, a group, or the panel."""
        return {"series": "series", "global": "panel"}.get(self.scope, ("group", self.scope))

    @property
    def needs_h(self) -> bool:
        """Whether the horizon must be known at fit."""
        return self._is_direct

    @property
    def _is_direct(self) -> bool:
        return self.strategy == "direct" or (self.strategy == "auto" and bool(self.past))

    def save(self, path: Any) -> None:
        """Write the fitted model to one file; ArtifactError where the estimator has no form as arrays."""
        self._ready()
        if "objects" in self.state_["fit"]["models"]:
            names = listed((name for name, (_, family) in estimators.FAMILIES.items() if family), 40)
            raise ArtifactError(
                f"{self.name}: a fitted {estimators.label(self.estimator)} cannot be saved as arrays; those that can "
                f"are {names}"
            )
        super().save(path)

    def _seasons(self, panel: Panel) -> tuple[int, ...]:
        return seasons(panel.freq) if self.season is None else tuple(np.atleast_1d(self.season).tolist())

    def _plan(self, panel: Panel, h: int | None) -> Plan:
        usual = self._seasons(panel)
        if isinstance(self.lags, str):
            sets = tuple(lags for lags in lag_sets(usual, ANY_LENGTH) if lags)
        else:
            sets = (parse_lags(self.lags),)
        word = (self.transform or "").removesuffix("standard").removesuffix("-")
        return Plan(
            sets=sets,
            transform=parse_transform(word or None, min(usual, default=0)),
            standard=(self.transform or "").endswith("standard"),
            horizons=(h or 1) if self._is_direct else 1,
            static=tuple(self.static),
            copes=estimators.copes_with_missing(estimators.made(self.estimator, self.seed)),
            sample=self.sample,
            seed=self.seed,
        )

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.strategy not in ("auto", "recursive", "direct"):
            raise ConfigError(f"strategy must be auto, recursive or direct, got {self.strategy!r}")
        if self.strategy == "recursive" and self.past:
            raise ConfigError(
                f'strategy="recursive" cannot use past columns ({listed(self.past)}): their own future would be needed '
                'to go on from the first step. Use strategy="direct", or list them as known'
            )
        if isinstance(self.lags, str) and self.lags != "auto":
            raise ConfigError(f'lags must be "auto", a number or a list of numbers, got {self.lags!r}')
        self._check_transform()
        if self.scope not in ("series", "global", *panel.static):
            there = listed(panel.static) or "none was given"
            raise ConfigError(f"scope must be 'series', 'global' or a static column ({there}), got {self.scope!r}")
        if any(season < 1 for season in self._seasons(panel)):
            raise ConfigError(f"season must be at least 1 row, got {self.season}")
        if self.sample is not None and (isinstance(self.sample, bool) or self.sample < 1):
            raise ConfigError(f"sample must be a number of rows >= 1, or None for all, got {self.sample!r}")
        self._check_static(panel)
        plan = self._plan(panel, h)
        if not plan.sets[-1] and not panel.columns.shape[1] and not plan.static:
            raise ConfigError("there is nothing to regress on: give lags or columns")
        self._check_weights(panel)

    def _check_transform(self) -> None:
        words = ("standard", *TRANSFORMS, *(f"{word}-standard" for word in TRANSFORMS))
        if self.transform is not None and self.transform not in words:
            near = get_close_matches(str(self.transform), words, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"transform must be None, {', '.join(words)}; got {self.transform!r}{hint}")

    def _check_static(self, panel: Panel) -> None:
        for name in self.static:
            if name not in panel.static:
                there = listed(panel.static) or "none was given"
                raise ConfigError(f"no static column {name!r} ({there}): fit(data, static=table)")
            if np.asarray(panel.static[name]).dtype.kind not in "biuf":
                raise ConfigError(f"static column {name!r} is text; regressors are numbers (scope={name!r} takes text)")

    def _check_weights(self, panel: Panel) -> None:
        if panel.weights is None or estimators.takes_weights(estimators.made(self.estimator, self.seed)):
            return
        # Weight 0 leaves a row out, which any estimator can do without being told.
        given = np.unique(panel.weights[panel.weights > 0])
        if len(given) > 1:
            raise ConfigError(f"{estimators.label(self.estimator)} takes no row weights: fit it without them")

    def _rows_needed(self, panel: Panel) -> int:
        if isinstance(self.lags, str) or self.scope != "series":
            return 1
        return self._plan(panel, 1).look(0, 1).reach + 2

    def _models(self, panel: Panel, plan: Plan) -> Models:
        if self.scope == "series":
            return Models(np.arange(len(panel)), panel.ids, fitting.lag_choice(plan.sets, panel.lengths))
        names, of = np.unique(self._group(panel), return_inverse=True)
        lengths = np.array([np.median(panel.lengths[of == g]) for g in range(len(names))], dtype=np.float64)
        return Models(of.astype(np.int64), names.tolist(), fitting.lag_choice(plan.sets, lengths.astype(np.int64)))

    def _group(self, panel: Panel) -> NDArray[Any]:
        """What series (n,) share a model by: one text for all, or the labels of the static column."""
        if self.scope == "global":
            return np.full(len(panel), "global")
        return np.asarray(panel.static[self.scope]).astype(str)

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        plan = self._plan(panel, h)
        models = self._models(panel, plan)
        with estimators.told_once(self.name):
            part, units, failures = fitting.fit(panel, plan, models, lambda: estimators.made(self.estimator, self.seed))
        if failures and self.on_error == "raise":
            ids = panel.ids[np.isin(models.of, [number for number, _ in failures])]
            cause, what = failures[0][1], estimators.label(self.estimator)
            raise FitError(f"{self.name}: {what} cannot be fitted for {listed(ids)}: {cause}", list(ids)) from cause
        return {
            "models": {"choice": models.choice, **part},
            "names": [] if self.scope == "series" else list(models.names),
            "sets": [list(lags) for lags in plan.sets],
            "centre": units.centre,
            "scale": units.scale,
            "log": plan.transform.log,
            "diff": plan.transform.diff,
            "copes": plan.copes,
        }

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        model = panel.series
        if self.scope != "series":
            number = {name: i for i, name in enumerate(state["names"])}
            model = np.array([number.get(name, -1) for name in self._group(panel).tolist()], dtype=np.int64)
        return Forecast(forecasting.points(state, panel, model, h, known, tuple(self.static), self._is_direct))

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        """Series that share a model with earlier ones take it as it is; others bring their own."""
        fit, more = dict(old["fit"]), new["fit"]
        for name in ("centre", "scale"):
            fit[name] = np.concatenate([fit[name], more[name]])
        fresh = [i for i, name in enumerate(more["names"]) if name not in fit["names"]]
        chosen = np.arange(len(panel) - n_old) if self.scope == "series" else np.array(fresh, dtype=np.int64)
        fit["models"] = forecasting.appended(fit["models"], more["models"], chosen)
        fit["names"] = [*fit["names"], *(more["names"][i] for i in fresh)]
        # Whatever else a state holds, conformal errors for one, has the series on its first axis.
        rest = [{name: value for name, value in state.items() if name != "fit"} for state in (old, new)]
        return {"fit": fit, **super()._join(rest[0], rest[1], panel, n_old)}

    def _keep(self, state: State) -> int | None:
        longest = max((lag for lags in state["sets"] for lag in lags), default=0)
        return int(64 + 3 * (longest + state["diff"]))
