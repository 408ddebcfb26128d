"""Jobs with models made of models: members by table, by type or within, against the same models made by hand."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lagged_series, table
from pandas.testing import assert_frame_equal

from tsforecast import (
    AR,
    KNN,
    Anomaly,
    Blend,
    ConfigError,
    DataError,
    FutureError,
    GeoBlend,
    MissingDependency,
    Naive,
    Panel,
    SeasonalNaive,
    Select,
    Stack,
    WindowMean,
    backtest,
    registry,
)
from tsforecast.jobs import Exit, backtest_job, run_job
from tsforecast.jobs.config import job_of, parse_job
from tsforecast.jobs.models import models_of

BASE = 'horizon = 3\n[data]\nsource = "csv:x.csv"\n'
QUIET = "[backtest]\nwindows = 0\n"
WEEK = SeasonalNaive(alias="Week", season=7)


def made(text: str, base: str = BASE) -> dict[str, Any]:
    """The models of a job by name, as text without what a job adds for failures."""
    models = models_of(parse_job(base + text))
    return {model.name: repr(model.copy(on_error="raise", fallback=None)) for model in models}


def days(n: int = 4, rows: int = 150) -> pd.DataFrame:
    y = lagged_series(n, rows, (0.6,), seed=3, level=50)
    data = table(y.round(3))
    data["visits"] = np.roll(data["y"], 1).round()
    data["promo"] = (data.index % 9 == 0).astype(float)
    return data


def ran(folder: Path, data: pd.DataFrame, text: str) -> Any:
    data.to_csv(folder / "x.csv", index=False)
    return run_job(parse_job(BASE + text), folder)


def same(mine: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Bit by bit; a CSV file gives stamps of another unit."""
    assert_frame_equal(mine, expected, check_dtype=False, check_exact=True)


def test_a_member_is_a_table_of_the_job_or_a_type_or_a_table_within() -> None:
    text = """
    [models.AR]
    type = "AR"
    lags = [1, 7]
    [models.Both]
    type = "Blend"
    members = ["AR", "WindowMean", { type = "SeasonalNaive", season = 7, alias = "Week" }]
    prior = { AR = 0.5, WindowMean = 0.25, Week = 0.25 }
    kappa = 0.1
    """
    own = AR(alias="AR", lags=(1, 7))
    prior = {"AR": 0.5, "WindowMean": 0.25, "Week": 0.25}
    both = Blend(alias="Both", members=(own, WindowMean(), WEEK), prior=prior, kappa=0.1)
    assert made(text) == {
        "AR": repr(own),
        "Both": repr(both),
        "SeasonalNaive": repr(SeasonalNaive(alias="SeasonalNaive")),
    }


def test_a_blend_may_hold_blends_in_any_order_of_the_file() -> None:
    text = """
    [models.Outer]
    type = "Blend"
    members = ["Inner", "SeasonalNaive"]
    [models.Inner]
    type = "Blend"
    members = ["Naive", { type = "Blend", alias = "Deep", members = ["WindowMean", "Naive"] }]
    """
    inner = Blend(alias="Inner", members=(Naive(), Blend(alias="Deep", members=(WindowMean(), Naive()))))
    assert made(text)["Inner"] == repr(inner)
    assert made(text)["Outer"] == repr(Blend(alias="Outer", members=(inner, SeasonalNaive())))


