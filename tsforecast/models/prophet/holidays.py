"""Holidays as columns: tables and countries by name, as Prophet has them, and calendars that pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.named import HolidayRows, country_rows, table_rows
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Float, Int

__all__ = ["Lapse", "day_columns", "holiday_parts", "is_table", "lapses"]

_YEARS_AHEAD = 30  # that a fitted model knows the holidays of
_REGULAR = 1.25  # longest gap over shortest: a month has 28 to 31 days, a lunar year 354 to 384
_YEAR = (330, 400)  # days, where there is one gap alone


class Lapse(NamedTuple):
    """A holiday that recurred in the history and the day from which the table lacks it: days since 1970-01-01.

    `due` is the last occurrence and the longest gap between two; `regular` where all gaps are about as long.
    """

    name: str
    last: int
    due: int
    regular: bool


def holiday_parts(holidays: Any) -> Iterator[Any]:
    """What was given as `holidays`, one by one: country codes, tables, and values that have `columns(first, last)`."""
    if holidays is None:
        return
    if isinstance(holidays, list | tuple):
        for one in holidays:
            yield from holiday_parts(one)
        return
    if isinstance(holidays, type):
        raise ConfigError(f"holidays must be a value, not the class {holidays.__name__}; write {holidays.__name__}()")
    if not (isinstance(holidays, str) or is_table(holidays) or hasattr(holidays, "columns")):
        raise ConfigError(
            "holidays must be a country code such as 'KR', KoreanHolidays(), a table with the columns holiday and ds, "
            f"or a list of these; got {holidays!r}"
        )
    yield holidays


def is_table(part: Any) -> bool:
    """Whether a part is a table: a data frame has `columns` too, but nobody calls them."""
    return isinstance(part, Mapping) or (hasattr(part, "columns") and not callable(part.columns))


def day_columns(
    holidays: Any, *, first_day: int, last_day: int, prior_scale: float, mode: str, covers: int | None = None
) -> DayColumns:
    """Columns of all holidays that have a day in the history, `first_day` to `last_day` (days since 1970-01-01).

    As in Prophet, a country's and a table's holiday has a column a name and day of its window, and a name that the
    history does not hold has none. A value with `columns(first, last)`, such as KoreanHolidays, gives its own.
    `covers` is the last day that forecasts may reach; None: 30 years on, or where a country's calendar ends.
    ConfigError: what cannot be read, or two columns of one name.
    """
    until = covers if covers is not None else last_day + int(_YEARS_AHEAD * 365.25)
    tables, parts, ends = list[HolidayRows](), list[DayColumns](), [until]
    countries = dict[str, HolidayRows]()
    for one in holiday_parts(holidays):
        if isinstance(one, str):
            countries[one], year = country_rows(one, _year(first_day), _year(until))
            ends.append(int(np.datetime64(f"{year + 1}-01-01", "D").astype(np.int64)) - 1)
        elif is_table(one):
            tables.append(table_rows(one))
        else:
            parts.append(_occurring(one.columns(first_day, until), first_day, last_day))
    end = min([*ends, *(part.last for part in parts)])
    public = HolidayRows.joined(_told_apart(countries, end))
    rows = HolidayRows.joined([public, *tables])
    named = _occurring(_named(rows, (first_day, end), prior_scale), first_day, last_day)
    complete = {*public.name.tolist(), *rows.name[rows.ended].tolist()}
    steady = [i for i, name in enumerate(named.component) if name in complete]
    out = DayColumns.joined([_known_until(named, steady), *(_known_until(p, range(len(p.names))) for p in parts)])
    twice = sorted({name for name in out.names if out.names.count(name) > 1})
    if twice:
        raise ConfigError(f"holidays: two columns would be called {listed(twice)}; rename a holiday, or give it once")
    scale = np.where(np.isnan(out.scale), prior_scale, out.scale)
    modes = tuple(mode if own is None else own for own in out.mode)
    return DayColumns(out.day, out.column, out.value, out.names, scale, out.component, modes, first_day, end)


def _told_apart(countries: Mapping[str, HolidayRows], end: int) -> list[HolidayRows]:
    """The countries' holidays, each name that another country gives to other days up to `end` with its country behind.

    Memorial Day is in June in Korea and in May in the United States; New Year's Day is one.
    """
    days = {
        word: {name: frozenset(rows.day[(rows.name == name) & (rows.day <= end)].tolist()) for name in set(rows.name)}
        for word, rows in countries.items()
    }
    out = []
    for word, rows in countries.items():
        torn = {name for name, own in days[word].items() for other in days.values() if other.get(name, own) != own}
        names = np.array([f"{name} ({word})" if name in torn else name for name in rows.name], dtype=object)
        out.append(rows._replace(name=names))
    return out


def _occurring(columns: DayColumns, first_day: int, last_day: int) -> DayColumns:
    """The columns with a day in the history: of the others it tells nothing, and their effect would be zero."""
    inside = (columns.day >= first_day) & (columns.day <= last_day)
    return columns.take(np.unique(columns.column[inside]).tolist())


def _year(day: int) -> int:
    return int(np.datetime64(day, "D").astype("datetime64[Y]").astype(np.int64)) + 1970


def _named(rows: HolidayRows, span: tuple[int, int], prior_scale: float) -> DayColumns:
    """A column for each name and offset, by name, then offset; a day counts once however often it is given."""
    names, of = np.unique(rows.name.astype(str), return_inverse=True)
    scale = _scales(rows, names, of, prior_scale)
    width = rows.upper - rows.lower + 1
    source = np.repeat(np.arange(len(rows.day)), width)
    within = np.arange(len(source)) - np.repeat(np.cumsum(width) - width, width)
    offset = rows.lower[source] + within
    keys = np.unique(np.stack([of[source], offset, rows.day[source] + offset], axis=1), axis=0)
    pairs, column = np.unique(keys[:, :2], axis=0, return_inverse=True)
    return DayColumns(
        day=keys[:, 2],
        column=column.reshape(-1).astype(np.int64),
        value=np.ones(len(keys)),
        names=tuple(names[name] if step == 0 else f"{names[name]}{step:+d}" for name, step in pairs.tolist()),
        scale=scale[pairs[:, 0]],
        component=tuple(str(names[name]) for name, _ in pairs.tolist()),
        mode=(None,) * len(pairs),
        first=span[0],
        last=span[1],
    )


def _scales(rows: HolidayRows, names: NDArray[Any], of: Int, prior_scale: float) -> Float:
    """Prior sd of each name; ConfigError where its rows differ."""
    given = np.where(np.isnan(rows.scale), prior_scale, rows.scale)
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(low, of, given)
    np.maximum.at(high, of, given)
    torn = np.flatnonzero(low != high)
    if len(torn):
        raise ConfigError(
            f"holidays: {listed(repr(str(names[i])) for i in torn)} have rows with prior_scale {low[torn[0]]:g} and "
            f"{high[torn[0]]:g}; give all rows of a holiday the same"
        )
    return low


def _known_until(columns: DayColumns, which: Sequence[int]) -> DayColumns:
    """With an entry of 0 on the last day in each of `which`: all days until then are known."""
    more = np.asarray(which, dtype=np.int64)
    return DayColumns(
        day=np.concatenate([columns.day, np.full(len(more), columns.last)]),
        column=np.concatenate([columns.column, more]),
        value=np.concatenate([columns.value, np.zeros(len(more))]),
        names=columns.names,
        scale=columns.scale,
        component=columns.component,
        mode=columns.mode,
        first=columns.first,
        last=columns.last,
    )


def lapses(columns: DayColumns, last_day: int) -> tuple[Lapse, ...]:
    """Holidays of tables that recurred in a history up to `last_day`, and when each is due after the table's last date.

    A name that occurred once, as a lockdown, is none. The longest gap between two occurrences counts.
    """
    component = np.array(columns.component, dtype=object)[columns.column]
    found = []
    for name in dict.fromkeys(columns.component):
        days = np.unique(columns.day[component == name])
        begins = days[np.diff(days, prepend=days[0] - 2) > 1]  # of each run of days: a window is one occurrence
        gaps = np.diff(begins[begins <= last_day])
        if len(gaps):
            found.append(Lapse(str(name), int(days[-1]), int(begins[-1] + gaps.max()), _regular(gaps)))
    return tuple(found)


def _regular(gaps: Int) -> bool:
    if len(gaps) == 1:
        return bool(_YEAR[0] < gaps[0] < _YEAR[1])
    return bool(gaps.max() <= _REGULAR * gaps.min())
