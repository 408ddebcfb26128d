"""Which transform and which lags a series takes: chosen on its own past rows, batched over the panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsforecast.models.ar.dynamics import Equation, filled, level_polynomial, recursion, stabilised
from tsforecast.models.ar.fit import Fit, Ridge, fit_lags, moments
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.windows.plan import Transform, fewest_rows

__all__ = ["Candidate", "choose", "equation", "forecast_levels"]

ORIGINS = 4
"""Past origins that a choice between transforms is judged on."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to write the model: a transform of the target and the lags of the regression."""

    transform: Transform
    lags: tuple[int, ...]

    def rows_needed(self) -> int:
        """Observed rows below which the candidate is not tried."""
        return fewest_rows(self.lags) + self.transform.diff + 3


def equation(
    transform: Transform, lags: Sequence[int], fit: Fit, centre: Float, stabilise: bool
) -> tuple[Equation, Bool]:
    """The recursion on levels that a fit stands for, and which series had to be stabilised (n,)."""
    n, order = len(fit.const), max(lags, default=0)
    phi = np.zeros((n, order))
    phi[:, [lag - 1 for lag in lags]] = fit.coef[:, : len(lags)]
    changed = np.zeros(n, dtype=bool)
    const = fit.const
    if stabilise and order:
        calm, changed = stabilised(phi)
        # The mean of the regression's target stays where it was.
        const = const + (phi.sum(axis=1) - calm.sum(axis=1)) * centre
        phi = calm
    level = level_polynomial(phi, transform.diff)
    # On levels about their centre the constant loses what the lags give back; with a difference they give all.
    middle = np.zeros(n) if transform.diff else centre
    const = const - (1 - level.sum(axis=1)) * middle if not transform.diff else const
    sd = np.sqrt(np.maximum(fit.sigma2, 0.0))
    return Equation(level, const, middle, sd, np.full(n, transform.log)), changed


def forecast_levels(eq: Equation, panel: Panel, h: int, drive: Float | None = None, back: Float | None = None) -> Float:
    """Point forecasts (n, h) on the data's scale; `drive` (n, h) ahead and `back` (n, W) behind are what columns add."""
    return eq.back(recursion(eq.phi, eq.const, start_window(eq, panel, back), h, drive))


def start_window(eq: Equation, panel: Panel, back: Float | None = None) -> Float:
    """The last P values (n, P) on the recursion's scale, missing ones filled by the equation itself."""
    order = eq.phi.shape[1]
    y = panel.y if panel.excluded is None else np.where(panel.excluded, np.nan, panel.y)
    window = eq.into(panel.right(order, y))
    if np.isnan(window).any():
        window = eq.into(panel.right(2 * order + 2, y))
        window = filled(eq.phi, eq.const, window, None if back is None else back[:, -window.shape[1] :])
    return window[:, window.shape[1] - order :]


def choose(panel: Panel, candidates: Sequence[Candidate], ridge: Ridge, h: int, stabilise: bool) -> Int:
    """Number of the candidate each series takes (n,).

    Lags are chosen within a transform by generalised cross-validation, transforms by the mean absolute error of
    h-step recursions from past origins, under parameters fitted before the first of them.
    A series is offered what its own length can carry, whatever longer ones in the panel can.
    """
    fewest = np.array([fewest_rows(c.lags) for c in candidates])
    offered, group = np.unique(fewest <= panel.lengths[:, None], axis=0, return_inverse=True)
    chosen = np.zeros(len(panel), dtype=np.int64)
    for number, offer in enumerate(offered):
        index = np.flatnonzero(group.ravel() == number)
        mine = np.flatnonzero(offer) if offer.any() else np.arange(len(candidates))
        chosen[index] = mine[_among(panel.take(index), [candidates[i] for i in mine], ridge, h, stabilise)]
    return chosen


def _among(panel: Panel, candidates: Sequence[Candidate], ridge: Ridge, h: int, stabilise: bool) -> Int:
    """`choose` for series that are offered the same candidates."""
    if len(candidates) == 1:
        return np.zeros(len(panel), dtype=np.int64)
    reach = np.minimum(h, np.maximum(panel.lengths // 5, 1))
    step = np.maximum(reach // 2, 1)
    held = np.minimum(reach + (ORIGINS - 1) * step, panel.lengths // 3)
    early = panel.replace(stop=np.maximum(panel.stop - held, panel.start))
    best = np.full(len(panel), np.inf)
    chosen = np.zeros(len(panel), dtype=np.int64)
    for transform in dict.fromkeys(c.transform for c in candidates):
        mine = [i for i, c in enumerate(candidates) if c.transform == transform]
        number, error = _within(early, panel, [candidates[i] for i in mine], ridge, h, (reach, step, held), stabilise)
        better = error < best
        best = np.where(better, error, best)
        chosen = np.where(better, np.array(mine)[number], chosen)
    return chosen


def _within(
    early: Panel,
    panel: Panel,
    candidates: Sequence[Candidate],
    ridge: Ridge,
    h: int,
    spans: tuple[Int, Int, Int],
    stabilise: bool,
) -> tuple[Int, Float]:
    """The best candidate of one transform a series (n,), and its validation error (n,)."""
    transform = candidates[0].transform
    union = tuple(sorted({lag for c in candidates for lag in c.lags}))
    m = moments(early, transform, union)
    scores = np.full((len(candidates), len(early)), np.inf)
    fits = []
    for j, candidate in enumerate(candidates):
        fit = fit_lags(early, transform, m, candidate.lags, ridge)
        fits.append(fit)
        scores[j] = np.where(early.observed >= candidate.rows_needed(), fit.score, np.inf)
    number = np.argmin(np.where(np.isnan(scores), np.inf, scores), axis=0)
    error = np.full(len(early), np.inf)
    for j, candidate in enumerate(candidates):
        index = np.nonzero(number == j)[0]
        if len(index):
            fit = Fit(**{name: values[index] for name, values in fits[j].arrays().items()})
            eq, _ = equation(transform, candidate.lags, fit, m.centre[index, 0], stabilise)
            error[index] = _validation(eq, panel.take(index), h, tuple(x[index] for x in spans))
    return number, np.where(np.isfinite(error), error, np.inf)


def _validation(eq: Equation, panel: Panel, h: int, spans: tuple[Int, ...]) -> Float:
    """Mean absolute error (n,) of recursions of up to `reach` steps from the origins behind the held rows."""
    reach, step, held = spans
    total, count = np.zeros(len(panel)), np.zeros(len(panel))
    for origin in range(ORIGINS):
        back = held - origin * step
        part = panel.replace(stop=np.maximum(panel.stop - np.maximum(back, 1), panel.start))
        point = forecast_levels(eq, part, h)
        actual = part.ahead(panel, h)
        use = (np.arange(h) < reach[:, None]) & np.isfinite(actual) & (back > 0)[:, None]
        total += np.where(use, np.abs(actual - point), 0.0).sum(axis=1)
        count += use.sum(axis=1)
    return total / np.maximum(count, 1)
