"""Weights on the simplex: the least mean squared error of a blend, pulled toward a prior."""

from __future__ import annotations

from math import fsum

import numpy as np

from tsforecast.panel import Bool, Float, Int

__all__ = ["covariances", "shrunk_weights"]

TIES = 1e-8
"""Pull toward the prior, as a share of the mean squared error, where none is asked for: it settles ties."""


def covariances(errors: Float, groups: Int, bands: Int) -> tuple[Float, Int]:
    """Mean products (g, b, m, m) of members' errors (m, w, n, h) by group of series (n,) and band of steps (h,), over
    the places that all members reach, and the counts (g, b) of these.
    """
    m, _, n, _ = errors.shape
    there = np.asarray(np.isfinite(errors).all(axis=0))
    known = np.where(there, errors, 0.0)
    n_groups, n_bands = int(groups.max(initial=0)) + 1, int(bands.max(initial=0)) + 1
    total = np.zeros((n_groups, n_bands, m, m))
    count = np.zeros((n_groups, n_bands), dtype=np.int64)
    for b in range(n_bands):
        some = np.flatnonzero(bands == b)
        np.add.at(count[:, b], groups, there[:, :, some].sum(axis=(0, 2)))
        for i in range(m):
            for j in range(i + 1):
                # Along one contiguous row a series: its sum is the same in any company.
                products = known[i][:, :, some] * known[j][:, :, some]
                rows = np.ascontiguousarray(products.swapaxes(0, 1)).reshape(n, -1).sum(axis=1)
                total[:, b, i, j] = total[:, b, j, i] = _by_group(rows, groups, n_groups)
    return total / np.maximum(count, 1)[..., None, None], count


def _by_group(values: Float, groups: Int, count: int) -> Float:
    """Sums (g,) of values (n,) by group, exactly rounded: the order of the series changes no bit."""
    if count == len(values):
        out = np.zeros(count)
        out[groups] = values
        return out
    return np.array([fsum(values[groups == g]) for g in range(count)])


def shrunk_weights(s: Float, prior: Float, kappa: float) -> Float:
    """Weights (b, m) that minimise w'Sw + kappa H |w - prior|^2 over the simplex, for S (b, m, m).

    H is the harmonic mean of the members' mean squared errors: one that is far off does not hold the others to the
    prior. Members that err alike share the prior's weights; kappa = inf gives the prior.
    """
    with np.errstate(divide="ignore"):
        size = 1.0 / (1.0 / np.einsum("bii->bi", s)).mean(axis=1)
    # Beside a member without any error the others are weighed by the mean.
    size = np.where(size > 0, size, np.einsum("bii->bi", s).mean(axis=1))
    pull = size * max(kappa, TIES) if np.isfinite(kappa) else np.full(len(s), np.inf)
    told = (size > 0) & np.isfinite(pull)
    out = np.tile(prior, (len(s), 1))
    # In units of the mean squared error, so that no scale of the data is too small or large.
    unit = s[told] / size[told][:, None, None] + (pull[told] / size[told])[:, None, None] * np.eye(len(prior))
    out[told] = _on_simplex(unit, (pull[told] / size[told])[:, None] * prior, out[told])
    return out


def _on_simplex(q: Float, c: Float, start: Float) -> Float:
    """Minimum (b, m) of w'Qw - 2 c'w over the simplex by active sets, all problems at once, from a point on it.

    Nocedal & Wright (2006), Numerical Optimization, algorithm 16.3.
    """
    w = start.copy()
    free = w > 0
    for _ in range(10 * q.shape[1] + 10):
        aim, level = _equality(q, c, free)
        away = free & (aim < 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(away, w / (w - aim), np.inf)
        share = np.minimum(reach.min(axis=1), 1.0)
        # Where nothing stood in the way it is the aim to the bit: rounds that others still need move nothing.
        w = np.where(free, np.where(share[:, None] < 1, w + share[:, None] * (aim - w), aim), 0.0)
        blocked = away & (reach <= share[:, None])
        free &= ~blocked
        w[blocked] = 0.0
        # Where nothing stood in the way: a member outside that would lower the loss comes in.
        slack = np.where(free, np.inf, (np.einsum("bij,bj->bi", q, w) - c) - level[:, None])
        enters = (slack.min(axis=1) < -1e-12) & ~blocked.any(axis=1)
        if not (enters | blocked.any(axis=1)).any():
            break
        free[enters, slack.argmin(axis=1)[enters]] = True
    return np.asarray(w / w.sum(axis=1, keepdims=True))


def _equality(q: Float, c: Float, free: Bool) -> tuple[Float, Float]:
    """Minimum (b, m) of w'Qw - 2 c'w with sum 1 and zero where not `free`, and the multiplier (b,) of the sum."""
    b, m = c.shape
    both = free[:, :, None] & free[:, None, :]
    system = np.zeros((b, m + 1, m + 1))
    system[:, :m, :m] = np.where(both, q, 0.0)
    index = np.arange(m)
    system[:, index, index] += ~free
    system[:, :m, m], system[:, m, :m] = -1.0 * free, free
    right = np.concatenate([np.where(free, c, 0.0), np.ones((b, 1))], axis=1)
    solution = np.linalg.solve(system, right[..., None])[..., 0]
    return solution[:, :m], solution[:, m]
