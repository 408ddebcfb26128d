"""Local regression on position and elevation against plain loops, where it is exact, and where it must hold back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsforecast.geography import EARTH_KM, Places, distance, places_of, spatial
from tsforecast.panel import Float


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
