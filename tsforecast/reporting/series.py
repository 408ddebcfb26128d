"""Which few series a report shows, and their charts: history, forecasts, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.evaluation import Backtest
from tsforecast.panel import Float, Int, Panel
from tsforecast.reporting.charts import Chart, chart

__all__ = ["Ahead", "chosen", "from_backtest", "from_table", "series_chart", "styles_of"]

HISTORY = "history"


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """What was forecast for one series: times (h,), points by model, bounds by level of the first model, truth."""

    times: NDArray[Any]
    points: Mapping[str, Float]
    bounds: Mapping[float, tuple[Float, Float]]
    last: int  # grid position of the last row that the models saw
    truth: Float | None = None


def styles_of(models: Sequence[str]) -> dict[str, str]:
    """Style class of the history and of each model, the same in every chart."""
    return {HISTORY: "m0"} | {name: f"m{1 + place % 7}" for place, name in enumerate(models)}


def chosen(sizes: Float, losses: Float | None, most: int = 6) -> dict[int, str]:
    """Positions of at most `most` series and why each is shown: largest values, best and worst forecast.

    `sizes` (n,) are mean absolute values, `losses` (n,) errors relative to the size.
    """
    picked: dict[int, str] = {}

    def take(order: Int, why: str, count: int) -> None:
        fresh = [int(place) for place in order if int(place) not in picked]
        picked.update(dict.fromkeys(fresh[:count], why))

    by_size = np.argsort(-np.nan_to_num(sizes), kind="stable")
    take(by_size, "largest values" if len(sizes) > 1 else "", 2)
    if losses is not None and np.isfinite(losses).any():
        by_loss = np.argsort(np.where(np.isfinite(losses), losses, np.inf), kind="stable")
        by_loss = by_loss[: int(np.isfinite(losses).sum())]
        take(by_loss[len(by_loss) // 2 :], "middling error", 1)
        take(by_loss, "smallest error for its size", 1)
        take(by_loss[::-1], "largest error for its size", 2)
    take(by_size, "large values", most - len(picked))
    return picked


def from_backtest(result: Backtest, order: Sequence[str], place: int) -> Ahead | None:
    """The last origin of a backtest for the series at `place`, models in that order."""
    rows = result.rows[-1, place]
    rows = rows[rows >= 0]
    if not len(rows):
        return None
    panel, first = result.panel, result.models.index(order[0])
    done = result.rolled[first]
    bounds = {}
    for q, level in enumerate(result.levels):
        assert done.lower is not None
        assert done.upper is not None
        bounds[level] = done.lower[-1, place, : len(rows), q], done.upper[-1, place, : len(rows), q]
    return Ahead(
        panel.grid[panel.position(rows, np.full(len(rows), place))],
        {name: result.point[result.models.index(name), -1, place, : len(rows)] for name in order},
        bounds,
        int(result.positions[-1, place]),
        panel.y[rows],
    )


def from_table(
    table: pd.DataFrame, panel: Panel, order: Sequence[str], levels: Sequence[float], place: int
) -> Ahead | None:
    """The rows of a table of forecasts that belong to the series at `place`."""
    id_, time, _ = panel.names
    mine = table if id_ is None else table[table[id_] == panel.ids[place]]
    if not len(mine):
        return None
    first = order[0]
    bounds = {
        level: (_column(mine, f"{first}-lo-{level:g}"), _column(mine, f"{first}-hi-{level:g}"))
        for level in levels
        if f"{first}-lo-{level:g}" in mine
    }
    points = {name: _column(mine, name) for name in order if name in mine}
    return Ahead(_times(mine[time]), points, bounds, int(panel.last[place]))


def series_chart(panel: Panel, place: int, ahead: Ahead, styles: Mapping[str, str], note: str) -> Chart:
    """The chart of one series: its last rows, the truth where it is known, every model, the first one's intervals."""
    h = len(ahead.times)
    owner = np.arange(panel.start[place], panel.stop[place])
    seen = panel.position(owner, np.full(len(owner), place)) <= ahead.last
    rows = owner[seen][-max(2 * h, 40) :]
    times = panel.grid[panel.position(rows, np.full(len(rows), place))]
    values = panel.y[rows]
    rule = times[-1] if len(times) else None
    if ahead.truth is not None:
        times, values = np.concatenate([times, ahead.times]), np.concatenate([values, ahead.truth])
    bands = {f"{level:g} %": (ahead.times, *bounds) for level, bounds in sorted(ahead.bounds.items(), reverse=True)}
    return chart(
        str(panel.ids[place]),
        {HISTORY: (times, values)} | {name: (ahead.times, point) for name, point in ahead.points.items()},
        styles,
        bands=bands,
        dotted=list(ahead.points)[:1],
        rule=rule,
        note=note,
    )


def _column(table: pd.DataFrame, name: str) -> Float:
    values: Float = table[name].to_numpy(dtype=float)
    return values


def _times(column: pd.Series) -> NDArray[Any]:
    if column.dtype.kind in "iu":
        return column.to_numpy()
    stamps = pd.to_datetime(column)
    plain = stamps.dt.tz_localize(None) if stamps.dt.tz is not None else stamps
    return plain.to_numpy().astype("datetime64[us]")
