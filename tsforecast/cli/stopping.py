"""SIGTERM as an exception, so that a stopped run cleans up behind itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Terminated", "stoppable"]


class Terminated(BaseException):
    """SIGTERM came."""


def _stop(*_: object) -> None:
    raise Terminated


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block SIGTERM raises Terminated; the former handler is put back."""
    former = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
