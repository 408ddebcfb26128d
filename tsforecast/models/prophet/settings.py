"""What all spans of one Prophet model have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tsforecast.models.prophet.features import Features
from tsforecast.models.prophet.layout import Facts
from tsforecast.panel import Bool, Float, Int

__all__ = ["Settings"]

TREND_PRECISION = 1 / 25
"""Of slope and level: normal with standard deviation 5."""


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """Trend, columns, changepoints (`moments` in microseconds since 1970, None for `number` automatic ones in the first
    `share` of the rows), their prior scale tau, and how the target is scaled.
    """

    growth: Literal["linear", "logistic", "flat"]
    features: Features
    number: int
    share: float
    moments: Int | None
    tau: float
    scaling: Literal["absmax", "minmax"]

    @property
    def hinges(self) -> int:
        """Slope changes that a span has room for."""
        return 0 if self.growth == "flat" else max(self.number, 1)

    @property
    def is_additive(self) -> bool:
        """Whether the exact convex solver applies."""
        return self.growth != "logistic" and not self.features.multiplicative.any()

    @property
    def precision(self) -> Float:
        """Prior precisions (2 + K,) of slope, level and coefficients."""
        return np.concatenate([[TREND_PRECISION, TREND_PRECISION], self.features.scale**-2.0])

    def active(self, facts: Facts) -> Bool:
        """Terms that spans of these lengths have (b, 2 + K + S): slope, level, columns, slope changes.

        Yearly seasonality needs two years, weekly two weeks of steps below a week, daily two days of steps below a day.
        """
        has = {
            "yearly": facts.unit >= 730,
            "weekly": (facts.unit >= 14) & (facts.step < 7),
            "daily": (facts.unit >= 2) & (facts.step < 1),
        }
        out = np.ones((len(facts.unit), 2 + len(self.features.names) + self.hinges), dtype=bool)
        for place, name in enumerate(self.features.component, start=2):
            if name in self.features.auto:
                out[:, place] = has[name]
        if self.growth == "flat":
            out[:, 0] = False
        return out

    @property
    def stages(self) -> int:
        """How many times terms can be taken away, counting the whole model as one."""
        return 5 + int(np.log2(max(self.features.harmonic.max(initial=0), 1)))

    def reduced(self, active: Bool, stage: int) -> Bool:
        """Fewer active terms: half the harmonics each stage, then no columns, no slope changes, no slope."""
        out = active.copy()
        k = len(self.features.names)
        harmonic = self.features.harmonic
        limit = int(harmonic.max(initial=0)) >> stage
        out[:, 2 : 2 + k] &= (harmonic <= limit) | (harmonic == 0)
        if stage >= self.stages - 3:
            out[:, 2 : 2 + k] = False
        if stage >= self.stages - 2:
            out[:, 2 + k :] = False
        if stage >= self.stages - 1:
            out[:, 0] = False
        return out
