"""Baselines: Naive, SeasonalNaive, Drift, WindowMean and Climatology."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tsforecast.errors import ConfigError, whole
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import Roll, State
from tsforecast.windows import main_season, normal_widths, seasonal_last, tiles

__all__ = ["Climatology", "Drift", "Naive", "SeasonalNaive", "WindowMean"]


@dataclass(eq=False, repr=False)
class _Rule(Forecaster):
    """A baseline that estimates nothing: all it needs are the last rows."""

    has_intervals: ClassVar[bool] = True
    complexity: ClassVar[int] = 0
    uses_columns: ClassVar[bool] = False

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        return {}


@dataclass(eq=False, repr=False)
class Naive(_Rule):
    """The last observed value; intervals grow with the square root of the step.

    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 5.2, 5.5.
    """

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        return seasonal_last(panel, 1, h, levels)


@dataclass(eq=False, repr=False)
class SeasonalNaive(_Rule):
    """The last observed value at the same place in the season; `season=None` takes the frequency's shortest.

    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 5.2, 5.5.
    """

    season: int | None = None

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.season is not None:
            whole("season", self.season, 1)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        return seasonal_last(panel, self.season or main_season(panel), h, levels)


@dataclass(eq=False, repr=False)
class Drift(_Rule):
    """The line through the first and last observed values; a series of one row stays level.

    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 5.2, 5.5.
    """

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        first, last, span, behind, sd = _line(panel)
        slope = np.where(span > 0, (last - first) / np.maximum(span, 1), 0.0)
        steps = behind[:, None] + np.arange(1, h + 1)
        point = last[:, None] + slope[:, None] * steps
        if not levels:
            return Forecast(point)
        spread = sd[:, None] * np.sqrt(steps * (1 + steps / np.maximum(span, 1)[:, None]))
        width = normal_widths(spread, levels)
        return Forecast(point, point[..., None] - width, point[..., None] + width)


def _line(panel: Panel) -> tuple[Float, Float, Float, Float, Float]:
    """First and last observed value, rows between them, rows after the last, sd of the steps about the slope; (n,)."""
    out = np.full((5, len(panel)), np.nan)
    for tile in tiles(panel):
        y = tile.gather(panel.y)
        seen = np.isfinite(y)
        width = y.shape[1]
        a, b = seen.argmax(axis=1), width - 1 - seen[:, ::-1].argmax(axis=1)
        every = np.arange(len(y))
        first, last, span = y[every, a], y[every, b], (b - a).astype(float)
        slope = np.where(span > 0, (last - first) / np.maximum(span, 1), 0.0)
        steps = np.diff(y, axis=1) - slope[:, None]
        known = np.isfinite(steps)
        sd = np.sqrt((np.where(known, steps, 0.0) ** 2).sum(axis=1) / np.maximum(known.sum(axis=1) - 1, 1))
        out[:, tile.index] = np.stack([first, last, span, width - 1.0 - b, sd])
    first_, last_, span_, behind_, sd_ = out
    return first_, last_, span_, behind_, sd_


@dataclass(eq=False, repr=False)
class WindowMean(_Rule):
    """The mean of the last `window` rows, missing ones left out; `window=None` takes one season (or all rows)."""

    window: int | None = None

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.window is not None:
            whole("window", self.window, 1)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        season = main_season(panel)
        window = self.window or (season if season > 1 else max(1, int(panel.lengths.max(initial=1))))
        mean, sd, count = _moments(panel.tail(window))
        point = np.repeat(mean[:, None], h, axis=1)
        if not levels:
            return Forecast(point)
        spread = np.repeat((sd * np.sqrt(1 + 1 / np.maximum(count, 1)))[:, None], h, axis=1)
        width = normal_widths(spread, levels)
        return Forecast(point, point[..., None] - width, point[..., None] + width)


def _moments(panel: Panel) -> tuple[Float, Float, Float]:
    """Mean, standard deviation (n - 1) and count of the observed rows (n,); the mean is NaN where there are none."""
    out = np.full((3, len(panel)), np.nan)
    for tile in tiles(panel):
        y = tile.gather(panel.y)
        seen = np.isfinite(y)
        count = seen.sum(axis=1).astype(float)
        mean = np.where(count > 0, np.where(seen, y, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
        gap = np.where(seen, y - mean[:, None], 0.0)
        sd = np.sqrt((gap**2).sum(axis=1) / np.maximum(count - 1, 1))
        out[:, tile.index] = np.stack([mean, sd, count])
    mean_, sd_, count_ = out
    return mean_, sd_, count_


@dataclass(eq=False, repr=False)
class Climatology(Forecaster):
    """The seasonal normal: a mean for each place in the season, or harmonics, and a linear trend where it can be told.

    `kind="auto"` takes means for seasons up to 24 rows and `harmonics` sine-cosine pairs for longer ones;
    `season=None` takes a year where the frequency has one (365.2425 days, 52.1775 weeks, 12 months, 4 quarters),
    else the main season.
    `trend="auto"` needs three seasons.
    """

    season: float | None = None
    kind: Literal["auto", "means", "harmonics"] = "auto"
    harmonics: int = 3
    trend: bool | Literal["auto"] = "auto"

    has_intervals: ClassVar[bool] = True
    complexity: ClassVar[int] = 1
    uses_columns: ClassVar[bool] = False

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.kind not in ("auto", "means", "harmonics"):
            raise ConfigError(f"kind must be auto, means or harmonics, got {self.kind!r}")
        if self.harmonics < 1:
            raise ConfigError(f"harmonics must be at least 1, got {self.harmonics}")
        if self.season is not None and self.season < 1:
            raise ConfigError(f"season must be at least 1 row, got {self.season}")

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        season = self.season or _year(panel)
        means = self.kind == "means" or (self.kind == "auto" and season <= 24)
        width = round(season) if means else 2 * self.harmonics + 1
        coef = np.full((len(panel), width + 1), np.nan)
        sd = np.full(len(panel), np.nan)
        # Each series counts time from its own first row: dates of other series must not matter.
        first = _first(panel)
        for tile in tiles(panel):
            y = tile.gather(panel.y)
            t = (panel.position(tile.rows, tile.index[:, None]) - first[tile.index, None]).astype(float)
            seen = np.isfinite(y)
            long = seen.sum(axis=1) >= 3 * season
            slope = long if self.trend == "auto" else np.full(len(y), bool(self.trend))
            coef[tile.index], sd[tile.index] = _normal(y, t, seen, slope, season, means, self.harmonics)
        origin = panel.grid[first] if len(panel.grid) else first
        return {"coef": coef, "sd": sd, "origin": origin, "season": float(season), "means": bool(means)}

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        origin = np.searchsorted(panel.grid, state["origin"][panel.series])
        t = (panel.last - origin)[:, None] + np.arange(1.0, h + 1)
        x = _basis(t, state["season"], state["means"], self.harmonics)
        coef = state["coef"][panel.series]
        point = np.einsum("nhk,nk->nh", x, coef)
        if not levels:
            return Forecast(point)
        width = normal_widths(np.repeat(state["sd"][panel.series][:, None], h, axis=1), levels)
        return Forecast(point, point[..., None] - width, point[..., None] + width)


def _first(panel: Panel) -> Int:
    """Grid position of each series' first row (n,), 0 for an empty one."""
    if not len(panel.y):
        return np.zeros(len(panel), dtype=np.int64)
    rows = np.minimum(panel.start, len(panel.y) - 1)
    return np.where(panel.lengths > 0, panel.position(rows, np.arange(len(panel))), 0)


