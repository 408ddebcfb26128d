"""Prophet end to end: with our parameters, prophet's own code gives our forecast, and finds no better point nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import Prophet, Regressor, Seasonality
from tsforecast.errors import ConfigError

pytest.importorskip("prophet")
from prophet_twin import Case, Twin, quiet


def rows_of(ds: pd.DatetimeIndex, seed: int = 0, level: float = 20.0) -> pd.DataFrame:
    """A trend with a bend, waves of a week and a year, noise."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, len(ds))
    day = np.asarray((ds - ds[0]) / pd.Timedelta(days=1))
    waves = 2 * np.sin(2 * np.pi * day / 7) + 3 * np.cos(2 * np.pi * day / 365.25) + np.sin(2 * np.pi * day)
    y = level + 5 * t - 9 * np.maximum(t - 0.5, 0) + waves + 0.5 * rng.normal(size=len(ds))
    return pd.DataFrame({"ds": ds, "y": y})


def case(table: pd.DataFrame | None = None, h: int = 40, *, columns: tuple[str, ...] = (), **given: Any) -> Case:
    """The last h rows are those to come; of their columns, `columns` are known."""
    table = rows_of(pd.date_range("2021-03-05", periods=840)) if table is None else table
    names = {"seasonalities", "regressors", "country", "door"}
    own = {name: given.pop(name) for name in names & set(given)}
    return Case(table.iloc[:-h], table.iloc[-h:][["ds", *columns]].reset_index(drop=True), given, **own)


def gappy(where: str) -> pd.DataFrame:
    table = rows_of(pd.date_range("2021-03-05", periods=840))
    rng = np.random.default_rng(3)
    match where:
        case "head":
            table.loc[:37, "y"] = np.nan
        case "middle":
            table.loc[rng.choice(np.arange(1, 799), 250, replace=False), "y"] = np.nan
        case "tail":
            table.loc[763:799, "y"] = np.nan
        case _:
            table.loc[:11, "y"] = np.nan
            table.loc[rng.choice(np.arange(1, 799), 120, replace=False), "y"] = np.nan
            table.loc[790:799, "y"] = np.nan
    return table


def logistic(scaling: str = "absmax", floor: bool = False, **given: Any) -> Case:
    table = rows_of(pd.date_range("2021-03-05", periods=400))
    t = np.linspace(0, 1, 400)
    table["cap"] = 40 + 10 * t + np.sin(9 * t)
    columns: tuple[str, ...] = ("cap",)
    if floor:
        table["floor"] = 5 + 3 * np.sin(5 * t)
        columns = ("cap", "floor")
    return case(table, columns=columns, growth="logistic", scaling=scaling, **given)


def with_columns(missing: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    table = rows_of(pd.date_range("2021-03-05", periods=500))
    table["price"] = 1200 + 40 * rng.normal(size=500)
    table["promo"] = (rng.random(500) < 0.2).astype(float)
    table["same"] = 7.0
    table["weekend"] = table["ds"].dt.day_of_week >= 5
    table["y"] += 3 * table["promo"] + 0.05 * (table["price"] - 1200)
    if missing:
        table.loc[rng.choice(460, 80, replace=False), "y"] = np.nan
    return table


def hourly(tz: str | None = None, start: str = "2024-01-05 05:00") -> pd.DataFrame:
    return rows_of(pd.date_range(start, periods=24 * 30, freq="h", tz=tz))


def events(prior: bool = False) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "holiday": ["fair", "fair", "fair", "sale", "sale", "opening"],
            "ds": pd.to_datetime(["2021-05-01", "2022-05-02", "2023-05-29", "2021-11-11", "2022-11-11", "2021-03-05"]),
            "lower_window": [-2, -2, -2, 0, 0, 0],
            "upper_window": [1, 1, 1, 3, 3, 0],
        }
    )
    return table.assign(prior_scale=[0.3, 0.3, 0.3, 5.0, 5.0, 1.0]) if prior else table


