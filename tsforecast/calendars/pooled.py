"""The Korean calendar as columns that learn from one another, so that a new law's holiday has an effect at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from tsforecast.calendars.countries import Holidays, around, corrections, coverage, weekend
from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.days_off import DaysOff, days_off
from tsforecast.calendars.korea import FAMILIES, FEASTS, feast_days, in_families
from tsforecast.errors import ConfigError, whole
from tsforecast.panel import Bool, Float, Int

__all__ = ["KoreanHolidays"]

_MANY_NAMES = ("national", "election", "temporary", "substitute")
"""Families of different days; the names of the others are one day under an older and a newer name."""
_FEAST = (-1, 0, 1)
"""Days from the lunar day that the law makes holidays."""
_LONG = 6
"""Days off in a row from which a longer run says no more."""
_SATURDAY, _SUNDAY = 5, 6
_YEAR_END = ("christmas", "new_year")
"""Two families a week apart, whose effects rise and fall together."""
_FADING = np.arange(8, 0, -1) / np.sqrt(204)
"""What is left of a year's step in that year and the ones behind it; squares add up to 1."""
_LONGEST = 40
"""Days of a window on one side, and more than any run of days off has."""


class _Column(NamedTuple):
    """One column: its days (m,) and values (m,), or one value for all of them."""

    name: str
    component: str
    scale: float
    day: Int
    value: Float | float = 1.0