def _year(panel: Panel) -> float:
    alias = panel.freq.partition("-")[0] if isinstance(panel.freq, str) else ""
    return {"D": 365.2425, "W": 52.1775, "B": 260.9, "h": 8765.82}.get(alias, float(main_season(panel)))


def _basis(t: Float, season: float, means: bool, harmonics: int) -> Float:
    """Columns (..., k): places of the season, or 1 with sine-cosine pairs; last the time in seasons."""
    trend = (t / season)[..., None]
    if means:
        place = (t % round(season))[..., None] == np.arange(round(season))
        return np.concatenate([place, trend], axis=-1)
    angle = 2 * np.pi * t[..., None] / season * np.arange(1, harmonics + 1)
    return np.concatenate([np.ones((*t.shape, 1)), np.sin(angle), np.cos(angle), trend], axis=-1)


def _normal(
    y: Float, t: Float, seen: Float, slope: Float, season: float, means: bool, harmonics: int
) -> tuple[Float, Float]:
    """Least-squares coefficients (s, k + 1) and residual sd (s,); a tiny ridge settles places never seen."""
    count = np.maximum(seen.sum(axis=1), 1)
    level = np.where(seen, y, 0.0).sum(axis=1) / count
    middle = np.where(seen, t, 0).sum(axis=1) / count
    x = _basis(t, season, means, harmonics)
    x[..., -1] = np.where(slope[:, None], x[..., -1] - (middle / season)[:, None], 0.0)
    if not means:
        # Less than one season of data cannot tell harmonics from trend: the mean alone is honest.
        x[..., 1:-1] *= (seen.sum(axis=1) >= season)[:, None, None]
    x *= seen[..., None]
    target = np.where(seen, y - level[:, None], 0.0)
    gram = np.swapaxes(x, 1, 2) @ x
    gram[:, np.arange(gram.shape[1]), np.arange(gram.shape[1])] += 1e-6
    coef = np.asarray(np.linalg.solve(gram, (np.swapaxes(x, 1, 2) @ target[..., None]))[..., 0], dtype=np.float64)
    left = target - np.einsum("stk,sk->st", x, coef)
    free = np.maximum(seen.sum(axis=1) - (x.any(axis=1)).sum(axis=1), 1)
    sd: Float = np.sqrt((left**2 * seen).sum(axis=1) / free)
    # Undo the centring of level and time: the indicators (or the constant) take both.
    shift = level - coef[:, -1] * middle / season
    coef[:, : round(season) if means else 1] += shift[:, None]
    coef[~seen.any(axis=1)] = np.nan
    return coef, sd
