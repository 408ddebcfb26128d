"""Jobs: what a file may say, what is read, what is written, and that a bad series harms no other."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsforecast import (
    ConfigError,
    DataError,
    FutureError,
    KoreanHolidays,
    Prophet,
    Regressor,
    Seasonality,
    SeasonalNaive,
    WindowMean,
    backtest,
    datasets,
    registry,
)
from tsforecast.jobs import Exit, Job, backtest_job, check_job, load_job, run_job
from tsforecast.jobs.config import job_of, parse_job
from tsforecast.jobs.derive import derived
from tsforecast.jobs.keys import line_of
from tsforecast.jobs.lock import HeldError, alone
from tsforecast.jobs.sinks import write_table
from tsforecast.jobs.sources import read
from tsforecast.reporting import standing

ROOT = Path(__file__).parents[1]
BASE = 'horizon = 3\n[data]\nsource = "csv:x"\n'
P = BASE + '[models.P]\ntype = "Prophet"\n'
SMALL = """
horizon = 7
[data]
source = "csv:sales.csv"
[models.Season]
type = "SeasonalNaive"
[backtest]
windows = 2
"""


def sales(n: int = 4, rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    ds = np.tile(pd.date_range("2024-01-01", periods=rows), n)
    y = 100 + 10 * np.sin(np.arange(n * rows) * 2 * np.pi / 7) + rng.normal(0, 3, n * rows)
    return pd.DataFrame({"unique_id": np.repeat([f"00{i}" for i in range(n)], rows), "ds": ds, "y": y.round(3)})


def ran(folder: Path, data: pd.DataFrame, text: str = SMALL) -> tuple:
    data.to_csv(folder / "sales.csv", index=False)
    return run_job(parse_job(text), folder), folder / "out"


# --- the file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('horizn = 3\n[data]\nsource = "csv:x"\n', "line 1: unknown key 'horizn'; did you mean 'horizon'?"),
        (BASE + 'targte = "z"', "line 4: unknown key 'data.targte'; did you mean 'target'"),
        ('horizon = 3\n[dat]\nsource = "csv:x"\n', "line 2: unknown key 'dat'; did you mean 'data'?"),
        ('horizon = 3\ndata.source = "csv:x"\ndata.gaps = "fil"', "line 3: data.gaps = 'fil'"),
        ('horizon = 0\n[data]\nsource = "csv:x"', "line 1: horizon = 0: should be greater than or equal to 1"),
        ('[data]\nsource = "csv:x"', "the job needs the key 'horizon'"),
        ('horizon = 3\n[data]\nid = "x"', "line 2: [data] needs the key 'source'"),
        ('horizon = 3\nlevels = [0.8]\n[data]\nsource = "csv:x"', "line 2: levels = [0.8]: levels are per cent"),
        ('horizon = 3\n[data]\nsource = "sales"', "write scheme:path, for example parquet:data/sales.parquet"),
        ('horizon = 3\n[data]\nsource = "duckdb:x?table=y"', "line 3: duckdb: is not in this version"),
        (BASE + '[output]\nforecasts = "postgresql:f"', "line 5: postgresql: is not in"),
        (BASE + '[select]\nbaseline = "AR"', "line 4: select (choosing a champion"),
        (BASE + '[run]\n\nengine = "ray"', "line 6: run.engine = 'ray' is not in this version"),
        (P + 'regressors = [{ nmae = "x" }]', "line 6: [models.P] 'regressors': Regressor has no parameter 'nmae'"),
        (P + 'seasonalities = ["m"]', "'seasonalities': it holds tables such as { name ="),
        (P + 'seasonalities = [{ name = "m" }]', "'seasonalities': Seasonality needs period, fourier_order"),
        (P + 'holidays = { type = "KoreanHoliday" }', "'holidays': no type 'KoreanHoliday' here"),
        (P + 'growth = "logstic"', "line 6: [models.P] growth must be 'linear' or 'logistic' or 'flat', got 'logstic'"),
        (P + 'known = ["a"]\nregressors = ["a"]', "[models.P] 'a' is named twice in known and regressors"),
        (P + 'weekly_seasonality = 3\nseasonalities = [{ name = "weekly", period = 7, fourier_order = 2 }]',
         "line 6: [models.P] seasonality 'weekly' and weekly_seasonality=3"),
        (P.replace("[models", 'past = ["a"]\n[models'), "line 4: [models.P] past=('a',) cannot be used"),
        (BASE + '[models.A]\ntype = "AR"\nlower = 3\nupper = 2', "line 6: [models.A] lower=3 is above upper=2"),
        (BASE + 'future_source = "csv:x"', "line 4: unknown key 'data.future_source'; did you mean 'known_source'?"),
        (BASE + '[run]\nchunk = 10', "line 5: run.chunk (splitting a job into chunks) is not"),
        (BASE + '[run]\ntimeout_s = 10', "line 5: run.timeout_s"),
        (BASE + '[run]\nrefit_every = "7D"', "line 5: run.refit_every"),
        (BASE + '[run]\nworkers = 2', "line 5: run.workers"),
        (BASE + '[output]\nlang = "ko"', "line 5: output.lang = 'ko' is not in this version"),
        (BASE + '[models.a]\ntype = "ARR"', "line 5: [models.a] no forecaster 'ARR'"),
        (
            BASE + '[models.a]\ntype = "SeasonalNaive"\nseson = 7',
            "line 6: [models.a] SeasonalNaive has no parameter 'seson'; did you mean 'season'?",
        ),
        (
            BASE + '[policies]\n"TSF-TS-DUPP" = "last"',
            "line 5: policies: no finding has the code 'TSF-TS-DUPP'",
        ),
        (BASE + '[backtest]\nbaseline = "Naive"', "line 5: no model 'Naive'"),
        ("horizon = ", "is not TOML: Invalid value"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named_with_line_and_remedy(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job(text)
    assert said in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job('horizon = 0\nlevls = []\n[data]\nsource = "duckdb:x"\n[run]\nchunk = 3\n')
    assert len(str(caught.value).splitlines()) == 4


@given(st.data())
def test_a_letter_too_many_is_found_on_its_line(data: st.DataObject) -> None:
    schema = Job.model_json_schema()
    part = data.draw(st.sampled_from(["data", "backtest", "output", "run"]))
    keys = sorted(schema["$defs"][f"{part.title()}Keys"]["properties"])
    key = data.draw(st.sampled_from(keys))
    place = data.draw(st.integers(0, len(key)))
    wrong = key[:place] + data.draw(st.sampled_from("qxz")) + key[place:]
    blank = data.draw(st.integers(0, 4))
    head = 'horizon = 3\ndata.source = "csv:x"\n' if part != "data" else "horizon = 3\n"
    text = f"{head}{chr(10) * blank}[{part}]\n# a remark\n{wrong} = 1\n"
    line = text.splitlines().index(f"{wrong} = 1") + 1
    with pytest.raises(ConfigError) as caught:
        parse_job(text)
    told = [row for row in str(caught.value).splitlines() if "unknown key" in row]
    assert told == [f"job.toml: line {line}: unknown key '{part}.{wrong}'; did you mean {key!r}?"]


ODD = ("", "no such word", "2024-13-45", -1, 0, 1.5, 10**30, True, [], [1, "a"], [[]], ["a", "a"], {}, {"a": 1},
       {"type": 3}, [{"name": 1}], float("inf"), tomllib.loads("a = 2024-01-01")["a"])  # fmt: skip


@pytest.mark.parametrize("kind", registry.FORECASTERS)
def test_no_value_of_any_argument_is_more_than_refused(kind: str) -> None:
    raw = {"horizon": 3, "data": {"source": "csv:x"}}
    refused = []
    for name in [*registry.find(kind)().get_params(deep=False), "known"]:
        for value in ODD:
            try:
                job_of(raw | {"models": {"M": {"type": kind, name: value}}})
            except ConfigError as cause:
                refused.append(str(cause))
    assert len(refused) > 20
    assert all("[models.M]" in said for said in refused)


def test_line_of_finds_every_key_of_the_template() -> None:
    text = (ROOT / "tsforecast/jobs/template.toml").read_text("utf-8")
    lines = text.splitlines()

    def walk(table: dict, path: tuple[str, ...]) -> None:
        for key, value in table.items():
            line = line_of(text, (*path, key))
            assert line is not None
            assert key in lines[line - 1].partition("#")[0]
            if isinstance(value, dict):
                walk(value, (*path, key))

    walk(tomllib.loads(text), ())


# --- what is read


def test_ids_stay_text_and_rows_know_their_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("id,ds,y\n007,2024-01-01,1\nNA,2024-01-01,2\n", "utf-8")
    (tmp_path / "a.csv").write_text("id,ds,y\n서울,2024-01-01,3\n1e3,2024-01-02,\n01,2024-01-02,5\n", "utf-8")
    source = read("csv:*.csv", tmp_path, texts=["id"])
    assert source.table["id"].tolist() == ["서울", "1e3", "01", "007", "NA"]
    for row, id_ in enumerate(source.table["id"]):
        file, line = source.place(row)
        assert Path(file).read_text("utf-8").splitlines()[line - 1].startswith(f"{id_},")


def test_reading_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes("id,y\n서울,1\n".encode("cp949"))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / "x1.csv").write_text("id,y\n1,1\n")
    (tmp_path / "x2.csv").write_text("id,z\n1,1\n")
    with pytest.raises(ConfigError, match=r"did you mean 'sales\.csv'"):
        read("csv:salse.csv", tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        read("csv:nowhere/salse.csv", tmp_path)
    with pytest.raises(DataError, match="save it as UTF-8"):
        read("csv:sales.csv", tmp_path)
    with pytest.raises(DataError, match=r"torn.parquet cannot be read as parquet"):
        read("parquet:torn.parquet", tmp_path)
    with pytest.raises(DataError, match="do not have the same columns: y, z"):
        read("csv:x?.csv", tmp_path)


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        inner.map(lambda part: f"-{part}"),
        inner.map(lambda part: f"sqrt(abs({part}))"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_derived_columns_are_what_pandas_evaluates(formula: str) -> None:
    table = pd.DataFrame({"a": [1.5, -2.0, 0.0], "b": [3, 4, 5]})
    names = {"a": table["a"], "b": table["b"].astype(float), "sqrt": np.sqrt, "abs": np.abs}
    expected = eval(formula, {"__builtins__": {}}, names) if set(formula) & set("ab") else None
    if expected is not None and not np.isscalar(expected):
        np.testing.assert_allclose(derived(table, {"c": formula})["c"], expected)


@pytest.mark.parametrize(
    "formula",
    ["a.sum()", "__import__('os')", "a[0]", "a if a else b", "[a]", "lambda: a", "a @ b", "sqrt(a, out=b)", "'x'",
     "True", "nothing", "a +", "text * 2", "a < b", "(a := 1)"],
)  # fmt: skip
def test_derive_is_arithmetic_and_nothing_else(formula: str) -> None:
    table = pd.DataFrame({"a": [1.0], "b": [2.0], "text": ["x"]})
    with pytest.raises(ConfigError, match="derive c"):
        derived(table, {"c": formula})


def test_join_is_pandas_merge_and_refuses_doubled_keys(tmp_path: Path) -> None:
    data = sales()
    weather = pd.DataFrame({"ds": data["ds"].unique()[::-1], "rain": np.arange(60.0)})
    weather = weather.iloc[:-3]  # three days without a key stay, with nothing
    weather.to_csv(tmp_path / "weather.csv", index=False)
    text = SMALL.replace("[models", 'join = [{ source = "csv:weather.csv", on = ["ds"] }]\ncolumns = ["rain"]\n'
                         'save_clean = "parquet:clean"\n[models')  # fmt: skip
    ran(tmp_path, data, text)
    clean = pd.read_parquet(tmp_path / "clean.parquet")
    expected = data.merge(weather, on="ds", how="left")
    np.testing.assert_array_equal(clean["rain"], expected["rain"])
    np.testing.assert_array_equal(clean["y"], expected["y"])
    pd.concat([weather, weather.tail(2)]).to_csv(tmp_path / "weather.csv", index=False)
    with pytest.raises(DataError, match=r"TSF-JOIN-DUP.*rows 57, 58"):
        ran(tmp_path, data, text)


def test_missing_columns_are_all_named_with_the_nearest(tmp_path: Path) -> None:
    text = SMALL.replace("[models", 'target = "sale"\nknown = ["promo"]\n[models')
    with pytest.raises(DataError) as caught:
        ran(tmp_path, sales().rename(columns={"y": "sales"}).assign(promotion=0), text)
    assert [finding.column for finding in caught.value.findings] == ["sale", "promo"]
    assert "did you mean 'sales'?" in str(caught.value)
    assert "did you mean 'promotion'?" in str(caught.value)


# --- what is forecast


def test_job_gives_the_forecasts_of_the_library(tmp_path: Path) -> None:
    data = sales()
    outcome, out = ran(tmp_path, data.sample(frac=1, random_state=1))
    expected = SeasonalNaive(alias="Season").fit(data, h=7).predict(7, levels=(80, 95))
    table = pd.read_parquet(out / "forecasts.parquet")
    pd.testing.assert_frame_equal(table[expected.columns], expected, check_dtype=False)
    assert outcome.exit is Exit.OK
    assert outcome.counts == {"ok": 4}
    assert outcome.files["report"] == out / "report.html"
    backtest = pd.read_parquet(out / "backtest.parquet")
    assert len(backtest) == 2 * 4 * 7
    for (one, cutoff), rows in backtest.groupby(["unique_id", "cutoff"]):
        past = data[(data["unique_id"] == one) & (data["ds"] <= cutoff)]["y"].to_numpy()
        np.testing.assert_array_equal(rows["Season"], past[-7:])


def poisoned() -> pd.DataFrame:
    data = sales(6)
    data.loc[(data["unique_id"] == "001") & (data["ds"] == "2024-01-20"), "y"] = np.inf
    twice = data[(data["unique_id"] == "003") & (data["ds"] == "2024-02-25")]
    return pd.concat([data, twice], ignore_index=True)


def test_bad_series_gets_the_fallback_and_harms_no_other(tmp_path: Path) -> None:
    clean, _ = ran(tmp_path, sales(6))
    outcome, out = ran(tmp_path, poisoned())
    assert outcome.exit is Exit.FINDINGS
    status = pd.read_parquet(out / "status.parquet").set_index("unique_id")
    assert sorted(status.index) == [f"00{i}" for i in range(6)]
    assert status["status"].to_dict() == {f"00{i}": "fallback" if i in (1, 3) else "ok" for i in range(6)}
    assert status.loc["001", ["code", "column", "model_requested", "model_used"]].tolist() == [
        "TSF-Y-NONFINITE", "y", "Season", "SeasonalNaive",
    ]  # fmt: skip
    assert status.loc["003", "code"] == "TSF-TS-DUP"
    table, former = outcome.forecasts, clean.forecasts
    pd.testing.assert_frame_equal(
        table[~table["unique_id"].isin(["001", "003"])].reset_index(drop=True),
        former[~former["unique_id"].isin(["001", "003"])].reset_index(drop=True),
    )
    # With the doubled row gone and the infinite one unseen, the fallback is the seasonal forecast of the clean rows.
    np.testing.assert_array_equal(
        table.loc[table["unique_id"] == "003", "Season"], former.loc[former["unique_id"] == "003", "Season"]
    )
    assert np.isfinite(table["Season"]).all()


def test_policies_of_the_job_come_first(tmp_path: Path) -> None:
    text = SMALL.replace("[models", '[policies]\n"TSF-TS-DUP" = "last"\n"TSF-Y-NONFINITE" = "raise"\n[models')
    with pytest.raises(DataError, match="TSF-Y-NONFINITE"):
        ran(tmp_path, poisoned(), text)
    data = poisoned()
    outcome, _ = ran(tmp_path, data[np.isfinite(data["y"])], text)
    assert outcome.counts == {"ok": 5, "repaired": 1}


def test_too_many_failures_publish_nothing(tmp_path: Path) -> None:
    _, out = ran(tmp_path, sales())
    before = (out / "forecasts.parquet").read_bytes()
    data = sales()
    data.loc[data["unique_id"] == "002", "y"] = np.inf
    outcome, _ = ran(tmp_path, data)
    assert outcome.exit is Exit.NOT_PUBLISHED
    assert (out / "forecasts.parquet").read_bytes() == before
    assert pd.read_parquet(out / "status.parquet")["status"].tolist() == ["ok", "ok", "quarantined", "ok"]
    assert "not published: 1 of 4" in (out / "report.html").read_text("utf-8")
    lenient = SMALL + "[run]\nmax_failed_share = 0.25\n"
    assert ran(tmp_path, data, lenient)[0].exit is Exit.FINDINGS


def test_as_of_hides_later_rows_and_takes_known_columns_from_them(tmp_path: Path) -> None:
    data = sales().assign(promo=np.tile(np.arange(60) % 2, 4))
    text = SMALL.replace("horizon = 7", "horizon = 7\nas_of = 2024-02-15").replace(
        "[models", 'known = ["promo"]\n[models'
    )
    first, _ = ran(tmp_path, data, text)
    late = data.assign(y=np.where(data["ds"] > "2024-02-15", -999.0, data["y"]))
    second, _ = ran(tmp_path, late, text)
    pd.testing.assert_frame_equal(first.forecasts, second.forecasts)
    assert first.forecasts["ds"].min() == pd.Timestamp("2024-02-16")
    with pytest.raises(ConfigError, match="no row is that early"):
        ran(tmp_path, data, text.replace("2024-02-15", "1999-01-01"))


def test_known_columns_reach_the_models_that_use_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = sales().assign(promo=rng.integers(0, 2, 240))
    data["y"] += 50.0 * data["promo"]
    models = '[models.AR]\ntype = "AR"\nlags = 7\n[models.Season]\ntype = "SeasonalNaive"\n'
    text = SMALL.replace("horizon = 7", "horizon = 7\nas_of = 2024-02-15").replace(
        '[models.Season]\ntype = "SeasonalNaive"\n', f'known = ["promo"]\n{models}'
    )
    outcome, _ = ran(tmp_path, data, text)
    joined = outcome.forecasts.merge(data, on=["unique_id", "ds"])
    assert (joined["AR"] - joined["y"]).abs().mean() < 10
    assert (joined["Season"] - joined["y"]).abs().mean() > 15
    assert outcome.status["model_used"].unique().tolist() == ["AR"]


PROPHET = """
horizon = 14
as_of = 2024-06-30
levels = [80]
[data]
source = "csv:sales.csv"
known = ["promo"]
[models.P]
type = "Prophet"
growth = "logistic"
changepoints = [2024-03-01]
holidays = ["US", { type = "KoreanHolidays", window = [-3, 2] }, { holiday = "party", ds = 2024-05-20 },
            { holiday = "party", ds = 2024-07-05, lower_window = -1, upper_window = 1 }]
