"""Batched least squares from moments: equilibrated normal equations, ridge by generalised cross-validation."""

from __future__ import annotations

import numpy as np

from tsforecast.panel import Bool, Float

__all__ = ["centred", "effective", "exact", "gcv_ridge", "least_squares", "pivots_and_solution", "spread"]

WEAK = 1e-7
"""A pivot of the equilibrated Gram below this loses too many digits in normal equations: an exact method decides."""
RIDGES = np.concatenate([[0.0], np.logspace(-7, 0.5, 16)])
"""Ridge penalties tried, as a share of the mean squared column."""


def centred(moments: Float, targets: int) -> tuple[Float, Float, Float, Float]:
    """Gram (n, k, k), cross products (n, k, r), target products (n, r, r) about the means (n, 1 + k + r), from moments.

    The first column of the moments is the constant, the last `targets` are the targets.
    """
    count = np.maximum(moments[:, 0, 0], 1.0)
    mean = moments[:, 0, :] / count[:, None]
    about = moments - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    k = moments.shape[1] - targets
    return about[:, 1:k, 1:k], about[:, 1:k, k:], about[:, k:, k:], mean


def varying(gram: Float) -> Bool:
    """Columns (n, k) that are more than rounding away from constant."""
    diagonal = np.einsum("nkk->nk", gram)
    live: Bool = diagonal > 1e-13 * np.maximum(diagonal.max(axis=1, initial=0.0), 1e-300)[:, None]
    return live


def equilibrated(gram: Float, cross: Float) -> tuple[Float, Float, Float]:
    """Gram with unit diagonal, cross products to match, and the scales (n, k); a constant column gets a zero answer."""
    live = varying(gram)
    scale = np.sqrt(np.where(live, np.einsum("nkk->nk", gram), 1.0))
    unit = gram / (scale[:, :, None] * scale[:, None, :])
    both = live[:, :, None] & live[:, None, :]
    unit = np.where(both, unit, 0.0)
    index = np.arange(gram.shape[1])
    unit[:, index, index] = 1.0
    return unit, np.where(live[:, :, None], cross / scale[:, :, None], 0.0), scale


def pivots_and_solution(unit: Float, cross: Float) -> tuple[Float, Float]:
    """Solve unit x = cross by LDL' over all series at once: smallest pivot (n,), solution (n, k, r).

    Elementwise over the batch, so a series' answer has the same bits in any company, and none can sink the others.
    """
    k = unit.shape[1]
    work = np.ascontiguousarray(np.moveaxis(np.concatenate([unit, cross], axis=2), 0, -1))  # (k, k + r, n)
    low = np.full(len(unit), np.inf)
    # A pivot of zero or below divides by infinity: that series ends in zeros, and its pivot tells.
    with np.errstate(all="ignore"):
        for i in range(k):
            low = np.minimum(low, work[i, i])
            row = work[i, i + 1 :] / np.where(work[i, i] > 0, work[i, i], np.inf)
            work[i + 1 :, i + 1 :] -= work[i, i + 1 : k][:, None] * row[None]
            work[i, i + 1 :] = row
        for i in range(k - 1, 0, -1):
            work[:i, k:] -= work[:i, i, None] * work[i, None, k:]
    return low, np.moveaxis(work[:, k:], -1, 0)


def least_squares(gram: Float, cross: Float, ridge: Float) -> tuple[Float, Bool]:
    """Coefficients (n, k, r) at ridge penalties (n,), and which series are too collinear for this road (n,)."""
    unit, right, scale = equilibrated(gram, cross)
    index = np.arange(unit.shape[1])
    unit[:, index, index] += ridge[:, None]
    low, solution = pivots_and_solution(unit, right)
    return solution / scale[:, :, None], ~(low > WEAK)


def effective(gram: Float, ridge: Float) -> Float:
    """Effective parameters (n,): the trace of the hat matrix of a ridge fit, the mean not counted.

    Without a ridge these are the columns that vary.
    """
    live: Float = varying(gram).sum(axis=1).astype(np.float64)
    if not np.any(ridge > 0):
        return live
    values = np.maximum(np.linalg.eigvalsh(_unit(gram)), 0.0)
    kept: Float = (values / np.maximum(values + ridge[:, None], 1e-300)).sum(axis=1)
    return np.where(ridge > 0, kept, live)


