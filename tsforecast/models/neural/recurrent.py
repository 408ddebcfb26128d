"""Recurrent layers of many nets at once, with gradients written out: a few tensor calls a step, and no graph of steps.

A small layer costs what its calls cost, so a step is one product for all gates of all nets, from a column that holds
the row, a one (its weights are the biases) and the last state; on the way back, what does not depend on the chain is
worked out for all steps beforehand, and the weights' gradients for all steps afterwards.
Inside, arrays are (L, m, units, b): a step of all nets is one block, gates are blocks of it, and rows lie closest.
tanh a = 2 sigmoid 2a - 1 throughout: torch's tanh takes six times as long (AVX-512, float32), and so all gates of a
step are one call.

Werbos (1990), Backpropagation through time, Proc. IEEE 78(10); Hochreiter & Schmidhuber (1997), Long short-term memory,
Neural Computation 9(8); Cho et al. (2014), EMNLP, in the variant of cuDNN, whose reset gate acts on the product.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsforecast.models.neural.products import filled

__all__ = ["Cell", "State", "gru", "lstm", "rnn"]

aten = torch.ops.aten

State = tuple[Tensor, ...]
"""What a layer carries from row to row, each (m, b, u): the output, and for LSTM the cell besides."""


class Cell(NamedTuple):
    """Weights of a layer of m nets: (m, p, g u), (m, u, g u), (m, g u), (m, g u); g gates in torch's order."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


def rnn(
    x: Tensor, cell: Cell, state: State | None = None, *, relu: bool = False, fused: bool = False
) -> tuple[Tensor, State]:
    """States (m, L, b, u) of simple units and the last one, from rows x (m, L, b, p).

    `fused`: torch's own kernel, net by net, instead of ours for all nets; they agree to rounding.
    """
    if fused:
        return _fused("rnn_relu" if relu else "rnn_tanh", x, cell, state)
    return _run(_Rnn, x, cell, state or _zeros(x, cell, 1), relu)


def lstm(x: Tensor, cell: Cell, state: State | None = None, *, fused: bool = False) -> tuple[Tensor, State]:
    """States (m, L, b, u) of LSTM units and the last output and cell, from rows x (m, L, b, p)."""
    if fused:
        return _fused("lstm", x, cell, state)
    return _run(_Lstm, x, cell, state or _zeros(x, cell, 2))


def gru(x: Tensor, cell: Cell, state: State | None = None, *, fused: bool = False) -> tuple[Tensor, State]:
    """States (m, L, b, u) of gated units and the last one, from rows x (m, L, b, p)."""
    if fused:
        return _fused("gru", x, cell, state)
    return _run(_Gru, x, cell, state or _zeros(x, cell, 1))


def _run(
    layer: type[torch.autograd.Function], x: Tensor, cell: Cell, state: State, *options: bool
) -> tuple[Tensor, State]:
    tensors = (x, *cell, *state)
    kept = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    out, *last = layer.apply(kept, *options, *tensors)  # type: ignore[no-untyped-call]
    return out, tuple(last)


def _zeros(x: Tensor, cell: Cell, count: int) -> State:
    return (x.new_zeros(x.shape[0], x.shape[2], cell.weight_hh.shape[1]),) * count


def _fused(name: str, x: Tensor, cell: Cell, state: State | None) -> tuple[Tensor, State]:
    """A layer by torch's kernel (oneDNN, cuDNN), which knows one net: the nets in turn."""
    state = state or _zeros(x, cell, 2 if name == "lstm" else 1)
    kernel, outs, lasts = getattr(torch._VF, name), [], []
    for i, rows in enumerate(x):
        # Side by side in memory, as cuDNN wants them.
        sizes = [weights[i].numel() for weights in cell]
        flat = torch.split(torch.cat([weights[i].t().flatten() for weights in cell]), sizes)
        weights = [part.view(weights[i].t().shape) for part, weights in zip(flat, cell, strict=True)]
        begin = [s[i : i + 1].contiguous() for s in state]
        # Has biases; one layer; no dropout; training; one way; rows are not the first axis.
        told = (True, 1, 0.0, torch.is_grad_enabled(), False, False)
        out, *last = kernel(rows.contiguous(), begin if name == "lstm" else begin[0], weights, *told)
        outs.append(out)
        lasts.append(last)
    return torch.stack(outs), tuple(torch.cat(s) for s in zip(*lasts, strict=True))


