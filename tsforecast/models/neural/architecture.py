"""What a network is made of: its layers, the shapes of their weights, and how many parameters that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, prod, sqrt
from typing import NamedTuple

__all__ = [
    "GATES",
    "RECURRENT",
    "Architecture",
    "Embedding",
    "Layer",
    "Weight",
    "layers",
    "length",
    "n_parameters",
    "weights",
]

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Units that a hidden unit is made of; torch's order: reset, update, new (GRU); input, forget, cell, output (LSTM)."""
RECURRENT = tuple(GATES)


class Embedding(NamedTuple):
    """Indicator columns [first, first + labels) of the rows (or of the static columns) told by `size` numbers."""

    first: int
    labels: int
    size: int
    static: bool


class Weight(NamedTuple):
    """A named array of a net, drawn uniformly from [-bound, bound]; bound 0 is filled with `fill`."""

    name: str
    shape: tuple[int, ...]
    bound: float
    fill: float = 0.0
    learned: bool = True

    @property
    def size(self) -> int:
        """Numbers in it."""
        return prod(self.shape)

    @property
    def is_bias(self) -> bool:
        """Whether penalties and weight decay leave it alone: biases, norms."""
        return len(self.shape) < 2


class Layer(NamedTuple):
    """A layer as it is described: what it is, shape of one window's output, its weights."""

    name: str
    what: str
    output: tuple[int, ...]
    weights: tuple[Weight, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A net from windows of `window` rows with `inputs` columns to `steps` values, `quantiles` numbers each.

    `static`: columns that a series brings once. `ahead`: numbers that the last layer is told besides (known columns
    of steps that the window does not hold). `decoder`: columns of a decoder's rows; 0 without one. `centred`: the
    target, column 0, is told and forecast as a distance from its mean over the window, of rows whose `seen` is 1.
    """

    kind: str
    window: int
    inputs: int
    hidden: tuple[int, ...]
    static: int = 0
    ahead: int = 0
    steps: int = 1
    quantiles: int = 1
    activation: str = "tanh"
    slope: float = 0.01
    bidirectional: bool = False
    dropout: float = 0.0
    norm: str = "none"
    kernel: int = 3
    stride: int = 1
    padding: str | int = "causal"
    pool: str = "none"
    decoder: int = 0
    sequence: bool = False
    centred: bool = False
    seen: int | None = None
    embeddings: tuple[Embedding, ...] = ()

    @property
    def directions(self) -> int:
        """Ways in which a recurrent layer reads the window."""
        return 2 if self.bidirectional else 1

    @property
    def columns(self) -> int:
        """Columns that the first layer sees of a row: inputs after embedding, and static ones."""
        saved = sum(e.labels - e.size for e in self.embeddings)
        return self.inputs + self.static - saved

    @property
    def outputs(self) -> int:
        """Numbers that the last layer gives: steps (one a step with a decoder) times quantiles."""
        return (1 if self.sequence else self.steps) * self.quantiles


def layers(net: Architecture) -> list[Layer]:
    """The layers of a net, first to last."""
    found = [
        Layer(f"embed{i}", f"embedding of {e.labels} labels", (e.size,), (_drawn(f"embed{i}", e.labels, e.size, 1.0),))
        for i, e in enumerate(net.embeddings)
    ]
    found += {"mlp": _dense_layers, "cnn": _convolutions}.get(net.kind, _recurrent_layers)(net)
    last = next(layer for layer in reversed(found) if layer.name != "decoder").output
    width = last[-1] if net.kind in RECURRENT or net.kind == "mlp" else prod(last)
    # A perceptron is told the columns of coming steps with the window; others at the end.
    found.append(_dense("head", width + (0 if net.kind == "mlp" else net.ahead), net.outputs))
    return found


@cache
def weights(net: Architecture) -> tuple[Weight, ...]:
    """The arrays of a net in the order in which they lie side by side; slopes of prelu and norms among them."""
    return tuple(weight for layer in layers(net) for weight in layer.weights)


def n_parameters(net: Architecture, one_bias: bool = False) -> int:
    """Numbers that are learned; `one_bias` counts one bias vector a recurrent layer (as books do) instead of two."""
    return sum(w.size for w in weights(net) if w.learned and not (one_bias and w.name.endswith("bias_hh")))


def length(net: Architecture, rows: int) -> int:
    """Rows after a convolution and its pooling: floor((n + 2 p - k) / s) + 1, then halves."""
    if net.padding == "same":
        rows = ceil(rows / net.stride)
    elif net.padding == "causal":
        rows = (rows - 1) // net.stride + 1
    else:
        rows = (rows + 2 * int(net.padding) - net.kernel) // net.stride + 1
    return rows if net.pool == "none" else rows // 2


def _drawn(name: str, rows: int, columns: int, bound: float) -> Weight:
    return Weight(name, (rows, columns), bound)


def _dense(name: str, inputs: int, outputs: int) -> Layer:
    bound = 1 / sqrt(max(inputs, 1))
    kept = (Weight(f"{name}.weight", (inputs, outputs), bound), Weight(f"{name}.bias", (outputs,), bound))
    return Layer(name, f"dense {inputs} -> {outputs}", (outputs,), kept)


def _extras(net: Architecture, number: int, width: int) -> tuple[Weight, ...]:
    """Weights of the norm and of prelu that follow layer `number`."""
    kept: tuple[Weight, ...] = ()
    if net.norm != "none":
        kept += (Weight(f"norm{number}.weight", (width,), 0.0, 1.0), Weight(f"norm{number}.bias", (width,), 0.0))
    if net.norm == "batch":
        kept += (
            Weight(f"norm{number}.mean", (width,), 0.0, learned=False),
            Weight(f"norm{number}.variance", (width,), 0.0, 1.0, learned=False),
        )
    if net.activation == "prelu" and net.kind not in RECURRENT:
        kept += (Weight(f"prelu{number}", (1,), 0.0, 0.25),)
    return kept


def _dense_layers(net: Architecture) -> list[Layer]:
    # The columns of all rows side by side; static ones once.
    static = net.static - sum(e.labels - e.size for e in net.embeddings if e.static)
    width = net.window * (net.columns - static) + static + net.ahead
    found = []
    for i, units in enumerate(net.hidden):
        layer = _dense(f"dense{i}", width, units)
        found.append(layer._replace(weights=layer.weights + _extras(net, i, units)))
        width = units
    return found


def _recurrent_layers(net: Architecture) -> list[Layer]:
    found, width = [], net.columns
    for i, units in enumerate(net.hidden):
        kept: tuple[Weight, ...] = ()
        for way in ("", "back.")[: net.directions]:
            kept += _cell(f"{net.kind}{i}.{way}", GATES[net.kind], width, units)
        width = units * net.directions
        what = f"{net.kind} {units} units" + (", both ways" if net.bidirectional else "")
        found.append(Layer(f"{net.kind}{i}", what, (net.window, width), kept + _extras(net, i, width)))
    if net.decoder:
        width, kept = net.decoder, ()
        for i, units in enumerate(net.hidden):
            kept += _cell(f"decoder{i}.", GATES[net.kind], width, units)
            width = units
        found.append(Layer("decoder", f"{net.kind} for steps 2 to {net.steps}", (net.steps - 1, width), kept))
    return found


def _cell(name: str, gates: int, inputs: int, units: int) -> tuple[Weight, ...]:
    bound = 1 / sqrt(units)
    return (
        Weight(f"{name}weight_ih", (inputs, gates * units), bound),
        Weight(f"{name}weight_hh", (units, gates * units), bound),
        Weight(f"{name}bias_ih", (gates * units,), bound),
        Weight(f"{name}bias_hh", (gates * units,), bound),
    )


def _convolutions(net: Architecture) -> list[Layer]:
    found, width, rows = [], net.columns, net.window
    for i, filters in enumerate(net.hidden):
        bound = 1 / sqrt(width * net.kernel)
        kept = (
            Weight(f"conv{i}.weight", (net.kernel, width, filters), bound),
            Weight(f"conv{i}.bias", (filters,), bound),
        )
        rows = length(net, rows)
        what = f"convolution of {net.kernel} rows, {filters} filters" + (f", {net.pool} pool" * (net.pool != "none"))
        found.append(Layer(f"conv{i}", what, (rows, filters), kept + _extras(net, i, filters)))
        width = filters
    return found
