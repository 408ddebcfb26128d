"""Networks written a second time, as one would by hand: torch's own modules, windows made by loops, a plain loop over
batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tsforecast.windows import generators

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "hardtanh": nn.Hardtanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class Twin(nn.Module):
    """A net of torch's modules: windows (b, L, p) and known columns `ahead` (b, A) -> (b, out).

    The target is told and forecast as a distance from its mean over the window, if `centred`; over the rows of the
    window whose column `seen` is 1.
    """

    def __init__(
        self, kind: str, inputs: int, hidden: Sequence[int], outputs: int = 1, *, window: int = 1, told: int = 0,
        activation: str = "tanh", centred: bool = True, seen: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.names, self.centred, self.seen = kind, {}, centred, seen
        width = inputs * window + told if kind == "mlp" else inputs
        self.body = nn.ModuleList()
        for i, units in enumerate(hidden):
            if kind == "mlp":
                layer: nn.Module = nn.Linear(width, units)
                self.names |= {f"dense{i}.weight": layer.weight, f"dense{i}.bias": layer.bias}
            elif kind == "cnn":
                layer = nn.Conv1d(width, units, 3)
                self.names |= {f"conv{i}.weight": layer.weight, f"conv{i}.bias": layer.bias}
            else:
                layer = CELLS[kind](width, units, batch_first=True)
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    self.names[f"{kind}{i}.{part}"] = getattr(layer, f"{part}_l0")
            self.body.append(layer)
            width = units
        width = width * window if kind == "cnn" else width
        self.head = nn.Linear(width + (0 if kind == "mlp" else told), outputs)
        self.names |= {"head.weight": self.head.weight, "head.bias": self.head.bias}
        self.between = ACTIVATIONS[activation]()

    def forward(self, x: Tensor, ahead: Tensor | None = None) -> Tensor:
        level = torch.zeros(len(x))
        if self.centred:
            there = torch.ones_like(x[:, :, 0]) if self.seen is None else x[:, :, self.seen]
            level = torch.stack([row[mask == 1].mean() for row, mask in zip(x[:, :, 0], there, strict=True)])
            x = x.clone()
            x[:, :, 0] = torch.where(there == 1, x[:, :, 0] - level[:, None], 0.0)
        told = [] if ahead is None else [ahead]
        if self.kind == "mlp":
            out = torch.cat([x.flatten(1), *told], dim=1)
            for layer in self.body:
                out = self.between(layer(out))
            told = []
        else:
            for layer in self.body:
                x = self.between(layer(nn.functional.pad(x.mT, (2, 0)))).mT if self.kind == "cnn" else layer(x)[0]
            out = x.flatten(1) if self.kind == "cnn" else x[:, -1]
        made: Tensor = self.head(torch.cat([out, *told], dim=1)) + level[:, None]
        return made

    def take(self, named: Mapping[str, Any], group: int = 0, seed: int = 0) -> Twin:
        """The same net with the weights of a fitted model's state, each (g, S, ...)."""
        assert set(named) == set(self.names)
        with torch.no_grad():
            for name, parameter in self.names.items():
                parameter.copy_(torch.from_numpy(_turned(np.asarray(named[name])[group, seed])))
        return self

    def weights(self) -> dict[str, np.ndarray]:
        """Its weights in the shapes of a state, without (g, S)."""
        return {name: _turned(parameter.detach().numpy()) for name, parameter in self.names.items()}

    def penalty(self, l1: float, l2: float) -> Tensor:
        """What both penalties add to the loss: of weights, not of biases."""
        kept = [p for name, p in self.names.items() if "bias" not in name]
        return sum((l1 * p.abs().sum() + l2 * p.square().sum() for p in kept), torch.zeros(()))


def _turned(array: np.ndarray) -> np.ndarray:
    """Between (in, out) and torch's (out, in); a convolution's (kernel, in, out) and (out, in, kernel)."""
    return np.ascontiguousarray(array.T)


class Series(NamedTuple):
    """One series: y (T,), columns past (T, p) and known (T, k)."""

    y: np.ndarray
    past: np.ndarray
    known: np.ndarray


