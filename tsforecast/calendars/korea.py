"""Korean holidays in families that survive renamings and new laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsforecast.calendars.countries import Holidays, around, corrections, weekend
from tsforecast.calendars.days_off import days_off
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Int

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FAMILIES", "FEASTS", "feast_days", "in_families", "korean_holidays"]

# Which words of a Korean holiday name belong to which family.
_WORDS = {
    "new_year": ("신정",),
    "seollal": ("설날", "민속의 날"),
    "chuseok": ("추석",),
    "national": ("삼일절", "제헌절", "광복절", "개천절", "한글날", "국제연합일", "식목일"),
    "memorial": ("현충일",),
    "children": ("어린이날",),
    "buddha": ("부처님오신날", "석가탄신일"),
    "christmas": ("기독탄신일", "성탄절"),
    "labor": ("근로자의날", "노동절"),
    "election": ("선거",),
}
FAMILIES = (*_WORDS, "temporary", "substitute")
"""Families of Korean holidays, in the order of their columns."""
FEASTS = {"seollal": ("설날", "민속의 날"), "chuseok": ("추석",)}
"""The names of the lunar day itself: the first of the first month, the fifteenth of the eighth."""
# A day with two names is one holiday, of the family whose effect is the larger: Chuseok's eve on National
# Foundation Day (2017) is Chuseok's.
_STRONGEST = ("seollal", "chuseok", "new_year", "christmas", "children", "buddha", "national", *FAMILIES)


def in_families(found: Holidays) -> Holidays:
    """Korean holidays, each with its family: the one given by an override, or else that of its name.

    A name that no family knows is `temporary`. ConfigError for a given family that does not exist.
    """
    unknown = sorted(set(found.family) - {"", *FAMILIES})
    if unknown:
        raise ConfigError(f"no holiday family {listed(unknown)}; there are {', '.join(FAMILIES)}")
    pairs = zip(found.family, found.name, strict=True)
    return found._replace(family=np.array([given or _family(name) for given, name in pairs], dtype=object))


def feast_days(found: Holidays, feast: str) -> Int:
    """The lunar days of Seollal or Chuseok among the holidays, sorted."""
    names = FEASTS[feast]
    return found.day[[any(part in names for part in name.split("; ")) for name in found.name]]


def korean_holidays(first_year: int, last_year: int, overrides: Any = None) -> pd.DataFrame:
    """One row a holiday: date, name, family, off_weekday, block, position, block_days, source.

    `block` is the first date of the run of days off (weekends included) that holds the holiday, `position`
    the day within the run from 1, `block_days` its length. A name that no family knows is `temporary`.
    `overrides` as in `holiday_table`, with an optional column `family`.
    """
    import pandas as pd

    changes = None if overrides is None else corrections(overrides)
    every = in_families(around("KR", first_year, last_year, changes))
    first, last = np.array([f"{first_year}-01-01", f"{last_year}-12-31"], "datetime64[D]").astype(np.int64)
    table = every.take((every.day >= first) & (every.day <= last))
    facts, row = days_off(first, last, every.day, weekend("KR")), table.day - first
    return pd.DataFrame(
        {
            "date": pd.Series(_stamps(table.day)),
            "name": table.name.astype(str),
            "family": table.family.astype(str),
            "off_weekday": facts.off_weekday[row],
            "block": pd.Series(_stamps(facts.start[row])),
            "position": facts.position[row],
            "block_days": facts.length[row],
            "source": table.source.astype(str),
        }
    )


def _stamps(day: Int) -> Any:
    return day.astype("datetime64[D]").astype("datetime64[us]")


def _family(name: str) -> str:
    return min((_family_of_part(part) for part in name.split("; ")), key=_STRONGEST.index)


def _family_of_part(part: str) -> str:
    if "대체 휴일" in part:
        return "substitute"
    return next((family for family, words in _WORDS.items() if any(w in part for w in words)), "temporary")
