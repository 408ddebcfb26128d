"""What each horizon band goes by: neighbours or clusters, how many, and how strongly a place leans on all places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from tsforecast.geography.regression import View, answers, following, moments, picked, pooled
from tsforecast.models.knn.sources import Scene, view
from tsforecast.panel import Bool, Float, Int
from tsforecast.rolling import State
from tsforecast.windows.bands import band_of
from tsforecast.windows.blocks import side_by_side

__all__ = ["Base", "Choice", "Spec", "choose", "left", "parts", "shared_fit", "usual"]

Base = Literal["auto", "none"]

NEAR = (5, 10, 20, 40)
"""Neighbours, or clusters, that may be seen."""
SHARES = (30, 11, 4)
"""Places in a cluster, on average: the numbers of clusters that are tried."""
PENALTIES = (25.0, 100.0, 400.0, 1600.0, 6400.0)
"""Pseudo-rows that may hold a place to the model shared by all."""
USUAL_NEAR, USUAL_PENALTY = 20, 400.0
"""What is taken where too few rows can be held out to choose."""
JUDGES = 400
"""Places whose errors choose, spread over all."""
VALUES = 3_000_000
"""Values of columns worked on together: bounds memory, changes no bit of a result."""


class Choice(NamedTuple):
    """What a horizon band goes by: kind of source, number of clusters (0: none), how many are seen, pseudo-rows."""

    kind: str
    clusters: int
    near: int
    penalty: float


class Spec(NamedTuple):
    """What may be chosen, on anomalies from normals of `base`: kinds of sources, how many are seen, how many clusters
    there are.
    """

    base: Base
    kinds: tuple[str, ...]
    near: tuple[int, ...]
    clusters: tuple[int, ...]

    @classmethod
    def of(cls, base: Base, k: int | None, mode: str, n: int) -> Spec:
        """Choices for n places: k neighbours, or k clusters with `mode="cluster"`; None leaves them open."""
        sizes = tuple(size for size in NEAR if size < n) or NEAR[:1]
        if k is not None:
            return cls(base, ("cluster",), sizes, (k,)) if mode == "cluster" else cls(base, ("neighbours",), (k,), ())
        counts = tuple(sorted({max(1, round(n / share)) for share in SHARES}))
        return cls(base, ("neighbours", "cluster") if mode == "auto" else (mode,), sizes, counts)

    def sources(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Every kind, number of clusters, and how many of them may be seen."""
        found: list[tuple[str, int, tuple[int, ...]]] = []
        for kind in self.kinds:
            if kind == "neighbours":
                found.append((kind, 0, self.near))
            else:
                found += [
                    (kind, count, tuple(s for s in self.near if s <= count) or (count,)) for count in self.clusters
                ]
        return found


def usual(spec: Spec) -> Choice:
    """What is taken where there is nothing to choose by."""
    kind, count, sizes = spec.sources()[-1 if "neighbours" not in spec.kinds else 0]
    return Choice(kind, count, max([s for s in sizes if s <= USUAL_NEAR] or sizes), USUAL_PENALTY)


def shared_fit(scene: Scene, seen: View, h: int) -> tuple[Float, Float]:
    """Coefficients (k + 2, h) of the model of all places together, and (k, h) of that on own columns alone."""
    k = seen.own.shape[1]
    groups = np.where(scene.places.known & ~scene.still, 0, -1)
    gram, cross = pooled(scene.ground, seen.summary, groups, h)
    if not len(gram):
        return np.zeros((k + 2, h)), np.zeros((k, h))
    return answers(gram, cross)[0].T, answers(gram[..., :k, :k], cross[..., :k])[0].T


