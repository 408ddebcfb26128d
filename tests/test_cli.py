"""The command line as a user meets it: every command, every exit code, and never a traceback."""

import json
import os
import signal
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsforecast import SeasonalNaive, __version__, backtest
from tsforecast.cli import main
from tsforecast.jobs.lock import alone

SLOW_JOB = (
    'horizon = 3\n[data]\nsource = "csv:sales.csv"\n[models.S]\ntype = "SeasonalNaive"\n[backtest]\nwindows = 1\n'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table of two Korean stores in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    ds = np.tile(pd.date_range("2024-01-01", periods=60), 2)
    y = np.arange(120) % 7 + np.random.default_rng(0).normal(0, 0.1, 120)
    table = pd.DataFrame({"unique_id": np.repeat(["부산", "서울강남점"], 60), "ds": ds, "y": y})
    table.to_csv("sales.csv", index=False)
    table.to_parquet("sales.parquet")
    return tmp_path


def called(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return code, captured.out, captured.err


def test_version_help_and_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "--version")[:2] == (0, f"tsforecast {__version__}\n")
    code, out, _ = called(capsys, "--help")
    assert code == 0
    for command in ("run", "init", "check", "forecast", "backtest", "demo", "schema"):
        assert f" {command} " in out
    code, out, _ = called(capsys, "schema")
    assert code == 0
    assert {"horizon", "data", "models"} <= set(json.loads(out)["properties"])


def test_init_writes_a_job_that_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "init")[0] == 0
    text = (folder / "job.toml").read_text("utf-8")
    assert tomllib.loads(text)["horizon"] == 28
    code, _, err = called(capsys, "init")
    assert code == 30
    assert "--force" in err
    assert called(capsys, "init", "--force")[0] == 0
    (folder / "job.toml").write_text(text.replace("windows = 4", "windows = 1"), "utf-8")
    code, out, err = called(capsys, "run", "job.toml")
    assert code == 0
    assert all(word in out for word in ("Leaderboard", "AR", "SeasonalNaive", "out/report.html"))
    assert [line.split("  ")[0] for line in err.splitlines()][:4] == [
        "read",
        "check",
        "backtest AR",
        "backtest SeasonalNaive",
    ]
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "backtest.parquet", "forecasts.parquet", "report.html", "status.parquet",
    ]  # fmt: skip


def test_forecast_is_the_library_as_csv_json_or_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_parquet("sales.parquet")
    expected = SeasonalNaive().fit(table).predict(5, levels=(80,))
    command = ("forecast", "sales.csv", "--horizon", "5", "--model", "SeasonalNaive", "--levels", "80")
    code, out, _ = called(capsys, *command)
    assert code == 0
    (folder / "got.csv").write_text(out, "utf-8")
    got = pd.read_csv("got.csv", parse_dates=["ds"])
    pd.testing.assert_frame_equal(got[expected.columns], expected, check_dtype=False)
    code, out, err = called(capsys, *command, "--json")
    assert code == 0
    assert err == ""
    records = pd.DataFrame(json.loads(out)["forecasts"])
    np.testing.assert_allclose(records["SeasonalNaive"], expected["SeasonalNaive"])
    assert json.loads(out)["series"] == {"ok": 2}
    spelled = ["--h" if part == "--horizon" else part for part in command]
    assert called(capsys, *spelled)[1] == called(capsys, *command)[1]
    code, out, _ = called(capsys, *command, "--out", "f.parquet")
    assert code == 0
    pd.testing.assert_frame_equal(pd.read_parquet("f.parquet")[expected.columns], expected, check_dtype=False)


def test_backtest_prints_the_leaderboard_of_the_library(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("backtest", "sales.parquet", "-n", "7", "-m", "SeasonalNaive", "-m", "WindowMean", "-w", "2", "--step", "3")
    code, out, _ = called(capsys, *argv, "--json", "--report", "r.html", "-o", "b.csv")
    assert code == 0
    board = {row["model"]: row for row in json.loads(out)["leaderboard"]}
    library = backtest(SeasonalNaive(), pd.read_parquet("sales.parquet"), h=7, windows=2, step=3)
    assert board["SeasonalNaive"]["rmse"] == pytest.approx(library.leaderboard()["rmse"].iloc[0])
    assert (folder / "r.html").exists()
    assert len(pd.read_csv("b.csv")) == len(library.forecasts)
    code, out, _ = called(capsys, *argv)
    assert "SeasonalNaive *" in out


def test_check_lists_findings_with_file_and_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "check", "sales.csv")[:2] == (0, "nothing was found\n")
    lines = Path("sales.csv").read_text("utf-8").splitlines()
    lines[9] = lines[9].rpartition(",")[0] + ",inf"
    Path("sales.csv").write_text("\n".join(lines), "utf-8")
    code, out, _ = called(capsys, "check", "sales.csv")
    assert code == 10
    assert "TSF-Y-NONFINITE" in out
    assert "sales.csv:10" in out
    code, out, _ = called(capsys, "check", "sales.csv", "--json")
    assert code == 10
    assert json.loads(out)["findings"][0]["series"] == "부산"
    Path("job.toml").write_text(SLOW_JOB)
    assert called(capsys, "check", "job.toml")[0] == 10