REGRESSORS = (Regressor("price", 0.5), Regressor("promo"), Regressor("same"))
KNOWN = ("price", "promo", "same")
ODD = pd.DatetimeIndex(np.sort(np.random.default_rng(8).choice(pd.date_range("2021-01-01", periods=900), 500, False)))
IGNORE = {"gaps": "ignore", "freq": "D"}

CASES: dict[str, Callable[[], Case]] = {
    "default": case,
    "flat": lambda: case(growth="flat"),
    "minmax": lambda: case(scaling="minmax"),
    "far from zero": lambda: case(rows_of(pd.date_range("2021-03-05", periods=840), level=1e3)),
    "below zero": lambda: case(rows_of(pd.date_range("2021-03-05", periods=840), level=-300)),
    "multiplicative": lambda: case(seasonality_mode="multiplicative"),
    "multiplicative minmax": lambda: case(seasonality_mode="multiplicative", scaling="minmax"),
    "multiplicative flat": lambda: case(seasonality_mode="multiplicative", growth="flat"),
    "multiplicative holidays alone": lambda: case(holidays_mode="multiplicative", country="KR"),
    "additive holidays alone": lambda: case(seasonality_mode="multiplicative", holidays_mode="additive", country="KR"),
    "logistic": logistic,
    "logistic minmax": lambda: logistic("minmax"),
    "logistic floor": lambda: logistic(floor=True),
    "logistic floor minmax": lambda: logistic("minmax", floor=True),
    "logistic multiplicative": lambda: logistic(seasonality_mode="multiplicative", floor=True),
    "a seasonality of its own": lambda: case(
        seasonalities=(Seasonality("monthly", 30.5, 5, 0.1), Seasonality("quarter", 91.3, 2, mode="multiplicative")),
        weekly_seasonality=False,
        yearly_seasonality=3,
    ),
    "weekly replaced": lambda: case(seasonalities=(Seasonality("weekly", 7, 5, 0.2),)),
    "a seasonality on some days": lambda: case(
        with_columns(), columns=("weekend",), seasonalities=(Seasonality("rest", 7, 3, condition_name="weekend"),)
    ),
    "regressors": lambda: case(with_columns(), columns=KNOWN, regressors=REGRESSORS),
    "regressors on gappy rows": lambda: case(with_columns(missing=True), columns=KNOWN, regressors=REGRESSORS),
    "regressors as they are": lambda: case(
        with_columns(),
        columns=("price", "promo"),
        regressors=(Regressor("price", standardize=False), Regressor("promo", standardize=True)),
    ),
    "regressors that multiply": lambda: case(
        with_columns(),
        columns=("price", "promo"),
        regressors=(Regressor("price", mode="multiplicative"), Regressor("promo")),
    ),
    "Korea": lambda: case(country="KR", holidays_prior_scale=0.5),
    "United States": lambda: case(country="US"),
    "a table of holidays": lambda: case(holidays=events()),
    "a table with priors": lambda: case(holidays=events(prior=True), country="KR"),
    "changepoints given": lambda: case(
        changepoints=list(pd.to_datetime(["2022-09-01 12:00", "2021-06-06", "2021-03-05"], format="mixed")),
        changepoint_prior_scale=10,
    ),
    "no changepoints": lambda: case(n_changepoints=0),
    "an empty list of changepoints": lambda: case(changepoints=[]),
    "many changepoints": lambda: case(
        rows_of(pd.date_range("2021-03-05", periods=60)), h=20, n_changepoints=60, changepoint_range=1.0
    ),
    "gaps at the head": lambda: case(gappy("head"), country="KR"),
    "gaps in the middle": lambda: case(gappy("middle"), country="KR"),
    "gaps at the tail": lambda: case(gappy("tail"), country="KR"),
    "gaps everywhere": lambda: case(gappy("everywhere"), changepoint_range=0.95),
    "gaps and factors": lambda: case(gappy("everywhere"), seasonality_mode="multiplicative"),
    "months": lambda: case(rows_of(pd.date_range("2012-01-01", periods=120, freq="MS")), h=12),
    "weeks": lambda: case(rows_of(pd.date_range("2019-01-06", periods=200, freq="W")), h=30),
    "hours": lambda: case(hourly(), h=48),
    "ten minutes": lambda: case(rows_of(pd.date_range("2024-01-05", periods=700, freq="10min")), h=50),
    "hours in Seoul": lambda: case(hourly("Asia/Seoul"), h=48, country="KR"),
    "odd dates": lambda: case(rows_of(ODD), door=IGNORE, country="US"),
    "odd dates and factors": lambda: case(rows_of(ODD), door=IGNORE, seasonality_mode="multiplicative"),
    "few rows": lambda: case(rows_of(pd.date_range("2021-03-05", periods=20)), h=7, weekly_seasonality=2),
}


