"""Law of the trend changes to come, and of their sum with noise, by numerical inversion of its transform.

Slope changes come at rate S, Laplace distributed of mean size b. At distance d past the last fitted row each moves
the trend by b d Y, where Y is a unit Laplace variable times a uniform one (how long ago the change was, as a part of
d), so that the sum J of all satisfies, with u = S d the mean number of changes,

    J / (b d) = Y1 + ... + YN,  N ~ Poisson(u),  log E exp(z J / (b d)) = u (artanh(z) / z - 1),

whose only singularities are cuts on the real axis from -1 and 1 outwards. Everything here is in units of b d and
depends on u and on nu, the standard deviation of the noise in that unit, alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, ndtri

from tsforecast.panel import Float

__all__ = ["TOP", "Inversion", "Quantiles", "deviation", "sizes"]

Complex = NDArray[np.complex128]

NODES = 72
"""Points of the contour: against 192 of them, tails are within 5e-6 of the weight of the jumps (1.5e-4 at worst, for
quantiles of a hundredth of the standard deviation)."""
SLANT = 0.35
"""Lean of the contour to the right, a tangent: up to 1 the noise still damps the integrand."""
FORGOTTEN = 30.0
"""The integrand is left out from where it has fallen by exp(-30)."""
STEPS = 40
"""At most so many steps of a solution; three do where the guess is extrapolated from neighbours."""
CLOSE = 1e-4
"""Largest last step of Newton's method in log x: the error left is about its square."""
ROWS, COLUMNS = 120, 60
"""Nodes of a table along u and along rho = 1 / nu."""
RHO_LEAST, RHO_MOST, RHO_EDGE = 0.01, 1e6, 1e7
"""Jumps of less than a hundredth of the noise leave nothing but their variance; noise of less than a millionth of a
jump counts as that. Nodes reach a little farther, since a spline is less exact at its edge."""
RARE, U_MOST, EDGE = -9.0, 1e4, -12.0
"""log(u / u*) below which jumps are too rare for a level to see (and the first nodes), and the u from where the law is
normal to 4e-4."""
TOP, SCORES, RATES = 5.0, 101, 81
"""Largest normal score of a sum of jumps (6e-7 of them lie beyond), and the nodes of its table along scores and u."""


@dataclass(frozen=True, slots=True, eq=False)
class Inversion:
    """P(|J + noise| > x) and its density for x near `about`; u, nu and about (...) all positive.

    Bromwich's integral along the hyperbola c + s (i sinh t + SLANT (cosh t - 1)), which crosses the axis between the
    pole at 0 and the cut at 1 and leans away from it: exp(-x z) then falls without oscillating, and the trapezoidal
    rule in t converges geometrically, over many decades of |z| at once. Weideman and Trefethen, Parabolic and
    hyperbolic contours for computing the Bromwich integral, Math. Comp. 76 (2007). The part of the law without any
    jump, exp(-u) times the noise, is left out of the integral and added in closed form: what is inverted is as small
    as the weight of the jumps, and so are its errors.
    """

    u: Float
    nu: Float
    z: Complex
    weight: Complex

    @classmethod
    def of(cls, u: Float, nu: Float, about: Float) -> Inversion:
        """The contour and the integrand's factors on it (..., NODES + 1)."""
        sd = deviation(u, nu)
        crossing = np.minimum(np.maximum(about / sd, 1.0) / sd, 0.5)
        scale = np.minimum(1.0 / sd, crossing)
        # The noise falls as exp(-nu^2 y^2 (1 - SLANT^2) / 2) up the contour, exp(-x z) as exp(-x SLANT y).
        top = np.minimum(np.sqrt(2.0 * FORGOTTEN / (1.0 - SLANT**2)) / nu, FORGOTTEN / (SLANT * about))
        step = np.arcsinh(top / scale) / NODES
        t = step[..., None] * np.arange(NODES + 1)
        z = crossing[..., None] + scale[..., None] * (1j * np.sinh(t) + SLANT * (np.cosh(t) - 1.0))
        along = (scale * step)[..., None] * (1j * np.cosh(t) + SLANT * np.sinh(t))
        along[..., 0] *= 0.5
        rate = u[..., None]
        jumps = np.exp(rate * (np.arctanh(z) / z - 1.0)) - np.exp(-rate)
        return cls(u, nu, z, (2.0 / np.pi) * np.exp(0.5 * (nu[..., None] * z) ** 2) * jumps * along)

    def tail(self, x: Float) -> tuple[Float, Float]:
        """P(|J + noise| > x) and the density of |J + noise| at x (...)."""
        terms = np.exp(-x[..., None] * self.z) * self.weight
        still, score = np.exp(-self.u), x / self.nu
        tail = (terms / self.z).imag.sum(axis=-1) + still * erfc(score / np.sqrt(2.0))
        density = terms.imag.sum(axis=-1) + still * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * score**2) / self.nu
        return tail, density

    def solve(self, tail: Float, guess: Float, least: Float) -> Float:
        """Logarithm of the x (...) beyond which `tail` lies, by Newton's method from log x = guess, never below least.

        Chebyshev's inequality bounds it from above. Steps that leave the bracket halve it instead.
        """
        lo, hi = least, np.maximum(np.log(deviation(self.u, self.nu) / np.sqrt(tail)), least) + 1e-3
        x = np.clip(guess, lo, hi)
        for _ in range(STEPS):
            value, density = self.tail(np.exp(x))
            beyond = value < tail
            lo, hi = np.where(beyond, lo, x), np.where(beyond, x, hi)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = x + (value - tail) / (density * np.exp(x))
            new = np.where((new >= lo) & (new <= hi), new, 0.5 * (lo + hi))
            moved = np.abs(new - x).max(initial=0.0)
            x = new
            if moved < CLOSE:
                break
        return x