def parts(order: Int, values_each: int) -> list[Int]:
    """Places in parts of about VALUES values."""
    size = max(1, VALUES // max(values_each, 1))
    return [order[first : first + size] for first in range(0, len(order), size)]


def left(scene: Scene, seen: View, shared: Float, some: Int, near: int) -> tuple[Float, Float]:
    """Columns (s, p, T) of some places, and what the shared model leaves (s, h, T) of their targets."""
    x = seen.columns(some, near)
    prior = seen.spread(shared, some, near)
    return x, scene.ground.targets(some, shared.shape[1]) - np.swapaxes(prior, 1, 2) @ x


def choose(scene: Scene, spec: Spec, bands: Sequence[int], h: int) -> tuple[list[Choice], Float]:
    """The choice of least held-out error in each band, and its mean squared error (b,) in units of the scales.

    Coefficients are fitted on the rows before those held out. One number of clusters serves all bands.
    """
    ground = scene.ground
    served = scene.fitted[(ground.end > ground.stop)[scene.fitted]]
    judges = served[np.unique(np.linspace(0, max(len(served) - 1, 0), min(JUDGES, len(served))).astype(np.int64))]
    tried: list[Choice] = []
    sums: list[Float] = []
    for kind, count, sizes in spec.sources():
        tried += [Choice(kind, count, size, penalty) for size in sizes for penalty in PENALTIES]
        sums.append(_judged(scene, scene.plan(kind, count, max(sizes)), judges, sizes, h))
    every, band = np.concatenate(sums), band_of(bands, h)
    total = np.stack([every[:, :, band == b].sum(axis=2) for b in range(len(bands))], axis=2)
    mse = total[:, 0] / np.maximum(total[:, 1], 1.0)
    open_ = np.where(_one_clustering(tried, mse)[:, None], mse, np.inf)
    best = np.argmin(open_, axis=0)
    return [tried[i] for i in best], np.where(total[0, 1] > 0, mse[best, np.arange(len(bands))], np.nan)


def _one_clustering(tried: Sequence[Choice], mse: Float) -> Bool:
    """Choices (c,) left when one number of clusters serves all bands: that of the least errors, best of each band."""
    clusters = np.array([choice.clusters for choice in tried])
    counts = np.unique(clusters[clusters > 0])
    if not len(counts):
        return np.ones(len(tried), dtype=bool)
    unit = np.maximum(mse.min(axis=0), 1e-300)
    score = [(mse[clusters == count].min(axis=0) / unit).sum() for count in counts]
    left: Bool = (clusters == 0) | (clusters == counts[int(np.argmin(score))])
    return left


def _judged(scene: Scene, plan: State, judges: Int, sizes: Sequence[int], h: int) -> Float:
    """Sums (sizes x penalties, 2, h) of squared held-out errors and their counts, over the places that judge."""
    ground, seen, most = scene.ground, view(plan, scene.ground), max(sizes)
    shared, k = shared_fit(scene, seen, h)[0], seen.own.shape[1]
    at, inside = ground.origins(np.arange(int((ground.end - ground.stop).max(initial=1)), 0, -1))
    tiles = parts(judges, (k + 2 * most) * ground.values.shape[1])
    out = np.zeros((len(tiles), len(sizes) * len(PENALTIES), 2, h))

    def work(i: int) -> None:
        some = tiles[i]
        x, y = left(scene, seen, shared, some, most)
        found = moments(x, y, ground.use(some))
        x, y = picked(x, at[some]), picked(following(ground.values[some], h), at[some])
        y = np.where(inside[some][:, None], y, np.nan) - np.swapaxes(seen.spread(shared, some, most), 1, 2) @ x
        told = np.isfinite(y)
        for j, (size, penalty) in enumerate((s, p) for s in sizes for p in PENALTIES):
            p = k + 2 * size
            error = np.where(told, y - np.swapaxes(found.ridge(p, penalty), 1, 2) @ x[:, :p], 0.0)
            out[i, j, 0], out[i, j, 1] = (error**2).sum(axis=(0, 2)), told.sum(axis=(0, 2))

    side_by_side(len(tiles), work)
    total: Float = out.sum(axis=0)
    return total
