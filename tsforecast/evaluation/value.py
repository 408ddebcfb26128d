"""Backtest: the forecasts of m models at w origins beside the truth, as arrays and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tsforecast import frames
from tsforecast.comparison import diebold_mariano
from tsforecast.errors import ConfigError
from tsforecast.evaluation.scoring import AXES, Judged, ranking
from tsforecast.forecast import STATUSES
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import Rolled

__all__ = ["Backtest"]

By = Literal["model", "series", "horizon", "window"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Backtest:
    """What a backtest gave: names of the m models, their origins, forecasts (m, w, n, h), truth (w, n, h).

    `rolled` holds the arrays of each model, `complexity` its place in the order of simplicity. A step that lies past
    the end of a series, or whose origin lies before its first row, has no truth and is NaN everywhere. With folds of
    a lag table, `fold` (w,) says in which one a window's row was held out, and fits saw later rows too.
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
    fold: Int | None = None

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
        if self.fold is not None and self.panel.at is not None:
            # Folds are dealt by date: a series without a row on the next date has none in that window.
            there &= self.panel.at[np.where(there, rows, 0)] == self.positions.reshape(-1, 1) + 1
        return np.where(there, rows, -1).reshape(len(self.positions), len(self.panel), self.h)

    @property
    def last_judged(self) -> Any:
        """Latest time that a forecast was made for."""
        there = np.moveaxis(self.rows, 1, 2)
        owner = np.nonzero(there >= 0)[2]
        return self.panel.grid[self.panel.position(there[there >= 0], owner).max()]

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
        """Where the truth and every forecast are there (w, n, h): what scores are made of.

        Excluded rows do not count, and a model without a single forecast takes no pair from the others.
        """
        there = np.isfinite(self.errors)
        able = there.any(axis=(1, 2, 3))
        both = there[able].all(axis=0) & able.any()
        return np.asarray(both if self.panel.excluded is None else both & ~self.panel.excluded[self.rows])

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
        if self.fold is not None:
            table["fold"] = self.fold[window]
        elif self.refit is not True:
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

    @cached_property
    def judged(self) -> Judged:
        """The pairs that scores are made of: those where every model has a forecast."""
        return Judged(
            y=np.where(self.shared, self.actual, np.nan),
            point=self.point,
            lower=_stacked([done.lower for done in self.rolled]),
            upper=_stacked([done.upper for done in self.rolled]),
            levels=self.levels,
            panel=self.panel,
            cutoffs=self.positions,
        )

    @property
    def missing(self) -> Int:
        """Pairs (m,) with a truth but no forecast of the model; no model is scored there."""
        absent: Int = (np.isfinite(self.actual) & ~np.isfinite(self.point)).sum(axis=(1, 2, 3))
        return absent

    def scores(self, metrics: Sequence[str] = ("mae", "rmse"), by: By | Sequence[By] = "model") -> Any:
        """Table of scores: model, the keys in `by`, `pairs` (how many a score is made of), a column a metric.

        What is not in `by` is pooled: `by="series"` takes the windows and steps of a series together. The season of
        MASE and RMSSE is the frequency's shortest, their scale the series' own rows up to each origin. A metric that
        is not defined for every pair has a column that counts those left out (`mape_left_out`: y was 0).
        """
        keys = [by] if isinstance(by, str) else list(by)
        wrong = [key for key in keys if key not in ("model", *AXES)]
        if wrong or len(set(keys)) != len(keys):
            raise ConfigError(f"by takes model, series, horizon, window, each once; got {', '.join(map(str, keys))}")
        kept = [key for key in AXES if key in keys]
        over = tuple(AXES[key] for key in AXES if key not in keys)
        shape = (len(self.models), *(self.actual.shape[AXES[key]] for key in kept))
        index = np.indices(shape).reshape(len(shape), -1)
        table = {"model": self._repeated(self.models, index[0])}
        table |= {self._label(key): self._key(key, index[1 + i]) for i, key in enumerate(kept)}
        table["pairs"] = np.broadcast_to(self.judged.pairs(over), shape).ravel()
        for name in [metrics] if isinstance(metrics, str) else metrics:
            found = self.judged.score(name, over)
            table |= {column: np.asarray(values).ravel() for column, values in found.items()}
        return frames.native(table, self.panel)

    def leaderboard(
        self,
        metric: str = "rmse",
        baseline: str | None = None,
        *,
        average: Literal["series", "pooled"] = "series",
    ) -> Any:
        """Table of the models, best first: rank, model, the metric, skill, behind_se, chosen, missing, seconds, figure.

        `figure` says whether the metric is the mean of the series' own scores or one score of all pairs pooled.
        `skill` is measured against `baseline`, the first naive model where None (column `baseline`): 0 is no better, 1
        is perfect. `behind_se` is the distance to the best in standard errors; `chosen` marks the simplest model within
        one of them. `missing` counts pairs where a model gave no forecast; those are left out for all.
        """
        if average not in ("series", "pooled"):
            raise ConfigError(f'average must be "series" or "pooled", got {average!r}')
        against = self._baseline(baseline)
        board = ranking(self.judged, metric, pooled=average == "pooled", complexity=self.complexity, baseline=against)
        figure = "pooled" if average == "pooled" else f"mean of {len(self.panel)} series"
        order = np.argsort(board["distance"], kind="stable")
        table: dict[str, Any] = {
            "rank": np.arange(1, len(order) + 1),
            "model": self._repeated(self.models, order),
            metric: board["figure"][order],
            "skill": board["skill"][order],
            "behind_se": board["behind_se"][order],
            "chosen": board["chosen"][order],
            "missing": self.missing[order],
            "seconds": np.array([done.seconds for done in self.rolled])[order],
            "figure": self._repeated([figure], np.zeros_like(order)),
            "baseline": self._repeated(["" if against is None else self.models[against]], np.zeros_like(order)),
        }
        return frames.native(table, self.panel)

    def compare(
        self,
        first: str,
        second: str,
        *,
        loss: Literal["squared", "absolute"] = "squared",
        by: Literal["series", "pooled"] = "pooled",
    ) -> Any:
        """Diebold-Mariano test whether two models lose alike: statistic (below 0: the first is better), p_value.

        The loss of a window is its mean over steps; windows that overlap are allowed for. `by="pooled"` tests the
        mean over series, window by window, so what moves all series at once counts once; `by="series"` tests each.
        Columns: [id], statistic, p_value, windows, difference (mean loss of the first minus that of the second).
        Harvey, Leybourne & Newbold (1997), Testing the equality of prediction mean squared errors, IJF 13.
        """
        if by not in ("series", "pooled"):
            raise ConfigError(f'by must be "series" or "pooled", got {by!r}')
        picked = self.errors[[self._index(first), self._index(second)]]
        size = np.square(picked) if loss == "squared" else np.abs(picked)
        both = np.isfinite(size).all(axis=0)
        over = 2 if by == "series" else (1, 2)
        count = both.sum(axis=over)
        total = np.where(both, size, 0.0).sum(axis=(3 if by == "series" else (2, 3)))
        losses = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        losses = losses.reshape(2, len(losses[0]), -1)  # (2, w, n or 1)
        overlap = -(-(self.h + self.gap) // self.step)
        root = np.sqrt(losses) if loss == "squared" else losses
        test = diebold_mariano(root[0], root[1], overlap, loss=loss, axis=0)
        used = np.isfinite(losses[0]).sum(axis=0)
        gap = np.where(used > 0, np.nansum(losses[0] - losses[1], axis=0) / np.maximum(used, 1), np.nan)
        table: dict[str, Any] = {} if by == "pooled" else {self._label("series"): self._key("series", slice(None))}
        table |= {"statistic": test.statistic, "p_value": test.pvalue, "windows": used, "difference": gap}
        return frames.native(table, self.panel)

    def _index(self, name: str) -> int:
        if name not in self.models:
            raise ConfigError(f"no model {name!r} in this backtest; there are {', '.join(self.models)}")
        return self.models.index(name)

    def _baseline(self, name: str | None) -> int | None:
        if name is not None:
            return self._index(name)
        naive = [i for i, level in enumerate(self.complexity) if level == 0]
        return naive[0] if naive else None

    def _repeated(self, words: Sequence[object], index: Any) -> Any:
        return frames.series_column(np.array(words, dtype=object), self.panel, owner=index)

    def _label(self, key: str) -> str:
        if key == "series":
            return self.panel.names.id or "unique_id"
        return "cutoff" if key == "window" and self.align == "time" else key

    def _key(self, key: str, index: Any) -> Any:
        if key == "series":
            return frames.series_column(self.panel.ids[index], self.panel)
        if key == "horizon":
            return self.gap + 1 + index
        return self.cutoffs[index] if self.align == "time" else index


def _stacked(parts: Sequence[Float | None]) -> Float | None:
    given = [part for part in parts if part is not None]
    return np.stack(given) if given and len(given) == len(parts) else None
