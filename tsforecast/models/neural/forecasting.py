"""Forecasts of trained nets: the last window of every span, one step fed back after the other or all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsforecast.errors import ConfigError, listed
from tsforecast.models.neural import data, devices, nets
from tsforecast.models.neural.architecture import Architecture, layers
from tsforecast.models.neural.data import Float32, Layout
from tsforecast.models.neural.fitting import flat_weights
from tsforecast.models.neural.scaling import Scales
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows.blocks import side_by_side

__all__ = ["Look", "between", "encoded", "gaps", "points"]

SPANS = 2048
"""Windows that go through shared nets together: bounds memory."""
ALONE = 512
"""Windows of nets of their own that go through together."""
ALIKE = 4
"""Times that such a window goes through its net, so that what nets of odd widths make begins at whole 16 bytes: a
matrix library adds in another order elsewhere, and bits would depend on a series' company."""


@dataclass(frozen=True, slots=True)
class Look:
    """What forecasts need of a fit: the net, the layout of its rows, units, whether it gives all steps at once."""

    net: Architecture
    layout: Layout
    at_once: bool
    alone: bool


class Windows:
    """Last windows (n, L, c) of the spans, with what the coming steps bring."""

    def __init__(self, look: Look, state: State, panel: Panel, known: Float) -> None:
        """Known columns (n, h, k) of the h steps ahead, in the data's own units."""
        layout, units, rows = look.layout, Scales(state["centre"], state["scale"]), look.net.window
        series = panel.series
        y = data.scaled(panel.right(rows)[..., None], units, series, 0)
        columns = data.scaled(panel.right(rows, panel.columns), units, series, 1)
        self.known = data.scaled(known, units, series, 1 + layout.past).astype(np.float32)
        past, told = columns[..., : layout.past], columns[..., layout.past :]
        # Each row tells the known columns of the next one; the last row those of step 1.
        following = np.concatenate([told[:, 1:], self.known[:, :1].astype(float)], axis=1)
        with np.errstate(over="ignore"):
            self.x = data.inputs(layout, y, past, following)
        short = panel.lengths < rows
        # What a net reads of the coming steps must be there for all of them, also where fewer are asked for.
        lacking = look.net.steps - known.shape[1]
        if look.at_once and lacking > 0:
            self.known = np.pad(self.known, ((0, 0), (0, lacking), (0, 0)), constant_values=np.nan)
        seen = np.isfinite(y[..., 0]).any(axis=1)
        self.fine: Bool = np.isfinite(self.x).all(axis=(1, 2)) & ~short & seen
        self.fine &= np.isfinite(self.known).all(axis=(1, 2))
        self.x = np.nan_to_num(self.x, nan=0.0, posinf=0.0, neginf=0.0)
        self.static = data.statics(state["static"], panel.static, panel.ids)


