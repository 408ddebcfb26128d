"""Calendar words -> columns of numbers, for any time grid.

| word | columns | for rows |
| --- | --- | --- |
| `weekday` | `weekday=mon` ... one a day of the week that the frequency has | of a day and finer |
| `weekday:KR` | the same, a holiday on a working day counted as the last day of the weekend | of a day and finer |
| `month` | `month=1` ... `month=12`; a quarterly frequency has four | finer than a year |
| `hour` | `hour=0` ... `hour=23` | finer than a day |
| `yearly:K`, `weekly:K`, `daily:K` | `yearly:1:sin`, `yearly:1:cos` ... | more than 2 K a cycle |
| `KR` | `KR:seollal` ... one a family, `KR:off_weekday`, and those below | of a day and finer |
| `US`, `US-CA` ... | `US:holiday`, `US:off_weekday` | of a day and finer |
| `NYSE` | `NYSE:before_closing`, `NYSE:after_closing`, `NYSE:closed` | of a day and finer |
| any of these | `KR:off_days`, `KR:working_days`: how many the period has | of a week and longer |
| `KR` | `KR:seollal_before`, `_days`, `_after`, `KR:chuseok_before` ... | of a week to a quarter |
| `KR:distances` | `KR:to_seollal`, `KR:since_seollal` ..., `KR:to_run`, `KR:since_run` | of a day and finer |

A *run* is an unbroken stretch of days off, weekends included, that holds a holiday off the weekend; a *feast* is
Seollal or Chuseok. Daily Korean columns: `bridge` (a working day between two days off), `before_run` (the last
working day before a run), `run_first` and `run_last` (holidays that open or close one), `feast_before` (7 to 2 days
before the lunar day), `feast_eve`, `feast_day`, `feast_after` (2 to 7 days after it), `day_after` and `week_after` (a
row, and seven days, after a holiday off the weekend: what its dip leaves in the lags of a regression). Both feasts
share their columns beside the families, since few years have few of them. In longer rows `seollal_before`,
`seollal_days` and `seollal_after` are the shares of the days -14 to -2, -1 to 1 and 2 to 7 that fall in the period.
Distances are in days, cut at 30 for feasts and at 14 for runs; any country has those of runs.

Which columns there are depends on the words and the frequency, never on the dates: a forecast of three days
has the columns of the ten years before it. Business days lack what says nothing there: `weekday=sat`,
`off_weekday` (every holiday is one) and `closed` (such rows do not exist).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.almanac import Almanac
from tsforecast.calendars.clock import wall_clock
from tsforecast.calendars.countries import corrections, is_holiday_word, meant, near_calendars, weekend
from tsforecast.calendars.harmonics import fourier
from tsforecast.calendars.holiday_columns import distances, holidays_in, is_off_weekday
from tsforecast.calendars.rhythm import CYCLES, Rhythm, Times
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Float, Int

__all__ = ["features"]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORDS = ("weekday", "month", "hour", "yearly:3", "weekly:2", "daily:4", "weekday:KR", "KR:distances", "NYSE")

_Columns = tuple[Float, list[str]]


def features(
    times: NDArray[Any],
    words: str | Sequence[str] | Almanac,
    *,
    freq: Any = "D",
    tz: Any = None,
    overrides: Any = None,
) -> tuple[Float, tuple[str, ...]]:
    """Columns (P, k) of the calendar words at `times` (P,) datetime64, and the names of the columns (k,).

    `freq` is the grid's frequency as in `Panel.freq`; "B" is right for trading days too. `tz` is the zone
    whose wall clock decides hours and days of a grid finer than a day, which holds UTC. `overrides`: see
    `holiday_table`; an `Almanac` brings its own, and its holidays. Weeks and longer: the period is the one that
    pandas gives the stamp (a `W-SUN` week ends with it, `MS` begins with it), but a `W-MON` week begins on its
    Monday, as databases have it. ConfigError: a word that is unknown, lacks its order, or cannot work at this
    frequency; a grid of integers.
    """
    almanac = words if isinstance(words, Almanac) else _almanac(words, overrides)
    chosen = almanac.words
    if not chosen:
        return np.empty((len(times), 0)), ()
    if not np.issubdtype(times.dtype, np.datetime64):
        raise ConfigError(f"calendar words ({listed(chosen)}) need dates, but the time column holds integer steps")
    rhythm = Rhythm.of(freq)
    grid = Times(wall_clock(times, tz, freq), rhythm)
    blocks, names = [], list[str]()
    for word in chosen:
        values, labels = _columns(word, grid, almanac)
        blocks.append(values)
        names += labels
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"calendar words {listed(chosen)} give columns twice: {listed(twice)}; keep one of the words")
    return _picked(np.concatenate(blocks, axis=1), names, almanac.columns)


def _picked(values: Float, names: list[str], wanted: Sequence[str] | None) -> tuple[Float, tuple[str, ...]]:
    """The columns that a fitted model has, whatever others the words have come to give since."""
    if wanted is None or list(wanted) == names:
        return values, tuple(names)
    lost = sorted(set(wanted) - set(names))
    if lost:
        raise ConfigError(f"the model was fitted on calendar columns that are no more: {listed(lost)}; fit it again")
    return values[:, [names.index(name) for name in wanted]], tuple(wanted)


def _almanac(words: str | Sequence[str], overrides: Any) -> Almanac:
    chosen = (words,) if isinstance(words, str) else tuple(words)
    return Almanac(chosen, None if overrides is None else corrections(overrides))


def _columns(word: str, grid: Times, almanac: Almanac) -> _Columns:
    head, _, tail = word.partition(":")
    if head in CYCLES:
        return _harmonics(head, tail, grid)
    if word in _SIMPLE:
        return _SIMPLE[word](grid)
    if head == "weekday" and is_holiday_word(tail):
        return _weekday(grid, tail, almanac)
    if is_holiday_word(word):
        return holidays_in(word, grid, almanac)
    if tail == "distances" and is_holiday_word(head):
        return distances(head, grid, almanac)
    raise ConfigError(_unknown(word))


def _unknown(word: str) -> str:
    hint = meant(get_close_matches(word.lower(), _WORDS, n=2) or near_calendars(word))
    known = f"{', '.join(_WORDS)} and countries such as KR, US, US-CA"
    return f"unknown calendar word {word!r}{hint}; there are {known}"


def _indicators(values: Int, levels: Sequence[int], size: int) -> Float:
    """One column a level, for values in 0 .. size - 1; a lookup is faster than comparing (P, 1) with (k,)."""
    lookup = np.zeros((size, len(levels)))
    lookup[levels, np.arange(len(levels))] = 1.0
    return lookup[values]


def _weekday(grid: Times, country: str = "", almanac: Almanac | None = None) -> _Columns:
    word = f"weekday:{country}" if country else "weekday"
    if grid.rhythm.kind == "long":
        raise grid.refuse(word, "needs days or finer rows")
    days, weekday = grid.rhythm.weekdays, (grid.day + 3) % 7
    if almanac is not None:
        rest = max(weekend(country))
        if rest not in days:
            raise grid.refuse(word, f"counts holidays as {_WEEKDAYS[rest]} and needs rows on it")
        weekday = np.where(is_off_weekday(country, grid, almanac), rest, weekday)
    return _indicators(weekday, days, 7), [f"weekday={_WEEKDAYS[day]}" for day in days]


def _month(grid: Times) -> _Columns:
    months = grid.rhythm.months
    if len(months) < 2:
        raise grid.refuse("month", "needs rows more often than once a year")
    month = grid.local.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return _indicators(month, months, 13), [f"month={number}" for number in months]


def _hour(grid: Times) -> _Columns:
    if grid.rhythm.kind != "fine":
        raise grid.refuse("hour", "needs rows finer than a day")
    hour = grid.local.astype("datetime64[h]").astype(np.int64) % 24
    return _indicators(hour, range(24), 24), [f"hour={number}" for number in range(24)]


_SIMPLE = {"weekday": _weekday, "month": _month, "hour": _hour}


def _harmonics(cycle: str, order: str, grid: Times) -> _Columns:
    word = f"{cycle}:{order}" if order else cycle
    if not (order.isascii() and order.isdigit() and int(order) > 0):
        raise ConfigError(f"calendar word {word!r} needs an order, a whole number from 1: {cycle}:3")
    rows = grid.rhythm.rows_in(cycle)
    most = int(np.ceil(rows / 2)) - 1
    if most < 1:
        raise grid.refuse(word, "needs more than two rows a cycle")
    if int(order) > most:
        raise grid.refuse(word, f"has too many harmonics for {rows:g} rows a cycle; at most {cycle}:{most}")
    values = fourier(grid.local, CYCLES[cycle], int(order))
    return values, [f"{cycle}:{k}:{part}" for k in range(1, int(order) + 1) for part in ("sin", "cos")]
