"""Places never seen: local regression, forecasts taken over from neighbours, and how honest their errors are."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsforecast import normals
from tsforecast.compose import cold
from tsforecast.datasets import load
from tsforecast.errors import ConfigError, DataWarning
from tsforecast.geography import EARTH_KM, Places, distance, places_of, spatial
from tsforecast.panel import Float, Panel

H = 6


def places(
    n: int, seed: int = 0, *, wide: float = 3.0, prefix: str = "s", high: bool = True, top: float = 3000
) -> Places:
    rng = np.random.default_rng(seed)
    lat, lon = 40 + rng.uniform(-wide, wide, n), 178 + rng.uniform(-wide, wide, n)  # across the date line
    elevation = rng.uniform(0, top, n) if high else np.full(n, np.nan)
    ids = np.array([f"{prefix}{i:03d}" for i in range(n)], dtype=object)
    return places_of({"lat": lat, "lon": lon, "elevation": elevation}, ids, "test", quiet=True)


def at(lat: float, lon: float, elevation: float = np.nan, name: str = "x") -> Places:
    return Places(np.array([name], dtype=object), np.array([lat]), np.array([lon]), np.array([elevation]))


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


def told_slowly(known: Places, lat: float, lon: float, elevation: float, values: Float, climbs: bool) -> Float:
    """One place by plain loops: a weighted ridge regression, and the inverse-distance mean of its residuals."""
    km = distance(known.lat, known.lon, lat, lon)
    order = sorted(range(len(known)), key=lambda i: (round(float(km[i]), 6), known.ids[i]))[: spatial.LOCAL]
    seen = [i for i in order if np.isfinite(known.elevation[i])]
    climbs = climbs and np.isfinite(elevation) and len(seen) > 0 and 2 * len(seen) >= len(order)
    order = seen if climbs else order
    w = np.array([1 / (km[i] + spatial.SOFT_KM) for i in order])
    w /= w.sum()
    here = Places(np.array(["x"]), np.array([lat]), np.array([lon]), np.array([elevation])).vectors[0]
    x = np.array([[*(known.vectors[i] - here), known.elevation[i] if climbs else 0.0] for i in order])
    x[:, :3] *= EARTH_KM
    centre = w @ x
    size = np.sqrt(w @ (x - centre) ** 2)
    size[:3] = np.sqrt((size[:3] ** 2).sum())
    size = np.maximum(size, spatial.LEAST)
    z = (x - centre) / size
    y = np.array([values[i] for i in order])
    mean = w @ y
    # Ridge as least squares on rows of the penalty: solved by singular values.
    known_units = np.array([spatial.KNOWN_KM] * 3 + [spatial.KNOWN_M]) / size
    penalty = np.sqrt(np.diag(np.array([spatial.RIDGE] * 3 + [spatial.STEEP]) + known_units**2))
    left = np.concatenate([z * np.sqrt(w)[:, None], penalty])
    right = np.concatenate([(y - mean) * np.sqrt(w)[:, None], np.zeros((4, y.shape[1]))])
    slopes = np.linalg.lstsq(left, right, rcond=None)[0]
    residual = y - mean - z @ slopes
    r = np.array([1 / max(km[i], spatial.CLOSE_KM) for i in order[: spatial.MEAN]])
    r /= r.sum()
    own = (np.array([0.0, 0.0, 0.0, elevation if climbs else 0.0]) - centre) / size
    from_mean = own - r @ z[: spatial.MEAN]
    length = np.sqrt((from_mean[:3] ** 2).sum())
    from_mean[:3] *= min(1.0, spatial.REACH / length) if length > 0 else 1.0
    from_mean[3] = min(max(from_mean[3], -spatial.CLIMB), spatial.CLIMB)
    return mean + (r @ z[: spatial.MEAN] + from_mean) @ slopes + r @ residual[: spatial.MEAN]


# Local regression.


@pytest.mark.parametrize("n", [70, 12])
@pytest.mark.parametrize("some_unknown", [False, True])
def test_local_regression_agrees_with_plain_loops(some_unknown: bool, n: int) -> None:
    known, others = places(n, top=1000), places(9, seed=5, prefix="x", wide=4)
    if some_unknown:
        lost = np.arange(n) % 3 == 0
        known = Places(known.ids, known.lat, known.lon, np.where(lost, np.nan, known.elevation))
        others = Places(others.ids, others.lat, others.lon, np.where(np.arange(9) < 3, np.nan, others.elevation))
    # Two lie beyond what slopes are followed over: one far away, one high up.
    others = Places(
        np.array([f"x{i}" for i in range(11)], dtype=object),
        np.append(others.lat, [-40.0, 40.0]),
        np.append(others.lon, [0.0, 178.0]),
        np.append(others.elevation, [1500.0, 9000.0]),
    )
    values = np.random.default_rng(2).normal(size=(n, 3))
    got = spatial.around(known, others).regressed(values)
    for i in range(len(others)):
        want = told_slowly(known, others.lat[i], others.lon[i], others.elevation[i], values, True)
        np.testing.assert_allclose(got[i], want, atol=1e-9)


def test_left_out_is_what_the_others_tell() -> None:
    known = places(60)
    twins = np.arange(60)
    twins[7] = 3
    values = np.random.default_rng(2).normal(size=(60, 2))
    got = spatial.left_out(known, location=twins, elevation=False).regressed(values)
    for i in (0, 3, 7, 30):
        keep = (twins != twins[i]) & (np.arange(60) != 7)  # of twins the first stands for both
        want = told_slowly(known.take(keep), known.lat[i], known.lon[i], np.nan, values[keep], False)
        np.testing.assert_allclose(got[i], want, atol=1e-9)


def test_what_is_linear_in_position_and_height_is_found_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spatial, "RIDGE", 1e-13)
    monkeypatch.setattr(spatial, "STEEP", 1e-13)
    monkeypatch.setattr(spatial, "KNOWN_KM", 1e-9)
    monkeypatch.setattr(spatial, "KNOWN_M", 1e-9)
    known, others = places(80), places(12, seed=3, wide=2.5, prefix="x")
    slopes = np.array([[900.0, 5.0], [-400.0, 1.0], [300.0, -9.0]])
    lapse = np.array([-6.5e-3, 1e-3])
    values, want = (p.vectors @ slopes + p.elevation[:, None] * lapse for p in (known, others))
    np.testing.assert_allclose(spatial.around(known, others).regressed(values), want, atol=1e-5)


def test_weights_sum_to_one_and_means_stay_within_the_neighbours() -> None:
    known, others = places(50), places(20, seed=4, wide=8, prefix="x")
    told = spatial.around(known, others)
    np.testing.assert_allclose(told.local.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(told.near.sum(axis=1), 1, atol=1e-12)
    assert (told.near >= 0).all()
    np.testing.assert_allclose(told.regressed(np.full((50, 1), 7.0)), 7.0, atol=1e-11)
    assert ((told.near > 0).sum(axis=1) == spatial.MEAN).all()


def test_on_top_of_a_station_a_place_is_nearly_that_station() -> None:
    known = places(40)
    values = 6.5e-3 * known.elevation[:, None] + np.random.default_rng(0).normal(size=(40, 1))
    got = spatial.around(known, known).regressed(values)
    assert np.abs(got - values).max() < 0.1 * values.std()


def test_flat_country_tells_of_no_slope_along_elevation() -> None:
    base = places(40)
    flat = Places(base.ids, base.lat, base.lon, 100 + np.arange(40) % 5.0)
    values = np.random.default_rng(0).normal(size=(40, 1))
    got = spatial.around(flat, at(40.0, 178.0, 3000.0)).regressed(values)
    assert abs(got[0, 0]) < 3


@given(n=st.integers(1, 4), seed=st.integers(0, 50), one_point=st.booleans(), in_line=st.booleans())
@settings(max_examples=40, deadline=None)
def test_few_places_in_a_line_or_at_one_point_are_borne(n: int, seed: int, one_point: bool, in_line: bool) -> None:
    known = places(n, seed)
    lat = np.full(n, 40.0) if one_point or in_line else known.lat
    lon = np.full(n, 178.0) if one_point else known.lon
    known = Places(known.ids, lat, lon, known.elevation)
    values = np.random.default_rng(seed).normal(size=(n, 2))
    got = spatial.around(known, places(3, seed + 1, prefix="x")).regressed(values)
    # A slope between two stations is followed over two spreads at most along the globe, and to any height.
    assert np.isfinite(got).all()
    if n == 1:
        np.testing.assert_allclose(got, np.tile(values, (3, 1)), atol=1e-12)
    alone = spatial.left_out(known).regressed(values)
    assert np.isnan(alone).all() if n == 1 else np.isfinite(alone).all()


def test_the_order_of_places_and_whole_turns_change_no_bit() -> None:
    known, others = places(90), places(7, seed=9, prefix="x")
    values = np.random.default_rng(1).normal(size=(90, 4))
    want = spatial.around(known, others).regressed(values)
    order = np.random.default_rng(2).permutation(90)
    np.testing.assert_array_equal(spatial.around(known.take(order), others).regressed(values[order]), want)
    turned = places_of(
        {"lat": others.lat, "lon": others.lon + 360, "elevation": others.elevation}, others.ids, "test", quiet=True
    )
    np.testing.assert_array_equal(spatial.around(known, turned).regressed(values), want)
    for some in (np.array([4, 1]), np.array([2])):
        np.testing.assert_array_equal(spatial.around(known, others.take(some)).regressed(values), want[some])
    out = spatial.left_out(known).regressed(values)
    np.testing.assert_array_equal(spatial.left_out(known.take(order)).regressed(values[order]), out[order])


# Forecasts.


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
