"""What a fitted network says of itself: learning curves, layers, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from math import ceil
from typing import Any

import numpy as np

from tsforecast import frames
from tsforecast.errors import require
from tsforecast.models.neural.architecture import Architecture, layers, n_parameters
from tsforecast.models.neural.options import rate
from tsforecast.models.neural.settings import Settings
from tsforecast.panel import Panel
from tsforecast.rolling import State

__all__ = ["bar", "digest", "history", "net"]


def digest(other: Any) -> str:
    """A short mark of the weights of a fitted network; nothing for one that is not fitted."""
    state = getattr(other, "state_", None)
    if state is None or "weights" not in state["fit"]:
        return ""
    mark = blake2b(digest_size=4)
    for array in state["fit"]["weights"].values():
        mark.update(array.tobytes())
    return f"<from {mark.hexdigest()}>"


def history(made: Settings, state: State, names: Any, panel: Panel) -> Any:
    """Table of learning curves: model, seed, epoch (from 1), loss, validation_loss, learning_rate, best."""
    curves = state["history"]  # (g, S, E, 2)
    epochs = curves.shape[2]
    failed = np.arange(1, epochs + 1) == state["failed"][..., None]
    g, s, epoch = np.nonzero(np.isfinite(curves).any(axis=-1) | failed)
    rates = np.array([made.options.learning_rate * rate(made.options.schedule, e, epochs) for e in range(epochs)])
    columns = {
        "model": np.asarray(names, dtype=object)[g],
        "seed": np.asarray(made.seeds, dtype=np.int64)[s],
        "epoch": epoch + 1,
        "loss": curves[g, s, epoch, 0],
        "validation_loss": curves[g, s, epoch, 1],
        "learning_rate": rates[epoch],
        "best": state["best"][g, s] == epoch + 1,
    }
    return frames.native(columns, panel)


def net(shape: Architecture, made: Settings, state: State) -> dict[str, Any]:
    """Layers with output shapes and parameters, both counts of biases, windows and steps an epoch."""
    windows, batch = state["windows"], made.options.batch_size
    seen = np.minimum(windows, made.options.sample or np.inf)
    most = int(seen.max(initial=0))
    counts = n_parameters(shape), n_parameters(shape, one_bias=True)
    told = {
        "layers": [
            {
                "layer": layer.name,
                "what": layer.what,
                "output": layer.output,
                "parameters": sum(w.size for w in layer.weights if w.learned),
            }
            for layer in layers(shape)
        ],
        "parameters": counts[0],
        "window": shape.window,
        "strategy": made.strategy,
        "training_windows": int(windows.sum()),
        "steps_an_epoch": ceil(most / min(batch or most, most)) if most else 0,
        "nets": int(np.prod(state["best"].shape)),
    }
    if counts[0] != counts[1]:
        told["parameters_with_one_bias"] = counts[1]
        told["note"] = (
            f"torch gives a recurrent layer two bias vectors, which add up: {counts[0]} numbers; books count one: "
            f"{counts[1]}"
        )
    return told


@contextmanager
def bar(shown: bool, name: str, epochs: int) -> Iterator[Callable[[int, int, float], None]]:
    """A function that hears of each epoch, and a progress bar on stderr if it is to be `shown`."""
    if not shown:
        yield lambda nets, epoch, loss: None
        return
    tqdm = require("tqdm", "torch").tqdm
    with tqdm(total=epochs, desc=name, unit="epoch") as line:

        def tell(nets: int, epoch: int, loss: float) -> None:
            line.n = epoch
            line.set_postfix(nets=nets, loss=f"{loss:.4g}")

        yield tell
