"""The champion of each series against plain loops, and against chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lagged_series, table
from hypothesis import given
from hypothesis import strategies as st
from told import Told, ToldTogether, told_table, validation

from tsforecast import AR, Climatology, ConfigError, Drift, Naive, SeasonalNaive, Select, WindowMean, backtest, load
from tsforecast.contract import check_forecaster, example
from tsforecast.panel import Panel


def settled(point: np.ndarray, actual: np.ndarray, step: int = 1, **params: Any) -> dict[str, Any]:
    """What is chosen after such a validation (m, w, n, h)."""
    select = Select([Told(alias=str(j)) for j in range(len(point))], **params)
    panel = Panel.from_arrays(np.zeros((actual.shape[1], 3)), freq="D", start="2024-01-01")
    return select._settle(validation(point, actual, step), panel)


def mse_by_hand(point: np.ndarray, actual: np.ndarray, i: int, least: int = 24) -> tuple[list[float], np.ndarray]:
    """Mean squared error of each member for series i, and the mean losses (m, origins) of its origins."""
    m, w, _, h = point.shape
    error = actual[:, i] - point[:, :, i]
    reached = [int(np.isfinite(error[j]).sum()) for j in range(m)]
    any_ = sum(any(np.isfinite(error[j, o, s]) for j in range(m)) for o in range(w) for s in range(h))
    stays = [j for j in range(m) if reached[j] and 2 * reached[j] >= any_]
    squares: dict[int, list[float]] = {j: [] for j in stays}
    origins = []
    for o in range(w):
        steps = [s for s in range(h) if stays and all(np.isfinite(error[j, o, s]) for j in stays)]
        if steps:
            origins.append([np.mean([error[j, o, s] ** 2 for s in steps]) if j in stays else np.nan for j in range(m)])
            for j in stays:
                squares[j] += [error[j, o, s] ** 2 for s in steps]
    if len(origins) < least:
        return [np.nan] * m, np.empty((m, 0))
    return [float(np.mean(squares[j])) if j in stays else np.nan for j in range(m)], np.array(origins).T


def chance_by_hand(ahead: np.ndarray, behind: np.ndarray, overlap: int) -> float:
    """One-sided p-value of Diebold and Mariano, corrected as Harvey, Leybourne and Newbold do."""
    from scipy.stats import t

    gap = ahead - behind
    n, mean = len(gap), gap.mean()
    gamma = [((gap[k:] - mean) * (gap[: n - k] - mean)).sum() / n for k in range(overlap)]
    variance = gamma[0] + 2 * sum(gamma[1:])
    if variance <= 0:
        variance = gamma[0] + 2 * sum((1 - k / overlap) * gamma[k] for k in range(1, overlap))
    factor = np.sqrt((n + 1 - 2 * overlap + overlap * (overlap - 1) / n) / n)
    return float(t.cdf(factor * mean / np.sqrt(variance / n), n - 1))


# --- the choice


@pytest.mark.parametrize(("h", "step"), [(1, 1), (4, 1), (7, 2), (5, 7)])
def test_the_champion_is_that_of_plain_loops(h: int, step: int) -> None:
    rng = np.random.default_rng(h)
    m, w, n = 4, 40, 60
    actual = rng.normal(size=(w, n, h))
    point = actual + rng.uniform(0.6, 1.4, size=(m, 1, n, 1)) * rng.normal(size=(m, w, n, h))
    actual[rng.random(actual.shape) < 0.1] = np.nan
    point[2, :, :20] = np.nan
    point[3, : w - 10, 20:30] = np.nan
    point[1, :15, 30:40] = np.nan
    actual[:25, 40:43] = np.nan
    got = settled(point, actual, step, baseline="1", alpha=0.3)
    switched = 0
    for i in range(n):
        mse, losses = mse_by_hand(point, actual, i)
        np.testing.assert_allclose(got["mse"][i], mse, rtol=1e-12)
        if np.isnan(mse).all():
            assert got["order"][i, 0] == 1
            assert np.isnan(got["pvalue"][i])
            continue
        best = int(np.nanargmin(mse))
        assert got["best"][i] == best
        p = 1.0 if best == 1 else chance_by_hand(losses[best], losses[1], -(-h // step))
        if best != 1:  # of the baseline against itself there is no test
            assert got["pvalue"][i] == pytest.approx(p, rel=1e-9)
        champion = best if p < 0.3 / 3 else 1
        switched += champion != 1
        others = sorted((j for j in range(m) if j != champion), key=lambda j: (np.isnan(mse[j]), mse[j], j))
        assert got["order"][i].tolist() == [champion, *others]
    assert 10 < switched < 50


@pytest.mark.parametrize("h", [1, 7])
def test_on_noise_nine_in_ten_series_keep_the_baseline(h: int) -> None:
    rng = np.random.default_rng(1)
    y = 10 + rng.normal(size=(400, 260))
    select = Select([WindowMean(100), AR(1, ridge=0, transform=None), AR(3, ridge=0, transform=None, alias="AR 3")])
    champions = select.fit(table(y), h=h).champions_["champion"]
    assert (champions == "WindowMean").mean() >= 0.9
    # The best of three looks better than the baseline in most of them.
    assert (select.champions_["best"] != "WindowMean").mean() > 0.4


def weekly(n: int, rows: int = 200, seed: int = 2) -> np.ndarray:
    """Weekly waves in noise a tenth of their size, at levels from 1 to 1e6."""
    wave = np.sin(2 * np.pi * np.arange(rows) / 7)
    noise = 0.1 * np.random.default_rng(seed).normal(size=(n, rows))
    return (5 + wave + noise) * 10.0 ** (np.arange(n) % 7)[:, None]


def test_a_clearly_better_member_is_chosen_everywhere() -> None:
    select = Select([WindowMean(14), SeasonalNaive(), Naive()]).fit(table(weekly(100)), h=3)
    assert (select.champions_["champion"] == "SeasonalNaive").all()
    assert select.champions_["pvalue"].max() < 0.001
    each = select.members_["SeasonalNaive"].predict(3)["SeasonalNaive"]
    np.testing.assert_array_equal(select.predict()["Select"], each)


def test_a_lead_that_never_changes_is_none_of_chance() -> None:
    lines = np.arange(80.0) * np.array([[1.0], [-3.0], [1e5]])
    select = Select([Naive(), Drift()]).fit(table(lines), h=1)
    assert (select.champions_["champion"] == "Drift").all()
    assert (select.champions_["pvalue"] == 0).all()
    backward = Select([Drift(), Naive()], "Drift").fit(table(lines), h=1)
    assert (backward.champions_["champion"] == "Drift").all()


def test_the_baseline_is_the_simplest_member_or_the_one_named() -> None:
    some = [AR(), Climatology(), WindowMean(), Naive()]
    assert Select(some).baseline_ == "WindowMean"
    assert Select(some[:2]).baseline_ == "Climatology"
    assert Select(some, "AR").baseline_ == "AR"
    noise = table(np.random.default_rng(3).normal(size=(40, 150)))
    for name in ("AR", "Naive"):
        told = Select([AR(1), Naive(), WindowMean()], name, alpha=0).fit(noise, h=2).champions_
        assert (told["champion"] == name).all()


def test_a_larger_alpha_moves_more_series() -> None:
    data = table(lagged_series(150, 120, (0.5,), seed=4))
    share, names = [], []
    for alpha in (0, 0.01, 0.1, 0.5, 1.0):
        told = Select([WindowMean(30), AR(1)], alpha=alpha).fit(data, h=3).champions_
        moved = set(told.loc[told["champion"] == "AR", "unique_id"])
        assert not names or names[-1] <= moved
        names.append(moved)
        share.append(len(moved) / 150)
        better = told["best"] == "AR"
    assert share[0] == 0
    assert share[-1] == better.mean()
    assert 0.05 < share[2] < share[3]


@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_neither_level_nor_scale_matters(seed: int, level: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    actual = rng.normal(size=(30, 5, 2))
    point = actual + rng.uniform(0.2, 2, size=(3, 1, 5, 1)) * rng.normal(size=(3, 30, 5, 2))
    one = settled(point, actual, baseline="0")
    two = settled(scale * (point + level), scale * (actual + level), baseline="0")
    np.testing.assert_allclose(two["pvalue"], one["pvalue"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(two["mse"], one["mse"] * scale**2, rtol=1e-6)


# --- members and series of which little is known


def test_a_member_that_forecast_nothing_stands_aside() -> None:
    rng = np.random.default_rng(5)
    actual = rng.normal(size=(40, 1, 1))
    point = actual + np.array([3.0, 1.0, 0.1])[:, None, None, None] * rng.normal(size=(3, 40, 1, 1))
    point[2] = np.nan
    got = settled(point, actual, baseline="0")
    assert got["order"][0].tolist() == [1, 0, 2]
    silent = settled(point, actual, baseline="2")  # nothing to beat
    assert silent["order"][0].tolist() == [1, 0, 2]
    assert np.isnan(silent["mse"][0, 2])


def columns_for(n: int = 4, rows: int = 200) -> pd.DataFrame:
    """y with columns that miss it by little (a), more (b) and most (c)."""
    rng = np.random.default_rng(6)
    y = rng.normal(size=(n, rows)) + 50
    return told_table({name: y + s * rng.normal(size=(n, rows)) for name, s in (("a", 0.1), ("b", 1), ("c", 5))}, y)


@pytest.mark.parametrize("kind", [Told, ToldTogether])
def test_where_the_champion_is_silent_the_next_best_speaks(kind: type[Told]) -> None:
    data = columns_for()
    last = data.groupby("unique_id").tail(3)
    select = Select([kind(known=(name,), alias=name) for name in "cab"], "c").fit(data.drop(last.index), h=3)
    assert (select.champions_["champion"] == "a").all()
    assert select.needs == ("series" if kind is Told else "panel")
    panel, points = select.panel_, last[["c", "a", "b"]].to_numpy().T.reshape(3, 4, 3).copy()
    points[1, 1] = points[1, 2, 1] = np.nan
    points[[0, 1, 2], 3] = np.nan
    got = select._combine(select.state_["fit"]["settled"], points, panel)
    expected = points[1].copy()
    expected[1], expected[2, 1] = points[2, 1], points[2, 2, 1]
    np.testing.assert_array_equal(got, expected)


def test_newcomers_to_members_that_need_the_whole_panel_get_the_baseline() -> None:
    data = columns_for(5)
    last = data.groupby("unique_id").tail(3)
    select = Select([ToldTogether(known=(name,), alias=name) for name in "cab"], "c")
    select.fit(data[data["unique_id"] < "s002"].drop(last.index, errors="ignore"), h=3).update(data.drop(last.index))
    assert select.champions_["champion"].tolist() == ["a", "a", "c", "c", "c"]
    got = select.predict(future=last.drop(columns="y"))["Select"].to_numpy()
    np.testing.assert_array_equal(got, np.append(last["a"].to_numpy()[:6], last["c"].to_numpy()[6:]))


def test_short_series_keep_the_baseline() -> None:
    y = weekly(4)
    data = pd.concat([table(y[:3], ["a", "b", "c"]), table(y[3:, :24], ["short"])])
    told = Select([WindowMean(14), SeasonalNaive()]).fit(data, h=3).champions_
    assert told["champion"].tolist() == [*["SeasonalNaive"] * 3, "WindowMean"]
    unknown = told[["pvalue", "mse-WindowMean", "mse-SeasonalNaive"]].isna()
    assert unknown.all(axis=1).tolist() == unknown.any(axis=1).tolist() == [False] * 3 + [True]


# --- through the public class


def test_a_table_of_champions_with_and_without_ids() -> None:
    data = table(lagged_series(3, 120, (0.9,)))
    told = Select([WindowMean(50), AR(1)]).fit(data, h=2).champions_
    assert list(told.columns) == ["unique_id", "champion", "best", "pvalue", "mse-WindowMean", "mse-AR"]
    one = data[data["unique_id"] == "s000"].drop(columns="unique_id")
    alone = Select([WindowMean(50), AR(1)]).fit(one, h=2).champions_
    pd.testing.assert_frame_equal(alone, told.iloc[:1].drop(columns="unique_id"))


def test_company_changes_no_bit_of_what_is_told() -> None:
    y = lagged_series(40, 300, (0.6,), seed=7) * 10.0 ** (np.arange(40) % 5)[:, None]
    ids = [f"s{i:03d}" for i in range(40)]
    some = [WindowMean(30), AR(1), AR(3, alias="AR 3")]
    told = Select(some).fit(table(y, ids), h=14).champions_
    for i in range(0, 40, 7):
        alone = Select(some).fit(table(y[[i]], [ids[i]]), h=14).champions_
        pd.testing.assert_frame_equal(alone, told.iloc[[i]].reset_index(drop=True), check_exact=True)


def test_files_newer_rows_and_new_series(tmp_path: Path) -> None:
    y = lagged_series(6, 140, (0.9,), seed=8)
    ids = [f"s{i}" for i in range(6)]
    select = Select([WindowMean(40), AR(1)]).fit(table(y[:4, :130], ids[:4]), h=3)
    select.save(tmp_path / "select.tsf")
    back = load(tmp_path / "select.tsf")
    pd.testing.assert_frame_equal(back.predict(levels=[80]), select.predict(levels=[80]))
    pd.testing.assert_frame_equal(back.champions_, select.champions_)
    before = select.champions_
    select.update(table(y, ids))
    pd.testing.assert_frame_equal(select.champions_.iloc[:4], before)
    alone = Select([WindowMean(40), AR(1)]).fit(table(y[4:], ids[4:]), h=3)
    pd.testing.assert_frame_equal(select.champions_.iloc[4:].reset_index(drop=True), alone.champions_)
    both = select.predict(levels=[80])
    got = both[both["unique_id"] >= "s4"].reset_index(drop=True)
    pd.testing.assert_frame_equal(got, alone.predict(levels=[80]))


def test_backtests_and_intervals() -> None:
    y = np.concatenate([lagged_series(20, 260, (0.95,), seed=9), np.random.default_rng(9).normal(size=(20, 260))])
    some = [WindowMean(60), AR(1, ridge=0, transform=None)]
    scored = backtest([Select(some), *some], table(y), h=3, windows=3, step=3, levels=[80]).forecasts
    kind = (scored["unique_id"] < "s020").map({True: "walk", False: "noise"})
    error = scored[["Select", "WindowMean", "AR"]].sub(scored["y"], axis=0).pow(2).groupby(kind).mean()
    assert error.loc["walk", "Select"] < 0.6 * error.loc["walk", "WindowMean"]
    assert error.loc["noise", "Select"] == pytest.approx(error.loc["noise", "WindowMean"], rel=0.02)
    inside = (scored["Select-lo-80"] <= scored["y"]) & (scored["y"] <= scored["Select-hi-80"])
    assert 0.7 < inside.mean() < 0.9


def test_a_selection_keeps_the_contract_of_forecasters() -> None:
    check_forecaster(lambda: Select((AR(3, ridge=0, transform=None), SeasonalNaive())), example(60))


# --- what cannot be


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (Select(), "needs two members"),
        (Select([AR()]), "needs two members"),
        (Select([AR(), Naive()], "Drift"), r"the name of a member \(AR, Naive\), got 'Drift'"),
        (Select([AR(), Naive()], 1), "the name of a member"),  # type: ignore[arg-type]
        (Select([AR(), Naive()], AR()), "the name of a member"),  # type: ignore[arg-type]
        (Select([AR(), Naive()], []), "the name of a member"),  # type: ignore[arg-type]
        (Select([AR(), Naive()], alpha=-0.1), "alpha must be a number from 0 to 1"),
        (Select([AR(), Naive()], alpha=1.5), "alpha must be"),
        (Select([AR(), Naive()], alpha=float("nan")), "alpha must be"),
        (Select([AR(), Naive()], alpha=True), "alpha must be"),
        (Select([AR(), Naive()], alpha="5 %"), "alpha must be"),  # type: ignore[arg-type]
        (Select([AR(), AR()]), "share the name AR"),
        (Select([AR(), Naive()], step=0), "step must be"),
    ],
)
def test_what_cannot_be_is_refused(select: Select, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        select.fit(table(lagged_series(2, 60)), h=3)
