"""From a table to a Panel, beside one sort of the same table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmarks.row import Row, best, wanted
from tsforecast import Panel

__all__ = ["rows"]

ROWS, SERIES = 1_000_000, 5_000


def rows(words: Sequence[str]) -> Iterator[Row]:
    """One million rows of string ids, sorted and shuffled, against pandas' sort of the shuffled table."""
    if not wanted("door", words):
        return
    days = ROWS // SERIES
    rng = np.random.default_rng(1)
    straight = pd.DataFrame(
        {
            "unique_id": np.repeat([f"store-{i:05d}" for i in range(SERIES)], days),
            "ds": np.tile(pd.date_range("2020-01-01", periods=days), SERIES),
            "y": rng.normal(size=ROWS),
        }
    )
    shuffled = straight.sample(frac=1, random_state=1).reset_index(drop=True)
    sort = best(lambda: shuffled.sort_values(["unique_id", "ds"]))
    for name, data, limit in (("sorted", straight, 1.0), ("shuffled", shuffled, 3.0)):
        ours = best(lambda data=data: Panel.from_table(data))  # type: ignore[misc]
        ratio = ours / sort
        yield Row(
            f"door: 1M rows {name} -> Panel", f"<= {limit:g} x pandas sort_values", f"{ratio:.2f} x",
            ratio <= limit, f"{ours:.3f} s, sort {sort:.3f} s",
        )  # fmt: skip
