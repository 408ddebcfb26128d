"""Normals from a series' own rows: least squares on the blocks that its rows can tell of, batched over tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tsforecast.normals.blocks import Blocks
from tsforecast.normals.moments import Moments, gathered, solved
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.windows import Tile, tiles

__all__ = ["Own", "own", "spread"]

LONGEST = 30
"""Years of monthly rows, counted from the last observed one, that enter a normal."""
STEADY = 3.0
"""Years of rows at which the seasons of a spread count half. Measured on daily and monthly temperatures by the
likelihood of later anomalies: 1 and 10 do about as well, seasons taken as they are and no seasons worse."""
YEAR_SEEN = 0.9
"""Share of a year's rows that must be observed for it to count."""


class Own(NamedTuple):
    """What each series tells by itself: coefficients (n, k), level first; moments of its rows; years of observed rows
    (n,); columns (n, k) that its rows can tell of; trend column (n,) of its first row.
    """

    coef: Float
    moments: Moments
    years: Float
    told: Bool
    since: Float


def own(panel: Panel, blocks: Blocks) -> Own:
    """Normals of each series alone; NaN where it has no observed row.

    A year needs rows for one (waves: in each of its months), hours need three days, weekdays three weeks and the
    word of the Bayesian information criterion, a trend three years, eight of months.
    """
    n, k = len(panel), blocks.width
    out = Own(np.full((n, k), np.nan), Moments.none(n, k), np.zeros(n), np.zeros((n, k), bool), np.zeros(n))
    table, month = blocks.columns(panel.grid), blocks.months(panel.grid)
    for tile in _tiles(panel, blocks):
        at, y, use = gathered(panel, tile)
        count = np.count_nonzero(use, axis=1)
        moments = Moments.told(table, at, y, use)
        coef, told = _shape(moments, count, blocks, _told(blocks, count, _months_seen(month[at], use)))
        coef[:, 0] = moments.level(coef)
        coef[count == 0] = np.nan
        out.coef[tile.index], out.told[tile.index] = coef, told
        out.moments.put(tile.index, moments)
        out.years[tile.index] = count / blocks.rows_a_year
        out.since[tile.index] = np.where(use > 0, table[at, -1], np.inf).min(axis=1)
    return out


def _tiles(panel: Panel, blocks: Blocks) -> Iterator[Tile]:
    """The rows that enter a normal, in tiles: of months those of the last 30 years alone."""
    if "months" in blocks.names:
        panel = _to_last_observed(panel).tail(round(LONGEST * blocks.rows_a_year))
    return tiles(panel) if len(panel.y) else iter(())


def _to_last_observed(panel: Panel) -> Panel:
    """The spans without the rows after their last observed one."""
    seen = np.flatnonzero(np.isfinite(panel.y))
    before = np.searchsorted(seen, panel.stop)
    last = np.concatenate([[-1], seen])[before]
    return panel.replace(stop=np.maximum(last + 1, panel.start))


def _months_seen(month: Int, use: Float) -> Int:
    """Calendar months (s,) in which each series has an observed row."""
    cell = np.arange(len(month))[:, None] * 12 + month
    there = np.bincount(cell[use > 0], minlength=12 * len(month)) > 0
    seen: Int = there.reshape(-1, 12).sum(axis=1)
    return seen


def _told(blocks: Blocks, count: Int, months: Int) -> Bool:
    """Columns (s, k) that `count` (s,) rows in `months` (s,) calendar months can tell of."""
    years = count / blocks.rows_a_year
    enough = {
        "waves": (years >= YEAR_SEEN) & (months == 12),
        "months": years >= YEAR_SEEN,
        "hours": count * blocks.days >= 3,
        "weekdays": count * blocks.days >= 21,
        "trend": years >= (8 if "months" in blocks.names else 3) - 1 + YEAR_SEEN,
    }
    told = np.zeros((len(count), blocks.width), dtype=bool)
    for name in blocks.names[1:]:
        told[:, blocks.place(name)] = enough[name][:, None]
    return told


def _shape(moments: Moments, rows: Int, blocks: Blocks, told: Bool) -> tuple[Float, Bool]:
    """Least-squares coefficients (s, k) of `rows` (s,) rows, the level's left at 0, and the columns that stayed.

    Weekdays go where the Bayesian information criterion does not ask for them.
    """
    told = told & (np.einsum("skk->sk", moments.about)[:, :-1] > 0)
    coef = moments.shape(told)
    week = blocks.place("weekdays")
    if not told[:, week].any():
        return coef, told
    bare = told.copy()
    bare[:, week] = False
    plain = moments.shape(bare)
    power, cross = moments.about[:, -1, -1], moments.about[:, :-1, -1]
    with_, without = (np.maximum(power - (c * cross).sum(axis=1), 1e-12 * power + 1e-300) for c in (coef, plain))
    days = np.count_nonzero(told[:, week], axis=1)
    asked = rows * np.log(without / with_) > (days - 1) * np.log(np.maximum(rows, 2))
    return np.where(asked[:, None], coef, plain), np.where(asked[:, None], told, bare)


def spread(panel: Panel, blocks: Blocks, coef: Float, told: Bool) -> Float:
    """Coefficients (n, 3) of the variance about the normals `coef` (n, k): a level, sine and cosine of the year.

    The yearly course only where a year was told of, and shrunk; 0 where nothing strays.
    """
    out = np.zeros((len(panel), 3))
    table, phase = blocks.columns(panel.grid), blocks.phase(panel.grid)
    yearly: Bool = np.any(told[:, blocks.year], axis=1)
    for tile in _tiles(panel, blocks):
        at, y, use = gathered(panel, tile)
        mine = coef[tile.index]
        left = np.where(use > 0, y - (table[at] @ mine[:, :, None])[:, :, 0], 0.0) ** 2
        total = use.sum(axis=1)
        rows = np.count_nonzero(use, axis=1)
        free = np.maximum(rows - 1 - told[tile.index].sum(axis=1), 1)
        mean = (use * left).sum(axis=1) / np.maximum(total, 1e-300)
        x = phase[at]
        centre = np.einsum("st,stk->sk", use, x) / np.maximum(total, 1e-300)[:, None]
        x = (x - centre[:, None]) * np.sqrt(use)[:, :, None]
        cross = np.swapaxes(x, 1, 2) @ ((left - mean[:, None]) * np.sqrt(use))[:, :, None]
        season = solved(np.swapaxes(x, 1, 2) @ x, cross, total, yearly[tile.index][:, None] & (np.arange(3) > 0))
        season[:, 0] = mean - (centre[:, 1:] * season[:, 1:]).sum(axis=1)
        season[:, 1:] *= (rows / (rows + STEADY * blocks.rows_a_year))[:, None]
        out[tile.index] = season * (rows / free)[:, None]
    return out
