"""The panel as a field: one row a grid position, one column a series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsforecast.panel import Bool, Float, Int, Panel

__all__ = ["Field", "field", "filled", "persistence"]

REACH = 3
"""Steps over which a missing value is still told by the last one seen."""
PAIRS = 3  # fewer pairs of neighbouring rows say nothing of persistence


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Values (T, n) of n series at the same grid positions, NaN where missing; `first` is the position of row 0."""

    values: Float
    first: int


def field(panel: Panel, values: Float, last: int | None = None) -> Field:
    """The spans of a panel side by side, from block `values` (N,); only the `last` grid positions if given."""
    spans = panel if last is None else panel.tail(last)
    rows, owner = spans.rows, spans.owner
    at = spans.position(rows, owner)
    if not len(at):
        return Field(np.empty((0, len(panel))), 0)
    top, first = int(at.max()), int(at.min())
    if last is not None and top - last + 1 > first:
        first = top - last + 1
        inside = at >= first
        rows, owner, at = rows[inside], owner[inside], at[inside]
    laid = np.full((top - first + 1, len(panel)), np.nan)
    laid[at - first, owner] = values[rows]
    return Field(laid, first)


def persistence(field: Field) -> Float:
    """Lag-1 autocorrelation (n,): correlation of neighbouring rows that are both observed; 0 where it cannot be told.

    Within -1..1, whatever the gaps.
    """
    values = np.ascontiguousarray(field.values.T)  # each series' sums run along its own rows, whatever lies beside it
    early, late = values[:, :-1], values[:, 1:]
    both = np.isfinite(early) & np.isfinite(late)
    pairs = np.maximum(both.sum(axis=1), 1)
    x, y = (np.where(both, part - _mean(part, both, pairs), 0.0) for part in (early, late))
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    told = (pairs >= PAIRS) & (scale > 0)
    return np.where(told, np.clip((x * y).sum(axis=1) / np.where(told, scale, 1.0), -1.0, 1.0), 0.0)


def _mean(values: Float, seen: Bool, count: Int) -> Float:
    mean: Float = np.where(seen, values, 0.0).sum(axis=1, keepdims=True) / count[:, None]
    return mean


def filled(field: Field, persistence: Float) -> Float:
    """Values (T, n) without gaps: the last one seen times persistence (n,) ** gap for at most 3 steps, then 0.

    0 is the normal of an anomaly; it also stands before the first observation.
    """
    values = field.values
    rows = np.arange(len(values))[:, None]
    seen = np.isfinite(values)
    newest = np.maximum.accumulate(np.where(seen, rows, -1), axis=0)
    held = np.take_along_axis(np.where(seen, values, 0.0), np.maximum(newest, 0), axis=0)
    weight = np.zeros((REACH + 2, values.shape[1]))
    weight[: REACH + 1] = persistence ** np.arange(REACH + 1)[:, None]
    return held * np.take_along_axis(weight, np.minimum(rows - newest, REACH + 1), axis=0)
