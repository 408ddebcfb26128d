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
    def told(cls, columns: Float, y: Float, use: Float) -> Self:
        """Those of columns (s, T, k), values (s, T) and row weights (s, T)."""
        rows = np.concatenate([columns, y[:, :, None]], axis=2)
        weight = use.sum(axis=1)
        mean = np.einsum("st,stk->sk", use, rows)
        mean[:, -1] = (use * y).sum(axis=1)  # in pairs: values may be large, and all alike
        mean /= np.maximum(weight, 1e-300)[:, None]
        rows -= mean[:, None]
        rows *= np.sqrt(use)[:, :, None]
        return cls(weight, mean, np.swapaxes(rows, 1, 2) @ rows)

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
            out.put(tile.index, cls.told(table[np.maximum(at - first, 0)], y, use))
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
