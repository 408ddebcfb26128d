"""Prophet's own engine: the package's numbers to the digit, in silence, for panels, and nothing left behind."""

# ruff: noqa: NPY002 - prophet draws from numpy's process-wide generator
import logging
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import Naive, Prophet, load
from tsforecast.errors import ConfigError, FitWarning, MissingDependency
from tsforecast.models.prophet import stan
from tsforecast.models.prophet.stan import Recipe, Rows, fit_spans, forecast_spans
from tsforecast.models.prophet.terms import Regressor, Seasonality

DAY = np.timedelta64(1, "D")


def history(rows: int = 90, seed: int = 0, start: str = "2021-01-01", freq: str = "D", **columns: Any) -> Rows:
    rng = np.random.default_rng(seed)
    ds = pd.date_range(start, periods=rows, freq=freq).to_numpy()
    y = (
        10
        + np.cumsum(rng.normal(size=rows)) * 0.2
        + np.sin(2 * np.pi * np.arange(rows) / 7)
        + 0.1 * rng.normal(size=rows)
    )
    return Rows(ds, y, **columns)


def ahead(rows: Rows, h: int = 12, **columns: Any) -> Rows:
    step = rows.ds[-1] - rows.ds[-2]
    return Rows(rows.ds[-1] + np.arange(1, h + 1) * step, **columns)


def prophet_itself(recipe: Recipe, rows: Rows, future: Rows, level: float, seed: int) -> pd.DataFrame:
    """What a user of the package would write."""
    from prophet import Prophet

    holidays = recipe.arguments.get("holidays")
    own = {"holidays": holidays.copy()} if holidays is not None else {}
    model = Prophet(**{**recipe.arguments, **own, "interval_width": level / 100})
    for s in recipe.seasonalities:
        model.add_seasonality(**{name: getattr(s, name) for name in s.__slots__})
    for r in recipe.regressors:
        model.add_regressor(**{name: getattr(r, name) for name in r.__slots__})
    if recipe.country is not None:
        model.add_country_holidays(recipe.country)
    logging.getLogger("cmdstanpy").disabled = logging.getLogger("prophet").disabled = True
    state = np.random.get_state()
    try:
        seeds = {"seed": seed, "show_progress": False} if model.mcmc_samples else {}
        model.fit(rows.table(), **seeds)
        np.random.seed(seed)
        return model.predict(future.table())
    finally:
        np.random.set_state(state)
        logging.getLogger("cmdstanpy").disabled = logging.getLogger("prophet").disabled = False


@dataclass
class Case:
    recipe: Recipe
    rows: Rows
    future: Rows
    notes: list[str] = field(default_factory=list)


