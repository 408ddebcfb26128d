"""Many small lasso problems at once: the slope changes of Prophet's trend, once everything Gaussian is eliminated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsforecast.panel import Float, Int

__all__ = ["minimise"]

Signs = NDArray[np.int8]
SIZES = (4, 8, 16)
"""Systems are padded to the next of these sizes, or solved whole: a function of their own size, so that company in the
batch changes no bit."""
PATIENCE = 10
"""Block exchanges that may fail to lower the number of violations before single exchanges take over."""


def minimise(H: Float, c: Float, penalty: Float, signs: Signs, rounds: int = 400) -> tuple[Float, Signs]:
    """Minimise 1/2 d'Hd - c'd + penalty |d|_1 for H (b, s, s) positive definite, c (b, s), penalty (b,).

    Block principal pivoting over the sign states of d, begun at `signs` (b, s) in {-1, 0, 1}, with single exchanges
    as the safeguard that makes it finite. Returns d and its signs.
    Portugal, Judice & Vicente (1994), Math. Comp. 63, 625-643; Kim & Park (2011), SIAM J. Sci. Comput. 33, 3261-3281.
    """
    d = np.zeros_like(c)
    signs = signs.copy()
    size = np.abs(c).max(axis=1, initial=0.0) + penalty
    fewest = np.full(len(c), c.shape[1] + 1)
    patience = np.full(len(c), PATIENCE)
    left = np.arange(len(c)) if c.shape[1] else np.empty(0, np.int64)
    for _ in range(rounds):
        if not len(left):
            break
        state, toll = signs[left], penalty[left, None]
        x = _solved(H, c[left] - toll * state, state, left)
        down = c[left] - (H[left] @ x[..., None])[..., 0]  # minus the gradient of the smooth part
        slack = 1e-11 * size[left, None]
        turned = (state != 0) & (x * state < 0)
        rise, fall = (state == 0) & (down > toll + slack), (state == 0) & (down < -toll - slack)
        wrong = turned | rise | fall
        count = wrong.sum(axis=1)
        d[left] = x
        better = count < fewest[left]
        fewest[left] = np.minimum(count, fewest[left])
        patience[left] = np.where(better, PATIENCE, patience[left] - 1)
        # One exchange at a time, always the last violation, cannot cycle (Murty); all at once is faster while it works.
        last = np.arange(c.shape[1]) == c.shape[1] - 1 - np.argmax(wrong[:, ::-1], axis=1)[:, None]
        exchange = wrong & ((patience[left] >= 0)[:, None] | last)
        target = np.where(rise, 1, np.where(fall, -1, 0)).astype(np.int8)
        signs[left] = np.where(exchange, target, state)
        left = left[count > 0]
    return d, signs


def _solved(H: Float, c: Float, state: Signs, left: Int) -> Float:
    """The x (b, s) that is zero where `state` is and solves H x = c elsewhere, for the problems `left`."""
    x = np.zeros_like(c)
    s = c.shape[1]
    count = np.count_nonzero(state, axis=1)
    sizes = np.array([*(size for size in SIZES if size < s), s])
    padded = sizes[np.searchsorted(sizes, count)]
    for size in np.unique(padded[count > 0]):
        rows = np.flatnonzero((padded == size) & (count > 0))
        place = np.argsort(state[rows] == 0, axis=1, kind="stable")[:, :size]
        inside = np.arange(size) < count[rows, None]
        own = left[rows]
        A = H[own[:, None, None], place[:, :, None], place[:, None, :]]
        A *= inside[:, :, None] & inside[:, None, :]
        # A ridge far below rounding keeps two changepoints that no row tells apart from stopping the batch.
        diagonal = np.arange(size)
        scale = A[:, diagonal, diagonal].max(axis=1)
        A[:, diagonal, diagonal] += np.where(inside, 1e-15 * scale[:, None] + 1e-300, 1.0)
        b = np.take_along_axis(c[rows], place, axis=1) * inside
        np.put_along_axis(x_rows := x[rows], place, np.linalg.solve(A, b[..., None])[..., 0], axis=1)
        x[rows] = x_rows
    return x
