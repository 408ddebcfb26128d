"""Where each row lies: the time grid, positions on it, doubled rows and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import SHOWN, DataError
from tsforecast.findings.clock import Clock, clock
from tsforecast.findings.policies import Book, worst_first
from tsforecast.findings.steps import report_off_grid, report_wide_steps
from tsforecast.frames import columns, grids
from tsforecast.frames.columns import spelled
from tsforecast.panel import Bool, Float, Int

__all__ = ["Placed", "place"]

_ROOM = 10_000_000  # grid positions that are never too many


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Rows on the grid: row `rows[r]` of the table goes to `dest[r]` of the block (several rows may share one).

    `first` (n,) is each series' first grid position, [start, stop) its span, `seen` (M,) the block rows that got a
    value; `at` (M,) the grid position of block rows where gaps are ignored.
    """

    clock: Clock
    grid: NDArray[Any]
    first: Int
    start: Int
    stop: Int
    dest: Int
    rows: Int | slice
    seen: Bool
    at: Int | None = None

    def filled(self) -> Int:
        """Rows of each span that got a value (n,)."""
        before = np.concatenate([[0], np.cumsum(self.seen, dtype=np.int64)])
        counts: Int = before[self.stop] - before[self.start]
        return counts

    def source(self, rows: int) -> Int:
        """The table row behind each block row (M,), -1 in gaps; `rows` is the length of the table."""
        source = np.full(len(self.seen), -1, dtype=np.int64)
        source[self.dest] = np.arange(rows) if isinstance(self.rows, slice) else self.rows
        return source

    def scatter(self, values: Float, doubled: str = "last") -> Float:
        """Values over the table's rows (N,) as a block column (M,): NaN in gaps; doubled rows by `doubled`."""
        picked = values[self.rows]
        block = np.full(len(self.seen), np.nan)
        if doubled in ("sum", "mean"):
            total = np.bincount(self.dest, weights=picked, minlength=len(block))
            count = np.bincount(self.dest, minlength=len(block))
            np.divide(total, count if doubled == "mean" else 1, out=block, where=count > 0)
        else:
            block[self.dest] = picked
        return block


def place(book: Book, freq: Any, gaps: str) -> Placed | None:
    """Lay the usable rows on a grid and write what contradicts it; None where no grid can be made."""
    rows: Int | slice = np.flatnonzero(~book.unusable) if book.unusable.any() else slice(None)
    codes = book.table.codes[rows]
    if not len(codes):
        book.add(
            "TSF-LEN",
            "the table has no usable rows",
            policy="raise",
            count=0,
            found="0 rows",
            expected="at least 1",
            fix="Is a filter before this too strict?",
        )
        return None
    # Everything about time is decided on the distinct stamps; rows only look up their position.
    place_of, stamps = columns.distinct(book.table.times.values[rows])
    time = clock(book, stamps, place_of, codes, freq)
    if time is None:
        return None
    stamps, freq = time.stamps, time.freq
    if gaps == "ignore":
        return _consecutive(book, time, place_of, codes, rows)
    positions, grid = _on_grid(book, stamps, place_of, freq)
    if (positions < 0).any():
        off = positions[place_of] < 0
        index = np.flatnonzero(~book.unusable)
        report_off_grid(book, index, off, stamps[place_of], freq, grid)
        rows, codes, place_of = index[~off], codes[~off], place_of[~off]
        book.unusable[index[off]] = True
    return _spans(book, np.take(positions, place_of, out=place_of), codes, rows, time, grid)


