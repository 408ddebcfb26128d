"""Holidays of any country and closings of an exchange as one plain table, with the user's corrections."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tsforecast.errors import ConfigError, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = ["holiday_table", "is_holiday_word", "weekend"]

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
_COLUMNS = ("date", "name", "off_weekday", "source")


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


def holiday_table(word: str, first_year: int, last_year: int, overrides: Any = None) -> pd.DataFrame:
    """One row a date, sorted: date, name, off_weekday, source ("holidays 0.108" or "override").

    `overrides` is a table (or a dict of columns) with `date` and `name`, perhaps `calendar` (the word that
    a row is for; without it a row is for every calendar); other columns are kept. It comes first: a row
    renames that date's holiday, adds it, or takes it away where `name` is empty. Names of a day with
    several are joined by "; ". For KR the bank holiday of 1 May is in, and names are Korean. ConfigError: a
    word or years that the package does not cover, overrides that cannot be read.
    """
    import pandas as pd

    found = _from_package(word, first_year, last_year)
    table = pd.DataFrame({"date": pd.to_datetime(list(found)), "name": list(found.values())})
    table["date"] = table["date"].astype("datetime64[us]")
    table["source"] = f"holidays {version('holidays')}"
    if overrides is not None:
        table = _overridden(table, _checked(overrides, word))
        table = table[table["date"].dt.year.between(first_year, last_year)]
    table = table.sort_values("date", ignore_index=True)
    table["off_weekday"] = ~table["date"].dt.day_of_week.isin(list(weekend(word)))
    extra = [name for name in table.columns if name not in _COLUMNS and name != "calendar"]
    return table[[*_COLUMNS, *extra]]


def _from_package(word: str, first_year: int, last_year: int) -> dict[Any, str]:
    import holidays

    if not is_holiday_word(word):
        raise ConfigError(f"no holiday calendar {word!r}; there are NYSE and country codes such as KR, US, US-CA")
    years = range(first_year, last_year + 1)
    country, _, region = word.partition("-")
    if word == "NYSE":
        source = holidays.financial_holidays("NYSE", years=years)
    elif word == "KR":
        # One language and both categories, so that names do not move and 1 May is off before 2026 too.
        source = holidays.country_holidays("KR", years=years, categories=("public", "bank"), language="ko")
    else:
        source = holidays.country_holidays(country, subdiv=region or None, years=years)
    if first_year < source.start_year or last_year > source.end_year:
        raise ConfigError(
            f"the {word} calendar covers {source.start_year} to {source.end_year}, "
            f"but {first_year} to {last_year} is asked for; leave {word!r} out of `calendar`"
        )
    if word != "NYSE":
        return dict(source.items())
    return {day: name for day, name in source.items() if _is_scheduled(name.split("; "))}


def _is_scheduled(names: Iterable[str]) -> bool:
    return any(name.removesuffix(" (observed)") in _NYSE_SCHEDULED for name in names)


def _checked(overrides: Any, word: str) -> pd.DataFrame:
    """The override rows for `word`, dates without a clock time."""
    import pandas as pd

    rows = pd.DataFrame(overrides)
    missing = [name for name in ("date", "name") if name not in rows.columns]
    if missing:
        raise ConfigError(f"calendar overrides need the columns date and name; {listed(missing)} is not there")
    if "calendar" in rows.columns:
        rows = rows[rows["calendar"].isna() | (rows["calendar"] == word)]
    try:
        dates = pd.to_datetime(rows["date"]).dt.normalize()
    except (ValueError, TypeError) as cause:
        raise ConfigError(f"calendar overrides hold a date that cannot be read: {cause}") from cause
    if dates.isna().any():
        raise ConfigError(f"calendar overrides lack a date in rows {listed(rows.index[dates.isna()])}")
    rows = rows.assign(date=dates.astype("datetime64[us]"), source="override")
    twice = rows.loc[rows["date"].duplicated(), "date"].dt.date
    if len(twice):
        raise ConfigError(f"calendar overrides hold dates twice: {listed(twice)}; keep one row a date")
    return rows


def _overridden(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    kept = table[~table["date"].isin(rows["date"])]
    added = rows[rows["name"].notna() & (rows["name"] != "")]
    return pd.concat([kept, added], ignore_index=True) if len(added) else kept
