"""A fitted Blend: files, newer rows and series, paths, intervals, failures of members."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blending import TEAMS, H, ar, by_hand, daily, history, shares
from tests.builders import lagged_series, table
from tsforecast.compose.blend import Blend
from tsforecast.errors import DataError, FitError
from tsforecast.evaluation import backtest
from tsforecast.models.ar import AR
from tsforecast.models.naive import Climatology, Drift, Naive, SeasonalNaive, WindowMean
from tsforecast.models.prophet import Prophet
from tsforecast.panel import Panel
from tsforecast.registry import load

# --- files, newer rows, what else a fitted model does


@pytest.mark.parametrize("team", ["known", "calendar", "nested", "net", "deep"])
def test_a_file_forecasts_the_same_in_another_process(team: str, tmp_path: Path) -> None:
    df, future = history(daily())
    model = Blend(TEAMS[team], kappa=0.1, prior=[1.0, 2.0, 3.0][: len(TEAMS[team])], show_members=True).fit(df, h=H)
    model.save(tmp_path / "model")
    future.to_csv(tmp_path / "future.csv", index=False)
    code = (
        "import sys, json, pandas as pd; from tsforecast import load; m = load(sys.argv[1]);"
        "f = pd.read_csv(sys.argv[2], parse_dates=['ds']); t = m.predict(future=f, levels=[80]);"
        "w = [m.weights_, m.validation_];"
        "print(json.dumps([t.drop(columns='ds').to_dict('list'), [x.fillna(0).to_dict('list') for x in w], repr(m)]))"
    )
    args = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "future.csv")]
    told = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    assert told[0] == model.predict(future=future, levels=[80]).drop(columns="ds").to_dict("list")
    assert told[1] == [x.fillna(0).to_dict("list") for x in (model.weights_, model.validation_)]
    assert told[2] == repr(model)
    assert not np.isnan(told[0]["Blend"]).any()


def test_a_file_judges_the_range_of_a_member_by_rows_that_it_no_longer_holds(tmp_path: Path) -> None:
    promo = np.concatenate([np.resize([0.0, 1.0, 1.0], 60), np.resize([0.0, 50.0], 10), np.zeros(80)])
    days = table(1000 * promo + lagged_series(1, 150)[0], promo=promo)
    team = [ar(1, known=("promo",)), ar(2, known=("promo",), alias="b")]
    whole = Blend(team, "equal").fit(days, h=2)
    grown = Blend(team, "equal").fit(days[:60], h=2).update(days[60:-1]).update(days[-1:])
    future = whole.make_future().assign(promo=50.0)
    for model in (whole, grown):
        model.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert np.abs(again.panel_.y).max() < 10
        expected = model.predict(future=future)["Blend"]
        assert (expected > 40_000).all()
        assert (again.predict(future=future)["Blend"] == expected).all()


def test_a_file_keeps_the_holidays_of_each_member(tmp_path: Path) -> None:
    model = Blend([ar(calendar="KR"), Blend([Naive(), Prophet(holidays="KR", alias="p")], alias="in")]).fit(
        daily(), h=H
    )
    model.save(tmp_path / "model")
    kept = load(tmp_path / "model").calendar_.parts[0].kept["KR"]
    assert (kept.holidays.day == model.calendar_.parts[0].kept["KR"].holidays.day).all()
    assert len(kept.holidays.day) > 50
    assert model.members_["AR"].calendar_.kept["KR"] is model.calendar_.parts[0].kept["KR"]


@pytest.mark.parametrize("options", [{}, {"scope": "series"}, {"weights": "equal"}])
def test_newer_rows_move_the_origin_and_no_weight(options: dict[str, Any], tmp_path: Path) -> None:
    whole = daily()
    df, late = history(whole, 9)
    late = whole.merge(late[["unique_id", "ds"]])
    team = [ar(known=("promo",)), SeasonalNaive()]
    model = Blend(team, **options).fit(df, h=4)
    weights = model.weights_
    model.save(tmp_path / "model")
    future = late.groupby("unique_id").tail(4)
    news = late.drop(future.index)
    for updated in (model, load(tmp_path / "model")):
        updated.update(news)
        assert updated.weights_.equals(weights)
        parts = {m.name: m.copy().fit(df, h=4).update(news).predict(4, future=future) for m in team}
        if options.get("scope") != "series":
            np.testing.assert_allclose(updated.predict(future=future)["Blend"], by_hand(model, parts, 4), rtol=1e-9)
        assert updated.predict(future=future)["ds"].tolist() == future["ds"].tolist()


@pytest.mark.parametrize("options", [{}, {"scope": "series"}, {"weights": "equal"}, {"weights": "median"}])
@pytest.mark.parametrize("n", [1, 3])
def test_new_series_join(options: dict[str, Any], n: int) -> None:
    df, new = daily(n), daily(2, 100, seed=5)
    new["unique_id"] = "new " + new["unique_id"]
    team = [ar(known=("promo",)), Blend([Naive(), Drift()], "equal" if options else "mse", alias="inner")]
    model = Blend(team, **options).fit(df, h=H)
    old = model.weights_
    assert model.update(new).updated_ == ("new s000", "new s001")
    future = model.make_future().assign(promo=1.0)
    got = model.predict(future=future)
    assert len(got) == (n + 2) * H
    assert np.isfinite(got["Blend"]).all()
    assert np.isfinite(model.fitted()["Blend"]).any()
    if "scope" not in options:
        assert model.weights_.equals(old)
    fresh = Blend(team, **options).fit(df, h=H)
    sure = model.set_params(on_error="skip").predict(future=future, levels=[50])
    # What the pooled errors of the fit do not tell of has no interval.
    told = bool(options) | ~sure["unique_id"].str.startswith("new")
    assert (sure["status"] == np.where(told, "ok", "failed")).all()
    mine = got[~got["unique_id"].str.startswith("new")]["Blend"].to_numpy()
    assert (mine == fresh.predict(future=future)["Blend"]).all()


def test_values_of_the_past_are_one_step_forecasts_weighted() -> None:
    df = daily()
    model = Blend([ar(calendar="weekday"), SeasonalNaive(), Climatology(7)]).fit(df, h=H)
    got = model.fitted()
    weight = shares(model)
    parts = [m.fit(df).fitted()[m.name].to_numpy() for m in (ar(calendar="weekday"), SeasonalNaive(), Climatology(7))]
    values = np.stack(parts)
    there = np.isfinite(values)
    w = np.array([weight[name][0] for name in ("AR", "SeasonalNaive", "Climatology")])[:, None] * there
    some = there.any(axis=0)
    np.testing.assert_allclose(got["Blend"][some], (np.nansum(w * values, axis=0)[some] / w.sum(axis=0)[some]))
    assert got["Blend"][~some].isna().all()
    np.testing.assert_allclose(got["residual"], got["y"] - got["Blend"])
    own = Blend([ar(), Naive()], scope="series").fit(df, h=H)
    for name, rows in df.groupby("unique_id"):
        alone = Blend([ar(), Naive()], scope="series").fit(rows, h=H).fitted()["Blend"]
        np.testing.assert_array_equal(own.fitted()[lambda t, name=name: t["unique_id"] == name]["Blend"], alone)


def test_paths_and_sums_are_drawn_from_the_blend_s_own_errors() -> None:
    df = daily(2)
    model = Blend([ar(), SeasonalNaive()]).fit(df, h=14)
    paths = model.simulate(400).drop(columns=["unique_id", "ds"]).to_numpy().reshape(2, 14, 400)
    errors, point = model.state_["errors"], model.predict()["Blend"].to_numpy().reshape(2, 14)
    for i in range(2):
        known = errors[i][np.isfinite(errors[i]).all(axis=1)]
        drawn = (paths[i] - point[i][:, None]).T
        assert (np.abs(drawn[:, None] - known).max(axis=2).min(axis=1) < 1e-9).all()
    sums = model.predict(aggregate="W", levels=[80])
    assert sums["rows"].sum() == 28
    assert sums["Blend"].sum() == pytest.approx(point.sum())
    assert (sums["Blend-lo-80"] < sums["Blend-hi-80"]).all()


def test_intervals_cover_what_they_say() -> None:
    y = lagged_series(200, 320, (0.7,), seed=4)
    past, coming = y[:, :-14], y[:, -14:]
    got = Blend([ar(1), WindowMean(7)]).fit(table(past), h=14).predict(levels=[50, 80, 95])
    for level in (50, 80, 95):
        low, high = (got[f"Blend-{side}-{level}"].to_numpy().reshape(200, 14) for side in ("lo", "hi"))
        inside = (low <= coming) & (coming <= high)
        assert abs(inside.mean() - level / 100) < 0.06
        assert np.abs(inside.mean(axis=0) - level / 100).max() < 0.12


def test_errors_shown_are_those_that_intervals_are_made_of() -> None:
    model = Blend([ar(), SeasonalNaive()]).fit(daily(), h=H)
    told = model.validation_.set_index(["steps", "model"])["mse"]
    errors = model.state_["errors"]
    late = errors[:, -model.validation_["origins"].iloc[0] :]
    assert told["1", "Blend"] == pytest.approx((late[..., 0] ** 2).mean())
    assert told["2-3", "Blend"] == pytest.approx((late[..., 1:3] ** 2).mean())


def test_no_later_value_changes_a_bit() -> None:
    df = daily(4)
    late = df.groupby("unique_id").cumcount(ascending=False) < 30
    other = df.assign(y=df["y"].where(~late, 1e3), traffic=df["traffic"].where(~late, -5.0))
    team = [ar(past=("traffic",)), SeasonalNaive()]
    one, two = (
        backtest(Blend(team), Panel.from_table(t), h=4, windows=2, step=26, levels=(80,)).rolled[0] for t in (df, other)
    )
    assert (one.point[0] == two.point[0]).all()
    assert (one.lower[0] == two.lower[0]).all()


# --- failures


@dataclass(eq=False, repr=False)
class Fails(Naive):
    """Naive, without a forecast for the series of odd number, or of all."""

    every: bool = False

    def _predict(self, state: Any, panel: Panel, h: int, known: Any, levels: Any) -> Any:
        out = super()._predict(state, panel, h, known, levels)
        wrong = (panel.series % 2 == 1) | self.every
        return out.replace(point=np.where(wrong[:, None], np.nan, out.point))


def test_others_take_the_weight_of_a_member_that_fails() -> None:
    df = daily(4)
    model = Blend([Fails(), ar(), Drift()], {"Fails": 6, "AR": 3, "Drift": 1}, on_error="skip").fit(df)
    got = model.predict(H)
    fails, lag, drift = (m.fit(df).predict(H)[m.name].to_numpy().reshape(4, H) for m in (Naive(), ar(), Drift()))
    expected = 0.6 * fails + 0.3 * lag + 0.1 * drift
    expected[1::2] = (0.75 * lag + 0.25 * drift)[1::2]
    np.testing.assert_allclose(got["Blend"].to_numpy().reshape(4, H), expected)
    assert (got["status"] == "ok").all()
    assert (model.members_["Fails"].predict(H)["status"] == np.repeat(["ok", "failed"] * 2, H)).all()
    middle = Blend([Fails(), ar(), Drift()], "median").fit(df).predict(H)["Blend"].to_numpy().reshape(4, H)
    np.testing.assert_allclose(middle[1::2], ((lag + drift) / 2)[1::2])
    np.testing.assert_allclose(middle[::2], np.median([fails, lag, drift], axis=0)[::2])
    none = Blend([Fails(), ar(), Drift()], {"Fails": 1, "AR": 0, "Drift": 0}).fit(df).predict(H)["Blend"]
    np.testing.assert_allclose(none.to_numpy().reshape(4, H)[1::2], ((lag + drift) / 2)[1::2])


def test_where_all_fail_it_is_settled_as_asked() -> None:
    df = daily(4)
    team = [Fails(), Fails(alias="too")]
    with pytest.raises(FitError, match=r"Blend: .*2 of 4 series .s001, s003"):
        Blend(team, "equal").fit(df).predict(H)
    with pytest.raises(FitError, match=r"Blend: .*2 of 4 series .s001, s003"):
        Blend(team).fit(df, h=H).predict(H)
    skipped = Blend(team, on_error="skip").fit(df, h=H).predict()
    assert skipped["Blend"].isna().tolist() == np.repeat([False, True] * 2, H).tolist()
    assert (skipped["status"] == np.repeat(["ok", "failed"] * 2, H)).all()
    saved = Blend(team, on_error="fallback", fallback=WindowMean(3)).fit(df, h=H).predict()
    assert (saved["status"] == np.repeat(["ok", "fallback"] * 2, H)).all()
    mean = WindowMean(3).fit(df).predict(H)["WindowMean"].to_numpy().reshape(4, H)
    np.testing.assert_allclose(saved["Blend"].to_numpy().reshape(4, H)[1::2], mean[1::2])
    hopeless = Blend([Fails(every=True), Fails(every=True, alias="too")], on_error="skip").fit(df, h=H)
    assert (hopeless.predict(levels=[80])["status"] == "failed").all()


def test_a_member_that_needs_more_rows_leaves_short_series_to_others() -> None:
    df = table([lagged_series(1, 160)[0], lagged_series(1, 8, seed=2)[0]])
    model = Blend([AR(14, ridge=0, transform=None), Naive()]).fit(df, h=2)
    got = model.predict()
    assert (got["Blend"].tail(2) == df["y"].iloc[-1]).all()
    assert np.isfinite(got["Blend"]).all()
    nothing = table([lagged_series(1, 160)[0], [1.0]])
    with pytest.raises(DataError, match=r"TSF-LEN.*s001"):
        Blend([ar(), ar(2, alias="b")]).fit(nothing, h=2)


def test_a_blend_may_stand_in_for_others() -> None:
    df = daily(2)
    model = Fails(on_error="fallback", fallback=Blend([Naive(), Drift()], "equal")).fit(df)
    got = model.predict(H)
    by = sum(m.fit(df).predict(H)[m.name].to_numpy() for m in (Naive(), Drift())) / 2
    np.testing.assert_allclose(got["Fails"].to_numpy()[H:], by[H:])
