"""From a panel to trained nets: units, windows, one task a net, and the state that all of it leaves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, DataError, Finding, FitWarning, listed
from tsforecast.models.neural import data, devices, nets, training
from tsforecast.models.neural.architecture import Architecture, weights
from tsforecast.models.neural.batches import Rows
from tsforecast.models.neural.data import Groups, Layout, Windows
from tsforecast.models.neural.options import Options
from tsforecast.models.neural.scaling import Scales, scales, spikes
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows import generators

__all__ = ["Plan", "fit", "flat_weights", "units"]

SPIKE = 1e4
"""A value this many usual distances from the median of its series keeps that series out of a shared net's training."""
BLOCK = 2000
"""Series with nets of their own whose rows are held at once: bounds memory, changes no bit of a result."""


class Start(NamedTuple):
    """A fitted net to go on from: weights by name (g, S, ...), names of its groups, the gaps it flags, what its static
    columns are told by, and the units (centre, scale) of the series where they are the same ones.
    """

    weights: Mapping[str, data.Float32]
    names: list[str]
    flagged: tuple[int, ...]
    static: dict[str, Any]
    units: tuple[Float, Float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one fit does. `build` makes the net from the layout of its rows and the static columns (count)."""

    build: Callable[[Layout, State], Architecture]
    options: Options
    window: int
    steps: int
    numeric: tuple[int, ...]
    static: tuple[str, ...]
    scaling: str
    validation: float | int
    masks: bool
    apart: bool
    alone: bool  # every series has nets of its own
    seeds: tuple[int, ...]
    device: str
    threads: int | None
    start: Start | None

    def of(self, index: Int) -> Plan:
        """The plan for some of the series alone."""
        if self.start is None or self.start.units is None:
            return self
        centre, scale = self.start.units
        return replace(self, start=self.start._replace(units=(centre[index], scale[index])))


Tell = Callable[[int, int, float], None]


def fit(panel: Panel, plan: Plan, groups: Groups, tell: Tell) -> State:
    """State of the trained nets: weights by name (g, S, ...), units of the series, learning curves.

    `tell(nets, epoch, loss)` hears of each epoch.
    """
    if not plan.alone:
        return _fit(panel, plan, groups, tell)
    parts = []
    for first in range(0, max(len(panel), 1), BLOCK):
        index = np.arange(first, min(first + BLOCK, len(panel)))
        own = Groups(np.arange(len(index)), panel.ids[index])
        parts.append(_fit(panel.take(index), plan.of(index), own, tell))
    return _stacked(parts)


def _stacked(parts: Sequence[State]) -> State:
    """States of nets for single series, one after the other."""
    if len(parts) == 1:
        return parts[0]
    out = dict(parts[0])
    for name in ("centre", "scale", "held", "windows", "history", "best", "failed"):
        out[name] = np.concatenate([part[name] for part in parts])
    out["weights"] = {name: np.concatenate([part["weights"][name] for part in parts]) for name in parts[0]["weights"]}
    return out


def _fit(panel: Panel, plan: Plan, groups: Groups, tell: Tell) -> State:
    own = units(panel, plan)
    if plan.start is not None and plan.start.units is not None:
        own["centre"], own["scale"] = plan.start.units
    measure = Scales(own["centre"], own["scale"])
    layout = _layout(panel, plan)
    kept = data.static_units(plan.static, panel.static) if plan.start is None else plan.start.static
    net = plan.build(layout, kept)
    part = data.table(panel, measure, layout)
    found = data.windows(part, own["held"], plan.window, plan.steps, plan.masks)
    if not plan.alone:
        found = found.take(~_set_aside(panel)[found.owner])
        _check(panel, plan, found)
    device = devices.device_of(plan.device, net, plan.options.batch_size or len(found.first))
    rows = Rows(net, layout, part, found, measure, data.statics(kept, panel.static, panel.ids), device)
    tasks, group = _tasks(net, plan, groups, found)
    with devices.quietly():
        trained = training.train(net, plan.options, rows, tasks, plan.threads, tell)
    taught = np.bincount(groups.of[found.owner[~found.validates]], minlength=len(groups.names))
    made = {
        name: _spread(array, group, (len(groups.names), len(plan.seeds))) for name, array in trained._asdict().items()
    }
    return {
        "weights": _named(net, made.pop("weights")), **own,
        "flagged": list(layout.flagged), "static": kept, "window": plan.window, "steps": plan.steps,
        "windows": taught, **made,
    }  # fmt: skip


def units(panel: Panel, plan: Plan) -> State:
    """What series that come to a fitted net bring: units (n, 1 + k), and rows (n,) whose errors may be told."""
    held = data.held_out(panel.lengths, plan.validation, plan.window, plan.steps)
    found = scales(panel.replace(stop=panel.stop - held), plan.numeric, plan.scaling)
    return {"centre": found.centre, "scale": found.scale, "held": held}


def _layout(panel: Panel, plan: Plan) -> Layout:
    """Columns of a row; gaps are flagged where they are masked and there are any, and for series that train alone
    always, since what others lack must not change their nets.
    """
    rows = panel.rows
    values = np.concatenate([panel.y[rows, None], panel.columns[rows]], axis=1)
    seen = np.isfinite(values)
    empty = [name for name, some in zip(panel.column_names, seen.any(axis=0)[1:], strict=True) if not some]
    if empty and len(rows):
        raise DataError(
            f"column {listed(empty)} holds no value at all",
            [
                Finding("TSF-Y-MISSING", "all values are missing", column=name, fix="Leave it out, or mend it")
                for name in empty
            ],
        )
    gaps = np.flatnonzero(~seen.all(axis=0)).tolist() if plan.masks else []
    if plan.masks and plan.alone:
        gaps = [0]
    if plan.start is not None:
        gaps = list(plan.start.flagged)
    past = panel.n_past
    return Layout(
        past,
        panel.columns.shape[1] - past,
        tuple(place for place in gaps if not plan.apart or place <= past),
        plan.apart,
    )


def _set_aside(panel: Panel) -> Bool:
    """Series (n,) with values so far from the others that they would spoil a net for all; FitWarning names them."""
    far = spikes(panel)
    aside: Bool = far > SPIKE
    if aside.any() and not aside.all():
        warnings.warn(
            f"{int(aside.sum())} of {len(panel)} series have values up to {far.max():.3g} usual distances from their "
            f"median and are set aside: the net is trained without {listed(panel.ids[aside])}, and forecasts them "
            "all the same. See tsforecast.check(data)",
            FitWarning,
            stacklevel=2,
        )
        return aside
    return np.zeros(len(panel), dtype=bool)


def _check(panel: Panel, plan: Plan, found: Windows) -> None:
    if found.validates.all():
        longest = int(panel.lengths.max(initial=0))
        raise ConfigError(
            f"no window to train on: window={plan.window} and {plan.steps} steps ahead need more than "
            f"{plan.window + plan.steps} rows beside the validation rows, the longest series has {longest}: give a "
            "shorter window, or more history"
        )
    if plan.validation and not found.validates.any():
        raise ConfigError(
            f"no validation rows left: validation={plan.validation} of {int(panel.lengths.max())} rows is less than "
            f"{plan.steps} steps ahead, or leaves less than window + steps to train on; give a shorter window, another "
            "validation, or validation=0 with early_stopping=False"
        )


def _tasks(net: Architecture, plan: Plan, groups: Groups, found: Windows) -> tuple[list[training.Task], Int]:
    """A task for each net that has windows to learn from, seeds of a group side by side, and each task's group."""
    of = groups.of[found.owner]
    order = np.argsort(of, kind="stable")
    bounds = np.searchsorted(of[order], np.arange(len(groups.names) + 1))
    tasks, numbers = [], []
    start = None if plan.start is None else _begun(net, plan.start.weights, plan.start.names)
    draws = [list(generators(groups.names, seed)) for seed in plan.seeds]
    for g in range(len(groups.names)):
        mine = order[bounds[g] : bounds[g + 1]]
        judges = found.validates[mine]
        if judges.all() or (plan.validation and not judges.any()):
            continue
        trains, validates = mine[~judges], _thinned(mine[judges], plan.options.sample)
        for j in range(len(plan.seeds)):
            begun = None if start is None else start(groups.names[g], j)
            tasks.append(training.Task(trains, validates, draws[j][g], begun))
        numbers.append(g)
    if len(numbers) < len(groups.names) and not plan.alone:
        lacking = np.delete(groups.names, numbers)
        warnings.warn(
            f"no net for {listed(lacking)}: their series are too short for a window of {plan.window} rows, "
            f"{plan.steps} steps ahead and validation={plan.validation}",
            FitWarning,
            stacklevel=2,
        )
    return tasks, np.array(numbers, dtype=np.int64)


def _thinned(windows: Int, most: int | None) -> Int:
    """At most so many windows, evenly apart: the same ones judge every epoch."""
    if most is None or len(windows) <= most:
        return windows
    return windows[np.linspace(0, len(windows) - 1, most).astype(np.int64)]


def _spread(array: NDArray[Any], group: Int, shape: tuple[int, int]) -> NDArray[Any]:
    """Results of the nets that were trained as (g, S, ...); NaN or 0 for the others."""
    out = np.full((*shape, *array.shape[1:]), np.nan if array.dtype.kind == "f" else 0, array.dtype)
    out[group] = array.reshape(len(group), shape[1], *array.shape[1:])
    return out


def _named(net: Architecture, flat: data.Float32) -> dict[str, data.Float32]:
    """Flat weights (g, S, P) as arrays (g, S, ...) by name."""
    groups, seeds = flat.shape[:2]
    named = nets.split(net, torch.from_numpy(flat.reshape(groups * seeds, -1)))
    return {name: view.reshape(groups, seeds, *view.shape[1:]).numpy().copy() for name, view in named.items()}


def flat_weights(net: Architecture, named: Mapping[str, data.Float32]) -> data.Float32:
    """Arrays (g, S, ...) by name as flat weights (g, S, P)."""
    lead = next(iter(named.values())).shape[:2]
    parts = [np.ascontiguousarray(named[w.name]).reshape(*lead, -1) for w in weights(net)]
    rest = nets.size(net) - sum(part.shape[2] for part in parts)
    return np.concatenate([*parts, np.zeros((*lead, rest), np.float32)], axis=2)


def _begun(
    net: Architecture, named: Mapping[str, data.Float32], names: list[str]
) -> Callable[[Any, int], data.Float32 | None]:
    """Weights (P,) that another fitted net gives to begin with, by group and seed; ConfigError for another shape."""
    ours = {w.name: w.shape for w in weights(net)}
    theirs = {name: array.shape[2:] for name, array in named.items()}
    if ours != theirs:
        odd = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        both = [f"{name} {theirs.get(name, 'absent')} there and {ours.get(name, 'absent')} here" for name in odd]
        raise ConfigError(
            f"pretrained= is a net of another shape: {listed(both)}; give both the same window, hidden, columns, steps"
        )
    flat = flat_weights(net, named)
    place = {name: i for i, name in enumerate(names)}

    def begun(group: Any, seed: int) -> data.Float32 | None:
        found = flat[place.get(str(group), 0), seed % flat.shape[1]]
        return found if np.isfinite(found).all() else None

    return begun
