"""Blocks of series worked on side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tsforecast.panel import Int

__all__ = ["BLOCK", "cores", "in_blocks", "side_by_side"]

BLOCK = 5000
"""Series worked on between two allocations: bounds memory. Blocks are independent, so neither their size nor the
number of threads changes a bit of a result."""
SMALL = 16
"""Fewer series than this are not worth a thread."""


def in_blocks(n: int, work: Callable[[Int], None]) -> None:
    """Run `work` on the numbers of consecutive series, on as many threads as TSFORECAST_THREADS or the cores allow."""
    workers = max(1, min(cores(), n // SMALL))
    # As many blocks for every worker, or one would wait for the other.
    # Within a block all systems are small.
    blocks = np.array_split(np.arange(n), workers * -(-n // (workers * BLOCK)) or 1)
    side_by_side(len(blocks), lambda i: work(blocks[i]), workers)


def side_by_side(tasks: int, work: Callable[[int], None], workers: int | None = None) -> None:
    """Run `work` on 0 ... tasks - 1, on `workers` threads (all that may be used, if not said).

    Array operations let other threads run, so two cores are worth having; the first exception is raised.
    """
    threads = min(workers or cores(), tasks)
    if threads <= 1:
        for task in range(tasks):
            work(task)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, task) for task in range(tasks)]:
            done.result()


def cores() -> int:
    """Threads that may be used: TSFORECAST_THREADS, or what the machine gives this process."""
    given = os.environ.get("TSFORECAST_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):  # Linux alone tells which cores are ours
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
