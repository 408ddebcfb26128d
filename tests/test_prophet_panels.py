"""Prophet on panels: many origins, newer rows, files, ragged company and poison."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import Panel, Prophet, Regressor, Seasonality, backtest, contract, load

PROMO = (Regressor("promo"), Regressor("price", 0.5))


def daily(rows: int, seed: int, start: str = "2023-01-02", holes: float = 0.0, step: str = "D") -> pd.DataFrame:
    """A series with a bend, a weekly wave, a column known beforehand and another, noise, missing rows."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    table = pd.DataFrame({"ds": pd.date_range(start, periods=rows, freq=step)})
    table["promo"] = (rng.random(rows) < 0.2) * 1.0
    table["price"] = 900 + 30 * rng.normal(size=rows)
    y = 30 + 4 * t / rows - 6 * np.maximum(t / rows - 0.4, 0) + 2 * np.sin(2 * np.pi * t / 7)
    table["y"] = (y + 3 * table["promo"] - 0.02 * (table["price"] - 900) + rng.normal(size=rows)) * 10.0 ** (seed % 4)
    table["cap"] = (60 + 20 * t / rows) * 10.0 ** (seed % 4)
    table.loc[rng.random(rows) < holes, "y"] = np.nan
    table.loc[rows - 1, "y"] = np.nan_to_num(table.loc[rows - 1, "y"], nan=1.0)
    return table


