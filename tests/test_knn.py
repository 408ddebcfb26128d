"""KNN against ridge regressions in plain loops, brute-force neighbours, and what no forecast may know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from direct import Loops, anomalies, haversine, own_columns, simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tsforecast import normals
from tsforecast.geography import places_of
from tsforecast.geography.regression import Ground, Terms, following, pooled
from tsforecast.models.knn import KNN
from tsforecast.panel import Panel
from tsforecast.rolling import origins, roll

Array = NDArray[Any]
H = 3
PENALTIES = (25.0, 100.0, 400.0, 1600.0, 6400.0)


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Nine places with 240 days."""
    return simulated(9, 240)


def point(model: KNN, panel: Panel, h: int = H) -> Array:
    """Forecasts (n, h) after the last rows."""
    return model.forecast(model.learn(panel, h, False), panel, h, np.empty((len(panel), h, 0)), ()).point


def neighbours(panel: Panel, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """The k nearest of each place by brute force, and their weights in the mean of the five nearest."""
    km = haversine(panel.static["lat"], panel.static["lon"])
    index, weight = [], []
    for i in range(len(panel)):
        order = sorted((j for j in range(len(panel)) if j != i), key=lambda j: (km[i, j], panel.ids[j]))[:k]
        close = [1 / max(km[i, j], 50.0) if place < 5 else 0.0 for place, j in enumerate(order)]
        index.append(order)
        weight.append([c / sum(close) for c in close])
    return index, weight


# The regression itself.


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "with gaps"])
def test_forecasts_are_those_of_explicit_ridge_regressions(panel: Panel, missing: bool) -> None:
    if missing:
        panel = simulated(9, 240, size=1.0)  # some within 50 km of each other
        y = panel.y.copy()
        y[np.random.default_rng(3).random(len(y)) < 0.15] = np.nan
        y[panel.start[2] : panel.start[2] + 40] = np.nan  # a place that begins later
        panel = panel.replace(y=y)
    model = KNN(6).fit(panel, h=H)
    fit = model.state_["fit"]
    values, _, normal = anomalies(panel)
    loops = Loops(values, by_hand_filled(values), *neighbours(panel, 6), stop=240)
    ahead, scale = normals.ahead(normal, panel, H)
    got = point(KNN(6), panel)
    penalties = {int(first): one[3] for first, one in fit["choice"].items()}
    by_step = [penalties[max(first for first in penalties if first <= step)] for step in range(1, H + 1)]
    for i in (0, 2, 5):
        told = [loops.forecast(i, 239, loops.fit(i, penalty, H))[step] for step, penalty in enumerate(by_step)]
        np.testing.assert_allclose(got[i], ahead[i] + scale[i] * told, rtol=0, atol=1e-8)


def by_hand_filled(values: Array) -> Array:
    """Gaps told by the last value, less by the lag-1 correlation a step, for three steps; then 0."""
    out = np.zeros(values.shape)
    for i, row in enumerate(values):
        both = np.isfinite(row[:-1]) & np.isfinite(row[1:])
        rho = np.corrcoef(row[:-1][both], row[1:][both])[0, 1]
        for t in range(len(row)):
            for gap in range(4):
                if t >= gap and np.isfinite(row[t - gap]):
                    out[i, t] = row[t - gap] * rho**gap
                    break
    return out


def test_the_penalty_is_the_one_of_least_held_out_error_and_errors_are_those_of_the_early_fit() -> None:
    panel = simulated(6, 120, seed=4)
    held = 120 // 4
    places = places_of(panel.static, panel.ids, "KNN")
    values, scale, _ = anomalies(panel, held, places=places)
    loops = Loops(values, values, *neighbours(panel, 4), stop=120 - held)
    model = KNN(4).fit(panel, h=2)
    mse = np.zeros((len(PENALTIES), 2))
    left = np.full((len(PENALTIES), 6, held, 2), np.nan)
    for p, penalty in enumerate(PENALTIES):
        for i in range(6):
            fits = loops.fit(i, penalty, 2)
            for back in range(held, 0, -1):
                told = loops.forecast(i, 119 - back, fits)
                for step in range(min(2, back)):
                    left[p, i, held - back, step] = values[i, 120 - back + step] - told[step]
        mse[p] = np.nanmean(left[p] ** 2, axis=(0, 1))
    bands = model.describe()["bands"]
    assert [band["steps"] for band in bands] == ["1", "2"]
    for step, band in enumerate(bands):
        best = int(np.argmin(mse[:, step]))
        assert band["pseudo_rows"] == PENALTIES[best]
        assert band["mse"] == pytest.approx(mse[best, step], rel=1e-9)
        ahead = np.stack(
            [scale[:, 120 - back + step] if back > step else np.full(6, np.nan) for back in range(held, 0, -1)], 1
        )
        np.testing.assert_allclose(model.state_["errors"][:, :, step], left[best, :, :, step] * ahead, atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.sampled_from(["D", "h", "MS", 1]), st.integers(0, 99))
