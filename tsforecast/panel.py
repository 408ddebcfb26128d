"""Panel: n series in one block of rows; slices share the block.

Axis letters used everywhere: models m, windows w, series n, steps h, columns k, levels q, rows N, grid positions P.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, Finding

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Bool", "Float", "Int", "Names", "Panel", "seasons", "unit"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

_SEASONS: dict[str, tuple[int, ...]] = {
    "s": (60, 3600),
    "min": (60, 1440),
    "h": (24, 168),
    "D": (7,),
    "B": (5,),
    "C": (5,),
    "W": (52,),
    "ME": (12,),
    "MS": (12,),
    "BME": (12,),
    "BMS": (12,),
    "QE": (4,),
    "QS": (4,),
    "BQE": (4,),
    "BQS": (4,),
    "YE": (),
    "YS": (),
}
_FINE = {"s": 1, "min": 60, "h": 3600}  # seconds in one unit of an alias that may carry a multiple


def seasons(freq: str | int | object) -> tuple[int, ...]:
    """Usual season lengths, in rows, of a frequency alias; () where none is usual (integer steps, years)."""
    if not isinstance(freq, str):
        return ()
    alias = freq.partition("-")[0]
    digits = alias[: len(alias) - len(alias.lstrip("0123456789"))]
    unit, step = alias[len(digits) :], int(digits or 1)
    if unit in _FINE:
        seconds = _FINE[unit] * step
        wanted = (3600,) if seconds < 60 else (3600, 86400) if seconds < 900 else (86400, 604800)
        return tuple(s // seconds for s in wanted if s % seconds == 0 and s // seconds > 1)
    return tuple(s // step for s in _SEASONS.get(unit, ()) if s % step == 0 and s // step > 1)


def unit(freq: str | int | object) -> str:
    """The unit of a frequency alias, without its multiple and anchor: W of 2W-SUN; "" where there is none."""
    return freq.partition("-")[0].lstrip("0123456789") if isinstance(freq, str) else ""


class Names(NamedTuple):
    """Column names of the caller's table; `id` is None for a table of one series without ids."""

    id: str | None = "unique_id"
    time: str = "ds"
    target: str = "y"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Panel:
    """n series as spans [start, stop) of one block of rows, on one time grid.

    Row r of series i lies at grid position `r + offset[i]` (or `at[r]` where gaps are ignored). `columns` (N, k)
    holds first the past columns (`n_past` of them, known up to the origin), then those known for the future.
    `series` (n,) maps each span to the fitted series whose parameters it uses: 0..n-1 unless spans were stacked.
    """

    ids: NDArray[Any]
    start: Int
    stop: Int
    y: Float
    grid: NDArray[Any]
    offset: Int
    columns: Float
    column_names: tuple[str, ...] = ()
    n_past: int = 0
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    static: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    excluded: Bool | None = None
    weights: Float | None = None
    at: Int | None = None
    series: Int
    freq: Any = 1
    tz: tzinfo | str | None = None
    kind: str = "pandas"
    time_unit: str = "us"  # of the caller's time column: s, ms, us, ns, date or int
    names: Names = Names()
    repaired: Bool | None = None
    findings: tuple[Finding, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        y: Float | Sequence[Float],
        *,
        ids: Sequence[object] | None = None,
        freq: str | int = 1,
        start: str | int = 0,
        columns: Mapping[str, Float] | None = None,
        n_past: int = 0,
        **rest: Any,
    ) -> Panel:
        """Panel from a matrix (n, T) or a list of series that all begin at `start`; `columns` name -> (N,)."""
        rows = [np.asarray(row, dtype=float) for row in y]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        stop = np.cumsum(lengths)
        first = stop - lengths
        longest = int(lengths.max(initial=0))
        if isinstance(start, int):
            grid: NDArray[Any] = start + np.arange(longest, dtype=np.int64)
        else:
            unit = {"D": "D", "h": "h", "MS": "M", "YS": "Y"}[str(freq)]
            grid = (np.array(start, f"M8[{unit}]") + np.arange(longest)).astype("M8[us]")
        given = columns or {}
        values = list(given.values())
        return cls(
            ids=np.array(list(ids) if ids is not None else range(len(rows)), dtype=object),
            start=first,
            stop=stop,
            y=np.concatenate(rows) if rows else np.empty(0),
            grid=grid,
            offset=-first,
            columns=np.column_stack(values) if values else np.empty((int(lengths.sum()), 0)),
            column_names=tuple(given),
            n_past=n_past,
            series=np.arange(len(rows), dtype=np.int64),
            freq=freq,
            **rest,
        )

    @classmethod
    def from_table(
        cls,
        data: Any,
        *,
        id: str | None = "unique_id",
        time: str = "ds",
        target: str = "y",
        freq: Any = None,
        gaps: Literal["fill", "ignore"] = "fill",
        static: Any = None,
        policies: Mapping[str, str] | None = None,
        mask: Any = None,
        weights: str | None = None,
    ) -> Panel:
        """Panel from a pandas, polars or pyarrow table; DataError lists the findings that `policies` leaves open."""
        # The one upward import of the house: the door stands on findings, and users look for it here.
        from tsforecast.findings import read_panel

        return read_panel(
            data,
            names=Names(id, time, target),
            freq=freq,
            gaps=gaps,
            static=static,
            policies=policies,
            mask=mask,
            weights=weights,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int:
        """Rows of each series (n,)."""
        return self.stop - self.start

    @property
    def observed(self) -> Int:
        """Finite target rows of each series (n,)."""
        finite = np.isfinite(self.y)
        if finite.all():
            return self.lengths
        counts = np.concatenate([[0], np.cumsum(finite)])
        seen: Int = counts[self.stop] - counts[self.start]
        return seen

    @property
    def rows(self) -> Int:
        """Block rows of all spans, series by series."""
        first = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        rows: Int = np.repeat(self.start - first, self.lengths) + np.arange(int(self.lengths.sum()))
        return rows

    @property
    def owner(self) -> Int:
        """Series of each of `rows`."""
        owner: Int = np.repeat(np.arange(len(self)), self.lengths)
        return owner

    @property
    def known_names(self) -> tuple[str, ...]:
        """Names of the columns known for the future."""
        return self.column_names[self.n_past :]

    @property
    def last(self) -> Int:
        """Grid position of each series' last row (n,); offset + start - 1 for an empty one."""
        if self.at is None:
            return self.stop - 1 + self.offset
        last = self.at[np.maximum(self.stop - 1, 0)] if len(self.at) else np.zeros(len(self), np.int64)
        return np.where(self.stop > self.start, last, -1)

    def position(self, rows: Int, owner: Int) -> Int:
        """Grid positions of block `rows` that belong to the series `owner` (same shape)."""
        return rows + self.offset[owner] if self.at is None else self.at[rows]

    def upto(self, cutoff: int | Int) -> Panel:
        """The rows at or before a grid position (one for all, or one a series (n,)); shares the block."""
        if self.at is None:
            stop = np.clip(np.asarray(cutoff) + 1 - self.offset, self.start, self.stop)
        else:
            stop = self._stop_in_ragged(np.broadcast_to(np.asarray(cutoff), (len(self),)))
        return replace(self, stop=stop.astype(np.int64))

    def _stop_in_ragged(self, cutoff: Int) -> Int:
        # Positions rise within a series, so a bisection on all spans at once finds the first row past the cutoff.
        assert self.at is not None
        low, high = self.start.copy(), self.stop.copy()
        while np.any(low < high):
            mid = (low + high) // 2
            open_ = low < high
            before = open_ & (self.at[np.minimum(mid, len(self.at) - 1)] <= cutoff)
            low = np.where(before, mid + 1, low)
            high = np.where(open_ & ~before, mid, high)
        return low

    def tail(self, rows: int) -> Panel:
        """At most the last `rows` rows of each series; shares the block."""
        return replace(self, start=np.maximum(self.start, self.stop - rows))

    def take(self, index: Int | Bool | slice) -> Panel:
        """The chosen series, block shared; `series` goes along, so fitted parameters still match."""
        static = {name: values[index] for name, values in self.static.items()}
        return replace(
            self,
            ids=self.ids[index],
            start=self.start[index],
            stop=self.stop[index],
            offset=self.offset[index],
            series=self.series[index],
            static=static,
            repaired=None if self.repaired is None else self.repaired[index],
        )

    def cut(self, cutoffs: Int) -> Panel:
        """All (window, series) spans that end at cutoffs (w, n), window-major: w * n spans that share the block."""
        many = self.take(np.tile(np.arange(len(self)), len(cutoffs)))
        return many.upto(cutoffs.reshape(-1))

    def numbered(self) -> Panel:
        """The same spans, each as a fitted series of its own: row i of a state belongs to span i."""
        return replace(self, series=np.arange(len(self), dtype=np.int64))

    def replace(self, **changes: Any) -> Panel:
        """A copy with some fields exchanged (y, excluded, weights, static, ...)."""
        return replace(self, **changes)

    def with_columns(self, columns: Float, names: Sequence[str], n_past: int) -> Panel:
        """The same rows with other columns (N, k), the first `n_past` of them known only up to the origin."""
        if columns.shape != (len(self.y), len(names)):
            raise ConfigError(f"columns have shape {columns.shape}, expected {(len(self.y), len(names))}")
        return replace(self, columns=columns, column_names=tuple(names), n_past=n_past)

    def column(self, name: str) -> Float:
        """One column (N,) by name."""
        if name not in self.column_names:
            raise ConfigError(f"no column {name!r}; there are {', '.join(self.column_names) or 'none'}")
        return self.columns[:, self.column_names.index(name)]

    def right(self, width: int, values: Float | None = None) -> Float:
        """The last `width` rows of each series, right-aligned (n, width[, k]); NaN where it is shorter."""
        source = self.y if values is None else values
        rows = self.stop[:, None] + np.arange(-width, 0)
        outside = rows < self.start[:, None]
        if not len(source):
            return np.full((*rows.shape, *source.shape[1:]), np.nan)
        rows[outside] = 0
        picked: Float = source[rows]
        picked[outside] = np.nan
        return picked

    def ahead(self, full: Panel, h: int, values: Float | None = None) -> Float:
        """The `h` rows of `full` that follow each span of a slice or `cut` of it (n, h[, k]); NaN past the end."""
        source = full.y if values is None else values
        rows = self.stop[:, None] + np.arange(h)
        inside = rows < np.resize(full.stop, len(self))[:, None]
        picked: Float = source[np.where(inside, rows, 0)]
        picked[~inside] = np.nan
        return picked