def _on_grid(book: Book, stamps: NDArray[Any], place_of: Int, freq: Any) -> tuple[Int, NDArray[Any]]:
    """Grid position of each distinct stamp, -1 where it lies off the grid; the grid ends with the last used stamp."""
    step = grids.fixed_step(freq)
    numbers = stamps.view(np.int64)
    if step is None:
        return _on_calendar(stamps, place_of, freq)
    remainder = numbers % step
    wanted = grids.anchor(freq)
    common = remainder[0]
    if np.any(remainder != common):
        common = _most_common(remainder, place_of)
    if wanted is not None:
        common = wanted + common % grids.DAY
    on = remainder == common
    if not on.any():
        return np.full(len(stamps), -1), stamps[:0]
    low, high = int(numbers[on].min()), int(numbers[on].max())
    _refuse_explosion(book, stamps, place_of, (high - low) // step + 1)
    return np.where(on, (numbers - low) // step, -1), np.arange(low, high + 1, step).view(stamps.dtype)


def _most_common(values: Int, place_of: Int) -> int:
    kinds, back = np.unique(values, return_inverse=True)
    rows = np.bincount(place_of, minlength=len(values))
    return int(kinds[np.argmax(np.bincount(back, weights=rows))])


def _on_calendar(stamps: NDArray[Any], place_of: Int, freq: Any) -> tuple[Int, NDArray[Any]]:
    day = np.timedelta64(grids.DAY, "us")
    time_of_day = np.timedelta64(_most_common(stamps.view(np.int64) % grids.DAY, place_of), "us")
    first, last = stamps.min().astype("datetime64[D]"), stamps.max().astype("datetime64[D]")
    grid = grids.between(freq, first + time_of_day, last + time_of_day + day)
    if not len(grid):
        return np.full(len(stamps), -1), stamps[:0]
    position = np.minimum(np.searchsorted(grid, stamps), len(grid) - 1)
    on = grid[position] == stamps
    if not on.any():
        return np.full(len(stamps), -1), grid[:0]
    low, high = position[on].min(), position[on].max()
    return np.where(on, position - low, -1), grid[low : high + 1]


def _refuse_explosion(book: Book, stamps: NDArray[Any], place_of: Int, length: int) -> None:
    """One mistyped year must not ask for all memory there is."""
    if length <= 20 * len(place_of) + _ROOM:
        return
    numbers = stamps.view(np.int64)
    far = int(np.argmax(np.abs(numbers - np.median(numbers))))
    row = np.flatnonzero(~book.unusable)[np.flatnonzero(place_of == far)[:SHOWN]]
    book.add(
        "TSF-TS-GAP",
        f"the times span {length} steps for {len(place_of)} rows",
        int(book.table.codes[row[0]]),
        policy="raise",
        column=book.table.names.time,
        when=book.table.times.shown(row),
        rows=tuple(book.table.origin(row).tolist()),
        count=1,
        found=str(book.table.times.shown(row[:1])[0]),
        expected="stamps close enough for a regular grid",
        fix='Correct the stray stamp, or use gaps="ignore"',
    )
    raise DataError("", worst_first([f for f in book.findings if f.policy == "raise"]))


def _spans(book: Book, position: Int, codes: Int, rows: Int | slice, time: Clock, grid: NDArray[Any]) -> Placed | None:
    """Spans of the series in the block and the block row of each table row; overwrites `position`."""
    n = len(book.table.ids)
    first = np.full(n, len(grid), dtype=np.int64)
    last = np.full(n, -1, dtype=np.int64)
    np.minimum.at(first, codes, position)
    np.maximum.at(last, codes, position)
    first = np.where(last < 0, 0, first)  # a series none of whose rows lies on the grid has an empty span
    stop = np.cumsum(last - first + 1)
    start = stop - (last - first + 1)
    if not n or not len(position):
        return None
    if stop[-1] > 20 * len(codes) + _ROOM:
        _refuse_explosion(book, grid, position - position.min(), int(stop[-1]))
    shift = start - first
    for low in range(0, len(position), 1 << 20):  # in pieces: no second array of this length
        piece = slice(low, low + (1 << 20))
        position[piece] += shift[codes[piece]]
    placed = _seen(time, grid, first, start, stop, position, rows)
    _report_order(book, placed)
    _report_doubled(book, placed)
    _report_gaps(book, placed)
    return placed


def _seen(
    time: Clock,
    grid: NDArray[Any],
    first: Int,
    start: Int,
    stop: Int,
    dest: Int,
    rows: Int | slice,
    at: Int | None = None,
) -> Placed:
    seen = np.zeros(int(stop[-1]), dtype=bool)
    seen[dest] = True
    return Placed(time, grid, first, start, stop, dest, rows, seen, at)


def _consecutive(book: Book, time: Clock, place_of: Int, codes: Int, rows: Int | slice) -> Placed:
    """Rows one after another whatever lies between them; the grid is the stamps that occur."""
    grid, back = np.unique(time.stamps, return_inverse=True)
    position = back[place_of]
    key = codes * len(grid) + position
    order = np.argsort(key, kind="stable")
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.diff(key[order]) > 0
    dest = np.empty(len(order), dtype=np.int64)
    dest[order] = np.cumsum(new) - 1
    stop = np.cumsum(np.bincount(codes[order[new]], minlength=len(book.table.ids)))
    start = np.concatenate([[0], stop[:-1]])
    placed = _seen(time, grid, start, start, stop, dest, rows, position[order[new]])
    _report_order(book, placed)
    _report_doubled(book, placed)
    return placed


def _report_order(book: Book, placed: Placed) -> None:
    falls = int(np.count_nonzero(placed.dest[1:] < placed.dest[:-1]))
    if falls:
        book.add(
            "TSF-ORDER",
            f"rows are not in order of id and time; they were sorted ({falls} places)",
            count=falls,
            found="unsorted",
            expected="sorted by id, then time",
        )


def _report_doubled(book: Book, placed: Placed) -> None:
    if placed.seen.sum() == len(placed.dest):
        return
    often = np.bincount(placed.dest, minlength=len(placed.seen)) > 1
    rows = np.flatnonzero(often[placed.dest])
    rows = rows[np.argsort(placed.dest[rows], kind="stable")]  # twins side by side
    index = rows if isinstance(placed.rows, slice) else placed.rows[rows]
    book.add_rows(
        "TSF-TS-DUP",
        "more than one row for the same time",
        index,
        column=book.table.names.time,
        found="doubled rows",
        expected="one row for each id and time",
        fix="Drop or add them up, or policies={'TSF-TS-DUP': 'last'} (or 'sum', 'mean'); is the id column right?",
    )


def _report_gaps(book: Book, placed: Placed) -> None:
    missing = len(placed.seen) - int(placed.seen.sum())
    if not missing:
        return
    filled = placed.filled()
    report_wide_steps(book, placed.start, placed.stop, placed.seen, filled, placed.clock.freq)
    fix = 'Pass gaps="ignore" to take the rows as consecutive'
    if not book.wants("TSF-TS-GAP"):
        book.add(
            "TSF-TS-GAP",
            f"{missing} times without a row were filled in as missing",
            count=missing,
            found="no row",
            expected=f"a row at every step of {placed.clock.freq}",
            fix=fix,
        )
        return
    lengths = placed.stop - placed.start
    for i in np.flatnonzero((filled < lengths) & (lengths > 0)):
        gaps = np.flatnonzero(~placed.seen[placed.start[i] : placed.stop[i]])
        book.add(
            "TSF-TS-GAP",
            "times without a row",
            int(i),
            column=book.table.names.time,
            when=_read(placed.grid[placed.first[i] + gaps[:SHOWN]]),
            count=len(gaps),
            found="no row",
            expected=f"a row at every step of {placed.clock.freq}",
            fix=fix,
        )


def _read(stamps: NDArray[Any]) -> tuple[object, ...]:
    return spelled(stamps) if stamps.dtype.kind == "M" else tuple(stamps.tolist())
