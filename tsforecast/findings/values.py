"""What a block of values may hold: missing ones, outliers, constant and short series, and their repair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import tsforecast.findings.repairs as repairs
from tsforecast.errors import SHOWN
from tsforecast.findings.placing import Placed
from tsforecast.findings.policies import Book
from tsforecast.frames.columns import spelled
from tsforecast.panel import Bool, Float, Panel

__all__ = ["spot_and_repair"]


class Kind(NamedTuple):
    """What is to be said about rows: code, message, remedy, and for outliers the range they should lie in."""

    code: str
    message: str
    fix: str = ""
    range: repairs.Outliers | None = None


_FILLS = ("interpolate", "seasonal", "ffill")


def spot_and_repair(book: Book, panel: Panel, placed: Placed) -> Panel:
    """Write what is doubtful in the values of a panel and mend what the policies say; `repaired` marks the series."""
    panel = _outliers(book, panel, placed)
    if book.wants("TSF-Y-MISSING") or book.wants("TSF-Y-TAIL"):
        inside, tail = repairs.missing(panel)
        panel = _missing(book, panel, placed, Kind("TSF-Y-TAIL", "missing values after the last one"), tail)
        panel = _missing(book, panel, placed, Kind("TSF-Y-MISSING", "missing values"), inside)
    if book.thorough:
        _constant_or_short(book, panel)
    return panel


def _missing(book: Book, panel: Panel, placed: Placed, kind: Kind, mask: Bool) -> Panel:
    """List and fill missing values; what has no row in the table is a gap, listed here only if it gets filled."""
    if not book.wants(kind.code):
        return panel
    fills = book.policies[kind.code] in _FILLS and not book.thorough
    listed = mask if fills else mask & (placed.source(len(book.table)) >= 0)
    if listed.any():
        fix = f"Fill them, or policies={{{kind.code!r}: 'interpolate'}} (or 'seasonal', 'ffill', 'keep')"
        _report(book, panel, placed, listed, kind._replace(fix=fix))
    if not fills:
        return panel
    y = repairs.filled(panel, book.policies[kind.code], mask)
    return _mended(panel, y, mask & ~np.isnan(y))


def _mended(panel: Panel, y: Float, mask: Bool) -> Panel:
    touched = np.zeros(len(panel), dtype=bool) if panel.repaired is None else panel.repaired.copy()
    touched[np.unique(repairs.owners(panel)[mask])] = True
    return panel.replace(y=y, repaired=touched)


def _outliers(book: Book, panel: Panel, placed: Placed) -> Panel:
    if not book.wants("TSF-Y-OUTLIER"):
        return panel
    found = repairs.outliers(panel)
    if not found.mask.any():
        return panel
    fix = "Correct them, or policies={'TSF-Y-OUTLIER': 'clip'} (or 'missing')"
    kind = Kind("TSF-Y-OUTLIER", "values far from those around them", fix, found)
    _report(book, panel, placed, found.mask, kind)
    policy = book.policies["TSF-Y-OUTLIER"]
    if policy not in ("clip", "missing") or book.thorough:
        return panel
    calm = np.nan if policy == "missing" else np.clip(panel.y, found.low, found.high)
    return _mended(panel, np.where(found.mask, calm, panel.y), found.mask)


def _report(book: Book, panel: Panel, placed: Placed, mask: Bool, kind: Kind) -> None:
    """One finding a series about the block rows of `mask`."""
    rows = np.flatnonzero(mask)
    owner = repairs.owners(panel)[rows]
    source = placed.source(len(book.table))
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(owner)) + 1):
        head = rows[part[:SHOWN]]
        stamps = panel.grid[panel.position(head, owner[part[:SHOWN]])]
        given = source[head][source[head] >= 0]  # a gap that was filled has no row in the table
        usual = "a number"
        if kind.range is not None:
            usual = f"{kind.range.low[head[0]]:.6g} to {kind.range.high[head[0]]:.6g}"
        book.add(
            kind.code,
            kind.message,
            int(owner[part[0]]),
            column=panel.names.target,
            when=spelled(stamps) if stamps.dtype.kind == "M" else tuple(stamps.tolist()),
            rows=tuple(book.table.origin(given).tolist()),
            count=len(part),
            found=float(panel.y[head[0]]),
            expected=usual,
            fix=kind.fix,
        )


def _constant_or_short(book: Book, panel: Panel) -> None:
    owner = repairs.owners(panel)
    rows = np.flatnonzero(~np.isnan(panel.y) & (owner >= 0))
    count = np.bincount(owner[rows], minlength=len(panel))
    low, high = np.full(len(panel), np.inf), np.full(len(panel), -np.inf)
    np.minimum.at(low, owner[rows], panel.y[rows])
    np.maximum.at(high, owner[rows], panel.y[rows])
    for i in np.flatnonzero((count > 1) & (low == high)):
        book.add(
            "TSF-CONST",
            "all values are the same",
            int(i),
            column=panel.names.target,
            count=int(count[i]),
            found=float(low[i]),
            expected="values that vary",
            fix="Is it still sold, measured, open? Its intervals will have no width",
        )
    for i in np.flatnonzero(count < 2):
        book.add(
            "TSF-LEN",
            "too few values",
            int(i),
            column=panel.names.target,
            count=int(count[i]),
            found=f"{count[i]} values",
            expected="at least 2",
            fix="Collect more, or set on_error='fallback'",
        )
