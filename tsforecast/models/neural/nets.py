"""Forward passes of m nets of one architecture at once: windows of rows in, the next steps out.

Weights come as views of the flat vectors of the nets, by name and each (m, *shape); what each row of the batch is
worth is the caller's. No number of a net depends on the other nets of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd

import numpy as np
import torch
from torch import Tensor

from tsforecast.models.neural import recurrent
from tsforecast.models.neural.architecture import Architecture, weights
from tsforecast.models.neural.blocks import Draw, Pass, convolution, dense, dropped, finished, pooled, uncrossed
from tsforecast.models.neural.products import STRIDE, affine, padded

__all__ = ["encode", "forward", "initial", "rows", "size", "split"]

MULTIPLE = STRIDE // 2
"""Rows of a batch are at least padded to a multiple of this; see `rows`."""


def rows(net: Architecture) -> int:
    """Rows of a batch are padded to a multiple of this, 32 for odd widths: else bits depend on a net's company."""
    widths = (*net.hidden, net.outputs if net.quantiles > 1 else STRIDE)
    return max(STRIDE // gcd(STRIDE, *widths), MULTIPLE)


def size(net: Architecture) -> int:
    """Numbers P of a net's flat vector: its weights, then zeros up to whole strides."""
    return padded(sum(weight.size for weight in weights(net)))


def initial(net: Architecture, generator: np.random.Generator) -> np.ndarray:
    """A net before training, (P,) float32: each array uniform within its bound, in the order of `weights`."""
    flat = np.zeros(size(net), np.float32)
    at = 0
    for weight in weights(net):
        flat[at : at + weight.size] = (
            generator.uniform(-weight.bound, weight.bound, weight.size) if weight.bound else weight.fill
        )
        at += weight.size
    return flat


def split(net: Architecture, flat: Tensor) -> dict[str, Tensor]:
    """Views by name, each (m, *shape), of flat vectors (m, P)."""
    named = weights(net)
    sizes = [weight.size for weight in named]
    parts = torch.split(flat, [*sizes, flat.shape[1] - sum(sizes)], dim=1)
    return {w.name: part.view(-1, *w.shape) for w, part in zip(named, parts, strict=False)}


def forward(
    net: Architecture,
    weights: Mapping[str, Tensor],
    x: Tensor,
    *,
    static: Tensor | None = None,
    ahead: Tensor | None = None,
    known: Tensor | None = None,
    real: Tensor | None = None,
    draw: Draw | None = None,
    updates: dict[str, Tensor] | None = None,
    fused: bool = False,
) -> Tensor:
    """Outputs (m, b, steps, q) for windows x (m, L, b, p), oldest row first; quantiles rise along the last axis.

    static (m, b, s) goes with every row, ahead (m, b, A) to the last layer (to the first one of a perceptron), known
    (m, h - 1, b, k) to the decoder of a `sequence` net, whose outputs are (m, b, L - 1 + h, q): what follows each row
    of the window, then the steps after that. `draw` makes it a training pass: it gives the numbers that dropout goes
    by, norms go by the batch's `real` rows (m, b), and their new running values are put into `updates`. `fused` takes
    torch's recurrent kernels.
    """
    run = Pass(net, weights, real, draw, updates)
    x, level = _levelled(net, x)
    x, static = _embedded(run, x, static)
    m, b = x.shape[0], x.shape[2]
    if net.sequence:
        out = _sequence(run, x, static, known, fused)
    else:
        top = dropped(run, _top(run, x, static, ahead, fused))
        out = dense(run, "head", top if ahead is None or net.kind == "mlp" else torch.cat([top, ahead], dim=-1))
    return uncrossed(out.view(m, b, -1, net.quantiles)) + level


def encode(
    net: Architecture,
    weights: Mapping[str, Tensor],
    x: Tensor,
    *,
    static: Tensor | None = None,
    ahead: Tensor | None = None,
    fused: bool = False,
) -> Tensor:
    """What the last hidden layer makes of windows x (m, L, b, p): (m, b, u); what the last layer reads."""
    run = Pass(net, weights)
    x, static = _embedded(run, _levelled(net, x)[0], static)
    return _top(run, x, static, ahead, fused)


def _levelled(net: Architecture, x: Tensor) -> tuple[Tensor, Tensor | float]:
    """Windows with the target as a distance from its mean over the window, and that mean (m, b, 1, 1)."""
    if not net.centred:
        return x, 0.0
    target = x[..., 0]
    seen = torch.ones_like(target) if net.seen is None else x[..., net.seen]
    level = (target * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
    own = (target - level[:, None]) * seen
    return torch.cat([own[..., None], x[..., 1:]], dim=-1), level[..., None, None]


def _embedded(run: Pass, x: Tensor, static: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows and static columns with embedded labels in place of their indicator columns, last."""
    for own in (False, True):
        told = [(i, e) for i, e in enumerate(run.net.embeddings) if e.static is own]
        columns = static if own else x
        if not told or columns is None:
            continue
        kept = [k for k in range(columns.shape[-1]) if not any(e.first <= k < e.first + e.labels for _, e in told)]
        parts = [columns[..., kept]]
        for i, e in told:
            labels = columns[..., e.first : e.first + e.labels]
            table = run.weights[f"embed{i}"]
            told_by = affine(labels.flatten(1, -2), table, table.new_zeros(len(table), e.size))
            parts.append(told_by.view(*labels.shape[:-1], e.size))
        joined = torch.cat(parts, dim=-1)
        x, static = (x, joined) if own else (joined, static)
    return x, static


def _top(run: Pass, x: Tensor, static: Tensor | None, ahead: Tensor | None, fused: bool) -> Tensor:
    """Output (m, b, units) of the last hidden layer, before its dropout."""
    if run.net.kind == "mlp":
        return _perceptron(run, x, static, ahead)
    if static is not None:
        x = torch.cat([x, static[:, None].expand(-1, x.shape[1], -1, -1)], dim=-1)
    if run.net.kind == "cnn":
        return _convolved(run, x)
    _, states = _recurrent(run, x, fused)
    return finished(run, len(states) - 1, states[-1][0])


def _perceptron(run: Pass, x: Tensor, static: Tensor | None, ahead: Tensor | None) -> Tensor:
    rows = x.permute(0, 2, 1, 3).flatten(2)
    out = torch.cat([part for part in (rows, static, ahead) if part is not None], dim=-1)
    for i in range(len(run.net.hidden)):
        out = finished(run, i, dense(run, f"dense{i}", dropped(run, out) if i else out))
    return out


def _convolved(run: Pass, x: Tensor) -> Tensor:
    for i in range(len(run.net.hidden)):
        x = pooled(run, finished(run, i, convolution(run, i, dropped(run, x) if i else x)))
    return x.permute(0, 2, 1, 3).flatten(2)


def _recurrent(run: Pass, x: Tensor, fused: bool) -> tuple[Tensor, list[recurrent.State]]:
    """States (m, L, b, u) of the last layer, and what each layer carries on; the last layer is not finished."""
    states, last = [], len(run.net.hidden) - 1
    for i in range(last + 1):
        x, state = _layer(run, i, x, fused)
        states.append(state)
        if i < last:
            x = dropped(run, finished(run, i, x))
    return x, states


def _layer(run: Pass, number: int, x: Tensor, fused: bool) -> tuple[Tensor, recurrent.State]:
    name = f"{run.net.kind}{number}."
    if not run.net.bidirectional:
        return _cells(run, name, x, None, fused)
    ways = [_cell(run, name), _cell(run, f"{name}back.")]
    # Backwards is another net that reads the window from its end.
    both = recurrent.Cell(*(torch.cat(pair) for pair in zip(*ways, strict=True)))
    out, state = _apply(run, torch.cat([x, x.flip(1)]), both, None, fused)
    forth, back = out.chunk(2)
    return torch.cat([forth, back.flip(1)], dim=-1), tuple(torch.cat(s.chunk(2), dim=-1) for s in state)


def _cell(run: Pass, name: str) -> recurrent.Cell:
    return recurrent.Cell(*(run.weights[f"{name}{field}"] for field in recurrent.Cell._fields))


def _cells(
    run: Pass, name: str, x: Tensor, state: recurrent.State | None, fused: bool
) -> tuple[Tensor, recurrent.State]:
    return _apply(run, x, _cell(run, name), state, fused)


def _apply(
    run: Pass, x: Tensor, cell: recurrent.Cell, state: recurrent.State | None, fused: bool
) -> tuple[Tensor, recurrent.State]:
    if run.net.kind == "rnn":
        return recurrent.rnn(x, cell, state, relu=run.net.activation == "relu", fused=fused)
    layer: Callable[..., tuple[Tensor, recurrent.State]] = recurrent.lstm if run.net.kind == "lstm" else recurrent.gru
    return layer(x, cell, state, fused=fused)


def _sequence(run: Pass, x: Tensor, static: Tensor | None, known: Tensor | None, fused: bool) -> Tensor:
    """Raw outputs (m, b, L - 1 + h, q): after each row of the window, then the decoder's, which hears its own."""
    net, last = run.net, len(run.net.hidden) - 1
    m, rows, b = x.shape[:3]
    if static is not None:
        x = torch.cat([x, static[:, None].expand(-1, rows, -1, -1)], dim=-1)
    out, states = _recurrent(run, x, fused)
    top = dropped(run, finished(run, last, out))
    outputs = [dense(run, "head", top.transpose(1, 2).reshape(m, b * rows, -1)).view(m, b, rows, -1)]
    told = [part for part in (static,) if part is not None]
    for step in range(net.steps - 1):
        middle = outputs[-1][:, :, -1, net.quantiles // 2, None]
        row = torch.cat([middle, *([] if known is None else [known[:, step]]), *told], dim=-1)[:, None]
        for i in range(last + 1):
            row, states[i] = _cells(run, f"decoder{i}.", row, states[i], fused)
            row = dropped(run, finished(run, i, row))
        outputs.append(dense(run, "head", row[:, 0])[:, :, None])
    return torch.cat(outputs, dim=2)
