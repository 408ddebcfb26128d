"""Prophet's model on what it cannot use, and at its edges: our errors with place and remedy, and prophet's numbers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet_backend import NAME as EXACT
from scipy.optimize import minimize

from tsforecast import KoreanHolidays, Prophet, Regressor, Seasonality, backtest, load
from tsforecast.errors import ConfigError, DataError, DataWarning, FitWarning, FutureError

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword", "ignore:'.' is deprecated")  # within prophet

ROWS = 120
START = "2022-01-03"


def wave(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    t = np.arange(rows)
    noise = np.random.default_rng(seed).normal(scale=0.2, size=rows)
    return 10 + np.sin(2 * np.pi * t / 7) + t / 100 + noise


def one(y: Any, freq: str = "D", start: str = START, **columns: Any) -> pd.DataFrame:
    """A series as Prophet takes it."""
    y = np.asarray(y, dtype=float)
    return pd.DataFrame({"ds": pd.date_range(start, periods=len(y), freq=freq), "y": y} | columns)


def two(rows: int = ROWS, **columns: Any) -> pd.DataFrame:
    """Series a and b one below the other; columns are flat or one number."""
    parts = [one(wave(rows, seed)).assign(unique_id=name) for seed, name in enumerate("ab")]
    return pd.concat(parts, ignore_index=True)[["unique_id", "ds", "y"]].assign(**columns)


def at(row: int, value: float, other: float = 100.0, rows: int = 2 * ROWS) -> np.ndarray:
    """One number everywhere but in one row."""
    values = np.full(rows, other)
    values[row] = value
    return values


def day(number: int) -> dt.date:
    return dt.date.fromisoformat(START) + dt.timedelta(days=number)


# Arguments

MONTHLY = Seasonality("monthly", 30.5, 5)
FAIR = {"holiday": ["fair"], "ds": ["2022-02-01"]}

ARGUMENTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "growth": ({"growth": "logarithmic"}, ("growth", "'linear' or 'logistic' or 'flat'", "'logistic'?")),
    "scaling": ({"scaling": "absmx"}, ("scaling", "did you mean 'absmax'?")),
    "mode": ({"seasonality_mode": "multiplicativ"}, ("seasonality_mode", "did you mean 'multiplicative'?")),
    "holidays mode": ({"holidays_mode": "sum"}, ("holidays_mode", "'sum'", "'additive' or 'multiplicative'")),
    "engine": ({"engine": "Stan"}, ("engine", "did you mean 'stan'?")),
    "an engine without a name": ({"engine": None}, ("engine", "'map' or 'stan'")),
    "no prior": ({"changepoint_prior_scale": 0}, ("changepoint_prior_scale", "above 0, got 0")),
    "a negative prior": ({"seasonality_prior_scale": -1.0}, ("seasonality_prior_scale", "-1.0")),
    "a prior that is NaN": ({"holidays_prior_scale": float("nan")}, ("holidays_prior_scale", "nan")),
    "a prior in words": ({"holidays_prior_scale": "10"}, ("holidays_prior_scale", "'10'")),
    "half a changepoint": ({"n_changepoints": 2.5}, ("n_changepoints", "2.5")),
    "fewer than none": ({"n_changepoints": -1}, ("n_changepoints", "at least 0", "-1")),
    "a range above one": ({"changepoint_range": 80}, ("changepoint_range", "0 to 1", "80")),
    "percent": ({"interval_width": 95}, ("interval_width", "write 0.95")),
    "no width": ({"interval_width": 0.0}, ("interval_width", "between 0 and 1")),
    "samples under map": ({"mcmc_samples": 300}, ("mcmc_samples=300", 'engine="map"', 'set engine="stan"')),
    "draws under map": ({"uncertainty_samples": 0}, ("uncertainty_samples=0", 'engine="map"')),
    "back end under map": ({"stan_backend": "CMDSTANPY"}, ("stan_backend='CMDSTANPY'", 'engine="map"')),
    "half a sample": ({"engine": "stan", "mcmc_samples": 0.5}, ("mcmc_samples", "0.5")),
    "an order in words": ({"yearly_seasonality": "on"}, ("yearly_seasonality", "'auto', True, False", "'on'")),
    "a negative order": ({"weekly_seasonality": -3}, ("weekly_seasonality", "-3")),
    "half an order": ({"daily_seasonality": 2.5}, ("daily_seasonality", "2.5")),
    "a lone changepoint": ({"changepoints": "2022-02-01"}, ("list of dates", "changepoints=['2022-02-01']")),
    "a changepoint that is no date": ({"changepoints": ["2022-02-01", "soon"]}, ("changepoints", "'soon'", "row 1")),
    "a changepoint that is a number": ({"changepoints": [20220201]}, ("changepoints", "20220201", "'2020-01-25'")),
    "past columns": ({"past": ("x",)}, ("past=('x',)", "regressors=(Regressor(name),)")),
    "a lone seasonality": ({"seasonalities": MONTHLY}, ("seasonalities must be a tuple", "Seasonality")),
    "a seasonality in words": ({"seasonalities": ("monthly",)}, ("seasonalities must hold", "'monthly'")),
    "seasonalities of one name": ({"seasonalities": (MONTHLY, MONTHLY)}, ("'monthly' twice",)),
    "no period": ({"seasonalities": (Seasonality("s", 0, 3),)}, ("period of seasonality 's'", "above 0, got 0")),
    "an endless period": ({"seasonalities": (Seasonality("s", float("inf"), 3),)}, ("period", "inf")),
    "no order": ({"seasonalities": (Seasonality("s", 7, 0),)}, ("fourier_order of seasonality 's'", "at least 1")),
    "a term's prior": ({"seasonalities": (Seasonality("s", 7, 3, -1.0),)}, ("prior_scale of seasonality 's'", "-1.0")),
    "a term's mode": (
        {"seasonalities": (Seasonality("s", 7, 3, mode="add"),)},  # type: ignore[arg-type]
        ("mode of seasonality 's'", "'add'"),
    ),
    "a reserved name": ({"seasonalities": (Seasonality("trend", 7, 3),)}, ("'trend'", "rename")),
    "a name without letters": ({"seasonalities": (Seasonality(" ", 7, 3),)}, ("a seasonality needs a name",)),
    "prophet's mark": ({"seasonalities": (Seasonality("a_delim_b", 7, 3),)}, ("_delim_", "rename")),
    "two weeks": (
        {"seasonalities": (Seasonality("weekly", 7, 5),), "weekly_seasonality": 4},
        ("seasonality 'weekly'", "weekly_seasonality=4", "weekly_seasonality=False"),
    ),
    "regressors of one name": ({"regressors": (Regressor("x"), Regressor("x"))}, ("'x' twice",)),
    "known and a regressor": ({"regressors": (Regressor("x"),), "known": ("x",)}, ("'x'", "known and regressors")),
    "a lone regressor": ({"regressors": "x"}, ("regressors must be a tuple", 'Regressor("promo")')),
    "a regressor's number": ({"regressors": (5,)}, ("regressors must hold", 'Regressor("promo")', "got 5")),
    "a name and its regressor": ({"regressors": ("x", Regressor("x"))}, ("'x' twice",)),
    "a name and a known column": ({"regressors": ("x",), "known": ("x",)}, ("'x'", "known and regressors")),
    "a regressor's prior": ({"regressors": (Regressor("x", 0),)}, ("prior_scale of regressor 'x'", "got 0")),
    "standardize": (
        {"regressors": (Regressor("x", standardize="yes"),)},  # type: ignore[arg-type]
        ("standardize of regressor 'x'", "'yes'"),
    ),
    "capacity as a regressor": ({"known": ("cap",), "growth": "logistic"}, ("'cap' is no term", "leave it out")),
    "a regressor called y": ({"regressors": (Regressor("y"),)}, ("'y'", "rename")),
    "a name for two things": (
        {"seasonalities": (Seasonality("x", 7, 3),), "regressors": (Regressor("x"),), "weekly_seasonality": False},
        ("'x'", "a seasonality and a regressor"),
    ),
    "a condition as a regressor": (
        {"seasonalities": (Seasonality("s", 7, 3, condition_name="x"),), "known": ("x",)},
        ("'x' is the condition", "Leave it out"),
    ),
    "a condition called as its seasonality": (
        {"seasonalities": (Seasonality("x", 7, 3, condition_name="x"),)},
        ("'x'", "a seasonality and a condition"),
    ),
    "an unknown country": ({"holidays": "Korea"}, ("no country 'Korea'", "KR")),
    "a country's other name": ({"holidays": ["SouthKorea"]}, ("(did you mean KR?); there are",)),
    "the pooled calendar in words": ({"holidays": "KoreanHolidays"}, ("is text", "write KoreanHolidays()")),
    "the pooled calendar as code": ({"holidays": ["US", "korean_holidays()"]}, ("is text", "write KoreanHolidays()")),
    "a country in holidays and calendar": (
        {"holidays": KoreanHolidays(), "calendar": ("weekday", "KR")},
        ("holidays and calendar both hold KR", "Leave it out of one"),
    ),
    "Korea twice": (
        {"holidays": ["KR", KoreanHolidays()]},
        ("'KR' and KoreanHolidays()", "the same days", "Leave one"),
    ),
    "a holiday called as a regressor in words": ({"holidays": FAIR, "regressors": ["fair"]}, ("'fair'", "rename")),
    "a holiday called as a regressor": (
        {"holidays": FAIR, "regressors": (Regressor("fair"),)},
        ("'fair'", "a column of the data", "rename"),
    ),
    "a country's holiday called as a regressor": (
        {"holidays": "US", "regressors": (Regressor("Washington's Birthday"),)},
        ('"Washington\'s Birthday"', "a column of the data", "rename"),
    ),
    "a holiday called weekly": ({"holidays": FAIR | {"holiday": ["weekly"]}}, ("'weekly'", "rename")),
    "a holiday without a date": ({"holidays": FAIR | {"ds": [None]}}, ("lacks a date in row 0",)),
}


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_arguments_that_cannot_work_are_refused_with_what_to_do(name: str) -> None:
    arguments, words = ARGUMENTS[name]
    with pytest.raises(ConfigError) as caught:
        Prophet(**arguments).fit(two(x=1.0, cap=100.0, **{"Washington's Birthday": 1.0}))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"changepoints": [dt.date(2022, 2, 1), pd.Timestamp("2022-03-01"), np.datetime64("2022-04-01")]},
        {"changepoints": pd.Series(pd.to_datetime(["2022-02-01"]))},
        {"weekly_seasonality": True, "yearly_seasonality": 0, "daily_seasonality": np.int64(0)},
        {"seasonalities": [Seasonality("weekly", 7, 5)]},
        {"interval_width": 0.95, "changepoint_range": 1, "holidays_mode": "multiplicative"},
        {"changepoints": ()},
    ],
)
def test_arguments_that_only_look_odd_are_taken(arguments: dict[str, Any]) -> None:
    forecast = Prophet(**arguments).fit(two()).predict(3)
    assert np.isfinite(forecast["Prophet"]).all()


# The data


@dataclass(frozen=True)
class Bad:
    """Arguments and a table that do not go together, and the finding they must give."""

    arguments: dict[str, Any]
    table: pd.DataFrame
    code: str
    series: Any = None
    column: str | None = None
    when: dt.date | None = None
    count: int = 1
    words: tuple[str, ...] = ()
    future: dict[str, Any] = field(default_factory=dict)


LOGISTIC = {"growth": "logistic"}
ON = {"seasonalities": (Seasonality("s", 7, 3, condition_name="on"),), "weekly_seasonality": False}
X = {"regressors": (Regressor("x"),)}
B = ROWS  # first row of series b

DATA: dict[str, Bad] = {
    "cap below the floor": Bad(
        LOGISTIC, two(cap=at(B + 4, 3.0), floor=5.0), "TSF-CAP", "b", "cap", day(4), 1, ("floor", "3.0", "linear")
    ),
    "cap at 0": Bad(LOGISTIC, two(cap=at(4, 0.0)), "TSF-CAP", "a", "cap", day(4), 1, ("the floor, 0",)),
    "cap below the lowest value": Bad(
        LOGISTIC | {"scaling": "minmax"}, two(cap=at(B + 9, 1.0)), "TSF-CAP", "b", "cap", day(9), 1, ("lowest value",)
    ),
    "no cap in a row": Bad(LOGISTIC, two(cap=at(7, np.nan)), "TSF-COLUMN", "a", "cap", day(7), 1, ("cap of every",)),
    "no floor in a row": Bad(
        LOGISTIC, two(cap=100.0, floor=at(7, np.nan, 0.0)), "TSF-COLUMN", "a", "floor", day(7), 1, ("floor of every",)
    ),
    "a regressor with NaN": Bad(X, two(x=at(B + 2, np.nan)), "TSF-COLUMN", "b", "x", day(2), 1, ("Fill them",)),
    "a known column with NaN": Bad({"known": ("x",)}, two(x=at(B + 2, np.nan)), "TSF-COLUMN", "b", "x", day(2)),
    "a regressor without values": Bad(X, two(x=np.nan), "TSF-COLUMN", "a", "x", day(0), ROWS),
    "a condition in halves": Bad(ON, two(on=at(5, 0.5, 1.0)), "TSF-CONDITION", "a", "on", day(5), 1, ("'s'", "0.5")),
    "a condition with NaN": Bad(ON, two(on=at(5, np.nan, 1.0)), "TSF-COLUMN", "a", "on", day(5)),
    "infinite target": Bad({}, two().assign(y=at(B + 5, np.inf)), "TSF-Y-NONFINITE", "b", "y", day(5)),
    "a changepoint before one series": Bad(
        {"changepoints": ["2022-01-10", "2022-03-01"]},
        two().drop(index=range(B, B + 30)),
        "TSF-CHANGEPOINT", "b", "ds", dt.date(2022, 1, 10), 1, ("2022-02-02 to 2022-05-02", "skip"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DATA))
def test_columns_that_cannot_be_used_are_refused_with_place_and_remedy(name: str) -> None:
    bad = DATA[name]
    with pytest.raises(DataError) as caught:
        Prophet(**bad.arguments).fit(bad.table)
    check_finding(bad, caught.value)


def check_finding(bad: Bad, error: DataError) -> None:
    finding = error.findings[0]
    assert (finding.code, finding.series, finding.column, finding.count) == (
        bad.code, bad.series, bad.column, bad.count,
    )  # fmt: skip
    assert finding.when[0] == bad.when
    assert finding.fix
    assert finding.expected
    for word in bad.words:
        assert word in str(error)


def test_all_columns_are_judged_at_once() -> None:
    table = two(cap=at(4, -1.0), x=at(B, np.nan), on=at(9, 3.0, 1.0))
    with pytest.raises(DataError) as caught:
        Prophet(**LOGISTIC, **ON, **X).fit(table)
    assert [f.column for f in caught.value.findings] == ["cap", "on", "x"]


def test_rows_without_a_target_need_no_columns() -> None:
    table = two(x=at(5, np.nan))
    table.loc[5, "y"] = np.nan
    assert np.isfinite(Prophet(**X).fit(table).state_["fit"]["spans"]["k"]).all()


def test_rows_that_lack_a_column_are_left_out_where_errors_are_not_raised() -> None:
    x = np.random.default_rng(3).normal(size=2 * ROWS)
    holed, without = two(x=x), two(x=x)
    holed.loc[5, "x"] = np.nan
    without.loc[5, "y"] = np.nan
    with pytest.warns(DataWarning, match="'a'; column 'x'; at 2022-01-08.*left out"):
        model = Prophet(on_error="skip", **X).fit(holed)
    future = model.make_future(4).assign(x=1.0)
    expected = Prophet(**X).fit(without).predict(4, future=future)
    pd.testing.assert_frame_equal(model.predict(4, future=future).drop(columns="status"), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (LOGISTIC, ("'cap'", 'growth="logistic"', "Add it")),
        (ON, ("'on'", "seasonality 's'")),
        (X, ("'x'",)),
        ({"known": ("x",)}, ("'x'",)),
    ],
)
def test_a_column_that_is_needed_but_absent_is_named(arguments: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        Prophet(**arguments).fit(two(other=1.0))
    for word in (*words, "other"):
        assert word in str(caught.value)


@pytest.mark.parametrize("engine", ["map", "stan"])
def test_names_of_columns_are_regressors(engine: Any, tmp_path: Path) -> None:
    shocks = np.random.default_rng(3).normal(size=2 * ROWS)
    table = two(x=shocks, z=1.0)
    named = Prophet(regressors=["x", Regressor("z", 0.5)], engine=engine).fit(table)
    spelled = Prophet(regressors=[Regressor("x"), Regressor("z", 0.5)], engine=engine).fit(table)
    future = named.make_future(4).assign(x=1.0, z=1.0)
    expected = spelled.predict(4, future=future)
    pd.testing.assert_frame_equal(named.predict(4, future=future), expected)
    named.save(tmp_path / "model")
    pd.testing.assert_frame_equal(load(tmp_path / "model").predict(4, future=future), expected)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"cap": np.repeat([10.0, 100.0], ROWS)}, "the cap lies below y on most rows of a: .*largest value.*'cap'"),
        ({"cap": 100.0, "floor": np.repeat([0.0, 12.0], ROWS)}, "the floor lies above y on most rows of b: .*smallest"),
    ],
)
def test_bounds_that_most_rows_are_beyond_are_a_warning(columns: dict[str, Any], words: str) -> None:
    with pytest.warns(DataWarning, match=words) as caught:
        Prophet(**LOGISTIC).fit(two(**columns))
    assert len(caught) == 1
    who = words.partition(" of ")[2][0]
    table = two(**columns)
    with pytest.warns(DataWarning, match="on most rows: the trend"):
        Prophet(**LOGISTIC).fit(table[table["unique_id"] == who].drop(columns="unique_id"))


def test_bounds_that_seasons_cross_are_none() -> None:
    table = two(cap=11.0, floor=10.0)
    beyond = (table["y"] > 11) | (table["y"] < 10)
    assert beyond.groupby(table["unique_id"]).mean().min() > 0.3
    full = two(cap=10.0)
    full["y"] = 10 + np.random.default_rng(1).normal(scale=0.2, size=2 * ROWS)
    assert (full["y"] > 10).groupby(full["unique_id"]).mean().max() > 0.5, "noise about the capacity"
    for data in (table, full):
        Prophet(**LOGISTIC).fit(data)  # a warning would be an error


def test_changepoints_outside_every_history_are_refused() -> None:
    with pytest.raises(ConfigError, match="2020-01-25 lie outside the history, 2022-01-03 to 2022-05-02"):
        Prophet(changepoints=["2020-01-25", "2022-02-01"]).fit(two())


def test_changepoints_outside_one_series_are_left_out_of_it_where_errors_are_not_raised() -> None:
    table = two().drop(index=range(B, B + 30))
    early, late = "2022-01-10", "2022-03-01"
    with pytest.warns(DataWarning, match="changepoints outside the history are left out of b"):
        model = Prophet(changepoints=[early, late], on_error="skip").fit(table)
    alone = Prophet(changepoints=[late]).fit(table[table["unique_id"] == "b"])
    ours = model.predict(9).set_index("unique_id").loc["b", "Prophet"]
    np.testing.assert_allclose(ours, alone.predict(9)["Prophet"], rtol=1e-9)


def test_dates_are_needed() -> None:
    with pytest.raises(ConfigError, match="needs dates"):
        Prophet().fit(two().assign(ds=np.tile(np.arange(ROWS), 2)))


# The future

H = 6
LAST = ROWS + H - 1


def ahead(model: Prophet, **columns: Any) -> pd.DataFrame:
    return model.make_future(H).assign(**columns)


FUTURE: dict[str, Bad] = {
    "cap below the floor": Bad(
        LOGISTIC, two(cap=100.0, floor=1.0), "TSF-CAP", "b", "cap", day(ROWS + 1), 1, ("floor",),
        {"cap": at(H + 1, 0.5, 100.0, 2 * H), "floor": 1.0},
    ),
    "cap at 0": Bad(
        LOGISTIC, two(cap=100.0), "TSF-CAP", "a", "cap", day(ROWS), 1, ("the floor, 0",),
        {"cap": at(0, 0.0, 100.0, 2 * H)},
    ),
    "cap below the lowest value": Bad(
        LOGISTIC | {"scaling": "minmax"}, two(cap=100.0), "TSF-CAP", "a", "cap", day(ROWS + 5), 1, ("lowest value",),
        {"cap": at(5, 2.0, 100.0, 2 * H)},
    ),
    "an infinite cap": Bad(
        LOGISTIC, two(cap=100.0), "TSF-COLUMN", "b", "cap", day(LAST), 1, ("cap of every row",),
        {"cap": at(2 * H - 1, np.inf, 100.0, 2 * H)},
    ),
    "an infinite regressor": Bad(
        X, two(x=1.0), "TSF-COLUMN", "a", "x", day(ROWS), 1, (), {"x": at(0, -np.inf, 1.0, 2 * H)}
    ),
    "a condition of 2": Bad(
        ON, two(on=1.0), "TSF-CONDITION", "b", "on", day(ROWS), 1, ("'s'",), {"on": at(H, 2.0, 1.0, 2 * H)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FUTURE))
def test_values_to_come_that_cannot_be_used_are_refused_with_place_and_remedy(name: str) -> None:
    bad = FUTURE[name]
    model = Prophet(**bad.arguments).fit(bad.table)
    with pytest.raises(FutureError) as caught:
        model.predict(H, future=ahead(model, **bad.future))
    check_finding(bad, caught.value)


@pytest.mark.parametrize(("arguments", "column"), [(LOGISTIC, "cap"), (X, "x"), (ON, "on")])
def test_known_columns_must_be_given_for_the_future(arguments: dict[str, Any], column: str) -> None:
    model = Prophet(**arguments).fit(two(**{column: 100.0 if column == "cap" else 1.0}))
    with pytest.raises(FutureError, match=f"knows {column} for the future.*make_future"):
        model.predict(H)
    with pytest.raises(FutureError, match=f"future has no column '{column}'"):
        model.predict(H, future=ahead(model))
    with pytest.raises(FutureError, match=rf"future lacks 1 values: \(b, 2022-05-0.*column '{column}'"):
        model.predict(H, future=ahead(model, **{column: at(H + 1, np.nan, 1.0, 2 * H)}))
    with pytest.raises(FutureError, match=r"future lacks 1 rows: \(a, 2022-05-03"):
        model.predict(H, future=ahead(model, **{column: 1.0}).iloc[1:])
    assert np.isfinite(model.predict(H, future=ahead(model, **{column: 1.0}))["Prophet"]).all()


def test_a_floor_is_needed_for_the_future_where_the_history_has_one() -> None:
    model = Prophet(**LOGISTIC).fit(two(cap=100.0, floor=1.0))
    with pytest.raises(FutureError, match="future has no column 'floor'"):
        model.predict(H, future=ahead(model, cap=100.0))


YEARS = one(wave(800))
FAIRS = {"holiday": ["fair", "fair", "storm"], "ds": ["2022-06-01", "2023-06-02", "2022-09-01"]}


@pytest.mark.parametrize("engine", ["map", "stan"])
def test_a_table_without_the_dates_to_come_is_refused(engine: Any) -> None:
    model = Prophet(holidays=FAIRS, engine=engine).fit(YEARS)
    assert len(model.predict(60)) == 60, "the fair is not due yet"
    with pytest.raises(FutureError) as caught:
        model.predict(90)
    (finding,) = caught.value.findings
    assert (finding.column, finding.when) == ("holiday", (dt.date(2024, 6, 2),))
    for word in ("'fair'", "2023-06-02", "holidays=", "fit again", "a column ended"):
        assert word in str(caught.value)
    assert "storm" not in str(caught.value)
    ended = Prophet(holidays=FAIRS | {"ended": [False, True, None]}, engine=engine).fit(YEARS)
    np.testing.assert_array_equal(ended.predict(90)["Prophet"][:60], model.predict(60)["Prophet"])


OVER = {"holiday": ["x"] * 3, "ds": ["2019-05-01", "2020-05-01", "2021-05-01"]}
LATER = one(wave(2200), start="2019-01-01")  # to 2025-01-08


@pytest.mark.parametrize("engine", ["map", "stan"])
def test_a_holiday_that_ended_within_the_history_stops_no_forecast(engine: Any) -> None:
    with pytest.warns(DataWarning, match=r"ended.*'x' \(last on 2021-05-01, the next one due around 2022-05-02\)"):
        model = Prophet(holidays=OVER, engine=engine).fit(LATER)
    told = Prophet(holidays=OVER | {"ended": [True] * 3}, engine=engine).fit(LATER)
    np.testing.assert_array_equal(told.predict(400)["Prophet"], model.predict(400)["Prophet"])


def test_a_holiday_that_ended_is_told_once_in_a_backtest() -> None:
    with pytest.warns(DataWarning) as caught:
        scores = backtest(Prophet(holidays=OVER), LATER, h=180, windows=4, step=180)
    assert len([one for one in caught if "ended" in str(one.message)]) == 1
    told = backtest(Prophet(holidays=OVER | {"ended": [True] * 3}), LATER, h=180, windows=4, step=180)
    pd.testing.assert_frame_equal(told.forecasts, scores.forecasts)


def test_rows_of_a_holiday_that_name_the_models_own_prior_are_one_prior() -> None:
    both = OVER | {"prior_scale": [10.0, None, 10.0], "ended": [True] * 3}
    model = Prophet(holidays=both, regressors=(Regressor("z"),)).fit(LATER.assign(z=1.0))
    assert model.effects()["term"].tolist().count("x") == 1


def test_a_table_with_the_dates_to_come_gives_them_the_effect() -> None:
    table = YEARS.copy()
    table.loc[table["ds"].isin(pd.to_datetime(FAIRS["ds"][:2])), "y"] += 5
    coming = FAIRS | {"holiday": [*FAIRS["holiday"], "fair"], "ds": [*FAIRS["ds"], "2024-05-31"]}
    model = Prophet(holidays=coming).fit(table)
    without = Prophet(holidays=FAIRS).fit(table)
    gap = model.predict(90).set_index("ds")["Prophet"] - model.components(90).set_index("ds")["fair"]
    effect = model.predict(90).set_index("ds")["Prophet"] - gap
    assert effect[pd.Timestamp("2024-05-31")] == pytest.approx(5, abs=0.5)
    assert (effect.drop(pd.Timestamp("2024-05-31")) == 0).all()
    ended = FAIRS | {"ended": [True] * 3}
    np.testing.assert_allclose(
        Prophet(holidays=ended).fit(table).predict(90)["Prophet"][:30], without.predict(30)["Prophet"], rtol=1e-12
    )


def test_what_came_at_odd_times_is_a_warning() -> None:
    odd = {"holiday": ["sale"] * 3, "ds": ["2023-02-01", "2023-02-20", "2023-10-01"]}
    model = Prophet(holidays=odd).fit(YEARS)
    with pytest.warns(DataWarning, match=r"no dates to come are given for 'sale' \(last on 2023-10-01\).* ended"):
        model.predict(90)
    Prophet(holidays=odd | {"ended": [True] * 3}).fit(YEARS).predict(90)
    long_ago = odd | {"ds": ["2022-06-01", "2022-06-20", "2022-12-01"]}
    Prophet(holidays=long_ago).fit(YEARS).predict(90)


@pytest.mark.filterwarnings("ignore:holidays='KR' are of days")
def test_a_country_is_known_for_years_and_no_longer() -> None:
    model = Prophet(holidays="KR").fit(one(wave(60), "YS", "1990-01-01"))
    with pytest.raises(FutureError, match="known until 2079-01-"):
        model.predict(40)


# Edges


def as_prophet(table: pd.DataFrame, h: int, freq: str, terms: tuple[Any, ...] = (), **arguments: Any) -> np.ndarray:
    """What Prophet's own objects make of the exact mode: their scaling, changepoints, columns and forecast."""
    import prophet

    model = prophet.Prophet(stan_backend=EXACT, uncertainty_samples=0, **arguments)
    for term in terms:
        model.add_seasonality(term.name, term.period, term.fourier_order, condition_name=term.condition_name)
    future = model.fit(table.copy()).make_future_dataframe(h, freq=freq, include_history=False)
    return np.asarray(model.predict(future)["yhat"])


