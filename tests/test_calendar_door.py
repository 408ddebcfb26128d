"""calendar= of every forecaster: words with a table of overrides, and the calendar that a fitted model keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

import tsforecast as tf
from tsforecast import artifact, growth
from tsforecast.calendars import countries, holiday_columns
from tsforecast.calendars import features as calendar_door
from tsforecast.calendars.almanac import AHEAD, Almanac
from tsforecast.calendars.features import features
from tsforecast.errors import ConfigError
from tsforecast.forecaster import Forecaster
from tsforecast.jobs.config import parse_job
from tsforecast.jobs.models import models_of

COMPANY = {"date": ["2025-04-22", "2026-01-20"], "name": ["창립기념일", "창립기념일"]}
MODELS: dict[str, Callable[..., Forecaster]] = {
    "AR": lambda **options: tf.AR(2, ridge=0.01, transform=None, **options),
    "LagRegressor": lambda **options: tf.LagRegressor(lags=2, transform=None, **options),
    "Prophet": lambda **options: tf.Prophet(n_changepoints=3, yearly_seasonality=False, **options),
}


def sales(start: str = "2024-01-01", end: str = "2025-12-31", ids: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    """Daily series that halve on Korean holidays and on those of the company."""
    ds = pd.date_range(start, end)
    off = ds.isin(countries.holiday_table("KR", 2023, 2027, COMPANY)["date"])
    rng = np.random.default_rng(1)
    parts = [
        pd.DataFrame({"unique_id": i, "ds": ds, "y": np.where(off, 50, 100) + rng.normal(size=len(ds))}) for i in ids
    ]
    return pd.concat(parts, ignore_index=True)


def without_holidays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new release of the package in which the country has no holidays at all."""
    monkeypatch.setattr(countries, "_from_package", lambda word, first, last: {})


@pytest.mark.parametrize("name", MODELS)
def test_overrides_reach_the_forecast(name: str) -> None:
    table = sales()
    plain = MODELS[name](calendar=("KR",)).fit(table).predict(40)
    told = MODELS[name](calendar=("KR", COMPANY)).fit(table).predict(40)
    day = plain["ds"] == "2026-01-20"
    assert (plain.loc[day, name] > 90).all()
    assert (told.loc[day, name] < 70).all()


@pytest.mark.parametrize("name", ["AR", "Prophet"])
def test_overrides_are_the_columns_of_a_table_given_by_hand(name: str) -> None:
    table = sales()
    ahead = pd.DataFrame(
        {"unique_id": np.repeat(["a", "b"], 40), "ds": np.tile(pd.date_range("2026-01-01", periods=40), 2)}
    )
    both = pd.concat([table, ahead], ignore_index=True)
    values, labels = features(both["ds"].to_numpy("datetime64[us]"), "KR", overrides=COMPANY)
    live = [k for k in range(len(labels)) if np.ptp(values[: len(table), k])]
    columns = pd.DataFrame(values[:, live], columns=[f"c{k}" for k in live])
    both = pd.concat([both, columns], axis=1)
    given = MODELS[name](known=tuple(columns)).fit(both.iloc[: len(table)])
    found = MODELS[name](calendar=("KR", COMPANY)).fit(table).predict(40)
    np.testing.assert_allclose(found[name], given.predict(40, future=both.iloc[len(table) :])[name], rtol=1e-6)


