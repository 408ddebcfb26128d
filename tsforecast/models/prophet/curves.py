"""One period of every seasonality, as a curve with its bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tsforecast.calendars.harmonics import fourier
from tsforecast.calendars.rhythm import Rhythm
from tsforecast.models.prophet.components import deviation
from tsforecast.models.prophet.forecasting import State
from tsforecast.models.prophet.inference import covariances
from tsforecast.models.prophet.layout import DAY
from tsforecast.models.prophet.settings import Settings
from tsforecast.models.prophet.terms import Seasonality
from tsforecast.panel import Float, Int, Panel

__all__ = ["curves"]

WEEK = 7.0
MONDAY = 4
"""Days from 1970-01-01, where every phase is 0, to the first Monday."""


def curves(
    panel: Panel, settings: Settings, state: State, levels: Sequence[float]
) -> tuple[Int, dict[str, NDArray[Any]]]:
    """Series (rows,) and columns seasonality, period, mode, day, estimate, lo-80, hi-80: a period of each seasonality.

    Bands are Laplace's approximation at the mode. A series has no rows of a seasonality that its fit left out.
    """
    features, f = settings.features, panel.series
    terms = (*features.seasonalities, *features.conditional)
    days = [_days(term, Rhythm.of(panel.freq)) for term in terms]
    term = np.repeat(np.arange(len(terms)), [len(part) for part in days])
    k = len(features.names)
    x, own = np.zeros((len(term), k)), np.zeros((len(term), k), dtype=bool)
    for i, (one, at) in enumerate(zip(terms, days, strict=True)):
        block = np.ix_(term == i, np.array(features.component) == one.name)
        x[block], own[block] = _waves(one, at), True
    beta = state["beta"][f]
    kept = ((beta != 0)[:, None, :] & own).any(axis=2)
    share = np.array([one.mode == "multiplicative" for one in terms])[term]
    size = np.where(share, 1.0, state["scale"][f, None])
    table: dict[str, NDArray[Any]] = {
        "seasonality": np.array([one.name for one in terms], dtype=object)[term],
        "period": np.array([one.period for one in terms], dtype=float)[term],
        "mode": np.array([one.mode for one in terms], dtype=object)[term],
        "day": np.concatenate([np.empty(0), *days]),
        "estimate": (x @ beta[..., None])[..., 0] * size,
    }
    if levels:
        error = np.zeros(kept.shape)
        for spans, cov in covariances(panel, settings, state):
            error[spans] = deviation(x, cov[:, 2 : 2 + k, 2 : 2 + k])
        for level in levels:
            width = error * size * ndtri(0.5 + level / 200)
            table |= {f"lo-{level:g}": table["estimate"] - width, f"hi-{level:g}": table["estimate"] + width}
    rows = {name: np.broadcast_to(values, kept.shape)[kept] for name, values in table.items()}
    return np.repeat(np.arange(len(f)), kept.sum(axis=1)), rows


def _days(term: Seasonality, rhythm: Rhythm) -> Float:
    """Days (P,) since a period began; of data finer than a day its hours, of short periods quarters of them."""
    if rhythm.kind != "fine" or term.period > 31:
        return np.array(rhythm.weekdays, dtype=float) if term.period == WEEK else np.arange(0.0, term.period)
    step = 1 / 24 if term.period > 2 else 1 / 96
    return np.arange(0.0, term.period + step / 2, step)


def _waves(term: Seasonality, days: Float) -> Float:
    """Fourier columns (P, 2 * order) on days since a period began."""
    since = np.round((days + (MONDAY if term.period == WEEK else 0)) * DAY)
    return fourier(since.astype(np.int64).astype("datetime64[us]"), term.period, term.fourier_order)
