"""Coefficients of every region and step, and the forecasts that they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast import growth, normals
from tsforecast.forecast import Forecast
from tsforecast.geography import Places, clusters, field, places_of
from tsforecast.geography.regression import (
    Ground,
    Terms,
    answers,
    held_errors,
    held_out,
    origins_kept,
    picked,
    pooled,
)  # fmt: skip
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["errors", "fit", "inside", "joined", "newcomers", "predict"]

Base = Literal["auto", "none"]

LEAST = 3
"""Series that a region must have to be told of."""
AROUND = 10
"""Places in a cluster, on average, where clusters stand in for small regions."""
PENALTY = 1000.0
"""Pseudo-rows that hold a region to all series."""


def fit(panel: Panel, h: int, scope: str, name: str, base: Base) -> State:
    """Fitted state of n series."""
    normal, ground, coef, model = _trained(panel, h, scope, name, base, np.zeros(len(panel), np.int64))
    reach = Terms.of(panel).depth + 4
    return {"normal": normal, "own": ground.persistence, "coef": coef, "model": model, "reach": reach}


def errors(panel: Panel, h: int, scope: str, name: str, base: Base, back: Int | None) -> Float:
    """Held-out errors (n, c, h) of coefficients fitted before the held-out rows.

    `back` (c,) rows from the end are the origins, None for the usual ones; NaN where no rows can be held out.
    """
    held = held_out(panel, h)
    if not held.any():
        return np.full((len(panel), 1, h), np.nan)
    normal, ground, coef, model = _trained(panel, h, scope, name, base, held)
    back = origins_kept(held, h) if back is None else back
    told = np.swapaxes(coef[model], 1, 2) @ picked(ground.own, ground.origins(back)[0])
    return held_errors(ground, told, field(panel, normals.rows(normal, panel)[1]).values.T, back)


def _trained(panel: Panel, h: int, scope: str, name: str, base: Base, held: Int) -> tuple[State, Ground, Float, Int]:
    """Normals, anomalies, coefficients (g, k, h) and model (n,) of each series; the last `held` rows teach nothing."""
    places = _placed(panel, name)
    normal = normals.fit(panel.replace(stop=panel.stop - held), base, places)
    ground = Ground.of(normals.anomalies(normal, panel), held, np.argsort(places.rank))
    return normal, ground, *_models(ground, *_groups(panel, scope, places), h)


def _placed(panel: Panel, name: str) -> Places:
    """Places of the series; all unknown where there are no coordinates."""
    if {"lat", "lon"} <= set(panel.static):
        return places_of(panel.static, panel.ids, name, quiet=True)
    nowhere = np.full(len(panel), np.nan)
    return Places(panel.ids, nowhere, nowhere, nowhere)


def _groups(panel: Panel, scope: str, places: Places) -> tuple[Int, Int]:
    """Region (n,) and cluster (n,) of each series, -1 where it has none that is large enough."""
    nothing = np.full(len(panel), -1, dtype=np.int64)
    if scope == "global":
        return nothing, nothing
    if scope == "series":
        return np.arange(len(panel), dtype=np.int64), nothing
    region = nothing.copy()
    given = panel.static.get("region" if scope == "auto" else scope)
    if given is not None:
        there = _given(given)
        region[there] = np.unique(given[there].astype(str), return_inverse=True)[1]
        region = _large(region)
    if (region >= 0).all() or not places.known.any():
        return region, nothing
    return region, _large(clusters(places, max(1, round(int(places.known.sum()) / AROUND))).label)


def _given(values: NDArray[Any]) -> Bool:
    """Entries of a static column that are not missing."""
    if values.dtype.kind == "f":
        return np.asarray(np.isfinite(values))
    return np.array([value is not None and value == value and value != "" for value in values.tolist()], dtype=bool)


def _large(group: Int) -> Int:
    """Groups (n,) with -1 for those of too few series, numbered anew."""
    count = np.bincount(group[group >= 0], minlength=int(group.max(initial=-1)) + 1)
    number = np.where(count >= LEAST, np.cumsum(count >= LEAST) - 1, -1)
    return np.where(group >= 0, number[group], -1) if len(number) else group


def _models(ground: Ground, region: Int, around: Int, h: int) -> tuple[Float, Int]:
    """Coefficients (g, k, h) and which of them each series (n,) goes by: of all series, of regions, of clusters."""
    own, regions = ground.own, int(region.max(initial=-1)) + 1

    def columns(some: Int) -> Float:
        return own[some]

    gram, cross = pooled(ground, columns, np.where(region < 0, regions, region), h)
    whole = gram.sum(axis=0), cross.sum(axis=0)
    shared = answers(*whole)
    parts = [(gram[:regions], cross[:regions])]
    if (around >= 0).any():
        parts.append(pooled(ground, columns, around, h))
    gram, cross = (np.concatenate(part) for part in zip(*parts, strict=True))
    left = cross - np.einsum("ghij,hj->ghi", gram, shared)
    coef = np.concatenate([shared[None], shared + answers(gram, left, PENALTY)])
    model = np.where(region >= 0, 1 + region, np.where(around >= 0, 1 + regions + around, 0))
    return np.swapaxes(coef, 1, 2), model


def predict(state: State, panel: Panel, h: int) -> Forecast:
    """Forecasts of the h steps after each span, from its last rows."""
    newest, spans = normals.renewed(state["normal"], panel)
    anomalies = _ending_together(normals.anomalies(newest, spans.tail(state["reach"]), apart=True))
    normal, scale = normals.ahead(newest, spans, h)
    ground = Ground.newest(anomalies, state["own"][panel.series], np.arange(len(panel)))
    x = picked(ground.own, ground.place(anomalies)[:, None])
    coef = state["coef"][state["model"][panel.series]][:, :, :h]
    return Forecast(normal + scale * (coef * x).sum(axis=1))


def _ending_together(panel: Panel) -> Panel:
    """The panel with all last rows at one grid position: series that ended long ago do not make the field long."""
    # Rows at dates of their own keep them: how far apart they are says what is missing.
    return panel if panel.at is not None else panel.replace(offset=panel.stop.max(initial=0) - panel.stop)


def inside(state: State, panel: Panel) -> Float:
    """Values (N,) of all rows as forecast from the row before; before the first one stands the normal."""
    normal, scale = normals.rows(state["normal"], panel)
    anomalies = panel.replace(y=(panel.y - normal) / scale)
    ground = Ground.newest(anomalies, state["own"][panel.series], np.arange(len(panel)))
    coef = state["coef"][state["model"][panel.series]][:, :, 0]
    told = np.concatenate([np.zeros((len(panel), 1)), np.einsum("nk,nkt->nt", coef, ground.own)], axis=1)
    rows, owner = panel.rows, panel.owner
    out = np.full(len(panel.y), np.nan)
    out[rows] = normal[rows] + scale[rows] * told[owner, panel.position(rows, owner) - ground.first]
    return out


def newcomers(state: State, panel: Panel, base: Base, back: Int) -> tuple[State, Float]:
    """State of series met later, and their errors (n, c, h) from `back` (c,) rows before the end.

    Normals of their own, and the model of all series.
    """
    normal, none = normals.fit(panel, base), np.zeros(len(panel), np.int64)
    ground = Ground.of(normals.anomalies(normal, panel), none, np.arange(len(panel)))
    told = state["coef"][0].T @ picked(ground.own, ground.origins(back)[0])
    scale = field(panel, normals.rows(normal, panel)[1]).values.T
    # All rows are as good as held out: no coefficient was fitted on them.
    errors = held_errors(replace(ground, stop=none), told, scale, back)
    return {"normal": normal, "own": ground.persistence, "model": none}, errors


def joined(old: State, new: State, n_old: int, n_new: int) -> State:
    """The fitted state with newcomers behind."""
    each = growth.joined({name: old[name] for name in ("normal", "own", "model")}, new, n_old, n_new)
    return {**old, **each}
