"""Coordinates at the door: what is refused, what is doubted, and in which words."""

import warnings

import numpy as np
import pandas as pd
import pytest
from builders import table

from tsforecast.errors import ConfigError, DataError, DataWarning
from tsforecast.findings import as_panel
from tsforecast.geography import places_of

IDS = np.array(["apia", "suva", "vila"], dtype=object)
LAT = np.array([-13.8333, -18.1416, -17.7333])
LON = np.array([-171.7667, 178.4419, 168.3167])


def made(quiet=False, **columns):
    static = {"lat": LAT, "lon": LON} | columns
    return places_of({k: v for k, v in static.items() if v is not None}, IDS, "KNN", quiet=quiet)


def at(values, place, value):
    out = np.array(values, dtype=object if isinstance(value, str | None) else float)
    out[place] = value
    return out


def warned(**columns):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        places = made(**columns)
    assert all(w.category is DataWarning for w in caught)
    return places, [str(w.message) for w in caught]


def test_places_of_sound_columns_are_those_columns() -> None:
    places, words = warned(elevation=np.array([2.0, 6.0, 20.0]))
    assert not words
    assert places.ids.tolist() == IDS.tolist()
    np.testing.assert_array_equal(places.lat, LAT)
    np.testing.assert_allclose(places.lon, LON, rtol=0, atol=1e-9)
    assert places.elevation.tolist() == [2.0, 6.0, 20.0]


def test_integers_and_objects_are_numbers() -> None:
    places, _ = warned(lat=np.array([1, 2, 3]), lon=np.array([4.0, 5, 6], dtype=object), quiet=True)
    assert places.lat.tolist() == [1.0, 2.0, 3.0]
    assert places.lon.tolist() == [4.0, 5.0, 6.0]


@pytest.mark.parametrize("turn", [-360, 360])
def test_a_whole_turn_gives_the_same_bits(turn) -> None:
    lon = np.concatenate([np.random.default_rng(0).uniform(-180, 180, 1000).round(6), [-180.0, 179.999999, 0.0]])
    ids = np.arange(len(lon)).astype(object)
    lat = np.linspace(-90, 90, len(lon))
    here, there = (places_of({"lat": lat, "lon": values}, ids, "KNN") for values in (lon, lon + turn))
    assert here.lon.tobytes() == there.lon.tobytes()
    assert here.vectors.tobytes() == there.vectors.tobytes()
    np.testing.assert_allclose(here.lon, lon, rtol=0, atol=1e-9)


def test_180_degrees_east_is_180_degrees_west() -> None:
    places = made(lon=np.array([180.0, -180.0, 179.9999999999]))
    assert places.lon.tolist() == [-180.0] * 3


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "'lat' and 'lon' are missing (no static table was given)"),
        ({"latitude": LAT, "lng": LON}, "rename 'latitude' to 'lat' and rename 'lng' to 'lon'"),
        ({"LAT": LAT, "Longitude": LON}, "rename 'LAT' to 'lat' and rename 'Longitude' to 'lon'"),
        (
            {"lat": LAT, "lonn": LON},
            "'lon' is missing (columns of one kind: lat, lonn); did you mean: rename 'lonn' to 'lon'?",
        ),
        (
            {"lat": LAT, "region": IDS},
            "'lon' is missing (columns of one kind: lat, region). Call fit(data, static=places)",
        ),
    ],
)
def test_a_missing_column_is_named_with_what_was_meant(columns, words) -> None:
    with pytest.raises(ConfigError) as caught:
        places_of(columns, IDS, "KNN")
    assert words in str(caught.value)
    assert str(caught.value).startswith("KNN needs the places of its series")
    assert "fit(data, static=places)" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "series", "column", "words"),
    [
        ({"lat": at(LAT, 1, "-18.14")}, "suva", "lat", "no number (series 'suva'; column 'lat'): found '-18.14'"),
        ({"lat": at(LAT, 1, "-18.14")}, "suva", "lat", "places['lat'].astype(float)"),
        ({"lat": np.array([True, False, True])}, "apia", "lat", "no number"),
        ({"lat": LON, "lon": LAT}, "apia", "lat", "Were lat and lon swapped?"),
        ({"lat": LON, "lon": LAT}, "apia", "lat", "found apia: -171.7667, suva: 178.4419, vila: 168.3167"),
        ({"lat": at(LAT, 2, 91.0)}, "vila", "lat", "latitude out of range"),
        ({"lat": at(LAT, 2, np.inf), "lon": at(LON, 2, 5.0)}, "vila", "lat", "latitude out of range (series 'vila'"),
        ({"lon": at(LON, 0, -np.inf)}, "apia", "lon", "longitude out of range"),
        ({"lon": at(LON, 0, 1_784_419.0)}, "apia", "lon", "found 1784419, expected -180..180 or 0..360"),
        ({"elevation": np.array(["2", "6", "x"], dtype=object)}, "apia", "elevation", "no number"),
        ({"elevation": np.array([2.0, 6.0, 29_029.0])}, "vila", "elevation", "elevation in metres"),
        ({"elevation": np.array([-501.0, 6.0, np.nan])}, "apia", "elevation", "expected -500..9000 m"),
        ({"elevation": np.array([np.inf, 6.0, 9.0])}, "apia", "elevation", "found inf"),
    ],
)
def test_what_cannot_be_is_refused_with_series_and_value(columns, series, column, words) -> None:
    with pytest.raises(DataError) as caught:
        made(**columns)
    assert words in str(caught.value)
    assert str(caught.value).startswith("KNN: ")
    assert (caught.value.series, caught.value.column, caught.value.code) == (series, column, "TSF-PLACE")
    assert caught.value.fix
    assert len(caught.value.findings) == 1
    with pytest.raises(DataError):  # what cannot be is no matter of being quiet
        made(quiet=True, **columns)


