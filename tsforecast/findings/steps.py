"""Series whose steps contradict the frequency of the panel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.findings.policies import Book
from tsforecast.frames import grids
from tsforecast.panel import Bool, Int

__all__ = ["report_off_grid", "report_wide_steps"]

_ENOUGH = 6  # rows from which a series' own step can be told


def report_off_grid(book: Book, rows: Int, off: Bool, stamps: NDArray[Any], freq: Any, grid: NDArray[Any]) -> None:
    """Write the series with stamps between grid points: TSF-FREQ if their own step differs, else TSF-FREQ-PHASE."""
    codes = book.table.codes[rows]
    usual = grids.fixed_step(freq) or _median_step(grids.ahead(freq, stamps.min(), 8))
    order = np.argsort(codes, kind="stable")
    series = np.unique(codes[off])
    bounds = np.searchsorted(codes[order], np.stack([series, series + 1]))
    for begin, end in bounds.T:
        mine = order[begin:end]
        wrong = mine[off[mine]]
        own = _median_step(np.unique(stamps[mine]))
        stray = 2 * len(wrong) <= len(mine)
        shifted = usual is not None and own is not None and abs(own - usual) <= 0.2 * usual
        if stray or shifted or own is None:
            kind, message = "TSF-FREQ-PHASE", f"times between the grid points of freq={_text(freq)}"
            fix = "Round them to the grid, or give the freq whose stamps they are"
            found = str(stamps[wrong[0]]).removesuffix(".000000")
        else:
            kind, message = "TSF-FREQ", f"steps that are not freq={_text(freq)}"
            fix = "Forecast series of different frequency apart, or bring them to one (df.resample)"
            found = f"step {_step_text(own, stamps)}"
        book.add_rows(
            kind,
            message,
            rows[wrong],
            column=book.table.names.time,
            found=found,
            expected=f"steps of {_text(freq)}" + (f" through {grid[0]}".removesuffix(".000000") if len(grid) else ""),
            fix=fix,
        )


def report_wide_steps(book: Book, start: Int, stop: Int, seen: Bool, filled: Int, freq: Any) -> None:
    """Write series that never have two consecutive rows but a step of their own (weekly rows in a daily panel)."""
    lengths = stop - start
    for i in np.flatnonzero((lengths > 0) & (filled >= _ENOUGH) & (5 * filled < 3 * lengths)):
        steps = np.diff(np.flatnonzero(seen[start[i] : stop[i]]))
        own = np.median(steps)
        if steps.min() < 2 or np.mean(np.abs(steps - own) <= 0.15 * own) < 0.75:
            continue
        rows = book.rows_of(int(i))
        book.add_rows(
            "TSF-FREQ",
            f"steps that are not freq={_text(freq)}",
            rows,
            column=book.table.names.time,
            found=f"step {own:g} x {_text(freq)}",
            expected=f"steps of {_text(freq)}",
            fix='Give this frequency, forecast such series apart, or use gaps="ignore"',
        )


def _median_step(stamps: NDArray[Any]) -> float | None:
    numbers = stamps.view(np.int64)
    return float(np.median(np.diff(numbers))) if len(numbers) > 1 else None


def _step_text(own: float, stamps: NDArray[Any]) -> str:
    return f"{own:g}" if stamps.dtype.kind != "M" else grids.named(max(1, int(own)))


def _text(freq: Any) -> str:
    return str(getattr(freq, "freqstr", freq))