def panel_of(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([part.assign(unique_id=name) for name, part in parts.items()], ignore_index=True)


WHOLE = panel_of(
    {"a": daily(500, 1), "b": daily(500, 2), "c": daily(420, 3, "2023-03-23"), "d": daily(500, 4, holes=0.15)}
)
WAYS: dict[str, Callable[[], Prophet]] = {
    "linear": Prophet,
    "flat": lambda: Prophet("flat", n_changepoints=3),
    "Korea": lambda: Prophet(holidays="KR"),
    "multiplicative": lambda: Prophet(seasonality_mode="multiplicative", n_changepoints=8),
    "logistic": lambda: Prophet("logistic", n_changepoints=5),
    "regressors": lambda: Prophet(regressors=PROMO),
    "regressors that multiply": lambda: Prophet(regressors=(Regressor("promo", mode="multiplicative"),)),
    "minmax and a season": lambda: Prophet(scaling="minmax", seasonalities=(Seasonality("m", 30.5, 3),)),
    "changepoints given": lambda: Prophet(changepoints=["2023-06-01", "2023-09-09"], changepoint_prior_scale=10),
}


# Origins


@pytest.mark.parametrize("way", WAYS)
def test_every_origin_is_a_fit_of_the_rows_before_it(way: str) -> None:
    model, h = WAYS[way](), 14
    told = backtest(model, WHOLE, h=h, windows=4, step=30, levels=(80,)).forecasts
    assert told["cutoff"].nunique() == 4
    for cutoff, part in told.groupby("cutoff"):
        before, after = WHOLE[WHOLE["ds"] <= cutoff], WHOLE[WHOLE["ds"] > cutoff]
        alone = model.copy().fit(before).predict(h, future=after.drop(columns="y"), levels=(80,))
        both = part.merge(alone, on=["unique_id", "ds"], suffixes=("", "_alone"))
        assert len(both) == len(part) == 4 * h
        for name in ("Prophet", "Prophet-lo-80", "Prophet-hi-80"):
            np.testing.assert_allclose(both[name], both[f"{name}_alone"], rtol=1e-9, err_msg=f"{way}, {cutoff}, {name}")


def test_an_origin_sees_no_row_after_it() -> None:
    told = backtest(Prophet(holidays="KR"), WHOLE, h=14, windows=3, levels=(80,)).forecasts
    later = WHOLE.copy()
    first = told["cutoff"].min()
    later.loc[later["ds"] > first, "y"] *= 3
    again = backtest(Prophet(holidays="KR"), later, h=14, windows=3, levels=(80,)).forecasts
    own = told["cutoff"] == first
    pd.testing.assert_frame_equal(told[own].drop(columns="y"), again[own].drop(columns="y"), check_exact=True)
    assert not told["Prophet"].equals(again["Prophet"])


def test_one_fit_for_all_origins_goes_on_from_the_first() -> None:
    model, h = Prophet(regressors=PROMO), 10
    told = backtest(model, WHOLE, h=h, windows=3, refit=False, levels=(80,)).forecasts
    first = told["cutoff"].min()
    before, after = WHOLE[WHOLE["ds"] <= first], WHOLE[WHOLE["ds"] > first]
    alone = model.copy().fit(before).predict(3 * h, future=after.drop(columns="y"), levels=(80,))
    both = told.merge(alone, on=["unique_id", "ds"], suffixes=("", "_alone"))
    assert len(both) == 4 * 3 * h
    for name in ("Prophet", "Prophet-lo-80", "Prophet-hi-80"):
        np.testing.assert_allclose(both[name], both[f"{name}_alone"], rtol=1e-9)


# Newer rows


@pytest.mark.parametrize("way", ["linear", "Korea", "multiplicative", "logistic", "regressors", "changepoints given"])
def test_newer_rows_move_the_origin_and_keep_the_fit(way: str) -> None:
    model = WAYS[way]()
    cut = WHOLE["ds"].max() - pd.Timedelta(days=40)
    old, newer = WHOLE[WHOLE["ds"] <= cut], WHOLE[WHOLE["ds"] > cut]
    future = newer.drop(columns="y")
    model.fit(old)
    want = model.predict(40, future=future, levels=(80,)).groupby("unique_id").tail(30)
    rows = newer[newer["ds"] <= cut + pd.Timedelta(days=10)]
    got = model.update(rows).predict(30, future=future, levels=(80,))
    pd.testing.assert_frame_equal(got.reset_index(drop=True), want.reset_index(drop=True), rtol=1e-12)
    assert model.updated_ == ()


def test_new_series_bring_holidays_that_the_others_have_not_met() -> None:
    # Labor Day became a public holiday in 2026: its name is not in the first panel.
    old, late = daily(700, 5, "2023-07-01"), daily(700, 6, "2024-07-20")
    first = panel_of({"a": old})
    model = Prophet(holidays="KR").fit(first)
    assert "Labor Day" not in model.state_["fit"]["names"]
    before = model.components(30, history=True)
    model.update(panel_of({"z": late}))
    assert model.updated_ == ("z",)
    names = [str(name) for name in model.state_["fit"]["names"]]
    assert "Labor Day" in names
    alone = Prophet(holidays="KR").fit(panel_of({"z": late}))
    told, want = model.predict(40, levels=(80,)), alone.predict(40, levels=(80,))
    got = told[told["unique_id"] == "z"].reset_index(drop=True)
    pd.testing.assert_frame_equal(got, want, check_exact=True)
    after = model.components(40, history=True)
    mine = after[after["unique_id"] == "z"].reset_index(drop=True)
    want = alone.components(40, history=True)
    pd.testing.assert_frame_equal(mine[want.columns[:-1]], want[want.columns[:-1]], check_exact=True)
    np.testing.assert_allclose(mine["Prophet"], want["Prophet"], rtol=1e-13)  # summed in another order
    after = model.components(30, history=True)
    mine = after[after["unique_id"] == "a"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine[before.columns], before, check_exact=True)
    assert not mine.drop(columns=[*before.columns]).to_numpy().any()
    effects = model.effects()
    assert "Labor Day" in set(effects.loc[effects["unique_id"] == "z", "term"])
    assert "Labor Day" not in set(effects.loc[effects["unique_id"] == "a", "term"])


def test_new_series_bring_windows_of_tables() -> None:
    fair = pd.DataFrame({"holiday": "fair", "ds": ["2023-10-01", "2024-10-01", "2025-10-01"]})
    fair = fair.assign(lower_window=-1, upper_window=1)
    model = Prophet(holidays=fair, yearly_seasonality=False).fit(panel_of({"a": daily(200, 1, "2023-01-02")}))
    assert all(str(name).startswith("weekly") for name in model.state_["fit"]["names"])
    late = panel_of({"z": daily(300, 3, "2023-06-02")})
    told = model.update(late).predict(10)
    alone = Prophet(holidays=fair, yearly_seasonality=False).fit(late).predict(10)
    np.testing.assert_array_equal(told.loc[told["unique_id"] == "z", "Prophet"], alone["Prophet"])


# Parameters and files

EVERY_KIND: dict[str, Callable[[], Prophet]] = {
    "plain": Prophet,
    "a table of holidays": lambda: Prophet(
        holidays=pd.DataFrame(
            {
                "holiday": ["fair", "fair", "sale"],
                "ds": pd.to_datetime(["2023-05-01", "2024-05-01", "2023-11-11"]),
                "lower_window": [-1, -1, 0],
                "upper_window": [1, 1, 0],
                "prior_scale": [0.5, 0.5, 3.0],
            }
        )
    ),
    "countries and tables": lambda: Prophet(holidays=["KR", {"holiday": ["fair"], "ds": ["2023-05-04"]}]),
    "terms": lambda: Prophet(
        regressors=(*PROMO,), seasonalities=(Seasonality("month", 30.5, 3, 0.3, "multiplicative"),)
    ),
    "stamps": lambda: Prophet(changepoints=[pd.Timestamp("2023-06-01"), pd.Timestamp("2023-09-09")]),
    "an index of stamps": lambda: Prophet(changepoints=pd.DatetimeIndex(["2023-06-01", "2023-09-09"])),
    "dates as text": lambda: Prophet(changepoints=["2023-06-01", "2023-09-09"]),
    "numpy dates": lambda: Prophet(changepoints=np.array(["2023-06-01", "2023-09-09"], "datetime64[D]")),
    "no changepoints": lambda: Prophet(changepoints=[]),
    "flat": lambda: Prophet("flat", scaling="minmax", lower=0.0),
    "column": lambda: Prophet(known=("promo",), calendar="month"),
}
SCRIPT = """
import sys
import pandas as pd
from tsforecast import load

model = load(sys.argv[1])
future = pd.read_parquet(sys.argv[2])
model.predict(20, future=future, levels=(80,)).to_parquet(sys.argv[3])
model.components(20, future=future).to_parquet(sys.argv[4])
"""


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_parameter_is_kept_by_copies_and_files(kind: str, tmp_path: Path) -> None:
    from sklearn.base import clone

    model = EVERY_KIND[kind]()
    assert repr(model.copy()) == repr(clone(model)) == repr(model)
    assert repr(Prophet(**model.get_params(deep=False))) == repr(model)
    cut = WHOLE["ds"].max() - pd.Timedelta(days=20)
    old, future = WHOLE[WHOLE["ds"] <= cut], WHOLE[WHOLE["ds"] > cut].drop(columns="y")
    model.fit(old)
    model.save(tmp_path / "model.tsf")
    again = load(tmp_path / "model.tsf")
    want = model.predict(20, future=future, levels=(80,))
    pd.testing.assert_frame_equal(again.predict(20, future=future, levels=(80,)), want, check_exact=True)
    refitted = again.copy().fit(old).predict(20, future=future, levels=(80,))
    pd.testing.assert_frame_equal(refitted, want, check_exact=True)
    more = panel_of({"new": daily(400, 9, "2023-04-12")})
    told = again.update(more[more["ds"] <= cut]).predict(20, future=pd.concat([future, more[more["ds"] > cut]]))
    assert np.isfinite(told["Prophet"]).all()
    assert len(told) == 5 * 20


@pytest.mark.parametrize("kind", ["a table of holidays", "terms", "stamps"])
def test_a_fresh_process_reads_it(kind: str, tmp_path: Path) -> None:
    cut = WHOLE["ds"].max() - pd.Timedelta(days=20)
    old, future = WHOLE[WHOLE["ds"] <= cut], WHOLE[WHOLE["ds"] > cut].drop(columns="y")
    model = EVERY_KIND[kind]().fit(old)
    paths = [str(tmp_path / name) for name in ("model.tsf", "future.parquet", "told.parquet", "parts.parquet")]
    model.save(paths[0])
    future.to_parquet(paths[1])
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, *paths], check=True, timeout=120)
    want = model.predict(20, future=future, levels=(80,)), model.components(20, future=future)
    for path, table in zip(paths[2:], want, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_exact=True)


