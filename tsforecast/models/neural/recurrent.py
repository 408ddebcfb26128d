"""Recurrent layers of many nets at once, with gradients written out: a few tensor calls a step, and no graph of steps.

A small layer costs what its calls cost, so a step is one product, in place, into inputs that were projected for all
steps at once, then the gates; on the way back what does not depend on the chain is worked out for all steps before it.
Inside, arrays are (L, m, units, b): a step of all nets is one block, gates are blocks of it, and rows lie closest.

Werbos (1990), Backpropagation through time, Proc. IEEE 78(10); Hochreiter & Schmidhuber (1997), Long short-term memory,
Neural Computation 9(8); Cho et al. (2014), EMNLP, in the variant of cuDNN, whose reset gate acts on the product.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Cell", "State", "gru", "lstm", "rnn"]

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
    w_x = torch.cat([cell.weight_ih, (cell.bias_ih + cell.bias_hh)[:, None]], dim=1)
    (h,) = _states(x, cell, state, 1)
    out, last = _Rnn.apply(_rows(x), w_x, cell.weight_hh, h, relu)
    return out.permute(1, 0, 3, 2), (last.mT,)


def lstm(x: Tensor, cell: Cell, state: State | None = None, *, fused: bool = False) -> tuple[Tensor, State]:
    """States (m, L, b, u) of LSTM units and the last output and cell, from rows x (m, L, b, p)."""
    if fused:
        return _fused("lstm", x, cell, state)
    units = cell.weight_hh.shape[1]
    # Output gate first: input, forget and output are one block for the sigmoid, input, forget and new one for the cell.
    w_x = torch.cat([cell.weight_ih, (cell.bias_ih + cell.bias_hh)[:, None]], dim=1).roll(units, dims=-1)
    h, c = _states(x, cell, state, 2)
    out, last, kept = _Lstm.apply(_rows(x), w_x, cell.weight_hh.roll(units, dims=-1), h, c)
    return out.permute(1, 0, 3, 2), (last.mT, kept.mT)


def gru(x: Tensor, cell: Cell, state: State | None = None, *, fused: bool = False) -> tuple[Tensor, State]:
    """States (m, L, b, u) of gated units and the last one, from rows x (m, L, b, p)."""
    if fused:
        return _fused("gru", x, cell, state)
    units = cell.weight_hh.shape[1]
    both = 2 * units
    # Reset, update, what the last state says of the new one (its bias), what the row says of it.
    weight, b_ih, b_hh = cell.weight_ih, cell.bias_ih[:, None], cell.bias_hh[:, None]
    blank = torch.zeros_like(weight[..., both:])
    w_x = torch.cat(
        [
            torch.cat([weight[..., :both], blank, weight[..., both:]], dim=-1),
            torch.cat([b_ih[..., :both] + b_hh[..., :both], b_hh[..., both:], b_ih[..., both:]], dim=-1),
        ],
        dim=1,
    )
    (h,) = _states(x, cell, state, 1)
    out, last = _Gru.apply(_rows(x), w_x, cell.weight_hh, h)
    return out.permute(1, 0, 3, 2), (last.mT,)


def _rows(x: Tensor) -> Tensor:
    """Rows (L, m, p + 1, b) from (m, L, b, p): a one joined, so that biases are a row of the weights."""
    x = x.permute(1, 0, 3, 2)
    return torch.cat([x, x.new_ones(()).expand(*x.shape[:2], 1, x.shape[3])], dim=2)


def _states(x: Tensor, cell: Cell, state: State | None, count: int) -> list[Tensor]:
    if state is not None:
        return [s.mT for s in state]
    return [x.new_zeros(x.shape[0], cell.weight_hh.shape[1], x.shape[2])] * count


def _fused(name: str, x: Tensor, cell: Cell, state: State | None) -> tuple[Tensor, State]:
    """A layer by torch's kernel (oneDNN, cuDNN), which knows one net: the nets in turn."""
    state = tuple(s.mT for s in _states(x, cell, state, 2 if name == "lstm" else 1))
    run, outs, lasts = getattr(torch._VF, name), [], []
    for i, rows in enumerate(x):
        kept = [weight[i].mT.contiguous() if weight.dim() == 3 else weight[i] for weight in cell]
        begin = [s[i : i + 1].contiguous() for s in state]
        # Hidden state, weights, has biases, layers, dropout, training, bidirectional, rows of the batch first.
        begin_with = begin if name == "lstm" else begin[0]
        out, *last = run(rows.contiguous(), begin_with, kept, True, 1, 0.0, torch.is_grad_enabled(), False, False)
        outs.append(out)
        lasts.append(last)
    return torch.stack(outs), tuple(torch.cat(s) for s in zip(*lasts, strict=True))


