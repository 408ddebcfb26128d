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
    columns = _columns(table)
    if columns is None and isinstance(table, Mapping):
        raise ConfigError(f'{what}: a dict holds a list a column, such as {{"date": ["2026-05-01"], ...}}')
    if columns is None:
        raise ConfigError(f"{what}: expected a table or a dict of columns, got {type(table).__name__}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"{what}: columns of unequal length ({', '.join(f'{k} {v}' for k, v in lengths.items())})")
    return columns


def plain_tables(value: Any) -> Any:
    """The value itself, but with tables and dicts of columns, also those in lists and tuples, as plain columns.

    Times become ISO text, an index or a column of them a list.
    """
    if isinstance(value, (date, np.datetime64)):
        return _plain(value)
    if isinstance(value, (pd.Index, pd.Series)) or (isinstance(value, np.ndarray) and value.dtype.kind == "M"):
        return [_plain(cell) for cell in value]
    if isinstance(value, (list, tuple)):
        parts = [plain_tables(part) for part in value]
        return type(value)(parts) if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    columns = _columns(value)
    return value if columns is None else columns


def _columns(table: Any) -> dict[str, list[Any]] | None:
    """Plain columns of a table or of a mapping of lists and arrays; None for anything else."""
    if not isinstance(table, Mapping):
        opened = nw.from_native(table, eager_only=True, pass_through=True)
        if not isinstance(opened, nw.DataFrame):
            return None
        table = opened.to_dict(as_series=False)
    elif not table or not all(hasattr(v, "__iter__") and not isinstance(v, (str, Mapping)) for v in table.values()):
        return None
    return {str(name): [_plain(cell) for cell in values] for name, values in table.items()}


def _plain(value: Any) -> Any:
    if not pd.api.types.is_scalar(value):
        return value
    if pd.isna(value):
        return None
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if midnight and value.tzinfo is None else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
