"""Recursive AR forecasts, intervals, stability and paths against statsmodels, numpy and simulation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lag_table, lagged_series, table
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.arima_process import arma2ma, arma_impulse_response

import tsforecast
from tsforecast import AR, Panel
from tsforecast.errors import ConfigError, FutureError
from tsforecast.models.ar.dynamics import filled, impulse, recursion, stabilised, stable
from tsforecast.paths import draw


def plain(lags: Any, **more: Any) -> AR:
    return AR(lags, ridge=0, transform=None, **more)


def drawn(model: AR, h: int, n_paths: int) -> np.ndarray:
    """Sample paths (n, h, p) as an array."""
    return draw(model, model.panel_, h, np.empty((len(model.panel_), h, 0)), n_paths)


@pytest.mark.parametrize("lags", [1, 14, [1, 2, 7], [7], 0])
def test_forecasts_equal_those_of_autoreg(lags: Any) -> None:
    y = lagged_series(5, 120, (0.5, 0.3), seed=1, level=20.0)
    got = plain(lags).fit(table(y)).predict(30)
    for i, row in enumerate(y):
        want = AutoReg(row, lags).fit().forecast(30)
        np.testing.assert_allclose(got["AR"][30 * i : 30 * i + 30], want, rtol=1e-9)


def test_known_columns_enter_the_recursion_step_by_step() -> None:
    y, x = lagged_series(2, 200, seed=2)
    y = y + 3 * x
    model = plain([1, 2], known=("x",)).fit(table(y[:150], x=x[:150]))
    future = pd.DataFrame({"unique_id": "s000", "ds": pd.date_range("2022-05-31", periods=20), "x": x[150:170]})
    want = AutoReg(y[:150], [1, 2], exog=x[:150]).fit().forecast(20, exog=x[150:170])
    np.testing.assert_allclose(model.predict(20, future=future)["AR"], want, rtol=1e-9)
    shuffled = future.assign(more=1.0).sample(frac=1, random_state=0)[["more", "x", "ds", "unique_id"]]
    pd.testing.assert_frame_equal(model.predict(20, future=shuffled), model.predict(20, future=future))
    pd.testing.assert_frame_equal(model.predict(15, future=future), model.predict(20, future=future).head(15))
    with pytest.raises(FutureError, match="lacks 1 rows"):
        model.predict(20, future=future[:19])
    with pytest.raises(FutureError, match="future=table"):
        model.predict(20)


@pytest.mark.parametrize(
    ("word", "forward", "back"),
    [
        ("log", np.log, lambda f, y: np.exp(f)),
        ("diff", np.diff, lambda f, y: y[-1] + np.cumsum(f)),
        ("log-diff", lambda y: np.diff(np.log(y)), lambda f, y: np.exp(np.log(y[-1]) + np.cumsum(f))),
        ("seasonal-diff", lambda y: y[7:] - y[:-7], lambda f, y: f[:7] + y[-7:]),
    ],
)
def test_transformed_forecasts_are_those_of_the_transformed_series(word: str, forward: Any, back: Any) -> None:
    y = np.exp(lagged_series(1, 150, (0.8,), seed=3, sd=0.2)[0] + 2)
    want = back(np.asarray(AutoReg(forward(y), 3).fit().forecast(7)), y)
    got = AR(3, ridge=0, transform=word, stabilise=False).fit(table(y)).predict(7)["AR"]
    np.testing.assert_allclose(got, want, rtol=1e-8)


@given(phi=st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=5))
def test_impulse_response_is_that_of_arma(phi: list[float]) -> None:
    got = impulse(np.array([phi]), 25)[0]
    polynomial = np.r_[1.0, -np.array(phi)]
    np.testing.assert_allclose(got, arma2ma(polynomial, [1.0], 25), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got, arma_impulse_response(polynomial, [1.0], 25), rtol=1e-9, atol=1e-12)


def test_intervals_are_normal_with_psi_weights() -> None:
    y = lagged_series(3, 150, (0.6, 0.2), seed=4)
    got = plain(2).fit(table(y)).predict(12, levels=(80, 95))
    for i, row in enumerate(y):
        fit = AutoReg(row, 2).fit()
        x, target = lag_table(row, [1, 2])
        left = target - x @ fit.params
        sigma = np.sqrt(left @ left / (len(target) - 3))
        sd = sigma * np.sqrt(np.cumsum(arma2ma(np.r_[1, -fit.params[1:]], [1.0], 12) ** 2))
        mine = got[12 * i : 12 * i + 12]
        for level, z in ((80, 1.2815515655446004), (95, 1.959963984540054)):
            np.testing.assert_allclose(mine[f"AR-hi-{level}"] - mine["AR"], z * sd, rtol=1e-7)
            np.testing.assert_allclose(mine["AR"] - mine[f"AR-lo-{level}"], z * sd, rtol=1e-7)


def test_log_intervals_are_exponentials_and_the_mean_is_that_of_paths() -> None:
    y = np.exp(lagged_series(1, 300, (0.5,), seed=5, sd=0.3)[0] + 1)
    logs = plain(1).fit(table(np.log(y))).predict(6, levels=(90,))
    median = AR(1, ridge=0, transform="log").fit(table(y))
    got = median.predict(6, levels=(90,))
    for column in ("AR", "AR-lo-90", "AR-hi-90"):
        np.testing.assert_allclose(got[column], np.exp(logs[column]), rtol=1e-8)
    mean = AR(1, ridge=0, transform="log", transform_point="mean").fit(table(y)).predict(6)["AR"].to_numpy()
    paths = drawn(median, 6, 20_000)[0]
    np.testing.assert_allclose(paths.mean(axis=1), mean, rtol=0.02)
    np.testing.assert_allclose(np.median(paths, axis=1), got["AR"], rtol=0.02)
    assert (mean > got["AR"]).all()


def test_paths_have_the_moments_of_the_closed_form() -> None:
    y = lagged_series(2, 200, (0.7,), seed=6)
    model = plain(1).fit(table(y))
    h, p = 8, 20_000
    paths = drawn(model, h, p)
    band = model.predict(h, levels=(80,))
    sd = ((band["AR-hi-80"] - band["AR"]) / 1.2815515655446004).to_numpy().reshape(2, h)
    np.testing.assert_allclose(paths.mean(axis=2), band["AR"].to_numpy().reshape(2, h), atol=0.05)
    np.testing.assert_allclose(paths.std(axis=2), sd, rtol=0.03)
    phi = model.coefficients()["estimate"].to_numpy()[1::2]
    for i in range(2):
        # cov(e[1], e[h]) = phi^(h - 1) sigma^2: what joint paths are for.
        got = np.cov(paths[i, 0], paths[i, 3])[0, 1]
        assert got == pytest.approx(phi[i] ** 3 * sd[i, 0] ** 2, abs=0.05)
    np.testing.assert_array_equal(drawn(model, h, p), paths)
    few = model.simulate(5, h=h)
    assert few.columns[2:].tolist() == [f"AR-path-{i}" for i in range(1, 6)]
    np.testing.assert_array_equal(few.iloc[:, 2:].to_numpy().reshape(2, h, 5), drawn(model, h, 5))


def test_weekly_totals_sum_the_points_and_their_intervals_know_the_dependence() -> None:
    y = lagged_series(2, 199, (0.8,), seed=7, level=50.0)  # ends on Monday 2022-07-18
    model = plain(1).fit(table(y))
    days = model.predict(20)
    totals = model.predict(20, levels=(80,), aggregate="W")
    want = days.groupby(["unique_id", days["ds"].dt.to_period("W").dt.start_time])["AR"].agg(["size", "sum"])
    np.testing.assert_allclose(totals["AR"], want["sum"], rtol=1e-12)
    assert totals["rows"].tolist() == want["size"].tolist()
    assert totals["ds"].tolist() == [when for _, when in want.index]
    phi, sigma = model.coefficients()["estimate"][1], model.statistics()["sigma"][0]
    # Sum of days 7..13: variance from the moving-average weights of the summed shocks.
    psi = phi ** np.arange(20)
    weights = [sum(psi[t - s] for t in range(6, 13) if t >= s) for s in range(13)]
    sd = sigma * np.sqrt(np.sum(np.square(weights)))
    whole = totals.iloc[1]
    assert whole["AR-hi-80"] - whole["AR-lo-80"] == pytest.approx(2 * 1.28155 * sd, rel=0.08)


def test_totals_of_integer_steps_are_refused() -> None:
    model = plain(1).fit(table(lagged_series(rows=50), start=0))
    with pytest.raises(ConfigError, match="calendar"):
        model.predict(3, aggregate="W")


polynomials = st.lists(st.floats(-1.2, 1.2), min_size=1, max_size=8)


@given(phi=polynomials)
def test_stability_is_that_of_the_roots(phi: list[float]) -> None:
    radius = np.abs(np.roots(np.r_[1.0, -np.array(phi)])).max(initial=0.0)
    if abs(radius - 1) > 1e-6:
        assert stable(np.array([phi]))[0] == (radius < 1)


@given(phi=polynomials)
def test_stabilised_roots_lie_within_and_keep_their_angles(phi: list[float]) -> None:
    before = np.array([phi])
    after, changed = stabilised(before)
    roots = np.roots(np.r_[1.0, -after[0]])
    assert np.abs(roots).max(initial=0.0) < 1 + 1e-6
    was = np.roots(np.r_[1.0, -before[0]])
    if changed[0] and np.abs(was).max() > 1 + 1e-6:
        # Every root is moved by one factor: the largest then lies on the circle.
        assert np.abs(roots).max() == pytest.approx(1.0, abs=1e-4)
        index = np.arange(1, len(phi) + 1)
        seen = np.abs(before[0]) > 1e-3
        shrink = (after[0][seen] / before[0][seen]) ** (1 / index[seen])
        np.testing.assert_allclose(shrink, shrink[:1].repeat(len(shrink)), rtol=1e-6)
    elif not changed[0]:
        np.testing.assert_array_equal(after, before)


def test_explosive_fits_are_found_and_calmed() -> None:
    steps = np.random.default_rng(8).normal(0.3, 1.0, size=(300, 60))
    y = np.cumsum(steps, axis=1)
    wild = plain(14, on_error="skip").fit(table(y))
    terms = wild.coefficients().pivot(index="unique_id", columns="term", values="estimate")
    phi = terms[[f"y.L{lag}" for lag in range(1, 15)]].to_numpy()
    explosive = np.array([np.abs(np.roots(np.r_[1, -row])).max() > 1 for row in phi])
    assert explosive.mean() > 0.05
    np.testing.assert_array_equal(stable(phi), ~explosive)
    assert not wild.diagnostics_["stabilised"].any()
    calm = plain(14, stabilise=True).fit(table(y))
    np.testing.assert_array_equal(calm.diagnostics_["stabilised"], explosive)
    far = calm.predict(500)["AR"].to_numpy().reshape(300, 500)
    spans = np.ptp(y, axis=1)
    assert (np.abs(far - y.mean(axis=1, keepdims=True)).max(axis=1) < 25 * spans).all()
    left = far[~explosive], wild.predict(28)["AR"].to_numpy().reshape(300, 28)[~explosive]
    np.testing.assert_array_equal(left[0][:, :28], left[1])


def test_missing_rows_in_the_window_are_filled_by_the_equation_itself() -> None:
    y = lagged_series(1, 100, (0.5, 0.2), seed=9, level=7.0)[0]
    gap = y.copy()
    gap[[96, 97]] = np.nan
    model = plain(3).fit(table(gap))
    const, *phi = model.coefficients()["estimate"]
    track = gap.copy()
    for t in (96, 97):
        track[t] = const + sum(p * track[t - lag] for lag, p in enumerate(phi, 1))
    for t in range(100, 104):
        track = np.append(track, const + sum(p * track[t - lag] for lag, p in enumerate(phi, 1)))
    np.testing.assert_allclose(model.predict(4)["AR"], track[100:], rtol=1e-9)


def test_a_gap_at_the_end_is_forecast_over_and_the_origin_stays() -> None:
    y = lagged_series(1, 60, (0.9,), seed=10, level=3.0)[0]
    short, gap = y[:57], y.copy()
    gap[57:] = np.nan
    want = plain(1).fit(table(short)).predict(5)
    got = plain(1).fit(table(gap)).predict(2)
    np.testing.assert_allclose(got["AR"], want["AR"][3:], rtol=1e-9)
    assert got["ds"].tolist() == want["ds"][3:].tolist()


def test_filling_starts_from_the_nearest_value_where_nothing_precedes() -> None:
    window = np.array([[np.nan, np.nan, 2.0, np.nan, 5.0]])
    got = filled(np.array([[0.5, 0.0]]), np.array([1.0]), window)
    np.testing.assert_allclose(got, [[2.0, 2.0, 2.0, 2.0, 5.0]])


def test_recursion_adds_its_drive_at_each_step() -> None:
    phi, window, drive = np.array([[0.5, -0.2]]), np.array([[1.0, 2.0]]), np.array([[1.0, 0.0, -1.0]])
    track = [1.0, 2.0]
    for step in range(3):
        track.append(0.3 + 0.5 * track[-1] - 0.2 * track[-2] + drive[0, step])
    np.testing.assert_allclose(recursion(phi, np.array([0.3]), window, 3, drive), [track[2:]])


def test_fitted_values_are_those_of_autoreg() -> None:
    y = lagged_series(3, 80, seed=11)
    got = plain([1, 7]).fit(table(y)).fitted()
    for i, row in enumerate(y):
        mine = got[80 * i : 80 * i + 80]
        fit = AutoReg(row, [1, 7]).fit()
        np.testing.assert_allclose(mine["AR"][7:], fit.fittedvalues, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(mine["residual"][7:], fit.resid, rtol=1e-8, atol=1e-10)
        np.testing.assert_array_equal(mine["y"], row)


def test_components_add_up_to_the_forecast() -> None:
    y, x = lagged_series(2, 120, seed=12)
    y = y + 2 * x
    for word in (None, "diff"):
        model = AR([1, 2], ridge=0, transform=word, known=("x",), calendar="weekday").fit(table(y[:100], x=x[:100]))
        future = pd.DataFrame({"unique_id": "s000", "ds": pd.date_range("2022-04-11", periods=9), "x": x[100:109]})
        parts = model.components(9, future=future)
        np.testing.assert_allclose(parts["sum"], model.predict(9, future=future)["AR"], rtol=1e-9)
        np.testing.assert_allclose(parts.iloc[:, 2:-1].sum(axis=1), parts["sum"], rtol=1e-9)
        beta = model.coefficients().set_index("term")["estimate"]["x"]
        moved = x[100:109] if word is None else np.diff(x[99:109])
        np.testing.assert_allclose(parts["x"], beta * moved, rtol=1e-9)


def fresh_process(path: Path, h: int) -> bytes:
    code = (
        "import sys, tsforecast; m = tsforecast.load(sys.argv[1]);"
        "sys.stdout.buffer.write(m.predict(int(sys.argv[2]), levels=(80,)).iloc[:, 2:].to_numpy(float).tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(path), str(h)], capture_output=True, check=True
    )
    return done.stdout


def test_a_saved_model_gives_the_same_bytes_in_a_fresh_process(tmp_path: Path) -> None:
    y = np.exp(lagged_series(3, 300, (0.8,), seed=13, sd=0.1))
    y[1, 297] = np.nan
    model = AR(5, transform="log-diff").fit(table(y))
    model.save(tmp_path / "ar.tsf")
    assert fresh_process(tmp_path / "ar.tsf", 9) == model.predict(9, levels=(80,)).iloc[:, 2:].to_numpy(float).tobytes()


def test_a_saved_model_keeps_masks_units_and_custom_days(tmp_path: Path) -> None:
    days = pd.offsets.CustomBusinessDay(holidays=["2022-06-06", "2022-10-10", "2022-10-12"])
    y = lagged_series(1, 200, seed=14)[0]
    y[196:199] = 400.0
    data = table(y, freq=days)
    data["ds"] = data["ds"].astype("datetime64[ns]")
    gone = pd.DataFrame({"from": [data["ds"][196]], "to": [data["ds"][198]]})
    model = plain(3).fit(Panel.from_table(data, freq=days, mask=gone))
    model.save(tmp_path / "ar.tsf")
    pd.testing.assert_frame_equal(tsforecast.load(tmp_path / "ar.tsf").predict(5), model.predict(5), check_exact=True)
    assert model.predict(1)["AR"][0] < 10


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lags": None}, "lags"), ({"lags": 2.5}, "lags"), ({"lags": [1, 1]}, "distinct"), ({"lags": [0]}, "distinct"),
    ({"lags": -1}, "lags"), ({"lags": "all"}, "lags"), ({"ridge": None}, "ridge"), ({"ridge": -1.0}, "ridge"),
    ({"ridge": np.nan}, "ridge"), ({"ridge": "gcv"}, "ridge"), ({"season": 0}, "season"), ({"season": "x"}, "season"),
    ({"season": 2.5}, "season"), ({"stabilise": "yes"}, "stabilise"), ({"transform": "sqrt"}, "transform"),
    ({"transform": "seasonal-diff", "season": 1}, "season"), ({"strategy": "both"}, "strategy"),
    ({"scope": "store"}, "static column"), ({"scope": "global", "strategy": "direct"}, "scope"),
    ({"transform_point": "mode"}, "transform_point"), ({"strategy": "recursive", "past": ("x",)}, "direct"),
    ({"known": "x"}, r'\("x",\)'), ({"known": ("z",)}, "no column 'z'"), ({"past": ("x",), "known": ("x",)}, "both"),
    ({"on_error": "ignore"}, "on_error"), ({"intervals": "yes"}, "intervals"), ({"lower": "0"}, "lower"),
    ({"lower": 3, "upper": 1}, "above"), ({"fallback": "Naive"}, "fallback"), ({"calendar": 3}, "calendar"),
    ({"fallback": AR(1, known=("x",))}, "fallback"), ({"calendar": ("lunar",)}, "lunar"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "says"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_parameter_is_named(wrong: dict[str, Any], says: str) -> None:
    y, x = lagged_series(2, 60, seed=15)
    with pytest.raises(ConfigError, match=says):
        AR(**wrong).fit(table(y, x=x), h=2)


def test_a_series_not_seen_for_long_is_forecast_from_its_mean() -> None:
    rng = np.random.default_rng(0)
    seen = 10 + rng.normal(size=200)
    panel = Panel.from_arrays([np.append(seen, np.full(100, np.nan))], freq="D", start="2020-01-01")
    got = AR(2, ridge=0, transform=None).fit(panel, h=3).predict(3).AR
    const, *phi = AutoReg(seen, 2).fit().params
    np.testing.assert_allclose(got, const / (1 - sum(phi)), atol=0.02)
    last = AR(0, ridge=0, transform="diff").fit(panel, h=3).predict(3).AR
    np.testing.assert_allclose(last, seen[-1] + np.diff(seen).mean() * np.arange(1, 4), atol=0.02)


def test_logs_of_values_that_have_none_are_refused() -> None:
    y = np.exp(np.random.default_rng(2).normal(size=60))
    panel = Panel.from_arrays([y, np.where(np.arange(60) == 30, 0.0, y)], ids=["fine", "zero"])
    with pytest.raises(ConfigError, match="above 0; series zero"):
        AR(2, transform="log").fit(panel)
    table = AR(2, transform="log", on_error="fallback").fit(panel).predict(1)
    assert table["status"].tolist() == ["ok", "fallback"]


def test_lags_longer_than_every_series_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="reach 5000 rows back, the longest series has 60"):
        AR(5000).fit(Panel.from_arrays([np.arange(60.0)]))


def test_asking_for_intervals_does_not_decide_on_a_forecast() -> None:
    panel = Panel.from_arrays([np.array([3.0, 5.0]), np.random.default_rng(1).normal(size=50)])
    model = AR(on_error="fallback").fit(panel)
    bare, wide = model.predict(2), model.predict(2, levels=[80])
    pd.testing.assert_frame_equal(bare[["AR", "status"]], wide[["AR", "status"]])
    half = wide["AR-hi-80"] - wide["AR"]
    # Two rows tell no residual: the interval of the last value's rule, whose steps have the size 2.
    np.testing.assert_allclose(half[:2], 1.2815515655446004 * 2 * np.sqrt([1, 2]))
