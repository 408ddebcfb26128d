"""What a lag polynomial does: recursion, impulse response, stability. All lag-major, elementwise over the batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsforecast.panel import Bool, Float, Int

__all__ = ["Equation", "filled", "impulse", "level_polynomial", "recursion", "stabilised", "stable"]


class Equation(NamedTuple):
    """u[t] = const + sum_l phi[:, l - 1] u[t - l] + drive[t] + sd e[t], u = g(y) - centre, g the log where `log`.

    phi (n, P); const, centre, sd (n,); log (n,) bool.
    """

    phi: Float
    const: Float
    centre: Float
    sd: Float
    log: Bool

    def take(self, index: Int) -> Equation:
        """The equations of some series."""
        return Equation(self.phi[index], self.const[index], self.centre[index], self.sd[index], self.log[index])

    def into(self, y: Float) -> Float:
        """Y (n, ...) on the scale of the recursion; NaN where a log does not exist."""
        shape = (-1,) + (1,) * (y.ndim - 1)
        log = self.log.reshape(shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.log(np.where(log & (y > 0), y, np.nan)) if self.log.any() else y
        return np.where(log, logs, y) - self.centre.reshape(shape)

    def back(self, u: Float) -> Float:
        """U (n, ...) on the scale of the data."""
        shape = (-1,) + (1,) * (u.ndim - 1)
        level = u + self.centre.reshape(shape)
        if not self.log.any():
            return level
        log = self.log.reshape(shape)
        return np.where(log, np.exp(np.minimum(np.where(log, level, 0.0), 700.0)), level)


def level_polynomial(phi: Float, diff: int) -> Float:
    """Coefficients (n, P + diff) on the levels, from those (n, P) on differences at lag `diff`; 0 changes nothing."""
    if diff == 0:
        return phi
    out = np.zeros((len(phi), phi.shape[1] + diff))
    out[:, : phi.shape[1]] = phi
    out[:, diff - 1] += 1.0
    out[:, diff:] -= phi
    return out


def recursion(phi: Float, const: Float, window: Float, h: int, drive: Float | None = None) -> Float:
    """The h values (n, h) after window (n, P), newest last; drive (n, h) is added at each step."""
    n, order = phi.shape
    live = np.nonzero(phi.any(axis=0))[0]
    weights = np.ascontiguousarray(phi.T)
    track = np.empty((order + h, n))
    track[:order] = window.T
    added = None if drive is None else np.ascontiguousarray(drive.T)
    for step in range(h):
        total = const.copy() if added is None else const + added[step]
        for lag in live:
            total += weights[lag] * track[order + step - lag - 1]
        track[order + step] = total
    return np.ascontiguousarray(track[order:].T)


def impulse(phi: Float, h: int) -> Float:
    """Response (n, h) to a unit shock: psi[0] = 1, psi[j] = sum phi_l psi[j - l]. Hamilton (1994), eq. 3.4.17."""
    n = len(phi)
    live = np.nonzero(phi.any(axis=0))[0]
    weights = np.ascontiguousarray(phi.T)
    out = np.zeros((h, n))
    out[0] = 1.0
    for step in range(1, h):
        for lag in live:
            if lag < step:
                out[step] += weights[lag] * out[step - lag - 1]
    return np.ascontiguousarray(out.T)


def filled(phi: Float, const: Float, window: Float, drive: Float | None = None) -> Float:
    """Window (n, W) with missing values replaced by one-step predictions from what precedes them, W >= P.

    Values too early to predict take the nearest observed one.
    """
    gaps = np.isnan(window)
    lacking = np.nonzero(gaps.any(axis=1))[0]
    if not len(lacking):
        return window
    out = window.copy()
    part, miss = window[lacking], gaps[lacking]
    width, order = window.shape[1], phi.shape[1]
    place = np.where(miss, 0, np.arange(width))
    newest = np.maximum.accumulate(place, axis=1)
    carried = np.take_along_axis(part, newest, axis=1)
    oldest = np.argmax(~miss, axis=1)
    first = part[np.arange(len(part)), oldest]
    part = np.where(np.isnan(carried), first[:, None], carried)
    weights, base = phi[lacking], const[lacking]
    started = np.arange(width) >= np.maximum(order, oldest[:, None] + 1)
    for t in np.nonzero((miss & started).any(axis=0))[0]:
        guess = base + (weights * part[:, t - order : t][:, ::-1]).sum(axis=1)
        if drive is not None:
            guess = guess + drive[lacking, t]
        part[:, t] = np.where(miss[:, t] & started[:, t], guess, part[:, t])
    out[lacking] = part
    return out


def stable(phi: Float, radius: float = 1.0) -> Bool:
    """Whether all roots lie within `radius` (n,): every reflection coefficient of the step-down recursion is below 1.

    O(P^2) a series in place of an eigenvalue problem. Kay (1988), Modern Spectral Estimation, eq. 6.51.
    """
    order = phi.shape[1]
    a = np.ascontiguousarray((phi * radius ** -np.arange(1.0, order + 1)).T)
    fine = np.ones(len(phi), dtype=bool)
    with np.errstate(all="ignore"):
        for m in range(order - 1, -1, -1):
            k = a[m]
            fine &= np.abs(k) < 1
            if m:
                a[:m] = (a[:m] + k * a[:m][::-1]) / np.where(fine, 1 - k * k, 1.0)
    return fine


def stabilised(phi: Float, radius: float = 1.0) -> tuple[Float, Bool]:
    """Polynomials with their roots drawn within `radius`, and which were changed (n,).

    phi_l * g^l moves every root by the factor g; the largest such g that is stable is found by bisection.
    """
    wild = np.nonzero(~stable(phi, radius))[0]
    changed = np.zeros(len(phi), dtype=bool)
    if not len(wild):
        return phi, changed
    part = phi[wild]
    powers = np.arange(1.0, phi.shape[1] + 1)
    low, high = np.zeros(len(part)), np.ones(len(part))
    for _ in range(16):
        middle = (low + high) / 2
        fine = stable(part * middle[:, None] ** powers, radius)
        low, high = np.where(fine, middle, low), np.where(fine, high, middle)
    out = phi.copy()
    out[wild] = part * low[:, None] ** powers
    changed[wild] = True
    return out, changed
