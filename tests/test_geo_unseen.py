"""Blends of what they never saw: places, series that come later or begin after the end, places that nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.stations import PAIR, places_of, weather
from tsforecast import AR, KNN, Blend, Naive, load
from tsforecast.compose.geo import GeoBlend
from tsforecast.errors import ConfigError
from tsforecast.intervals import Conformal
from tsforecast.models.knn import forecasting
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Panel

H = 4
SPARSE: dict[str, Any] = {"windows": 46, "step": 4}
FRESH = "a series of no place"


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    return weather(5, 560)


@pytest.fixture(scope="module")
def places(df: pd.DataFrame) -> pd.DataFrame:
    return places_of(df, height=True)


@pytest.fixture(scope="module")
def unseen(places: pd.DataFrame) -> pd.DataFrame:
    return places.head(1).assign(unique_id="new")


@pytest.fixture(scope="module")
def given(df: pd.DataFrame, places: pd.DataFrame) -> GeoBlend:
    return GeoBlend(PAIR, weights="source", **SPARSE).fit(df, static=places, h=H)


def test_given_weights_forecast_places_never_seen_as_an_infinite_pull_does(
    df: pd.DataFrame, places: pd.DataFrame, unseen: pd.DataFrame, given: GeoBlend
) -> None:
    held = GeoBlend(PAIR, kappa=np.inf, **SPARSE).fit(df, static=places, h=H)
    got, want = (model.predict(H, levels=[80], static=unseen) for model in (given, held))
    pd.testing.assert_frame_equal(got, want)
    assert (got["status"] == "cold_start").sum() == H
    assert got["GeoBlend-hi-80"].notna().all()
    pd.testing.assert_frame_equal(given.validation_, held.validation_)


def test_intervals_of_unseen_places_need_validation_rows(
    df: pd.DataFrame, places: pd.DataFrame, unseen: pd.DataFrame
) -> None:
    model = GeoBlend(PAIR, weights="source", intervals=Conformal(windows=8)).fit(df, static=places, h=H)
    assert model.predict(H, static=unseen)["GeoBlend"].notna().all()
    with pytest.raises(ConfigError, match="GeoBlend: intervals of places never seen come from validation rows"):
        model.predict(H, levels=[80], static=unseen)


@pytest.mark.parametrize("weights", ["mse", "source"])
def test_a_series_met_later_is_the_mean_of_its_members_and_moves_no_other(
    df: pd.DataFrame, places: pd.DataFrame, unseen: pd.DataFrame, weights: str, tmp_path: Path
) -> None:
    model = GeoBlend(PAIR, weights=weights, **SPARSE).fit(df, static=places, h=H)
    before = model.predict(H, levels=[80], static=unseen).set_index("unique_id")
    first = df[df["unique_id"] == df["unique_id"].iloc[0]]
    model.update(first.assign(unique_id=FRESH))
    after = model.predict(H, static=unseen).set_index("unique_id")
    pd.testing.assert_frame_equal(after.drop(FRESH), before[after.columns])
    share = model.weights_.pivot_table("weight", "steps", "member")
    knn, linear = (member.predict(H).set_index("unique_id")[name] for name, member in model.members_.items())
    bands = np.searchsorted([1, 2, 4], np.arange(1, H + 1), side="right") - 1
    w = share["KNN"].to_numpy()[bands if len(share) > 1 else 0]
    want = w * knn[FRESH].to_numpy() + (1 - w) * linear[FRESH].to_numpy()
    np.testing.assert_allclose(after.loc[FRESH, "GeoBlend"], want, rtol=1e-12)
    model.save(tmp_path / "model")
    back = load(tmp_path / "model").predict(H, static=unseen).set_index("unique_id")
    pd.testing.assert_frame_equal(back, after)


@pytest.mark.filterwarnings("ignore::tsforecast.errors.DataWarning")
def test_where_no_place_is_known_the_others_speak_alone(df: pd.DataFrame, places: pd.DataFrame) -> None:
    nowhere = places.assign(lat=np.nan, lon=np.nan)
    model = GeoBlend(PAIR, **SPARSE).fit(df, static=nowhere, h=H)
    want = RegionalLinear("auto").fit(df, static=nowhere, h=H).predict(H)["RegionalLinear"]
    np.testing.assert_allclose(model.predict(H)["GeoBlend"], want, rtol=1e-12)


@pytest.mark.parametrize("first", [521, 540])
def test_when_a_series_begins_after_the_end_changes_no_bit(df: pd.DataFrame, first: int) -> None:
    last = df["unique_id"] == "p4"
    later = df[~last | (df["ds"] >= df["ds"].iloc[first])]
    bits = []
    for one in (later, df[~last | (df["ds"] >= df["ds"].iloc[510])]):
        panel = Panel.from_table(one).upto(499)
        model = Blend([AR(2), Naive()], on_error="skip").fit(panel, h=H)
        bits.append((model.predict(H, levels=[80]).query("unique_id != 'p4'"), model.weights_, model.validation_))
    for got, want in zip(*bits, strict=True):
        pd.testing.assert_frame_equal(got, want, check_exact=True)


def test_a_place_that_ended_goes_by_what_others_showed_then(
    df: pd.DataFrame, places: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, dates = df["unique_id"] == "p4", df["ds"].unique()
    ended = df[~last | (df["ds"] <= dates[329])]
    model = KNN(3, "neighbours").fit(ended[ended["ds"] <= dates[349]], static=places, h=H)
    model.update(ended[ended["ds"] > dates[349]])
    got = model.predict(H)
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(load(tmp_path / "model").predict(H), got)
    monkeypatch.setattr(forecasting, "reach", lambda panel: len(dates))
    pd.testing.assert_frame_equal(model.predict(H), got)
