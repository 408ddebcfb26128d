"""check: all findings in one table. split: one table into parts that follow each other in time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from tsforecast import frames
from tsforecast.errors import ConfigError, DataError
from tsforecast.findings import repairs
from tsforecast.findings.policies import Book, worst_first
from tsforecast.findings.reading import as_panel, examined, settings
from tsforecast.panel import Names

__all__ = ["check", "outliers", "split"]


def check(
    data: Any,
    freq: Any = None,
    *,
    id: str | None = "unique_id",
    time: str = "ds",
    target: str = "y",
    gaps: Literal["fill", "ignore"] = "fill",
) -> Any:
    """All findings of a table, worst first, as a table of its kind: one row a code and series, none where all is well.

    Columns: code, series, column, ds (first time), row (first row, from 0), count, found, expected, policy (the
    default one), fix.
    """
    book = _book(data, Names(id, time, target), freq, gaps)
    rows = worst_first(book.findings)
    text: dict[str, list[Any]] = {
        "code": [f.code for f in rows],
        "series": [None if f.series is None else str(f.series) for f in rows],
        "column": [f.column for f in rows],
        "ds": [str(f.when[0]) if f.when else None for f in rows],
        "row": [f.rows[0] if f.rows else None for f in rows],
        "count": [f.count for f in rows],
        "found": [f"{f.message}: {f.found}" for f in rows],
        "expected": [str(f.expected) for f in rows],
        "policy": [f.policy for f in rows],
        "fix": [f.fix for f in rows],
    }
    return frames.findings_table(text, book.table.kind)


def _book(data: Any, names: Names, freq: Any, gaps: str) -> Book:
    """The book of all findings of a table."""
    freq, policies = settings(freq, gaps, None)
    book = Book(frames.read(data, names), policies, thorough=True)
    with suppress(DataError):  # times that span more than memory holds end the reading; the book says so
        examined(book, freq, gaps)
    return book


def split(
    data: Any,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    *,
    time: str = "ds",
) -> tuple[Any, ...]:
    """Tables of the same kind that follow each other in time, cut at the same times for all series.

    `fractions` are shares of the distinct times and sum to 1.
    """
    if isinstance(fractions, str) or not isinstance(fractions, Sequence):
        raise ConfigError(f"fractions must be a sequence of shares such as (0.6, 0.2, 0.2), got {fractions!r}")
    shares = np.asarray(fractions, dtype=float)
    if len(shares) < 2 or np.any(shares <= 0) or abs(shares.sum() - 1) > 1e-9:
        raise ConfigError(f"fractions must be at least two positive shares that sum to 1, got {tuple(fractions)}")
    return frames.cut_by_time(data, shares, time)


def outliers(
    data: Any, method: Literal["hampel", "stl"] = "hampel", *, width: int | None = None, threshold: float = 6.0
) -> Any:
    """Table of the values that look wrong: id, time, y, low, high (the range in which they would not).

    `method`, `width` and `threshold` are those of `repairs.outliers`; nothing is changed. To clip them or set them
    missing: `Panel.from_table(df, policies={"TSF-Y-OUTLIER": "clip"})`.
    """
    panel = as_panel(data)
    found = repairs.outliers(panel, method, width=width, threshold=threshold)
    owner = repairs.owners(panel)
    rows = np.flatnonzero(found.mask & (owner >= 0))
    columns = {panel.names.target: panel.y[rows], "low": found.low[rows], "high": found.high[rows]}
    return frames.rows_table(panel, owner[rows], panel.grid[panel.position(rows, owner[rows])], columns)
