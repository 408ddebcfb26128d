"""What lies around a place by compass direction: weighted means of its neighbours' values in eight sectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsforecast.geography.neighbours import nearest
from tsforecast.geography.places import Places
from tsforecast.panel import Float, Int

__all__ = ["SECTORS", "Sectors", "sector_means", "sectors"]

SECTORS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
"""Names of the sectors, of 45 degrees each, in the order in which they are counted."""
MOST = 64
"""Neighbours looked at."""
REACH, FADES = 2500.0, 600.0
"""Kilometres beyond which a place tells nothing, and in which its weight falls to 1 / e; measured on city
temperatures, where 300 was worse and 1,000 as good."""
DOUBT = 0.05
"""Weight of a 0 beside the neighbours: the mean of a sector with far places alone is close to the normal."""


@dataclass(frozen=True, slots=True, eq=False)
class Sectors:
    """Neighbours of n places by sector, nearest first: index (8, n, m), -1 where there is none, weight (8, n, m)."""

    index: Int
    weight: Float


def sectors(places: Places, location: Int | None = None) -> Sectors:
    """The neighbours of each place in each of the eight sectors; its own `location` (n,) is left out."""
    found = nearest(places, MOST, location)
    near = (found.index >= 0) & (found.km <= REACH)
    sector = np.where(near, _sector(places, found.index), -1)
    index = np.full((len(SECTORS), *found.index.shape), -1, dtype=np.int64)
    weight = np.zeros(index.shape)
    widest = 1
    for s in range(len(SECTORS)):
        mine = sector == s
        widest = max(widest, int(mine.sum(axis=1).max(initial=0)))
        order = np.argsort(~mine, axis=1, kind="stable")
        kept = np.take_along_axis(mine, order, axis=1)
        index[s] = np.where(kept, np.take_along_axis(found.index, order, axis=1), -1)
        weight[s] = np.where(
            kept, np.exp(-np.take_along_axis(np.where(near, found.km, 0.0), order, axis=1) / FADES), 0.0
        )
    return Sectors(index[..., :widest], weight[..., :widest])


def _sector(places: Places, index: Int) -> Int:
    """Sector (n, k) in which the places `index` (n, k) lie, by the bearing at which the great circle leaves."""
    here = places.vectors
    lon, lat = np.radians(places.lon), np.radians(places.lat)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=1)
    there = here[index]
    bearing = np.arctan2(np.einsum("nkj,nj->nk", there, east), np.einsum("nkj,nj->nk", there, north))
    turn = 2 * np.pi / len(SECTORS)
    eighth: Int = np.nan_to_num(np.floor(bearing / turn + 0.5)).astype(np.int64) % len(SECTORS)
    return eighth


def sector_means(around: Sectors, values: Float, doubt: float = DOUBT) -> Float:
    """Weighted means (8, n, T) of the values (n, T) of each place's neighbours by sector; missing ones are left out.

    A 0 of weight `doubt` is among them; 0 where nothing is seen.
    """
    from scipy.sparse import csr_array

    there = around.index >= 0
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=2).ravel())])
    # Neighbours of a row are stored, and added, nearest first: the order of the places changes no bit.
    shares = csr_array((around.weight[there], around.index[there], ends), shape=(there[..., 0].size, len(values)))
    seen = np.isfinite(values)
    total = shares @ np.where(seen, values, 0.0)
    weight = shares @ seen.astype(np.float64) + doubt
    means: Float = total / np.where(weight > 0, weight, 1.0)
    return means.reshape(len(there), *values.shape)
