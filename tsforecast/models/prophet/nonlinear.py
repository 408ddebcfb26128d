"""The mode of Prophet's posterior where terms multiply the trend or the trend is logistic.

A damped proximal Newton method: around the current point the squares are replaced by a quadratic (Gauss and Newton's
far from the mode, the exact one near it) whose lasso is solved as in the additive case. The exact one knows that the
best variance moves with the rest, so the last rounds converge quadratically. Where a trial fails, the valley it was to
follow is bent (a scale that trend and factor share, say): from then on every trial has its features fitted to its trend
before it is judged, as in variable projection.
Lee, Sun & Saunders (2014), SIAM J. Optim. 24, 1420-1443; Marquardt (1963), J. SIAM 11, 431-441; Golub & Pereyra (1973),
SIAM J. Numer. Anal. 10, 413-432.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from tsforecast.models.prophet.additive import Normal, at_variance
from tsforecast.models.prophet.lasso import Signs
from tsforecast.models.prophet.posterior import (
    RIDGE,
    Curve,
    Problem,
    basis_of,
    bent,
    curvature,
    curve_at,
    objective,
    prior_of,
    pull,
    refitted,
    straight,
)
from tsforecast.panel import Bool, Float, Int

__all__ = ["Mode", "solve"]

ROUNDS = 200
CLOSE = 1e-8
"""Slope of f (by a delta: in units of 1 / tau) at which the search ends."""
ENOUGH = 1e-7
"""Slope at which a search that gets no farther has converged."""
FAINT = 1e-6
"""The same in standard deviations of the posterior: all that rounding leaves where y is fitted almost exactly."""
NEAR = 10.0
"""Fall of f in one round, in nats, below which the exact curvature is tried."""
LOWEST = 1e-19
"""Share of the mean square of y below which that of the residuals is rounding: no proper mode was met on the way."""
STILL = 2
"""Rounds without a measurable fall after which the search ends."""
FAR = 1.0
"""Histories between the beginning and a logistic trend's middle from which on the other sign of k is tried."""
SLIGHT = 0.01
"""Rate from which a logistic trend begins where it was given none."""
PIVOTS = 100
"""Exchanges allowed a lasso: an exact curvature that is indefinite may never settle, and its trial is then refused."""
WIDTH = 256
"""Spans whose quadratics are solved together."""
DOUBLES = 400_000
"""Numbers in the largest array of row-wise work, which goes by tiles of spans that fit the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """theta (b, p) = [k, m, beta, delta], variance and objective (b,), rounds (b,).

    `proper`: the variance did not fall to zero. `converged`: proper, and the slope of f vanishes there. Theta is NaN
    where there was nothing to fit.
    """

    theta: Float
    variance: Float
    objective: Float
    converged: Bool
    proper: Bool
    rounds: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Search:
    """Where the search of each span stands, (b, ...): changed in place, round by round."""

    theta: Float
    trial: Float
    signs: Signs
    trial_signs: Signs
    damping: Float
    near: Float
    f: Float
    variance: Float
    floor: Float
    scale: Float
    bowed: Bool
    exact: Bool
    still: NDArray[np.int64]
    rounds: NDArray[np.int64]
    converged: Bool
    proper: Bool


def solve(problem: Problem, start: Float) -> Mode:
    """The mode near `start` (b, 2) = [k, m], beta and delta 0; a span that has none is flagged, never an exception."""
    order = np.argsort(problem.multiplicative, kind="stable")
    ordered = _ordered(problem, order)
    b, k, s = len(start), len(order), problem.changepoints.shape[1]
    theta = np.zeros((b, 2 + k + ordered.changepoints.shape[1]))
    theta[:, :2] = start
    if problem.growth == "flat":
        theta[:, 0] = 0.0
    elif problem.growth == "logistic":
        theta[:, 0] = np.where(theta[:, 0] == 0, SLIGHT, theta[:, 0])  # a rate of 0 has no middle
    with np.errstate(all="ignore"):
        search = _begun(ordered, straight(theta, problem.growth))
        _descend(ordered, search)
        if problem.growth == "logistic":
            _cross(ordered, search)
        theta = bent(search.theta, problem.growth)
    out = np.zeros((b, 2 + k + s))
    out[:, : theta.shape[1]] = theta
    out[:, 2 + order] = theta[:, 2 : 2 + k]
    out[np.isnan(theta).any(axis=1)] = np.nan
    return Mode(out, search.variance, search.f, search.converged & search.proper, search.proper, search.rounds)


def _descend(problem: Problem, search: _Search) -> None:
    """Follow every span's search to its end."""
    shared = _shared_basis(problem)
    tau = np.broadcast_to(problem.tau, len(problem.y))
    left = np.flatnonzero(search.proper)
    while len(left):
        now, waiting = left[:WIDTH], left[WIDTH:]
        gram, moment, open_ = _surveyed(problem, shared, search, now)
        now = now[open_]
        _propose(search, now, gram[open_], moment[open_], tau[now])
        left = np.concatenate([now, waiting])