@dataclass(frozen=True)
class Edge:
    """A series and arguments at an edge of the model."""

    table: pd.DataFrame
    freq: str = "D"
    arguments: dict[str, Any] = field(default_factory=dict)
    terms: tuple[Seasonality, ...] = ()


def months(rows: int, noise: float = 0.02) -> pd.DataFrame:
    shocks = np.random.default_rng(rows).normal(scale=noise, size=rows)
    return one(10 + np.sin(2 * np.pi * np.arange(rows) / 12) + np.arange(rows) / 100 + shocks, "MS")


EDGES = {
    "no changepoints": Edge(one(wave()), arguments={"n_changepoints": 0}),
    "an empty list of changepoints": Edge(one(wave()), arguments={"changepoints": []}),
    "more changepoints than rows": Edge(one(wave(20)), arguments={"n_changepoints": 100}),
    "changepoints out of order": Edge(one(wave()), arguments={"changepoints": ["2022-04-01", "2022-02-01"]}),
    "a changepoint on the first row": Edge(one(wave()), arguments={"changepoints": [START, "2022-03-01"]}),
    "a changepoint on the last row": Edge(one(wave()), arguments={"changepoints": ["2022-03-01", "2022-05-02"]}),
    "a changepoint between rows": Edge(one(wave()), arguments={"changepoints": ["2022-03-01 08:30"]}),
    "three yearly harmonics": Edge(one(wave(800)), arguments={"yearly_seasonality": 3}),
    "a month of 30.5 days": Edge(one(wave(400)), terms=(MONTHLY,)),
    "months": Edge(months(72), "MS"),
    "weeks": Edge(one(wave(110), "W"), "W"),
    "quarters": Edge(one(wave(40), "QS"), "QS"),
    "hours": Edge(one(wave(300), "h"), "h"),
    "three rows": Edge(one([3.0, 5.0, 4.0])),
    "negative values": Edge(one(-wave())),
    "a step down to zero": Edge(one(np.where(np.arange(ROWS) < 60, 10.0, 0.0))),
}


