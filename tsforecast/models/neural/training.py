"""Training: many nets of one architecture side by side, each with its own windows, draws, stop and best weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tsforecast.models.neural import devices, nets
from tsforecast.models.neural.architecture import Architecture
from tsforecast.models.neural.batches import Batch, Rows
from tsforecast.models.neural.data import Float32
from tsforecast.models.neural.descent import Descent, Draws, augmented
from tsforecast.models.neural.devices import Engine
from tsforecast.models.neural.losses import losses
from tsforecast.models.neural.options import Options, rate
from tsforecast.panel import Float, Int
from tsforecast.windows.blocks import side_by_side

__all__ = ["Task", "Trained", "train"]


class Task(NamedTuple):
    """One net to train: windows (w,) that it learns from and (v,) that judge it, its draws, weights to begin with."""

    trains: Int
    validates: Int
    generator: np.random.Generator
    start: Float32 | None


class Trained(NamedTuple):
    """What came of m nets: weights (m, P); losses (m, E, 2) of training and validation; the epoch (m,) whose weights
    were kept, from 1; the epoch (m,) whose loss was not finite, 0 where all were.
    """

    weights: Float32
    history: Float
    best: Int
    failed: Int


def train(
    net: Architecture,
    options: Options,
    rows: Rows,
    tasks: Sequence[Task],
    threads: int | None,
    tell: Callable[[int, int, float], None],
) -> Trained:
    """Train every task's net, a tile of them at a time; `tell(nets, epoch, loss)` hears of each epoch."""
    out = Trained(
        np.zeros((len(tasks), nets.size(net)), np.float32),
        np.full((len(tasks), options.epochs, 2), np.nan),
        np.zeros(len(tasks), np.int64),
        np.zeros(len(tasks), np.int64),
    )
    for index, engine in _tiles(net, options, tasks, rows.x.device, threads):
        part = _Tile(net, options, rows, [tasks[i] for i in index], engine).run(tell)
        for name, some in part._asdict().items():
            getattr(out, name)[index] = some
    return out


