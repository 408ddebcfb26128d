"""Small tables as plain columns, for parameters that hold one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from tsforecast.errors import ConfigError

__all__ = ["plain_columns", "plain_tables"]


def plain_columns(table: Any, what: str) -> dict[str, list[Any]]:
    """A table (pandas, polars, pyarrow) or a dict of columns as lists of plain values by name.

    Times become ISO text, missing values None. ConfigError, which calls the table `what`, for anything else.
    """
    if isinstance(table, Mapping):
        if not all(hasattr(values, "__iter__") and not isinstance(values, str) for values in table.values()):
            raise ConfigError(f'{what}: a dict holds a list a column, such as {{"date": ["2026-05-01"], ...}}')
        columns = {str(name): list(values) for name, values in table.items()}
    else:
        opened = nw.from_native(table, eager_only=True, pass_through=True)
        if not isinstance(opened, nw.DataFrame):
            raise ConfigError(f"{what}: expected a table or a dict of columns, got {type(table).__name__}")
        columns = {str(name): list(values) for name, values in opened.to_dict(as_series=False).items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"{what}: columns of unequal length ({', '.join(f'{k} {v}' for k, v in lengths.items())})")
    return {name: [_plain(value) for value in values] for name, values in columns.items()}


def plain_tables(value: Any) -> Any:
    """The value itself, but with tables, also those in lists and tuples, as dicts of plain columns."""
    if isinstance(value, (list, tuple)):
        parts = [plain_tables(part) for part in value]
        return type(value)(parts) if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    opened = nw.from_native(value, eager_only=True, pass_through=True)
    return plain_columns(value, "table") if isinstance(opened, nw.DataFrame) else value


def _plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if midnight and value.tzinfo is None else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
