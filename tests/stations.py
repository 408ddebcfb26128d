"""Stations under one weather, as the tables that a user has: what the tests of GeoBlend are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.builders import lagged_series, table

PAIR = ("knn", "linear")


def weather(n: int = 6, rows: int = 700, seed: int = 0, freq: str = "D", start: Any = "2015-01-01") -> pd.DataFrame:
    """Series with a year, a level and a share in a weather that all of them have, of which some days have noise."""
    rng = np.random.default_rng(seed)
    year = {"D": 365.25, "W": 52.18, "MS": 12, "h": 24}.get(freq, 1e9)
    common = lagged_series(2, rows, (0.8,), seed=seed)
    y = 20 * rng.random((n, 1)) + 8 * np.cos(2 * np.pi * np.arange(rows) / year)
    y = y + (0.5 + rng.random((n, 2))) @ common + 0.5 * rng.normal(size=(n, rows))
    return table(y.round(3), [f"p{i}" for i in range(n)], start=start, freq=freq)


def places_of(df: pd.DataFrame, seed: int = 0, height: bool = False) -> pd.DataFrame:
    """Places of the series within a few hundred km, in two regions."""
    rng = np.random.default_rng([seed, 1])
    ids = df["unique_id"].unique()
    where = {"unique_id": ids, "lat": 40 + 5 * rng.random(len(ids)), "lon": 10 + 5 * rng.random(len(ids))}
    if height:
        where["elevation"] = 2000 * rng.random(len(ids))
    return pd.DataFrame(where | {"region": np.array(["a", "b"])[np.arange(len(ids)) * 2 // len(ids)]})


def wide(forecasts: pd.DataFrame, column: str = "GeoBlend") -> pd.DataFrame:
    """Forecasts with a column a series, in the order of ids."""
    return forecasts.pivot(index="ds", columns="unique_id", values=column)