@dataclass(frozen=True, slots=True)
class KoreanHolidays:
    """Korean holidays with partial pooling: normal priors in levels, which stay a diagonal ridge on columns.

    prior_scale: prior sd of what all holidays and each family have in common; pool_scale: of what is a place's in a run
    of days off, a substitute's or a year's, and half of it of what is a name's. Both are on the model's scale of y
    (mode "additive") or shares of the trend ("multiplicative", the better one where a series grows much; None takes the
    model's). window: days from the lunar day of Seollal and Chuseok that have an effect of their own, each shrunk
    toward its neighbours. overrides: a table of corrections as in `calendar=`. A holiday's effect is the sum of

    - `off_weekday` or `off_saturday`: a holiday on that kind of day (a Sunday's is none);
    - its family, and in families of several days its name; a substitute is of one family whatever it stands for, and
      that is narrow: only its place makes it special;
    - levels that wander from year to year, since effects grow and fade: one of all holidays on weekdays, with half of
      `pool_scale`, and `year_end`, of Christmas and New Year. What a year adds loses an eighth of its size in each
      later one, so the last years say most about the next;
    - around a feast, by offset: a bridge from 0 before the window to 0 behind it, with steps of sd `pool_scale`, a
      free common effect of the three statutory days, and a year's own level, which forecasts nothing;
    - the place in a run of days off: first, middle, last, its length, weekdays and weekends in a feast's run; bridge
      days, and the working day before and after a run.
    """

    prior_scale: float = 10.0
    pool_scale: float = 0.05
    window: tuple[int, int] = (-14, 7)
    overrides: Any = None
    mode: Literal["additive", "multiplicative"] | None = None

    def __post_init__(self) -> None:
        for name in ("prior_scale", "pool_scale"):
            if not (isinstance(value := getattr(self, name), int | float) and 0 < value < np.inf):
                raise ConfigError(f"KoreanHolidays: {name} must be a number above 0, got {value!r}")
        object.__setattr__(self, "window", _checked(self.window))
        if self.mode not in (None, "additive", "multiplicative"):
            raise ConfigError(f"KoreanHolidays: mode must be additive, multiplicative or None, got {self.mode!r}")
        if self.overrides is not None:
            object.__setattr__(self, "overrides", corrections(self.overrides))

    def columns(self, first_day: int, last_day: int) -> DayColumns:
        """Table of the days `first_day` to `last_day` (days since 1970-01-01), cut to the years that are known."""
        earliest, latest = coverage("KR")
        known = np.array([f"{earliest}-01-01", f"{latest}-12-31"], "datetime64[D]").astype(np.int64)
        first, last = max(first_day, int(known[0])), min(last_day, int(known[1]))
        if first > last:
            raise ConfigError(f"the KR calendar covers {earliest} to {latest}; leave KoreanHolidays() out elsewhere")
        years = np.array([first, last]).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
        found = in_families(around("KR", int(years[0]), int(years[1]), self.overrides))
        # Wider than asked: a feast before the first day can lie in the run of days off that this one is in.
        facts = days_off(first - _LONGEST, last + _LONGEST, found.day, weekend("KR"))
        made = [
            *self._holidays(found, facts),
            *self._wandering(found, facts),
            *self._feasts(found),
            *self._runs(found, facts),
        ]
        return _table(made, first, last, self.mode)

    def effects(self, columns: DayColumns) -> tuple[tuple[str, ...], Float]:
        """Names (r,) and weights (r, K) of the effects that are sums of columns: those of the windows' days.

        `KR:seollal-14` ... `KR:chuseok+7` say by how much a day that far from the lunar day differs from one far
        away, besides what it owes to its place in a run of days off. Families are columns of their own.
        """
        place = {name: i for i, name in enumerate(columns.names)}
        offsets, steps = self._offsets, self._steps
        names, rows = [], []
        for feast in FEASTS:
            for offset, weights in zip(offsets, steps, strict=True):
                row = np.zeros(len(columns.names))
                parts = {f"KR:{feast}:from{start:+d}": weight for start, weight in zip(offsets, weights, strict=True)}
                if offset in _FEAST:
                    parts[f"KR:{feast}"] = 1.0
                for name, weight in parts.items():
                    if name in place:
                        row[place[name]] = weight
                names.append(f"KR:{feast}{offset:+d}")
                rows.append(row)
        return tuple(names), np.array(rows)

    @property
    def _offsets(self) -> range:
        return range(self.window[0], self.window[1] + 1)

    @property
    def _steps(self) -> Float:
        """Effects of the offsets (w, w) by columns with prior sd 1: a root of the bridge's covariance."""
        w = len(self._offsets)
        i = np.arange(1, w + 1)
        bridge = np.minimum(i[:, None], i) - np.outer(i, i) / (w + 1)
        return np.asarray(self.pool_scale * np.linalg.cholesky(bridge), dtype=np.float64)

    def _holidays(self, found: Holidays, facts: DaysOff) -> Iterator[_Column]:
        """What holidays have in common, their families and names."""
        yield _Column("off_weekday", "off_weekday", self.prior_scale, facts.day[facts.off_weekday])
        saturdays = facts.holiday & (_weekday(facts.day) == _SATURDAY)
        yield _Column("off_saturday", "off_saturday", self.prior_scale, facts.day[saturdays])
        for family in FAMILIES:
            if family in FEASTS:
                continue
            mine = found.take(found.family == family)
            # A substitute is rare, and but for its place a holiday like others.
            scale = self.pool_scale if family == "substitute" else self.prior_scale
            yield _Column(family, family, scale, mine.day)
            if family in _MANY_NAMES:
                yield from self._names(family, mine)

    def _names(self, family: str, mine: Holidays) -> Iterator[_Column]:
        # A day of two names is one holiday: each name has its share of it.
        parts = [name.split("; ") for name in mine.name]
        for name in sorted({name for names in parts for name in names}):
            share = np.array([(name in names) / len(names) for names in parts])
            yield _Column(f"{family}={name}", family, 0.5 * self.pool_scale, mine.day[share > 0], share[share > 0])

    def _wandering(self, found: Holidays, facts: DaysOff) -> Iterator[_Column]:
        """Steps of the levels that wander from year to year, a column for the year that each began in."""
        levels = {
            "off_weekday": (0.5 * self.pool_scale, facts.day[facts.off_weekday]),
            "year_end": (self.pool_scale, found.day[np.isin(found.family.astype(str), _YEAR_END)]),
        }
        for name, (scale, day) in levels.items():
            year = day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
            for start in np.unique(np.subtract.outer(year, np.arange(len(_FADING)))):
                age = year - start
                touched = (age >= 0) & (age < len(_FADING))
                yield _Column(f"{name}:from{start}", name, scale, day[touched], _FADING[age[touched]])

    def _feasts(self, found: Holidays) -> Iterator[_Column]:
        """Days around Seollal and Chuseok by offset, and each year's own level of all of them."""
        offsets, steps = np.array(self._offsets), self._steps
        for feast in FEASTS:
            lunar = feast_days(found, feast)
            yield _Column(feast, feast, self.prior_scale, np.add.outer(lunar, _FEAST).ravel())
            days = np.add.outer(lunar, offsets)
            for j, start in enumerate(offsets):
                value = np.tile(steps[j:, j], len(lunar))
                yield _Column(f"{feast}:from{start:+d}", feast, 1.0, days[:, j:].ravel(), value)
            for day, around_it in zip(lunar, days, strict=True):
                year = day.astype("datetime64[D]").astype("datetime64[Y]")
                yield _Column(f"{feast}@{year}", feast, self.pool_scale, around_it)

    def _runs(self, found: Holidays, facts: DaysOff) -> Iterator[_Column]:
        """Places in and beside runs of days off that hold a holiday on a weekday."""
        first, final = facts.position == 1, facts.position == facts.length
        long = facts.special & (facts.length >= 3)
        feast = facts.off & np.isin(facts.start, facts.start[np.isin(facts.day, _feast_holidays(found))])
        weekday = _weekday(facts.day)
        chosen: dict[tuple[str, str], Bool] = {
            ("run_first", "run"): long & first,
            ("run_middle", "run"): long & ~first & ~final,
            ("run_last", "run"): long & final,
            ("feast_weekday", "feast_run"): feast & (weekday < _SATURDAY),
            ("feast_saturday", "feast_run"): feast & (weekday == _SATURDAY),
            ("feast_sunday", "feast_run"): feast & (weekday == _SUNDAY),
            ("bridge", "bridge"): facts.bridge,
            ("before_run", "before_run"): facts.before & ~facts.bridge,
            ("after_run", "after_run"): facts.after & ~facts.bridge,
        }
        for (name, component), days in chosen.items():
            yield _Column(name, component, self.pool_scale, facts.day[days])
        share = (np.minimum(facts.length[facts.special], _LONG) - 1) / (_LONG - 1)
        yield _Column("run_length", "run", self.pool_scale, facts.day[facts.special], share)


