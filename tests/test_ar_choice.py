"""Which forms AR takes by itself: against a choice made by plain loops, and on series whose making is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from statsmodels.tsa.stattools import acf

from tsforecast import AR
from tsforecast.models.ar.choose import (
    KEPT,
    NEGLIGIBLE,
    ORIGINS,
    ROOT,
    SHARPNESS,
    Candidate,
    _held,
    _offers,
    _repeats,
    _validation,
    choose,
)
from tsforecast.models.ar.fit import fit_lags, moments
from tsforecast.models.ar.levels import equation, forecast_levels
from tsforecast.panel import Panel
from tsforecast.windows.plan import Transform, lag_sets, usual_horizon

SEED = 7


def panel(rows: Any, freq: str | int = 1) -> Panel:
    return Panel.from_arrays(list(rows), freq=freq)


def forecast(rows: Any, h: int, freq: str | int = 1, **parameters: Any) -> tuple[Any, Any]:
    """Forecasts (n, h) and the fitted state."""
    model, data = AR(**parameters), panel(rows, freq)
    state = model._fit(data, h, None)
    return model._predict(state, data, h, np.empty((len(data), h, 0)), ()).point, state


# A choice by loops: one series, one form at a time, least squares on an explicit lag table.


class Loop:
    """One form fitted to one series by `lstsq`: forecasts on levels, AICc."""

    def __init__(self, y: Any, form: Candidate, first: int) -> None:
        self.form = form
        g = np.log(y) if form.transform.log else y
        d = form.transform.diff
        z = g[d:] - g[:-d] if d else g
        rows = range(max(max(form.lags, default=0), first), len(z))
        x = np.array([[1.0, *(z[t - lag] for lag in form.lags)] for t in rows])
        target = z[list(rows)]
        self.beta = np.linalg.lstsq(x, target, rcond=None)[0]
        left, n, k = float(((target - x @ self.beta) ** 2).sum()), len(rows), len(form.lags) + 2
        self.root = 0.0 if d else ROOT / (2 * n)
        jacobian = 2 * np.log(y).mean() if form.transform.log else 0.0
        self.aicc = np.log(left / n) + jacobian + 2 * k / (n - k - 1) if n - k - 1 > 0 else np.inf

    def ahead(self, y: Any, h: int) -> Any:
        g = list(np.log(y) if self.form.transform.log else y)
        d = self.form.transform.diff
        for _ in range(h):
            z = [b - a for a, b in zip(g[:-d], g[d:], strict=True)] if d else g
            step = self.beta[0] + sum(b * z[-lag] for b, lag in zip(self.beta[1:], self.form.lags, strict=True))
            g.append(step + g[-d] if d else step)
        return np.exp(g[-h:]) if self.form.transform.log else np.array(g[-h:])


def held_out(y: Any, form: Candidate, h: int, fitted: Loop | None) -> float:
    """Mean absolute error from the last origins, refitted before the first of them unless `fitted` is given."""
    reach = min(h, max(len(y) // 5, 1))
    step = max(reach // 2, 1)
    held = min(reach + (ORIGINS - 1) * step, len(y) // 3)
    loop = fitted or Loop(y[: len(y) - held], form, 0)
    errors: list[float] = []
    for origin in range(ORIGINS):
        end = len(y) - held + origin * step
        if end < len(y):
            actual = y[end : end + reach]
            errors += list(np.abs(loop.ahead(y[:end], reach)[: len(actual)] - actual))
    return float(np.mean(errors))


def by_loops(y: Any, candidates: Sequence[Candidate], h: int) -> Any:
    """Weights (c,) of the candidates for one positive series."""
    offered = [c for c in candidates if 3 * max(c.lags, default=0) <= 2 * len(y)]
    union = {lag for c in offered for lag in c.lags}
    roomy = len(y) >= max(4 * max(union), 10 * len(union))

    def tried(log: bool, diff: int) -> dict[Candidate, float]:
        forms = [c for c in offered if c.transform == Transform(log, diff)]
        first = max(union) if roomy else 0
        loops = sorted((Loop(y, form, first) for form in forms), key=lambda loop: loop.aicc)[:KEPT]
        return {a.form: np.log(held_out(y, a.form, h, a if roomy else None)) + a.aicc / 2 + a.root for a in loops}

    logged, plain = tried(True, 1), tried(False, 1)
    log = min(logged.values()) < min(plain.values())
    scores = {**(logged if log else plain), **tried(log, 0)}
    best = min(scores.values())
    raw = np.array([np.exp(-SHARPNESS * (scores.get(c, np.inf) - best)) for c in candidates])
    raw[raw < NEGLIGIBLE] = 0.0
    return raw / raw.sum()


@pytest.mark.parametrize("length", [24, 31, 90])
def test_weights_are_those_of_a_choice_by_loops(length: int) -> None:
    rng = np.random.default_rng(SEED)
    steps = rng.normal(0.01, 0.05, size=(6, length))
    rows = [*np.exp(np.cumsum(steps[:3], axis=1)), *(9 + np.cumsum(steps[3:5], axis=1)), 5 + steps[5]]
    forms = [Transform(log, diff) for log in (False, True) for diff in (0, 1)]
    candidates = [Candidate(form, lags) for form in forms for lags in lag_sets((), length)]
    got = choose(panel(rows), candidates, 0.0, 6, False)
    wanted = np.stack([by_loops(row, candidates, 6) for row in rows])
    assert_allclose(got.weights, wanted, atol=1e-7)
    assert (got.weights > 0).sum(axis=1).max() > 1
    assert_allclose(got.leading, wanted.argmax(axis=1))


def test_mixed_equation_gives_the_weighted_mean_one_step_ahead() -> None:
    rng = np.random.default_rng(SEED)
    data = panel(20 + np.cumsum(rng.normal(size=(8, 60)), axis=1))
    candidates = [Candidate(Transform(False, diff), lags) for diff in (0, 1, 4) for lags in lag_sets((4,), 60)]
    got = choose(data, candidates, "auto", 4, True)
    wanted = np.zeros(8)
    for number, form in enumerate(candidates):
        # Sixty rows leave no room to spare: each form is fitted on all rows of its own.
        m = moments(data, form.transform, form.lags)
        fit = fit_lags(data, form.transform, m, form.lags, "auto")
        eq, _ = equation(form.transform, form.lags, fit, m.centre[:, 0], True)
        wanted += got.weights[:, number] * forecast_levels(eq, data, 1)[:, 0]
    assert (got.weights.max(axis=1) < 0.99).any()
    assert_allclose(forecast_levels(got.equation, data, 1)[:, 0], wanted, rtol=1e-9)


def test_drift_of_a_differenced_target_is_shrunk_by_its_own_uncertainty() -> None:
    rng = np.random.default_rng(SEED)
    y = np.cumsum(rng.normal(0.2, 1.0, size=(20, 80)), axis=1)
    data, form = panel(y), Transform(False, 1)
    m = moments(data, form, ())
    const = equation(form, (), fit_lags(data, form, m, (), 0.0), m.centre[:, 0], True)[0].const
    steps = np.diff(y, axis=1)
    square = steps.mean(axis=1) ** 2 / (steps.var(axis=1, ddof=1) / 79)
    assert_allclose(const, steps.mean(axis=1) * np.maximum(0, 1 - 1 / square), rtol=1e-10, atol=1e-12)
    assert (square < 1).any()
    assert (square > 4).any()


@pytest.mark.parametrize("season", [4, 12])
def test_season_is_confirmed_by_autocorrelations(season: int) -> None:
    rng = np.random.default_rng(SEED)
    time = np.arange(96)
    y = rng.normal(size=(200, 96)) + np.linspace(0, 1, 200)[:, None] * np.sin(2 * np.pi * time / season)
    y += rng.normal(size=(200, 1)) * time / 10
    line = np.array([row - np.polyval(np.polyfit(time, row, 1), time) for row in y])
    wanted = [
        max(acf(np.diff(row), nlags=season, fft=False)[-1], acf(rest, nlags=season, fft=False)[-1]) > 1.645 / 96**0.5
        for row, rest in zip(y, line, strict=True)
    ]
    assert (_repeats(y, season) == wanted).all()
    assert not _repeats(y[:40], season).mean() > 0.25
    assert _repeats(y[-40:], season).mean() > 0.8


def test_a_series_is_offered_what_its_rows_its_sign_and_its_season_allow() -> None:
    rng = np.random.default_rng(SEED)
    noise, waves = rng.normal(size=40), 3 * np.sin(2 * np.pi * np.arange(40) / 4)
    data = panel([9 + noise / 9, 9 + waves + noise / 9, waves + noise, (9 + waves)[:5], np.r_[9 + waves[1:], np.nan]])
    candidates = [
        Candidate(Transform(True, 0), ()), Candidate(Transform(False, 1), (1, 2, 3)),
        Candidate(Transform(False, 4), (), 4), Candidate(Transform(False, 0), (1, 4, 5), 4),
    ]  # fmt: skip
    wanted = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert_allclose(_offers(data, candidates), wanted)


@pytest.mark.parametrize("diff", [0, 1, 4])
def test_past_origins_see_what_known_columns_add(diff: int) -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(3, 80))
    z = np.zeros((3, 80))
    for t in range(2, 80):
        z[:, t] = 0.5 * z[:, t - 1] - 0.2 * z[:, t - 2] + 3 * x[:, t] - (3 * x[:, t - diff] if diff else 0)
    y = z.copy()
    for t in range(diff, 80 if diff else 0):
        y[:, t] += y[:, t - diff]
    data = panel(y).with_columns(x.reshape(-1, 1), ["x"], 0)
    form = Candidate(Transform(False, diff), (1, 2))
    m = moments(data, form.transform, form.lags)
    fit = fit_lags(data, form.transform, m, form.lags, 0.0)
    eq = equation(form.transform, form.lags, fit, m.centre[:, 0], False)[0]
    assert_allclose(_validation(data, form, fit, eq, 6, _held(data.lengths, 6)), 0.0, atol=1e-8)


def test_white_noise_is_forecast_near_its_mean() -> None:
    y = 50 + np.random.default_rng(SEED).normal(size=(100, 120))
    point, _ = forecast(y, 18, "MS")
    assert np.sqrt(((point - 50) ** 2).mean()) < 0.35


def test_random_walk_is_forecast_near_its_last_value() -> None:
    y = 500 + np.cumsum(np.random.default_rng(SEED).normal(size=(100, 120)), axis=1)

    def away(**parameters: Any) -> float:
        return float(np.sqrt(((forecast(y, 8, "QS", **parameters)[0] - y[:, -1:]) ** 2).mean()))

    assert away() < 0.75
    assert away() < 0.6 * away(lags=14, ridge=0, transform=None)


def test_strong_season_is_followed() -> None:
    rng = np.random.default_rng(SEED)
    time = np.arange(132)
    y = 100 + 20 * np.sin(2 * np.pi * time / 12) + 10 * (time % 12 == 3) + rng.normal(size=(60, 132))
    point, _ = forecast(y[:, :120], 12, "MS")
    assert np.abs(point - y[:, 120:]).mean() < 1.5


@pytest.mark.parametrize("length", [30, 120])
def test_logs_are_taken_of_growth_by_shares_and_not_of_growth_by_amounts(length: int) -> None:
    rng = np.random.default_rng(SEED)
    shares = np.exp(np.cumsum(rng.normal(0.1, 0.1, size=(80, length)), axis=1))
    amounts = 100 + np.cumsum(rng.normal(5, 5, size=(80, length)), axis=1)
    amounts += np.maximum(0, 20 - amounts.min(axis=1, keepdims=True))
    _, grown = forecast(shares, 6, "YS")
    _, added = forecast(amounts, 6, "YS")
    assert grown["log"].mean() > 0.85
    assert added["log"].mean() < 0.5
    assert not forecast(amounts - 60, 6, "YS")[1]["log"][(amounts <= 60).any(axis=1)].any()


@pytest.mark.parametrize("freq", ["YS", "QS", "MS", "D", "h"])
def test_odd_series_get_finite_sensible_forecasts(freq: str) -> None:
    rng = np.random.default_rng(SEED)
    holes = 10 + rng.normal(size=60)
    holes[[3, 4, 30, 58, 59]] = np.nan
    rows = [
        np.array([3.0]), np.array([3.0, 4.0]), np.array([3.0, 4.0, 2.0]), np.full(40, 7.0), np.zeros(40),
        np.r_[np.zeros(30), 5.0, np.zeros(9)], holes, rng.normal(size=50), np.arange(30.0), 1.3 ** np.arange(40.0),
        np.r_[np.full(20, np.nan), 1.0, 2.0], rng.poisson(0.3, size=80).astype(float),
    ]  # fmt: skip
    point, state = forecast(rows, 12, freq)
    assert np.isfinite(point).all()
    assert_allclose(point[:1], 3.0)
    assert_allclose(point[3], 7.0)
    assert_allclose(point[4], 0.0, atol=1e-12)
    for row, ahead in zip(rows[:9], point, strict=False):
        span = np.nanmax(row) - np.nanmin(row)
        assert ahead.min() >= np.nanmin(row) - 2 * span - 1e-9
        assert ahead.max() <= np.nanmax(row) + 2 * span + 1e-9
    assert not state["log"][[4, 5, 7, 8, 11]].any()


@pytest.mark.parametrize("freq", ["QS", "MS", "D"])
def test_company_changes_no_bit(freq: str) -> None:
    rng = np.random.default_rng(SEED)
    lengths = [1, 3, 9, 14, 20, 33, 47, 80, 125, 131, 200, 290, 400]
    rows = [30 + np.cumsum(rng.normal(size=length)) + 3 * np.sin(np.arange(length)) for length in lengths]
    rows[8][[5, 100]] = np.nan
    together = forecast(rows, 10, freq)[0]
    for number, row in enumerate(rows):
        assert np.array_equal(forecast([row], 10, freq)[0][0], together[number]), lengths[number]
    assert np.array_equal(forecast(rows[::-1], 10, freq)[0][::-1], together)


def test_known_columns_leave_one_form_and_enter_its_judgement() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(4, 100))
    y = 10 + 4 * x + 0.3 * rng.normal(size=(4, 100))
    data = panel(y).with_columns(x.reshape(-1, 1), ["x"], 0)
    candidates = [Candidate(Transform(False, diff), lags) for diff in (0, 1) for lags in ((), (1,), (1, 2, 3))]
    got = choose(data, candidates, "auto", 5, True)
    assert (got.weights.max(axis=1) == 1).all()
    # Given x the rest is white: a form on levels, though y moves by as much as x.
    assert all(candidates[number].transform.diff == 0 for number in got.leading)


@pytest.mark.parametrize(
    ("given", "wanted"), [((), 6), ((4,), 8), ((7,), 14), ((12,), 24), ((24, 168), 48), ((52,), 13)]
)
def test_usual_horizon(given: tuple[int, ...], wanted: int) -> None:
    assert usual_horizon(given) == wanted
