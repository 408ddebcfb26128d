"""What Prophet's model says of its own parts: components that add up, intervals as wide as they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from tsforecast import Panel, Prophet, Regressor, Seasonality, load
from tsforecast.errors import ConfigError

pytest.importorskip("prophet")
from prophet_twin import EPSILON, Case, Twin

PROMO, PRICE = Regressor("promo"), Regressor("price")


def series(rows: int = 300, seed: int = 0, start: str = "2023-01-02", share: float = 0.0) -> pd.DataFrame:
    """A trend with a bend, a weekly wave, a promotion of 3 (or that share of the trend), a price of -0.02, noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    table = pd.DataFrame({"ds": pd.date_range(start, periods=rows)})
    table["promo"] = (rng.random(rows) < 0.3) * 1.0
    table["price"] = 900 + 30 * rng.normal(size=rows)
    trend = 30 + 4 * t / rows - 12 * np.maximum(t / rows - 0.4, 0)
    wave = 2 * np.sin(2 * np.pi * t / 7)
    rest = wave + 3 * table["promo"] - 0.02 * (table["price"] - 900)
    table["y"] = trend * (1 + share * rest) if share else trend + rest
    table["y"] += rng.normal(size=rows)
    table["cap"], table["floor"] = 60 + 5 * t / rows, 10.0 + np.sin(t / 50)
    table["open"] = (t % 14 < 7) * 1.0
    return table