def _checked(window: Any) -> tuple[int, int]:
    try:
        before, after = window
    except (TypeError, ValueError) as cause:
        raise ConfigError(f"KoreanHolidays: window must be two whole numbers, as (-14, 7), got {window!r}") from cause
    first = -whole("KoreanHolidays: minus the first day of window", -before, 1)
    last = whole("KoreanHolidays: the last day of window", after, 1)
    if max(-first, last) > _LONGEST:
        raise ConfigError(f"KoreanHolidays: window must lie within {_LONGEST} days of the lunar day, got {window!r}")
    return first, last


def _weekday(day: Int) -> Int:
    """Days of the week, Monday = 0."""
    return (day + 3) % 7


def _feast_holidays(found: Holidays) -> Int:
    return found.day[np.isin(found.family.astype(str), list(FEASTS))]


def _table(made: list[_Column], first: int, last: int, mode: str | None) -> DayColumns:
    """The columns that have a day from `first` to `last`, as a table of those days."""
    made = [one for one in made if np.any((one.day >= first) & (one.day <= last))]
    none = np.empty(0, dtype=np.int64)
    day = np.concatenate([none, *(one.day for one in made)])
    column = np.concatenate([none, *(np.full(len(one.day), i) for i, one in enumerate(made))])
    value = np.concatenate([np.empty(0), *(np.broadcast_to(one.value, one.day.shape) for one in made)])
    inside = (day >= first) & (day <= last)
    return DayColumns(
        day=day[inside],
        column=column[inside],
        value=value[inside],
        names=tuple(f"KR:{one.name}" for one in made),
        scale=np.array([one.scale for one in made]),
        component=tuple(one.component for one in made),
        mode=(mode,) * len(made),
        first=first,
        last=last,
    )
