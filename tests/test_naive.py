"""Baselines against formulas written out, pandas and statsmodels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from builders import lagged_series, table
from hypothesis import given
from hypothesis import strategies as st

import tsforecast
from tsforecast import AR, Climatology, Drift, Naive, Panel, SeasonalNaive, WindowMean
from tsforecast.errors import ConfigError, FitError

Z80 = 1.2815515655446004


def gapped(seed: int = 1, rows: int = 61, share: float = 0.2) -> np.ndarray:
    y = lagged_series(4, rows, seed=seed, level=20.0)
    y[np.random.default_rng(seed).random(y.shape) < share] = np.nan
    return y


def band(model: Any, data: Any, h: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and half-widths of 80 % intervals (n, h)."""
    got = model.fit(data).predict(h, levels=(80,))
    point, low, high = (got[f"{model.name}{part}"].to_numpy().reshape(-1, h) for part in ("", "-lo-80", "-hi-80"))
    np.testing.assert_allclose(point - low, high - point)
    return point, high - point


def test_naive_repeats_the_last_value_and_widens_as_a_random_walk() -> None:
    y = gapped()
    point, half = band(Naive(), table(y), 5)
    frame = pd.DataFrame(y.T)
    np.testing.assert_array_equal(point, np.repeat(frame.ffill().iloc[-1].to_numpy()[:, None], 5, axis=1))
    sd = np.sqrt(frame.diff().pow(2).mean().to_numpy())
    np.testing.assert_allclose(half, Z80 * sd[:, None] * np.sqrt(np.arange(1, 6)), rtol=1e-9)


@given(season=st.integers(1, 9), rows=st.integers(3, 40), h=st.integers(1, 20), seed=st.integers(0, 99))
def test_seasonal_naive_takes_the_newest_value_of_the_same_place(season: int, rows: int, h: int, seed: int) -> None:
    y = gapped(seed, rows, 0.3)[0]
    if np.isnan(y).all():
        return
    got = SeasonalNaive(season).fit(table(y)).predict(h)["SeasonalNaive"].to_numpy()
    for step in range(1, h + 1):
        same = [t for t in range(rows) if (t - (rows - 1 + step)) % season == 0 and np.isfinite(y[t])]
        if same:  # a place never seen borrows from its neighbours
            assert got[step - 1] == y[same[-1]]
    assert np.isin(got, y).all()


def test_seasonal_naive_widens_by_whole_seasons() -> None:
    y = lagged_series(2, 70, seed=2)
    _, half = band(SeasonalNaive(7), table(y), 15)
    sd = np.sqrt(((y[:, 7:] - y[:, :-7]) ** 2).mean(axis=1))
    np.testing.assert_allclose(half, Z80 * sd[:, None] * np.sqrt(np.repeat([1, 2, 3], 7)[:15]), rtol=1e-9)


@pytest.mark.parametrize(("freq", "season"), [("D", 7), ("MS", 12), ("QS-JAN", 4), ("h", 24)])
def test_the_season_is_that_of_the_frequency(freq: str, season: int) -> None:
    y = np.arange(60.0)
    got = SeasonalNaive().fit(table(y, freq=freq)).predict(season)
    assert got["SeasonalNaive"].tolist() == y[-season:].tolist()


def test_drift_goes_on_from_first_to_last() -> None:
    y = lagged_series(3, 50, seed=3, level=5.0)
    point, half = band(Drift(), table(y), 8)
    steps = np.arange(1, 9)
    slope = (y[:, -1] - y[:, 0]) / 49
    np.testing.assert_allclose(point, y[:, -1:] + slope[:, None] * steps, rtol=1e-12)
    sd = np.sqrt(((np.diff(y, axis=1) - slope[:, None]) ** 2).sum(axis=1) / 48)
    # Hyndman & Athanasopoulos (2021), table 5.2: sigma sqrt(h (1 + h / (T - 1))).
    np.testing.assert_allclose(half, Z80 * sd[:, None] * np.sqrt(steps * (1 + steps / 49)), rtol=1e-9)


def test_drift_counts_rows_without_a_value() -> None:
    y = np.r_[np.nan, np.arange(10.0), np.nan, np.nan]
    assert Drift().fit(table(y)).predict(2)["Drift"].tolist() == [12.0, 13.0]
    assert Drift().fit(Panel.from_arrays([[4.0]])).predict(2)["Drift"].tolist() == [4.0, 4.0]


def test_window_mean_leaves_out_what_is_missing() -> None:
    y = gapped(4)
    for window in (5, 30, 500):
        point, half = band(WindowMean(window), table(y), 3)
        last = pd.DataFrame(y[:, -window:].T)
        np.testing.assert_allclose(point[:, 2], last.mean(), rtol=1e-12)
        want = Z80 * last.std() * np.sqrt(1 + 1 / last.count())
        np.testing.assert_allclose(half[:, 2], want, rtol=1e-9)


