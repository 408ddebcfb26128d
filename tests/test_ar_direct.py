"""Direct AR against regressions made by hand, one a horizon."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from builders import lag_table, lagged_series, table
from scipy.stats import norm
from sklearn.linear_model import Ridge

from tsforecast import AR, Panel
from tsforecast.errors import ConfigError


def direct(lags: Any, **more: Any) -> AR:
    return AR(lags, **({"ridge": 0, "transform": None, "strategy": "direct"} | more))


def features(y: np.ndarray, lags: list[int], *past: np.ndarray) -> np.ndarray:
    """The row [1, lags, lags of past columns] of the origin at the end."""
    return np.array([1.0, *(y[-lag] for lag in lags), *(column[-lag] for column in past for lag in lags)])


def ols_by_horizon(
    y: np.ndarray, lags: list[int], h: int, past: tuple[np.ndarray, ...] = ()
) -> list[tuple[np.ndarray, float]]:
    """Coefficients and residual sd of each horizon, all on the origins that have h rows after them."""
    out = []
    for step in range(1, h + 1):
        x, target = lag_table(y, lags, past=past, lead=step)
        rows = len(x) - (h - step)
        beta, *_ = np.linalg.lstsq(x[:rows], target[:rows], rcond=None)
        left = target[:rows] - x[:rows] @ beta
        out.append((beta, float(np.sqrt(left @ left / (rows - x.shape[1])))))
    return out


def test_each_horizon_is_a_regression_of_its_own() -> None:
    y = lagged_series(4, 120, (0.6, 0.2), seed=1, level=30.0)
    got = direct([1, 2, 7]).fit(table(y), h=6).predict(6, levels=(80,))
    for i, row in enumerate(y):
        fits = ols_by_horizon(row, [1, 2, 7], 6)
        mine = got[6 * i : 6 * i + 6]
        want = [features(row, [1, 2, 7]) @ beta for beta, _ in fits]
        np.testing.assert_allclose(mine["AR"], want, rtol=1e-9)
        width = [norm.ppf(0.9) * sd for _, sd in fits]
        np.testing.assert_allclose(mine["AR-hi-80"] - mine["AR"], width, rtol=1e-7)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e8], ids=str)
def test_past_columns_bring_their_own_lags_whatever_their_size(size: float) -> None:
    y, x = lagged_series(2, 150, seed=2)
    y[1:] += 0.8 * x[:-1]
    got = direct([1, 3], past=("x",), strategy="auto").fit(table(y, x=size * x), h=4).predict()["AR"]
    fits = ols_by_horizon(y, [1, 3], 4, (x,))
    np.testing.assert_allclose(got, [features(y, [1, 3], x) @ beta for beta, _ in fits], rtol=1e-8)


def test_known_columns_are_those_of_the_row_forecast() -> None:
    y, x = lagged_series(2, 160, seed=3)
    y = y + 2 * x
    past = np.roll(y, 3)
    model = direct([1, 2], known=("x",), past=("q",)).fit(table(y[:150], x=x[:150], q=past[:150]), h=5)
    future = pd.DataFrame({"unique_id": "s000", "ds": pd.date_range("2022-05-31", periods=5), "x": x[150:155]})
    want = []
    for step in range(1, 6):
        rows, target = lag_table(y[:150], [1, 2], past=[past[:150]], known=[x[:150]], lead=step)
        beta, *_ = np.linalg.lstsq(rows, target, rcond=None)
        want.append(np.r_[features(y[:150], [1, 2], past[:150]), x[149 + step]] @ beta)
    np.testing.assert_allclose(model.predict(5, future=future)["AR"], want, rtol=1e-9)


@pytest.mark.parametrize("word", [None, "log", "diff", "log-diff", "seasonal-diff"])
@pytest.mark.parametrize("ridge", [0, 0.1, "auto"])
def test_one_step_ahead_direct_and_recursive_are_one_model(word: str | None, ridge: Any) -> None:
    y = np.exp(lagged_series(3, 100, (0.7,), seed=4, sd=0.3) + 1)
    y[1, [30, 31, 99]] = np.nan
    both = [
        AR([1, 2, 7], ridge=ridge, transform=word, strategy=strategy, stabilise=False)
        .fit(table(y), h=1)
        .predict(1, levels=(90,))
        for strategy in ("direct", "recursive")
    ]
    whole = both[0]["unique_id"] != "s001"  # what fills a gap at the end is another thing
    for column in ("AR", "AR-lo-90", "AR-hi-90"):
        np.testing.assert_allclose(both[0][column][whole], both[1][column][whole], rtol=1e-8)


@pytest.mark.parametrize(("word", "season"), [("diff", 1), ("seasonal-diff", 7)])
def test_a_differenced_model_adds_to_the_newest_known_value(word: str, season: int) -> None:
    y = np.cumsum(lagged_series(1, 150, (), seed=5)[0])
    h, lags = 9, [1, 2]
    got = direct(lags, transform=word).fit(table(y), h=h).predict()["AR"]
    moved = np.r_[np.full(season, np.nan), y[season:] - y[:-season]]
    want = []
    for step in range(1, h + 1):
        back = season * -(-step // season)
        rows, target = [], []
        for t in range(step - 1 + 2 + season, len(y) - (h - step)):
            origin = t - step
            rows.append([1.0, *(moved[origin + 1 - lag] for lag in lags)])
            target.append(y[t] - y[t - back])
        beta, *_ = np.linalg.lstsq(np.array(rows), np.array(target), rcond=None)
        want.append(features(moved, lags) @ beta + y[len(y) - 1 + step - back])
    np.testing.assert_allclose(got, want, rtol=1e-8)


def test_ridge_is_that_of_sklearn_on_standardised_columns() -> None:
    y = lagged_series(1, 90, (0.5,), seed=6, level=4.0)[0]
    got = direct(5, ridge=0.2).fit(table(y), h=3).predict()["AR"]
    for step in (1, 2, 3):
        x, target = lag_table(y, list(range(1, 6)), lead=step)
        rows = len(x) - (3 - step)
        middle, size = x[:rows, 1:].mean(axis=0), x[:rows, 1:].std(axis=0)
        fit = Ridge(alpha=0.2 * rows).fit((x[:rows, 1:] - middle) / size, target[:rows])
        want = fit.predict(((features(y, list(range(1, 6)))[1:] - middle) / size)[None])[0]
        assert got[step - 1] == pytest.approx(want, rel=1e-9)


def test_weights_of_rows_are_those_of_weighted_least_squares() -> None:
    y = lagged_series(1, 80, seed=7)[0]
    weights = np.random.default_rng(8).uniform(0.001, 0.01, size=80)
    got = direct(2).fit(Panel.from_table(table(y, w=weights), weights="w"), h=1).predict(levels=(80,))
    x, target = lag_table(y, [1, 2])
    root = np.sqrt(weights[2:])
    beta, *_ = np.linalg.lstsq(x * root[:, None], target * root, rcond=None)
    assert got["AR"][0] == pytest.approx(features(y, [1, 2]) @ beta, rel=1e-9)
    left = weights[2:] @ (target - x @ beta) ** 2 / weights[2:].mean() / (78 - 3)
    assert got["AR-hi-80"][0] - got["AR"][0] == pytest.approx(norm.ppf(0.9) * np.sqrt(left), rel=1e-8)


@pytest.mark.parametrize("word", [None, "diff"])
def test_a_horizon_longer_than_a_series_fails_for_that_series_alone(word: str | None) -> None:
    y = [lagged_series(rows=120, seed=9)[0], lagged_series(rows=8, seed=10)[0]]
    together = direct(2, transform=word, on_error="skip").fit(table(y), h=12).predict()
    alone = direct(2, transform=word).fit(table(y[:1]), h=12).predict()
    np.testing.assert_array_equal(together["AR"][:12], alone["AR"])
    assert together["status"].tolist() == ["ok"] * 12 + ["failed"] * 12
    assert together["AR"][12:].isna().all()


def test_a_direct_model_needs_its_horizon_and_keeps_to_it() -> None:
    y = lagged_series(rows=60)
    with pytest.raises(ConfigError, match=r"h="):
        direct(2).fit(table(y))
    model = direct(2).fit(table(y), h=4)
    with pytest.raises(ConfigError, match="h=5"):
        model.predict(5)
    assert model.predict(2)["AR"].tolist() == model.predict(4)["AR"][:2].tolist()
    with pytest.raises(ConfigError, match="recursive"):
        model.statistics()


def test_coefficients_of_each_step_are_those_of_ols() -> None:
    y, x = lagged_series(2, 150, seed=5, level=20.0)
    w = np.random.default_rng(6).normal(size=150)
    model = direct([1, 3], past=("x",), known=("w",)).fit(table(y, x=100 * x, w=w), h=2)
    found = model.coefficients()
    for step in (1, 2):
        rows, target = lag_table(y, [1, 3], past=(100 * x,), lead=step)
        ahead = w[len(w) - len(target) :]
        ols = sm.OLS(target, np.column_stack([rows, ahead])).fit()
        mine = found[found["step"] == step]
        assert mine["term"].tolist() == ["y.L1", "y.L3", "x.L1", "x.L3", "w"]
        np.testing.assert_allclose(mine["estimate"], ols.params[1:], rtol=1e-8)
        np.testing.assert_allclose(mine["std_error"], ols.bse[1:], rtol=1e-8)


def test_no_logs_of_series_that_have_none() -> None:
    """The few rows of an anomaly series that have logs fit anything: they must not win the choice of a transform."""
    y, _ = lagged_series(2, 300, seed=7, level=0.0)
    assert (y <= 0).mean() > 0.2
    chosen = direct(3, transform="auto").fit(table(y), h=3).predict(3)["AR"]
    plain = [
        direct(3, transform=word).fit(table(y), h=3).predict(3)["AR"].tolist()
        for word in (None, "diff", "seasonal-diff")
    ]
    assert chosen.tolist() in plain
