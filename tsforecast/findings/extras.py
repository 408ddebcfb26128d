"""What stands beside the rows: static columns and excluded periods."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast import frames
from tsforecast.errors import ConfigError, DataError, Finding, listed
from tsforecast.findings.repairs import owners
from tsforecast.frames import columns as decode
from tsforecast.frames import grids
from tsforecast.panel import Bool, Panel

__all__ = ["with_mask", "with_static"]

ALL = "all"


def with_static(panel: Panel, static: Any) -> Panel:
    """The panel with static columns (n,); series of the static table without rows are listed in `findings`."""
    if panel.names.id is None:
        raise ConfigError("static columns need series ids, and this table has no id column")
    columns, extra = frames.static_arrays(static, panel.ids, id=panel.names.id)
    if not extra:
        return panel.replace(static=columns)
    finding = Finding(
        "TSF-LEN",
        f"{len(extra)} ids of the static table have no rows: {listed(extra)}",
        count=len(extra),
        found="no rows",
        expected="rows for every static id",
        policy="ignore",
    )
    return panel.replace(static=columns, findings=(*panel.findings, finding))


def with_mask(panel: Panel, mask: Any) -> Panel:
    """The panel with the rows excluded that a table (id or "all", from, to) covers, both ends included."""
    frame = frames.opened(mask)
    lacking = [name for name in ("from", "to") if name not in frame.columns]
    if lacking:
        raise ConfigError(
            f"the mask lacks {listed(lacking)}; it needs from and to, and an id column unless it is for all"
        )
    begin, end = (decode.times(frame[name]) for name in ("from", "to"))
    for name, part in (("from", begin), ("to", end)):
        if part.null is not None or len(part.wrong):
            raise DataError(f"the mask has rows without a date in {name!r}")
        if part.values.dtype.kind != panel.grid.dtype.kind:
            raise ConfigError(f"{name!r} in the mask and the time column differ in kind (dates against integers)")
    low, high = (_in_panel_time(panel, part) for part in (begin, end))
    series = _series(panel, frame)
    owner = owners(panel)
    position = panel.position(np.arange(len(owner)), np.maximum(owner, 0))
    stamps = panel.grid[np.clip(position, 0, len(panel.grid) - 1)]
    excluded: Bool = np.zeros(len(owner), dtype=bool)
    for row, i in enumerate(series):
        mine = owner == i if i >= 0 else owner >= 0
        excluded |= mine & (stamps >= low[row]) & (stamps <= high[row])
    return panel.replace(excluded=excluded)


def _in_panel_time(panel: Panel, part: decode.Times) -> Any:
    if part.values.dtype.kind != "M" or panel.tz is None:
        return part.values
    if part.tz is None:  # plain dates mean local ones
        return part.values if grids.is_coarse(panel.freq) else decode.to_utc(part.values, str(panel.tz))
    return decode.to_wall(part.values, str(panel.tz)) if grids.is_coarse(panel.freq) else part.values


def _series(panel: Panel, frame: Any) -> list[int]:
    """Position of the series each mask row is for, -1 for all."""
    name = panel.names.id
    if name is None or name not in frame.columns:
        return [-1] * len(frame)
    wanted = frame[name].to_list()
    places = decode.matched(np.array(wanted, dtype=object), panel.ids)
    unknown = [one for one, place in zip(wanted, places, strict=True) if place < 0 and one != ALL]
    if unknown:
        raise ConfigError(f"the mask names series that are not there: {listed(unknown)}")
    return [int(place) for place in places]
