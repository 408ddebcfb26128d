"""Blocks of series worked on side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tsforecast.panel import Int

__all__ = ["BLOCK", "in_blocks"]

BLOCK = 1024
"""Series worked on between two allocations: bounds memory. Blocks are independent, so neither their size nor the
number of threads changes a bit of a result."""


def in_blocks(n: int, work: Callable[[Int], None]) -> None:
    """Run `work` on the numbers of consecutive series, on as many threads as TSFORECAST_THREADS or the machine allows.

    Array operations let other threads run, so two cores are worth having; the first exception is raised.
    """
    blocks = [np.arange(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK)]
    workers = min(_threads(), len(blocks))
    if workers <= 1:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, block) for block in blocks]:
            done.result()


def _threads() -> int:
    given = os.environ.get("TSFORECAST_THREADS", "")
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))
