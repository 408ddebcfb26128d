"""Calendar words -> columns of numbers, for any time grid.

| word | columns | for rows |
| --- | --- | --- |
| `weekday` | `weekday=mon` ... one a day of the week that the frequency has | of a day and finer |
| `month` | `month=1` ... `month=12`; a quarterly frequency has four | finer than a year |
| `hour` | `hour=0` ... `hour=23` | finer than a day |
| `yearly:K`, `weekly:K`, `daily:K` | `yearly:1:sin`, `yearly:1:cos` ... | more than 2 K a cycle |
| `KR` | `KR:seollal` ... one a family, `KR:off_weekday` | of a day and finer |
| `US`, `US-CA` ... | `US:holiday`, `US:off_weekday` | of a day and finer |
| `NYSE` | `NYSE:before_closing`, `NYSE:after_closing`, `NYSE:closed` | of a day and finer |
| any of these | `KR:off_days`, `KR:working_days`: how many the period has | of a week and longer |

Which columns there are depends on the words and the frequency, never on the dates: a forecast of three days
has the columns of the ten years before it. Business days lack what says nothing there: `weekday=sat`,
`off_weekday` (every holiday is one) and `closed` (such rows do not exist).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.countries import holiday_table, is_holiday_word, weekend
from tsforecast.calendars.korea import FAMILIES, korean_holidays
from tsforecast.calendars.rhythm import CYCLES, Rhythm
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Bool, Float, Int

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["features"]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORDS = ("weekday", "month", "hour", "yearly:3", "weekly:2", "daily:4", "NYSE")
_MICROSECONDS = 86_400_000_000  # in a day


class _Times(NamedTuple):
    """One time grid as the builders of columns need it."""

    local: NDArray[np.datetime64]
    rhythm: Rhythm
    overrides: Any

    @property
    def day(self) -> Int:
        """Days since 1970-01-01 (P,)."""
        return self.local.astype("datetime64[D]").astype(np.int64)


_Columns = tuple[Float, list[str]]


def features(
    times: NDArray[Any],
    words: str | Sequence[str],
    *,
    freq: Any = "D",
    tz: Any = None,
    overrides: Any = None,
) -> tuple[Float, tuple[str, ...]]:
    """Columns (P, k) of the calendar words at `times` (P,) datetime64, and the names of the columns (k,).

    `freq` is the grid's frequency as in `Panel.freq`; "B" is right for trading days too. `tz` is the zone
    whose wall clock decides hours and days of a grid finer than a day, which holds UTC. `overrides`: see
    `holiday_table`. Weeks and longer: the period is the one that pandas gives the stamp (a `W-SUN` week
    ends with it, `MS` begins with it), but a `W-MON` week begins on its Monday, as databases have it.
    ConfigError: a word that is unknown, lacks its order, or cannot work at this frequency; a grid of
    integers.
    """
    chosen = (words,) if isinstance(words, str) else tuple(words)
    if not chosen:
        return np.empty((len(times), 0)), ()
    if not np.issubdtype(times.dtype, np.datetime64):
        raise ConfigError(f"calendar words ({listed(chosen)}) need dates, but the time column holds integer steps")
    rhythm = Rhythm.of(freq)
    grid = _Times(_local(times, tz, rhythm), rhythm, overrides)
    blocks, names = [], list[str]()
    for word in chosen:
        values, labels = _columns(word, grid)
        blocks.append(values)
        names += labels
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"calendar words {listed(chosen)} give columns twice: {listed(twice)}; keep one of the words")
    return np.concatenate(blocks, axis=1), tuple(names)


def _local(times: NDArray[Any], tz: Any, rhythm: Rhythm) -> NDArray[np.datetime64]:
    stamps: NDArray[np.datetime64] = times.astype("datetime64[us]")
    if tz is None or rhythm.kind != "fine":
        return stamps
    import pandas as pd

    wall = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(tz).tz_localize(None)
    return wall.to_numpy("datetime64[us]")


def _columns(word: str, grid: _Times) -> _Columns:
    cycle, _, order = word.partition(":")
    if cycle in CYCLES:
        return _harmonics(cycle, order, grid)
    if word in _SIMPLE:
        return _SIMPLE[word](grid)
    if is_holiday_word(word):
        return _off_days(word, grid) if grid.rhythm.kind == "long" else _holidays(word, grid)
    raise ConfigError(_unknown(word))


def _unknown(word: str) -> str:
    import holidays

    codes = [code for code in holidays.list_supported_countries() if len(code) == 2]
    near = get_close_matches(word.lower(), _WORDS, n=2)
    near = near or get_close_matches(word.upper(), ["NYSE", *codes], n=3)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    known = f"{', '.join(_WORDS)} and countries such as KR, US, US-CA"
    return f"unknown calendar word {word!r}{hint}; there are {known}"


def _refuse(word: str, why: str, grid: _Times) -> ConfigError:
    return ConfigError(f"calendar word {word!r} {why}, but the frequency is {grid.rhythm.label}")


def _indicators(values: Int, levels: Sequence[int], size: int) -> Float:
    """One column a level, for values in 0 .. size - 1; a lookup is faster than comparing (P, 1) with (k,)."""
    lookup = np.zeros((size, len(levels)))
    lookup[levels, np.arange(len(levels))] = 1.0
    return lookup[values]


def _weekday(grid: _Times) -> _Columns:
    if grid.rhythm.kind == "long":
        raise _refuse("weekday", "needs days or finer rows", grid)
    days = grid.rhythm.weekdays
    return _indicators((grid.day + 3) % 7, days, 7), [f"weekday={_WEEKDAYS[day]}" for day in days]


def _month(grid: _Times) -> _Columns:
    months = grid.rhythm.months
    if len(months) < 2:
        raise _refuse("month", "needs rows more often than once a year", grid)
    month = grid.local.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return _indicators(month, months, 13), [f"month={number}" for number in months]


def _hour(grid: _Times) -> _Columns:
    if grid.rhythm.kind != "fine":
        raise _refuse("hour", "needs rows finer than a day", grid)
    hour = grid.local.astype("datetime64[h]").astype(np.int64) % 24
    return _indicators(hour, range(24), 24), [f"hour={number}" for number in range(24)]


_SIMPLE = {"weekday": _weekday, "month": _month, "hour": _hour}


def _harmonics(cycle: str, order: str, grid: _Times) -> _Columns:
    word = f"{cycle}:{order}" if order else cycle
    if not (order.isascii() and order.isdigit() and int(order) > 0):
        raise ConfigError(f"calendar word {word!r} needs an order, a whole number from 1: {cycle}:3")
    rows = grid.rhythm.rows_in(cycle)
    most = int(np.ceil(rows / 2)) - 1
    if most < 1:
        raise _refuse(word, "needs more than two rows a cycle", grid)
    if int(order) > most:
        raise _refuse(word, f"has too many harmonics for {rows:g} rows a cycle; at most {cycle}:{most}", grid)
    # The phase is taken in whole microseconds, so that it is exact however far from 1970 the times are.
    period = int(CYCLES[cycle] * _MICROSECONDS)
    phase = (grid.local.astype(np.int64) % period) / period
    angle = 2 * np.pi * phase[:, None] * np.arange(1, int(order) + 1)
    values = np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(phase), 2 * int(order))
    return values, [f"{cycle}:{k}:{part}" for k in range(1, int(order) + 1) for part in ("sin", "cos")]


def _holidays(word: str, grid: _Times) -> _Columns:
    """Indicators of the local day, looked up among the days of the span: few, though a grid has many rows."""
    day = grid.day
    span = np.arange(day.min(), day.max() + 1) if len(day) else np.zeros(1, np.int64)
    values, names = _closings(span, grid) if word == "NYSE" else _families(word, span, grid)
    return values[day - span[0]], names


def _families(word: str, span: Int, grid: _Times) -> _Columns:
    table, family = _table(word, span, grid)
    if family is None:
        columns = {"holiday": _flags(span, table)}
    else:
        columns = {name: _flags(span, table[table["family"] == name]) for name in family}
    if weekend(word) & set(grid.rhythm.weekdays):
        columns["off_weekday"] = _flags(span, table[table["off_weekday"]])
    return np.column_stack(list(columns.values())).astype(float), [f"{word}:{name}" for name in columns]


def _closings(span: Int, grid: _Times) -> _Columns:
    # "Before" looks at the next Monday-to-Friday day: the Friday before a closed Monday is before a closing.
    wide = np.arange(span[0] - 4, span[-1] + 5)
    closed = _flags(wide, _table("NYSE", wide, grid)[0])
    dates = span.astype("datetime64[D]")
    after = np.busday_offset(dates, 1, roll="backward").astype(np.int64) - wide[0]
    before = np.busday_offset(dates, -1, roll="forward").astype(np.int64) - wide[0]
    columns = {"before_closing": closed[after], "after_closing": closed[before]}
    if weekend("NYSE") & set(grid.rhythm.weekdays):
        columns["closed"] = closed[span - wide[0]]
    return np.column_stack(list(columns.values())).astype(float), [f"NYSE:{name}" for name in columns]


def _off_days(word: str, grid: _Times) -> _Columns:
    first, stop = grid.rhythm.periods(grid.local)
    span = np.arange(first.min(), stop.max() + 1) if len(first) else np.zeros(1, np.int64)
    table, _ = _table(word, span, grid)
    resting = np.isin((span + 3) % 7, list(weekend(word)))
    off = _flags(span, table) & ~resting
    counts = []
    for flags in (off, ~off & ~resting):
        until = np.concatenate([[0], np.cumsum(flags)])
        counts.append((until[stop - span[0]] - until[first - span[0]]).astype(float))
    return np.column_stack(counts), [f"{word}:off_days", f"{word}:working_days"]


def _table(word: str, span: Int, grid: _Times) -> tuple[pd.DataFrame, Sequence[str] | None]:
    """The holidays in the years of `span`, and the family names where the calendar has them."""
    years = span[[0, -1]].astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    if word == "KR":
        return korean_holidays(int(years[0]), int(years[1]), grid.overrides), FAMILIES
    return holiday_table(word, int(years[0]), int(years[1]), grid.overrides), None


def _flags(span: Int, table: pd.DataFrame) -> Bool:
    return np.isin(span, table["date"].to_numpy("datetime64[D]").astype(np.int64))
