"""Scores of forecasts, as functions of arrays.

Every function broadcasts its arguments and reduces over `axis` (None: over everything). Pairs with a missing
value and pairs that `mask` marks (True: leave out) do not count, nor do terms that the definition does not
give (a zero denominator): nothing is mended with a small number, and `left_out` says how many there were.
Nothing left, or a score undefined as a whole, is NaN. A forecast of infinity is not missing: it makes the
score infinite or NaN. Percentage scores are fractions: 0.12 is 12 %. Interval scores take y, lower, upper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.errors import ConfigError
from tsforecast.panel import Bool, Float, Int

__all__ = [
    "METRICS",
    "LeftOut",
    "Metric",
    "bias",
    "cosine",
    "coverage",
    "crps",
    "left_out",
    "mae",
    "mape",
    "mase",
    "metric",
    "mse",
    "msis",
    "msle",
    "pinball",
    "r2",
    "rmse",
    "rmsse",
    "seasonal_scale",
    "smape",
    "wape",
    "width",
    "winkler",
]

Axis = int | tuple[int, ...] | None
Mask = NDArray[np.bool_] | None

_zero: Callable[[Float], Bool] = partial(np.equal, 0.0)
_below: Callable[[Float], Bool] = partial(np.greater_equal, -1.0)


def _float(values: ArrayLike) -> Float:
    return np.asarray(values, dtype=np.float64)


def _ratio(top: Float, bottom: Float | Int) -> Float:
    """Top over bottom, NaN where bottom is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(bottom == 0, np.nan, top / bottom))[()]


def _present(mask: Mask, *values: Float) -> Bool:
    """Where every value is there and the mask does not leave it out."""
    here = ~np.isnan(values[0])
    for other in values[1:]:
        here = here & ~np.isnan(other)
    return here if mask is None else here & ~np.asarray(mask, dtype=bool)


def _error(y: Float, yhat: Float) -> Float:
    """Errors in an array of their own, to be overwritten: fresh memory costs more than the arithmetic."""
    return np.asarray(y - yhat)


def _sums(terms: tuple[Float, ...], values: tuple[Float, ...], axis: Axis, mask: Mask) -> list[Float]:
    """Sums of each of the terms over the pairs whose `values` are all there."""
    if mask is None:
        plain = [np.asarray(term.sum(axis=axis)) for term in terms]
        if not any(np.isnan(total).any() for total in plain):
            return plain
    used = _present(mask, *values)
    return [np.asarray(np.where(used, term, 0.0).sum(axis=axis)) for term in terms]


def _mean(terms: Float, values: tuple[Float, ...], axis: Axis, mask: Mask, undefined: Bool | None = None) -> Float:
    """Mean of the terms whose `values` are all there; if none is missing, by the cheap plain mean."""
    if mask is None and terms.size and (undefined is None or not undefined.any()):
        plain = np.asarray(terms.mean(axis=axis))
        if not np.isnan(plain).any():
            return plain[()]
    used = _present(mask, *values)
    used = np.broadcast_to(used if undefined is None else used & ~undefined, terms.shape)
    return _ratio(np.where(used, terms, 0.0).sum(axis=axis), used.sum(axis=axis))


def _unscalable(scale: ArrayLike) -> Bool:
    """Where no division is possible: a constant history has scale 0, one shorter than its season NaN."""
    return ~(_float(scale) > 0)


def _scaled(terms: Float, scale: ArrayLike, values: tuple[Float, ...], axis: Axis, mask: Mask) -> Float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(terms / _float(scale), values, axis, mask, _unscalable(scale))


