"""The two doors: a caller's table in as plain columns, forecasts out as a table of the same kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import ConfigError
from tsforecast.forecast import STATUSES, Forecast
from tsforecast.frames.columns import Numbers, Times, features, numbers, sorted_ids, times, to_utc, zone_in
from tsforecast.frames.coming import future_times
from tsforecast.frames.grids import is_coarse
from tsforecast.panel import Bool, Float, Int, Names, Panel

__all__ = [
    "Table",
    "cut_by_time",
    "findings_table",
    "forecast_table",
    "native",
    "opened",
    "read",
    "rows_table",
    "series_column",
]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A caller's long table as numpy columns: ids (n,) ascending, codes (N,) into them (-1 where null), times, y.

    `columns` maps a name to floats (N,); text is coded, its labels are in `categories`. Rows keep the caller's order;
    `rows` (N,) says which of the caller's they are once some were left out.
    """

    names: Names
    kind: str
    ids: NDArray[Any]
    codes: Int
    times: Times
    y: Numbers
    columns: Mapping[str, Float] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: Int | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def origin(self, rows: Int) -> Int:
        """Positions in the caller's table of rows of this one; they differ once rows were left out."""
        return rows if self.rows is None else self.rows[rows]

    def without(self, series: Bool) -> Table:
        """The table without the series marked in `series` (n,)."""
        rows = np.flatnonzero(~np.append(series, True)[self.codes])
        place = np.append(np.cumsum(~series) - 1, -1)
        return replace(
            self,
            ids=self.ids[~series],
            codes=place[self.codes[rows]],
            times=self.times.take(rows),
            y=Numbers(self.y.values[rows]),
            columns={name: values[rows] for name, values in self.columns.items()},
            rows=self.origin(rows),
        )


def opened(data: Any, wanted: Sequence[str] = ()) -> nw.DataFrame[Any]:
    """A pandas, polars or pyarrow table behind one interface; index levels named in `wanted` become columns."""
    if isinstance(data, pd.DataFrame):
        levels = [name for name in wanted if name in data.index.names and name not in data.columns]
        if levels:
            data = data.reset_index(level=levels)
    try:
        frame = nw.from_native(data)
    except TypeError as cause:
        raise ConfigError(
            f"{type(data).__name__} is no table; give a pandas or polars DataFrame, or a pyarrow Table"
        ) from cause
    except Exception as cause:  # narwhals' own tree: doubled column names
        raise ConfigError(f"the table cannot be read: {cause}") from cause
    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    if eager.implementation.value not in ("pandas", "polars", "pyarrow"):
        raise ConfigError(f"{type(data).__name__} is not supported; give pandas, polars or pyarrow")
    return eager


def read(
    data: Any, names: Names, *, columns: Sequence[str] | None = None, target: bool = True, optional: bool = True
) -> Table:
    """A table as plain columns; `columns` picks the others (None: all that are numbers, booleans or text).

    `target=False` reads a table of future values. With `optional`, a table without a column "unique_id" is one series.
    """
    frame = opened(data, [name for name in names if name])
    if names.id == Names().id and names.id not in frame.columns and optional:
        names = names._replace(id=None)
    required = [name for name in (names.id, names.time, names.target if target else None) if name is not None]
    _demand(frame, [*required, *(columns or ())])
    if names.id is None:
        ids, codes = np.array([names.target], dtype=object), np.zeros(len(frame), dtype=np.int64)
    else:
        codes, ids = sorted_ids(frame[names.id])
    there = [c for c in frame.columns if isinstance(c, str) and c not in names]
    values, categories = _others(frame, there if columns is None else columns, asked=columns is not None)
    return Table(
        names=names,
        kind=frame.implementation.value,
        ids=ids,
        codes=codes,
        times=_times(frame[names.time], names.time),
        y=numbers(frame[names.target]) if target else Numbers(np.empty(0)),
        columns=values,
        categories=categories,
    )


def _times(column: nw.Series[Any], name: str) -> Times:
    try:
        return times(column)
    except TypeError as cause:
        raise ConfigError(f"column {name!r} of type {column.dtype} cannot be read as times") from cause


def _demand(frame: nw.DataFrame[Any], wanted: Sequence[str]) -> None:
    lacking = [name for name in wanted if name not in frame.columns]
    if not lacking:
        return
    there = [str(column) for column in frame.columns]
    lowered = {column.lower(): column for column in there}
    near = get_close_matches(lacking[0].lower(), list(lowered), n=1, cutoff=0.6)
    hint = f"; did you mean {lowered[near[0]]!r}?" if near else ""
    other = ". Other names: Panel.from_table(df, id=..., time=..., target=...)" if not near else ""
    names = " or ".join(repr(name) for name in lacking)
    raise ConfigError(f"the table has no column {names}{hint} (columns: {', '.join(there) or 'none'}){other}")


def _others(
    frame: nw.DataFrame[Any], wanted: Sequence[str], *, asked: bool
) -> tuple[dict[str, Float], dict[str, tuple[str, ...]]]:
    values: dict[str, Float] = {}
    categories: dict[str, tuple[str, ...]] = {}
    for name in wanted:
        found = features(frame[name])
        if found is None:
            if asked:
                raise ConfigError(f"column {name!r} of type {frame[name].dtype} is neither number, bool nor text")
            continue
        values[str(name)] = found[0]
        if found[1] is not None:
            categories[str(name)] = found[1]
    return values, categories