FORMS: dict[str, Callable[[], Any]] = {
    "dict": lambda: COMPANY,
    "pandas": lambda: pd.DataFrame(COMPANY).assign(date=pd.to_datetime(COMPANY["date"])),
    "polars": lambda: pl.DataFrame(COMPANY).with_columns(pl.col("date").str.to_date()),
    "arrow": lambda: pl.DataFrame(COMPANY).to_arrow(),
    "dates": lambda: COMPANY | {"date": list(pd.to_datetime(COMPANY["date"]))},
    "arrays": lambda: {name: np.array(values) for name, values in COMPANY.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_any_kind_is_kept_by_copies_clones_and_files(form: str, tmp_path: Path) -> None:
    table = sales()
    model = tf.AR(2, ridge=0, transform=None, calendar=["KR", FORMS[form]()])
    assert clone(model).get_params()["calendar"][0] == "KR"
    text = "AR(calendar=['KR', {'date': ['2025-04-22', '2026-01-20'], 'name': ['창립기념일', '창립기념일']}], "
    forecasts = [made.fit(table).predict(40) for made in (model, model.copy(), clone(model))]
    assert repr(model).startswith(text)
    model.save(tmp_path / "model.tsf")
    loaded = tf.load(tmp_path / "model.tsf")
    forecasts += [loaded.predict(40), loaded.copy().fit(table).predict(40)]
    assert repr(loaded).startswith(text)
    expected = tf.AR(2, ridge=0, transform=None, calendar=("KR", COMPANY)).fit(table).predict(40)
    for found in forecasts:
        pd.testing.assert_frame_equal(found, expected)


def test_what_differs_in_one_row_of_a_long_table_reads_differently() -> None:
    dates = pd.date_range("2001-01-01", periods=200, freq="MS")
    long = pd.DataFrame({"date": dates, "name": "closed"})
    other = long.assign(name=["closed"] * 100 + ["open"] + ["closed"] * 99)
    assert repr(tf.AR(calendar=("KR", long))) != repr(tf.AR(calendar=("KR", other)))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("via", ["memory", "file"])
def test_a_new_release_of_the_package_moves_no_forecast(
    name: str, via: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = sales()
    model = MODELS[name](calendar=("KR", COMPANY)).fit(table)
    expected = model.predict(400)
    if via == "file":
        model.save(tmp_path / "model.tsf")
    without_holidays(monkeypatch)
    if via == "file":
        model = tf.load(tmp_path / "model.tsf")
    pd.testing.assert_frame_equal(model.predict(400), expected)
    fresh = MODELS[name](calendar=("KR", COMPANY)).fit(table).predict(400)
    assert np.abs(fresh[name] - expected[name]).max() > 5  # the package was asked again


def test_updates_go_by_the_calendar_of_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = sales("2026-01-01", "2026-02-16")
    model = MODELS["AR"](calendar="KR").fit(sales())
    expected = MODELS["AR"](calendar="KR").fit(sales()).update(newer)
    without_holidays(monkeypatch)
    model.update(newer)
    pd.testing.assert_frame_equal(model.predict(20), expected.predict(20))
    np.testing.assert_array_equal(model.panel_.columns, expected.panel_.columns)


def test_a_backtest_asks_the_package_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = MODELS["AR"](calendar="KR").fit(sales())
    without_holidays(monkeypatch)
    found = [tf.backtest(model, sales(), h=7, windows=3).point for model in (fitted, fitted.copy())]
    np.testing.assert_array_equal(*found)


def test_years_beyond_those_kept_come_from_the_package() -> None:
    stamps = pd.date_range("2024-06-01", f"{2025 + AHEAD + 3}-12-31").to_numpy("datetime64[us]")
    labels = features(stamps[:0], "KR")[1]
    kept = Almanac(("KR",)).keeping(2024, 2025, labels)
    assert (kept.kept["KR"].first_year, kept.kept["KR"].last_year) == (2023, 2025 + AHEAD)
    np.testing.assert_array_equal(features(stamps, kept)[0], features(stamps, "KR")[0])
    early = pd.date_range("2019-01-01", "2020-12-31").to_numpy("datetime64[us]")
    np.testing.assert_array_equal(features(early, kept)[0], features(early, "KR")[0])
    with pytest.raises(ConfigError, match="covers 1948 to 2100, but 2101"):
        features(np.array(["2101-03-01"], "M8[us]"), kept)


def cut(monkeypatch: pytest.MonkeyPatch, kept: slice) -> None:
    """A version of this package that gives only some columns of a country."""
    whole = holiday_columns.holidays_in

    def fewer(*call: Any) -> Any:
        values, names = whole(*call)
        return values[:, kept], names[kept]

    monkeypatch.setattr(calendar_door, "holidays_in", fewer)


@pytest.mark.parametrize("calendar_is_in_the_file", [True, False])
def test_columns_that_a_later_version_adds_do_not_enter_a_saved_model(
    calendar_is_in_the_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = artifact.write

    def older(path: Any, key: str, params: Any, state: dict[str, Any], meta: Any) -> None:
        written(path, key, params, {name: part for name, part in state.items() if name != "calendar"}, meta)

    with monkeypatch.context() as before:
        cut(before, slice(0, 13))
        if not calendar_is_in_the_file:
            before.setattr(growth.artifact, "write", older)
        model = MODELS["AR"](calendar="KR").fit(sales())
        expected = model.predict(60)
        assert len(model.describe()["known"]) == 13
        model.save(tmp_path / "model.tsf")
    loaded = tf.load(tmp_path / "model.tsf")
    pd.testing.assert_frame_equal(loaded.predict(60), expected)
    loaded.update(sales("2026-01-01", "2026-01-05"))
    assert loaded.panel_.columns.shape[1] == 13
    cut(monkeypatch, slice(1, None))
    with pytest.raises(ConfigError, match="calendar columns that are no more: KR:new_year; fit it again"):
        loaded.predict(60)


JOB = """
horizon = 3
[data]
source = "csv:sales.csv"
[models.A]
type = "AR"
lags = 2
calendar = ["weekday", "KR", { date = [2025-04-22, "2026-01-20"], name = ["창립기념일", "창립기념일"] }]
"""


def test_a_job_file_holds_overrides_as_a_table() -> None:
    model = models_of(parse_job(JOB))[0]
    assert model.almanac.words == ("weekday", "KR")
    assert model.almanac.overrides == COMPANY


WRONG: dict[str, tuple[Any, str]] = {
    "a number": (3, "takes words such as .* got int"),
    "no words": (COMPANY, "takes words such as .* got dict"),
    "a table alone": ((COMPANY,), "no country or exchange to apply them to"),
    "a table for no country": (("weekday", COMPANY), "no country or exchange to apply them to"),
    "two tables": (("KR", COMPANY, COMPANY), "got 2 tables: put them into one"),
    "a number among words": (("KR", 7), "takes words such as"),
    "a list among words": (("KR", ["US"]), "takes words such as"),
    "an array": (("KR", np.zeros(3)), "expected a table or a dict of columns, got ndarray"),
    "no names": (("KR", {"date": ["2025-01-02"]}), "need the columns date and name; name is not there"),
    "uneven columns": (("KR", {"date": ["2025-01-02"], "name": []}), r"unequal length \(date 1, name 0\)"),
    "text for a column": (("KR", {"date": "2025-01-02", "name": "x"}), "a dict holds a list a column"),
    "no date": (("KR", {"date": ["soon"], "name": ["x"]}), "the date 'soon' in row 0 cannot be read"),
    "an unknown family": (
        ("KR", {"date": ["2025-01-02"], "name": ["x"], "family": ["fest"]}),
        "no holiday family fest",
    ),
    "an unknown word": (("lunar",), "unknown calendar word 'lunar'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_calendars_that_cannot_be_read_are_refused(case: str) -> None:
    given, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        tf.AR(2, calendar=given).fit(sales())


def test_models_without_columns_refuse_a_calendar_with_overrides() -> None:
    with pytest.raises(ConfigError, match="uses no columns"):
        tf.SeasonalNaive(calendar=("KR", pd.DataFrame(COMPANY))).fit(sales())
    with pytest.raises(ConfigError, match="must do without past, known and calendar"):
        tf.AR(2, fallback=tf.AR(1, calendar=("KR", COMPANY)), on_error="fallback").fit(sales())


@pytest.mark.parametrize(
    "use",
    [
        lambda table: tf.AR(2, calendar=("KR", table)).fit(sales()),
        lambda table: tf.KoreanHolidays(overrides=table),
        lambda table: features(np.array(["2022-04-20"], "M8[us]"), "KR", overrides=table),
    ],
)
def test_overrides_of_a_calendar_there_is_not_are_told(use: Any) -> None:
    table = {"date": ["2022-04-20"], "name": ["x"], "calendar": ["KRR"]}
    with pytest.raises(ConfigError, match=r"rows for KRR, which is no calendar; did you mean KR"):
        use(table)
    use(table | {"calendar": ["US"]})
