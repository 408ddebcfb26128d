"""What README, CONTRIBUTING and examples/ show runs as shown."""

import ast
import re
import runpy
import sys
from dataclasses import MISSING, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import (
    KNN,
    Anomaly,
    Blend,
    Forecaster,
    GeoBlend,
    Panel,
    RegionalLinear,
    Select,
    Stack,
    check_forecaster,
    datasets,
    load,
)
from tsforecast.compose import geo, validation
from tsforecast.jobs.config import parse_job
from tsforecast.jobs.models import models_of
from tsforecast.models.neural import CNN, GRU, LSTM, MLP, RNN, options

ROOT = Path(__file__).parents[1]


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), flags=re.S)


def run(name: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    for block in blocks(name):
        exec(block, space)
    return space


@pytest.mark.parametrize("name", ["README.md", "README.ko.md", "docs/evaluation.md", "docs/prophet.md"])
def test_what_the_pages_show_runs(name: str) -> None:
    assert "backtest" in run(name)


def test_what_the_calendar_page_shows_runs_and_has_the_columns_that_it_lists() -> None:
    space = run("docs/calendar.md")
    known = space["model"].describe()["known"]
    assert (known[0], known[-1]) == ("weekday=mon", "yearly:3:cos")
    korean = [name.removeprefix("KR:") for name in known if name.startswith("KR:")]
    page = (ROOT / "docs" / "calendar.md").read_text("utf-8")
    said = re.search(r"Daily rows have (\d+) columns(.*?)\nWeeks and months", page, flags=re.S)
    assert said is not None
    assert len(korean) == int(said[1])
    assert re.findall(r"`(\w+)`", said[2]) == korean
    assert space["corrected"].describe()["known"] == [name for name in known if "yearly" not in name]


def test_the_forecaster_of_contributing_keeps_the_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "smoothing_example.py").write_text(blocks("CONTRIBUTING.md")[0], "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = runpy.run_path(str(tmp_path / "smoothing_example.py"))["SimpleSmoothing"]
    y = np.random.default_rng(0).normal(size=50)
    level = y[0]
    for value in y[1:]:
        level += 0.3 * (value - level)
    point = made(alpha=0.3).fit(Panel.from_arrays([y])).predict(2)["SimpleSmoothing"]
    np.testing.assert_allclose(point, level, rtol=1e-12)


def test_the_pipeline_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "pipeline.py"), run_name="__main__")
    assert "SeasonalNaive" in capsys.readouterr().out
    assert len((tmp_path / "forecasts.csv").read_text("utf-8").splitlines()) == 1 + 40 * 14
    assert load(tmp_path / "model.tsf").predict is not None
    assert check_forecaster is not None


