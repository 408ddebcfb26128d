"""Forecasts from fitted spans: trend, terms, and intervals in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tsforecast.calendars.clock import wall_clock
from tsforecast.forecast import Forecast
from tsforecast.models.prophet import uncertainty
from tsforecast.models.prophet.features import Features
from tsforecast.models.prophet.layout import DAY
from tsforecast.panel import Bool, Float, Int
from tsforecast.rolling import State

__all__ = [
    "Ahead",
    "State",
    "changes_ahead",
    "columns_of",
    "forecast",
    "groups_of",
    "pieces",
    "simulate",
    "terms",
    "trend",
]

CELLS = 2_000_000
"""Column values held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """The rows to forecast: moments (n, h) datetime64[us] of the panel's grid and of the wall clock, values (n, h, c)
    of the columns `names` of the rows; fits (n,) numbers the fitted spans that they use.
    """

    times: NDArray[Any]
    wall: NDArray[Any]
    rows: Float
    names: tuple[str, ...]
    fits: Int

    @classmethod
    def of(cls, times: NDArray[Any], rows: Float, names: Sequence[str], fits: Int, clock: tuple[Any, Any]) -> Ahead:
        """With the wall clock of a time zone and frequency."""
        return cls(times, wall_clock(times, *clock), rows, tuple(names), fits)

    def column(self, name: str) -> Float | None:
        """Values (n, h) of one column, None without it."""
        return self.rows[..., self.names.index(name)] if name in self.names else None

    def scaled_time(self, state: State) -> Float:
        """Time (n, h): 0 at the first row that was fitted on, 1 at the last."""
        since = self.times.astype("datetime64[us]").astype(np.int64) - state["start"][self.fits, None]
        t: Float = since / (DAY * state["unit"][self.fits, None])
        return t


def argument(state: State, ahead: Ahead, growth: str) -> Float:
    """The piecewise linear function (n, h) behind the trend: the trend itself, or what the sigmoid is taken of."""
    f = ahead.fits
    if growth == "flat":
        return np.broadcast_to(state["m"][f, None], ahead.times.shape)
    t = ahead.scaled_time(state)
    line: Float = state["k"][f, None] * (t - state["m"][f, None] if growth == "logistic" else t)
    for j in range(state["delta"].shape[1]):  # hinges one by one: (n, h, S) would be the largest array by far
        line += state["delta"][f, j, None] * np.maximum(t - state["at"][f, j, None], 0.0)
    return line if growth == "logistic" else line + state["m"][f, None]


def capacity(state: State, ahead: Ahead) -> tuple[Float, Float]:
    """Capacity less floor on the model's scale, and the floor in units of the data (n, h)."""
    own, floor = ahead.column("floor"), state["floor"][ahead.fits, None]
    base = np.broadcast_to(floor, ahead.times.shape) if own is None else own
    cap = ahead.column("cap")
    assert cap is not None
    return (cap - base) / state["scale"][ahead.fits, None], base


def trend(state: State, ahead: Ahead, growth: str) -> tuple[Float, Float]:
    """Trend on the model's scale, and the floor in units of the data (n, h)."""
    line = argument(state, ahead, growth)
    if growth != "logistic":
        return line, np.broadcast_to(state["floor"][ahead.fits, None], line.shape)
    cap, floor = capacity(state, ahead)
    return cap * expit(line), floor


