"""Fixed tiles of series, random generators a series, and the seasonal last value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy.special import ndtri

from tsforecast.forecast import Forecast
from tsforecast.panel import Bool, Float, Int, Panel, seasons

__all__ = ["TILE", "Tile", "generators", "main_season", "normal_widths", "seasonal_last", "tiles"]

TILE = 100_000
"""Values worked on together, few enough to stay in cache. A series' sums run over its own padded length alone and its
products are its own, so the company it keeps in a tile changes no bit of its result."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Some series of one padded length: index (s,) into the panel; rows (s, T) of the block, right-aligned;
    inside (s, T) marks those that belong to the span.
    """

    index: Int
    rows: Int
    inside: Bool

    def gather(self, values: Float, fill: float = np.nan) -> Float:
        """Values (N,) or (N, k) of the block as (s, T) or (s, T, k), `fill` outside the spans."""
        if not len(values):
            return np.full((*self.rows.shape, *values.shape[1:]), fill)
        out = values[self.rows]
        if not self.inside.all():
            out[~self.inside] = fill
        return out


def padded_length(lengths: Int) -> Int:
    """Length that each series is padded to: the next of 8 sizes an octave, a function of its own length alone."""
    size = np.maximum(lengths, 8)
    quantum = 2 ** np.maximum(np.floor(np.log2(size)).astype(np.int64) - 3, 0)
    padded: Int = -(-size // quantum) * quantum
    return padded


def tiles(panel: Panel) -> Iterator[Tile]:
    """The panel in tiles of about TILE values, columns counted, with one padded length each."""
    padded = padded_length(panel.lengths)
    width = 1 + panel.columns.shape[1]
    for length in np.unique(padded):
        members = np.nonzero(padded == length)[0]
        steps = np.arange(-int(length), 0)
        size = max(8, TILE // (int(length) * width))
        for first in range(0, len(members), size):
            index = members[first : first + size]
            rows = panel.stop[index, None] + steps
            inside = rows >= panel.start[index, None]
            yield Tile(index, np.where(inside, rows, 0), inside)


def main_season(panel: Panel) -> int:
    """The shortest usual season of the panel's frequency, 1 where there is none."""
    usual = seasons(panel.freq)
    return usual[0] if usual else 1


def generators(ids: Iterable[Any], seed: int) -> Iterator[np.random.Generator]:
    """One random generator a series, from a stable hash of seed and id: company changes no draw."""
    for name in ids:
        digest = blake2b(f"{seed}|{name}".encode(), digest_size=16).digest()
        yield np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def normal_widths(sd: Float, levels: Sequence[float]) -> Float:
    """Half-widths (..., q) of central normal intervals for standard deviations (...)."""
    z = ndtri(0.5 + np.asarray(levels, dtype=float) / 200)
    widths: Float = sd[..., None] * z
    return widths


def seasonal_last(panel: Panel, season: int, h: int, levels: Sequence[float] = ()) -> Forecast:
    """Last observed value at the same place in the season; NaN rows are stepped over by whole seasons.

    Intervals grow with the whole seasons ahead, from the residuals of the same rule.
    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 5.2 and 5.5.
    """
    n = len(panel)
    last = np.full((n, season), np.nan)
    # Going back season by season, newest first, fills each place with its newest observed value.
    reach = int(panel.lengths.max(initial=0))
    for back in range(-(-reach // season)):
        lacking = np.flatnonzero(np.isnan(last).any(axis=1) & (panel.lengths > back * season))
        if not len(lacking):
            break
        few = panel.take(lacking)
        window = few.replace(stop=few.stop - back * season).right(season)
        last[lacking] = np.where(np.isnan(last[lacking]), window, last[lacking])
    # A place never seen takes the newest value of any place before it in time.
    for place in range(season):
        last[:, place] = np.where(np.isnan(last[:, place]), last[:, place - 1], last[:, place])
    for place in range(season):
        last[:, place] = np.where(np.isnan(last[:, place]), last[:, place - 1], last[:, place])
    steps = np.arange(h)
    point = last[:, steps % season]
    if not levels:
        return Forecast(point)
    sd = _seasonal_sd(panel, season)[:, None] * np.sqrt(steps // season + 1)
    width = normal_widths(sd, levels)
    return Forecast(point, point[..., None] - width, point[..., None] + width)


def _seasonal_sd(panel: Panel, season: int) -> Float:
    """Root mean square of y[t] - y[t - season] (n,); 0 where no pair was seen."""
    out = np.zeros(len(panel))
    for tile in tiles(panel):
        y = tile.gather(panel.y)
        step = min(season, y.shape[1] - 1)
        moved = y[:, step:] - y[:, :-step]
        seen = np.isfinite(moved)
        total = np.where(seen, moved, 0.0) ** 2
        mean = total.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        out[tile.index] = np.sqrt(mean)
    return out
