"""Places on the globe: distances, neighbours, twins, clusters and fields against brute force."""

import itertools
import math
import time

import numpy as np
import pytest
from builders import table
from hypothesis import given
from hypothesis import strategies as st

from tsforecast.errors import ConfigError
from tsforecast.findings import as_panel
from tsforecast.geography import (
    EARTH_KM,
    Clusters,
    Field,
    Places,
    clusters,
    distance,
    field,
    filled,
    kilometres,
    locations,
    nearest,
    nearest_to,
    persistence,
    places_of,
)
from tsforecast.geography import kmeans as kmeans_module
from tsforecast.geography import neighbours as neighbours_module
from tsforecast.panel import Panel


def vincenty(lat1, lon1, lat2, lon2):
    """Great-circle kilometres on a sphere, exact near 0 and near the antipode alike."""
    a, b, turn = math.radians(lat1), math.radians(lat2), math.radians(lon2 - lon1)
    across = math.hypot(
        math.cos(b) * math.sin(turn), math.cos(a) * math.sin(b) - math.sin(a) * math.cos(b) * math.cos(turn)
    )
    along = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)
    return EARTH_KM * math.atan2(across, along)


def haversine(lat1, lon1, lat2, lon2):
    a, b = math.radians(lat1), math.radians(lat2)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(half))


def made(points, ids=None):
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    names = np.array([f"p{i:03d}" for i in range(len(points))] if ids is None else ids, dtype=object)
    return places_of({"lat": points[:, 0], "lon": points[:, 1]}, names, "KNN", quiet=True)


def brute(places, k, location, targets=None):
    """Neighbours by definition: every distance worked out, ties (to a centimetre) by id."""
    order = sorted((i for i in range(len(places)) if places.known[i]), key=lambda i: places.ids[i])
    first = {}
    for i in order:
        first.setdefault(location[i], i)
    index, km = [], []
    for i in range(len(places if targets is None else targets)):
        here = (places if targets is None else targets).take(slice(i, i + 1))
        found = []
        for j in first.values() if here.known[0] else ():
            if targets is not None or location[j] != location[i]:
                far = vincenty(here.lat[0], here.lon[0], places.lat[j], places.lon[j])
                found.append((round(far, 5), places.ids[j], j, far))
        found = sorted(found)[:k]
        index.append([f[2] for f in found] + [-1] * (k - len(found)))
        km.append([f[3] for f in found] + [np.inf] * (k - len(found)))
    return np.array(index).reshape(-1, k), np.array(km).reshape(-1, k)


# Whole degrees make exact ties, poles, one point many times over, and neighbours across the date line.
LATTICE = st.tuples(
    st.one_of(st.integers(-90, 90), st.sampled_from([-90, 90, 0, 1])),
    st.one_of(st.integers(-180, 180), st.sampled_from([-180, 180, 179, -179, 0])),
)
GLOBE = st.lists(st.one_of(LATTICE, st.tuples(st.just(math.nan), st.just(0))), min_size=1, max_size=25)


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180), st.sampled_from([-360, 0, 360])
)
def test_distance_is_haversine(lat1, lon1, lat2, lon2, turn) -> None:
    got = float(distance(lat1, lon1 + turn, lat2, lon2))
    assert got == pytest.approx(haversine(lat1, lon1, lat2, lon2), rel=1e-9, abs=2e-4)
    assert got == pytest.approx(vincenty(lat1, lon1, lat2, lon2), rel=1e-9, abs=2e-4)


def test_distance_of_places_close_together_is_exact() -> None:
    assert float(distance(50, 8, 50.00001, 8)) == pytest.approx(EARTH_KM * math.radians(0.00001), rel=1e-8)
    assert float(distance(90, 0, 90, 77)) == pytest.approx(0, abs=1e-9)
    assert distance([0, 0], [0, 0], [0, 90], [180, 0]) == pytest.approx([math.pi * EARTH_KM, math.pi * EARTH_KM / 2])
    assert pytest.approx((2 * 6378.137 + 6356.7523) / 3, abs=1e-4) == EARTH_KM  # the axes of WGS 84
    assert kilometres(np.array([np.inf, 2.0 + 1e-15]))[0] == np.inf