regressors = [{ name = "promo", mode = "multiplicative" }, "price"]
seasonalities = { name = "fair", period = 30.5, fourier_order = 2, condition_name = "open" }
[models.L]
type = "AR"
lags = [1, 7]
[backtest]
windows = 0
"""


def test_job_says_all_that_prophet_can_be_told(tmp_path: Path) -> None:
    data = sales(2, 210)
    rng = np.random.default_rng(1)
    data = data.assign(promo=rng.integers(0, 2, 420), price=rng.normal(size=420), open=rng.integers(0, 2, 420))
    data = data.assign(cap=data["y"].max() * 1.2, floor=10.0)
    result, out = ran(tmp_path, data, PROPHET)
    assert result.exit in (Exit.OK, Exit.FINDINGS)
    early, late = data[data["ds"] <= "2024-06-30"], data[data["ds"] > "2024-06-30"]
    party = {
        "holiday": ["party", "party"],
        "ds": ["2024-05-20", "2024-07-05"],
        "lower_window": [None, -1.0],
        "upper_window": [None, 1.0],
    }
    model = Prophet(
        growth="logistic",
        changepoints=["2024-03-01"],
        holidays=("US", KoreanHolidays(window=(-3, 2)), party),
        regressors=(Regressor("promo", mode="multiplicative"), Regressor("price")),
        seasonalities=(Seasonality("fair", 30.5, 2, condition_name="open"),),
    )
    expected = model.fit(early).predict(14, future=late, levels=[80])
    written = pd.read_parquet(out / "forecasts.parquet")
    np.testing.assert_allclose(written[["P", "P-lo-80", "P-hi-80"]], expected.iloc[:, 2:5], rtol=1e-9)
    assert "cap" in model.known_columns


def test_columns_ahead_without_a_place_are_told_before_anything_is_read(tmp_path: Path) -> None:
    text = PROPHET.replace("as_of = 2024-06-30\n", "")
    with pytest.raises(ConfigError) as caught:
        run_job(parse_job(text.replace("sales.csv", "nowhere.csv")), tmp_path)
    said = str(caught.value).splitlines()
    assert said[0].startswith("[models.P] needs promo, price, open, cap for the 14 rows to come")
    assert said[1].startswith("[models.L] needs promo for the 14 rows to come")
    assert all('[data] known_source = "csv:FILE"' in line for line in said[:2])
    assert said[2] == "nothing was run"
    # What needs no column ahead asks for none.
    with pytest.raises(ConfigError, match="no file at"):
        run_job(parse_job(text.partition("[models.P]")[0].replace("sales.csv", "nowhere.csv") + SEASON), tmp_path)


SEASON = '[models.S]\ntype = "SeasonalNaive"\n'


def test_columns_ahead_that_lack_values_are_told_before_the_backtest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("tsforecast.jobs.run.backtest", run)
    data = sales(2, 90).assign(promo=0, cap=500.0)
    ahead = sales(2, 104).groupby("unique_id").tail(14).assign(promo=1, cap=500.0)
    models = '[models.P]\ntype = "Prophet"\ngrowth = "logistic"\n[models.A]\ntype = "AR"\n'
    text = (
        BASE.replace("= 3", "= 14").replace("csv:x", "csv:sales.csv")
        + 'known = ["promo"]\nknown_source = "ahead.csv"\n'
    )
    ahead.to_csv(tmp_path / "ahead.csv", index=False)
    with pytest.raises(AssertionError):
        ran(tmp_path, data, text + models)
    ahead.assign(cap=ahead["cap"].where(ahead["ds"] != "2024-04-02")).to_csv(tmp_path / "ahead.csv", index=False)
    with pytest.raises(FutureError, match=r"\[models.P\] .*lacks 2 values.*'cap'.*known_source must hold") as caught:
        ran(tmp_path, data, text + models)
    assert "missing_future" not in str(caught.value)
    ahead.iloc[:-1].to_csv(tmp_path / "ahead.csv", index=False)
    with pytest.raises(FutureError, match=r"\[models.P\] .*lacks 1 rows: \(001, 2024-04-13"):
        ran(tmp_path, data, text + models)
    with pytest.raises(ConfigError, match=r"(?s)\[models.P\] needs promo, cap.*no row.*later than as_of = 2024-12-31"):
        ran(tmp_path, data, "as_of = 2024-12-31\n" + text.replace('known_source = "ahead.csv"\n', "") + models)


def test_an_error_of_one_model_names_it(tmp_path: Path) -> None:
    models = SMALL.replace("[backtest]", '[models.Lags]\ntype = "AR"\nlags = "x"\n[backtest]')
    with pytest.raises(ConfigError, match=r"^\[models.Lags\] lags must be"):
        ran(tmp_path, sales(), models)
    with pytest.raises(ConfigError, match=r"^\[models.Lags\] lags must be"):
        ran(tmp_path, sales(), models.replace("windows = 2", "windows = 0"))
    # What no model could do is no fault of the first one.
    with pytest.raises(ConfigError, match=r"^20 windows of h=7"):
        ran(tmp_path, sales(), models.replace("windows = 2", "windows = 20"))


def test_backtest_of_a_job_is_that_of_the_library(tmp_path: Path) -> None:
    models = SMALL.replace("[backtest]", '[models.Mean]\ntype = "WindowMean"\non_error = "raise"\n[backtest]\nstep = 3')
    outcome, _ = ran(tmp_path, sales(), models)
    shared = {"on_error": "fallback", "fallback": SeasonalNaive()}
    pair = [SeasonalNaive(alias="Season", **shared), WindowMean(alias="Mean")]
    expected = backtest(
        pair, pd.read_csv(tmp_path / "sales.csv", dtype={"unique_id": str}), h=7, windows=2, step=3, levels=(80, 95)
    )
    pd.testing.assert_frame_equal(outcome.backtest.forecasts, expected.forecasts, check_dtype=False)
    board, asked = standing(outcome.backtest), standing(expected)
    pd.testing.assert_frame_equal(board.drop(columns="seconds"), asked.drop(columns="seconds"))


def test_mask_leaves_rows_out_of_the_fit(tmp_path: Path) -> None:
    data = sales()
    data.loc[data["ds"].between("2024-02-20", "2024-02-29"), "y"] = 1e6
    (tmp_path / "mask.csv").write_text("id,from,to\nall,2024-02-20,2024-02-27\n002,2024-02-28,2024-02-29\n")
    text = SMALL.replace("SeasonalNaive", "WindowMean").replace("Season]", "Mean]")
    masked, _ = ran(tmp_path, data, text.replace("[models", 'mask = "csv:mask.csv"\n[models'))
    means = masked.forecasts.groupby("unique_id")["Mean"].mean()
    assert means["002"] < 200
    assert (means.drop("002") == 1e6).all()
    (tmp_path / "mask.csv").write_text("from,to\n2024-02-20,2024-02-27\n")
    with pytest.raises(DataError, match="mask lacks a column"):
        ran(tmp_path, data, text.replace("[models", 'mask = "csv:mask.csv"\n[models'))


def test_integer_steps_single_series_and_no_backtest(tmp_path: Path) -> None:
    pd.DataFrame({"ds": np.arange(40), "y": np.arange(40) % 4}).to_csv(tmp_path / "sales.csv", index=False)
    text = SMALL.replace("horizon = 7", "horizon = 4").replace("windows = 2", "windows = 0")
    text = text.replace('"SeasonalNaive"', '"SeasonalNaive"\nseason = 4')
    outcome = run_job(parse_job(text), tmp_path)
    assert outcome.forecasts["Season"].tolist() == [0, 1, 2, 3]
    assert outcome.forecasts["ds"].tolist() == [40, 41, 42, 43]
    assert outcome.status["status"].tolist() == ["ok"]
    assert "backtest" not in outcome.files


def test_check_and_backtest_alone_write_no_forecast(tmp_path: Path) -> None:
    poisoned().to_csv(tmp_path / "sales.csv", index=False)
    job = parse_job(SMALL)
    found = check_job(job, tmp_path)
    assert found.exit is Exit.FINDINGS
    row = found.findings.set_index("code").loc["TSF-Y-NONFINITE"]
    file, _, line = row["where"].rpartition(":")
    assert Path(file).read_text("utf-8").splitlines()[int(line) - 1].endswith("inf")
    assert row["policy"] == "quarantine"
    assert not (tmp_path / "out").exists()
    result = backtest_job(job, tmp_path)
    assert set(result.files) == {"backtest", "report"}
    sales().to_csv(tmp_path / "sales.csv", index=False)
    assert check_job(job, tmp_path).exit is Exit.OK


# --- what is written


def test_a_write_that_dies_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(sales(), "parquet:x.parquet", tmp_path)
    before = (tmp_path / "x.parquet").read_bytes()

    def torn(table: object, file: object, **rest: object) -> None:
        file.write(before[:100])  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", torn)
    with pytest.raises(OSError, match="No space"):
        write_table(sales(2), "parquet:x.parquet", tmp_path)
    assert (tmp_path / "x.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.parquet"]


def test_a_second_run_is_held_off_until_the_first_ends(tmp_path: Path) -> None:
    output = tmp_path / "out/forecasts.parquet"
    with alone(output):
        with pytest.raises(HeldError, match=f"process {os.getpid()} on "):
            ran(tmp_path, sales())
        assert not output.exists()
        held = "import sys, time; from pathlib import Path; from tsforecast.jobs.lock import alone\n"
    held += "with alone(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", held, str(output)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HeldError, match=f"process {other.pid} on "):
            ran(tmp_path, sales())
    finally:
        other.kill()  # no chance to clean up behind itself
        other.communicate()
    assert ran(tmp_path, sales())[0].exit is Exit.OK
    assert not list((tmp_path / "out").glob("*.lock"))


def test_where_no_series_is_left_the_findings_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)every series is quarantined.*TSF-Y-NONFINITE: series '000'"):
        ran(tmp_path, sales().assign(y=np.inf))


def test_csv_comes_back_as_it_went(tmp_path: Path) -> None:
    path = write_table(sales(), "csv:deep/er/x", tmp_path)
    assert path == tmp_path / "deep/er/x.csv"
    pd.testing.assert_frame_equal(
        pd.read_csv(path, dtype={"unique_id": str}, parse_dates=["ds"]), sales(), check_dtype=False
    )
    with pytest.raises(ConfigError, match="csv: and parquet:"):
        write_table(sales(), "dataset:x", tmp_path)


# --- the files that come with the package


def test_example_runs(tmp_path: Path) -> None:
    text = (ROOT / "examples/job.toml").read_text("utf-8")
    outcome = run_job(load_job(ROOT / "examples/job.toml"), tmp_path)
    assert outcome.exit in (Exit.OK, Exit.FINDINGS)
    assert set(outcome.files) >= {"forecasts", "report"}
    horizon = tomllib.loads(text)["horizon"]
    assert len(outcome.forecasts) == horizon * len(outcome.status)


def test_demo_beats_its_baseline_on_the_rows_it_did_not_see(tmp_path: Path) -> None:
    outcome = run_job(load_job(ROOT / "tsforecast/jobs/demo.toml"), tmp_path)
    truth = datasets.load("retail_kr")
    joined = outcome.forecasts.merge(truth, on=["unique_id", "ds"])
    assert len(joined) == 28 * truth["unique_id"].nunique() == len(outcome.forecasts)
    assert (joined["AR"] - joined["y"]).abs().mean() < 0.8 * (joined["SeasonalNaive"] - joined["y"]).abs().mean()
    assert outcome.counts == {"ok": truth["unique_id"].nunique()}


def test_exit_codes_are_the_documented_ones() -> None:
    documented = {0: "OK", 1: "BUG", 2: "USAGE", 10: "FINDINGS", 20: "NOT_PUBLISHED", 30: "CONTRACT",
                  40: "INFRASTRUCTURE", 75: "HELD", 130: "INTERRUPTED", 143: "TERMINATED"}  # fmt: skip
    assert {code.value: code.name for code in Exit} == documented


def test_no_key_is_accepted_and_ignored() -> None:
    """Every key of the schema is read somewhere beside the schema itself."""
    names = set()
    for path in (ROOT / "tsforecast/jobs").glob("*.py"):
        if path.name != "schema.py":
            names |= {
                node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)
            }
    schema = Job.model_json_schema()
    keys = set(schema["properties"]) | {key for part in schema["$defs"].values() for key in part["properties"]}
    assert keys - {"lang", "engine"} <= names  # these two have one value, which the parser enforces


def test_a_bare_path_takes_the_scheme_of_its_ending() -> None:
    job = Job.model_validate({"horizon": 3, "data": {"source": "sales.csv", "save_clean": "out/clean.parquet"}})
    assert (job.data.source, job.data.save_clean) == ("csv:sales.csv", "parquet:out/clean.parquet")
