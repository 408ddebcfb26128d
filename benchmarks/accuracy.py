"""Errors beside seasonal naive on real series; TSFORECAST_DATA names their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.row import Row, wanted
from tsforecast import AR, SeasonalNaive, backtest

__all__ = ["rows"]

SETS = {
    "Korean peak power, 28 days": ("korea_peak_power_daily.csv", "date", "peak_mw", 28),
    "Seoul subway rides, 28 days": ("seoul_subway_daily.csv", "date", "total", 28),
}


def rows(words: Sequence[str]) -> Iterator[Row]:
    """Mean absolute error of AR() and of AR with the Korean calendar over that of seasonal naive, 12 origins."""
    if not wanted("accuracy", words):
        return
    folder = os.environ.get("TSFORECAST_DATA")
    if not folder or not Path(folder).is_dir():
        yield Row("accuracy on real series", "-", "skipped", None, "set TSFORECAST_DATA to the folder that holds them")
        return
    for name, (file, time, target, h) in SETS.items():
        data = pd.read_csv(Path(folder) / file, parse_dates=[time]).rename(columns={time: "ds", target: "y"})
        data = data.loc[data["ds"] < "2020-01-20", ["ds", "y"]]
        models = [AR(), AR(calendar=("weekday", "KR"), alias="AR KR"), SeasonalNaive()]
        done = backtest(models, data, h=h, windows=12)
        plain, korean, naive = np.nanmean(np.abs(done.errors), axis=(1, 2, 3))
        figures = f"AR {plain:.0f}, with the Korean calendar {korean:.0f}, seasonal naive {naive:.0f}"
        yield Row(f"accuracy: {name}", "-", f"{plain / naive:.2f} / {korean / naive:.2f} x", None, figures)
