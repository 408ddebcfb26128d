"""A map of stations from their coordinates alone: clusters, nearest neighbours, skill. No network is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast import normals
from tsforecast.compose.ensemble import Ensemble
from tsforecast.errors import ConfigError, listed, require, whole
from tsforecast.forecaster import Forecaster
from tsforecast.geography import Clusters, Neighbours, Places, clusters, field, locations, nearest, places_of
from tsforecast.models.knn import KNN
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.plots.style import COLOURS, INK, headed, plain, short

__all__ = ["plot_map"]

LINK = "rgba(52,73,94,0.28)"
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45, 60)
"""Degrees that lines of the graticule may be apart."""
WIDTH, LOW, HIGH = 850, 320, 760
"""Pixels that a map is taken to be wide, and may be high."""
ACROSS = 0.75
"""Share of the longitudes from -180 to 180 below which a map is drawn across the date line instead."""
NAMED, LISTED = 24, len(COLOURS)
"""Stations up to which each has its name beside it, and clusters up to which all are in the legend."""
PLAIN, SMALL, LARGE, BEST = 8, 5, 17, 0.5
"""Diameters of stations in pixels: without skill to show, with none or less, with BEST or more."""


def plot_map(model: Any, *, k: int | None = None, links: int = 3) -> Any:
    """Stations of a fitted KNN, GeoBlend or other model with lat and lon, by colour of cluster, in true proportion.

    Lines lead to the `links` nearest stations of each. Larger markers have more skill: 1 - RMSE / RMSE of climatology,
    over all steps of the model's validation errors; climatology is the seasonal normal fitted before the last quarter
    of the rows (a year at most) and judged on it. Hovering tells place, elevation, cluster, neighbours and skill. `k`
    is the number of clusters, that of the model where None. ConfigError: a model without places.
    """
    if not isinstance(model, Forecaster):
        raise ConfigError(f"plot_map draws a fitted model with places, got {type(model).__name__}")
    whole("links", links, 0)
    panel = model._ready()
    every = places_of(panel.static, panel.ids, model.name, quiet=True)
    known = np.flatnonzero(every.known)
    if not len(known):
        raise ConfigError(f"{model.name}: no station has lat and lon")
    location = locations(every, field(panel, panel.y))
    places = every.take(known)
    near = nearest(places, max(links, 1), location[known])
    skill = _skill(model, panel)[known]
    groups = clusters(places, _count(model, len(known)) if k is None else whole("k", k, 1))
    frame = _Frame.of(places)
    figure = require("plotly.graph_objects", "report").Figure()
    lost = every.ids[~every.known].tolist()
    headed(figure, f"{plain(model.name)}: {len(places)} stations", _words(links, skill, lost), frame.height + 144)
    if links:
        _draw_links(figure, frame, near.index)
    _draw_stations(figure, frame, places, groups, skill, _hovers(places, groups.label, near, skill, links))
    return _graticule(figure, frame)


class _Frame(NamedTuple):
    """Longitudes x (n,), cut where no station is, and latitudes y (n,) in degrees; their ranges; pixels high.

    A degree of longitude is `narrow` times as long as one of latitude.
    """

    x: Float
    y: Float
    across: tuple[float, float]
    up: tuple[float, float]
    narrow: float
    height: int

    @classmethod
    def of(cls, places: Places) -> _Frame:
        """Around the known places, whichever side of the date line they are on."""
        x = _unrolled(places.lon)
        narrow = max(float(np.cos(np.radians(places.lat)).mean()), 0.1)
        across, up = _padded(x, 360.0), _padded(places.lat, 180.0)
        up = max(up[0], -90.0), min(up[1], 90.0)
        height = WIDTH * (up[1] - up[0]) / (narrow * (across[1] - across[0]))
        return cls(x, places.lat, across, up, narrow, int(np.clip(height, LOW, HIGH)))


def _unrolled(lon: Float) -> Float:
    """Longitudes (n,) as they are, or, where stations lie on both sides of the date line alone, across it."""
    ring = np.unique(lon)
    gaps = np.diff(ring, append=ring[:1] + 360)
    begin = ring[(int(np.argmax(gaps)) + 1) % len(ring)]
    turned: Float = begin + (lon - begin) % 360
    return turned if np.ptp(turned) < ACROSS * np.ptp(lon) else lon


def _padded(values: Float, most: float) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = max(0.06 * (high - low), 0.05)
    wide = min(high - low + 2 * pad, most) / 2
    return (low + high) / 2 - wide, (low + high) / 2 + wide


def _count(model: Any, n: int) -> int:
    """Clusters that the neighbours' model went by, or a few where it went by neighbours alone."""
    members = model.members_.values() if isinstance(model, Ensemble) else [model]
    for member in members:
        if isinstance(member, KNN):
            kinds = member.state_["fit"].get("kinds", {})
            if "cluster" in kinds:
                return int(kinds["cluster"]["clusters"])
    return int(np.clip(round(n / 11), 2, len(COLOURS)))


