"""Forecast intervals of Prophet's trend uncertainty in closed form, and its sample paths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsforecast.models.prophet.jumps import Quantiles
from tsforecast.panel import Float

__all__ = ["half_widths"]

BLOCK = 100_000
"""Steps worked on together, few enough to stay in cache."""


def half_widths(levels: Sequence[float], rate: Float, spread: Float, distance: Float, sigma: Float) -> Float:
    """Half-widths (n, h, q) of central intervals, levels in percent, for slope changes to come and noise.

    rate (n,) of changes a unit of scaled time, spread (n,) or (n, h) their mean size (times the factor that multiplies
    the trend), distance (n, h) >= 0 in scaled time after the last row, sigma (n,) or (n, h) of the noise. Within 0.3 %
    of the exact law for levels from 1 to 99.9; NaN where an argument is NaN.
    """
    n, h = distance.shape
    out = np.empty((n, h, len(levels)))
    step = max(1, BLOCK // max(h, 1))
    for first in range(0, n, step):
        some = slice(first, first + step)
        away = distance[some]
        size = away * np.abs(spread[some] if spread.ndim == 2 else spread[some, None])
        own = sigma[some] if sigma.ndim == 2 else sigma[some, None]
        u, noise = away * rate[some, None], np.broadcast_to(own, away.shape)
        for q, level in enumerate(levels):
            out[some, :, q] = Quantiles.of(level / 100.0)(u, size, noise)
    return out
