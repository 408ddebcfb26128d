"""Forecast intervals of Prophet's trend uncertainty without simulation, and sample paths with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import erfc, expit, ndtr, ndtri

from tsforecast.models.prophet.jumps import TOP, Quantiles, sizes
from tsforecast.panel import Float, Int

__all__ = ["half_widths", "logistic_quantiles", "trend_paths"]

BLOCK = 100_000
"""Steps worked on together, few enough to stay in cache."""
BINS = 32
"""Parts of the law of positive, and of negative, trend changes."""
SATURATED = 8.0
"""The sigmoid's argument from where it counts as flat."""
STEPS, CLOSE = 60, 1e-5
"""At most so many steps to a quantile, and the last one's size in standard deviations."""
TINY = 1e-9
"""Least noise as a part of the capacity: a law without any has atoms, which Newton's method cannot climb."""


def half_widths(levels: Sequence[float], rate: Float, spread: Float, distance: Float, sigma: Float) -> Float:
    """Half-widths (n, h, q) of central intervals, levels in percent, for slope changes to come and noise.

    rate (n,) of changes a unit of scaled time, spread (n,) or (n, h) their mean size (times the factor that multiplies
    the trend), distance (n, h) >= 0 in scaled time after the last row, sigma (n,) or (n, h) of the noise. Within 0.2 %
    of the exact law for levels from 1 to 99.9; NaN where an argument is NaN.
    """
    n, h = distance.shape
    out = np.empty((n, h, len(levels)))
    step = max(1, BLOCK // max(h, 1))
    for first in range(0, n, step):
        some = slice(first, first + step)
        away = distance[some]
        u, size = away * rate[some, None], away * np.abs(_a_step(spread[some], h))
        noise = _a_step(sigma[some], h)
        for q, level in enumerate(levels):
            out[some, :, q] = Quantiles.of(level / 100.0)(u, size, noise)
    return out


def logistic_quantiles(
    levels: Sequence[float], rate: Float, spread: Float, distance: Float, sigma: Float, argument: Float, cap: Float
) -> tuple[Float, Float]:
    """Lower and upper (n, h, q) quantiles of cap * sigmoid(argument + J) + noise, levels in percent.

    J is the trend change to come and the arguments are those of `half_widths`, but a factor that multiplies the trend
    goes into cap (n, h), not into spread; argument (n, h) of the sigmoid. Within 0.1 % of the half-width in 99 of 100
    cases, within 1.6 % where the trend may saturate at both ends; NaN where an argument is NaN.
    """
    n, h = distance.shape
    probabilities = [0.5 + side * level / 200.0 for level in levels for side in (-1.0, 1.0)]
    out = np.full((n * h, len(probabilities)), np.nan)
    parts = (distance * rate[:, None], distance * _a_step(spread, h), _a_step(sigma, h), argument, cap)
    cells = np.stack([np.broadcast_to(part, (n, h)).ravel() for part in parts], axis=1)
    known = np.flatnonzero(np.isfinite(cells).all(axis=1))
    step = BLOCK // (8 * BINS)
    for first in range(0, len(known), step):
        some = known[first : first + step]
        law = _mixture(*(column[:, None] for column in cells[some].T))
        for q, probability in enumerate(probabilities):
            out[some, q] = law.quantile(probability)
    both = out.reshape(n, h, len(levels), 2)
    return both[..., 0], both[..., 1]


def _a_step(values: Float, h: int) -> Float:
    """Values (n,) or (n, h) as (n, h)."""
    return values if values.ndim == 2 else np.broadcast_to(values[:, None], (len(values), h))


@dataclass(frozen=True, slots=True, eq=False)
class _Mixture:
    """Normals (m, c) of given weights, means and standard deviations."""

    weight: Float
    mean: Float
    sd: Float

    def quantile(self, probability: float) -> Float:
        """Quantiles (m,) by Newton's method on the normal score of the distribution function, bracketed."""
        score = float(ndtri(probability))
        # Each normal is below `probability` left of all its own quantiles, and above right of them.
        own = self.mean + score * self.sd
        lo, hi = own.min(axis=1), own.max(axis=1)
        centre = (self.weight * self.mean).sum(axis=1)
        scale = np.sqrt((self.weight * (self.sd**2 + (self.mean - centre[:, None]) ** 2)).sum(axis=1))
        x: Float = np.clip(centre + score * scale, lo, hi)
        left = np.flatnonzero(hi - lo > CLOSE * scale)
        for _ in range(STEPS):
            if not len(left):
                break
            at, a, b = x[left], lo[left], hi[left]
            below, density = self._at(left, at)
            a, b = np.where(below < probability, at, a), np.where(below < probability, b, at)
            here = ndtri(np.clip(below, 1e-300, 1.0 - 1e-16))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                new = at - (here - score) * np.exp(-0.5 * here**2) / (np.sqrt(2.0 * np.pi) * density)
            new = np.where((new >= a) & (new <= b), new, 0.5 * (a + b))
            x[left], lo[left], hi[left] = new, a, b
            left = left[np.abs(new - at) > CLOSE * scale[left]]
        return x

    def _at(self, rows: Int, x: Float) -> tuple[Float, Float]:
        """Distribution function and density of some rows at x."""
        weight, sd = self.weight[rows], self.sd[rows]
        score = (x[:, None] - self.mean[rows]) / sd
        below = (weight * ndtr(score)).sum(axis=1)
        density = (weight / sd * np.exp(-0.5 * score**2)).sum(axis=1) / np.sqrt(2.0 * np.pi)
        return below, density


def _mixture(u: Float, size: Float, sigma: Float, argument: Float, cap: Float) -> _Mixture:
    """The law of cap * sigmoid(argument + J) + noise as 1 + 2 BINS normals; arguments (m, 1).

    One has the weight of no change at all. The others take the law of J on either side of 0 in BINS parts, closer
    where J is densest and none where the sigmoid is flat, each with the mean and the variance of the trend in it.
    """
    still = np.exp(-u)
    weight, mean, variance = [still], [cap * expit(argument)], [np.zeros_like(u)]
    gauss, share = np.polynomial.legendre.leggauss(2)
    for sign in (1.0, -1.0):
        top = _flat_from(np.maximum(SATURATED - sign * argument, 1.0), size, u)
        edges = top * np.linspace(0.0, 1.0, BINS + 1) ** 1.5
        middle, half = 0.5 * (edges[:, 1:] + edges[:, :-1]), 0.5 * np.diff(edges, axis=1)
        points = np.concatenate([middle + half * x for x in gauss], axis=1)
        trend = (cap * expit(argument + sign * size * sizes(points, u))).reshape(-1, len(gauss), BINS)
        dense = np.exp(-0.5 * points**2).reshape(trend.shape) * share[:, None]
        dense /= dense.sum(axis=1, keepdims=True)
        mean.append((dense * trend).sum(axis=1))
        variance.append((dense * (trend - mean[-1][:, None]) ** 2).sum(axis=1))
        beyond = erfc(edges / np.sqrt(2.0))
        beyond[:, -1] = 0.0
        weight.append((1.0 - still) * 0.5 * -np.diff(beyond, axis=1))
    noise = np.maximum(sigma, TINY * np.abs(cap))
    return _Mixture(
        np.concatenate(weight, axis=1),
        np.concatenate(mean, axis=1),
        np.sqrt(np.concatenate(variance, axis=1) + noise**2),
    )


def _flat_from(reach: Float, size: Float, u: Float) -> Float:
    """Normal score (m, 1), at most TOP, from where trend changes exceed `reach` (m, 1)."""
    scores = np.linspace(0.0, TOP, BINS + 1)
    change = size * sizes(scores[None], u)
    k = np.clip((change < reach).sum(axis=1, keepdims=True), 1, BINS)
    low, high = (np.take_along_axis(change, at, axis=1) for at in (k - 1, k))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(high > reach, (reach - low) / (high - low), 1.0)
    out: Float = (k - 1 + part) * (TOP / BINS)
    return out


def trend_paths(
    rate: Float, spread: Float, distance: Float, randoms: Iterable[np.random.Generator], count: int
) -> Float:
    """Joint sample paths (n, h, count) of the trend change J to come, its slope changing at any moment.

    rate, spread and distance as in `half_widths`, distance ascending; no noise is added. `randoms` are one generator a
    series: the draws come from a stream far from the one at which each stands, which may give the noise its draws.
    NaN where an argument is NaN.
    """
    n, h = distance.shape
    out = np.empty((n, h, count))
    size = _a_step(spread, h)
    for i, random in enumerate(randoms):
        out[i] = size[i, :, None] * _unit_path(float(rate[i]), distance[i], random, count)
    return out


def _unit_path(rate: float, distance: Float, random: np.random.Generator, count: int) -> Float:
    """Sums (h, count) of hinges with unit Laplace slopes, begun at `rate` up to the last distance."""
    h = len(distance)
    until = float(distance[-1]) if h else 0.0
    if not np.isfinite(rate * until):
        return np.full((h, count), np.nan)
    bits = random.bit_generator
    assert isinstance(bits, np.random.Philox)
    own = np.random.Generator(bits.jumped())
    path = np.repeat(np.arange(count), own.poisson(rate * until, count))
    begun, slope = until * own.random(len(path)), own.laplace(size=len(path))
    # Slope, and slope times its beginning, gathered at the first step after each change and summed over steps.
    place = np.searchsorted(distance, begun, side="right").clip(max=h - 1) * count + path
    slopes, offsets = (
        np.bincount(place, values, minlength=h * count).reshape(h, count).cumsum(axis=0)
        for values in (slope, slope * begun)
    )
    out: Float = distance[:, None] * slopes - offsets
    return out
