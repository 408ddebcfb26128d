"""Moments, solvers and tiles against loops, numpy, scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from builders import lag_table, lagged_series
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Ridge

from tsforecast.panel import Panel
from tsforecast.windows import (
    TILE,
    explicit_moments,
    gcv_ridge,
    generators,
    lag_moments,
    least_squares,
    main_season,
    normal_widths,
    pivots_and_solution,
    tiles,
)
from tsforecast.windows.moments import lag_design
from tsforecast.windows.solve import RIDGES, centred, effective, exact, spread


def right_aligned(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    width = max((len(row) for row in rows), default=0)
    z = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        z[i, width - len(row) :] = row
    return z, np.array([len(row) for row in rows], dtype=np.int64)


def counted(y: np.ndarray, lags: tuple[int, ...]) -> np.ndarray:
    """Moments of [1, lags, target] by one loop over rows."""
    out = np.zeros((len(lags) + 2, len(lags) + 2))
    for t in range(max(lags, default=0), len(y)):
        row = np.array([1.0, *(y[t - lag] for lag in lags), y[t]])
        out += np.outer(row, row)
    return out


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    lags=st.sets(st.integers(1, 45), max_size=6),
    seed=st.integers(0, 999),
)
def test_lag_moments_equal_a_loop(lengths: list[int], lags: set[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=length) for length in lengths]
    z, counts = right_aligned(rows)
    wanted = tuple(sorted(lags))
    got = lag_moments(z, counts, wanted)
    for moments, row in zip(got, rows, strict=True):
        np.testing.assert_allclose(moments, counted(row, wanted), rtol=0, atol=1e-10)


@given(
    lags=st.sets(st.integers(1, 12), min_size=1, max_size=4),
    gaps=st.floats(0, 0.4),
    lead=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_lag_design_equals_rows_made_by_hand(lags: set[int], gaps: float, lead: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, past, known = rng.normal(size=(3, 30))
    y[rng.random(30) < gaps] = np.nan
    past[rng.random(30) < gaps / 4] = np.nan
    wanted = tuple(sorted(lags))
    x, whole = lag_design(y[None], wanted, past[None, :, None], known[None, :, None], lead)
    use = (whole[0] > 0) & np.isfinite(y)
    rows, targets = lag_table(y, wanted, past=[past], known=[known], lead=lead)
    np.testing.assert_array_equal(x[0, use], rows.reshape(-1, 2 + 2 * len(wanted)))
    np.testing.assert_array_equal(y[use], targets)


def test_explicit_moments_weigh_rows_and_count_them() -> None:
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(2, 20, 3)), rng.normal(size=(2, 20, 2))
    weights = rng.uniform(size=(2, 20))
    weights[0, :4] = 0.0
    target[1, 3:5, 1] = np.nan
    got, count = explicit_moments(x, np.ones((2, 20)), target, weights)
    for i, use in enumerate([np.arange(20) >= 4, ~np.isin(np.arange(20), (3, 4))]):
        rows = np.concatenate([x[i], target[i]], axis=1)[use]
        np.testing.assert_allclose(got[i], (rows * weights[i, use, None]).T @ rows, rtol=1e-12)
        assert count[i] == use.sum()


def regression(seed: int = 0, rows: int = 60, k: int = 5, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, rows, k)) * 10.0 ** rng.integers(-3, 4, size=k) + rng.normal(size=k)
    return x, rng.normal(size=(n, rows)) + x[:, :, 0] / x[:, :, 0].std()


def sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.concatenate([np.ones((*x.shape[:2], 1)), x, y[..., None]], axis=2)
    gram, cross, power, _ = centred(np.swapaxes(rows, 1, 2) @ rows, 1)
    return gram, cross, power[:, 0, 0]


def test_least_squares_equals_lstsq_and_ridge_that_of_sklearn() -> None:
    x, y = regression()
    gram, cross, _ = sums(x, y)
    plain, weak = least_squares(gram, cross, np.zeros(4))
    assert not weak.any()
    shrunk, _ = least_squares(gram, cross, np.full(4, 0.3))
    for i in range(4):
        middle = x[i] - x[i].mean(axis=0)
        want = np.linalg.lstsq(middle, y[i] - y[i].mean(), rcond=None)[0]
        np.testing.assert_allclose(plain[i, :, 0], want, rtol=1e-8)
        size = middle.std(axis=0)
        fit = Ridge(alpha=0.3 * len(y[i])).fit(middle / size, y[i])
        np.testing.assert_allclose(shrunk[i, :, 0], fit.coef_ / size, rtol=1e-8)


def test_columns_of_any_size_and_constant_ones_are_told_apart() -> None:
    x, y = regression(k=3)
    x[:, :, 1] *= 1e-4
    x[:2, :, 2] = np.array([7.1, 0.3])[:, None]
    gram, cross, _ = sums(x, y)
    gram[:2, 2, 2] = 1e-15 * gram[:2].max(axis=(1, 2))  # what rounding may leave of a constant
    cross[:2, 2] += 1e-12 * np.abs(cross[:2]).max(axis=1)
    coef, weak = least_squares(gram, cross, np.zeros(4))
    assert not weak.any()
    assert coef[:, 2, 0].astype(bool).tolist() == [False, False, True, True]
    want = np.linalg.lstsq(x[0, :, :2] - x[0, :, :2].mean(axis=0), y[0] - y[0].mean(), rcond=None)[0]
    np.testing.assert_allclose(coef[0, :2, 0], want, rtol=1e-7)


def test_a_collinear_series_is_flagged_and_does_not_touch_the_others() -> None:
    x, y = regression(n=3)
    noise = np.random.default_rng(1).normal(size=60)
    x[1, :, 4] = x[1, :, 0] + 1e-5 * x[1, :, 0].std() * noise
    gram, cross, _ = sums(x, y)
    coef, weak = least_squares(gram, cross, np.zeros(3))
    assert weak.tolist() == [False, True, False]
    for i in (0, 2):
        alone, _ = least_squares(gram[i : i + 1], cross[i : i + 1], np.zeros(1))
        np.testing.assert_array_equal(coef[i], alone[0])


def test_solution_has_the_bits_of_each_system_alone() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=(50, 9, 6))
    gram, cross = np.swapaxes(a, 1, 2) @ a, rng.normal(size=(50, 6, 2))
    pivots, together = pivots_and_solution(gram, cross)
    for i in range(50):
        pivot, alone = pivots_and_solution(gram[i : i + 1], cross[i : i + 1])
        assert pivot[0] == pivots[i]
        np.testing.assert_array_equal(alone[0], together[i])
        np.testing.assert_allclose(gram[i] @ together[i], cross[i], atol=1e-6)


def test_exact_is_the_shortest_answer_on_columns_of_one_size() -> None:
    x, y = regression(n=3)
    x[1, :, 4] = 2 * x[1, :, 0] - x[1, :, 1]
    x[2] = 0.0
    use = np.ones((3, 60))
    use[0, :7] = 0.0
    coef, rank = exact(x, y, use)
    assert rank.tolist() == [5, 4, 0]
    np.testing.assert_array_equal(coef[2], 0.0)
    for i in (0, 1):
        rows = use[i] > 0
        middle = x[i, rows] - x[i, rows].mean(axis=0)
        size = np.linalg.norm(middle, axis=0)
        want = np.linalg.pinv(middle / size, rcond=1e-12) @ (y[i, rows] - y[i, rows].mean()) / size
        np.testing.assert_allclose(coef[i], want, rtol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_effective_parameters_are_the_trace_of_the_hat_matrix(ridge: float) -> None:
    x, y = regression(seed=6)
    x[0, :, 1] = 2.5
    gram, _, _ = sums(x, y)
    got = effective(gram, np.full(4, ridge))
    for i in range(4):
        middle = x[i] - x[i].mean(axis=0)
        unit = np.delete(middle, 1, axis=1) if i == 0 else middle
        unit = unit / np.linalg.norm(unit, axis=0)
        hat = unit @ np.linalg.inv(unit.T @ unit + ridge * np.eye(unit.shape[1])) @ unit.T
        assert got[i] == pytest.approx(np.trace(hat), rel=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_spread_is_the_covariance_of_the_coefficients(ridge: float) -> None:
    x, y = regression(seed=5)
    gram, _, _ = sums(x, y)
    got = spread(gram, np.full(4, ridge))
    for i in range(4):
        inverse = np.linalg.inv(gram[i] + ridge * np.diag(np.diag(gram[i])))
        np.testing.assert_allclose(got[i], inverse @ gram[i] @ inverse, rtol=1e-6)


def test_gcv_ridge_is_the_best_of_all_penalties_tried_one_by_one() -> None:
    x, y = regression(seed=9, rows=25, k=8, n=12)
    x[..., 5:] = x[..., :3] + 0.05 * np.random.default_rng(4).normal(size=(12, 25, 3)) * x[..., :3].std(
        axis=1, keepdims=True
    )
    gram, cross, power = sums(x, y)
    coef, penalty, freedom = gcv_ridge(gram, cross[..., 0], power, np.full(12, 25.0))
    assert len(set(penalty)) > 2
    for i in range(12):
        middle = x[i] - x[i].mean(axis=0)
        target = y[i] - y[i].mean()
        unit = middle / np.linalg.norm(middle, axis=0)
        scores, answers = [], []
        for p in RIDGES:
            inside = np.linalg.inv(unit.T @ unit + p * np.eye(8)) @ unit.T
            left = target - unit @ inside @ target
            parameters = np.trace(unit @ inside)
            scores.append(25 * (left @ left) / (25 - 1 - parameters) ** 2)
            answers.append((inside @ target, parameters))
        best = int(np.argmin(scores))
        assert penalty[i] == RIDGES[best]
        np.testing.assert_allclose(freedom[i], answers[best][1], rtol=1e-6)
        np.testing.assert_allclose(coef[i], answers[best][0] / np.linalg.norm(middle, axis=0), rtol=1e-5)


@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=150))
def test_tiles_hold_each_series_once_with_all_of_its_rows(lengths: list[int]) -> None:
    values = [np.arange(length) + 1000.0 * i for i, length in enumerate(lengths)]
    panel = Panel.from_arrays(values)
    seen = []
    for tile in tiles(panel):
        assert len(tile.index) == len(tile.rows) == len(tile.inside) <= TILE
        y = tile.gather(panel.y)
        for row, i in enumerate(tile.index):
            seen.append(int(i))
            np.testing.assert_array_equal(y[row, tile.inside[row]], values[i])
            assert np.isnan(y[row, : y.shape[1] - len(values[i])]).all()
    assert sorted(seen) == list(range(len(lengths)))


def test_padding_depends_on_the_series_alone() -> None:
    for length in (1, 9, 40, 333):
        alone = next(iter(tiles(Panel.from_arrays([np.zeros(length)])))).rows.shape[1]
        company = Panel.from_arrays([np.zeros(length), *(np.zeros(k) for k in (2, 50, 1000))])
        widths = {int(i): tile.rows.shape[1] for tile in tiles(company) for i in tile.index}
        assert widths[0] == alone >= length
        assert alone <= max(8, 1.13 * length)


def test_generators_follow_the_id_and_the_seed() -> None:
    def draws(ids: list[str], seed: int) -> dict[str, float]:
        return {name: g.standard_normal() for name, g in zip(ids, generators(ids, seed), strict=True)}

    both = draws(["a", "b"], 0)
    assert draws(["b"], 0)["b"] == both["b"] != both["a"]
    assert draws(["b"], 1)["b"] != both["b"]


def test_normal_widths_are_those_of_the_normal_distribution() -> None:
    got = normal_widths(np.array([1.0, 2.0]), (80, 95))
    np.testing.assert_allclose(got, [[f * stats.norm.interval(p)[1] for p in (0.8, 0.95)] for f in (1, 2)])


@pytest.mark.parametrize(("freq", "season"), [("D", 7), ("h", 24), ("15min", 96), ("MS", 12), (1, 1), ("YS", 1)])
def test_main_season_is_the_shortest_usual_one(freq: str | int, season: int) -> None:
    panel = Panel.from_arrays(lagged_series(rows=5)).replace(freq=freq)
    assert main_season(panel) == season
