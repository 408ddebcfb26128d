"""Conformal intervals against sorted errors, exact coverage, and the messages that refuse too few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lagged_series, table
from hypothesis import given
from hypothesis import strategies as st

from tsforecast import AR, Conformal, Naive, Panel, SeasonalNaive
from tsforecast.errors import ConfigError
from tsforecast.intervals import checked_levels, groups_of, radius


def ids(n: int) -> np.ndarray:
    return np.array([f"s{i}" for i in range(n)], dtype=object)


@given(m=st.integers(4, 60), level=st.sampled_from([50.0, 80.0]), seed=st.integers(0, 99))
def test_the_radius_is_the_order_statistic_with_one_more_error_to_come(m: int, level: float, seed: int) -> None:
    errors = np.random.default_rng(seed).normal(size=(2, m, 3))
    got = radius(errors, (level,), np.arange(2), ids(2))
    rank = -(-(m + 1) * int(level) // 100)  # ceil((m + 1) level)
    np.testing.assert_array_equal(got[..., 0], np.sort(np.abs(errors), axis=1)[:, rank - 1])


@pytest.mark.parametrize(("level", "need"), [(50, 1), (80, 4), (90, 9), (95, 19), (99, 99)])
def test_the_fewest_errors_are_those_whose_largest_will_do(level: int, need: int) -> None:
    errors = np.random.default_rng(1).normal(size=(1, need, 1))
    assert radius(errors, (level,), np.arange(1), ids(1))[0, 0, 0] == np.abs(errors).max()
    if need > 1:
        with pytest.raises(ConfigError, match=f"at least {need} errors.*have {need - 1}.*pool='panel'"):
            radius(errors[:, 1:], (level,), np.arange(1), ids(1))


@pytest.mark.parametrize("m", [9, 19, 24])
def test_exchangeable_errors_are_covered_exactly_as_often_as_the_rank_says(m: int) -> None:
    errors = np.random.default_rng(m).standard_t(3, size=(40_000, m + 1, 1))
    half = radius(errors[:, :m], (80,), np.arange(40_000), ids(40_000))[:, 0, 0]
    covered = (np.abs(errors[:, m, 0]) <= half).mean()
    rank = np.ceil(0.8 * (m + 1))
    assert covered == pytest.approx(rank / (m + 1), abs=0.008)
    assert rank / (m + 1) >= 0.8


def test_missing_errors_are_not_counted() -> None:
    errors = np.random.default_rng(2).normal(size=(1, 12, 2))
    errors[0, :5, 1] = np.nan
    got = radius(errors, (80,), np.arange(1), ids(1))[0, :, 0]
    assert got[0] == np.sort(np.abs(errors[0, :, 0]))[10]
    assert got[1] == np.sort(np.abs(errors[0, 5:, 1]))[6]
    errors[0, :9, 1] = np.nan
    with pytest.raises(ConfigError, match="have 3"):
        radius(errors, (80,), np.arange(1), ids(1))


def test_pooled_errors_are_shared_by_the_size_of_each_series() -> None:
    rng = np.random.default_rng(3)
    errors = rng.normal(size=(5, 6, 2)) * np.array([1, 10, 100, 1, 7])[:, None, None]
    groups = np.array([0, 0, 0, 1, 1])
    got = radius(errors, (80,), groups, ids(5))
    size = np.abs(errors).mean(axis=(1, 2))
    for i in range(5):
        mates = groups == groups[i]
        for step in range(2):
            scores = np.sort((np.abs(errors[mates, :, step]) / size[mates, None]).ravel())
            rank = int(np.ceil(0.8 * (len(scores) + 1)))
            assert got[i, step, 0] == pytest.approx(scores[rank - 1] * size[i])


def test_groups_follow_the_pool() -> None:
    static = {"region": np.array(["b", "a", "b"])}
    assert groups_of("series", static, 3).tolist() == [0, 1, 2]
    assert groups_of("panel", static, 3).tolist() == [0, 0, 0]
    assert groups_of("region", static, 3).tolist() == [1, 0, 1]
    with pytest.raises(ConfigError, match=r"'shop'.*region"):
        groups_of("shop", static, 3)


@pytest.mark.parametrize("levels", [80, "80", (80, "90"), (0.8,), (80, 80), (100,), (0,), None, (np.nan,)])
def test_levels_are_distinct_per_cents(levels: Any) -> None:
    with pytest.raises(ConfigError, match="level"):
        checked_levels(levels)


def test_levels_below_one_are_told_that_they_look_like_shares() -> None:
    with pytest.raises(ConfigError, match=r"80, not 0\.8"):
        checked_levels((0.8, 0.95))
    assert checked_levels([80, np.float64(97.5)]) == (80.0, 97.5)


@pytest.mark.parametrize("wrong", [{"windows": 0}, {"step": 0}])
def test_a_recipe_needs_windows_and_steps(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="Conformal"):
        Conformal(**wrong)


def test_intervals_are_the_point_and_the_errors_of_past_origins() -> None:
    y = lagged_series(2, 60, seed=4)
    recipe = Conformal(windows=9, step=2)
    got = Naive(intervals=recipe).fit(table(y), h=3).predict(levels=(80,))
    for i, row in enumerate(y):
        for step in (1, 2, 3):
            last = [59 - 3 - 2 * back for back in range(9)]
            errors = np.sort([abs(row[t + step] - row[t]) for t in last])
            mine = got.iloc[3 * i + step - 1]
            assert mine["Naive-hi-80"] - mine["Naive"] == pytest.approx(errors[7])
            assert mine["Naive"] - mine["Naive-lo-80"] == pytest.approx(errors[7])


def test_conformal_agrees_with_the_closed_form_where_that_is_true() -> None:
    y = lagged_series(150, 260, (0.6,), seed=5)
    closed = AR(1, ridge=0, transform=None).fit(table(y)).predict(6, levels=(80,))
    recipe = Conformal(windows=60, pool="panel")
    common = AR(1, ridge=0, transform=None, intervals=recipe).fit(table(y), h=6).predict(levels=(80,))
    np.testing.assert_array_equal(common["AR"], closed["AR"])
    widths = [(t["AR-hi-80"] - t["AR-lo-80"]).to_numpy().reshape(150, 6).mean(axis=0) for t in (closed, common)]
    np.testing.assert_allclose(widths[1], widths[0], rtol=0.04)


def test_a_static_column_pools_its_own_series() -> None:
    y = lagged_series(4, 60, seed=6)
    static = pd.DataFrame({"unique_id": [f"s{i:03d}" for i in range(4)], "zone": ["a", "a", "b", "b"]})
    few = Conformal(windows=3, pool="zone")
    got = Naive(intervals=few).fit(table(y), h=2, static=static).predict(levels=(80,))
    alone = Naive(intervals=Conformal(windows=3, pool="panel")).fit(table(y[:2]), h=2).predict(levels=(80,))
    np.testing.assert_allclose(got["Naive-hi-80"][:4], alone["Naive-hi-80"])
    with pytest.raises(ConfigError, match=r"at least 4 errors.*s000.*pool='panel'"):
        Naive(intervals=Conformal(windows=3)).fit(table(y), h=2).predict(levels=(80,))


def test_calibration_knows_its_horizon() -> None:
    y = lagged_series(2, 60, seed=7)
    model = SeasonalNaive(intervals=Conformal())
    with pytest.raises(ConfigError, match=r"fit\(data, h=4\)"):
        model.fit(table(y)).predict(4, levels=(80,))
    assert len(model.fit(table(y)).predict(4)) == 8
    with pytest.raises(ConfigError, match="h=3"):
        model.fit(table(y), h=3).predict(4, levels=(80,))


def test_bounds_hold_for_points_intervals_and_paths() -> None:
    y = lagged_series(3, 80, seed=8)
    own = AR(1, ridge=0, transform=None, lower=0, upper=0.5).fit(table(y))
    shared = Naive(intervals=Conformal(), lower=0, upper=0.5).fit(table(y), h=4)
    for frame in (own.predict(4, levels=(80, 95)), shared.predict(4, levels=(80, 90)), own.simulate(20, h=4)):
        values = frame.iloc[:, 2:].to_numpy()
        assert values.min() == 0.0
        assert values.max() <= 0.5
    free = AR(1, ridge=0, transform=None).fit(table(y)).predict(4, levels=(80,))
    np.testing.assert_array_equal(own.predict(4, levels=(80,))["AR-hi-80"], free["AR-hi-80"].clip(0, 0.5))


def test_too_few_errors_fail_one_series_and_leave_the_others() -> None:
    rng = np.random.default_rng(3)
    panel = Panel.from_arrays([rng.normal(size=60), rng.normal(size=8)], ids=["long", "short"])
    model = SeasonalNaive(1, intervals=Conformal(windows=20), on_error="fallback").fit(panel, h=2)
    table = model.predict(levels=[90])
    alone = SeasonalNaive(1, intervals=Conformal(windows=20)).fit(panel.take(np.array([0])), h=2).predict(levels=[90])
    assert table["status"].tolist() == ["ok", "ok", "fallback", "fallback"]
    assert table.notna().all(axis=None)
    np.testing.assert_array_equal(table["SeasonalNaive-hi-90"][:2], alone["SeasonalNaive-hi-90"])
    with pytest.raises(ConfigError, match=r"short.*pool='panel'"):
        model.set_params(on_error="raise").fit(panel, h=2).predict(levels=[90])
