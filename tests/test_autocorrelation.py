"""Autocorrelations and Ljung-Box tests of a panel against statsmodels, series by series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from builders import lagged_series, table
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.tsa import stattools

from tsforecast import AR, Panel, acf, datasets, ljung_box, pacf
from tsforecast.errors import ConfigError


def test_acf_and_pacf_are_those_of_statsmodels() -> None:
    y = lagged_series(3, 120, (0.6, 0.2), seed=1, level=50.0)
    whole, partial = acf(table(y), 15), pacf(table(y), 15)
    assert whole.columns.tolist() == ["unique_id", "lag", "acf"]
    for i, row in enumerate(y):
        mine = slice(16 * i, 16 * i + 16)
        assert whole["lag"][mine].tolist() == list(range(16))
        np.testing.assert_allclose(whole["acf"][mine], stattools.acf(row, nlags=15, fft=False), rtol=1e-9)
        np.testing.assert_allclose(partial["pacf"][mine], stattools.pacf(row, nlags=15), rtol=1e-8, atol=1e-10)


def test_missing_and_excluded_rows_are_left_out_of_the_sums() -> None:
    y = lagged_series(1, 100, seed=2)[0]
    hidden = y.copy()
    hidden[[0, 1, 40, 41, 42, 99]] = np.nan
    mask = pd.DataFrame({"from": ["2022-02-10"], "to": ["2022-02-12"]})
    ends = y.copy()
    ends[[0, 1, 99]] = np.nan
    want = stattools.acf(hidden[2:99], nlags=5, fft=False, missing="conservative")
    for data in (table(hidden), Panel.from_table(table(ends), mask=mask)):
        np.testing.assert_allclose(acf(data, 5)["acf"], want, rtol=1e-12)
    gap = hidden[2:99] - np.nanmean(hidden)
    np.testing.assert_allclose(want[3], np.nansum(gap[3:] * gap[:-3]) / np.nansum(gap**2), rtol=1e-12)


@pytest.mark.parametrize("lags", [6, [3, 10]])
def test_ljung_box_of_series_and_of_residuals(lags: Any) -> None:
    y = lagged_series(2, 150, (0.5,), seed=3)
    wanted = list(range(1, 7)) if lags == 6 else lags
    got = ljung_box(table(y), lags)
    model = AR(1, ridge=0, transform=None).fit(table(y))
    left = ljung_box(model, lags, fitted=1)
    for i, row in enumerate(y):
        mine = slice(len(wanted) * i, len(wanted) * (i + 1))
        want = acorr_ljungbox(row, lags=wanted)
        np.testing.assert_allclose(got["statistic"][mine], want["lb_stat"], rtol=1e-9)
        np.testing.assert_allclose(got["p"][mine], want["lb_pvalue"], rtol=1e-8, atol=1e-300)
        residuals = model.fitted().query(f"unique_id == 's{i:03d}'")["residual"].dropna()
        want = acorr_ljungbox(residuals, lags=wanted, model_df=1)
        np.testing.assert_allclose(left["statistic"][mine], want["lb_stat"], rtol=1e-9)
        np.testing.assert_allclose(left["p"][mine], want["lb_pvalue"], rtol=1e-8)
    assert (got["p"] < 1e-3).all()
    assert (left["p"].dropna() > 1e-4).all()


def test_constant_and_short_series_have_no_autocorrelation() -> None:
    y = [lagged_series(1, 30)[0], np.full(30, 4.0), np.array([1.0, 2.0, 4.0]), np.full(5, np.nan)]
    got = acf(table(y), 4)["acf"].to_numpy().reshape(4, 5)
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[[1, 3]]).all()
    np.testing.assert_allclose(got[2, :3], stattools.acf(y[2], nlags=2, fft=False))
    assert np.isnan(got[2, 3:]).all()
    assert ljung_box(table(y), [2])["p"].isna().tolist() == [False, True, False, True]
    assert pacf(table(y), 4)["pacf"].isna().to_numpy().reshape(4, 5)[1:].all(axis=1).tolist() == [True, False, True]


def test_the_kind_of_the_table_comes_back() -> None:
    data = pl.from_pandas(table(lagged_series(2, 40)))
    assert isinstance(acf(data, 3), pl.DataFrame)
    assert isinstance(ljung_box(AR(1).fit(data), 3), pl.DataFrame)
    alone = acf(table(lagged_series()).drop(columns="unique_id"), 2)
    assert alone.columns.tolist() == ["lag", "acf"]


@pytest.mark.parametrize("call", [lambda d: acf(d, 0), lambda d: pacf(d, -1), lambda d: ljung_box(d, [0, 3])])
def test_lags_begin_at_one(call: Any) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        call(table(lagged_series()))


def test_trading_volume_remembers_weeks() -> None:
    panel = Panel.from_table(datasets.load("nyse"), freq="B", gaps="ignore")
    got = acf(panel, 20)["acf"].to_numpy()
    y = datasets.load("nyse")["y"]
    # pandas takes the mean of each of the two shifted pieces, statsmodels one mean: close on 6,051 rows.
    np.testing.assert_allclose(got[[1, 5, 20]], [y.autocorr(lag) for lag in (1, 5, 20)], atol=2e-3)
