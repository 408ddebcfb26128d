"""Networks by other hands: the lab's Lightning loop, neuralforecast, a plain torch loop over series."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

__all__ = ["Run", "at_threads", "lightning", "loop", "neural", "quickest", "quiet"]


class Run(NamedTuple):
    """Seconds of the training alone, and what the trained net says (one number a row asked for)."""

    seconds: float
    point: np.ndarray


@contextmanager
def at_threads(count: int) -> Iterator[None]:
    """So many threads of torch within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def quickest(run: Callable[[], float]) -> tuple[int, float]:
    """The count of threads, 1 or 2, at which a short run takes the fewest seconds, and these; the first one is warm."""
    with at_threads(1):
        run()
    seconds = {}
    for count in (1, 2):
        with at_threads(count):
            seconds[count] = min(run(), run())
    count = min(seconds, key=seconds.__getitem__)
    return count, seconds[count]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the words of Lightning, which it says to every run."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class _LabNet(nn.Module):  # type: ignore[misc]
    """An Introduction to Statistical Learning with Applications in Python, lab 10.9.6."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 12, batch_first=True)
        self.dense = nn.Linear(12, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        states, _ = self.rnn(x)
        return torch.flatten(self.dense(self.dropout(states[:, -1])))


def lightning(x: np.ndarray, y: np.ndarray, ask: np.ndarray, epochs: int, seed: int = 0, logs: bool = True) -> Run:
    """The lab's loop on windows x (w, 5, 3) and y (w,): RMSprop, batches of 64 in a DataLoader.

    Training loss and R^2 are logged each epoch as there; kept back are what only slows it: checkpoints, a logger's
    files, a progress bar, worker processes, and its look at the test days after each epoch. Without `logs` the bare
    loop is left.
    """
    import lightning as pl
    from torch.utils.data import DataLoader, TensorDataset
    from torchmetrics import R2Score

    class Lab(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.loss, self.r2 = _LabNet(), nn.MSELoss(), R2Score()

        def configure_optimizers(self) -> Any:
            return torch.optim.RMSprop(self.model.parameters(), lr=0.001)

        def training_step(self, batch: Any, index: int) -> Any:
            rows, target = batch
            said = self.model(rows)
            loss = self.loss(said, target)
            if logs:
                self.log("train_loss", loss, on_epoch=True, on_step=False)
                self.r2(said, target)
                self.log("train_r2", self.r2, on_epoch=True, on_step=False)
            return loss

    torch.manual_seed(seed)
    batches = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=64, shuffle=True)
    module = Lab()
    with quiet():
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        began = perf_counter()
        trainer.fit(module, batches)
        seconds = perf_counter() - began
    module.model.eval()
    with torch.no_grad():
        return Run(seconds, module.model(torch.from_numpy(ask)).numpy())


def neural(train: pd.DataFrame, h: int, window: int, steps: int, batch: int) -> Run:
    """neuralforecast's LSTM(64), one layer: its defaults but for windows a step and number of steps.

    So its own: 32 series a step from which windows are drawn, MAE, Adam 1e-3, robust scaling of each window, a
    perceptron of 128 units on the last h hidden states.
    """
    with quiet():
        from neuralforecast import NeuralForecast
        from neuralforecast.models import LSTM

        net = LSTM(
            h=h, input_size=window, encoder_n_layers=1, encoder_hidden_size=64, max_steps=steps,
            windows_batch_size=batch, batch_size=32, random_seed=1, accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        model = NeuralForecast(models=[net], freq="h")
        began = perf_counter()
        model.fit(train)
        seconds = perf_counter() - began
        return Run(seconds, model.predict()["LSTM"].to_numpy())


class _Small(nn.Module):  # type: ignore[misc]
    def __init__(self, units: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, units, batch_first=True), nn.Linear(units, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1]).squeeze(-1)


def loop(x: np.ndarray, y: np.ndarray, units: int, batch: int, epochs: int) -> float:
    """Seconds of training an LSTM a series, one after the other, on windows x (n, w, L, 1) and y (n, w).

    As one would write it with care: torch's own LSTM and Adam, all windows in memory, batches by index from one
    permutation an epoch, no DataLoader.
    """
    rows, target = torch.from_numpy(x), torch.from_numpy(y)
    loss = nn.MSELoss()
    began = perf_counter()
    for own, truth in zip(rows, target, strict=True):
        net = _Small(units)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(epochs):
            for part in torch.randperm(len(own)).split(batch):
                optimizer.zero_grad()
                loss(net(own[part]), truth[part]).backward()
                optimizer.step()
    return perf_counter() - began
