"""Multiplicative and logistic modes: formula, slope and curvature, optimality, and independence of company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tsforecast.models.prophet import additive
from tsforecast.models.prophet.nonlinear import Mode, solve
from tsforecast.models.prophet.posterior import (
    Problem,
    basis_of,
    bent,
    curvature,
    curve_at,
    objective,
    prior_of,
    pull,
    refitted,
    straight,
)
from tsforecast.panel import Float

# Minus the logarithm of the posterior once more, one series at a time, in Prophet's own words.


def trend(problem: Problem, i: int, theta: Float) -> Float:
    k, m, delta = theta[0], theta[1], theta[2 + problem.x.shape[2] :]
    t, s = problem.t[i], problem.changepoints[i]
    if problem.growth == "flat":
        return np.full_like(t, m)
    if problem.growth == "linear":
        past = t[:, None] >= s
        return (k + past @ delta) * t + m - past @ (s * delta)
    assert problem.cap is not None
    rate, offset, out = k, m, np.empty_like(t)
    order = np.argsort(s)
    edges = np.concatenate([[-np.inf], s[order], [np.inf]])
    for j in range(len(s) + 1):
        if j:  # gamma: the offset that keeps the trend continuous where the rate changes
            faster = rate + delta[order[j - 1]]
            offset = s[order[j - 1]] - (s[order[j - 1]] - offset) * rate / faster
            rate = faster
        inside = (t >= edges[j]) & (t < edges[j + 1])
        out[inside] = problem.cap[i][inside] / (1 + np.exp(-rate * (t[inside] - offset)))
    return out


def cost(problem: Problem, i: int, theta: Float, variance: float) -> float:
    k = problem.x.shape[2]
    beta, x = theta[2 : 2 + k], problem.x[i % len(problem.x)]
    chosen = problem.multiplicative
    yhat = trend(problem, i, theta) * (1 + x[:, chosen] @ beta[chosen]) + x[:, ~chosen] @ beta[~chosen]
    kept = problem.weight[i] > 0
    square = ((problem.weight[i] * (problem.y[i] - yhat)) ** 2).sum()
    prior = 0.5 * (problem.precision * theta[: 2 + k] ** 2).sum()
    laplace = np.abs(theta[2 + k :]).sum() / np.broadcast_to(problem.tau, len(problem.y))[i]
    return float(0.5 * kept.sum() * np.log(variance) + square / (2 * variance) + 2 * variance + prior + laplace)


def examples(
    growth: Any, modes: str, n: int = 8, rows: int = 200, seed: int = 0, changes: int = 12, noise: float = 0.05
) -> tuple[Problem, Float]:
    """n series of one model, where to begin, features of `modes` ('a' additive, 'm' multiplicative), two a letter."""
    rng = np.random.default_rng([seed, rows, len(modes)])
    t = np.linspace(0, 1, rows)
    waves = [f(2 * np.pi * (j + 1.5) * t) for j in range(len(modes)) for f in (np.sin, np.cos)]
    x = np.stack(waves, axis=1)
    multiplicative = np.repeat([letter == "m" for letter in modes], 2)
    s = np.linspace(0, 0.8, changes + 1)[1:]
    bends = np.maximum(t[:, None] - s, 0)
    slopes = np.where(rng.random((n, changes)) < 0.3, rng.normal(0, 1.5, (n, changes)), 0.0)
    cap = None
    a = rng.uniform(-0.5, 0.5, (n, 1)) + rng.normal(0, 1, (n, 1)) * t + slopes @ bends.T
    g = 0.5 + 0.2 * a
    if growth == "flat":
        g = np.full_like(a, 0.6)
    elif growth == "logistic":
        cap = 1.2 + 0.4 * rng.random((n, 1)) * t
        g = cap / (1 + np.exp(-a))
    effect = rng.normal(0, 0.1, (n, x.shape[1]))
    y = g * (1 + (effect * multiplicative) @ x.T) + (effect * ~multiplicative) @ x.T
    y += noise * rng.uniform(0.5, 1.5, (n, 1)) * rng.normal(size=y.shape)
    weight = rng.choice([0.0, 0.8, 1.0], p=[0.05, 0.1, 0.85], size=(n, rows))
    problem = Problem(
        y=y * (weight > 0), weight=weight, t=np.tile(t, (n, 1)), changepoints=np.tile(s, (n, 1)), x=x[None],
        multiplicative=multiplicative, precision=np.concatenate([[0.04, 0.04], np.full(x.shape[1], 0.01)]),
        tau=np.full(n, 0.05), growth=growth, cap=cap,
    )  # fmt: skip
    return problem, begin(problem)


def begin(problem: Problem) -> Float:
    """Slope and level through the first and the last row, as Prophet begins."""
    y0, y1 = problem.y[:, 0], problem.y[:, -1]
    if problem.growth != "logistic":
        return np.stack([y1 - y0, y0], axis=1)
    assert problem.cap is not None
    z0, z1 = (
        np.log(c / np.clip(y, 0.01 * c, 0.99 * c) - 1) for c, y in ((problem.cap[:, 0], y0), (problem.cap[:, -1], y1))
    )
    z0 = np.where(np.abs(z0 - z1) < 0.01, z0 + 0.05, z0)
    return np.stack([z0 - z1, z0 / (z0 - z1)], axis=1)


def ordered(problem: Problem) -> Problem:
    """The same with additive features first, as the functions below the solver want them."""
    order = np.argsort(problem.multiplicative, kind="stable")
    precision = np.concatenate([problem.precision[:2], problem.precision[2:][order]])
    x, multiplicative = np.ascontiguousarray(problem.x[:, :, order]), problem.multiplicative[order]
    return replace(problem, x=x, multiplicative=multiplicative, precision=precision)


def awkward(problem: Problem) -> Problem:
    """The same with changepoints in disorder: one at the beginning, two at one place, one that no row comes after."""
    s = problem.changepoints[:, ::-1].copy()
    s[:, 3], s[:, 5], s[:, 7] = 0.0, s[:, 6], 1.0
    return replace(problem, changepoints=s)


def somewhere(problem: Problem, seed: int = 5) -> Float:
    """Points [k, m, beta, delta] that are no mode of anything."""
    rng = np.random.default_rng(seed)
    n, k, s = len(problem.y), problem.x.shape[2], problem.changepoints.shape[1]
    theta = rng.normal(0, 0.3, (n, 2 + k + s))
    theta[:, 0] += np.where(theta[:, 0] < 0, -0.5, 0.5)
    return theta


def profile(problem: Problem, coordinates: Float) -> Float:
    """What f is at [k, c, beta, delta] (b,), at the best variance."""
    f, _ = objective(problem, curve_at(problem, basis_of(problem), coordinates), coordinates)
    return f


KINDS = [("linear", "m"), ("linear", "ma"), ("flat", "am"), ("logistic", "a"), ("logistic", "m"), ("logistic", "ama")]
kinds = pytest.mark.parametrize(("growth", "modes"), KINDS)


@kinds
def test_value_is_what_prophet_s_formulas_say(growth: Any, modes: str) -> None:
    problem = ordered(examples(growth, modes)[0])
    theta = somewhere(problem)
    coordinates = straight(theta, growth)
    f, variance = objective(problem, curve_at(problem, basis_of(problem), coordinates), coordinates)
    expected = [cost(problem, i, theta[i], variance[i]) for i in range(len(theta))]
    np.testing.assert_allclose(f, expected, rtol=1e-11)
    np.testing.assert_allclose(bent(coordinates, growth), theta, rtol=1e-13)
    for factor in (0.99, 1.01):
        worse = [cost(problem, i, theta[i], factor * variance[i]) for i in range(len(theta))]
        assert (worse > f).all()


@kinds
def test_trend_is_the_prophet_package_s(growth: Any, modes: str) -> None:
    package = pytest.importorskip("prophet").Prophet
    problem = ordered(examples(growth, modes, n=3)[0])
    theta = somewhere(problem)
    g = curve_at(problem, basis_of(problem), straight(theta, growth)).trend
    for i, (k, m) in enumerate(theta[:, :2]):
        delta, s, t = theta[i, 2 + problem.x.shape[2] :], problem.changepoints[i], problem.t[i]
        if growth == "flat":
            expected = package.flat_trend(t, m)
        elif growth == "linear":
            expected = package.piecewise_linear(t, delta, k, m, s)
        else:
            assert problem.cap is not None
            expected = package.piecewise_logistic(t, problem.cap[i], delta, k, m, s)
        np.testing.assert_allclose(g[i], expected, atol=1e-11)


@kinds
def test_slope_and_curvature_are_differences_of_the_value(growth: Any, modes: str) -> None:
    problem = awkward(ordered(examples(growth, modes, n=4)[0]))
    z = straight(somewhere(problem), growth)
    n, p = z.shape
    g, tau = len(problem.precision), np.asarray(problem.tau)[:, None]

    def slope(z: Float) -> Float:
        basis = basis_of(problem)
        curve = curve_at(problem, basis, z)
        variance = objective(problem, curve, z)[1]
        out = -pull(problem, basis, curve) / variance[:, None]
        out[:, :g] += prior_of(problem, z, np.ones(n, bool))[0]
        out[:, g:] += np.sign(z[:, g:]) / tau
        return out

    step = 1e-5 * np.eye(p)
    differences = np.stack([(profile(problem, z + e) - profile(problem, z - e)) / 2e-5 for e in step], axis=1)
    np.testing.assert_allclose(slope(z), differences, rtol=1e-5, atol=1e-4)

    basis, exact = basis_of(problem), np.ones(n, bool)
    curve = curve_at(problem, basis, z)
    variance = objective(problem, curve, z)[1][:, None, None]
    towards = pull(problem, basis, curve)
    rows = problem.rows[:, None, None]
    share = 2 / (variance * (8 * variance + rows))
    second = (curvature(problem, basis, curve, exact) - share * towards[:, :, None] * towards[:, None, :]) / variance
    second[:, :g, :g] += prior_of(problem, z, exact)[1]
    differences = np.stack([(slope(z + e) - slope(z - e)) / 2e-5 for e in step], axis=2)
    scale = np.abs(differences).max()
    np.testing.assert_allclose(second, differences, rtol=1e-5, atol=1e-7 * scale)


@kinds
def test_curvature_far_from_the_mode_is_never_indefinite(growth: Any, modes: str) -> None:
    problem = awkward(ordered(examples(growth, modes)[0]))
    z = straight(somewhere(problem), growth)
    basis, far = basis_of(problem), np.zeros(len(z), bool)
    curve = curve_at(problem, basis, z)
    gram = curvature(problem, basis, curve, far)
    jacobian = np.stack(
        [(curve_at(problem, basis, z - e).residual - curve_at(problem, basis, z + e).residual) / 2e-6
         for e in 1e-6 * np.eye(z.shape[1])], axis=2,
    )  # fmt: skip
    np.testing.assert_allclose(gram, np.swapaxes(jacobian, 1, 2) @ jacobian, atol=1e-6 * np.abs(gram).max())
    values = np.linalg.eigvalsh(prior_of(problem, z, far)[1])
    assert (values > -1e-12 * values.max()).all()


@kinds
def test_refitted_features_are_the_ridge_on_the_trend(growth: Any, modes: str) -> None:
    problem = ordered(examples(growth, modes, n=3)[0])
    z = straight(somewhere(problem), growth)
    curve = curve_at(problem, basis_of(problem), z)
    variance = np.array([0.01, 0.1, 1.0])
    beta = refitted(problem, curve, z, variance)
    for i in range(3):
        factors = np.where(problem.multiplicative, curve.trend[i][:, None], 1.0) * problem.x[0]
        sure = problem.weight[i] / np.sqrt(variance[i])
        A = np.vstack([sure[:, None] * factors, np.diag(np.sqrt(problem.precision[2:]))])
        b = np.concatenate([sure * (problem.y[i] - curve.trend[i]), np.zeros(len(beta[i]))])
        np.testing.assert_allclose(beta[i], np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-9, atol=1e-11)


# The mode


def residuals(problem: Problem, mode: Mode) -> Float:
    """Largest slope of f (b,) by k, m, beta or, beyond what |delta| allows and in units of 1 / tau, by delta."""
    order = np.argsort(problem.multiplicative, kind="stable")
    theta = mode.theta.copy()
    theta[:, 2 : 2 + len(order)] = mode.theta[:, 2 + order]
    problem = ordered(problem)
    g, z = len(problem.precision), straight(theta, problem.growth)
    basis = basis_of(problem)
    slope = pull(problem, basis, curve_at(problem, basis, z)) / mode.variance[:, None]
    smooth = slope[:, :g] - prior_of(problem, z, np.ones(len(z), bool))[0]
    if problem.growth == "logistic":  # from k and c to k and m
        smooth[:, 0], smooth[:, 1] = smooth[:, 0] - theta[:, 1] * smooth[:, 1], -theta[:, 0] * smooth[:, 1]
    toll, d = slope[:, g:] * np.asarray(problem.tau)[:, None], z[:, g:]
    kinks = np.where(d != 0, np.abs(toll - np.sign(d)), np.maximum(np.abs(toll) - 1, 0))
    if problem.growth == "flat":
        kinks[:] = np.abs(d)
    return np.maximum(np.abs(smooth).max(axis=1), kinks.max(axis=1, initial=0.0))


@kinds
def test_mode_is_stationary_and_no_step_from_it_is_likelier(growth: Any, modes: str) -> None:
    problem, start = examples(growth, modes)
    mode = solve(problem, start)
    assert mode.converged.all()
    assert mode.proper.all()
    assert residuals(problem, mode).max() < 1e-7
    rng = np.random.default_rng(1)
    for i, theta in enumerate(mode.theta):
        best = cost(problem, i, theta, mode.variance[i])
        assert best == pytest.approx(mode.objective[i], rel=1e-11)
        for size in (1e-5, 1e-4, 1e-3):
            step = size * rng.normal(size=theta.shape)
            if growth == "flat":
                step[2 + problem.x.shape[2] :] = 0.0
            assert cost(problem, i, theta + step, mode.variance[i] * np.exp(size * rng.normal())) >= best - 1e-9


def scipy_best(problem: Problem, i: int, starts: list[Float]) -> float:
    """The lowest f that L-BFGS-B finds from several starts, on delta = up - down and log v, all smooth."""
    g, s = len(problem.precision), problem.changepoints.shape[1]

    def smooth(u: Float) -> float:
        theta = np.concatenate([u[:g], u[g : g + s] - u[g + s : g + 2 * s]])
        split = (
            np.abs(theta[g:]).sum() - u[g : g + 2 * s].sum()
        )  # the L1 term of the two parts, not of their difference
        f = cost(problem, i, theta, np.exp(u[-1])) - split / np.broadcast_to(problem.tau, len(problem.y))[i]
        return f if np.isfinite(f) else 1e10

    bounds = [(None, None)] * g + [(0, None)] * (2 * s) + [(-12, 4)]
    options = {"maxiter": 500, "maxfun": 100_000}
    return min(
        minimize(
            smooth, np.concatenate([u, np.zeros(2 * s), [-4.0]]), method="L-BFGS-B", bounds=bounds, options=options
        ).fun
        for u in starts
    )


@kinds
def test_scipy_finds_nothing_better_from_several_starts(growth: Any, modes: str) -> None:
    problem, start = examples(growth, modes, n=2, rows=80, changes=4)
    mode = solve(problem, start)
    rng = np.random.default_rng(3)
    g = len(problem.precision)
    for i in range(2):
        starts = [np.concatenate([start[i], np.zeros(g - 2)]), mode.theta[i, :g]]
        starts.append(starts[0] + 0.3 * rng.normal(size=g))
        best = scipy_best(problem, i, starts)
        assert best - 0.5 < mode.objective[i] <= best + 1e-6  # it stops early, but not far away


def test_additive_and_linear_it_is_the_convex_solver_s_mode() -> None:
    problem, start = examples("linear", "aaa")
    mode = solve(problem, start)
    design = np.concatenate([basis_of(problem)[:, :, :2], np.repeat(problem.x, len(start), axis=0),
                             basis_of(problem)[:, :, 2:]], axis=2) * problem.weight[:, :, None]  # fmt: skip
    y = problem.weight * problem.y
    exact = additive.solve(
        additive.Normal(
            gram=np.swapaxes(design, 1, 2) @ design,
            moment=(y[:, None] @ design)[:, 0],
            square=(y**2).sum(axis=1),
            rows=problem.rows,
            precision=np.tile(problem.precision, (len(start), 1)),
            centre=np.zeros((len(start), len(problem.precision))),
            tau=np.asarray(problem.tau),
        )
    )
    np.testing.assert_allclose(mode.theta, exact.theta, atol=1e-7)
    np.testing.assert_allclose(mode.variance, exact.variance, rtol=1e-8)


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS), noise=st.sampled_from([0.003, 0.05, 0.3]))
@settings(max_examples=25)
def test_any_series_reaches_a_mode(seed: int, kind: tuple[str, str], noise: float) -> None:
    problem, start = examples(*kind, n=4, rows=120, seed=seed, noise=noise)
    mode = solve(problem, start)
    assert mode.converged.all()
    assert residuals(problem, mode).max() < 1e-7


@pytest.mark.parametrize("modes", ["a", "m"])
def test_the_better_sign_of_a_logistic_rate_is_found(modes: str) -> None:
    # The prior of m is a wall at k = 0: a descent that begins on the wrong side ends at it.
    problem, start = examples("logistic", modes, n=40, rows=150, seed=4)
    ours = solve(problem, start).objective
    for sign in (-1.0, 1.0):
        for rate, middle in ((0.5, 0.5), (1.0, -0.5), (1.0, 1.5), (3.0, 0.5)):
            elsewhere = np.tile([sign * rate, middle], (len(start), 1))
            assert (ours <= solve(problem, elsewhere).objective + 1e-6).all()


def test_a_bent_valley_is_followed_to_its_end() -> None:
    # Slow waves over a short history can take over the trend's scale: factor and trend trade it along a narrow valley.
    problem, start = examples("linear", "m", n=12, rows=90, noise=0.002)
    slow = np.stack([f(2 * np.pi * j * problem.t[0] * 0.25) for j in range(1, 9) for f in (np.sin, np.cos)], axis=1)
    hard = replace(
        problem,
        x=slow[None],
        multiplicative=np.ones(16, bool),
        precision=np.concatenate([[0.04, 0.04], np.full(16, 0.01)]),
    )
    mode = solve(hard, start)
    assert mode.converged.all()
    assert mode.rounds.max() < 100


# Company, weights, order


@kinds
def test_company_changes_no_bit(growth: Any, modes: str) -> None:
    problem, start = examples(growth, modes, n=64)
    shift = np.linspace(0, 0.01, 64)[:, None]  # every series its own changepoints
    for whole in (problem, replace(problem, changepoints=problem.changepoints + shift)):
        together = solve(whole, start)
        for index in (np.array([5]), np.arange(30, 37), np.arange(64)[::-1]):
            apart = solve(whole.take(index), start[index])
            for name in ("theta", "variance", "objective", "converged", "proper", "rounds"):
                np.testing.assert_array_equal(getattr(apart, name), getattr(together, name)[index], err_msg=name)


@kinds
def test_spans_may_have_features_of_their_own(growth: Any, modes: str) -> None:
    problem, start = examples(growth, modes, n=3)
    same = replace(problem, x=np.repeat(problem.x, 3, axis=0))
    np.testing.assert_array_equal(solve(problem, start).theta, solve(same, start).theta)
    own = problem.x * np.array([1.0, 2.0, 0.5])[:, None, None]
    together = solve(replace(problem, x=own), start)
    for i in range(3):
        alone = solve(replace(problem.take(np.array([i])), x=own[[i]]), start[[i]])
        np.testing.assert_array_equal(alone.theta[0], together.theta[i])


@kinds
def test_rows_left_out_are_as_if_they_had_never_been(growth: Any, modes: str) -> None:
    problem, start = examples(growth, modes, n=3)
    mode = solve(problem, start)
    for i in range(3):
        kept = problem.weight[i] > 0
        few = Problem(
            y=problem.y[[i]][:, kept], weight=problem.weight[[i]][:, kept], t=problem.t[[i]][:, kept],
            changepoints=problem.changepoints[[i]], x=problem.x[:, kept], multiplicative=problem.multiplicative,
            precision=problem.precision, tau=0.05, growth=growth,
            cap=None if problem.cap is None else problem.cap[[i]][:, kept],
        )  # fmt: skip
        alone = solve(few, start[[i]])
        np.testing.assert_allclose(alone.theta[0], mode.theta[i], atol=1e-7)
        assert alone.objective[0] == pytest.approx(mode.objective[i], rel=1e-11)


def test_features_may_come_in_any_order() -> None:
    problem, start = examples("linear", "mam")
    mode = solve(problem, start)
    order = np.random.default_rng(0).permutation(6)
    moved = replace(
        problem,
        x=problem.x[:, :, order],
        multiplicative=problem.multiplicative[order],
        precision=np.concatenate([problem.precision[:2], problem.precision[2:][order]]),
    )
    np.testing.assert_allclose(solve(moved, start).theta[:, 2:8], mode.theta[:, 2 + order], atol=1e-8)


# What has no mode


@kinds
def test_hopeless_spans_are_flagged_and_harm_nobody(growth: Any, modes: str) -> None:
    problem, start = examples(growth, modes, n=8)
    healthy = solve(problem, start)
    y, weight, start = problem.y.copy(), problem.weight.copy(), start.copy()
    weight[0] = y[0] = 0.0  # nothing at all
    weight[1, 1:] = y[1, 1:] = 0.0  # one row
    weight[2, 2:] = y[2, 2:] = 0.0  # two rows
    y[3] = 0.5 * (weight[3] > 0)  # a constant
    y[4] = 0.0  # zero
    y[5, 3] = np.nan
    start[6] = np.nan
    mode = solve(replace(problem, y=y, weight=weight), start)
    # A saturating trend comes near a constant without ever being one.
    hopeless = [0, 1, 2, 5, 6] if growth == "logistic" else [0, 1, 2, 3, 4, 5, 6]
    assert not mode.converged[hopeless].any()
    assert not mode.proper[hopeless].any()
    assert np.isnan(mode.theta[[0, 5, 6]]).all()
    assert np.isfinite(mode.theta[[1, 2, 3, 4, 7]]).all()
    np.testing.assert_array_equal(mode.theta[7], healthy.theta[7])


def test_more_terms_than_rows_have_no_proper_mode() -> None:
    problem, start = examples("linear", "mmmmmm", n=4, rows=12, changes=8)
    problem = replace(problem, tau=np.full(4, 10.0))
    mode = solve(problem, start)
    assert not mode.proper.any()
    assert mode.rounds.max() < 60


def test_a_faint_signal_on_a_high_level_is_no_perfect_fit() -> None:
    problem, _ = examples("linear", "m", n=4)
    faint = replace(problem, y=(problem.weight > 0) * (1 + 1e-7 * problem.y))
    mode = solve(faint, begin(faint))
    assert mode.proper.all()
    assert (mode.variance < 1e-13).all()


def test_values_beyond_the_capacity_are_fitted_as_well_as_it_lets_them() -> None:
    problem, _ = examples("logistic", "a")
    assert problem.cap is not None
    low = replace(problem, cap=0.5 * problem.cap)
    mode = solve(low, begin(low))
    assert mode.converged.all()
    assert residuals(low, mode).max() < 1e-7


def test_a_logistic_start_without_a_rate_is_no_obstacle() -> None:
    problem, start = examples("logistic", "a")
    start[:, 0] = 0.0
    mode = solve(problem, start)
    assert mode.converged.all()


def test_no_changepoints_no_features_no_series() -> None:
    problem, start = examples("linear", "m")
    bare = replace(problem, changepoints=problem.changepoints[:, :0])
    mode = solve(bare, start)
    assert mode.theta.shape == (8, 4)
    assert mode.converged.all()
    none = np.empty(0, bool)
    plain = solve(replace(bare, x=problem.x[:, :, :0], multiplicative=none, precision=np.array([0.04, 0.04])), start)
    assert plain.converged.all()
    empty = solve(problem.take(np.empty(0, np.int64)), start[:0])
    assert empty.theta.shape == (0, 2 + 2 + 12)
