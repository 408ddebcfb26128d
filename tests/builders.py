"""Series and tables that several test files are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def lagged_series(
    n: int = 1, rows: int = 200, phi: Sequence[float] = (0.6,), *, seed: int = 0, sd: float = 1.0, level: float = 0.0
) -> np.ndarray:
    """n autoregressions (n, rows) with normal shocks, about a level."""
    shocks = np.random.default_rng(seed).normal(scale=sd, size=(n, rows))
    y = np.zeros((n, rows))
    for t in range(rows):
        y[:, t] = shocks[:, t] + sum(p * y[:, t - lag] for lag, p in enumerate(phi, 1) if t >= lag)
    return y + level


def table(
    y: Any, ids: Sequence[Any] | None = None, *, start: Any = "2022-01-01", freq: str = "D", **columns: Any
) -> Any:
    """A long table of the rows of y (n, T), or of a list of series; extra columns are given flat."""
    rows = [np.asarray(row, dtype=float) for row in (y if np.ndim(y[0]) else [y])]
    ids = [f"s{i:03d}" for i in range(len(rows))] if ids is None else ids
    stamps = [
        np.arange(start, start + len(row))
        if isinstance(start, int)
        else pd.date_range(start, periods=len(row), freq=freq)
        for row in rows
    ]
    long = {
        "unique_id": np.repeat(np.asarray(ids, dtype=object), [len(row) for row in rows]),
        "ds": np.concatenate([np.asarray(s) for s in stamps]),
        "y": np.concatenate(rows),
    }
    return pd.DataFrame(long | columns)


def weekly_table(
    seed: int = 0, lengths: tuple[int, ...] = (60, 60, 47), late: tuple[int, ...] = (0, 0, 13)
) -> pd.DataFrame:
    """Daily series of several lengths with a weekly season; `late` days after the first."""
    rng = np.random.default_rng(seed)
    parts = []
    for i, (length, days) in enumerate(zip(lengths, late, strict=True)):
        when = pd.date_range("2024-01-01", periods=length + days)[days:]
        y = 20 + 3 * np.sin(2 * np.pi * when.day_of_week / 7) + np.cumsum(rng.normal(size=length))
        parts.append(pd.DataFrame({"unique_id": f"s{i}", "ds": when, "y": y}))
    return pd.concat(parts, ignore_index=True)


def lag_table(
    y: np.ndarray,
    lags: Sequence[int],
    *,
    past: Sequence[np.ndarray] = (),
    known: Sequence[np.ndarray] = (),
    lead: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [1, y lags, lags of each past column, known] and targets, made one by one; rows with a gap left out.

    `lead` is the horizon: the target lies that many rows after the last one that its lags are counted from.
    """
    rows, targets = [], []
    for t in range(len(y)):
        last = t - lead  # the origin: lag 1 is its own row
        if last + 1 - max(lags, default=0) < 0:
            continue
        row = [1.0, *(y[last + 1 - lag] for lag in lags)]
        for column in past:
            row += [column[last + 1 - lag] for lag in lags]
        row += [column[t] for column in known]
        if np.isfinite(row).all() and np.isfinite(y[t]):
            rows.append(row)
            targets.append(y[t])
    return np.array(rows), np.array(targets)
