"""What each component adds to each value: trend, seasonalities, holidays and regressors as columns that add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from tsforecast import frames
from tsforecast.errors import ConfigError, listed
from tsforecast.models.prophet.forecasting import (
    Ahead,
    State,
    argument,
    capacity,
    changes_ahead,
    columns_of,
    groups_of,
    terms,
    trend,
)
from tsforecast.models.prophet.inference import covariances
from tsforecast.models.prophet.settings import Settings
from tsforecast.models.prophet.uncertainty import half_widths
from tsforecast.panel import Float, Panel

__all__ = ["bands", "contributions", "deviation", "table"]


def contributions(state: State, ahead: Ahead, settings: Settings, name: str) -> dict[str, Float]:
    """Columns (n, h) in units of the data: trend, then every component, then `name`, their sum.

    A component that multiplies the trend is shown as what it adds where it acts.
    """
    names, groups, many = groups_of(settings.features, state)
    scale = state["scale"][ahead.fits, None]
    line, floor = trend(state, ahead, settings.growth)
    parts = terms(state, ahead, settings.features, groups)
    out = {"trend": line * scale + floor}
    for component, part, times in zip(names, parts, many, strict=True):
        out[component] = part * scale * (line if times else 1.0)
    return out | {name: np.sum(list(out.values()), axis=0)}


def bands(
    state: State, ahead: Ahead, settings: Settings, panel: Panel, levels: Sequence[float]
) -> dict[str, tuple[Float, Float]]:
    """Lower and upper (n, h, q) of what `contributions` gives, but for the sum: Laplace's approximation at the mode.

    The trend's also holds the slope changes to come; a component that multiplies takes the trend as known.
    `panel` holds the rows that the model was fitted on, span i of it being span i of `ahead`.
    """
    names, groups, many = groups_of(settings.features, state)
    n, h = ahead.times.shape
    k = len(settings.features.names)
    error = {component: np.zeros((n, h)) for component in ("trend", *names)}
    basis = _trend_basis(state, ahead, settings)
    lines = trend(state, ahead, settings.growth)[0]
    for spans, cov in covariances(panel, settings, state):
        some = Ahead(ahead.times[spans], ahead.wall[spans], ahead.rows[spans], ahead.names, ahead.fits[spans])
        place = np.r_[0:2, 2 + k : cov.shape[1]]
        error["trend"][spans] = deviation(basis[spans], cov[:, place[:, None], place])
        if not k:
            continue
        for part, x in columns_of(state, some, settings.features, max(1, 2_000_000 // (h * k))):
            for component, columns, times in zip(names, groups, many, strict=True):
                inner = cov[part][:, 2 + columns[:, None], 2 + columns]
                size = np.abs(lines[spans[part]]) if times else 1.0
                error[component][spans[part]] = deviation(x[..., columns], inner) * size
    scale = state["scale"][ahead.fits, None, None]
    whole = contributions(state, ahead, settings, "")
    rate, spread, distance, _ = changes_ahead(state, ahead, settings.growth)
    out = {}
    for component, sd in error.items():
        bend = rate * (component == "trend")
        width = half_widths(levels, bend, spread, distance, sd)
        if component == "trend" and settings.growth == "logistic":
            cap, floor = capacity(state, ahead)
            inner = argument(state, ahead, settings.growth)[..., None]
            low, high = (cap[..., None] * expit(inner + sign * width) * scale + floor[..., None] for sign in (-1, 1))
            out[component] = low, high
            continue
        middle = whole[component][..., None]
        out[component] = middle - width * scale, middle + width * scale
    return out


def table(
    settings: Settings, state: State, panel: Panel, parts: Sequence[Ahead], name: str, levels: Sequence[float]
) -> Any:
    """Long table of `contributions` and `bands` for several sets of rows, by series and time.

    ConfigError where two of its columns would have one name.
    """
    keys = [part for part in (panel.names.id, panel.names.time) if part is not None]
    titles = [*keys, "trend", *groups_of(settings.features, state)[0], name]
    twice = [repr(title) for title in dict.fromkeys(titles) if titles.count(title) > 1]
    if twice:
        raise ConfigError(
            f"two columns of the components would be called {listed(twice)}: give the model another alias, or rename "
            "the term or the column"
        )
    owner = np.concatenate([np.repeat(np.arange(len(panel)), part.times.shape[1]) for part in parts])
    times = np.concatenate([part.times.ravel() for part in parts])
    columns: dict[str, list[Float]] = {}
    for part in parts:
        for component, values in contributions(state, part, settings, name).items():
            columns.setdefault(component, []).append(values.ravel())
        for component, (low, high) in (bands(state, part, settings, panel, levels) if levels else {}).items():
            for q, level in enumerate(levels):
                columns.setdefault(f"{component}-lo-{level:g}", []).append(low[..., q].ravel())
                columns.setdefault(f"{component}-hi-{level:g}", []).append(high[..., q].ravel())
    # By series and time, each moment once: rows of shorter series were filled up with their last one.
    number = times.astype("datetime64[us]").astype(np.int64)
    order = np.lexsort((number, owner))
    twice = (np.diff(owner[order], prepend=-1) == 0) & (np.diff(number[order], prepend=-1) == 0)
    order = order[~twice]
    whole = {component: np.concatenate(values)[order] for component, values in columns.items()}
    return frames.rows_table(panel, owner[order], times[order], whole)


def _trend_basis(state: State, ahead: Ahead, settings: Settings) -> Float:
    """Derivatives (n, h, 2 + S) of what the trend is made of by slope, level and slope changes."""
    t = ahead.scaled_time(state)
    along = np.zeros_like(t) if settings.growth == "flat" else t
    hinges = np.maximum(t[..., None] - state["at"][ahead.fits][:, None, :], 0.0)
    return np.concatenate([along[..., None], np.ones_like(t)[..., None], hinges], axis=2)


def deviation(x: Float, cov: Float) -> Float:
    """Standard deviations (n, h) of x (n, h, c) or (h, c) times coefficients with covariance (n, c, c)."""
    out: Float = np.sqrt(np.maximum(((x @ cov) * x).sum(axis=2), 0.0))
    return out