def test_all_that_cannot_be_is_told_in_one_pass() -> None:
    with pytest.raises(DataError) as caught:
        made(lat=at(LAT, 0, "north"), lon=at(LON, 1, 999.0), elevation=at(LAT, 2, 1e5))
    assert [f.column for f in caught.value.findings] == ["lat", "lon", "elevation"]


def test_at_most_five_series_are_listed() -> None:
    ids = np.array([f"s{i:02d}" for i in range(37)], dtype=object)
    with pytest.raises(DataError, match=r"s04: 128 \.\.\. and 32 more, expected -90\.\.90\. Were lat and lon swapped"):
        places_of({"lat": np.full(37, 128.0), "lon": np.full(37, 37.0)}, ids, "KNN")
    with pytest.warns(DataWarning, match=r"s00, s01, s02, s03, s04 \.\.\. and 32 more: places unknown"):
        places_of({"lat": np.full(37, np.nan), "lon": np.full(37, np.nan)}, ids, "KNN")


@pytest.mark.parametrize(
    ("columns", "expected", "known"),
    [
        ({"lat": at(LAT, 1, np.nan)}, ["only one coordinate of suva: taken as places unknown"], [True, False, True]),
        ({"lat": at(LAT, 1, None)}, ["only one coordinate of suva: taken as places unknown"], [True, False, True]),
        ({"lon": at(LON, 2, np.nan)}, ["only one coordinate of vila: taken as places unknown"], [True, True, False]),
        (
            {"lat": at(LAT, 1, np.nan), "lon": at(LON, 1, np.nan)},
            ["no coordinates of suva: places unknown"],
            [True, False, True],
        ),
        (
            {"lat": np.array([0.0, 0, 5]), "lon": np.array([0.0, 360, 5])},
            ["lat = lon = 0, an empty field perhaps, for apia, suva"],
            [True] * 3,
        ),
        ({"lat": np.array([0.0, 1, 5]), "lon": np.array([0.0, 0, 5])}, [], [True] * 3),
        (
            {"lat": np.full(3, 8.0), "lon": np.full(3, 9.0)},
            ["all places are one (apia, suva, vila): neighbours are told apart by id alone"],
            [True] * 3,
        ),
        (
            {"elevation": np.array([5.0, np.nan, 7.0])},
            ["no elevation for suva, while others have one"],
            [True] * 3,
        ),
        ({"elevation": np.full(3, np.nan)}, [], [True] * 3),
    ],
)
def test_what_is_doubtful_is_said_once_and_can_be_silenced(columns, expected, known) -> None:
    places, words = warned(**columns)
    assert words == [f"KNN: {line}" for line in expected]
    assert places.known.tolist() == known
    assert np.isnan(places.lat[~places.known]).all()
    assert np.isnan(places.lon[~places.known]).all()
    assert np.isnan(places.vectors[~places.known]).all()
    assert warned(quiet=True, **columns)[1] == []


def test_spans_of_one_series_are_one_place() -> None:
    ids = np.array(["suva", "suva"], dtype=object)
    places = places_of({"lat": np.zeros(2), "lon": np.zeros(2)}, ids, "KNN")  # two origins of one series: no warning
    assert len(places) == 2
    with pytest.warns(DataWarning, match="no coordinates of suva: places unknown"):
        places_of({"lat": np.full(2, np.nan), "lon": np.full(2, np.nan)}, ids, "KNN")


def test_ids_of_several_types_have_an_order() -> None:
    places = made()
    mixed = np.array(["b", 10, "a", 9], dtype=object)
    four = places.take(np.array([0, 1, 2, 0]))
    assert type(four)(mixed, four.lat, four.lon, four.elevation).rank.tolist() == [3, 1, 2, 0]


def test_a_table_of_places_comes_through_the_door() -> None:
    static = pd.DataFrame({"unique_id": ["vila", "apia", "suva"], "lat": [-17.7333, None, -18.1416],
                           "lon": [168.3167, None, 178.4419], "elevation": [20, 2, 6]})  # fmt: skip
    panel = as_panel(table(np.zeros((3, 5)), IDS.tolist()), static)
    with pytest.warns(DataWarning, match="no coordinates of apia: places unknown"):
        places = places_of(panel.static, panel.ids, "KNN")
    assert places.lat[1:].tolist() == [-18.1416, -17.7333]
    assert places.elevation.tolist() == [2.0, 6.0, 20.0]


def test_a_column_that_mixes_numbers_and_text_is_told_by_its_value() -> None:
    static = pd.DataFrame({"unique_id": IDS, "lat": [1.0, "n/a", 3.0], "lon": [1.0, 2.0, 3.0]})
    panel = as_panel(table(np.zeros((3, 5)), IDS.tolist()), static)
    with pytest.raises(DataError, match=r"no number \(series 'suva'; column 'lat'\): found 'n/a'"):
        places_of(panel.static, panel.ids, "KNN")