def deviation(u: Float, nu: Float | float) -> Float:
    """Standard deviation of J + noise: the square of a unit Laplace variable has mean 2, of a uniform one 1/3."""
    out: Float = np.sqrt(nu * nu + (2.0 / 3.0) * u)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Quantiles:
    """Quantiles of |J + noise| at one level as a cubic spline: log(quantile / standard deviation) over (u, rho).

    With little noise the law is all but an atom of weight exp(-u) at 0. As u passes u* = -log(level) the quantile
    leaves the noise for the jumps, within a sliver of u: it follows one smooth branch up to r = log(u / u*) = `bend`
    and another after it. Nodes therefore lie close about the bend, and move with it.
    """

    turn: float
    coefficients: Float

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, level: float) -> Quantiles:
        """The table of a level in (0, 1), worked out when it is first asked for; its grid depends on nothing else."""
        from scipy.ndimage import spline_filter

        turn = -float(np.log(level))
        rho = np.geomspace(RHO_LEAST, RHO_EDGE, COLUMNS)
        u, nu = turn * np.exp(_nodes(turn, rho)), 1.0 / rho
        x = np.empty((ROWS, COLUMNS))
        guess = least = np.log(nu * ndtri(0.5 + 0.5 * level))
        for i in range(ROWS):
            inversion = Inversion.of(u[i], nu, np.exp(np.maximum(guess, least)))
            x[i] = inversion.solve(np.full(COLUMNS, 1.0 - level), guess, least)
            # The quantile grows with u, and smoothly.
            guess, least = (2.0 * x[i] - x[i - 1] if i else x[i]), x[i] - CLOSE
        return cls(turn, spline_filter(x - np.log(deviation(u, nu)), order=3, mode="mirror"))

    def __call__(self, u: Float, size: Float, sigma: Float) -> Float:
        """Half-widths (...) for jumps of mean size b d = `size` >= 0 and noise sigma; NaN where an argument is NaN."""
        from scipy.ndimage import map_coordinates

        with np.errstate(divide="ignore", invalid="ignore"):
            rho = np.where(size > 0, np.clip(size / sigma, RHO_LEAST, RHO_MOST), RHO_LEAST)
        r = np.maximum(np.log(np.maximum(u, np.finfo(float).tiny) / self.turn), RARE)
        first, last = _ends(self.turn, rho)
        row = (_place(np.minimum(r, np.log(U_MOST / self.turn)), self.turn, rho) - first) / (last - first)
        column = np.log(rho / RHO_LEAST) / np.log(RHO_EDGE / RHO_LEAST)
        at = np.stack([row * (ROWS - 1), column * (COLUMNS - 1)])
        ratio = map_coordinates(self.coefficients, np.nan_to_num(at), order=3, prefilter=False, mode="mirror")
        out: Float = np.exp(ratio) * np.sqrt(sigma**2 + (2.0 / 3.0) * self.turn * np.exp(r) * size**2)
        return out


