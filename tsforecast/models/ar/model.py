"""AR: lag regression a series, a group or a panel, recursive or direct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast import frames
from tsforecast.errors import ConfigError, listed
from tsforecast.failures import ranges
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.models.ar import direct, inference, pooled, series
from tsforecast.models.ar.choose import Candidate
from tsforecast.panel import Bool, Float, Int, Panel, seasons
from tsforecast.rolling import Roll, State
from tsforecast.windows.plan import Transform, lag_sets, parse_lags, parse_transform, usual_horizon

__all__ = ["AR"]


@dataclass(eq=False, repr=False)
class AR(Forecaster):
    """Regression of the target on its own lags, on the lags of past columns, and on known and calendar columns.

    lags: "auto", a number (14 means 1..14) or a list. season: rows a season, or several; None takes the frequency's.
    ridge: penalty as a share of each column's mean square, "auto" by generalised cross-validation. transform: "auto",
    None, "log", "diff", "seasonal-diff", "log-diff", "log-seasonal-diff". strategy: "recursive", "direct" (one
    regression a horizon) or "auto" (direct where there are past columns). scope: "series", "global" or a static column.
    stabilise: draw explosive roots back inside the unit circle ("auto": unless ridge=0 and transform=None).
    transform_point: whether the point of a logged model is the median or the mean. Rows with a missing value are left
    out of the fit. Where several forms of "auto" come close, forecasts are those of their weighted mean, which is an
    autoregression too; coefficients describe the leading form, `diagnostics_` tells its weight.
    Hamilton (1994), Time Series Analysis, ch. 3, 4 and 8.
    """

    lags: int | Sequence[int] | Literal["auto"] = "auto"
    season: int | Sequence[int] | None = None
    ridge: float | Literal["auto"] = "auto"
    transform: str | None = "auto"
    strategy: Literal["auto", "recursive", "direct"] = "auto"
    scope: str = "series"
    stabilise: bool | Literal["auto"] = "auto"
    transform_point: Literal["median", "mean"] = "median"

    has_intervals: ClassVar[bool] = True
    complexity: ClassVar[int] = 2

    @property
    def needs(self) -> Any:
        """What one fit must see together: a series, a group, or the panel."""
        return {"series": "series", "global": "panel"}.get(self.scope, ("group", self.scope))

    @property
    def needs_h(self) -> bool:
        """Whether the horizon must be known at fit."""
        return self._is_direct

    @property
    def diagnostics_(self) -> Any:
        """Table, a row a series: transform, lags, ridge, effective parameters, rows, sigma, stabilised or not."""
        return inference.diagnostics(self._recursive("diagnostics_"), self._ready())

    def coefficients(self) -> Any:
        """Table, a row a coefficient: id, term, estimate, std_error, t, p, on the transformed target's scale.

        A direct model has them for each `step` ahead, without the constant and p.
        """
        if self._is_direct:
            panel = self._ready()
            return inference.direct_coefficients(self.state_["fit"], panel)
        return inference.coefficients(self._recursive("coefficients()"), self._ready())

    def statistics(self) -> Any:
        """Table, a row a series: rows, R^2, adjusted R^2, sigma, log-likelihood, AIC, BIC."""
        return inference.statistics(self._recursive("statistics()"), self._ready())

    def summary(self, id: object = None) -> str:
        """The regression of one series as text, laid out as statsmodels does."""
        return inference.summary(self._recursive("summary()"), self._ready(), id, self.name)

    def components(self, h: int | None = None, *, future: Any = None) -> Any:
        """Table of what constant, lags, known and calendar columns add to each forecast, on logs where it is logged."""
        state, panel, steps = self._recursive("components()"), self._ready(), self._horizon(h)
        times = frames.future_times(panel, steps, future=future)
        return inference.components(state, panel, times, self._known_ahead(steps, future))

    def _recursive(self, what: str) -> State:
        panel = self._ready()
        if self._is_direct:
            raise ConfigError(f"{what} describes recursive models; this one is direct (strategy, or past columns)")
        self.state_ = self._completed(self.state_, panel)
        state: State = self.state_["fit"]
        return state

    def _completed(self, state: State, panel: Panel) -> State:
        if self._is_direct:
            return state
        return state | {"fit": series.with_errors(state["fit"], panel, self.ridge)}

    @property
    def _is_direct(self) -> bool:
        return self.strategy == "direct" or (self.strategy == "auto" and bool(self.past))

    @property
    def _calm(self) -> bool:
        plain = self.ridge == 0 and self.transform is None
        return not plain if self.stabilise == "auto" else bool(self.stabilise)

    def _seasons(self, panel: Panel) -> tuple[int, ...]:
        if self.season is None:
            return seasons(panel.freq)
        return tuple(np.atleast_1d(self.season).tolist())

    def _candidates(self, panel: Panel) -> list[Candidate]:
        usual = self._seasons(panel)
        sets = (
            lag_sets(usual, int(panel.lengths.max(initial=0)))
            if isinstance(self.lags, str)
            else [parse_lags(self.lags)]
        )
        if self.transform == "auto":
            diffs = [0, 1, *([min(usual)] if usual else [])]
            words = [Transform(log, diff) for log in (False, True) for diff in diffs]
        else:
            words = [parse_transform(self.transform, min(usual, default=0))]
        return [Candidate(word, lags, self._doubtful(word, lags, usual)) for word in words for lags in sets]

    def _doubtful(self, form: Transform, lags: Sequence[int], usual: Sequence[int]) -> int:
        """The season that a form leans on though nobody gave it: the frequency's, where lags are chosen too."""
        if self.season is not None or not isinstance(self.lags, str) or not usual:
            return 0
        return min(usual) if form.diff > 1 or max(lags, default=0) >= min(usual) else 0

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
        if self.ridge != "auto" and not (isinstance(self.ridge, Real) and 0 <= self.ridge < np.inf):
            raise ConfigError(f'ridge must be "auto" or a number >= 0, got {self.ridge!r}')
        if self.transform_point not in ("median", "mean"):
            raise ConfigError(f'transform_point must be "median" or "mean", got {self.transform_point!r}')
        if self.scope not in ("series", "global", *panel.static):
            there = listed(panel.static) or "none was given"
            raise ConfigError(f"scope must be 'series', 'global' or a static column ({there}), got {self.scope!r}")
        if self.scope != "series" and self._is_direct:
            raise ConfigError('direct models are fitted a series: use scope="series"')
        if not (self.stabilise == "auto" or isinstance(self.stabilise, bool)):
            raise ConfigError(f'stabilise must be "auto", True or False, got {self.stabilise!r}')
        if not all(isinstance(season, int) and season >= 1 for season in self._seasons(panel)):
            raise ConfigError(f"season must be a whole number of rows >= 1, or several, got {self.season!r}")
        self._candidates(panel)
        if not isinstance(self.lags, str) and len(panel):
            reach, longest = max(parse_lags(self.lags), default=0), int(panel.lengths.max())
            if reach >= longest > 0 and self.on_error == "raise":
                raise ConfigError(f"lags reach {reach} rows back, the longest series has {longest} rows")
        if self.transform not in ("auto", None) and "log" in self.transform and self.on_error == "raise":
            self._refuse_unlogged(panel)

    def _refuse_unlogged(self, panel: Panel) -> None:
        low = ranges(panel)[:, 0] <= 0
        if low.any():
            raise ConfigError(
                f"transform={self.transform!r} needs values above 0; series {listed(panel.ids[low])} have others: "
                'transform="auto" takes logs where they exist'
            )

    def _thin(self, panel: Panel) -> Bool:
        thin = super()._thin(panel)
        if self.transform in ("auto", None) or "log" not in self.transform:
            return thin
        return thin | (ranges(panel)[:, 0] <= 0)

    def _rows_needed(self, panel: Panel) -> int:
        if isinstance(self.lags, str) or self.ridge != 0 or self.scope != "series":
            return 1
        # A regression without a penalty needs a row more than it has coefficients.
        lags = parse_lags(self.lags)
        diff = parse_transform(
            None if self.transform == "auto" else self.transform, min(self._seasons(panel), default=2)
        ).diff
        return max(lags, default=0) + diff + len(lags) * (1 + panel.n_past) + 2

    def _groups(self, panel: Panel) -> Int:
        if self.scope == "global":
            return np.zeros(len(panel), dtype=np.int64)
        return np.unique(np.asarray(panel.static[self.scope]).astype(str), return_inverse=True)[1].astype(np.int64)

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        candidates = self._candidates(panel)
        if self._is_direct:
            return direct.fit(panel, candidates, self.ridge, h or 1)
        if self.scope != "series":
            return pooled.fit(panel, self._groups(panel), candidates, self.ridge, self._calm, self.transform == "auto")
        return series.fit(panel, candidates, self.ridge, h or usual_horizon(self._seasons(panel)), self._calm)

    def _fit_windows(self, panel: Panel, cutoffs: Int, h: int | None) -> State:
        candidates = self._candidates(panel)
        if self._is_direct or len(candidates) > 1 or self.scope != "series":
            return super()._fit_windows(panel, cutoffs, h)
        return series.fit_windows(panel, cutoffs, candidates[0], self.ridge, self._calm)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        run = direct.predict if self._is_direct else series.predict
        return run(state, panel, h, known, levels, self.transform_point == "mean")

    def _simulate(self, state: State, panel: Panel, h: int, known: Float, draws: Float) -> Float | None:
        return None if self._is_direct else series.simulate(state, panel, h, known, draws)

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        fresh = panel.take(slice(n_old, None))
        new = self._completed(new, fresh.numbered())
        lags = sorted({*old["fit"]["lags"], *new["fit"]["lags"]})
        if self._is_direct:
            fits = [direct.widened(part["fit"], lags, panel.n_past) for part in (old, new)]
        else:
            order = max(part["fit"]["phi"].shape[1] for part in (old, new))
            fits = [series.widened(part["fit"], lags, panel.n_past, order) for part in (old, new)]
        return super()._join(old | {"fit": fits[0]}, new | {"fit": fits[1]}, panel, n_old)

    def _keep(self, state: State) -> int | None:
        if self._is_direct:
            return 64 + max(state["lags"], default=0) + int(state["diff"].max(initial=0))
        return 64 + 3 * int(state["phi"].shape[1])
