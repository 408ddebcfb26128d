"""The literal recipe: the mean of raw values of a place's cluster at the same calendar position in past years."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.forecast import Forecast
from tsforecast.geography import Places, clusters
from tsforecast.geography.regression import Ground, held_errors, held_out, origins_kept
from tsforecast.models.knn.choosing import Spec
from tsforecast.panel import Float, Int, Panel, unit
from tsforecast.rolling import State
from tsforecast.windows import main_season

__all__ = ["errors", "fit", "inside", "joined", "newcomers", "predict"]

POSITIONS = {"month": 12, "week": 53, "day": 372, "hour": 24 * 372}
"""Positions in a year, each month of 31 days."""


def fit(panel: Panel, h: int, spec: Spec, places: Places) -> State:
    """Means (c, P) by cluster and calendar position; as many clusters as err least on the held-out rows."""
    held, count = held_out(panel, h), spec.clusters[-1]
    if held.any() and len(spec.clusters) > 1:
        squares = [np.nanmean(_residuals(panel, _early(panel, held, places, k), held) ** 2) for k in spec.clusters]
        count = spec.clusters[int(np.argmin(squares))]
    return _fitted(panel, places, count) | {"clusters": count}


def errors(state: State, panel: Panel, h: int, spec: Spec, places: Places, back: Int | None) -> Float:
    """Held-out errors (n, c, h) of as many clusters, from `back` (c,) rows before the end; NaN where none can be."""
    held = held_out(panel, h)
    if not held.any():
        return np.full((len(panel), 1, h), np.nan)
    left = panel.replace(y=panel.y - inside(_early(panel, held, places, state["clusters"]), panel))
    ground = Ground.of(left, held, np.arange(len(panel)))
    back = origins_kept(held, h) if back is None else back
    told = np.zeros((len(panel), h, len(back)))
    return held_errors(ground, told, np.ones(ground.values.shape), back)


def _early(panel: Panel, held: Int, places: Places, count: int) -> State:
    return _fitted(panel.replace(stop=panel.stop - held), places, count)


def _residuals(panel: Panel, state: State, held: Int) -> Float:
    """Values of the held-out rows less what the state says of them."""
    late = panel.replace(start=panel.stop - held)
    return (late.y - inside(state, late))[late.rows]


def _fitted(panel: Panel, places: Places, count: int) -> State:
    """State with `count` clusters. Sums run in the order of ids, so that no bit depends on how places are sorted."""
    label = clusters(places, count).label
    ordered = panel.take(np.argsort(places.rank))
    rows, owner = ordered.rows, ordered.owner
    of, at = label[np.argsort(places.rank)][owner], _positions(panel, panel.grid)[ordered.position(rows, owner)]
    use = np.isfinite(panel.y[rows]) & (of >= 0)
    shape = int(label.max(initial=-1)) + 1, POSITIONS.get(_kind(panel), main_season(panel))
    cell = of[use] * shape[1] + at[use]
    sums = (np.bincount(cell, weight, shape[0] * shape[1]) for weight in (panel.y[rows[use]], np.ones(len(cell))))
    return {"label": label, "means": _completed(*(np.asarray(one, np.float64).reshape(shape) for one in sums))}


def _completed(total: Float, seen: Float) -> Float:
    """Means (c, P); a position never seen, as 29 February may be, has that of the position before it."""
    means = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    twice = np.concatenate([seen, seen], axis=1) > 0
    newest = np.maximum.accumulate(np.where(twice, np.arange(twice.shape[1]), -1), axis=1)[:, seen.shape[1] :]
    found = np.take_along_axis(np.concatenate([means, means], axis=1), np.maximum(newest, 0), axis=1)
    return np.where(newest >= 0, found, np.nan)


def _kind(panel: Panel) -> str:
    """What a calendar position is: a month, week, day or hour of the year; of integer steps a place in the season."""
    if panel.grid.dtype.kind != "M":
        return "step"
    alias = unit(panel.freq)
    return {"W": "week", "D": "day", "B": "day", "C": "day"}.get(
        alias, "hour" if alias in ("h", "min", "s") else "month"
    )


def _positions(panel: Panel, stamps: NDArray[np.generic]) -> Int:
    """Calendar position (...) of each stamp."""
    kind = _kind(panel)
    if kind == "step":
        place: Int = stamps.astype(np.int64) % main_season(panel)
        return place
    month, day = stamps.astype("M8[M]"), stamps.astype("M8[D]")
    place = month.astype(np.int64) % 12
    if kind == "week":
        return np.asarray((day - stamps.astype("M8[Y]").astype("M8[D]")).astype(np.int64) // 7)
    if kind == "month":
        return place
    place = 31 * place + (day - month.astype("M8[D]")).astype(np.int64)
    return place if kind == "day" else 24 * place + stamps.astype("M8[h]").astype(np.int64) % 24


def predict(state: State, panel: Panel, h: int) -> Forecast:
    """Means of the h steps after each span; NaN for places of no cluster."""
    return Forecast(_told(state, panel.series[:, None], _positions(panel, frames.future_times(panel, h))))


def _told(state: State, series: Int, place: Int) -> Float:
    """Means of the clusters of `series` at calendar positions; NaN for series of no cluster."""
    label = state["label"][series]
    if not len(state["means"]):
        return np.full(np.broadcast_shapes(label.shape, place.shape), np.nan)
    return np.where(label >= 0, state["means"][label, place], np.nan)


def inside(state: State, panel: Panel) -> Float:
    """Values (N,) of all rows: the means at their calendar positions."""
    rows, owner = panel.rows, panel.owner
    out = np.full(len(panel.y), np.nan)
    out[rows] = _told(state, panel.series[owner], _positions(panel, panel.grid)[panel.position(rows, owner)])
    return out


def newcomers(state: State, panel: Panel, base: str, back: Int) -> tuple[State, Float]:
    """State of series met later: where they lie is not known, so that they are of no cluster and have no errors."""
    return {"label": np.full(len(panel), -1, dtype=np.int64)}, np.full((len(panel), len(back), 1), np.nan)


def joined(old: State, new: State, n_old: int, n_new: int) -> State:
    """The fitted state with newcomers behind."""
    return {**old, "label": np.concatenate([old["label"], new["label"]])}
