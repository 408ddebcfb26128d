"""One regression for several series: their moments are added, the answer is given back to each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsforecast.models.ar.choose import Candidate
from tsforecast.models.ar.fit import Moments, Ridge, fit_lags, moments
from tsforecast.models.ar.series import empty_state, write_fit
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows.plan import Transform

__all__ = ["fit"]


def fit(panel: Panel, groups: Int, candidates: Sequence[Candidate], ridge: Ridge, calm: bool, own_units: bool) -> State:
    """State arrays of n series whose `groups` (n,) share one equation each.

    `own_units` centres and scales every series by itself first, so that sizes do not mix; without it all share one
    scale and the answer is least squares on the stacked lag table.
    """
    union = tuple(sorted({lag for c in candidates for lag in c.lags}))
    state = empty_state(panel, candidates)
    shared = {t: _shared(panel, groups, t, union, own_units) for t in dict.fromkeys(c.transform for c in candidates)}
    scores = np.stack([_score(panel, groups, shared[c.transform], c, ridge) for c in candidates])
    logged = np.array([c.transform.log for c in candidates])
    scores[logged[:, None] & _not_positive(panel, groups)] = np.inf
    best = np.argmin(np.where(np.isnan(scores), np.inf, scores), axis=0)[groups]
    for number in np.unique(best):
        index = np.nonzero(best == number)[0]
        transform, lags = candidates[number].transform, candidates[number].lags
        # Moments over the union leave out its first rows; the form that won is summed over all of its own.
        m = _shared(panel, groups, transform, lags, own_units).take(index)
        done = fit_lags(panel.take(index), transform, m, lags, ridge, errors=True, by_rows=False)
        write_fit(state, index, panel, candidates[number], union, done, m.centre[:, 0], calm)
    state["choice"], state["calm"] = best, calm
    return state


def _not_positive(panel: Panel, groups: Int) -> Bool:
    """Groups (g,) that hold a value of zero or below: no logs for them."""
    rows = panel.rows
    y = panel.y[rows]
    low: Bool = np.bincount(np.repeat(groups, panel.lengths), y <= 0, int(groups.max(initial=-1)) + 1) > 0
    return low


def _shared(panel: Panel, groups: Int, transform: Transform, lags: tuple[int, ...], own_units: bool) -> Moments:
    """Moments (n, d, d) summed over each series' group, in its own or in its group's units."""
    units = None if own_units else _group_units(panel, groups, transform)
    m = moments(panel, transform, lags, units)
    total = np.zeros((int(groups.max(initial=-1)) + 1, *m.values.shape[1:]))
    np.add.at(total, groups, m.values)
    rows = np.bincount(groups, m.rows, len(total)).astype(np.float64)[groups]
    return Moments(total[groups], rows, m.centre, m.scale, m.log_mean, m.lags, m.n_past)


def _group_units(panel: Panel, groups: Int, transform: Transform) -> tuple[Float, Float]:
    """Centre and scale (n, 1 + k) of the pooled rows of each series' group."""
    alone = moments(panel, transform, ())
    size = np.maximum(np.bincount(groups, alone.rows), 1.0)

    def pooled(values: Float) -> Float:
        columns = [np.bincount(groups, alone.rows * column) / size for column in values.T]
        return np.stack(columns, axis=1)[groups]

    centre = pooled(alone.centre)
    square = pooled(alone.scale**2 + (alone.centre - centre) ** 2)
    return centre, np.where(square > 0, np.sqrt(square), 1.0)


def _score(panel: Panel, groups: Int, m: Moments, candidate: Candidate, ridge: Ridge) -> Float:
    """Mean score (g,) of a candidate over the series of each group."""
    fit_ = fit_lags(panel, candidate.transform, m, candidate.lags, ridge, by_rows=False)
    return np.bincount(groups, fit_.score) / np.maximum(np.bincount(groups), 1)
