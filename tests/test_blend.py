"""Blend against its members combined by hand: weights, groups, columns, tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.blending import TEAMS, H, ar, by_hand, daily, history, shares
from tests.builders import table
from tsforecast.compose.blend import Blend
from tsforecast.errors import ConfigError, DataError, FutureError
from tsforecast.models.naive import Drift, Naive, SeasonalNaive, WindowMean
from tsforecast.panel import Panel

# --- a weighted mean of the members


@pytest.mark.parametrize("team", TEAMS)
def test_it_is_the_members_own_forecasts_weighted_by_hand(team: str) -> None:
    df, future = history(daily())
    model = Blend(TEAMS[team]).fit(df, h=H)
    got = model.predict(future=future)
    parts = {member.name: member.copy().fit(df, h=H).predict(H, future=future) for member in TEAMS[team]}
    np.testing.assert_allclose(got["Blend"], by_hand(model, parts), rtol=1e-9)
    for name, member in model.members_.items():
        own = member.predict(H, future=future)
        np.testing.assert_array_equal(own["ds"], got["ds"])
        np.testing.assert_allclose(own[name], parts[name][name], rtol=1e-12)
    weights = model.weights_
    assert (weights["weight"] >= 0).all()
    np.testing.assert_allclose(weights.groupby("steps")["weight"].sum(), 1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("equal", [0.5, 0.5]), ("source", [0.2, 0.8]), ({"Naive": 3, "AR": 1}, [0.25, 0.75]), ([1, 1], [0.5, 0.5]),
     (np.array([0.0, 2.0]), [0.0, 1.0])],
)  # fmt: skip
def test_given_weights_are_taken_and_need_no_horizon(weights: Any, expected: list[float]) -> None:
    df = daily()
    model = Blend([ar(), Naive()], weights, prior={"AR": 1, "Naive": 4}).fit(df)
    parts = [m.fit(df).predict(H)[m.name].to_numpy() for m in (ar(), Naive())]
    np.testing.assert_allclose(model.predict(H)["Blend"], expected[0] * parts[0] + expected[1] * parts[1])
    assert model.weights_["weight"].tolist() == pytest.approx(expected)
    with pytest.raises(ConfigError, match="Blend: weights that are given are not validated"):
        _ = model.validation_


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_median_is_that_of_the_members(count: int) -> None:
    df, team = daily(), [ar(), Naive(), Drift(), WindowMean(9)][:count]
    got = Blend(team, "median").fit(df).predict(H)["Blend"]
    np.testing.assert_allclose(got, np.median([m.fit(df).predict(H)[m.name] for m in team], axis=0))


def test_inverse_mse_weighs_by_the_mse_in_units_of_the_series() -> None:
    df = daily(2)
    model = Blend([Naive(), WindowMean(5), Drift()], "inverse_mse", windows=30, bands=(1,)).fit(df, h=1)
    y = df["y"].to_numpy().reshape(2, -1)
    cuts = np.arange(y.shape[1] - 31, y.shape[1] - 1)
    naive = y[:, cuts + 1] - y[:, cuts]
    mean = y[:, cuts + 1] - np.stack([y[:, c - 4 : c + 1].mean(axis=1) for c in cuts], axis=1)
    drift = np.array([
        [row[c + 1] - part["Drift"].iloc[0] for c in cuts for part in [Drift().fit(table(row[: c + 1])).predict(1)]]
        for row in y
    ])  # fmt: skip
    errors = np.stack([naive, mean, drift])
    errors = errors / np.abs(errors).mean(axis=(0, 2))[:, None]
    inverse = 1 / (errors**2).mean(axis=(1, 2))
    np.testing.assert_allclose(model.weights_["weight"], inverse / inverse.sum(), rtol=1e-9)


def test_series_of_any_size_have_the_same_say() -> None:
    df = daily(3)
    huge = df.assign(y=df["y"] * df["unique_id"].map({"s000": 1e-6, "s001": 1.0, "s002": 1e9}))
    one, other = (Blend([ar(), SeasonalNaive()]).fit(t, h=H).weights_["weight"] for t in (df, huge))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_groups_have_weights_of_their_own() -> None:
    df = daily(4)
    static = pd.DataFrame({"unique_id": df["unique_id"].unique(), "land": ["north", "south", "north", "south"]})
    panel = Panel.from_table(df, static=static)
    model = Blend([ar(), SeasonalNaive()], scope="land").fit(panel, h=H)
    for land, ids in static.groupby("land")["unique_id"]:
        part = df[df["unique_id"].isin(ids)]
        alone = Blend([ar(), SeasonalNaive()]).fit(part, h=H)
        for name, weight in shares(alone).items():
            np.testing.assert_allclose(shares(model, group=land)[name], weight, rtol=1e-9)
        got = model.predict()
        np.testing.assert_allclose(got[got["unique_id"].isin(ids)]["Blend"], alone.predict()["Blend"], rtol=1e-9)


def test_each_series_can_have_weights_of_its_own() -> None:
    df = daily(3)
    model = Blend([ar(), SeasonalNaive()], scope="series").fit(df, h=H)
    for name, rows in df.groupby("unique_id"):
        alone = Blend([ar(), SeasonalNaive()], scope="series").fit(rows, h=H)
        assert (
            model.predict()[lambda t, name=name: t["unique_id"] == name]["Blend"] == alone.predict()["Blend"].to_numpy()
        ).all()
        own = shares(model, group=name)
        assert all((own[member] == weight).all() for member, weight in shares(alone).items())


def test_a_series_too_short_to_judge_keeps_the_prior() -> None:
    df = daily(2)
    short = df.drop(df.index[160:290])  # 30 rows: fewer than 24 origins
    model = Blend([ar(), SeasonalNaive()], scope="series", prior=[3, 1]).fit(short, h=H)
    assert (shares(model, group="s001")["AR"] == 0.75).all()
    assert (shares(model, group="s000")["AR"] != 0.75).all()


def test_permuted_series_have_permuted_forecasts_to_the_bit() -> None:
    df = daily(6)
    names = df["unique_id"].unique()
    other = dict(zip(names, names[[3, 5, 0, 1, 4, 2]], strict=True))
    one = Blend([ar(), SeasonalNaive(), WindowMean(3)]).fit(df, h=H)
    two = Blend([ar(), SeasonalNaive(), WindowMean(3)]).fit(df.assign(unique_id=df["unique_id"].map(other)), h=H)
    assert (one.weights_["weight"] == two.weights_["weight"]).all()
    a, b = (t.set_index(["unique_id", "ds"]) for t in (one.predict(levels=[80]), two.predict(levels=[80])))
    a = a.rename(index=other, level=0).sort_index()
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_members_in_another_order_give_the_same_forecast() -> None:
    df = daily()
    team = [ar(), SeasonalNaive(), WindowMean(3)]
    one, two = (
        Blend(order, prior={"AR": 1, "SeasonalNaive": 2, "WindowMean": 3}).fit(df, h=H) for order in (team, team[::-1])
    )
    np.testing.assert_allclose(one.predict()["Blend"], two.predict()["Blend"], rtol=1e-9)
    for name, weight in shares(one).items():
        np.testing.assert_allclose(shares(two)[name], weight, atol=1e-9)


def test_identical_members_share_the_prior_and_an_infinite_pull_keeps_it() -> None:
    df, prior = daily(), {"AR": 0.3, "twin": 0.7}
    alike = Blend([ar(), ar(alias="twin")], prior=prior).fit(df, h=H)
    np.testing.assert_allclose(shares(alike)["twin"], 0.7, atol=1e-7)
    held = Blend([ar(), SeasonalNaive(alias="twin")], prior=prior, kappa=np.inf).fit(df, h=H)
    assert (shares(held)["twin"] == 0.7).all()
    free = Blend([ar(), SeasonalNaive(alias="twin")], prior=prior, kappa=0).fit(df, h=H)
    assert shares(free)["twin"][0] < 0.5


# --- columns and tables


def test_columns_that_any_member_needs_are_asked_for() -> None:
    df, future = history(daily())
    model = Blend([ar(known=("promo",)), ar(2, known=("kind", "promo"), alias="b"), Naive()]).fit(df, h=H)
    assert model.known_columns == ("promo", "kind")
    for lacking in (None, future.drop(columns="kind"), future.drop(columns="promo"), future.iloc[:-1]):
        with pytest.raises(FutureError, match=r"kind|promo|missing"):
            model.predict(future=lacking)
    skeleton = model.make_future()
    assert skeleton[["unique_id", "ds"]].equals(future[["unique_id", "ds"]])
    assert len(model.missing_future(future=future.iloc[:-2])) == 2
    assert len(model.missing_future(future=future)) == 0
    shuffled = future.sample(frac=1, random_state=0)[["kind", "ds", "promo", "unique_id"]]
    assert (model.predict(future=shuffled)["Blend"] == model.predict(future=future)["Blend"]).all()
    with pytest.raises(DataError, match="z"):
        model.predict(future=future.assign(kind="z"))


def test_a_column_that_no_member_of_a_name_has_is_named() -> None:
    with pytest.raises(ConfigError, match="'promos'; did you mean 'promo'"):
        Blend([ar(known=("promos",)), Naive()]).fit(daily(), h=H)


def test_gaps_that_are_ignored_keep_their_calendar() -> None:
    df = daily(2, 260)
    open_days = df[df["ds"].dt.day_of_week < 5].reset_index(drop=True)
    past, future = history(open_days)
    panel = Panel.from_table(past, gaps="ignore", freq="D")
    team = [ar(calendar=("weekday",)), ar(1, known=("promo",), alias="b")]
    model = Blend(team).fit(panel, h=H)
    got = model.predict(future=future)
    assert got["ds"].tolist() == future["ds"].tolist()
    parts = {m.name: m.copy().fit(panel, h=H).predict(H, future=future) for m in team}
    np.testing.assert_allclose(got["Blend"], by_hand(model, parts), rtol=1e-9)


def test_tables_of_polars_and_of_one_series_come_back_as_they_came() -> None:
    polars = pytest.importorskip("polars")
    df = daily(2)
    plain = Blend([ar(), SeasonalNaive()], show_members=True).fit(df, h=H)
    rows = Blend([ar(), SeasonalNaive()], show_members=True).fit(polars.from_pandas(df), h=H)
    got = rows.predict(levels=[80])
    assert isinstance(got, polars.DataFrame)
    assert got["Blend"].to_list() == plain.predict()["Blend"].tolist()
    for made in (rows.weights_, rows.validation_, rows.fitted(), rows.members_["AR"].predict()):
        assert isinstance(made, polars.DataFrame)
    one = df[df["unique_id"] == "s000"].drop(columns="unique_id")
    alone = Blend([ar(), SeasonalNaive()], show_members=True).fit(one, h=H)
    assert list(alone.predict(levels=[80])) == [
        "ds",
        "Blend",
        "Blend-lo-80",
        "Blend-hi-80",
        "Blend-AR",
        "Blend-SeasonalNaive",
    ]
    assert list(alone.weights_) == ["steps", "member", "weight", "prior", "mse"]


def test_members_are_shown_beside_their_blend() -> None:
    df, future = history(daily())
    team = [ar(known=("promo",)), SeasonalNaive()]
    model = Blend(team, alias="mix", show_members=True, on_error="skip").fit(df, h=H)
    got = model.predict(future=future, levels=[80])
    assert list(got) == ["unique_id", "ds", "mix", "mix-lo-80", "mix-hi-80", "mix-AR", "mix-SeasonalNaive", "status"]
    for member in team:
        np.testing.assert_allclose(got[f"mix-{member.name}"], member.fit(df).predict(H, future=future)[member.name])
    model.set_params(show_members=False)
    assert "mix-AR" not in model.predict(future=future)


def test_excluded_rows_do_not_count() -> None:
    df = daily()
    days = pd.to_datetime(["2022-02-01", "2022-05-20", "2022-06-08"])
    mask = pd.DataFrame({"from": days, "to": days + pd.Timedelta(days=2)})
    out = df["ds"].isin([day + pd.Timedelta(days=k) for day in days for k in range(3)])
    one, two = (
        Blend([ar(), WindowMean(5)]).fit(Panel.from_table(df.assign(y=df["y"] + add * out), mask=mask), h=H)
        for add in (0.0, 1e3)
    )
    kept = Blend([ar(), WindowMean(5)]).fit(df.assign(y=df["y"].where(~out)), h=H)
    assert (one.predict()["Blend"] == kept.predict()["Blend"]).all()
    assert (one.weights_["weight"] == two.weights_["weight"]).all()
    assert (one.predict(levels=[80])["Blend-lo-80"] == two.predict(levels=[80])["Blend-lo-80"]).all()
