"""Almanac: the calendar words of a model and the holidays behind them, kept as they were when it was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np

from tsforecast.calendars.countries import Holidays, around, corrections, coverage, is_holiday_word
from tsforecast.calendars.korea import in_families
from tsforecast.calendars.overrides import Overrides
from tsforecast.errors import ConfigError

__all__ = ["AHEAD", "Almanac"]

AHEAD = 10
"""Years past the last one known that a fitted model keeps the holidays of."""


class Kept(NamedTuple):
    """The holidays of a calendar from the first to the last of some years, as they once were."""

    first_year: int
    last_year: int
    holidays: Holidays


@dataclass(frozen=True, slots=True, eq=False)
class Almanac:
    """Calendar words, the user's corrections, and for some years the holidays themselves.

    Holidays of other years come from the installed package, whose answers may change with its version. `columns`
    names those of the words' columns that a fitted model has; None: all that there are.
    """

    words: tuple[str, ...] = ()
    overrides: Overrides | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None

    @classmethod
    def of(cls, items: Any) -> Self:
        """What `calendar=` holds: a word, or several words and at most one table of corrections.

        ConfigError for anything else, and for a table that cannot be read.
        """
        hint = 'calendar= takes words such as "KR" or ("weekday", "KR"), and one table of overrides among them'
        if isinstance(items, str):
            return cls((items,))
        if not isinstance(items, Sequence):
            raise ConfigError(f"{hint}; got {type(items).__name__}")
        tables = [item for item in items if not isinstance(item, str)]
        if any(isinstance(item, int | float | Sequence) or item is None for item in tables):
            raise ConfigError(f"{hint}; got {items!r}")
        if len(tables) > 1:
            raise ConfigError(f"{hint}; got {len(tables)} tables: put them into one, with a column calendar")
        words = tuple(item for item in items if isinstance(item, str))
        made = cls(words, corrections(tables[0]) if tables else None)
        if tables and not made.calendars:
            raise ConfigError(f"calendar= holds overrides but no country or exchange to apply them to; words: {words}")
        return made

    @property
    def calendars(self) -> tuple[str, ...]:
        """The countries and exchanges among the words and their options, each once."""
        parts = [part for word in self.words for part in word.split(":")]
        return tuple(dict.fromkeys(part for part in parts if part.isupper() and is_holiday_word(part)))

    def holidays(self, word: str, first_year: int, last_year: int) -> Holidays:
        """Holidays of those years and at least a year around them, Korean ones in families.

        ConfigError for years that neither the almanac nor the package covers.
        """
        kept = self.kept.get(word)
        if kept is None:
            return self._with_families(word, around(word, first_year, last_year, self.overrides))
        earliest, latest = coverage(word)
        if max(first_year - 1, earliest) >= kept.first_year and min(last_year + 1, latest) <= kept.last_year:
            return kept.holidays
        fresh = self._with_families(word, around(word, first_year, last_year, self.overrides))
        years = fresh.day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
        outside = fresh.take((years < kept.first_year) | (years > kept.last_year))
        pairs = zip(kept.holidays, outside, strict=True)
        joined = Holidays(*(np.concatenate(pair) for pair in pairs))
        return joined.take(np.argsort(joined.day, kind="stable"))

    def keeping(self, first_year: int, last_year: int, columns: Sequence[str]) -> Self:
        """The same almanac with these columns, and the holidays of those years, one before and `AHEAD` more."""
        kept = {}
        for word in self.calendars:
            earliest, latest = coverage(word)
            low, high = max(first_year - 1, earliest), min(last_year + AHEAD, latest)
            kept[word] = Kept(low, high, self.holidays(word, low, high))
        return replace(self, kept=kept, columns=tuple(columns))

    def _with_families(self, word: str, found: Holidays) -> Holidays:
        return in_families(found) if word == "KR" else found

    def state(self) -> dict[str, Any]:
        """Columns and kept holidays as named arrays and plain values."""
        kept = {word: table._asdict() | {"holidays": table.holidays._asdict()} for word, table in self.kept.items()}
        return {"columns": list(self.columns or ()), "kept": kept}

    def restored(self, state: Mapping[str, Any]) -> Self:
        """The same almanac with what `state` wrote."""
        kept = {w: Kept(**(part | {"holidays": Holidays(**part["holidays"])})) for w, part in state["kept"].items()}
        return replace(self, kept=kept, columns=tuple(state["columns"]))
