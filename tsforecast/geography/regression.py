"""Direct regressions on a field of anomalies: own lags and what other series show; few rows lean on a shared model.

Arrays are series-major here, (n, T) or (n, columns, T), so that what one series needs lies together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tsforecast.geography.fields import Field, field, filled, persistence
from tsforecast.panel import Bool, Float, Int, Panel, seasons, unit

__all__ = [
    "Ground",
    "Moments",
    "Terms",
    "View",
    "answers",
    "following",
    "held_errors",
    "held_out",
    "moments",
    "origins_kept",
    "picked",
    "pooled",
]

PRIOR = 10.0
"""Rows of no signal that a shared fit is shrunk by: what a handful of rows says counts for little."""
SERIES = 64
"""Series worked on together in fits of few columns."""
HELD = 365
"""Rows held out at most; never more than a quarter of a series."""
FEW = 8
"""Origins with all steps that a choice must rest on."""
ERRORS = 2_000_000
"""Held-out errors kept for intervals, of all series and steps together."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a series tells of itself: values at `lags` rows back, and means of its last rows."""

    lags: tuple[int, ...]
    means: tuple[int, ...]

    @classmethod
    def of(cls, panel: Panel) -> Terms:
        """Days: 0, 1 and 2 back, means of a week and of 90 days; below: 0, 1 and 2 back, means of the usual seasons;
        above: 0 and 1 back and the mean of a year.
        """
        usual = seasons(panel.freq)
        alias = unit(panel.freq)
        if alias in ("D", "B", "C"):
            return cls((0, 1, 2), (*usual[:1], 90))
        return cls((0, 1, 2), usual) if alias in ("h", "min", "s") else cls((0, 1), usual[:1])

    @property
    def count(self) -> int:
        """Number of columns."""
        return len(self.lags) + len(self.means)

    @property
    def depth(self) -> int:
        """Rows that the columns of one row need."""
        return max(max(self.lags) + 1, *self.means, 1)

    def columns(self, values: Float) -> Float:
        """Columns (n, k, T) at each row of gapless values (n, T); before the first row stands 0, the normal."""
        n, rows = values.shape
        before = np.concatenate([np.zeros((n, self.depth - 1)), values], axis=1)
        out = np.empty((n, self.count, rows))
        for j, lag in enumerate(self.lags):
            out[:, j] = before[:, self.depth - 1 - lag : self.depth - 1 - lag + rows]
        for j, width in enumerate(self.means, start=len(self.lags)):
            # Window by window, not by running sums: a mean has the same bits wherever the rows begin.
            out[:, j] = sliding_window_view(before[:, self.depth - width :], width, axis=1).mean(axis=2)
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Anomalies `values` (n, T) of n series, NaN where missing, of which those before `stop` (n,) are learned from.

    `first` is the grid position of their first row, `end` (n,) the row after the last of each; `persistence` (n,)
    fills gaps; `order` (n,) is that of the ids; `own` (n, k, T) what each series tells of itself at each row.
    """

    values: Float
    first: int
    stop: Int
    end: Int
    persistence: Float
    order: Int
    own: Float

    @classmethod
    def of(cls, anomalies: Panel, held: Int, order: Int) -> Ground:
        """The spans of a panel of anomalies; their last `held` (n,) rows are not learned from."""
        laid, early = field(anomalies, anomalies.y), anomalies.replace(stop=anomalies.stop - held)
        # A span without rows ends anywhere.
        stop, end = (np.clip(panel.last + 1 - laid.first, 0, len(laid.values)) for panel in (early, anomalies))
        known = np.where(np.arange(len(laid.values))[:, None] < stop, laid.values, np.nan)
        told = persistence(Field(known, laid.first))
        return cls._seen(laid, anomalies, stop, end, told, order)

    @classmethod
    def newest(cls, anomalies: Panel, persistence: Float, order: Int, to: Int | None = None) -> Ground:
        """The spans of a panel of anomalies, none of them to learn from, as series `to` (n,) of as many as in `order`.

        Series that no span is of are missing throughout.
        """
        laid = field(anomalies, anomalies.y)
        values = np.full((max(len(laid.values), 1), len(order)), np.nan)
        values[: len(laid.values), slice(None) if to is None else to] = laid.values
        end = np.full(len(order), len(values))
        return cls._seen(Field(values, laid.first), anomalies, end, end, persistence, order)

    @classmethod
    def _seen(cls, laid: Field, panel: Panel, stop: Int, end: Int, persistence: Float, order: Int) -> Ground:
        gapless = np.ascontiguousarray(filled(laid, persistence).T)
        values = np.ascontiguousarray(laid.values.T)
        return cls(values, laid.first, stop, end, persistence, order, Terms.of(panel).columns(gapless))

    def place(self, panel: Panel) -> Int:
        """Row of the ground (n,) at which each span of a panel ends; any row for a span without rows."""
        place: Int = np.clip(panel.last - self.first, 0, self.values.shape[1] - 1)
        return place

    @property
    def early(self) -> Field:
        """The values that are learned from."""
        return Field(np.where(self._before, self.values, np.nan).T, self.first)

    @property
    def _before(self) -> Bool:
        before: Bool = np.arange(self.values.shape[1]) < self.stop[:, None]
        return before

    def origins(self, back: Int) -> tuple[Int, Bool]:
        """Rows (n, c) that lie `back` (c,) rows before the last of each series; which of them are held out."""
        at = (self.end - 1)[:, None] - back
        return np.maximum(at, 0), (at >= self.stop[:, None] - 1) & (at >= 0)

    def use(self, some: Int) -> Bool:
        """Rows (s, T) that may be origins to learn from: from the first observed one on."""
        seen = np.logical_or.accumulate(np.isfinite(self.values[some]), axis=1)
        return seen & self._before[some]

    def targets(self, some: Int, h: int) -> Float:
        """Values (s, h, T) that lie 1 .. h rows after each origin; NaN where they may not be learned from."""
        values = np.where(self._before[some], self.values[some], np.nan)
        return np.where(self.use(some)[:, None], following(values, h), np.nan)


def following(values: Float, h: int) -> Float:
    """Values (s, h, T) that lie 1 .. h rows after each of values (s, T); NaN past the end."""
    ahead = np.concatenate([values[:, 1:], np.full((len(values), h), np.nan)], axis=1)
    return np.moveaxis(sliding_window_view(ahead, h, axis=1), 2, 1)


def picked(values: Float, at: Int) -> Float:
    """Values (s, ..., r) of (s, ..., T) at rows `at` (s, r)."""
    where = at.reshape(len(at), *[1] * (values.ndim - 2), at.shape[1])
    found: Float = np.take_along_axis(values, where, axis=-1)
    return found


def held_out(panel: Panel, h: int) -> Int:
    """Last rows (n,) of each series that choices are judged on, a quarter of them at most; 0 where they are too few."""
    held = np.minimum(panel.lengths // 4, HELD)
    return held if held.max(initial=0) >= h + FEW else np.zeros_like(held)


def origins_kept(held: Int, h: int) -> Int:
    """Rows (c,) back from the end at which held-out errors are kept, farthest first."""
    most = int(held.max(initial=0))
    count = int(np.clip(ERRORS // max(len(held) * h, 1), 20, max(most, 20)))
    return np.unique(np.linspace(1, most, count).astype(np.int64))[::-1]


def held_errors(ground: Ground, told: Float, scale: Float, back: Int) -> Float:
    """Errors (n, c, h) of anomalies `told` (n, h, c) from `back` (c,) rows before the end, by the `scale` (n, T) there.

    NaN where an origin is not held out, or its target is missing.
    """
    at, inside = ground.origins(back)
    out = np.empty((len(at), len(back), told.shape[1]))
    for first in range(0, len(at), SERIES):
        some = slice(first, first + SERIES)
        actual, unit = (picked(following(rows[some], told.shape[1]), at[some]) for rows in (ground.values, scale))
        error = np.where(inside[some, None], (actual - told[some]) * unit, np.nan)
        out[some] = np.swapaxes(error, 1, 2)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What n series see at each row: own columns (n, k, T), and other `series` (m + 1, T), the last all zero.

    `index` (n, K) says which, nearest first, -1 for none; `weight` (n, K) how much each counts in their mean.
    """

    own: Float
    series: Float
    index: Int
    weight: Float

    def columns(self, some: Int, near: int) -> Float:
        """Columns (s, k + 2 near, T) of some series: own ones, then each of the nearest, now and a row before."""
        k, rows = self.own.shape[1:]
        out = np.empty((len(some), k + 2 * near, rows))
        out[:, :k] = self.own[some]
        other = self.series[self.index[some, :near]]
        out[:, k::2] = other
        out[:, k + 1 :: 2, 1:] = other[:, :, :-1]
        out[:, k + 1 :: 2, 0] = 0.0
        return out

    def columns_at(self, some: Int, near: int, at: Int) -> Float:
        """The `columns` (s, k + 2 near, r) of some series at rows `at` (s, r) alone."""
        k, which, row = self.own.shape[1], self.index[some, :near, None], at[:, None]
        out = np.empty((len(some), k + 2 * near, at.shape[1]))
        out[:, :k] = picked(self.own[some], at)
        out[:, k::2] = self.series[which, row]
        out[:, k + 1 :: 2] = np.where(row > 0, self.series[which, np.maximum(row - 1, 0)], 0.0)
        return out

    def summary(self, some: Int) -> Float:
        """Columns (s, k + 2, T) of some series: own ones, then the weighted mean of others, now and a row before."""
        k, rows = self.own.shape[1:]
        out = np.zeros((len(some), k + 2, rows))
        out[:, :k] = self.own[some]
        for j in range(self.index.shape[1]):
            weight = self.weight[some, j, None]
            if weight.any():
                out[:, k] += weight * self.series[self.index[some, j]]
        out[:, k + 1, 1:] = out[:, k, :-1]
        return out

    def spread(self, shared: Float, some: Int, near: int) -> Float:
        """Coefficients (s, k + 2 near, h) on `columns` that say what `shared` (k + 2, h) says on `summary`."""
        k = self.own.shape[1]
        out = np.empty((len(some), k + 2 * near, shared.shape[1]))
        out[:, :k] = shared[:k]
        out[:, k:] = (self.weight[some, :near, None, None] * shared[k:]).reshape(len(some), 2 * near, -1)
        return out


