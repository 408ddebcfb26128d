"""The command line: run a job file, or check, forecast and backtest one table."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.days import calendar
from tsforecast.cli.stopping import Terminated, stoppable
from tsforecast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tsforecast.jobs import Job, Outcome

__all__ = ["app", "launch"]

app = typer.Typer(
    name="tsforecast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Forecasts for panels of time series: one table in, one table out.",
    epilog="Exit codes: 0 ok, 10 done with findings, 20 not published, 30 the job or its data cannot be used, "
    "40 disk or network, 130 interrupted, 143 terminated.",
)

JobFile = Annotated[Path, typer.Argument(help="Job file in TOML.", metavar="JOB.toml")]
Table = Annotated[str, typer.Argument(help="CSV or parquet file, a glob, or dataset:NAME.", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
Id = Annotated[str, typer.Option(help="Column that names the series.")]
Time = Annotated[str, typer.Option(help="Column of times.")]
Target = Annotated[str, typer.Option(help="Column of values.")]
Freq = Annotated[str | None, typer.Option(help="Offset alias or integer step; inferred when left out.")]
Horizon = Annotated[int, typer.Option("--horizon", "--h", "-n", min=1, help="Steps ahead.")]
Models = Annotated[list[str] | None, typer.Option("--model", "-m", help="Model by name; may be repeated.")]
Levels = Annotated[str, typer.Option(help="Intervals, per cent, by commas; empty for none.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File to write, .parquet or .csv.")]


def _version(asked: bool) -> None:
    if asked:
        from tsforecast import __version__

        typer.echo(f"tsforecast {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
def run(job: JobFile, as_json: AsJson = False) -> int:
    """Run a job: read, check, backtest, forecast, write, report."""
    from tsforecast.cli.console import progress
    from tsforecast.jobs import load_job, run_job

    with progress(quiet=as_json) as heard:
        outcome = run_job(load_job(job), job.parent, progress=heard)
    return _told(outcome, as_json)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("job.toml"),
    force: Annotated[bool, typer.Option(help="Replace the file if it is there.")] = False,
) -> int:
    """Write a job file with comments, which runs as it stands."""
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; --force replaces it")
    path.write_text((files("tsforecast.jobs") / "template.toml").read_text("utf-8"), "utf-8")
    typer.echo(f"wrote {path}; next: tsforecast run {path}")
    return 0


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="CSV, parquet, dataset:NAME, or a job file.", metavar="FILE")],
    id: Id = "unique_id",
    time: Time = "ds",
    target: Target = "y",
    freq: Freq = None,
    as_json: AsJson = False,
) -> int:
    """List everything that is odd in a table; nothing is changed."""
    from tsforecast.jobs import check_job, load_job

    if file.endswith(".toml"):
        outcome = check_job(load_job(file), Path(file).parent)
    else:
        with _naming_columns():
            outcome = check_job(_job(file, 1, id, time, target, freq), Path())
    return _told(outcome, as_json)


@app.command()
def forecast(
    file: Table,
    horizon: Horizon,
    model: Models = None,
    levels: Levels = "80,95",
    id: Id = "unique_id",
    time: Time = "ds",
    target: Target = "y",
    freq: Freq = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Forecast every series of a table; the forecasts go to --out, or to the screen.

    The baseline SeasonalNaive is forecast beside the models, unless one is naive itself.
    Holidays, columns known ahead and parameters of models take a job file: tsforecast init.
    """
    from tsforecast.cli.console import progress
    from tsforecast.jobs import run_job

    job = _job(
        file, horizon, id, time, target, freq, models=model or ["AR"], levels=levels,
        backtest={"windows": 0}, output={"forecasts": _location(out)},
    )  # fmt: skip
    with progress(quiet=as_json) as heard, _naming_columns():
        outcome = run_job(job, Path(), progress=heard)
    return _told(outcome, as_json, table=None if out else outcome.forecasts)


