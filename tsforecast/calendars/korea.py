"""Korean holidays in families that survive renamings and new laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsforecast.calendars.countries import holiday_table
from tsforecast.errors import ConfigError, listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FAMILIES", "korean_holidays"]

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
# A day with two names is one holiday, of the family whose effect is the larger: Chuseok's eve on National
# Foundation Day (2017) is Chuseok's.
_STRONGEST = ("seollal", "chuseok", "new_year", "christmas", "children", "buddha", "national", *FAMILIES)


def korean_holidays(first_year: int, last_year: int, overrides: Any = None) -> pd.DataFrame:
    """One row a holiday: date, name, family, off_weekday, block, position, block_days, source.

    `block` is the first date of the run of days off (weekends included) that holds the holiday, `position`
    the day within the run from 1, `block_days` its length. A name that no family knows is `temporary`.
    `overrides` as in `holiday_table`, with an optional column `family`.
    """
    table = holiday_table("KR", first_year, last_year, overrides)
    given = table["family"] if "family" in table.columns else None
    table["family"] = [_family(name) for name in table["name"]]
    if given is not None:
        unknown = sorted(set(given.dropna()) - set(FAMILIES))
        if unknown:
            raise ConfigError(f"no holiday family {listed(unknown)}; there are {', '.join(FAMILIES)}")
        table["family"] = given.fillna(table["family"])
    # Names of the years around, so that a run over New Year's Eve has its whole length.
    around = holiday_table("KR", max(first_year - 1, 1948), min(last_year + 1, 2100), overrides)
    runs = _runs(around["date"].to_numpy("datetime64[D]"))
    day = table["date"].to_numpy("datetime64[D]")
    row = np.searchsorted(runs[0], day, side="right") - 1
    table["block"] = runs[0][row].astype("datetime64[us]")
    table["position"] = (day - runs[0][row]).astype(np.int64) + 1
    table["block_days"] = (runs[1][row] - runs[0][row]).astype(np.int64) + 1
    return table[["date", "name", "family", "off_weekday", "block", "position", "block_days", "source"]]


def _family(name: str) -> str:
    return min((_family_of_part(part) for part in name.split("; ")), key=_STRONGEST.index)


def _family_of_part(part: str) -> str:
    if "대체 휴일" in part:
        return "substitute"
    return next((family for family, words in _WORDS.items() if any(w in part for w in words)), "temporary")


def _runs(holidays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """First and last days of the runs of days off, from the sorted dates of holidays (days)."""
    if not len(holidays):
        return holidays, holidays
    days = np.arange(holidays[0] - 10, holidays[-1] + 11)
    off = np.isin(days, holidays) | ~np.is_busday(days)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], off, [False]]).astype(np.int8)))
    return days[edges[::2]], days[edges[1::2] - 1]
