"""The clock on the wall: where days and hours begin for people in a time zone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.rhythm import Rhythm
from tsforecast.frames.columns import to_utc

__all__ = ["grid_clock", "wall_clock"]


def grid_clock(wall: NDArray[Any], tz: Any, freq: Any) -> NDArray[np.datetime64]:
    """Grid times (c,) datetime64[us] of local times (c,): what `wall_clock` undoes."""
    stamps: NDArray[np.datetime64] = wall.astype("datetime64[us]")
    return stamps if tz is None or Rhythm.of(freq).kind != "fine" else to_utc(stamps, str(tz))


def wall_clock(times: NDArray[Any], tz: Any, freq: Any) -> NDArray[np.datetime64]:
    """Local times (...) datetime64[us] of grid times (...): those finer than a day are in UTC where `tz` is given."""
    stamps: NDArray[np.datetime64] = times.astype("datetime64[us]")
    if tz is None or Rhythm.of(freq).kind != "fine":
        return stamps
    import pandas as pd

    wall = pd.DatetimeIndex(stamps.ravel()).tz_localize("UTC").tz_convert(tz).tz_localize(None)
    return wall.to_numpy("datetime64[us]").reshape(stamps.shape)
