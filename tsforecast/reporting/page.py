"""The page as values, and the page as one HTML file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from tsforecast.errors import require
from tsforecast.reporting.charts import Chart
from tsforecast.reporting.text import cells, shown

__all__ = ["Column", "Grid", "Page", "Row", "Tile", "grid", "render"]


@dataclass(frozen=True, slots=True)
class Column:
    """Heading of a column of a shown table, and the style class of its cells."""

    name: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of one row, as text, and the style class of the row."""

    cells: tuple[str, ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table to be shown; `more` says how many rows were left out."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the top of the page."""

    label: str
    value: str
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that a report shows."""

    title: str
    subtitle: str = ""
    banner: str = ""
    tiles: tuple[Tile, ...] = ()
    leaderboard: Grid | None = None
    leaderboard_note: str = ""
    by_horizon: Chart | None = None
    series: tuple[Chart, ...] = ()
    series_note: str = ""
    checked: bool = False  # whether anyone looked for findings: none may mean either
    findings: Grid | None = None
    statuses: Grid | None = None
    footer: tuple[str, ...] = field(default=())


def grid(table: Any, *, styles: dict[str, str] | None = None, most: int = 40, rows: Sequence[str] = ()) -> Grid | None:
    """At most `most` rows of a pandas table as text; `styles` by column, `rows` by row; None where it is empty."""
    if table is None or not len(table):
        return None
    head = table.head(most)
    kinds = [dtype.kind in "iuf" for dtype in head.dtypes]
    named = styles or {}
    columns = tuple(
        Column(str(name), named.get(str(name), "n" if numeric else ""))
        for name, numeric in zip(head.columns, kinds, strict=True)
    )
    texts = [cells(head.iloc[:, place]) for place in range(len(columns))]
    lines = list(zip(*texts, strict=True))
    row_styles = [*rows, *[""] * len(lines)]
    left = len(table) - len(head)
    return Grid(
        columns,
        tuple(Row(row, style) for row, style in zip(lines, row_styles, strict=False)),
        f"... and {left:,} more rows, in the tables beside this page" if left else "",
    )


@cache
def _template() -> Any:
    jinja2 = require("jinja2", "report")
    folder = files("tsforecast.reporting")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader({"page": (folder / "page.html.j2").read_text("utf-8")}),
    )
    environment.filters["shown"] = shown
    return environment.get_template("page")


def render(page: Page) -> str:
    """The page as HTML: all text escaped, no script, no request; its style allowed by digest."""
    style = (files("tsforecast.reporting") / "style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    markup = require("markupsafe", "report").Markup
    html: str = _template().render(page=page, style=markup(style), style_hash=digest)
    return html
