"""From the answers of a fit to a recursion on levels, and from there to forecasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsforecast.models.ar.dynamics import Equation, filled, level_polynomial, recursion, stabilised
from tsforecast.models.ar.fit import Fit
from tsforecast.panel import Bool, Float, Panel
from tsforecast.windows import seasonal_last
from tsforecast.windows.plan import Transform

__all__ = ["equation", "forecast_levels", "start_window"]


def equation(
    transform: Transform, lags: Sequence[int], fit: Fit, centre: Float, stabilise: bool
) -> tuple[Equation, Bool]:
    """The recursion on levels that a fit stands for, and which series had to be stabilised (n,).

    `stabilise` draws explosive roots back, and the drift of a differenced target towards none.
    """
    n, order = len(fit.const), max(lags, default=0)
    phi = np.zeros((n, order))
    phi[:, [lag - 1 for lag in lags]] = fit.coef[:, : len(lags)]
    changed = np.zeros(n, dtype=bool)
    const = fit.const - _doubtful_drift(fit, len(lags), centre) if stabilise and transform.diff else fit.const
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


def _doubtful_drift(fit: Fit, lags: int, centre: Float) -> Float:
    """What a differenced target's drift loses (n,): its share 1 / t^2 where t^2 > 1, else all of it.

    A drift repeats in every step ahead, so an uncertain one costs most. James & Stein (1961), positive part.
    """
    drift = fit.const if fit.coef.shape[1] == lags else centre * (1 - fit.coef[:, :lags].sum(axis=1))
    with np.errstate(all="ignore"):
        square = fit.count * drift**2 / fit.sigma2
        # One difference has no spread to judge by (NaN): what it says of the drift is not believed.
        share = np.where(square > 1, 1 / square, 1.0)
    return share * drift


def forecast_levels(eq: Equation, panel: Panel, h: int, drive: Float | None = None, back: Float | None = None) -> Float:
    """Point forecasts (n, h) on the data's scale; columns add `drive` (n, h) ahead and `back` (n, W) behind."""
    return eq.back(recursion(eq.phi, eq.const, start_window(eq, panel, back), h, drive))


def start_window(eq: Equation, panel: Panel, back: Float | None = None) -> Float:
    """The last P values (n, P) on the recursion's scale, missing ones filled by the equation itself.

    Only the values that a series' own polynomial reaches are filled, from a window of twice that length: what the
    others reach must not matter. Zeros stand where no coefficient looks.
    """
    order = eq.phi.shape[1]
    window = eq.into(panel.right(order))
    gaps = np.isnan(window)
    if not gaps.any():
        return window
    reach = order - np.argmax(np.c_[eq.phi[:, ::-1] != 0, np.ones(len(panel), bool)], axis=1)
    used = np.arange(order) >= order - reach[:, None]
    lacking = (gaps & used).any(axis=1)
    window[gaps & ~used] = 0.0
    for length in np.unique(reach[lacking]):
        index = np.flatnonzero(lacking & (reach == length))
        own, few, width = eq.take(index), panel.take(index), 2 * int(length) + 2
        wide = own.into(few.right(width))
        lost = np.flatnonzero(np.isnan(wide).all(axis=1))
        wide[lost] = _long_lost(own.take(lost), few.take(lost))[:, None]
        drive = None if back is None else back[index, -width:]
        window[index, order - length :] = filled(own.phi[:, :length], own.const, wide, drive)[:, width - length :]
    return window


def _long_lost(eq: Equation, panel: Panel) -> Float:
    """Where series that have not been seen for long are taken to be (n,): at their mean; at their last value if the
    equation, of differences, knows no mean.
    """
    last = eq.into(seasonal_last(panel, 1, 1).point[:, 0])
    return np.where((eq.centre == 0) | np.isnan(last), last, 0.0)
