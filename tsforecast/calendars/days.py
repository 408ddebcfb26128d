"""A calendar day by day: what is known of each date, for people and for files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.almanac import Almanac
from tsforecast.calendars.countries import Holidays, corrections, weekend
from tsforecast.calendars.days_off import days_off, gap_after, gap_before
from tsforecast.calendars.korea import FEASTS, feast_days
from tsforecast.panel import Int

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["day_table"]

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FAR = 60
"""Days at which the distances are cut."""
WINDOW = range(-14, 8)
"""Days from the lunar day of a feast that are told."""


def day_table(word: str, first_year: int, last_year: int, overrides: Any = None) -> pd.DataFrame:
    """One row a date, whether a holiday or not, of a country ("KR", "US-CA") or of NYSE.

    date; weekday (Mon ...); name of the holiday or ""; family (KR alone); off (weekend or holiday); off_weekday (a
    holiday off the weekend); run (first date of the run of days off), position in it from 1 and run_days (NaT and 0
    on working days); bridge (one working day between two days off); before_run and after_run (working days beside a
    run that holds a holiday off the weekend); to_run and since_run (days to and from such a run); for KR seollal and
    chuseok (days from the lunar day, -14 to 7, elsewhere missing), to_ and since_ both; source ("holidays 0.108",
    "override", or ""). Distances are cut at 60 days. `overrides` as in `holiday_table`. ConfigError: an unknown word,
    years that are not covered, overrides that cannot be read.
    """
    import pandas as pd

    almanac = Almanac((word,), None if overrides is None else corrections(overrides))
    found = almanac.holidays(word, first_year, last_year)
    first, last = np.array([f"{first_year}-01-01", f"{last_year}-12-31"], "datetime64[D]").astype(np.int64)
    facts = days_off(first, last, found.day, weekend(word))
    text = _texts(found, facts.day)
    named = {"name": text.name} | ({"family": text.family} if word == "KR" else {})
    run = pd.Series(_stamps(facts.start)).where(facts.off)
    near = days_off(first - FAR, last + FAR, found.day, weekend(word))
    return pd.DataFrame(
        {"date": _stamps(facts.day), "weekday": np.array(_WEEKDAYS)[(facts.day + 3) % 7], **named}
        | {"off": facts.off, "off_weekday": facts.off_weekday}
        | {"run": run, "position": facts.position, "run_days": facts.length}
        | {"bridge": facts.bridge, "before_run": facts.before, "after_run": facts.after}
        | _distances("run", facts.day, near.day[near.special])
        | (_feasts(found, facts.day) if word == "KR" else {})
        | {"source": text.source}
    )


def _texts(found: Holidays, day: Int) -> Holidays:
    """The texts of the holidays on the day of each row, empty on other days."""
    texts = [np.full(len(day), "", dtype=object) for _ in found[1:]]
    inside = found.take(np.isin(found.day, day))
    for text, column in zip(texts, inside[1:], strict=True):
        text[inside.day - day[0]] = column
    return Holidays(day, *texts)


def _feasts(found: Holidays, day: Int) -> dict[str, Any]:
    import pandas as pd

    columns: dict[str, Any] = {}
    for feast in FEASTS:
        lunar = feast_days(found, feast)
        gaps = _distances(feast, day, lunar)
        to, since = gaps.values()
        place = pd.Series(np.where(to <= -WINDOW.start, -to, since), dtype="Int64")
        columns |= {feast: place.where(place.between(WINDOW.start, WINDOW.stop - 1)), **gaps}
    return columns


def _distances(name: str, day: Int, marked: Int) -> dict[str, Int]:
    return {f"to_{name}": gap_before(day, marked, FAR), f"since_{name}": gap_after(day, marked, FAR)}


def _stamps(day: Int) -> NDArray[np.datetime64]:
    return day.astype("datetime64[D]").astype("datetime64[us]")
