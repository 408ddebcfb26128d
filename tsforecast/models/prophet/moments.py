"""Running sums over rows: with them the normal equations of a span cost nothing that grows with its length.

A *source* is one beginning of rows: every cutoff of a series shares it, and series without gaps that begin on the same
day share the sums of the columns too. Sums over a span are differences of running sums; products of columns run over
blocks of BLOCK rows counted from the beginning, plus the rest of the last block, so that neither other cutoffs nor
other series change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsforecast.panel import Float, Int

__all__ = ["Changes", "Columns", "Target", "gram", "moment"]

BLOCK = 64
WIDTHS = 8
"""Columns are padded with zeros to a multiple of this before they are multiplied: so neither their number nor their
places change a bit of a product, and holidays that only other series meet are no concern of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Running sums of s sources over L rows: zero, one, two hold sums of w a, w tau a, w tau^2 up to each row, where a
    is [1, columns] (s, L, K + 1), tau the days since the beginning (s, L) and w the weight of a row (0 where there is
    no target); values the a themselves, padded to (s, L, p); blocks (s, L / BLOCK, p, p) products of weighted a before
    each block.
    """

    tau: Float
    weight: Float
    values: Float
    zero: Float
    one: Float
    two: Float
    blocks: Float

    @classmethod
    def of(cls, tau: Float, weight: Float, columns: Float) -> Columns:
        """Sums of columns (s, L, K), L a multiple of BLOCK."""
        count = 1 + columns.shape[2]
        a = np.zeros((*columns.shape[:2], -(-count // WIDTHS) * WIDTHS))
        a[..., 0], a[..., 1:count] = 1.0, columns
        weighted = a * weight[..., None]
        return cls(
            tau=tau,
            weight=weight,
            values=a,
            zero=np.cumsum(weighted[..., :count], axis=1),
            one=np.cumsum(weighted[..., :count] * tau[..., None], axis=1),
            two=np.cumsum(weight * tau**2, axis=1),
            blocks=_before(_in_blocks(weighted).swapaxes(2, 3) @ _in_blocks(a)),
        )

    def products(self, source: Int, last: Int) -> Float:
        """Sums of w a a' (b, K + 1, K + 1) over the rows of sources (b,) up to row `last` (b,)."""
        rows, inside = _rest(last)
        a = self.values[source[:, None], rows]
        tail = (a * (inside * self.weight[source[:, None], rows])[..., None]).swapaxes(1, 2) @ a
        count = self.zero.shape[2]
        return (self.blocks[source, last // BLOCK] + tail)[:, :count, :count]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Running sums of s series over L rows: zero, one, square hold sums of w y, w tau y, w y^2 up to each row; blocks
    (s, L / BLOCK, p) the products of y with the values of its source before each block.
    """

    y: Float
    zero: Float
    one: Float
    square: Float
    blocks: Float

    @classmethod
    def of(cls, y: Float, columns: Columns, source: Int) -> Target:
        """Sums of y (s, L), 0 where there is no target, against the columns of its source (s,)."""
        # One source for all is broadcast, not copied.
        mine: Int | slice = slice(None) if len(columns.values) == 1 else source
        a, weighted = columns.values[mine], y * columns.weight[mine]
        blocks = _in_blocks(weighted[..., None]).swapaxes(2, 3) @ _in_blocks(a)
        return cls(
            y=weighted,
            zero=np.cumsum(weighted, axis=1),
            one=np.cumsum(weighted * columns.tau[mine], axis=1),
            square=np.cumsum(weighted * y, axis=1),
            blocks=_before(blocks)[:, :, 0],
        )

    def products(self, columns: Columns, source: Int, series: Int, last: Int) -> Float:
        """Sums of w y a (b, K + 1) over the rows of series (b,) up to row `last` (b,)."""
        rows, inside = _rest(last)
        y = self.y[series[:, None], rows] * inside
        tail = (y[:, None, :] @ columns.values[source[:, None], rows])[:, 0]
        return (self.blocks[series, last // BLOCK] + tail)[:, : columns.zero.shape[2]]


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Changepoints of b spans: days since the beginning (b, S), the last row at or before each (b, S), and the days
    (b,) that are one unit of t.
    """

    tau: Float
    row: Int
    unit: Float

    def take(self, index: Int) -> Changes:
        """Those of some spans."""
        return Changes(self.tau[index], self.row[index], self.unit[index])


def gram(columns: Columns, source: Int, last: Int, changes: Changes) -> Float:
    """X'WX (b, 2 + K + S, 2 + K + S) of X = [t, 1, columns, (t - s_j)_+] over the spans' rows up to `last` (b,)."""
    unit, at = changes.unit, changes.tau / changes.unit[:, None]
    whole = columns.products(source, last)
    b, k = len(last), whole.shape[1]  # k counts the constant
    zero, one = (running[source, last] for running in (columns.zero, columns.one))  # (b, k)
    two = columns.two[source, last] / unit**2
    behind = source[:, None], changes.row
    # Sums after each changepoint, in units of t.
    past_zero = zero[:, None] - columns.zero[behind]
    past_one = (one[:, None] - columns.one[behind]) / unit[:, None, None]
    past_two = two[:, None] - columns.two[behind] / unit[:, None] ** 2
    hinge = past_one - at[..., None] * past_zero  # (b, S, k): sums of (t - s_j)_+ a
    hinge_t = past_two - at * past_one[..., 0]
    out = np.empty((b, 1 + k + at.shape[1], 1 + k + at.shape[1]))
    out[:, 0, 0] = two
    out[:, 0, 1 : k + 1] = out[:, 1 : k + 1, 0] = one / unit[:, None]
    out[:, 1 : k + 1, 1 : k + 1] = whole
    out[:, k + 1 :, 0] = out[:, 0, k + 1 :] = hinge_t
    out[:, k + 1 :, 1 : k + 1] = hinge
    out[:, 1 : k + 1, k + 1 :] = hinge.swapaxes(1, 2)
    out[:, k + 1 :, k + 1 :] = _hinges(at, past_zero[..., 0], past_one[..., 0], past_two)
    return out


def _hinges(at: Float, zero: Float, one: Float, two: Float) -> Float:
    """Sums of (t - s_i)_+ (t - s_j)_+ (b, S, S): over the rows after the later of the two changepoints."""
    i, j = np.indices((at.shape[1], at.shape[1]))
    pick = np.where(at[:, i] > at[:, j], i, j)
    b = np.arange(len(at))[:, None, None]
    si, sj = at[:, i], at[:, j]
    products: Float = two[b, pick] - (si + sj) * one[b, pick] + si * sj * zero[b, pick]
    return products


def moment(columns: Columns, target: Target, source: Int, series: Int, last: Int, changes: Changes) -> Float:
    """X'Wy (b, 2 + K + S) for the same X."""
    at = changes.tau / changes.unit[:, None]
    zero, one = target.zero[series, last], target.one[series, last] / changes.unit
    behind = series[:, None], changes.row
    hinge = (one[:, None] - target.one[behind] / changes.unit[:, None]) - at * (zero[:, None] - target.zero[behind])
    return np.concatenate([one[:, None], target.products(columns, source, series, last), hinge], axis=1)


def _in_blocks(values: Float) -> Float:
    """(s, L, ...) as (s, L / BLOCK, BLOCK, ...)."""
    return values.reshape(values.shape[0], -1, BLOCK, *values.shape[2:])


def _before(blocks: Float) -> Float:
    """Sums over the blocks before each."""
    out = np.zeros_like(blocks)
    np.cumsum(blocks[:, :-1], axis=1, out=out[:, 1:])
    return out


def _rest(last: Int) -> tuple[Int, Float]:
    """Rows (b, BLOCK) of the block that holds row `last`, and 1 for those up to it."""
    rows = last[:, None] // BLOCK * BLOCK + np.arange(BLOCK)
    return rows, (rows <= last[:, None]).astype(float)
