"""Many small lasso problems at once: the slope changes of Prophet's trend, once everything Gaussian is eliminated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsforecast.panel import Bool, Float, Int

__all__ = ["minimise", "solved"]

Signs = NDArray[np.int8]
SIZES = (4, 8, 16)
"""Systems are padded to the next of these sizes, or solved whole: a function of their own size, so that company in the
batch changes no bit."""
EXCHANGES = 6
"""Rounds of block exchanges before what is left is solved by descent."""


def minimise(H: Float, c: Float, penalty: Float, signs: Signs, rounds: int = 400) -> tuple[Float, Signs]:
    """Minimise 1/2 d'Hd - c'd + penalty |d|_1 for H (b, s, s) positive definite, c (b, s), penalty (b,).

    Block principal pivoting over the sign states of d, begun at `signs` (b, s) in {-1, 0, 1}: mostly a few rounds. The
    problems that it does not settle go on by an active-set descent, which cannot cycle. Returns d and its signs, those
    of `rounds` rounds at most.
    Portugal, Judice & Vicente (1994), Math. Comp. 63, 625-643; Nocedal & Wright (2006), Numerical Optimization, 16.5.
    """
    d, signs = np.zeros_like(c), signs.copy()
    limit = penalty + 1e-11 * (np.abs(c).max(axis=1, initial=0.0) + penalty)
    left = np.arange(len(c)) if c.shape[1] else np.empty(0, np.int64)
    for turn in range(rounds):
        if not len(left):
            break
        state = signs[left]
        x = _solved(H, c[left] - penalty[left, None] * state, state, left)
        if turn < EXCHANGES:
            d[left] = x
            down = c[left] - (H[left] @ x[..., None])[..., 0]  # minus the gradient of the smooth part
            turned = x * state < 0
            pulled = (state == 0) & (np.abs(down) > limit[left, None])
            signs[left] = np.where(pulled, np.sign(down), np.where(turned, 0, state))
            left = left[(turned | pulled).any(axis=1)]
            continue
        if turn == EXCHANGES:
            d[left] = np.where(d[left] * state > 0, d[left], 0.0)
        d[left], signs[left], settled = _descended(H[left], c[left], limit[left], d[left], state, x)
        left = left[~settled]
    return d, signs


def _descended(H: Float, c: Float, limit: Float, d: Float, state: Signs, x: Float) -> tuple[Float, Signs, Bool]:
    """One step from d towards x, the minimum for these signs: to the first sign that would turn, which becomes 0.

    Where none would, x is reached and the coordinate that is pulled most joins in; none at the solution.
    """
    rows = np.arange(len(d))
    turned = x * state < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(turned, d / (d - x), np.inf)
    first = np.argmin(share, axis=1)
    stopped: Bool = np.any(turned, axis=1)
    reached = np.where(stopped, share[rows, first], 1.0)
    d = np.where(stopped[:, None], d + reached[:, None] * (x - d), x)
    d[rows[stopped], first[stopped]] = 0.0
    state = state.copy()
    state[rows[stopped], first[stopped]] = 0
    down = np.where(state == 0, c - (H @ d[..., None])[..., 0], 0.0)
    most = np.argmax(np.abs(down), axis=1)
    joins = ~stopped & (np.abs(down[rows, most]) > limit)
    state[rows[joins], most[joins]] = np.sign(down[rows[joins], most[joins]])
    return d, state, ~stopped & ~joins


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
        b = c[rows[:, None], place] * inside
        x[rows[:, None], place] = solved(A, b[..., None])[..., 0]
    return x


def solved(A: Float, right: Float) -> Float:
    """Solutions (b, s, r) of A x = right, A (b, s, s); a ridge at the size of rounding where A is singular.

    One system of many that is exactly singular would stop them all.
    """
    out = np.empty_like(right)
    try:
        out[:] = np.linalg.solve(A, right)
        return out
    except np.linalg.LinAlgError:
        pass
    for i, one in enumerate(A):
        try:
            out[i] = np.linalg.solve(one, right[i])
        except np.linalg.LinAlgError:
            ridge = 1e-14 * np.abs(one).max() + 1e-300
            out[i] = np.linalg.solve(one + ridge * np.eye(len(one)), right[i])
    return out