def test_suva_looks_across_the_date_line() -> None:
    names = ["apia", "brisbane", "port vila", "suva", "wellington"]
    degrees = [(-13.8333, -171.7667), (-27.47, 153.03), (-17.7333, 168.3167), (-18.1416, 178.4419), (-41.29, 174.78)]
    found = nearest(made(degrees, names), 2)
    assert [names[i] for i in found.index[3]] == ["port vila", "apia"]
    assert found.km[3] == pytest.approx([1074, 1151], abs=2.5)  # measured on the ellipsoid


@given(GLOBE, st.integers(1, 7), st.data())
def test_nearest_is_brute_force(points, k, data) -> None:
    places = made(points, data.draw(st.permutations([f"p{i:03d}" for i in range(len(points))])))
    label = data.draw(st.lists(st.integers(0, 12), min_size=len(points), max_size=len(points)))
    for location in (None, np.array(label)):
        got = nearest(places, k, location)
        index, km = brute(places, k, np.arange(len(places)) if location is None else location)
        np.testing.assert_array_equal(got.index, index)
        np.testing.assert_allclose(got.km, km, rtol=1e-9, atol=2e-4)


@given(GLOBE, GLOBE, st.integers(1, 7))
def test_nearest_to_is_brute_force(points, others, k) -> None:
    places, targets = made(points), made(others)
    got = nearest_to(places, targets, k)
    index, km = brute(places, k, np.arange(len(places)), targets)
    np.testing.assert_array_equal(got.index, index)
    np.testing.assert_allclose(got.km, km, rtol=1e-9, atol=2e-4)


def test_nearest_to_takes_one_of_each_location() -> None:
    places = made([(0, 0), (0, 0.001), (0, 5)])
    assert nearest_to(places, made([(0, 1)]), 2, np.array([0, 0, 1])).index.tolist() == [[0, 2]]


def test_ties_beyond_all_slack_go_by_id() -> None:
    # A pole in the middle of rings: 359 places at one distance, the same number at the next.
    rings = [(lat, lon) for lat in (80, 70) for lon in range(-180, 179)]
    ids = np.random.default_rng(0).permutation(len(rings) + 1)
    places = made([(90, 12), *rings], ids)
    got = nearest(places, 400).index[0]
    inner, outer = ids[1:360], ids[360:]
    assert ids[got].tolist() == sorted(inner) + sorted(outer)[:41]


def test_many_places_at_one_point_are_told_apart_by_id() -> None:
    ids = np.random.default_rng(1).permutation(500)
    places = made([(10, 20)] * 499 + [(10, 21)], ids)
    got = nearest(places, 30)
    for i in (0, 100, 499):
        smallest = sorted(set(ids[:499].tolist()) - {ids[i]})[:30]
        assert ids[got.index[i]].tolist() == smallest
    assert np.all(got.km[:499] == 0)


@given(GLOBE, st.randoms(use_true_random=False))
def test_the_order_of_places_and_whole_turns_change_no_bit(points, random) -> None:
    places, order = made(points), list(range(len(points)))
    random.shuffle(order)
    turned = made([(lat, lon + 360 * random.choice([-1, 1])) for lat, lon in points])
    moved = turned.take(np.array(order))
    rows = np.random.default_rng(len(points)).integers(0, 2, (6, len(points))).astype(float)
    here = locations(places, Field(rows, 0))
    there = locations(moved, Field(rows[:, order], 0))
    np.testing.assert_array_equal(there, here[order])
    back = np.append(np.argsort(order), -1)  # -1 stays -1
    one, two = nearest(places, 4, here), nearest(moved, 4, there)
    np.testing.assert_array_equal(two.index, back[one.index][order])
    assert two.km.tobytes() == one.km[order].tobytes()
    one_c, two_c = clusters(places, 3), clusters(moved, 3)
    np.testing.assert_array_equal(two_c.label, one_c.label[order])
    assert two_c.centres.tobytes() == one_c.centres.tobytes()


