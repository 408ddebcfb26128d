"""A unit's spans on Prophet's scale: time in the span's length, target in its size, regressors standardised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.clock import wall_clock
from tsforecast.models.prophet.features import Features
from tsforecast.models.prophet.layout import DAY, Facts, Unit, changepoints, explicit, facts
from tsforecast.models.prophet.moments import Changes
from tsforecast.models.prophet.settings import Settings
from tsforecast.panel import Float, Int, Panel

__all__ = ["Calendar", "Scaled", "scaled"]


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """The panel's grid as wall-clock times (P,), and the calendar's columns there (P, shared)."""

    wall: NDArray[Any]
    columns: Float

    @classmethod
    def of(cls, panel: Panel, features: Features) -> Calendar:
        """The columns on a panel's grid."""
        wall = wall_clock(panel.grid, panel.tz, panel.freq)
        return cls(wall, features.at(wall))


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """y on the model's scale is (raw - floor) / scale (b,). start (b,) microseconds of the first row; places and number
    (b,) of changepoints; mu, std (b, r) of regressors; columns (x, L, K) of each source, or of each series where rows
    have columns of their own, regressors less their first values `first` (s, r); cap and floors (s, L) raw, or None.
    """

    facts: Facts
    floor: Float
    scale: Float
    start: Int
    places: Changes
    changes: Int
    mu: Float
    std: Float
    columns: Float
    first: Float
    cap: Float | None
    floors: Float | None

    def take(self, index: Int) -> Scaled:
        """Some of the spans."""
        spans = {name: getattr(self, name)[index] for name in ("floor", "scale", "start", "changes", "mu", "std")}
        few = Facts(*(getattr(self.facts, name)[index] for name in Facts.__slots__))
        return replace(self, facts=few, places=self.places.take(index), **spans)


def scaled(panel: Panel, settings: Settings, unit: Unit, calendar: Calendar) -> Scaled:
    """What the solvers need of a unit."""
    about = facts(unit)
    start = unit.start[unit.series]
    places, number = _changes(settings, unit, about, start)
    raw = panel.columns[unit.rows]
    names = list(panel.column_names)
    mu, std, first = _standards(settings, unit, raw[..., [names.index(r.name) for r in settings.features.regressors]])
    cap, floors = (
        raw[..., names.index(name)] if settings.growth == "logistic" and name in names else None
        for name in ("cap", "floor")
    )
    floor, scale = _target_scale(settings, unit, about, cap, floors)
    return Scaled(
        facts=about, floor=floor, scale=scale, start=start, places=places, changes=number, mu=mu, std=std,
        columns=_columns(settings, unit, calendar, raw, names, first), first=first, cap=cap, floors=floors,
    )  # fmt: skip


def _changes(settings: Settings, unit: Unit, about: Facts, start: Int) -> tuple[Changes, Int]:
    """Where the slope may change, and how many of these places lie within each span."""
    none = np.zeros(len(start), dtype=np.int64)
    if settings.growth == "flat":
        return explicit(unit, about, np.empty((len(start), 0))), none
    if settings.moments is None:
        rows, tau, number = changepoints(unit, about, settings.number, settings.share)
        return Changes(tau, rows, about.unit), number
    if not len(settings.moments):
        return explicit(unit, about, np.zeros((len(start), 1))), none
    days = (settings.moments - start[:, None]) / DAY
    return explicit(unit, about, days), ((days >= 0) & (days <= about.unit[:, None])).sum(axis=1)


def _standards(settings: Settings, unit: Unit, raw: Float) -> tuple[Float, Float, Float]:
    """Mean and deviation (b, r) that regressors (s, L, r) are standardised by, and their first values (s, r).

    Zeros and ones stay as they are, as does what is constant.
    """
    first = raw[:, 0]
    seen = unit.observed[..., None]
    moved = np.where(seen, raw - first[:, None], 0.0)
    at = (unit.series, unit.last)
    count = np.cumsum(unit.observed, axis=1)[at][:, None]
    mean = np.cumsum(moved, axis=1)[at] / count
    square = np.cumsum(moved**2, axis=1)[at]
    low, high = np.minimum.accumulate(moved, axis=1)[at], np.maximum.accumulate(moved, axis=1)[at]
    plain = np.cumsum(seen & (raw != 0) & (raw != 1), axis=1)[at] == 0
    wanted = np.array([term.standardize is not False for term in settings.features.regressors], dtype=bool)
    auto = np.array([term.standardize == "auto" for term in settings.features.regressors], dtype=bool)
    std = np.sqrt(np.maximum(square - count * mean**2, 0.0) / np.maximum(count - 1, 1))
    used = wanted & ~(auto & plain) & (high > low) & (std > 0)  # squares of tiny values are 0
    return np.where(used, mean + first[unit.series], 0.0), np.where(used, std, 1.0), first


def _target_scale(
    settings: Settings, unit: Unit, about: Facts, cap: Float | None, floors: Float | None
) -> tuple[Float, Float]:
    """What is taken from the target, where that is one value a span, and what it is divided by (b,)."""
    at, none = (unit.series, unit.last), np.zeros(len(unit.series))
    if floors is None:
        floor = about.low if settings.scaling == "minmax" else none
        scale = about.high - about.low if settings.scaling == "minmax" else about.top
    elif settings.scaling == "minmax":
        assert cap is not None
        lowest = np.minimum.accumulate(np.where(unit.observed, floors, np.inf), axis=1)[at]
        floor, scale = none, np.maximum.accumulate(np.where(unit.observed, cap, -np.inf), axis=1)[at] - lowest
    else:
        above = np.where(unit.observed, np.abs(unit.y + unit.base[:, None] - floors), 0.0)
        floor, scale = none, np.maximum.accumulate(above, axis=1)[at]
    return floor, np.where(scale == 0, 1.0, scale)


def _columns(settings: Settings, unit: Unit, calendar: Calendar, raw: Float, names: list[str], first: Float) -> Float:
    """Columns (x, L, K) of the sources: shared by series where only the calendar has a say."""
    features = settings.features
    shared = calendar.columns[unit.position]
    if not features.has_row_columns:
        return shared
    wall = calendar.wall[unit.position]
    own = features.of_rows(wall, raw[unit.chief], names)
    r = len(features.regressors)
    if r:
        own[..., -r:] -= first[unit.chief][:, None]
    own = np.where(unit.observed[unit.chief][..., None], own, 0.0)
    return np.concatenate([shared, own], axis=2)
