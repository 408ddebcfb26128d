"""Direct AR: one regression a horizon on the same lags, all horizons right-hand sides of one factorisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tsforecast.forecast import Forecast
from tsforecast.models.ar.choose import Candidate
from tsforecast.models.ar.fit import Ridge, Rows, tile_rows
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows import Tile, normal_widths, tiles
from tsforecast.windows.moments import explicit_moments, lag_design
from tsforecast.windows.plan import Transform
from tsforecast.windows.solve import centred, effective, exact, gcv_ridge, least_squares, spread

__all__ = ["fit", "predict"]


def fit(panel: Panel, candidates: Sequence[Candidate], ridge: Ridge, h: int) -> State:
    """State of n series: coefficients (n, h, c) on centred, scaled values; the form chosen by one-step error."""
    n, p = len(panel), panel.n_past
    union = tuple(sorted({lag for c in candidates for lag in c.lags}))
    width = len(union) * (1 + p) + panel.columns.shape[1] - p
    state: State = {
        "coef": np.zeros((n, h, width)),
        "const": np.full((n, h), np.nan),
        "sd": np.full((n, h), np.nan),
        "error": np.full((n, h, width), np.nan),
        "centre": np.zeros((n, 1 + panel.columns.shape[1])),
        "scale": np.ones((n, 1 + panel.columns.shape[1])),
        "log": np.zeros(n, dtype=bool),
        "diff": np.zeros(n, dtype=np.int64),
        "lags": list(union),
    }
    best = np.full(n, np.inf)
    for candidate in candidates:
        place = [c * len(union) + union.index(lag) for c in range(1 + p) for lag in candidate.lags]
        place += list(range(len(union) * (1 + p), width))
        for tile in tiles(panel):
            _try(state, best, tile.index, tile_answers(panel, tile, candidate, ridge, h), candidate, place)
    return state


class Answers(NamedTuple):
    """Rows of a tile; coefficients and their errors (s, h, c), constants and residual variances (s, h), score (s,)."""

    rows: Rows
    coef: Float
    const: Float
    variance: Float
    error: Float
    score: Float


def tile_answers(panel: Panel, tile: Tile, candidate: Candidate, ridge: Ridge, h: int) -> Answers:
    """Regressions of one tile, all horizons, in the form of one candidate."""
    transform = candidate.transform
    rows = tile_rows(panel, tile, Transform(transform.log))
    z = Transform(False, transform.diff).apply(rows.z)
    targets = [_target(rows.z, transform.diff, step) for step in range(1, h + 1)]
    if rows.known.shape[2]:
        parts = [
            _solve(z, candidate.lags, rows, _moved(rows.known, step), [targets[step - 1]], ridge)
            for step in range(1, h + 1)
        ]
        coef, const, variance, error, score = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    else:
        coef, const, variance, error, score = _solve(z, candidate.lags, rows, rows.known, targets, ridge)
    score = score[:, 0] + 2 * np.log(rows.scale[:, 0]) + 2 * rows.log_mean
    if transform.log:
        score[(tile.gather(panel.y) <= 0).any(axis=1)] = np.inf  # the rows that have logs are not the series
    return Answers(rows, coef, const, variance, error, score)


def _moved(x: Float, step: int) -> Float:
    """Values `step` - 1 rows later, at the row of their origin's next row; NaN past the end."""
    out = np.full_like(x, np.nan)
    out[:, : max(x.shape[1] - step + 1, 0)] = x[:, step - 1 :]
    return out