def _skill(model: Any, panel: Panel) -> Float:
    """1 - RMSE / RMSE of climatology (n,); NaN where there are no errors, or not the rows to judge climatology by."""
    none = np.full(len(panel), np.nan)
    errors = model.state_.get("errors")
    if errors is None or not np.isfinite(errors).any():
        return none
    held = np.minimum(panel.lengths // 4, 365)
    early = panel.replace(stop=panel.stop - held, series=np.arange(len(panel), dtype=np.int64))
    late = panel.replace(start=panel.stop - held, series=early.series)
    normal, _ = normals.rows(normals.fit(early), late)
    rows, owner = late.rows, late.owner
    theirs = _root_mean_square(panel.y[rows] - normal[rows], owner, len(panel))
    ours = _root_mean_square(errors.ravel(), np.repeat(np.arange(len(panel)), errors[0].size), len(panel))
    # A model from a file has the rows that forecasts need, too few to tell what is usual.
    kept = model._keep(model.state_["fit"])
    told = (panel.lengths > (kept or 0)) & _year_before(early) & (theirs > 0)
    return np.where(told, 1 - ours / np.where(told, theirs, 1.0), np.nan)


def _root_mean_square(values: Float, owner: Int, n: int) -> Float:
    seen = np.isfinite(values)
    count = np.bincount(owner[seen], minlength=n)
    total = np.bincount(owner[seen], weights=values[seen] ** 2, minlength=n)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), np.nan)


def _year_before(panel: Panel) -> Bool:
    """Whether the spans (n,) are as long as a year, where time is a date."""
    if panel.grid.dtype.kind != "M":
        return panel.lengths > 0
    long = np.zeros(len(panel), dtype=np.bool_)
    some = np.flatnonzero(panel.lengths > 0)
    first = panel.position(panel.start[some], some)
    long[some] = panel.grid[panel.last[some]] - panel.grid[first] >= np.timedelta64(330, "D")
    return long


def _words(links: int, skill: Float, lost: Sequence[object]) -> list[str]:
    """What the marks mean, and who is not on the map."""
    said = [f"Lines lead to the {links} nearest stations." if links > 1 else "Lines lead to the nearest station."]
    said = said if links else []
    told = skill[np.isfinite(skill)]
    if len(told):
        low, middle, high = np.quantile(told, [0, 0.5, 1])
        said.append(f"The larger the more skill over climatology: {low:.0%} to {high:.0%}, half above {middle:.0%}.")
    if len(lost):
        said.append(f"Not drawn for want of coordinates: {listed(lost)}.")
    return [" ".join(said)]


def _draw_links(figure: Any, frame: _Frame, near: Int) -> None:
    """A line for each pair of neighbours; one that leaves the map on one side comes in again on the other."""
    a, place = np.nonzero(near >= 0)
    pairs = np.unique(np.sort(np.stack([a, near[a, place]], axis=1), axis=1), axis=0)
    a, b = pairs.T
    turn = 360 * np.round((frame.x[a] - frame.x[b]) / 360)  # what brings b to the side of a
    over = np.flatnonzero(turn)
    begin = np.concatenate([frame.x[a], frame.x[b[over]]])
    end = np.concatenate([frame.x[b] + turn, frame.x[a[over]] - turn[over]])
    low, high = np.concatenate([frame.y[a], frame.y[b[over]]]), np.concatenate([frame.y[b], frame.y[a[over]]])
    lift = np.full(len(begin), np.nan)
    figure.add_scatter(
        x=np.stack([begin, end, lift], axis=1).ravel(), y=np.stack([low, high, lift], axis=1).ravel(), mode="lines",
        line={"color": LINK, "width": 1}, hoverinfo="skip", showlegend=False, name="neighbours",
    )  # fmt: skip


