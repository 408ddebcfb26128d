"""Is one forecast better than another, beyond chance: tests on arrays of errors and losses."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tsforecast.errors import ConfigError
from tsforecast.panel import Float, Int

__all__ = ["DieboldMariano", "diebold_mariano", "one_standard_error", "standard_error"]


class DieboldMariano(NamedTuple):
    """Statistic (below 0 where the first forecast is better) and two-sided p-value, one for each test."""

    statistic: Float
    pvalue: Float


def diebold_mariano(
    first: ArrayLike,
    second: ArrayLike,
    h: int = 1,
    *,
    loss: Literal["squared", "absolute"] = "squared",
    axis: int = -1,
) -> DieboldMariano:
    """Test whether two forecasts of h steps ahead, with errors along `axis` in order of time, lose alike.

    The other axes are separate tests. Origins are one step apart, so errors h steps ahead overlap in h - 1
    steps: the variance of the mean takes that many autocovariances, those of Bartlett's weights where the plain
    sum is not positive. Missing pairs are left out. NaN where fewer than h + 1 pairs are there, or where the losses
    differ by a constant. Sources: Diebold & Mariano (1995), JBES 13; the factor and Student's t of Harvey,
    Leybourne & Newbold (1997), IJF 13.
    """
    if h < 1:
        raise ConfigError(f"h must be 1 step or more, not {h}")
    e1, e2 = (np.moveaxis(np.asarray(errors, dtype=np.float64), axis, -1) for errors in (first, second))
    gap = _loss(e1, loss) - _loss(e2, loss)
    there = ~np.isnan(gap)
    n = there.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, gap, 0.0).sum(axis=-1) / n
        centred = np.where(there, gap - mean[..., None], 0.0)
        variance = _variance_of_mean(centred, n, h)
        # A constant difference leaves no more than its rounding.
        constant = (centred**2).sum(axis=-1) <= n * (4 * np.finfo(float).eps * mean) ** 2
        factor = np.sqrt((n - h) * (n - h + 1) / n**2)
        usable = (n > h) & (variance > 0) & ~constant
        statistic = np.where(usable, factor * mean / np.sqrt(variance), np.nan)
    return DieboldMariano(statistic[()], _two_sided(statistic, n - 1)[()])


def _loss(error: Float, loss: str) -> Float:
    if loss == "squared":
        return np.square(error)
    if loss == "absolute":
        return np.abs(error)
    raise ConfigError(f"no loss {loss!r}; there are squared, absolute")


def _variance_of_mean(centred: Float, n: Int, h: int) -> Float:
    """Variance of the mean (...) of series (..., T), zero where missing, that depend over h - 1 steps."""
    length = centred.shape[-1]
    lags = range(min(h, length))
    gamma = np.stack([(centred[..., k:] * centred[..., : length - k]).sum(axis=-1) for k in lags], axis=-1)
    weight = np.where(np.arange(len(lags)) == 0, 1.0, 2.0)
    # No matrix product: its bits would depend on how many series are tested together.
    plain = (gamma * weight).sum(axis=-1)
    bartlett = (gamma * (weight * (1.0 - np.arange(len(lags)) / h))).sum(axis=-1)
    return np.asarray(np.where(plain > 0, plain, bartlett) / n**2)


def _two_sided(statistic: Float, freedom: Int) -> Float:
    from scipy.special import stdtr

    return np.asarray(2.0 * stdtr(np.maximum(freedom, 1), -np.abs(statistic)))


def standard_error(values: ArrayLike, *, axis: int | tuple[int, ...] | None = None) -> Float:
    """Standard error of the mean of independent values over `axis`; missing ones left out, NaN below two."""
    given = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(given)
    n = there.sum(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, given, 0.0).sum(axis=axis, keepdims=True) / n
        squares = np.where(there, (given - mean) ** 2, 0.0).sum(axis=axis)
        n = n.reshape(squares.shape)
        return np.where(n > 1, np.sqrt(squares / (n * (n - 1.0))), np.nan)[()]


def one_standard_error(losses: ArrayLike, complexity: ArrayLike) -> int:
    """Index of the simplest model whose mean loss lies within one standard error of the best.

    Losses (m, ...) of m models on the same units, to be taken as independent (series, or windows that do not
    overlap: average over the rest first); units that any model lacks are left out. The error is that of the mean
    difference to the best model, unit by unit, so what all models find hard does not count. Among models of equal
    complexity (m,) the one with the lower loss wins.
    Source: Breiman, Friedman, Olshen & Stone (1984), Classification and Regression Trees, section 3.4.3, there
    with the error of the best mean alone.
    """
    table, simple = np.asarray(losses, dtype=np.float64), np.asarray(complexity, dtype=np.float64)
    if simple.shape != table.shape[:1]:
        raise ConfigError(f"losses of {table.shape[0]} models, but complexity of shape {simple.shape}")
    table = table.reshape(len(table), -1)
    table = table[:, ~np.isnan(table).any(axis=0)]
    if not table.size:
        raise ConfigError("no unit has a loss of every model: compare models on the same windows and series")
    mean = table.mean(axis=1)
    best = int(np.argmin(mean))
    behind = table - table[best]
    error = np.nan_to_num(standard_error(behind, axis=1))  # of a single unit: only the best itself, or its equal
    near = np.flatnonzero(behind.mean(axis=1) <= error)
    return int(near[np.lexsort((mean[near], simple[near]))[0]])
