"""Fourier columns of a seasonality."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.panel import Float

__all__ = ["fourier"]

_MICROSECONDS = 86_400_000_000  # in a day


def fourier(times: NDArray[Any], period: float, order: int) -> Float:
    """Columns (P, 2 * order) at `times` (P,) datetime64: sin, cos of harmonic 1, then of harmonic 2, ...

    `period` in days; the phase is 0 at 1970-01-01, so that all series share the columns of a date. As in
    Taylor & Letham (2018), Forecasting at scale, eq. (5).
    """
    # The remainder is taken before the angle: it is exact, so that no digit is lost however far 1970 is.
    stamps = times.astype("datetime64[us]").astype(np.int64).astype(np.float64)
    phase = np.mod(stamps, period * _MICROSECONDS) / (period * _MICROSECONDS)
    angle = 2 * np.pi * phase[:, None] * np.arange(1, order + 1)
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(phase), 2 * order)