# Company


def crowd(n: int, columns: bool = False) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(17)
    parts = {}
    for i in range(n):
        first = pd.Timestamp("2023-01-02") + pd.Timedelta(days=int(rng.integers(0, 300)))
        rows = int(rng.choice([2, 5, 9, 20, 64, 65, 100, 230, 400]))
        parts[f"s{i:03d}"] = daily(rows, i, str(first.date()), holes=float(rng.choice([0, 0, 0.2, 0.6])))
    return {name: part if columns else part[["ds", "y"]] for name, part in parts.items()}


@pytest.mark.filterwarnings("ignore::tsforecast.errors.FitWarning")
@pytest.mark.parametrize(
    ("n", "model"),
    [
        (300, Prophet(holidays="KR", on_error="skip")),
        (40, Prophet(seasonality_mode="multiplicative", n_changepoints=6, on_error="skip")),
        (60, Prophet(regressors=PROMO, on_error="skip")),
    ],
    ids=["additive", "multiplicative", "regressors"],
)
def test_a_series_of_a_ragged_crowd_is_fitted_as_if_alone(n: int, model: Prophet) -> None:
    parts = crowd(n, columns=bool(model.regressors))
    whole = panel_of(parts)
    ahead = panel_of({name: later(part) for name, part in parts.items()}) if model.regressors else None
    told = model.copy().fit(whole).predict(7, future=ahead, levels=(80,))
    names = list(told.columns[2:])
    rng = np.random.default_rng(0)
    for name in rng.choice(sorted(parts), 50 if n == 300 else 15, replace=False):
        own = panel_of({name: parts[name]})
        future = None if ahead is None else ahead[ahead["unique_id"] == name]
        alone = model.copy().fit(own).predict(7, future=future, levels=(80,))
        mine = told[told["unique_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine[names], alone[names], check_exact=True)


def later(part: pd.DataFrame) -> pd.DataFrame:
    days = pd.date_range(part["ds"].iloc[-1] + pd.Timedelta(days=1), periods=7)
    return pd.DataFrame({"ds": days, "promo": 1.0, "price": 880.0})


POISON: dict[str, Callable[[pd.DataFrame], Any]] = {
    "huge": lambda part: 1e300,
    "tiny": lambda part: part["y"] * 1e-300,
    "a spike": lambda part: part["y"].where(part.index != 50, 1e14),
    "constant": lambda part: 7.0,
    "zero": lambda part: 0.0,
    "nothing": lambda part: np.nan,
    "one row": lambda part: part["y"].where(part.index == 30),
    "two rows": lambda part: part["y"].where(part.index.isin([30, 44])),
    "two equal rows": lambda part: pd.Series(5.0, part.index).where(part.index.isin([30, 44])),
    "a line": lambda part: 3.0 + 2.0 * part.index.to_numpy(),
    "infinite": lambda part: part["y"].where(part.index != 60, np.inf),
}


@pytest.mark.filterwarnings("ignore::tsforecast.errors.FitWarning")
@pytest.mark.filterwarnings("ignore::tsforecast.errors.DataWarning")
@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_poison_in_one_series_touches_no_other(poison: str, mode: Any) -> None:
    parts = {f"s{i}": daily(120, i)[["ds", "y"]] for i in range(6)}
    model = Prophet(seasonality_mode=mode, on_error="skip", n_changepoints=6)
    clean = model.copy().fit(panel_of(parts)).predict(5, levels=(80,))
    parts["s3"] = parts["s3"].assign(y=POISON[poison](parts["s3"]))
    sick = panel_of(parts)
    policies = {"TSF-Y-NONFINITE": "quarantine", "TSF-Y-RANGE": "quarantine", "TSF-Y-TAIL": "keep"}
    told = model.copy().fit(Panel.from_table(sick, policies=policies)).predict(5, levels=(80,))
    others = clean["unique_id"] != "s3"
    rest = told[told["unique_id"] != "s3"]
    pd.testing.assert_frame_equal(rest.reset_index(drop=True), clean[others].reset_index(drop=True), check_exact=True)
    if poison in ("constant", "zero", "a line"):
        own = told[told["unique_id"] == "s3"]
        want = {"constant": 7.0, "zero": 0.0, "a line": 3.0 + 2.0 * np.arange(120, 125)}[poison]
        np.testing.assert_allclose(own["Prophet"], want, rtol=1e-3, atol=1e-9)


@pytest.mark.filterwarnings("ignore::tsforecast.errors.FitWarning")
@pytest.mark.parametrize("size", [1e-200, 1e200, 1e300])
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_columns_of_impossible_size_are_no_concern_of_others(size: float, mode: Any) -> None:
    parts = {f"s{i}": daily(120, i)[["ds", "y", "price"]] for i in range(4)}
    ahead = panel_of({name: later(part) for name, part in parts.items()})
    model = Prophet(regressors=(Regressor("price", mode=mode),), on_error="skip", n_changepoints=6)
    clean = model.copy().fit(panel_of(parts)).predict(5, future=ahead)
    parts["s2"] = parts["s2"].assign(price=size * (parts["s2"]["price"] - 900))
    told = model.copy().fit(panel_of(parts)).predict(5, future=ahead)
    others = clean["unique_id"] != "s2"
    pd.testing.assert_frame_equal(told[others], clean[others], check_exact=True)


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_threads_change_no_bit(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = contract.example(150)
    found = []
    for threads in ("1", "2", "5"):  # and with them how many series are worked on at once
        monkeypatch.setenv("TSFORECAST_THREADS", threads)
        found.append(Prophet(holidays="KR", seasonality_mode=mode).fit(panel).state_["fit"]["spans"])
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name], equal_nan=True) for name in found[0])