@pytest.mark.parametrize("name", CASES)
def test_prophet_with_our_parameters_gives_our_forecast(name: str) -> None:
    given = CASES[name]()
    model, twin = given.ours(), Twin(given)
    twin.take(model)
    ours = model.components(len(given.ahead), future=given.future(), history=True)
    observed = given.table[given.table["y"].notna()]
    rows = pd.concat([given.table, given.ahead], ignore_index=True)[["ds", *given.ahead.columns.drop("ds")]]
    theirs = twin.components(rows)
    assert list(ours["ds"]) == list(rows["ds"])
    # Prophet takes the sine of angles near 2e4, which costs it digits.
    slack = {"rtol": 0, "atol": 1e-9 * observed["y"].std() + 1e-13 * observed["y"].abs().max()}
    for column in theirs.columns:
        values = ours[column].to_numpy() if column in ours else np.zeros(len(ours))  # met no row: no effect
        np.testing.assert_allclose(values, theirs[column], **slack, err_msg=column)
    for column in set(ours.columns) - {"ds", *theirs.columns}:
        assert not ours[column].any(), "a seasonality that prophet leaves out"
    told = model.predict(len(given.ahead), future=given.future())
    np.testing.assert_allclose(told["Prophet"], theirs["Prophet"].tail(len(told)), **slack)


@pytest.mark.parametrize("name", CASES)
def test_our_parameters_are_a_mode_of_prophets_own_posterior(name: str) -> None:
    given = CASES[name]()
    model, twin = given.ours(), Twin(given)
    twin.take(model)
    assert model.state_["fit"]["spans"]["proper"].all()
    assert not model.state_["fit"]["spans"]["thinned"].any()
    gaussian, laplace, noise = twin.residuals()
    # What prophet's own columns lack in digits pulls as hard as the rows are exact.
    digits = 1e-13 * twin.data.T / np.exp(2 * twin.theta[-1])
    assert gaussian <= 1e-7 + digits
    assert laplace <= 1e-7 + twin.data.tau * digits
    assert noise <= 1e-9


@pytest.mark.parametrize("name", CASES)
def test_scales_and_places_are_those_of_prophet(name: str) -> None:
    given = CASES[name]()
    model, twin = given.ours(), Twin(given)
    theirs, spans = twin.model, {key: value[0] for key, value in model.state_["fit"]["spans"].items()}
    assert spans["rows"] == twin.data.T
    np.testing.assert_allclose(spans["scale"], theirs.y_scale, rtol=1e-14)
    np.testing.assert_allclose(spans["unit"], theirs.t_scale / pd.Timedelta(days=1), rtol=1e-14)
    start = np.datetime64(int(spans["start"]), "us")
    assert (start if given.table["ds"].dt.tz is None else start + np.timedelta64(9, "h")) == theirs.start
    if given.arguments.get("growth") != "flat":
        assert spans["changes"] == len(theirs.changepoints)
        np.testing.assert_allclose(spans["at"][: twin.data.S], twin.data.t_change, rtol=0, atol=1e-14)
    for j, term in enumerate(given.regressors):
        own = theirs.extra_regressors[term.name]
        np.testing.assert_allclose([spans["mu"][j], spans["std"][j]], [own["mu"], own["std"]], rtol=1e-12)


