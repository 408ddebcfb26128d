"""AR: lag regression a series, a group or a panel, recursive or direct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast.errors import ConfigError
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.models.ar import series
from tsforecast.models.ar.dynamics import Equation, impulse
from tsforecast.models.ar.plan import Transform, lag_sets, parse_lags, parse_transform
from tsforecast.panel import Float, Panel, seasons
from tsforecast.rolling import Roll, State
from tsforecast.windows import normal_widths

__all__ = ["AR"]


@dataclass(eq=False, repr=False)
class AR(Forecaster):
    """Regression of the target on its own lags, on past columns' lags and on known and calendar columns.

    lags: "auto", a number (14 means 1..14) or a list. season: rows a season, or several; None takes the frequency's.
    ridge: penalty as a share of each column's mean square, "auto" by generalised cross-validation. transform: "auto",
    None, "log", "diff", "seasonal-diff", "log-diff", "log-seasonal-diff". strategy: "recursive", "direct" (one
    regression a horizon) or "auto" (direct where there are past columns). scope: "series", "global" or a static column.
    stabilise: draw explosive roots back inside the unit circle ("auto": unless ridge=0 and transform=None).
    Hamilton (1994), Time Series Analysis, ch. 3-4, 8.
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

    def _seasons(self, panel: Panel) -> tuple[int, ...]:
        if self.season is None:
            return seasons(panel.freq)
        return (self.season,) if isinstance(self.season, (int, np.integer)) else tuple(self.season)

    def _candidates(self, panel: Panel) -> list[series.Candidate]:
        usual = self._seasons(panel)
        longest = int(panel.lengths.max(initial=0))
        sets = lag_sets(usual, longest) if isinstance(self.lags, str) else [parse_lags(self.lags)]
        if self.transform == "auto":
            diffs = [0, 1] + ([min(usual)] if usual else [])
            positive = bool(np.any(panel.y > 0))
            words = [Transform(log, d) for log in ([False, True] if positive else [False]) for d in diffs]
        else:
            words = [parse_transform(self.transform, min(usual, default=0))]
        return [series.Candidate(word, lags) for word in words for lags in sets]

    @property
    def _is_plain(self) -> bool:
        return self.ridge == 0 and self.transform is None

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        calm = not self._is_plain if self.stabilise == "auto" else bool(self.stabilise)
        return series.fit(panel, self._candidates(panel), self.ridge, h, calm)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        return series.predict(state, panel, h, known, levels, self.transform_point == "mean")
