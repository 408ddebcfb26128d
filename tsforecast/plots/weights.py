"""Weights of a blend by horizon, beside its prior, and how its members and itself did on the validation rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from tsforecast.compose.blend import Blend
from tsforecast.errors import ConfigError, listed, require
from tsforecast.panel import Float
from tsforecast.plots.style import COLOURS, INK, headed, plain, short

__all__ = ["plot_weights"]

ROW = 34
"""Pixels of a row of bars or of figures."""
ROOM = 0.06
"""Least weight whose bar has room for its figure."""
GAP = 90
"""Pixels between the bars and the figures below them."""
SHADES, SHADED = ((0.0, "#ffffff"), (1.0, "#f3b48c")), 0.25
"""Colours from the least squared error of a row to one that exceeds it by this share or more."""


def plot_weights(model: Any, *, groups: Sequence[object] | None = None, n: int = 6) -> Any:
    """Weights of a fitted Blend or GeoBlend as bars for each horizon band, thin ones below them for the prior.

    Below stand the validation MSE of the members, of the blend and of its prior, the darker the farther above the
    least of their row; the lines under the title tell the gain over the prior with its Diebold-Mariano t. Where groups
    of series have weights of their own, `groups` picks some, else the first `n` are drawn. ConfigError: no blend, or
    one that goes by the median.
    """
    if not isinstance(model, Blend):
        raise ConfigError(f"plot_weights draws a fitted Blend or GeoBlend, got {type(model).__name__}")
    if isinstance(model.weights, str) and model.weights == "median":
        raise ConfigError(f"{model.name} is the median of its members: there are no weights to draw")
    bars, table = _bars(model, groups, n), _table(model)
    heights = [ROW * (len(bars.steps) + 0.5 * (len(set(bars.groups or [""])) - 1))]
    heights += [0.8 * ROW * len(table.steps)] if table is not None and table.steps else []
    whole = sum(heights) + GAP * (len(heights) - 1)
    figure = require("plotly.subplots", "report").make_subplots(
        rows=len(heights), cols=1, row_heights=heights, vertical_spacing=GAP / whole if len(heights) > 1 else 0
    )
    headed(figure, f"{plain(model.name)}: weights by steps ahead", _words(bars, table), 144 + round(whole))
    _draw_bars(figure, bars)
    if table is not None and table.steps:
        _draw_table(figure, table)
    return figure


class _Bars(NamedTuple):
    """Weights (r, m) of the members by group and band; `groups` (r,) is None where all series share them."""

    members: list[str]
    groups: list[str] | None
    steps: list[str]
    weight: Float
    prior: Float


class _Table(NamedTuple):
    """Validation MSE (b, m + 2) of the members, the blend and its prior; gain, statistic and pvalue (b,)."""

    names: list[str]
    steps: list[str]
    mse: Float
    gain: Float
    statistic: Float
    pvalue: Float
    origins: int


def _bars(model: Blend, groups: Sequence[object] | None, n: int) -> _Bars:
    table = nw.from_native(model.weights_, eager_only=True)
    members = list(model.member_names)
    shape = (-1, len(members))
    chosen = np.ones(len(table), dtype=np.bool_)
    of = None
    if "group" in table.columns:
        of = np.array(table["group"].to_list(), dtype=object)
        there = list(dict.fromkeys(of))
        wanted = there[:n] if groups is None else list(groups)
        strange = [group for group in wanted if group not in there]
        if strange or not wanted:
            raise ConfigError(f"no weights of {listed(strange) or 'nobody'}; there are those of {listed(there)}")
        chosen = np.isin(of, np.array(wanted, dtype=object))
    elif groups is not None:
        raise ConfigError(f"{model.name} has the same weights for all series: leave groups= out")
    first = np.flatnonzero(chosen)[:: len(members)]
    steps = table["steps"].to_list()
    return _Bars(
        members=members,
        groups=None if of is None else [str(of[row]) for row in first],
        steps=[str(steps[row]) for row in first],
        weight=table["weight"].to_numpy()[chosen].reshape(shape),
        prior=table["prior"].to_numpy()[chosen].reshape(shape)[0],
    )


def _table(model: Blend) -> _Table | None:
    """What `validation_` tells; None where the weights were given, no rows where it has no origin to judge by."""
    try:
        table = nw.from_native(model.validation_, eager_only=True)
    except ConfigError:
        return None
    names = [*model.member_names, model.name, model.reference]
    mse = table["mse"].to_numpy().astype(float).reshape(-1, len(names))
    seen = np.isfinite(mse).any(axis=1)
    own = len(names) - 2  # the row of the blend
    gain, statistic, pvalue = (
        table[name].to_numpy().astype(float)[own :: len(names)] for name in ("gain", "dm", "pvalue")
    )
    steps = [str(band) for band in table["steps"].to_list()[:: len(names)]]
    origins = int(table["origins"].to_list()[0])
    return _Table(names, list(compress(steps, seen)), mse[seen], gain[seen], statistic[seen], pvalue[seen], origins)


def _words(bars: _Bars, table: _Table | None) -> list[str]:
    """What the validation says, as sentences."""
    thin = "Thin bars: the prior."
    still = np.allclose(bars.weight, bars.prior, rtol=0, atol=1e-12)
    given = f"the weights are {'the prior' if still else 'as given'}"
    if table is None:
        return [f"Nothing was validated: {given}. {thin}"]
    if not table.steps:
        moved = given if still else "how the blend does by weights of earlier ones is not known"
        return [f"Too few origins in the validation rows: {moved}. {thin}"]
    told = [
        f"{_ahead(band)} {round(gain, 3) + 0.0:+.1%}" + (f" (t {t:.2f}, {_chance(p)})" if np.isfinite(t) else "")
        for band, gain, t, p in zip(table.steps, table.gain, table.statistic, table.pvalue, strict=True)
        if np.isfinite(gain)
    ]
    if still:
        return [f"The weights are the prior. {thin}"]
    gain = "Gain over the prior in MSE, with Diebold and Mariano's t (below 0: better than the prior)"
    unbroken = "; ".join(one.replace(" ", "\u00a0") for one in told)
    return [f"{thin} {gain}, {table.origins} origins: {unbroken}"]


def _chance(p: float) -> str:
    return f"p {p:.3f}" if p >= 0.001 else "p < 0.001"


def _ahead(band: str) -> str:
    return f"step{'s' if '-' in band else ''} {band}"


def _draw_bars(figure: Any, bars: _Bars) -> None:
    """A row of bars for each band, the earliest on top, with the prior as a thin row right below it."""
    rows = np.arange(len(bars.steps)) * 1.0
    labels = [_ahead(band) for band in bars.steps]
    if bars.groups is not None:
        begins = [place == 0 or group != bars.groups[place - 1] for place, group in enumerate(bars.groups)]
        rows += 0.5 * (np.cumsum(begins) - 1)  # some room between groups
        labels = [
            f"<b>{plain(short(group))}</b>  {label}" if first else label
            for group, first, label in zip(bars.groups, begins, labels, strict=True)
        ]
    for place, (member, weight, prior) in enumerate(zip(bars.members, bars.weight.T, bars.prior, strict=True)):
        name, colour = plain(short(member)), COLOURS[place % len(COLOURS)]
        common = {
            "orientation": "h",
            "name": name,
            "legendgroup": str(place),
            "marker_color": colour,
            "row": 1,
            "col": 1,
        }
        told = f"{plain(member)}: %{{x:.3f}} (prior {prior:.3f})<extra></extra>"
        figure.add_bar(
            x=weight, y=rows, width=0.56, text=[f"{w:.2f}" if w >= ROOM else "" for w in weight], textangle=0,
            textposition="inside", insidetextanchor="middle", hovertemplate=told, **common,
        )  # fmt: skip
        figure.add_bar(
            x=np.full(len(rows), prior), y=rows + 0.38, width=0.12, opacity=0.6, showlegend=False,
            hovertemplate=f"{plain(member)}: prior {prior:.3f}<extra></extra>", **common,
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(range=[0, 1], tickformat=".1f", row=1, col=1)
    span = [rows[-1] + 0.55, -0.45]
    figure.update_yaxes(tickvals=rows + 0.08, ticktext=labels, range=span, showgrid=False, row=1, col=1)


def _draw_table(figure: Any, table: _Table) -> None:
    """The squared errors as figures in a grid, shaded by how far each lies above the least of its row."""
    least = table.mse.min(axis=1, keepdims=True)
    above = np.where(least > 0, table.mse / np.where(least > 0, least, 1) - 1, 0.0)
    figures = [[f"{v:#.4g}".rstrip(".") for v in row] for row in table.mse]
    text = [
        [f"<b>{said}</b>" if v == low else said for said, v in zip(told, row, strict=True)]
        for told, row, (low,) in zip(figures, table.mse, least, strict=True)
    ]
    hover = [
        [
            f"{plain(name)}, {_ahead(band)}: MSE {v:.6g}, {more:.1%} above the least"
            for name, v, more in zip(table.names, row, much, strict=True)
        ]
        for band, row, much in zip(table.steps, table.mse, above, strict=True)
    ]
    places = np.arange(len(table.names))  # long names may be alike where they are cut
    figure.add_heatmap(
        z=np.minimum(above, SHADED), x=places, y=[_ahead(band) for band in table.steps], text=text,
        texttemplate="%{text}", hovertext=hover, hoverinfo="text", zmin=0, zmax=SHADED, colorscale=SHADES,
        showscale=False, xgap=2, ygap=2, row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, row=2, col=1)
    names = [plain(short(name, 16)) for name in table.names]
    figure.update_xaxes(tickvals=places, ticktext=names, side="top", showgrid=False, row=2, col=1)
    _, top = figure.get_subplot(row=2, col=1).yaxis.domain
    figure.add_annotation(x=0, xref="paper", xanchor="left", y=top, yref="paper", yanchor="bottom", yshift=24,
                          text="Mean squared error in validation", showarrow=False, font_color=INK)  # fmt: skip
