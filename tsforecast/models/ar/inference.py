"""Tables of a fitted AR: coefficients with their tests, statistics a series, components of a forecast, a summary."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from tsforecast import frames
from tsforecast.errors import ConfigError, listed
from tsforecast.models.ar.levels import start_window
from tsforecast.models.ar.series import drives, equation_of, forms_of
from tsforecast.panel import Float, Panel
from tsforecast.rolling import State
from tsforecast.windows.plan import Transform

__all__ = ["coefficients", "components", "diagnostics", "direct_coefficients", "statistics", "summary"]


def terms(state: State, panel: Panel) -> list[str]:
    """Names of the constant and of every coefficient, as statsmodels' AutoReg writes them: const, y.L1, ..., promo."""
    channels = [panel.names.target, *panel.column_names[: panel.n_past]]
    lagged = [f"{channel}.L{lag}" for channel in channels for lag in state["lags"]]
    return ["const", *lagged, *panel.known_names]


def coefficients(state: State, panel: Panel) -> Any:
    """Long table: id, term, estimate, std_error, t, p; terms a series did not take are left out."""
    estimate, error, t, p = _tests(state, panel)
    there = ~np.isnan(estimate)
    owner, column = np.nonzero(there)
    names = np.array(terms(state, panel), dtype=object)
    table = {
        "term": names[column],
        "estimate": estimate[there],
        "std_error": error[there],
        "t": t[there],
        "p": p[there],
    }
    return frames.rows_table(panel, owner, None, table)


