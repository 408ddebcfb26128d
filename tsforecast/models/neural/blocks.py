"""What stands between the layers of many nets at once: activations, norms, dropout, convolution, pooling, quantiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tsforecast.models.neural.architecture import Architecture
from tsforecast.models.neural.products import affine

__all__ = ["Draw", "Pass", "convolution", "dense", "dropped", "finished", "pooled", "uncrossed"]

MOMENTUM = 0.1  # share of a batch in the running mean and variance, torch's
EPSILON = 1e-5

Draw = Callable[[tuple[int, ...]], Tensor]
"""Uniform numbers of [0, 1) in the shape asked for."""


class Pass(NamedTuple):
    """What one pass through m nets goes by: the nets, their weights, and in training the chance and what it changes."""

    net: Architecture
    weights: Mapping[str, Tensor]
    real: Tensor | None = None
    draw: Draw | None = None
    updates: dict[str, Tensor] | None = None


def dense(run: Pass, name: str, x: Tensor) -> Tensor:
    """Layer `name` on rows (m, r, inputs) -> (m, r, outputs)."""
    return affine(x, run.weights[f"{name}.weight"], run.weights[f"{name}.bias"])


def dropped(run: Pass, x: Tensor) -> Tensor:
    """In training, each number is kept with probability 1 - dropout and raised by as much (inverted dropout)."""
    share = run.net.dropout
    if run.draw is None or share == 0:
        return x
    return x * ((run.draw(tuple(x.shape)) >= share).to(x.dtype) / (1 - share))


def finished(run: Pass, number: int, x: Tensor) -> Tensor:
    """Output of hidden layer `number`, (m, rows, units) or (m, steps, rows, units), after its norm and activation."""
    x = _normed(run, number, x)
    if run.net.kind in ("mlp", "cnn"):
        x = _activated(run, number, x)
    return x


def _activated(run: Pass, number: int, x: Tensor) -> Tensor:
    name = run.net.activation
    if name == "identity":
        return x
    if name == "leaky_relu":
        return functional.leaky_relu(x, run.net.slope)
    if name == "prelu":
        slope = run.weights[f"prelu{number}"].view(-1, *[1] * (x.dim() - 1))
        return torch.where(x > 0, x, slope * x)
    found: Tensor = getattr(torch if name in ("sigmoid", "tanh") else functional, name)(x)
    return found


def _normed(run: Pass, number: int, x: Tensor) -> Tensor:
    net, weights, shape = run.net, run.weights, (x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
    if net.norm == "none":
        return x
    scale, shift = weights[f"norm{number}.weight"].view(shape), weights[f"norm{number}.bias"].view(shape)
    if net.norm == "layer":
        return functional.layer_norm(x, x.shape[-1:], eps=EPSILON) * scale + shift
    mean, variance = weights[f"norm{number}.mean"], weights[f"norm{number}.variance"]
    if run.draw is not None:
        mean, variance = _batch_moments(run, number, x)
    return (x - mean.view(shape)) * torch.rsqrt(variance.view(shape) + EPSILON) * scale + shift


def _batch_moments(run: Pass, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (m, units) over real rows and steps; the running ones move towards them."""
    real = x.new_ones(x.shape[0], x.shape[-2]) if run.real is None else run.real.to(x.dtype)
    share = real.view(real.shape[0], *[1] * (x.dim() - 3), real.shape[1], 1).expand(*x.shape[:-1], 1)
    share, flat = share.reshape(x.shape[0], -1, 1), x.reshape(x.shape[0], -1, x.shape[-1])
    count = share.sum(dim=1).clamp(min=1)
    mean = (flat * share).sum(dim=1) / count
    variance = ((flat - mean[:, None]).square() * share).sum(dim=1) / count
    if run.updates is not None:
        unbiased = variance * (count / (count - 1).clamp(min=1))
        for name, seen in (("mean", mean), ("variance", unbiased)):
            key = f"norm{number}.{name}"
            before = run.updates.get(key, run.weights[key])
            run.updates[key] = torch.lerp(before.detach(), seen.detach(), MOMENTUM)
    return mean, variance


def convolution(run: Pass, number: int, x: Tensor) -> Tensor:
    """Layer `conv{number}` along the rows of the window: (m, L, b, p) -> (m, L', b, filters)."""
    net = run.net
    weight = run.weights[f"conv{number}.weight"]
    m, kernel, width, filters = weight.shape
    before, after = _padding(net, x.shape[1])
    # Negative padding takes rows away: a stride longer than the kernel passes over the oldest.
    windows = functional.pad(x, (0, 0, 0, 0, before, after)).unfold(1, kernel, net.stride)
    steps, b = windows.shape[1:3]
    flat = windows.permute(0, 1, 2, 4, 3).reshape(m, steps * b, kernel * width)
    out = affine(flat, weight.reshape(m, kernel * width, filters), run.weights[f"conv{number}.bias"])
    return out.view(m, steps, b, filters)


def _padding(net: Architecture, rows: int) -> tuple[int, int]:
    """Rows of zeros before and after the window.

    "causal": in front only, and so that the last step ends at the newest row whatever the stride. "same": as many
    steps as rows / stride, the odd row behind, as torch has it.
    """
    if isinstance(net.padding, int):
        return net.padding, net.padding
    passed = (-(-rows // net.stride) - 1) * net.stride
    lacking = passed + net.kernel - rows
    if net.padding == "causal":
        return lacking, 0
    lacking = max(lacking, 0)
    return lacking // 2, lacking - lacking // 2


def pooled(run: Pass, x: Tensor) -> Tensor:
    """Pairs of steps, oldest first, told by their greatest value or their mean: (m, L, b, f) -> (m, L // 2, b, f)."""
    if run.net.pool == "none":
        return x
    pairs = x.shape[1] // 2
    one, other = x[:, : 2 * pairs : 2], x[:, 1 : 2 * pairs : 2]
    return torch.maximum(one, other) if run.net.pool == "max" else (one + other) / 2


def uncrossed(raw: Tensor) -> Tensor:
    """Quantiles (..., q) in order: the middle one is free, the others lie steps of softplus away from it."""
    middle = raw.shape[-1] // 2
    if raw.shape[-1] == 1:
        return raw
    steps = functional.softplus(raw)
    above = steps[..., middle + 1 :].cumsum(dim=-1)
    below = steps[..., :middle].flip(-1).cumsum(dim=-1).flip(-1)
    center = raw[..., middle : middle + 1]
    return torch.cat([center - below, center, center + above], dim=-1)
