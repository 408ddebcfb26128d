"""What README, CONTRIBUTING and examples/ show runs as shown."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsforecast import Panel, check_forecaster, load
from tsforecast.jobs.config import parse_job
from tsforecast.jobs.models import models_of

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
