"""AR on 10,000 daily series x 400 rows, 28 steps ahead, beside statsmodels and mlforecast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.row import Row, at_least, at_most, best, wanted
from tsforecast import AR, Panel, backtest

__all__ = ["rows"]

SERIES, DAYS, STEPS, SAMPLE = 10_000, 400, 28, 150


def example(n: int = SERIES, days: int = DAYS) -> pd.DataFrame:
    """Daily series with a weekly pattern, a slow trend and AR noise; seeded."""
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(n, days))
    for t in range(1, days):
        noise[:, t] += 0.6 * noise[:, t - 1]
    week = rng.normal(scale=2, size=(n, 7))[:, np.arange(days) % 7]
    y = 50 + 5 * rng.normal(size=(n, 1)) + rng.normal(scale=0.01, size=(n, 1)) * np.arange(days) + week + noise
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"store-{i:05d}" for i in range(n)], days),
            "ds": np.tile(pd.date_range("2023-01-01", periods=days), n),
            "y": y.reshape(-1),
        }
    )


def rows(words: Sequence[str]) -> Iterator[Row]:
    """All rows of the lag models."""
    if not wanted("AR", words):
        return
    data = example()
    panel = Panel.from_table(data)
    plain = AR(14, ridge=0, transform=None)
    empty = np.empty((SERIES, STEPS, 0))

    def arrays() -> Any:
        return plain.forecast(plain.learn(panel, STEPS), panel, STEPS, empty, ())

    inside = best(arrays)
    outside = best(lambda: AR(14, ridge=0, transform=None).fit(data).predict(STEPS))
    loop = _statsmodels(panel) * SERIES
    figures = f"{inside:.3f} s, {loop:.1f} s"
    yield at_least("AR(14) Panel -> arrays, over a statsmodels loop", 150, loop / inside, figures)
    yield at_least("AR(14) table -> table, over a statsmodels loop", 60, loop / outside, f"{outside:.3f} s")
    peer = _mlforecast(data)
    if peer is not None:
        yield at_least("AR(14) table -> table, over mlforecast", 8, peer / outside, f"{peer:.2f} s")
    yield from _ratios(data, outside)


def _ratios(data: pd.DataFrame, plain: float) -> Iterator[Row]:
    def inferred() -> Any:
        model = AR(14, ridge=0, transform=None).fit(data)
        return model.coefficients(), model.predict(STEPS, levels=[80, 95])

    whole = best(inferred)
    yield at_most("AR(14) with coefficients and intervals, of the plain run", 2, whole / plain, f"{whole:.3f} s")
    auto = best(lambda: AR().fit(data).predict(STEPS), 2)
    yield at_most("AR(lags='auto'), of the plain run", 15, auto / plain, f"{auto:.2f} s")
    fit = best(lambda: AR(14, ridge=0, transform=None).fit(data))
    roll = best(lambda: backtest(AR(14, ridge=0, transform=None), data, h=STEPS, windows=20, step=5), 2)
    yield at_most("AR(14) backtest of 20 windows, of one fit", 10, roll / fit, f"{roll:.2f} s, fit {fit:.3f} s")


def _statsmodels(panel: Panel) -> float:
    """Seconds a series of AutoReg fit and forecast, on a sample."""
    from statsmodels.tsa.ar_model import AutoReg

    spans = list(zip(panel.start[:SAMPLE], panel.stop[:SAMPLE], strict=True))
    AutoReg(panel.y[spans[0][0] : spans[0][1]], 14).fit().forecast(STEPS)
    began = perf_counter()
    for start, stop in spans:
        AutoReg(panel.y[start:stop], 14).fit().forecast(STEPS)
    return (perf_counter() - began) / SAMPLE


def _mlforecast(data: pd.DataFrame) -> float | None:
    """Seconds of mlforecast's LinearRegression on the same lags, table to table; None where it is absent."""
    try:
        from mlforecast import MLForecast
        from sklearn.linear_model import LinearRegression
    except ImportError:
        return None
    return best(
        lambda: MLForecast(models=[LinearRegression()], freq="D", lags=list(range(1, 15))).fit(data).predict(STEPS), 2
    )
