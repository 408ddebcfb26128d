"""The data as the models saw it: gaps filled, repairs made, on its regular grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tsforecast import frames
from tsforecast.panel import Panel

__all__ = ["clean_table"]


def clean_table(panel: Panel) -> pd.DataFrame:
    """Long table of a panel: id, time, target and the columns, text as text; `excluded` where rows are masked."""
    owner = panel.owner
    rows = panel.rows
    values: dict[str, Any] = {panel.names.target: panel.y[rows]}
    for place, name in enumerate(panel.column_names):
        codes = panel.columns[rows, place]
        labels = panel.categories.get(name)
        values[name] = codes if labels is None else _text(codes, labels)
    if panel.excluded is not None:
        values["excluded"] = panel.excluded[rows]
    times = panel.grid[panel.position(rows, owner)]
    plain = panel.replace(kind="pandas")
    made: pd.DataFrame = frames.rows_table(plain, owner, times, values)
    return made


def _text(codes: Any, labels: tuple[str, ...]) -> Any:
    known = np.isfinite(codes)
    return np.where(known, np.array([*labels, ""], dtype=object)[np.where(known, codes, -1).astype(int)], None)
