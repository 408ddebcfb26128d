"""Scoped: ensembles whose forecast is a weighted sum of the members', the weights told by group and horizon band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from tsforecast import frames
from tsforecast.compose.ensemble import Ensemble
from tsforecast.compose.validation import Validation
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows.bands import band_names, band_of, bands_of

__all__ = ["Scoped", "alike", "sizes_of"]


@dataclass(eq=False, repr=False)
class Scoped(Ensemble):
    """Base of ensembles that weigh their members: state "weights" (g, b, m) by group of series and band of steps.

    `scope` says who shares weights: all series ("global"), those of one value of a static column, or none ("series").
    `bands` are the first steps of the horizon bands, as in (1, 2, 4, 8).
    """

    scope: str = field(default="global", kw_only=True)
    bands: Literal["auto"] | Sequence[int] = field(default="auto", kw_only=True)

    @property
    def _prior(self) -> Float:
        """Weights (m,) of series that no error tells of."""
        return np.full(len(self._made()), 1 / len(self._made()))

    @property
    def _pools(self) -> bool:
        return self.scope != "series"

    def _validate(self, h: int | None) -> None:
        super()._validate(h)
        _check_bands(self.bands)

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.scope not in ("series", "global", *panel.static):
            there = listed(panel.static) or "none was given"
            raise ConfigError(f"scope must be 'series', 'global' or a static column ({there}), got {self.scope!r}")
        super()._check(panel, h)

    def _reference(self, panel: Panel) -> State:
        return alike(self._prior)

    def _bands(self, panel: Panel, h: int) -> list[int]:
        """First steps of the bands within h."""
        first = bands_of(panel, h) if self.bands == "auto" else self.bands
        return [int(step) for step in first if step <= h]

    def _groups(self, panel: Panel) -> tuple[Int, list[str]]:
        """Group (n,) of each series, and the names of groups told by a static column."""
        if self.scope == "series":
            return np.arange(len(panel), dtype=np.int64), []
        if self.scope == "global":
            return np.zeros(len(panel), dtype=np.int64), []
        names, of = np.unique(panel.static[self.scope].astype(str), return_inverse=True)
        return of.astype(np.int64), [str(name) for name in names]

    def _shares(self, settled: State, panel: Panel, h: int) -> Float:
        """Weight (n, h, m) of each member in each forecast."""
        weights = np.asarray(settled["weights"])
        group = np.zeros(len(panel), dtype=np.int64)
        if settled["names"]:
            place = {name: i for i, name in enumerate(settled["names"])}
            group = np.array([place.get(str(name), -1) for name in panel.static[self.scope]], dtype=np.int64)
        elif len(weights) > 1:
            group = panel.series
        shares = weights[group][:, band_of(settled["first"], h)]
        shares[group < 0] = self._prior
        return np.asarray(shares)

    def _newcomers(self, settled: State, panel: Panel) -> State:
        if self.scope != "series":
            return settled
        weights = np.tile(self._prior, (len(panel), len(settled["first"]), 1))
        return settled | {"weights": weights} | ({"mse": np.full_like(weights, np.nan)} if "mse" in settled else {})

    def _joined(self, old: State, new: State) -> State:
        if self.scope != "series" or not self._learns:
            return old
        return old | {name: np.concatenate([old[name], new[name]]) for name in ("weights", "mse") if name in old}

    def _table(self, settled: State, columns: Mapping[str, Float]) -> Any:
        """Table of what was settled: [group], steps, member, then `columns`, each (g, b, m) or for all groups alike."""
        panel, names = self._ready(), self.member_names
        groups, bands, m = np.asarray(settled["weights"]).shape
        # One band alone says nothing of the horizon, which the errors or the fit were told.
        last = self.h_ or int(settled["first"][-1])
        told: dict[str, Any] = {}
        if groups > 1:
            told["group"] = np.repeat(np.array(settled["names"] or list(panel.ids), dtype=object), bands * m)
        told["steps"] = np.tile(np.repeat(np.array(band_names(settled["first"], last), dtype=object), m), groups)
        told["member"] = np.tile(np.array(names, dtype=object), groups * bands)
        return frames.native(
            told | {name: np.broadcast_to(values, (groups, bands, m)).ravel() for name, values in columns.items()},
            panel,
        )


def alike(weights: Float) -> State:
    """The same weights (m,) for all series and steps."""
    mse = np.full((1, 1, len(weights)), np.nan)
    return {"weights": weights[None, None], "mse": mse, "first": [1], "names": [], "learned": False}


def sizes_of(seen: Validation) -> Float:
    """Mean absolute error (n,) of the members together: the unit of each series; 1 where there is none."""
    errors = seen.errors
    # Along one contiguous row a series: its sum is the same in any company.
    rows = np.ascontiguousarray(np.moveaxis(errors, 2, 0)).reshape(errors.shape[2], -1)
    there = np.isfinite(rows)
    size = np.abs(np.where(there, rows, 0.0)).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return np.where(size > 0, size, 1.0)


def _check_bands(bands: Any) -> None:
    if isinstance(bands, str) and bands == "auto":
        return
    counts = not isinstance(bands, str) and isinstance(bands, Sequence) and len(bands) > 0
    if not counts or not all(isinstance(b, int) and not isinstance(b, bool) for b in bands):
        raise ConfigError(f'bands must be "auto" or the first steps of the bands, as in (1, 2, 4, 8), got {bands!r}')
    if bands[0] != 1 or any(b <= a for a, b in pairwise(bands)):
        raise ConfigError(f"bands must begin at step 1 and rise, got {list(bands)}")