def padded(net: Architecture, count: int) -> int:
    """Rows of a batch, filled up so that no net's numbers lie in the odd tail of a tensor, which rounds differently."""
    rows = nets.rows(net)
    return -(-count // rows) * rows


def _tiles(
    net: Architecture, options: Options, tasks: Sequence[Task], device: torch.device, threads: int | None
) -> Iterator[tuple[Int, Engine]]:
    """Numbers of nets that train together, and how: alike in steps and padded batches, told by each net alone."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, task in enumerate(tasks):
        seen = min(len(task.trains), options.sample or len(task.trains))
        batch = min(options.batch_size or seen, seen)
        shape = (padded(net, batch), -(-seen // max(batch, 1)), padded(net, len(task.validates)))
        shapes.setdefault(shape, []).append(i)
    for (batch, *_), members in shapes.items():
        engine = devices.engine(net, batch, options, device, threads)
        for first in range(0, len(members), engine.tile):
            yield np.array(members[first : first + engine.tile], dtype=np.int64), engine


class _Tile:
    """Nets that train side by side, one flat row of weights each; those that stop leave when few are left."""

    def __init__(self, net: Architecture, options: Options, rows: Rows, tasks: Sequence[Task], engine: Engine) -> None:
        self.net, self.options, self.rows, self.tasks, self.engine = net, options, rows, tasks, engine
        self.device = rows.x.device
        begun = np.stack([nets.initial(net, t.generator) if t.start is None else t.start for t in tasks])
        self.descent = Descent(net, options, torch.from_numpy(begun).to(self.device))
        count = len(tasks)
        self.members = np.arange(count)  # numbers of the nets in the tile, and which of them still train
        self.runs = np.ones(count, dtype=bool)
        self.least = np.full(count, np.inf)
        self.kept = begun.copy()
        self.best, self.failed = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.history = np.full((count, options.epochs, 2), np.nan)

    def run(self, tell: Callable[[int, int, float], None]) -> Trained:
        """All epochs, until each net has stopped."""
        epochs = self.options.epochs
        if self.options.patience is not None:
            # Weights that were given are as good as those of any epoch that does not better them.
            given = np.array([task.start is not None for task in self.tasks])
            self.least[given] = self._validated()[given] if given.any() else np.inf
        for epoch in range(epochs):
            self.descent.set_rate(self.options.learning_rate * rate(self.options.schedule, epoch, epochs))
            trained = self._epoch()
            judged = self._validated()
            self._settle(epoch, trained, judged)
            tell(int(self.runs.sum()), epoch + 1, float(np.mean(judged if np.isfinite(judged).all() else trained)))
            if not self.runs.any():
                break
        return Trained(self.kept, self.history, self.best, self.failed)

    def _present(self) -> list[Task]:
        return [self.tasks[int(i)] for i in self.members]

    def _epoch(self) -> Float:
        """One pass over each net's windows in a new order; mean loss (m,) on the way."""
        order, real = self._order()
        total = torch.zeros(len(self.members), device=self.device)
        count = torch.zeros_like(total)
        draws = Draws([task.generator for task in self._present()], self.device)
        for step in range(order.shape[1]):
            loss, size = self._step(order[:, step], real[:, step], draws)
            total += loss * size
            count += size
        return np.asarray((total / count.clamp(min=1e-12)).cpu().numpy(), dtype=np.float64)

    def _order(self) -> tuple[Tensor, Tensor]:
        """Windows (m, steps, b) of each batch, filled up with repeats, and which of them are real."""
        most = self.options.sample
        orders = [t.trains[t.generator.permutation(len(t.trains))[:most]] for t in self._present()]
        longest = max(len(order) for order in orders)
        batch = min(self.options.batch_size or longest, longest)
        steps = -(-longest // batch)
        chosen = np.zeros((len(orders), steps, padded(self.net, batch)), dtype=np.int64)
        real = np.zeros(chosen.shape, dtype=np.float32)
        for row, mask, order in zip(chosen, real, orders, strict=True):
            row[...] = order[0]
            row[:, :batch] = np.resize(order, steps * batch).reshape(steps, batch)
            mask[:, :batch] = (np.arange(steps * batch) < len(order)).reshape(steps, batch)
        return torch.from_numpy(chosen).to(self.device), torch.from_numpy(real).to(self.device)

    def _step(self, index: Tensor, real: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; mean loss (m,) before it, and the weight (m,) that it stands for."""
        size = (self.rows.weights(index) * real[..., None]).sum(dim=(1, 2))
        share = 1 / size.clamp(min=1e-12)
        updates: dict[str, Tensor] = {}

        def loss() -> Tensor:
            parts = self._parts(index, real)
            if len(parts) == 1:
                alone = self._learned(*parts[0], share, draws, updates)
                torch.autograd.backward(alone.sum())
                return alone.detach()
            found = self._side_by_side(parts, share, draws)
            self.descent.flat.grad = torch.stack([grad for _, grad in found]).sum(dim=0)
            return torch.stack([loss for loss, _ in found]).sum(dim=0)

        first = self.descent.step(loss)
        self.descent.write(updates)
        return first, size

    def _parts(self, index: Tensor, real: Tensor) -> list[tuple[Tensor, Tensor]]:
        """A batch in parts that stay in cache; whole where its norm must see all of it."""
        rows = index.shape[1] if self.net.norm == "batch" else self.engine.chunk
        return list(zip(torch.split(index, rows, dim=1), torch.split(real, rows, dim=1), strict=True))

    def _learned(self, index: Tensor, real: Tensor, share: Tensor, draws: Draws, updates: dict[str, Tensor]) -> Tensor:
        """What a part of a batch adds to the mean loss (m,), as in training."""
        batch = augmented(self.rows.batch(index), self.options, len(self.rows.layout.flagged), draws)
        return self._loss(batch, real, draws, updates) * share

    def _side_by_side(
        self, parts: Sequence[tuple[Tensor, Tensor]], share: Tensor, draws: Draws
    ) -> list[tuple[Tensor, Tensor]]:
        """Loss (m,) and gradient (m, P) of each part; threads change no bit, since each part draws for itself."""
        own = [draws.apart() for _ in parts]
        found: list[Any] = [None] * len(parts)

        def work(i: int) -> None:
            torch.set_num_threads(1)
            loss = self._learned(*parts[i], share, own[i], {})
            found[i] = loss.detach(), torch.autograd.grad(loss.sum(), self.descent.flat)[0]

        side_by_side(len(parts), work, self.engine.workers)
        return found

    def _loss(self, batch: Batch, real: Tensor, draws: Draws | None, updates: dict[str, Tensor]) -> Tensor:
        """Summed loss (m,) of a batch; with `draws`, as in training."""
        predicted = nets.forward(
            self.net, nets.split(self.net, self.descent.flat), batch.x, static=batch.static, ahead=batch.ahead,
            known=batch.known, real=real, draw=draws, updates=updates, fused=self.engine.fused,
        )  # fmt: skip
        each = losses(self.options.loss, predicted, batch.target, batch.centre, batch.scale, self.options.quantiles)
        weight = batch.weight * real[..., None]
        # What is held out are the steps after a window; a loss at every step would judge by rows that were learned.
        judged = 0 if draws is not None else each.shape[2] - self.net.steps
        return (each * weight)[..., judged:].sum(dim=(1, 2))

    def _validated(self) -> Float:
        """Mean loss (m,) on each net's validation windows, in order; NaN where there are none."""
        lists = [task.validates for task in self._present()]
        if not any(len(one) for one in lists):
            return np.full(len(lists), np.nan)
        width = padded(self.net, max(len(one) for one in lists))
        index = np.zeros((len(lists), width), dtype=np.int64)
        real = np.zeros(index.shape, dtype=np.float32)
        for i, one in enumerate(lists):
            index[i, : len(one)], real[i, : len(one)] = one, 1.0
        parts = self._parts(torch.from_numpy(index).to(self.device), torch.from_numpy(real).to(self.device))
        found = np.zeros((len(parts), 2, len(lists)))

        def work(i: int) -> None:
            torch.set_num_threads(1)
            with torch.no_grad():
                batch = self.rows.batch(parts[i][0])
                weight = (batch.weight[..., -self.net.steps :] * parts[i][1][..., None]).sum(dim=(1, 2))
                found[i] = torch.stack([self._loss(batch, parts[i][1], None, {}), weight]).cpu().numpy()

        side_by_side(len(parts), work, self.engine.workers)
        total, size = found.sum(axis=0)
        return np.where(size > 0, total / np.maximum(size, 1e-12), np.nan)

    def _settle(self, epoch: int, trained: Float, judged: Float) -> None:
        """Keep the weights of better epochs; nets that failed, or no longer get better, stop."""
        members, patience = self.members, self.options.patience
        self.history[members[self.runs], epoch] = np.stack([trained, judged], axis=1)[self.runs]
        flat = self.descent.flat.detach()
        finite = np.isfinite(trained) & ~np.isinf(judged) & torch.isfinite(flat).all(dim=1).cpu().numpy()
        self.failed[members[self.runs & ~finite]] = epoch + 1
        self.runs &= finite
        better = self.runs & ((judged < self.least[members]) if patience is not None else True)
        self.kept[members[better]] = flat[torch.from_numpy(better).to(self.device)].cpu().numpy()
        self.least[members[better]], self.best[members[better]] = judged[better], epoch + 1
        if patience is not None:
            self.runs &= epoch + 1 - self.best[members] < patience
        # A net that has stopped goes on for nothing; moving the others together costs as much as some steps.
        if 2 * self.runs.sum() <= len(members) or not finite.all():
            index = np.flatnonzero(self.runs)
            self.members, self.runs = members[index], self.runs[index]
            self.descent.keep(torch.from_numpy(index).to(self.device))
