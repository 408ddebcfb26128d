"""Static tables: one row a series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, DataError, listed
from tsforecast.frames.columns import encode, features, matched
from tsforecast.frames.tables import opened

__all__ = ["static_arrays", "static_table"]


def static_table(static: Any, id: str = "unique_id") -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Ids (m,) of a static table in its own order and its columns (m,): floats, or text as objects (None = missing).

    Columns of mixed types come as the objects that they hold, for those who need them to say what is wrong.
    """
    frame = opened(static, [id])
    if id not in frame.columns:
        raise ConfigError(f"the static table has no column {id!r} (columns: {', '.join(map(str, frame.columns))})")
    codes, ids = encode(frame[id])
    if np.any(codes < 0):
        raise DataError(f"the static table has no id in row {int(np.argmin(codes))}")
    if len(ids) < len(codes):
        doubled = ids[np.bincount(codes) > 1]
        raise DataError(f"the static table has more than one row for {listed(doubled)}; keep one for each series")
    columns: dict[str, NDArray[Any]] = {}
    for name in frame.columns:
        found = None if name == id else features(frame[name])
        if found is not None:
            values, labels = found
            columns[str(name)] = values if labels is None else _texts(values, labels)
        elif name != id and frame[name].dtype == nw.Object:
            columns[str(name)] = np.array([*frame[name].to_list(), None], dtype=object)[:-1]
    return ids, columns


def _texts(codes: NDArray[Any], labels: tuple[str, ...]) -> NDArray[Any]:
    table = np.array([*labels, None], dtype=object)
    return table[np.where(np.isnan(codes), len(labels), codes).astype(np.int64)]


def static_arrays(
    static: Any, ids: NDArray[Any], *, id: str = "unique_id"
) -> tuple[Mapping[str, NDArray[Any]], tuple[object, ...]]:
    """Static columns aligned with `ids` (n,), and the ids of the static table that have no series.

    DataError names series that the static table leaves out.
    """
    there, columns = static_table(static, id)
    place = matched(ids, there)
    if np.any(place < 0):
        raise DataError(f"the static table has no row for series {listed(ids[place < 0])}; add one for each series")
    extra = np.ones(len(there), dtype=bool)
    extra[place] = False
    return {name: values[place] for name, values in columns.items()}, tuple(there[extra])
