"""k-means on the sphere: groups of places that lie together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsforecast.errors import whole
from tsforecast.geography.places import Places
from tsforecast.panel import Float, Int

__all__ = ["Clusters", "clusters"]

STARTS = 10
ROUNDS = 100
DECIMALS = 12
WORK = 20_000_000  # places x centres up to which centres are spread by k-means++; beyond, they are drawn


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Label (n,) of each place, -1 where unknown, numbered by the smallest ids; centres (c, 3) inside the sphere."""

    label: Int
    centres: Float

    def label_of(self, places: Places) -> Int:
        """Label (m,) of the nearest centre to any places, -1 where unknown."""
        label = np.full(len(places), -1, dtype=np.int64)
        known = places.known
        if len(self.centres) and known.any():
            label[known] = _assigned(places.vectors[known], self.centres)
        return label


def clusters(places: Places, k: int, seed: int = 0) -> Clusters:
    """At most k clusters of the known places, by k-means on their unit vectors: the best of 10 starts.

    As many clusters as distinct points where k is more. The order of the places changes nothing.
    Lloyd (1982), IEEE Trans. Inf. Theory 28; Arthur & Vassilvitskii (2007), k-means++, in its greedy form.
    """
    whole("k", k, 1)
    order = np.argsort(places.rank)
    order = order[places.known[order]]
    label = np.full(len(places), -1, dtype=np.int64)
    points = np.round(places.vectors[order], DECIMALS)  # all longitudes of a pole are one point
    distinct = np.unique(points, axis=0)
    if not len(distinct):
        return Clusters(label, np.empty((0, 3)))
    if k >= len(distinct):
        best = distinct
    else:
        rng = np.random.default_rng(seed)
        runs = [_lloyd(points, _seeds(points, distinct, k, rng)) for _ in range(STARTS)]
        best = min(runs, key=lambda run: run[0])[1]
    found, first, mine = np.unique(_assigned(points, best), return_index=True, return_inverse=True)
    number = np.empty(len(found), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(found))
    label[order] = number[mine.reshape(-1)]
    return Clusters(label, best[found[np.argsort(first)]])


def _assigned(points: Float, centres: Float) -> Int:
    from scipy.spatial import cKDTree

    nearest: Int = cKDTree(centres).query(points)[1].astype(np.int64)
    return nearest


def _seeds(points: Float, distinct: Float, k: int, rng: np.random.Generator) -> Float:
    """Distinct points (k, 3) to start from: each the best of a few drawn by squared distance from those before."""
    if len(points) * k > WORK:
        return distinct[np.sort(rng.choice(len(distinct), size=k, replace=False))]
    trials = 2 + int(np.log(k))
    chosen = np.empty(k, dtype=np.int64)
    apart = np.full(len(points), 4.0)  # no squared chord is longer
    for i in range(k):
        chance = np.cumsum(apart)
        drawn = np.searchsorted(chance, rng.random(trials) * chance[-1], side="right")
        drawn = np.minimum(drawn, len(points) - 1)
        away = np.minimum(apart, sum((axis - axis[drawn, None]) ** 2 for axis in points.T))
        best = np.argmin(away.sum(axis=1))
        chosen[i], apart = drawn[best], away[best]
    return points[chosen]


def _lloyd(points: Float, centres: Float) -> tuple[float, Float]:
    """Sum of squared chords and centres (k, 3) where nothing moves any more."""
    label = _assigned(points, centres)
    for _ in range(ROUNDS):
        centres = _means(points, label, len(centres))
        moved = _assigned(points, centres)
        if np.array_equal(moved, label):
            break
        label = moved
    return float(((points - centres[label]) ** 2).sum()), centres


def _means(points: Float, label: Int, k: int) -> Float:
    """Mean (k, 3) of every cluster; an empty one moves to the point that lies farthest from its own."""
    count = np.bincount(label, minlength=k)
    total = np.stack([np.bincount(label, weights=points[:, axis], minlength=k) for axis in range(3)], axis=1)
    centres: Float = total / np.maximum(count, 1)[:, None]
    away = ((points - centres[label]) ** 2).sum(axis=1) if (count == 0).any() else np.empty(0)
    for empty in np.flatnonzero(count == 0):
        centres[empty] = points[np.argmax(away)]
        away = np.minimum(away, ((points - centres[empty]) ** 2).sum(axis=1))
    return centres
