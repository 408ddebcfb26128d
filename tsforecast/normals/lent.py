"""Normals of short histories: the shape is partly that of the neighbours, the level always the station's own."""

from __future__ import annotations

import numpy as np

from tsforecast.geography import Places, nearest_to
from tsforecast.normals.blocks import Blocks
from tsforecast.normals.own import Own, level, spread
from tsforecast.panel import Bool, Float, Int, Panel

__all__ = ["borrowed"]

LONG = 5.0
"""Years of rows from which on a station goes by itself, and lends to others."""
LENDERS = 10
REACH = 2000.0
"""Kilometres within which shapes are alike enough to be lent."""
HALF = 3.0
"""Years of rows at which a station's own shape counts as much as that of its neighbours."""
NEAREST = 1.0  # kilometres below which nearer counts no more


def borrowed(panel: Panel, blocks: Blocks, alone: Own, places: Places) -> tuple[Float, Float]:
    """Coefficients (n, k) and variance coefficients (n, 3), those of short histories shrunk to their neighbours'.

    The own share is s / (s + 3) with s years of rows, 0 for what the rows cannot tell; the rest is the
    inverse-distance mean over the nearest 10 stations of at least 5 years within 2,000 km.
    """
    lenders = np.flatnonzero((alone.years >= LONG) & places.known)
    short = np.flatnonzero((alone.years < LONG) & (alone.years > 0) & places.known)
    found = nearest_to(places.take(lenders), places.take(short), LENDERS)
    near = found.km <= REACH
    weight = np.where(near, 1.0 / np.maximum(found.km, NEAREST), 0.0)
    helped = near.any(axis=1)
    short, weight = short[helped], weight[helped] / weight[helped].sum(axis=1, keepdims=True)
    index = lenders[found.index[helped]] if len(lenders) else found.index[helped]
    own_share = (alone.years / (alone.years + HALF))[short, None]

    coef, told = alone.coef.copy(), alone.told[short]
    theirs = _mean(alone.coef, index, weight)
    mine = _level_with(theirs, alone.coef[short], told, blocks)
    coef[short] = np.where(told, own_share * mine + (1 - own_share) * theirs, theirs)
    coef[short, 0] = level(alone.mean[short], alone.columns[short], coef[short])
    variance = spread(panel, blocks, coef, alone.told)
    variance[short] = own_share * variance[short] + (1 - own_share) * _mean(variance, index, weight)
    return coef, variance


def _mean(values: Float, index: Int, weight: Float) -> Float:
    """Weighted means (s, k) of rows index (s, j) of values (n, k)."""
    # One lender after the other, nearest first: no sum depends on how many series are asked for.
    total = np.zeros((len(index), values.shape[1]))
    for j in range(index.shape[1]):
        total += np.where(weight[:, j] > 0, weight[:, j], 0.0)[:, None] * values[index[:, j]]
    return total


def _level_with(theirs: Float, mine: Float, told: Bool, blocks: Blocks) -> Float:
    """Own coefficients (s, k), those of indicators moved so that where some were seen alone, both mean the same."""
    out = mine.copy()
    for name in ("months", "weekdays", "hours"):
        some = blocks.place(name)
        seen = told[:, some]
        shift = (theirs[:, some] * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        out[:, some] += shift[:, None]
    return out
