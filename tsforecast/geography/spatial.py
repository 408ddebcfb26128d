"""From places with values to places without: local regression on position and elevation, inverse-distance means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsforecast.geography.neighbours import Neighbours, nearest, nearest_to
from tsforecast.geography.places import Places
from tsforecast.geography.sphere import EARTH_KM
from tsforecast.panel import Bool, Float, Int

__all__ = ["Surroundings", "around", "left_out"]

LOCAL = 40
"""Neighbours that the slopes of a place come from."""
MEAN = 10
"""Nearest of them that its inverse-distance mean is taken of."""
SOFT_KM = 20.0
"""Added to distances in the weights of the slopes: a neighbour next door does not settle them alone."""
CLOSE_KM = 0.1
"""Distances below count as this one: a place on top of a station is nearly that station."""
RIDGE = 0.03
"""Penalty of the slopes along the globe, as a share of the neighbours' spread in position."""
STEEP = 0.003
"""Penalty of the slope along elevation, as a share of the neighbours' spread in elevation."""
KNOWN_KM, KNOWN_M = 1.0, 50.0
"""Spreads in position and elevation that tell as much of a slope as is taken for granted of it: flat country tells of
none along elevation."""
REACH, CLIMB = 2.0, 8.0
"""Spreads in position and in elevation over which slopes are followed at most."""
LEAST = 1e-3  # kilometres, metres: spreads below are none


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Neighbours of m places and what each tells of its place.

    index (m, k), -1 where there is none; km (m, k), inf there; `near` (m, k) weights of the inverse-distance mean,
    `local` (m, k) those of the regression; both sum to 1, local ones may be negative. NaN without neighbours.
    """

    index: Int
    km: Float
    near: Float
    local: Float

    def __len__(self) -> int:
        return len(self.index)

    def regressed(self, values: Float) -> Float:
        """Values (n, c) of the neighbours carried to the places (m, c) along their local slopes."""
        return _weighed(self.local, values, self.index)

    def mean(self, values: Float) -> Float:
        """Inverse-distance mean (m, c) of the neighbours' values (n, c): within their range."""
        return _weighed(self.near, values, self.index)


def around(places: Places, others: Places, *, location: Int | None = None, elevation: bool = True) -> Surroundings:
    """What the places (n,) around each of `others` (m,) tell of it; one of every `location` (n,) counts.

    Without `elevation`, or where a place or most of its neighbours have none, position alone does.
    """
    return _told(places, others, nearest_to(places, others, LOCAL, location), elevation)


def left_out(places: Places, *, location: Int | None = None, elevation: bool = True) -> Surroundings:
    """What the others tell of each place (n,), itself and its twins at the same `location` (n,) left out."""
    return _told(places, places, nearest(places, LOCAL, location), elevation)


def _told(places: Places, others: Places, neighbours: Neighbours, elevation: bool) -> Surroundings:
    """The weights: an inverse-distance mean, moved along local slopes from its mean place to the place itself.

    With r the weights of the mean, x places and b the slopes of a ridge regression under weights w, the estimate is
    r'v + (x0 - r'x) b: inverse-distance residuals added to a local regression, in one step. It is linear in the
    values v, so its weights serve for any of them.
    """
    index, km = neighbours.index, neighbours.km
    there = index >= 0
    rise = _of(places.elevation, index) - others.elevation[:, None]
    climbs = _climbs(rise, there, elevation)
    there &= np.isfinite(rise) | ~climbs[:, None]
    near = np.where(there & (np.cumsum(there, axis=1) <= MEAN), 1 / np.maximum(km, CLOSE_KM), 0.0)
    near = _shares(near)
    w = _shares(np.where(there, 1 / (km + SOFT_KM), 0.0))
    path = np.where(there[..., None], _of(places.vectors, index) - others.vectors[:, None], 0.0) * EARTH_KM
    rise = np.where(there & climbs[:, None], rise, 0.0)
    x = np.concatenate([path, rise[..., None]], axis=2)  # (m, k, 4), seen from the place itself
    z, size = _standardised(x, w)
    gap = _held(-np.einsum("mk,mkj->mj", near, x) / size)
    return Surroundings(index, km, near, near + w * np.einsum("mkj,mj->mk", z, _toward(z, w, size, gap)))


def _of(values: Float, index: Int) -> Float:
    """Rows index (m, k) of values (n, ...); NaN for -1."""
    return np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])[index]


def _climbs(rise: Float, there: Bool, elevation: bool) -> Bool:
    """Whether elevation is gone by (m,): that of at least half of the neighbours, and the place's own, are known."""
    most: Bool = 2 * np.isfinite(rise).sum(axis=1) >= there.sum(axis=1)
    return most & elevation


def _shares(weights: Float) -> Float:
    """Weights (m, k) that sum to 1; NaN where there is none."""
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, np.nan)


def _standardised(x: Float, w: Float) -> tuple[Float, Float]:
    """Columns (m, k, 4) about their weighted mean and in units of their spread, and those units (m, 4)."""
    about = x - np.einsum("mk,mkj->mj", w, x)[:, None]
    square = np.einsum("mk,mkj->mj", w, about**2)
    along = np.sqrt(square[:, :3].sum(axis=1))
    size = np.maximum(np.stack([along, along, along, np.sqrt(square[:, 3])], axis=1), LEAST)
    return about / size[:, None], size


def _held(gap: Float) -> Float:
    """Steps (m, 4) in spreads, held within what slopes are followed over."""
    length = np.sqrt((gap[:, :3] ** 2).sum(axis=1, keepdims=True))
    along = gap[:, :3] * REACH / np.maximum(length, REACH)
    return np.concatenate([along, np.clip(gap[:, 3:], -CLIMB, CLIMB)], axis=1)


def _toward(z: Float, w: Float, size: Float, gap: Float) -> Float:
    """(Z'WZ + P)^-1 gap (m, 4): what the slopes make of a step `gap` (m, 4)."""
    gram = np.einsum("mki,mk,mkj->mij", z, w, z)
    corner = np.arange(4)
    gram[:, corner, corner] += np.array([RIDGE] * 3 + [STEEP]) + (np.array([KNOWN_KM] * 3 + [KNOWN_M]) / size) ** 2
    share: Float = np.linalg.solve(gram, gap[..., None])[..., 0]
    return share


def _weighed(weights: Float, values: Float, index: Int) -> Float:
    """Sums (m, c) of values[index] (m, k, c) under weights (m, k), added one neighbour after the other."""
    total = np.zeros((len(index), values.shape[1]))
    for j in range(index.shape[1]):
        total += np.where(index[:, j, None] < 0, 0.0, weights[:, j, None] * _of(values, index[:, j]))
    return np.where(index[:, :1] < 0, np.nan, total)
