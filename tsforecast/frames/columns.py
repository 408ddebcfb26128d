"""One column of a caller's table as plain numpy arrays: ids, times, numbers, labels."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.panel import Bool, Float, Int

__all__ = [
    "Numbers",
    "Times",
    "encode",
    "features",
    "local_days",
    "numbers",
    "sorted_ids",
    "times",
    "to_utc",
    "to_wall",
]

_PARTIAL = re.compile(r"\d{4}(-\d{2})?$")  # "2024" and "2024-05", which datetime.fromisoformat refuses
_NO_ROWS: Int = np.empty(0, dtype=np.int64)


class Times(NamedTuple):
    """A time column (N,): datetime64[us] (UTC where `tz` is set) or int64; `null` (N,) or None where none is missing.

    `unit` is what the caller's column held ("s", "ms", "us", "ns", "date", "int"); `wrong` lists the rows, `cells`
    the values of those that are no time at all.
    """

    values: NDArray[Any]
    null: Bool | None = None
    tz: str | None = None
    unit: str = "us"
    wrong: Int = _NO_ROWS
    cells: NDArray[Any] = _NO_ROWS

    def take(self, rows: Int) -> Times:
        """Chosen rows, without the record of wrong cells."""
        null = None if self.null is None else _null(self.null[rows])
        return self._replace(values=self.values[rows], null=null, wrong=_NO_ROWS, cells=_NO_ROWS)

    def shown(self, rows: Int) -> tuple[object, ...]:
        """Chosen stamps for reading: dates, date-times in local time, or integers."""
        values = self.values[rows]
        if values.dtype.kind != "M":
            return tuple(int(value) for value in values)
        values = values[~np.isnat(values)]
        if self.tz is not None:
            values = to_wall(values, self.tz)
        return spelled(values)


class Numbers(NamedTuple):
    """A target column as floats (N,), missing = NaN; `wrong` lists the rows, `cells` the values that are no number."""

    values: Float
    wrong: Int = _NO_ROWS
    cells: NDArray[Any] = _NO_ROWS


def spelled(stamps: NDArray[Any]) -> tuple[object, ...]:
    """Stamps as dates where all lie at midnight, else as date-times; integer steps as they are."""
    if stamps.dtype.kind != "M":
        return tuple(stamps.tolist())
    midnight = bool(np.all(stamps == stamps.astype("datetime64[D]")))
    return tuple((stamps.astype("datetime64[D]") if midnight else stamps).tolist())


def distinct(values: NDArray[Any]) -> tuple[Int, NDArray[Any]]:
    """Codes (N,) into the distinct values in order of appearance, none of them missing."""
    codes, uniques = pd.factorize(values)
    return codes.astype(np.int64, copy=False), uniques


def encode(column: nw.Series[Any]) -> tuple[Int, NDArray[Any]]:
    """Codes (N,) into the distinct values in order of appearance, -1 where missing."""
    native: Any = column.to_native()
    if column.implementation.is_pyarrow():
        kind = native.type
        if hasattr(kind, "value_type") and hasattr(kind, "index_type"):  # a dictionary: its labels may repeat
            native = native.cast(kind.value_type)
        encoded = native.unify_dictionaries().combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if column.dtype.is_integer():
            return codes, _plain(encoded.dictionary.to_numpy(zero_copy_only=False))
        return codes, _objects(encoded.dictionary.to_pylist())
    if column.implementation.is_polars() and column.dtype == nw.String:
        labels = column.drop_nulls().unique(maintain_order=True)
        physical = column.cast(nw.Enum(labels.to_list())).to_native().to_physical()
        return physical.cast(int).fill_null(-1).to_numpy().astype(np.int64), _objects(labels.to_list())
    if column.implementation.is_polars():  # other text would become fixed-width, padded to the longest
        native = native.to_numpy() if column.dtype.is_numeric() else _objects(native.to_list())
    plain = column.implementation.is_pandas() and native.dtype == object
    values = native.to_numpy() if plain else native
    heads = _heads(values) if isinstance(values, np.ndarray) else None
    codes, uniques = pd.factorize(values if heads is None else values[heads])
    codes = codes.astype(np.int64, copy=False)
    if heads is not None:
        codes = np.repeat(codes, np.diff(np.append(heads, len(values))))
    return codes, _plain(uniques)


def _heads(values: NDArray[Any]) -> Int | None:
    """Where runs of equal values begin, if there are few: to hash those alone takes a third of the time."""
    try:
        heads = np.flatnonzero(np.append(True, np.asarray(values[1:] != values[:-1], dtype=bool)))
    except (TypeError, ValueError):  # values that refuse to be compared, such as NA
        return None
    return heads if 0 < 8 * len(heads) <= len(values) else None


def _objects(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _plain(uniques: Any) -> NDArray[Any]:
    if not pd.api.types.is_integer_dtype(uniques.dtype):
        return np.asarray(uniques, dtype=object)
    wide = pd.api.types.is_unsigned_integer_dtype(uniques.dtype) and len(uniques) and uniques.max() >= 2**63
    return np.asarray(uniques, dtype=np.uint64 if wide else np.int64)  # hashes fill all 64 bits


def sorted_ids(column: nw.Series[Any]) -> tuple[Int, NDArray[Any]]:
    """Codes (N,) into the ascending distinct ids (n,); ids of several types sort by type name, then as text."""
    codes, uniques = encode(column)
    try:
        order = np.argsort(uniques, kind="stable")
    except TypeError:
        keys = [(type(u).__name__, str(u)) for u in uniques]
        order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    if np.array_equal(order, np.arange(len(order))):
        return codes, uniques
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1  # where codes say "missing"
    return rank[codes], uniques[order]


def times(column: nw.Series[Any]) -> Times:
    """A time column as microseconds or integers; text and date objects are read value by value, once each."""
    dtype = column.dtype
    native: Any = column.to_native()
    kind = getattr(native, "dtype", None)
    if isinstance(kind, pd.PeriodDtype):
        column = nw.from_native(native.dt.to_timestamp(), series_only=True)
        dtype = column.dtype
    if isinstance(kind, pd.DatetimeTZDtype):  # narwhals does not recognise zones with an underscore
        stamps = native.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]", copy=False)
        return Times(stamps, _null(np.isnat(stamps)), str(kind.tz), kind.unit)
    if isinstance(dtype, nw.Datetime):
        if dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        stamps = column.to_numpy().astype("datetime64[us]", copy=False)
        return Times(stamps, _null(np.isnat(stamps)), dtype.time_zone, dtype.time_unit)
    if dtype == nw.Date:
        stamps = column.cast(nw.Datetime("us")).to_numpy().astype("datetime64[us]", copy=False)
        return Times(stamps, _null(np.isnat(stamps)), None, "date")
    if dtype.is_numeric():
        return _integers(column)
    return _spelled(column)


def _null(mask: Bool) -> Bool | None:
    return mask if mask.any() else None


def _integers(column: nw.Series[Any]) -> Times:
    if column.dtype.is_integer() and not column.is_null().any():
        return Times(column.to_numpy().astype(np.int64), unit="int")
    floats = column.cast(nw.Float64).to_numpy().astype(np.float64)
    missing = np.isnan(floats)
    odd = ~missing & ((floats != np.floor(floats)) | (np.abs(floats) > 2**53))
    values = np.where(missing | odd, 0, floats).astype(np.int64)
    return Times(values, _null(missing), None, "int", np.flatnonzero(odd), floats[odd])


def _spelled(column: nw.Series[Any]) -> Times:
    """Text, dates, datetimes and Timestamps in one object column, read through their distinct values."""
    codes, uniques = encode(column)
    integers = [isinstance(u, (int, np.integer)) and not isinstance(u, (bool, np.bool_)) for u in uniques]
    if len(uniques) and all(integers):
        table = np.append(uniques.astype(np.int64), 0)
        return Times(table[codes], _null(codes < 0), unit="int")
    stamps = np.full(len(uniques) + 1, np.datetime64("NaT"), dtype="datetime64[us]")
    zones: set[str | None] = set()
    bad = []
    for place, value in enumerate(uniques):
        try:
            stamps[place], zone = _stamp(value)
            zones.add(zone)
        except (ValueError, TypeError, OverflowError):
            bad.append(place)
    if None in zones and len(zones) > 1:  # a mixture cannot be put on one axis: all aware cells are wrong
        bad += [place for place, value in enumerate(uniques) if place not in bad and _stamp(value)[1]]
    rows = np.flatnonzero(np.isin(codes, bad)) if bad else _NO_ROWS
    tz = None if None in zones or not zones else zones.pop() if len(zones) == 1 else "UTC"
    values = stamps[codes]
    return Times(values, _null(codes < 0), tz, "us", rows, uniques[codes[rows]])


def _stamp(value: Any) -> tuple[np.datetime64, str | None]:
    """One cell as (UTC or naive microseconds, time zone)."""
    if isinstance(value, str):
        text = value.strip()
        if _PARTIAL.match(text):
            return np.datetime64(text, "us"), None
        value = datetime.fromisoformat(text)
    elif isinstance(value, np.datetime64):
        return value.astype("datetime64[us]"), None
    if isinstance(value, datetime):
        zone = getattr(value.tzinfo, "key", None) or (None if value.tzinfo is None else str(value.tzinfo))
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return np.datetime64(value, "us"), zone
    if isinstance(value, date):
        return np.datetime64(value, "us"), None
    raise TypeError(f"{value!r} is no date")


def numbers(column: nw.Series[Any]) -> Numbers:
    """The target as floats; Decimal and categories of numbers are numbers, text and booleans are not."""
    dtype = column.dtype
    if dtype == nw.Boolean:
        return Numbers(np.zeros(len(column)), np.arange(len(column)), column.to_numpy().astype(object))
    if dtype.is_numeric() or dtype.is_decimal():
        if dtype.is_decimal() or (not dtype.is_float() and column.is_null().any()):
            column = column.cast(nw.Float64)
        return Numbers(column.to_numpy().astype(np.float64, copy=False))
    try:
        codes, uniques = encode(column)
    except TypeError:  # unhashable cells: lists, structs
        return Numbers(np.zeros(len(column)), np.arange(len(column)), _objects(column.to_list()))
    table = np.full(len(uniques) + 1, np.nan)
    bad = []
    for place, value in enumerate(uniques):
        if isinstance(value, (int, float, Decimal, np.integer, np.floating)) and not isinstance(value, bool):
            table[place] = float(value)
        else:
            bad.append(place)
    rows = np.flatnonzero(np.isin(codes, bad)) if bad else _NO_ROWS
    return Numbers(table[codes], rows, uniques[codes[rows]])


def matched(wanted: NDArray[Any], among: NDArray[Any]) -> Int:
    """Position of each wanted id (w,) among distinct ones (n,), -1 where it is not there; 1 and "1" differ."""
    places: Int = pd.Index(among.astype(object)).get_indexer(pd.Index(wanted.astype(object)))
    return places


def features(column: nw.Series[Any]) -> tuple[Float, tuple[str, ...] | None] | None:
    """A numeric, boolean or text column as floats (N,) with its sorted labels if text; None for any other kind."""
    dtype = column.dtype
    if dtype == nw.Boolean:
        return column.cast(nw.Float64).to_numpy().astype(np.float64), None
    if dtype.is_numeric() or dtype.is_decimal():
        found = numbers(column)
        return None if len(found.wrong) else (found.values, None)
    if isinstance(dtype, (nw.Datetime, nw.Duration, nw.List, nw.Struct, nw.Array)) or dtype == nw.Date:
        return None
    try:
        codes, uniques = encode(column)
    except TypeError:  # unhashable cells
        return None
    if all(isinstance(u, str) for u in uniques):
        order = np.argsort(uniques)
        rank = np.full(len(order) + 1, np.nan)
        rank[order] = np.arange(len(order))
        return rank[codes], tuple(str(u) for u in uniques[order])
    if all(isinstance(u, (int, float, Decimal, np.number, np.bool_)) for u in uniques):
        return np.append(uniques.astype(np.float64), np.nan)[codes], None
    return None


def zone_in(tz: str, kind: str) -> str:
    """A fixed offset such as "UTC+09:00" as the table library of `kind` spells it; named zones are the same in all."""
    offset = tz.removeprefix("UTC")
    if kind == "pandas" or offset[:1] not in ("+", "-"):
        return tz
    if kind == "pyarrow":
        return offset
    # polars knows named zones alone; those of whole hours carry the sign of POSIX, west positive
    return f"Etc/GMT{'-' if offset[0] == '+' else '+'}{int(offset[1:3])}" if offset[3:] == ":00" else "UTC"


def local_days(stamps: NDArray[Any], tz: str) -> NDArray[Any] | None:
    """UTC stamps (N,) as wall time if all lie at one time of day there, else None.

    A clock change at midnight moves that day's stamp; it still counts, and gets the wall time it stands for.
    """
    wall = to_wall(stamps, tz)
    days = wall.astype("datetime64[D]").astype("datetime64[us]")
    times_of_day, counts = np.unique(wall - days, return_counts=True)
    if len(times_of_day) <= 1:
        return wall
    meant = days + times_of_day[np.argmax(counts)]
    return meant if np.array_equal(to_utc(meant, tz), stamps) else None


def to_wall(stamps: NDArray[Any], tz: str) -> NDArray[Any]:
    """UTC stamps (N,) as the wall time of a zone."""
    index = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(tz).tz_localize(None)
    return index.to_numpy().astype("datetime64[us]")


def to_utc(wall: NDArray[Any], tz: str) -> NDArray[Any]:
    """Wall time (N,) in UTC; an hour that a clock change skips is moved forward, a doubled one is the first."""
    index = pd.DatetimeIndex(wall)
    first = np.ones(len(index), dtype=bool)
    moved = index.tz_localize(tz, ambiguous=first, nonexistent="shift_forward")
    return moved.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
