"""GeoBlend with coordinates, words and data that are odd: a clear error, or the fallback that is stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.stations import PAIR, places_of, weather, wide
from tsforecast.compose.geo import GeoBlend
from tsforecast.errors import ConfigError, DataError, DataWarning, TsforecastError
from tsforecast.models.ar import AR
from tsforecast.models.knn import KNN
from tsforecast.models.naive import Naive
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Panel

H = 3
DF = weather(6, 200)
PLACES = places_of(DF)
ROW = DF.groupby("unique_id").cumcount()


def fitted(df: pd.DataFrame = DF, places: Any = PLACES, h: int | None = H, **options: Any) -> GeoBlend:
    return GeoBlend(**{"members": PAIR, "windows": 24, **options}).fit(df, static=places, h=h)


def with_value(column: str, value: Any, rows: Any = 2) -> pd.DataFrame:
    """The places with another value of a column in some rows."""
    changed = PLACES.astype({column: object}) if not isinstance(value, float) else PLACES.copy()
    changed.loc[rows, column] = value
    return changed


# Coordinates.

WRONG: dict[str, tuple[Any, type[TsforecastError], str]] = {
    "swapped": (PLACES.assign(lat=PLACES["lon"] + 100, lon=PLACES["lat"]), DataError, r"p0.*Were lat and lon swapped"),
    "out of range": (with_value("lat", 95.0), DataError, r"p2.*found 95, expected -90..90"),
    "metres of a grid": (with_value("lon", 4.5e5), DataError, r"p2.*found 450000, expected -180..180 or 0..360"),
    "infinite": (with_value("lat", np.inf), DataError, r"p2.*found inf"),
    "a word": (with_value("lat", "north"), DataError, r"p2.*found 'north', expected a number"),
    "text": (PLACES.assign(lat=PLACES["lat"].astype(str)), DataError, r"Convert the column to numbers"),
    "no table": (None, ConfigError, r"no static table was given\)\. Call fit\(data, static=places\)"),
    "other names": (
        PLACES.rename(columns={"lat": "latitude", "lon": "lng"}), ConfigError,
        r"columns 'lat' and 'lon' are missing.*rename 'latitude' to 'lat' and rename 'lng' to 'lon'",
    ),
    "no row": (PLACES[:5], DataError, r"no row for series p5"),
    "two rows": (pd.concat([PLACES, PLACES[:1]]), DataError, r"more than one row for p0"),
    "no id": (PLACES.drop(columns="unique_id"), ConfigError, r"no column 'unique_id'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_coordinates_that_cannot_be(case: str) -> None:
    places, kind, words = WRONG[case]
    with pytest.raises(kind, match=f"(?s){words}"):
        fitted(places=places)


def test_a_table_without_ids_says_what_lacks() -> None:
    one = DF.loc[DF["unique_id"] == "p0", ["ds", "y"]]
    with pytest.raises(ConfigError, match="no static table was given"):
        fitted(one, None)
    with pytest.raises(ConfigError, match="static columns need series ids"):
        fitted(one, PLACES[:1])


@pytest.mark.parametrize(("column", "words"), [("lat", "only one coordinate of p2"), ("both", "no coordinates of p2")])
def test_a_station_of_unknown_place_goes_by_the_other_member(column: str, words: str) -> None:
    lost = with_value("lat", np.nan)
    lost = lost if column == "lat" else lost.assign(lon=PLACES["lon"].where(PLACES["unique_id"] != "p2"))
    with pytest.warns(DataWarning, match=words):
        model = fitted(places=lost, show_members=True)
    got = model.predict(levels=[80])
    there = got["unique_id"] != "p2"
    assert got.loc[there, "GeoBlend-KNN"].notna().all()
    assert got.loc[~there, "GeoBlend-KNN"].isna().all()
    np.testing.assert_allclose(got.loc[~there, "GeoBlend"], got.loc[~there, "GeoBlend-RegionalLinear"], rtol=1e-14)
    assert got.drop(columns="GeoBlend-KNN").notna().all(axis=None)


def test_where_no_place_is_known_the_other_member_forecasts_alone() -> None:
    nowhere = PLACES.assign(lat=np.nan, lon=np.nan)
    with pytest.warns(DataWarning, match="no coordinates of p0, p1, p2, p3, p4 ... and 1 more"):
        model = fitted(places=nowhere, weights="source")
    want = RegionalLinear().fit(DF, static=nowhere, h=H).predict()
    np.testing.assert_allclose(model.predict()["GeoBlend"], want["RegionalLinear"], rtol=1e-14)


@pytest.mark.parametrize(
    ("where", "words"), [((40.0, 10.0), "all places are one"), ((0.0, 0.0), "lat = lon = 0, an empty field perhaps")]
)
def test_places_that_are_all_one_are_told_and_forecast(where: tuple[float, float], words: str) -> None:
    with pytest.warns(DataWarning, match=words):
        model = fitted(places=PLACES.assign(lat=where[0], lon=where[1]))
    assert model.predict(levels=[80]).notna().all(axis=None)


def test_isolated_places_are_forecast() -> None:
    far = PLACES.assign(lat=[-80.0, -40.0, 0.0, 40.0, 80.0, 10.0], lon=[0.0, 60.0, 120.0, 180.0, 240.0, 300.0])
    assert fitted(places=far).predict(levels=[80]).notna().all(axis=None)


@pytest.mark.parametrize("count", [1, 2])
def test_few_stations(count: int) -> None:
    few = DF[DF["unique_id"] < f"p{count}"]
    if count == 1:
        with pytest.warns(DataWarning, match="one series has no neighbours"):
            model = fitted(few, PLACES[:1])
    else:
        model = fitted(few, PLACES[:2])
    got = model.predict(levels=[80])
    assert len(got) == count * H
    assert got.notna().all(axis=None)


@pytest.mark.parametrize("kind", ["missing", "some missing", "numbers", "one each"])
def test_regions_of_any_kind(kind: str) -> None:
    regions = {
        "missing": PLACES.drop(columns="region"),
        "some missing": with_value("region", None, [1, 4]),
        "numbers": PLACES.assign(region=[1, 1, 1, 2, 2, 2]),
        "one each": PLACES.assign(region=PLACES["unique_id"]),
    }
    assert fitted(places=regions[kind]).predict(levels=[80]).notna().all(axis=None)


def test_static_rows_without_data_are_reported_and_can_be_forecast() -> None:
    more = pd.concat([PLACES, PLACES[:1].assign(unique_id="x", lat=41.0, lon=12.0)])
    model = fitted(places=more)
    assert any("have no rows: x" in finding.message for finding in model.panel_.findings)
    with pytest.warns(DataWarning, match="no elevation"):
        got = model.predict(static=more).set_index("unique_id")
    assert (got.loc["x", "status"] == "cold_start").all()
    assert (got.drop(index="x")["status"] == "ok").all()


# Words and numbers.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"members": "knn"}, "members are two or more of the words 'knn', 'linear', 'lstm'.*got 'knn'"),
        ({"members": ("knn",)}, r"two or more of the words.*got \('knn',\)"),
        ({"members": ()}, r"two or more of the words.*got \(\)"),
        ({"members": None}, "two or more of the words.*got None"),
        ({"members": {"knn": 0.3, "lstm": 0.7}}, "in a sequence; got {'knn': 0.3, 'lstm': 0.7}"),
        ({"members": ("knn", "lstmm")}, "got 'lstmm'"),
        ({"members": ("KNN", "linear")}, "got 'KNN'"),
        ({"members": ("knn", 3)}, "must be a forecaster such as AR.*got 3"),
        ({"members": ("knn", "knn")}, "share the name KNN"),
        ({"members": ("knn", KNN(3))}, "share the name KNN"),
        *[({"k": k}, "k must be a whole number of at least 1") for k in (0, -1, 1.5, "5", True, None, [5, 10])],
        *[({"mode": mode}, "mode must be one of auto, neighbours, cluster") for mode in ("near", None, 1)],
        *[({"region": region}, "is not a static column") for region in ("state", None, 3, "")],
        *[({"base": base}, 'base must be "auto"') for base in ("month", None, True)],
        ({"weights": "card"}, "weights must be one of mse, source, equal, inverse_mse, median"),
        ({"weights": {"knn": 0.3, "lstm": 0.7}}, r"must name every member \(KNN, RegionalLinear\)"),
        ({"prior": (0.3, 0.3, 0.4)}, r"prior must be a number for each member \(KNN, RegionalLinear\)"),
        *[({"kappa": kappa}, "kappa must be a number >= 0") for kappa in (-1, "a", np.nan, None)],
        ({"scope": "zone"}, "scope must be 'series', 'global' or a static column"),
        ({"windows": 0}, "windows must be a whole number of at least 1"),
        ({"past": ("x",)}, "GeoBlend has no columns of its own"),
        ({"calendar": "KR"}, "GeoBlend has no columns of its own"),
        ({"h": 0}, "h must be a whole number >= 1"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fitted(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 100}, {"k": np.int64(2)}, {"region": "global"}, {"region": "series"}, {"base": "none"},
        {"members": ("knn", AR(2, ridge=0, transform=None))}, {"members": ("knn", "linear", Naive())},
        {"members": (GeoBlend(PAIR, alias="inner"), Naive())}, {"scope": "region"}, {"weights": "median"},
        {"weights": (0, 1)}, {"windows": 1000},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_that_can(options: dict[str, Any]) -> None:
    assert fitted(**options).predict(levels=[80]).notna().all(axis=None)


# Data.


@pytest.mark.parametrize(("rows", "h"), [(30, 3), (30, 14), (100, 14), (400, 14)])
def test_with_few_rows_the_prior_stands(rows: int, h: int) -> None:
    model = fitted(weather(6, rows), h=h)
    assert set(model.weights_["weight"]) == {0.3, 0.7}
    assert model.predict(levels=[80, 95]).notna().all(axis=None)


def test_far_too_few_rows_have_a_forecast_but_no_interval() -> None:
    model = fitted(weather(6, 5), h=14)
    assert model.predict().notna().all(axis=None)
    with pytest.raises(ConfigError, match="interval at 80 % needs at least 4 errors"):
        model.predict(levels=[80])


@pytest.mark.parametrize(
    ("freq", "rows", "h"),
    [("MS", 48, 12), ("W", 120, 13), ("h", 400, 48), ("YS", 40, 5), ("QS", 60, 8), ("B", 200, 10), (1, 100, 12)],
)
def test_other_frequencies_have_their_usual_horizon(freq: Any, rows: int, h: int) -> None:
    df = weather(4, rows, freq="D" if freq == 1 else freq, start="1980-01-01")
    df = df.assign(ds=df.groupby("unique_id").cumcount()) if freq == 1 else df
    model = fitted(df, places_of(df), h=None)
    got = model.predict(levels=[80])
    assert len(got) == 4 * h
    assert got.notna().all(axis=None)


def test_trading_days_are_consecutive_where_gaps_are_ignored() -> None:
    days = DF[(DF["ds"].dt.day_of_week < 5) & (DF["ds"] != "2015-05-01")]
    panel = Panel.from_table(days, freq="B", gaps="ignore", static=PLACES)
    got = GeoBlend(PAIR).fit(panel, h=H).predict(levels=[80])
    assert got.notna().all(axis=None)
    assert set(got["ds"].dt.day_of_week) <= set(range(5))


ODD: dict[str, pd.DataFrame] = {
    "a block missing": DF.assign(y=DF["y"].mask((DF["unique_id"] == "p1") & ROW.between(50, 90))),
    "the end missing": DF.assign(y=DF["y"].mask((DF["unique_id"] == "p1") & (ROW > 190))),
    "begins late": DF[(DF["unique_id"] != "p1") | (ROW >= 190)],
    "ended long ago": DF[(DF["unique_id"] != "p1") | (ROW < 100)],
    "constant": DF.assign(y=DF["y"].mask(DF["unique_id"] == "p1", 5.0)),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_series_is_forecast_and_hardly_moves_the_others(case: str) -> None:
    got = fitted(ODD[case]).predict(levels=[80])
    assert got.notna().all(axis=None)
    plain = wide(fitted().predict()).drop(columns="p1")
    spread = DF.groupby("unique_id")["y"].std().drop("p1")
    moved = np.abs(wide(got).drop(columns="p1") - plain) / spread
    assert moved.max(axis=None) < 0.5
    if case == "constant":
        np.testing.assert_allclose(wide(got)["p1"], 5.0, atol=1e-6)


def test_still_series_alone_stay_where_they_are() -> None:
    got = fitted(DF.assign(y=3.0)).predict(levels=[80])
    np.testing.assert_allclose(got.drop(columns=["unique_id", "ds"]), 3.0, atol=1e-9)


@pytest.mark.parametrize("unit", [1e9, 1e-9])
def test_units_change_nothing(unit: float) -> None:
    got = fitted(DF.assign(y=DF["y"] * unit)).predict(levels=[80])
    want = fitted().predict(levels=[80])
    for column in want.columns[2:]:
        np.testing.assert_allclose(got[column], want[column] * unit, rtol=1e-6, atol=1e-6 * unit)


def test_a_series_never_observed_fails_alone() -> None:
    empty = DF.assign(y=DF["y"].mask(DF["unique_id"] == "p1"))
    with pytest.raises(DataError, match="cannot be fitted on 1 of 6 series"):
        fitted(empty)
    got = fitted(empty, on_error="skip").predict(levels=[80])
    assert (got["status"] == np.where(got["unique_id"] == "p1", "failed", "ok")).all()
    assert got[got["unique_id"] != "p1"].notna().all(axis=None)
