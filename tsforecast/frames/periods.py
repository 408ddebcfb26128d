"""Calendar periods that stamps fall into."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import ConfigError
from tsforecast.panel import Int

__all__ = ["periods"]


def periods(times: NDArray[np.datetime64], alias: str) -> tuple[Int, NDArray[np.datetime64]]:
    """Number of the calendar period of each stamp (same shape), and the first moment of each period (g,).

    ConfigError for integer times and for an alias that names no period.
    """
    if times.dtype.kind != "M":
        raise ConfigError("aggregate= needs calendar times; these series count in whole numbers")
    try:
        whole = pd.DatetimeIndex(times.reshape(-1)).to_period(alias)
    except (ValueError, AttributeError, TypeError) as cause:
        raise ConfigError(f'aggregate must name a calendar period ("W", "M", "Q", "Y"), got {alias!r}') from cause
    _, first, number = np.unique(whole.asi8, return_index=True, return_inverse=True)
    starts = whole[first].start_time
    return number.reshape(times.shape).astype(np.int64), starts.to_numpy().astype("datetime64[us]")
