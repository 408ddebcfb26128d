"""Horizon bands: steps ahead that are judged, and settled, together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsforecast.panel import Int, Panel, unit

__all__ = ["band_names", "band_of", "bands_of"]

FINE = (1, 2, 4, 8)
"""First steps of the horizon bands of daily and finer data: the skill of models fades at different speeds."""


def bands_of(panel: Panel, h: int) -> tuple[int, ...]:
    """First steps of the usual horizon bands within h: 1 | 2-3 | 4-7 | 8+, or one for weeks and coarser."""
    return tuple(step for step in FINE if step <= h) if unit(panel.freq) in ("D", "B", "C", "h", "min", "s") else (1,)


def band_of(first: Sequence[int], h: int) -> Int:
    """Band (h,) of each step, from the first steps of the bands."""
    found: Int = np.searchsorted(first, np.arange(1, h + 1), side="right") - 1
    return found.astype(np.int64)


def band_names(first: Sequence[int], h: int) -> list[str]:
    """Bands as text: 1, 2-3, 4-7, 8-14."""
    ends = [*(int(step) - 1 for step in first[1:]), h]
    return [str(a) if a == b else f"{a}-{b}" for a, b in zip(first, ends, strict=True)]
