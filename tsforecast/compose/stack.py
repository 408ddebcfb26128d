"""Stack: a regression of the truth on the members' out-of-sample forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast.compose.scopes import Scoped, alike, sizes_of
from tsforecast.compose.validation import Validation
from tsforecast.compose.weights import covariances, shrunk_weights
from tsforecast.errors import ConfigError
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows import gcv_ridge
from tsforecast.windows.bands import band_of

__all__ = ["Stack"]

FINALS = ("ridge", "ols", "nonnegative")
ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(eq=False, repr=False)
class Stack(Scoped):
    """Stacked regression: the truth regressed on the members' forecasts from validation origins.

    By horizon band (`bands`: first steps of each), y - mean = sum of c_j (f_j - mean) about the members' mean, in
    units of each series, so that the coefficients 1 / m + c_j - mean(c) sum to one and no level or scale of the data
    matters; there is no intercept. `final`: "ridge" pulls toward the equal mean by generalised cross-validation, in
    which origins that share steps count once; "ols" does not; "nonnegative" keeps every coefficient >= 0, which is
    Blend with kappa=0. Coefficients are shared by all series, by those of a static column (`scope`), or each series
    has its own. Too few origins, or a member without a forecast, give the equal mean of the members that have one.
    Wolpert (1992), Neural Networks 5; Breiman (1996), Machine Learning 24, there without the sum of one.
    """

    final: Literal["ridge", "ols", "nonnegative"] = "ridge"

    reference: ClassVar[str] = "equal mean"

    def _validate(self, h: int | None) -> None:
        super()._validate(h)
        if self.final not in FINALS:
            raise ConfigError(f"final must be one of {', '.join(FINALS)}, got {self.final!r}")

    def _settle(self, seen: Validation | None, panel: Panel) -> State:
        if seen is None:
            return alike(self._prior)
        groups, names = self._groups(panel)
        h = seen.actual.shape[2]
        first = self._bands(panel, h)
        bands = band_of(first, h)
        parts = _about_mean(seen)
        s, count = covariances(parts, groups, bands)
        apart = _apart(parts, seen.step, groups, bands)
        flat = s.reshape(-1, *s.shape[2:])
        if self.final == "ridge":
            found = _ridge(flat, apart.ravel())
        else:
            found = _ols(flat) if self.final == "ols" else _nonnegative(flat)
        # Fewer errors than coefficients fit anything.
        told = (apart > len(self._prior)) if self.final == "ridge" else (count >= len(self._prior))
        weights = np.where(told[..., None], found.reshape(*count.shape, -1), self._prior)
        return {"weights": weights, "first": first, "names": names, "learned": bool(told.any())}

    def _combine(self, settled: State, points: Float, panel: Panel) -> Float:
        there = np.isfinite(points)
        mean = _mean(points, there)
        weight = np.moveaxis(self._shares(settled, panel, points.shape[2]), -1, 0)
        with np.errstate(invalid="ignore"):
            moved = mean + (weight * (points - mean)).sum(axis=0)
        return np.where(there.all(axis=0), moved, mean)

    @property
    def coefficients_(self) -> Any:
        """Table of the regression: [group], steps, member, coefficient; those of a band sum to 1.

        `group` is the value of the static column, or the series, that the coefficients are for.
        """
        self._ready()
        settled = self.state_["fit"]["settled"]
        return self._table(settled, {"coefficient": settled["weights"]})


def _mean(points: Float, there: Bool) -> Float:
    """Mean (...) of the members (m, ...) that are there; NaN where none is."""
    count = there.sum(axis=0)
    total = np.where(there, points, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _about_mean(seen: Validation) -> Float:
    """Forecasts less their mean, then the truth less that mean (m + 1, w, n, h), in units of each series."""
    mean = seen.point.mean(axis=0)
    apart = seen.point - mean
    # Members that forecast alike are not told apart by their rounding.
    apart[np.abs(apart) <= ROUNDING * np.abs(mean)] = 0.0
    parts = np.concatenate([apart, (seen.actual - mean)[None]])
    return np.where(seen.enough[:, None], parts / sizes_of(seen)[:, None], np.nan)


def _apart(parts: Float, step: Int, groups: Int, bands: Int) -> Float:
    """Origins (g, b) that share no step, by group of series and band of steps: what there is to tell by."""
    there = np.asarray(np.isfinite(parts).all(axis=0))  # (w, n, h)
    out = np.zeros((int(groups.max(initial=0)) + 1, int(bands.max(initial=0)) + 1))
    for b in range(out.shape[1]):
        some = np.flatnonzero(bands == b)
        overlap = -(-(some[-1] + 1) // np.maximum(step, 1))
        widest = np.ones(len(out), dtype=np.int64)
        np.maximum.at(widest, groups, overlap)
        origins = np.zeros(len(out), dtype=np.int64)
        np.add.at(origins, groups, there[:, :, some].any(axis=2).sum(axis=0))
        out[:, b] = origins / widest
    return out


def _ridge(s: Float, count: Float) -> Float:
    """Coefficients (b, m) of ridge regressions by generalised cross-validation of `count` (b,) rows; the equal mean
    where its score is not beaten. Mean products s (b, m + 1, m + 1) of the m deviations and, last, the target.
    """
    gram, cross, power = s[:, :-1, :-1], s[:, :-1, -1], s[:, -1, -1]
    c, _, used = gcv_ridge(gram, cross, power, count)
    left = power - 2 * (c * cross).sum(axis=1) + np.einsum("bi,bij,bj->b", c, gram, c)
    spare = count - 1 - used
    better = (spare > 0) & (left * np.maximum(count - 1, 0) ** 2 < power * np.maximum(spare, 0) ** 2)
    return _summing_to_one(np.where(better[:, None], c, 0.0))


def _ols(s: Float) -> Float:
    """Coefficients (b, m) of least squares; members that forecast alike share theirs."""
    gram, cross = s[:, :-1, :-1], s[:, :-1, -1]
    return _summing_to_one(np.einsum("bij,bj->bi", np.linalg.pinv(gram, rcond=1e-11, hermitian=True), cross))


def _nonnegative(s: Float) -> Float:
    """Coefficients (b, m) of least squares on the simplex."""
    gram, cross, power = s[:, :-1, :-1], s[:, :-1, -1], s[:, -1, -1]
    errors = power[:, None, None] - cross[:, :, None] - cross[:, None, :] + gram
    m = gram.shape[1]
    return shrunk_weights(errors, np.full(m, 1 / m), 0.0)


def _summing_to_one(c: Float) -> Float:
    """Coefficients (b, m) of the forecasts from those of their deviations from the mean."""
    return np.asarray(1 / c.shape[1] + c - c.mean(axis=1, keepdims=True))