def pooled(ground: Ground, columns: Callable[[Int], Float], groups: Int, h: int) -> tuple[Float, Float]:
    """Moments of one shared regression a group: Gram (g, h, q, q), cross products (g, h, q).

    `columns` gives (s, q, T) for some series, `groups` (n,) is -1 for those left out. Each step has the rows whose
    target is known. Sums run in the order of ids, so that no bit depends on how the series are sorted.
    """
    order = ground.order[groups[ground.order] >= 0]
    q = columns(order[:0]).shape[1]
    count = int(groups.max(initial=-1)) + 1
    gram, cross = np.zeros((count, h, q, q)), np.zeros((count, h, q))
    for first in range(0, len(order), SERIES):
        some = order[first : first + SERIES]
        use, y = ground.use(some), ground.targets(some, h)
        x = columns(some) * use[:, None]
        told = np.isfinite(y)
        squares = np.repeat((x @ np.swapaxes(x, 1, 2))[:, None], h, axis=1)
        for step in range(h):
            # Most origins have a target: what the others add is taken off again.
            rest = use & ~told[:, step]
            at = np.flatnonzero(rest.any(axis=0))
            squares[:, step] -= (x[:, :, at] * rest[:, None, at]) @ np.swapaxes(x[:, :, at], 1, 2)
        np.add.at(gram, groups[some], squares)
        np.add.at(cross, groups[some], np.where(told, y, 0.0) @ np.swapaxes(x, 1, 2))
    return gram, cross


