"""The two doors: a caller's table in as plain columns, forecasts out as a table of the same kind.

The only room that knows table libraries. `columns` reads one column, `grids` knows frequencies, `tables` reads
and writes whole tables, `future` joins values known beforehand, `places` reads static tables.
"""

from tsforecast.frames.coming import grid_ahead
from tsforecast.frames.future import future_times, known_ahead, make_future, missing_future
from tsforecast.frames.periods import periods
from tsforecast.frames.places import static_arrays, static_table
from tsforecast.frames.plain import plain_columns, plain_tables
from tsforecast.frames.tables import (
    Table,
    cut_by_time,
    findings_table,
    forecast_table,
    native,
    opened,
    read,
    rows_table,
    series_column,
)

__all__ = [
    "Table",
    "cut_by_time",
    "findings_table",
    "forecast_table",
    "future_times",
    "grid_ahead",
    "known_ahead",
    "make_future",
    "missing_future",
    "native",
    "opened",
    "periods",
    "plain_columns",
    "plain_tables",
    "read",
    "rows_table",
    "series_column",
    "static_arrays",
    "static_table",
]
