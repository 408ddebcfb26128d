"""Failures: forecasts that are not finite or far outside the history, and what takes their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tsforecast.errors import DataError, Finding, FitError, listed
from tsforecast.forecast import STATUSES, Forecast
from tsforecast.panel import Bool, Float, Panel
from tsforecast.windows import main_season, seasonal_last, tiles

__all__ = ["check_lengths", "out_of_range", "ranges", "seasonal_stand_in", "settle", "with_widths"]

RANGE_LIMIT = 20.0
"""A forecast farther from its history than this many of its ranges is a failure (TSF-OUT-RANGE)."""

Rescue = Callable[[Panel, int, Sequence[float]], Forecast]


def check_lengths(panel: Panel, need: int, name: str, on_error: str) -> None:
    """DataError (TSF-LEN) for series with fewer than `need` observed rows, unless `on_error` settles them later."""
    if on_error != "raise":
        return
    have = panel.observed
    short = np.nonzero(have < need)[0]
    if len(short):
        fix = f'give at least {need} rows, a model that needs fewer, or on_error="fallback"'
        raise DataError(
            f"{name} cannot be fitted on {len(short)} of {len(panel)} series",
            [
                Finding(
                    "TSF-LEN", "too few observed rows", series=panel.ids[i], found=int(have[i]),
                    expected=need, count=int(have[i]), fix=f"has {int(have[i])}, needs {need}: {fix}",
                )
                for i in short
            ],
        )  # fmt: skip


def out_of_range(point: Float, panel: Panel, extremes: Float | None = None, limit: float = RANGE_LIMIT) -> Bool:
    """Series (n,) whose forecast (n, h) leaves its history by more than `limit` ranges.

    `extremes` (n, 2) are the lowest and highest values of rows that the panel no longer holds.
    """
    recent = _ends(panel.right(16))
    suspect = np.nonzero(_far(point, recent, limit))[0]
    far = np.zeros(len(point), dtype=bool)
    if len(suspect):
        # The last rows alone clear nearly every series; the rest are judged on all of their history.
        older = None if extremes is None else extremes[suspect]
        far[suspect] = _far(point[suspect], ranges(panel.take(suspect), older), limit)
    return far


def ranges(panel: Panel, extremes: Float | None = None) -> Float:
    """Lowest and highest value (n, 2) of each series, and of `extremes` where given; NaN where there is none."""
    out = np.full((len(panel), 2), np.nan)
    for tile in tiles(panel):
        y = tile.gather(panel.y)
        out[tile.index] = _ends(y if extremes is None else np.concatenate([y, extremes[tile.index]], axis=1))
    return out


def _ends(history: Float) -> Float:
    seen = np.isfinite(history)
    high = np.where(seen, history, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(seen, history, np.inf).min(axis=1, initial=np.inf)
    some: Bool = np.any(seen, axis=1)
    return np.where(some[:, None], np.stack([low, high], axis=1), np.nan)


def _far(point: Float, extremes: Float, limit: float) -> Bool:
    low, high = extremes[:, 0], extremes[:, 1]
    some = np.isfinite(low)
    span = np.where(some, high - low, 0.0)
    # A constant or one-row history has no range; its own size stands in for it.
    room = limit * np.where(span > 0, span, np.maximum(np.abs(np.where(some, high, 0.0)), 1.0))
    over = (point > (high + room)[:, None]) | (point < (low - room)[:, None])
    far: Bool = some & over.any(axis=1)
    return far


def seasonal_stand_in(panel: Panel, h: int, levels: Sequence[float]) -> Forecast:
    """The default fallback: seasonal last value at the frequency's main season."""
    return seasonal_last(panel, main_season(panel), h, levels)


def with_widths(out: Forecast, panel: Panel, levels: Sequence[float]) -> Forecast:
    """Intervals that a fit of too few rows cannot tell, as wide as those of the last value's rule.

    Asking for intervals must not decide whether there is a forecast.
    """
    if out.lower is None or out.upper is None:
        return out
    lacking = np.flatnonzero(np.isnan(out.upper - out.lower).any(axis=(1, 2)) & ~_incomplete(out.point))
    if not len(lacking):
        return out
    rule = seasonal_last(panel.take(lacking), 1, out.point.shape[1], levels)
    assert rule.upper is not None
    width = rule.upper - rule.point[..., None]
    lower, upper = out.lower.copy(), out.upper.copy()
    lower[lacking] = out.point[lacking][..., None] - width
    upper[lacking] = out.point[lacking][..., None] + width
    return out.replace(lower=lower, upper=upper)


def settle(
    out: Forecast,
    panel: Panel,
    levels: Sequence[float],
    *,
    name: str,
    on_error: str,
    rescue: Rescue,
    extremes: Float | None = None,
) -> Forecast:
    """Failed rows raise, are replaced by the rescue forecast, or become NaN, as `on_error` says; status tells which.

    `extremes` as in `out_of_range`.
    """
    failed = _incomplete(out.point)
    failed = failed | out_of_range(np.where(failed[:, None], 0.0, out.point), panel, extremes)
    if not failed.any():
        return out
    ids = panel.ids[failed]
    if on_error == "raise":
        raise FitError(
            f"{name}: no finite forecast within {RANGE_LIMIT:g} ranges of the history (TSF-OUT-RANGE) for "
            f"{len(ids)} of {len(panel)} series ({listed(ids)}): look at them with tsforecast.check(data), "
            'or set on_error="fallback"',
            list(ids),
        )
    h = out.point.shape[1]
    nothing = Forecast(np.full((len(ids), h), np.nan))
    stand_in = nothing if on_error == "skip" else rescue(panel.take(failed), h, levels)
    usable = ~_incomplete(stand_in.point)
    status = out.status.copy()
    status[failed] = np.where(usable, STATUSES.index("fallback"), STATUSES.index("failed")).astype(np.int8)
    point = out.point.copy()
    point[failed] = np.where(usable[:, None], stand_in.point, np.nan)
    return out.replace(
        point=point,
        status=status,
        lower=_replaced(out.lower, failed, stand_in.lower),
        upper=_replaced(out.upper, failed, stand_in.upper),
    )


def _incomplete(point: Float) -> Bool:
    """Series (n,) with a value that is not finite."""
    lacking: Bool = np.any(~np.isfinite(point), axis=1)
    return lacking


def _replaced(values: Float | None, failed: Bool, other: Float | None) -> Float | None:
    if values is None:
        return None
    values = values.copy()
    values[failed] = np.nan if other is None else other
    return values
