"""Blend: a weighted mean of members, the weights from their out-of-sample errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast import frames
from tsforecast.compose.ensemble import Ensemble
from tsforecast.compose.judging import band_names, band_of, bands_of
from tsforecast.compose.validation import Validation
from tsforecast.compose.weights import covariances, shrunk_weights
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["Blend"]

WAYS = ("mse", "source", "equal", "inverse_mse", "median")


@dataclass(eq=False, repr=False)
class Blend(Ensemble):
    """Weighted mean of members; by default the weights of the least validation MSE, pulled toward a prior.

    `weights`: "mse" by horizon band (`bands`: first steps of each), on the simplex, with the penalty
    kappa * mean MSE * |w - prior|^2 (0: the plain least MSE, inf: the prior); "inverse_mse"; "equal"; "source" (the
    prior unmoved); "median" (no weights); or a number a member. `prior` is a number a member, None for equal ones.
    Weights are shared by all series, or by those of a static column (`scope`), or each series has its own. Where too
    few origins can be judged the weights are the prior.
    Bates & Granger (1969), Operational Research Quarterly 20; Diebold & Pauly (1990), IJF 6, for shrinkage.
    """

    weights: Literal["mse", "source", "equal", "inverse_mse", "median"] | Mapping[str, float] = "mse"
    prior: Mapping[str, float] | Sequence[float] | None = None
    kappa: float = 0.03
    scope: str = field(default="global", kw_only=True)
    bands: Literal["auto"] | Sequence[int] = field(default="auto", kw_only=True)

    reference: ClassVar[str] = "prior"
    in_units: ClassVar[bool] = True
    """Whether errors count in units of each series' own, so that large series do not decide for all."""

    @property
    def _learns(self) -> bool:
        return isinstance(self.weights, str) and self.weights in ("mse", "inverse_mse")

    @property
    def _pools(self) -> bool:
        return self.scope != "series"

    def _validate(self, h: int | None) -> None:
        self._check_members()
        if isinstance(self.weights, str):
            if self.weights not in WAYS:
                raise ConfigError(
                    f"weights must be one of {', '.join(WAYS)}, or a number a member, got {self.weights!r}"
                )
        else:
            _shares("weights", self.weights, self.member_names)
        if self.prior is not None:
            _shares("prior", self.prior, self.member_names)
        if not isinstance(self.kappa, Real) or isinstance(self.kappa, bool) or not float(self.kappa) >= 0:
            raise ConfigError(f"kappa must be a number >= 0, got {self.kappa!r}")
        _check_bands(self.bands)
        super()._validate(h)

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.scope not in ("series", "global", *panel.static):
            there = listed(panel.static) or "none was given"
            raise ConfigError(f"scope must be 'series', 'global' or a static column ({there}), got {self.scope!r}")
        super()._check(panel, h)

    def _reference(self, panel: Panel) -> State:
        return {"weights": self._prior[None, None], "first": [1], "names": [], "learned": False}

    @property
    def _prior(self) -> Float:
        names = self.member_names
        return np.full(len(names), 1 / len(names)) if self.prior is None else _shares("prior", self.prior, names)

    def _fixed(self) -> Float:
        """Weights (m,) that no error moves."""
        if not isinstance(self.weights, str):
            return _shares("weights", self.weights, self.member_names)
        return np.full(len(self._made()), 1 / len(self._made())) if self.weights == "equal" else self._prior

    def _bands(self, panel: Panel, h: int) -> tuple[int, ...]:
        first = bands_of(panel, h) if self.bands == "auto" else tuple(self.bands)
        return tuple(step for step in first if step <= h)

    def _groups(self, panel: Panel) -> tuple[Int, list[str]]:
        """Group (n,) of each series, and the names of groups told by a static column."""
        if self.scope == "series":
            return np.arange(len(panel), dtype=np.int64), []
        if self.scope == "global":
            return np.zeros(len(panel), dtype=np.int64), []
        names, of = np.unique(panel.static[self.scope].astype(str), return_inverse=True)
        return of.astype(np.int64), [str(name) for name in names]

    def _settle(self, seen: Validation | None, panel: Panel) -> State:
        groups, names = self._groups(panel)
        if seen is None:
            return {"weights": self._fixed()[None, None], "first": [1], "names": [], "learned": False}
        h = seen.actual.shape[2]
        first = self._bands(panel, h)
        errors = np.where(seen.enough[:, None], seen.errors, np.nan)
        s, count = covariances(errors / self._units(errors)[:, None], groups, band_of(first, h))
        flat = s.reshape(-1, *s.shape[2:])
        if self.weights == "mse":
            found = shrunk_weights(flat, self._prior, float(self.kappa))
        else:
            mse = np.maximum(np.einsum("bii->bi", flat), 1e-300)
            found = mse.min(axis=1, keepdims=True) / mse
            found = found / found.sum(axis=1, keepdims=True)
        found = np.where((count > 0)[..., None], found.reshape(*count.shape, -1), self._prior)
        return {"weights": found, "first": list(first), "names": names, "learned": bool((count > 0).any())}

    def _units(self, errors: Float) -> Float:
        """Root mean squared error (n,) of the members together, or ones."""
        if not self.in_units or not errors.shape[1]:
            return np.ones(errors.shape[2])
        rows = np.ascontiguousarray(np.moveaxis(errors, 2, 0)).reshape(errors.shape[2], -1)
        there = np.isfinite(rows)
        size = np.sqrt(np.where(there, rows, 0.0) ** 2).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        return np.where(size > 0, size, 1.0)

    def _combine(self, settled: State, points: Float, panel: Panel) -> Float:
        there = np.isfinite(points)
        known = np.where(there, points, 0.0)
        if isinstance(self.weights, str) and self.weights == "median":
            return _median(points)
        weight = np.moveaxis(self._shares(settled, panel, points.shape[2]), -1, 0)
        used = np.where(there, weight, 0.0)
        total = used.sum(axis=0)
        # Where no member with a weight has a forecast, those that have one count alike.
        used = np.where(total > 0, used, there)
        total = used.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(total > 0, (used * known).sum(axis=0) / total, np.nan))

    def _shares(self, settled: State, panel: Panel, h: int) -> Float:
        """Weight (n, h, m) of each member in each forecast."""
        weights = np.asarray(settled["weights"])
        band = band_of(settled["first"], h)
        if len(weights) == 1 or self.scope == "global":
            group = np.zeros(len(panel), dtype=np.int64)
        elif self.scope == "series":
            group = panel.series
        else:
            place = {name: i for i, name in enumerate(settled["names"])}
            group = np.array([place.get(str(name), -1) for name in panel.static[self.scope]], dtype=np.int64)
        shares = weights[group][:, band]
        shares[group < 0] = self._prior
        return np.asarray(shares)

    @property
    def weights_(self) -> Any:
        """Table of the weights: [group], steps, member, weight, prior, mse on the validation rows (NaN without any).

        `group` is the value of the static column, or the series, that the weights are for.
        """
        panel, settled = self._ready(), self.state_["fit"]["settled"]
        weights, first = np.asarray(settled["weights"]), settled["first"]
        groups, bands, m = weights.shape
        told = self.state_["fit"].get("judged")
        shown = told is not None and groups == 1 and list(told["first"]) == list(first)
        mse = np.asarray(told["mse"])[:, :m] if shown else np.full((bands, m), np.nan)
        last = self.h_ or int(told["h"] if told else first[-1])
        columns: dict[str, Any] = {} if groups == 1 else {"group": self._group_names(settled, panel, bands * m)}
        columns |= {
            "steps": np.tile(np.repeat(np.array(band_names(first, last), dtype=object), m), groups),
            "member": np.tile(np.array(self.member_names, dtype=object), groups * bands),
            "weight": weights.ravel(),
            "prior": np.tile(self._prior, groups * bands),
            "mse": np.tile(mse.ravel(), groups),
        }
        return frames.native(columns, panel)

    def _group_names(self, settled: State, panel: Panel, times: int) -> Any:
        return np.repeat(np.array(settled["names"] or list(panel.ids), dtype=object), times)

    def _joined(self, old: State, new: State) -> State:
        if self.scope != "series" or len(old["weights"]) == 1:
            return old
        return old | {"weights": np.concatenate([old["weights"], new["weights"]])}


