"""The lag table of a panel: which rows it has, their targets and their regressors, gathered by index arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tsforecast.panel import Float, Int, Panel
from tsforecast.windows.plan import Transform
from tsforecast.windows.tiles import tiles

__all__ = ["Look", "Rows", "Units", "levels_of", "regressors", "rows_of", "statics", "targets", "units_of"]


class Units(NamedTuple):
    """What each series is centred and scaled by, (n,) each, on the scale of the transformed target."""

    centre: Float
    scale: Float

    def take(self, index: Int) -> Units:
        """The units of some series, or of each row's series."""
        return Units(self.centre[index], self.scale[index])


class Look(NamedTuple):
    """What a row looks at: lags before its origin, differences at `diff` unless 0, the target `step` rows on."""

    lags: tuple[int, ...]
    diff: int
    step: int

    @property
    def reach(self) -> int:
        """Rows before an origin that are looked at."""
        return max(self.lags, default=0) + self.diff

    @property
    def jumps(self) -> int:
        """Differences between the target and the last known level that it is told as a gap to; 1 without any."""
        return -(-self.step // self.diff) if self.diff else 1


class Rows(NamedTuple):
    """Origins of table rows: `owner` (R,) series, `at` (R,) row of the block that follows the origin."""

    owner: Int
    at: Int

    def take(self, index: Int) -> Rows:
        """Some of the rows."""
        return Rows(self.owner[index], self.at[index])


def levels_of(panel: Panel, log: bool) -> Float:
    """The target (N,), logged if asked; NaN where it is missing or has no log."""
    y = np.where(np.isfinite(panel.y), panel.y, np.nan)
    levels: Float = Transform(log).apply(y[None])[0]
    return levels


def units_of(panel: Panel, levels: Float, diff: int, standard: bool) -> Units:
    """Mean and standard deviation of each series' (differenced) levels; 0 and 1 where `standard` is not wanted."""
    centre, scale = np.zeros(len(panel)), np.ones(len(panel))
    if not standard:
        return Units(centre, scale)
    for tile in tiles(panel):
        z = Transform(False, diff).apply(tile.gather(levels))
        seen = np.isfinite(z)
        count = seen.sum(axis=1)
        with np.errstate(invalid="ignore"):
            mean = np.where(seen, z, 0.0).sum(axis=1) / count
        gap = np.where(seen, z - mean[:, None], 0.0)
        size = np.sqrt((gap * gap).sum(axis=1) / np.maximum(count, 1))
        flat = ~(size > 1e-13 * np.maximum(np.abs(mean), 1e-300))
        live = len(tile.index)
        centre[tile.index], scale[tile.index] = mean[:live], np.where(flat, 1.0, size)[:live]
    return Units(centre, scale)


def rows_of(panel: Panel, look: Look) -> Rows:
    """Every origin with all that it looks at inside its series, series by series, oldest first."""
    count = np.maximum(panel.lengths - look.reach - look.step + 1, 0)
    owner = np.repeat(np.arange(len(panel)), count)
    first = np.repeat(panel.start + look.reach - (np.cumsum(count) - count), count)
    return Rows(owner, first + np.arange(len(owner)))


def targets(levels: Float, rows: Rows, look: Look, units: Units) -> Float:
    """Scaled target (R,) of each row: its level, or the gap to the level `jumps` differences before it."""
    at = rows.at + look.step - 1
    value = levels[at] - levels[at - look.jumps * look.diff] if look.diff else levels[at]
    centre, scale = units.take(rows.owner)
    gap: Float = (value - look.jumps * centre) / scale
    return gap


def regressors(panel: Panel, levels: Float, rows: Rows, look: Look, units: Units, static: Float) -> Float:
    """Regressors (R, c): lags of the scaled target, of each past column, known columns at the target, static (n, s)."""
    count, p = len(look.lags), panel.n_past
    x = np.empty((len(rows.at), count * (1 + p) + panel.columns.shape[1] - p + static.shape[1]))
    centre, scale = units.take(rows.owner)
    # Column by column: what is gathered on the way takes no more room than one of them.
    for j, lag in enumerate(look.lags):
        back = rows.at - lag
        own = levels[back] - levels[back - look.diff] if look.diff else levels[back]
        x[:, j] = (own - centre) / scale
        for c in range(p):
            x[:, (1 + c) * count + j] = panel.columns[back, c]
    lagged = count * (1 + p)
    for c in range(p, panel.columns.shape[1]):
        x[:, lagged + c - p] = panel.columns[rows.at + look.step - 1, c]
    x[:, x.shape[1] - static.shape[1] :] = static[rows.owner]
    return x


def statics(panel: Panel, names: Sequence[str]) -> Float:
    """Numeric static columns (n, s) by name."""
    if not names:
        return np.empty((len(panel), 0))
    return np.stack([np.asarray(panel.static[name], dtype=float) for name in names], axis=1)
