"""Where a net is computed, on how many threads, and how many nets side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tsforecast.errors import ConfigError
from tsforecast.models.neural.architecture import GATES, Architecture
from tsforecast.windows.blocks import cores

__all__ = ["device_of", "engine", "on_threads"]

LARGE = 2_000_000
"""Numbers that a step makes of a batch from which a second thread, or an accelerator, is worth its start."""
TILE = 1_000_000
"""Numbers that one step of all nets of a tile makes: more fall out of the cache."""


def device_of(word: str, net: Architecture, batch: int) -> torch.device:
    """The device of that name, "auto" an accelerator for steps that are worth it; ConfigError where there is none."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if word in there and not there[word]:
        raise ConfigError(
            f'device={word!r}: this machine has none that torch {torch.__version__} can use; device="auto"'
        )
    if word == "auto":
        found = [name for name, is_there in there.items() if is_there]
        word = found[0] if found and numbers(net, batch) >= LARGE else "cpu"
    return torch.device(word)


def numbers(net: Architecture, batch: int) -> int:
    """Numbers that hidden units make of a batch: what a step costs."""
    rows = 1 if net.kind == "mlp" else net.window
    return batch * rows * sum(net.hidden) * GATES.get(net.kind, 1) * net.directions


def engine(net: Architecture, batch: int, elementwise: bool) -> tuple[int, bool]:
    """How many nets train side by side, and whether by torch's own recurrent kernel; told by their size alone.

    Small steps cost mostly their start, which nets of one tile share; large ones fill the machine by themselves.
    """
    size = numbers(net, batch)
    tile = max(1, TILE // size) if elementwise else 1
    return min(tile, 256), net.kind == "lstm" and tile == 1


@contextmanager
def on_threads(count: int | None, net: Architecture, batch: int) -> Iterator[None]:
    """Hold torch to `count` threads, and give back what it had; None: one for small steps, else as many as torch may.

    What torch may is the least of its own setting (OMP_NUM_THREADS) and TSFORECAST_THREADS or the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or (min(before, cores()) if numbers(net, batch) >= LARGE else 1))
    try:
        # TensorFloat-32 would cost three digits on some accelerators.
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