def series_column(values: Any, like: Panel, *, owner: Int | None = None) -> nw.Series[Any]:
    """Values (n,) as a column of the caller's kind, repeated by `owner` (rows,) where given; stamps get unit and tz."""
    array = np.asarray(values)
    if array.dtype.kind == "M":
        series = _stamps(array, like)
    else:
        given = array.tolist() if array.dtype == object else array
        series = nw.new_series("", given, backend=_backend(like))
    return series if owner is None else series[owner]


def _backend(like: Panel) -> Any:
    return like.kind


def _stamps(values: NDArray[Any], like: Panel) -> nw.Series[Any]:
    if like.tz is not None and is_coarse(like.freq):
        values = to_utc(values, str(like.tz))
    values = values.astype("datetime64[us]")
    near = np.abs(values.astype(np.int64)) < np.iinfo(np.int64).max // 1000
    if like.time_unit == "ns" and like.tz is None and near.all():  # numpy casts at once, but wraps beyond 2262
        return nw.new_series("", values.astype("datetime64[ns]"), backend=_backend(like))
    series = nw.new_series("", values, backend=_backend(like))
    if like.time_unit == "date" and like.kind != "pandas":
        return series.cast(nw.Date())
    unit: Any = like.time_unit if like.time_unit in ("s", "ms", "us", "ns") else "us"
    if unit == "s" and like.kind == "polars":
        unit = "ms"  # polars knows no seconds
    if unit != "us":
        series = series.cast(nw.Datetime(unit))
    if like.tz is None:
        return series
    return series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone_in(str(like.tz), like.kind))


def native(table: Mapping[str, Any], like: Panel) -> Any:
    """Named columns as a table of the caller's kind; arrays of stamps get the caller's unit and time zone."""
    made = {}
    for name, values in table.items():
        series = values if isinstance(values, nw.Series) else series_column(values, like)
        made[name] = series.alias(name)
    if like.kind == "pandas":  # by extension arrays: the rows of a repeated column carry no index worth aligning
        return pd.DataFrame({name: series.to_native().array for name, series in made.items()})
    first, *others = made.values()
    return first.to_frame().with_columns(*others).to_native()  # nw.from_dict would lose the unit of Arrow stamps


def rows_table(panel: Panel, owner: Int, times: NDArray[Any] | None, values: Mapping[str, Any]) -> Any:
    """A long table of the caller's kind: id of the series `owner` (rows,), time (rows,) if any, then named values."""
    table: dict[str, Any] = {}
    if panel.names.id is not None:
        table[panel.names.id] = series_column(panel.ids, panel, owner=owner)
    if times is not None:
        table[panel.names.time] = times
    return native(table | dict(values), panel)


def forecast_table(
    panel: Panel,
    forecast: Forecast,
    *,
    alias: str,
    levels: Sequence[float] = (),
    with_status: bool = False,
    times: NDArray[Any] | None = None,
) -> Any:
    """A forecast as a table of the caller's kind: id, time, point, `{alias}-lo-80` ..., `{alias}-{member}` ..., status.

    `times` (n, h) replaces the stamps after each series' last row.
    """
    n, h = forecast.point.shape
    table: dict[str, Any] = {alias: forecast.point.ravel()}
    for q, level in enumerate(levels):
        assert forecast.lower is not None
        assert forecast.upper is not None
        table[f"{alias}-lo-{level:g}"] = forecast.lower[:, :, q].ravel()
        table[f"{alias}-hi-{level:g}"] = forecast.upper[:, :, q].ravel()
    table |= {f"{alias}-{member}": values.ravel() for member, values in forecast.members.items()}
    if with_status:
        words = np.array(STATUSES, dtype=object)
        table["status"] = series_column(words, panel, owner=np.repeat(forecast.status.astype(np.int64), h))
    coming = future_times(panel, h) if times is None else times
    return rows_table(panel, np.repeat(np.arange(n), h), coming.ravel(), table)


def findings_table(columns: Mapping[str, list[Any]], kind: Any) -> Any:
    """Lists of text (whole numbers in "row" and "count") as a table of a kind, typed also where it is empty."""
    schema = {name: nw.Int64() if name in ("row", "count") else nw.String() for name in columns}
    if kind == "pandas":
        types = {name: "Int64" if name in ("row", "count") else "object" for name in columns}
        return pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})
    return nw.from_dict(dict(columns), schema, backend=kind).to_native()


def cut_by_time(data: Any, shares: Float, time: str) -> tuple[Any, ...]:
    """Parts of a table by shares of its distinct times; rows keep their order."""
    frame = opened(data, [time])
    _demand(frame, [time])
    found = times(frame[time])
    if found.null is not None or len(found.wrong):
        raise ConfigError(f"column {time!r} holds cells that are no time; check(data) lists them")
    grid = np.unique(found.values)
    ends = np.round(np.cumsum(shares) * len(grid)).astype(np.int64)
    part = np.searchsorted(ends, np.searchsorted(grid, found.values), side="right")
    if np.any(np.diff(np.concatenate([[0], ends])) < 1):
        raise ConfigError(f"{len(grid)} distinct times are too few for {len(shares)} parts")
    return tuple(frame.filter((part == k).tolist()).to_native() for k in range(len(shares)))
