"""Calendar words -> columns of numbers, for any time grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError
from tsforecast.panel import Float

__all__ = ["features"]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def features(
    times: NDArray[Any],
    words: tuple[str, ...],
    *,
    freq: Any = "D",
    tz: Any = None,
    overrides: Any = None,
) -> tuple[Float, tuple[str, ...]]:
    """Columns (P, k) and their names for the calendar words at `times` (P,)."""
    if not np.issubdtype(times.dtype, np.datetime64):
        raise ConfigError("calendar words need dates, but the time column holds integer steps")
    days = times.astype("datetime64[D]").astype(np.int64)
    count = 5 if str(freq).lstrip("0123456789") in ("B", "C") else 7
    blocks: list[Float] = []
    names: list[str] = []
    for word in words:
        if word != "weekday":
            raise ConfigError(f"unknown calendar word {word!r}; there is weekday")
        blocks.append(((days + 3) % 7)[:, None] == np.arange(count))
        names += [f"weekday={name}" for name in _WEEKDAYS[:count]]
    table = np.concatenate(blocks, axis=1).astype(float) if blocks else np.empty((len(times), 0))
    return table, tuple(names)
