"""Where a net is computed, on how many threads, and how many nets side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from tsforecast.errors import ConfigError
from tsforecast.models.neural.architecture import GATES, Architecture
from tsforecast.models.neural.options import Options
from tsforecast.models.neural.products import STRIDE
from tsforecast.windows.blocks import cores

__all__ = ["Engine", "device_of", "engine", "quietly"]

LARGE = 16_000_000
"""Numbers that a step makes of a batch from which an accelerator is worth its start."""
TILE = 1_000_000
"""Numbers that a step of all nets of a tile makes: more fall out of the cache."""
CHUNK = 2_000_000
"""Numbers that the rows of a batch which go through a large net together make, for the same reason."""
HEAP = 31 << 20


class Engine(NamedTuple):
    """How nets of one size are computed: so many side by side, by torch's own recurrent kernel or by the one that
    knows many nets, so many rows of a batch together, and so many such parts at a time, which changes no bit.
    """

    tile: int
    fused: bool
    chunk: int
    workers: int


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


def engine(net: Architecture, batch: int, options: Options, device: torch.device, threads: int | None) -> Engine:
    """The way to train nets of this size; company does not count.

    Small steps cost mostly their start, which nets of a tile share; large ones fill the machine by themselves, in parts
    that stay in cache.
    """
    tile = min(max(1, TILE // numbers(net, batch)), 256) if options.is_elementwise else 1
    if device.type != "cpu":
        return Engine(tile, net.kind in GATES and tile == 1, batch, 1)
    chunk = max(CHUNK // (tile * numbers(net, 1)) // STRIDE, 1) * STRIDE
    return Engine(tile, net.kind == "lstm" and tile == 1, chunk, threads or cores())


@contextmanager
def quietly() -> Iterator[None]:
    """Hold torch's own pool to one thread, and give back what it had: nets are worked on side by side instead."""
    # Taken and given back once, a block as large as glibc's bound for such makes it keep freed memory: a step then
    # finds its arrays where the last one left them, in half the time.
    torch.empty(HEAP, dtype=torch.uint8)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # TensorFloat-32 would cost three digits on some accelerators.
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
