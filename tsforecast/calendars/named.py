"""Holidays by name, one row an occurrence: a table that the user wrote, or the public holidays of a country."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.calendars.countries import is_holiday_word, meant, near_calendars
from tsforecast.errors import ConfigError, listed
from tsforecast.frames import columns as decode
from tsforecast.panel import Bool, Float, Int

__all__ = ["HolidayRows", "check_country", "country_rows", "read_stamps", "table_rows"]

_LANGUAGE = "en_US"  # one language whatever the machine's, and the one of Prophet's own country holidays
_OPTIONAL = ("lower_window", "upper_window", "prior_scale", "ended")  # columns of a table besides holiday and ds


class HolidayRows(NamedTuple):
    """Occurrences (r,): name, day since 1970-01-01, first and last day of the window around it, prior sd or NaN, and
    whether the name has no dates but those given.
    """

    name: NDArray[Any]
    day: Int
    lower: Int
    upper: Int
    scale: Float
    ended: Bool

    @classmethod
    def joined(cls, parts: list[HolidayRows]) -> HolidayRows:
        """The rows of several tables, one after the other."""
        none = np.empty(0, np.int64)
        empty = cls(np.empty(0, object), none, none, none, np.empty(0), np.empty(0, bool))
        return cls._make(np.concatenate(columns) for columns in zip(empty, *parts, strict=True))


def table_rows(table: Any) -> HolidayRows:
    """The rows of a table (or a mapping of columns) with holiday and ds, perhaps lower_window, upper_window,
    prior_scale and ended; ConfigError says which row cannot be read.

    An empty window is the day alone, an empty prior_scale the model's own; where `ended` is true, no dates come after
    those given.
    """
    frame = _frame(table)
    names = frame["holiday"].to_list()
    wrong = [row for row, name in enumerate(names) if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise ConfigError(f"holidays: {_rows(wrong)} of the table lack a name in the column 'holiday'")
    lower, upper = _windows(frame)
    scale = np.full(len(names), np.nan)
    if "prior_scale" in frame.columns:
        scale = _numbers(frame, "prior_scale")
        wrong = np.flatnonzero(~np.isnan(scale) & ~((scale > 0) & np.isfinite(scale))).tolist()
        if wrong:
            raise ConfigError(
                f"holidays: prior_scale must be a number above 0, got {scale[wrong[0]]:g} in {_rows(wrong)}"
            )
    stamps = read_stamps(frame["ds"], "holidays: column 'ds'")
    day = stamps.astype("datetime64[D]").astype(np.int64)
    labels = np.empty(len(names), object)
    labels[:] = names
    return HolidayRows(labels, day, lower, upper, scale, _ended(frame))


def _frame(table: Any) -> Any:
    """The table behind one interface, with its two columns there."""
    import pandas as pd

    if isinstance(table, Mapping):
        try:
            table = pd.DataFrame(dict(table))
        except (ValueError, TypeError) as cause:
            raise ConfigError(f"holidays: the columns do not make a table: {cause}") from cause
    frame = frames.opened(table)
    missing = [name for name in ("holiday", "ds") if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"holidays: a table has the columns holiday and ds; {listed(missing)} is not there "
            f"(columns: {listed(frame.columns, 20) or 'none'})"
        )
    for name in frame.columns:
        near = get_close_matches(name, _OPTIONAL, 1, cutoff=0.8)
        if name not in _OPTIONAL and near and near[0] not in frame.columns:
            raise ConfigError(f"holidays: the table has a column {name!r}; did you mean {near[0]!r}?")
    windows = [name for name in ("lower_window", "upper_window") if name in frame.columns]
    if len(windows) == 1:
        raise ConfigError(f"holidays: the table has {windows[0]} alone; give lower_window and upper_window, or neither")
    return frame


def _windows(frame: Any) -> tuple[Int, Int]:
    """First and last offset of each row's window; ConfigError for half a window, or one on the wrong side."""
    if "lower_window" not in frame.columns:
        none = np.zeros(len(frame), dtype=np.int64)
        return none, none
    lower, upper = (_numbers(frame, name) for name in ("lower_window", "upper_window"))
    half = np.flatnonzero(np.isnan(lower) != np.isnan(upper)).tolist()
    if half:
        raise ConfigError(f"holidays: {_rows(half)} have one end of a window; fill lower_window and upper_window")
    for name, offset, side in (("lower_window", lower, -1), ("upper_window", upper, 1)):
        wrong = np.flatnonzero(~np.isnan(offset) & ((offset * side < 0) | (offset != np.round(offset)))).tolist()
        if wrong:
            bound = "0 or below" if side < 0 else "0 or above"
            raise ConfigError(
                f"holidays: {name} must be a whole number of days, {bound}; got {offset[wrong[0]]:g} in {_rows(wrong)}"
            )
    return np.nan_to_num(lower).astype(np.int64), np.nan_to_num(upper).astype(np.int64)


