"""The two solvers on a unit's spans: their normal equations or rows are made, terms that a span lacks are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.models.prophet import additive, nonlinear
from tsforecast.models.prophet.layout import Unit
from tsforecast.models.prophet.moments import BLOCK, Columns, Target, gram, moment
from tsforecast.models.prophet.posterior import Problem
from tsforecast.models.prophet.scaling import Scaled
from tsforecast.models.prophet.settings import Settings
from tsforecast.panel import Bool, Float, Int

__all__ = ["Found", "additive_mode", "general_mode", "normal_equations", "problems"]

WIDTHS = 8
"""Systems have their columns padded to a multiple of this: a span's size is its own, whatever its company."""
STEADY = 1e-9
"""Slope of a logistic trend that does not move: at 0 it would have no level of its own."""
CELLS = 6_000_000
"""Values of row designs held at once by one worker."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """theta (b, 2 + K + S) of slope, level, coefficients, slope changes; variance, proper, rounds and number of columns
    that took part (b,).
    """

    theta: Float
    variance: Float
    proper: Bool
    rounds: Int
    columns: Int

    def replaced(self, index: Int, other: Found) -> Found:
        """The same with the spans `index` as found later."""
        parts: dict[str, NDArray[Any]] = {}
        for name in Found.__slots__:
            parts[name] = getattr(self, name).copy()
            parts[name][index] = getattr(other, name)
        return Found(**parts)


def additive_mode(settings: Settings, unit: Unit, span: Scaled, active: Bool) -> Found:
    """Exact modes from normal equations."""
    G, design, b, square = normal_equations(settings, unit, span)
    n, p = b.shape
    g = 2 + len(settings.features.names)
    active = active & (np.einsum("uii->ui", G) > 0)[design]
    padded = -(-np.count_nonzero(active[:, :g], axis=1) // WIDTHS) * WIDTHS
    theta, variance = np.zeros((n, p)), np.zeros(n)
    proper, rounds = np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64)
    level = (unit.base[unit.series] - span.floor) / span.scale
    for width in np.unique(padded):
        own = np.flatnonzero(padded == width)
        # The span's own Gaussian columns first, in order; behind them what it lacks, without any weight.
        order = np.argsort(~active[own, :g], axis=1, kind="stable")
        order = np.pad(order, ((0, 0), (0, max(0, int(width) - g))))[:, : int(width)]
        inside = np.arange(int(width)) < np.count_nonzero(active[own, :g], axis=1)[:, None]
        place = np.concatenate([order, np.broadcast_to(np.arange(g, p), (len(own), p - g))], axis=1)
        held = np.concatenate([inside, active[own, g:]], axis=1)
        problem = additive.Normal(
            gram=G[design[own, None, None], place[:, :, None], place[:, None, :]]
            * (held[:, :, None] & held[:, None, :]),
            moment=np.take_along_axis(b[own], place, axis=1) * held,
            square=square[own],
            rows=span.facts.count[own].astype(float),
            precision=np.where(inside, settings.precision[order], 1.0),
            centre=np.where((order == 1) & inside, -level[own, None], 0.0),
            tau=np.full(len(own), settings.tau),
        )
        mode = additive.solve(problem)
        np.add.at(theta, (own[:, None], place), np.where(held, mode.theta, 0.0))
        variance[own], proper[own], rounds[own] = mode.variance, mode.proper, mode.rounds
    theta[:, 1] += level
    return Found(theta, variance, proper, rounds, np.count_nonzero(active, axis=1))


def normal_equations(settings: Settings, unit: Unit, span: Scaled) -> tuple[Float, Int, Float, Float]:
    """X'WX (u, p, p) of the designs there are and whose each span's is (b,), X'Wy (b, p) and y'Wy (b,).

    On the model's scale, y less its first value. Spans of one source that end on one row have the same design.
    """
    sums = Columns.of(unit.tau[unit.chief], unit.weight[unit.chief], span.columns)
    target = Target.of(unit.y, sums, unit.source)
    source = unit.source[unit.series]
    _, lead, design = np.unique(source * unit.tau.shape[1] + unit.last, return_index=True, return_inverse=True)
    G = gram(sums, source[lead], unit.last[lead], span.places.take(lead))
    b = moment(sums, target, source, unit.series, unit.last, span.places) / span.scale[:, None]
    square = target.square[unit.series, unit.last] / span.scale / span.scale  # the square of a tiny scale is 0
    mu = span.mu - span.first[unit.series]
    for j in range(mu.shape[1]):  # regressors, the last columns, become (column - mu) / std
        c = 2 + len(settings.features.names) - mu.shape[1] + j
        m, std = mu[lead, j, None], span.std[lead, j, None]
        G[:, :, c] = (G[:, :, c] - m * G[:, :, 1]) / std
        G[:, c, :] = (G[:, c, :] - m * G[:, 1, :]) / std
        b[:, c] = (b[:, c] - mu[:, j] * b[:, 1]) / span.std[:, j]
    return G, design, b, square


def general_mode(settings: Settings, unit: Unit, span: Scaled, active: Bool) -> Found:
    """Modes of multiplicative and logistic models, from their rows."""
    n, p = len(unit.spans), active.shape[1]
    theta, variance = np.zeros((n, p)), np.zeros(n)
    proper, rounds = np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64)
    shared = settings.features.shared
    active = active.copy()
    active[:, 2 : 2 + shared] &= _present(unit, span.columns[..., :shared])
    for rows, terms in _alike(active, _padded(unit.last)):
        problem, start = problems(settings, unit.take(rows), span.take(rows), terms)
        mode = nonlinear.solve(problem, start)
        theta[np.ix_(rows, np.union1d(terms, [0, 1]))] = mode.theta
        if problem.cap is not None and problem.growth == "flat":
            theta[rows, :2] = _held(mode.theta[:, 1], problem.cap[np.arange(len(rows)), unit.last[rows]])
        variance[rows], proper[rows], rounds[rows] = mode.variance, mode.proper, mode.rounds
    return Found(theta, variance, proper, rounds, np.count_nonzero(active, axis=1))


def _held(level: Float, cap: Float) -> Float:
    """Slope and offset (b, 2) of logistic trends that stay at a level (b,) while the capacity is `cap` (b,)."""
    share = np.clip(level / cap, 0.01, 0.99)
    offset = np.log(1 / share - 1) / STEADY
    return np.stack([np.full_like(offset, STEADY), offset], axis=1)


def _present(unit: Unit, columns: Float) -> Bool:
    """Columns (b, k) of the calendar that are not zero throughout a span: other dates are no concern of it."""
    seen = (columns != 0) & (unit.weight[unit.chief] > 0)[..., None]
    present: Bool = np.logical_or.accumulate(seen, axis=1)[unit.source[unit.series], unit.last]
    return present


def _padded(last: Int) -> Int:
    """Number of rows (b,) that spans with these last ones are filled up to: their own rows alone decide."""
    padded: Int = (last // BLOCK + 1) * BLOCK
    return padded


def _alike(active: Bool, lengths: Int) -> list[tuple[Int, Int]]:
    """Spans with the same terms and padded length, a bounded number at a time, and what their terms are."""
    kinds, kind = np.unique(np.column_stack([lengths, active]), axis=0, return_inverse=True)
    out = []
    for i, (length, *terms) in enumerate(kinds):
        rows = np.flatnonzero(kind.reshape(-1) == i)
        size = max(1, CELLS // (int(length) * active.shape[1]))
        out += [(rows[a : a + size], np.flatnonzero(terms)) for a in range(0, len(rows), size)]
    return out


def problems(settings: Settings, unit: Unit, span: Scaled, terms: Int) -> tuple[Problem, Float]:
    """The rows of some spans that have the same terms, and where to begin: (slope, level) (b, 2)."""
    k = len(settings.features.names)
    s, length = unit.series, int(_padded(unit.last).max())
    weight = np.sqrt(unit.weight[s, :length]) * (np.arange(length) <= unit.last[:, None])
    t = unit.tau[s, :length] / span.facts.unit[:, None]
    y = (unit.y[s, :length] + (unit.base[s] - span.floor)[:, None]) / span.scale[:, None]
    floors = span.floor[:, None] if span.floors is None else span.floors[s, :length]
    if span.floors is not None:
        y -= floors / span.scale[:, None]
    hinges = terms[terms >= 2 + k] - (2 + k)
    cap = None if span.cap is None else np.where(weight > 0, (span.cap[s, :length] - floors) / span.scale[:, None], 1.0)
    columns = terms[(terms >= 2) & (terms < 2 + k)] - 2
    x = span.columns[:, :length, columns]
    r = len(settings.features.regressors)
    if r or len(x) > 1:
        x = x[unit.source[s]]
    if r:
        own = columns >= k - r
        which = columns[own] - (k - r)
        moved = (span.mu - span.first[s])[:, None, which]
        x[..., own] = np.where(weight[..., None] > 0, (x[..., own] - moved) / span.std[:, None, which], 0.0)
    problem = Problem(
        y=np.where(weight > 0, y, 0.0), weight=weight, t=t,
        changepoints=span.places.tau[:, hinges] / span.places.unit[:, None],
        x=x, multiplicative=settings.features.multiplicative[columns],
        precision=settings.precision[np.concatenate([[0, 1], 2 + columns])], tau=settings.tau,
        growth=settings.growth if 0 in terms else "flat", cap=cap,
    )  # fmt: skip
    return problem, _start(settings, unit, y, cap)


def _start(settings: Settings, unit: Unit, y: Float, cap: Float | None) -> Float:
    """Slope and level through the first and the last row, as Prophet begins (b, 2)."""
    b = np.arange(len(y))
    first, last = y[:, 0], y[b, unit.last]
    if settings.growth == "flat":
        weight = unit.weight[unit.series, : y.shape[1]] * (np.arange(y.shape[1]) <= unit.last[:, None])
        return np.stack([np.zeros(len(y)), (y * weight).sum(axis=1) / weight.sum(axis=1)], axis=1)
    if cap is None:
        return np.stack([last - first, first], axis=1)
    # Values at or beyond the capacity are held inside, and equal ends are moved apart.
    ratio = [
        top / np.clip(value, 0.01 * top, 0.99 * top) for top, value in ((cap[:, 0], first), (cap[b, unit.last], last))
    ]
    ratio[0] = np.where(np.abs(ratio[0] - ratio[1]) <= 0.01, 1.05 * ratio[0], ratio[0])
    logit = [np.log(part - 1) for part in ratio]
    return np.stack([logit[0] - logit[1], logit[0] / (logit[0] - logit[1])], axis=1)