def test_the_korean_stores_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["korean_retail.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "korean_retail.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    promo = next(line.split() for line in printed if line.startswith("promo"))
    estimate, low, high, true = map(float, promo[1:])
    assert low < estimate < high
    assert low - 1 < true < high + 1
    assert len((tmp_path / "forecasts.csv").read_text("utf-8").splitlines()) == 1 + 40 * 31
    figure = (tmp_path / "components.html").read_text("utf-8")
    assert "서울강남점".encode("unicode_escape").decode() in figure


def test_the_job_of_the_prophet_page_makes_its_model() -> None:
    page = (ROOT / "docs" / "prophet.md").read_text("utf-8")
    text = re.search(r"```toml\n(.*?)```", page, flags=re.S)
    assert text is not None
    model = models_of(parse_job('horizon = 3\n[data]\nsource = "csv:x"\n' + text[1]))[0]
    assert model.known_columns == ("promo",)
    assert type(model.holidays).__name__ == "KoreanHolidays"
    assert model.seasonalities[0].period == 30.5


def test_what_the_page_of_networks_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    space = run("docs/networks.md")
    assert space["model"].updated_ == ()
    assert len(space["model"].history_) == 2
    assert space["regional"].history_["model"].nunique() == 6
    assert list(space["codes"].columns) == ["unique_id", "ds", *(f"GRU-{u}" for u in range(1, 9))]


def tables(page: str, first: str) -> list[list[str]]:
    """Cells of the rows of the table whose heading begins with `first`."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    block = text[text.index(f"\n| {first} |") + 1 :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block if not line.startswith("| ---")]


def test_the_page_of_networks_lists_every_parameter_and_its_default() -> None:
    page = {
        name.strip("`"): ast.literal_eval(default.strip("`"))
        for name, default, _ in tables("networks.md", "parameter")[1:]
    }
    own = {f.name: f.default for kind in (RNN, LSTM, GRU, MLP, CNN) for f in fields(kind)}
    assert MISSING not in own.values()
    assert page == {name: default for name, default in own.items() if name not in {f.name for f in fields(Forecaster)}}
    assert list(page)[:5] == [f.name for f in fields(MLP) if not f.kw_only]


def test_the_page_of_networks_shows_the_presets_as_they_are() -> None:
    heading, *rows = tables("networks.md", "left at None")
    words = [word.strip('`"') for word in heading[1:]]
    assert words == list(options.PRESETS)
    page = {
        word: {name.strip("`"): cells[i] for name, *cells in rows if name not in ("`hidden`", "`activation`")}
        for i, word in enumerate(words)
    }
    for word, shown in page.items():
        held = options.preset(word, "lstm")
        assert shown == {
            name: "all" if value is None else str(value)
            for name, value in held.items()
            if name not in ("hidden", "activation")
        }


def test_the_count_of_the_page_of_networks_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    text = (ROOT / "docs" / "networks.md").read_text("utf-8")
    layers = torch.nn.RNN(3, 12), torch.nn.Linear(12, 1)
    counted = sum(p.numel() for layer in layers for p in layer.parameters())
    one = counted - layers[0].bias_hh_l0.numel()
    assert f"| | **{one}** | **{counted}** |" in text


def test_the_network_of_the_stores_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(sys, "argv", ["networks.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "networks.py"), run_name="__main__")
    printed = capsys.readouterr().out
    # 31 columns and the target, 32 units, two biases; three gates of 32 units.
    assert f"gru0: gru 32 units, {(32 + 32 + 2) * 3 * 32} parameters" in printed
    board = next(line.split() for line in printed.splitlines() if line.split()[:2] == ["1", "GRU"])
    assert float(board[3]) > 0.3, "a net that knows promotions and holidays beats the week before"
    forecasts = pd.read_csv(tmp_path / "forecasts.csv")
    assert forecasts["unique_id"].value_counts().to_dict() == dict.fromkeys(forecasts["unique_id"].unique(), 14)
    assert "서울잠실점" in set(forecasts["unique_id"]), "the net never learned from this store"
    assert "validation" in (tmp_path / "learning_curve.html").read_text("utf-8")


def test_the_job_of_the_page_of_networks_makes_its_model() -> None:
    page = (ROOT / "docs" / "networks.md").read_text("utf-8")
    text = re.search(r"```toml\n(.*?)```", page, flags=re.S)
    assert text is not None
    model = models_of(parse_job('horizon = 3\n[data]\nsource = "csv:x"\n' + text[1]))[0]
    assert (type(model), model.hidden, model.scope, model.static) == (GRU, (32, 16), "region", ("region",))
    assert model.optimizer_options == {"momentum": 0.9, "nesterov": True}


@pytest.mark.slow
def test_what_the_page_of_places_shows_runs_and_has_the_columns_that_it_lists() -> None:
    pytest.importorskip("torch")
    space = run("docs/geo.md")
    page = "\n".join(blocks("docs/geo.md"))
    said = re.findall(r"^(\w+\.\w+_) +# ([\w, ]+?)(, \.\.\.)?$", page, flags=re.M)
    assert len(said) == 5
    for shown, names, more in said:
        columns = list(eval(shown, space).columns)
        assert columns[: len(columns) if not more else len(names.split(", "))] == names.split(", "), shown
    np.testing.assert_allclose(space["model"].weights_.groupby("steps")["weight"].sum(), 1.0, rtol=1e-12)
    table = space["table"]
    assert table.loc[table["status"] == "cold_start", "unique_id"].tolist() == ["hut"] * 12


def test_the_page_of_places_lists_every_parameter_and_its_default() -> None:
    rows = tables("geo.md", "parameter")[1:]
    shared = {f.name for f in fields(Forecaster)}
    for kind in (GeoBlend, KNN, RegionalLinear, Anomaly, Blend, Stack, Select):
        page = [
            (name.strip("`"), ast.literal_eval(default.strip("`")))
            for name, default, kinds, _ in rows
            if kind.__name__ in kinds.split(", ")
        ]
        assert len(page) == len(dict(page))
        assert dict(page) == {f.name: f.default for f in fields(kind) if f.name not in shared}, kind.__name__


def test_the_page_of_places_tells_horizons_and_priors_as_they_are() -> None:
    text = " ".join((ROOT / "docs" / "geo.md").read_text("utf-8").split())
    usual = re.search(r"usual horizon: ([^.]+)\.", text)
    assert usual is not None
    units = {
        "days": "D",
        "business days": "B",
        "hours": "h",
        "weeks": "W",
        "months": "M",
        "quarters": "Q",
        "years": "Y",
    }
    page = {units[unit]: int(steps) for steps, unit in (part.split(" ", 1) for part in usual[1].split(", "))}
    assert page == {unit: steps for unit, steps in geo.USUAL.items() if unit != "C"}
    priors = re.search(r"Priors of GeoBlend: (.+?[^0])\. `prior=`", text)
    assert priors is not None
    told = [{w.lower(): float(x) for w, x in re.findall(r"(\w+) (0\.\d)", part)} for part in priors[1].split(";")]
    assert {frozenset(prior): prior for prior in told} == geo.PRIORS
    few = re.search(r"too little \((\d+) days, (\d+) months\)", text)
    assert few is not None
    assert (int(few[1]), int(few[2])) == (geo.LEAST["D"], validation.FEW)


def test_the_job_of_the_page_of_places_makes_its_models() -> None:
    text = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "geo.md").read_text("utf-8"), flags=re.S)
    assert text is not None
    job = parse_job(text[1])
    blend, lags, both = models_of(job)[:3]
    assert job.data.static_source == "csv:places.csv"
    assert blend.member_names == ("KNN", "RegionalLinear")
    assert blend.prior == {"KNN": 0.4, "RegionalLinear": 0.6}
    assert lags.lags == (1, 2, 7)
    assert both.member_names == ("Lags", "Anomaly", "GeoBlend")
    assert (both.members[1].model.lags, both.members[1].neighbours) == ((1, 2, 7), 5)


def test_the_stations_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["geo.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "geo.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    weights = [float(line.split()[2]) for line in printed if line.split()[:1] == ["1-12"] and len(line.split()) == 5]
    assert sum(weights) == pytest.approx(1, abs=2e-6)
    forecasts = pd.read_csv(tmp_path / "forecasts.csv", parse_dates=["ds"], dtype={"unique_id": str})
    cold = forecasts[forecasts["status"] == "cold_start"].set_index(["unique_id", "ds"])
    truth = datasets.load("colorado").set_index(["unique_id", "ds"])["y"]
    held = cold.index.get_level_values(0).unique().drop("Alpine Visitor Center")
    assert len(held) == 7
    # What each place would be told by the plain mean of the stations in sight.
    mean = forecasts[forecasts["status"] == "ok"].groupby("ds")["GeoBlend"].mean()
    error = (cold["GeoBlend"] - truth).dropna()
    plain = (mean.reindex(error.index, level="ds") - truth.reindex(error.index)).dropna()
    assert (error**2).mean() < 0.5 * (plain**2).mean()
    means = cold["GeoBlend"].groupby("unique_id").mean()
    assert means.idxmin() == "Alpine Visitor Center", "800 m above the highest of the others"
    if find_spec("plotly"):
        assert "plotly" in (tmp_path / "map.html").read_text("utf-8")
        assert "prior" in (tmp_path / "weights.html").read_text("utf-8")
