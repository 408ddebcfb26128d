"""The user's corrections to a calendar: any small table, brought to one plain form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsforecast.errors import ConfigError, listed

__all__ = ["COLUMNS", "Overrides", "plain_overrides", "rows_for"]

Overrides = dict[str, list[str]]
"""Columns date (ISO) and name, perhaps calendar and family, as lists of text; missing values are empty."""

COLUMNS = ("date", "name", "calendar", "family")
"""Columns that are read; date and name must be there, others are passed over."""


def plain_overrides(table: Any) -> Overrides:
    """A table (pandas, polars, pyarrow) or a dict of columns as plain lists; ConfigError if it cannot be read.

    A row holds a `date` and the holiday's `name`; an empty name takes that day's holiday away. `calendar` is the word
    that a row is for (KR, US-CA ...; empty: every calendar), `family` the Korean family.
    """
    columns = _columns(table)
    missing = [name for name in ("date", "name") if name not in columns]
    if missing:
        raise ConfigError(f"calendar overrides need the columns date and name; {listed(missing)} is not there")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"calendar overrides have columns of unequal length: {lengths}")
    plain = {name: [_text(value) for value in columns[name]] for name in COLUMNS[1:] if name in columns}
    return {"date": _dates(columns["date"])} | plain


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


def _columns(table: Any) -> dict[str, list[Any]]:
    if isinstance(table, Mapping):
        if not all(hasattr(values, "__iter__") and not isinstance(values, str) for values in table.values()):
            raise ConfigError("calendar overrides as a dict hold a list a column: {'date': [...], 'name': [...]}")
        return {str(name): list(values) for name, values in table.items()}
    import narwhals as nw

    try:
        return dict(nw.from_native(table, eager_only=True).to_dict(as_series=False))
    except TypeError as cause:
        raise ConfigError(
            f"calendar overrides must be a table or a dict of columns, got {type(table).__name__}"
        ) from cause


def _text(value: Any) -> str:
    return "" if _is_missing(value) else str(value).strip()


def _is_missing(value: Any) -> bool:
    # NaN and NaT differ from themselves, whatever library they come from.
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _dates(values: list[Any]) -> list[str]:
    import pandas as pd

    lacking = [row for row, value in enumerate(values) if _is_missing(value)]
    if lacking:
        raise ConfigError(f"calendar overrides lack a date in rows {listed(lacking)}")
    try:
        return [pd.Timestamp(value).date().isoformat() for value in values]
    except (ValueError, TypeError) as cause:
        raise ConfigError(f"calendar overrides hold a date that cannot be read: {cause}") from cause
