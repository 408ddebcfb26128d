"""Weights on the simplex against grids, a closed form and another solver; sums of errors against loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hmean

from tsforecast.compose.weights import covariances, shrunk_weights
from tsforecast.windows.bands import band_names, band_of

KINDS = ("full", "one factor", "twins")


def loss(w: np.ndarray, s: np.ndarray, prior: np.ndarray, kappa: float) -> np.ndarray:
    """What the weights (..., m) minimise, as the docstring writes it."""
    return np.einsum("...i,ij,...j->...", w, s, w) + kappa * hmean(np.diag(s)) * ((w - prior) ** 2).sum(axis=-1)


def problem(seed: int, m: int, kind: str = "full", scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean products of errors (m, m) of 50 or 2 origins, and a prior of which some numbers may be 0."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(m, 2 if kind == "one factor" else 50)) * rng.uniform(0.5, 2, size=(m, 1)) + rng.normal()
    if kind == "twins":
        errors[1:] = errors[: m - 1]
    prior = rng.dirichlet(np.ones(m)) * (rng.random(m) < 0.8)
    return scale * errors @ errors.T / errors.shape[1], prior / prior.sum() if prior.any() else np.eye(m)[0]


def simplex(m: int, steps: int) -> np.ndarray:
    """All points of a grid on the simplex (points, m)."""
    parts = np.stack(np.meshgrid(*[np.arange(steps + 1)] * (m - 1), indexing="ij"), axis=-1).reshape(-1, m - 1)
    parts = parts[parts.sum(axis=1) <= steps]
    return np.column_stack([parts, steps - parts.sum(axis=1)]) / steps


@pytest.mark.parametrize("kappa", [0.0, 0.03, 0.5, 20.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [2, 3])
def test_no_point_of_a_grid_is_better_and_the_best_one_is_near(m: int, kind: str, kappa: float) -> None:
    grid = simplex(m, 200)
    for seed in range(30):
        s, prior = problem(seed, m, kind)
        w = shrunk_weights(s[None], prior, kappa)[0]
        values = loss(grid, s, prior, kappa)
        assert loss(w, s, prior, kappa) <= values.min() + 1e-6 * np.trace(s)
        if kappa:  # else ties leave the whole of an edge as good
            assert np.abs(w - grid[values.argmin()]).max() < 2 / 200


@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.sampled_from([1e-6, 0.03, 1.0]))
def test_two_members_have_a_closed_form(seed: int, kind: str, kappa: float) -> None:
    s, prior = problem(seed, 2, kind)
    size = hmean(np.diag(s))
    a = (s[1, 1] - s[0, 1] + 2 * kappa * size * prior[0]) / (s[0, 0] + s[1, 1] - 2 * s[0, 1] + 2 * kappa * size)
    expected = np.clip(a, 0, 1)
    np.testing.assert_allclose(shrunk_weights(s[None], prior, kappa)[0], [expected, 1 - expected], atol=1e-6)


@given(
    st.integers(0, 10**6),
    st.integers(2, 8),
    st.sampled_from(KINDS),
    st.sampled_from([1e-12, 1.0, 1e12]),
    st.sampled_from([0.0, 0.03, 1.0]),
)
def test_another_solver_finds_nothing_better(seed: int, m: int, kind: str, scale: float, kappa: float) -> None:
    from scipy.optimize import minimize

    s, prior = problem(seed, m, kind, scale)
    w = shrunk_weights(s[None], prior, kappa)[0]
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1, abs=1e-12)
    unit = s / np.trace(s)
    found = minimize(
        loss, np.full(m, 1 / m), (unit, prior, kappa), "SLSQP", bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1}, options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert loss(w, unit, prior, kappa) <= found.fun + 2e-8
    if kappa == 1.0:  # one minimum that both must find
        np.testing.assert_allclose(w, found.x, atol=1e-4)


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([1e-12, 1.0, 1e12]))
def test_no_small_step_between_two_members_lowers_the_loss(seed: int, m: int, scale: float) -> None:
    s, prior = problem(seed, m, "full", scale)
    w = shrunk_weights(s[None], prior, 0.03)[0]
    slope = 2 * s @ w + 2 * 0.03 * hmean(np.diag(s)) * (w - prior)
    used = w > 0
    level = slope[used].mean()
    assert np.abs(slope[used] - level).max() <= 1e-9 * np.trace(s)
    assert (slope[~used] >= level - 1e-9 * np.trace(s)).all()


@pytest.mark.parametrize("kappa", [0.0, 0.03, 5.0])
@pytest.mark.parametrize("prior", [[0.3, 0.7], [0.2, 0.3, 0.5], [0.0, 0.4, 0.6]])
def test_members_that_err_alike_keep_the_prior(prior: list[float], kappa: float) -> None:
    s = np.full((1, len(prior), len(prior)), 3.7)
    np.testing.assert_allclose(shrunk_weights(s, np.array(prior), kappa)[0], prior, atol=1e-7)


@pytest.mark.parametrize("kappa", [np.inf, 1e300])
def test_an_infinite_pull_gives_the_prior(kappa: float) -> None:
    s, _ = problem(1, 4)
    prior = np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(shrunk_weights(s[None], prior, kappa)[0], prior, atol=1e-12)
    distances = [np.abs(shrunk_weights(s[None], prior, k)[0] - prior).max() for k in (0.01, 1.0, 100.0, 1e4, 1e6)]
    assert all(a > b for a, b in pairwise(distances))
    assert distances[-1] < 1e-5


def test_without_a_pull_it_is_the_least_squared_error() -> None:
    errors = np.random.default_rng(2).normal(size=(3, 400)) * [[1.0], [1.5], [2.0]]
    s = errors @ errors.T / 400
    plain = np.linalg.solve(s, np.ones(3))
    np.testing.assert_allclose(shrunk_weights(s[None], np.eye(3)[0], 0.0)[0], plain / plain.sum(), atol=1e-6)


def test_a_hopeless_member_does_not_keep_the_others_from_being_told_apart() -> None:
    s = np.diag([1.0, 4.0, 1e12])
    w = shrunk_weights(s[None], np.full(3, 1 / 3), 0.0)[0]
    np.testing.assert_allclose(w, [0.8, 0.2, 0.0], atol=1e-4)
    # Nor does it pull them to the prior more than they would be without it.
    without = shrunk_weights(s[None, :2, :2], np.full(2, 1 / 2), 0.045)[0]
    np.testing.assert_allclose(shrunk_weights(s[None], np.full(3, 1 / 3), 0.03)[0, :2], without, atol=0.02)


@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([0.0, 0.03, 1.0]))
def test_members_in_another_order_have_their_weights_in_that_order(seed: int, m: int, kappa: float) -> None:
    s, prior = problem(seed, m)
    order = np.random.default_rng(seed).permutation(m)
    moved = shrunk_weights(s[np.ix_(order, order)][None], prior[order], kappa)[0]
    np.testing.assert_allclose(moved, shrunk_weights(s[None], prior, kappa)[0][order], atol=1e-6)


@pytest.mark.parametrize("s", [np.zeros((2, 2)), np.full((2, 2), np.nan)])
def test_where_nothing_is_known_it_is_the_prior(s: np.ndarray) -> None:
    good = np.diag([1.0, 4.0])
    w = shrunk_weights(np.stack([good, s, good]), np.array([0.3, 0.7]), 0.03)
    assert w[1].tolist() == [0.3, 0.7]
    assert w[0, 0] > 0.6
    assert w[2].tolist() == w[0].tolist()


def test_problems_solved_together_have_the_bits_of_each_alone() -> None:
    problems = np.stack([problem(seed, 5, KINDS[seed % 3])[0] for seed in range(300)])
    prior = np.array([0.1, 0.15, 0.2, 0.25, 0.3])
    together = shrunk_weights(problems, prior, 0.001)
    alone = np.concatenate([shrunk_weights(s[None], prior, 0.001) for s in problems])
    assert (together == alone).all()


# --- sums of errors


def test_covariances_are_means_of_products_where_all_members_have_an_error() -> None:
    rng = np.random.default_rng(0)
    m, w, n, h = 3, 11, 7, 6
    errors = rng.normal(size=(m, w, n, h))
    errors[rng.random(errors.shape) < 0.1] = np.nan
    errors[:, :, 5] = np.nan
    groups, bands = np.array([1, 0, 1, 2, 0, 2, 1]), band_of((1, 2, 4), h)
    s, count = covariances(errors, groups, bands)
    for g in range(3):
        for b in range(3):
            cells = [
                errors[:, i, j, k]
                for i in range(w) for j in range(n) for k in range(h)
                if groups[j] == g and bands[k] == b and np.isfinite(errors[:, i, j, k]).all()
            ]  # fmt: skip
            assert count[g, b] == len(cells)
            np.testing.assert_allclose(s[g, b], sum(np.outer(c, c) for c in cells) / len(cells), rtol=1e-12)


def test_a_group_without_errors_has_none() -> None:
    errors = np.ones((2, 5, 2, 1))
    errors[:, :, 1] = np.nan
    s, count = covariances(errors, np.array([0, 1]), np.zeros(1, int))
    assert count.tolist() == [[5], [0]]
    assert (s[1] == 0).all()


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 40]))
def test_series_in_another_order_change_no_bit(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    errors = rng.normal(size=(2, 9, n, 5)) * 10.0 ** rng.integers(-8, 8, size=(n, 1))
    errors[rng.random(errors.shape) < 0.05] = np.nan
    of, order = np.arange(n) % groups, rng.permutation(n)
    one = covariances(errors, of, band_of((1, 2, 4), 5))
    other = covariances(np.ascontiguousarray(errors[:, :, order]), of[order], band_of((1, 2, 4), 5))
    assert all((a == b).all() for a, b in zip(one, other, strict=True))


def test_company_changes_no_bit_of_the_sums_of_a_series() -> None:
    errors = np.random.default_rng(5).normal(size=(3, 48, 60, 9))
    whole = covariances(errors, np.arange(60), band_of((1, 2, 4, 8), 9))[0]
    alone = covariances(np.ascontiguousarray(errors[:, :, 7:8]), np.zeros(1, int), band_of((1, 2, 4, 8), 9))[0]
    assert (whole[7] == alone[0]).all()


def test_bands_number_the_steps_by_their_firsts() -> None:
    assert band_of((1, 2, 4, 8), 10).tolist() == [0, 1, 1, 2, 2, 2, 2, 3, 3, 3]
    assert band_of((1, 2, 4, 8), 3).tolist() == [0, 1, 1]
    assert band_names((1, 2, 4, 8), 14) == ["1", "2-3", "4-7", "8-14"]
    assert band_names((1, 2), 2) == ["1", "2"]
