"""The columns of several members side by side in one panel, and the calendars behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tsforecast.calendars.almanac import Almanac
from tsforecast.panel import Float, Panel

__all__ = ["Almanacs", "known_of", "share", "side_by_side"]


@dataclass(frozen=True, slots=True, eq=False)
class Almanacs:
    """The almanac of each member, in order; what a fitted ensemble keeps in place of one."""

    parts: tuple[Almanac | Almanacs, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Calendar words of all members."""
        return tuple(word for part in self.parts for word in part.words)

    def state(self) -> dict[str, Any]:
        """As `Almanac.state`, one a member."""
        return {"parts": [part.state() for part in self.parts]}

    def restored(self, state: Mapping[str, Any]) -> Self:
        """The same almanacs with what `state` wrote."""
        pairs = zip(self.parts, state["parts"], strict=True)
        return type(self)(tuple(part.restored(kept) for part, kept in pairs))


def side_by_side(parts: Sequence[Panel]) -> Panel:
    """One panel with the columns of all: past ones first, then known ones, each named "{member's place}:{name}"."""
    blocks: list[Float] = [np.empty((len(parts[0].y), 0))]
    names: list[str] = []
    for past in (True, False):
        for j, part in enumerate(parts):
            some = slice(0, part.n_past) if past else slice(part.n_past, None)
            blocks.append(part.columns[:, some])
            names += [f"{j}:{name}" for name in part.column_names[some]]
    return parts[0].with_columns(np.concatenate(blocks, axis=1), names, sum(part.n_past for part in parts))


def _places(panel: Panel, member: int) -> list[int]:
    return [i for i, name in enumerate(panel.column_names) if name.startswith(f"{member}:")]


def share(panel: Panel, member: int) -> Panel:
    """The panel with the columns of one member alone, under their own names."""
    if not panel.column_names:
        return panel
    mine = _places(panel, member)
    names = [panel.column_names[i].partition(":")[2] for i in mine]
    return panel.with_columns(panel.columns[:, mine], names, sum(i < panel.n_past for i in mine))


def known_of(panel: Panel, member: int, known: Float) -> Float:
    """The known columns (n, h, k) of one member among those of all."""
    return known[:, :, [i - panel.n_past for i in _places(panel, member) if i >= panel.n_past]]
