"""`tsforecast calendar`: the holidays and bridge days that forecasts go by."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from tsforecast.errors import ConfigError

__all__ = ["calendar"]

SHOWN = ["date", "weekday", "name", "family", "off_weekday", "position", "run_days", "bridge", "source"]
"""Columns of the list, as far as a calendar has them."""
LEGEND = "off: a weekday, or lost to the weekend; run 3 of 5: third of five days off in a row, weekends included"


def calendar(
    word: Annotated[str, typer.Argument(help="Country (KR, US, US-CA ...) or NYSE.", metavar="CALENDAR")] = "KR",
    first: Annotated[
        int | None, typer.Option("--from", help="First year; this one when left out.", show_default=False)
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", help="Last year; the first one when left out.", show_default=False)
    ] = None,
    overrides: Annotated[
        Path | None,
        typer.Option(help="CSV with date and name (empty: not a holiday), perhaps calendar and family."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a record a day.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, which --overrides reads again.")] = False,
) -> int:
    """List holidays and bridge days: name, family, days off around them.

    off: a holiday that takes a weekday off, or is lost to the weekend.
    run 3 of 5: the third of five days off in a row, weekends included.
    bridge day: one working day between two days off.
    source: the holidays package, or --overrides where they say something else.
    """
    from tsforecast.cli.console import patient

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other")
    first = date.today().year if first is None else first
    table = _listed(word, first, first if last is None else last, overrides)
    with patient():
        if as_json:
            plain = table.assign(date=table["date"].dt.strftime("%Y-%m-%d"))
            typer.echo(json.dumps(plain.to_dict(orient="records"), ensure_ascii=False))
        elif as_csv:
            sys.stdout.write(table.to_csv(index=False))
        else:
            _show(table, word)
    return 0


def _listed(word: str, first: int, last: int, overrides: Path | None) -> Any:
    """The holidays and bridge days of those years."""
    from tsforecast.calendars.countries import coverage
    from tsforecast.calendars.days import day_table
    from tsforecast.calendars.overrides import read_overrides

    earliest, latest = coverage(word)
    if last < first:
        raise ConfigError(f"--to {last} lies before --from {first}")
    if first < earliest or last > latest:
        raise ConfigError(f"the {word} calendar covers {earliest} to {latest}; {first} to {last} is asked for")
    table = day_table(word, first, last)
    if overrides is not None:
        table = _sourced(day_table(word, first, last, read_overrides(overrides)), table)
    rows = table[(table["name"] != "") | table["bridge"]]
    return rows[[name for name in SHOWN if name in rows]].reset_index(drop=True)


def _sourced(table: Any, plain: Any) -> Any:
    """The table with overrides; where one says what the package says, the source is the package."""
    texts = [name for name in ("name", "family") if name in table]
    same = (table[texts] == plain[texts]).all(axis=1)
    return table.assign(source=table["source"].mask(same, plain["source"]))


def _show(table: Any, word: str) -> None:
    """A table a year on a terminal, elsewhere plain lines of all years."""
    from rich.box import SIMPLE_HEAD

    from tsforecast.cli.console import Screen

    if not len(table):
        typer.echo(f"{word} has no holidays in these years")
        return
    origins = list(dict.fromkeys(source for source in table["source"] if source))
    table = table if "override" in origins else table.drop(columns="source")
    console = Screen()
    if not console.is_terminal:
        # As wide as it takes: a log or a grep wants whole lines.
        Screen(width=200).print(_drawn(table, None), crop=False)
        return
    for year, rows in table.groupby(table["date"].dt.year):
        made = _drawn(rows, SIMPLE_HEAD)
        made.title = f"{word} {year}"
        console.print(made)
    console.print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    console.print(f"from {', '.join(origins)}", style="dim", highlight=False)


def _drawn(table: Any, box: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    from tsforecast.reporting.text import shown

    made = Table(title_justify="left", title_style="bold", box=box, pad_edge=False, padding=(0, 2, 0, 0))
    texts = {
        "date": table["date"].dt.strftime("%Y-%m-%d"),
        "day": table["weekday"],
        "name": table["name"].where(~table["bridge"], "(bridge day)"),
        **({"family": table["family"]} if "family" in table else {}),
        "off": table["off_weekday"].map({True: "weekday", False: "weekend"}).where(~table["bridge"], ""),
        "run": (table["position"].astype(str) + " of " + table["run_days"].astype(str)).where(~table["bridge"], ""),
        **({"source": table["source"]} if "source" in table else {}),
    }
    for name in texts:
        made.add_column(name, no_wrap=name != "name", overflow="fold")
    styles = {"weekday": "red", "weekend": "dim", "": "yellow"}
    for row in zip(*texts.values(), strict=True):
        made.add_row(*(Text(shown(cell)) for cell in row), style=styles[row[list(texts).index("off")]])
    return made
