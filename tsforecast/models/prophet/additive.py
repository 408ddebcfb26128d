"""The exact mode of Prophet's posterior where the trend is linear or flat and every term is additive.

At a fixed noise variance v the posterior is a ridge on [k, m, beta] and a lasso on the slope changes delta: convex. The
variance is the fixed point of an increasing function, approached from above. Everything is a function of the Gram
matrix of a span's design, so the number of rows does not enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsforecast.models.prophet.lasso import Signs, minimise, solved
from tsforecast.panel import Bool, Float, Int

__all__ = ["Mode", "Normal", "solve", "variance_of"]

CLOSE = 1e-9
"""How far the logarithm of the variance may be from its fixed point."""
LOWEST = 1e-12
"""Share of the mean square below which a variance is taken for zero: no proper mode was met on the way down."""
ROUNDS = 100
SETTLED = 1e-3
"""How far it may be where rounding lets it come no closer; farther off, it is no mode."""
ROUNDING = 2e-15
"""Of a sum of squares, once it is what is left of a larger one."""


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """Normal equations of b spans: gram (b, p, p), moment (b, p) = X'y, square (b,) = y'y, rows (b,).

    The first g columns of X are the Gaussian ones, `precision` (b, g) their prior precisions and `centre` (b, g) the
    prior means (y may have been moved by a constant); the others are hinges with a Laplace prior of scale tau (b,).
    """

    gram: Float
    moment: Float
    square: Float
    rows: Float
    precision: Float
    centre: Float
    tau: Float

    def take(self, index: Int) -> Normal:
        """The problems of some spans."""
        return Normal(*(getattr(self, name)[index] for name in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """theta (b, p), variance (b,), whether the variance has a proper mode (b,), rounds (b,)."""

    theta: Float
    variance: Float
    proper: Bool
    rounds: NDArray[np.int64]


def variance_of(square: Float, rows: Float) -> Float:
    """The v = s^2 that minimises rows log s + square / (2 s^2) + 2 s^2, the half-normal prior of s included."""
    return 2 * square / (rows + np.sqrt(rows * rows + 16 * square))


def solve(problem: Normal) -> Mode:
    """The mode of every span; where the variance falls to zero, the fit at its floor with `proper` False."""
    n, p = problem.moment.shape
    g = problem.precision.shape[1]
    theta, signs = np.zeros((n, p)), np.zeros((n, p - g), dtype=np.int8)
    floor = np.log(np.maximum(LOWEST * problem.square / np.maximum(problem.rows, 1), 1e-300))
    x = np.log(np.maximum(_highest(problem), 1e-300)) + 1e-6
    low, high = floor.copy(), x + 5.0
    before, gap_before = np.full(n, np.nan), np.full(n, np.nan)
    proper, rounds = np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64)
    left = np.flatnonzero(problem.rows > 0)
    for turn in range(ROUNDS):
        if not len(left):
            break
        part = problem if len(left) == n else problem.take(left)
        theta[left], signs[left] = at_variance(part, np.exp(x[left]), signs[left])
        target = np.log(np.maximum(variance_of(_residual(part, theta[left]), part.rows), 1e-300))
        here, gap = x[left], target - x[left]
        rounds[left] += 1
        low[left] = np.where(gap > 0, np.maximum(low[left], here), low[left])
        high[left] = np.where(gap < 0, np.minimum(high[left], here), high[left])
        x[left] = _next(
            here, gap, before[left], gap_before[left], (low[left], high[left]), turn, _tight(part, signs[left])
        )
        before[left], gap_before[left] = here, gap
        done = (np.abs(gap) < CLOSE) | (high[left] - low[left] < CLOSE)  # where rounding rules, the ends cross
        fallen = ~done & (x[left] <= floor[left] + 1e-9)
        x[left] = np.where(done, here, x[left])
        proper[left] = ~fallen & (np.abs(gap) < SETTLED)
        left = left[~done & ~fallen]
    return Mode(theta, np.exp(x), proper, rounds)


def _highest(problem: Normal) -> Float:
    """A variance (b,) that no fixed point exceeds: of the residuals without slope changes, ridge at the target's own.

    That fit is feasible at every variance, so the minimum has no larger residual than it and its penalty together.
    """
    g = problem.precision.shape[1]
    v = variance_of(problem.square, problem.rows)
    A, moment = _gaussian(problem, v)
    theta = np.zeros_like(problem.moment)
    theta[:, :g] = solved(A, moment[..., None])[..., 0]
    penalty = (problem.precision * (theta[:, :g] - problem.centre) ** 2).sum(axis=1)
    # The target's own variance bounds the fixed points but for what the prior's mean costs, which is in the penalty.
    return variance_of(_residual(problem, theta) + v * penalty, problem.rows)


def at_variance(problem: Normal, v: Float, signs: Signs, rounds: int = 400) -> tuple[Float, Signs]:
    """The minimising theta (b, p) at the variances v (b,), and the signs of its slope changes."""
    g = problem.precision.shape[1]
    G = problem.gram
    A, moment = _gaussian(problem, v)
    gaussian = solved(A, np.concatenate([G[:, :g, g:], moment[..., None]], axis=2))
    across = G[:, g:, :g] @ gaussian
    H = G[:, g:, g:] - across[:, :, :-1]
    # What the Gaussian columns explain whole leaves rounding alone, of either sign: a ridge of its size keeps H convex.
    hinges = np.arange(H.shape[1])
    H[:, hinges, hinges] += ROUNDING * np.abs(G[:, g + hinges, g + hinges])
    c = problem.moment[:, g:] - across[:, :, -1]
    delta, signs = minimise(H, c, v / problem.tau, signs, rounds)
    rest = gaussian[:, :, -1] - (gaussian[:, :, :-1] @ delta[..., None])[..., 0]
    return np.concatenate([rest, delta], axis=1), signs


def _gaussian(problem: Normal, v: Float) -> tuple[Float, Float]:
    """Normal equations (b, g, g) and (b, g) of the Gaussian columns alone, their prior weighed in at variances v."""
    g = problem.precision.shape[1]
    pull = v[:, None] * problem.precision
    A = problem.gram[:, :g, :g].copy()
    A[:, np.arange(g), np.arange(g)] += pull
    return A, problem.moment[:, :g] + pull * problem.centre


def _residual(problem: Normal, theta: Float) -> Float:
    """Residual sums of squares (b,)."""
    fit = (problem.gram @ theta[..., None])[..., 0]
    left: Float = np.maximum(problem.square - (theta * (2 * problem.moment - fit)).sum(axis=1), 0.0)
    return left


def _tight(problem: Normal, signs: Signs) -> Bool:
    """Spans with hardly more rows than terms: several fixed points are possible, and leaps could pass the highest."""
    tight: Bool = problem.rows < 1.5 * (problem.precision.shape[1] + signs.shape[1])
    return tight


def _next(
    here: Float, gap: Float, before: Float, gap_before: Float, bracket: tuple[Float, Float], turn: int, tight: Bool
) -> Float:
    """The next logarithm of the variance: a secant step within the bracket, or the fixed-point step."""
    low, high = bracket
    with np.errstate(divide="ignore", invalid="ignore"):
        secant = here - gap * (here - before) / (gap - gap_before)
    plain = np.maximum(here + gap, low)
    if turn % 8 == 7:  # a secant can creep; halving the bracket cannot
        middle = np.where(low > -np.inf, 0.5 * (low + high), plain)
        return np.where(tight, plain, middle)
    usable = np.isfinite(secant) & (secant > low) & (secant < high)
    usable &= ~tight | (np.abs(gap) < 1e-3)
    return np.where(usable, secant, plain)
