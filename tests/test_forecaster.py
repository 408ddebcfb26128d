"""The public shell: tables of any kind, failures and their stand-ins, newer rows, parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from builders import lag_table, lagged_series, table, weekly_table
from sklearn.base import clone

import tsforecast
from tsforecast import AR, Conformal, Forecaster, Naive, Panel, Prophet, Regressor, SeasonalNaive, WindowMean
from tsforecast.errors import ConfigError, DataError, FitError, NotFittedError
from tsforecast.rolling import roll


def plain(lags: Any, **more: Any) -> AR:
    return AR(lags, ridge=0, transform=None, **more)


@pytest.mark.parametrize("call", ["predict", "fitted", "make_future", "describe", "simulate", "summary"])
def test_nothing_works_before_fit(call: str) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        getattr(AR(2), call)()
    with pytest.raises(NotFittedError, match="fit"):
        AR(2).update(table(lagged_series()))
    with pytest.raises(NotFittedError, match="fit"):
        AR(2).save("nowhere.tsf")


@pytest.mark.parametrize("h", [0, -1, 2.5, "3", True, None])
def test_a_horizon_is_a_whole_number(h: Any) -> None:
    model = Naive().fit(table(lagged_series()))
    with pytest.raises(ConfigError, match="whole number"):
        model.predict(h)
    if h is not None:
        with pytest.raises(ConfigError, match="whole number"):
            Naive().fit(table(lagged_series()), h=h)
    assert len(model.predict(np.int64(3))) == 3


def test_a_shorter_forecast_is_the_beginning_of_a_longer_one() -> None:
    model = plain(3).fit(table(lagged_series(2)))
    long = model.predict(9, levels=(80, 97.5)).groupby("unique_id").head(4).reset_index(drop=True)
    pd.testing.assert_frame_equal(model.predict(4, levels=(80, 97.5)), long, check_exact=True)
    assert long.columns[3:].tolist() == ["AR-lo-80", "AR-hi-80", "AR-lo-97.5", "AR-hi-97.5"]


@pytest.mark.parametrize("kind", ["polars", "pyarrow"])
def test_tables_come_back_in_the_kind_they_came_in(kind: str) -> None:
    y, x = lagged_series(2, 60, seed=1)
    data = table(y[:50], x=x[:50])
    future = pd.DataFrame({"unique_id": "s000", "ds": pd.date_range("2022-02-20", periods=10), "x": x[50:]})
    want = plain(1, known=("x",)).fit(data).predict(10, future=future, levels=(80,))
    door = pl.from_pandas if kind == "polars" else pa.Table.from_pandas
    got = plain(1, known=("x",)).fit(door(data)).predict(10, future=door(future), levels=(80,))
    assert isinstance(got, pl.DataFrame if kind == "polars" else pa.Table)
    back = got.to_pandas()
    np.testing.assert_array_equal(back.iloc[:, 2:], want.iloc[:, 2:])
    assert back["ds"].tolist() == want["ds"].tolist()


def test_ids_may_be_numbers_and_times_may_be_counts() -> None:
    y = lagged_series(3, 40, seed=2)
    got = plain(1).fit(table(y, [30, 4, 200], start=7)).predict(2)
    assert got["unique_id"].tolist() == [4, 4, 30, 30, 200, 200]
    assert got["ds"].tolist() == [47, 48] * 3
    want = plain(1).fit(table(y[[1, 0, 2]])).predict(2)
    np.testing.assert_array_equal(got["AR"], want["AR"])


def test_a_table_without_ids_is_one_series() -> None:
    y = lagged_series(1, 40, seed=3)
    got = plain(1).fit(table(y).drop(columns="unique_id")).predict(2, levels=(80,))
    want = plain(1).fit(table(y)).predict(2, levels=(80,)).drop(columns="unique_id")
    pd.testing.assert_frame_equal(got, want)


def test_rows_may_come_in_any_order() -> None:
    data = table(lagged_series(5, 60, seed=4))
    want = AR(3).fit(data).predict(4, levels=(80,))
    got = AR(3).fit(data.sample(frac=1, random_state=0)).predict(4, levels=(80,))
    pd.testing.assert_frame_equal(got, want, check_exact=True)


def wild() -> pd.DataFrame:
    """Three series; the second explodes under AR(1), the third is too short for any."""
    calm = lagged_series(1, 40, seed=5, level=10.0)[0]
    return table([calm, 2.0 ** np.arange(40.0), calm[:2]])


def test_failures_are_raised_skipped_or_stood_in_for() -> None:
    with pytest.raises(DataError, match="s002") as short:
        plain(1).fit(wild())
    assert short.value.code == "TSF-LEN"
    with pytest.raises(FitError, match="s001") as failed:
        plain(1).fit(wild().query("unique_id != 's002'")).predict(30)
    assert failed.value.series == ("s001",)

    skipped = plain(1, on_error="skip").fit(wild()).predict(30, levels=(80,))
    assert skipped.groupby("unique_id")["status"].first().tolist() == ["ok", "failed", "failed"]
    assert skipped[skipped["status"] == "failed"].iloc[:, 2:5].isna().all(axis=None)

    for fallback in (None, WindowMean(3)):
        stood = plain(1, on_error="fallback", fallback=fallback).fit(wild()).predict(30, levels=(80,))
        assert stood.groupby("unique_id")["status"].first().tolist() == ["ok", "fallback", "fallback"]
        other = fallback or SeasonalNaive()
        want = other.fit(wild()).predict(30, levels=(80,))
        np.testing.assert_allclose(stood.iloc[30:, 2:5], want.iloc[30:, 2:5])
        np.testing.assert_array_equal(stood.iloc[:30, 2:5], skipped.iloc[:30, 2:5])


def test_the_healthy_have_the_same_bits_beside_the_failed() -> None:
    healthy = wild().query("unique_id == 's000'")
    alone = plain(1, on_error="skip").fit(healthy).predict(5, levels=(80,))
    beside = plain(1, on_error="skip").fit(wild()).predict(5, levels=(80,)).head(5)
    pd.testing.assert_frame_equal(alone, beside, check_exact=True)


def test_repaired_series_say_so() -> None:
    y = lagged_series(2, 40, seed=6)
    y[1, 20] = np.nan
    panel = Panel.from_table(table(y), policies={"TSF-Y-MISSING": "interpolate"})
    got = plain(1, on_error="skip").fit(panel).predict(1)
    assert got["status"].tolist() == ["ok", "repaired"]


@pytest.mark.parametrize("model", [plain([1, 2]), plain(2, strategy="direct"), plain(3, scope="global")], ids=repr)
def test_newer_rows_move_the_origin_and_no_parameter(model: Any) -> None:
    y = lagged_series(3, 90, seed=7)
    data = table(y)
    moved = model.copy().fit(data[data["ds"] < "2022-03-12"], h=3).update(data[data["ds"] >= "2022-03-12"])
    rolled = roll(model, Panel.from_arrays(y), np.array([69, 89]), h=3, refit=False)
    np.testing.assert_allclose(moved.predict(3)["AR"], rolled.point[1].ravel(), rtol=1e-9)
    assert moved.updated_ == ()
    assert moved.predict(1)["ds"].unique().tolist() == [pd.Timestamp("2022-04-01")]


def test_one_row_a_day_is_the_same_as_all_of_them_at_once() -> None:
    data = table(lagged_series(2, 60, seed=8)).rename(columns={"unique_id": "store", "ds": "day", "y": "sold"})
    names = {"id": "store", "time": "day", "target": "sold"}
    first, rest = data[data["day"] < "2022-02-25"], data[data["day"] >= "2022-02-25"]
    daily, once = (plain(2).fit(Panel.from_table(first, **names)) for _ in range(2))
    for _, rows in rest.groupby("day"):
        daily.update(rows)
    pd.testing.assert_frame_equal(daily.predict(2), once.update(rest).predict(2), check_exact=True)
    assert daily.predict(1).columns.tolist() == ["store", "day", "AR"]


def test_days_between_old_and_new_rows_are_missing_not_skipped() -> None:
    y = lagged_series(1, 60, seed=9)[0]
    data = table(y)
    gap = y.copy()
    gap[56:58] = np.nan
    updated = plain(4).fit(data[:56]).update(data[58:])
    want = roll(plain(4), Panel.from_arrays(gap[None]), np.array([55, 59]), h=2, refit=False)
    np.testing.assert_allclose(updated.predict(2)["AR"], want.point[1, 0], rtol=1e-9)
    assert updated.fitted()["ds"].tolist() == pd.date_range("2022-01-01", periods=60).tolist()


def test_known_rows_may_come_again_but_not_changed() -> None:
    data = table(lagged_series(2, 50, seed=10))
    model = plain(1).fit(data[data["ds"] < "2022-02-15"])
    same = model.copy().fit(data[data["ds"] < "2022-02-15"]).update(data).predict(2)
    pd.testing.assert_frame_equal(same, model.update(data[data["ds"] >= "2022-02-15"]).predict(2), check_exact=True)
    other = data.assign(y=data["y"] + (data["ds"] == "2022-02-19"))
    with pytest.raises(DataError, match=r"s000.*2022-02-19") as changed:
        model.update(other)
    assert changed.value.code == "TSF-REVISED"
    replaced = model.update(other, revised="replace").predict(1)["AR"]
    const, phi = model.coefficients().query("unique_id == 's000'")["estimate"]
    assert replaced[0] == pytest.approx(const + phi * other["y"][49])
    with pytest.raises(ConfigError, match="revised"):
        model.update(other, revised="keep")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model",
    [AR(), plain(2), AR(2, strategy="direct"), plain(1, intervals=Conformal(windows=5)), Naive()],
    ids=repr,
)
def test_new_series_are_fitted_and_listed(model: Any) -> None:
    old, new = table(lagged_series(2, 90, seed=11)), table(lagged_series(1, 45, seed=12), ["new"])
    levels = (80,)
    updated = model.copy().fit(old, h=3).update(new)
    assert updated.updated_ == ("new",)
    got = updated.predict(3, levels=levels)
    name = model.name
    alone = model.copy().fit(new, h=3).predict(3, levels=levels)
    np.testing.assert_allclose(got[got["unique_id"] == "new"][name], alone[name], rtol=1e-9)
    np.testing.assert_allclose(got[got["unique_id"] == "new"][f"{name}-hi-80"], alone[f"{name}-hi-80"], rtol=1e-9)
    before = model.copy().fit(old, h=3).predict(3, levels=levels)
    np.testing.assert_array_equal(got[got["unique_id"] != "new"].iloc[:, 2:], before.iloc[:, 2:])


def test_labels_keep_their_meaning_in_newer_rows() -> None:
    y = lagged_series(1, 90, seed=13)[0]
    labels = np.resize(["a", "b", "c"], 90)
    data = table(y + 4 * (labels == "c"), promo=labels)
    model = plain(1, known=("promo",)).fit(data[:80])
    whole = roll(plain(1, known=("promo",)), Panel.from_table(data), np.arange(79, 82), h=1, refit=False)
    future = data[82:83].drop(columns="y")
    got = model.update(data[80:82]).predict(1, future=future)
    steps = [*model.fitted()["AR"][80:82], got["AR"][0]]
    np.testing.assert_allclose(steps, whole.point[:, 0, 0], rtol=1e-9)
    with pytest.raises(DataError, match="zz"):
        model.update(data[82:84].assign(promo=["a", "zz"]))


def test_newer_rows_of_another_kind_are_refused() -> None:
    data = table(lagged_series(1, 50, seed=14))
    model = plain(1).fit(data[:40].assign(ds=data["ds"][:40].dt.tz_localize("Asia/Seoul")))
    with pytest.raises(ConfigError, match="time zone"):
        model.update(data[40:])
    weekly = plain(1).fit(table(lagged_series(1, 50, seed=14), freq="W-SUN"))
    with pytest.raises(DataError, match="2022-12-19"):
        weekly.update(table([[1.0, 2.0]], ["s000"], start="2022-12-19", freq="W-MON"))


def test_masked_rows_stay_masked_when_newer_ones_come(tmp_path: Path) -> None:
    y = lagged_series(1, 60, seed=15)[0]
    hidden = y.copy()
    hidden[45:48], y[45:48] = np.nan, 900.0
    mask = pd.DataFrame({"from": ["2022-02-15"], "to": ["2022-02-17"]})
    data = table(y)
    model = plain(3).fit(Panel.from_table(data[:48], mask=mask))
    model.save(tmp_path / "masked.tsf")
    want = plain(3).fit(table(hidden)[:48]).update(data[48:49]).predict(1)
    for known in (model, tsforecast.load(tmp_path / "masked.tsf")):
        pd.testing.assert_frame_equal(known.update(data[45:49]).predict(1), want, check_exact=True)


def test_one_step_values_come_from_the_rows_before() -> None:
    y = lagged_series(2, 30, seed=16)
    got = Naive().fit(table(y)).fitted()
    frame = table(y)
    want = frame.groupby("unique_id")["y"].shift(1)
    np.testing.assert_array_equal(got["Naive"], want)
    np.testing.assert_allclose(got["residual"], frame["y"] - want)
    x, target = lag_table(y[1], [1])
    beta = np.linalg.lstsq(x, target, rcond=None)[0]
    direct = plain(1, strategy="direct").fit(table(y), h=1).fitted()
    np.testing.assert_allclose(direct["AR"][31:], x @ beta, rtol=1e-9)


def test_the_skeleton_of_the_future_and_what_it_lacks() -> None:
    y, x = lagged_series(2, 40, seed=17)
    model = plain(1, known=("x",)).fit(table(y, x=x))
    skeleton = model.make_future(3)
    assert skeleton["ds"].tolist() == pd.date_range("2022-02-10", periods=3).tolist()
    assert len(model.missing_future(3, skeleton.assign(x=[1.0, np.nan, 2.0]))) == 1
    assert len(model.missing_future(3)) == 3
    assert model.predict(3, future=skeleton.assign(x=1.0)).shape == (3, 3)


def test_parameters_are_read_set_copied_and_cloned() -> None:
    model = AR(3, fallback=SeasonalNaive(7), alias="mine")
    assert model.get_params()["fallback__season"] == 7
    model.set_params(lags=5, fallback__season=4)
    assert (model.lags, model.fallback.season) == (5, 4)
    with pytest.raises(ConfigError, match="lag"):
        model.set_params(lag=3)
    assert repr(clone(model)) == repr(model) == repr(model.copy())
    assert "alias='mine'" in repr(model)
    assert model.fit(table(lagged_series())).predict(1).columns[-1] == "mine"
    assert not hasattr(clone(model), "state_")


def test_a_fit_that_fails_leaves_the_old_one_standing() -> None:
    data = table(lagged_series(1, 50, seed=18))
    model = plain(3).fit(data)
    before = model.predict(2)
    with pytest.raises(DataError):
        model.fit(data[:4])
    pd.testing.assert_frame_equal(model.predict(2), before)


def test_describe_lists_what_enters_the_model() -> None:
    y, x = lagged_series(2, 40, seed=19)
    model = plain(1, known=("promo",), calendar="weekday").fit(table(y, x=x, promo=np.resize(["n", "y"], 40)))
    told = model.describe()
    assert told["known"][:2] == ["promo=n", "promo=y"]
    assert len(told["known"]) == 2 + 6 or len(told["known"]) == 2 + 7
    assert told["past"] == []
    assert told["params"]["lags"] == 1


@pytest.mark.parametrize("on_error", ["raise", "fallback"])
def test_a_saved_model_judges_and_mends_forecasts_as_before(on_error: Any, tmp_path: Path) -> None:
    lively = 1e5 + 1e3 * lagged_series(1, 300, seed=20)[0]
    y = np.stack([np.r_[lively, np.zeros(120)], np.r_[lively[:80], 1.07 ** np.arange(340.0)]])
    model = plain(1, on_error=on_error).fit(table(y[:1] if on_error == "raise" else y))
    want = model.predict(60, levels=(80,))
    assert on_error == "raise" or want["status"].tolist() == ["ok"] * 60 + ["fallback"] * 60
    model.save(tmp_path / "once.tsf")
    loaded = tsforecast.load(tmp_path / "once.tsf")
    loaded.save(tmp_path / "twice.tsf")
    for again in (loaded, tsforecast.load(tmp_path / "twice.tsf")):
        pd.testing.assert_frame_equal(again.predict(60, levels=(80,)), want, check_exact=True)
    more = table([[0.0, 0.0]], ["s000"], start="2023-02-25")
    pd.testing.assert_frame_equal(loaded.update(more).predict(9), model.update(more).predict(9), check_exact=True)
    fresh = loaded.update(table(lagged_series(1, 30), ["new"])).predict(3)
    assert fresh["unique_id"].nunique() == len(model.panel_) + 1


def test_infinite_columns_are_told_and_left_out() -> None:
    rng = np.random.default_rng(5)
    days = pd.date_range("2024-01-01", periods=80)
    data = pd.DataFrame({"unique_id": "a", "ds": days, "x": rng.normal(size=80)})
    data["y"] = 2 * data["x"] + rng.normal(size=80)
    broken, missing = data.copy(), data.copy()
    broken.loc[7, "x"], missing.loc[7, "x"] = np.inf, np.nan
    model = AR(2, known=("x",), ridge=0, transform=None)
    with pytest.warns(tsforecast.DataWarning, match=r"TSF-Y-NONFINITE.*series 'a'; column 'x'; at 2024-01-08"):
        told = model.fit(broken).coefficients()
    pd.testing.assert_frame_equal(told, model.fit(missing).coefficients())


def test_the_growth_of_logs_is_held() -> None:
    rng = np.random.default_rng(0)
    walks = Panel.from_arrays([np.cumsum(rng.normal(size=40) + 0.5) for _ in range(100)])
    for h in (None, 100):
        model = AR(transform="log-diff", on_error="skip").fit(walks, h=h)
        seen = np.isfinite(model.predict(100)["AR"].to_numpy().reshape(100, 100)).all(axis=1)
        positive = np.array([walks.y[a:b].min() > 0 for a, b in zip(walks.start, walks.stop, strict=True)])
        assert seen[positive].all()
    assert model.diagnostics_["stabilised"].any()
    # What truly grows goes on growing: 3 % a step for 50 steps is a factor of 4.5.
    grown = Panel.from_arrays([np.exp(0.03 * np.arange(100) + 0.05 * rng.normal(size=100).cumsum()) for _ in range(50)])
    ahead = AR(transform="log-diff").fit(grown).predict(50)["AR"].to_numpy().reshape(50, 50)[:, -1]
    assert 3 < np.median(ahead / grown.y[grown.stop - 1]) < 6


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (SeasonalNaive(), {"season": 3}),
        (AR(2), {"calendar": "weekday"}),
        (Prophet(), {"seasonality_mode": "multiplicative"}),
        (Prophet(), {"regressors": (Regressor("promo"),)}),
    ],
    ids=str,
)
def test_parameters_changed_after_the_fit_are_told(model: Forecaster, change: dict[str, Any]) -> None:
    before = model.get_params(deep=False)
    model.fit(weekly_table())
    kept = model.set_params(lower=0, alias="x").predict(3)
    with pytest.raises(ConfigError, match=rf"x: {next(iter(change))} changed since fit"):
        model.set_params(**change).predict(3)
    model.set_params(**{name: before[name] for name in change})
    assert model.predict(3)["x"].tolist() == kept["x"].tolist()
    assert "x" in model.fit(weekly_table()).predict(3)


def test_a_table_in_the_place_of_the_horizon_is_told_where_it_goes() -> None:
    with pytest.raises(ConfigError, match=r"a table goes to future=: predict\(28, future=table\)"):
        Prophet().fit(weekly_table()).predict(weekly_table())


def test_series_taken_from_a_larger_panel_are_numbered_anew() -> None:
    whole = Panel.from_table(weekly_table())
    model = plain(3).fit(whole, h=2)
    want = model.predict(2, levels=[80])
    order = np.array([2, 0, 1])
    got = plain(3).fit(whole.take(order), h=2).predict(2, levels=[80])
    got = got.sort_values(["unique_id", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(got, want, check_exact=True)