def a_case(name: str) -> Case:
    rows = history()
    match name:
        case "default":
            return Case(Recipe(), rows, ahead(rows))
        case "yearly":
            rows = history(800)
            return Case(Recipe(), rows, ahead(rows, 30))
        case "missing rows":
            y = rows.y.copy()
            y[[0, 5, 6, 40, 89]] = np.nan
            rows = Rows(rows.ds, y)
            return Case(Recipe(), rows, ahead(rows))
        case "one step":
            return Case(Recipe(), rows, ahead(rows, 1))
        case "two rows":
            rows = history(2)
            return Case(Recipe(), rows, ahead(rows))
        case "constant":
            rows = Rows(rows.ds, np.full(90, 3.5))
            return Case(Recipe(), rows, ahead(rows))
        case "flat":
            return Case(Recipe({"growth": "flat"}), rows, ahead(rows))
        case "logistic":
            rows = history(90, cap=np.linspace(20, 25, 90), floor=np.full(90, 1.0))
            future = ahead(rows, cap=np.full(12, 26.0), floor=np.full(12, 1.0))
            return Case(Recipe({"growth": "logistic", "n_changepoints": 5}), rows, future)
        case "minmax":
            return Case(Recipe({"scaling": "minmax", "changepoint_prior_scale": 0.5}), rows, ahead(rows))
        case "no changepoints":
            return Case(Recipe({"n_changepoints": 0}), rows, ahead(rows))
        case "unsorted changepoints":
            return Case(Recipe({"changepoints": ["2021-03-01", "2021-01-20"]}), rows, ahead(rows))
        case "hours":
            rows = history(24 * 6, freq="h")
            return Case(Recipe(), rows, ahead(rows, 24))
        case "odd moments":
            rows = history(60)
            spread = np.sort(np.random.default_rng(8).integers(0, 3000 * 86_400_000_000, 72))
            moments = np.datetime64("2014-03-01T05:06:07.123457", "us") + spread.astype("m8[us]")
            return Case(Recipe(), Rows(moments[:60], rows.y), Rows(moments[60:]))
        case "months":
            rows = history(48, start="2018-01-01", freq="MS")
            future = Rows(pd.date_range("2022-01-01", periods=6, freq="MS").to_numpy())
            return Case(Recipe({"yearly_seasonality": 3}), rows, future)
        case "holidays":
            table = pd.DataFrame(
                {
                    "holiday": ["opening", "opening", "sale"],
                    "ds": ["2021-02-01", "2021-04-02", "2021-03-05"],
                    "lower_window": [-1, -1, 0],
                    "upper_window": [2, 2, 0],
                    "prior_scale": [1.23456789012345, 1.23456789012345, np.nan],
                }
            )
            arguments = {"holidays": table, "seasonality_mode": "multiplicative", "holidays_mode": "additive"}
            return Case(Recipe(arguments, country="KR"), rows, ahead(rows, 40))
        case "terms":
            rng = np.random.default_rng(3)
            columns = {
                "price": rng.normal(5, 2, 90),
                "open": (np.arange(90) % 7 < 5) * 1.0,
                "promo": np.arange(90) % 9 == 0,
            }
            rows = history(90, columns=columns)
            future = ahead(rows, columns={"price": rng.normal(5, 2, 12), "open": np.ones(12), "promo": np.zeros(12)})
            seasonalities = (
                Seasonality("month", 30.5, 2, 0.7, "multiplicative"),
                Seasonality("workweek", 7, 2, None, None, "open"),
            )
            regressors = (Regressor("price", 0.5, True, "multiplicative"), Regressor("promo"))
            recipe = Recipe({"weekly_seasonality": False}, seasonalities=seasonalities, regressors=regressors)
            return Case(recipe, rows, future)
        case "mcmc":
            arguments = {"mcmc_samples": 20, "uncertainty_samples": 60, "n_changepoints": 3, "weekly_seasonality": 1}
            return Case(Recipe(arguments), history(30), ahead(history(30)))
    raise KeyError(name)


