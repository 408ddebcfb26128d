"""Forecasts from the newest rows, one-step values of all rows, and states of series met later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tsforecast import growth, normals
from tsforecast.forecast import Forecast
from tsforecast.geography import field
from tsforecast.geography.regression import Ground, held_errors, picked
from tsforecast.models.knn import sources
from tsforecast.models.knn.choosing import Base
from tsforecast.models.knn.fitting import forecast, reach
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["inside", "joined", "newcomers", "predict"]


def predict(state: State, panel: Panel, h: int) -> Forecast:
    """Forecasts of the h steps after each span, from the last rows of all spans that are there."""
    newest, spans = normals.renewed(state["normal"], panel)
    anomalies = normals.anomalies(newest, spans.tail(reach(panel)), apart=True)
    normal, scale = normals.ahead(newest, spans, h)
    point = np.full((len(panel), h), np.nan)
    for some in _once(panel.series):
        ground = Ground.newest(anomalies.take(some), state["own"], state["order"], panel.series[some])
        at = np.zeros((len(state["order"]), 1), dtype=np.int64)
        at[panel.series[some], 0] = ground.place(panel.take(some))
        point[some] = forecast(ground, state, at)[panel.series[some], :h, 0]
    return Forecast(normal + scale * point)


def _once(series: Int) -> list[Int]:
    """Spans in groups that hold no series twice."""
    order = np.argsort(series, kind="stable")
    place = np.empty(len(series), dtype=np.int64)
    place[order] = np.arange(len(series)) - np.searchsorted(series[order], series[order])
    return [np.flatnonzero(place == number) for number in np.unique(place)]


def inside(state: State, panel: Panel) -> Float:
    """Values (N,) of all rows as forecast from the row before; before the first one stands the normal."""
    normal, scale = normals.rows(state["normal"], panel)
    anomalies = panel.replace(y=(panel.y - normal) / scale)
    ground = Ground.newest(anomalies, state["own"], state["order"], panel.series)
    every = np.broadcast_to(np.arange(ground.values.shape[1]), ground.values.shape)
    kinds = {kind: plan | {"coef": plan["coef"][:, :, :1]} for kind, plan in state["kinds"].items()}
    told = forecast(ground, {"kinds": kinds, "alone": state["alone"][:, :1]}, every)[:, 0]
    told = np.concatenate([np.zeros((len(told), 1)), told[:, :-1]], axis=1)
    rows, owner = panel.rows, panel.owner
    out = np.full(len(panel.y), np.nan)
    out[rows] = normal[rows] + scale[rows] * told[panel.series[owner], panel.position(rows, owner) - ground.first]
    return out


def newcomers(state: State, panel: Panel, base: Base, back: Int) -> tuple[State, Float]:
    """State of series met later, and their errors (n, c, h) from `back` (c,) rows before the end.

    Normals of their own, and coefficients of own columns alone: where they lie is not known.
    """
    normal = normals.fit(panel, base)
    none = np.zeros(len(panel), np.int64)
    ground = Ground.of(normals.anomalies(normal, panel), none, np.arange(len(panel)))
    told = state["alone"].T @ picked(ground.own, ground.origins(back)[0])
    scale = field(panel, normals.rows(normal, panel)[1]).values.T
    # All rows are as good as held out: no coefficient was fitted on them.
    return {"normal": normal, "own": ground.persistence}, held_errors(replace(ground, stop=none), told, scale, back)


def joined(old: State, new: State, n_old: int, n_new: int) -> State:
    """The fitted state with newcomers behind, that see nobody and are seen by nobody."""
    kinds = {}
    for kind, plan in old["kinds"].items():
        coef = np.zeros((n_new, *plan["coef"].shape[1:]))
        coef[:, : len(old["alone"]), plan["steps"]] = old["alone"][:, plan["steps"]]
        kinds[kind] = sources.joined(plan, n_new) | {"coef": np.concatenate([plan["coef"], coef])}
    each = growth.joined({name: old[name] for name in ("normal", "own")}, new, n_old, n_new)
    order = np.concatenate([old["order"], np.arange(n_old, n_old + n_new)])
    return {**old, **each, "kinds": kinds, "order": order}
