"""Backtest: the forecasts of m models at w origins beside the truth, as arrays and as tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tsforecast import frames
from tsforecast.forecast import STATUSES
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import Rolled

__all__ = ["Backtest"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Backtest:
    """What a backtest gave: names of the m models, their origins, forecasts (m, w, n, h), truth (w, n, h).

    `rolled` holds the arrays of each model, `complexity` its place in the order of simplicity. A step that lies past
    the end of a series, or whose origin lies before its first row, has no truth and is NaN everywhere.
    """

    panel: Panel
    models: tuple[str, ...]
    rolled: tuple[Rolled, ...]
    complexity: tuple[int, ...]
    reports_status: tuple[bool, ...]
    h: int
    step: int
    gap: int = 0
    levels: tuple[float, ...] = ()
    refit: bool | int = True
    align: str = "time"
    scheme: str = "rolling"

    def __repr__(self) -> str:
        windows, series, h = self.actual.shape
        return f"Backtest({', '.join(self.models)}: {windows} windows x {series} series x {h} steps)"

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of each model, fits and forecasts together."""
        return {name: done.seconds for name, done in zip(self.models, self.rolled, strict=True)}

    @property
    def positions(self) -> Int:
        """Cutoffs (w, n) as positions on the panel's grid."""
        return self.rolled[0].cutoffs

    @property
    def cutoffs(self) -> Any:
        """Last time known at each origin: (w,), or (w, n) with `align="end"`."""
        times = self.panel.grid[np.maximum(self.positions, 0)]
        return times if self.align == "end" else times[:, 0]

    @cached_property
    def rows(self) -> Int:
        """Rows of the block that were forecast (w, n, h), -1 where a series has none."""
        spans = self.panel.cut(self.positions)
        rows = spans.stop[:, None] + self.gap + np.arange(self.h)
        ends = np.tile(self.panel.stop, len(self.positions))
        there = (rows < ends[:, None]) & (spans.lengths > 0)[:, None]
        return np.where(there, rows, -1).reshape(len(self.positions), len(self.panel), self.h)

    @cached_property
    def actual(self) -> Float:
        """Truth (w, n, h)."""
        return np.where(self.rows >= 0, self.panel.y[self.rows], np.nan)

    @cached_property
    def point(self) -> Float:
        """Point forecasts (m, w, n, h)."""
        return np.stack([done.point for done in self.rolled])

    @cached_property
    def errors(self) -> Float:
        """Truth minus forecast (m, w, n, h); NaN where either is missing."""
        return self.actual - self.point

    @cached_property
    def shared(self) -> Bool:
        """Where the truth is there and every model has a forecast (w, n, h): what scores are made of."""
        shared: Bool = np.isfinite(self.errors).all(axis=0)
        return shared

    @cached_property
    def forecasts(self) -> Any:
        """Long table of the caller's kind: id, time, cutoff, [trained_to], y, a column a model, [intervals, status].

        One row for each step of each origin that lies in the data, series by series, oldest origin first.
        `trained_to` is there unless every origin was fitted anew.
        """
        order = np.moveaxis(self.rows, 1, 0)  # series, windows, steps
        keep = order >= 0
        owner, window, step = np.nonzero(keep)
        times = self.panel.grid[self.panel.position(order[keep], owner)]
        table: dict[str, Any] = {"cutoff": self.panel.grid[self.positions[window, owner]]}
        if self.refit is not True:
            table["trained_to"] = self.panel.grid[np.maximum(self.rolled[0].trained[window, owner], 0)]
        table[self.panel.names.target] = self.actual[window, owner, step]
        for name, done, reports in zip(self.models, self.rolled, self.reports_status, strict=True):
            table |= self._model_columns(name, done, (window, owner, step))
            if reports:
                words = np.array(STATUSES, dtype=object)
                code = done.status[window, owner].astype(np.int64)
                table[f"{name}-status"] = frames.series_column(words, self.panel, owner=code)
        return frames.rows_table(self.panel, owner, times, table)

    def _model_columns(self, name: str, done: Rolled, where: tuple[Int, Int, Int]) -> dict[str, Float]:
        columns = {name: done.point[where]}
        for q, level in enumerate(self.levels):
            assert done.lower is not None
            assert done.upper is not None
            columns[f"{name}-lo-{level:g}"] = done.lower[where][:, q]
            columns[f"{name}-hi-{level:g}"] = done.upper[where][:, q]
        return columns