def test_a_hundred_thousand_places_take_seconds() -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    places = Places(np.arange(n).astype(object), lat, rng.uniform(-180, 180, n), np.full(n, np.nan))
    began = time.process_time()
    found = nearest(places, 20, np.arange(n))
    assert time.process_time() - began < 10
    assert np.all(np.diff(found.km, axis=1) >= 0)
    some = rng.integers(0, n, 20)
    far = distance(places.lat[some, None], places.lon[some, None], places.lat, places.lon)
    np.testing.assert_array_equal(found.index[some], np.argsort(far, axis=1)[:, 1:21])


def test_blocks_change_nothing(monkeypatch) -> None:
    places = made(np.random.default_rng(3).uniform(-80, 80, (50, 2)))
    whole = nearest(places, 5)
    monkeypatch.setattr(neighbours_module, "BLOCK", 7)
    np.testing.assert_array_equal(nearest(places, 5).index, whole.index)


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_a_number_of_neighbours_or_clusters_is_whole(k) -> None:
    with pytest.raises(ConfigError, match="k must be a whole number of at least 1"):
        nearest(made([(0, 0)]), k)
    with pytest.raises(ConfigError, match="k must be a whole number of at least 1"):
        clusters(made([(0, 0)]), k)


# Twins


def brute_locations(places, values):
    """Twins by definition and twins of twins by walking; numbers in the order of the smallest ids."""
    n = len(places)
    twin = np.zeros((n, n), dtype=bool)
    for i, j in itertools.permutations(range(n), 2):
        if not (places.known[i] and places.known[j]):
            continue
        x, y = values[:, i], values[:, j]
        both = np.isfinite(x) & np.isfinite(y)
        shorter = min(np.isfinite(x).sum(), np.isfinite(y).sum())
        close = vincenty(places.lat[i], places.lon[i], places.lat[j], places.lon[j]) < 1
        twin[i, j] = close and both.any() and both.sum() >= shorter / 2 and np.array_equal(x[both], y[both])
    number = np.full(n, -1)
    for count, root in enumerate(sorted(range(n), key=lambda i: places.ids[i])):
        open_ = [root] if number[root] < 0 else []
        while open_:
            i = open_.pop()
            number[i] = count
            open_ += [j for j in range(n) if twin[i, j] and number[j] < 0]
    return np.unique(number, return_inverse=True)[1]