@app.command()
def backtest(
    file: Table,
    horizon: Horizon,
    model: Models = None,
    windows: Annotated[int, typer.Option("--windows", "-w", min=1, help="Origins to forecast from.")] = 4,
    step: Annotated[int | None, typer.Option(min=1, help="Rows between origins; the horizon by default.")] = None,
    levels: Levels = "80,95",
    id: Id = "unique_id",
    time: Time = "ds",
    target: Target = "y",
    freq: Freq = None,
    out: Out = None,
    report: Annotated[str | None, typer.Option(help="Write a report in HTML.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare models on the past of a table.

    The baseline SeasonalNaive is compared beside the models, unless one is naive itself.
    Holidays, columns known ahead and parameters of models take a job file: tsforecast init.
    """
    from tsforecast.cli.console import progress
    from tsforecast.jobs import backtest_job

    job = _job(
        file, horizon, id, time, target, freq, models=model or ["AR", "SeasonalNaive"], levels=levels,
        backtest={"windows": windows, "step": step},
        output={"backtest": _location(out), "report": report, "title": f"Backtest of {file}"},
    )  # fmt: skip
    with progress(quiet=as_json) as heard, _naming_columns():
        outcome = backtest_job(job, Path(), progress=heard)
    return _told(outcome, as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    as_json: AsJson = False,
) -> int:
    """Forecast the bundled data: forty Korean stores, 28 days ahead."""
    from tsforecast.cli.console import progress
    from tsforecast.jobs import run_job
    from tsforecast.jobs.config import parse_job

    job = parse_job((files("tsforecast.jobs") / "demo.toml").read_text("utf-8"), name="demo.toml")
    output = job.output.model_copy(
        update={name: f"parquet:{folder}/{name}.parquet" for name in ("forecasts", "backtest", "status")}
        | {"report": f"{folder}/report.html"}
    )
    with progress(quiet=as_json) as heard:
        outcome = run_job(job.model_copy(update={"output": output}), Path(), progress=heard)
    return _told(outcome, as_json)


app.command()(calendar)


@app.command()
def schema() -> int:
    """Print the JSON Schema of a job file."""
    from tsforecast.jobs import Job

    typer.echo(json.dumps(Job.model_json_schema(), indent=2, ensure_ascii=False))
    return 0


def _location(path: Path | None) -> str | None:
    if path is None:
        return None
    kinds = {".csv": "csv", ".parquet": "parquet", "": "parquet"}
    if path.suffix not in kinds:
        raise ConfigError(f"{path}: can write .parquet or .csv, not {path.suffix!r}")
    return f"{kinds[path.suffix]}:{path}"


def _job(
    file: str, horizon: int, id: str, time: str, target: str, freq: str | None,
    *, models: Sequence[str] = (), levels: str = "", backtest: Any = None, output: Any = None,
) -> Job:  # fmt: skip
    """The job that a command line amounts to; what it does not write is set to nothing."""
    from tsforecast.jobs.config import job_of

    source = file if file.startswith("dataset:") else f"{'csv' if file.endswith('.csv') else 'parquet'}:{file}"
    nothing = dict.fromkeys(("forecasts", "backtest", "status", "report"))
    return job_of(
        {
            "horizon": horizon,
            "freq": int(freq) if freq and freq.isdigit() else freq,
            "levels": [float(level) for level in levels.split(",") if level.strip()],
            "data": {"source": source, "id": id, "time": time, "target": target},
            "models": {name: {"type": name} for name in models},
            "backtest": backtest or {},
            "output": nothing | (output or {}),
        }
    )


@contextmanager
def _naming_columns() -> Iterator[None]:
    """A table without the columns that a command looks for: the options that name others."""
    try:
        yield
    except DataError as cause:
        if cause.code == "TSF-COLUMN":
            how = "say which is which: --id NAME --time NAME --target NAME (without --id a table is one series)"
            cause.args = (f"{cause}\n{how}",)
        raise


def _told(outcome: Outcome, as_json: bool, table: Any = None) -> int:
    from tsforecast.cli.console import patient, show, summary

    with patient():
        if as_json:
            typer.echo(json.dumps(summary(outcome, table), ensure_ascii=False))
        else:
            show(outcome, table)
    return int(outcome.exit)


def launch(argv: Sequence[str]) -> int:
    """Run the command line and return the exit code; an error is told with its remedy, never as a traceback."""
    try:
        with stoppable():
            code = int(app(list(argv), standalone_mode=False) or 0)
        if code == 128 + signal.SIGINT:  # typer turns Ctrl-C into a bare code
            raise KeyboardInterrupt
        return code
    except (Exception, KeyboardInterrupt, Terminated) as cause:
        from tsforecast.cli.console import complain

        return complain(cause, as_json="--json" in argv)