def _cross(problem: Problem, search: _Search) -> None:
    """Try the other sign of k: the prior of m = -c / k parts the two, and the better one may lie across.

    Where m is near the history the two differ too much for it, and the sign is what the data say.
    """
    far = np.flatnonzero(search.converged & search.proper & (np.abs(search.theta[:, 1] / search.theta[:, 0]) > FAR))
    if not len(far):
        return
    theta = search.theta[far]
    theta[:, 0] *= -1
    part = problem.take(far)
    other = _begun(part, theta)
    _descend(part, other)
    other.rounds += search.rounds[far]
    search.rounds[far] = other.rounds
    better = other.converged & other.proper & (other.f < search.f[far])
    for each in fields(_Search):
        getattr(search, each.name)[far[better]] = getattr(other, each.name)[better]


def _ordered(problem: Problem, order: Int) -> Problem:
    """The problem with additive features first; a flat trend has no changepoints."""
    moved = not np.array_equal(order, np.arange(len(order)))
    return replace(
        problem,
        x=np.ascontiguousarray(problem.x[:, :, order] if moved else problem.x),
        multiplicative=problem.multiplicative[order],
        precision=np.concatenate([problem.precision[:2], problem.precision[2:][order]]),
        changepoints=problem.changepoints[:, :0] if problem.growth == "flat" else problem.changepoints,
    )


def _begun(problem: Problem, theta: Float) -> _Search:
    """A search from theta (b, p); spans with nothing to fit get NaN and are no longer `proper`."""
    b = len(theta)
    rows = problem.rows
    square = (problem.y**2).sum(axis=1) / rows
    usable = (rows > 0) & np.isfinite(theta).all(axis=1) & np.isfinite(square)
    theta = np.where(usable[:, None], theta, np.nan)
    signs = np.sign(np.where(usable[:, None], theta, 0.0)[:, len(problem.precision) :]).astype(np.int8)
    return _Search(
        theta=theta,
        trial=theta.copy(),
        signs=signs,
        trial_signs=signs.copy(),
        damping=np.full(b, 1e-3 if problem.growth == "logistic" else 1e-6),
        near=np.full(b, NEAR),
        f=np.full(b, np.inf),
        variance=np.full(b, np.nan),
        floor=LOWEST * np.where(square > 0, square, 1.0),
        exact=np.zeros(b, dtype=bool),
        scale=np.zeros(theta.shape),
        bowed=np.zeros(b, dtype=bool),
        still=np.zeros(b, dtype=np.int64),
        rounds=np.zeros(b, dtype=np.int64),
        converged=np.zeros(b, dtype=bool),
        proper=usable,
    )


def _shared_basis(problem: Problem) -> Float | None:
    """The basis (1, r, 2 + s) where all spans have the same times and changepoints."""
    first = problem.take(np.arange(min(len(problem.y), 1)))
    same = (problem.t == first.t).all() and (problem.changepoints == first.changepoints).all()
    return basis_of(first) if same else None


