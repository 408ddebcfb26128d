"""From a panel to what Prophet's model calls its history: which rows, which scale, which changepoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from tsforecast.models.prophet.moments import BLOCK, Changes
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.windows.blocks import cores

__all__ = ["DAY", "Facts", "Unit", "changepoints", "explicit", "facts", "units"]

DAY = 86_400_000_000
"""Microseconds."""
CELLS = 1_200_000
"""Values of column sums held at once by one worker."""
FEWEST, SERIES, SPANS = 64, 512, 1024
"""Least and most series worked on at once where there is a thread more to work on others, and most spans of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Some series that are worked on together, (s, L) from their first observed rows on, L a multiple of BLOCK.

    rows (s, L) of the block, grid positions (x, L) of the sources, observed and weight (s, L), y (s, L) less its first
    value `base` (s,), 0 where not observed, start (s,) microseconds and tau (s, L) days since then; source (s,) numbers
    the column sums that a series uses and `chief` (x,) is the series that stands for each; spans (b,) numbers the
    panel's spans, series (b,) whose they are, last (b,) their last observed row counted from the first.
    """

    rows: Int
    position: Int
    observed: Bool
    weight: Float
    y: Float
    base: Float
    start: Int
    tau: Float
    source: Int
    chief: Int
    spans: Int
    series: Int
    last: Int

    def take(self, index: Int) -> Unit:
        """Some of the spans."""
        return replace(self, spans=self.spans[index], series=self.series[index], last=self.last[index])


class _Extent(NamedTuple):
    """Of each series (s,): first and last observed row, what to add for grid positions, key of its column sums."""

    first: Int
    final: Int
    offset: Int
    key: Int

    def take(self, index: Int) -> _Extent:
        """Some of the series."""
        return _Extent(*(values[index] for values in self))


def units(panel: Panel, width: int, row_columns: bool) -> Iterator[Callable[[], Unit]]:
    """How to make each unit: all spans that hold an observed row, bounded in memory for `width` columns.

    Series without gaps that begin on the same grid position share their column sums, unless rows have columns of
    their own.
    """
    seen = np.isfinite(panel.y) & np.isfinite(panel.columns).all(axis=1)
    if panel.weights is not None:
        seen &= panel.weights > 0
    begin, end = _observed_ends(panel, seen)
    kept = np.flatnonzero((begin < panel.stop) & (panel.stop > panel.start))
    if not len(kept):
        return
    first, of_span = np.unique(begin[kept], return_inverse=True)
    last = end[kept]
    final = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(final, of_span, last)
    count = np.concatenate([[0], np.cumsum(seen)])
    clean = count[final + 1] - count[first] == final + 1 - first
    if row_columns or panel.at is not None or panel.weights is not None:
        clean[:] = False
    offset = np.zeros(len(first), dtype=np.int64)
    offset[of_span] = panel.offset[kept]
    key = np.where(clean, first + offset, -1 - np.arange(len(first)))
    extent = _Extent(first, final, offset, key)
    length = -(-(final + 1 - first) // BLOCK) * BLOCK
    order = np.lexsort((key, length))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    in_order = np.argsort(rank[of_span], kind="stable")
    until = np.concatenate([[0], np.cumsum(np.bincount(rank[of_span], minlength=len(order)))])
    at_once = min(max(FEWEST, -(-len(order) // cores())), SERIES)
    for low, high in _packed(key[order], length[order], until, width, at_once):
        mine = in_order[until[low] : until[high]]
        series = rank[of_span[mine]] - low
        chosen = extent.take(order[low:high])
        yield partial(_unit, panel, seen, chosen, kept[mine], series, last[mine] - first[of_span[mine]])


def _observed_ends(panel: Panel, seen: Bool) -> tuple[Int, Int]:
    """First observed row at or after each span's start, last one before its stop (n,); past an end if there is none."""
    if seen.all():
        return panel.start, panel.stop - 1
    rows = np.arange(len(seen))
    after = np.minimum.accumulate(np.where(seen, rows, len(seen))[::-1])[::-1]
    before = np.maximum.accumulate(np.where(seen, rows, -1))
    return np.append(after, len(seen))[panel.start], before[panel.stop - 1]


def _packed(key: Int, length: Int, until: Int, width: int, series: int) -> Iterator[tuple[int, int]]:
    """Bounds of groups of bounded size: of column sums, of series, and of spans, `until[i]` before series i."""
    low, keys = 0, set[int]()
    for i in range(len(key)):
        cells = (len(keys) + 1) * int(length[i]) * (width + 1)
        full = int(key[i]) not in keys and cells > CELLS
        if i > low and (full or i - low >= series or until[i + 1] - until[low] > SPANS):
            yield low, i
            low, keys = i, set()
        keys.add(int(key[i]))
    if len(key):
        yield low, len(key)


