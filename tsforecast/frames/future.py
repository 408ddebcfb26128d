"""Values known for the future, joined to each series' coming rows by id, time and column name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tsforecast.frames.coming as coming
from tsforecast.errors import Finding, FutureError, listed
from tsforecast.frames.columns import matched, spelled, to_wall
from tsforecast.frames.grids import ahead, is_coarse
from tsforecast.frames.tables import Table, native, opened, read, series_column
from tsforecast.panel import Bool, Float, Int, Panel

__all__ = ["future_times", "known_ahead", "make_future", "missing_future"]

log = logging.getLogger("tsforecast")


class _Matched(NamedTuple):
    """Rows of a future table that fall on a coming row: which series, which step; the stamps (n, h) of the steps."""

    table: Table
    rows: Int
    owner: Int
    step: Int
    times: NDArray[Any]


def future_times(panel: Panel, h: int, *, future: Any = None) -> NDArray[Any]:
    """The `h` stamps after each series' last row (n, h), in the panel's own time (see `Panel.tz`).

    Where gaps were ignored, the dates in `future` come first; the frequency continues them.
    """
    if panel.at is None or future is None:
        return coming.future_times(panel, h)
    return _match(panel, future, h, ()).times


def known_ahead(panel: Panel, future: Any, h: int) -> Float:
    """Values (n, h, k) of the panel's known columns at the `h` rows after each series; text as training codes.

    Rows before the origin or past the horizon are ignored and counted in the log. FutureError lists missing and
    doubled keys, missing values and labels that training never saw.
    """
    names = panel.known_names
    if not names:
        return np.empty((len(panel), h, 0))
    if future is None:
        raise FutureError(
            f"the model knows {listed(names)} for the future: give predict(h, future=table); make_future({h}) "
            "returns its skeleton"
        )
    found = _match(panel, future, h, names)
    _refuse_doubled(panel, found)
    values = np.full((len(panel), h, len(names)), np.nan)
    for j, name in enumerate(names):
        values[found.owner, found.step, j] = _coded(panel, found, name)
    _refuse_missing(panel, found, values, h)
    if len(found.rows) < len(found.table):
        log.info("future: %d rows lie outside the horizon, ignored", len(found.table) - len(found.rows))
    return values


def make_future(panel: Panel, h: int) -> Any:
    """The table of ids and stamps for which known columns are wanted: `h` rows a series, the caller's kind."""
    return _keys(panel, coming.future_times(panel, h), np.ones((len(panel), h), dtype=bool))


def missing_future(panel: Panel, h: int, future: Any) -> Any:
    """The keys of `make_future(panel, h)` for which `future` lacks a row or a value; all of them for None."""
    lacking = np.ones((len(panel), h), dtype=bool)
    if future is None:
        return make_future(panel, h)
    found = _match(panel, future, h, panel.known_names)
    whole = np.ones(len(found.rows), dtype=bool)
    for name in panel.known_names:
        whole &= ~np.isnan(found.table.columns[name][found.rows])
    lacking[found.owner[whole], found.step[whole]] = False
    return _keys(panel, found.times, lacking)


def _keys(panel: Panel, times: NDArray[Any], wanted: Bool) -> Any:
    owner, _ = np.nonzero(wanted)
    table: dict[str, Any] = {}
    if panel.names.id is not None:
        table[panel.names.id] = series_column(panel.ids, panel, owner=owner)
    table[panel.names.time] = times[wanted]
    return native(table, panel)


def _match(panel: Panel, future: Any, h: int, names: Sequence[str]) -> _Matched:
    _refuse_lacking(panel, future, h, names)
    table = read(future, panel.names, columns=names, target=False, optional=False)
    stamps = _same_clock(panel, table)
    owner = np.append(matched(table.ids, panel.ids), -1)[table.codes]
    rows = np.flatnonzero(owner >= 0)
    if panel.at is not None:
        return _match_ragged(panel, table, stamps, owner, h)
    ext = coming.grid_ahead(panel, h)
    position = np.minimum(np.searchsorted(ext, stamps[rows]), len(ext) - 1)
    step = position - panel.last[owner[rows]] - 1
    inside = (ext[position] == stamps[rows]) & (step >= 0) & (step < h)
    rows, step = rows[inside], step[inside]
    return _Matched(table, rows, owner[rows], step, coming.future_times(panel, h))


def _match_ragged(panel: Panel, table: Table, stamps: NDArray[Any], owner: Int, h: int) -> _Matched:
    """Where gaps were ignored, the k-th later stamp in the table is step k, whatever its date."""
    last = panel.grid[panel.last]
    rows = np.flatnonzero((owner >= 0) & (stamps > last[owner]))
    rows = rows[np.lexsort((stamps[rows], owner[rows]))]
    first = np.searchsorted(owner[rows], np.arange(len(panel)))
    new = np.ones(len(rows), dtype=np.int64)  # 0 repeats the stamp of the row before
    new[1:] = (owner[rows][1:] != owner[rows][:-1]) | (stamps[rows][1:] != stamps[rows][:-1])
    rank = np.cumsum(new)
    step = rank - rank[first[owner[rows]]] if len(rows) else rank
    rows, step = rows[step < h], step[step < h]
    times = np.empty((len(panel), h), dtype=panel.grid.dtype)
    given = np.zeros(len(panel), dtype=np.int64)
    np.maximum.at(given, owner[rows], step + 1)
    times[owner[rows], step] = stamps[rows]
    for i in np.flatnonzero(given < h):
        before = times[i, given[i] - 1] if given[i] else last[i]
        times[i, given[i] :] = ahead(panel.freq, before, h - given[i])
    return _Matched(table, rows, owner[rows], step, times)