def _bend(turn: float, rho: Float) -> Float:
    """About where the quantile x leaves the noise, as log(u / u*).

    There the noise's density, exp(-x^2 / 2), is as low as that of one jump's small values, E1 / 2 with the
    distribution function x (const - log x).
    """
    x = np.sqrt(2.0 * np.log1p(rho / turn) + 0.1)
    out: Float = x * (1.42 + np.log1p(rho / x)) / (1.0 + rho)
    return out


def _place(r: Float | float, turn: float, rho: Float) -> Float:
    """Coordinate of r = log(u / u*), steep about the bend."""
    bend = _bend(turn, rho)
    out: Float = np.arcsinh((r - bend) / (0.15 * bend)) + 0.5 * r
    return out


def _ends(turn: float, rho: Float) -> tuple[Float, Float]:
    """Coordinates of the first and of the last row of nodes."""
    return _place(EDGE, turn, rho), _place(np.log(U_MOST / turn), turn, rho)


def _nodes(turn: float, rho: Float) -> Float:
    """Places r (ROWS, COLUMNS) of the nodes, even in its coordinate, by bisection."""
    first, last = _ends(turn, rho)
    wanted = first + (last - first) * np.linspace(0.0, 1.0, ROWS)[:, None]
    lo, hi = np.full(wanted.shape, EDGE), np.full(wanted.shape, np.log(U_MOST / turn))
    for _ in range(60):
        r = 0.5 * (lo + hi)
        short = _place(r, turn, rho) < wanted
        lo, hi = np.where(short, r, lo), np.where(short, hi, r)
    return hi


def sizes(scores: Float, u: Float) -> Float:
    """|J| / (b d) without noise, given a jump: the quantiles (m, k) at the normal scores of |Z|, 0 to TOP, u (m, 1).

    They are the x with P(|J| <= b d x, given N > 0) = P(|Z| <= score).
    """
    table, low, high = _sizes()
    row = np.clip(np.log(np.maximum(u, np.exp(low))) - low, 0.0, high - low) * ((RATES - 1) / (high - low))
    column = scores * ((SCORES - 1) / TOP)
    i = np.minimum(row.astype(np.int64), RATES - 2)
    j = np.minimum(column.astype(np.int64), SCORES - 2)
    row, column = row - i, column - j
    flat, at = table.ravel(), i * SCORES + j
    near = flat[at] + (flat[at + 1] - flat[at]) * column
    at += SCORES
    far = flat[at] + (flat[at + 1] - flat[at]) * column
    out: Float = (near + (far - near) * row) * np.sqrt(1.0 + u)
    return out


@lru_cache(maxsize=1)
def _sizes() -> tuple[Float, float, float]:
    """Table (RATES, SCORES) of sizes over sqrt(1 + u), even in log u and in the score; the ends of log u."""
    u = np.geomspace(1e-4, U_MOST, RATES)
    still, root = np.full(RATES, 1e-7), np.sqrt(1.0 + u)
    scores = np.linspace(0.0, TOP, SCORES)
    out = np.empty((SCORES, RATES))
    out[0] = least = np.log(1e-5 * root)
    guess = np.log(0.2 * scores[1] * root)
    for j in range(1, SCORES):
        inversion = Inversion.of(u, still, np.exp(np.maximum(guess, least)))
        out[j] = least = inversion.solve(-np.expm1(-u) * erfc(scores[j] / np.sqrt(2.0)), guess, least)
        guess = out[j] + (out[j] - out[j - 1] if j > 2 else 0.0)
    table = np.exp(out.T) / root[:, None]
    table[:, 0] = 0.0
    return table, float(np.log(u[0])), float(np.log(u[-1]))
