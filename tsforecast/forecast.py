"""Forecast: the arrays of one call, before they become a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.panel import Float

__all__ = ["STATUSES", "Forecast"]

STATUSES = ("ok", "repaired", "cold_start", "fallback", "quarantined", "failed")
"""What a series may say of its forecast; `Forecast.status` holds positions in this tuple."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Point (n, h); lower and upper (n, h, q) or None; status (n,) as positions in STATUSES; members name -> (n, h)."""

    point: Float
    lower: Float | None = None
    upper: Float | None = None
    status: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    members: Mapping[str, Float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status.shape != (len(self.point),):
            object.__setattr__(self, "status", np.zeros(len(self.point), np.int8))

    def replace(self, **changes: Any) -> Forecast:
        """A copy with some arrays exchanged."""
        return replace(self, **changes)

    def clipped(self, lower: float | None, upper: float | None) -> Forecast:
        """Point and intervals held within the bounds."""
        if lower is None and upper is None:
            return self

        def clip(values: Float | None) -> Float | None:
            return None if values is None else np.clip(values, lower, upper)

        return replace(self, point=np.clip(self.point, lower, upper), lower=clip(self.lower), upper=clip(self.upper))
