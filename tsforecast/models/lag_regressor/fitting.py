"""Fitting: lag tables a block of models at a time, an estimator for each model and horizon, states from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.models.lag_regressor import arrays, table
from tsforecast.models.lag_regressor.estimators import fitted
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows.plan import Transform
from tsforecast.windows.tiles import generators

__all__ = ["Models", "Plan", "fit", "lag_choice"]

BLOCK = 500_000
"""Table rows held at once where models are many: bounds memory, changes no bit of a result."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one fit does: sets of lags to choose from, transform, scaling, horizons (1 where recursive), and so on.

    `copes`: rows with missing regressors are kept. `sample`: most rows that one model sees.
    """

    sets: tuple[tuple[int, ...], ...]
    transform: Transform
    standard: bool
    horizons: int
    static: tuple[str, ...]
    copes: bool
    sample: int | None
    seed: int

    def look(self, number: int, step: int) -> table.Look:
        """What rows look at under set `number` for the target at `step`."""
        return table.Look(self.sets[number], self.transform.diff, step)


class Models(NamedTuple):
    """Model of each series, `of` (n,), and of each of the m models its name and the number of its set of lags."""

    of: Int
    names: Sequence[Any] | NDArray[Any]
    choice: Int


def lag_choice(sets: Sequence[tuple[int, ...]], lengths: Int) -> Int:
    """Number of the largest set (n,) that a history carries: three rows for each lag, and three times the longest."""
    need = np.array([3 * max(len(lags), max(lags, default=0)) for lags in sets])
    size = np.where(lengths[:, None] >= need, [len(lags) for lags in sets], -1)
    size[:, int(np.argmin(need))] = np.maximum(size[:, int(np.argmin(need))], 0)
    chosen: Int = size.argmax(axis=1)
    return chosen


def fit(
    panel: Panel, plan: Plan, models: Models, make: Callable[[], Any]
) -> tuple[State, table.Units, list[tuple[int, Exception]]]:
    """State of the models, units of the series, and which models failed and why.

    An estimator fits one model: this is the one loop over models, and over series where each has its own.
    """
    levels = table.levels_of(panel, plan.transform.log)
    units = table.units_of(panel, levels, plan.transform.diff, plan.standard)
    done = np.full((len(models.choice), plan.horizons), None, dtype=object)
    failures: list[tuple[int, Exception]] = []
    for index, number in _blocks(panel, models):
        part, own = panel.take(index), units.take(index)
        for step in range(1, plan.horizons + 1):
            rows, x, y = _lag_table(part, plan, models.of[index], plan.look(number, step), levels, own, models.names)
            weights = None if panel.weights is None else panel.weights[rows.at + step - 1]
            whose = models.of[index][rows.owner]
            for model in np.unique(whose):
                mine = slice(*np.searchsorted(whose, [model, model + 1]))
                try:
                    done[model, step - 1] = fitted(make(), _own(x, mine), _own(y, mine), _own(weights, mine))
                except (ValueError, ArithmeticError, np.linalg.LinAlgError) as cause:
                    failures.append((int(model), cause))
    return _state(done), units, failures


def _own(values: Float | None, mine: slice) -> Any:
    """A model's part in memory of its own: where rows lie must not depend on the series before them."""
    if values is None or mine.stop - mine.start == len(values):
        return values
    return values[mine].copy()


def _state(done: Any) -> State:
    """Arrays where the family of the estimators has such a form, else the estimators themselves."""
    parts = [None if estimator is None else arrays.read(estimator) for estimator in done.flat]
    if any(part is None and estimator is not None for part, estimator in zip(parts, done.flat, strict=True)):
        return {"objects": done}
    return {"arrays": arrays.stacked(parts, done.shape)}


def _blocks(panel: Panel, models: Models) -> Iterator[tuple[Int, int]]:
    """Spans of a few models at a time, ordered by model, and the number of the set of lags that these models have."""
    order = np.argsort(models.of, kind="stable")
    for number in np.unique(models.choice):
        mine = order[models.choice[models.of[order]] == number]
        size = np.cumsum(panel.lengths[mine]) // BLOCK
        # A model's spans stay together: its block is that of its first span.
        first = np.searchsorted(models.of[mine], models.of[mine])
        cuts = np.nonzero(np.diff(size[first], prepend=-1))[0]
        for low, high in zip(cuts, [*cuts[1:], len(mine)], strict=True):
            yield mine[low:high], int(number)


def _lag_table(
    part: Panel,
    plan: Plan,
    model: Int,
    look: table.Look,
    levels: Float,
    units: table.Units,
    names: Sequence[Any] | NDArray[Any],
) -> tuple[table.Rows, Float, Float]:
    """Usable rows, their regressors (R, c) and targets (R,), ordered by model."""
    rows = table.rows_of(part, look)
    y = table.targets(levels, rows, look, units)
    use = np.isfinite(y)
    if part.weights is not None:
        use &= part.weights[rows.at + look.step - 1] > 0
    kept = np.nonzero(use)[0]
    if plan.sample is not None:
        kept = _sampled(kept, model[rows.owner[kept]], plan.sample, plan.seed, names)
    rows = rows.take(kept)
    x = table.regressors(part, levels, rows, look, units, table.statics(part, plan.static))
    whole = np.isfinite(x).all(axis=1)
    if plan.copes or whole.all():
        return rows, x, y[kept]
    fine = np.nonzero(whole)[0]
    return rows.take(fine), x[fine], y[kept[fine]]


def _sampled(kept: Int, model: Int, most: int, seed: int, names: Sequence[Any] | NDArray[Any]) -> Int:
    """At most `most` rows of each model, drawn by a generator of its own, in their order."""
    numbers, first = np.unique(model, return_index=True)
    randoms = generators([names[i] for i in numbers], seed)
    chosen = [
        np.sort(g.choice(rows, most, replace=False)) if len(rows) > most else rows
        for rows, g in zip(np.split(kept, first[1:]), randoms, strict=False)
    ]
    return np.concatenate(chosen)
