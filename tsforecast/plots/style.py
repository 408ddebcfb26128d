"""What all figures share: colours, layout, text that is no markup, and the series that are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, listed, require
from tsforecast.panel import Panel

__all__ = ["COLOURS", "INK", "RED", "faint", "headed", "layout", "places_of", "plain", "short", "stacked"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7a5195")
INK = "#34495e"
RED = "#b3261e"
LETTERS = 130
"""Letters of a line below the title."""


def layout(title: str, height: int) -> dict[str, Any]:
    """Title, height in pixels and look of a figure, as keyword arguments of Plotly's layout."""
    return {"title": {"text": title}, "height": height, "template": "plotly_white", "margin": {"t": 60, "b": 40}}


def headed(figure: Any, title: str, words: Sequence[str], height: int) -> Any:
    """A figure of `height` pixels below its title and, as lines under that, some sentences; a legend has room below."""
    lines = [line for sentence in words for line in wrap(plain(sentence), LETTERS)]
    look = layout(title, height + 18 * len(lines))
    look["title"] |= {"x": 0, "xref": "paper", "y": 1, "yanchor": "top", "pad": {"t": 16}}
    look["margin"] = {"t": 64 + 18 * len(lines), "b": 80}
    legend = {"orientation": "h", "yref": "container", "y": 0.02, "yanchor": "bottom"}
    figure.update_layout(**look, legend=legend)
    return figure.add_annotation(x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", yshift=12,
                                 text="<br>".join(lines), align="left", showarrow=False, font_color=INK)  # fmt: skip


def stacked(titles: Sequence[object]) -> Any:
    """A figure of charts one below the other, a title each."""
    subplots = require("plotly.subplots", "report")
    figure = subplots.make_subplots(rows=len(titles), cols=1, subplot_titles=[plain(title) for title in titles])
    return figure.update_layout(**layout("", 80 + 220 * len(titles)))


def plain(title: object) -> str:
    """Text as Plotly shows it unchanged: it reads a few tags in titles and labels."""
    return str(title).replace("&", "&amp;").replace("<", "&lt;")


def short(name: object, longest: int = 24) -> str:
    """A name of any length as it stands beside a chart."""
    text = str(name)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def places_of(panel: Panel, ids: Sequence[object] | None, n: int) -> NDArray[np.int64]:
    """Positions of the asked series; ConfigError names those that are not there."""
    if not len(panel):
        raise ConfigError("there is no series to draw")
    if ids is None:
        return np.arange(min(n, len(panel)), dtype=np.int64)
    known = {one: place for place, one in enumerate(panel.ids)}
    strange = [one for one in ids if one not in known]
    if strange:
        raise ConfigError(f"no series {listed(strange)}; there are {listed(panel.ids)}")
    return np.array([known[one] for one in ids], dtype=np.int64)


def faint(colour: str, opacity: float = 0.15) -> str:
    """A colour #rrggbb, let through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
