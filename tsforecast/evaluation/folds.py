"""Cross-validation over the rows of a lag table: every row is forecast one step ahead by a fit on the other folds.

All rows are judged, and each fit sees nearly all of the data, later rows included. Where the model's residuals are
uncorrelated that is honest, shuffled or not. Where they are not (a lag model with too few lags), rows near each other
share what the model has missed; shuffled folds put such neighbours on both sides, and the score flatters. Whether it
does shows beside `scheme="blocked"` and beside rolling origins, which no such leak can reach.
Bergmeir, Hyndman & Koo (2018), A note on the validity of cross-validation for evaluating autoregressive time series
prediction, CSDA 120.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from tsforecast.errors import ConfigError
from tsforecast.forecast import STATUSES
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Bool, Int, Panel
from tsforecast.rolling import Rolled

__all__ = ["check_folds", "dealt", "fold_rolled"]


def check_folds(models: Sequence[Forecaster], *, h: int, gap: int, levels: Sequence[float]) -> None:
    """ConfigError unless all are plain lag models, judged one step ahead."""
    for model in models:
        if not hasattr(model, "lags"):
            raise ConfigError(f'{model.name} has no lag table to deal into folds: use scheme="rolling"')
    if h != 1 or gap != 0 or levels:
        raise ConfigError('folds judge one step ahead: h=1, gap=0 and no levels, or scheme="rolling"')


def dealt(positions: int, folds: int, scheme: str, seed: int = 0) -> Int:
    """Fold number of each grid position (P,): shuffled for "kfold", one stretch of time a fold for "blocked".

    All series share the dates of a fold, so that no fit sees one series on a day on which it is judged by another.
    """
    if folds < 2:
        raise ConfigError(f"windows is the number of folds here and must be at least 2, got {folds}")
    if positions < folds:
        raise ConfigError(f"{folds} folds need as many rows, there are {positions}")
    even = np.arange(positions) * folds // positions
    return np.random.default_rng(seed).permutation(even) if scheme == "kfold" else even


def fold_rolled(model: Forecaster, design: Panel, fold: Int) -> Rolled:
    """One-step forecasts at every grid position but the first, (P - 1, n, 1), each by the fit without its own fold.

    The rows of a fold are left out of a fit as targets, by weight 0; as lags of later rows they stay, as in any lag
    table.
    """
    began = perf_counter()
    cutoffs = np.broadcast_to(np.arange(len(fold) - 1)[:, None], (len(fold) - 1, len(design)))
    point = np.full((*cutoffs.shape, 1), np.nan)
    status = np.full(cutoffs.shape, STATUSES.index("failed"), dtype=np.int8)
    place = _positions(design)
    for number in range(int(fold.max()) + 1):
        mine = np.flatnonzero(fold[1:] == number)
        state = model.learn(_without(design, fold[place] == number), 1)
        spans = design.cut(cutoffs[mine])
        known = spans.ahead(design, 1, design.columns[:, design.n_past :])
        out = model.forecast(state, spans, 1, known, ())
        point[mine] = out.point.reshape(len(mine), -1, 1)
        status[mine] = out.status.reshape(len(mine), -1)
    actual = design.cut(cutoffs).ahead(design, 1).reshape(point.shape)
    return Rolled(cutoffs, cutoffs, point, None, None, actual, status, perf_counter() - began)


def _positions(panel: Panel) -> Int:
    """Grid position of every row of the block (N,); rows outside all spans take position 0."""
    place = np.zeros(len(panel.y), dtype=np.int64)
    place[panel.rows] = panel.position(panel.rows, panel.owner)
    return place


def _without(panel: Panel, held_out: Bool) -> Panel:
    weights = np.ones(len(panel.y)) if panel.weights is None else panel.weights
    return panel.replace(weights=np.where(held_out, 0.0, weights))
