"""What the command line shows: progress, tables, errors with their remedy, and JSON for machines."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel as Frame
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from tsforecast.cli.stopping import Terminated
from tsforecast.errors import FitError, TsforecastError
from tsforecast.jobs.exits import Exit
from tsforecast.jobs.lock import HeldError
from tsforecast.reporting.text import cells, shown

if TYPE_CHECKING:
    from tsforecast.jobs import Outcome
    from tsforecast.jobs.progress import Progress

__all__ = ["Screen", "complain", "patient", "progress", "show", "summary"]

MOST_ROWS = 20
STYLES = {"ok": "green", "repaired": "yellow", "cold_start": "yellow", "fallback": "yellow"}


# --- progress


class _Lines:
    """Progress as plain lines on the error stream, for logs."""

    def plan(self, steps: int) -> None:
        """Lines do not count."""

    def start(self, step: str) -> None:
        self.step, self.began = step, perf_counter()

    def done(self, detail: str) -> None:
        tail = f"  {detail}" if detail else ""
        sys.stderr.write(f"{self.step}  {perf_counter() - self.began:.1f} s{tail}\n")
        sys.stderr.flush()


class _Live:
    """Progress on a terminal: a spinner and a bar while a step runs, a line when it is done."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.task = bars.add_task("", total=None)

    def plan(self, steps: int) -> None:
        self.bars.update(self.task, total=steps)

    def start(self, step: str) -> None:
        self.step, self.began = step, perf_counter()
        self.bars.update(self.task, description=shown(step))

    def done(self, detail: str) -> None:
        line = Text.assemble(
            ("✓ ", "green"), f"{shown(self.step):<24}", (f"{perf_counter() - self.began:5.1f} s", "dim")
        )
        self.bars.advance(self.task)
        self.bars.console.print(line.append(f"  {shown(detail, 200)}", "dim"))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """Progress of a job: nothing, plain lines, or a live bar where the error stream is a terminal."""
    if quiet:
        from tsforecast.jobs.progress import QUIET

        yield QUIET
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            yield _Live(bars)


# --- results


class Screen(Console):
    """A console that reports a closed pipe."""

    def on_broken_pipe(self) -> None:
        """Raise, where rich would leave with exit code 1."""
        raise BrokenPipeError


@contextmanager
def patient() -> Iterator[None]:
    """A reader that closes the pipe before the end has had enough: no error of ours."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more on the way out, and must not complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(outcome: Outcome, table: Any | None = None) -> None:
    """The outcome on the screen: forecasts, leaderboard, findings, statuses, files."""
    console = Screen()
    if table is not None and not console.is_terminal:
        sys.stdout.write(table.to_csv(index=False))
        console = Screen(stderr=True)  # the forecasts have the output to themselves
    elif table is not None:
        console.print(_table(_compact(table), f"Forecasts ({len(table):,} rows; --out FILE keeps them)"))
    if outcome.leaderboard is not None:
        console.print(_table(_board(outcome.leaderboard), "Leaderboard"))
        console.print("* chosen: the simplest within one standard error of the best\n", style="dim")
    alone = outcome.status is None and outcome.leaderboard is None
    _show_findings(console, outcome.findings, alone)
    for line in outcome.warnings:
        console.print(Text(f"warning: {shown(line, 400)}", style="yellow"))
    if outcome.counts:
        parts = [(f"{count:,} {name}   ", STYLES.get(name, "red")) for name, count in outcome.counts.items()]
        console.print(Text.assemble("series     ", *parts))
    for name, path in outcome.files.items():
        console.print(Text.assemble(f"{name:<10} ", (str(path), "bold")), soft_wrap=True)
    if outcome.message:
        Screen(stderr=True).print(Text(outcome.message, style="bold red"))


def _compact(table: Any) -> Any:
    """Forecasts with headings that fit a screen: bounds without their model's name, or left out for several models."""
    bound = re.compile(r"(?P<model>.+)-(?P<short>(?:lo|hi)-[\d.]+)$")
    found = {name: match for name in table if (match := bound.match(str(name)))}
    if len({match["model"] for match in found.values()}) > 1:
        return table.drop(columns=list(found))
    return table.rename(columns={name: match["short"] for name, match in found.items()})


def _board(board: Any) -> Any:
    """The columns of a leaderboard that fit on a screen."""
    metric = str(board.columns[2])
    named = [f"{name} *" if best else name for name, best in zip(board["model"], board["chosen"], strict=True)]
    names = [str(name) for name in board]
    shares = {n: n.replace("coverage-", "in ") for n in names if n == "skill" or n.startswith("coverage")}
    made = board[["model", metric]].assign(model=named)
    for name in ("mae", "mase"):
        if name in board:
            made[name] = board[name]
    for name, short in shares.items():
        made[f"{short} %"] = (100 * board[name]).round(1)
    made["behind"] = board["behind_se"].round(1)
    made["s"] = board["seconds"].round(2)
    return made