def mae(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean absolute error, in units of y."""
    y, yhat = _float(y), _float(yhat)
    error = _error(y, yhat)
    return _mean(np.abs(error, out=error), (y, yhat), axis, mask)


def mse(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean squared error, in squared units of y."""
    y, yhat = _float(y), _float(yhat)
    error = _error(y, yhat)
    return _mean(np.square(error, out=error), (y, yhat), axis, mask)


def rmse(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Root of the mean squared error, pooled over `axis`, in units of y."""
    return np.sqrt(mse(y, yhat, axis=axis, mask=mask))


def bias(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of yhat - y, in units of y: above 0 where forecasts are too high."""
    y, yhat = _float(y), _float(yhat)
    return _mean(yhat - y, (y, yhat), axis, mask)


def mape(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of |y - yhat| / |y|, a fraction; pairs with y = 0 are left out (see `left_out`)."""
    y, yhat = _float(y), _float(yhat)
    error = _error(y, yhat)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.divide(error, y, out=error)
    return _mean(np.abs(error, out=error), (y, yhat), axis, mask, _zero(y))


def smape(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of 2 |y - yhat| / (|y| + |yhat|), a fraction from 0 to 2; a zero forecast exactly counts 0.

    Source: Makridakis, Spiliotis, Assimakopoulos (2020), The M4 Competition, IJF 36 (there in per cent).
    """
    y, yhat = _float(y), _float(yhat)
    error = _error(y, yhat)
    size = np.asarray(np.abs(y) + np.abs(yhat))
    size[size == 0] = 1.0  # the error above it is 0
    with np.errstate(invalid="ignore"):
        np.divide(np.abs(error, out=error), size, out=error)
    return 2.0 * _mean(error, (y, yhat), axis, mask)


def wape(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Sum of |y - yhat| over sum of |y|, a fraction; NaN where every y is zero.

    Source: Kolassa & Schuetz (2007), Advantages of the MAD/mean ratio over the MAPE, Foresight 6.
    """
    y, yhat = np.broadcast_arrays(_float(y), _float(yhat))
    error = _error(y, yhat)
    missed, size = _sums((np.abs(error, out=error), np.abs(y)), (y, yhat), axis, mask)
    return _ratio(missed, size)


def mase(y: ArrayLike, yhat: ArrayLike, *, scale: ArrayLike, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of |y - yhat| / scale; scale is `seasonal_scale` of the history, to broadcast; 0 or NaN: left out.

    Source: Hyndman & Koehler (2006), Another look at measures of forecast accuracy, IJF 22.
    """
    y, yhat = _float(y), _float(yhat)
    error = _error(y, yhat)
    return _scaled(np.abs(error, out=error), scale, (y, yhat), axis, mask)


def rmsse(y: ArrayLike, yhat: ArrayLike, *, scale: ArrayLike, axis: Axis = None, mask: Mask = None) -> Float:
    """Root of the mean of (y - yhat)^2 / scale; scale is `seasonal_scale(..., power=2)`; 0 or NaN: left out.

    Source: Makridakis, Spiliotis, Assimakopoulos (2022), M5 accuracy competition, IJF 38 (with season 1).
    """
    y, yhat = _float(y), _float(yhat)
    error = _error(y, yhat)
    return np.sqrt(_scaled(np.square(error, out=error), scale, (y, yhat), axis, mask))


def msle(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of (log(1 + y) - log(1 + yhat))^2; y <= -1 is left out, a forecast <= -1 makes the score NaN."""
    y, yhat = _float(y), _float(yhat)
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.square(np.log1p(y) - np.where(_below(yhat), np.nan, np.log1p(yhat)))
    return _mean(terms, (y, yhat), axis, mask, _below(y))


def r2(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """1 - sum (y - yhat)^2 / sum (y - mean of y)^2, pooled over `axis`; NaN where y does not vary there."""
    y, yhat = np.broadcast_arrays(_float(y), _float(yhat))
    mean = _mean(y, (y, yhat), axis, mask, np.isnan(yhat))
    error, around = _error(y, yhat), _error(y, mean if axis is None else np.expand_dims(mean, axis))
    terms = (np.square(error, out=error), np.square(around, out=around), np.square(y))
    missed, spread, size = _sums(terms, (y, yhat), axis, mask)
    # The mean of equal numbers may miss them by a rounding, and their spread is zero all the same.
    rounding = size * (4 * np.finfo(float).eps) ** 2
    return 1.0 - _ratio(missed, np.where(spread > rounding, spread, 0.0))


def cosine(y: ArrayLike, yhat: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Cosine of the angle between y and yhat over `axis`, from -1 to 1; NaN where either is all zero."""
    y, yhat = np.broadcast_arrays(_float(y), _float(yhat))
    along, own, other = _sums((y * yhat, y * y, yhat * yhat), (y, yhat), axis, mask)
    return _ratio(along, np.sqrt(own) * np.sqrt(other))


def _checked(quantile: ArrayLike) -> Float:
    q = _float(quantile)
    if not np.all((q > 0) & (q < 1)):
        raise ConfigError(f"a quantile lies between 0 and 1, not at {q}; level 80 ends at 0.1 and 0.9")
    return q


def pinball(y: ArrayLike, yhat: ArrayLike, quantile: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of max(q e, (q - 1) e), e = y - yhat, for a forecast yhat of quantile q in (0, 1), broadcast to y.

    At q = 0.5 half the absolute error. Source: Koenker & Bassett (1978), Regression quantiles,
    Econometrica 46.
    """
    y, yhat, q = _float(y), _float(yhat), _checked(quantile)
    error = y - yhat
    return _mean(np.maximum(q * error, (q - 1.0) * error), (y, yhat), axis, mask)


def crps(
    y: ArrayLike, yhat: ArrayLike, quantiles: Sequence[float] | Float, *, axis: Axis = None, mask: Mask = None
) -> Float:
    """Continuous ranked probability score of yhat (..., q) at rising `quantiles` (q,), in units of y.

    Twice the pinball loss integrated over the quantiles, each standing for those nearest to it; at
    (i - 1/2) / q exactly the score of the empirical distribution of the q values. `axis` counts axes of y.
    Source: Gneiting & Raftery (2007), Strictly proper scoring rules, JASA 102, section 4.2.
    """
    y, yhat, q = _float(y), _float(yhat), _checked(quantiles)
    if q.ndim != 1 or yhat.shape[-1:] != q.shape or np.any(np.diff(q) <= 0):
        raise ConfigError(f"quantiles must rise, one for each of the last axis of {yhat.shape}: {q}")
    share = np.diff(np.concatenate(([0.0], (q[1:] + q[:-1]) / 2, [1.0])))
    error = y[..., None] - yhat
    terms = 2.0 * (np.maximum(q * error, (q - 1.0) * error) @ share)
    return _mean(terms, (y, np.where(np.isnan(yhat).any(axis=-1), np.nan, 0.0)), axis, mask)


def coverage(y: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Share of y within [lower, upper], a fraction; to be compared with level / 100."""
    y, lower, upper = _float(y), _float(lower), _float(upper)
    # A comparison with NaN is False, not NaN.
    inside = np.where(_present(None, y, lower, upper), (y >= lower) & (y <= upper), np.nan)
    return _mean(inside, (y, lower, upper), axis, mask)


def width(y: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, axis: Axis = None, mask: Mask = None) -> Float:
    """Mean of upper - lower where y is there, so that it stands beside `coverage` of the same pairs."""
    y, lower, upper = _float(y), _float(lower), _float(upper)
    return _mean(np.where(np.isnan(y), np.nan, upper - lower), (y, lower, upper), axis, mask)


def _interval_score(y: Float, lower: Float, upper: Float, level: float) -> Float:
    if not 0 < level < 100:
        raise ConfigError(f"level is per cent, between 0 and 100, not {level}")
    outside = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return (upper - lower) + 200.0 / (100.0 - level) * outside


def winkler(
    y: ArrayLike, lower: ArrayLike, upper: ArrayLike, level: float, *, axis: Axis = None, mask: Mask = None
) -> Float:
    """Mean width of the `level` per cent interval plus 2 / alpha times what y misses it by, in units of y.

    alpha = 1 - level / 100. Source: Winkler (1972), JASA 67; interval score of Gneiting & Raftery (2007),
    eq. 43.
    """
    y, lower, upper = _float(y), _float(lower), _float(upper)
    return _mean(_interval_score(y, lower, upper, level), (y, lower, upper), axis, mask)


def msis(
    y: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    level: float,
    *,
    scale: ArrayLike,
    axis: Axis = None,
    mask: Mask = None,
) -> Float:
    """Mean of the Winkler score over `seasonal_scale` of the history (0 or NaN: left out).

    Source: Makridakis, Spiliotis, Assimakopoulos (2020), The M4 Competition, IJF 36 (level 95).
    """
    y, lower, upper = _float(y), _float(lower), _float(upper)
    return _scaled(_interval_score(y, lower, upper, level), scale, (y, lower, upper), axis, mask)


def seasonal_scale(history: ArrayLike, season: int = 1, *, axis: int = -1, power: Literal[1, 2] = 1) -> Float:
    """Mean of |y_t - y_(t - season)|^power along the history's `axis`: what divides MASE (1) and RMSSE (2).

    Missing values, also the padding of `Panel.right`, are left out; NaN where none lie a season apart.
    """
    past = np.moveaxis(_float(history), axis, -1)
    if season < 1:
        raise ConfigError(f"season must be 1 row or more, not {season}")
    step = np.abs(past[..., season:] - past[..., :-season])
    return _mean(step if power == 1 else np.square(step), (step,), -1, None)


@dataclass(frozen=True, slots=True)
class Metric:
    """A score and what a table of scores must know of it.

    `best` is what a perfect forecast gets, "level" the nominal coverage. `takes` says what follows y: yhat;
    yhat and its quantile; yhat (..., q) and its quantiles; lower and upper (also the level if `needs_level`).
    `scale` is the power of the `seasonal_scale` it divides by, 0 for none; `undefined` marks y with no term.
    """

    function: Callable[..., Float]
    takes: Literal["point", "quantile", "quantiles", "interval"] = "point"
    best: float | Literal["level"] = 0.0
    scale: Literal[0, 1, 2] = 0
    percent: bool = False
    needs_level: bool = False
    undefined: Callable[[Float], Bool] | None = None

    @property
    def greater_is_better(self) -> bool:
        """True of R2 and cosine alone; bias is best near 0, coverage near its level."""
        return self.best == 1.0


METRICS: Mapping[str, Metric] = {
    "mae": Metric(mae),
    "mse": Metric(mse),
    "rmse": Metric(rmse),
    "mape": Metric(mape, percent=True, undefined=_zero),
    "smape": Metric(smape, percent=True),
    "wape": Metric(wape, percent=True),
    "mase": Metric(mase, scale=1),
    "rmsse": Metric(rmsse, scale=2),
    "msle": Metric(msle, undefined=_below),
    "r2": Metric(r2, best=1.0),
    "bias": Metric(bias),
    "cosine": Metric(cosine, best=1.0),
    "pinball": Metric(pinball, "quantile"),
    "crps": Metric(crps, "quantiles"),
    "coverage": Metric(coverage, "interval", best="level", percent=True),
    "width": Metric(width, "interval"),
    "winkler": Metric(winkler, "interval", needs_level=True),
    "msis": Metric(msis, "interval", scale=1, needs_level=True),
}


def metric(name: str) -> Metric:
    """The entry of METRICS of that name; ConfigError lists the choices."""
    if name not in METRICS:
        raise ConfigError(f"no metric {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


class LeftOut(NamedTuple):
    """Pairs that a score leaves out, counted over an axis: missing or masked, and without a defined term."""

    missing: Int
    undefined: Int


def left_out(
    name: str,
    y: ArrayLike,
    *forecast: ArrayLike,
    scale: ArrayLike | None = None,
    axis: Axis = None,
    mask: Mask = None,
) -> LeftOut:
    """Count what the score `name` leaves out over `axis`; `forecast` is yhat, or lower and upper."""
    chosen = metric(name)
    truth, *given = (_float(values) for values in (y, *forecast))
    if chosen.takes == "quantiles":
        given = [np.where(np.isnan(given[0]).any(axis=-1), np.nan, 0.0)]
    used = _present(mask, truth, *given)
    undefined = np.zeros(used.shape, bool) if chosen.undefined is None else chosen.undefined(truth)
    if chosen.scale:
        if scale is None:
            raise ConfigError(f"{name} needs scale=seasonal_scale(history, season, power={chosen.scale})")
        undefined = _unscalable(scale)
    used, undefined = np.broadcast_arrays(used, undefined)
    return LeftOut((~used).sum(axis=axis), (used & undefined).sum(axis=axis))
