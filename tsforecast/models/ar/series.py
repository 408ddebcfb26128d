"""Recursive AR, one regression a series: fitting in blocks, forecasts and intervals from the fitted state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tsforecast.forecast import Forecast
from tsforecast.models.ar.choose import Candidate, choose, equation, start_window
from tsforecast.models.ar.dynamics import Equation, impulse, recursion
from tsforecast.models.ar.fit import Ridge, fit_lags, moments
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows import normal_widths

__all__ = ["Candidate", "fit", "predict"]

BLOCK = 2048
"""Series worked on between two allocations: bounds memory, changes no bit of a result."""


def fit(panel: Panel, candidates: Sequence[Candidate], ridge: Ridge, h: int | None, calm: bool) -> State:
    """State arrays of n series: the equation of each, its coefficients, and what was chosen."""
    order = max(max(c.lags, default=0) + c.transform.diff for c in candidates)
    union = tuple(sorted({lag for c in candidates for lag in c.lags}))
    state = _empty(len(panel), order, len(union) * (1 + panel.n_past) + panel.columns.shape[1] - panel.n_past)
    for first in range(0, len(panel), BLOCK):
        block = np.arange(first, min(first + BLOCK, len(panel)))
        part = panel.take(block)
        chosen = choose(part, candidates, ridge, h or 1, calm)
        for number in np.unique(chosen):
            index = np.nonzero(chosen == number)[0]
            _fit_one(state, block[index], part.take(index), candidates[number], union, ridge, calm)
        state["choice"][block] = chosen
    state["lags"] = list(union)
    state["candidates"] = [[c.transform.log, c.transform.diff, list(c.lags)] for c in candidates]
    return state


def _empty(n: int, order: int, width: int) -> State:
    shapes: dict[str, tuple[int, ...]] = {
        "phi": (n, order), "const": (n,), "centre": (n,), "sd": (n,), "coef": (n, width), "error": (n, width + 1),
        "intercept": (n,), "sigma2": (n,), "count": (n,), "freedom": (n,), "ridge": (n,), "total": (n,),
    }  # fmt: skip
    state: State = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    state["phi"][:] = 0.0
    state["log"] = np.zeros(n, dtype=bool)
    state["stabilised"] = np.zeros(n, dtype=bool)
    state["diff"] = np.zeros(n, dtype=np.int64)
    state["choice"] = np.zeros(n, dtype=np.int64)
    return state


def _fit_one(
    state: State, where: Int, panel: Panel, candidate: Candidate, union: Sequence[int], ridge: Ridge, calm: bool
) -> None:
    """Fit the series of `panel` in one form and write rows `where` of the state."""
    transform, lags = candidate.transform, candidate.lags
    m = moments(panel, transform, lags)
    done = fit_lags(panel, transform, m, lags, ridge, errors=True)
    eq, changed = equation(transform, lags, done, m.centre[:, 0], calm)
    state["phi"][where, : eq.phi.shape[1]] = eq.phi
    for name, values in (("const", eq.const), ("centre", eq.centre), ("sd", eq.sd), ("log", eq.log)):
        state[name][where] = values
    state["stabilised"][where], state["diff"][where] = changed, transform.diff
    state["intercept"][where] = done.const
    for name in ("sigma2", "count", "freedom", "ridge", "total"):
        state[name][where] = getattr(done, name)
    n_known = panel.columns.shape[1] - panel.n_past
    place = [c * len(union) + union.index(lag) for c in range(1 + panel.n_past) for lag in lags]
    place += list(range(len(union) * (1 + panel.n_past), len(union) * (1 + panel.n_past) + n_known))
    state["coef"][np.ix_(where, place)] = done.coef
    state["error"][np.ix_(where, [0, *(p + 1 for p in place)])] = done.error


def equation_of(state: State, series: Int) -> Equation:
    """The equations of the fitted series that spans ask for."""
    return Equation(*(state[name][series] for name in ("phi", "const", "centre", "sd", "log")))


def predict(state: State, panel: Panel, h: int, known: Float, levels: Sequence[float], mean_point: bool) -> Forecast:
    """Recursive forecasts; intervals from the psi weights, exact on the scale of the recursion."""
    eq = equation_of(state, panel.series)
    ahead, behind = drives(state, panel, h, known)
    u = recursion(eq.phi, eq.const, start_window(eq, panel, behind), h, ahead)
    spread = None
    if levels or (mean_point and eq.log.any()):
        spread = eq.sd[:, None] * np.sqrt(np.cumsum(impulse(eq.phi, h) ** 2, axis=1))
    point = eq.back(u)
    if mean_point and spread is not None:
        point = np.where(eq.log[:, None], point * np.exp(np.minimum(spread**2 / 2, 50.0)), point)
    if not levels or spread is None:
        return Forecast(point)
    width = normal_widths(spread, levels)
    return Forecast(point, eq.back(u[..., None] - width), eq.back(u[..., None] + width))


def drives(state: State, panel: Panel, h: int, known: Float) -> tuple[Float | None, Float | None]:
    """What known columns add to the recursion ahead (n, h) and behind (n, W); differenced where the target is."""
    k = known.shape[2]
    if not k:
        return None, None
    beta = np.nan_to_num(state["coef"][panel.series][:, state["coef"].shape[1] - k :])
    diff = state["diff"][panel.series]
    width = 2 * state["phi"].shape[1] + 2 + int(diff.max(initial=0))
    past = np.nan_to_num(panel.right(width, panel.columns[:, panel.n_past :]))
    whole = np.einsum("ntk,nk->nt", np.concatenate([past, known], axis=1), beta)
    for d in np.unique(diff[diff > 0]):
        index = np.nonzero(diff == d)[0]
        part = whole[index]
        whole[index, d:] = part[:, d:] - part[:, :-d]
    return whole[:, width:], whole[:, :width]
