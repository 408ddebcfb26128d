"""The globe as a unit sphere: the order of chords is the order of great circles, without a pole or a date line."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast.panel import Float

__all__ = ["EARTH_KM", "chords", "distance", "kilometres", "unit_vectors", "wrapped"]

EARTH_KM = 6371.0088
"""Mean radius of the earth in kilometres (Moritz 2000, Geodetic Reference System 1980)."""

_DECIMALS = 9  # of a degree: a tenth of a millimetre, far above the rounding of lon + 360


def wrapped(lon: Any) -> Float:
    """Longitudes in [-180, 180) degrees, rounded to 1e-9, so that a whole turn more or less gives the same bits."""
    turned = np.round((np.asarray(lon, dtype=np.float64) + 180) % 360 - 180, _DECIMALS)
    return np.where(turned == 180, -180.0, turned)


def unit_vectors(lat: Any, lon: Any) -> Float:
    """Degrees (...) as points (..., 3) of the unit sphere; NaN where either is."""
    phi, theta = np.radians(np.asarray(lat, dtype=np.float64)), np.radians(np.asarray(lon, dtype=np.float64))
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=-1)


def kilometres(chord: Any) -> Float:
    """Great-circle kilometres of straight chords (...) between points of the unit sphere; inf stays inf."""
    straight = np.asarray(chord, dtype=np.float64)
    along = 2 * EARTH_KM * np.arcsin(np.minimum(straight / 2, 1.0))
    return np.where(np.isinf(straight), np.inf, along)


def chords(km: float) -> float:
    """Chord of the unit sphere that spans `km` along a great circle."""
    return float(2 * np.sin(km / (2 * EARTH_KM)))


def distance(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> Float:
    """Great-circle kilometres (...) between places given in degrees."""
    gap = unit_vectors(lat1, wrapped(lon1)) - unit_vectors(lat2, wrapped(lon2))
    return kilometres(np.sqrt((gap**2).sum(axis=-1)))
