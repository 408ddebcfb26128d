"""Holidays of any country and closings of an exchange as one plain table, with the user's corrections."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.overrides import Overrides, plain_overrides, rows_for
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Bool, Int

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Holidays",
    "around",
    "corrections",
    "coverage",
    "holiday_table",
    "is_holiday_word",
    "look_up",
    "meant",
    "near_calendars",
    "weekend",
]

# What the exchange's own rules close, known long before. Storms, mourning, blackouts and the Wednesdays of
# 1968 were not known when a forecast would have been made, so they are left out.
_NYSE_SCHEDULED = frozenset(
    {
        "Armistice Day",
        "Christmas Day",
        "Columbus Day",
        "Election Day",
        "Good Friday",
        "Independence Day",
        "Juneteenth National Independence Day",
        "Labor Day",
        "Lincoln's Birthday",
        "Martin Luther King Jr. Day",
        "Memorial Day",
        "New Year's Day",
        "Thanksgiving Day",
        "Washington's Birthday",
    }
)


class Holidays(NamedTuple):
    """Holidays of one calendar, one row a date, sorted: day (m,) since 1970-01-01; name, family, source (m,) as text.

    Families are empty where the calendar has none; a source is "holidays 0.108" or "override".
    """

    day: Int
    name: NDArray[Any]
    family: NDArray[Any]
    source: NDArray[Any]

    def take(self, rows: Bool | Int) -> Holidays:
        """The chosen rows."""
        return Holidays(*(values[rows] for values in self))

    @classmethod
    def of(cls, rows: Iterable[tuple[int, str, str, str]]) -> Holidays:
        """Rows (day, name, family, source) in the order of their days."""
        columns = [np.array(values, dtype=object) for values in zip(*sorted(rows), strict=True)]
        day, name, family, source = columns or [np.empty(0, dtype=object)] * 4
        return cls(day.astype(np.int64), name, family, source)


def is_holiday_word(word: str) -> bool:
    """Whether `word` names an exchange or a country ("KR", "US", "US-CA") that `holiday_table` knows."""
    import holidays

    country, _, region = word.partition("-")
    regions = holidays.list_supported_countries().get(country)
    # Two letters only: KOR would be a second name of KR without its families.
    return word == "NYSE" or (len(country) == 2 and regions is not None and (not region or region in regions))


def weekend(word: str) -> frozenset[int]:
    """Days of the week that are off anyway, Monday = 0."""
    import holidays

    if word == "NYSE":
        return frozenset({5, 6})
    return frozenset(holidays.country_holidays(word.partition("-")[0]).weekend)


def coverage(word: str) -> tuple[int, int]:
    """First and last year that the package knows of a calendar."""
    source = _source(word, ())
    return source.start_year, source.end_year


def look_up(word: str, first_year: int, last_year: int, overrides: Overrides | None = None) -> Holidays:
    """Holidays of those years by the installed package, corrected by `overrides` as `plain_overrides` gives them.

    Names of a day with several are joined by "; ". For KR the bank holiday of 1 May is in, and names are Korean.
    ConfigError: a word or years that the package does not cover.
    """
    found = _from_package(word, first_year, last_year)
    epoch, origin = 719_163, f"holidays {version('holidays')}"  # date.toordinal() of 1970-01-01
    rows = {day.toordinal() - epoch: (name, "", origin) for day, name in found.items()}
    for date, name, family in rows_for(overrides, word) if overrides else ():
        day = np.datetime64(date, "D")
        if not first_year <= int(date[:4]) <= last_year:
            continue
        if name:
            rows[int(day.astype(np.int64))] = (name, family, "override")
        else:
            rows.pop(int(day.astype(np.int64)), None)
    return Holidays.of((day, *row) for day, row in rows.items())


def around(word: str, first_year: int, last_year: int, overrides: Overrides | None = None) -> Holidays:
    """Holidays of those years and of the one before and after where there is any, so that no run of days off is cut."""
    earliest, latest = coverage(word)
    _check_years(word, first_year, last_year, (earliest, latest))
    return look_up(word, max(first_year - 1, earliest), min(last_year + 1, latest), overrides)


def holiday_table(word: str, first_year: int, last_year: int, overrides: Any = None) -> pd.DataFrame:
    """One row a date, sorted: date, name, off_weekday, source ("holidays 0.108" or "override").

    `overrides` is a table (or a dict of columns) with `date` and `name`, perhaps `calendar` (the word that a row is
    for; without it a row is for every calendar). It comes first: a row renames that date's holiday, adds it, or takes
    it away where `name` is empty. ConfigError: a word or years that the package does not cover, overrides that cannot
    be read.
    """
    import pandas as pd

    found = look_up(word, first_year, last_year, None if overrides is None else plain_overrides(overrides))
    resting = np.isin((found.day + 3) % 7, list(weekend(word)))
    date = pd.Series(found.day.astype("datetime64[D]").astype("datetime64[us]"))
    columns = {"name": found.name.astype(str), "off_weekday": ~resting, "source": found.source.astype(str)}
    return pd.DataFrame({"date": date} | columns)


def _source(word: str, years: Iterable[int]) -> Any:
    import holidays

    if not is_holiday_word(word):
        raise ConfigError(_unknown(word))
    country, _, region = word.partition("-")
    if word == "NYSE":
        return holidays.financial_holidays("NYSE", years=years)
    if word == "KR":
        # One language and both categories, so that names do not move and 1 May is off before 2026 too.
        return holidays.country_holidays("KR", years=years, categories=("public", "bank"), language="ko")
    return holidays.country_holidays(country, subdiv=region or None, years=years)


def corrections(table: Any) -> Overrides:
    """Overrides in plain form, as `plain_overrides` gives them; ConfigError for a row of a calendar there is not."""
    plain = plain_overrides(table)
    unknown = sorted({word for word in plain.get("calendar", []) if word and not is_holiday_word(word)})
    if unknown:
        near = near_calendars(unknown[0])
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"calendar overrides have rows for {listed(unknown)}, which is no calendar{hint}")
    return plain


def near_calendars(word: str) -> list[str]:
    """The calendars that an unknown word may mean, best first: by code, by name, by region."""
    import holidays
    from holidays.registry import COUNTRIES

    country, _, region = word.upper().partition("-")
    regions = holidays.list_supported_countries().get(country) if len(country) == 2 else None
    if region and regions is not None:
        return [f"{country}-{match}" for match in get_close_matches(region, regions, 3)]
    named = {"nyse": "NYSE"}
    for names in COUNTRIES.values():
        code = next((name for name in names if len(name) == 2), None)
        named |= {name.lower(): code for name in names if code}
    given = word.lower().replace("_", "").replace(" ", "")
    if given in named:
        return [named[given]]
    return list(dict.fromkeys(named[match] for match in get_close_matches(given, named, 3)))


def meant(words: Iterable[str]) -> str:
    """Words that an unknown one may mean, as the end of a message; empty where there are none."""
    said = " or ".join(words)
    return f" (did you mean {said}?)" if said else ""


def _unknown(word: str) -> str:
    hint = meant(near_calendars(word))
    return f"no holiday calendar {word!r}{hint}; there are NYSE and country codes such as KR, US, US-CA"


def _from_package(word: str, first_year: int, last_year: int) -> dict[Any, str]:
    source = _source(word, range(first_year, last_year + 1))
    _check_years(word, first_year, last_year, (source.start_year, source.end_year))
    if word != "NYSE":
        return dict(source.items())
    return {day: name for day, name in source.items() if _is_scheduled(name.split("; "))}


def _check_years(word: str, first_year: int, last_year: int, covered: tuple[int, int]) -> None:
    if last_year < first_year:
        raise ConfigError(f"the years of a calendar run forward, but {first_year} to {last_year} is asked for")
    if first_year < covered[0] or last_year > covered[1]:
        raise ConfigError(
            f"the {word} calendar covers {covered[0]} to {covered[1]}, "
            f"but {first_year} to {last_year} is asked for; leave {word!r} out of `calendar`"
        )


def _is_scheduled(names: Iterable[str]) -> bool:
    return any(name.removesuffix(" (observed)") in _NYSE_SCHEDULED for name in names)