def series(y: Any, past: Any = None, known: Any = None) -> Series:
    """A series whose missing columns are none."""
    y = np.asarray(y, float)
    none = np.zeros((len(y), 0))
    return Series(y, none if past is None else np.asarray(past, float), none if known is None else np.asarray(known))


class Example(NamedTuple):
    """A window (L, c), the known columns told besides (A,), its target (s,), whether it validates, its series."""

    x: np.ndarray
    ahead: np.ndarray
    target: np.ndarray
    validates: bool
    owner: int


def standard(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column; zeros and ones, and what does not vary, stay as they are."""
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    flags = np.all(np.isin(values, (0.0, 1.0)) | np.isnan(values), axis=0)
    return np.where(flags, 0.0, mean), np.where(flags | (sd == 0), 1.0, sd)


def examples(
    many: Sequence[Series], window: int, steps: int = 1, *, validation: float | int = 0.2, apart: bool = False
) -> list[Example]:
    """Every window of every series with the steps after it, in the units of its training rows, one by one."""
    found = []
    for owner, one in enumerate(many):
        rows = len(one.y)
        held = validation if isinstance(validation, int) else int(rows * validation)
        if held < steps or rows - held < window + steps:
            held = 0
        train = slice(0, rows - held)
        y = (one.y - one.y[train].mean()) / (one.y[train].std() or 1.0)
        past, known = ((part - standard(part[train])[0]) / standard(part[train])[1] for part in (one.past, one.known))
        for first in range(rows - window - steps + 1):
            end = first + window
            inside = range(first, end)
            told = [[] if apart else list(known[t + 1]) for t in inside]
            x = np.array([[y[t], *past[t], *more] for t, more in zip(inside, told, strict=True)])
            ahead = known[end : end + steps] if apart else known[end + 1 : end + steps]
            if end + steps <= rows - held:
                found.append(Example(x, ahead.ravel(), y[end : end + steps], False, owner))
            elif end >= rows - held:
                found.append(Example(x, ahead.ravel(), y[end : end + steps], True, owner))
    return found


def batch(some: Sequence[Example]) -> tuple[Tensor, Tensor | None, Tensor]:
    """Windows (b, L, c), known columns (b, A) or None, targets (b, s)."""
    x, ahead, target = (torch.tensor(np.array([e[k] for e in some]), dtype=torch.float32) for k in range(3))
    return x, ahead if ahead.shape[1] else None, target


class Course(NamedTuple):
    """What a loop over batches went through: losses of training and validation (E, 2), weights after each epoch."""

    losses: np.ndarray
    weights: list[dict[str, np.ndarray]]


def train(
    twin: Twin,
    some: Sequence[Example],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int | None = None,
    draws: np.random.Generator,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss,
    rates: Sequence[float] | None = None,
    penalty: tuple[float, float] = (0.0, 0.0),
    clip: float | None = None,
) -> Course:
    """A plain training loop: a new order of the training windows each epoch, batches one after the other."""
    trains, judges = [e for e in some if not e.validates], [e for e in some if e.validates]
    curve, kept = [], []
    for epoch in range(epochs):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[epoch]
        order = draws.permutation(len(trains))
        size = batch_size or len(trains)
        total = 0.0
        for first in range(0, len(order), size):
            x, ahead, target = batch([trains[i] for i in order[first : first + size]])
            seen: list[float] = []

            def closure(x: Tensor = x, ahead: Any = ahead, target: Tensor = target, seen: list[float] = seen) -> Tensor:
                optimizer.zero_grad()
                value = loss(twin(x, ahead), target)
                seen.append(float(value.detach()))
                whole = value + twin.penalty(*penalty)
                whole.backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(twin.parameters(), clip)
                return whole

            optimizer.step(closure)
            total += seen[0] * len(x)
        judged = np.nan
        if judges:
            x, ahead, target = batch(judges)
            with torch.no_grad():
                judged = float(loss(twin(x, ahead), target))
        curve.append((total / len(order), judged))
        kept.append(twin.weights())
    return Course(np.array(curve), kept)


def draws_after_start(model: Any, group: str = "global", seed: int = 0) -> np.random.Generator:
    """The generator of a net of a fitted model once its weights were drawn, so that orders of batches follow."""
    generator = next(iter(generators([group], seed)))
    generator.random(model.n_parameters_)
    return generator