@pytest.mark.parametrize("name", list(EDGES))
def test_edges_have_the_forecast_of_prophets_own_objects(name: str) -> None:
    edge = EDGES[name]
    ours = Prophet(**edge.arguments, seasonalities=edge.terms).fit(edge.table).predict(8)["Prophet"]
    theirs = as_prophet(edge.table, 8, edge.freq, edge.terms, **edge.arguments)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(edge.table["y"]).max())


@pytest.mark.parametrize("value", [7.0, 0.0, -3e8])
def test_a_constant_stays_what_it_is(value: float) -> None:
    forecast = Prophet().fit(one(np.full(60, value))).predict(5, levels=[80])
    np.testing.assert_allclose(forecast["Prophet"], value, rtol=1e-12, atol=1e-12)
    width = forecast["Prophet-hi-80"] - forecast["Prophet-lo-80"]
    assert (width < 1e-6 * max(abs(value), 1)).all()


def test_two_rows_have_a_level() -> None:
    # A line through two points leaves no noise, and the density no bound: the level alone has a mode.
    with pytest.warns(FitWarning):
        model = Prophet().fit(one([3.0, 5.0]))
    y = np.array([3.0, 5.0]) / 5

    def minus_log(p: np.ndarray) -> float:
        m, s = p[0], np.exp(p[1])
        return float(2 * p[1] + ((y - m) ** 2).sum() / (2 * s * s) + 2 * s * s + m * m / 50)

    level, spread = minimize(minus_log, [0.5, -1.0], tol=1e-14, method="Nelder-Mead").x
    np.testing.assert_allclose(model.predict(4)["Prophet"], 5 * level, rtol=1e-6)
    assert model.diagnostics_["sigma"][0] == pytest.approx(5 * np.exp(spread), rel=1e-5)