def _unit(panel: Panel, seen: Bool, extent: _Extent, spans: Int, series: Int, last: Int) -> Unit:
    first, final, offset, key = extent
    length = -(-int((final + 1 - first).max()) // BLOCK) * BLOCK
    rows = first[:, None] + np.arange(length)
    inside = rows <= final[:, None]
    rows = np.where(inside, rows, final[:, None])
    observed = seen[rows] & inside
    base = panel.y[first]
    y = np.where(observed, panel.y[rows] - base[:, None], 0.0)
    # Sums run over the rows of the longest series of a source; what follows a shorter one's end is never asked for.
    longest = np.argsort(first - final, kind="stable")
    _, chief, source = np.unique(key[longest], return_index=True, return_inverse=True)
    chief, source = longest[chief], source[np.argsort(longest)]
    position = rows[chief] + offset[chief, None] if panel.at is None else panel.at[rows[chief]]
    stamps = panel.grid[position].astype("datetime64[us]").astype(np.int64)
    weight = observed.astype(float)
    if panel.weights is not None:
        weight *= np.where(observed, panel.weights[rows], 0.0)
    start, tau = stamps[:, 0], (stamps - stamps[:, :1]) / DAY
    return Unit(
        rows, position, observed, weight, y, base, start[source], tau[source], source, chief, spans, series, last
    )


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Of each span (b,): observed rows, days from first to last, lowest and highest target, largest absolute one,
    shortest step in days.
    """

    count: Int
    unit: Float
    low: Float
    high: Float
    top: Float
    step: Float


def facts(unit: Unit) -> Facts:
    """What the rows up to each span's last one say."""
    y = unit.y + unit.base[:, None]
    s, last = unit.series, unit.last
    # Series of one source have the same rows, the chief all of them.
    chief, source = unit.chief, unit.source[s]
    observed, tau = unit.observed[chief], unit.tau[chief]
    gaps = np.full(tau.shape, np.inf)
    earlier = np.maximum.accumulate(np.where(observed, tau, -np.inf), axis=1)
    gaps[:, 1:] = np.where(observed[:, 1:], tau[:, 1:] - earlier[:, :-1], np.inf)
    lowest, highest = np.where(unit.observed, y, np.inf), np.where(unit.observed, y, -np.inf)
    if len(s) == len(y):  # a span a series, all of it
        low, high = lowest.min(axis=1)[s], highest.max(axis=1)[s]
    else:
        low = np.minimum.accumulate(lowest, axis=1)[s, last]
        high = np.maximum.accumulate(highest, axis=1)[s, last]
    return Facts(
        count=np.cumsum(observed, axis=1, dtype=np.int64)[source, last],
        unit=np.where(last > 0, unit.tau[s, last], 1.0),
        low=low,
        high=high,
        top=np.maximum(np.abs(low), np.abs(high)),
        step=np.minimum.accumulate(gaps, axis=1)[source, last],
    )


def changepoints(unit: Unit, facts: Facts, number: int, share: float) -> tuple[Int, Float, Int]:
    """Rows (b, S), days (b, S) and their number (b,): evenly spaced over the first `share` of the observed rows.

    Places that a short span leaves over lie on its last row, where a hinge is zero throughout; a span without any has
    one at its first row, as in Prophet.
    """
    reach = np.floor(facts.count * share).astype(np.int64)
    count = np.where(number + 1 > reach, np.maximum(reach - 1, 0), number)
    places = np.arange(1, max(number, 1) + 1)
    step = (reach - 1) / np.maximum(count, 1)
    rank = np.round(np.where(places == count[:, None], (reach - 1)[:, None], places * step[:, None])).astype(np.int64)
    none = (count == 0)[:, None] & (places == 1)
    rank = np.where(places <= count[:, None], np.clip(rank, 0, None), np.where(none, 0, (facts.count - 1)[:, None]))
    if unit.observed.all():
        rows = rank
    else:
        rows = np.argsort(~unit.observed, axis=1, kind="stable")[unit.series[:, None], rank]
    return rows, unit.tau[unit.series[:, None], rows], count


def explicit(unit: Unit, facts: Facts, days: Float) -> Changes:
    """Changepoints on given days (b, S) after the beginning; those after the span's end lie on its last row."""
    inside = np.clip(days, 0.0, facts.unit[:, None])
    tau = unit.tau[unit.series]
    rows = (tau[:, None, :] <= inside[..., None]).sum(axis=2) - 1 if days.size else np.zeros(days.shape, np.int64)
    return Changes(inside, np.minimum(rows, unit.last[:, None]), facts.unit)
