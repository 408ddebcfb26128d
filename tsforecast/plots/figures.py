"""Forecasts, autocorrelations, findings and tuning, as Plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.autocorrelation import acf, pacf, series_of
from tsforecast.errors import ConfigError, listed, require
from tsforecast.findings import as_panel
from tsforecast.findings.repairs import outliers
from tsforecast.forecaster import Forecaster
from tsforecast.frames.columns import local_days
from tsforecast.panel import Float, Panel
from tsforecast.plots.style import COLOURS, INK, RED, faint, layout, places_of, plain, stacked

if TYPE_CHECKING:
    from tsforecast.evaluation import Tuning

__all__ = ["plot_acf", "plot_findings", "plot_forecast", "plot_tuning"]


def plot_forecast(
    data: Any, forecasts: Any, *, ids: Sequence[object] | None = None, n: int = 4, rows: int | None = None
) -> Any:
    """History and forecasts of a few series, one below the other, with every interval there is.

    `data` is a table or Panel, `forecasts` a table that `predict` gave (of one model, or several merged); `ids` picks
    the series, else the first `n`; `rows` is how much history to draw, four times the horizon where None.
    """
    panel = as_panel(data)
    table = frames.read(forecasts, panel.names, target=False)
    places = places_of(panel, ids, n)
    figure = stacked([panel.ids[place] for place in places])
    models = [name for name in table.columns if name not in table.categories and not _is_bound(name)]
    stamps = _wall(table.times)
    for row, place in enumerate(places, start=1):
        mine = np.flatnonzero(table.codes == np.searchsorted(table.ids, panel.ids[place]))
        mine = mine[np.argsort(stamps[mine], kind="stable")]
        times, values = _history(panel, place, rows or max(4 * len(mine), 40))
        figure.add_scatter(x=times, y=values, name=panel.names.target, line_color=INK, row=row, col=1,
                           showlegend=row == 1, legendgroup="history")  # fmt: skip
        for number, model in enumerate(models):
            colour = COLOURS[number % len(COLOURS)]
            for low, high in _bounds(model, table.columns):
                bounds = np.concatenate([table.columns[high][mine], table.columns[low][mine][::-1]])
                around = np.concatenate([stamps[mine], stamps[mine][::-1]])
                figure.add_scatter(x=around, y=bounds, fill="toself", fillcolor=faint(colour), line_width=0,
                                   hoverinfo="skip", showlegend=False, row=row, col=1)  # fmt: skip
            figure.add_scatter(x=stamps[mine], y=table.columns[model][mine], name=model, line_color=colour, row=row,
                               col=1, showlegend=row == 1, legendgroup=model)  # fmt: skip
    return figure


def plot_acf(data: Any, *, id: object = None, lags: int = 40, partial: bool = False, level: float = 95) -> Any:
    """Autocorrelations (partial ones on request) of a series, or of the residuals where `data` is a fitted model.

    `id` picks the series, else the first; the figures are those of `acf` and `pacf`. The band at `level` per cent is
    Bartlett's for autocorrelations, that of white noise for partial ones.
    """
    residuals = isinstance(data, Forecaster)
    panel = series_of(data)
    panel = panel.take(places_of(panel, None if id is None else [id], 1)).replace(kind="pandas")
    found = (pacf if partial else acf)(panel, lags).iloc[:, -1].to_numpy(dtype=float)[1:]
    spread = np.ones(lags) if partial else 1 + 2 * np.concatenate([[0.0], np.cumsum(found[:-1] ** 2)])
    half = NormalDist().inv_cdf(0.5 + level / 200) * np.sqrt(spread / max(int(panel.observed[0]), 1))
    kind = ("partial " if partial else "") + "autocorrelation" + (" of residuals" if residuals else "")
    steps = np.arange(1, lags + 1)
    figure = require("plotly.graph_objects", "report").Figure(layout=layout(f"{plain(panel.ids[0])}: {kind}", 320))
    figure.add_scatter(x=np.concatenate([steps, steps[::-1]]), y=np.concatenate([half, -half[::-1]]), fill="toself",
                       fillcolor=faint(COLOURS[0]), line_width=0, name=f"{level:g} % band")  # fmt: skip
    figure.add_bar(x=steps, y=found, width=0.25, marker_color=COLOURS[0], name=kind)
    return figure.update_xaxes(title="lag")


def plot_findings(data: Any, *, ids: Sequence[object] | None = None, n: int = 4, method: str = "hampel") -> Any:
    """A few series with what `check` would say of their values: outliers, missing and excluded rows.

    Without `ids` the `n` series with most outliers are drawn; `method` is "hampel" or "stl" (see `outliers`).
    """
    panel = as_panel(data)
    found = outliers(panel, method)
    totals = np.array([found.mask[a:b].sum() for a, b in zip(panel.start, panel.stop, strict=True)])
    places = places_of(panel, ids, n) if ids is not None else np.argsort(-totals, kind="stable")[:n]
    figure = stacked([panel.ids[place] for place in places])
    for row, place in enumerate(places, start=1):
        span = slice(panel.start[place], panel.stop[place])
        times, values = _history(panel, place, None)
        level = np.nanmean(values) if np.isfinite(values).any() else 0.0
        kinds = {"outlier": (found.mask[span], RED, "circle-open"), "missing": (np.isnan(values), INK, "x-thin-open")}
        if panel.excluded is not None:
            kinds["excluded"] = (panel.excluded[span], COLOURS[4], "square-open")
        figure.add_scatter(x=times, y=values, name=panel.names.target, line_color=INK, row=row, col=1,
                           showlegend=row == 1, legendgroup="history")  # fmt: skip
        for name, (where, colour, symbol) in kinds.items():
            shown = np.where(np.isnan(values), level, values)[where]
            figure.add_scatter(x=times[where], y=shown, name=name, mode="markers", row=row, col=1, legendgroup=name,
                               showlegend=row == 1, marker={"color": colour, "symbol": symbol, "size": 9})  # fmt: skip
    return figure


def plot_tuning(tuning: Tuning, parameter: str | None = None) -> Any:
    """Validation curve: the score of every candidate against one searched parameter, and the best at each value.

    `parameter` is the first one searched where None; values that are not numbers stand side by side.
    """
    searched = list(tuning.candidates[0])
    name = searched[0] if parameter is None else parameter
    if name not in searched:
        raise ConfigError(f"{name!r} was not searched; there are {listed(searched)}")
    values = [params[name] for params in tuning.candidates]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    shown = values if numeric else [str(value) for value in values]
    best: dict[Any, tuple[float, float]] = {}
    for value, distance, score in zip(shown, tuning.distance, tuning.score, strict=True):
        if np.isfinite(distance) and distance < best.get(value, (np.inf, 0.0))[0]:
            best[value] = (distance, score)
    order = sorted(best) if numeric else list(best)
    title = f"{tuning.metric} by {name}"
    figure = require("plotly.graph_objects", "report").Figure(layout=layout(title, 360))
    figure.add_scatter(x=shown, y=tuning.score, mode="markers", marker_color=COLOURS[5], name="candidates",
                       text=[str(dict(params)) for params in tuning.candidates])  # fmt: skip
    figure.add_scatter(x=order, y=[best[value][1] for value in order], line_color=COLOURS[0], name="best")
    return figure.update_xaxes(title=name).update_yaxes(title=tuning.metric)


def _history(panel: Panel, place: int, rows: int | None) -> tuple[NDArray[Any], Float]:
    """Times and values of the last `rows` rows of a series."""
    block = np.arange(panel.start[place], panel.stop[place])[-rows if rows else None :]
    return panel.grid[panel.position(block, np.full(len(block), place))], panel.y[block]


def _is_bound(name: str) -> bool:
    head, _, level = name.rpartition("-")
    return head.endswith(("-lo", "-hi")) and level.replace(".", "", 1).isdigit()


def _bounds(model: str, columns: Any) -> list[tuple[str, str]]:
    """Names of the lower and upper columns of a model, widest first."""
    levels = [name.removeprefix(f"{model}-lo-") for name in columns if name.startswith(f"{model}-lo-")]
    return [(f"{model}-lo-{level}", f"{model}-hi-{level}") for level in sorted(levels, key=float, reverse=True)]


def _wall(times: Any) -> NDArray[Any]:
    """Stamps as the panel's grid has them: wall days where days have a time zone."""
    local = local_days(times.values, times.tz) if times.tz else None
    stamps: NDArray[Any] = times.values if local is None else local
    return stamps
