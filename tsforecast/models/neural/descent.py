"""Steps of an optimiser of torch on the weights of many nets, which lie side by side in one tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsforecast.errors import ConfigError, listed
from tsforecast.models.neural.architecture import Architecture, weights
from tsforecast.models.neural.batches import Batch
from tsforecast.models.neural.options import OPTIMIZERS, Options

__all__ = ["Descent", "Draws", "augmented", "check_optimizer"]

FUSED = ("adagrad", "adam", "adamw", "sgd")
"""Optimisers of which torch has one kernel for the whole step, on the CPU too."""


class Draws:
    """Random numbers of many nets, each from a generator of its own: company changes no draw."""

    def __init__(self, generators: Sequence[np.random.Generator], device: torch.device) -> None:
        self.generators, self.device = generators, device

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """Numbers (m, ...) uniform in [0, 1)."""
        out = np.empty(tuple(shape), np.float32)
        for generator, own in zip(self.generators, out, strict=True):
            generator.random(out=own, dtype=np.float32)
        return torch.from_numpy(out).to(self.device)

    def apart(self) -> Draws:
        """Draws of their own for a part of a batch, whichever thread works on it."""
        keys = [int(generator.integers(2**63)) for generator in self.generators]
        return Draws([np.random.Generator(np.random.Philox(key=key)) for key in keys], self.device)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Numbers (m, ...) from the standard normal law."""
        out = np.empty(tuple(shape), np.float32)
        for generator, own in zip(self.generators, out, strict=True):
            generator.standard_normal(out=own, dtype=np.float32)
        return torch.from_numpy(out).to(self.device)


def augmented(batch: Batch, options: Options, flags: int, draws: Draws) -> Batch:
    """The batch with noise of `jitter` on its rows, and windows with their targets larger or smaller by `magnitude`.

    The last columns, `flags` in number, say what was seen and stay as they are.
    Um et al. (2017), Data augmentation of wearable sensor data, ICMI, 216-220.
    """
    if not options.jitter and not options.magnitude:
        return batch
    columns = batch.x.shape[-1] - flags
    x, target = batch.x[..., :columns], batch.target
    if options.jitter:
        x = x + options.jitter * draws.normal(x.shape)
    if options.magnitude:
        factor = 1 + options.magnitude * draws.normal(target.shape[:2])
        x, target = x * factor[:, None, :, None], target * factor[..., None]
    return batch._replace(x=torch.cat([x, batch.x[..., columns:]], dim=-1), target=target)


class Descent:
    """The flat weights (m, P) of m nets, and the optimiser that moves them."""

    def __init__(self, net: Architecture, options: Options, flat: Tensor) -> None:
        self.options = options
        self.flat = torch.nn.Parameter(flat)
        self.optimizer = _optimizer(options, self.flat)
        named = weights(net)
        ends = np.cumsum([w.size for w in named])
        self.place = {w.name: slice(int(end) - w.size, int(end)) for w, end in zip(named, ends, strict=True)}
        self.penalised = torch.zeros(flat.shape[1], device=flat.device)
        for w in named:
            self.penalised[self.place[w.name]] = 0.0 if w.is_bias else 1.0

    def set_rate(self, rate: float) -> None:
        """Learning rate of the steps to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, loss: Callable[[], Tensor]) -> Tensor:
        """One step: `loss` gives losses (m,) and leaves their gradient; the losses before the step are returned."""
        if self.options.is_elementwise:
            before = self._slope(loss)
            self.optimizer.step()
            return before
        heard: list[Tensor] = []

        def closure() -> float:
            heard.append(self._slope(loss))
            return float(heard[-1].sum()) + self._penalty()

        self.optimizer.step(closure)
        return heard[0]

    def _slope(self, loss: Callable[[], Tensor]) -> Tensor:
        self.flat.grad = None
        found = loss()
        self._penalise()
        return found

    def _penalty(self) -> float:
        """What both penalties add to the loss, which a line search must know."""
        learned, options = self.flat.detach() * self.penalised, self.options
        return float(options.l1 * learned.abs().sum() + options.l2 * learned.square().sum())

    def _penalise(self) -> None:
        """Add the slopes of both penalties, and clip each net's gradient."""
        grad, options = self.flat.grad, self.options
        assert grad is not None
        with torch.no_grad():
            if options.l1:
                grad.add_(options.l1 * self.flat.sign() * self.penalised)
            if options.l2:
                grad.add_(2 * options.l2 * self.flat * self.penalised)
            if options.clip is not None:
                size = grad.square().sum(dim=1, keepdim=True).sqrt()
                grad.mul_((options.clip / size.clamp(min=1e-12)).clamp(max=1.0))

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set arrays (m, ...) that are not learned by steps, by name."""
        with torch.no_grad():
            for name, value in values.items():
                self.flat[:, self.place[name]] = value.flatten(1)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the nets alone: their weights, and what the optimiser remembers of them."""
        count = len(self.flat)
        memory: dict[str, Any] = dict(self.optimizer.state[self.flat])
        rate = self.optimizer.param_groups[0]["lr"]
        self.flat = torch.nn.Parameter(self.flat.detach()[index])
        self.optimizer = _optimizer(self.options, self.flat)
        self.set_rate(rate)
        for name, value in memory.items():
            by_net = isinstance(value, Tensor) and value.dim() == 2 and len(value) == count
            memory[name] = value[index] if by_net else value
        self.optimizer.state[self.flat] = memory


def check_optimizer(options: Options) -> None:
    """ConfigError for options that the optimiser refuses, at once or at its first step."""
    weight = torch.nn.Parameter(torch.tensor([[1.0, -3.0]]))

    def square() -> float:
        weight.grad = weight.detach() ** 3
        return float(weight.detach().square().square().sum()) / 4

    square()
    try:
        _optimizer(options, weight).step(square)
    except (TypeError, ValueError, IndexError, RuntimeError) as cause:
        kind = getattr(torch.optim, OPTIMIZERS[options.optimizer])
        names = [name for name in signature(kind).parameters if name not in ("params", "lr")]
        raise ConfigError(
            f"optimizer_options={dict(options.optimizer_options)!r}: {cause}; {kind.__name__} takes {listed(names, 20)}"
        ) from cause


def _optimizer(options: Options, flat: torch.nn.Parameter) -> torch.optim.Optimizer:
    kind = getattr(torch.optim, OPTIMIZERS[options.optimizer])
    given = dict(options.optimizer_options)
    if options.optimizer in FUSED and not {"fused", "foreach", "differentiable"} & set(given):
        given["fused"] = True
    made: torch.optim.Optimizer = kind([flat], lr=options.learning_rate, **given)
    return made
