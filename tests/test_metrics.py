"""Scores against scikit-learn, loops written out by hand, closed forms, and what must not change them."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn import metrics as sk

from tsforecast import metrics
from tsforecast.errors import ConfigError

POINT = [name for name, entry in metrics.METRICS.items() if entry.takes == "point"]
INTERVAL = [name for name, entry in metrics.METRICS.items() if entry.takes == "interval"]


def extras(name: str, scale: object = 2.5) -> dict[str, object]:
    return {"scale": scale} if metrics.METRICS[name].scale else {}


def score(name: str, y: np.ndarray, *forecast: np.ndarray, **rest: object) -> np.ndarray:
    entry = metrics.METRICS[name]
    more = (80.0,) if entry.needs_level else ()
    return entry.function(y, *forecast, *more, **{**extras(name), **rest})


def by_hand(name: str, y: list[float], f: list[float], scale: float = 2.5) -> float:
    """The definitions as loops; NaN pairs are dropped by the caller."""
    pairs = list(zip(y, f, strict=True))
    n = len(pairs)
    centre = sum(y) / n
    return {
        "mae": lambda: sum(abs(a - b) for a, b in pairs) / n,
        "mse": lambda: sum((a - b) ** 2 for a, b in pairs) / n,
        "rmse": lambda: math.sqrt(sum((a - b) ** 2 for a, b in pairs) / n),
        "mape": lambda: sum(abs(a - b) / abs(a) for a, b in pairs) / n,
        "smape": lambda: sum(2 * abs(a - b) / (abs(a) + abs(b)) for a, b in pairs) / n,
        "wape": lambda: sum(abs(a - b) for a, b in pairs) / sum(abs(a) for a in y),
        "mase": lambda: sum(abs(a - b) / scale for a, b in pairs) / n,
        "rmsse": lambda: math.sqrt(sum((a - b) ** 2 / scale for a, b in pairs) / n),
        "msle": lambda: sum((math.log(1 + a) - math.log(1 + b)) ** 2 for a, b in pairs) / n,
        "r2": lambda: 1 - sum((a - b) ** 2 for a, b in pairs) / sum((a - centre) ** 2 for a in y),
        "bias": lambda: sum(b - a for a, b in pairs) / n,
        "cosine": lambda: sum(a * b for a, b in pairs) / math.sqrt(sum(a * a for a in y) * sum(b * b for b in f)),
    }[name]()


@pytest.fixture
def cube() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    y = rng.uniform(1.0, 9.0, size=(3, 4, 5))  # windows, series, steps
    return y, y * rng.uniform(0.5, 1.5, size=(2, 3, 4, 5))  # models in front


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mae", sk.mean_absolute_error),
        ("mse", sk.mean_squared_error),
        ("rmse", sk.root_mean_squared_error),
        ("mape", sk.mean_absolute_percentage_error),
        ("msle", sk.mean_squared_log_error),
        ("r2", sk.r2_score),
    ],
)
def test_equal_to_sklearn(name: str, reference: object, cube: tuple[np.ndarray, np.ndarray]) -> None:
    y, yhat = cube
    got = score(name, y.ravel(), yhat[0].ravel())
    assert got == pytest.approx(reference(y.ravel(), yhat[0].ravel()), rel=1e-12)


def test_cosine_equal_to_sklearn(cube: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics.pairwise import cosine_similarity

    y, yhat = cube[0].reshape(3, 20), cube[1][1].reshape(3, 20)
    np.testing.assert_allclose(metrics.cosine(y, yhat, axis=1), np.diag(cosine_similarity(y, yhat)), rtol=1e-12)


@pytest.mark.parametrize("name", POINT)
@pytest.mark.parametrize("axis", [None, -1, (1, 3), (0, 1, 2, 3), 0])
@pytest.mark.parametrize("holes", [False, True])
def test_equal_to_loops_over_every_axis(name: str, axis: object, holes: bool, cube: object) -> None:
    y, yhat = cube
    y, yhat, mask = y.copy(), yhat.copy(), None
    if holes:
        rng = np.random.default_rng(1)
        y[rng.random(y.shape) < 0.2] = np.nan
        yhat[rng.random(yhat.shape) < 0.1] = np.nan
        mask = rng.random(y.shape) < 0.1
    got = score(name, y, yhat, axis=axis, mask=mask)
    full = np.broadcast_to(y, yhat.shape)
    out = np.isnan(full) | np.isnan(yhat) | (False if mask is None else np.broadcast_to(mask, yhat.shape))
    over = tuple(range(4)) if axis is None else axis if isinstance(axis, tuple) else (axis % 4,)
    kept = [a for a in range(4) if a not in over]
    assert np.shape(got) == tuple(yhat.shape[a] for a in kept)
    for place in np.ndindex(*np.shape(got)):
        where = [slice(None)] * 4
        for a, i in zip(kept, place, strict=True):
            where[a] = i
        cell = tuple(where)
        use = ~out[cell]
        truth, guess = full[cell][use].tolist(), yhat[cell][use].tolist()
        expected = by_hand(name, truth, guess) if len(set(truth)) > 1 or (truth and name != "r2") else math.nan
        assert np.asarray(got)[place] == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", POINT)
def test_inputs_stay_as_they_are(name: str, cube: tuple[np.ndarray, np.ndarray]) -> None:
    y, yhat = cube[0].copy(), cube[1][0].copy()
    score(name, y, yhat)
    assert np.array_equal(y, cube[0])
    assert np.array_equal(yhat, cube[1][0])


@pytest.mark.parametrize("name", POINT)
def test_a_perfect_forecast_gets_the_best_value(name: str, cube: tuple[np.ndarray, np.ndarray]) -> None:
    assert score(name, cube[0], cube[0]) == pytest.approx(metrics.METRICS[name].best, abs=1e-12)
    if metrics.METRICS[name].greater_is_better:
        assert score(name, cube[0], cube[1][0]) < metrics.METRICS[name].best
    elif name != "bias":
        assert score(name, cube[0], cube[1][0]) > metrics.METRICS[name].best


values = arrays(np.float64, st.integers(2, 30), elements=st.floats(0.5, 1e6))


@pytest.mark.parametrize("name", ["mape", "smape", "wape", "r2", "cosine"])
@given(y=values, seed=st.integers(0, 99), factor=st.floats(1e-3, 1e3))
def test_relative_scores_do_not_see_the_unit(name: str, y: np.ndarray, seed: int, factor: float) -> None:
    yhat = y * np.random.default_rng(seed).uniform(0.5, 1.5, y.shape)
    if name == "r2" and np.ptp(y) < 1e-6 * y.max():
        return
    assert score(name, y * factor, yhat * factor) == pytest.approx(score(name, y, yhat), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", POINT)
@given(y=values, seed=st.integers(0, 99))
def test_order_and_missing_pairs_change_nothing(name: str, y: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    yhat = y * rng.uniform(0.5, 1.5, y.shape)
    swap = rng.permutation(len(y))
    longer = np.append(y[swap], [np.nan, 3.0]), np.append(yhat[swap], [2.0, np.nan])
    assert score(name, *longer) == pytest.approx(score(name, y, yhat), rel=1e-6, abs=1e-9, nan_ok=True)


def test_zero_denominators_are_left_out_and_counted() -> None:
    y = np.array([[0.0, 2.0, 4.0, np.nan], [0.0, 0.0, 0.0, 1.0]])
    yhat = np.array([[5.0, 1.0, 5.0, 7.0], [1.0, 2.0, 3.0, np.nan]])
    np.testing.assert_allclose(metrics.mape(y, yhat, axis=1), [(0.5 + 0.25) / 2, np.nan])
    missing, undefined = metrics.left_out("mape", y, yhat, axis=1)
    assert missing.tolist() == [1, 1]
    assert undefined.tolist() == [1, 3]
    assert metrics.left_out("mae", y, yhat) == (2, 0)
    assert metrics.left_out("mape", [0.0, 0.0], [np.nan, 1.0]) == (1, 1)
    assert metrics.left_out("msle", [-1.0, -3.0, 1.0], [1.0, 1.0, np.nan]) == (1, 2)
    assert metrics.msle([-1.0, 1.0], [5.0, 1.0]) == 0.0
    np.testing.assert_array_equal(metrics.wape(y * 0, yhat, axis=1), [np.nan, np.nan])


def test_a_forecast_that_log_cannot_take_is_not_left_out() -> None:
    assert np.isnan(metrics.msle([1.0, 2.0], [-1.0, 2.0]))
    assert metrics.left_out("msle", [1.0, 2.0], [-1.0, 2.0]) == (0, 0)


def test_an_infinite_forecast_does_not_vanish() -> None:
    y, yhat = np.array([1.0, 2.0]), np.array([np.inf, 2.0])
    assert [metrics.mae(y, yhat), metrics.rmse(y, yhat), metrics.mape(y, yhat), metrics.wape(y, yhat)] == [np.inf] * 4
    assert metrics.r2(y, yhat) == -np.inf
    assert np.isnan(metrics.smape(y, yhat))
    assert np.isnan(metrics.cosine(y, yhat))


def test_smape_of_exact_zeros_and_its_bounds() -> None:
    assert metrics.smape([0.0, 1.0], [0.0, 1.0]) == 0.0
    assert metrics.smape([0.0, 1.0], [3.0, -1.0]) == 2.0


@pytest.mark.parametrize("level", [0.1, 1 / 3, 1e6 / 7, 1e15 + 0.3])
def test_r2_of_constant_truth_is_undefined_at_any_level(level: float) -> None:
    y = np.full((2, 7), level)
    assert np.isnan(metrics.r2(y, y + 1.0))
    assert np.isnan(metrics.r2(y, y, axis=1)).all()


def test_r2_holds_the_mean_to_the_pairs_that_count() -> None:
    y, yhat = np.array([1.0, 2.0, 3.0, 100.0]), np.array([1.5, 2.0, 2.5, np.nan])
    assert metrics.r2(y, yhat) == pytest.approx(sk.r2_score(y[:3], yhat[:3]), rel=1e-12)


def test_nothing_left_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in POINT:
            assert np.isnan(score(name, np.array([np.nan]), np.array([1.0])))
            assert np.isnan(score(name, np.empty(0), np.empty(0)))
        assert np.isnan(metrics.seasonal_scale([1.0, 2.0], season=5))


# Scales.


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("season", [1, 3])
def test_seasonal_scale_equal_to_a_loop(season: int, power: int) -> None:
    rng = np.random.default_rng(3)
    history = rng.normal(size=(4, 20))
    history[0, :9] = np.nan
    history[1, 5] = np.nan
    expected = []
    for row in history:
        steps = [abs(row[t] - row[t - season]) ** power for t in range(season, 20)]
        kept = [step for step in steps if not math.isnan(step)]
        expected.append(sum(kept) / len(kept))
    np.testing.assert_allclose(metrics.seasonal_scale(history, season, power=power), expected, rtol=1e-12)
    np.testing.assert_allclose(metrics.seasonal_scale(history.T, season, axis=0, power=power), expected, rtol=1e-12)


def test_the_seasonal_naive_forecast_of_its_own_history_scores_one() -> None:
    history = np.random.default_rng(0).normal(size=(3, 40)).cumsum(axis=1)
    y, naive = history[:, 7:], history[:, :-7]
    np.testing.assert_allclose(metrics.mase(y, naive, scale=metrics.seasonal_scale(history, 7)[:, None], axis=1), 1.0)
    squared = metrics.seasonal_scale(history, 7, power=2)[:, None]
    np.testing.assert_allclose(metrics.rmsse(y, naive, scale=squared, axis=1), 1.0)


def test_a_series_without_scale_is_left_out_and_counted() -> None:
    y, yhat = np.ones((3, 4)), np.full((3, 4), 3.0)
    scale = np.array([[2.0], [0.0], [np.nan]])
    assert metrics.mase(y, yhat, scale=scale) == 1.0
    np.testing.assert_array_equal(metrics.mase(y, yhat, scale=scale, axis=1), [1.0, np.nan, np.nan])
    assert metrics.left_out("mase", y, yhat, scale=scale) == (0, 8)
    with pytest.raises(ConfigError, match="needs scale"):
        metrics.left_out("mase", y, yhat)


# Quantiles and intervals.


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9])
def test_pinball_equal_to_sklearn(q: float, cube: tuple[np.ndarray, np.ndarray]) -> None:
    y, yhat = cube[0].ravel(), cube[1][0].ravel()
    assert metrics.pinball(y, yhat, q) == pytest.approx(sk.mean_pinball_loss(y, yhat, alpha=q), rel=1e-12)


@given(sample=arrays(np.float64, st.integers(1, 12), elements=st.floats(-1e3, 1e3)), y=st.floats(-1e3, 1e3))
def test_crps_equal_to_the_energy_form_of_a_sample(sample: np.ndarray, y: float) -> None:
    k = len(sample)
    energy = np.abs(sample - y).mean() - np.abs(sample[:, None] - sample).mean() / 2
    got = metrics.crps([y], np.sort(sample)[None], (np.arange(k) + 0.5) / k)
    assert got == pytest.approx(energy, rel=1e-9, abs=1e-9)


def test_crps_tends_to_the_closed_form_of_the_normal() -> None:
    y = np.array([-2.0, 0.0, 0.7])
    q = (np.arange(4000) + 0.5) / 4000
    closed = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / math.sqrt(math.pi)
    got = metrics.crps(y, np.tile(norm.ppf(q), (3, 1)), q, axis=())
    np.testing.assert_allclose(got, closed, atol=2e-4)
    uneven = norm.cdf(np.linspace(-5, 5, 3000))
    got = metrics.crps(y, np.tile(norm.ppf(uneven), (3, 1)), uneven, axis=())
    np.testing.assert_allclose(got, closed, atol=2e-4)


def test_crps_of_a_certain_forecast_is_the_absolute_error(cube: tuple[np.ndarray, np.ndarray]) -> None:
    y, yhat = cube[0], np.repeat(cube[1][0][..., None], 3, axis=-1)
    y[0, 0, 0], yhat[1, 0, 0, 1] = np.nan, np.nan
    point = np.where(np.isnan(yhat).any(axis=-1), np.nan, yhat[..., 0])
    got = metrics.crps(y, yhat, [0.1, 0.5, 0.9], axis=(0, 2))
    np.testing.assert_allclose(got, metrics.mae(y, point, axis=(0, 2)), rtol=1e-12)
    assert metrics.left_out("crps", y, yhat) == (2, 0)


@pytest.mark.parametrize("holes", [False, True])
def test_intervals_equal_to_loops(holes: bool) -> None:
    rng = np.random.default_rng(5)
    y = rng.normal(size=60)
    lower, upper = y + rng.normal(size=60) - 0.8, y + rng.normal(size=60) + 0.8
    if holes:
        y[3], lower[10], upper[20] = np.nan, np.nan, np.nan
    alpha, inside, wide, total, n = 0.2, 0, 0.0, 0.0, 0
    for a, low, up in zip(y, lower, upper, strict=True):
        if math.isnan(a) or math.isnan(low) or math.isnan(up):
            continue
        n += 1
        inside += low <= a <= up
        wide += up - low
        total += (up - low) + (2 / alpha) * (low - a) * (a < low) + (2 / alpha) * (a - up) * (a > up)
    assert metrics.coverage(y, lower, upper) == pytest.approx(inside / n)
    assert metrics.width(y, lower, upper) == pytest.approx(wide / n)
    assert metrics.winkler(y, lower, upper, 80) == pytest.approx(total / n, rel=1e-12)
    assert metrics.msis(y, lower, upper, 80, scale=4.0) == pytest.approx(total / n / 4, rel=1e-12)
    assert metrics.left_out("winkler", y, lower, upper).missing == 60 - n


def test_winkler_is_the_pinball_loss_of_both_ends() -> None:
    rng = np.random.default_rng(6)
    y, lower, upper = rng.normal(size=50), rng.normal(size=50) - 1, rng.normal(size=50) + 1
    both = metrics.pinball(y, lower, 0.05) + metrics.pinball(y, upper, 0.95)
    assert metrics.winkler(y, lower, upper, 90) == pytest.approx(both * 2 / 0.1, rel=1e-12)


@pytest.mark.parametrize("name", INTERVAL)
def test_intervals_without_any_truth_are_nan(name: str) -> None:
    assert np.isnan(score(name, np.array([np.nan]), np.array([0.0]), np.array([1.0])))


# What cannot be meant.


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: metrics.metric("rsme"), "rmse"),
        (lambda: metrics.pinball([1.0], [1.0], 90), "between 0 and 1"),
        (lambda: metrics.crps([1.0], [[1.0, 2.0]], [0.9, 0.1]), "must rise"),
        (lambda: metrics.crps([1.0], [[1.0, 2.0]], [0.5]), "last axis"),
        (lambda: metrics.winkler([1.0], [0.0], [2.0], 100), "per cent"),
        (lambda: metrics.seasonal_scale([1.0, 2.0], 0), "season must be 1"),
    ],
)
def test_a_wrong_parameter_is_named(call: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        call()