def test_columns_and_seed_of_the_job_go_to_the_members_that_can_use_them() -> None:
    text = """
    past = ["visits"]
    known = ["promo"]
    [run]
    seed = 5
    [models.Blend]
    type = "Blend"
    members = ["AR", { type = "AR", alias = "Plain", past = [], known = [], seed = 9 }, "Naive"]
    """
    plain = AR(alias="Plain", seed=9)
    both = Blend(alias="Blend", seed=5, members=(AR(past=("visits",), known=("promo",), seed=5), plain, Naive(seed=5)))
    assert made(text)["Blend"] == repr(both)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[models.B]\ntype = "Blend"\nmembers = ["ARR", "Naive"]',
         "line 6: [models.B] 'members': no model 'ARR' in this job, nor a type of that name; did you mean 'AR'?"),
        ('[models.Season]\ntype = "Naive"\n[models.B]\ntype = "Blend"\nmembers = ["Seasn", "Naive"]',
         "line 8: [models.B] 'members': no model 'Seasn' in this job, nor a type of that name; did you mean 'Season'?"),
        ('[models.Bleed]\ntype = "Blend"\nmembers = ["Bleedn", "Naive"]',
         "nor a type of that name; did you mean 'Blend'?"),
        ('[models.B]\ntype = "Blend"\nmembers = ["B", "Naive"]',
         "line 6: [models.B] 'members': 'B', which is made of 'B': none can hold itself"),
        ('[models.B]\ntype = "Blend"\nmembers = ["C", "Naive"]\n[models.C]\ntype = "Blend"\nmembers = ["Naive", "B"]',
         "line 6: [models.B] 'members': C: 'members': 'B', which is made of 'C', which is made of 'B'"),
        ('[models.B]\ntype = "Blend"\nmembers = ["Naive", { type = "AR", lgas = 7 }]',
         "line 6: [models.B] 'members': AR: AR has no parameter 'lgas'; did you mean 'lags'?"),
        ('[models.B]\ntype = "Blend"\nmembers = ["Naive", { lags = 7 }]',
         "line 6: [models.B] 'members': a table here needs a type, as in { type ="),
        ('[models.B]\ntype = "Blend"\nmembers = ["Naive", { type = "AR", alias = "A", lower = 3, upper = 2 }]',
         "line 6: [models.B] 'members': A: lower=3 is above upper=2"),
        ('[models.A]\ntype = "AR"\nlower = 3\nupper = 2\n[models.B]\ntype = "Blend"\nmembers = ["Naive", "A"]',
         "line 10: [models.B] 'members': A: lower=3 is above upper=2"),
        ('[models.B]\ntype = "Blend"\nmembers = ["AR", "AR"]', "line 6: [models.B] members of Blend share the name AR"),
        ('[models.B]\ntype = "Blend"\nmembers = ["AR"]', "line 6: [models.B] Blend needs two members or more"),
        ('[models.B]\ntype = "Blend"\nmembers = ["AR", 3]', "[models.B] a member of Blend must be a forecaster"),
        ('[models.B]\ntype = "Blend"\nmembers = ["AR", "Naive"]\nprior = { AR = 0.3 }',
         "line 7: [models.B] prior must name every member (AR, Naive), got AR"),
        ('[models.B]\ntype = "Blend"\nmembers = ["AR", "Naive"]\npast = ["x"]',
         "[models.B] Blend has no columns of its own: give past, known and calendar to its members"),
    ],
)  # fmt: skip
def test_members_that_cannot_be_are_named_with_their_table(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job(BASE + text)
    assert said in str(caught.value)


ODD = ("", "no such word", -1, 1.5, True, [], [1, "a"], [["AR"]], {}, {"a": 1}, {"type": 3}, {"type": "AR", "alias": 3},
       {"type": "AR", "lower": "x"}, {"type": "Blend", "members": "AR"}, [{"name": 1}], float("inf"))  # fmt: skip


@pytest.mark.parametrize("holder", ["members", "model"])
def test_no_member_is_more_than_refused(holder: str) -> None:
    refused = []
    for kind in [name for name in registry.FORECASTERS if hasattr(registry.find(name), holder)]:
        for value in ODD:
            members = [value, {"type": "Naive", "alias": "other"}] if holder == "members" else value
            with pytest.raises(ConfigError) as caught:
                job_of({"horizon": 3, "data": {"source": "csv:x"}, "models": {"M": {"type": kind, holder: members}}})
            refused.append(str(caught.value))
    assert all("[models.M]" in said for said in refused)


def test_job_gives_the_forecasts_and_the_backtest_of_the_library(tmp_path: Path) -> None:
    data = days()
    outcome = ran(tmp_path, data, """
    [models.Lags]
    type = "AR"
    lags = 2
    [models.Blend]
    type = "Blend"
    members = ["Lags", { type = "SeasonalNaive", season = 7, alias = "Week" }]
    show_members = true
    [backtest]
    windows = 2
    """)  # fmt: skip
    lags = AR(alias="Lags", lags=2)
    blend = Blend([lags, WEEK], show_members=True)
    alone, both = (model.fit(data, h=3).predict(levels=[80, 95]) for model in (lags, blend))
    expected = alone.merge(both, on=["unique_id", "ds"])
    same(outcome.forecasts[expected.columns], expected)
    bt = backtest([lags, blend], data, h=3, windows=2, levels=[80, 95])
    same(outcome.backtest.forecasts[bt.forecasts.columns], bt.forecasts)
    assert outcome.exit is Exit.OK
    assert set(outcome.leaderboard["model"]) == {"Lags", "Blend", "SeasonalNaive"}


def test_columns_of_members_within_are_read_and_asked_for(tmp_path: Path) -> None:
    data = days()
    member = '{ type = "AR", lags = 2, past = ["visits"], known = ["promo"] }'
    text = f'[models.Blend]\ntype = "Blend"\nmembers = ["Naive", {member}]\n{QUIET}'
    with pytest.raises(ConfigError, match=r"\[models\.Blend\] needs promo for the 3 rows to come"):
        ran(tmp_path, data, text)
    cut = data["ds"].unique()[-4]
    data.to_csv(tmp_path / "x.csv", index=False)
    job = parse_job(f"as_of = {cut:%Y-%m-%d}\n{BASE}{text}")
    blend = Blend([Naive(), AR(lags=2, past=("visits",), known=("promo",))])
    blend.fit(data[data["ds"] <= cut], h=3)
    expected = blend.predict(future=data[data["ds"] > cut], levels=[80, 95])
    same(run_job(job, tmp_path).forecasts[expected.columns], expected)
    data.loc[data["ds"] > cut, "promo"] = np.nan
    data.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises((FutureError, DataError), match=r"\[models\.Blend\]"):
        run_job(job, tmp_path)


def test_a_bad_series_harms_no_other_where_all_are_blended_together(tmp_path: Path) -> None:
    data = days()
    data.loc[data["unique_id"].eq("s001") & (data["ds"] == "2022-03-01"), "y"] = np.inf
    short = data[data["unique_id"] == "s002"].tail(4).assign(unique_id="short")
    data = pd.concat([data, short], ignore_index=True)
    members = '["Naive", { type = "AR", lags = 2 }]'
    outcome = ran(tmp_path, data, f'[models.Blend]\ntype = "Blend"\nmembers = {members}\n{QUIET}')
    said = outcome.status.set_index("unique_id")
    assert said["status"].to_dict() == {
        "s000": "ok",
        "s001": "fallback",
        "s002": "ok",
        "s003": "ok",
        "short": "fallback",
    }
    assert said.loc["s001", "code"] == "TSF-Y-NONFINITE"
    kept = data[data["unique_id"] != "s001"]
    blend = Blend([Naive(), AR(lags=2)], on_error="fallback", fallback=SeasonalNaive()).fit(kept, h=3)
    expected = blend.predict(levels=[80, 95])
    mine = outcome.forecasts[outcome.forecasts["unique_id"] != "s001"][expected.columns].reset_index(drop=True)
    same(mine, expected)


def test_backtest_alone_judges_the_blend_beside_its_members(tmp_path: Path) -> None:
    days().to_csv(tmp_path / "x.csv", index=False)
    text = """
    [models.Naive]
    type = "Naive"
    [models.Week]
    type = "SeasonalNaive"
    season = 7
    [models.Mean]
    type = "Blend"
    weights = "equal"
    members = ["Naive", "Week"]
    """
    point = backtest_job(parse_job(BASE + text), tmp_path).backtest.point
    np.testing.assert_allclose(point[2], (point[0] + point[1]) / 2, rtol=1e-13)


def stations(n: int = 6, rows: int = 500) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Daily series with a common weather, and their places."""
    rng = np.random.default_rng(5)
    common = lagged_series(1, rows, (0.8,), seed=9)[0]
    y = 10 + 8 * np.sin(np.arange(rows) * 2 * np.pi / 365.25) + common + rng.normal(0, 0.7, (n, rows))
    data = table(y.round(3))
    places = pd.DataFrame({"unique_id": data["unique_id"].unique(), "lat": 36 + rng.uniform(0, 2, n).round(3),
                           "lon": 127 + rng.uniform(0, 2, n).round(3), "region": ["a", "b"] * (n // 2)})  # fmt: skip
    return data, places


def test_places_come_from_the_static_source(tmp_path: Path) -> None:
    data, places = stations()
    places.to_csv(tmp_path / "places.csv", index=False)
    text = """
    static_source = "csv:places.csv"
    [models.KNN]
    type = "KNN"
    k = 3
    [models.Geo]
    type = "GeoBlend"
    members = ["knn", "linear"]
    prior = { KNN = 0.5, RegionalLinear = 0.5 }
    [models.Mix]
    type = "GeoBlend"
    members = ["KNN", { type = "Anomaly", model = { type = "AR", lags = 2 }, neighbours = 2 }]
    [backtest]
    windows = 2
    """
    outcome = ran(tmp_path, data, text)
    given = {"on_error": "fallback", "fallback": SeasonalNaive()}
    near = Anomaly(AR(lags=2), neighbours=2)
    prior = {"KNN": 0.5, "RegionalLinear": 0.5}
    models = [
        KNN(3, alias="KNN", **given),
        GeoBlend(members=("knn", "linear"), prior=prior, alias="Geo", **given),
        GeoBlend(members=(KNN(3), near), alias="Mix", **given),
    ]
    panel = Panel.from_table(data, static=places)
    for model in models:
        expected = model.fit(panel, h=3).predict(levels=[80, 95]).drop(columns="status")
        same(outcome.forecasts[expected.columns], expected)
    bt = backtest(models, panel, h=3, windows=2, levels=[80, 95])
    names = [name for name in bt.forecasts if not name.endswith("status")]
    same(outcome.backtest.forecasts[names], bt.forecasts[names])


def test_a_model_of_one_takes_a_name_or_a_table() -> None:
    text = """
    past = ["visits"]
    [models.Lags]
    type = "AR"
    lags = 2
    [models.A]
    type = "Anomaly"
    model = "Lags"
    [models.B]
    type = "Anomaly"
    model = { type = "AR", lags = 7, past = [] }
    base = "none"
    [models.C]
    type = "Stack"
    members = ["A", "Naive"]
    final = "ols"
    [models.D]
    type = "Select"
    members = ["C", { type = "SeasonalNaive", season = 7, alias = "Week" }]
    baseline = "Week"
    """
    a = Anomaly(AR(alias="Lags", lags=2, past=("visits",)), alias="A")
    c = Stack((a, Naive()), "ols", alias="C")
    found = made(text)
    assert found["A"] == repr(a)
    assert found["B"] == repr(Anomaly(AR(lags=7), "none", alias="B"))
    assert found["C"] == repr(c)
    assert found["D"] == repr(Select((c, WEEK), "Week", alias="D"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[models.A]\ntype = "Anomaly"\nmodel = "A"', "line 6: [models.A] 'model': 'A', which is made of 'A'"),
        ('[models.A]\ntype = "Anomaly"\nmodel = "ARR"', "line 6: [models.A] 'model': no model 'ARR' in this job"),
        ('[models.A]\ntype = "Anomaly"\n', "line 5: [models.A] A needs a forecaster to work on anomalies"),
        ('[models.A]\ntype = "Anomaly"\nmodel = { type = "AR", lower = 0 }',
         "line 6: [models.A] lower of the model would be about anomalies"),
        ('[models.A]\ntype = "Anomaly"\nmodel = "Naive"\nneighbours = -1', "line 7: [models.A] neighbours must be"),
        ('[models.G]\ntype = "GeoBlend"\nmembers = ["knn", "lstmm"]', "line 6: [models.G] members are two or more"),
        ('[models.G]\ntype = "GeoBlend"\nmembers = ["knn", "linear"]\nprior = { knn = 0.3, lstm = 0.7 }',
         "line 7: [models.G] prior must name every member"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_held_are_named_with_their_table(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job(BASE + text)
    assert said in str(caught.value)


def test_a_job_without_places_says_which_model_needs_them(tmp_path: Path) -> None:
    data, _ = stations(4, 200)
    with pytest.raises(ConfigError, match=r"\[models\.K\] K needs the places of its series"):
        ran(tmp_path, data, '[models.K]\ntype = "KNN"\n')


@pytest.mark.parametrize("keys", ['type = "LSTM"', 'type = "GeoBlend"', 'type = "Blend"\nmembers = ["Naive", "LSTM"]'])
def test_a_package_that_is_absent_is_asked_for_by_a_table(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"^\[models\.Net\] torch is needed here but not installed"):
        parse_job(f"{BASE}[models.Net]\n{keys}")
