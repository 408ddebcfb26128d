"""What a place sees of others: its nearest neighbours, or the means of the clusters around it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tsforecast.geography import Field, Places, clusters, filled, nearest, persistence
from tsforecast.geography.regression import Ground, View
from tsforecast.panel import Bool, Float, Int
from tsforecast.rolling import State

__all__ = ["Scene", "joined", "view"]

MEAN_OF = 5
"""Neighbours in the mean that the shared model goes by."""
CLOSE_KM = 50.0
"""Distance below which neighbours count alike in that mean."""

# A plan is part of the fitted state: arrays with one row a series, `index` into `_series`, -1 for none.


class Scene(NamedTuple):
    """Anomalies of places, which places are one location (n,), and which do not stray from their normal (n,)."""

    ground: Ground
    places: Places
    location: Int
    still: Bool

    @property
    def fitted(self) -> Int:
        """Places that have coefficients of their own, in the order of ids."""
        order = self.ground.order
        found: Int = order[(self.places.known & ~self.still)[order]]
        return found

    def plan(self, kind: str, count: int, most: int) -> State:
        """What each place sees: the `most` nearest neighbours, or of `count` clusters its own and the nearest."""
        return _near(self, most) if kind == "neighbours" else _around(self, count, most)


def _near(scene: Scene, most: int) -> State:
    """Plan of the nearest neighbours; their mean is weighted by distance."""
    found = nearest(scene.places, most, scene.location)
    weight = np.zeros(found.km.shape)
    head = found.km[:, :MEAN_OF]
    weight[:, :MEAN_OF] = np.where(np.isfinite(head), 1 / np.maximum(head, CLOSE_KM), 0.0)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    return {"index": found.index, "weight": weight, "persistence": persistence(scene.ground.early)}


def _around(scene: Scene, count: int, most: int) -> State:
    """Plan of clusters: the mean of a place's own one without its location, then those of the nearest others.

    One place stands for a location; a place alone in its cluster begins with the nearest other one.
    """
    places = scene.places
    stands = _standing(places, scene.location)
    label = np.where(places.known, clusters(places, count).label[stands], -1)
    count = max(int(label.max(initial=-1)) + 1, 1)  # places all unknown are of no cluster, an empty one
    size = np.bincount(label[(stands == np.arange(len(stands))) & (label >= 0)], minlength=count)
    company = (label >= 0) & (size[label] > 1)
    others = _others(places, stands, label, count, most)
    own = np.where(company, count + np.arange(len(label)), -1)[:, None]
    index = np.where(own >= 0, np.concatenate([own, others[:, : most - 1]], axis=1), others)
    weight = np.zeros(index.shape)
    weight[:, 0] = index[:, 0] >= 0
    plan = {"index": index, "weight": weight, "label": label, "stands": stands, "clusters": count}
    means, rest = _means(plan, scene.ground.order, scene.ground.early.values)
    return plan | {"middles": persistence(Field(means, 0)), "persistence": persistence(Field(rest, 0))}


def _standing(places: Places, location: Int) -> Int:
    """The place (n,) that stands for the location of each: the one with the smallest id."""
    order = np.argsort(places.rank)
    stands = np.empty(int(location.max(initial=-1)) + 1, dtype=np.int64)
    stands[location[order[::-1]]] = order[::-1]
    return stands[location]


def _others(places: Places, stands: Int, label: Int, count: int, most: int) -> Int:
    """The `most` clusters (n, most) with the nearest centres that are not a place's own; -1 where there are fewer."""
    from scipy.spatial import cKDTree

    out = np.full((len(label), most), -1, dtype=np.int64)
    served = np.flatnonzero(label >= 0)
    if count < 2 or not len(served):
        return out
    order = np.argsort(places.rank)
    order = order[(label[order] >= 0) & (stands[order] == order)]
    centres = np.zeros((count, 3))
    np.add.at(centres, label[order], places.vectors[order])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-300)
    width = min(most + 1, count)
    found = cKDTree(centres).query(places.vectors[served], k=np.arange(1, width + 1))[1]
    own_last = np.argsort(found == label[served, None], axis=1, kind="stable")
    kept = np.take_along_axis(found, own_last, axis=1)[:, : min(most, count - 1)]
    out[served, : kept.shape[1]] = kept
    return out


def _means(plan: State, order: Int, values: Float) -> tuple[Float, Float]:
    """Means (T, c) of the clusters, and of each place's cluster without its location (T, n); NaN where none is seen.

    Sums run in `order`, so that no bit depends on how the places are sorted.
    """
    from scipy.sparse import csr_array

    label, stands, count = plan["label"], plan["stands"], plan["clusters"]
    order = order[(label[order] >= 0) & (stands[order] == order)]
    order = order[np.argsort(label[order], kind="stable")]
    ends = np.searchsorted(label[order], np.arange(count + 1))
    members = csr_array((np.ones(len(order)), order, ends), shape=(count, len(label)))
    seen = np.isfinite(values)
    known = np.where(seen, values, 0.0)
    total, there = members @ known.T, members @ seen.T.astype(np.float64)
    left = np.where(label[:, None] >= 0, total[label] - known.T[stands], 0.0)
    more = np.where(label[:, None] >= 0, there[label] - seen.T[stands], 0.0)
    return _ratio(total, there).T, _ratio(left, more).T


def _ratio(total: Float, count: Float) -> Float:
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def view(plan: State, ground: Ground) -> View:
    """What each place sees at the rows of the ground."""
    values = ground.values.T
    if "label" in plan:
        means, rest = _means(plan, ground.order, values)
        parts = [filled(Field(means, 0), plan["middles"]), filled(Field(rest, 0), plan["persistence"])]
    else:
        parts = [filled(Field(values, 0), plan["persistence"])]
    nothing = np.zeros((len(values), 1))
    series = np.ascontiguousarray(np.concatenate([*parts, nothing], axis=1).T)
    return View(ground.own, series, plan["index"], plan["weight"])


def joined(plan: State, n_new: int) -> State:
    """The plan with n_new series more, that see nothing and are seen by nobody."""
    n = len(plan["index"])
    lone: dict[str, Any] = {"index": -1, "weight": 0.0, "persistence": 0.0, "label": -1}
    out = dict(plan)
    for name, value in lone.items():
        if name in plan:
            out[name] = np.concatenate([plan[name], np.full((n_new, *plan[name].shape[1:]), value, plan[name].dtype)])
    if "stands" in plan:
        out["stands"] = np.concatenate([plan["stands"], np.arange(n, n + n_new)])
    return out