class _Rnn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kept: bool, relu: bool, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        weights = _packed(Cell(*tensors[:4]))
        columns, states = _columns(x, tensors[4], weights)
        product, minus = (weights if relu else 2 * weights).mT.contiguous(), _scalar(-1, x)
        for column, state in _steps(columns, states[1:]):
            sums = torch.bmm(product, column)
            if relu:
                torch.clamp_min(sums, 0, out=state)
            else:
                torch.add(minus, sums.sigmoid_(), alpha=2, out=state)
        ctx.relu, ctx.inputs = relu, x.shape[3]
        return _given(ctx, states, (columns, states, weights))

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, last: Tensor | None) -> tuple[Tensor | None, ...]:
        columns, states, weights = ctx.saved_tensors
        out, units = states[1:], states.shape[2]
        through = weights[:, :units]
        back = (out > 0).to(out.dtype) if ctx.relu else torch.addcmul(_scalar(1, out), out, out, value=-1)
        dh = _arriving(last, states)
        for came, slopes in _backwards(grad, back):
            dh = dh if came is None else dh + came
            dh = torch.bmm(through, slopes.mul_(dh))
        dx, dw = _products(ctx.needs_input_grad[2], columns, weights[:, units : units + ctx.inputs], back)
        return None, None, dx, *_unpacked(dw, units, ctx.inputs), dh.mT


