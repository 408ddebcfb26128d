"""Normals of short histories: the shape is partly that of the neighbours, the level always the station's own."""

from __future__ import annotations

import numpy as np

from tsforecast.geography import Places, nearest_to
from tsforecast.normals.blocks import Blocks
from tsforecast.normals.own import Own, spread
from tsforecast.panel import Bool, Float, Int, Panel

__all__ = ["borrowed"]

LONG = 5.0
"""Years of rows from which on a station goes by itself, and lends to others."""
LENDERS = 10
REACH = 2000.0
"""Kilometres within which shapes are alike enough to be lent."""
WORTH = 6.0
"""Years of a station's own rows that the shape of neighbours next door is worth; measured, with FADES, on city
temperatures (days, months) and on Colorado's stations: better than own rows alone and than any worth that is the same
at all distances."""
FADES = 250.0
"""Kilometres in which that worth falls to 1 / e: at 170 km it is 3 years."""
NEAREST = 1.0  # kilometres below which nearer counts no more


def borrowed(panel: Panel, blocks: Blocks, alone: Own, places: Places) -> tuple[Float, Float, Int]:
    """Coefficients (n, k) and variance coefficients (n, 3), those of short histories (s,) shrunk to their neighbours'.

    The neighbours' shape is the inverse-distance mean over the nearest 10 stations of at least 5 years within
    2,000 km; the own share is s / (s + w), s years of rows and w what that shape is worth at the neighbours' harmonic
    mean distance, or 0 for what the rows cannot tell.
    """
    lenders = np.flatnonzero(alone.years >= LONG)
    short = np.flatnonzero((alone.years < LONG) & (alone.years > 0))
    found = nearest_to(places.take(lenders), places.take(short), LENDERS)
    near = found.km <= REACH
    helped = near.any(axis=1)
    short, near, km = short[helped], near[helped], found.km[helped]
    index = lenders[found.index[helped]] if len(lenders) else found.index[helped]
    close = np.where(near, 1.0 / np.maximum(km, NEAREST), 0.0)
    weight = close / close.sum(axis=1, keepdims=True)
    worth = WORTH * np.exp(-near.sum(axis=1) / close.sum(axis=1) / FADES)
    own_share = (alone.years[short] / (alone.years[short] + worth))[:, None]

    coef, told = alone.coef.copy(), alone.told[short]
    theirs = _mean(alone.coef, index, weight)
    mine = _level_with(theirs, alone.coef[short], told, blocks)
    coef[short] = np.where(told, own_share * mine + (1 - own_share) * theirs, theirs)
    coef[short, 0] = alone.moments.take(short).level(coef[short])
    variance = spread(panel, blocks, coef, alone.told)
    variance[short] = own_share * variance[short] + (1 - own_share) * _mean(variance, index, weight)
    return coef, variance, short


def _mean(values: Float, index: Int, weight: Float) -> Float:
    """Weighted means (s, k) of rows index (s, j) of values (n, k)."""
    # One lender after the other, nearest first: no sum depends on how many series are asked for.
    total = np.zeros((len(index), values.shape[1]))
    for j in range(index.shape[1]):
        total += weight[:, j, None] * values[index[:, j]]
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
