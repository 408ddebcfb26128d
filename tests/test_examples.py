"""What README, CONTRIBUTING and examples/ show runs as shown."""

import ast
import re
import runpy
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import Forecaster, Panel, check_forecaster, load
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