def points(look: Look, state: State, panel: Panel, group: Int, h: int, known: Float) -> Float:
    """Forecasts (n, S, h, q) in the data's units by each net of each span's group; NaN where there is none.

    `group` (n,) is -1 for spans whose group was not fitted.
    """
    net = look.net
    shown = Windows(look, state, panel, known)
    flat = flat_weights(net, state["weights"])  # (g, S, P)
    out = np.full((len(panel), flat.shape[1], h, net.quantiles), np.nan, np.float32)
    known_group = group >= 0
    fine = np.flatnonzero(shown.fine & known_group)
    batches = _batches(look, fine, group)

    def work(i: int) -> None:
        torch.set_num_threads(1)
        index, seed = batches[i // flat.shape[1]], i % flat.shape[1]
        own = flat[group[index], seed] if look.alone else flat[group[index[:1]], seed]
        with torch.no_grad():
            out[index, seed] = _run(look, own, shown, index, h)

    with devices.quietly():
        side_by_side(len(batches) * flat.shape[1], work)
    centre, scale = (part[panel.series, 0][:, None, None, None] for part in (state["centre"], state["scale"]))
    failed = state["failed"] > 0
    lost = np.where(known_group[:, None], failed[group], True)
    values: Float = np.where(lost[..., None, None], np.nan, out.astype(float) * scale + centre)
    return values


def between(name: str, quantiles: Sequence[float], values: Float, levels: Sequence[float]) -> tuple[Float, Float]:
    """Lower and upper (n, h, l) at `levels` from learned quantiles (n, h, q); ConfigError for one never learned."""
    ends: list[list[int]] = [[], []]
    for level in levels:
        for place, q in zip(ends, (0.5 - level / 200, 0.5 + level / 200), strict=True):
            near = np.flatnonzero(np.isclose(quantiles, q, rtol=0, atol=1e-9))
            if not len(near):
                have = [f"{200 * (p - 0.5):g}" for p in quantiles if p > 0.5]
                raise ConfigError(
                    f"{name} learned the levels {listed(have)}, not {level:g}: give the model "
                    f"quantiles=({0.5 - level / 200:g}, 0.5, {0.5 + level / 200:g}), or intervals=Conformal()"
                )
            place.append(int(near[0]))
    return values[..., ends[0]], values[..., ends[1]]


def gaps(look: Look, state: State, panel: Panel, known: Float) -> Bool:
    """Spans (n,) whose last window is full but has a gap that no flag tells."""
    unread: Bool = ~Windows(look, state, panel, known).fine & (panel.lengths >= look.net.window)
    return unread


def _batches(look: Look, fine: Int, group: Int) -> list[Int]:
    """Spans that go through together: windows of one net, or windows with a net each."""
    if look.alone:
        return [fine[first : first + ALONE] for first in range(0, len(fine), ALONE)]
    found = []
    for g in np.unique(group[fine]):
        mine = fine[group[fine] == g]
        found += [mine[first : first + SPANS] for first in range(0, len(mine), SPANS)]
    return found


def _run(look: Look, flat: Float32, shown: Windows, index: Int, h: int) -> Float32:
    """Scaled forecasts (s, h, q) of windows by nets (s, P), or all by one (1, P)."""
    several = look.alone
    filled, named = _filled(look, flat, index)
    x, known, static = _turned(shown, filled, several)
    steps = _at_once(look, named, x, known, static, h) if look.at_once else _fed_back(look, named, x, known, static, h)
    values = steps[:, 0] if several else steps[0]
    return np.asarray(values[: len(index)].numpy(), dtype=np.float32)


def _filled(look: Look, flat: Float32, index: Int) -> tuple[Int, dict[str, Tensor]]:
    """Windows (s,) and the weights of their nets (s, P), or of the one net (1, P), by name; where each window has a
    net of its own, whole strides of them keep bits free of company.
    """
    if look.alone:
        whole = -(-len(index) // nets.rows(look.net)) * nets.rows(look.net)
        index, flat = np.resize(index, whole), np.resize(flat, (whole, flat.shape[1]))
    return index, nets.split(look.net, torch.from_numpy(flat))


def _turned(shown: Windows, index: Int, several: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Windows x (m, L, b, c), known columns (m, h, b, k), static ones (m, b, s): `several` nets of one window, a few
    times over, or one net of them all.
    """

    def turned(values: Float32) -> Tensor:
        both = torch.from_numpy(np.ascontiguousarray(values))
        return both[:, :, None].expand(-1, -1, ALIKE, -1) if several else both.transpose(0, 1)[None]

    static = turned(shown.static[index][:, None])[:, 0] if shown.static.shape[1] else None
    return turned(shown.x[index]), turned(shown.known[index]), static


def _ahead(look: Look, known: Tensor, first: int, count: int) -> Tensor | None:
    """Known columns (m, b, A) of steps first ... first + count - 1 side by side, for the last layer."""
    if not look.net.ahead:
        return None
    return known[:, first : first + count].transpose(1, 2).flatten(2)


def _at_once(look: Look, named: dict[str, Tensor], x: Tensor, known: Tensor, static: Tensor | None, h: int) -> Tensor:
    """Steps (m, b, h, q) of a net that gives them all."""
    net = look.net
    told = 0 if look.layout.apart else 1
    out = nets.forward(
        net, named, x, static=static, ahead=_ahead(look, known, told, net.steps - told),
        known=known[:, 1:] if net.decoder and look.layout.known else None,
    )  # fmt: skip
    return out[:, :, -net.steps :][:, :, :h]


def _fed_back(look: Look, named: dict[str, Tensor], x: Tensor, known: Tensor, static: Tensor | None, h: int) -> Tensor:
    """Steps (m, b, h, q) of a net that gives one, which the next window holds as if it had been seen."""
    net, layout = look.net, look.layout
    found = []
    for step in range(h):
        ahead = _ahead(look, known, step, 1) if layout.apart else None
        found.append(nets.forward(net, named, x, static=static, ahead=ahead)[:, :, 0])
        if step + 1 < h:
            middle = found[-1][..., net.quantiles // 2]
            row = torch.ones(*x.shape[:1], 1, *x.shape[2:], dtype=x.dtype)
            row[:, 0, :, 0] = middle
            if not layout.apart and layout.known:
                row[:, 0, :, 1 + layout.past : 1 + layout.past + layout.known] = known[:, step + 1]
            x = torch.cat([x[:, 1:], row], dim=1)
    return torch.stack(found, dim=2)


def encoded(look: Look, state: State, panel: Panel, group: Int, coming: Float) -> Float:
    """Last hidden layer (R, u) for the window that ends at each row, by the first net of its series' group.

    `coming` (n, h, k) are the known columns after the last row of each series. NaN where a window is not full.
    """
    net, rows, owner = look.net, panel.rows, panel.owner
    flat, told = flat_weights(net, state["weights"]), 0 if look.layout.apart else 1
    out = np.full((len(rows), _hidden(net)), np.nan)
    with devices.quietly(), torch.no_grad():
        for first in range(0, len(rows), SPANS):
            some = slice(first, first + SPANS)
            spans = panel.take(owner[some]).replace(stop=rows[some] + 1)
            shown = Windows(look, state, spans, _coming(spans, panel.take(owner[some]), coming[owner[some]]))
            groups = group[owner[some]]
            for index in _batches(look, np.flatnonzero(shown.fine & (groups >= 0)), groups):
                chosen = groups[index] if look.alone else groups[index[:1]]
                filled, named = _filled(look, flat[chosen, 0], index)
                x, known, static = _turned(shown, filled, look.alone)
                made = nets.encode(net, named, x, static=static, ahead=_ahead(look, known, told, net.steps - told))
                out[first + index] = (made[:, 0] if look.alone else made[0])[: len(index)].numpy()
    return out


def _coming(spans: Panel, whole: Panel, coming: Float) -> Float:
    """Known columns (s, h, k) of the steps after each span: those of the data, then those that come after it."""
    steps = coming.shape[1]
    known = spans.ahead(whole, steps, whole.columns[:, whole.n_past :])
    place = np.arange(steps) - (whole.stop - spans.stop)[:, None]
    after = place >= 0
    known[after] = np.take_along_axis(coming, np.maximum(place, 0)[..., None], axis=1)[after]
    return known


def _hidden(net: Architecture) -> int:
    """Numbers of the last hidden layer, which the last layer reads."""
    return layers(net)[-1].weights[0].shape[0] - (0 if net.kind == "mlp" else net.ahead)
