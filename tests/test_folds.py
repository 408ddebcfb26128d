"""Folds of a lag table against a regression by hand, and when they are honest."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.evaluation import Backtest, backtest
from tsforecast.evaluation.folds import dealt
from tsforecast.models.ar import AR
from tsforecast.panel import Panel


def autoregression(phi: tuple[float, ...], rows: int, seed: int) -> Panel:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=rows + 200)
    for t in range(len(phi), len(y)):
        y[t] += sum(p * y[t - 1 - i] for i, p in enumerate(phi))
    return Panel.from_arrays([y[200:]], freq="D", start="2000-01-01")


@pytest.mark.parametrize("scheme", ["kfold", "blocked"])
def test_folds_equal_a_regression_by_hand(scheme: Any) -> None:
    panel = autoregression((0.5, 0.2), 120, 0)
    bt = backtest(AR(2, ridge=0, transform=None), panel, h=1, windows=5, scheme=scheme)
    x = np.column_stack([np.ones(118), panel.y[1:-1], panel.y[:-2]])
    target, fold = panel.y[2:], dealt(120, 5, scheme, 0)[2:]
    for number in range(5):
        held = fold == number
        coef = np.linalg.lstsq(x[~held], target[~held], rcond=None)[0]
        np.testing.assert_allclose(bt.point[0, 1:, 0, 0][held], x[held] @ coef, rtol=1e-9)
    assert list(bt.forecasts.fold) == list(dealt(120, 5, scheme, 0)[1:])


def test_folds_of_trading_days_judge_each_row_once() -> None:
    """Two series that skip different days: no row is forecast in the place of a missing one."""
    rng = np.random.default_rng(8)
    days = pd.bdate_range("2024-01-01", periods=80)
    parts = [pd.DataFrame({"unique_id": name, "ds": days[rng.random(80) < 0.8], "y": 0.0}) for name in ("a", "b")]
    data = pd.concat(parts, ignore_index=True)
    data["y"] = rng.normal(size=len(data))
    panel = Panel.from_table(data, freq="B", gaps="ignore")
    long = backtest(AR(1, ridge=0, transform=None), panel, h=1, windows=4, scheme="kfold").forecasts
    assert not long.duplicated(["unique_id", "ds"]).any()
    joined = long.merge(data, on=["unique_id", "ds"], suffixes=("", "_true"))
    assert len(joined) == len(long) > 120
    assert (joined.y == joined.y_true).all()
    fold = dict(zip(panel.grid[1:], dealt(len(panel.grid), 4, "kfold", 0)[1:], strict=True))
    assert (long.fold == long.ds.map(lambda day: fold[np.datetime64(day, "us")])).all()


def rmse_of(bt: Backtest) -> float:
    return float(bt.leaderboard("rmse").rmse[0])


@pytest.mark.parametrize(
    ("phi", "lags", "honest"), [(0.6, [1], True), (0.99, list(range(30, 60)), False)], ids=["fitted", "under-fitted"]
)
def test_shuffled_folds_flatter_where_residuals_are_correlated(phi: float, lags: list[int], honest: bool) -> None:
    """Without the last 29 rows, what is left of a near random walk is shared by neighbours, also across folds."""
    model = AR(lags, ridge=0, transform=None)
    panels = [autoregression((phi,), 200, seed) for seed in range(5)]
    shuffled = np.mean([rmse_of(backtest(model, p, h=1, windows=10, scheme="kfold")) for p in panels])
    blocked = np.mean([rmse_of(backtest(model, p, h=1, windows=10, scheme="blocked")) for p in panels])
    rolled = np.mean([rmse_of(backtest(model, p, h=1, windows=66)) for p in panels])
    if honest:
        assert shuffled == pytest.approx(blocked, rel=0.02)
        assert shuffled == pytest.approx(rolled, rel=0.02)
    else:
        assert shuffled < 0.9 * blocked
        assert shuffled < 0.9 * rolled