def _ended(frame: Any) -> Bool:
    if "ended" not in frame.columns:
        return np.zeros(len(frame), dtype=bool)
    cells = frame["ended"].to_list()
    empty = [cell is None or cell != cell for cell in cells]
    wrong = [row for row, cell in enumerate(cells) if not (empty[row] or cell in (True, False))]
    if wrong:
        raise ConfigError(f"holidays: ended must be true or false, got {cells[wrong[0]]!r} in {_rows(wrong)}")
    return np.array([not none and bool(cell) for none, cell in zip(empty, cells, strict=True)], dtype=bool)


def _numbers(frame: Any, name: str) -> Float:
    if frame[name].is_null().all():
        return np.full(len(frame), np.nan)
    found = decode.numbers(frame[name])
    if len(found.wrong):
        raise ConfigError(
            f"holidays: {name} must hold numbers, got {found.cells[0]!r} in {_rows(found.wrong.tolist())} of the table"
        )
    return found.values


def read_stamps(values: Any, what: str) -> NDArray[np.datetime64]:
    """Dates (r,) of a column or a sequence, as local microseconds; ConfigError names `what` and the cell that is none.

    Text is read as ISO dates (2020-01-25), as in every table.
    """
    import pandas as pd

    column = values if hasattr(values, "to_native") else frames.opened(pd.DataFrame({"ds": list(values)}))["ds"]
    if not len(column):
        return np.empty(0, "datetime64[us]")
    found = decode.times(column)
    if found.unit == "int":
        raise ConfigError(f"{what} must hold dates such as '2020-01-25', got the number {found.values[0]}")
    if len(found.wrong):
        first = found.cells[0]
        raise ConfigError(
            f"{what} must hold dates such as '2020-01-25', got {first!r} in {_rows(found.wrong.tolist())}"
        )
    if found.null is not None:
        raise ConfigError(f"{what} lacks a date in {_rows(np.flatnonzero(found.null).tolist())}")
    return found.values if found.tz is None else decode.to_wall(found.values, str(found.tz))


def _rows(rows: list[int]) -> str:
    return f"row{'s' if len(rows) > 1 else ''} {listed(rows)}"


def check_country(word: str) -> None:
    """ConfigError unless `word` is a country ("KR") or one of its regions ("US-CA") that the holidays package has."""
    import holidays

    if word != "NYSE" and is_holiday_word(word):
        return
    hint = meant(near for near in near_calendars(word) if near != "NYSE")
    country, _, region = word.partition("-")
    supported = holidays.list_supported_countries()
    if region and is_holiday_word(country):
        raise ConfigError(
            f"holidays: {country} has no region {region!r}{hint}; there are {listed(supported[country], 60) or 'none'}"
        )
    known = f"{sum(len(code) == 2 for code in supported)} codes of two letters, such as KR or US"
    raise ConfigError(f"holidays: no country {word!r}{hint}; there are {known}, some with regions such as US-CA")


def country_rows(word: str, first_year: int, last_year: int) -> tuple[HolidayRows, int]:
    """Public holidays of a country by their English names, and the last year that is known.

    A day with two holidays has two rows. ConfigError: an unknown country, or one whose holidays are known for other
    years only.
    """
    import holidays

    check_country(word)
    country, _, region = word.partition("-")
    kind = getattr(holidays, country)
    if first_year < kind.start_year or first_year > kind.end_year:
        raise ConfigError(
            f"holidays: {word} is known for {kind.start_year} to {kind.end_year}, but the data begins in {first_year}; "
            "give its holidays as a table"
        )
    last = min(last_year, kind.end_year)
    with warnings.catch_warnings():
        # A calendar that knows fewer years of some holidays says so of years that nobody asked to forecast.
        warnings.simplefilter("ignore")
        found = kind(expand=False, language=_LANGUAGE, subdiv=region or None, years=range(first_year, last + 1))
    rows = [(name, day) for day in sorted(found) for name in found.get_list(day)]
    labels = np.array([name for name, _ in rows], dtype=object)
    days = np.array([day for _, day in rows], dtype="datetime64[D]").astype(np.int64)
    none = np.zeros(len(rows), dtype=np.int64)
    return HolidayRows(labels, days, none, none, np.full(len(rows), np.nan), none > 0), last
