"""The stamps that follow a panel's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.frames.grids import ahead
from tsforecast.panel import Panel

__all__ = ["future_times", "grid_ahead"]


def grid_ahead(panel: Panel, h: int) -> NDArray[Any]:
    """The panel's grid and the `h` stamps that follow it (P + h,)."""
    if not len(panel.grid):
        return panel.grid
    return np.concatenate([panel.grid, ahead(panel.freq, panel.grid[-1], h)])


def future_times(panel: Panel, h: int) -> NDArray[Any]:
    """The `h` stamps after each series' last row (n, h), in the panel's own time (see `Panel.tz`)."""
    if panel.at is None:
        coming: NDArray[Any] = grid_ahead(panel, h)[panel.last[:, None] + np.arange(1, h + 1)]
        return coming
    last, back = np.unique(panel.last, return_inverse=True)
    rows = [ahead(panel.freq, panel.grid[position], h) for position in last]
    return np.stack(rows)[back] if rows else np.empty((0, h), dtype=panel.grid.dtype)
