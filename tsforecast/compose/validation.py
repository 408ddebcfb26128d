"""Validation rows of an ensemble: where its members, fitted before them, are rolled, and what they forecast there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from tsforecast.compose.columns import share
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import Roll

__all__ = ["FEW", "Plan", "Validation", "folds", "honest", "origins_of", "validated"]

MOST = 365
"""Origins looked at by default, at most."""
ALONE = 48
"""Origins of a series that is judged by itself: as many for each, so that sums are the same in any company."""
SPANS = 200_000
"""Forecasts (origin x series) of a member looked at by default, at most."""
FEW = 24
"""Origins that errors must come from to be gone by."""
FOLDS = 5
"""Parts of the validation rows; each is judged by what those before it told."""


class Plan(NamedTuple):
    """How to validate: `windows` origins `step` rows apart, each "auto" or given; `least` rows that they should
    cover; `alone` where each series counts from its own end, else all from the same date but those that ended long ago.
    """

    windows: int | Literal["auto"]
    step: int | Literal["auto"]
    least: int
    alone: bool


class Validation(NamedTuple):
    """Forecasts of m members at w origins, oldest first, at grid positions cutoffs (w, n): point (m, w, n, h) and
    actual (w, n, h), NaN where not known; the last of these lies at the position `reach` (w, n). `step` (n,) rows lie
    between origins, and those of the series `enough` (n,) tell enough to go by.
    """

    cutoffs: Int
    reach: Int
    point: Float
    actual: Float
    step: Int
    enough: Bool

    @property
    def errors(self) -> Float:
        """Actual minus point (m, w, n, h)."""
        return self.actual - self.point

    def upto(self, window: int) -> Validation:
        """What was known at origin number `window`: origins whose steps had all passed by then."""
        known = (self.reach <= self.cutoffs[window]) & np.isfinite(self.actual).any(axis=2)
        actual = np.where(known[..., None], self.actual, np.nan)
        counts = known.sum(axis=0)
        return self._replace(actual=actual, enough=self.enough & (counts >= FEW))


def origins_of(panel: Panel, h: int, plan: Plan, need: int) -> tuple[Int, Int]:
    """Origins (w, n) as grid positions, oldest first, and the rows (n,) between them; w = 0 where rows do not suffice.

    `need` rows are left to fit on, and a quarter of the rows at most is held out unless `plan.least` asks for a third.
    """
    n = len(panel)
    lengths = panel.lengths if plan.alone else np.full(n, panel.lengths.max(initial=0))
    wanted = np.maximum(lengths // 4, np.minimum(lengths // 3, plan.least + h - 1))
    # Room for as many errors as the usual levels ask for, and for the origins asked for, where the rows allow it.
    asked = h + (1 if plan.step == "auto" else plan.step) * (0 if plan.windows == "auto" else plan.windows - 1)
    held = np.minimum(np.maximum(np.clip(wanted, h + FEW, MOST + h - 1), asked), lengths - need)
    room = np.maximum(held - h + 1, 0)
    most = ALONE if plan.alone else int(np.clip(SPANS // max(n, 1), FEW, MOST))
    windows = most if plan.windows == "auto" else plan.windows
    if plan.step != "auto":
        step = np.full(n, plan.step, dtype=np.int64)
    elif plan.windows == "auto":
        step = np.maximum(-(-room // windows), 1)
    else:
        step = np.maximum(room // windows, 1)
    fitting = -(-room // step)
    if not plan.alone:
        windows = int(min(windows, fitting.max(initial=0)))
    back = h + step * np.arange(windows - 1, -1, -1, dtype=np.int64)[:, None]
    filled = panel.lengths > 0
    # Where a series that has no row yet will begin, nobody knows at the end of the others.
    end = np.where(filled, panel.last, panel.last[filled].max(initial=-1))
    if not plan.alone:
        # A series that ended before it saw enough of the common dates counts from its own end.
        newest = end.max(initial=0)
        seen = windows + (end - newest) // step
        end = np.where(seen >= min(FEW, windows), newest, end)
    there = np.arange(windows - 1, -1, -1)[:, None] < fitting
    # The members are fitted at the first origin of all: one before the held-out rows stands for those left out.
    first = end - h - step * np.maximum(np.minimum(fitting, windows) - 1, 0)
    return np.where(there, end - back, np.where(fitting > 0, first, -1)), step


def validated(team: Sequence[Forecaster], panel: Panel, h: int, plan: Plan, roll: Roll) -> Validation:
    """What the members, fitted at the first origin alone, forecast from all of them."""
    shares = [share(panel, j) for j in range(len(team))]
    need = max(member._rows_needed(part) for member, part in zip(team, shares, strict=True))
    cutoffs, step = origins_of(panel, h, plan, need)
    n = len(panel)
    if not len(cutoffs):
        nothing = np.empty((len(team), 0, n, h))
        return Validation(cutoffs, cutoffs, nothing, nothing[0], step, np.zeros(n, bool))
    done = [
        roll.on(part, h)(member, cutoffs, design=part, refit=False) for member, part in zip(team, shares, strict=True)
    ]
    repeated = np.concatenate([cutoffs[1:] == cutoffs[:-1], np.zeros((1, n), bool)])
    actual = np.where(repeated[..., None], np.nan, done[0].actual)
    counts = np.isfinite(actual).any(axis=2).sum(axis=0)
    enough = (counts >= FEW) & (counts * step >= plan.least)
    enough = enough if plan.alone else np.full(n, enough.any())
    return Validation(cutoffs, _reach(panel, cutoffs, h), np.stack([one.point for one in done]), actual, step, enough)


def _reach(panel: Panel, cutoffs: Int, h: int) -> Int:
    """Grid position (w, n) of the h-th row after each cutoff (w, n), or of the last one there is."""
    spans = panel.cut(cutoffs)
    last = np.minimum(spans.stop + h, np.resize(panel.stop, len(spans))) - 1
    return panel.position(last, np.resize(np.arange(len(panel)), len(spans))).reshape(cutoffs.shape)


def honest(
    seen: Validation, panel: Panel, settle: Callable[[Validation], Any], combine: Callable[[Any, Float, Panel], Float]
) -> Float:
    """Forecasts (w, n, h) of an ensemble, each part of the origins combined by what earlier ones had told."""
    m, w, n, h = seen.point.shape
    out = np.full((w, n, h), np.nan)
    for part in folds(w):
        known = settle(seen.upto(part.start))
        many = panel.take(np.tile(np.arange(n), part.stop - part.start))
        out[part] = combine(known, seen.point[:, part].reshape(m, -1, h), many).reshape(-1, n, h)
    return out


def folds(windows: int) -> list[slice]:
    """Windows in FOLDS parts, in order of time."""
    ends = np.linspace(0, windows, FOLDS + 1).astype(np.int64)
    return [slice(int(a), int(b)) for a, b in pairwise(ends) if b > a]
