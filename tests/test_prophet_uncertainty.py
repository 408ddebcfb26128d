"""Intervals of trend changes to come: against simulated paths, inversion on the real axis, and prophet's samplers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import erf, expit, ndtr, ndtri

from tsforecast.models.prophet import jumps
from tsforecast.models.prophet.jumps import Inversion, Quantiles, sizes
from tsforecast.models.prophet.uncertainty import half_widths, logistic_quantiles, trend_paths
from tsforecast.windows import generators

DRAWS = 400_000
LEVELS = (50.0, 80.0, 95.0, 99.0)


def simulated(rate: float, spread: float, distance: np.ndarray, seed: int) -> np.ndarray:
    """Trend changes (h, DRAWS): each path has jumps of slope at moments of its own, at any time up to the last step."""
    rng = np.random.default_rng(seed)
    until = distance[-1]
    path = np.repeat(np.arange(DRAWS), rng.poisson(rate * until, DRAWS))
    begun, slope = rng.uniform(0, until, len(path)), rng.laplace(0, spread, len(path))
    return np.stack([np.bincount(path, slope * np.maximum(d - begun, 0), minlength=DRAWS) for d in distance])


def reached(draws: np.ndarray, edge: np.ndarray, probability: np.ndarray, slack: np.ndarray) -> bool:
    """Whether quantiles lie within `slack` of `edge` (..., q), up to four standard errors of the draws (..., DRAWS)."""
    error = 4 * np.sqrt(probability * (1 - probability) / DRAWS)
    below, above = ((draws[..., None, :] <= (edge + s)[..., None]).mean(axis=-1) for s in (-slack, slack))
    return bool(((below - error < probability) & (probability < above + error)).all())


def one(values: float) -> np.ndarray:
    return np.array([float(values)])


# Rows of history and days a row; a year ahead lies beyond the history of no grid.
GRIDS = {"daily": (1095, 1.0), "weekly": (208, 7.0), "monthly": (60, 30.4375)}
LAWS = {  # changes in the history, their mean size, noise
    "default": (25, 0.02, 0.05),
    "steady": (25, 1e-5, 0.05),
    "wild": (25, 0.5, 0.02),
    "two of scale 10": (2, 1.0, 0.05),
    "two, little noise": (2, 1.0, 0.002),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("grid", GRIDS)
def test_half_widths_are_those_of_simulated_paths(grid: str, law: str) -> None:
    rows, days = GRIDS[grid]
    rate, spread, sigma = LAWS[law]
    steps = np.unique(np.maximum(np.array([1, 30, 365]) // days, 1))
    distance = steps / (rows - 1)
    paths = simulated(rate, spread, distance, seed=len(law))
    noise = np.random.default_rng(1).normal(0, sigma, paths.shape)
    found = half_widths(LEVELS, one(rate), one(spread), distance[None], one(sigma))[0]
    assert reached(np.abs(paths + noise), found, np.array(LEVELS) / 100, 0.015 * found)


def test_a_gap_in_the_future_changes_no_width() -> None:
    distance = np.arange(1, 366) / 1094
    full = half_widths(LEVELS, one(2), one(1), distance[None], one(0.05))
    some = half_widths(LEVELS, one(2), one(1), distance[None, [0, 29, 364]], one(0.05))
    np.testing.assert_array_equal(some, full[:, [0, 29, 364]])


def inverted(u: float, rho: float, x: np.ndarray) -> np.ndarray:
    """P(|J + noise| <= x) in units of the noise, u jumps of scale rho: Gil-Pelaez along the real axis."""
    top = min(7.5, 40 / rho) if u > 40 else 7.5  # exp(-u (1 - arctan(w) / w)) has fallen below e-12 there
    w = (np.arange(60_000) + 0.5) * (top / 60_000)
    density = np.exp(-0.5 * w**2 + u * (np.arctan(rho * w) / (rho * w) - 1)) / w
    return np.array([2 / np.pi * (np.sin(v * w) * density).sum() * w[0] * 2 for v in x])


@settings(max_examples=60)
@given(
    rate=st.floats(-2, 3),
    u=st.floats(-4, 3),
    rho=st.floats(-3, 1.5),
    level=st.one_of(st.sampled_from([1.0, 50.0, 80.0, 95.0, 99.9]), st.integers(1, 99)),
)
@example(rate=0.0, u=np.log10(-np.log(0.8)), rho=1.5, level=80.0)
@example(rate=0.0, u=np.log10(-np.log(0.95)) + 0.1, rho=1.5, level=95.0)
@example(rate=0.0, u=np.log10(-np.log(0.999)) + 0.1, rho=1.5, level=99.9)
@example(rate=0.0, u=np.log10(-np.log(0.01)) + 0.01, rho=1.5, level=1.0)
def test_half_widths_have_their_level(rate: float, u: float, rho: float, level: float) -> None:
    rate, u, rho = 10**rate, 10**u, 10**rho
    distance = u / rate
    width = float(half_widths([level], one(rate), one(rho / distance), distance * np.ones((1, 1)), one(1))[0, 0, 0])
    below, above = inverted(u, rho, np.array([width * 0.996, width * 1.004]))
    assert below < level / 100 < above


@settings(max_examples=40)
@given(u=st.floats(-4, 1.3), rho=st.floats(1, 6), level=st.sampled_from([1.0, 50.0, 80.0, 95.0, 99.0, 99.9]))
@example(u=np.log10(0.0513), rho=6.0, level=95.0)
@example(u=np.log10(0.0514), rho=6.0, level=95.0)
@example(u=np.log10(0.2232), rho=5.0, level=80.0)
def test_half_widths_where_jumps_dwarf_the_noise(u: float, rho: float, level: float) -> None:
    # Given its jumps a path is normal: a mixture over their squared sizes, which leaves the noise nothing to simulate.
    u, rho, draws = 10**u, 10**rho, 60_000
    rng = np.random.default_rng(3)
    weight = -np.expm1(-u)
    counts = np.arange(1, 80)
    chance = np.cumsum(np.exp(counts * np.log(u) - np.cumsum(np.log(counts)) - u)) / weight
    path = np.repeat(np.arange(draws), counts[np.searchsorted(chance, rng.random(draws)).clip(max=78)])
    square = np.bincount(path, 2 * rng.exponential(size=len(path)) * rng.random(len(path)) ** 2, minlength=draws)
    width = half_widths([level], one(u), one(rho), np.ones((1, 1)), one(1))[0, 0, 0]

    def chance_within(x: float) -> tuple[float, float]:
        given_jumps = erf(x / np.sqrt(2 * (1 + rho**2 * square)))
        still = (1 - weight) * erf(x / np.sqrt(2))
        return still + weight * given_jumps.mean(), 5 * weight * given_jumps.std() / np.sqrt(draws)

    below, error = chance_within(0.995 * width)
    assert below - error < level / 100
    above, error = chance_within(1.005 * width)
    assert above + error > level / 100


@pytest.mark.parametrize("level", [0.01, 0.5, 0.8, 0.95, 0.999])
def test_tables_keep_to_the_inversion_everywhere(level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    table, rng, n = Quantiles.of(level), np.random.default_rng(6), 6000
    u, rho = 10 ** rng.uniform(-4, 3, n), 10 ** rng.uniform(-2, 6, n)
    # Half of the points where exp(-u) is close to the level: there the quantile leaves the noise for the jumps.
    near = rng.choice([-1, 1], n // 2) * 10 ** rng.uniform(-8, 0.3, n // 2)
    u[: n // 2] = -np.log(level) * np.exp(near)
    width = table(u, rho, np.ones(n))
    monkeypatch.setattr(jumps, "NODES", 192)
    tail, density = Inversion.of(u, 1 / rho, width / rho).tail(width / rho)
    assert (np.abs(tail - (1 - level)) < 2e-3 * density * width / rho).all()


def test_the_inversion_agrees_with_one_along_the_real_axis() -> None:
    rng = np.random.default_rng(7)
    u, rho = 10 ** rng.uniform(-4, 3, 40), 10 ** rng.uniform(-3, 1.5, 40)
    x = np.sqrt(1 + 2 / 3 * u * rho**2) * 10 ** rng.uniform(-1, 0.6, 40)
    tail, density = Inversion.of(u, 1 / rho, x / rho).tail(x / rho)
    for i in range(40):
        below, at, above = inverted(u[i], rho[i], x[i] * np.array([1 - 1e-4, 1, 1 + 1e-4]))
        assert 1 - tail[i] == pytest.approx(at, abs=1e-6)
        assert density[i] * x[i] / rho[i] == pytest.approx((above - below) / 2e-4, abs=1e-4)


def test_sizes_of_jumps_are_widths_without_noise() -> None:
    scores = np.array([0.5, 1.0, 2.0, 3.0])
    for u in (0.01, 0.3, 2.0, 40.0):
        levels = 100 * (np.exp(-u) - np.expm1(-u) * (2 * ndtr(scores) - 1))
        widths = half_widths(list(levels), one(u), one(1), np.ones((1, 1)), one(1e-6))[0, 0]
        np.testing.assert_allclose(sizes(scores[None], np.array([[u]]))[0], widths, rtol=5e-3)


def test_half_widths_at_the_ends_of_the_law() -> None:
    levels = np.array([1.0, 80.0, 95.0, 99.9])
    z = ndtri(0.5 + levels / 200)

    def widths(rate: float, spread: float, distance: float, sigma: float) -> np.ndarray:
        return half_widths(list(levels), one(rate), one(spread), distance * np.ones((1, 1)), one(sigma))[0, 0]

    for still in ((0, 1, 0.1, 2), (25, 0, 0.1, 2), (25, 1, 0, 2), (25, 1e-12, 0.1, 2), (1e-9, 3, 0.1, 2)):
        np.testing.assert_allclose(widths(*still), 2 * z, rtol=1e-3)
    for many in ((1e6, 1.0, 0.5, 1e-3), (1e5, 0.2, 2.0, 30.0)):
        rate, spread, distance, sigma = many
        sd = np.sqrt(2 * rate * spread**2 * distance**3 / 3 + sigma**2)
        np.testing.assert_allclose(widths(*many), sd * z, rtol=1e-3)
    assert (widths(25, 0, 0.1, 0) == 0).all()
    # Without noise: nothing happens with probability exp(-u), and the tail beyond a few jumps is theirs.
    silent = widths(1.0, 1.0, 0.5, 0.0)
    assert silent[0] < 1e-5
    path = np.sort(np.abs(simulated(1.0, 1.0, np.array([0.5]), seed=9)[0]))
    assert path[int(0.95 * DRAWS)] == pytest.approx(silent[2], rel=0.015)


def test_widths_take_factors_and_noise_a_step() -> None:
    rng = np.random.default_rng(0)
    rate, distance = rng.uniform(1, 30, 4), rng.uniform(0, 0.3, (4, 5)).cumsum(axis=1)
    spread, sigma = rng.normal(size=(4, 5)), rng.uniform(0.01, 1, (4, 5))
    found = half_widths([80], rate, spread, distance, sigma)
    for i in range(4):
        for j in range(5):
            cell = (one(rate[i]), one(abs(spread[i, j])), distance[i : i + 1, j : j + 1], one(sigma[i, j]))
            assert half_widths([80], *cell)[0, 0, 0] == found[i, j, 0]


# Logistic growth


@pytest.mark.parametrize(
    ("rate", "spread", "until", "sigma", "argument"),
    [
        (25, 0.5, 0.1, 0.03, 1.0),
        (25, 1.5, 0.5, 0.05, -2.0),
        (2, 3.0, 0.3, 0.02, 2.5),
        (2, 10.0, 1.0, 0.01, 0.0),
        (10, 0.2, 1.0, 0.02, 3.5),
        (0.5, 1.0, 0.2, 0.1, -4.0),
    ],
)
def test_logistic_quantiles_are_those_of_simulated_paths(
    rate: float, spread: float, until: float, sigma: float, argument: float
) -> None:
    distance = until * np.array([0.1, 0.5, 1.0])
    cap = np.array([2.0, 2.5, 3.0])
    line = argument + np.array([0.0, 0.3, 0.5])
    paths = cap[:, None] * expit(line[:, None] + simulated(rate, spread, distance, seed=4))
    paths += np.random.default_rng(5).normal(0, sigma, paths.shape)
    low, high = logistic_quantiles(
        (80.0, 95.0, 99.0), one(rate), one(spread), distance[None], one(sigma), line[None], cap[None]
    )
    half, tail = 0.5 * (high[0] - low[0]), np.array([0.1, 0.025, 0.005])
    assert reached(paths, low[0], tail, 0.015 * half)
    assert reached(paths, high[0], 1 - tail, 0.015 * half)


def test_logistic_quantiles_of_a_nearly_straight_sigmoid_are_the_linear_ones() -> None:
    distance, cap = np.linspace(0.01, 1, 12)[None], 1e3
    low, high = logistic_quantiles(
        LEVELS, one(5), one(4e-4), distance, one(0.04), np.zeros((1, 12)), np.full((1, 12), cap)
    )
    # sigmoid'(0) = 1 / 4
    linear = half_widths(LEVELS, one(5), one(4e-4 * cap / 4), distance, one(0.04))
    np.testing.assert_allclose(high - cap / 2, linear, rtol=5e-3)
    np.testing.assert_allclose(cap / 2 - low, linear, rtol=5e-3)


def test_logistic_quantiles_of_a_flipped_trend_change_sides() -> None:
    rng = np.random.default_rng(2)
    distance, line = rng.uniform(0, 1, (3, 4)), rng.normal(0, 2, (3, 4))
    rest = (rng.uniform(1, 9, 3), rng.uniform(0, 2, 3), distance, np.full(3, 0.02), line)
    low, high = logistic_quantiles((80.0,), *rest, np.ones((3, 4)))
    low_of_flipped, high_of_flipped = logistic_quantiles((80.0,), *rest, -np.ones((3, 4)))
    np.testing.assert_allclose(low_of_flipped, -high, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(high_of_flipped, -low, rtol=1e-3, atol=1e-5)


def test_logistic_quantiles_without_noise_or_changes() -> None:
    still = np.zeros((1, 1))
    low, high = logistic_quantiles((80.0,), one(5), one(1), still, one(0.1), np.ones((1, 1)), np.full((1, 1), 2.0))
    centre, width = 2 * expit(1.0), 0.1 * ndtri(0.9)
    np.testing.assert_allclose([low[0, 0, 0], high[0, 0, 0]], [centre - width, centre + width], rtol=1e-5)
    bare = logistic_quantiles((80.0,), one(5), one(1), still, one(0), np.ones((1, 1)), np.full((1, 1), 2.0))
    np.testing.assert_allclose(np.ravel(bare), centre, rtol=1e-6)
    flipped = logistic_quantiles((80.0,), one(5), one(1), still, one(0), np.ones((1, 1)), np.full((1, 1), -2.0))
    np.testing.assert_allclose(np.ravel(flipped), -centre, rtol=1e-6)
    nothing = logistic_quantiles((80.0,), one(5), one(1), still, one(0), np.ones((1, 1)), np.zeros((1, 1)))
    np.testing.assert_array_equal(np.ravel(nothing), 0)


# Company, order, threads, unknown values


def panel(n: int, h: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    return {
        "rate": 10 ** rng.uniform(-1, 3, n),
        "spread": 10 ** rng.uniform(-6, 1, n),
        "distance": rng.uniform(0, 0.02, (n, h)).cumsum(axis=1),
        "sigma": 10 ** rng.uniform(-5, 0, n),
    }


def test_company_and_order_change_no_bit() -> None:
    n, h = 400, 30
    cells = panel(n, h)
    line, cap = np.random.default_rng(1).normal(size=(2, n, h))
    wide = half_widths(LEVELS, **cells)
    both = logistic_quantiles((80.0, 95.0), **cells, argument=line, cap=cap)
    shuffled = np.random.default_rng(0).permutation(n)
    for index in ([0], [17], np.arange(7), shuffled):
        few = {name: values[index] for name, values in cells.items()}
        np.testing.assert_array_equal(half_widths(LEVELS, **few), wide[index])
        again = logistic_quantiles((80.0, 95.0), **few, argument=line[index], cap=cap[index])
        for found, expected in zip(again, both, strict=True):
            np.testing.assert_array_equal(found, expected[index])


def test_unknown_values_stay_unknown_and_alone() -> None:
    cells = panel(3, 4)
    line, cap = np.zeros((3, 4)), np.ones((3, 4))
    clean = half_widths([80.0], **cells)
    low, high = logistic_quantiles([80.0], **cells, argument=line, cap=cap)
    for name in cells:
        spoilt = {key: values.copy() for key, values in cells.items()}
        spoilt[name][1] = np.nan
        results: list[Any] = [(half_widths([80.0], **spoilt), clean)]
        found = logistic_quantiles([80.0], **spoilt, argument=line, cap=cap)
        results += [(found[0], low), (found[1], high)]
        for values, expected in results:
            assert np.isnan(values[1]).all()
            np.testing.assert_array_equal(values[[0, 2]], expected[[0, 2]])


def test_no_series_and_no_levels() -> None:
    empty = np.empty(0)
    assert half_widths([80.0], empty, empty, np.empty((0, 3)), empty).shape == (0, 3, 1)
    low, high = logistic_quantiles([], one(1), one(1), np.ones((1, 2)), one(1), np.ones((1, 2)), np.ones((1, 2)))
    assert low.shape == high.shape == (1, 2, 0)


def test_tables_are_the_same_from_every_thread() -> None:
    Quantiles.of.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        tables = [done.result() for done in [pool.submit(Quantiles.of, 0.87) for _ in range(4)]]
    for table in tables:
        np.testing.assert_array_equal(table.coefficients, tables[0].coefficients)


# Sample paths


def test_paths_have_the_covariance_of_their_law() -> None:
    rate, spread, distance = 6.0, 0.5, np.array([0.2, 0.5, 0.9, 2.0])
    paths = trend_paths(one(rate), one(spread), distance[None], generators(["a"], 0), DRAWS)[0]
    s, t = np.minimum.outer(distance, distance), np.maximum.outer(distance, distance)
    # Jumps of variance 2 b^2 at rate S: 2 S b^2 times the integral of (s - x) (t - x) up to s.
    np.testing.assert_allclose(np.cov(paths), 2 * rate * spread**2 * (s**2 * t / 2 - s**3 / 6), rtol=0.02)
    widths = half_widths(LEVELS, one(rate), one(spread), distance[None], one(1e-9))[0]
    np.testing.assert_allclose(np.quantile(np.abs(paths), np.array(LEVELS) / 100, axis=1).T, widths, rtol=0.015)


def test_paths_bend_and_never_jump() -> None:
    distance = np.arange(1, 2001) / 1000
    paths = trend_paths(one(3), one(1), distance[None], generators(["a"], 0), 50)[0]
    slopes = np.diff(paths, axis=0) * 1000
    # Within one step a change of slope moves the trend by less than the step times the change.
    bends = np.abs(np.diff(slopes, axis=0))
    assert (bends > 1e-9).any(axis=0).sum() > 45
    assert 1.5 < (bends > 1e-9).sum() / 50 / (2 * 3 * 2) * 2 < 2.5  # a change inside a step shows in two slopes


def test_paths_know_no_company_and_not_the_noise() -> None:
    cells = panel(5, 20)
    del cells["sigma"]
    cells["spread"] = cells["spread"][:, None] * np.linspace(1, 2, 20)
    ids = list("abcde")
    paths = trend_paths(**cells, randoms=generators(ids, 3), count=2000)
    lone = {name: values[2:3] for name, values in cells.items()}
    np.testing.assert_array_equal(trend_paths(**lone, randoms=generators(["c"], 3), count=2000)[0], paths[2])
    plain = trend_paths(cells["rate"], np.ones(5), cells["distance"], generators(ids, 3), 2000)
    np.testing.assert_allclose(paths, plain * cells["spread"][..., None], rtol=1e-12)
    # The noise has the generator's own stream: had the jumps the same, their numbers would be these.
    for i, random in enumerate(generators(ids, 3)):
        none = random.poisson(cells["rate"][i] * cells["distance"][i, -1], 2000) == 0
        if 0.1 < none.mean() < 0.9:
            assert abs(np.corrcoef(none, plain[i, -1] == 0)[0, 1]) < 4.5 / np.sqrt(2000)


def test_paths_of_unknown_or_absent_changes() -> None:
    distance = np.array([[0.0, 0.0, 0.1], [0.1, 0.2, 0.3], [0.1, 0.2, np.nan]])
    paths = trend_paths(np.array([50.0, 0.0, 5.0]), np.ones(3), distance, generators("abc", 0), 40)
    assert (paths[0, :2] == 0).all()
    assert (paths[0, 2] != 0).any()
    assert (paths[1] == 0).all()
    assert np.isnan(paths[2]).all()


# Prophet's own samplers


def prophet_of(growth: str, changes: int, size: float, k: float, m: float) -> Any:
    prophet = pytest.importorskip("prophet")
    model = prophet.Prophet(growth=growth)
    model.changepoints_t = np.linspace(0, 0.8, changes + 1)[1:]
    delta = size * np.where(np.arange(changes) % 2, 1.0, -1.0)
    model.params = {"k": np.array([k]), "m": np.array([m]), "delta": delta[None], "sigma_obs": np.array([[0.05]])}
    model.y_scale = 1.0
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("changes", "size"), [(25, 0.05), (2, 1.0)])
def test_prophets_vectorised_sampler_agrees_on_a_full_grid(changes: int, size: float) -> None:
    import pandas as pd

    model = prophet_of("linear", changes, size, 1.0, 0.0)
    distance = np.arange(1, 181) / 1094
    np.random.seed(0)  # noqa: NPY002 (prophet draws from the process's own state)
    draws = model._sample_uncertainty(pd.DataFrame({"t": 1 + distance}), n_samples=30_000)[:, [29, 89, 179]]
    draws = draws + np.random.default_rng(0).normal(0, 0.05, draws.shape)
    truth = np.quantile(np.abs(draws), [0.8, 0.95], axis=0).T
    found = half_widths([80, 95], one(changes), one(size), distance[None], one(0.05))[0, [29, 89, 179]]
    np.testing.assert_allclose(found, truth, rtol=0.03)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("growth", ["linear", "logistic"])
def test_prophets_path_sampler_agrees(growth: str) -> None:
    import pandas as pd

    model = prophet_of(growth, 10, 0.8, 1.5, 0.4)
    distance = np.array([0.1, 0.3, 0.5])
    df = pd.DataFrame({"t": 1 + distance, "cap_scaled": 1.3, "floor": 0.0})
    np.random.seed(1)  # noqa: NPY002
    paths = np.stack([model.sample_predictive_trend(df, 0) for _ in range(5000)])
    paths = paths + np.random.default_rng(0).normal(0, 0.05, paths.shape)
    truth = np.quantile(paths, [0.1, 0.9], axis=0)
    delta = model.params["delta"][0]
    hinges = np.maximum(df["t"].to_numpy()[:, None] - model.changepoints_t, 0) @ delta
    rest = (one(10), one(0.8), distance[None], one(0.05))
    if growth == "linear":
        point = 1.5 * df["t"].to_numpy() + 0.4 + hinges
        half = half_widths([80.0], *rest)[0, :, 0]
        found = np.stack([point - half, point + half])
    else:
        line = 1.5 * (df["t"].to_numpy() - 0.4) + hinges
        low, high = logistic_quantiles([80.0], *rest, line[None], np.full((1, 3), 1.3))
        found = np.stack([low[0, :, 0], high[0, :, 0]])
    # A quantile of 5,000 draws wanders by about 2 % of the half-width.
    assert (np.abs(found - truth) < 0.06 * (truth[1] - truth[0]) / 2).all()
