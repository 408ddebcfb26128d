"""Moments of lag regressions: sums of products of [1, lags..., columns..., target] over the usable rows.

Everything a least-squares fit needs (coefficients, residual sum, ridge paths, subsets of lags, pooled fits) follows
from this one matrix; the rows are read once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tsforecast.panel import Float, Int

__all__ = ["explicit_moments", "lag_design", "lag_moments"]


def lag_moments(z: Float, lengths: Int, lags: Sequence[int]) -> Float:
    """Moments (s, d, d) of [1, z[t - lags]..., z[t]] for fully observed series in O(T L).

    z (s, T) is right-aligned and zero left of the last `lengths` (s,) values. A Gram matrix of lags is made of
    shifted copies: entry (i, j) is the autocovariance sum at lag |i - j| less a few products at either edge, so
    one row of products and two triangles of edge sums give it all, in place of O(T L^2).
    """
    s, width = z.shape
    m = max(lags, default=0)
    order = np.array([*lags, 0], dtype=np.int64)
    out = np.zeros((s, len(order) + 1, len(order) + 1))
    if width <= m:
        return out
    padded = np.concatenate([np.zeros((s, m)), z], axis=1)
    gap = np.abs(order[:, None] - order[None, :])
    near = np.minimum(order[:, None], order[None, :])
    auto = np.zeros((s, m + 1))
    for d in np.unique(gap):
        auto[:, d] = np.einsum("st,st->s", z, padded[:, m - d : m - d + width])
    tail, tail_sum = _tail(padded, m)
    head, head_sum = _head(z, lengths, m)
    out[:, 1:, 1:] = auto[:, gap] - tail[:, near, gap] - head[:, m - near, gap]
    sums = z.sum(axis=1)[:, None] - tail_sum[:, order] - head_sum[:, m - order]
    out[:, 0, 1:] = out[:, 1:, 0] = sums
    out[:, 0, 0] = np.maximum(lengths - m, 0)
    out[lengths <= m] = 0.0
    return out


def _tail(padded: Float, m: int) -> tuple[Float, Float]:
    """tail[i, d] = sum of the last i products z[u] z[u - d]; sums of the last i values; i, d = 0..m."""
    back = padded[:, : -2 * m - 1 : -1] if m else padded[:, :0]
    out = np.zeros((len(padded), m + 1, m + 1))
    sums = np.zeros((len(padded), m + 1))
    if m:
        np.cumsum(back[:, :m, None] * sliding_window_view(back, m + 1, axis=1), axis=1, out=out[:, 1:])
        np.cumsum(back[:, :m], axis=1, out=sums[:, 1:])
    return out, sums


def _head(z: Float, lengths: Int, m: int) -> tuple[Float, Float]:
    """head[r, d] = sum of products z[u] z[u - d] over the first r values u; sums of the first r values."""
    width = z.shape[1]
    place = width - lengths[:, None] + np.arange(m)
    first = np.where(place < width, np.take_along_axis(z, np.minimum(place, width - 1), axis=1), 0.0)
    out = np.zeros((len(z), m + 1, m + 1))
    sums = np.zeros((len(z), m + 1))
    if m:
        behind = np.concatenate([np.zeros((len(z), m)), first], axis=1)
        before = sliding_window_view(behind, m + 1, axis=1)[:, :m, ::-1]
        np.cumsum(first[:, :, None] * before, axis=1, out=out[:, 1:])
        np.cumsum(first, axis=1, out=sums[:, 1:])
    return out, sums


def lag_design(z: Float, lags: Sequence[int], past: Float, known: Float, lead: int = 1) -> tuple[Float, Float]:
    """Regressors (s, T, d): 1, z lags, past lags column by column, known; the last lag lies `lead` - 1 rows back.

    z (s, T), past (s, T, p), known (s, T, k) with NaN where unknown; the row of target t holds z[t - lead + 1 - lag].
    The second value (s, T) is 1 where every regressor is known, 0 elsewhere; there the row is zero.
    """
    s, width = z.shape
    channels = [z, *np.moveaxis(past, 2, 0)]
    d = 1 + len(channels) * len(lags) + known.shape[2]
    x = np.full((s, width, d), np.nan)
    x[:, :, 0] = 1.0
    column = 1
    for channel in channels:
        for lag in lags:
            shift = lag + lead - 1
            x[:, shift:, column] = channel[:, : max(width - shift, 0)]
            column += 1
    x[:, :, column:] = known
    whole = np.isfinite(x).all(axis=2)
    x[~whole] = 0.0
    return x, whole.astype(float)


def explicit_moments(x: Float, whole: Float, target: Float, weights: Float | None = None) -> tuple[Float, Float]:
    """Moments (s, d + r, d + r) of rows x (s, T, d) with targets (s, T, r), and how many rows they hold (s,).

    Rows with a NaN target or a weight of zero are left out.
    """
    use = whole * np.isfinite(target).all(axis=2)
    if weights is not None:
        use = use * weights
    d = x.shape[2]
    out = np.empty((len(x), d + target.shape[2], d + target.shape[2]))
    root = np.sqrt(use)[:, :, None]
    held = np.where(root > 0, target, 0.0) * root
    # Rows of x that are not whole are zero already, so most calls need no second copy. Either way x is multiplied by
    # itself: another buffer on the left would take another routine, and bits would depend on the company.
    if weights is not None or not np.array_equal(use, whole):
        x = x * root
    out[:, :d, :d] = np.swapaxes(x, 1, 2) @ x
    out[:, :d, d:] = np.swapaxes(x, 1, 2) @ held
    out[:, d:, :d] = np.swapaxes(out[:, :d, d:], 1, 2)
    out[:, d:, d:] = np.swapaxes(held, 1, 2) @ held
    return out, np.count_nonzero(use, axis=1).astype(np.float64)
