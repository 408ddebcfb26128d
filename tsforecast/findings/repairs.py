"""Repairs of a block: missing values filled, outliers found, both vectorised over all series."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsforecast.errors import ConfigError, require
from tsforecast.panel import Bool, Float, Int, Panel, seasons

__all__ = ["Outliers", "filled", "missing", "outliers", "owners"]

_PIECE = 1 << 16  # rows whose windows are held at once


class Outliers(NamedTuple):
    """Which rows (N,) are outliers, and the range [low, high] (N,) in which they would not be."""

    mask: Bool
    low: Float
    high: Float


def owners(panel: Panel) -> Int:
    """Series of each block row (N,), -1 for rows of none."""
    owner = np.full(len(panel.y), -1, dtype=np.int64)
    owner[panel.rows] = panel.owner
    return owner


def missing(panel: Panel) -> tuple[Bool, Bool]:
    """Rows (N,) of the series that are missing: inside (or before) the values, and after the last value."""
    owner = owners(panel)
    absent = np.isnan(panel.y) & (owner >= 0)
    last = np.full(len(panel), -1, dtype=np.int64)
    present = np.flatnonzero(~np.isnan(panel.y) & (owner >= 0))
    np.maximum.at(last, owner[present], present)
    tail = absent & (np.arange(len(panel.y)) > np.where(owner >= 0, last[owner], 0))
    return absent & ~tail, tail


def filled(panel: Panel, how: str, where: Bool) -> Float:
    """The target (N,) with the missing rows of `where` filled.

    "interpolate" draws straight lines and holds the last value; "ffill" repeats the value before; "seasonal"
    interpolates between the same phases of the season (the last one held), whose length the frequency tells.
    Rows before a series' first value stay missing.
    """
    y = panel.y
    if how == "seasonal":
        usual = seasons(panel.freq)
        if not usual:
            raise ConfigError(f"freq={panel.freq!r} has no usual season: fill by 'interpolate' or 'ffill'")
        owner = owners(panel)
        phase = (np.arange(len(y)) - np.where(owner >= 0, panel.start[owner], 0)) % usual[0]
        order = np.lexsort((np.arange(len(y)), phase, owner))
        group = owner[order] * usual[0] + phase[order]
        guess = np.empty_like(y)
        guess[order] = _between(y[order], group, lines=True)
    elif how in ("interpolate", "ffill"):
        guess = _between(y, owners(panel), lines=how == "interpolate")
    else:
        raise ConfigError(f"missing values can be filled by 'interpolate', 'seasonal' or 'ffill', not {how!r}")
    return np.where(where & np.isnan(y), guess, y)


def _between(y: Float, group: Int, *, lines: bool) -> Float:
    """Values (N,) with NaN taken from the neighbours in the same run of `group`: a line between, or the one before."""
    index = np.arange(len(y))
    known = ~np.isnan(y)
    before = np.maximum.accumulate(np.where(known, index, -1))
    behind = before >= 0
    behind[behind] = group[before[behind]] == group[behind]
    held = np.where(behind, y[before], np.nan)
    if not lines:
        return held
    after = np.minimum.accumulate(np.where(known, index, len(y))[::-1])[::-1]
    ahead = after < len(y)
    ahead[ahead] = group[after[ahead]] == group[ahead]
    both = behind & ahead & ~known
    result = held
    left, right = before[both], after[both]
    share = (index[both] - left) / (right - left)
    result[both] = y[left] + share * (y[right] - y[left])
    return result


def outliers(panel: Panel, method: str = "hampel", *, width: int | None = None, threshold: float = 6.0) -> Outliers:
    """Rows far from what is usual around them.

    "hampel" compares with the median of `width` rows to either side (default: the season, at least 7), in units of
    1.4826 x the median absolute deviation (Hampel 1974; mean deviation where that is zero, Iglewicz and Hoaglin
    1993); "stl" does so with the remainder of a robust STL decomposition of each series (needs statsmodels).
    """
    panel = panel.replace(y=np.where(np.isfinite(panel.y), panel.y, np.nan))  # infinities are no outliers but errors
    season = (seasons(panel.freq) or (1,))[0]
    if method == "hampel":
        half = width or max(7, min(season, 60))
        centre, scale = _rolling(panel, half)
    elif method == "stl":
        centre, scale = _decomposed(panel, season)
    else:
        raise ConfigError(f"outliers are found by 'hampel' or 'stl', not {method!r}")
    low, high = centre - threshold * scale, centre + threshold * scale
    with np.errstate(invalid="ignore"):
        mask = (scale > 0) & ((panel.y < low) | (panel.y > high))
    return Outliers(mask, low, high)


def _rolling(panel: Panel, half: int) -> tuple[Float, Float]:
    """Median and robust deviation of the rows within `half` of each row of its series (N,)."""
    owner = owners(panel)
    centre, scale = np.full(len(owner), np.nan), np.zeros(len(owner))
    reach = np.arange(-half, half + 1)
    for low in range(0, len(owner), _PIECE):
        rows = np.arange(low, min(low + _PIECE, len(owner)))
        around = rows[:, None] + reach
        inside = np.clip(around, 0, len(owner) - 1)
        same = (around == inside) & (owner[inside] == owner[rows][:, None]) & (owner[rows][:, None] >= 0)
        window = np.where(same, panel.y[inside], np.nan)
        usable = ~np.isnan(window).all(axis=1)
        centre[rows[usable]], scale[rows[usable]] = _robust(window[usable])
    return centre, scale


def _robust(window: Float) -> tuple[Float, Float]:
    """Median (r,) of each window (r, w) without its NaN, and a deviation that an outlier does not stretch."""
    middle = _median(window)
    apart = np.abs(window - middle[:, None])
    spread = 1.4826 * _median(apart)
    return middle, np.where(spread > 0, spread, 1.2533 * np.nanmean(apart, axis=1))


def _median(window: Float) -> Float:
    """Medians (r,) over rows that hold at least one number; sorting puts NaN last (np.nanmedian takes 4 x as long)."""
    ranked = np.sort(window, axis=1)
    count = np.count_nonzero(~np.isnan(window), axis=1)
    row = np.arange(len(window))
    middle: Float = 0.5 * (ranked[row, (count - 1) // 2] + ranked[row, count // 2])
    return middle


def _decomposed(panel: Panel, season: int) -> tuple[Float, Float]:
    stl = require("statsmodels.tsa.seasonal", "stats").STL
    centre, scale = np.full(len(panel.y), np.nan), np.zeros(len(panel.y))
    whole = filled(panel, "interpolate", np.isnan(panel.y))
    for start, stop in zip(panel.start, panel.stop, strict=True):
        values = whole[start:stop]
        rows = np.flatnonzero(~np.isnan(values))
        if season < 2 or len(rows) < 2 * season + 1:
            continue
        rest = stl(values[rows], period=season, robust=True).fit().resid
        centre[start + rows] = values[rows] - rest + np.median(rest)
        scale[start + rows] = _robust(rest[None, :])[1]
    return centre, scale