@pytest.mark.parametrize("trend", [True, False])
@pytest.mark.parametrize("kind", ["means", "harmonics"])
def test_climatology_is_least_squares_on_its_columns(kind: Any, trend: bool) -> None:
    rows, h, season = 150, 25, 12
    y = lagged_series(3, rows, seed=5) + 0.05 * np.arange(rows) + np.sin(np.arange(rows) * np.pi / 6)
    y[0, 40:60] = np.nan
    y += np.array([0.0, 1e6, -3.0])[:, None]
    point, half = band(Climatology(season, kind=kind, harmonics=2, trend=trend), table(y, freq="MS"), h)
    t = np.arange(rows + h)
    if kind == "means":
        columns = list(np.eye(season)[t % season].T)
    else:
        angles = [2 * np.pi * k * t / season for k in (1, 2)]
        columns = [np.ones(len(t)), *(f(a) for a in angles for f in (np.sin, np.cos))]
    x = np.column_stack([*columns, *([t] if trend else [])])
    for i in range(3):
        seen = np.isfinite(y[i])
        fit = sm.OLS(y[i, seen] - y[i, 100], x[:rows][seen]).fit()
        np.testing.assert_allclose(point[i], fit.predict(x[rows:]) + y[i, 100], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(half[i], Z80 * np.sqrt(fit.scale), rtol=1e-4)


def test_climatology_needs_three_seasons_for_a_trend_and_one_for_harmonics() -> None:
    line = np.arange(35.0)
    flat = Climatology(12).fit(table(line)).predict(12)["Climatology"]
    np.testing.assert_allclose(flat, [line[(35 + k) % 12 :: 12].mean() for k in range(12)], rtol=1e-5)
    rising = Climatology(12).fit(table(np.arange(36.0))).predict(12)["Climatology"]
    np.testing.assert_allclose(rising, np.arange(36.0, 48.0), rtol=1e-5)
    short = Climatology(365, kind="harmonics").fit(table(line)).predict(3)["Climatology"]
    np.testing.assert_allclose(short, line.mean(), rtol=1e-5)


BASELINES = [Naive(), SeasonalNaive(7), Drift(), WindowMean(9), WindowMean(), Climatology(7), Climatology(30.5)]


@pytest.mark.parametrize("model", BASELINES, ids=repr)
def test_dates_of_other_series_and_order_change_no_bit(model: Any) -> None:
    mine, other = table(gapped(6)), table(lagged_series(1, 200, seed=7), ["zz"], start="2021-11-08")
    alone = model.fit(mine).predict(9, levels=(80,))
    mixed = pd.concat([other, mine]).sample(frac=1, random_state=0)
    together = model.fit(mixed).predict(9, levels=(80,)).query("unique_id != 'zz'").reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, check_exact=True)


@pytest.mark.parametrize("model", [*BASELINES, AR(2)], ids=repr)
def test_excluded_rows_count_as_missing(model: Any) -> None:
    y = lagged_series(2, 60, seed=8)
    hidden = y.copy()
    hidden[:, 55:] = np.nan
    y[:, 55:] = 1e3
    mask = pd.DataFrame({"from": ["2022-02-25"], "to": ["2022-03-01"]})
    got = model.fit(Panel.from_table(table(y), mask=mask)).predict(3, levels=(80,))
    pd.testing.assert_frame_equal(got, model.fit(table(hidden)).predict(3, levels=(80,)), check_exact=True)


@pytest.mark.parametrize("model", BASELINES, ids=repr)
def test_saved_baselines_come_back(model: Any, tmp_path: Path) -> None:
    data = table(gapped(9))
    want = model.fit(data).predict(5, levels=(80,))
    model.save(tmp_path / "model.tsf")
    got = tsforecast.load(tmp_path / "model.tsf").predict(5, levels=(80,))
    pd.testing.assert_frame_equal(got, want, check_exact=True)


@pytest.mark.parametrize("model", BASELINES, ids=repr)
def test_a_series_without_values_is_an_error_that_names_it(model: Any) -> None:
    y = lagged_series(2, 30, seed=10)
    y[1] = np.nan
    with pytest.raises((FitError, tsforecast.DataError), match="s001"):
        model.fit(table(y)).predict(2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (SeasonalNaive(0), "season"),
        (WindowMean(0), "window"),
        (Climatology(0.5), "season"),
        (Climatology(kind="splines"), "kind"),  # type: ignore[arg-type]
        (Climatology(harmonics=0), "harmonics"),
        (Naive(known=("x",)), "no columns"),
    ],
    ids=repr,
)
def test_wrong_parameters_are_named(wrong: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        wrong.fit(table(lagged_series(rows=30)))
