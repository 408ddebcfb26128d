"""What Prophet's model sees in a series, chart by chart: trend, seasonalities, holidays, regressors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, require
from tsforecast.models.prophet import Prophet
from tsforecast.panel import Bool, Float
from tsforecast.plots.style import COLOURS, INK, RED, faint, layout, places_of, plain

__all__ = ["plot_components"]

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
VIEW = np.timedelta64(366, "D")
"""How much of holidays and regressors is in view at first; dragging shows the rest."""
SLIGHT = 0.01
"""Share of the largest slope change below which a change is not marked."""
LABELS, LONGEST, LETTER = 36, 18, 0.04
"""Names of holidays that stand side by side, letters of one, and the share of the bars' height that a letter takes."""
NAMED = 0.1
"""Share of the largest effect of a day from which a day has its name."""
GREY = "#b4bec8"

Draw = Callable[[Any, "_Part", str, dict[str, int]], None]


def plot_components(
    model: Any,
    h: int | None = None,
    *,
    future: Any = None,
    ids: Sequence[object] | None = None,
    n: int = 2,
    level: float | Literal["model"] | None = "model",
) -> Any:
    """Components of a few series of a fitted Prophet, a column of charts each, with bands at `level` per cent.

    The trend with its changepoints, one period of every seasonality, holidays by date and regressors by date, over the
    rows known and the h steps to come (`future` as in `predict`). `ids` picks the series, else the first `n`. The
    level is the model's `interval_width` where none is given; None draws no bands, which a model that was saved and
    loaded cannot have. ConfigError: no Prophet, or one with engine="stan".
    """
    if not isinstance(model, Prophet):
        raise ConfigError(f"plot_components draws a fitted Prophet, got {type(model).__name__}")
    _ = model.changepoints_  # where there is none, not fitted or by Stan, the model itself says so
    steps = model.h_ if h is None and future is not None else h
    if steps is None and future is not None:
        raise ConfigError("future= was given, but not how far to forecast: say h=")
    wide = 100 * model.interval_width if level == "model" else level
    levels = () if wide is None else (wide,)
    parts = _coloured([_Part.of(model, int(i), steps, future, levels) for i in places_of(model.panel_, ids, n)])
    rows = _rows(parts)
    heights = [1.5 if draw is _holidays else 1.0 for _, draw in rows]  # their names take room
    figure = require("plotly.subplots", "report").make_subplots(
        rows=len(rows), cols=len(parts), column_titles=[plain(part.title) for part in parts],
        row_heights=heights, vertical_spacing=0.3 / (len(rows) + 1), horizontal_spacing=0.08,
    )  # fmt: skip
    figure.update_layout(
        **layout("", 100 + round(210 * sum(heights))),
        barmode="relative",
        legend={"orientation": "h", "y": -0.02, "yanchor": "top"},
    )
    for col, part in enumerate(parts, start=1):
        for row, (name, draw) in enumerate(rows, start=1):
            draw(figure, part, name, {"row": row, "col": col})
            if col == 1:
                figure.update_yaxes(title_text=plain(name), row=row, col=col)
    return figure


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One series: times (rows,) of its table of components, changes of its slope, a period of each seasonality.

    `colours` are those of holidays and regressors by name, `acting` ones alone; `ahead` (rows,) are the steps to come.
    """

    title: object
    times: NDArray[Any]
    ahead: Bool
    table: Any
    bends: tuple[NDArray[Any], NDArray[Any]]
    curves: dict[str, Any]
    colours: dict[str, str]
    regressors: frozenset[str]
    level: str | None

    @classmethod
    def of(cls, model: Prophet, place: int, steps: int | None, future: Any, levels: Sequence[float]) -> _Part:
        """Of the series at a place of the model's panel, which may hold thousands."""
        one = copy(model)
        one.panel_ = panel = model.panel_.take(np.array([place])).replace(kind="pandas")
        table = one.components(steps, future=future, history=True, levels=levels)
        curves, changes = one.seasonal_curves(levels), one.changepoints_
        seasonal = {"yearly", "weekly", "daily", *(term.name for term in one.seasonalities)}
        ends = tuple(f"-{side}-{level:g}" for level in levels for side in ("lo", "hi"))
        keys = (panel.names.id, panel.names.time, "trend", one.name, *seasonal)
        acting = [name for name in table if name not in keys and not name.endswith(ends) and table[name].any()]
        return cls(
            title=panel.ids[0],
            times=_wall(table[panel.names.time]),
            ahead=np.arange(len(table)) >= int(panel.lengths[0]),
            table=table,
            bends=(_wall(changes[panel.names.time]), changes["change"].to_numpy()),
            curves=dict(iter(curves.groupby("seasonality", sort=False))),
            colours=dict.fromkeys(acting, GREY),
            regressors=frozenset(panel.column_names),
            level=f"{levels[0]:g}" if levels else None,
        )

    def carried(self, name: str) -> float:
        """How much a component adds or takes in the year in view."""
        effect: float = self.table[name].abs().to_numpy()[self.times >= _begin(self)].sum()
        return effect

    def band(self, name: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Lower and upper bounds (rows,) of a component."""
        if self.level is None:
            return None
        low, high = (self.table[f"{name}-{side}-{self.level}"].to_numpy() for side in ("lo", "hi"))
        return low, high


def _coloured(parts: Sequence[_Part]) -> list[_Part]:
    """The same, each regressor and each of the holidays that carry most in a colour, alike for all series."""
    acting = dict.fromkeys(name for part in parts for name in part.colours)
    columns = [name for name in acting if any(name in part.regressors for part in parts)]
    size = {name: sum(part.carried(name) for part in parts if name in part.colours) for name in acting}
    holidays = sorted((name for name in acting if name not in columns), key=lambda name: -size[name])
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(columns)}
    colours |= {name: COLOURS[i] if i < len(COLOURS) else GREY for i, name in enumerate(holidays)}
    return [replace(part, colours={name: colours[name] for name in part.colours}) for part in parts]


def _wall(times: Any) -> NDArray[Any]:
    """Stamps (rows,) as the clock on the wall shows them."""
    stamps: NDArray[Any] = times.dt.tz_localize(None).to_numpy()
    return stamps


def _rows(parts: Sequence[_Part]) -> list[tuple[str, Draw]]:
    """Names of the charts from above, and what draws each."""
    acting = {name for part in parts for name in part.colours}
    columns = {name for part in parts for name in part.regressors}
    rows: list[tuple[str, Draw]] = [("trend", _trend)]
    rows += [(name, _curve) for name in dict.fromkeys(name for part in parts for name in part.curves)]
    rows += [("holidays", _holidays)] if acting - columns else []
    return rows + ([("regressors", _regressors)] if acting & columns else [])


def _line(figure: Any, x: Any, y: Any, band: Any, name: str, colour: str, cell: dict[str, int], **how: Any) -> None:
    """A line and, where there is one, its band."""
    if band is not None:
        low, high = band
        around, bounds = np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]])
        figure.add_scatter(x=around, y=bounds, fill="toself", mode="lines", fillcolor=faint(colour), line_width=0,
                           hoverinfo="skip", showlegend=False, legendgroup=name, **cell)  # fmt: skip
    figure.add_scatter(x=x, y=y, name=plain(name), line_color=colour, **{"showlegend": False, **how}, **cell)


def _trend(figure: Any, part: _Part, name: str, cell: dict[str, int]) -> None:
    """The trend; changes of its slope as lines, the darker the larger, downward ones red."""
    y = part.table["trend"].to_numpy()
    _line(figure, part.times, y, part.band("trend"), "trend", COLOURS[0], cell)
    when, change = part.bends
    largest = np.abs(change).max(initial=0.0)
    marked = np.abs(change) > SLIGHT * largest
    for moment, size in zip(when[marked], change[marked], strict=True):
        colour = faint(RED if size < 0 else COLOURS[2], 0.15 + 0.6 * abs(size) / largest)
        figure.add_vline(x=_text(moment), line={"color": colour, "width": 2, "dash": "dot"}, **cell)
    dots = np.interp(when[marked].astype("M8[us]").astype(float), part.times.astype("M8[us]").astype(float), y)
    figure.add_scatter(x=when[marked], y=dots, mode="markers", name="changepoints", showlegend=False,
                       text=[f"{size:+.3g} a day" for size in change[marked]], marker_size=7,
                       marker_color=[RED if size < 0 else COLOURS[2] for size in change[marked]], **cell)  # fmt: skip
    if part.ahead.any():
        begin, end = _text(part.times[part.ahead][0]), _text(part.times[-1])
        figure.add_vrect(x0=begin, x1=end, fillcolor=INK, opacity=0.06, line_width=0, **cell)


def _curve(figure: Any, part: _Part, name: str, cell: dict[str, int]) -> None:
    """One period of a seasonality; where it multiplies, as a share of the trend."""
    if name not in part.curves:
        return
    curve = part.curves[name]
    day, period = curve["day"].to_numpy(), float(curve["period"].iloc[0])
    band = None
    if part.level is not None:
        band = curve[f"lo-{part.level}"].to_numpy(), curve[f"hi-{part.level}"].to_numpy()
    axis: dict[str, Any] = {"title_text": f"day of {period:g}"}
    x, how = day, "lines"
    if abs(period - 365.25) < 1:
        x, axis = np.datetime64("1970-01-01", "h") + np.round(day * 24).astype("m8[h]"), {"tickformat": "%b"}
    elif period == 7:
        axis = {"tickvals": np.arange(7), "ticktext": WEEKDAYS}
        how = "lines+markers" if len(day) <= 7 else "lines"
    elif period == 1:
        x, axis = day * 24, {"tickvals": np.arange(0, 25, 4), "ticktext": [f"{hour} h" for hour in range(0, 25, 4)]}
    _line(figure, x, curve["estimate"].to_numpy(), band, name, COLOURS[0], cell, mode=how)
    figure.update_xaxes(**axis, **cell)
    if (curve["mode"] == "multiplicative").any():
        figure.update_yaxes(tickformat=".0%", **cell)


def _holidays(figure: Any, part: _Part, name: str, cell: dict[str, int]) -> None:
    """What each holiday adds on its days, as bars, in view the last year; a day bears the name of what adds most."""
    days = part.times.astype("M8[D]")
    first = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))  # a bar a day, however many rows a day has
    days, begin = days[first], _begin(part)
    step = np.diff(days).min() if len(days) > 1 else np.timedelta64(1, "D")
    names = [one for one in part.colours if one not in part.regressors]
    effects = part.table[names].to_numpy()[first]
    for holiday, y in zip(names, effects.T, strict=True):
        there = np.flatnonzero(y)
        figure.add_bar(x=days[there], y=y[there], name=plain(holiday), width=step / np.timedelta64(1, "ms"),
                       marker_color=part.colours[holiday], marker_line_width=0, legend="legend2", legendgroup=holiday,
                       showlegend=cell["col"] == 1 and part.colours[holiday] != GREY, **cell)  # fmt: skip
    if cell["col"] == 1:
        _legend(figure, GREY in part.colours.values(), cell)
    margin = (days[-1] - begin) // LABELS
    shown = days >= begin - margin
    top, bottom = np.maximum(effects, 0.0).sum(axis=1), np.minimum(effects, 0.0).sum(axis=1)
    low, high = bottom[shown].min(initial=0.0), top[shown].max(initial=0.0)
    words = _names(days, names, np.where(shown[:, None], effects, 0.0), margin)
    for day, word in words:
        above = top[np.abs(days - day) < margin / 2].max(initial=0.0)
        figure.add_annotation(x=_text(day), y=above, text=plain(word), textangle=-90, showarrow=False,
                              font_size=9, yanchor="bottom", **cell)  # fmt: skip
    room = (0.05 + LETTER * max((len(word) for _, word in words), default=0)) * (high - low)
    figure.update_xaxes(range=[_text(begin - margin), _text(days[-1] + margin)], **cell)
    figure.update_yaxes(range=[low - 0.05 * (high - low), high + room], **cell)


def _names(days: NDArray[Any], names: Sequence[str], effects: Float, margin: Any) -> list[tuple[Any, str]]:
    """Days (rows,) that bear a name, of what adds or takes most of effects (rows, names), with room between them."""
    size = np.abs(effects).max(axis=1, initial=0.0)
    taken: list[tuple[Any, str]] = []
    for row in np.argsort(-size, kind="stable")[: np.count_nonzero(size > NAMED * size.max(initial=0.0))]:
        holiday = names[int(np.argmax(np.abs(effects[row])))]
        word = holiday if len(holiday) <= LONGEST else f"{holiday[: LONGEST - 1]}…"
        # The days around a feast bear its name once.
        if all(abs(days[row] - other) >= margin * (3 if word == said else 1) for other, said in taken):
            taken.append((days[row], word))
    return taken


def _legend(figure: Any, others: bool, cell: dict[str, int]) -> None:
    """The names of the holidays in colour, above their chart."""
    if others:
        figure.add_bar(x=[None], y=[None], name="others", marker_color=GREY, legend="legend2", **cell)
    _, top = figure.get_subplot(**cell).yaxis.domain
    above = top + 8 / figure.layout.height
    figure.update_layout(legend2={"orientation": "h", "x": 0, "y": above, "yanchor": "bottom", "font_size": 11})


def _regressors(figure: Any, part: _Part, name: str, cell: dict[str, int]) -> None:
    """What each regressor adds, in view the last year."""
    for column in (one for one in part.colours if one in part.regressors):
        _line(figure, part.times, part.table[column].to_numpy(), part.band(column), column, part.colours[column], cell,
              legendgroup=column, showlegend=cell["col"] == 1)  # fmt: skip
    figure.update_xaxes(range=[_text(_begin(part)), _text(part.times[-1])], **cell)


def _begin(part: _Part) -> Any:
    """First moment in view of charts that show the last year."""
    return max(part.times[-1] - VIEW, part.times[0])


def _text(moment: Any) -> str:
    # Plotly's shapes and ranges take no numpy stamps.
    return str(moment.astype("M8[s]"))
