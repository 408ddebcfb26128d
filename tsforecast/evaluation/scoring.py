"""Scores of m models on the same pairs of truth and forecast, and their ranking, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import metrics
from tsforecast.comparison import one_standard_error, standard_error
from tsforecast.errors import ConfigError
from tsforecast.panel import Float, Int, Panel
from tsforecast.windows import main_season

__all__ = ["Judged", "history_scale", "ranking"]

AXES = {"window": 0, "series": 1, "horizon": 2}
_MEAN_LOSS = {"rmse": "mse", "r2": "mse", "rmsse": "rmsse"}
"""Scores that are no mean over windows, and the loss whose mean over windows orders models alike."""


def history_scale(panel: Panel, cutoffs: Int, power: int) -> Float:
    """Mean of |y_t - y_(t - season)|^power over the rows up to each cutoff (w, n); NaN where no pair is seen.

    The season is the frequency's shortest. One pass for all origins: sums of the stretches between them, added up.
    """
    season = main_season(panel)
    step = np.full(len(panel.y), np.nan)
    step[season:] = np.abs(panel.y[season:] - panel.y[:-season]) ** power
    seen = np.isfinite(step)
    first = np.minimum(panel.start + season, panel.stop)
    stops = panel.cut(cutoffs).stop.reshape(cutoffs.shape)
    order = np.argsort(stops, axis=0, kind="stable")
    edges = np.concatenate([first[None], np.maximum(np.take_along_axis(stops, order, axis=0), first)])
    total = np.cumsum(_between(np.where(seen, step, 0.0), edges), axis=0)
    count = np.cumsum(_between(seen.astype(float), edges), axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    out = np.empty_like(mean)
    np.put_along_axis(out, order, mean, axis=0)
    return out


def _between(values: Float, edges: Int) -> Float:
    """Sums of values (N,) over [edges[i], edges[i + 1]) for rising edges (e, n) inside each series: (e - 1, n)."""
    padded = np.append(values, 0.0)  # reduceat wants every edge inside
    sums = np.add.reduceat(padded, edges.T.ravel()).reshape(edges.T.shape)[:, :-1].T
    return np.where(edges[1:] > edges[:-1], sums, 0.0)


@dataclass(frozen=True, eq=False)
class Judged:
    """Truth (w, n, h), NaN where a pair does not count; point (m, w, n, h); lower, upper (m, w, n, h, q) or None.

    `panel` and `cutoffs` (w, n) give the history that scales MASE and its kin.
    """

    y: Float
    point: Float
    lower: Float | None
    upper: Float | None
    levels: tuple[float, ...]
    panel: Panel
    cutoffs: Int

    @cached_property
    def _scales(self) -> dict[int, Float]:
        return {}

    def scale(self, power: int) -> Float:
        """`history_scale` to broadcast over steps (w, n, 1)."""
        if power not in self._scales:
            self._scales[power] = history_scale(self.panel, self.cutoffs, power)[:, :, None]
        return self._scales[power]

    def score(self, name: str, over: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Columns of one metric, each (m, ...), reduced over the axes `over` of (w, n, h).

        Interval metrics have a column a level (`coverage-80`), pinball one a quantile (`pinball-0.1`); where pairs
        without a defined term are left out, `mape_left_out` counts them.
        """
        entry = metrics.metric(name)
        axis = tuple(a + 1 for a in over)
        scale = self.scale(entry.scale) if entry.scale else None
        scaled = {} if scale is None else {"scale": scale}
        arguments = self._arguments(name, entry)
        columns: dict[str, NDArray[Any]] = {
            label: entry.function(self.y, *given, axis=axis, **scaled) for label, given in arguments.items()
        }
        if entry.undefined is not None or scale is not None:
            forecast = next(iter(arguments.values()))[: 2 if entry.takes == "interval" else 1]
            columns[f"{name}_left_out"] = metrics.left_out(name, self.y, *forecast, scale=scale, axis=axis).undefined
        return columns

    def _arguments(self, name: str, entry: metrics.Metric) -> dict[str, tuple[Any, ...]]:
        """What follows y in the call of a metric, by the name of its column."""
        if entry.takes == "point":
            return {name: (self.point,)}
        if self.lower is None or self.upper is None:
            raise ConfigError(f"{name} judges intervals: backtest(..., levels=(80, 95)) makes them")
        if entry.takes == "interval":
            return {
                f"{name}-{level:g}": (
                    self.lower[..., q], self.upper[..., q], *((level,) if entry.needs_level else ()),
                )
                for q, level in enumerate(self.levels)
            }  # fmt: skip
        quantiles, values = self._quantiles(self.lower, self.upper)
        if entry.takes == "quantiles":
            return {name: (values, quantiles)}
        return {f"{name}-{q:g}": (values[..., i], q) for i, q in enumerate(quantiles)}

    def _quantiles(self, lower: Float, upper: Float) -> tuple[Float, Float]:
        """Interval ends as rising quantiles (q,) with their forecasts (m, w, n, h, q); the point is the median."""
        tail = (1 - np.asarray(self.levels) / 100) / 2
        quantiles = np.round(np.concatenate([tail, [0.5], 1 - tail]), 12)
        order = np.argsort(quantiles)
        values = np.concatenate([lower, self.point[..., None], upper], axis=-1)
        return quantiles[order], values[..., order]

    def pairs(self, over: tuple[int, ...]) -> Int:
        """Pairs that count (...), the same for every model."""
        counted: Int = np.isfinite(self.y).sum(axis=over)
        return counted

    def one(self, metric: str, over: tuple[int, ...]) -> tuple[Float, float]:
        """The one column that `metric` names ("rmse", "winkler-80"), and what a perfect forecast gets there."""
        name, _, level = metric.partition("-")
        entry = metrics.metric(name)
        columns = {k: v for k, v in self.score(name, over).items() if not k.endswith("_left_out")}
        if not level and len(columns) == 1:
            metric = next(iter(columns))
        if metric not in columns:
            raise ConfigError(f"{name} has the figures {', '.join(columns)}: name one of them, not {metric!r}")
        if isinstance(entry.best, str):
            return columns[metric], float(metric.partition("-")[2]) / 100
        return columns[metric], float(entry.best)

    def figures(self, metric: str, *, pooled: bool) -> tuple[Float, float]:
        """The metric of each model (m,), a mean over series or of all pairs `pooled`, and the best there is."""
        if pooled:
            return self.one(metric, (0, 1, 2))
        by_series, best = self.one(metric, (0, 2))
        return _mean_there(by_series), best


