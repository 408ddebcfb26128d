"""Normals that move with the origin: rows after the fit added to its moments, and solved again."""

from __future__ import annotations

import numpy as np

from tsforecast.normals.blocks import Blocks
from tsforecast.normals.moments import Moments
from tsforecast.panel import Int, Panel
from tsforecast.rolling import State
from tsforecast.threads import one_blas_thread

__all__ = ["last_stamps", "renewed", "settled", "with_newer"]

NEVER = np.iinfo(np.int64).min


def renewed(state: State, panel: Panel) -> tuple[State, Panel]:
    """The normals told again with the rows of the spans that are newer than those of the fit, one row of the state a
    span, and the panel with its spans numbered so; the very arguments where nothing is newer.

    Columns told of, spreads, and the shape of what was lent stay as they are; monthly means do not let go of rows that
    pass 30 years. A series that had no observed row at the fit has no normal still.
    """
    fresh = _newer(state, panel)
    index = np.flatnonzero((fresh.observed > 0) & np.isfinite(state["coef"][panel.series, 0]))
    if not len(index):
        return state, panel
    blocks = Blocks.from_state(state)
    each = {name: state[name][panel.series] for name in ("coef", "since", "spread", "told", "until")}
    moments = Moments(**state["moments"]).take(panel.series)
    with one_blas_thread():
        moments.put(index, moments.take(index) + Moments.of(fresh.take(index), blocks))
    some, told = moments.take(index), each["told"][index]
    coef = np.where(told, some.shape(told), each["coef"][index])
    coef[:, 0] = some.level(coef)
    each["coef"][index] = coef
    each["until"][index] = last_stamps(panel)[index]
    own = panel.numbered()
    return state | each | {"moments": moments._asdict()}, own


def with_newer(fit: State, panel: Panel) -> State:
    """A fitted state with the newer rows of all its series in its `normal`, while they are there: of a file only the
    last of them come back.
    """
    return fit | {"normal": renewed(fit["normal"], panel)[0]}


def settled(state: State) -> State:
    """The normals without what newer rows would be added to: for spans that end where they were fitted."""
    return {name: part for name, part in state.items() if name != "moments"}


def _newer(state: State, panel: Panel) -> Panel:
    """The spans after the last row that their normals were fitted on."""
    first = np.searchsorted(_numbers(panel), state["until"][panel.series], side="right")
    return panel.replace(start=panel.upto(first - 1).stop)


def last_stamps(panel: Panel) -> Int:
    """Stamp (n,) of each span's last row, in microseconds since 1970 where dated; before all where there is none."""
    filled = panel.lengths > 0
    out = np.full(len(panel), NEVER)
    out[filled] = _numbers(panel)[panel.last[filled]]
    return out


def _numbers(panel: Panel) -> Int:
    dated = panel.grid.dtype.kind == "M"
    numbers: Int = (panel.grid.astype("datetime64[us]") if dated else panel.grid).astype(np.int64)
    return numbers
