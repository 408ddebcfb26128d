"""Leaderboards by hand, Diebold-Mariano against statsmodels."""

import numpy as np
import pandas as pd
import pytest
from builders import weekly_table
from sklearn import metrics as sk

from tsforecast.evaluation import backtest
from tsforecast.models.ar import AR
from tsforecast.models.naive import Naive, SeasonalNaive, WindowMean
from tsforecast.panel import Panel


def test_leaderboard_by_hand() -> None:
    data = weekly_table(7, lengths=(80,) * 6, late=(0,) * 6)
    bt = backtest([Naive(), SeasonalNaive(), WindowMean(14)], data, h=7, windows=3)
    board = bt.leaderboard("rmse", baseline="SeasonalNaive")
    long = bt.forecasts
    by_series = pd.DataFrame(
        {
            name: long.groupby("unique_id").apply(lambda part, name=name: np.sqrt(((part.y - part[name]) ** 2).mean()))
            for name in bt.models
        }
    )
    mean = by_series.mean().sort_values()
    assert list(board.model) == list(mean.index)
    np.testing.assert_allclose(board.rmse, mean, rtol=1e-12)
    np.testing.assert_allclose(board.skill, 1 - mean / mean["SeasonalNaive"], rtol=1e-9, atol=1e-12)
    gap = by_series.sub(by_series[mean.index[0]], axis=0)
    np.testing.assert_allclose(board.behind_se[1:], (gap.mean() / gap.sem())[mean.index[1:]], rtol=1e-9)
    assert set(board.figure) == {"mean of 6 series"}
    pooled = bt.leaderboard("rmse", average="pooled").set_index("model")
    assert pooled.loc["Naive", "rmse"] == pytest.approx(sk.root_mean_squared_error(long.y, long.Naive))
    assert set(pooled.figure) == {"pooled"}
    assert set(pooled.baseline) == {"Naive"}


@pytest.mark.parametrize("metric", ["rmse", "r2", "mae"])
def test_windows_are_the_units_of_a_single_series(metric: str) -> None:
    data = weekly_table(7, lengths=(120,), late=(0,))
    bt = backtest([Naive(), WindowMean(14)], data, h=2, windows=20)
    size = np.abs(bt.errors[:, :, 0]) ** (1 if metric == "mae" else 2)
    loss = pd.DataFrame(size.mean(axis=-1).T, columns=bt.models)
    board = bt.leaderboard(metric)
    assert list(board.model) == list(loss.mean().sort_values().index)
    gap = loss[board.model[1]] - loss[board.model[0]]
    assert list(board.behind_se) == [0.0, pytest.approx(gap.mean() / gap.sem())]


def test_the_simpler_model_is_chosen_within_one_standard_error() -> None:
    """White noise: an AR has nothing to gain over the mean, whichever happens to come first."""
    rng = np.random.default_rng(2)
    noise = Panel.from_arrays(list(rng.normal(size=(8, 80))), freq="D", start="2024-01-01")
    bt = backtest([AR(2, ridge=0, transform=None), WindowMean(80)], noise, h=1, windows=20)
    board = bt.leaderboard("mse").set_index("model")
    assert abs(board.behind_se.max()) < 1
    assert board.chosen.to_dict() == {"AR": False, "WindowMean": True}


def test_perfect_score_has_skill_one_and_greater_can_be_better() -> None:
    rows = np.tile(np.arange(7.0), 10)
    data = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=70), "y": rows})
    bt = backtest([Naive(), SeasonalNaive()], data, h=7, windows=3)
    for metric in ("rmse", "r2", "bias"):
        board = bt.leaderboard(metric)
        assert list(board.model) == ["SeasonalNaive", "Naive"], metric
        assert board.skill[0] == pytest.approx(1.0)
        assert board.skill[1] == 0.0


def test_compare_is_the_regression_of_the_loss_difference_on_a_constant() -> None:
    import statsmodels.api as sm

    data = weekly_table(11, lengths=(140, 140), late=(0, 0))
    bt = backtest([Naive(), WindowMean(10)], data, h=1, windows=60)
    loss = bt.errors[..., 0] ** 2
    for i, row in bt.compare("Naive", "WindowMean", by="series").iterrows():
        gap = loss[0, :, i] - loss[1, :, i]
        fit = sm.OLS(gap, np.ones(60)).fit()
        assert row.statistic == pytest.approx(fit.tvalues[0], rel=1e-9)  # at h=1 the corrections cancel
        assert row.p_value == pytest.approx(fit.pvalues[0], rel=1e-9)
        assert row.difference == pytest.approx(gap.mean())
        assert row.unique_id == f"s{i}"
    pooled = bt.compare("Naive", "WindowMean").iloc[0]
    fit = sm.OLS((loss[0] - loss[1]).mean(axis=1), np.ones(60)).fit()
    assert (pooled.statistic, pooled.p_value) == pytest.approx((fit.tvalues[0], fit.pvalues[0]), rel=1e-9)
    turned = bt.compare("WindowMean", "Naive").iloc[0]
    assert turned.statistic == pytest.approx(-pooled.statistic)


def test_compare_allows_for_overlapping_windows() -> None:
    """Windows of 3 steps, 1 apart, share 2 steps: two autocovariances, and the factor of a small sample."""
    from statsmodels.tsa.stattools import acovf

    data = weekly_table(14, lengths=(150,), late=(0,))
    bt = backtest([Naive(), WindowMean(10)], data, h=3, windows=80, step=1)
    got = bt.compare("Naive", "WindowMean", loss="absolute").iloc[0]
    loss = np.abs(bt.errors).mean(axis=-1)[:, :, 0]
    gap = loss[0] - loss[1]
    gamma = acovf(gap, adjusted=False, nlag=2)
    factor = np.sqrt((80 + 1 - 2 * 3 + 3 * 2 / 80) / 80)
    assert got.statistic == pytest.approx(factor * gap.mean() / np.sqrt((gamma[0] + 2 * gamma[1:].sum()) / 80))
