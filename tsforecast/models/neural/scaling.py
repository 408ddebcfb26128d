"""Units of each series: what its target and columns are centred and scaled by, from training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tsforecast.panel import Float, Int, Panel
from tsforecast.windows import tiles

__all__ = ["Scales", "scales", "spikes"]


class Scales(NamedTuple):
    """Centre and scale (n, 1 + k) of the target, in front, and of the columns."""

    centre: Float
    scale: Float

    def target(self, series: Int) -> tuple[Float, Float]:
        """Those of the target of some series (s,)."""
        return self.centre[series, 0], self.scale[series, 0]


def scales(panel: Panel, numeric: Sequence[int], how: str) -> Scales:
    """Units of the target and of the `numeric` columns; others, and columns of zeros and ones, stay as they are."""
    shape = (len(panel), 1 + panel.columns.shape[1])
    found = Scales(np.zeros(shape), np.ones(shape))
    for tile in tiles(panel):
        for place in (0, *(1 + column for column in numeric)):
            values = tile.gather(panel.y if place == 0 else panel.columns[:, place - 1])
            with np.errstate(over="ignore", invalid="ignore"):
                centre, scale = _units(values, how)
            if place:
                flags = np.all(np.isnan(values) | (values == 0) | (values == 1), axis=1)
                # What never varied moves by shares of its size: in its own units, the first new price would be a shock.
                still = ~(np.abs(values - centre[:, None]) > 1e-13 * np.abs(centre[:, None])).any(axis=1)
                scale = np.where(still & (centre != 0), np.abs(centre), scale)
                centre, scale = np.where(flags, 0.0, centre), np.where(flags, 1.0, scale)
            found.centre[tile.index, place], found.scale[tile.index, place] = centre, scale
    return found


def spikes(panel: Panel) -> Float:
    """Largest distance of each series (n,) from its median, in usual ones (1.4826 times their median); 0 without any.

    Hampel (1974), The influence curve and its role in robust estimation, JASA 69(346), 383-393.
    """
    out = np.zeros(len(panel))
    for tile in tiles(panel):
        values = tile.gather(panel.y)
        gap = np.abs(values - _quantile(np.sort(values, axis=1), 0.5)[:, None])
        usual = 1.4826 * _quantile(np.sort(gap, axis=1), 0.5)
        with np.errstate(over="ignore"):
            far = np.nan_to_num(gap, nan=0.0).max(axis=1) / np.where(usual > 0, usual, np.inf)
        out[tile.index] = np.nan_to_num(far, nan=0.0)
    return out


def _units(values: Float, how: str) -> tuple[Float, Float]:
    """Centre and scale (s,) of rows (s, T) with NaN; a scale of 1 where values do not vary."""
    count = np.isfinite(values).sum(axis=1)
    seen = count > 0
    if how == "none":
        return np.zeros(len(values)), np.ones(len(values))
    if how == "standard":
        mean = np.where(np.isfinite(values), values, 0.0).sum(axis=1) / np.maximum(count, 1)
        gap = np.where(np.isfinite(values), values - mean[:, None], 0.0)
        centre, scale = mean, np.sqrt((gap * gap).sum(axis=1) / np.maximum(count, 1))
    else:
        ordered = np.sort(values, axis=1)
        low, high = (0.0, 1.0) if how == "minmax" else (0.25, 0.75)
        bottom, top = _quantile(ordered, low), _quantile(ordered, high)
        centre, scale = bottom if how == "minmax" else _quantile(ordered, 0.5), top - bottom
        if how == "robust":
            # Half of all values alike: their spread is told by the others.
            scale = np.where(scale > 0, scale, _units(values, "standard")[1])
    flat = ~(scale > 1e-13 * np.maximum(np.abs(centre), 1e-300))
    return np.where(seen, centre, 0.0), np.where(flat | ~seen, 1.0, scale)


def _quantile(ordered: Float, q: float) -> Float:
    """Quantile (s,) of sorted rows (s, T) whose NaN stand last, linear between order statistics; NaN without any."""
    count = np.isfinite(ordered).sum(axis=1)
    place = q * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(ordered))
    lower, upper = ordered[rows, low], ordered[rows, high]
    between: Float = lower + (place - low) * (upper - lower)
    return between