CASES = (
    "default", "yearly", "missing rows", "one step", "two rows", "constant", "flat", "logistic", "minmax",
    "no changepoints", "unsorted changepoints", "hours", "odd moments", "months", "holidays", "terms", "mcmc",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of prophet, called directly
@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_prophet_to_the_digit(name: str) -> None:
    case = a_case(name)
    models, causes = fit_spans(case.recipe, [case.rows], [7])
    made = forecast_spans(models, [case.future], (95, 80), [7])
    assert causes == list(made.causes) == [None]
    for q, level in enumerate((95, 80)):
        theirs = prophet_itself(case.recipe, case.rows, case.future, level, 7)
        np.testing.assert_array_equal(made.point[0], theirs["yhat"])
        np.testing.assert_array_equal(made.lower[0, :, q], theirs["yhat_lower"])
        np.testing.assert_array_equal(made.upper[0, :, q], theirs["yhat_upper"])
    known = set(theirs) - {"ds", "cap", "floor", "yhat"}
    assert set(made.components) == {column for column in known if not column.endswith(("_lower", "_upper"))}
    for component, values in made.components.items():
        np.testing.assert_array_equal(values[0], theirs[component])


def few(n: int = 3) -> list[Rows]:
    return [history(40 + 3 * i, seed=i) for i in range(n)]


def test_workers_and_company_change_no_digit() -> None:
    spans = few()
    recipe = Recipe({"holidays": pd.DataFrame({"holiday": ["a"], "ds": ["2021-01-09"]})})
    alone = [fit_spans(recipe, [rows], [i])[0][0] for i, rows in enumerate(spans)]
    pooled, causes = fit_spans(recipe, spans, range(3), workers=2)
    assert causes == [None] * 3
    assert pooled == alone
    futures = [ahead(rows) for rows in spans]
    one = [forecast_spans([alone[i]], [futures[i]], (80,), [i]) for i in range(3)]
    many = forecast_spans(pooled, futures, (80,), range(3), workers=2)
    np.testing.assert_array_equal(many.point, np.concatenate([f.point for f in one]))
    np.testing.assert_array_equal(many.upper, np.concatenate([f.upper for f in one]))


def test_a_series_without_a_component_has_none_of_its_effect() -> None:
    spans = [history(12), history(40)]  # a week is seen only in two weeks or more
    models, _ = fit_spans(Recipe(), spans, [0, 1])
    made = forecast_spans(models, [ahead(rows) for rows in spans], (), [0, 1])
    assert np.all(made.components["weekly"][0] == 0)
    assert np.all(made.components["weekly"][1] != 0)
    assert made.lower.shape == (2, 12, 0)


def test_a_series_that_fails_takes_no_other_with_it() -> None:
    spans = [history(40), history(1), Rows(history(40).ds, np.where(np.arange(40) == 9, np.inf, 1.0)), history(50, 5)]
    models, causes = fit_spans(Recipe(), spans, range(4))
    assert [model is None for model in models] == [False, True, True, False]
    assert causes[1] == "ValueError: Dataframe has less than 2 non-NaN rows."
    assert "infinity" in (causes[2] or "")
    made = forecast_spans(models, [ahead(spans[0])] * 4, (80,), range(4))
    finite = [True, False, False, True]
    for values in (made.point, made.lower[..., 0], made.upper[..., 0], *made.components.values()):
        np.testing.assert_array_equal(np.isfinite(values).all(axis=1), finite)
        np.testing.assert_array_equal(np.isnan(values).all(axis=1), np.invert(finite))
    assert [cause is None for cause in made.causes] == finite
    without = forecast_spans([None], [ahead(spans[0])], (80,), [0])
    assert np.isnan(without.point).all()
    assert not without.components


def test_a_forecast_that_fails_says_why() -> None:
    rows = history(40, cap=np.full(40, 30.0))
    models, _ = fit_spans(Recipe({"growth": "logistic", "uncertainty_samples": 0}), [rows], [0])
    low = forecast_spans(models, [ahead(rows, cap=np.full(12, -1.0))], (), [0])
    assert low.causes == ["ValueError: cap must be greater than floor (which defaults to 0)."]
    none = forecast_spans(models, [ahead(rows, cap=np.full(12, 30.0))], (80,), [0])
    assert "uncertainty_samples=0" in (none.causes[0] or "")


def test_what_stan_says_of_its_failure_is_kept() -> None:
    rows = history(40, cap=np.full(40, 1e300))
    _, causes = fit_spans(Recipe({"growth": "logistic"}), [Rows(rows.ds, rows.y * 1e5, rows.cap)], [0])
    assert causes == ["RuntimeError: Initialization failed."]


class Killer:
    """Ends the worker that receives it, as the kernel does when memory runs out."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


@pytest.mark.parametrize("place", [0, 2])
def test_a_worker_that_dies_costs_its_own_series_alone(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spans = few(4)
    spans[place] = Rows(spans[place].ds, spans[place].y, columns={"poison": Killer()})  # type: ignore[dict-item]
    models, causes = fit_spans(Recipe(), spans, range(4), workers=2)
    assert [model is None for model in models] == [i == place for i in range(4)]
    assert "died" in (causes[place] or "")
    assert causes.count(None) == 3
    assert not list(tmp_path.iterdir())


def test_no_file_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_spans(Recipe(), few(1), [0])  # cmdstanpy makes a folder of its own on import
    import cmdstanpy

    def files() -> list[Path]:
        return sorted([*Path(cmdstanpy._TMPDIR).rglob("*"), *tmp_path.rglob("*")])

    before = files()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for workers in (1, 2):
        spans = [*few(2), history(1)]
        models, _ = fit_spans(Recipe(), spans, range(3), workers=workers)
        forecast_spans(models, [ahead(spans[0])] * 3, (80,), range(3))
        fit_spans(Recipe({"mcmc_samples": 4, "n_changepoints": 1}), few(1), [0])
        assert files() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_silent(workers: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    spans = [*few(1), history(3)]  # prophet has much to say of the second
    with caplog.at_level(logging.DEBUG):
        if workers == 1:
            fit_spans(Recipe({"mcmc_samples": 4, "n_changepoints": 5}), spans, [0, 1])
        models, _ = fit_spans(Recipe(), spans, [0, 1], workers=workers)
        forecast_spans(models, [ahead(spans[0])] * 2, (80,), [0, 1])
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    for name in ("prophet", "cmdstanpy"):
        assert not logging.getLogger(name).disabled


def test_numpys_generator_is_left_as_it_was() -> None:
    np.random.seed(5)
    first = np.random.random(3)
    np.random.seed(5)
    rows = history(40)
    models, _ = fit_spans(Recipe(), [rows], [1])
    forecast_spans(models, [ahead(rows)], (80,), [1])
    np.testing.assert_array_equal(np.random.random(3), first)


def test_seeds() -> None:
    ids = [f"s{i}" for i in range(1000)]
    assert stan.seeds_of(ids[:2], 3) == stan.seeds_of(ids, 3)[:2]
    assert len(set(stan.seeds_of(ids, 3))) == 1000
    assert not set(stan.seeds_of(ids, 3)) & set(stan.seeds_of(ids, 4))
    assert all(0 <= seed < 2**31 for seed in stan.seeds_of(ids, 3))
    rows = history(40)
    models, _ = fit_spans(Recipe(), [rows, rows], [1, 2])
    assert models[0] == models[1]  # the optimiser starts where Prophet says
    made = forecast_spans(models * 2, [ahead(rows)] * 4, (80,), [1, 2, 1, 2])
    np.testing.assert_array_equal(made.upper[:2], made.upper[2:])
    assert np.any(made.upper[0] != made.upper[1])


def test_threads_do_not_mix_their_draws() -> None:
    spans = few(4)
    models, _ = fit_spans(Recipe(), spans, range(4))

    def bounds(i: int) -> Any:
        return forecast_spans([models[i]], [ahead(spans[i])], (80,), [i]).upper[0]

    alone = [bounds(i) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for there, here in zip(pool.map(bounds, range(4)), alone, strict=True):
            np.testing.assert_array_equal(there, here)


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        "import numpy as np\n"
        "from tsforecast.models.prophet.stan import Recipe, Rows, fit_spans\n"
        "print('script')\n"
        "ds = np.datetime64('2021-01-01', 'us') + np.arange(20) * np.timedelta64(1, 'D')\n"
        "rows = Rows(ds, np.arange(20.0) % 3)\n"
        "print(fit_spans(Recipe(), [rows] * 2, [0, 0], workers=2)[1])\n"
    )
    seen = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert seen.stdout == "script\n[None, None]\n"
    assert seen.stderr == ""


def test_without_prophet_the_message_holds_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prophet", None)  # what Python finds of a package that is not there
    with pytest.raises(MissingDependency, match=r"prophet is needed.*pip install 'tsforecast\[prophet\]'"):
        fit_spans(Recipe(), few(1), [0])


def test_an_old_prophet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import prophet

    for old in ("1.1.7", "1.4", "0.7.1"):
        monkeypatch.setattr(prophet, "__version__", old)
        with pytest.raises(MissingDependency, match=rf"prophet 1\.5 or newer, this is {old}"):
            fit_spans(Recipe(), few(1), [0])
    for new in ("1.10.0", "2.0"):
        monkeypatch.setattr(prophet, "__version__", new)
        assert fit_spans(Recipe(), few(1), [0])[1] == [None]


def test_parameters_that_prophet_refuses() -> None:
    with pytest.raises(ConfigError, match=r'engine="stan".*scaling must be one of'):
        fit_spans(Recipe({"scaling": "log"}), few(1), [0])
    with pytest.raises(ConfigError, match="unexpected keyword argument 'colour'"):
        fit_spans(Recipe({"colour": 3}), few(1), [0])


def test_the_callers_holiday_table_is_not_written_into() -> None:
    table = pd.DataFrame({"holiday": ["a"], "ds": ["2021-01-09"]})
    kept = table.copy(deep=True)
    fit_spans(Recipe({"holidays": table}), few(1), [0])
    pd.testing.assert_frame_equal(table, kept)


def panel_table() -> pd.DataFrame:
    """Three series of different spans, one with a gap, with a price and a capacity."""
    rng = np.random.default_rng(2)
    parts = []
    for i, (first, rows) in enumerate((("2021-01-01", 80), ("2021-02-03", 60), ("2021-01-11", 75))):
        ds = pd.date_range(first, periods=rows)
        y = 10 + np.sin(2 * np.pi * np.arange(rows) / 7) + 0.1 * rng.normal(size=rows).cumsum()
        parts.append(
            pd.DataFrame({"unique_id": f"s{i}", "ds": ds, "y": y, "price": rng.normal(size=rows), "cap": 40.0 + i})
        )
    table = pd.concat(parts, ignore_index=True)
    return table.drop(index=[5, 6, 30])


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of prophet, called directly
@pytest.mark.parametrize("what", ["default", "holidays and a regressor", "capacity"])
def test_the_forecaster_gives_prophets_digits(what: str) -> None:
    table = panel_table()
    festival = pd.DataFrame(
        {"holiday": ["fair"] * 2, "ds": ["2021-02-20", "2021-03-25"], "lower_window": [0, 0], "upper_window": [1, 1]}
    )
    arguments: dict[str, Any] = {"seasonality_mode": "multiplicative"} if what != "default" else {}
    recipe, model = Recipe(arguments), Prophet(engine="stan", seed=11, **arguments)
    columns = {}
    if what == "capacity":
        recipe = Recipe({**arguments, "growth": "logistic"})
        model = Prophet(engine="stan", seed=11, growth="logistic", **arguments)
        columns = {"cap": 50.0}
    elif what != "default":
        recipe = Recipe({**arguments, "holidays": festival}, country="KR", regressors=[Regressor("price", 2.0)])
        model = Prophet(engine="stan", seed=11, holidays=[festival, "KR"], **arguments).add_regressor("price", 2.0)
        columns = {"price": 0.3}
    wanted = ["unique_id", "ds", "y", *columns]
    model.fit(table[wanted])
    future = model.make_future(12).assign(**columns) if columns else None
    made = model.predict(12, future=future, levels=[80])
    for name, own in table.groupby("unique_id"):
        mine = made[made["unique_id"] == name]
        given = {column: own[column].to_numpy() for column in columns}
        cap = given.pop("cap", None)
        rows = Rows(own["ds"].to_numpy(), own["y"].to_numpy(), cap, None, given)
        coming = {column: np.full(12, value) for column, value in columns.items()}
        ahead_cap = coming.pop("cap", None)
        future_rows = Rows(mine["ds"].to_numpy(), None, ahead_cap, None, coming)
        theirs = prophet_itself(recipe, rows, future_rows, 80, stan.seeds_of([name], 11)[0])
        np.testing.assert_array_equal(mine["Prophet"], theirs["yhat"])
        np.testing.assert_array_equal(mine["Prophet-lo-80"], theirs["yhat_lower"])
        np.testing.assert_array_equal(mine["Prophet-hi-80"], theirs["yhat_upper"])


def test_a_saved_model_forecasts_the_same_digits(tmp_path: Path) -> None:
    table = panel_table()[["unique_id", "ds", "y"]]
    model = Prophet(engine="stan", seed=3).fit(table)
    expected = model.predict(5, levels=[90])
    model.save(tmp_path / "model.tsf")
    pd.testing.assert_frame_equal(load(tmp_path / "model.tsf").predict(5, levels=[90]), expected, check_exact=True)


def test_a_series_that_stan_cannot_fit_goes_to_the_fallback() -> None:
    table = panel_table()[["unique_id", "ds", "y", "cap"]]
    table["cap"] = np.where(table["unique_id"] == "s1", 1e300, table["cap"])
    table["y"] = np.where(table["unique_id"] == "s1", table["y"] * 1e5, table["y"])
    model = Prophet(engine="stan", growth="logistic", on_error="fallback", fallback=Naive())
    with pytest.warns(FitWarning, match=r"could not fit s1: RuntimeError: Initialization failed"):
        model.fit(table)
    made = model.predict(3, future=model.make_future(3).assign(cap=60.0))
    assert made.groupby("unique_id")["status"].first().to_dict() == {"s0": "ok", "s1": "fallback", "s2": "ok"}
    last = table[table["unique_id"] == "s1"]["y"].iloc[-1]
    np.testing.assert_array_equal(made[made["unique_id"] == "s1"]["Prophet"], last)
