"""Autocorrelations of a panel, or of the residuals of a fitted model, and the Ljung-Box test; from statsmodels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import chdtrc

from tsforecast import frames
from tsforecast.errors import ConfigError, require
from tsforecast.findings import as_panel, read_panel
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Float, Panel

__all__ = ["acf", "ljung_box", "pacf", "series_of"]


def acf(data: Any, nlags: int = 40) -> Any:
    """Table id, lag, acf for lags 0 to `nlags` of every series; of its residuals where `data` is a fitted model.

    Missing rows are left out of each sum; NaN for a constant series, and for lags that reach past its rows.
    """
    tools = require("statsmodels.tsa.stattools", "stats")

    def one(y: Float, most: int) -> Float:
        found: Float = tools.acf(y, nlags=most, fft=False, missing="conservative")
        return found

    return _table(data, "acf", nlags, one)


def pacf(data: Any, nlags: int = 40) -> Any:
    """Table id, lag, pacf for lags 0 to `nlags`, by Yule and Walker with sums over their own number of rows.

    `data`, missing rows and NaN as in `acf`; lags go up to half the rows.
    """
    tools = require("statsmodels.tsa.stattools", "stats")

    def one(y: Float, most: int) -> Float:
        most = min(most, len(y) // 2 - 1)
        if most < 1:
            return np.ones(1)
        sums = tools.acf(y, nlags=most, fft=False, missing="conservative", adjusted=True)
        found: Float = tools.levinson_durbin(sums, nlags=most, isacov=True)[2]
        return found

    return _table(data, "pacf", nlags, one)


def ljung_box(data: Any, lags: int | Sequence[int] = 10, *, fitted: int = 0) -> Any:
    """Table id, lag, statistic, p: whether autocorrelations up to each lag (`lags` up to 10, say) are jointly zero.

    Of the series, or of the residuals where `data` is a fitted model; `fitted` is the number of autoregressive
    coefficients behind residuals, taken off the degrees of freedom. Ljung & Box (1978), Biometrika 65.
    """
    tools = require("statsmodels.tsa.stattools", "stats")
    wanted = np.atleast_1d(np.arange(1, lags + 1) if isinstance(lags, int) else np.asarray(lags, dtype=np.int64))
    _check_lags(int(wanted.max(initial=0)), int(wanted.min(initial=1)))
    panel = series_of(data)
    found = np.full((len(panel), len(wanted)), np.nan)
    for i, y in enumerate(_values(panel)):
        within = wanted < len(y)
        if within.any() and np.ptp(y[np.isfinite(y)]) > 0:
            sums = tools.acf(y, nlags=int(wanted[within].max()), fft=False, missing="conservative")
            found[i, within] = tools.q_stat(sums[1:], nobs=int(np.isfinite(y).sum()))[0][wanted[within] - 1]
    freedom = np.broadcast_to(wanted - fitted, found.shape)
    p = np.where(freedom > 0, chdtrc(np.maximum(freedom, 1), found), np.nan)
    owner = np.repeat(np.arange(len(panel)), len(wanted))
    columns = {"lag": np.tile(wanted, len(panel)), "statistic": found.reshape(-1), "p": p.reshape(-1)}
    return frames.rows_table(panel, owner, None, columns)


def _table(data: Any, name: str, nlags: int, one: Callable[[Float, int], Float]) -> Any:
    _check_lags(nlags, nlags)
    panel = series_of(data)
    out = np.full((len(panel), nlags + 1), np.nan)
    for i, y in enumerate(_values(panel)):
        if len(y) > 1 and np.ptp(y[np.isfinite(y)]) > 0:
            found = one(y, min(nlags, len(y) - 1))
            out[i, : len(found)] = found
    owner = np.repeat(np.arange(len(panel)), nlags + 1)
    return frames.rows_table(
        panel, owner, None, {"lag": np.tile(np.arange(nlags + 1), len(panel)), name: out.reshape(-1)}
    )


def _check_lags(most: int, least: int) -> None:
    if least < 1:
        raise ConfigError(f"lags must be at least 1, got {min(most, least)}")


def series_of(data: Any) -> Panel:
    """The panel of a table, or that of the one-step residuals of a fitted model."""
    if not isinstance(data, Forecaster):
        return as_panel(data)
    table = data.fitted()
    panel: Panel = data.panel_
    names = panel.names._replace(target="residual")
    return read_panel(table, names=names, freq=panel.freq, gaps="fill" if panel.at is None else "ignore")


def _values(panel: Panel) -> list[Float]:
    """Rows of each series from its first to its last value; excluded ones are missing."""
    y = panel.y if panel.excluded is None else np.where(panel.excluded, np.nan, panel.y)
    out = []
    for a, b in zip(panel.start, panel.stop, strict=True):
        seen = np.flatnonzero(np.isfinite(y[a:b]))
        out.append(y[a + seen[0] : a + seen[-1] + 1] if len(seen) else np.empty(0))
    return out