@pytest.mark.parametrize("command", [["check"], ["forecast", "-n", "7"], ["backtest", "--h", "7", "-w", "2"]])
def test_a_table_with_other_names_leads_to_the_options(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    table = pd.read_csv("sales.csv")
    table.columns = ["매장", "날짜", "매출"]
    table.to_csv("kr.csv", index=False)
    code, _, err = called(capsys, *command, "kr.csv")
    assert code == 30
    assert all(
        word in err for word in ("'ds'", "'y'", "there are 매장, 날짜, 매출", "--id NAME --time NAME --target NAME")
    )
    assert called(capsys, *command, "kr.csv", "--id", "매장", "--time", "날짜", "--target", "매출")[0] == 0


def test_help_of_forecast_says_what_else_is_forecast(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = called(capsys, "forecast", "--help")
    assert code == 0
    said = " ".join(out.split())
    assert "SeasonalNaive" in said
    assert "tsforecast init" in said
    _, out, _ = called(capsys, "forecast", "sales.csv", "-n", "7", "-m", "AR")
    assert "SeasonalNaive" in out.splitlines()[0]
    _, out, _ = called(capsys, "forecast", "sales.csv", "-n", "7", "-m", "WindowMean")
    assert "SeasonalNaive" not in out.splitlines()[0]


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in line.rstrip())


def test_tables_line_up_where_letters_are_wide(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("sales.csv")
    table.loc[[3, 70], "y"] = np.inf
    table.to_csv("sales.csv", index=False)
    _, out, _ = called(capsys, "check", "sales.csv")
    rows = [line for line in out.splitlines() if line.startswith(" TSF")]
    cut = [width(line[: line.index("2024-")]) for line in rows if "2024-" in line]
    assert len(cut) >= 2
    assert len(set(cut)) == 1


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["bogus"], 2, "No such command"),
        (["forecast", "sales.csv"], 2, "--horizon"),
        (["forecast", "sales.csv", "-n", "0"], 2, "greater than or equal to 1"),
        (["run", "nope.toml"], 30, "tsforecast init"),
        (["forecast", "nope.csv", "-n", "3"], 30, "no file at"),
        (["forecast", "sales.csv", "-n", "3", "-m", "SeasonalNiave"], 30, "did you mean 'SeasonalNaive'"),
        (["forecast", "sales.csv", "-n", "3", "--id", "store"], 30, "lacks a column"),
        (["forecast", "sales.csv", "-n", "3", "--levels", "0.8"], 30, "write 80, not 0.8"),
        (["forecast", "dataset:nowhere", "-n", "3"], 30, "nowhere"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_errors_are_told_with_their_code(
    argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, out, err = called(capsys, *argv)
    assert got == code
    assert out == ""
    assert said in err
    assert all(line.startswith("error: ") for line in err.splitlines() if "…" not in line)
    got, out, err = called(capsys, *argv, "--json")
    assert got == code
    if code != 2:
        assert said in json.loads(out)["message"]
        assert json.loads(out)["exit"] == code


@pytest.mark.parametrize(
    ("cause", "code", "said"),
    [
        (OSError(28, "No space left on device"), 40, "safe to start again"),
        (MemoryError(), 40, "safe to start again"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("by us"), 1, "fault of tsforecast"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_every_failure_has_its_exit_code(
    cause: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise cause

    monkeypatch.setattr("tsforecast.jobs.run.write_table", failing)
    Path("job.toml").write_text(SLOW_JOB)
    got, _, err = called(capsys, "run", "job.toml")
    assert got == code
    assert said in err
    assert not list(Path("out").glob("*")) if Path("out").exists() else True


@pytest.mark.usefixtures("folder")
def test_a_held_output_is_75_and_says_by_whom(capsys: pytest.CaptureFixture[str]) -> None:
    Path("job.toml").write_text(SLOW_JOB)
    with alone(Path("out/forecasts.parquet")):
        code, _, err = called(capsys, "run", "job.toml")
    assert code == 75
    assert f"process {os.getpid()}" in err
    assert called(capsys, "run", "job.toml")[0] == 0


@pytest.mark.usefixtures("folder")
def test_hostile_ids_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("sales.csv")
    table["unique_id"] = table["unique_id"].replace("부산", "\x1b[31m\u202e[bold]x[/bold]")
    table.loc[10, "y"] = np.inf
    table.to_csv("sales.csv", index=False)
    _, out, _ = called(capsys, "check", "sales.csv")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "U+001B" in out
    assert "[bold]" in out.replace("\n", "").replace(" ", "")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_ends_with_143_and_leaves_nothing(folder: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "import tsforecast.jobs.run as run\n"
        "from tsforecast.cli import main\n"
        "def stopped(*_, **__): os.kill(os.getpid(), signal.SIGTERM)\n"
        "run.backtest = stopped\n"
        "sys.exit(main(['run', 'job.toml']))"
    )
    (folder / "job.toml").write_text(SLOW_JOB)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert "terminated" in done.stderr
    assert not list((folder / "out").iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    "command",
    ["forecast sales.csv -n 2000 -m SeasonalNaive --levels ''", "backtest sales.csv -n 2 -m SeasonalNaive --levels ''"],
)
@pytest.mark.usefixtures("folder")
def test_a_reader_that_left_is_no_error(command: str) -> None:
    whole = f"('{sys.executable}' -m tsforecast {command}; echo $? >&2) | true"
    done = subprocess.run(whole, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "0"
    assert "rror" not in done.stderr


def test_without_its_packages_the_command_line_says_what_to_install(folder: Path) -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom tsforecast.cli import main\nsys.exit(main(['--version']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 30
    assert "pip install 'tsforecast[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
