"""How sure the mode is: Laplace's approximation of the posterior around it, in closed form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tsforecast import frames
from tsforecast.errors import ConfigError, FitWarning, listed
from tsforecast.models.prophet.forecasting import State
from tsforecast.models.prophet.lasso import solved
from tsforecast.models.prophet.layout import DAY, Unit, units
from tsforecast.models.prophet.posterior import basis_of, curvature, curve_at, prior_of, straight
from tsforecast.models.prophet.scaling import Calendar, Scaled, scaled
from tsforecast.models.prophet.settings import Settings
from tsforecast.models.prophet.spans import normal_equations, problems
from tsforecast.panel import Float, Int, Panel

__all__ = ["changes", "covariances", "diagnostics", "effects", "warn_of_reduced"]


def covariances(panel: Panel, settings: Settings, state: State) -> Iterator[tuple[Int, Float]]:
    """Numbers (b,) of series and covariances (b, p, p) of [slope, level, coefficients, slope changes], some at a time.

    On the model's scale. A slope change at zero, and a column that a span lacks, stays there: its rows are zero. The
    noise is taken as known. Logistic growth: the second parameter is minus slope times offset.
    Tierney & Kadane (1986), JASA 81, 82-86.
    """
    fitted = _as_fitted(panel, state)
    calendar = Calendar.of(fitted, settings.features)
    for make in units(fitted, len(settings.features.names), settings.features.has_row_columns):
        unit = make()
        at = panel.series[unit.spans]
        theta = np.concatenate(
            [state[name][at, None] for name in ("k", "m")] + [state["beta"][at], state["delta"][at]], 1
        )
        span = scaled(fitted, settings, unit, calendar)
        active = (theta != 0) & np.isfinite(theta)
        curve = _normal if settings.is_additive else _general
        H = curve(settings, unit, span, theta, state["sigma"][at] ** 2)
        both = active[:, :, None] & active[:, None, :]
        H = np.where(both, H, 0.0)
        H[:, np.arange(H.shape[1]), np.arange(H.shape[1])] += ~active
        yield unit.spans, np.where(both, solved(H, np.broadcast_to(np.eye(H.shape[1]), H.shape)), 0.0)


def _as_fitted(panel: Panel, state: State) -> Panel:
    """The rows that the model was fitted on, of a panel that may have had others since."""
    f = panel.series
    end = state["start"][f] + np.round(np.nan_to_num(state["unit"][f]) * DAY).astype(np.int64)
    stamps = panel.grid.astype("datetime64[us]").astype(np.int64)
    rows = panel.upto(np.searchsorted(stamps, end))
    if np.any(rows.observed < state["rows"][f]):
        raise ConfigError(
            "the rows that the model was fitted on are not there any more (a saved model keeps its parameters alone): "
            "fit it again for intervals of effects and components, or ask for none: levels=()"
        )
    return rows


def _normal(settings: Settings, unit: Unit, span: Scaled, theta: Float, variance: Float) -> Float:
    """Second derivatives (b, p, p) of f, where it is quadratic."""
    G, design, _, _ = normal_equations(settings, unit, span)
    H = G[design] / variance[:, None, None]
    g = np.arange(len(settings.precision))
    H[:, g, g] += settings.precision
    return H


def _general(settings: Settings, unit: Unit, span: Scaled, theta: Float, variance: Float) -> Float:
    """Second derivatives (b, p, p) of f at theta, or Gauss and Newton's part where theta is not quite a mode."""
    n, p = theta.shape
    out = np.zeros((n, p, p))
    k, g = len(settings.features.names), len(settings.precision)
    # The solver's order: additive columns before the others.
    many = np.concatenate([[False, False], settings.features.multiplicative, np.zeros(p - 2 - k, bool)])
    order = np.concatenate([[0, 1], 2 + np.argsort(many[2 : 2 + k], kind="stable"), np.arange(2 + k, p)])
    for i in range(n):  # one at a time: its rows' design is the largest array there is
        one = np.array([i])
        problem, _ = problems(settings, unit.take(one), span.take(one), order)
        place = straight(theta[one][:, order], settings.growth)
        basis = basis_of(problem)
        curve = curve_at(problem, basis, place)
        active = np.flatnonzero(np.nan_to_num(place[0]))
        for exact in (np.ones(1, dtype=bool), np.zeros(1, dtype=bool)):
            H = curvature(problem, basis, curve, exact)[0] / variance[i]
            H[:g, :g] += prior_of(problem, place, exact)[1][0]
            if not np.isfinite(H).all() or np.linalg.eigvalsh(H[np.ix_(active, active)]).min(initial=1.0) > 0:
                break
        out[i][np.ix_(order, order)] = H
    return out


