"""Fitted networks and newer rows: states of old and new series as one, series that have enough rows by now."""

from __future__ import annotations

import numpy as np

from tsforecast import growth
from tsforecast.panel import Bool, Float
from tsforecast.rolling import State

__all__ = ["joined", "renewed"]

UNITS = ("centre", "scale", "held")
"""What each series brings to a net that it shares."""
NETS = ("weights", "windows", "best", "failed")
"""What it brings besides where it has nets of its own, and their learning curves."""


def joined(old: State, new: State, counts: tuple[int, int], alone: bool) -> State:
    """The states of two sets of series, so many (n) of each, as one; `alone`: each series has nets of its own."""
    fit = dict(old["fit"])
    for name in (*UNITS, *(NETS if alone else ())):
        fit[name] = growth.joined(old["fit"][name], new["fit"][name], *counts)
    if alone:
        fit["history"] = _stacked(old["fit"]["history"], new["fit"]["history"], 2, behind=True)
    rest = [{name: value for name, value in state.items() if name not in ("fit", "errors")} for state in (old, new)]
    out: State = {"fit": fit, **growth.joined(rest[0], rest[1], *counts)}
    if "errors" in old:
        out["errors"] = _stacked(old["errors"], new["errors"], 1, behind=False)
    return out


def renewed(state: State, some: Bool, units: State) -> State:
    """The state with other units for some of the series (n,), which are thin no longer."""
    fit = dict(state["fit"])
    for name in UNITS:
        fit[name] = fit[name].copy()
        fit[name][some] = units[name]
    return state | {"fit": fit, "thin": state["thin"] & ~some}


def _stacked(one: Float, other: Float, axis: int, *, behind: bool) -> Float:
    """Two arrays end to end, the one shorter along `axis` filled up with NaN, behind its values or in front."""
    most = max(one.shape[axis], other.shape[axis])
    parts = []
    for part in (one, other):
        lacking = [(0, 0)] * part.ndim
        lacking[axis] = (0, most - part.shape[axis]) if behind else (most - part.shape[axis], 0)
        parts.append(np.pad(part, lacking, constant_values=np.nan))
    return np.concatenate(parts)
