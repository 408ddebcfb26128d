"""Seasonal normals of a panel: fitted, at the rows of its spans, at the steps ahead, and what is left without them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.errors import ConfigError
from tsforecast.geography import Places
from tsforecast.normals.blocks import Blocks
from tsforecast.normals.lent import borrowed
from tsforecast.normals.own import own, spread
from tsforecast.normals.renewal import last_stamps
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["ahead", "anomalies", "at", "fit", "rows"]

FLOOR = 0.3
"""Share of the overall spread that no season's spread falls below."""
NOISE = 1e-9
"""Share of a series' size below which its spread is rounding."""


def fit(panel: Panel, base: Literal["auto", "none"] = "auto", places: Places | None = None) -> State:
    """Normals from the rows of the spans alone: arrays with one row a span, and what their columns are.

    A level; below months three waves of the year, for months and quarters their means over at most 30 years; a linear
    trend; hours of the day below days; weekdays of days where the series asks for them. `base="none"`, integer steps
    and years: the level alone. With `places`, what is near lends its shape to series of short history. NaN for a
    series without an observed row. ConfigError for another base.
    """
    if base not in ("auto", "none"):
        raise ConfigError(f'base must be "auto" (a seasonal normal) or "none" (the mean), got {base!r}')
    blocks = Blocks.of(panel.freq, base == "auto" and panel.grid.dtype.kind == "M", panel.tz)
    alone = own(panel, blocks)
    coef, told = alone.coef, alone.told.copy()
    if places is None:
        variance = spread(panel, blocks, coef, told)
    else:
        coef, variance, short = borrowed(panel, blocks, alone, places)
        told[short] = False  # what was lent stays as it is
    return {
        "blocks": list(blocks.names), "days": blocks.days, "tz": blocks.tz,
        "coef": coef, "since": alone.since, "spread": _steadied(variance, coef[:, 0]),
        "told": told, "until": last_stamps(panel), "moments": alone.moments._asdict(),
    }  # fmt: skip


def _steadied(variance: Float, level: Float) -> Float:
    """Variance coefficients (n, 3) with 1 for series that do not stray from their normal by more than rounding."""
    still = ~(variance[:, 0] > (NOISE * np.abs(level)) ** 2)
    return np.where(still[:, None], [1.0, 0.0, 0.0], variance)


def at(state: State, series: Int, stamps: NDArray[Any]) -> tuple[Float, Float]:
    """Normals and scales of `series` (r,), rows of the state, at `stamps` (r, ...) of the panel's own time."""
    unique, where = np.unique(stamps, return_inverse=True)
    owner = series.reshape(-1, *[1] * (stamps.ndim - 1))
    return _valued(state, np.broadcast_to(owner, stamps.shape), unique, where.reshape(stamps.shape))


def rows(state: State, panel: Panel) -> tuple[Float, Float]:
    """Normals and scales (N,) at the rows of the spans, which must not overlap; NaN at all others."""
    inside, owner = panel.rows, panel.owner
    normal, scale = np.full((2, len(panel.y)), np.nan)
    normal[inside], scale[inside] = _valued(state, panel.series[owner], panel.grid, panel.position(inside, owner))
    return normal, scale


def ahead(state: State, panel: Panel, h: int) -> tuple[Float, Float]:
    """Normals and scales (n, h) at the h steps after each span."""
    return at(state, panel.series, frames.future_times(panel, h))


def anomalies(state: State, panel: Panel, apart: bool = False) -> Panel:
    """The panel with (y - normal) / scale for y, NaN outside its spans.

    Spans that overlap get rows of their own, with `apart` all do: what follows then costs no more than they hold.
    """
    panel = _apart(panel) if apart or _overlap(panel) else panel
    normal, scale = rows(state, panel)
    return panel.replace(y=(panel.y - normal) / scale)


def _valued(state: State, owner: Int, stamps: NDArray[Any], where: Int) -> tuple[Float, Float]:
    """Normals and scales of rows `owner` (...) of the state at stamps[where] (...).

    Summed column by column: a value has the same bits whatever else is asked for.
    """
    blocks = Blocks.from_state(state)
    columns, phase = blocks.columns(stamps), blocks.phase(stamps)
    normal, variance = np.zeros((2, *where.shape))
    for j in range(columns.shape[1]):
        values = columns[:, j][where]
        if j == blocks.place("trend").start:
            # What a trend was before the rows that told of it is not known: it begins there.
            values = np.maximum(values, state["since"][owner])
        normal += state["coef"][:, j][owner] * values
    for j in range(phase.shape[1]):
        variance += state["spread"][:, j][owner] * phase[:, j][where]
    return normal, np.sqrt(np.maximum(variance, FLOOR**2 * state["spread"][owner, 0]))


def _overlap(panel: Panel) -> bool:
    """Whether some spans share rows."""
    order = np.argsort(panel.start, kind="stable")
    filled = order[panel.lengths[order] > 0]
    return bool(np.any(panel.start[filled][1:] < panel.stop[filled][:-1]))


def _apart(panel: Panel) -> Panel:
    """The same spans in a block of their own."""
    inside = panel.rows
    stop = np.cumsum(panel.lengths)
    start = stop - panel.lengths
    return panel.replace(
        start=start,
        stop=stop,
        offset=panel.offset + panel.start - start,
        y=panel.y[inside],
        columns=panel.columns[inside],
        excluded=None if panel.excluded is None else panel.excluded[inside],
        weights=None if panel.weights is None else panel.weights[inside],
        at=None if panel.at is None else panel.at[inside],
    )
