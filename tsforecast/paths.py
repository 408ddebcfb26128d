"""Sample paths, sums over calendar periods, and one-step in-sample values of any forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.errors import ConfigError, whole
from tsforecast.panel import Float, Panel
from tsforecast.rolling import Member
from tsforecast.windows import generators

__all__ = ["draw", "fitted", "one_step", "totals"]

PATHS = 1000
SPANS = 200_000


def draw(model: Member, panel: Panel, h: int, known: Float, n_paths: int) -> Float:
    """Sample paths (n, h, p): the family's own, or the point plus whole error paths drawn from calibration origins.

    Drawing an origin's errors together keeps their dependence over the horizon. ConfigError without either.
    """
    whole("n_paths", n_paths, 1)
    randoms = list(generators(panel.ids, model.seed))
    if model.conformal is None:
        normal = np.stack([g.standard_normal((h, n_paths)) for g in randoms])
        own = model._simulate(model.state_["fit"], panel, h, known, normal)
        if own is not None:
            return np.clip(own, *_bounds(model))
    if "errors" not in model.state_:
        raise ConfigError(
            f"{model.name}: its paths are drawn from calibration errors; ask for them at fit: "
            f"intervals=Conformal(), fit(data, h={h})"
        )
    errors = model.state_["errors"][panel.series, :, :h]  # (n, c, h)
    point = model.forecast(model.state_, panel, h, known, ()).point
    complete = np.isfinite(errors).all(axis=2)
    if not complete.any(axis=1).all():
        raise ConfigError(f"{model.name}: some series have no complete error path; give more history")
    out = np.empty((len(panel), h, n_paths))
    for i, g in enumerate(randoms):
        out[i] = point[i][:, None] + errors[i, g.choice(np.nonzero(complete[i])[0], n_paths)].T
    return np.clip(out, *_bounds(model))


def _bounds(model: Member) -> tuple[float, float]:
    # numpy before 2.1 refuses a clip without any bound.
    return -np.inf if model.lower is None else model.lower, np.inf if model.upper is None else model.upper


def totals(model: Member, panel: Panel, times: NDArray[Any], known: Float, levels: Sequence[float], period: str) -> Any:
    """Table of horizon sums by calendar period: id, period start, rows summed, `name`, its intervals.

    `times` (n, h) are the steps ahead. The point sums the point forecasts; intervals are quantiles of summed paths.
    """
    h = times.shape[1]
    point = model.forecast(model.state_, panel, h, known, ()).point
    groups, starts = frames.periods(times, period)  # (n, h) numbers, (g,) first days
    member = groups[:, :, None] == np.arange(len(starts))
    rows = member.sum(axis=1)
    there = rows > 0
    total = np.einsum("nh,nhg->ng", point, member)
    columns: dict[str, Any] = {"rows": rows[there], model.name: total[there]}
    if levels:
        sums = np.einsum("nhp,nhg->ngp", draw(model, panel, h, known, PATHS), member)
        for level in levels:
            low, high = np.quantile(sums, [0.5 - level / 200, 0.5 + level / 200], axis=2)
            columns[f"{model.name}-lo-{level:g}"], columns[f"{model.name}-hi-{level:g}"] = (
                low[there],
                high[there],
            )
    owner = np.nonzero(there)[0]
    return frames.rows_table(panel, owner, starts[np.nonzero(there)[1]], columns)


def fitted(model: Member, panel: Panel) -> Any:
    """Table id, time, y, `name`, residual: one-step values under the fitted parameters, from rows before each.

    A family whose values need no rows before them gives those of all rows.
    """
    value = one_step(model, panel)
    rows = panel.rows
    owner = panel.owner
    columns = {
        panel.names.target: panel.y[rows],
        model.name: value[rows],
        "residual": (panel.y - value)[rows],
    }
    return frames.rows_table(panel, owner, panel.grid[panel.position(rows, owner)], columns)


def one_step(model: Member, panel: Panel) -> Float:
    """Values (N,) of each row under the fitted parameters; NaN where there is none."""
    value = model._inside(model.state_["fit"], panel)
    return np.clip(_from_before(model, panel) if value is None else value, *_bounds(model))


def _from_before(model: Member, panel: Panel) -> Float:
    """Values (N,) of each row from the rows before it."""
    value = np.full(len(panel.y), np.nan)
    longest = int(panel.lengths.max(initial=0))
    known = panel.columns[:, panel.n_past :]
    chunk = max(1, SPANS // max(1, len(panel)))
    for first in range(1, longest, chunk):
        ends = np.arange(first, min(first + chunk, longest))
        many = panel.take(np.tile(np.arange(len(panel)), len(ends)))
        stop = many.start + np.repeat(ends, len(panel))
        spans = many.replace(stop=stop).take(stop < many.stop)
        point = model._predict(model.state_["fit"], spans, 1, known[spans.stop][:, None, :], ()).point[:, 0]
        value[spans.stop] = point
    return value
