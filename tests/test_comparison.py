"""Diebold-Mariano against SciPy's t-test, statsmodels' HAC errors and a loop; the one-standard-error rule by hand."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from tsforecast import comparison
from tsforecast.errors import ConfigError


def errors(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=shape)
    return first, 0.8 * first + 0.8 * rng.normal(size=shape)


def factor(n: int, h: int) -> float:
    """Harvey, Leybourne & Newbold's correction as they print it."""
    return ((n + 1 - 2 * h + h * (h - 1) / n) / n) ** 0.5


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_one_step_ahead_is_the_t_test_of_the_loss_differences(loss: str) -> None:
    first, second = errors(6, 23)
    size = np.square if loss == "squared" else np.abs
    expected = stats.ttest_1samp(size(first) - size(second), 0.0, axis=1)
    got = comparison.diebold_mariano(first, second, loss=loss)
    np.testing.assert_allclose(got.statistic, expected.statistic, rtol=1e-12)
    np.testing.assert_allclose(got.pvalue, expected.pvalue, rtol=1e-10)


def hac(gap: np.ndarray, h: int, kernel: str) -> float:
    fit = sm.OLS(gap, np.ones(len(gap))).fit(
        cov_type="HAC", cov_kwds={"maxlags": h - 1, "kernel": kernel, "use_correction": False}
    )
    return float(fit.tvalues[0])


@pytest.mark.parametrize("h", [2, 3, 5])
def test_several_steps_ahead_equal_to_statsmodels_hac(h: int) -> None:
    first, second = errors(40, 60, seed=2)
    statistic, pvalue = comparison.diebold_mariano(first, second, h)
    gaps = first**2 - second**2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels takes the root of negative variances
        expected = np.array([hac(gap, h, "uniform") for gap in gaps])
    assert np.isfinite(expected).sum() > 30
    plain = np.isfinite(expected)
    np.testing.assert_allclose(statistic[plain], factor(60, h) * expected[plain], rtol=1e-9)
    np.testing.assert_allclose(pvalue, 2 * stats.t.sf(np.abs(statistic), 59), rtol=1e-10)


def test_a_variance_that_is_not_positive_takes_bartletts_weights() -> None:
    gap = np.tile([1.0, -1.0], 10) + np.linspace(0, 0.3, 20)
    root = np.sqrt(gap - gap.min() + 1.0), np.sqrt(np.full(20, 1.0 - gap.min()))
    centred = gap - gap.mean()
    assert (centred**2).sum() + 2 * (centred[1:] * centred[:-1]).sum() < 0
    got = comparison.diebold_mariano(*root, 2)
    assert got.statistic == pytest.approx(factor(20, 2) * hac(gap, 2, "bartlett"), rel=1e-9)


def test_missing_pairs_are_left_out_by_a_loop() -> None:
    first, second = errors(30, seed=4)
    first[3], second[[3, 11]] = np.nan, np.nan
    gap = first**2 - second**2
    n, h = 28, 3
    centred = gap - np.nanmean(gap)
    total = 0.0
    for s in range(30):
        for t in range(30):
            if abs(s - t) < h and not np.isnan(centred[s] * centred[t]):
                total += centred[s] * centred[t]
    expected = factor(n, h) * np.nanmean(gap) / (total / n**2) ** 0.5
    assert comparison.diebold_mariano(first, second, h).statistic == pytest.approx(expected, rel=1e-12)


def test_batches_and_axes_are_separate_tests() -> None:
    first, second = errors(25, 3, 2, seed=5)
    got = comparison.diebold_mariano(first, second, 2, axis=0)
    assert got.statistic.shape == got.pvalue.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            one = comparison.diebold_mariano(first[:, i, j], second[:, i, j], 2)
            assert one.statistic == pytest.approx(got.statistic[i, j], rel=1e-12)
    turned = comparison.diebold_mariano(second, first, 2, axis=0)
    np.testing.assert_allclose(turned.statistic, -got.statistic)
    np.testing.assert_allclose(turned.pvalue, got.pvalue)


def test_the_better_forecast_has_the_sign() -> None:
    first, second = errors(200, seed=6)
    statistic, pvalue = comparison.diebold_mariano(first, 3 * second)
    assert statistic < 0
    assert pvalue < 1e-6


def test_the_level_holds_under_the_null() -> None:
    # Two-step errors of a moving average: without the autocovariance the test rejects far more than one in ten.
    rng = np.random.default_rng(8)
    shocks = rng.normal(size=(2, 4000, 61))
    first, second = shocks[..., 1:] + 0.9 * shocks[..., :-1]
    share = float((comparison.diebold_mariano(first, second, 2).pvalue < 0.1).mean())
    assert share == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("first", "second", "h"),
    [
        (np.ones(9), np.ones(9), 1),
        (np.full(30, 0.3), np.full(30, 0.1), 1),
        (np.arange(3.0), np.ones(3), 3),
        (np.arange(3.0), np.ones(3), 7),
        (np.full(4, np.nan), np.ones(4), 1),
    ],
)
def test_undefined_is_nan(first: np.ndarray, second: np.ndarray, h: int) -> None:
    got = comparison.diebold_mariano(first, second, h)
    assert np.isnan(got.statistic)
    assert np.isnan(got.pvalue)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ConfigError, match="squared, absolute"):
        comparison.diebold_mariano([1.0], [2.0], loss="cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="1 step or more"):
        comparison.diebold_mariano([1.0], [2.0], 0)
    with pytest.raises(ConfigError, match="no unit"):
        comparison.one_standard_error([[np.nan], [1.0]], [1, 2])
    with pytest.raises(ConfigError, match="complexity"):
        comparison.one_standard_error([[1.0], [1.0]], [1, 2, 3])


@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1])
def test_standard_error_equal_to_scipy(axis: object) -> None:
    values = np.random.default_rng(9).normal(size=(4, 5, 6))
    values[values > 1.5] = np.nan
    expected = stats.sem(values, axis=axis, nan_policy="omit")
    np.testing.assert_allclose(comparison.standard_error(values, axis=axis), expected, rtol=1e-12)


def test_within_one_standard_error_the_simpler_model_is_taken() -> None:
    # Mean differences to the best: 0, 0.1, 1; paired standard errors: 0, 0.2 and 0.
    losses = np.array([[1.0, 1.0], [0.9 + 0.0, 1.3], [2.0, 2.0]])
    assert stats.sem(losses[1] - losses[0]) == pytest.approx(0.2)
    assert comparison.one_standard_error(losses, [3, 2, 1]) == 1
    assert comparison.one_standard_error(losses, [1, 2, 3]) == 0
    assert comparison.one_standard_error(losses[[1, 0, 2]], [2, 2, 1]) == 1


def test_what_all_models_find_hard_does_not_count() -> None:
    # Unit by unit the first is always 1 better; against the spread of the units that is nothing.
    hard = np.array([1.0, 100.0, 10000.0, 5.0])
    losses = np.stack([hard, hard + 1.0])
    assert stats.sem(hard) > 1000
    assert comparison.one_standard_error(losses, [2, 1]) == 0


def test_units_that_a_model_lacks_are_left_out() -> None:
    losses = np.array([[1.0, 1.0, 50.0], [2.0, 2.0, np.nan]])
    assert comparison.one_standard_error(losses, [2, 1]) == 0


def test_one_unit_decides_without_an_error() -> None:
    assert comparison.one_standard_error([[2.0], [1.0], [1.0]], [1, 3, 2]) == 2