def answers(gram: Float, cross: Float, penalty: float = PRIOR) -> Float:
    """Ridge coefficients (..., q) with `penalty` pseudo-rows, from moments (..., q, q) and (..., q)."""
    raised = gram + penalty * np.eye(gram.shape[-1])
    return np.asarray(np.linalg.solve(raised, cross[..., None])[..., 0])


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Gram (s, p, p) of the origins' columns, cross products (s, p, h) with the known targets; how many origins (s,)
    and known targets (s, h) there are.
    """

    gram: Float
    cross: Float
    origins: Float
    told: Float

    def ridge(self, p: int, penalty: float) -> Float:
        """Coefficients (s, p, h) on the first p columns, with `penalty` pseudo-rows at zero.

        One Gram serves all steps though it holds origins without a target: with N of T origins told, N_h of them at
        step h, (N / T G + penalty I) b = N / N_h c_h.
        """
        mean = self.told.mean(axis=1, keepdims=True)
        share = (mean / np.maximum(self.origins, 1.0)[:, None])[:, :, None]
        left = share * self.gram[:, :p, :p] + penalty * np.eye(p)
        right = self.cross[:, :p] * (mean / np.maximum(self.told, 1.0))[:, None]
        return np.asarray(np.linalg.solve(left, right))


def moments(x: Float, y: Float, use: Bool) -> Moments:
    """Moments of columns x (s, p, T) at the origins `use` (s, T) and targets y (s, h, T), NaN where not known."""
    used = x if use.all() else x * use[:, None]
    told = np.isfinite(y)
    return Moments(
        used @ np.swapaxes(used, 1, 2),
        used @ np.swapaxes(np.where(told, y, 0.0), 1, 2),
        use.sum(axis=1).astype(np.float64),
        told.sum(axis=2).astype(np.float64),
    )
