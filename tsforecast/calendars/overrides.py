"""The user's corrections to a calendar: any small table, brought to one plain form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsforecast.errors import ConfigError, listed

__all__ = ["COLUMNS", "Overrides", "plain_overrides", "read_overrides", "rows_for"]

Overrides = dict[str, list[str]]
"""Columns date (ISO) and name, perhaps calendar and family, as lists of text; missing values are empty."""

COLUMNS = ("date", "name", "calendar", "family")
"""Columns that are read; date and name must be there, others are passed over."""


def plain_overrides(table: Any) -> Overrides:
    """A table (pandas, polars, pyarrow) or a dict of columns as plain lists; ConfigError if it cannot be read.

    A row holds a `date` and the holiday's `name`; an empty name takes that day's holiday away. `calendar` is the word
    that a row is for (KR, US-CA ...; empty: every calendar), `family` the Korean family.
    """
    from tsforecast import frames

    columns = frames.plain_columns(table, "calendar overrides")
    missing = [name for name in ("date", "name") if name not in columns]
    if missing:
        raise ConfigError(f"calendar overrides need the columns date and name; {listed(missing)} is not there")
    plain = {name: [_text(value) for value in columns[name]] for name in COLUMNS[1:] if name in columns}
    return {"date": _dates(columns["date"])} | plain


def read_overrides(path: str | Path) -> Overrides:
    """The overrides in a CSV file in UTF-8; ConfigError says why it cannot be read."""
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as cause:
        raise ConfigError(f"no overrides file {str(path)!r}") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError(f"{path} is not UTF-8: save it as a CSV in UTF-8") from cause
    except (ValueError, IsADirectoryError) as cause:
        raise ConfigError(f"{path} cannot be read as CSV: {cause}") from cause
    return plain_overrides(table)


def rows_for(overrides: Overrides, word: str) -> list[tuple[str, str, str]]:
    """The rows (date, name, family) that are meant for the calendar `word`; ConfigError where dates come twice."""
    n = len(overrides["date"])
    owner, family = overrides.get("calendar", [""] * n), overrides.get("family", [""] * n)
    rows = zip(overrides["date"], overrides["name"], family, owner, strict=True)
    mine = [(date, name, kin) for date, name, kin, who in rows if who in ("", word)]
    dates = [date for date, _, _ in mine]
    twice = sorted({date for date in dates if dates.count(date) > 1})
    if twice:
        raise ConfigError(f"calendar overrides hold dates twice: {listed(twice)}; keep one row a date")
    return mine


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _dates(values: list[Any]) -> list[str]:
    import pandas as pd

    lacking = [row for row, value in enumerate(values) if not _text(value)]
    if lacking:
        raise ConfigError(f"calendar overrides lack a date in rows {listed(lacking)}")
    dates = []
    for row, value in enumerate(values):
        try:
            dates.append(pd.Timestamp(value).date().isoformat())
        except (ValueError, TypeError) as cause:
            raise ConfigError(f"calendar overrides: the date {value!r} in row {row} cannot be read") from cause
    return dates