def direct_coefficients(state: State, panel: Panel) -> Any:
    """Long table of a direct model: id, step, term, estimate, std_error, t, but for terms a series did not take."""
    index, names = panel.series, terms(state, panel)[1:]
    p, width = panel.n_past, len(state["lags"])
    owner = [0] * width + [1 + c for c in range(p) for _ in range(width)]
    owner += range(1 + p, 1 + p + len(panel.known_names))
    # Fitted on centred, scaled values: back to the units of the columns.
    scale = state["scale"][index]
    unit = (scale[:, :1] / scale[:, owner])[:, None, :]
    estimate, error = state["coef"][index] * unit, state["error"][index] * unit
    series, step, term = np.nonzero(~np.isnan(error))
    table = {
        "step": step + 1,
        "term": np.array(names, dtype=object)[term],
        "estimate": estimate[series, step, term],
        "std_error": error[series, step, term],
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        table["t"] = table["estimate"] / table["std_error"]
    return frames.rows_table(panel, series, None, table)


def _tests(state: State, panel: Panel) -> tuple[Float, Float, Float, Float]:
    index = panel.series
    estimate = np.concatenate([state["intercept"][index, None], state["coef"][index]], axis=1)
    error = state["error"][index]
    free = (state["count"] - 1 - state["freedom"])[index, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / error
        p = 2 * stdtr(np.maximum(free, 1e-9), -np.abs(t))
    return estimate, error, t, p


def _figures(state: State, panel: Panel) -> dict[str, Float]:
    index = panel.series
    count, freedom, total = (state[name][index] for name in ("count", "freedom", "total"))
    spare = count - 1 - freedom
    left = state["sigma2"][index] * spare
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = -count / 2 * (np.log(2 * np.pi * left / count) + 1)
        r2 = 1 - left / total
        return {
            "rows": count,
            "r2": r2,
            "r2_adjusted": 1 - (1 - r2) * (count - 1) / spare,
            "sigma": np.sqrt(state["sigma2"][index]),
            "log_likelihood": likelihood,
            "aic": -2 * likelihood + 2 * (freedom + 1),
            "bic": -2 * likelihood + np.log(count) * (freedom + 1),
        }


def statistics(state: State, panel: Panel) -> Any:
    """Table, a row a series: rows, r2, r2_adjusted, sigma, log_likelihood, aic, bic."""
    return frames.rows_table(panel, np.arange(len(panel)), None, _figures(state, panel))


def diagnostics(state: State, panel: Panel) -> Any:
    """Table, a row a series: transform, lags, weight, ridge, effective parameters, rows, sigma, stabilised.

    `weight` is the share of the form shown in the forecasts; the rest is that of other forms close to it.
    """
    index = panel.series
    first, which = forms_of(state)
    words, kinds = np.empty(len(first), dtype=object), np.empty(len(first), dtype=object)
    for number, one in enumerate(first):
        used = ~np.isnan(state["coef"][one, : len(state["lags"])])
        words[number] = " ".join(str(lag) for lag, u in zip(state["lags"], used, strict=True) if u)
        kinds[number] = Transform(bool(state["log"][one]), int(state["diff"][one])).word()
    table = {
        "transform": kinds[which[index]],
        "lags": words[which[index]],
        "weight": state["weight"][index],
        "ridge": state["ridge"][index],
        "parameters": state["freedom"][index] + 1,
        "rows": state["count"][index],
        "sigma": np.sqrt(state["sigma2"][index]),
        "stabilised": state["stabilised"][index],
    }
    return frames.rows_table(panel, np.arange(len(panel)), None, table)


def components(state: State, panel: Panel, times: NDArray[Any], known: Float) -> Any:
    """Long table: id, time, const, lags, one column a known or calendar term, sum; they add up to `sum`.

    Values are those of the recursion, on logs where the series is logged; with a differenced target a term's share
    is that of its differences.
    """
    h = times.shape[1]
    eq = equation_of(state, panel.series)
    ahead, behind = drives(state, panel, h, known)
    order = eq.phi.shape[1]
    track = np.concatenate([start_window(eq, panel, behind), np.zeros((len(panel), h))], axis=1)
    lagged = np.zeros((len(panel), h))
    for step in range(h):
        lagged[:, step] = (eq.phi * track[:, step : step + order][:, ::-1]).sum(axis=1)
        track[:, order + step] = eq.const + lagged[:, step] + (0.0 if ahead is None else ahead[:, step])
    owner = np.repeat(np.arange(len(panel)), h)
    table: dict[str, NDArray[Any]] = {"const": np.repeat(eq.const + eq.centre, h), "lags": lagged.reshape(-1)}
    for c, term in enumerate(panel.known_names):
        alone = np.zeros_like(known)
        alone[:, :, c] = known[:, :, c]
        only = panel.replace(
            columns=np.where(np.arange(panel.columns.shape[1]) == panel.n_past + c, panel.columns, 0.0)
        )
        share, _ = drives(state, only, h, alone)
        table[term] = share.reshape(-1) if share is not None else np.zeros(len(owner))
    table["sum"] = (track[:, order:] + eq.centre[:, None]).reshape(-1)
    return frames.rows_table(panel, owner, times.reshape(-1), table)


def summary(state: State, panel: Panel, wanted: object, name: str) -> str:
    """Text of one series' regression: what was fitted, how well, and a row a coefficient."""
    if wanted is None and len(panel) == 1:
        wanted = panel.ids[0]
    if wanted is None:
        raise ConfigError(f"say which of the {len(panel)} series: summary(id); there are {listed(panel.ids)}")
    found = np.nonzero(panel.ids == wanted)[0]
    if not len(found):
        raise ConfigError(f"no series {wanted!r}; there are {listed(panel.ids)}")
    one = panel.take(found)
    figures = {key: float(values[0]) for key, values in _figures(state, one).items()}
    estimate, error, t, p = (values[0] for values in _tests(state, one))
    i = one.series[0]
    form = Transform(bool(state["log"][i]), int(state["diff"][i])).word()
    width = 78
    left = [("Dep. Variable:", one.names.target), ("Model:", name), ("Series:", str(wanted)), ("Transform:", form)]
    left += [("No. Observations:", f"{figures['rows']:.0f}"), ("Ridge:", f"{state['ridge'][i]:.3g}")]
    right = [("R-squared:", f"{figures['r2']:.3f}"), ("Adj. R-squared:", f"{figures['r2_adjusted']:.3f}")]
    right += [("Log-Likelihood:", f"{figures['log_likelihood']:.2f}"), ("AIC:", f"{figures['aic']:.1f}")]
    right += [("BIC:", f"{figures['bic']:.1f}"), ("S.D. of residuals:", f"{figures['sigma']:.4g}")]
    lines = ["AR Regression Results".center(width), "=" * width]
    for (a, b), (c, d) in zip(left, right, strict=True):
        lines.append(f"{a:<19}{b:>19}  {c:<19}{d:>19}")
    heads = ("coef", "std err", "t", "P>|t|", "[0.025", "0.975]")
    lines += ["=" * width, f"{'':<18}" + "".join(f"{head:>10}" for head in heads), "-" * width]
    half = stdtrit(max(figures["rows"] - 1 - float(state["freedom"][i]), 1e-9), 0.975) * error
    for term, *row in zip(terms(state, one), estimate, error, t, p, estimate - half, estimate + half, strict=True):
        if not np.isnan(row[0]):
            lines.append(f"{term:<18}{row[0]:>10.4f}" + "".join(f"{value:>10.3f}" for value in row[1:]))
    return "\n".join([*lines, "=" * width])