def _same_clock(panel: Panel, table: Table) -> NDArray[Any]:
    """The table's stamps in the panel's own time."""
    stamps, tz = table.times.values, table.times.tz
    rows = table.times.wrong
    if table.times.null is not None:
        rows = np.concatenate([rows, np.flatnonzero(table.times.null)])
    if len(rows):
        raise FutureError("", [_finding("no time in the future table", column=panel.names.time, rows=rows)])
    if stamps.dtype.kind != panel.grid.dtype.kind:
        kinds = {"M": "dates", "i": "integers"}
        have, want = kinds[stamps.dtype.kind], kinds[panel.grid.dtype.kind]
        raise FutureError(f"future has {have} in {panel.names.time!r}, the model was fitted on {want}")
    if (tz is None) != (panel.tz is None):
        raise FutureError(
            f"future has {'no time zone' if tz is None else f'time zone {tz}'} in {panel.names.time!r}, the model was "
            f"fitted on {'none' if panel.tz is None else panel.tz}; make both alike (tz_localize / tz_convert)"
        )
    return to_wall(stamps, str(panel.tz)) if tz is not None and is_coarse(panel.freq) else stamps


def _coded(panel: Panel, found: _Matched, name: str) -> Float:
    """The matched values of one column, labels as their training codes."""
    values = found.table.columns[name][found.rows]
    labels, trained = found.table.categories.get(name), panel.categories.get(name)
    if (labels is None) != (trained is None) and not np.all(np.isnan(values)):
        kinds = ("text", "numbers")
        raise FutureError(
            f"column {name!r} of future holds {kinds[labels is None]}, training had {kinds[trained is None]}"
        )
    if labels is None or trained is None:
        return values
    unseen = sorted(set(labels) - set(trained))
    codes = np.array([trained.index(label) if label in trained else -1 for label in labels] + [np.nan])
    coded = codes[np.where(np.isnan(values), len(labels), values).astype(np.int64)]
    if np.any(coded == -1):
        hit = found.rows[coded == -1]
        message = f"labels that training never saw: {listed(unseen)}"
        fix = f"Use one of {listed(trained, 20)}, or fit again with rows that have it"
        finding = _finding(message, column=name, rows=hit, fix=fix)
        raise FutureError("", [finding])
    return coded


def _refuse_lacking(panel: Panel, future: Any, h: int, names: Sequence[str]) -> None:
    keys = [name for name in (panel.names.id, panel.names.time) if name is not None]
    there = opened(future, keys).columns
    lacking = [repr(name) for name in (*keys, *names) if name not in there]
    if lacking:
        message = f"future has no column {listed(lacking)} (columns: {listed(there, 20) or 'none'})"
        fix = f"make_future({h}) has the ids and times; add what the model knows ahead, a value for every row"
        raise FutureError("", [_finding(message, fix=fix)])


def _refuse_doubled(panel: Panel, found: _Matched) -> None:
    h = found.times.shape[1]
    count = np.bincount(found.owner * h + found.step, minlength=len(panel) * h)
    doubled = np.flatnonzero(count > 1)
    if len(doubled):
        keys = _listed_keys(panel, found, doubled)
        rows = found.rows[np.isin(found.owner * h + found.step, doubled)]
        fix = "Keep one row for each (id, time)"
        raise FutureError("", [_finding(f"doubled rows in future: {keys}", code="TSF-TS-DUP", rows=rows, fix=fix)])


def _refuse_missing(panel: Panel, found: _Matched, values: Float, h: int) -> None:
    lacking = np.isnan(values).any(axis=2).reshape(-1)
    if not lacking.any():
        return
    findings = []
    absent = np.ones(lacking.shape, dtype=bool)
    absent[found.owner * h + found.step] = False
    fix = f"missing_future({h}, future) lists all of them; make_future({h}) is the full skeleton"
    for what, mask in (("rows", lacking & absent), ("values", lacking & ~absent)):
        if mask.any():
            keys = _listed_keys(panel, found, np.flatnonzero(mask))
            empty = np.isnan(values.reshape(-1, values.shape[2])[mask]).any(axis=0)
            column = panel.known_names[int(np.argmax(empty))] if what == "values" else None
            message = f"future lacks {mask.sum()} {what}: {keys}"
            findings.append(_finding(message, column=column, count=int(mask.sum()), fix=fix))
    raise FutureError("", findings)


def _listed_keys(panel: Panel, found: _Matched, flat: Int) -> str:
    h = found.times.shape[1]
    stamps = spelled(found.times.reshape(-1)[flat[:6]])
    keys = [f"({panel.ids[f // h]!s}, {stamp})" for f, stamp in zip(flat[:6], stamps, strict=True)]
    return listed(keys + [""] * (len(flat) - 6))


def _finding(
    message: str,
    *,
    code: str = "TSF-FUTURE",
    column: str | None = None,
    rows: Sequence[int] | Int = (),
    **rest: Any,
) -> Finding:
    rest.setdefault("count", max(len(rows), 1))
    return Finding(code, message, column=column, rows=tuple(int(r) for r in rows[:5]), **rest)
