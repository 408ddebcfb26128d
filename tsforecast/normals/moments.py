"""Moments of the rows that a normal is made of: sums of products of its columns and y, which newer rows add to."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tsforecast.normals.blocks import Blocks
from tsforecast.panel import Float, Int, Panel
from tsforecast.windows import Tile, pivots_and_solution, tiles

__all__ = ["RIDGE", "Moments", "gathered", "solved"]

RIDGE = 1e-8
"""Share of the rows added to each diagonal: indicators come out with mean zero, and places never seen as the level."""


class Moments(NamedTuple):
    """Weighted moments of n series: weights of their rows (n,); means (n, k + 1) of the columns and, last, of y; sums
    of products about these means (n, k + 1, k + 1).
    """

    weight: Float
    mean: Float
    about: Float

    @classmethod
    def none(cls, n: int, k: int) -> Self:
        """Those of no row."""
        return cls(np.zeros(n), np.zeros((n, k + 1)), np.zeros((n, k + 1, k + 1)))

    @classmethod
    def told(cls, table: Float, at: Int, y: Float, use: Float) -> Self:
        """Those of values (s, T) at the rows `at` (s, T) of a table of columns (P, k), with row weights (s, T)."""
        weight, root, k = use.sum(axis=1), np.sqrt(use), table.shape[1]
        mean = (use * y).sum(axis=1) / np.maximum(weight, 1e-300)
        left = (y - mean[:, None]) * root
        sums = np.empty((len(y), k + 1, k + 1))
        sums[:, k, k] = (left**2).sum(axis=1)
        for some in _alike(at, use):
            rows = table[at[some[0]]] * root[some[0], :, None]
            # Series by series, not as one product of all: the bits of each are its own.
            cross = (rows.T @ left[some][:, :, None])[:, :, 0]
            sums[some, :k, :k], sums[some, :k, k], sums[some, k, :k] = rows.T @ rows, cross, cross
        return cls._about(weight, mean, sums)

    @classmethod
    def _about(cls, weight: Float, mean: Float, sums: Float) -> Self:
        """Those of sums of products (s, k + 1, k + 1) of the columns, 1 the first, and y less its `mean` (s,)."""
        centre = sums[:, 0] / np.maximum(weight, 1e-300)[:, None]
        about = sums - weight[:, None, None] * centre[:, :, None] * centre[:, None, :]
        centre[:, -1] += mean
        return cls(weight, centre, about)

    @classmethod
    def of(cls, panel: Panel, blocks: Blocks) -> Self:
        """Those of all rows of the spans."""
        out = cls.none(len(panel), blocks.width)
        if not panel.lengths.any():
            return out
        first = int(panel.position(panel.start, np.arange(len(panel)))[panel.lengths > 0].min())
        table = blocks.columns(panel.grid[first : int(panel.last.max()) + 1])
        for tile in tiles(panel):
            at, y, use = gathered(panel, tile)
            out.put(tile.index, cls.told(table, np.maximum(at - first, 0), y, use))
        return out

    def put(self, index: Int, part: Moments) -> None:
        """Take the moments of the series at `index` (s,) from `part`."""
        for whole, some in zip(self, part, strict=True):
            whole[index] = some

    def take(self, index: Int) -> Self:
        """Those of the series at `index` (s,)."""
        return type(self)(*(part[index] for part in self))

    def __add__(self, other: Moments) -> Self:  # type: ignore[override]
        """Those of the rows of both. Chan, Golub & LeVeque (1983), The American Statistician 37, eq. 2.1."""
        weight = self.weight + other.weight
        share = other.weight / np.maximum(weight, 1e-300)
        step = other.mean - self.mean
        between = (self.weight * share)[:, None, None] * step[:, :, None] * step[:, None, :]
        return type(self)(weight, self.mean + share[:, None] * step, self.about + other.about + between)

    def level(self, coef: Float) -> Float:
        """Level (n,) at which normals of the given shape (n, k) have the mean of y over the observed rows."""
        of_shape: Float = (self.mean[:, 1:-1] * coef[:, 1:]).sum(axis=1)
        return self.mean[:, -1] - of_shape

    def shape(self, told: NDArray[np.bool_]) -> Float:
        """Least-squares coefficients (n, k) of the columns `told` of (n, k), 0 for the others and the level."""
        return solved(self.about[:, :-1, :-1], self.about[:, :-1, -1:], self.weight, told)


def _alike(at: Int, use: Float) -> list[list[int]]:
    """Series in groups of the same dates and weights, whose products of columns are the same."""
    groups: dict[bytes, list[int]] = {}
    for i, (dates, weights) in enumerate(zip(at, use, strict=True)):
        groups.setdefault(dates.tobytes() + weights.tobytes(), []).append(i)
    return list(groups.values())


def gathered(panel: Panel, tile: Tile) -> tuple[Int, Float, Float]:
    """Grid positions (s, T), values (s, T), 0 where there is none, and row weights (s, T) of a tile."""
    at = np.where(tile.inside, panel.position(tile.rows, tile.index[:, None]), 0)
    y = tile.gather(panel.y)
    seen = np.isfinite(y)
    use = seen.astype(float) if panel.weights is None else np.where(seen, tile.gather(panel.weights, 0.0), 0.0)
    return at, np.where(seen, y, 0.0), use


def solved(gram: Float, cross: Float, total: Float, told: NDArray[np.bool_]) -> Float:
    """Coefficients (s, k) from Gram matrices (s, k, k) and products (s, k, 1) of `total` (s,) rows, 0 if not told."""
    both = told[:, :, None] & told[:, None, :]
    index = np.arange(gram.shape[1])
    gram = np.where(both, gram, 0.0)
    gram[:, index, index] += np.where(told, RIDGE * total[:, None], 1.0)
    return pivots_and_solution(gram, np.where(told[:, :, None], cross, 0.0))[1][:, :, 0]