@given(st.integers(1, 14), st.integers(1, 9), st.integers(0, 10_000), st.sampled_from([2, 100_000]))
def test_locations_are_brute_force(n, rows, seed, pairs) -> None:
    rng = np.random.default_rng(seed)
    points = rng.choice([[0.0, 0.0], [0.0, 0.008], [0.0, 0.016], [5.0, 5.0], [np.nan, 0.0]], n)
    values = np.repeat(rng.integers(0, 2, (rows, 1)), n, axis=1).astype(float)
    values[rng.random((rows, n)) < 0.02] = 7.0
    values[rng.random((rows, n)) < rng.choice([0.1, 0.5])] = np.nan
    places = made(points, rng.permutation([f"p{i:03d}" for i in range(n)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours_module, "PAIRS", pairs)
        patch.setattr(neighbours_module, "ROWS", min(pairs, 32))
        got = locations(places, Field(values, 0))
    np.testing.assert_array_equal(got, brute_locations(places, values))


def test_a_twin_is_nobodys_neighbour_twice() -> None:
    values = np.random.default_rng(0).normal(size=(20, 4))
    values[:, 1] = values[:, 0]  # b is a's twin, d lies as near but is a place of its own
    places = made([(0, 0), (0, 0.001), (0, 1), (0, 0.001)], ["a", "b", "c", "d"])
    location = locations(places, Field(values, 0))
    assert location.tolist() == [0, 0, 1, 2]
    assert nearest(places, 3, location).index.tolist() == [[3, 2, -1], [3, 2, -1], [3, 0, -1], [0, 2, -1]]


# Clusters


def inertia(points, label):
    return sum(((points[label == c] - points[label == c].mean(axis=0)) ** 2).sum() for c in set(label.tolist()))


@pytest.mark.parametrize("seed", range(8))
def test_clusters_of_few_places_are_the_best_of_all_partitions(seed) -> None:
    places = made(np.random.default_rng(seed).uniform([-90, -180], [90, 180], (8, 2)))
    for k in (2, 3):
        best = min(
            inertia(places.vectors, np.array(label))
            for label in itertools.product(range(k), repeat=8)
            if len(set(label)) == k and label[0] == 0
        )
        assert inertia(places.vectors, clusters(places, k).label) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("work", [0, kmeans_module.WORK])
def test_clusters_stand_still_and_are_numbered_by_id(work, monkeypatch) -> None:
    from scipy.cluster.vq import kmeans2

    monkeypatch.setattr(kmeans_module, "WORK", work)
    rng = np.random.default_rng(5)
    points = rng.uniform([-70, -180], [70, 180], (20, 2)).repeat(15, axis=0) + rng.normal(scale=4, size=(300, 2))
    places = made(points, rng.permutation(300))
    got = clusters(places, 20)
    vectors = places.vectors
    away = ((vectors[:, None] - got.centres) ** 2).sum(axis=2)
    np.testing.assert_array_equal(got.label, away.argmin(axis=1))
    for c in range(20):
        np.testing.assert_allclose(got.centres[c], vectors[got.label == c].mean(axis=0), atol=1e-11)
    assert list(dict.fromkeys(got.label[np.argsort(places.ids)].tolist())) == list(range(20))
    rivals = [kmeans2(vectors, 20, minit="++", rng=start, missing="raise") for start in range(50)]
    best = min(((vectors - centres[label]) ** 2).sum() for centres, label in rivals)
    assert inertia(vectors, got.label) <= (1.001 if work else 1.5) * best  # plain draws, for very many places, do worse
    np.testing.assert_array_equal(got.label_of(places), got.label)
    assert clusters(places, 20, seed=1).label.shape == (300,)


def test_clusters_know_no_date_line_and_no_pole() -> None:
    east_west = made([(10, 179.9), (10, -179.9), (10, 178), (10, 0), (11, 1), (np.nan, 0)])
    got = clusters(east_west, 2)
    assert got.label.tolist() == [0, 0, 0, 1, 1, -1]
    pole = made([(90, lon) for lon in range(-180, 180, 20)] + [(-90, 5)])
    assert clusters(pole, 7).label.tolist() == [0] * 18 + [1]
    assert got.label_of(made([(-10, 170), (50, 20), (np.nan, 3)])).tolist() == [0, 1, -1]


@pytest.mark.parametrize("work", [0, kmeans_module.WORK])
def test_no_more_clusters_than_points(work, monkeypatch) -> None:
    monkeypatch.setattr(kmeans_module, "WORK", work)
    places = made([(0, 0)] * 3 + [(5, 5)] * 3)
    for k in (2, 3, 50):
        got = clusters(places, k)
        assert got.label.tolist() == [0, 0, 0, 1, 1, 1]
        assert got.centres.shape == (2, 3)
    nowhere = clusters(made([(np.nan, 1)]), 2)
    assert nowhere.label.tolist() == [-1]
    assert Clusters(nowhere.label, nowhere.centres).label_of(places).tolist() == [-1] * 6


def test_an_empty_cluster_moves_to_the_farthest_places() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [9, 0, 0], [9, 0, 0], [0, 7, 0]])
    centres = kmeans_module._means(points, np.zeros(5, dtype=np.int64), 3)
    np.testing.assert_allclose(centres, [[3.8, 1.4, 0], [0, 7, 0], [9, 0, 0]])


# Fields


def brute_field(panel, values, last):
    cells = {}
    for i in range(len(panel)):
        for row in range(panel.start[i], panel.stop[i]):
            cells[int(panel.position(np.array([row]), np.array([i]))[0]), i] = values[row]
    top, low = max(p for p, _ in cells), min(p for p, _ in cells)
    low = low if last is None else max(low, top - last + 1)
    out = np.full((top - low + 1, len(panel)), np.nan)
    for (p, i), value in cells.items():
        if p >= low:
            out[p - low, i] = value
    return out, low