def test_one_row_is_too_few() -> None:
    table = pd.concat([two(), pd.DataFrame({"unique_id": ["c"], "ds": [pd.Timestamp(START)], "y": [1.0]})])
    with pytest.raises(DataError) as caught:
        Prophet().fit(table)
    assert (caught.value.code, caught.value.series) == ("TSF-LEN", "c")
    assert "lags" not in caught.value.fix


@pytest.mark.parametrize("rows", [24, 26])
def test_months_that_the_harmonics_can_fill_are_reduced_and_reported(rows: int) -> None:
    with pytest.warns(FitWarning, match="too few rows"):
        model = Prophet(yearly_seasonality=10).fit(months(rows))
    assert model.diagnostics_["reduced"][0] > 0
    assert_noise_is_left(model, months(rows))


@pytest.mark.parametrize("rows", [30, 38])
def test_months_with_fewer_columns_than_rows_have_a_mode(rows: int) -> None:
    table = months(rows, 0.5)
    model = Prophet(yearly_seasonality=10).fit(table)
    assert model.diagnostics_["reduced"][0] == 0
    assert_noise_is_left(model, table)


def assert_noise_is_left(model: Prophet, table: pd.DataFrame) -> None:
    """Where every row is met, the density grows without bound, the noise is none and forecasts run wild."""
    assert model.diagnostics_["sigma"][0] > 1e-4
    assert np.abs(model.predict(12)["Prophet"] - table["y"].mean()).max() < 5 * table["y"].std()


