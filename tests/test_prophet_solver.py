"""The exact solvers behind Prophet's model: normal equations, lasso and mode equal what dense rows say."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from tsforecast import Panel, Prophet, Regressor, Seasonality
from tsforecast.calendars.harmonics import fourier
from tsforecast.models.prophet import additive, nonlinear, spans
from tsforecast.models.prophet.additive import Normal, variance_of
from tsforecast.models.prophet.lasso import minimise, solved
from tsforecast.models.prophet.moments import BLOCK, Changes, Columns, Target, gram, moment
from tsforecast.models.prophet.posterior import Problem
from tsforecast.models.prophet.settings import Settings
from tsforecast.models.prophet.spans import normal_equations
from tsforecast.panel import Float, Int

# The lasso


def cost(H: Float, c: Float, penalty: float, d: Float) -> float:
    return float(0.5 * d @ H @ d - c @ d + penalty * np.abs(d).sum())


def best_of_all_signs(H: Float, c: Float, penalty: float) -> float:
    """The lowest cost over all patterns of signs, each solved on its own and kept if it has these signs."""
    best = 0.0
    for signs in product((-1, 0, 1), repeat=len(c)):
        on = np.flatnonzero(signs)
        if not len(on):
            continue
        s = np.array(signs)[on]
        d = np.zeros(len(c))
        d[on] = np.linalg.lstsq(H[np.ix_(on, on)], c[on] - penalty * s, rcond=1e-12)[0]
        if (d[on] * s >= -1e-12).all():
            best = min(best, cost(H, c, penalty, d))
    return best


def gram_of(rng: np.random.Generator, size: int, kind: str) -> tuple[Float, Float]:
    """H (s, s) and c (s,) of a regression on hinges, on noise, on doubled columns or on none."""
    rows = rng.normal(size=(40, size))
    t = np.linspace(0, 1, 40)
    if kind != "noise":
        rows = np.maximum(t[:, None] - np.sort(rng.uniform(0, 0.95, size)), 0)
    if kind == "doubled" and size > 1:
        rows[:, -1] = rows[:, 0]
    if kind == "empty":
        rows[:, rng.integers(size)] = 0.0
    y = rng.normal(size=40) + 3 * np.sin(4 * t)
    return rows.T @ rows, rows.T @ y


@given(
    st.integers(1, 5),
    st.sampled_from(["hinges", "noise", "doubled", "empty"]),
    st.floats(-3, 1.5),
    st.integers(0, 10**6),
)
def test_lasso_is_as_good_as_the_best_of_all_sign_patterns(size: int, kind: str, power: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    H, c = gram_of(rng, size, kind)
    penalty = 10.0**power
    begin = rng.integers(-1, 2, size=(1, size)).astype(np.int8)
    d, signs = minimise(H[None], c[None], np.array([penalty]), begin)
    want = best_of_all_signs(H, c, penalty)
    assert cost(H, c, penalty, d[0]) <= want + 1e-9 * (1 + abs(want))
    np.testing.assert_array_equal(np.sign(d[0]) * (signs[0] != 0), np.sign(d[0]))
    assert (d[0] * signs[0] >= 0).all()


@pytest.mark.parametrize("kind", ["hinges", "noise", "doubled", "empty"])
def test_lasso_of_25_meets_its_optimality_conditions_from_any_beginning(kind: str) -> None:
    rng = np.random.default_rng(4)
    problems = [gram_of(rng, 25, kind) for _ in range(60)]
    H, c = (np.stack(part) for part in zip(*problems, strict=True))
    penalty = 10.0 ** rng.uniform(-3, 1, size=60)
    cold = minimise(H, c, penalty, np.zeros((60, 25), np.int8))[0]
    for begin in (np.zeros((60, 25)), np.ones((60, 25)), rng.integers(-1, 2, size=(60, 25))):
        d, _ = minimise(H, c, penalty, begin.astype(np.int8))
        down = (c - (H @ d[..., None])[..., 0]) / penalty[:, None]
        slack = 1e-9 * np.abs(c).max() / penalty[:, None]
        assert (np.where(d != 0, np.abs(down - np.sign(d)), np.abs(down) - 1) <= slack).all()
        for i in range(60):
            assert abs(cost(H[i], c[i], penalty[i], d[i]) - cost(H[i], c[i], penalty[i], cold[i])) < 1e-9


def test_lasso_of_nothing_is_nothing() -> None:
    d, signs = minimise(np.empty((3, 0, 0)), np.empty((3, 0)), np.ones(3), np.empty((3, 0), np.int8))
    assert d.shape == signs.shape == (3, 0)
    d, _ = minimise(np.eye(2)[None] * 2.0, np.array([[3.0, 0.5]]), np.array([1.0]), np.zeros((1, 2), np.int8))
    np.testing.assert_allclose(d, [[1.0, 0.0]], rtol=1e-14)


def test_a_lasso_does_not_feel_its_company() -> None:
    rng = np.random.default_rng(9)
    H, c = (np.stack(part) for part in zip(*[gram_of(rng, 12, "hinges") for _ in range(30)], strict=True))
    penalty, begin = 10.0 ** rng.uniform(-3, 1, size=30), np.zeros((30, 12), np.int8)
    whole = minimise(H, c, penalty, begin)[0]
    for i in range(30):
        one = slice(i, i + 1)
        np.testing.assert_array_equal(minimise(H[one], c[one], penalty[one], begin[one])[0][0], whole[i])


# The additive mode


class Rows:
    """A regression on dense rows with g Gaussian columns, then hinges, and its posterior."""

    def __init__(self, rng: np.random.Generator, rows: int, g: int = 8, s: int = 10, tau: float = 0.05) -> None:
        t = np.linspace(0, 1, rows)
        waves = fourier(np.datetime64("2021-01-01", "D") + np.arange(rows), 30.5, (g - 1) // 2)[:, : g - 2]
        hinges = np.maximum(t[:, None] - np.linspace(0.05, 0.8, s), 0)
        self.X = np.column_stack([t, np.ones(rows), waves, hinges])
        self.y = (
            0.7 + 0.4 * t - np.maximum(t - 0.3, 0) + 0.1 * waves[:, 0] + rng.uniform(0.01, 0.1) * rng.normal(size=rows)
        )
        self.precision = np.concatenate([[1 / 25, 1 / 25], np.full(g - 2, 10.0 ** rng.uniform(-2, 2))])
        self.centre = np.concatenate([[0.0, rng.normal()], np.zeros(g - 2)])
        self.g, self.tau = g, tau

    @property
    def normal(self) -> Normal:
        return Normal(
            gram=(self.X.T @ self.X)[None],
            moment=(self.X.T @ self.y)[None],
            square=np.array([self.y @ self.y]),
            rows=np.array([float(len(self.y))]),
            precision=self.precision[None],
            centre=self.centre[None],
            tau=np.array([self.tau]),
        )

    def f(self, theta: Float, log_sigma: float) -> float:
        """Minus the logarithm of the posterior density."""
        s, g = np.exp(log_sigma), self.g
        square = ((self.y - self.X @ theta) ** 2).sum()
        prior = (self.precision * (theta[:g] - self.centre) ** 2).sum() / 2 + np.abs(theta[g:]).sum() / self.tau
        return float(len(self.y) * log_sigma + square / (2 * s * s) + 2 * s * s + prior)

    def residuals(self, theta: Float, v: float) -> tuple[float, float, float]:
        """Slopes of f by the Gaussian coefficients, by the hinges in units of 1 / tau, by log s a row."""
        r = self.y - self.X @ theta
        pull, g = self.X.T @ r / v, self.g
        gaussian = np.abs(pull[:g] - self.precision * (theta[:g] - self.centre)).max()
        delta, toll = theta[g:], pull[g:] * self.tau
        laplace = np.where(delta != 0, np.abs(toll - np.sign(delta)), np.maximum(np.abs(toll) - 1, 0)).max(initial=0)
        rows = len(self.y)
        return float(gaussian), float(laplace), float(abs(rows - r @ r / v + 4 * v) / rows)

    def by_scipy(self) -> float:
        """The lowest f that a general optimiser finds, hinges split in their positive and negative parts."""
        g, p = self.g, self.X.shape[1]
        s = p - g

        def value(z: Float) -> tuple[float, Float]:
            theta = np.concatenate([z[:g], z[g:p] - z[p : p + s]])
            sd, r = np.exp(z[-1]), self.y - self.X @ theta
            own = theta[:g] - self.centre
            out = len(r) * z[-1] + r @ r / (2 * sd**2) + 2 * sd**2 + (self.precision * own**2).sum() / 2
            out += z[g : p + s].sum() / self.tau
            slope = -self.X.T @ r / sd**2
            slope[:g] += self.precision * own
            bend = np.concatenate([slope[g:], -slope[g:]]) + 1 / self.tau
            return out, np.concatenate([slope[:g], bend, [len(r) - r @ r / sd**2 + 4 * sd**2]])

        begin = np.concatenate([np.zeros(p + s), [0.0]])
        limits = [(None, None)] * g + [(0, None)] * (2 * s) + [(None, None)]
        options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 40}
        return float(minimize(value, begin, jac=True, method="L-BFGS-B", bounds=limits, options=options).fun)


@given(
    st.integers(30, 400), st.sampled_from([3, 8]), st.sampled_from([0, 1, 10, 25]),
    st.sampled_from([0.001, 0.05, 10.0]), st.integers(0, 10**6),
)  # fmt: skip
def test_additive_mode_meets_its_optimality_conditions(rows: int, g: int, s: int, tau: float, seed: int) -> None:
    problem = Rows(np.random.default_rng(seed), rows, g, s, tau)
    found = additive.solve(problem.normal)
    if rows > 2 * (g + s):
        assert found.proper[0]
    if found.proper[0]:
        gaussian, laplace, noise = problem.residuals(found.theta[0], float(found.variance[0]))
        assert gaussian <= 1e-7
        assert laplace <= 1e-7
        assert noise <= 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_no_general_optimiser_finds_a_lower_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = Rows(rng, int(rng.integers(60, 300)), 8, int(rng.integers(0, 25)), float(10 ** rng.uniform(-3, 1)))
    found = additive.solve(problem.normal)
    ours = problem.f(found.theta[0], 0.5 * float(np.log(found.variance[0])))
    theirs = problem.by_scipy()
    assert ours <= theirs + 1e-8
    assert theirs - ours < 5.0, "both should be near one mode"


def test_rows_that_columns_can_follow_exactly_have_no_proper_mode() -> None:
    rng = np.random.default_rng(5)
    for rows in (3, 8, 12, 60, 200):
        problem = Rows(rng, rows, 6, 10, tau=10.0)
        problem.y = problem.X @ rng.normal(size=16)
        found = additive.solve(problem.normal)
        assert not found.proper[0]
        np.testing.assert_allclose(problem.X @ found.theta[0], problem.y, rtol=0, atol=1e-5)


def test_fewer_rows_than_columns_stop_nobody() -> None:
    rng = np.random.default_rng(11)
    parts = [Rows(rng, int(rng.integers(2, 60)), int(rng.choice([3, 12, 22])), 25, tau=10.0) for _ in range(150)]
    for i, part in enumerate(parts):
        part.y = np.round(part.y, i % 4) * 10.0 ** (i % 7 - 3)
        part.centre[:] = 0.0
    found = [additive.solve(part.normal) for part in parts]
    assert 20 < sum(bool(one.proper[0]) for one in found) < 130
    for part, one in zip(parts, found, strict=True):
        assert np.isfinite(one.theta).all()
        if one.proper[0]:
            size = len(part.y) / float(one.variance[0])
            gaussian, laplace, _ = part.residuals(one.theta[0], float(one.variance[0]))
            slack = 1e-12 * size * np.abs(part.y).max()
            assert gaussian <= 1e-7 + slack
            assert laplace <= 1e-7 + slack * part.tau


def test_a_system_without_a_solution_stops_nobody() -> None:
    rng = np.random.default_rng(1)
    A, right = rng.normal(size=(5, 3, 3)), rng.normal(size=(5, 3, 2))
    A[2] = np.outer([1.0, 2, 4], [1.0, 2, 4])  # one pivot is exactly 0
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.solve(A, right)
    whole = [0, 1, 3, 4]
    np.testing.assert_array_equal(solved(A, right)[whole], np.linalg.solve(A[whole], right[whole]))
    assert np.isfinite(solved(A, right)).all()


def test_many_modes_at_once_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(2)
    parts = [Rows(rng, int(rng.integers(10, 300))).normal for _ in range(40)]
    whole = Normal(*(np.concatenate([getattr(part, name) for part in parts]) for name in Normal.__slots__))
    together = additive.solve(whole)
    for i, part in enumerate(parts):
        alone = additive.solve(part)
        np.testing.assert_array_equal(alone.theta[0], together.theta[i])
        assert alone.variance[0] == together.variance[i]
        assert alone.proper[0] == together.proper[i]


def test_the_variance_is_where_its_own_density_is_highest() -> None:
    rng = np.random.default_rng(0)
    for rows, square in zip(rng.integers(1, 500, 50), 10.0 ** rng.uniform(-8, 4, 50), strict=True):
        v = float(variance_of(np.array(square), np.array(float(rows))))
        at = lambda x, n=rows, q=square: n * x / 2 + q / (2 * np.exp(x)) + 2 * np.exp(x)  # noqa: E731
        assert at(np.log(v)) <= min(at(np.log(v) - 1e-4), at(np.log(v) + 1e-4))


@pytest.mark.parametrize("growth", ["linear", "flat"])
def test_both_solvers_find_one_mode_where_both_apply(growth: Any) -> None:
    rng = np.random.default_rng(3)
    rows, k, s = 200, 6, 0 if growth == "flat" else 12
    problem = Rows(rng, rows, 2 + k, 12)
    t, x, hinges = problem.X[:, 0], problem.X[:, 2 : 2 + k], problem.X[:, 2 + k :]
    weight = (rng.random(rows) > 0.2).astype(float)
    design = np.column_stack([t * (growth != "flat"), np.ones(rows), x, hinges[:, :s]]) * weight[:, None]
    y = problem.y * weight
    normal = Normal(
        gram=(design.T @ design)[None], moment=(design.T @ y)[None], square=np.array([y @ y]),
        rows=np.array([weight.sum()]), precision=problem.precision[None], centre=np.zeros((1, 2 + k)),
        tau=np.array([problem.tau]),
    )  # fmt: skip
    general = Problem(
        y=y[None], weight=weight[None], t=t[None], changepoints=np.linspace(0.05, 0.8, 12)[None, :s], x=x[None],
        multiplicative=np.zeros(k, bool), precision=problem.precision, tau=problem.tau, growth=growth,
    )  # fmt: skip
    exact, other = additive.solve(normal), nonlinear.solve(general, np.array([[0.0, 0.5]]))
    assert other.converged.all()
    np.testing.assert_allclose(other.variance, exact.variance, rtol=1e-9)
    np.testing.assert_allclose(other.theta, exact.theta, rtol=0, atol=1e-7)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("growth", ["linear", "flat"])
def test_rows_of_any_weight_have_one_mode_by_both_solvers(
    weights: bool, growth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Prophet(growth, yearly_seasonality=False, n_changepoints=7, regressors=(Regressor("price"),))
    panel = ragged(weights, "fill").take(slice(0, 5))
    exact = model.copy().fit(panel).state_["fit"]["spans"]
    monkeypatch.setattr(Settings, "is_additive", False)
    other = model.copy().fit(panel).state_["fit"]["spans"]
    assert exact["proper"].all()
    assert not exact["thinned"].any()
    for name in ("k", "m", "sigma", "beta", "delta"):
        np.testing.assert_allclose(other[name], exact[name], rtol=0, atol=1e-9)


# Normal equations


def hinged(t: Float, places: Float) -> Float:
    return np.maximum(t[:, None] - places, 0)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 5), st.integers(0, 4), st.integers(0, 10**6))
def test_running_sums_give_the_products_of_dense_rows(blocks: int, s: int, k: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    length, sources = blocks * BLOCK, int(rng.integers(1, s + 1))
    tau = np.cumsum(rng.choice([0.25, 1.0, 3.0], size=(sources, length)), axis=1)
    tau -= tau[:, :1]
    weight = rng.choice([0.0, 1.0, 1.0, 0.3], size=(sources, length))
    columns, y = rng.normal(size=(sources, length, k)), rng.normal(size=(s, length))
    source = rng.integers(0, sources, size=s)
    number = int(rng.integers(1, 6))
    series = rng.integers(0, s, size=number)
    last = rng.integers(1, length, size=number)
    own = source[series]
    unit = tau[own, last]
    at = rng.uniform(0, 1, size=(number, c)) * unit[:, None]
    row = (tau[own][:, None, :] <= at[..., None]).sum(axis=2) - 1
    sums, changes = Columns.of(tau, weight, columns), Changes(at, row, unit)
    G = gram(sums, own, last, changes)
    b = moment(sums, Target.of(y, sums, source), own, series, last, changes)
    for i in range(number):
        rows = slice(0, last[i] + 1)
        t = tau[own[i], rows] / unit[i]
        X = np.column_stack([t, np.ones_like(t), columns[own[i], rows], hinged(t, at[i] / unit[i])])
        w = weight[own[i], rows]
        size = len(t)
        np.testing.assert_allclose(G[i], (X * w[:, None]).T @ X, rtol=1e-11, atol=1e-12 * size)
        np.testing.assert_allclose(b[i], X.T @ (w * y[series[i], rows]), rtol=1e-11, atol=1e-12 * size)


def ragged(weights: bool, gaps: str) -> Panel:
    """Six series that begin and end apart, two of them whole, with a regressor and weights."""
    rng = np.random.default_rng(11)
    parts = []
    for i, (first, rows) in enumerate([(0, 300), (0, 260), (40, 200), (7, 90), (100, 77), (20, 5)]):
        ds = pd.date_range("2022-01-03", periods=400)[first : first + rows]
        y = 50 + rng.normal(size=rows) + 10 * i
        price = 100 + rng.normal(size=rows)
        if i > 1:
            y[rng.random(rows) < 0.2] = np.nan
        part = pd.DataFrame({"unique_id": f"s{i}", "ds": ds, "y": y, "price": price, "w": rng.uniform(0.2, 3, rows)})
        if gaps == "ignore":
            part = part[rng.random(rows) < 0.8]
        parts.append(part)
    table = pd.concat(parts)
    if not weights:
        table = table.drop(columns="w")
    policies = {"TSF-Y-TAIL": "keep"}
    return Panel.from_table(table, weights="w" if weights else None, freq="D", gaps=gaps, policies=policies)  # type: ignore[arg-type]


def by_hand(panel: Panel, i: int, model: Prophet) -> tuple[Float, Float, float] | None:
    """X'WX, X'Wy and y'Wy of span i as Prophet's paper has them, y less its first value; None without two rows."""
    rows = np.arange(panel.start[i], panel.stop[i])
    rows = rows[np.isfinite(panel.y[rows])]
    if len(rows) < 2:
        return None
    days = panel.grid[panel.position(rows, np.full(len(rows), i))].astype("datetime64[D]")
    t = (days - days[0]) / (days[-1] - days[0])
    y = (panel.y[rows] - panel.y[rows[0]]) / np.abs(panel.y[rows]).max()
    w = np.ones(len(rows)) if panel.weights is None else panel.weights[rows]
    parts = [t[:, None], np.ones((len(t), 1)), fourier(days, 30.5, 2)]
    if model.regressors:
        price = panel.column("price")[rows]
        parts.append(((price - price.mean()) / (price.std(ddof=1) if len(set(price)) > 1 else 1.0))[:, None])
    if model.changepoints is not None:
        places = (np.sort(np.array(model.changepoints, "datetime64[D]")) - days[0]) / (days[-1] - days[0])
    else:
        reach = int(np.floor(len(rows) * model.changepoint_range))
        count = min(model.n_changepoints, reach - 1)
        index = np.linspace(0, reach - 1, count + 1).round().astype(int)[1:] if count > 0 else np.array([0])
        places = np.concatenate([t[index], np.ones(model.n_changepoints - len(index))])
    X = np.column_stack([*parts, hinged(t, np.clip(places, 0, None))])
    return (X * w[:, None]).T @ X, X.T @ (w * y), float(w @ y**2)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("gaps", ["fill", "ignore"])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("places", [None, ["2022-03-20", "2022-02-15"]])
def test_normal_equations_of_ragged_series_at_several_cutoffs(
    weights: bool, gaps: str, columns: bool, places: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[int, tuple[Float, Float, Float, int]] = {}

    def noted(settings: Any, unit: Any, span: Any) -> tuple[Float, Int, Float, Float]:
        G, design, b, square = normal_equations(settings, unit, span)
        for j, i in enumerate(unit.spans):
            made[int(i)] = G[design[j]], b[j], square[j], unit.tau.shape[1]
        return G, design, b, square

    monkeypatch.setattr(spans, "normal_equations", noted)
    whole = ragged(weights, gaps)
    regressors = (Regressor("price"),) if columns else ()
    month = Seasonality("month", 30.5, 2)
    plain: dict[str, Any] = {"weekly_seasonality": False, "yearly_seasonality": False, "n_changepoints": 7}
    model = Prophet(**plain, seasonalities=(month,), regressors=regressors, changepoints=places)
    cutoffs = np.minimum(np.array([[130], [131], [200], [399]]), whole.last)
    panel = model.design(whole)
    model.learn_windows(panel, cutoffs, 1, False)
    seen, many = 0, panel.cut(cutoffs)
    for i in range(len(many)):
        want = by_hand(many, i, model)
        if want is None:
            continue
        for got, told in zip(made[i][:3], want, strict=True):
            np.testing.assert_allclose(got, told, rtol=1e-11, atol=1e-12 * made[i][3])
        seen += 1
    assert seen >= 17