class _Rnn(torch.autograd.Function):
    """Rows (L, m, p + 1, b), weights (m, p + 1, u) and (m, u, u), first state (m, u, b)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_x: Tensor, w_h: Tensor, h: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
        out = torch.matmul(w_x.mT, x)
        first, product = h, w_h.mT
        squash = Tensor.relu_ if relu else Tensor.tanh_
        for step in out.unbind():
            h = squash(step.baddbmm_(product, h))
        ctx.save_for_backward(x, w_x, w_h, first, out)
        ctx.relu = relu
        ctx.set_materialize_grads(False)
        return out, h.clone()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor | None, dh: Tensor | None) -> tuple[Tensor | None, ...]:
        x, w_x, w_h, first, out = ctx.saved_tensors
        slope = (out > 0).to(out.dtype) if ctx.relu else 1 - out * out
        back = torch.empty_like(out)
        came = _came(grad, out)
        dh = _joined(dh, came[-1], first)
        for t in range(len(out) - 1, -1, -1):
            d = torch.mul(dh, slope[t], out=back[t])
            dh = _joined(came[t - 1] if t else None, torch.bmm(w_h, d), first)
        return (*_products(ctx, x, w_x, first, out, back), dh, None)


class _Lstm(torch.autograd.Function):
    """Rows (L, m, p + 1, b), weights (m, p + 1, 4 u) and (m, u, 4 u), first states (m, u, b); gates o, i, f, n."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_x: Tensor, w_h: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, product, first = torch.matmul(w_x.mT, x), w_h.mT, h
        steps, m, units, b = len(x), *h.shape
        out, squashed, cells = (
            h.new_empty(steps, m, units, b),
            h.new_empty(steps, m, units, b),
            c.new_empty(steps + 1, m, units, b),
        )
        cells[0] = c
        o, i, f, n = (block.unbind() for block in gates.view(steps, m, 4, units, b).unbind(2))
        for t, (step, sigmoids) in enumerate(zip(gates.unbind(), gates[:, :, : 3 * units].unbind(), strict=True)):
            step.baddbmm_(product, h)
            sigmoids.sigmoid_()
            n[t].tanh_()
            c = torch.mul(f[t], c, out=cells[t + 1]).addcmul_(i[t], n[t])
            h = torch.mul(o[t], torch.tanh(c, out=squashed[t]), out=out[t])
        ctx.save_for_backward(x, w_x, w_h, first, out, gates, cells, squashed)
        ctx.set_materialize_grads(False)
        return out, h.clone(), c.clone()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor | None, dh: Tensor | None, dc: Tensor | None) -> tuple[Tensor | None, ...]:
        x, w_x, w_h, first, out, gates, cells, squashed = ctx.saved_tensors
        steps, m, units, b = out.shape
        o, i, f, n = gates.view(steps, m, 4, units, b).unbind(2)
        into_cell = o * (1 - squashed * squashed)
        slopes = torch.stack([squashed * o * (1 - o), n * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - n * n)], 2)
        back = torch.empty_like(gates)
        blocks = back.view(steps, m, 4, units, b)
        came = _came(grad, out)
        dh = _joined(dh, came[-1], first)
        dc = torch.zeros_like(first) if dc is None else dc
        for t in range(steps - 1, -1, -1):
            dc = torch.addcmul(dc, dh, into_cell[t])
            torch.mul(slopes[t][:, 0], dh, out=blocks[t][:, 0])
            torch.mul(slopes[t][:, 1:], dc[:, None], out=blocks[t][:, 1:])
            dh = _joined(came[t - 1] if t else None, torch.bmm(w_h, back[t]), first)
            dc = dc * f[t]
        return (*_products(ctx, x, w_x, first, out, back), dh, dc)


