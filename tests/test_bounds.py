"""lower= and upper= hold for every forecaster, in all that it tells: what a free one says, cut at the bounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import table

import tsforecast as tf
from tsforecast.forecaster import Forecaster
from tsforecast.registry import FORECASTERS, find

LOWER, UPPER, H = 0.0, 1.0, 8
LEVELS = (60, 80)

PAIR = (tf.AR(3, ridge=0.1, transform=None), tf.SeasonalNaive())
WAYS: dict[str, Callable[..., Forecaster]] = {
    **{name: find(name) for name in FORECASTERS},
    **{name: partial(find(name), PAIR) for name in ("Blend", "Select", "Stack")},
    "Anomaly": partial(find("Anomaly"), PAIR[0]),
    "GeoBlend": partial(find("GeoBlend"), ("knn", "linear")),
    "AR direct": lambda **shared: tf.AR(3, strategy="direct", ridge=0.1, transform=None, **shared),
    "AR of the panel": lambda **shared: tf.AR(3, scope="global", ridge=0.1, transform=None, **shared),
    "AR with a calendar": lambda **shared: tf.AR(2, calendar=("weekday", "KR"), **shared),
    "AR means": lambda **shared: tf.AR(2, transform=None, transform_point="mean", **shared),
    "Climatology harmonics": lambda **shared: tf.Climatology(30, kind="harmonics", **shared),
    "LagRegressor direct": lambda **shared: tf.LagRegressor(lags=3, strategy="direct", **shared),
    "LagRegressor of trees": lambda **shared: tf.LagRegressor("DecisionTreeRegressor", lags=3, **shared),
    "Prophet flat": lambda **shared: tf.Prophet("flat", **shared),
    "Prophet multiplicative": lambda **shared: tf.Prophet(seasonality_mode="multiplicative", **shared),
}


def tides(n: int = 6, rows: int = 120) -> pd.DataFrame:
    """Daily series that swing far below 0 and above 1, each with a slope and a week of its own."""
    rng = np.random.default_rng(5)
    t = np.arange(rows)
    weeks = 3 * np.sin(2 * np.pi * (t + np.arange(n)[:, None]) / 7)
    slopes = np.linspace(-0.02, 0.02, n)[:, None] * t
    return table(weeks + slopes + rng.normal(size=(n, rows)))


TABLE = tides()
PLACES = pd.DataFrame({"unique_id": [*dict.fromkeys(TABLE["unique_id"]), "short"]}).assign(
    lat=lambda places: 35 + 0.3 * np.arange(len(places)), lon=127.0
)
DATA = tf.Panel.from_table(TABLE, static=PLACES[:-1])
SHORT = tf.Panel.from_table(
    pd.concat([TABLE, table([[-5.0, 7.0]], ["short"], start="2022-04-29")], ignore_index=True), static=PLACES
)


def values(frame: Any) -> np.ndarray:
    """The numbers of a result: every column but id, time and status."""
    return frame.drop(columns=["unique_id", "ds", "status", "rows", "y", "residual"], errors="ignore").to_numpy(float)


def cut(frame: Any) -> np.ndarray:
    return np.clip(values(frame), LOWER, UPPER)


def both(way: str, data: Any = DATA, **shared: Any) -> tuple[Forecaster, Forecaster]:
    """The same forecaster, bounded and free, fitted alike."""
    bounded = WAYS[way](lower=LOWER, upper=UPPER, **shared).fit(data, h=H)
    return bounded, WAYS[way](**shared).fit(data, h=H)


def reaches_out(numbers: np.ndarray) -> bool:
    """A free result that needs no bound would prove nothing."""
    return bool((numbers < LOWER).any() and (numbers > UPPER).any())


@pytest.mark.parametrize("way", WAYS)
def test_points_and_intervals_are_the_free_ones_cut(way: str) -> None:
    bounded, free = both(way)
    levels = LEVELS if free.conformal is None else ()
    expected = free.predict(H, levels=levels)
    assert reaches_out(values(expected))
    np.testing.assert_array_equal(values(bounded.predict(H, levels=levels)), cut(expected))


@pytest.mark.parametrize("way", WAYS)
def test_one_bound_leaves_the_other_side_free(way: str) -> None:
    low = WAYS[way](lower=LOWER).fit(DATA, h=H).predict(H)
    high = WAYS[way](upper=UPPER).fit(DATA, h=H).predict(H)
    free = WAYS[way]().fit(DATA, h=H).predict(H)
    np.testing.assert_array_equal(values(low), np.maximum(values(free), LOWER))
    np.testing.assert_array_equal(values(high), np.minimum(values(free), UPPER))


@pytest.mark.parametrize("way", WAYS)
def test_conformal_intervals_stay_within(way: str) -> None:
    bounded, free = both(way, intervals=tf.Conformal(windows=10))
    assert reaches_out(values(free.predict(H, levels=LEVELS)))
    found = values(bounded.predict(H, levels=LEVELS))
    assert (found.min(), found.max()) == (LOWER, UPPER)


OWN_PATHS = (
    "AR",
    "AR of the panel",
    "AR with a calendar",
    "AR means",
    "Prophet",
    "Prophet flat",
    "Prophet multiplicative",
)


@pytest.mark.parametrize("way", OWN_PATHS)
def test_paths_of_a_family_are_the_free_ones_cut(way: str) -> None:
    bounded, free = both(way)
    expected = free.simulate(50)
    assert reaches_out(values(expected))
    np.testing.assert_array_equal(values(bounded.simulate(50)), cut(expected))


@pytest.mark.parametrize("way", WAYS)
def test_sample_paths_and_their_sums_stay_within(way: str) -> None:
    bounded, _ = both(way, **({} if way in OWN_PATHS else {"intervals": tf.Conformal(windows=10)}))
    paths = bounded.simulate(50)
    assert (values(paths).min(), values(paths).max()) == (LOWER, UPPER)
    sums = bounded.predict(H, aggregate="W", levels=LEVELS)
    name, rows = bounded.name, sums["rows"].to_numpy()[:, None]
    found = values(sums)
    assert (found >= LOWER * rows).all()
    assert (found <= UPPER * rows).all()
    points = bounded.predict(H)
    points["week"] = points["ds"].dt.to_period("W-SUN").dt.start_time
    weeks = points.groupby(["unique_id", "week"], as_index=False)[name].sum()
    np.testing.assert_allclose(sums[name], weeks[name], atol=1e-12)
    daily = bounded.simulate(1000).set_index(["unique_id", "ds"])
    summed = daily.groupby(["unique_id", daily.index.get_level_values("ds").to_period("W-SUN")]).sum()
    np.testing.assert_allclose(sums[f"{name}-lo-80"], summed.quantile(0.1, axis=1), atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_fitted_values_are_the_free_ones_cut(way: str) -> None:
    bounded, free = both(way)
    expected, found = free.fitted(), bounded.fitted()
    assert reaches_out(values(expected))
    np.testing.assert_array_equal(values(found), cut(expected))
    np.testing.assert_allclose(found["residual"], found["y"] - found[bounded.name], atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_stand_ins_for_failed_series_stay_within(way: str) -> None:
    for stand_in in (None, tf.Naive(), tf.WindowMean(2)):
        model = WAYS[way](lower=LOWER, upper=UPPER, on_error="fallback", fallback=stand_in)
        found = model.fit(SHORT, h=H).predict(H, levels=LEVELS if model.conformal is None else ())
        numbers = values(found[found["unique_id"] == "short"])
        assert np.isfinite(numbers).all()
        assert LOWER <= numbers.min() <= numbers.max() <= UPPER
        assert (values(found).min(), values(found).max()) == (LOWER, UPPER)


@pytest.mark.parametrize("way", WAYS)
def test_backtests_see_what_predict_would_give(way: str) -> None:
    levels = LEVELS if WAYS[way]().conformal is None else ()
    models = [WAYS[way](alias="bounded", lower=LOWER, upper=UPPER), WAYS[way](alias="free")]
    held = tf.backtest(models, DATA, h=H, windows=3, levels=levels)
    bounded, free = held.rolled
    assert reaches_out(free.point)
    np.testing.assert_array_equal(bounded.point, free.point.clip(LOWER, UPPER))
    for side in ("lower", "upper") if levels else ():
        np.testing.assert_array_equal(getattr(bounded, side), getattr(free, side).clip(LOWER, UPPER))


@pytest.mark.parametrize("way", ["AR", "LagRegressor", "Prophet", "SeasonalNaive"])
def test_bounds_survive_updates_and_files(way: str, tmp_path: Path) -> None:
    bounded, free = both(way)
    newer = tides(rows=123).groupby("unique_id").tail(3)
    bounded.save(tmp_path / "model.tsf")
    for model in (bounded, tf.load(tmp_path / "model.tsf")):
        np.testing.assert_array_equal(values(model.predict(H)), cut(free.predict(H)))
    expected = cut(free.update(newer, revised="replace").predict(H))
    np.testing.assert_array_equal(values(bounded.update(newer, revised="replace").predict(H)), expected)


@pytest.mark.slow
def test_the_stan_engine_keeps_them_too() -> None:
    few = TABLE[TABLE["unique_id"].isin(["s000", "s001"])]
    made = [tf.Prophet(engine="stan", seed=3, **bounds).fit(few) for bounds in ({"lower": LOWER, "upper": UPPER}, {})]
    bounded, free = (model.predict(H, levels=LEVELS) for model in made)
    assert reaches_out(values(free))
    np.testing.assert_array_equal(values(bounded), cut(free))