# Places of changepoints, and sizes that numbers barely hold


@pytest.mark.parametrize("share", [0.1, 0.37, 0.8, 1.0])
def test_changepoints_lie_on_prophets_rows_for_every_length(share: float) -> None:
    import prophet

    lengths = range(2, 201)
    parts = [rows_of(pd.date_range("2021-03-05", periods=rows), seed=rows).assign(unique_id=rows) for rows in lengths]
    plain: dict[str, Any] = {"weekly_seasonality": False, "yearly_seasonality": False, "changepoint_range": share}
    model = Prophet(**plain, on_error="skip").fit(pd.concat(parts))
    spans = model.state_["fit"]["spans"]
    for i, rows in enumerate(lengths):
        twin = prophet.Prophet(**plain)
        with quiet():
            twin.history = twin.setup_dataframe(parts[i][["ds", "y"]], initialize_scales=True)
            twin.set_changepoints()
        assert spans["changes"][i] == len(twin.changepoints), rows
        np.testing.assert_allclose(spans["at"][i][: len(twin.changepoints_t)], twin.changepoints_t, rtol=0, atol=1e-15)


def test_a_level_far_above_the_signal_costs_no_digits() -> None:
    near = case(scaling="minmax")
    far = Case(near.table.assign(y=near.table["y"] + 1e6), near.ahead, near.arguments)
    ours = [one.ours().predict(40)["Prophet"] for one in (near, far)]
    np.testing.assert_allclose(ours[1] - 1e6, ours[0], rtol=0, atol=1e-7)


def test_a_signal_that_is_a_billionth_of_its_level_is_fitted_as_by_least_squares() -> None:
    # On Prophet's scale the signal is 1e-8, and no prior of the model can hold it.
    far = case(rows_of(pd.date_range("2021-03-05", periods=840), level=1e9))
    twin = Twin(far)
    t = np.asarray(twin.data.t)
    design = np.column_stack([t, np.ones_like(t), twin.data.X, np.maximum(t[:, None] - twin.data.t_change, 0)])
    y = far.table["y"].to_numpy() - 1e9
    want = design @ np.linalg.lstsq(design, y)[0]
    ours = far.ours().components(1, history=True)["Prophet"].iloc[:-1].to_numpy() - 1e9
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-3)


def test_two_rows_below_a_capacity_stay_where_they_are() -> None:
    # Their slope and level would follow both without noise: the slope goes, and a level remains.
    table = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=6), "y": [20.2, 21.0] + [np.nan] * 4, "cap": 50.0})
    model = Prophet("logistic", on_error="skip").fit(table[:2])
    told = model.predict(4, future=table[2:], levels=(80,))
    assert (told["status"] == "ok").all()
    assert told["Prophet"].between(20, 21).all()
    assert (told["Prophet-lo-80"] < told["Prophet"]).all()


# Clocks, labels and columns of odd kinds


@pytest.mark.parametrize("start", ["2024-02-20", "2024-10-20"], ids=["spring", "autumn"])
def test_hours_of_a_zone_have_the_seasons_of_the_wall_clock(start: str) -> None:
    # Where clocks are put forward or back, a day has 23 or 25 hours: noon stays noon, and time goes on evenly.
    given = case(hourly("America/New_York", start), h=72, country="US")
    model, twin = given.ours(), Twin(given)
    twin.take(model)
    ours = model.components(72, history=True)
    rows = pd.concat([given.table, given.ahead])[["ds"]]
    theirs = twin.components(rows.reset_index(drop=True))
    offsets = rows["ds"].map(lambda moment: moment.utcoffset())
    assert offsets.nunique() == 2
    for name in ("daily", "weekly", *[name for name in theirs if name in ours.columns[3:-1]]):
        order = np.argsort(rows["ds"].dt.tz_localize(None).to_numpy(), kind="stable")  # prophet sorts what it predicts
        np.testing.assert_allclose(ours[name].to_numpy()[order], theirs[name], rtol=0, atol=1e-9)
    passed = (rows["ds"] - rows["ds"].iloc[0]) / pd.Timedelta(days=1)
    spans = {key: value[0] for key, value in model.state_["fit"]["spans"].items()}
    t = passed.to_numpy() / passed.iloc[len(given.table) - 1]
    line = spans["k"] * t + spans["m"] + np.maximum(t[:, None] - spans["at"], 0) @ spans["delta"]
    np.testing.assert_allclose(ours["trend"], line * spans["scale"], rtol=1e-12)