def _draw_stations(
    figure: Any, frame: _Frame, places: Places, groups: Clusters, skill: Float, hovers: NDArray[Any]
) -> None:
    """The stations of each cluster in one colour; small ones are drawn over large ones."""
    share = np.clip(np.where(np.isfinite(skill), skill, 0.0) / BEST, 0.0, 1.0)
    size = SMALL + (LARGE - SMALL) * share if np.isfinite(skill).any() else np.full(len(places), float(PLAIN))
    found, colours, rank = np.unique(groups.label), _colours(groups.centres), places.rank
    for cluster in found:
        mine = np.flatnonzero(groups.label == cluster)
        mine = mine[np.lexsort((rank[mine], -size[mine]))]
        figure.add_scatter(
            x=frame.x[mine], y=frame.y[mine], name=f"cluster {cluster + 1} ({len(mine)})",
            mode="markers+text" if len(places) <= NAMED else "markers", textposition="top center",
            text=[plain(short(places.ids[i], 16)) for i in mine], textfont={"size": 11, "color": INK},
            hovertext=hovers[mine].tolist(), hoverinfo="text", showlegend=1 < len(found) <= LISTED,
            marker={"color": colours[cluster], "size": size[mine], "opacity": 0.85,
                    "line": {"color": "#fff", "width": 1}},
        )  # fmt: skip


def _colours(centres: Float) -> list[str]:
    """A colour for each of the centres (c, 3): the one whose other clusters so far lie farthest away."""
    chosen: list[int] = []
    for place, centre in enumerate(centres):
        away = np.linalg.norm(centres[:place] - centre, axis=1)
        nearest_in = np.full(len(COLOURS), np.inf)
        np.minimum.at(nearest_in, np.array(chosen, dtype=np.int64), away)
        chosen.append(int(np.argmax(nearest_in)))
    return [COLOURS[colour] for colour in chosen]


def _hovers(places: Places, label: Int, near: Neighbours, skill: Float, links: int) -> NDArray[Any]:
    """What each station (n,) tells when it is pointed at."""
    out = []
    for i, one in enumerate(places.ids):
        lines = [f"<b>{plain(one)}</b>", f"{_degrees(places.lat[i], 'NS')}, {_degrees(places.lon[i], 'EW')}"]
        if np.isfinite(places.elevation[i]):
            lines[-1] += f", {places.elevation[i]:.0f} m"
        lines.append(f"cluster {label[i] + 1}")
        some = [(near.index[i, j], near.km[i, j]) for j in range(links) if near.index[i, j] >= 0]
        lines += [f"{km:,.0f} km: {plain(places.ids[other])}" for other, km in some]
        if np.isfinite(skill[i]):
            lines.append(f"skill over climatology {skill[i]:.1%}")
        out.append("<br>".join(lines))
    return np.array(out, dtype=object)


def _degrees(value: float, sides: str) -> str:
    turned = (value + 180) % 360 - 180 if sides == "EW" else value
    side = "" if turned in (0.0, -180.0) else sides[int(turned < 0)]
    return f"{abs(turned):.6g}°{side}"


def _graticule(figure: Any, frame: _Frame) -> Any:
    """Lines of latitude and longitude with their degrees, in the proportion that holds amid the map."""
    for (low, high), lines, sides, update in (
        (frame.across, 8, "EW", figure.update_xaxes),
        (frame.up, 6, "NS", figure.update_yaxes),
    ):
        step = next((step for step in STEPS if (high - low) / step <= lines), STEPS[-1])
        at = step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)
        update(range=[low, high], tickvals=at, ticktext=[_degrees(round(v, 2), sides) for v in at], zeroline=False,
               gridcolor="#e3e8ed", constrain="domain")  # fmt: skip
    figure.update_layout(hovermode="closest")
    return figure.update_yaxes(scaleanchor="x", scaleratio=1 / frame.narrow, constraintoward="top")
