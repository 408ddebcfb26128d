"""GeoBlend against weights found by hand, and what its forecasts may neither know nor depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean

from tests.direct import simulated
from tests.stations import PAIR, places_of, weather, wide
from tsforecast.compose.geo import GeoBlend
from tsforecast.evaluation import backtest
from tsforecast.models.knn import KNN
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Panel
from tsforecast.rolling import rolled

H = 5
ROWS = 560
FIRST = [1, 2, 4]
ORIGINS, STEP = 46, 4
SPARSE: dict[str, Any] = {"windows": ORIGINS, "step": STEP}
"""Validation origins over 184 rows: 180 are what moves the prior of daily data."""


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    return weather(6, ROWS)


@pytest.fixture(scope="module")
def places(df: pd.DataFrame) -> pd.DataFrame:
    return places_of(df)


@pytest.fixture(scope="module")
def fitted(df: pd.DataFrame, places: pd.DataFrame) -> GeoBlend:
    return GeoBlend(PAIR, **SPARSE).fit(df, static=places, h=H)


def weights(model: GeoBlend) -> np.ndarray:
    """Weights (b, m)."""
    told = model.weights_
    return told["weight"].to_numpy().reshape(-1, told["member"].nunique())


# The weights.


def members_errors(panel: Panel) -> np.ndarray:
    """Errors (2, w, n, h) of the members, fitted once before the validation rows and rolled through them."""
    cutoffs = np.full(len(panel), ROWS - 1 - H) - STEP * np.arange(ORIGINS - 1, -1, -1)[:, None]
    return np.stack([
        rolled(member, panel, cutoffs, h=H, refit=False).errors for member in (KNN(), RegionalLinear("auto"))
    ])  # fmt: skip


@pytest.mark.parametrize("kappa", [0.0, 0.03, 1.0])
def test_weights_are_the_least_of_a_grid_and_of_the_closed_form(
    df: pd.DataFrame, places: pd.DataFrame, kappa: float
) -> None:
    panel = Panel.from_table(df, static=places)
    model = GeoBlend(PAIR, kappa=kappa, **SPARSE).fit(panel, h=H)
    errors = members_errors(panel)
    share = np.linspace(0, 1, 100_001)
    for band, (first, end) in enumerate(zip(FIRST, [*FIRST[1:], H + 1], strict=True)):
        e = errors[..., first - 1 : end - 1].reshape(2, -1)
        s = e @ e.T / e.shape[1]
        size = hmean(np.diag(s))
        loss = share**2 * s[0, 0] + 2 * share * (1 - share) * s[0, 1] + (1 - share) ** 2 * s[1, 1]
        best = share[np.argmin(loss + kappa * size * 2 * (share - 0.3) ** 2)]
        closed = (s[1, 1] - s[0, 1] + 0.6 * kappa * size) / (s[0, 0] + s[1, 1] - 2 * s[0, 1] + 2 * kappa * size)
        got = weights(model)[band]
        assert got[0] == pytest.approx(best, abs=2e-5)
        assert got[0] == pytest.approx(np.clip(closed, 0, 1), abs=1e-6)
        assert got.min() >= 0
        assert got.sum() == pytest.approx(1, abs=1e-12)
    assert not np.allclose(weights(model), [0.3, 0.7], atol=0.01)


def test_a_forecast_is_the_weighted_mean_of_its_members(df: pd.DataFrame, fitted: GeoBlend) -> None:
    parts = [wide(member.predict(H), name).to_numpy() for name, member in fitted.members_.items()]
    assert list(fitted.members_) == ["KNN", "RegionalLinear"]
    share = weights(fitted)[np.searchsorted(FIRST, np.arange(1, H + 1), side="right") - 1]
    want = share[:, :1] * parts[0] + share[:, 1:] * parts[1]
    np.testing.assert_allclose(wide(fitted.predict(H)), want, rtol=1e-12)


def test_members_are_refitted_on_all_rows(df: pd.DataFrame, places: pd.DataFrame, fitted: GeoBlend) -> None:
    for name, alone in (("KNN", KNN()), ("RegionalLinear", RegionalLinear())):
        want = alone.fit(df, static=places, h=H).predict(H)
        pd.testing.assert_frame_equal(fitted.members_[name].predict(H).drop(columns="status"), want)


def test_an_infinite_pull_is_the_prior_and_source_forecasts_the_same(df: pd.DataFrame, places: pd.DataFrame) -> None:
    held = GeoBlend(PAIR, kappa=np.inf, **SPARSE).fit(df, static=places, h=H)
    source = GeoBlend(PAIR, weights="source").fit(df, static=places, h=H)
    for model in (held, source):
        np.testing.assert_array_equal(weights(model), np.tile([0.3, 0.7], (len(weights(model)), 1)))
    pd.testing.assert_frame_equal(held.predict(H), source.predict(H))


@pytest.mark.parametrize("kappa", [0.0, 0.03])
def test_members_that_err_alike_share_the_prior(df: pd.DataFrame, places: pd.DataFrame, kappa: float) -> None:
    twins = (KNN(3, "neighbours"), KNN(3, "neighbours", alias="again"))
    model = GeoBlend(twins, prior=(0.3, 0.7), kappa=kappa, **SPARSE).fit(df, static=places, h=H)
    np.testing.assert_allclose(weights(model), [[0.3, 0.7]] * 3, atol=1e-9)


# What a forecast may not know.


def spoiled(panel: Panel, after: int) -> Panel:
    """The panel with other values in all rows behind the first `after` of each series."""
    y = panel.y.copy()
    late = np.concatenate([np.arange(a + after, b) for a, b in zip(panel.start, panel.stop, strict=True)])
    y[late] = 1e3 * np.random.default_rng(1).normal(size=len(late))
    return panel.replace(y=y)


def test_rows_after_the_last_one_seen_change_no_bit(df: pd.DataFrame, places: pd.DataFrame) -> None:
    panel = Panel.from_table(df, static=places)
    end = 558
    models = [
        GeoBlend(PAIR, **SPARSE).fit(one.upto(np.full(len(one), end - 1)), h=H) for one in (panel, spoiled(panel, end))
    ]
    assert models[0].weights_["mse"].notna().all()
    for table in ("weights_", "validation_"):
        pd.testing.assert_frame_equal(getattr(models[0], table), getattr(models[1], table))
    one, two = (model.predict(H, levels=[80]) for model in models)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.parametrize("refit", [False, True])
def test_rows_after_an_origin_change_no_bit_of_a_backtest(df: pd.DataFrame, places: pd.DataFrame, refit: bool) -> None:
    panel = Panel.from_table(df, static=places)
    model = GeoBlend((KNN(3, "neighbours"), "linear"), **SPARSE)
    # Origins after 525, 540 and 555 rows; what lies behind the second is changed.
    done = [
        backtest(model, one, h=H, windows=3, step=15, refit=refit, levels=[80]) for one in (panel, spoiled(panel, 540))
    ]
    for ends in ("point", "lower", "upper"):
        one, two = (getattr(bt.rolled[0], ends) for bt in done)
        np.testing.assert_array_equal(one[:2], two[:2])
        assert not np.array_equal(one[2], two[2])


def mse(model: GeoBlend, name: str) -> np.ndarray:
    """Mean squared validation errors (b,) of a member, or of the blend."""
    told = model.validation_
    return told.loc[told["model"] == name, "mse"].to_numpy()


def test_honest_errors_grow_with_the_horizon_and_a_leak_rings_the_alarm() -> None:
    panel = simulated(10, 720, seed=10, size=6.0)
    honest = GeoBlend(PAIR, **SPARSE).fit(panel, h=8)
    # Neighbours that show the weather of eight days later: each step is told as well as the first.
    y = panel.y.reshape(10, 720).copy()
    for j in range(1, 10):
        y[j] = np.append(panel.y[8:720], panel.y[:8]) + 0.1 * np.random.default_rng(j).normal(size=720)
    leaky = GeoBlend(PAIR, **SPARSE).fit(panel.replace(y=y.ravel()), h=8)
    for name in ("KNN", "RegionalLinear", "GeoBlend"):
        assert mse(honest, name)[-1] > 2 * mse(honest, name)[0]
    errors = [model.learn(model.panel_, 8)["errors"] for model in (honest, leaky)]
    flat = [np.sqrt(np.mean(e[0] ** 2, axis=0)) for e in errors]
    assert flat[0][7] > 1.5 * flat[0][0]
    assert flat[1][7] < 1.2 * flat[1][0]


# What it may not depend on.


def test_order_of_rows_and_turns_of_longitude_change_no_bit(
    df: pd.DataFrame, places: pd.DataFrame, fitted: GeoBlend
) -> None:
    want = fitted.predict(H, levels=[80, 95])
    mixed = df.sample(frac=1, random_state=3)
    for shift in (0.0, 360.0, -360.0):
        turned = places.sample(frac=1, random_state=4).assign(lon=lambda p, s=shift: p["lon"] + s)
        model = GeoBlend(PAIR, **SPARSE).fit(mixed, static=turned, h=H)
        got = model.predict(H, levels=[80, 95]).sort_values(["unique_id", "ds"], ignore_index=True)
        pd.testing.assert_frame_equal(got, want, check_exact=True)
        pd.testing.assert_frame_equal(model.weights_, fitted.weights_, check_exact=True)
        pd.testing.assert_frame_equal(model.validation_, fitted.validation_, check_exact=True)


def test_the_order_of_the_series_changes_no_bit(df: pd.DataFrame, places: pd.DataFrame) -> None:
    panel = Panel.from_table(df, static=places)
    order = np.random.default_rng(0).permutation(len(panel))
    one, two = (GeoBlend(PAIR, **SPARSE).fit(p, h=H).predict(H, levels=[80]) for p in (panel, panel.take(order)))
    two = two.sort_values(["unique_id", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_one_station_raised_by_ten_moves_its_own_level_alone(
    df: pd.DataFrame, places: pd.DataFrame, fitted: GeoBlend
) -> None:
    raised = df.assign(y=df["y"] + 10.0 * (df["unique_id"] == "p2"))
    got = GeoBlend(PAIR, **SPARSE).fit(raised, static=places, h=H).predict(H, levels=[80])
    want = fitted.predict(H, levels=[80])
    for column in ("GeoBlend", "GeoBlend-lo-80", "GeoBlend-hi-80"):
        moved = got[column] - want[column]
        np.testing.assert_allclose(moved, 10.0 * (got["unique_id"] == "p2"), atol=1e-8)
