"""Places never seen: normals and forecasts taken over from neighbours, and how honest their errors are."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from test_spatial import at, places

from tsforecast import normals
from tsforecast.compose import cold
from tsforecast.datasets import load
from tsforecast.errors import ConfigError, DataWarning
from tsforecast.geography import EARTH_KM, Places, distance, places_of
from tsforecast.panel import Float, Panel

H = 6


def monthly(where: Places, years: int = 12, seed: int = 1) -> Panel:
    """Temperatures that fall with height and latitude, and weather that neighbours share."""
    rng = np.random.default_rng(seed)
    t = np.arange(12 * years)
    height = np.where(np.isfinite(where.elevation), where.elevation, 0.0)
    level = 20 - 6.5e-3 * height - 0.7 * (where.lat - 40)
    season = (8 + 0.5 * (where.lat - 40))[:, None] * np.cos(2 * np.pi * (t - 6) / 12)
    y = level[:, None] + season + rng.normal(size=(1, len(t))) + 0.3 * rng.normal(size=(len(where), len(t)))
    return Panel.from_arrays(list(y), ids=where.ids, freq="MS", start="2000-01")


def stamps_after(panel: Panel, h: int = H) -> Any:
    first = panel.grid[-1].astype("datetime64[M]") + 1
    return (first + np.arange(h)).astype("datetime64[us]")


def state_of(coef: Float, spread: Float | None = None) -> Any:
    """Normals of a level alone."""
    n = len(coef)
    full = np.tile([1.0, 0.0, 0.0], (n, 1)) if spread is None else spread
    return {
        "blocks": ["level"], "days": 1.0, "tz": None, "coef": coef[:, None], "since": np.ones(n), "spread": full,
    }  # fmt: skip


def test_normals_follow_position_and_height() -> None:
    known, others = places(60), places(8, seed=6, wide=2, prefix="x")
    panel = monthly(known)
    state = normals.fit(panel, places=known)
    own = cold.normals_at(state, known, others)
    ahead = np.broadcast_to(stamps_after(panel, 12), (8, 12))
    got, scale = normals.at(own, np.arange(8), ahead)
    truth = (20 - 6.5e-3 * others.elevation - 0.7 * (others.lat - 40))[:, None]
    truth = truth + (8 + 0.5 * (others.lat - 40))[:, None] * np.cos(2 * np.pi * (np.arange(12) - 6) / 12)
    shared = (panel.y.reshape(60, -1).mean(axis=0)).reshape(-1, 12).mean(axis=0)
    shared -= (20 - 6.5e-3 * known.elevation - 0.7 * (known.lat - 40)).mean()
    shared -= (8 + 0.5 * (known.lat - 40)).mean() * np.cos(2 * np.pi * (np.arange(12) - 6) / 12)
    assert np.abs(got - truth - shared).max() < 0.6
    assert ((scale > 0.5) & (scale < 2)).all()
    state["since"] = np.arange(60.0)
    since = cold.normals_at(state, known, others)["since"]
    near = 1 / distance(known.lat[:, None], known.lon[:, None], others.lat, others.lon)
    near = np.where(near >= np.sort(near, axis=0)[-10], near, 0.0)
    np.testing.assert_allclose(since, np.arange(60) @ near / near.sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize(("degrees", "share"), [(5.0, 1.0), (17.9, 1.0), (18.1, None), (30.0, None), (90.0, None)])
def test_beyond_2000_km_anomalies_fade(degrees: float, share: float | None) -> None:
    km = np.radians(degrees) * EARTH_KM
    share = np.exp(-km / 1000) if share is None else share
    state = state_of(np.array([10.0]), np.array([[4.0, 0.0, 0.0]]))
    stamps = np.arange(H)
    point = 10 + 2.0 * np.arange(H)[None]
    got = cold.forecast(state, at(0.0, 0.0), at(0.0, degrees), point, stamps[None], stamps)
    np.testing.assert_allclose(got, 10 + share * (point - 10), rtol=1e-12)


def line(degrees: list[float]) -> Places:
    """Places on the equator, east of Greenwich."""
    ids = np.array([f"s{i:02d}" for i in range(len(degrees))], dtype=object)
    return Places(ids, np.zeros(len(ids)), np.array(degrees), np.full(len(ids), np.nan))


def test_forecasts_are_taken_over_by_date_and_distance() -> None:
    degrees = [1.0, -2.0, 4.0, 5.0]
    scale = np.array([1.0, 2.0, 4.0, 8.0])
    state = state_of(np.full(4, 5.0), scale[:, None] ** 2 * [1.0, 0.0, 0.0])
    anomaly = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [np.nan, 100.0, 200.0], [7.0, 8.0, 9.0]])
    stamps = np.array([[7, 8, 9], [5, 6, 7], [7, 8, 9], [9, 10, 11]])  # the second ended earlier, the last later
    wanted = np.array([7, 8, 9])
    got = cold.forecast(state, line(degrees), at(0.0, 0.0), 5 + scale[:, None] * anomaly, stamps, wanted)
    near = 1 / np.abs(degrees)
    size = np.sqrt((near * scale**2).sum() / near.sum())
    want = [
        (near[0] * 1 + near[1] * 30) / (near[0] + near[1]),
        (near[0] * 2 + near[2] * 100) / (near[0] + near[2]),
        (near[0] * 3 + near[2] * 200 + near[3] * 7) / (near[0] + near[2] + near[3]),
    ]
    np.testing.assert_allclose(got[0], 5 + size * np.array(want), rtol=1e-9)


def test_the_five_nearest_that_forecast_a_step_are_asked() -> None:
    degrees = np.arange(1.0, 21.0)
    point = np.tile(np.arange(20.0)[:, None], (1, 3))
    point[[0, 3], 1] = np.nan
    stamps = np.tile(np.arange(3), (20, 1))
    known = line(list(degrees))
    got = cold.forecast(state_of(np.zeros(20)), known, at(0.0, 0.0), point, stamps, np.arange(3))

    def mean(chosen: list[int]) -> float:
        return float(np.average(chosen, weights=1 / degrees[chosen]))

    np.testing.assert_allclose(got[0, :2], [mean([0, 1, 2, 3, 4]), mean([1, 2, 4, 5, 6])], rtol=1e-9)
    point[:12] = np.nan  # series that ended long ago do not stand in the way of those beyond them
    got = cold.forecast(state_of(np.zeros(20)), known, at(0.0, 0.0), point, stamps, np.arange(3))
    np.testing.assert_allclose(got[0], mean([12, 13, 14, 15, 16]), rtol=1e-9)


def test_on_top_of_a_station_its_forecast_counts_most() -> None:
    known = line([0.0, 0.5, 1.0, 1.5])
    point = np.array([[1.0], [0.0], [0.0], [0.0]])
    got = cold.forecast(state_of(np.zeros(4)), known, at(0.0, 0.0), point, np.zeros((4, 1)), np.zeros(1))
    assert 0.95 < got[0, 0] < 1


def test_without_any_forecast_a_place_is_expected_at_its_normal() -> None:
    known = places(5, high=False)
    state = state_of(np.full(5, 3.0))
    stamps = np.arange(H)
    got = cold.forecast(state, known, at(40.0, 178.0), np.full((5, H), np.nan), np.tile(stamps, (5, 1)), stamps)
    np.testing.assert_allclose(got, 3.0, atol=1e-12)


def test_a_station_without_normal_or_place_lends_nothing() -> None:
    known = places(30)
    panel = monthly(known)
    state = normals.fit(panel, places=known)
    wanted = stamps_after(panel)
    stamps = np.tile(wanted, (30, 1))
    point = normals.at(state, np.arange(30), stamps)[0] + np.random.default_rng(0).normal(size=(30, H))
    others = places(4, seed=8, prefix="x")
    keep = np.arange(30) > 1
    few = state | {key: state[key][keep] for key in ("coef", "since", "spread")}
    want = cold.forecast(few, known.take(keep), others, point[keep], stamps[keep], wanted)
    state["coef"][0] = np.nan
    lat = np.where(np.arange(30) == 1, np.nan, known.lat)
    unknown = Places(known.ids, lat, known.lon, known.elevation)
    np.testing.assert_array_equal(cold.forecast(state, unknown, others, point, stamps, wanted), want)


def test_the_order_of_stations_changes_no_bit_of_a_forecast() -> None:
    known, others = places(60), places(6, seed=8, prefix="x")
    panel = monthly(known)
    state = normals.fit(panel, places=known)
    wanted = stamps_after(panel)
    stamps = np.tile(wanted, (60, 1))
    point = normals.at(state, np.arange(60), stamps)[0] + np.random.default_rng(0).normal(size=(60, H))
    want = cold.forecast(state, known, others, point, stamps, wanted)
    order = np.random.default_rng(3).permutation(60)
    mixed = state | {key: state[key][order] for key in ("coef", "since", "spread")}
    np.testing.assert_array_equal(cold.forecast(mixed, known.take(order), others, point[order], stamps, wanted), want)


# Errors and widths.


def test_errors_are_those_of_places_taken_out() -> None:
    known = places(25)
    panel = monthly(known)
    twins = np.arange(25)
    twins[[4, 11]] = 4
    state = normals.fit(panel, places=known)
    wanted = np.stack([stamps_after(panel) + np.timedelta64(31 * c, "D") for c in range(3)])
    wanted = wanted.astype("datetime64[M]").astype("datetime64[us]")
    stamps = np.broadcast_to(wanted, (25, 3, H))
    rng = np.random.default_rng(0)
    point = normals.at(state, np.arange(25), stamps)[0] + rng.normal(size=stamps.shape)
    actual = point + rng.normal(size=stamps.shape)
    point[2, 1] = np.nan
    got = cold.errors(state, known, point, actual, stamps, twins)
    for i in (0, 2, 4, 11, 20):
        keep = twins != twins[i]
        rest = state | {key: state[key][keep] for key in ("coef", "since", "spread")}
        for c in range(3):
            told = cold.forecast(
                rest,
                known.take(keep),
                known.take(np.array([i])),
                point[keep, c],
                stamps[keep, c],
                wanted[c],
                twins[keep],
            )
            np.testing.assert_allclose(got[i, c], actual[i, c] - told[0], atol=1e-9)


def test_errors_are_missing_where_nothing_can_be_said() -> None:
    known = places(6, high=False)
    lost = Places(known.ids, np.where(np.arange(6) == 2, np.nan, known.lat), known.lon, known.elevation)
    stamps = np.tile(np.arange(H), (6, 2, 1))
    actual = np.ones((6, 2, H))
    actual[1, 0, 3] = np.nan
    got = cold.errors(state_of(np.ones(6)), lost, np.ones((6, 2, H)), actual, stamps)
    want = np.zeros((6, 2, H))
    want[2], want[1, 0, 3] = np.nan, np.nan
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_a_neighbour_ahead_in_time_is_not_taken_over() -> None:
    known = places(3, high=False)
    stamps = np.tile(np.arange(H), (3, 1, 1))
    stamps[1] += 1
    point = np.full((3, 1, H), 9.0)
    got = cold.errors(state_of(np.full(2, 4.0)), known.take(np.array([0, 1])), point[:2], point[:2], stamps[:2])
    np.testing.assert_allclose(got, 5.0, atol=1e-12)  # each is told its normal, 4, alone


def test_widths_are_ranks_of_the_errors_around() -> None:
    known = places(12, high=False)
    missed = np.random.default_rng(0).normal(size=(12, 30, H))
    inside = at(40.0, 178.0)
    got = cold.half_widths(missed, known, inside, (50.0, 90.0))
    near = np.sort(np.where(np.eye(12) > 0, np.inf, _table(known)), axis=1)[:, 0]
    closest = distance(known.lat, known.lon, 40.0, 178.0).min()
    stretch = max(1.0, closest / np.median(near)) ** 0.2
    for q, level in enumerate((50, 90)):
        ordered = np.sort(np.abs(missed).reshape(-1, H), axis=0)
        rank = int(np.ceil((len(ordered) + 1) * level / 100))
        np.testing.assert_allclose(got[0, :, q], stretch * ordered[rank - 1], rtol=1e-9)


def _table(known: Places) -> Float:
    return distance(known.lat[:, None], known.lon[:, None], known.lat, known.lon)


def test_isolated_places_get_wider_intervals_and_few_errors_none() -> None:
    known = places(12, high=False)
    missed = np.random.default_rng(0).normal(size=(12, 30, H))
    near, far = (cold.half_widths(missed, known, at(lat, 178.0), (80.0,)) for lat in (40.0, -20.0))
    assert (far > 1.5 * near).all()
    assert np.isnan(cold.half_widths(missed[:, :1] * np.nan, known, at(40.0, 178.0), (80.0,))).all()
    lone = cold.half_widths(missed[:1, :2], known.take(np.array([0])), at(40.0, 178.0), (80.0,))
    assert np.isnan(lone).all()  # two errors tell of no interval of 80 %


def test_widths_come_from_at_most_fifty_origins_a_place() -> None:
    known = places(12, high=False)
    missed = np.random.default_rng(0).normal(size=(12, 120, H))
    got = cold.half_widths(missed, known, at(40.0, 178.0), (80.0,))
    np.testing.assert_array_equal(got, cold.half_widths(missed[:, ::3], known, at(40.0, 178.0), (80.0,)))


def test_twins_do_not_make_their_surroundings_seem_dense() -> None:
    known = line([0.0, 5.0, 10.0, 15.0, 20.0])
    doubled = line([0.0, 5.0, 10.0, 15.0, 20.0, 0.001, 5.001, 10.001, 15.001, 20.001])
    missed = np.random.default_rng(0).normal(size=(5, 30, H))
    far = at(0.0, 40.0)
    want = cold.half_widths(missed, known, far, (80.0,))
    twice = np.concatenate([missed, missed])
    got = cold.half_widths(twice, doubled, far, (80.0,), np.tile(np.arange(5), 2))
    np.testing.assert_allclose(got, want, rtol=1e-12)


# What is said.


def test_places_without_coordinates_are_listed() -> None:
    nowhere = Places(np.array(["p", "q"], dtype=object), np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), np.zeros(2))
    with pytest.raises(ConfigError, match=r"Blend: .* lat and lon for p$"):
        cold.check(places(3), nowhere, "Blend")
    with pytest.raises(ConfigError, match="no place with coordinates and cannot forecast q"):
        cold.check(nowhere.take(np.array([0])), nowhere.take(np.array([1])), "Blend")


def test_a_lack_of_elevation_is_told() -> None:
    with pytest.warns(DataWarning, match="no elevation for x: told by position alone"):
        cold.check(places(3), at(40.0, 178.0), "Blend")
    both = Places(np.array(["x", "z"]), np.full(2, 40.0), np.full(2, 178.0), np.array([10.0, np.nan]))
    with pytest.warns(DataWarning, match="no elevation for z: told"):
        cold.check(places(3), both, "Blend")
    third = Places(places(3).ids, places(3).lat, places(3).lon, np.array([np.nan, 10.0, np.nan]))
    with pytest.warns(DataWarning, match="most places it was fitted on have no elevation: x are told"):
        cold.check(third, at(40.0, 178.0, 10.0), "Blend")
    with pytest.warns(DataWarning, match="most places it was fitted on have no elevation: x are told"):
        cold.check(places(3, high=False), at(40.0, 178.0, 10.0), "Blend")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cold.check(places(3), at(40.0, 178.0, 10.0), "Blend")


# Stations of Colorado, each left out, 1986-1997 from rows up to 1985.


def test_colorado_from_the_neighbours_beats_their_raw_mean() -> None:
    table, static = load("colorado", static=True)
    panel = Panel.from_table(table, static=static)
    cut = int(np.searchsorted(panel.grid, np.datetime64("1986-01-01")))
    where = places_of(panel.static, panel.ids, "test")
    state = normals.fit(panel.upto(cut - 1), places=where)
    n, late = len(panel), panel.grid[cut:]
    stamps = np.broadcast_to(late, (n, 1, len(late)))
    whole = np.full((n, len(panel.grid)), np.nan)
    whole[panel.owner, panel.position(panel.rows, panel.owner)] = panel.y[panel.rows]
    judged = (np.isfinite(whole[:, :cut]).sum(axis=1) >= 120) & (np.isfinite(whole[:, cut:]).sum(axis=1) >= 120)
    actual = whole[:, None, cut:]
    point = normals.at(state, np.arange(n), stamps)[0]

    def rmse(missed: Float) -> float:
        return float(np.sqrt(np.nanmean(missed[judged] ** 2)))

    with_height = rmse(cold.errors(state, where, point, actual, stamps))
    bare = Places(where.ids, where.lat, where.lon, np.full(n, np.nan))
    without = rmse(cold.errors(state, bare, point, actual, stamps))
    lends = np.flatnonzero(np.isfinite(point).all(axis=(1, 2)))
    table_km = np.where(np.eye(n) > 0, np.inf, _table(where))[:, lends]
    five = lends[np.argsort(table_km, axis=1)[:, :5]]
    raw = rmse(actual - point[five].mean(axis=1))
    assert judged.sum() == 156
    assert with_height <= 2.10
    assert with_height <= 0.88 * raw
    assert with_height < without < raw