class _Lstm(torch.autograd.Function):
    """Gates lie in the order output, input, forget, new, so that the three for the cell are one block.

    Inside, the cell is doubled and states are negative: a step needs fewer calls.
    """

    @staticmethod
    def forward(ctx: Any, kept: bool, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        cell, h, c = Cell(*tensors[:4]), *tensors[4:]
        units = h.shape[2]
        weights = _packed(cell).roll(units, dims=-1)
        weights[..., 3 * units :] *= 2
        columns, states = _columns(x, -h, weights)
        product = torch.cat([-weights[:, :units], weights[:, units:]], dim=1).mT.contiguous()
        gates, squashed, cells = (_room(kept, columns, n, k * units) for n, k in ((0, 4), (0, 1), (1, 1)))
        c = torch.mul(c.mT, 2, out=cells[0])
        blocks = _blocks(gates, units).unbind(2)
        for column, sums, o, i, f, n, new, squash, state in _steps(
            columns, gates, *blocks, cells[1:], squashed, states[1:]
        ):
            torch.bmm(product, column, out=sums).sigmoid_()
            # 2 c = f 2 c + 2 i (2 n - 1) and -h = o - 2 o sigmoid(2 c), n before its tanh.
            c = torch.mul(f, c, out=new).addcmul_(i, n, value=4).sub_(i, alpha=2)
            torch.addcmul(o, o, torch.sigmoid(c, out=squash), value=-2, out=state)
        states.neg_()
        ctx.inputs = x.shape[3]
        return *_given(ctx, states, (columns, states, weights, gates, squashed, cells)), (c / 2).mT

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, last: Tensor | None, last_cell: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        columns, states, weights, gates, squashed, cells = ctx.saved_tensors
        units = states.shape[2]
        through = weights[:, :units]
        o, i, _, n = _blocks(gates, units).unbind(2)
        back = torch.empty_like(gates)
        blocks = _blocks(back, units)
        torch.sub(squashed, 0.5, out=blocks[:, :, 0]).mul_(2)
        torch.sub(n, 0.5, out=blocks[:, :, 1]).mul_(4)
        blocks[:, :, 2] = cells[:-1]
        torch.mul(i, 4, out=blocks[:, :, 3])
        aten.sigmoid_backward.grad_input(back, gates, grad_input=back)
        into = aten.sigmoid_backward(o, squashed)
        dh, dc = _arriving(last, states), _arriving(last_cell, states) / 2
        parts = back, blocks[:, :, 0], blocks[:, :, 1:], into, gates[:, :, 2 * units : 3 * units]
        for came, d, first, others, slope, f in _backwards(grad, *parts):
            dh = dh if came is None else dh + came
            dc = dc.addcmul_(dh, slope, value=2)
            first.mul_(dh)
            others.mul_(dc.unsqueeze(1))
            dh, dc = torch.bmm(through, d), dc.mul_(f)
        dx, dw = _products(ctx.needs_input_grad[1], columns, weights[:, units : units + ctx.inputs], back)
        dw[..., 3 * units :] *= 2
        return None, dx, *_unpacked(dw.roll(-units, dims=-1), units, ctx.inputs), dh.mT, (2 * dc).mT


class _Gru(torch.autograd.Function):
    """Gates lie in the order reset, update, what the state says of the new one, what the row says of it."""

    @staticmethod
    def forward(ctx: Any, kept: bool, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        cell, h = Cell(*tensors[:4]), tensors[4]
        units = h.shape[2]
        weights = _packed_apart(cell)
        weights[..., 2 * units :] *= 2
        columns, states = _columns(x, h, weights)
        gates = _room(kept, columns, 0, 4 * units)
        h, product, minus = states[0], weights.mT.contiguous(), _scalar(-1, x)
        parts = gates, gates[:, :, : 2 * units], *_blocks(gates, units).unbind(2)
        for column, sums, both, r, z, said, n, state in _steps(columns, *parts, states[1:]):
            torch.bmm(product, column, out=sums)
            both.sigmoid_()
            torch.add(minus, torch.addcmul(n, r, said).sigmoid_(), alpha=2, out=n)
            h = torch.lerp(n, h, z, out=state)
        ctx.inputs = x.shape[3]
        return _given(ctx, states, (columns, states, weights, gates))

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, last: Tensor | None) -> tuple[Tensor | None, ...]:
        columns, states, weights, gates = ctx.saved_tensors
        units = states.shape[2]
        through = weights[:, :units, : 3 * units]
        r, z, said, n = _blocks(gates, units).unbind(2)
        back = torch.empty_like(gates)
        blocks = _blocks(back, units)
        to_r, to_z, to_said, to_n = blocks.unbind(2)
        # Of the doubled sum: half of (1 - z) (1 - n^2).
        torch.addcmul(_scalar(1, n), n, n, value=-1, out=to_n).mul_(0.5)
        to_n.addcmul_(to_n, z, value=-1)
        torch.mul(to_n, r, out=to_said)
        torch.mul(to_said, said, out=to_r)
        to_r.addcmul_(to_r, r, value=-1)
        torch.sub(states[:-1], n, out=to_z)
        aten.sigmoid_backward.grad_input(to_z, z, grad_input=to_z)
        dh = _arriving(last, states)
        for came, slopes, carried, kept in _backwards(grad, blocks, back[:, :, : 3 * units], z):
            dh = dh if came is None else dh + came
            slopes.mul_(dh.unsqueeze(1))
            dh = torch.baddbmm(dh.mul(kept), through, carried)
        dx, dw = _products(ctx.needs_input_grad[1], columns, weights[:, units : units + ctx.inputs], back)
        dw[..., 2 * units :] *= 2
        by_row, _, from_row, _ = _unpacked(
            torch.cat([dw[..., : 2 * units], dw[..., 3 * units :]], -1), units, ctx.inputs
        )
        _, by_state, _, from_state = _unpacked(dw[..., : 3 * units], units, ctx.inputs)
        return None, dx, by_row, by_state, from_row, from_state, dh.mT


def _packed(cell: Cell) -> Tensor:
    """Weights (m, k, g u) of a column: of the state, of the row, of the one, and zeros."""
    return filled(cell.bias_ih + cell.bias_hh, cell.weight_hh, cell.weight_ih)


def _packed_apart(cell: Cell) -> Tensor:
    """The same, (m, k, 4 u), but what the new state hears of the last one and of the row stands apart."""
    both = 2 * cell.weight_hh.shape[1]
    b_ih, b_hh = cell.bias_ih, cell.bias_hh
    apart = torch.zeros_like(b_ih[:, both:])
    return filled(
        torch.cat([b_ih[:, :both] + b_hh[:, :both], b_hh[:, both:], b_ih[:, both:]], dim=-1),
        torch.cat([cell.weight_hh, apart.unsqueeze(1).expand(-1, cell.weight_hh.shape[1], -1)], dim=-1),
        torch.cat(
            [
                cell.weight_ih[..., :both],
                apart.unsqueeze(1).expand(-1, cell.weight_ih.shape[1], -1),
                cell.weight_ih[..., both:],
            ],
            dim=-1,
        ),
    )


def _unpacked(dw: Tensor, units: int, inputs: int) -> tuple[Tensor, ...]:
    """Gradients of a cell's four arrays; the two biases share theirs."""
    one = units + inputs
    return dw[:, units:one], dw[:, :units], dw[:, one], dw[:, one]


def _columns(x: Tensor, h: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """What each step starts from, (L, m, k, b), and in it the states, (L + 1, m, u, b), of which the first is h."""
    m, steps, b, inputs = x.shape
    units = h.shape[2]
    room = x.new_empty(steps + 1, m, weights.shape[1], b)
    states, columns = room[:, :, :units], room[:-1]
    room[:, :, units + inputs :] = 1  # where weights are zeros too
    states[0] = h.mT
    columns[:, :, units : units + inputs] = x.permute(1, 0, 3, 2)
    return columns, states


def _room(kept: bool, columns: Tensor, more: int, width: int) -> Tensor:
    """Memory (L + more, m, width, b) of the steps; where no gradient is asked for, that of one, over and over."""
    steps, m, _, b = columns.shape
    steps += more
    return columns.new_empty(steps if kept else 1, m, width, b).expand(steps, -1, -1, -1)


def _blocks(gates: Tensor, units: int) -> Tensor:
    """Gates (L, m, 4 u, b) as (L, m, 4, u, b)."""
    return gates.view(*gates.shape[:2], -1, units, gates.shape[3])


def _scalar(value: float, like: Tensor) -> Tensor:
    return like.new_full((), value)


def _steps(*arrays: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(array.unbind() for array in arrays), strict=True)


def _backwards(grad: Tensor | None, *arrays: Tensor) -> Iterator[tuple[Any, ...]]:
    """Steps from the last, each with the gradient that its state gets from outside (None: only the last gets any)."""
    assert not torch.is_grad_enabled(), "written for first derivatives"
    steps = list(_steps(*arrays))
    came = [None] * len(steps) if grad is None else grad.permute(1, 0, 3, 2).contiguous().unbind()
    return ((outer, *step) for outer, step in zip(reversed(came), reversed(steps), strict=True))


def _arriving(grad: Tensor | None, states: Tensor) -> Tensor:
    """Gradient (m, u, b) that comes to a last state."""
    return torch.zeros_like(states[0]) if grad is None else grad.mT


def _given(ctx: Any, states: Tensor, saved: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    ctx.save_for_backward(*saved)
    ctx.set_materialize_grads(False)
    return states[1:].permute(1, 0, 3, 2), states[-1].mT.clone()


def _products(asked: bool, columns: Tensor, of_rows: Tensor, back: Tensor) -> tuple[Tensor | None, Tensor]:
    """Gradients of the rows (m, L, b, p), where asked for, and of packed weights, from those of all steps' sums."""
    dx = torch.matmul(of_rows, back).permute(1, 0, 3, 2) if asked else None
    return dx, torch.matmul(columns, back.mT).sum(dim=0)
