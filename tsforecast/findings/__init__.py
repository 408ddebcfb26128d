"""Findings: what is wrong in a table, what may be done about it, and the road from a table to a Panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.errors import DataError, Finding
from tsforecast.frames import columns, grids
from tsforecast.panel import Int, Names, Panel

__all__ = ["as_panel", "read_panel"]


def as_panel(data: Any, static: Any = None) -> Panel:
    """A table with the default names as a Panel; a Panel passes through."""
    if isinstance(data, Panel):
        return data
    return read_panel(data, static=static)


def read_panel(
    data: Any,
    *,
    names: Names = Names(),
    freq: Any = None,
    gaps: str = "fill",
    static: Any = None,
    policies: Mapping[str, str] | None = None,
    mask: Any = None,
    weights: str | None = None,
) -> Panel:
    table = frames.read(data, names)
    freq = grids.normalise(freq)
    stamps = table.times.values
    tz = table.times.tz
    order = np.lexsort((stamps, table.codes))
    if freq is None:
        local = columns.local_days(stamps, tz) if tz else None
        stamps = stamps if local is None else local
        freq = grids.infer(stamps[order], table.codes[order])
    if freq is None:
        raise DataError("", [Finding("TSF-FREQ", "no frequency can be read from one row", fix="give freq=")])
    grid = grids.between(freq, stamps.min(), stamps.max())
    at = np.searchsorted(grid, stamps)
    n = len(table.ids)
    first = np.full(n, len(grid))
    last = np.zeros(n, dtype=np.int64)
    np.minimum.at(first, table.codes, at)
    np.maximum.at(last, table.codes, at)
    stop = np.cumsum(last - first + 1)
    start = stop - (last - first + 1)
    dest = at - first[table.codes] + start[table.codes]
    y = np.full(int(stop[-1]), np.nan)
    y[dest] = table.y.values
    block = np.full((len(y), len(table.columns)), np.nan)
    for k, values in enumerate(table.columns.values()):
        block[dest, k] = values
    return Panel(
        ids=table.ids, start=start, stop=stop, y=y, grid=grid, offset=first - start, columns=block,
        column_names=tuple(table.columns), n_past=len(table.columns), categories=table.categories,
        series=np.arange(n), freq=freq, tz=tz, kind=table.kind, time_unit=table.times.unit, names=table.names,
    )
