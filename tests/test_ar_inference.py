"""Coefficients, their errors and the statistics of AR against statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from builders import lag_table, lagged_series, table
from statsmodels.tsa.ar_model import AutoReg

from tsforecast import AR, Panel
from tsforecast.errors import ConfigError


def plain(lags: Any, **more: Any) -> AR:
    return AR(lags, ridge=0, transform=None, **more)


def assert_like_ols(model: AR, fits: dict[str, Any]) -> None:
    """Every row of coefficients() and statistics() equals the regression of the same id, to 1e-8."""
    terms, figures = model.coefficients(), model.statistics().set_index("unique_id")
    for name, fit in fits.items():
        mine = terms[terms["unique_id"] == name]
        for column, want in (("estimate", "params"), ("std_error", "bse"), ("t", "tvalues"), ("p", "pvalues")):
            np.testing.assert_allclose(mine[column], np.asarray(getattr(fit, want)), rtol=1e-8, atol=1e-10)
        row = figures.loc[name]
        assert row["rows"] == fit.nobs
        for column, want in (("r2", "rsquared"), ("r2_adjusted", "rsquared_adj"), ("aic", "aic"), ("bic", "bic")):
            np.testing.assert_allclose(row[column], getattr(fit, want), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(row["sigma"] ** 2, fit.mse_resid, rtol=1e-8)
        np.testing.assert_allclose(row["log_likelihood"], fit.llf, rtol=1e-8)


@pytest.mark.parametrize("lags", [1, 14, [1, 2, 7], [3, 24], 0])
def test_estimates_equal_those_of_autoreg_and_ols(lags: Any) -> None:
    y = lagged_series(6, 150, (0.5, 0.2), seed=1)
    model = plain(lags).fit(table(y))
    used = list(range(1, lags + 1)) if isinstance(lags, int) else lags
    fits = {f"s{i:03d}": sm.OLS(*reversed(lag_table(row, used))).fit() for i, row in enumerate(y)}
    assert_like_ols(model, fits)
    if used:
        other = AutoReg(y[0], used).fit()
        mine = model.coefficients().query("unique_id == 's000'")
        np.testing.assert_allclose(mine["estimate"], other.params, rtol=1e-8)
        assert mine["term"].tolist() == ["const", *other.model.exog_names[1:]]


@pytest.mark.parametrize(
    "y",
    [
        lagged_series(3, 200, seed=2, sd=1e-2, level=1e9),
        np.cumsum(lagged_series(3, 300, (), seed=3), axis=1),
        lagged_series(3, 200, seed=4, sd=1e-7),
        lagged_series(3, 200, seed=5) * 1e12,
        np.cumsum(lagged_series(3, 300, (), seed=6) + 5.0, axis=1),
    ],
    ids=["high level", "random walk", "tiny", "huge", "drift"],
)
def test_estimates_survive_level_trend_and_size(y: np.ndarray) -> None:
    model = plain(3).fit(table(y))
    for i, row in enumerate(y):
        # Regression on what is left of the level has the same slopes, and keeps its digits.
        x, target = lag_table(row - row.mean(), [1, 2, 3])
        size = target.std()
        want = sm.OLS(target / size, np.column_stack([np.ones(len(x)), x[:, 1:] / size])).fit()
        mine = model.coefficients().query(f"unique_id == 's{i:03d}'")
        np.testing.assert_allclose(mine["estimate"][1:], want.params[1:], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(mine["std_error"][1:], want.bse[1:], rtol=1e-7)
        assert model.statistics()["r2"][i] == pytest.approx(want.rsquared, rel=1e-7)


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e4, 1e8], ids=str)
def test_known_columns_of_any_size_enter_as_in_ols(size: float) -> None:
    rng = np.random.default_rng(7)
    y, x = lagged_series(2, 120, seed=8), rng.normal(size=(2, 2, 120))
    y = y + 2 * x[0]
    columns = {"a": size * x[0].ravel(), "b": x[1].ravel()}
    model = plain([1, 7], known=("a", "b")).fit(table(y, **columns))
    for i, row in enumerate(y):
        want = sm.OLS(*reversed(lag_table(row, [1, 7], known=[x[0, i], x[1, i]]))).fit()
        mine = model.coefficients().query(f"unique_id == 's{i:03d}'")
        assert mine["term"].tolist() == ["const", "y.L1", "y.L7", "a", "b"]
        unit = np.array([1.0, 1.0, 1.0, size, 1.0])
        np.testing.assert_allclose(mine["estimate"] * unit, want.params, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(mine["std_error"] * unit, want.bse, rtol=1e-8)


@pytest.mark.parametrize("ridge", [0, "auto"])
def test_a_column_that_never_changes_costs_no_degree_of_freedom(ridge: Any) -> None:
    y, x = lagged_series(2, 80, seed=22)
    both = [
        AR(2, ridge=ridge, transform=None, known=known).fit(table(y, x=x, off=0.0 * x + 3.0))
        for known in (("x",), ("x", "off"))
    ]
    pd.testing.assert_frame_equal(both[0].statistics(), both[1].statistics())
    one, two = (model.coefficients() for model in both)
    assert two["estimate"][4] == 0.0
    np.testing.assert_allclose(two["std_error"][1:4], one["std_error"][1:], rtol=1e-9)


def test_missing_rows_columns_and_excluded_ones_leave_the_regression() -> None:
    y = lagged_series(4, 120, seed=9)
    x = np.random.default_rng(10).normal(size=(4, 120))
    y[0, [5, 40, 41]], y[1, 119] = np.nan, np.nan
    x[2, 60] = np.nan
    gone = pd.DataFrame({"unique_id": ["s003"], "from": ["2022-02-01"], "to": ["2022-02-10"]})
    panel = Panel.from_table(table(y, x=x.ravel()), mask=gone)
    hidden = y.copy()
    hidden[3, 31:41] = np.nan
    model = plain([1, 2], known=("x",)).fit(panel)
    fits = {f"s{i:03d}": sm.OLS(*reversed(lag_table(row, [1, 2], known=[x[i]]))).fit() for i, row in enumerate(hidden)}
    assert_like_ols(model, fits)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6], ids=str)
def test_weights_are_those_of_wls_whatever_their_size(size: float) -> None:
    y = lagged_series(1, 100, seed=11)[0]
    weights = np.random.default_rng(12).uniform(0.1, 3.0, size=100) * size
    weights[50:55] = 0.0
    panel = Panel.from_table(table(y, w=weights), weights="w")
    x, target = lag_table(y, [1, 2])
    use = weights[2:] > 0
    want = sm.WLS(target[use], x[use], weights=weights[2:][use]).fit()
    model = plain(2).fit(panel)
    mine = model.coefficients()
    for column, other in (("estimate", "params"), ("std_error", "bse"), ("t", "tvalues"), ("p", "pvalues")):
        np.testing.assert_allclose(mine[column], getattr(want, other), rtol=1e-8)
    figures = model.statistics().iloc[0]
    assert figures["rows"] == pytest.approx(want.nobs)
    assert figures["r2"] == pytest.approx(want.rsquared, rel=1e-8)
    assert figures["sigma"] ** 2 == pytest.approx(want.scale / weights[2:][use].mean(), rel=1e-8)


def collinear(rows: int = 80) -> dict[str, np.ndarray]:
    t = np.arange(float(rows))
    return {
        "sine": np.sin(2 * np.pi * t / 12),
        "line": 3.0 + 0.5 * t,
        "steps": np.resize([1.0, 5.0, 2.0, 8.0], rows),
        "sum of sines": np.sin(t / 3) + np.cos(t / 5),
    }


@pytest.mark.parametrize("name", collinear())
@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_collinear_series_have_the_fitted_values_of_the_pseudo_inverse(name: str) -> None:
    y = collinear()[name]
    model = plain(6).fit(table(y))
    x, target = lag_table(y, list(range(1, 7)))
    want = sm.OLS(target, x).fit(method="pinv")
    np.testing.assert_allclose(model.fitted()["AR"][6:], want.fittedvalues, atol=1e-7)
    assert model.statistics()["r2"][0] == pytest.approx(1.0)
    np.testing.assert_allclose(model.predict(12)["AR"], collinear(92)[name][80:], rtol=1e-5, atol=1e-5)


def test_doubled_columns_share_what_one_would_get() -> None:
    y, x = lagged_series(2, 60, seed=13)
    model = plain(1, known=("x", "again")).fit(table(y, x=x, again=x))
    one = plain(1, known=("x",)).fit(table(y, x=x)).coefficients()["estimate"].to_numpy()
    got = model.coefficients()["estimate"].to_numpy()
    np.testing.assert_allclose(got, [one[0], one[1], one[2] / 2, one[2] / 2], rtol=1e-7)


def test_all_seven_weekdays_beside_a_constant_fit_as_six_do() -> None:
    y = lagged_series(1, 140, seed=14)[0] + np.tile([0, 1, 2, 3, 4, 9, 9], 20)
    model = plain([1, 2], calendar="weekday").fit(table(y, start="2024-01-01"))
    dummies = np.eye(7)[np.arange(140) % 7]
    want = sm.OLS(*reversed(lag_table(y, [1, 2], known=list(dummies.T[1:])))).fit()
    np.testing.assert_allclose(model.fitted()["AR"][2:], want.fittedvalues, rtol=1e-8)
    assert model.statistics()["r2"][0] == pytest.approx(want.rsquared, rel=1e-9)
    assert model.statistics()["sigma"][0] ** 2 == pytest.approx(want.mse_resid, rel=1e-8)


def test_a_constant_series_changes_no_bit_of_the_others() -> None:
    y = lagged_series(5, 90, seed=15)
    y[2] = 4.2
    together = plain(3).fit(table(y))
    others = plain(3).fit(table(np.delete(y, 2, axis=0), ids=["s000", "s001", "s003", "s004"]))
    kept = together.coefficients().query("unique_id != 's002'").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, others.coefficients(), check_exact=True)
    np.testing.assert_array_equal(together.predict(3).query("unique_id == 's002'")["AR"], 4.2)


def test_a_group_is_one_regression_on_the_stacked_tables() -> None:
    y = [*lagged_series(3, 70, (0.4,), seed=16), *lagged_series(2, 50, (-0.3,), seed=17, level=9.0)]
    static = pd.DataFrame({"unique_id": [f"s{i:03d}" for i in range(5)], "region": ["n", "n", "n", "s", "s"]})
    for scope, groups in (("region", [[0, 1, 2], [3, 4]]), ("global", [[0, 1, 2, 3, 4]])):
        model = plain([1, 3], scope=scope).fit(table(y), static=static)
        fits = {}
        for group in groups:
            parts = [lag_table(y[i], [1, 3]) for i in group]
            x, target = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
            fits |= dict.fromkeys([f"s{i:03d}" for i in group], sm.OLS(target, x).fit())
        assert_like_ols(model, fits)


def test_pooled_logs_are_not_chosen_where_a_series_has_none() -> None:
    y = np.exp(lagged_series(4, 80, (0.9,), seed=18))
    y[1] -= 2.0
    model = AR(2, scope="global").fit(table(y))
    assert not model.diagnostics_["transform"].str.contains("log").any()
    assert np.isfinite(model.predict(3)["AR"]).all()


def test_coefficients_of_logs_and_differences_are_those_of_the_transformed_series() -> None:
    y = np.exp(lagged_series(1, 120, (0.7,), seed=19)[0])
    for word, z in (("log", np.log(y)), ("diff", np.diff(y)), ("log-diff", np.diff(np.log(y)))):
        model = AR([1, 2], ridge=0, transform=word).fit(table(y))
        assert_like_ols(model, {"s000": sm.OLS(*reversed(lag_table(z, [1, 2]))).fit()})
    seasonal = AR([1, 2], ridge=0, transform="seasonal-diff", season=12).fit(table(y))
    assert_like_ols(seasonal, {"s000": sm.OLS(*reversed(lag_table(y[12:] - y[:-12], [1, 2]))).fit()})


def test_the_summary_reads_as_the_tables_do() -> None:
    y = lagged_series(2, 100, seed=20)
    model = plain(2).fit(table(y))
    text = model.summary("s001")
    mine = model.coefficients().query("unique_id == 's001'")
    for row in mine.itertuples():
        line = next(line for line in text.splitlines() if line.startswith(f"{row.term} "))
        assert line.split()[1:5] == [f"{row.estimate:.4f}", *(f"{v:.3f}" for v in (row.std_error, row.t, row.p))]
    assert "s001" in text
    assert f"{model.statistics()['aic'][1]:.1f}" in text
    with pytest.raises(ConfigError, match="s000"):
        model.summary("nobody")
    assert "const" in plain(1).fit(table(y[0])).summary()


def test_diagnostics_tell_form_rows_and_effective_parameters() -> None:
    y = lagged_series(2, 100, seed=21)
    shrunk = AR(5, ridge="auto", transform="log-diff").fit(table(np.exp(y))).diagnostics_
    assert shrunk["transform"].tolist() == ["log-diff"] * 2
    assert shrunk["lags"].tolist() == ["1 2 3 4 5"] * 2
    assert (shrunk["rows"] == 94).all()
    assert (shrunk["parameters"] <= 6 + 1e-9).all()
    assert (plain(5).fit(table(y)).diagnostics_["parameters"] == 6).all()
