"""A fitted GeoBlend: places never seen, files, newer rows, tables, figures, backtests, the literal recipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tsforecast
from tests.builders import lagged_series, table
from tests.direct import haversine, simulated
from tests.stations import PAIR, places_of, weather, wide
from tsforecast.compose.geo import GeoBlend
from tsforecast.errors import ConfigError, DataWarning
from tsforecast.evaluation import backtest
from tsforecast.geography import clusters
from tsforecast.geography import places_of as checked
from tsforecast.models.knn import KNN
from tsforecast.panel import Panel

H = 5
DF = weather(8, 560)
PLACES = places_of(DF, height=True)
NEW = pd.DataFrame({"unique_id": ["x2", "x1"], "lat": [42.0, 43.0], "lon": [12.0, 13.0], "elevation": [100.0, 1500.0]})
ENDS = ["GeoBlend", "GeoBlend-lo-80", "GeoBlend-hi-80"]


@pytest.fixture(scope="module")
def model() -> GeoBlend:
    return GeoBlend(PAIR, windows=46, step=4, show_members=True).fit(DF, static=PLACES, h=H)


def width(table: pd.DataFrame) -> pd.Series:
    """Mean width of the intervals of each series."""
    return (table["GeoBlend-hi-80"] - table["GeoBlend-lo-80"]).groupby(table["unique_id"]).mean()


# Places never seen.


def test_places_never_seen_stand_behind_the_fitted_ones(model: GeoBlend) -> None:
    plain = model.predict(levels=[80])
    got = model.predict(levels=[80], static=pd.concat([NEW[:1], PLACES[3:5], NEW[1:]]))
    known, new = got[: len(plain)], got[len(plain) :]
    pd.testing.assert_frame_equal(known.drop(columns="status"), plain, check_exact=True)
    assert (known["status"] == "ok").all()
    assert new["unique_id"].tolist() == ["x2"] * H + ["x1"] * H
    assert (new["status"] == "cold_start").all()
    assert new[ENDS].notna().all(axis=None)
    assert new[["GeoBlend-KNN", "GeoBlend-RegionalLinear"]].isna().all(axis=None)
    np.testing.assert_array_equal(new["ds"], np.tile(plain["ds"][:H], 2))
    assert width(new).min() > 1.05 * width(known).max()


def test_neither_order_nor_company_nor_kind_of_table_nor_turns_change_a_cold_start(model: GeoBlend) -> None:
    want = model.predict(levels=[80], static=NEW).set_index(["unique_id", "ds"])[ENDS]
    turned = NEW[::-1].assign(lon=NEW["lon"] + 360)
    for static in (turned, pl.from_pandas(NEW)):
        got = model.predict(levels=[80], static=static).set_index(["unique_id", "ds"])[ENDS]
        pd.testing.assert_frame_equal(got.loc[want.index], want, check_exact=True)
    alone = model.predict(levels=[80], static=NEW[1:]).set_index(["unique_id", "ds"])[ENDS]
    pd.testing.assert_frame_equal(alone.loc[["x1"]], want.loc[["x1"]], check_exact=True)


def test_a_shorter_horizon_is_the_beginning_and_a_longer_one_refused(model: GeoBlend) -> None:
    long, short = (model.predict(h, levels=[80], static=NEW) for h in (H, 2))
    first = long[long.groupby("unique_id").cumcount() < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(short, first, check_exact=True)
    with pytest.raises(ConfigError, match=r"was fitted for h=5; fit\(data, h=20\) reaches farther"):
        model.predict(20)


def test_levels_climb_down_with_height() -> None:
    """Stations that are 6.5 K a kilometre colder: so are places between them that were never seen."""
    df, places = weather(30, 120, seed=3), places_of(weather(30, 2, seed=3), seed=3, height=True)
    flat = df["y"] - df.groupby("unique_id")["y"].transform("mean")
    df = df.assign(y=flat + 20 - 6.5e-3 * places.set_index("unique_id")["elevation"].loc[df["unique_id"]].to_numpy())
    fit = GeoBlend(PAIR, windows=24).fit(df, static=places, h=H)
    new = NEW.assign(lat=42.5, lon=12.5, elevation=[200.0, 1800.0])
    with pytest.warns(DataWarning, match="all places are one"):
        got = wide(fit.predict(static=new))
    assert (got["x1"] - got["x2"]).mean() == pytest.approx(-6.5 * 1.6, rel=0.15)
    with pytest.warns(DataWarning, match="no elevation for x2, x1: told by position alone"):
        fit.predict(static=NEW.drop(columns="elevation"))
    without = GeoBlend(PAIR, windows=24).fit(df, static=places.drop(columns="elevation"), h=H)
    with pytest.warns(DataWarning, match="most places it was fitted on have no elevation"):
        without.predict(static=NEW)


def test_a_place_far_away_is_expected_near_its_normal(model: GeoBlend) -> None:
    """What neighbours expect beside their normals fades: raising it moves a place far away by less."""
    last = DF.groupby("unique_id").cumcount(ascending=False) < 3
    warm = GeoBlend(PAIR, weights="source", windows=24).fit(DF.assign(y=DF["y"] + 6 * last), static=PLACES, h=H)
    usual = GeoBlend(PAIR, weights="source", windows=24).fit(DF, static=PLACES, h=H)
    static = NEW.assign(lat=[42.0, -40.0], lon=[12.0, -170.0])
    moved = wide(warm.predict(static=static)) - wide(usual.predict(static=static))
    assert moved["x2"].iloc[0] > 1
    assert abs(moved["x1"].iloc[0]) < 0.3 * moved["x2"].iloc[0]


def test_a_place_without_coordinates_is_refused(model: GeoBlend) -> None:
    with pytest.raises(ConfigError, match="static column 'lat' is missing"):
        model.predict(static=NEW.drop(columns="lat"))
    with (
        pytest.warns(DataWarning, match="only one coordinate of x2"),
        pytest.raises(ConfigError, match="never seen is forecast from those around it: give lat and lon for x2"),
    ):
        model.predict(static=NEW.assign(lat=[np.nan, 42.0]))
    with pytest.warns(DataWarning, match="places unknown"):
        nowhere = GeoBlend(PAIR, windows=24).fit(DF, static=PLACES.assign(lat=np.nan), h=H)
    with pytest.raises(ConfigError, match="was fitted on no place with coordinates and cannot forecast x2, x1"):
        nowhere.predict(static=NEW)


def test_bounds_hold_for_places_never_seen() -> None:
    fit = GeoBlend(PAIR, windows=24, lower=4.0, upper=6.0).fit(DF, static=PLACES, h=H)
    got = fit.predict(levels=[80], static=NEW)[ENDS]
    assert got.min(axis=None) == 4
    assert got.max(axis=None) == 6


@pytest.mark.parametrize("weights", ["source", "equal", "median", (0.5, 0.5)])
def test_weights_that_are_given_forecast_places_never_seen(weights: Any) -> None:
    fit = GeoBlend(PAIR, weights, windows=24).fit(DF, static=PLACES, h=H)
    got = fit.predict(levels=[80], static=NEW)
    assert got.notna().all(axis=None)
    assert width(got)[["x1", "x2"]].min() > width(got).drop(["x1", "x2"]).max()
    fit.update(weather(9, 560, seed=0).query("unique_id == 'p8'"))
    assert fit.predict(levels=[80], static=NEW).notna().all(axis=None)


def test_too_few_places_tell_no_interval() -> None:
    with pytest.warns(DataWarning, match="no neighbours"):
        one = GeoBlend(PAIR, windows=24).fit(DF[DF["unique_id"] == "p0"], static=PLACES[:1], h=H)
    assert one.predict(static=NEW).notna().all(axis=None)
    with pytest.raises(ConfigError, match="too few errors on validation rows for intervals of x2, x1 at 80 %"):
        one.predict(levels=[80], static=NEW)


@pytest.mark.parametrize("levels", [0.0, 8.0], ids=["anomalies", "levels"])
def test_a_twin_is_held_out_with_its_twin(levels: float) -> None:
    """A copy next to each station: were it not left out as well, a place never seen would seem well known."""
    own = lagged_series(8, 400, (0.9,), seed=3)  # weather of its own each: what only a twin can tell of
    df = table(own - own.mean(axis=1, keepdims=True) + (levels * np.arange(8)[:, None]) % 24, PLACES["unique_id"])
    again = pd.concat([df, df.assign(unique_id="q" + df["unique_id"])])
    where = pd.concat([PLACES, PLACES.assign(unique_id="q" + PLACES["unique_id"], lat=PLACES["lat"] + 1e-4)])
    options: dict[str, Any] = {"weights": "source", "windows": 24}
    alone, both = (
        width(GeoBlend(PAIR, **options).fit(data, static=static, h=H).predict(levels=[80], static=NEW))
        for data, static in ((df, PLACES), (again, where))
    )
    np.testing.assert_allclose(both[["x1", "x2"]], alone[["x1", "x2"]], rtol=0.1)


# As the package is used.


def test_as_in_the_readme(model: GeoBlend) -> None:
    got = GeoBlend(PAIR, weights="mse", windows=24).fit(DF, static=PLACES).predict(14, levels=[80, 95])
    assert list(got) == [
        "unique_id", "ds", "GeoBlend", "GeoBlend-lo-80", "GeoBlend-hi-80", "GeoBlend-lo-95", "GeoBlend-hi-95",
    ]  # fmt: skip
    assert len(got) == 8 * 14
    assert (got["GeoBlend-lo-95"] < got["GeoBlend-lo-80"]).all()


def test_tables_of_a_fitted_blend(model: GeoBlend) -> None:
    assert list(model.weights_) == ["steps", "member", "weight", "prior", "mse"]
    assert model.weights_["steps"].tolist() == ["1", "1", "2-3", "2-3", "4-5", "4-5"]
    assert list(model.validation_) == ["steps", "model", "mse", "origins", "gain", "dm", "pvalue"]
    shown = model.predict()
    assert list(shown) == ["unique_id", "ds", "GeoBlend", "GeoBlend-KNN", "GeoBlend-RegionalLinear"]
    assert list(model.members_) == ["KNN", "RegionalLinear"]
    assert model.describe()["params"]["members"] == PAIR
    assert repr(model) == "GeoBlend(members=('knn', 'linear'), windows=46, step=4, show_members=True)"
    twin = model.copy()
    assert twin.get_params(deep=False) == model.get_params(deep=False)
    assert not hasattr(twin, "state_")
    assert GeoBlend(k=7).get_params()["KNN__k"] == 7


def test_a_file_forecasts_the_same_in_another_process(model: GeoBlend, tmp_path: Path) -> None:
    model.save(tmp_path / "geo.tsf")
    NEW.to_parquet(tmp_path / "new.parquet")
    code = (
        "import sys, pandas as pd, tsforecast\n"
        "folder = sys.argv[1]\n"
        "model = tsforecast.load(folder + '/geo.tsf')\n"
        "new = pd.read_parquet(folder + '/new.parquet')\n"
        "model.predict(levels=[80], static=new).to_parquet(folder + '/out.parquet')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    got = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(got, model.predict(levels=[80], static=NEW), check_exact=True, check_dtype=False)


def test_newer_rows_and_series_move_no_weight(tmp_path: Path) -> None:
    early = DF[DF["ds"] < "2016-07-01"]
    fit = GeoBlend(PAIR, windows=46, step=4).fit(early, static=PLACES, h=H)
    fit.save(tmp_path / "geo.tsf")
    told = fit.weights_
    newcomer = weather(1, 300, seed=5, start="2015-09-20").assign(unique_id="fresh")
    newer = pd.concat([DF[DF["ds"] >= "2016-07-01"], newcomer[newcomer["ds"] <= DF["ds"].max()]])
    got = []
    for one in (fit, tsforecast.load(tmp_path / "geo.tsf")):
        one.update(newer)
        assert one.updated_ == ("fresh",)
        got.append(one.predict(levels=[80], static=NEW))
        pd.testing.assert_frame_equal(one.weights_, told)
    pd.testing.assert_frame_equal(*got, check_exact=True)
    assert got[0].notna().all(axis=None)
    assert got[0]["ds"].min() > DF["ds"].max()
    assert set(got[0].loc[got[0]["status"] == "cold_start", "unique_id"]) == {"x1", "x2"}


def test_figures_are_drawn(model: GeoBlend) -> None:
    assert tsforecast.plot_weights(model).data
    assert tsforecast.plot_map(model).data


def test_a_backtest_fits_a_member_once_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = Panel.from_table(DF, static=PLACES)
    fits = []
    plain = KNN._fit
    monkeypatch.setattr(
        KNN, "_fit", lambda self, panel, *rest: fits.append(panel.last.max()) or plain(self, panel, *rest)
    )
    alone = backtest([KNN()], panel, h=H, windows=2)
    counts = len(fits)
    fits.clear()
    both = backtest([KNN(), GeoBlend(PAIR, windows=24)], panel, h=H, windows=2)
    np.testing.assert_array_equal(both.rolled[0].point, alone.rolled[0].point)
    assert counts == 2
    assert len(fits) == 4  # two origins, and the first validation origin of each
    assert len(set(fits)) == 4


def test_intervals_hold_what_they_promise() -> None:
    panel = simulated(12, 900, seed=2, size=5.0)
    bt = backtest(GeoBlend(PAIR, windows=60, step=3), panel, h=4, windows=40, step=3, refit=False, levels=[80])
    inside = (bt.actual >= bt.rolled[0].lower[..., 0]) & (bt.actual <= bt.rolled[0].upper[..., 0])
    assert 0.74 < inside.mean() < 0.86


# A network among the members.


def test_without_torch_it_says_what_does_without(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from tests.stations import weather, places_of\n"
        "from tsforecast import GeoBlend\n"
        "from tsforecast.errors import MissingDependency\n"
        "df = weather(4, 90)\n"
        "try:\n"
        "    GeoBlend().fit(df, static=places_of(df))\n"
        "except MissingDependency as error:\n"
        "    assert \"pip install 'tsforecast[torch]'\" in str(error), error\n"
        "    assert \"GeoBlend(members=('knn', 'linear')) does without\" in str(error), error\n"
        "print(len(GeoBlend(members=('knn', 'linear')).fit(df, static=places_of(df)).predict(14, levels=[80])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(4 * 14)]


def test_the_network_sees_neighbours_and_reaches_places_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    df, places = weather(4, 90), places_of(weather(4, 2))
    one, two = (
        GeoBlend(windows=12).fit(df, static=static, h=3)
        for static in (places, places.sample(frac=1, random_state=1).assign(lon=places["lon"] - 360))
    )
    assert list(one.members_) == ["KNN", "LSTM"]
    assert set(one.weights_["weight"]) == {0.3, 0.7}
    static = NEW.drop(columns="elevation")
    with pytest.warns(DataWarning, match="no elevation"):
        got = [model.predict(levels=[80], static=static) for model in (one, two)]
    pd.testing.assert_frame_equal(*got, check_exact=True)
    assert got[0].notna().all(axis=None)


def test_the_literal_recipe_is_its_parts_at_30_and_70() -> None:
    df = weather(9, 400, seed=2)
    places = places_of(df)
    model = GeoBlend.literal(windows=12, show_members=True)
    model.members[2].set_params(epochs=1, sample=320)  # what is promised does not wait for a net to learn
    model.fit(df, static=places, h=3)
    table = model.predict()
    want = 0.3 * table["GeoBlend-KNN"] + 0.7 * table["GeoBlend-LSTM"]
    np.testing.assert_allclose(table["GeoBlend"], want, rtol=1e-12)
    assert model.weights_.set_index("member")["weight"].to_dict() == {"KNN": 0.3, "RegionalLinear": 0.0, "LSTM": 0.7}
    panel = Panel.from_table(df, static=places)
    count = model.members_["KNN"].describe()["clusters"]
    label = pd.Series(clusters(checked(panel.static, panel.ids, "KNN"), count).label, index=panel.ids)
    for row in table.itertuples():
        near = df[(label.loc[df["unique_id"]] == label[row.unique_id]).to_numpy()]
        same = near[(near["ds"].dt.month == row.ds.month) & (near["ds"].dt.day == row.ds.day)]
        assert table.loc[row.Index, "GeoBlend-KNN"] == pytest.approx(same["y"].mean(), rel=1e-12)
    km = haversine(panel.static["lat"], panel.static["lon"])
    apart = label.to_numpy()[:, None] != label.to_numpy()
    assert km[apart].mean() > km[~apart].mean()