def ranking(
    judged: Judged, metric: str, *, pooled: bool, complexity: Sequence[int], baseline: int | None
) -> Mapping[str, NDArray[Any]]:
    """Columns (m,) of a leaderboard: figure, distance (to a perfect score), skill, behind_se, chosen.

    The figure is the mean of the series' scores, or one score of all pairs if `pooled`. `skill` is the share of the
    baseline's distance from a perfect score that is gone. `behind_se` counts how many standard errors a model lies
    behind the best, unit by unit (series, or windows where there is one series); `chosen` marks the simplest model
    less than one behind.
    """
    figure, best = judged.figures(metric, pooled=pooled)
    far = np.abs(figure - best)
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = np.full(len(far), np.nan) if baseline is None else 1 - far / far[baseline]
    losses = _unit_losses(judged, metric)
    chosen = np.zeros(len(far), dtype=bool)
    behind = np.full(len(far), np.nan)
    able = np.flatnonzero(np.isfinite(losses).any(axis=1))
    whole = np.isfinite(losses[able]).all(axis=0)
    if len(able) and whole.any():
        chosen[able[one_standard_error(losses[able], np.asarray(complexity)[able])]] = True
        behind[able] = _behind(losses[able][:, whole])
    return {"figure": figure, "distance": far, "skill": skill, "behind_se": behind, "chosen": chosen}


def _unit_losses(judged: Judged, metric: str) -> Float:
    """Losses (m, u) on independent units: series, or the windows of a single one."""
    if judged.y.shape[1] > 1:
        values, best = judged.one(metric, (0, 2))
        return np.abs(values - best)
    values, best = judged.one(_MEAN_LOSS.get(metric, metric), (1, 2))
    return np.square(values) if metric == "rmsse" else np.abs(values - best)


def _behind(losses: Float) -> Float:
    """Standard errors (m,) that the mean of losses (m, u) lies above the best; NaN where one unit tells no error."""
    gap = losses - losses[np.argmin(losses.mean(axis=1))]
    mean, error = gap.mean(axis=1), standard_error(gap, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(mean == 0, 0.0, mean / error)


def _mean_there(values: Float) -> Float:
    """Mean (m,) of the finite values of each row (m, u)."""
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)