def _median(points: Float) -> Float:
    """Median (n, h) of the members that have a forecast; NaN where none has."""
    ordered = np.sort(points, axis=0)
    count = np.isfinite(points).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(points) - 1)[None], axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.nan)


def _shares(what: str, given: Any, names: Sequence[str]) -> Float:
    """A number a member, divided by their sum; ConfigError for other names, negative numbers or a sum of 0."""
    if isinstance(given, Mapping):
        unknown = [str(name) for name in given if name not in names]
        lacking = [name for name in names if name not in given]
        if unknown or lacking:
            raise ConfigError(f"{what} must name every member ({listed(names)}), got {listed(given)}")
        given = [given[name] for name in names]
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or len(given) != len(names):
        raise ConfigError(f"{what} must be a number for each member ({listed(names)}), got {given!r}")
    if (
        not all(isinstance(x, Real) and not isinstance(x, bool) and 0 <= float(x) < np.inf for x in given)
        or sum(given) <= 0
    ):
        raise ConfigError(f"{what} must be numbers >= 0 that do not sum to 0, got {list(given)}")
    shares = np.asarray(given, dtype=np.float64)
    return np.asarray(shares / shares.sum())


def _check_bands(bands: Any) -> None:
    if isinstance(bands, str) and bands == "auto":
        return
    counts = not isinstance(bands, str) and isinstance(bands, Sequence) and len(bands) > 0
    if not counts or not all(isinstance(b, int) and not isinstance(b, bool) for b in bands):
        raise ConfigError(f'bands must be "auto" or the first steps of the bands, as in (1, 2, 4, 8), got {bands!r}')
    if bands[0] != 1 or any(b <= a for a, b in pairwise(bands)):
        raise ConfigError(f"bands must begin at step 1 and rise, got {list(bands)}")