def test_labels_are_a_column_each_as_if_made_by_hand() -> None:
    table = with_columns()
    rng = np.random.default_rng(2)
    labels = np.array(["east", "north", "west"])
    table["place"] = labels[rng.integers(0, 3, len(table))]
    given = case(table, columns=("place",), regressors=(Regressor("place", 0.4),))
    model = given.ours()
    dummies = pd.get_dummies(table["place"], prefix="place", prefix_sep="=").astype(float)
    by_hand = pd.concat([table, dummies], axis=1)
    columns = tuple(dummies.columns)
    other = case(by_hand, columns=columns, regressors=tuple(Regressor(name, 0.4) for name in columns))
    twin = Twin(other)
    twin.take(model)
    theirs = twin.components(pd.concat([other.table, other.ahead])[["ds", *columns]])
    ours = model.components(len(given.ahead), future=given.ahead, history=True)
    np.testing.assert_allclose(ours["Prophet"], theirs["Prophet"], rtol=0, atol=1e-8)
    residuals = twin.residuals()
    assert max(residuals) <= 1e-7 + 1e-13 * twin.data.T / np.exp(2 * twin.theta[-1])


def test_days_of_trade_run_on_when_nobody_says_which_come() -> None:
    days = pd.bdate_range("2022-01-03", periods=400)
    table = rows_of(days[(days != "2022-07-04") & (days != "2022-12-26")])
    given = case(table, h=30, door={"gaps": "ignore", "freq": "B"})
    told = given.ours().predict(30)
    assert list(told["ds"]) == list(pd.bdate_range(given.table["ds"].iloc[-1], periods=31)[1:])
    with_dates = given.ours().predict(30, future=pd.DataFrame({"ds": told["ds"]}))
    pd.testing.assert_frame_equal(told, with_dates)
    skipped = told["ds"].drop(index=[3, 4])
    fewer = given.ours().predict(28, future=pd.DataFrame({"ds": skipped}))
    pd.testing.assert_frame_equal(fewer, told.drop(index=[3, 4]).reset_index(drop=True), check_exact=True)


@pytest.mark.parametrize("freq", ["ME", "QS", "W-SUN", "YS", "2D", "SME", "WOM-2TUE"])
def test_other_steps_have_prophets_forecast_too(freq: str) -> None:
    ds = pd.date_range("2000-01-01", periods=60, freq=freq)
    seasons = {"yearly_seasonality": 2} if freq in ("ME", "QS", "SME") else {"yearly_seasonality": False}
    given = case(rows_of(ds), h=8, door={"freq": freq}, **seasons)
    model, twin = given.ours(), Twin(given)
    twin.take(model)
    told, theirs = model.predict(8), twin.components(given.ahead)
    assert list(told["ds"]) == list(given.ahead["ds"])
    np.testing.assert_allclose(told["Prophet"], theirs["Prophet"], rtol=1e-10)
    assert max(twin.residuals()) <= 1e-7 + 1e-13 * twin.data.T / np.exp(2 * twin.theta[-1])


def test_a_capacity_or_condition_in_words_is_refused() -> None:
    table = rows_of(pd.date_range("2024-01-01", periods=40)).assign(cap="high", on="yes")
    rest = Seasonality("rest", 7, 2, condition_name="on")
    for model, words in (
        (Prophet("logistic"), "'cap' holds text"),
        (Prophet(seasonalities=(rest,)), "'on' holds text"),
    ):
        with pytest.raises(ConfigError, match=words):
            model.fit(table)