def terms(state: State, ahead: Ahead, features: Features, groups: Sequence[Int]) -> list[Float]:
    """For each group of columns, their sum weighted by the coefficients (n, h), on the model's scale."""
    n, h = ahead.times.shape
    k = len(features.names)
    out = [np.zeros((n, h)) for _ in groups]
    if not k or not n:
        return out
    step = max(1, CELLS // (h * k))
    for some, x in columns_of(state, ahead, features, step):
        beta = state["beta"][ahead.fits[some]]
        for total, columns in zip(out, groups, strict=True):
            # One by one: a product would group its sums by how many columns there are, those of other series included.
            for j in columns:
                total[some] += x[..., j] * beta[:, j, None]
    return out


def columns_of(state: State, ahead: Ahead, features: Features, step: int) -> Iterator[tuple[slice, Float]]:
    """Values (s, h, K) of all columns, `step` spans at a time."""
    stamps, back = np.unique(ahead.wall, return_inverse=True)
    shared, back = features.at(stamps), back.reshape(ahead.wall.shape)
    for a in range(0, len(back), step):
        some = slice(a, a + step)
        x = shared[back[some]]
        yield some, np.concatenate([x, _own(state, ahead, features, some)], axis=2) if features.has_row_columns else x


def _own(state: State, ahead: Ahead, features: Features, some: slice) -> Float:
    own = features.of_rows(ahead.wall[some], ahead.rows[some], ahead.names)
    r = len(features.regressors)
    if r:
        f = ahead.fits[some]
        own[..., -r:] = (own[..., -r:] - state["mu"][f, None]) / state["std"][f, None]
    return own


def pieces(state: State, ahead: Ahead, features: Features, growth: str) -> tuple[Float, Float, Float, Float]:
    """Trend, factor 1 + multiplicative terms and additive terms on the model's scale, floor in units of the data."""
    many = features.multiplicative
    times, plus = terms(state, ahead, features, [np.flatnonzero(many), np.flatnonzero(~many)])
    line, floor = trend(state, ahead, growth)
    return line, 1.0 + times, plus, floor


def forecast(state: State, ahead: Ahead, features: Features, growth: str, levels: Sequence[float]) -> Forecast:
    """Point and intervals (n, h): noise, and slope changes to come at the rate and of the size of those found."""
    scale = state["scale"][ahead.fits, None]
    line, factor, plus, floor = pieces(state, ahead, features, growth)
    point = (line * factor + plus) * scale + floor
    if not levels:
        return Forecast(point)
    rate, spread, distance, sigma = changes_ahead(state, ahead, growth)
    if growth == "logistic":
        cap, _ = capacity(state, ahead)
        low, high = uncertainty.logistic_quantiles(
            levels, rate, spread, distance, sigma, argument(state, ahead, growth), cap * factor
        )
        shift = (plus * scale + floor)[..., None]
        return Forecast(point, low * scale[..., None] + shift, high * scale[..., None] + shift)
    width = uncertainty.half_widths(levels, rate, spread[:, None] * np.abs(factor), distance, sigma) * scale[..., None]
    return Forecast(point, point[..., None] - width, point[..., None] + width)


def simulate(
    state: State, ahead: Ahead, features: Features, growth: str, draws: Float, randoms: Iterable[np.random.Generator]
) -> Float:
    """Sample paths (n, h, p) from standard normal draws (n, h, p): a trend that goes on changing, and noise."""
    line, factor, plus, floor = pieces(state, ahead, features, growth)
    rate, spread, distance, sigma = changes_ahead(state, ahead, growth)
    bend = uncertainty.trend_paths(rate, spread, distance, randoms, draws.shape[2])
    if growth == "logistic":
        cap, _ = capacity(state, ahead)
        path = cap[..., None] * expit(argument(state, ahead, growth)[..., None] + bend)
    else:
        path = line[..., None] + bend
    path = path * factor[..., None] + plus[..., None] + sigma[:, None, None] * draws
    paths: Float = path * state["scale"][ahead.fits, None, None] + floor[..., None]
    return paths


def changes_ahead(state: State, ahead: Ahead, growth: str) -> tuple[Float, Float, Float, Float]:
    """Rate (n,) of slope changes a unit of t, their mean size (n,), time past the fitted rows (n, h), noise (n,)."""
    f = ahead.fits
    if growth == "flat":
        return np.zeros(len(f)), np.zeros(len(f)), np.zeros(ahead.times.shape), state["sigma"][f]
    rate = state["changes"][f].astype(float)
    spread = np.abs(state["delta"][f]).sum(axis=1) / np.maximum(rate, 1.0)
    distance = np.maximum(ahead.scaled_time(state) - 1.0, 0.0)
    return rate, spread, distance, state["sigma"][f]


def groups_of(features: Features, state: State) -> tuple[list[str], list[Int], Bool]:
    """Components in order, the columns of each, and whether it multiplies the trend.

    A seasonality that no history was long enough to switch on is none.
    """
    columns: dict[str, list[int]] = {}
    for j, name in enumerate(features.component):
        columns.setdefault(name, []).append(j)
    off = [name for name in features.auto if name in columns and not state["beta"][:, columns[name]].any()]
    kept = {name: np.array(part, dtype=np.int64) for name, part in columns.items() if name not in off}
    many = np.array([features.multiplicative[part[0]] for part in kept.values()], dtype=bool)
    return list(kept), list(kept.values()), many
