"""Forecasts from the newest rows, one-step values of all rows, and states of series met later."""

from __future__ import annotations

import numpy as np

from tsforecast import growth, normals
from tsforecast.forecast import Forecast
from tsforecast.geography import Field, field, persistence
from tsforecast.geography.regression import Ground, Terms
from tsforecast.models.knn import sources
from tsforecast.models.knn.fitting import forecast
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["inside", "joined", "newcomers", "predict"]


def predict(state: State, panel: Panel, h: int) -> Forecast:
    """Forecasts of the h steps after each span, from the last rows of the spans that are there."""
    spans = panel.tail(state["reach"])
    anomalies = normals.anomalies(state["normal"], spans)
    normal, scale = normals.ahead(state["normal"], panel, h)
    point = np.full((len(panel), h), np.nan)
    for some in _once(panel.series):
        laid = field(anomalies.take(some), anomalies.y)
        at = np.zeros((len(state["order"]), 1), dtype=np.int64)
        at[panel.series[some], 0] = np.maximum(panel.last[some] - laid.first, 0)
        told = forecast(_ground(state, panel, some, laid), state, at)[:, :h, 0]
        point[some] = told[panel.series[some]]
    return Forecast(normal + scale * point)


def _once(series: Int) -> list[Int]:
    """Spans in groups that hold no series twice."""
    order = np.argsort(series, kind="stable")
    ordered = series[order]
    place = np.empty(len(series), dtype=np.int64)
    place[order] = np.arange(len(series)) - np.searchsorted(ordered, ordered)
    return [np.flatnonzero(place == number) for number in np.unique(place)]


def _ground(state: State, panel: Panel, some: Int, laid: Field) -> Ground:
    """The rows of the spans where the fit has them; series that are not there are missing throughout."""
    values = np.full((len(state["order"]), len(laid.values)), np.nan)
    values[panel.series[some]] = laid.values.T
    stop = np.full(len(values), len(laid.values))
    return Ground(values, laid.first, stop, state["own"], state["order"], Terms.of(panel))


def inside(state: State, panel: Panel) -> Float:
    """Values (N,) of all rows as forecast from the row before; before the first one stands the normal."""
    normal, scale = normals.rows(state["normal"], panel)
    laid = field(panel, (panel.y - normal) / scale)
    ground = _ground(state, panel, np.arange(len(panel)), laid)
    every = np.broadcast_to(np.arange(len(laid.values)), (len(state["order"]), len(laid.values)))
    one = {**state, "alone": state["alone"][:, :1]}
    one["kinds"] = {kind: plan | {"coef": plan["coef"][:, :, :1]} for kind, plan in state["kinds"].items()}
    told = np.concatenate([np.zeros((len(every), 1)), forecast(ground, one, every)[:, 0, :-1]], axis=1)
    rows, owner = panel.rows, panel.owner
    at = panel.position(rows, owner) - laid.first
    out = np.full(len(panel.y), np.nan)
    out[rows] = normal[rows] + scale[rows] * told[panel.series[owner], at]
    return out


def newcomers(state: State, panel: Panel, base: str) -> State:
    """The state of series met later: normals of their own, coefficients of own columns alone."""
    normal = normals.fit(panel, base)
    level, scale = normals.rows(normal, panel)
    own = persistence(field(panel, (panel.y - level) / scale))
    new = {"normal": normal, "own": own}
    new["errors"] = np.full((len(panel), *state["errors"].shape[1:]), np.nan)
    return new


def joined(old: State, new: State, panel: Panel, n_old: int) -> State:
    """The fitted state with newcomers behind; to the others they are not there."""
    n_new = len(panel) - n_old
    each = growth.joined({k: old[k] for k in ("normal", "own", "errors")}, new, n_old, n_new)
    kinds = {}
    for kind, plan in old["kinds"].items():
        k, told = len(old["alone"]), np.any(plan["coef"][np.flatnonzero(old["served"])[:1]] != 0, axis=(0, 1))
        coef = np.zeros((n_new, *plan["coef"].shape[1:]))
        coef[:, :k] = np.where(told, old["alone"], 0.0)
        kinds[kind] = sources.joined(plan, n_new) | {"coef": np.concatenate([plan["coef"], coef])}
    order = np.concatenate([old["order"], n_old + np.arange(n_new)])
    return old | each | {"kinds": kinds, "order": order}