def test_own_columns_are_those_of_a_loop(n: int, rows: int, freq: Any, seed: int) -> None:
    panel = Panel.from_arrays(
        np.random.default_rng(seed).normal(size=(n, rows)), freq=freq, start=0 if freq == 1 else "2020-01-01"
    )
    terms = Terms.of(panel)
    got = terms.columns(panel.y.reshape(n, rows))
    assert got.shape == (n, terms.count, rows)
    for i in range(n):
        for t in (0, rows // 2, rows - 1):
            want = own_columns(panel.y.reshape(n, rows)[i], t, terms.lags, terms.means)
            np.testing.assert_allclose(got[i, :, t], want, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.9))
def test_shared_moments_hold_the_rows_whose_target_is_known_and_no_other(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    n, rows, h = 4, 15, 3
    y = rng.normal(size=(n, rows))
    y[rng.random(y.shape) < share] = np.nan
    panel = Panel.from_arrays(y, freq="D", start="2020-01-01")
    held = rng.integers(0, 5, n)
    ground, groups = Ground.of(panel, held, np.arange(n)), np.array([0, 1, -1, 0])
    gram, cross = pooled(ground, lambda some: ground.own[some], groups, h)
    want, right = np.zeros_like(gram), np.zeros_like(cross)
    for i in (0, 1, 3):
        seen = np.flatnonzero(np.isfinite(y[i]))
        for t in range(seen[0] if len(seen) else rows, rows - held[i]):
            for step in range(1, h + 1):
                if t + step < rows - held[i] and np.isfinite(y[i, t + step]):
                    x = ground.own[i, :, t]
                    want[groups[i], step - 1] += np.outer(x, x)
                    right[groups[i], step - 1] += x * y[i, t + step]
    np.testing.assert_allclose(gram, want, atol=1e-10)
    np.testing.assert_allclose(cross, right, atol=1e-10)
    np.testing.assert_array_equal(following(y, 1)[:, 0, :-1], y[:, 1:])


def test_a_place_of_few_rows_goes_by_the_model_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsforecast.models.knn.choosing.PENALTIES", (1600.0,))
    panel = simulated(30, 400, seed=2)
    start = panel.start.copy()
    start[0] = panel.stop[0] - 12

    def added(panel: Panel) -> float:
        """What place 0 adds to the shared model, of which the tenth neighbour has no part."""
        plan = KNN(10).learn(panel, 1, False)["fit"]["kinds"]["neighbours"]
        assert not plan["weight"][:, 5:].any()
        return float(np.abs(plan["coef"][0, 5 + 2 * 5 :]).max())

    # (G + 1600 I) b = c, where c sums 12 products of values of about unit size.
    assert added(panel.replace(start=start)) < 12 / 1600 < added(panel)


# Clusters.


def test_clusters_are_seen_through_their_means_without_the_place_itself() -> None:
    panel = simulated(40, 300, seed=5)
    plan = KNN(8, "cluster").learn(panel, 2, False)["fit"]["kinds"]["cluster"]
    label, km = plan["label"], haversine(panel.static["lat"], panel.static["lon"])
    values, _, _ = anomalies(panel, places=places_of(panel.static, panel.ids, "KNN"))
    assert plan["clusters"] == len(np.unique(label)) == 8
    from tsforecast.models.knn.sources import view

    ground = Ground.of(panel.replace(y=values.ravel()), np.zeros(40, np.int64), np.argsort(panel.ids.astype(str)))
    seen = view(plan, ground).columns(np.arange(40), plan["index"].shape[1])[:, 5::2]
    for i in range(40):
        mates = [j for j in range(40) if label[j] == label[i] and j != i]
        alone = not mates
        if mates:
            assert plan["index"][i, 0] == 8 + i
            np.testing.assert_allclose(seen[i, 0], values[mates].mean(axis=0), atol=1e-12)
        others = plan["index"][i, 0 if alone else 1 :]
        others = others[others >= 0]
        assert label[i] not in others
        assert len(set(others)) == len(others)
        for place, j in enumerate(others, start=0 if alone else 1):
            np.testing.assert_allclose(seen[i, place], values[label == j].mean(axis=0), atol=1e-12)
        nearest = [km[i, label == j].mean() for j in others]
        assert nearest[0] < nearest[-1]


def test_modes_are_taken_by_held_out_error() -> None:
    panel = simulated(44, 500, seed=6)
    both, near, around = (
        KNN(mode=mode).fit(panel, h=4).describe()["bands"] for mode in ("auto", "neighbours", "cluster")
    )
    for one, two, three in zip(both, near, around, strict=True):
        assert one["mse"] == pytest.approx(min(two["mse"], three["mse"]), rel=1e-12)
        assert one["mode"] == ("neighbours" if two["mse"] <= three["mse"] else "cluster")


def test_one_number_of_clusters_serves_all_bands_by_the_errors_of_all() -> None:
    panel = simulated(44, 500, seed=6)
    by_count = {
        count: [band["mse"] for band in KNN(count, "cluster").fit(panel, h=4).describe()["bands"]]
        for count in (1, 4, 11)  # a thirtieth, an eleventh and a quarter of the places
    }
    unit = np.min(list(by_count.values()), axis=0)
    best = min(by_count, key=lambda count: float(np.sum(by_count[count] / unit)))
    chosen = KNN(mode="cluster").fit(panel, h=4).describe()["bands"]
    assert {band["clusters"] for band in chosen} == {best}
    np.testing.assert_allclose([band["mse"] for band in chosen], by_count[best], rtol=1e-9)


# What a forecast may know, and what changes nothing.


@pytest.mark.parametrize("model", [KNN(), KNN(4), KNN(4, "cluster"), KNN(raw_mean=True)], ids=repr)
def test_neither_order_nor_turns_of_longitude_change_a_bit(model: KNN) -> None:
    panel = simulated(21, 200, seed=7)
    fit = model.fit(panel, h=H)
    want = point(model, panel)
    turned = panel.replace(static=panel.static | {"lon": panel.static["lon"] + np.where(np.arange(21) % 2, 360, -360)})
    np.testing.assert_array_equal(point(model, turned), want)
    order = np.random.default_rng(1).permutation(21)
    mixed = panel.take(order).replace(series=np.arange(21))
    np.testing.assert_array_equal(point(model, mixed), want[order])
    other = model.copy().fit(mixed, h=H)
    np.testing.assert_array_equal(other.state_["errors"], fit.state_["errors"][order])


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = simulated(40, 300, seed=8)
    monkeypatch.setattr("tsforecast.models.knn.choosing.VALUES", 30_000)
    monkeypatch.setenv("TSFORECAST_THREADS", "1")
    want = point(KNN(), panel)
    monkeypatch.setenv("TSFORECAST_THREADS", "3")
    np.testing.assert_array_equal(point(KNN(), panel), want)


def test_one_place_raised_by_ten_moves_its_own_level_alone(panel: Panel) -> None:
    y = panel.y.copy()
    y[panel.start[4] : panel.stop[4]] += 10
    moved = point(KNN(5), panel.replace(y=y)) - point(KNN(5), panel)
    np.testing.assert_allclose(moved, np.where(np.arange(9) == 4, 10.0, 0.0)[:, None] * np.ones(H), atol=1e-7)


def test_nothing_after_an_origin_matters_to_a_rolled_forecast() -> None:
    panel = simulated(12, 260, seed=9)
    cutoffs = origins(panel, h=H, windows=5, step=4)
    y = panel.y.copy()
    late = np.concatenate([np.arange(stop - 19, stop) for stop in panel.stop])
    y[late] = 1e3
    one, two = (roll(KNN(), p, cutoffs, h=H, refit=False).point[0] for p in (panel, panel.replace(y=y)))
    np.testing.assert_array_equal(one, two)


def test_honest_errors_grow_with_the_horizon_and_a_leak_rings_the_alarm() -> None:
    panel = simulated(20, 900, seed=10)
    cutoffs = origins(panel, h=8, windows=60, step=3)

    def growth(panel: Panel) -> float:
        errors = roll(KNN(10), panel, cutoffs, h=8, refit=False).errors[:, 0]
        by_step = np.sqrt(np.mean(errors**2, axis=0))
        return float(by_step[7] / by_step[0])

    assert growth(panel) > 1.5
    # Neighbours that show tomorrow's weather today: eight rows early, each step is told as well as the first.
    y = panel.y.reshape(20, 900).copy()
    y[1:, :-8] = y[1:, 8:]
    for j in range(1, 11):  # of the place's own weather, else there is nothing to leak
        y[j] = np.append(panel.y[8:900], panel.y[:8]) + 0.1 * np.random.default_rng(j).normal(size=900)
    assert growth(panel.replace(y=y.ravel())) < 1.1