def panel_of(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([part.assign(unique_id=name) for name, part in parts.items()], ignore_index=True)


def ragged() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three series that begin and end apart, one with missing rows; their last 12 rows are those to come."""
    parts = {"a": series(312), "b": series(162, 1, "2023-03-11"), "c": series(212, 2, "2023-02-02")}
    parts["c"].loc[[5, 6, 40, 41, 42, 150], "y"] = np.nan
    return panel_of({k: v[:-12] for k, v in parts.items()}), panel_of({k: v[-12:] for k, v in parts.items()})


MODES: dict[str, Callable[[], Prophet]] = {
    "additive": lambda: Prophet(regressors=(PROMO, PRICE), holidays="KR"),
    "flat": lambda: Prophet("flat", regressors=(PROMO,)),
    "multiplicative": lambda: Prophet(seasonality_mode="multiplicative", regressors=(PROMO,), holidays="US"),
    "mixed": lambda: Prophet(holidays="KR", holidays_mode="multiplicative", regressors=(PROMO,)),
    "minmax": lambda: Prophet(scaling="minmax", seasonality_mode="multiplicative"),
    "logistic": lambda: Prophet("logistic", regressors=(PROMO,)),
    "logistic multiplicative": lambda: Prophet("logistic", seasonality_mode="multiplicative", n_changepoints=5),
    "conditional": lambda: Prophet(seasonalities=(Seasonality("open days", 7, 2, condition_name="open"),)),
}


# Components


@pytest.mark.parametrize("mode", MODES)
def test_components_add_up_to_the_forecast(mode: str) -> None:
    history, ahead = ragged()
    model = MODES[mode]().fit(history)
    told = model.predict(12, future=ahead)
    parts = model.components(12, future=ahead)
    keys = ["unique_id", "ds"]
    pd.testing.assert_frame_equal(parts[keys], told[keys])
    np.testing.assert_allclose(parts["Prophet"], told["Prophet"], rtol=1e-12)
    np.testing.assert_allclose(parts.drop(columns=[*keys, "Prophet"]).sum(axis=1), told["Prophet"], rtol=1e-12)
    both = model.components(12, future=ahead, history=True)
    assert list(both.columns) == list(parts.columns)
    rows = pd.concat([history, ahead])[keys].sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(both[keys], rows, check_dtype=False)
    pd.testing.assert_frame_equal(both.groupby("unique_id").tail(12).reset_index(drop=True), parts, check_exact=True)
    alone = model.components(history=True)
    pd.testing.assert_frame_equal(alone, both.groupby("unique_id").head(-12).reset_index(drop=True), check_exact=True)
    np.testing.assert_allclose(model.fitted()["Prophet"], alone["Prophet"], rtol=1e-12)


def test_bounds_cut_the_forecast_and_not_its_parts() -> None:
    history, ahead = ragged()
    free, held = (Prophet(regressors=(PROMO,), upper=bound).fit(history) for bound in (None, 29.0))
    pd.testing.assert_frame_equal(free.components(12, future=ahead), held.components(12, future=ahead))
    told = held.predict(12, future=ahead)["Prophet"]
    assert (told == 29.0).any()
    np.testing.assert_array_equal(told, np.minimum(free.predict(12, future=ahead)["Prophet"], 29.0))


def test_bands_of_components_hold_their_middle_and_grow_with_the_level() -> None:
    history, ahead = ragged()
    model = Prophet(regressors=(PROMO,), holidays="KR").fit(history)
    plain = model.components(12, future=ahead, history=True)
    table = model.components(12, future=ahead, history=True, levels=(80, 95))
    pd.testing.assert_frame_equal(table[plain.columns], plain, check_exact=True)
    for name in ("trend", "weekly", "promo"):
        low, high = table[f"{name}-lo-80"], table[f"{name}-hi-80"]
        np.testing.assert_allclose((low + high) / 2, table[name], rtol=1e-9, atol=1e-9)
        assert (table[f"{name}-lo-95"] <= low).all()
        assert (table[f"{name}-hi-95"] >= high).all()
        assert (high - low).max() > 0
    last = table.groupby("unique_id")[["trend-lo-80", "trend-hi-80"]].tail(12)
    width = (last["trend-hi-80"] - last["trend-lo-80"]).to_numpy().reshape(3, 12)
    assert (np.diff(width, axis=1) > 0).all(), "changes of the slope to come widen the trend"


# Changepoints and diagnostics


def test_changepoints_tell_where_the_trend_bends_and_by_how_much() -> None:
    history, _ = ragged()
    model = Prophet(n_changepoints=9, changepoint_prior_scale=5.0).fit(history)
    table = model.changepoints_
    trend = model.components(history=True)
    for name, own in table.groupby("unique_id"):
        one = history[history["unique_id"] == name]
        twin = Twin(Case(one[["ds", "y"]].reset_index(drop=True), one[["ds"]].tail(1), {"n_changepoints": 9}))
        assert list(own["ds"]) == list(twin.model.changepoints)
        line = trend.loc[trend["unique_id"] == name].set_index("ds")["trend"]
        slope = line.diff().shift(-1)  # from each day to the next
        bend = (slope - slope.shift(1)).reindex(own["ds"])
        np.testing.assert_allclose(own["change"], bend, rtol=0, atol=1e-9)
    assert (table["change"].abs() > 1e-3).any()


def test_diagnostics_count_rows_and_bends_and_measure_the_noise() -> None:
    history, _ = ragged()
    model = Prophet(regressors=(PROMO, PRICE)).fit(history)
    table = model.diagnostics_.set_index("unique_id")
    assert table["rows"].to_dict() == history.dropna().groupby("unique_id").size().to_dict()
    rest = model.fitted().set_index("unique_id")["residual"]
    sd = np.sqrt((rest**2).groupby(level=0).mean())
    np.testing.assert_allclose(table["sigma"], sd, rtol=2e-2)
    bends = model.changepoints_.groupby("unique_id")["change"].agg(lambda one: (one != 0).sum())
    assert table["bends"].to_dict() == bends.to_dict()
    assert table["proper"].all()


# Laplace's approximation


def curvature(twin: Twin) -> tuple[np.ndarray, np.ndarray]:
    """Active coordinates of [k, m, beta, delta] and f's second derivatives there, by differences of exact slopes."""
    theta = twin.theta
    active = np.flatnonzero(theta[:-1])
    H = np.empty((len(active), len(active)))
    for i, a in enumerate(active):
        step = 1e-4 * max(1.0, abs(theta[a]))
        for j, b in enumerate(active):
            slopes = []
            for sign in (-1, 1):
                moved = theta.astype(complex)
                moved[a] += sign * step
                moved[b] += 1j * EPSILON
                slopes.append(twin.value(moved).imag / EPSILON)
            H[i, j] = (slopes[1] - slopes[0]) / (2 * step)
    return active, (H + H.T) / 2


LAPLACE: dict[str, tuple[dict[str, Any], tuple[Regressor, ...], float]] = {
    "additive": ({"n_changepoints": 6}, (PROMO, PRICE), 1e-6),
    "bending": ({"n_changepoints": 4, "changepoint_prior_scale": 5.0}, (PROMO,), 1e-6),
    "flat minmax": ({"growth": "flat", "scaling": "minmax"}, (PROMO, PRICE), 1e-6),
    "multiplicative": ({"n_changepoints": 4, "seasonality_mode": "multiplicative"}, (PROMO, PRICE), 1e-5),
    "logistic": ({"growth": "logistic", "n_changepoints": 3}, (PROMO, PRICE), 1e-3),
}


@pytest.mark.parametrize("name", LAPLACE)
def test_intervals_of_effects_are_those_of_the_inverse_curvature(name: str) -> None:
    arguments, regressors, slack = LAPLACE[name]
    table = series(share=0.05 if name == "multiplicative" else 0.0)
    case = Case(table[:-12], table[-12:], arguments, regressors=regressors)
    model, twin = case.ours(), Twin(case)
    twin.take(model)
    active, H = curvature(twin)
    sd = np.zeros(len(twin.theta) - 1)
    sd[active] = np.sqrt(np.diag(np.linalg.inv(H)))
    spans = model.state_["fit"]["spans"]
    unit = np.ones(twin.data.K)
    if name != "multiplicative":
        unit *= spans["scale"][0]
    for j, one in enumerate(regressors):
        unit[twin.columns.index(one.name)] /= spans["std"][0][j]
    told = model.effects(levels=(95,)).set_index("term")
    width = (told["hi-95"] - told["lo-95"]) / 2 / ndtri(0.975)
    g = 2 + twin.data.K
    np.testing.assert_allclose(width[twin.columns], sd[2:g] * unit, rtol=slack)
    np.testing.assert_allclose(told.loc[twin.columns, "estimate"], twin.theta[2:g] * unit, rtol=1e-9, atol=1e-12)
    if arguments.get("growth") != "flat":
        bends = told[told["component"] == "trend"]
        a_day = spans["scale"][0] / spans["unit"][0]
        np.testing.assert_allclose(bends["estimate"], twin.theta[g:-1] * a_day, rtol=1e-9)
        free = twin.theta[g:-1] != 0
        np.testing.assert_allclose(width[bends.index][free], sd[g:][free] * a_day, rtol=slack)
        assert width[bends.index][~free].isna().all()
    assert {*told["mode"]} <= {"additive", "multiplicative"}


@pytest.mark.parametrize("name", ["additive", "bending"])
def test_bands_of_components_are_those_of_the_inverse_curvature(name: str) -> None:
    arguments, regressors, _ = LAPLACE[name]
    table = series()
    case = Case(table[:-12], table[-12:], arguments, regressors=regressors)
    model, twin = case.ours(), Twin(case)
    twin.take(model)
    active, H = curvature(twin)
    cov = np.zeros((len(twin.theta) - 1,) * 2)
    cov[np.ix_(active, active)] = np.linalg.inv(H)
    told = model.components(history=True, levels=(90,))
    t, x = np.asarray(twin.data.t), np.asarray(twin.data.X, dtype=float)
    hinges = np.maximum(t[:, None] - twin.data.t_change, 0)
    design = {"trend": np.column_stack([t, np.ones_like(t), 0 * x, hinges])}
    for component in ("weekly", "promo"):
        own = np.array([column.partition(":")[0] == component for column in twin.columns])
        design[component] = np.column_stack([0 * t, 0 * t, x * own, 0 * hinges])
    for component, rows in design.items():
        sd = np.sqrt(((rows @ cov) * rows).sum(axis=1)) * twin.model.y_scale
        width = (told[f"{component}-hi-90"] - told[f"{component}-lo-90"]) / 2
        np.testing.assert_allclose(width, ndtri(0.95) * sd, rtol=5e-3 if component == "trend" else 1e-5)


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_intervals_cover_the_truth_as_often_as_they_say(mode: Any) -> None:
    n, effect = 300, 3.0 if mode == "additive" else 0.1
    parts = {}
    for i in range(n):
        rng = np.random.default_rng([7, i])
        t = np.arange(150)
        promo = (rng.random(150) < 0.3) * 1.0
        trend = 30 + 0.05 * t
        y = trend * (1 + effect * promo) if mode == "multiplicative" else trend + effect * promo
        y = y + np.sin(2 * np.pi * t / 7) + 2 * rng.normal(size=150)
        parts[f"s{i}"] = pd.DataFrame({"ds": pd.date_range("2023-01-02", periods=150), "y": y, "promo": promo})
    model = Prophet(regressors=(Regressor("promo", mode=mode),), n_changepoints=5).fit(panel_of(parts))
    table = model.effects(levels=(80, 95))
    own = table[table["term"] == "promo"]
    assert len(own) == n
    for level in (80, 95):
        share = ((own[f"lo-{level}"] <= effect) & (effect <= own[f"hi-{level}"])).mean()
        assert abs(share - level / 100) < 3 * np.sqrt(level / 100 * (1 - level / 100) / n)
    assert abs(own["estimate"].mean() - effect) < 0.02 * effect


# Where there is little to say


@pytest.mark.filterwarnings("ignore::tsforecast.errors.FitWarning")
def test_odd_series_are_told_of_and_stop_nobody() -> None:
    parts = {
        "well": series(100)[["ds", "y"]],
        "constant": series(100)[["ds"]].assign(y=5.0),
        "line": series(100)[["ds"]].assign(y=2.0 * np.arange(100)),
        "two": series(2)[["ds", "y"]],
        "few": series(9)[["ds", "y"]],
        "nothing": series(100)[["ds"]].assign(y=np.nan),
        "one": series(1)[["ds", "y"]],
        "wave": series(100)[["ds"]].assign(y=np.sin(2 * np.pi * np.arange(100) / 7)),
    }
    for mode in ("additive", "multiplicative"):
        model = Prophet(seasonality_mode=mode, on_error="skip", holidays="KR")  # type: ignore[arg-type]
        model.fit(Panel.from_table(panel_of(parts), policies={"TSF-Y-TAIL": "keep"}))
        effects, bands = model.effects(), model.components(5, history=True, levels=(80,))
        well = Prophet(seasonality_mode=mode, holidays="KR").fit(panel_of({"well": parts["well"]}))  # type: ignore[arg-type]
        alone = well.effects()
        mine = effects[effects["unique_id"] == "well"].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone, rtol=1e-9)
        whole = well.components(5, history=True, levels=(80,))
        mine = bands[bands["unique_id"] == "well"].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine[whole.columns], whole, rtol=1e-9)
        assert set(model.diagnostics_["unique_id"]) == set(parts)


def test_intervals_need_the_rows_of_the_fit_and_outlive_newer_ones(tmp_path: Any) -> None:
    history, ahead = ragged()
    model = Prophet(regressors=(PROMO,)).fit(history)
    effects, bands = model.effects(), model.components(history=True, levels=(80,))
    model.save(tmp_path / "model.tsf")
    again = load(tmp_path / "model.tsf")
    pd.testing.assert_frame_equal(again.components(12, future=ahead), model.components(12, future=ahead))
    with pytest.raises(ConfigError, match="fit it again"):
        again.effects()
    model.update(ahead.groupby("unique_id").head(5))
    pd.testing.assert_frame_equal(model.effects(), effects, rtol=1e-12)
    wider = model.components(history=True, levels=(80,)).merge(bands[["unique_id", "ds"]])
    pd.testing.assert_frame_equal(wider, bands, rtol=1e-12)
