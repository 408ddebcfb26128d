"""How an ensemble did on its validation rows, by horizon band: its members, itself, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tsforecast import frames
from tsforecast.comparison import diebold_mariano
from tsforecast.compose.validation import Validation, folds
from tsforecast.panel import Float, Panel
from tsforecast.rolling import State
from tsforecast.windows.bands import band_names, band_of

__all__ = ["judged", "validation_table"]


def judged(seen: Validation, own: Float, plain: Float, first: Sequence[int]) -> State:
    """Mean squared errors (b, m + 2) of m members, the ensemble's own errors (w, n, h) and plain ones, by band;
    statistic and pvalue (b,) of Diebold and Mariano between the last two, from the mean losses of the origins.

    Only origins count at which something had been learned (NaN where that never was), and only places that all of
    them reach.
    """
    w, n, h = own.shape
    late = next((part.start for part in folds(w) if seen.upto(part.start).enough.any()), w)
    every = np.concatenate([seen.errors, own[None], plain[None]])[:, late:]
    losses = np.where(np.isfinite(every).all(axis=0), every, np.nan) ** 2
    bands, step = band_of(first, h), max(int(seen.step.min(initial=h)), 1)
    shape = (len(first), len(every))
    mse, statistic, pvalue = np.full(shape, np.nan), np.full(len(first), np.nan), np.full(len(first), np.nan)
    for b in range(len(first)):
        part = losses[..., bands == b].reshape(len(every), w - late, n * int((bands == b).sum()))
        count = np.isfinite(part).sum(axis=2)
        if not count.any():
            continue
        mse[b] = np.nansum(part, axis=(1, 2)) / count.sum(axis=1)
        mean = np.where(count > 0, np.nansum(part, axis=2) / np.maximum(count, 1), np.nan)
        farthest = int(np.flatnonzero(bands == b)[-1]) + 1
        test = diebold_mariano(np.sqrt(mean[-2]), np.sqrt(mean[-1]), -(-farthest // step))
        statistic[b], pvalue[b] = test.statistic, test.pvalue
    origins = int(np.isfinite(losses[0]).any(axis=(1, 2)).sum()) if losses.size else 0
    return {
        "mse": mse, "statistic": statistic, "pvalue": pvalue, "first": list(first), "h": h, "origins": origins,
    }  # fmt: skip


def validation_table(told: State, names: Sequence[str], panel: Panel) -> Any:
    """Table of `judged`: steps, model, mse, origins, and in the row of the ensemble gain, dm, pvalue."""
    mse = np.asarray(told["mse"])
    bands, models = mse.shape
    own = np.tile(np.arange(models) == models - 2, bands)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = 1 - mse[:, -2] / mse[:, -1]
    columns: dict[str, Any] = {
        "steps": np.repeat(np.array(band_names(told["first"], told["h"]), dtype=object), models),
        "model": np.tile(np.array(names, dtype=object), bands),
        "mse": mse.ravel(),
        "origins": np.full(bands * models, told["origins"]),
    }
    for name, values in (("gain", gain), ("dm", told["statistic"]), ("pvalue", told["pvalue"])):
        columns[name] = np.where(own, np.repeat(values, models), np.nan)
    return frames.native(columns, panel)