def ragged(gaps):
    parts = [np.arange(10.0), 100 + np.arange(4.0), 200 + np.arange(7.0)]
    data = table(parts, freq="D")
    late = data["unique_id"] == "s001"
    data.loc[late, "ds"] = data.loc[late, "ds"] + np.timedelta64(3, "D")
    kept = data["ds"].dt.day != 5
    return as_panel(Panel.from_table(data[kept], gaps=gaps, freq="D"))


@pytest.mark.parametrize("gaps", ["fill", "ignore"])
@pytest.mark.parametrize("last", [None, 1, 3, 6, 99])
def test_field_is_laid_out_by_position(gaps, last) -> None:
    panel = ragged(gaps)
    cuts = np.array([[1, 1, 1], [5, 4, 6], [20, 20, 20]])
    for some in (panel, panel.upto(5), panel.cut(cuts), panel.take(np.array([2, 0])), panel.take(np.array([1]))):
        values = np.where(np.isin(np.arange(len(panel.y)), some.rows), panel.y, -1e9)  # other rows are poison
        got = field(some, values, last)
        expected, first = brute_field(some, values, last)
        np.testing.assert_array_equal(got.values, expected)
        assert got.first == first


def test_a_field_without_rows_is_empty() -> None:
    panel = Panel.from_arrays([[1.0, 2.0], [3.0, 4.0]]).upto(-1)
    for last in (None, 5):
        got = field(panel, panel.y, last)
        assert got.values.shape == (0, 2)
        assert filled(got, persistence(got)).shape == (0, 2)
        assert persistence(got).tolist() == [0, 0]
    assert locations(made([(0, 0), (0, 0)]), got).tolist() == [0, 1]


def test_persistence_is_the_correlation_of_neighbouring_rows() -> None:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=(60, 8)), axis=0) + 1e6
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 1] = 4.0  # constant
    values[:, 2] = [3.0, 1.0, 2.0, *[np.nan] * 57]  # two pairs
    values[::2, 3] = np.nan  # no pair
    values[:, 4] = np.where(np.arange(60) % 2, 1.0, -1.0)
    got = persistence(Field(values, 0))
    for i in range(8):
        x, y = values[:-1, i], values[1:, i]
        both = np.isfinite(x) & np.isfinite(y)
        alone = both.sum() < 3 or i == 1
        assert got[i] == pytest.approx(0 if alone else np.corrcoef(x[both], y[both])[0, 1], rel=1e-7, abs=1e-12)
    assert got[4] == pytest.approx(-1)
    assert np.all(np.abs(got) <= 1)


def test_persistence_of_an_autoregression_is_its_coefficient() -> None:
    from scipy.signal import lfilter

    values = lfilter([1.0], [1.0, -0.7], np.random.default_rng(0).normal(size=(20_000, 3)), axis=0)
    assert persistence(Field(values, 0)) == pytest.approx([0.7] * 3, abs=0.02)


@pytest.mark.parametrize("n", [2, 3, 64, 129])
def test_the_order_of_series_changes_no_bit_of_a_field(n) -> None:
    rng = np.random.default_rng(n)
    values, order = rng.normal(size=(500, n)), rng.permutation(n)
    values[rng.random(values.shape) < 0.1] = np.nan
    one, two = persistence(Field(values, 0)), persistence(Field(values[:, order], 0))
    assert two.tobytes() == one[order].tobytes()
    assert persistence(Field(values[:, :1], 0)).tobytes() == one[:1].tobytes()
    again = filled(Field(values[:, order], 0), two)
    assert again.tobytes() == filled(Field(values, 0), one)[:, order].tobytes()


@given(st.integers(0, 12), st.integers(1, 5), st.integers(0, 10_000))
def test_filled_is_brute_force(rows, n, seed) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, n))
    values[rng.random((rows, n)) < 0.6] = np.nan
    phi = rng.uniform(-1, 1, n)
    expected = np.zeros((rows, n))
    for i in range(n):
        last, gap = 0.0, 99
        for t in range(rows):
            last, gap = (values[t, i], 0) if np.isfinite(values[t, i]) else (last, gap + 1)
            expected[t, i] = last * phi[i] ** gap if gap <= 3 else 0.0
    got = filled(Field(values, 0), phi)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    seen = np.isfinite(values)
    assert got[seen].tobytes() == values[seen].tobytes()