def test_years_have_no_yearly_seasonality() -> None:
    # One row a year says nothing of the seasons; Prophet leaves 20 columns on for them.
    table = one(wave(25), "YS", "1990-01-01")
    model = Prophet().fit(table)
    assert not [name for name in model.state_["fit"]["names"] if name.startswith("yearly")]
    without = as_prophet(table, 5, "YS", yearly_seasonality=False)
    np.testing.assert_allclose(model.predict(5)["Prophet"], without, rtol=1e-6)


def test_a_small_signal_far_from_zero_is_kept() -> None:
    # Of the standard deviation of the signal, 1; Stan's optimiser leaves an RMSE of twelve times the noise.
    y = wave(400) + 10 * np.sin(2 * np.pi * np.arange(400) / 7)
    model = Prophet().fit(one(1e9 + y))
    fitted = model.components(history=True)["Prophet"].to_numpy()
    assert np.sqrt(np.mean((fitted - 1e9 - y) ** 2)) < 0.25
    coming = 10 + 11 * np.sin(2 * np.pi * np.arange(400, 414) / 7) + np.arange(400, 414) / 100
    assert np.abs(model.predict(14)["Prophet"] - 1e9 - coming).max() < 1.0


@pytest.mark.parametrize(("zone", "freq"), [("Asia/Seoul", "D"), ("Asia/Seoul", "h"), ("America/New_York", "D")])
def test_a_zone_of_time_changes_no_number(zone: str, freq: str) -> None:
    plain = one(wave(300), freq)
    zoned = plain.assign(ds=plain["ds"].dt.tz_localize(zone))
    change = str(plain["ds"][100] + pd.Timedelta(hours=5 if freq == "h" else 0))
    arguments = {"changepoints": [change], "changepoint_prior_scale": 10.0, "holidays": "KR"}
    ours, theirs = (Prophet(**arguments).fit(table) for table in (zoned, plain))
    np.testing.assert_allclose(ours.predict(30)["Prophet"], theirs.predict(30)["Prophet"], rtol=1e-9)
    assert str(ours.predict(1)["ds"].dt.tz) == zone
    found = ours.changepoints_["ds"]
    assert pd.Timestamp(found[0]).tz_localize(None) == pd.Timestamp(change)


def test_a_changepoint_on_a_holiday_is_told_from_it() -> None:
    # 2020-01-25 is Lunar New Year: where the trend bends and a day falls off at once, both have their size.
    ds = pd.date_range("2017-01-01", "2020-12-31")
    lunar = ds.isin(pd.to_datetime(["2017-01-28", "2018-02-16", "2019-02-05", "2020-01-25"]))
    bent = np.maximum((ds - pd.Timestamp("2020-01-25")).days, 0)
    noise = np.random.default_rng(5).normal(scale=0.3, size=len(ds))
    table = pd.DataFrame({"ds": ds, "y": 50 - 8.0 * lunar - 0.05 * bent + noise})
    model = Prophet(
        changepoints=["2020-01-25"], changepoint_prior_scale=10, holidays="KR", yearly_seasonality=False
    ).fit(table)
    change = model.changepoints_
    assert change["change"].iloc[0] == pytest.approx(-0.05, rel=0.02)
    effects = model.effects().set_index("term")["estimate"]
    assert effects["Korean New Year"] == pytest.approx(-8, abs=0.5)
    assert effects["Christmas Day"] == pytest.approx(0, abs=0.5)