def _unit(gram: Float) -> Float:
    """The Gram matrices with unit diagonal, zero in rows and columns of constants."""
    unit = equilibrated(gram, gram[:, :, :0])[0]
    index = np.arange(gram.shape[1])
    unit[:, index, index] = varying(gram)
    return unit


def exact(x: Float, target: Float, use: Float) -> tuple[Float, Float]:
    """Minimum-norm least squares about the mean by singular values: coefficients (n, k) and ranks (n,).

    x (n, T, k), target (n, T), row weights use (n, T).
    """
    total = np.maximum(use.sum(axis=1), 1e-300)[:, None]
    x = x - (np.einsum("nt,ntk->nk", use, x) / total)[:, None, :]
    target = target - (use * target).sum(axis=1, keepdims=True) / total
    root = np.sqrt(use)
    x = x * root[:, :, None]
    size = np.sqrt(np.einsum("ntk,ntk->nk", x, x))
    size = np.where(size > 1e-13 * np.maximum(size.max(axis=1, initial=0.0), 1e-300)[:, None], size, np.inf)
    u, s, vt = np.linalg.svd(x / size[:, None, :], full_matrices=False)
    live = s > 1e-13 * max(x.shape[1:]) * s.max(axis=1, initial=0.0, keepdims=True)
    inverse = np.where(live, 1.0 / np.where(live, s, 1.0), 0.0)
    along = np.einsum("ntk,nt->nk", u, target * root) * inverse
    return np.einsum("nkj,nk->nj", vt, along) / size, live.sum(axis=1).astype(float)


def spread(gram: Float, ridge: Float) -> Float:
    """(G + p D)^-1 G (G + p D)^-1 (n, k, k): covariance of ridge coefficients for unit noise, D the diagonal of G."""
    unit, _, scale = equilibrated(gram, gram[:, :, :0])
    index = np.arange(gram.shape[1])
    raised = unit.copy()
    raised[:, index, index] += ridge[:, None]
    weak = ~(pivots_and_solution(raised, raised[:, :, :0])[0] > WEAK)
    raised[weak] = np.eye(gram.shape[1])
    inverse = np.linalg.inv(raised)
    if weak.any():
        inverse[weak] = np.linalg.pinv(unit[weak], rcond=1e-11, hermitian=True)
    if np.any(ridge > 0):
        inverse = np.where((ridge > 0)[:, None, None], inverse @ unit @ inverse, inverse)
    return inverse / (scale[:, :, None] * scale[:, None, :])


def gcv_ridge(gram: Float, cross: Float, power: Float, count: Float) -> tuple[Float, Float, Float]:
    """Ridge coefficients (n, k), penalty and effective parameters (n,), the penalty chosen a series.

    All penalties follow from one eigendecomposition: with unit = V e V', coefficients are V (V'b) / (e + p), the
    residual sum and the effective parameters sums over e. Golub, Heath & Wahba (1979), Technometrics 21, eq. 1.4.
    """
    _, right, scale = equilibrated(gram, cross[..., None])
    values, vectors = np.linalg.eigh(_unit(gram))
    values = np.maximum(values, 0.0)
    b = np.einsum("nij,ni->nj", vectors, right[..., 0])
    best = np.full(len(gram), np.inf)
    penalty, used = np.zeros(len(gram)), np.zeros(len(gram))
    for p in RIDGES:
        # Directions without data carry b = 0 but for rounding; the floor keeps them out.
        inverse = np.where(values > 1e-11, 1.0 / (values + p + 1e-300), 0.0) if p == 0 else 1.0 / (values + p)
        answer = b * inverse
        left = np.maximum(power - (2 * b * answer - values * answer**2).sum(axis=1), 1e-12 * power)
        freedom = (values * inverse).sum(axis=1)
        spare = count - 1 - freedom
        score = np.where(spare > 0, count * left / np.maximum(spare, 1e-9) ** 2, np.inf)
        better = score < best * (1 - 1e-9)
        best = np.where(better, score, best)
        penalty, used = np.where(better, p, penalty), np.where(better, freedom, used)
    inverse = np.where(values > 1e-11, 1.0 / (values + penalty[:, None]).clip(1e-300), 0.0)
    coef = np.einsum("nij,nj->ni", vectors, b * inverse) / scale
    return coef, penalty, used
