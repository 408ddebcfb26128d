"""Blend: a weighted mean of members, the weights from their out-of-sample errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast.compose.scopes import Scoped, alike, sizes_of
from tsforecast.compose.validation import Validation
from tsforecast.compose.weights import covariances, shrunk_weights
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Float, Panel
from tsforecast.rolling import State
from tsforecast.windows.bands import band_of

__all__ = ["Blend"]

WAYS = ("mse", "source", "equal", "inverse_mse", "median")


@dataclass(eq=False, repr=False)
class Blend(Scoped):
    """Weighted mean of members; by default the weights of the least validation MSE, pulled toward a prior.

    `weights`: "mse" by horizon band (`bands`: first steps of each), on the simplex, with the penalty
    kappa * H * |w - prior|^2, H the harmonic mean of the members' MSE (0: the plain least MSE, inf: the prior);
    "inverse_mse"; "equal"; "source" (the
    prior unmoved); "median" (no weights); or a number a member. `prior` is a number a member, None for equal ones.
    Weights are shared by all series, or by those of a static column (`scope`), or each series has its own. Where too
    few origins can be judged the weights are the prior.
    Bates & Granger (1969), Operational Research Quarterly 20; Diebold & Pauly (1990), IJF 6, for shrinkage.
    """

    weights: Literal["mse", "source", "equal", "inverse_mse", "median"] | Mapping[str, float] = "mse"
    prior: Mapping[str, float] | Sequence[float] | None = None
    kappa: float = 0.03

    reference: ClassVar[str] = "prior"
    in_units: ClassVar[bool] = True
    """Whether errors count in units of each series' own, so that large series do not decide for all."""

    @property
    def _learns(self) -> bool:
        return isinstance(self.weights, str) and self.weights in ("mse", "inverse_mse")

    def _validate(self, h: int | None) -> None:
        self._check_members()
        if isinstance(self.weights, str):
            if self.weights not in WAYS:
                raise ConfigError(
                    f"weights must be one of {', '.join(WAYS)}, or a number a member, got {self.weights!r}"
                )
        else:
            self._given("weights", self.weights)
        if self.prior is not None:
            self._given("prior", self.prior)
        if not isinstance(self.kappa, Real) or isinstance(self.kappa, bool) or not float(self.kappa) >= 0:
            raise ConfigError(f"kappa must be a number >= 0, got {self.kappa!r}")
        super()._validate(h)

    @property
    def _prior(self) -> Float:
        return super()._prior if self.prior is None else self._given("prior", self.prior)

    def _given(self, what: str, numbers: Any) -> Float:
        """Numbers of the members as weights (m,) of sum 1."""
        return _shares(what, numbers, self.member_names)

    def _fixed(self) -> Float:
        """Weights (m,) that no error moves."""
        if not isinstance(self.weights, str):
            return self._given("weights", self.weights)
        return super()._prior if self.weights == "equal" else self._prior

    def _settle(self, seen: Validation | None, panel: Panel) -> State:
        if seen is None:
            return alike(self._fixed())
        groups, names = self._groups(panel)
        h = seen.actual.shape[2]
        first = self._bands(panel, h)
        errors = np.where(seen.enough[:, None], seen.errors, np.nan)
        units = sizes_of(seen)[:, None] if self.in_units else 1.0
        s, count = covariances(errors / units, groups, band_of(first, h))
        raw = covariances(errors, groups, band_of(first, h))[0] if self.in_units else s
        mse = np.where((count > 0)[..., None], np.einsum("gbii->gbi", raw), np.nan)
        flat = s.reshape(-1, *s.shape[2:])
        if self.weights == "mse":
            found = shrunk_weights(flat, self._prior, float(self.kappa))
        else:
            own = np.maximum(np.einsum("bii->bi", flat), 1e-300)
            found = own.min(axis=1, keepdims=True) / own
            found = found / found.sum(axis=1, keepdims=True)
        found = np.where((count > 0)[..., None], found.reshape(*count.shape, -1), self._prior)
        learned = bool((count > 0).any())
        return {"weights": found, "mse": mse, "first": first, "names": names, "learned": learned}

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

    @property
    def weights_(self) -> Any:
        """Table of the weights: [group], steps, member, weight, prior, and the mse behind them, NaN without any.

        `group` is the value of the static column, or the series, that the weights are for.
        """
        self._ready()
        settled = self.state_["fit"]["settled"]
        return self._table(settled, {"weight": settled["weights"], "prior": self._prior, "mse": settled["mse"]})


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
    given = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != len(names):
        raise ConfigError(f"{what} must be a number for each member ({listed(names)}), got {given!r}")
    if (
        not all(isinstance(x, Real) and not isinstance(x, bool) and 0 <= float(x) < np.inf for x in given)
        or sum(given) <= 0
    ):
        raise ConfigError(f"{what} must be numbers >= 0 that do not sum to 0, got {list(given)}")
    shares = np.asarray(given, dtype=np.float64)
    return np.asarray(shares / shares.sum())