class _Gru(torch.autograd.Function):
    """Rows (L, m, p + 1, b), weights (m, p + 1, 4 u) and (m, u, 3 u), first state (m, u, b)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_x: Tensor, w_h: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        gates, product, first = torch.matmul(w_x.mT, x), w_h.mT, h
        steps, m, units, b = len(x), *h.shape
        out = h.new_empty(steps, m, units, b)
        r, z, said, n = (block.unbind() for block in gates.view(steps, m, 4, units, b).unbind(2))
        sigmoids, products = gates[:, :, : 2 * units].unbind(), gates[:, :, : 3 * units].unbind()
        for t in range(steps):
            products[t].baddbmm_(product, h)
            sigmoids[t].sigmoid_()
            new = n[t].addcmul_(r[t], said[t]).tanh_()
            h = torch.lerp(new, h, z[t], out=out[t])
        ctx.save_for_backward(x, w_x, w_h, first, out, gates)
        ctx.set_materialize_grads(False)
        return out, h.clone()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor | None, dh: Tensor | None) -> tuple[Tensor | None, ...]:
        x, w_x, w_h, first, out, gates = ctx.saved_tensors
        steps, m, units, b = out.shape
        r, z, said, n = gates.view(steps, m, 4, units, b).unbind(2)
        before = torch.cat([first[None], out[:-1]])
        new = (1 - z) * (1 - n * n)
        slopes = torch.stack([new * said * r * (1 - r), (before - n) * z * (1 - z), new * r, new], 2)
        back = torch.empty_like(gates)
        blocks, carried = back.view(steps, m, 4, units, b), back[:, :, : 3 * units]
        came = _came(grad, out)
        dh = _joined(dh, came[-1], first)
        for t in range(steps - 1, -1, -1):
            torch.mul(slopes[t], dh[:, None], out=blocks[t])
            dh = torch.baddbmm(dh * z[t], w_h, carried[t])
            if t and came[t - 1] is not None:
                dh = dh + came[t - 1]
        dx, dw_x, _ = _products(ctx, x, w_x, first, out, back)
        dw_h = torch.matmul(before, carried.mT).sum(dim=0)
        return dx, dw_x, dw_h, dh


def _came(grad: Tensor | None, out: Tensor) -> tuple[Tensor | None, ...]:
    """Gradient that comes to each step from outside; nothing where only the last state was used."""
    return (None,) * len(out) if grad is None else grad.unbind()


def _joined(a: Tensor | None, b: Tensor | None, like: Tensor) -> Tensor:
    if a is None or b is None:
        kept = b if a is None else a
        return torch.zeros_like(like) if kept is None else kept
    return a + b


def _products(
    ctx: Any, x: Tensor, w_x: Tensor, first: Tensor, out: Tensor, back: Tensor
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of the rows (where somebody asks), of their weights and of the recurrent ones, for all steps at once."""
    dx = torch.matmul(w_x, back) if ctx.needs_input_grad[0] else None
    dw_x = torch.matmul(x, back.mT).sum(dim=0)
    before = torch.cat([first[None], out[:-1]])
    return dx, dw_x, torch.matmul(before, back.mT).sum(dim=0)
