"""Tables, members and combinations by hand that the tests of Blend are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.builders import lagged_series, table
from tsforecast.compose.anomaly import Anomaly
from tsforecast.compose.blend import Blend
from tsforecast.compose.select import Select
from tsforecast.compose.stack import Stack
from tsforecast.forecaster import Forecaster
from tsforecast.models.ar import AR
from tsforecast.models.naive import Drift, Naive, SeasonalNaive, WindowMean
from tsforecast.models.neural import LSTM
from tsforecast.models.prophet import Prophet

H = 5


def ar(lags: Any = 3, **options: Any) -> AR:
    return AR(lags, **{"ridge": 0, "transform": None} | options)


def daily(n: int = 3, rows: int = 160, seed: int = 0) -> pd.DataFrame:
    """Daily series with a weekly season, a column that is known (it moves y) and one that is text."""
    rng = np.random.default_rng(seed)
    promo = rng.integers(0, 2, size=(n, rows)).astype(float)
    day = np.arange(rows)
    y = (
        lagged_series(n, rows, seed=seed)
        + 2 * promo
        + 3 * np.sin(2 * np.pi * day / 7)
        + 10 * np.arange(1, n + 1)[:, None]
    )
    kind = np.array(["a", "b", "c"], dtype=object)[rng.integers(0, 3, size=n * rows)]
    return table(y, promo=promo.ravel(), kind=kind, traffic=rng.normal(size=n * rows))


def history(df: pd.DataFrame, h: int = H) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All but the last h rows of each series, and those without what is not known of the future."""
    late = df.groupby("unique_id").cumcount(ascending=False) < h
    return df[~late].reset_index(drop=True), df[late].drop(columns=["y", "traffic"], errors="ignore").reset_index(
        drop=True
    )


def shares(model: Blend, h: int = H, group: Any = None) -> dict[str, np.ndarray]:
    """Weight (h,) of each member, read off the table of weights."""
    told = model.weights_
    told = told if group is None else told[told["group"] == group]
    out: dict[str, np.ndarray] = {}
    for name, rows in told.groupby("member"):
        out[name] = np.empty(h)
        for steps, weight in zip(rows["steps"], rows["weight"], strict=True):
            first, _, last = steps.partition("-")
            out[name][int(first) - 1 : int(last or first)] = weight
    return out


def by_hand(model: Blend, parts: dict[str, Any], h: int = H) -> np.ndarray:
    """Forecasts (n h,) of members fitted apart, weighted."""
    weight = shares(model, h)
    return sum(np.resize(weight[name], len(part)) * part[name].to_numpy() for name, part in parts.items())


TEAMS: dict[str, list[Forecaster]] = {
    "plain": [ar(), SeasonalNaive(), WindowMean(7)],
    "known": [ar(known=("promo",)), SeasonalNaive(), ar(2, known=("promo", "kind"), alias="both")],
    "past": [ar(past=("traffic",)), ar(2, past=("traffic",), known=("promo",), calendar="weekday", alias="all")],
    "calendar": [ar(known=("promo",), calendar=("KR", "weekday")), Prophet(holidays="KR"), Drift()],
    "net": [LSTM(epochs=1, sample=320, known=("promo",)), ar(calendar="weekday")],
    "global": [ar(scope="global", alias="pooled"), ar(calendar="month")],
    "nested": [
        Blend([ar(known=("kind",)), Naive()], alias="inner"), ar(2, calendar="KR"), Blend([Drift(), ar()], "median"),
    ],
    "anomalies": [Anomaly(ar(known=("promo",), calendar="KR")), ar(2, calendar="weekday", alias="b")],
    "deep": [
        Blend([Select([ar(past=("traffic",)), Naive()]), Stack([ar(known=("kind",)), Naive()])], alias="inner"),
        Anomaly(Blend([ar(known=("promo",)), Drift()], "equal"), alias="anomalies"),
    ],
}  # fmt: skip
