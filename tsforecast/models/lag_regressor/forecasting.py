"""Forecasts: a recursion that takes all series one step at a time, or one look back for all horizons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tsforecast.models.lag_regressor import arrays, table
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["appended", "points"]


def appended(one: State, other: State, chosen: Int) -> State:
    """Fitted models and, behind them, the `chosen` of others."""
    count, more = len(one["choice"]), len(chosen)
    out: State = {"choice": np.concatenate([one["choice"], other["choice"][chosen]])}
    if "objects" not in one and "objects" not in other:
        return out | {"arrays": arrays.appended(one["arrays"], arrays.taken(other["arrays"], chosen), count, more)}
    # Where no estimator could be fitted there is none to keep.
    horizons = next(models["objects"].shape[1] for models in (one, other) if "objects" in models)
    parts = [
        models.get("objects", np.full((len(models["choice"]), horizons), None, dtype=object)) for models in (one, other)
    ]
    return out | {"objects": np.concatenate([parts[0], parts[1][chosen]])}


class Task(NamedTuple):
    """Spans that look at the same lags, and what forecasts them: model numbers (s,), units, static columns (s, c)."""

    models: State
    model: Int
    look: table.Look
    units: table.Units
    static: Float
    copes: bool

    def take(self, index: Int) -> Task:
        """The task of some of the spans."""
        return self._replace(model=self.model[index], units=self.units.take(index), static=self.static[index])

    def lagged(self, level: Float, at: int) -> Float:
        """Scaled lags (s, L) of column `at` of levels (s, T)."""
        back, diff = at - np.asarray(self.look.lags, dtype=np.int64), self.look.diff
        own = level[:, back] - level[:, back - diff] if diff else level[:, back]
        return (own - self.units.centre[:, None]) / self.units.scale[:, None]

    def told(self, x: Float, step: int) -> Float:
        """Scaled predictions (s,) for rows x (s, c); NaN for rows that the estimator could not take."""
        fine = np.ones(len(x), dtype=bool) if self.copes else np.isfinite(x).all(axis=1)
        out = np.full(len(x), np.nan)
        if not fine.any():
            return out
        if "arrays" in self.models:
            out[fine] = arrays.predicted(self.models["arrays"], x[fine], self.model[fine], step)
            return out
        out[fine] = _by_objects(self.models["objects"][:, step], x[fine], self.model[fine])
        return out


def _by_objects(fitted: Any, x: Float, model: Int) -> Float:
    """Predictions (s,) of estimators kept in memory, one call for each that is asked."""
    out = np.full(len(x), np.nan)
    for number in np.unique(model):
        mine = model == number
        if fitted[number] is not None:
            out[mine] = np.ravel(fitted[number].predict(x[mine]))
    return out


def points(state: State, panel: Panel, model: Int, h: int, known: Float, static: Sequence[str], direct: bool) -> Float:
    """Point forecasts (n, h) on the data's scale; span i by model `model[i]`, NaN where that is -1."""
    models = state["models"]
    out = np.full((len(panel), h), np.nan)
    levels = table.levels_of(panel, state["log"])
    units = table.Units(state["centre"], state["scale"]).take(panel.series)
    number = np.where(model < 0, -1, models["choice"][model])
    for chosen in np.unique(number[number >= 0]):
        index = np.nonzero(number == chosen)[0]
        part = panel.take(index)
        look = table.Look(tuple(state["sets"][chosen]), state["diff"], 1)
        task = Task(models, model[index], look, units.take(index), table.statics(part, static), state["copes"])
        run = _direct if direct else _recursive
        out[index] = run(task, part, levels, h, known[index])
    if state["log"]:
        out = np.where(np.isfinite(out), np.exp(np.minimum(out, 700.0)), np.nan)
    return out


def _recursive(task: Task, panel: Panel, levels: Float, h: int, known: Float) -> Float:
    width = 2 * task.look.reach + 2
    level = np.concatenate([panel.right(width, levels), np.full((len(panel), h), np.nan)], axis=1)
    columns = np.concatenate([panel.right(width, panel.columns[:, panel.n_past :]), known], axis=1)
    if not task.copes or task.look.diff:
        _fill(task, level, columns, width)
    for at in range(width, width + h):
        level[:, at] = _next(task, level, columns, at)
    return level[:, width:]


def _next(task: Task, level: Float, columns: Float, at: int) -> Float:
    """Levels (s,) at column `at`, one step after what is known."""
    x = np.concatenate([task.lagged(level, at), columns[:, at], task.static], axis=1)
    value = task.told(x, 0) * task.units.scale + task.units.centre
    return value + level[:, at - task.look.diff] if task.look.diff else value


def _fill(task: Task, level: Float, columns: Float, width: int) -> None:
    """Replace missing levels of the window by one-step forecasts from what precedes them.

    Levels too early to forecast, or that no forecast is to be had for, take the nearest observed one.
    """
    window = level[:, :width]
    missing = np.isnan(window)
    lacking = np.nonzero(missing.any(axis=1) & ~missing.all(axis=1))[0]
    if not len(lacking):
        return
    gaps = missing[lacking]
    part = level[lacking]
    part[:, :width] = carried(window[lacking])
    begun = (~gaps).argmax(axis=1)
    due = gaps & (np.arange(width) >= np.maximum(task.look.reach, begun[:, None] + 1))
    few, known = task.take(lacking), columns[lacking]
    for at in np.nonzero(due.any(axis=0))[0]:
        guess = _next(few, part, known, int(at))
        part[:, at] = np.where(due[:, at] & np.isfinite(guess), guess, part[:, at])
    level[lacking] = part


def carried(x: Float) -> Float:
    """The values x (s, W) with missing values replaced by the newest one before them, or the first one after."""
    seen = ~np.isnan(x)
    place = np.maximum.accumulate(np.where(seen, np.arange(x.shape[1]), 0), axis=1)
    first: Bool = seen.argmax(axis=1)[:, None]
    return np.take_along_axis(x, np.maximum(place, first), axis=1)


def _direct(task: Task, panel: Panel, levels: Float, h: int, known: Float) -> Float:
    width = max(task.look.reach, 1)
    window = panel.right(width, levels)
    window = window if task.copes and not task.look.diff else carried(window)
    back = width - np.asarray(task.look.lags, dtype=np.int64)
    parts = [task.lagged(window, width)]
    for c in range(panel.n_past):
        past = panel.right(width, panel.columns[:, c])
        parts.append((past if task.copes else carried(past))[:, back])
    looked = np.concatenate(parts, axis=1)
    out = np.empty((len(panel), h))
    for step in range(1, h + 1):
        value = task.told(np.concatenate([looked, known[:, step - 1], task.static], axis=1), step - 1)
        jumps = task.look._replace(step=step).jumps
        out[:, step - 1] = value * task.units.scale + jumps * task.units.centre
        if task.look.diff:
            out[:, step - 1] += window[:, width + step - 1 - jumps * task.look.diff]
    return out
