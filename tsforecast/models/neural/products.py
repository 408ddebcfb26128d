"""Products of many nets at once whose bits do not depend on how many nets there are.

Arrays of all nets lie side by side, so what each of them holds must fill whole strides: a matrix library adds in
another order where an array begins at an odd place (measured with MKL: narrow results that begin off 16 bytes), and
elementwise functions and sums take 32 numbers at once (AVX-512) and treat what is left over otherwise.
Matrices get as many rows of zeros as that takes.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["STRIDE", "affine", "filled", "padded"]

STRIDE = 32
"""Numbers of a net that are computed alike wherever they lie."""


def padded(count: int, width: int = 1) -> int:
    """The least number of rows, at least `count`, of which `width` columns fill whole strides."""
    step = STRIDE // gcd(STRIDE, width)
    return -(-count // step) * step


def filled(bias: Tensor, *weights: Tensor) -> Tensor:
    """Weights (m, k, n) under each other, then the bias (m, n), then rows of zeros up to whole strides."""
    joined = torch.cat([*weights, bias.unsqueeze(1)], dim=1)
    lacking = padded(joined.shape[1], joined.shape[2]) - joined.shape[1]
    return pad(joined, (0, 0, 0, lacking)) if lacking else joined


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Of each net x W + b: (m, r, k), (m, k, n), (m, n) -> (m, r, n); rows r in whole strides of n and of k."""
    if weight.shape[2] == 1:  # one column of one net would go through another kernel than that of many
        return (x * weight.mT).sum(dim=-1, keepdim=True) + bias.unsqueeze(1)
    out: Tensor = _Affine.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        weights, inputs = filled(bias, weight), x.shape[2]
        rows = x.new_ones(len(x), x.shape[1], weights.shape[1])  # also where weights are zeros
        rows[..., :inputs] = x
        ctx.save_for_backward(rows, weights)
        ctx.inputs = inputs
        return torch.bmm(rows, weights)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        assert not torch.is_grad_enabled(), "written for first derivatives"
        (rows, weights), inputs, grad = ctx.saved_tensors, ctx.inputs, grad.contiguous()
        dx = torch.bmm(grad, weights[:, :inputs].mT) if ctx.needs_input_grad[0] else None
        back = torch.bmm(rows.mT, grad)
        return dx, back[:, :inputs], back[:, inputs]
