"""Prophet's posterior where it is no lasso: its value, slope and curvature where terms multiply or the trend saturates.

    yhat = g(a) (1 + x_mult beta) + x_add beta,    a = k t + c + sum_j delta_j (t - s_j)_+

with g(a) = a (linear), a = c (flat) or g(a) = cap sigmoid(a) with c = -k m (logistic). The last is Prophet's own trend
without its offsets gamma, which divide by the rate of a segment. Minus the logarithm of the density, constants dropped:

    f = n log s + |y - yhat|^2 / (2 s^2) + 2 s^2 + 1/2 sum_i precision_i [k, m, beta]_i^2 + sum_j |delta_j| / tau

Everything here is taken at the variance v = s^2 that is best for the rest, and in the coordinates [k, c, beta, delta]:
in k and m a logistic trend has a curved valley (a change of m undone by one of k), in k and c it is straight, and the
prior of m = -c / k is the only price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from tsforecast.models.prophet.additive import variance_of
from tsforecast.models.prophet.lasso import solved
from tsforecast.panel import Bool, Float, Int

__all__ = [
    "RIDGE",
    "Curve",
    "Problem",
    "basis_of",
    "bent",
    "curvature",
    "curve_at",
    "objective",
    "prior_of",
    "pull",
    "refitted",
    "straight",
]

RIDGE = 1e-13
"""Share of a diagonal added to it, in steps only: two columns that no row tells apart must not stop the batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """b spans of r rows: scaled y, weight (its square weighs a row's square; 0: left out, y 0), time t, all (b, r).

    changepoints (b, s) on the scale of t; features x (b, r, k), or (1, r, k) where all spans share them, of which
    `multiplicative` (k,) act on the trend; prior `precision` (2 + k,) of [k, m, beta]; tau (b,) or one for all; cap
    (b, r) for logistic growth. The result of a span is a function of its own rows and of r.
    """

    y: Float
    weight: Float
    t: Float
    changepoints: Float
    x: Float
    multiplicative: Bool
    precision: Float
    tau: Float | float
    growth: Literal["linear", "flat", "logistic"] = "linear"
    cap: Float | None = None

    def take(self, index: Int | Bool) -> Self:
        """The problems of some spans."""
        return replace(
            self,
            y=self.y[index],
            weight=self.weight[index],
            t=self.t[index],
            changepoints=self.changepoints[index],
            x=self.x if len(self.x) == 1 else self.x[index],
            tau=np.broadcast_to(self.tau, len(self.y))[index],
            cap=None if self.cap is None else self.cap[index],
        )

    @property
    def rows(self) -> Float:
        """Number of rows that are not left out (b,)."""
        count: Float = np.count_nonzero(self.weight, axis=1).astype(float)
        return count

    @property
    def added(self) -> int:
        """How many features are additive: the first ones, once the columns are in order."""
        return int(np.count_nonzero(~self.multiplicative))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What theta makes of the rows, all (b, r): trend g, its derivatives by a, factor 1 + x_mult beta, and residual.

    The residual is multiplied by the weight of its row.
    """

    trend: Float
    first: Float
    second: Float
    factor: Float
    residual: Float

    def take(self, index: Int | Bool) -> Curve:
        """The curves of some spans."""
        return Curve(*(getattr(self, name)[index] for name in self.__slots__))


def bent(theta: Float, growth: str) -> Float:
    """[k, m, beta, delta] of coordinates [k, c, beta, delta] (b, p)."""
    return _with_second(theta, -theta[:, 1] / theta[:, 0]) if growth == "logistic" else theta


def straight(theta: Float, growth: str) -> Float:
    """Coordinates [k, c, beta, delta] of parameters [k, m, beta, delta] (b, p)."""
    return _with_second(theta, -theta[:, 0] * theta[:, 1]) if growth == "logistic" else theta


def _with_second(theta: Float, second: Float) -> Float:
    out = theta.copy()
    out[:, 1] = second
    return out


def basis_of(problem: Problem) -> Float:
    """The derivatives [t, 1, (t - s_j)_+] of a by k, c and delta (b, r, 2 + s); only c acts where growth is flat."""
    t = problem.t[:, :, None]
    basis = np.concatenate([t, np.ones_like(t), np.maximum(t - problem.changepoints[:, None, :], 0.0)], axis=2)
    if problem.growth == "flat":
        basis[..., 0] = basis[..., 2:] = 0.0
    return basis


def curve_at(problem: Problem, basis: Float, theta: Float) -> Curve:
    """The curve at theta (b, 2 + k + s), for features with the additive ones first; `basis` may be (1, r, 2 + s)."""
    k, added = problem.x.shape[2], problem.added
    beta, inner = theta[:, 2 : 2 + k, None], np.concatenate([theta[:, :2], theta[:, 2 + k :]], axis=1)
    trend = (basis @ inner[..., None])[..., 0]
    first, second = np.ones_like(trend), np.zeros_like(trend)
    if problem.growth == "logistic":
        assert problem.cap is not None
        share = 0.5 + 0.5 * np.tanh(0.5 * trend)
        trend = problem.cap * share
        first = trend * (1 - share)
        second = first * (1 - 2 * share)
    factor = 1 + (problem.x[..., added:] @ beta[:, added:])[..., 0]
    plus = (problem.x[..., :added] @ beta[:, :added])[..., 0]
    return Curve(trend, first, second, factor, problem.weight * (problem.y - trend * factor - plus))


def objective(problem: Problem, curve: Curve, theta: Float) -> tuple[Float, Float]:
    """The value f (b,) and the best variance (b,) at theta; not finite where the residual is 0 and f has no bound."""
    g = len(problem.precision)
    rows = problem.rows
    square = (curve.residual[:, None, :] @ curve.residual[:, :, None])[:, 0, 0]
    variance = variance_of(square, rows)
    fit = 0.5 * rows * np.log(variance) + square / (2 * variance) + 2 * variance
    gaussian = 0.5 * (problem.precision * bent(theta, problem.growth)[:, :g] ** 2).sum(axis=1)
    return fit + gaussian + np.abs(theta[:, g:]).sum(axis=1) / problem.tau, variance


def prior_of(problem: Problem, theta: Float, exact: Bool) -> tuple[Float, Float]:
    """Slope (b, g) and curvature (b, g, g) of the Gaussian prior; where not `exact`, the part never indefinite."""
    g = len(problem.precision)
    slope = problem.precision * theta[:, :g]
    curved = np.repeat(np.diag(problem.precision)[None], len(theta), axis=0)
    if problem.growth == "logistic":  # precision / 2 (c / k)^2
        k, m = theta[:, 0], -theta[:, 1] / theta[:, 0]
        weight = problem.precision[1] / k**2
        slope[:, 0] -= weight * k * m**2
        slope[:, 1] = -weight * k * m
        curved[:, 0, 0] += (1 + 2 * exact) * weight * m**2
        curved[:, 0, 1] = curved[:, 1, 0] = (1 + exact) * weight * m
        curved[:, 1, 1] = weight
    return slope, curved


def pull(problem: Problem, basis: Float, curve: Curve) -> Float:
    """Minus half the derivatives of |y - yhat|^2 by theta (b, p)."""
    added, rest = problem.added, problem.weight * curve.residual
    inner = _products(curve.first * curve.factor * rest, basis)
    plus = _products(rest, problem.x[..., :added])
    times = _products(curve.trend * rest, problem.x[..., added:])
    return np.concatenate([inner[:, :2], plus, times, inner[:, 2:]], axis=1)


def _products(rows: Float, columns: Float) -> Float:
    """Sums over rows (b, r) of their products with columns (b or 1, r, k): (b, k)."""
    return (rows[:, None, :] @ columns)[:, 0]


def curvature(problem: Problem, basis: Float, curve: Curve, exact: Bool) -> Float:
    """Half the second derivatives of |y - yhat|^2 by theta (b, p, p).

    Where `exact` (b,) is False, Gauss and Newton's part of them, which is never indefinite.
    """
    k, width, added = problem.x.shape[2], basis.shape[2], problem.added
    rest = problem.weight * curve.residual * exact[:, None]
    step = problem.weight**2 * curve.first * curve.factor
    weighted = np.empty((*problem.y.shape, k))
    np.multiply(problem.x[..., :added], step[..., None], out=weighted[..., :added])
    by_times = step * curve.trend - rest * curve.first
    np.multiply(problem.x[..., added:], by_times[..., None], out=weighted[..., added:])
    cross = np.swapaxes(basis, 1, 2) @ weighted
    scaled = _scaled(problem, curve.trend)
    out = np.empty((len(problem.y), width + k, width + k))
    features, trend = slice(2, 2 + k), np.r_[0:2, 2 + k : width + k]
    by_trend = step * curve.first * curve.factor - rest * curve.second * curve.factor
    out[:, trend[:, None], trend] = _bends(problem, basis, by_trend)
    out[:, features, features] = np.swapaxes(scaled, 1, 2) @ scaled
    out[:, trend, features] = cross
    out[:, features, trend] = np.swapaxes(cross, 1, 2)
    return out


def _bends(problem: Problem, basis: Float, by: Float) -> Float:
    """Sums over rows, multiplied by `by` (b, r), of products of the basis with itself (b, 2 + s, 2 + s).

    Two hinges are both bent only after the later one, where their product is quadratic in t: three sums a hinge do.
    """
    s = np.concatenate([np.zeros((len(by), 2)), problem.changepoints], axis=1)  # t is a hinge at 0
    past = (basis > 0).astype(float)
    past[..., 0] = past[..., 1]
    once = by * problem.t
    sums = np.stack([by, once, once * problem.t], axis=1) @ past
    one, other = s[:, :, None], s[:, None, :]
    n, places = np.arange(len(by))[:, None, None], np.arange(s.shape[1])
    late = np.where(one >= other, places[:, None], places)
    out: Float = sums[n, 2, late] - (one + other) * sums[n, 1, late] + one * other * sums[n, 0, late]
    out[:, 1] = out[:, :, 1] = sums[:, 1] - s * sums[:, 0]
    out[:, 1, 1] = sums[:, 0, 1]
    if problem.growth == "flat":
        out[:, 0] = out[:, :, 0] = out[:, 2:] = 0.0
        out[:, :, 2:] = 0.0
    return out


def refitted(problem: Problem, curve: Curve, theta: Float, variance: Float) -> Float:
    """The coefficients beta (b, k) that are best for the trend of theta at the variances (b,)."""
    features = slice(2, 2 + problem.x.shape[2])
    scaled = _scaled(problem, curve.trend)
    gram = np.swapaxes(scaled, 1, 2) @ scaled
    pull_back = variance[:, None] * problem.precision[features]
    moment = _products(curve.residual, scaled) - pull_back * theta[:, features]
    diagonal = np.arange(gram.shape[1])
    gram[:, diagonal, diagonal] += pull_back + RIDGE * gram[:, diagonal, diagonal]
    beta: Float = theta[:, features] + solved(gram, moment[..., None])[..., 0]
    return beta


def _scaled(problem: Problem, trend: Float) -> Float:
    """The derivatives (b, r, k) of yhat by beta, times the weights of the rows."""
    added = problem.added
    scaled = np.empty((*problem.y.shape, problem.x.shape[2]))
    np.multiply(problem.x[..., :added], problem.weight[..., None], out=scaled[..., :added])
    np.multiply(problem.x[..., added:], (problem.weight * trend)[..., None], out=scaled[..., added:])
    return scaled
