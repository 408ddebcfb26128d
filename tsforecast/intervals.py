"""Conformal intervals: half-widths from out-of-sample errors, with the finite-sample rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, listed, whole
from tsforecast.panel import Float, Int

__all__ = ["Conformal", "checked_levels", "groups_of", "radius"]


@dataclass(frozen=True, slots=True)
class Conformal:
    """Split conformal intervals from the errors at the last `windows` origins, `step` rows apart.

    `pool` says whose errors a series uses: its own ("series"), those of its static column's value, or all
    ("panel"); pooled errors are divided by each series' own mean absolute error first, so that sizes do not mix.
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, ch. 4.
    """

    windows: int = 20
    step: int = 1
    pool: str = "series"

    def __post_init__(self) -> None:
        whole("Conformal: windows", self.windows, 1)
        whole("Conformal: step", self.step, 1)

    def origins(self, last: Int, h: int) -> Int:
        """Calibration cutoffs (c, n), oldest first, whose h actuals lie at or before `last` (n,)."""
        back: Int = h + self.step * np.arange(self.windows - 1, -1, -1, dtype=np.int64)
        return last[None, :] - back[:, None]


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Levels in per cent, strictly between 0 and 100, without repeats."""
    if isinstance(levels, str) or not isinstance(levels, Iterable) or not all(isinstance(x, Real) for x in levels):
        raise ConfigError(f"levels must be a sequence of numbers in per cent, such as (80, 95); got {levels!r}")
    if any(0 < level < 1 for level in levels):
        raise ConfigError(f"levels are per cent: write 80, not 0.8; got {list(levels)}")
    if any(not 0 < level < 100 for level in levels) or len(set(levels)) != len(levels):
        raise ConfigError(f"levels must be distinct and between 0 and 100, got {list(levels)}")
    return tuple(float(level) for level in levels)


def groups_of(pool: str, static: Any, n: int) -> Int:
    """Group number of each series (n,) for pool "series", "panel" or a static column."""
    if pool == "series":
        return np.arange(n, dtype=np.int64)
    if pool == "panel":
        return np.zeros(n, dtype=np.int64)
    if pool not in static:
        raise ConfigError(
            f"pool={pool!r} is neither 'series', 'panel' nor a static column ({listed(static) or 'none given'})"
        )
    return np.unique(np.asarray(static[pool]).astype(str), return_inverse=True)[1].astype(np.int64)


def radius(
    errors: Float,
    levels: Sequence[float],
    groups: Int,
    ids: NDArray[Any],
    strict: bool = True,
    spread: Float | None = None,
    steps: int | None = None,
) -> Float:
    """Half-widths (n, h, q) from errors (n, c, h): the ceil((m + 1) level)-th smallest of the m absolute errors.

    `steps`: of the first steps alone, which come out the same for any number of them.
    Where m is too small for a level nothing is extrapolated: ConfigError, or NaN for those series if not `strict`. So
    it is with series that share errors and have none of their own, unless their `spread` (n,) tells of what size.
    """
    sizes = np.abs(errors)
    n, h = len(errors), errors.shape[2] if steps is None else steps
    own = len(np.unique(groups)) == n
    scale = np.ones(n) if own else _mean_size(sizes, groups, spread)
    if strict and np.isnan(scale).any():
        raise ConfigError(
            f"series {listed(ids[np.isnan(scale)])} share the errors of others and have none of their own that tell "
            "of what size: give more history, or leave them out"
        )
    out = np.empty((n, h, len(levels)))
    scores = sizes[:, :, :h] / scale[:, None, None]
    for group in [slice(None)] if own else [groups == g for g in np.unique(groups)]:
        pool = scores[group] if own else scores[group].reshape(1, -1, h)
        out[group] = _ranked(pool, levels, ids[group], strict)
    return out * scale[:, None, None]


def _mean_size(sizes: Float, groups: Int, spread: Float | None) -> Float:
    """Mean absolute error (n,) of each series; of one without errors what those of its group have for their spread."""
    counts = np.isfinite(sizes).sum(axis=(1, 2))
    mean = np.nansum(sizes, axis=(1, 2)) / np.maximum(counts, 1)
    size = np.where(mean > 0, mean, 1.0)
    for group in np.unique(groups[counts == 0]):
        told = (groups == group) & (counts > 0)
        if told.any():
            lacking = (groups == group) & (counts == 0)
            size[lacking] = np.nan if spread is None else spread[lacking] * np.median(mean[told] / spread[told])
    return size


def _ranked(pool: Float, levels: Sequence[float], ids: NDArray[Any], strict: bool) -> Float:
    """Order statistics (n, h, q) of pool (n, m, h) along m; NaN sorts last and is not counted."""
    if not pool.shape[1]:
        pool = np.full((len(pool), 1, pool.shape[2]), np.nan)
    ordered = np.sort(pool, axis=1)
    counts = np.isfinite(pool).sum(axis=1)
    out = np.empty((pool.shape[0], pool.shape[2], len(levels)))
    for q, level in enumerate(levels):
        # A guard against 0.95 * 20 = 19.000000000000004 asking for one error more than there is.
        rank = np.ceil(np.round((counts + 1) * level / 100, 9)).astype(np.int64)
        if strict and np.any(rank > counts):
            short = np.unique(np.nonzero(rank > counts)[0])
            need = int(np.ceil(np.round(level / (100 - level), 9)))
            raise ConfigError(
                f"a conformal interval at {level:g} % needs at least {need} errors a horizon, "
                f"series {listed(ids[short] if len(short) < len(ids) or len(pool) > 1 else ids)} "
                f"have {int(counts[short].min())}: raise Conformal(windows=...), give more history, "
                "or share errors with Conformal(pool='panel')"
            )
        place = np.clip(rank - 1, 0, pool.shape[1] - 1)
        picked = np.take_along_axis(ordered, place[:, None, :], axis=1)[:, 0, :]
        out[:, :, q] = np.where(rank <= counts, picked, np.nan)
    return out