def _base(diff: int, step: int) -> int:
    """Rows from the target back to the known value that a differenced model adds its forecast to."""
    return diff * -(-step // diff)


def _target(z: Float, diff: int, step: int) -> Float:
    """What a model of this horizon predicts, at the row after its origin: the value, or its gap to a known one."""
    if not diff:
        return _moved(z, step)
    back = _base(diff, step)
    gap = np.full_like(z, np.nan)
    gap[:, back:] = z[:, back:] - z[:, : max(z.shape[1] - back, 0)]
    return _moved(gap, step)


def _solve(
    z: Float, lags: Sequence[int], rows: Rows, known: Float, targets: Sequence[Float], ridge: Ridge
) -> tuple[Float, Float, Float, Float, Float]:
    """Coefficients (s, r, c), constants, variances, standard errors (s, r, c), log GCV scores (s, r) of r targets."""
    x, whole = lag_design(z, lags, rows.past, known)
    y = np.stack(targets, axis=2)
    m, used = explicit_moments(x, whole, y, rows.weights)
    if rows.weights is not None:  # to weights of mean 1, so that their sums count rows
        m *= (used / np.where(used > 0, m[:, 0, 0], 1.0))[:, None, None]
    gram, cross, power, mean = centred(m, len(targets))
    count = m[:, 0, 0]
    freedom = np.full((len(z), len(targets)), float(gram.shape[1]))
    if ridge == "auto":
        parts = [gcv_ridge(gram, cross[..., r], power[:, r, r], count) for r in range(len(targets))]
        coef = np.stack([part[0] for part in parts], axis=2)
        shares = np.stack([np.einsum("nkk->nk", spread(gram, part[1])) for part in parts], axis=1)
        freedom = np.stack([part[2] for part in parts], axis=1)
    else:
        penalty = np.full(len(gram), float(ridge))
        coef, weak = least_squares(gram, cross, penalty)
        freedom[:] = effective(gram, penalty)[:, None]
        shares = np.repeat(np.einsum("nkk->nk", spread(gram, penalty))[:, None], len(targets), axis=1)
        if weak.any() and ridge == 0:
            use = whole * np.isfinite(y).all(axis=2) * (1.0 if rows.weights is None else rows.weights)
            for r in range(len(targets)):
                coef[weak, :, r], freedom[weak, r] = exact(x[weak][:, :, 1:], np.nan_to_num(y[weak, :, r]), use[weak])
    r0 = 1 + gram.shape[1]
    const = mean[:, r0:] - np.einsum("nk,nkr->nr", mean[:, 1:r0], coef)
    own = np.einsum("nrr->nr", power)
    left = np.maximum(own - 2 * (cross * coef).sum(axis=1) + (coef * (gram @ coef)).sum(axis=1), 1e-15 * own)
    spare = count[:, None] - 1 - freedom
    room = np.maximum(spare, 1e-9)
    with np.errstate(divide="ignore"):
        score = np.log(np.where(spare > 0, count[:, None] * left / room**2, np.inf))
    const = np.where(count[:, None] > 0, const, np.nan)
    variance = np.where(spare > 0, left / room, np.nan)
    error = np.sqrt(np.maximum(shares, 0.0) * variance[:, :, None])
    return np.swapaxes(coef, 1, 2), const, variance, error, score


def _try(
    state: State,
    best: Float,
    index: Int,
    answers: Answers,
    candidate: Candidate,
    place: Sequence[int],
) -> None:
    """Write the tile's answers where they beat what stands (or where nothing stands yet)."""
    score = np.where(np.isnan(answers.score), np.inf, answers.score)
    better = (score < best[index]) | np.isnan(state["const"][index, 0])
    to, of = index[better], np.nonzero(better)[0]
    best[to] = score[of]
    state["coef"][to] = 0.0
    state["coef"][to[:, None], :, place] = np.moveaxis(answers.coef[of], 2, 1)
    state["error"][to] = np.nan
    state["error"][to[:, None], :, place] = np.moveaxis(answers.error[of], 2, 1)
    state["const"][to] = answers.const[of]
    state["sd"][to] = np.sqrt(answers.variance[of])
    state["centre"][to], state["scale"][to] = answers.rows.centre[of], answers.rows.scale[of]
    state["log"][to], state["diff"][to] = candidate.transform.log, candidate.transform.diff


def predict(state: State, panel: Panel, h: int, known: Float, levels: Sequence[float], mean_point: bool) -> Forecast:
    """Forecasts of the first h horizons; intervals from each horizon's own residual variance."""
    part = {name: state[name][panel.series] for name in ("coef", "const", "sd", "centre", "scale", "log", "diff")}
    union = state["lags"]
    p = panel.n_past
    diff = part["diff"]
    depth = max(max(union, default=1) + int(diff.max(initial=0)), 1)
    window = panel.right(depth)
    log = part["log"][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        window = np.where(log, np.log(np.where(window > 0, window, np.nan)), window)
    z = _carried((window - part["centre"][:, :1]) / part["scale"][:, :1])
    middle, size = part["centre"][:, None], part["scale"][:, None]
    past = _carried((panel.right(depth, panel.columns[:, :p]) - middle[..., 1 : 1 + p]) / size[..., 1 : 1 + p])
    x = [_lagged(np.where((diff > 0)[:, None], _differenced(z, diff), z), union)]
    x += [_lagged(past[:, :, c], union) for c in range(p)]
    lagged = np.concatenate(x, axis=1)
    ahead = (known - middle[..., 1 + p :]) / size[..., 1 + p :]
    coef = part["coef"][:, :h]
    width = lagged.shape[1]
    # Elementwise sums, not a product: the company a series keeps must change no bit.
    u = part["const"][:, :h] + (coef[:, :, :width] * lagged[:, None, :]).sum(axis=2)
    u = u + (coef[:, :, width:] * ahead).sum(axis=2) + _bases(z, diff, h)
    return _finished(u, part, h, levels, mean_point)


def _finished(u: Float, part: State, h: int, levels: Sequence[float], mean_point: bool) -> Forecast:
    scale, centre, log = part["scale"][:, :1], part["centre"][:, :1], part["log"][:, None]
    spread = part["sd"][:, :h] * scale
    level = u * scale + centre

    def back(values: Float, log: Float) -> Float:
        return np.where(log, np.exp(np.minimum(np.where(log, values, 0.0), 700.0)), values)

    point = back(level, log)
    if mean_point:
        point = np.where(log, point * np.exp(np.minimum(spread**2 / 2, 50.0)), point)
    if not levels:
        return Forecast(point)
    width = normal_widths(spread, levels)
    return Forecast(
        point, back(level[..., None] - width, log[..., None]), back(level[..., None] + width, log[..., None])
    )


def _carried(x: Float) -> Float:
    """Missing values of x (n, W, ...) as the newest one before them, or the centre where there is none."""
    if not np.isnan(x).any():
        return x
    place = np.where(np.isnan(x), 0, np.arange(x.shape[1]).reshape(1, -1, *(1,) * (x.ndim - 2)))
    return np.nan_to_num(np.take_along_axis(x, np.maximum.accumulate(place, axis=1), axis=1))


def _lagged(x: Float, lags: Sequence[int]) -> Float:
    """X (n, W) at these lags of the row after it (n, L)."""
    return x[:, [x.shape[1] - lag for lag in lags]]


def _differenced(z: Float, diff: Int) -> Float:
    place = np.arange(z.shape[1]) - diff[:, None]
    return z - np.take_along_axis(z, np.maximum(place, 0), axis=1)


def _bases(z: Float, diff: Int, h: int) -> Float:
    """The known value (n, h) that a differenced forecast is added to; 0 without a difference."""
    step = np.arange(1, h + 1)
    span = np.maximum(diff, 1)[:, None]
    back = span * -(-step // span) - step + 1
    base = np.take_along_axis(z, np.clip(z.shape[1] - back, 0, z.shape[1] - 1), axis=1)
    return np.where((diff > 0)[:, None], base, 0.0)


def widened(state: State, lags: Sequence[int], n_past: int) -> State:
    """The same state with room for more lags, their coefficients 0."""
    old, width = state["lags"], len(state["lags"])
    known = state["coef"].shape[2] - width * (1 + n_past)
    column = [c * len(lags) + lags.index(lag) for c in range(1 + n_past) for lag in old]
    column += range(len(lags) * (1 + n_past), len(lags) * (1 + n_past) + known)
    coef = np.zeros((*state["coef"].shape[:2], len(lags) * (1 + n_past) + known))
    error = np.full(coef.shape, np.nan)
    coef[:, :, column], error[:, :, column] = state["coef"], state["error"]
    return state | {"coef": coef, "error": error, "lags": list(lags)}
