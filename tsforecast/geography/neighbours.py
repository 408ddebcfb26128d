"""Who is near whom: k nearest places in near-linear time, and places that hold the same series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsforecast.errors import whole
from tsforecast.geography.fields import Field
from tsforecast.geography.places import Places
from tsforecast.geography.sphere import chords, kilometres
from tsforecast.panel import Bool, Float, Int

__all__ = ["Neighbours", "locations", "nearest", "nearest_to"]

TWIN_KM = 1.0
BLOCK = 20_000  # places looked up at once: bounds memory, changes no bit of a result
PAIRS = 100_000  # pairs compared at once, ROWS rows at a time
ROWS = 32
SLACK = 8  # neighbours asked for beyond k, to see past ties
_DECIMALS = 12  # chords that agree to 1e-12 (six micrometres) are tied


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The k nearest, nearest first: index (n, k), -1 where there is none; km (n, k), inf there."""

    index: Int
    km: Float


def nearest(places: Places, k: int, location: Int | None = None) -> Neighbours:
    """The k nearest places of each place: never itself nor another of its location, one of every other location.

    `location` (n,) is what `locations` tells (None: each place its own); the place with the smallest id stands for
    its location. Ties go to the smaller id; unknown places have no neighbours and are nobody's.
    """
    own = np.arange(len(places), dtype=np.int64) if location is None else location
    return _searched(places, own, places.vectors, own, k)


def nearest_to(places: Places, others: Places, k: int, location: Int | None = None) -> Neighbours:
    """The k nearest of `places` to each of `others` (m,): index into `places` (m, k), one of every location (n,)."""
    own = np.arange(len(places), dtype=np.int64) if location is None else location
    return _searched(places, own, others.vectors, np.full(len(others), -1, dtype=np.int64), k)


def _searched(places: Places, location: Int, targets: Float, barred: Int, k: int) -> Neighbours:
    """The k nearest of `places` to each target (m, 3) that are not of its `barred` location (m,)."""
    from scipy.spatial import cKDTree

    whole("k", k, 1)
    index = np.full((len(targets), k), -1, dtype=np.int64)
    chord = np.full((len(targets), k), np.inf)
    pool = _candidates(places, location, k)
    if len(pool):
        tree = cKDTree(places.vectors[pool])
        asked = np.flatnonzero(np.isfinite(targets).all(axis=1))
        for first in range(0, len(asked), BLOCK):
            some = asked[first : first + BLOCK]
            index[some], chord[some] = _block(tree, pool, location, targets[some], barred[some], k)
    return Neighbours(index, kilometres(chord))


def _candidates(places: Places, location: Int, k: int) -> Int:
    """Places that may be neighbours, by id: the first known one of every location, at most k + 1 at one point.

    More at one point could never be among the k nearest: they are tied, and smaller ids go first.
    """
    order = np.argsort(places.rank)
    order = order[places.known[order]]
    order = order[np.sort(np.unique(location[order], return_index=True)[1])]
    _, point = np.unique(np.stack([places.lat[order], places.lon[order]]), axis=1, return_inverse=True)
    by_point = np.argsort(point.reshape(-1), kind="stable")
    counted = point.reshape(-1)[by_point]
    before = np.arange(len(order)) - np.searchsorted(counted, counted)
    kept: Int = order[np.sort(by_point[before <= k])]
    return kept


def _block(tree: Any, pool: Int, location: Int, targets: Float, barred: Int, k: int) -> tuple[Int, Float]:
    """Index (b, k) and chord (b, k) of the neighbours of some targets; `pool` is in the order of ids."""
    index = np.full((len(targets), k), -1, dtype=np.int64)
    chord = np.full((len(targets), k), np.inf)
    left, width = np.arange(len(targets)), k + 1 + SLACK
    while len(left):
        width = min(width, len(pool))
        far, place = tree.query(targets[left], k=np.arange(1, width + 1))
        mine = location[pool[place]] == barred[left, None]
        tied = np.where(mine, np.inf, np.round(far, _DECIMALS))
        order = np.lexsort((place, tied))[:, :k]
        tied = np.take_along_axis(tied, order, axis=1)
        found = np.where(np.isfinite(tied), pool[np.take_along_axis(place, order, axis=1)], -1)
        index[left, : order.shape[1]] = found
        chord[left, : order.shape[1]] = np.where(found < 0, np.inf, np.take_along_axis(far, order, axis=1))
        # Settled where all were looked at, or the farthest lies beyond the k-th: no tie was cut in two.
        open_ = np.round(far[:, -1], _DECIMALS) <= tied[:, -1]
        left = left[open_] if width < len(pool) else left[:0]
        width *= 2
    return index, chord


def locations(places: Places, field: Field) -> Int:
    """Number of the location of each place (n,), counted by the smallest ids: twins share one.

    Twins lie under 1 km apart and agree wherever both are observed, which is at least half of the shorter one's
    observed rows; twins of twins are twins. `field` holds values as they came: anomalies of twins differ as soon as
    their gaps do. Cost grows with the pairs under 1 km.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(places)
    a, b = _twins(places, field)
    label = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)[1]
    first = np.full(n, n, dtype=np.int64)
    np.minimum.at(first, label, places.rank)
    number = np.empty(n, dtype=np.int64)
    number[np.argsort(first, kind="stable")] = np.arange(n)
    location: Int = number[label]
    return location


def _twins(places: Places, field: Field) -> tuple[Int, Int]:
    """Pairs (p,), (p,) of places that hold the same series."""
    from scipy.spatial import cKDTree

    known = np.flatnonzero(places.known)
    none = np.empty(0, dtype=np.int64)
    if len(known) < 2:
        return none, none
    points = places.vectors[known]
    tree, reach = cKDTree(points), chords(TWIN_KM)
    counts = tree.query_ball_point(points, reach, return_length=True)
    close = np.flatnonzero(counts > 1)
    seen = np.isfinite(field.values).sum(axis=0)
    found_a, found_b = [none], [none]
    part = np.cumsum(counts[close]) // PAIRS
    for number in np.unique(part):
        some = close[part == number]
        lists = tree.query_ball_point(points[some], reach)
        a, b = known[np.repeat(some, counts[some])], known[np.concatenate(lists).astype(np.int64)]
        a, b = a[a < b], b[a < b]
        same = _same(field, a, b, seen)
        found_a.append(a[same])
        found_b.append(b[same])
    return np.concatenate(found_a), np.concatenate(found_b)


def _same(field: Field, a: Int, b: Int, seen: Int) -> Bool:
    """Whether the series a (p,) and b (p,) agree on their common rows, at least half of the shorter one's `seen`."""
    alive = np.arange(len(a))
    common = np.zeros(len(a), dtype=np.int64)
    for first in range(0, len(field.values), ROWS):  # most pairs differ within the first rows
        slab = field.values[first : first + ROWS]
        x, y = slab[:, a[alive]], slab[:, b[alive]]
        both = np.isfinite(x) & np.isfinite(y)
        common[alive] += both.sum(axis=0)
        alive = alive[~(both & (x != y)).any(axis=0)]
    same = np.zeros(len(a), dtype=np.bool_)
    same[alive] = (common[alive] > 0) & (2 * common[alive] >= np.minimum(seen[a], seen[b])[alive])
    return same
