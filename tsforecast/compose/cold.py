"""Cold starts: forecasts for places never seen, from the normals and the forecasts of the places around them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import normals
from tsforecast.errors import ConfigError, DataWarning, listed
from tsforecast.geography import Neighbours, Places, nearest, nearest_to
from tsforecast.geography.spatial import LOCAL, Surroundings, around, left_out
from tsforecast.intervals import radius
from tsforecast.panel import Bool, Float, Int
from tsforecast.rolling import State

__all__ = ["check", "errors", "forecast", "half_widths", "normals_at"]

LENDERS = 5
"""Nearest places whose forecasts make that of a place never seen."""
ASKED = 10
"""Nearest places among which they are looked for: some may have no forecast of a step."""
CLOSE_KM = 1.0
"""Distances below count as this one in the mean of forecasts."""
FAR_KM, FADES_KM = 2000.0, 1000.0
"""Where even the nearest is farther than the first, anomalies count exp(-distance / the second)."""
ORIGINS = 50
"""Origins of each place that widths are made of, at most: more hardly tell anything new of one place."""
GROWS = 0.2
"""Power of distance by which intervals widen for places more isolated than those around them; measured on 138 cities
of the world: intervals of 80 % hold 0.82, 0.83, 0.86, 0.87 and 0.78 of the values of places under 50, 150, 400, 1,000
and beyond 1,000 km from their nearest (0.81, 0.80, 0.82, 0.73 and 0.54 without)."""
TILE = 64  # places whose widths are sorted at once


def check(places: Places, others: Places, name: str) -> None:
    """ConfigError that lists `others` without coordinates, or says that no fitted place has any.

    DataWarning where elevation cannot be gone by. `name` is the model's.
    """
    if not others.known.all():
        raise ConfigError(
            f"{name}: a place that was never seen is forecast from those around it: give lat and lon for "
            f"{listed(others.ids[~others.known])}"
        )
    if not places.known.any():
        raise ConfigError(
            f"{name} was fitted on no place with coordinates and cannot forecast {listed(others.ids)}: "
            "fit(data, static=places) with lat and lon"
        )
    high = np.isfinite(others.elevation)
    if not _climbs(places):
        words = f"most places it was fitted on have no elevation: {listed(others.ids)} are told by position alone"
    elif not high.all():
        words = f"no elevation for {listed(others.ids[~high])}: told by position alone"
    else:
        return
    warnings.warn(f"{name}: {words}, which is worse where heights differ", DataWarning, stacklevel=2)


def normals_at(state: State, places: Places, others: Places, location: Int | None = None) -> State:
    """Normals of `others` (m,) from those of the places (n,), rows of the state: a state of m rows.

    Coefficients follow position and elevation by local regression; the spread is an inverse-distance mean.
    """
    lends = _lenders(state)
    told = around(places.take(lends), others, location=_of(location, lends), elevation=_climbs(places))
    return _carried(state, lends, told)


def forecast(
    state: State,
    places: Places,
    others: Places,
    point: Float,
    stamps: NDArray[Any],
    wanted: NDArray[Any],
    location: Int | None = None,
) -> Float:
    """Forecasts (m, h) of `others` at the stamps `wanted` (h,), in rising order.

    `point` (n, h) are the forecasts of the places (n,), rows of the state, at `stamps` (n, h): what they expect
    beside their normals, in units of their spread, is taken over. NaN where no place has a normal.
    """
    own = normals_at(state, places, others, location)
    normal, scale = normals.at(own, np.arange(len(others)), np.broadcast_to(wanted, (len(others), len(wanted))))
    anomaly = _aligned(_anomalies(state, point, stamps), stamps, wanted)
    lends = _lenders(state) & np.isfinite(anomaly).any(axis=1)
    found = nearest_to(places.take(lends), others, ASKED, _of(location, lends))
    return normal + scale * _taken_over(found, anomaly[lends])


def errors(
    state: State,
    places: Places,
    point: Float,
    actual: Float,
    stamps: NDArray[Any],
    location: Int | None = None,
) -> Float:
    """Errors (n, c, h) of forecasting each place (n,) as if it, and its twins at its `location`, had never been seen.

    `point` and `actual` (n, c, h) are the places' own forecasts from c origins and what came, at `stamps` (n, c, h);
    the state was fitted before the first of them. NaN where either is, and for places unknown.
    """
    out = np.full(actual.shape, np.nan)
    anomaly = _anomalies(state, point, stamps)
    lends = _lenders(state)
    index = np.flatnonzero(lends)
    told = left_out(places.take(index), location=_of(location, index), elevation=_climbs(places))
    own = _carried(state, lends, told)
    normal, scale = normals.at(own, np.arange(len(index)), stamps[index])
    found = nearest(places.take(index), ASKED, _of(location, index))
    out[index] = actual[index] - normal - scale * _taken_over(found, anomaly[index], stamps[index])
    return out


def half_widths(
    missed: Float, places: Places, others: Places, levels: Sequence[float], location: Int | None = None
) -> Float:
    """Half-widths (m, h, q) of intervals for `others`: ranks of the `errors` (n, c, h) of the places around each.

    Wider where a place is farther from its nearest than those around it are from theirs; NaN where errors are too few.
    """
    use = np.flatnonzero(np.isfinite(missed).any(axis=(1, 2)))
    some = missed[use][:, :: max(-(-missed.shape[1] // ORIGINS), 1)]
    told, where = places.take(use), _of(location, use)
    found = nearest_to(told, others, LOCAL, where)
    lonely = np.concatenate([nearest(told, 1, where).km[:, 0], [np.nan]])  # -1 is the last
    out = np.full((len(others), missed.shape[2], len(levels)), np.nan)
    if not len(some):
        return out
    for first in range(0, len(others), TILE):
        tile = slice(first, first + TILE)
        index = found.index[tile]
        pool = np.where((index < 0)[..., None, None], np.nan, some[np.maximum(index, 0)])
        pool = pool.reshape(len(index), -1, missed.shape[2])
        out[tile] = radius(pool, levels, np.arange(len(index)), others.ids[tile], strict=False)
    return out * _stretch(found.km[:, 0], lonely[found.index])[:, None, None]


def _stretch(km: Float, lonely: Float) -> Float:
    """Factor (m,) for places `km` (m,) from their nearest, among places `lonely` (m, k) from theirs."""
    known = np.isfinite(lonely).any(axis=1)
    usual = np.full(len(km), np.inf)
    usual[known] = np.nanmedian(lonely[known], axis=1)
    factor: Float = np.maximum(km / np.maximum(usual, CLOSE_KM), 1.0) ** GROWS
    return factor


def _lenders(state: State) -> Bool:
    """Places (n,) with a normal."""
    lends: Bool = np.isfinite(state["coef"]).all(axis=1)
    return lends


def _climbs(places: Places) -> bool:
    """Whether at least half of the places with coordinates have an elevation."""
    high = np.isfinite(places.elevation[places.known])
    return bool(high.any() and 2 * high.sum() >= len(high))


def _of(location: Int | None, chosen: Bool | Int) -> Int | None:
    return None if location is None else location[chosen]


def _carried(state: State, lends: Bool | Int, told: Surroundings) -> State:
    """The state of the places that `told` is about; only means keep a spread above zero."""
    since = told.mean(state["since"][lends][:, None])[:, 0]
    return state | {
        "coef": told.regressed(state["coef"][lends]), "since": since, "spread": told.mean(state["spread"][lends]),
    }  # fmt: skip


def _anomalies(state: State, point: Float, stamps: NDArray[Any]) -> Float:
    normal, scale = normals.at(state, np.arange(len(point)), stamps)
    anomaly: Float = (point - normal) / scale
    return anomaly


def _aligned(values: Float, stamps: NDArray[Any], wanted: NDArray[Any]) -> Float:
    """Values (n, h) at stamps (n, h) as columns of the stamps `wanted` (h,); NaN where a series has none."""
    out = np.full((len(values), len(wanted)), np.nan)
    column = np.minimum(np.searchsorted(wanted, stamps), len(wanted) - 1)
    owner, step = np.nonzero(wanted[column] == stamps)
    out[owner, column[owner, step]] = values[owner, step]
    return out


def _taken_over(found: Neighbours, anomaly: Float, stamps: NDArray[Any] | None = None) -> Float:
    """Inverse-distance mean (m, ...) of the nearest anomalies (n, ...) that are there, faded where none is near.

    Without any the place is expected at its normal. With `stamps` (n, ...) those of a place itself and of its
    neighbour must be the same.
    """
    total, weight, count = np.zeros((3, len(found.index), *anomaly.shape[1:]))
    closest = np.full(total.shape, np.inf)
    padded = np.concatenate([anomaly, np.full((1, *anomaly.shape[1:]), np.nan)])  # -1, no neighbour, is the last
    for index, km in zip(found.index.T, found.km.T, strict=True):
        far = km.reshape(-1, *[1] * (anomaly.ndim - 1))
        theirs = padded[index]
        use = np.isfinite(theirs) & (count < LENDERS)
        if stamps is not None:
            use &= stamps[index] == stamps
        share = np.where(use, 1 / np.maximum(far, CLOSE_KM), 0.0)
        total += np.where(use, share * theirs, 0.0)
        weight += share
        count += use
        closest = np.where(use, np.minimum(closest, far), closest)
    faded = np.where(closest > FAR_KM, np.exp(-closest / FADES_KM), 1.0)
    mean: Float = total / np.where(weight > 0, weight, 1.0)
    return mean * faded