def effects(
    panel: Panel, settings: Settings, state: State, levels: Sequence[float], sums: tuple[Sequence[str], Float]
) -> tuple[Int, dict[str, NDArray[Any]]]:
    """Series (rows,) and columns term, component, mode, estimate, lo-95, hi-95 of all coefficients and of `sums`.

    Additive effects in units of the data (a regressor's: a unit of it), multiplicative ones as shares of the trend;
    slope changes a day. `sums` are names (r,) and weights (r, K) of sums of coefficients that mean something together.
    """
    features = settings.features
    r, k, p = len(features.regressors), len(features.names), 2 + len(features.names) + settings.hinges
    names, weights = list(features.names) + list(sums[0]), np.concatenate([np.eye(k), sums[1]])
    lead = [int(np.flatnonzero(row)[0]) if row.any() else 0 for row in weights]
    many = features.multiplicative[lead]
    f, n = panel.series, len(panel)
    size = np.where(many, 1.0, state["scale"][f, None])
    std = np.ones((n, len(names)))
    std[:, k - r : k] = state["std"][f]
    unit = size / std
    slope = (state["scale"] / state["unit"])[f, None]
    estimate = np.concatenate([(state["beta"][f] @ weights.T) * unit, state["delta"][f] * slope], axis=1)
    error = np.full_like(estimate, np.nan)
    for spans, cov in covariances(panel, settings, state) if levels else ():
        inner = cov[:, 2 : 2 + k, 2 : 2 + k]
        own = np.sqrt(np.maximum(((weights @ inner) * weights).sum(axis=2), 0.0)) * unit[spans]
        bend = np.sqrt(cov[:, np.arange(2 + k, p), np.arange(2 + k, p)]) * slope[spans]
        error[spans] = np.concatenate([own, np.where(bend > 0, bend, np.nan)], axis=1)
    terms = np.concatenate([np.tile(np.array(names, dtype=object), (n, 1)), _change_names(panel, state)], axis=1)
    component = [features.component[j] for j in lead] + ["trend"] * settings.hinges
    mode = ["multiplicative" if one else "additive" for one in many] + ["additive"] * settings.hinges
    kept = (error > 0) | (estimate != 0)  # a span lacks the columns that its rows say nothing of
    kept[:, len(names) :] = np.arange(settings.hinges) < state["changes"][f, None]
    table: dict[str, NDArray[Any]] = {
        "term": terms[kept],
        "component": np.tile(np.array(component, dtype=object), (n, 1))[kept],
        "mode": np.tile(np.array(mode, dtype=object), (n, 1))[kept],
        "estimate": estimate[kept],
    }
    for level in levels:
        width = error * ndtri(0.5 + level / 200)
        table |= {f"lo-{level:g}": (estimate - width)[kept], f"hi-{level:g}": (estimate + width)[kept]}
    return np.repeat(np.arange(n), kept.sum(axis=1)), table


def changes(panel: Panel, state: State) -> tuple[Int, NDArray[Any], dict[str, Float]]:
    """Series (rows,), moments (rows,) and `change` of the slope, in units of the data a day, of every changepoint."""
    f = panel.series
    kept = np.arange(state["delta"].shape[1]) < state["changes"][f, None]
    slope = (state["scale"] / state["unit"])[f, None]
    return (
        np.repeat(np.arange(len(panel)), kept.sum(axis=1)),
        _moments(panel, state)[kept],
        {"change": (state["delta"][f] * slope)[kept]},
    )


def _moments(panel: Panel, state: State) -> NDArray[Any]:
    """Moments (n, S) of the changepoints, to the second: t is a share of the span, in floating point."""
    f = panel.series
    since = np.round(state["at"][f] * np.nan_to_num(state["unit"][f])[:, None] * 86_400).astype(np.int64) * 1_000_000
    moments: NDArray[Any] = (state["start"][f, None] + since).astype("datetime64[us]")
    return moments


def _change_names(panel: Panel, state: State) -> NDArray[Any]:
    day = np.datetime_as_string(_moments(panel, state), unit="D")
    names: NDArray[Any] = np.char.add("change:", day).astype(object) if day.size else day.astype(object)
    return names


def warn_of_reduced(panel: Panel, state: State, name: str) -> None:
    """FitWarning for series whose posterior has no mode with all terms: too few rows, so that some were left out."""
    fewer = panel.ids[state["thinned"][panel.series] > 0]
    if len(fewer):
        warnings.warn(
            f"{name}: {len(fewer)} of {len(panel)} series have too few rows for all terms (the noise would fall to "
            f"zero): {listed(fewer)} were fitted with fewer harmonics or changepoints, as diagnostics_ tells; "
            "give more rows or lower orders",
            FitWarning,
            stacklevel=3,
        )


def diagnostics(panel: Panel, state: State) -> Any:
    """Table, a row a series: rows, sigma, changepoints, those that bend, proper, reduced, rounds."""
    f = panel.series
    table = {
        "rows": state["rows"][f],
        "sigma": (state["sigma"] * state["scale"])[f],
        "changepoints": state["changes"][f],
        "bends": np.count_nonzero(state["delta"], axis=1)[f],
        "proper": state["proper"][f],
        "reduced": state["thinned"][f],
        "rounds": state["rounds"][f],
    }
    return frames.rows_table(panel, np.arange(len(panel)), None, table)