def _surveyed(problem: Problem, shared: Float | None, search: _Search, now: Int) -> tuple[Float, Float, Bool]:
    """Accept or refuse the trials of the spans `now`; then gram and moment of the next quadratic, and who goes on."""
    p = search.theta.shape[1]
    gram, moment, open_ = np.empty((len(now), p, p)), np.empty((len(now), p)), np.empty(len(now), dtype=bool)
    size = max(1, DOUBLES // (problem.y.shape[1] * p))
    for i in range(0, len(now), size):
        tile, here = now[i : i + size], slice(i, i + size)
        part = problem.take(tile)
        basis = basis_of(part) if shared is None else shared
        curve = curve_at(part, basis, search.trial[tile])
        if search.bowed[tile].any():
            _refit(part, curve, search, tile)
            curve = curve_at(part, basis, search.trial[tile])
        good = _judged(search, tile, *objective(part, curve, search.trial[tile]), part.rows)
        if not good.all():
            curve = curve_at(part, basis, search.theta[tile])
        towards = pull(part, basis, curve)
        open_[here] = _unfinished(part, search, tile, towards)
        kept = np.flatnonzero(open_[here])
        if len(kept) < len(tile):
            part, curve, towards, tile = part.take(kept), curve.take(kept), towards[kept], tile[kept]
            basis = basis if shared is not None else basis[kept]
        gram[i + kept], moment[i + kept] = _quadratic(part, basis, curve, search, tile, towards)
    return gram, moment, open_


def _judged(search: _Search, now: Int, f: Float, variance: Float, rows: Float) -> Bool:
    """Which trials are accepted; damping and the kind of curvature follow from how they did."""
    fall = search.f[now] - f
    slack = 1e-13 * (rows + np.abs(f))
    good = np.isfinite(f) & (fall >= -slack)
    exact = search.exact[now]
    damping = search.damping[now]
    kept = now[good]
    search.theta[kept], search.signs[kept] = search.trial[kept], search.trial_signs[kept]
    search.f[kept], search.variance[kept] = f[good], variance[good]
    search.still[now] = np.where(good & (fall <= slack), search.still[now] + 1, 0)
    search.damping[now] = np.where(exact, damping, np.where(good, 0.2 * damping, 8 * damping + 1e-8))
    search.near[now] = np.where(exact & ~good, 0.1 * search.near[now], search.near[now])
    search.exact[now] = good & (exact | (fall < search.near[now])) & (search.still[now] == 0)
    search.bowed[now] |= ~good & np.isfinite(search.f[now])
    search.rounds[now] += 1
    return good


def _refit(problem: Problem, curve: Curve, search: _Search, now: Int) -> None:
    """Fit the features of a trial to its trend, for spans that have had a trial refused."""
    bowed = search.bowed[now]
    which = now[bowed]
    beta = refitted(problem.take(bowed), curve.take(bowed), search.trial[which], search.variance[which])
    search.trial[which, 2 : 2 + beta.shape[1]] = beta


def _unfinished(problem: Problem, search: _Search, now: Int, towards: Float) -> Bool:
    """Which spans go on; the others are told whether they have converged and have a proper mode."""
    g = len(problem.precision)
    theta, variance = search.theta[now], search.variance[now]
    tau = np.asarray(problem.tau)[:, None]
    slope = np.abs(towards[:, :g] / variance[:, None] - prior_of(problem, theta, search.exact[now])[0])
    toll, delta = towards[:, g:] / variance[:, None] * tau, theta[:, g:]
    miss = np.where(delta != 0, np.abs(toll - np.sign(delta)), np.maximum(np.abs(toll) - 1, 0))
    worst = np.concatenate([slope, miss], axis=1).max(axis=1)
    faint = (np.concatenate([slope, miss / tau], axis=1) / (1 + search.scale[now])).max(axis=1)
    fallen = ~(variance > search.floor[now])
    stuck = (search.still[now] >= STILL) | (search.rounds[now] >= ROUNDS) | (search.damping[now] > 1e10)
    search.converged[now] = (worst <= ENOUGH) | (faint <= FAINT)
    search.proper[now] = ~fallen
    open_: Bool = ~(fallen | stuck | (worst <= CLOSE))
    return open_


def _quadratic(
    problem: Problem, basis: Float, curve: Curve, search: _Search, now: Int, towards: Float
) -> tuple[Float, Float]:
    """Gram (b, p, p) and moment (b, p) of the damped quadratic whose lasso is the next trial."""
    g = len(problem.precision)
    theta, variance, exact = search.theta[now], search.variance[now], search.exact[now]
    gram = curvature(problem, basis, curve, exact)
    # The best variance grows with the residual, which takes a rank-one part from the curvature of f.
    rows = problem.rows
    share = np.where(exact, 2 / (variance * (8 * variance + rows)), 0.0)
    gram -= (share[:, None] * towards)[:, :, None] * towards[:, None, :]
    slope, curved = prior_of(problem, theta, exact)
    gram[:, :g, :g] += variance[:, None, None] * curved
    diagonal = np.arange(gram.shape[1])
    steep = np.abs(gram[:, diagonal, diagonal])
    search.scale[now] = np.sqrt(steep / variance[:, None])
    damping = np.where(exact, RIDGE, search.damping[now])
    gram[:, diagonal, diagonal] += damping[:, None] * (steep + 1e-8)
    moment = towards + (gram @ theta[..., None])[..., 0]
    moment[:, :g] -= variance[:, None] * slope
    return gram, moment


def _propose(search: _Search, now: Int, gram: Float, moment: Float, tau: Float) -> None:
    """The minimisers of the quadratics as the next trials of the spans `now`."""
    g = gram.shape[1] - search.signs.shape[1]
    nothing = np.zeros((len(now), g))
    model = Normal(gram, moment, nothing[:, 0], nothing[:, 0], nothing, nothing, tau)
    search.trial[now], search.trial_signs[now] = at_variance(model, search.variance[now], search.signs[now], PIVOTS)
