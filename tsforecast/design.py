"""The columns a model sees: past, known and calendar ones, text as indicators, in one fixed order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from tsforecast import frames
from tsforecast.calendars.almanac import Almanac
from tsforecast.calendars.features import features
from tsforecast.errors import SHOWN, ConfigError, DataWarning, Finding, listed
from tsforecast.panel import Float, Panel

__all__ = ["ahead", "keep_calendar", "known_only", "prepare"]


def prepare(panel: Panel, past: Sequence[str], known: Sequence[str], almanac: Almanac) -> Panel:
    """The panel with the columns of a model alone: past, then known (both with text expanded), then calendar.

    Excluded rows have no target from here on, so that every family leaves them out alike.
    """
    if panel.excluded is not None:
        panel = panel.replace(y=np.where(panel.excluded, np.nan, panel.y))
    if not (past or known or almanac.words):
        return panel if not panel.column_names else panel.with_columns(np.empty((len(panel.y), 0)), (), 0)
    doubled = set(past) & set(known)
    if doubled:
        raise ConfigError(f"columns are both past and known: {listed(sorted(doubled))}; name each once")
    parts: list[Float] = []
    names: list[str] = []
    n_past = 0
    for name in (*past, *known):
        values, labels = expanded(_finite(_column(panel, name), name, panel), name, panel)
        parts.append(values)
        names += labels
        n_past += len(labels) if name in past else 0
    if almanac.words:
        values, labels_ = features(panel.grid, almanac, freq=panel.freq, tz=panel.tz)
        owner = panel.owner
        rows = panel.rows
        block = np.full((len(panel.y), values.shape[1]), np.nan)
        block[rows] = values[panel.position(rows, owner)]
        parts.append(block)
        names += labels_
    return panel.with_columns(np.concatenate(parts, axis=1), names, n_past)


def ahead(panel: Panel, known: Sequence[str], almanac: Almanac, h: int, future: Any) -> Float:
    """Values (n, h, k) of known and calendar columns for the h steps after each series, as `prepare` orders them."""
    parts: list[Float] = [np.empty((len(panel), h, 0))]
    if known:
        raw = frames.known_ahead(known_only(panel, known), future, h)
        for j, name in enumerate(known):
            parts.append(expanded(raw[:, :, j], name, panel)[0])
    if almanac.words:
        times = frames.future_times(panel, h, future=future)
        unique, where = np.unique(times, return_inverse=True)
        values, _ = features(unique, almanac, freq=panel.freq, tz=panel.tz)
        parts.append(values[where.reshape(times.shape)])
    return np.concatenate(parts, axis=2)


def keep_calendar(panel: Panel, almanac: Almanac) -> Almanac:
    """The almanac with the holidays that a model fitted on the panel goes by from now on, and its columns."""
    if not almanac.words or panel.grid.dtype.kind != "M":
        return almanac
    labels = features(panel.grid[:0], almanac, freq=panel.freq, tz=panel.tz)[1]
    years = panel.grid[[0, -1]].astype("datetime64[Y]").astype(np.int64) + 1970 if len(panel.grid) else (1970, 1970)
    return almanac.keeping(int(years[0]), int(years[1]), [name for name in panel.known_names if name in labels])


def known_only(panel: Panel, known: Sequence[str]) -> Panel:
    """The panel as the future door wants it: its known columns under the caller's names."""
    return panel.replace(column_names=tuple(known), n_past=0)


def expanded(values: Float, name: str, panel: Panel) -> tuple[Float, list[str]]:
    """A column (...) as (..., 1), or one indicator a label (..., c) where it is text; NaN stays NaN."""
    labels = panel.categories.get(name)
    if labels is None:
        return values[..., None], [name]
    hot = (values[..., None] == np.arange(len(labels))).astype(float)
    hot[np.isnan(values)] = np.nan
    return hot, [f"{name}={label}" for label in labels]


def _finite(values: Float, name: str, panel: Panel) -> Float:
    """A column with infinities as missing values, and a DataWarning that says where they were."""
    owner, rows = panel.owner, panel.rows
    bad = np.flatnonzero(np.isinf(values[rows]))
    if not len(bad):
        return values
    for i in np.unique(owner[bad])[:SHOWN]:
        mine = bad[owner[bad] == i]
        when = panel.grid[panel.position(rows[mine], owner[mine])][:SHOWN]
        finding = Finding(
            "TSF-Y-NONFINITE", "infinite values are taken as missing", series=panel.ids[i], column=name,
            when=tuple(str(stamp) for stamp in when), count=len(mine), fix="Correct them in the data",
        )  # fmt: skip
        warnings.warn(finding.line(), DataWarning, stacklevel=2)
    return np.where(np.isinf(values), np.nan, values)


def _column(panel: Panel, name: str) -> Float:
    if name not in panel.column_names:
        near = get_close_matches(name, panel.column_names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        there = listed(panel.column_names, 20) or "none besides id, time and target"
        raise ConfigError(f"the data has no column {name!r}{hint} (columns: {there})")
    return panel.column(name)
