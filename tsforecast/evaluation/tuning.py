"""tune: the parameters of a forecaster chosen on the past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from tsforecast import frames
from tsforecast.errors import ConfigError, whole
from tsforecast.evaluation.running import backtest
from tsforecast.evaluation.value import Backtest
from tsforecast.findings import as_panel
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Float

__all__ = ["Tuning", "tune"]


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """What a search gave: candidates (c parameter sets), their score (c,) and its distance (c,) to a perfect one.

    `best_params` are the values with the smallest distance, `best` is an unfitted forecaster that has them.
    """

    metric: str
    candidates: tuple[Mapping[str, Any], ...]
    score: Float
    distance: Float
    best: Forecaster
    backtest: Backtest

    def __repr__(self) -> str:
        at = int(np.nanargmin(self.distance))
        return f"Tuning({len(self.candidates)} candidates, best {self.metric} {self.score[at]:.6g} with {self.best!r})"

    @property
    def best_params(self) -> dict[str, Any]:
        """Values of the searched parameters that scored best."""
        return dict(self.candidates[int(np.nanargmin(self.distance))])

    @property
    def table(self) -> Any:
        """A row a candidate, best first: rank, a column a parameter, the metric, seconds."""
        order = np.argsort(self.distance, kind="stable")
        table: dict[str, Any] = {"rank": np.arange(1, len(order) + 1)}
        for name in self.candidates[0]:
            table[name] = _cells([self.candidates[i][name] for i in order])
        table[self.metric] = self.score[order]
        table["seconds"] = np.array([done.seconds for done in self.backtest.rolled])[order]
        return frames.native(table, self.backtest.panel)

    def curve(self, param: str) -> Any:
        """Validation curve of a parameter: its values in the grid's order, the metric's best, mean and worst there."""
        if param not in self.candidates[0]:
            raise ConfigError(f"{param!r} was not searched; there are {', '.join(self.candidates[0])}")
        values = [repr(candidate[param]) for candidate in self.candidates]
        distinct = list(dict.fromkeys(values))
        first = [self.candidates[values.index(text)][param] for text in distinct]
        groups = [np.flatnonzero(np.array([value == text for value in values])) for text in distinct]
        groups = [group[np.argsort(self.distance[group], kind="stable")] for group in groups]
        finite = [group[np.isfinite(self.score[group])] for group in groups]
        table = {
            param: _cells(first),
            "best": np.array([self.score[g[0]] if len(g) else np.nan for g in finite]),
            "mean": np.array([self.score[g].mean() if len(g) else np.nan for g in finite]),
            "worst": np.array([self.score[g[-1]] if len(g) else np.nan for g in finite]),
        }
        return frames.native(table, self.backtest.panel)


def tune(
    model: Forecaster,
    grid: Mapping[str, Sequence[Any]],
    data: Any,
    *,
    h: int,
    n_iter: int | None = None,
    metric: str = "rmse",
    windows: int = 1,
    step: int | None = None,
    gap: int = 0,
    refit: bool | int = True,
    levels: Sequence[float] = (),
    seed: int = 0,
) -> Tuning:
    """Score `model` with every combination of the values in `grid` (or `n_iter` random ones) by one backtest.

    `grid` maps a parameter (`fallback__season` for one of a nested object) to its values; windows, step, gap, refit
    and levels (for interval scores) are those of `backtest`. The score is the leaderboard's, the mean of the series'
    own, on the pairs that every candidate with any forecast has. `best` remembers the last time it was chosen on
    (`tuned_on_`), and `backtest` warns when it judges it on rows at or before that: hold back a last stretch, tune on
    the rest, judge on what was held back. ConfigError for an empty grid, an unknown parameter, or a metric that no
    candidate has.
    """
    if not isinstance(grid, Mapping):
        raise ConfigError(
            f"grid maps parameters to their values, got {type(grid).__name__}: tune(model, grid, data, h=...)"
        )
    candidates = _candidates(grid, n_iter, seed)
    panel = as_panel(data)
    made = [_with(model, params, alias=f"{model.name} {i + 1}") for i, params in enumerate(candidates)]
    done = backtest(made, panel, h=h, windows=windows, step=step, gap=gap, refit=refit, levels=levels)
    score, best = done.judged.figures(metric, pooled=False)
    distance = np.abs(score - best)
    if not np.isfinite(distance).any():
        raise ConfigError(f"no candidate has a finite {metric} on these windows: try more of them, or another metric")
    chosen = _with(model, candidates[int(np.nanargmin(distance))], alias=model.alias)
    vars(chosen)["tuned_on_"] = done.last_judged  # no parameter: a clone starts afresh
    return Tuning(metric, candidates, score, distance, chosen, done)


def _candidates(grid: Mapping[str, Sequence[Any]], n_iter: int | None, seed: int) -> tuple[dict[str, Any], ...]:
    """All combinations of the grid in its own order, or `n_iter` different ones drawn at random, in that order too."""
    values = {name: [v] if isinstance(v, str) or not isinstance(v, Iterable) else list(v) for name, v in grid.items()}
    empty = [name for name, choices in values.items() if not choices]
    if empty or not values:
        raise ConfigError(f"nothing to search: give values for {', '.join(empty) or 'at least one parameter'}")
    total = prod(map(len, values.values()))
    if n_iter is not None:
        whole("n_iter", n_iter, 1)
    if n_iter is None or n_iter >= total:
        return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))
    picked = np.sort(np.random.default_rng(seed).choice(total, n_iter, replace=False))
    places = zip(*np.unravel_index(picked, [len(choices) for choices in values.values()]), strict=True)
    return tuple({name: values[name][i] for name, i in zip(values, place, strict=True)} for place in places)


def _with(model: Forecaster, params: Mapping[str, Any], alias: str | None) -> Forecaster:
    """An unfitted copy with other parameters; nested objects are copied too, for they are changed in place."""
    return deepcopy(model.copy(alias=alias)).set_params(**params)


def _cells(values: Sequence[Any]) -> Any:
    """Parameter values as one column: as they are where all are of one plain type, else as text."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= {int, float, bool, str}:
        return np.array(values, dtype=object if kinds == {str} else None)
    if kinds == {int, float}:
        return np.array(values, dtype=float)
    return np.array([value if isinstance(value, str) else repr(value) for value in values], dtype=object)