def _show_findings(console: Console, findings: Any, alone: bool) -> None:
    """Findings by code with the remedy of each; one by one, too, where they are all that was asked for."""
    if not len(findings):
        if alone:
            console.print("nothing was found", style="green")
        return
    if alone:
        wanted = ["code", "series", "column", "ds", "count", "where", *(["found"] if console.width > 110 else [])]
        console.print(_table(findings[[name for name in wanted if name in findings]], f"Findings ({len(findings)})"))
    for code, part in findings.groupby("code", sort=False):
        head = f"{len(part):,} series, {int(part['count'].sum()):,} rows: {part['policy'].iloc[0]}"
        if part["series"].isna().all():
            head = f"{int(part['count'].sum()):,} rows: {part['policy'].iloc[0]}"
        fix = shown(part["fix"].iloc[0], 300)
        console.print(Text.assemble((str(code), "bold"), f"  {head}. ", (fix, "dim")))


def _table(table: Any, title: str, most: int = MOST_ROWS) -> Table:
    """The first rows of a table, every cell one line of visible text."""
    made = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    head = table.head(most)
    texts = []
    for place, name in enumerate(head):
        column = cells(head[name])
        right = head[name].dtype.kind in "iuf"
        made.add_column(
            Text(shown(name)),
            justify="right" if right else "left",
            no_wrap=right or place == 0 or head[name].dtype.kind == "M",
            overflow="fold",
        )
        texts.append(column)
    for row in zip(*texts, strict=True):
        made.add_row(*(Text(shown(cell, 80)) for cell in row))
    if len(table) > most:
        made.caption = f"... and {len(table) - most:,} more rows"
    return made


def summary(outcome: Outcome, table: Any | None = None) -> dict[str, Any]:
    """The outcome as plain values for machines."""
    made: dict[str, Any] = {"exit": int(outcome.exit), "result": outcome.exit.name.lower(), "message": outcome.message}
    made["series"] = outcome.counts
    made["findings"] = _records(outcome.findings)
    if outcome.leaderboard is not None:
        made["leaderboard"] = _records(outcome.leaderboard)
    if table is not None:
        made["forecasts"] = _records(table)
    made["files"] = {name: str(path) for name, path in outcome.files.items()}
    return made | {"warnings": list(outcome.warnings), "seconds": round(outcome.seconds, 3)}


def _records(table: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records", date_format="iso", double_precision=12))
    return records


# --- errors


def complain(cause: BaseException, *, as_json: bool) -> int:
    """Tell what went wrong and return the exit code for it."""
    code, title, message = _judged(cause)
    if code is Exit.BUG and os.environ.get("TSFORECAST_DEBUG"):
        traceback.print_exception(cause)
    if not message:
        return int(code)
    if as_json:
        error = {"exit": int(code), "result": code.name.lower(), "error": type(cause).__name__, "message": message}
        sys.stdout.write(json.dumps(error, ensure_ascii=False) + "\n")
    elif sys.stderr.isatty():
        lines = Text("\n".join(shown(line, 1000) for line in message.splitlines()))
        Console(stderr=True).print(Frame(lines, title=title, title_align="left", border_style="red", padding=(0, 1)))
    else:
        for line in message.splitlines():
            sys.stderr.write(f"error: {shown(line, 1000)}\n")
    return int(code)


def _judged(cause: BaseException) -> tuple[Exit, str, str]:
    """Exit code, title and message for what went wrong."""
    match cause:
        case KeyboardInterrupt():
            return Exit.INTERRUPTED, "interrupted", "interrupted; files are as they were"
        case Terminated():
            return Exit.TERMINATED, "terminated", "terminated; files are as they were, start it again"
        case HeldError():
            return Exit.HELD, "held", str(cause)
        case FitError():
            return Exit.NOT_PUBLISHED, "not published", str(cause)
        case TsforecastError():
            return Exit.CONTRACT, "cannot run", str(cause)
        case OSError() | MemoryError():
            return (
                Exit.INFRASTRUCTURE,
                "disk, network or memory",
                f"{type(cause).__name__}: {cause}; safe to start again",
            )
    if hasattr(cause, "format_message"):  # the command line itself was wrong
        said = str(cause.format_message())
        return Exit.USAGE, "usage", f"{said}\nsee tsforecast --help" if said else ""
    if type(cause).__name__ == "Abort":
        return Exit.INTERRUPTED, "interrupted", "interrupted"
    message = f"{type(cause).__name__}: {cause}\nThis is a fault of tsforecast; TSFORECAST_DEBUG=1 shows where."
    return Exit.BUG, "unexpected", message
