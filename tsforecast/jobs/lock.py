"""One run at a time over one output: a lock that the kernel lets go of when its holder dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tsforecast.errors import TsforecastError

__all__ = ["HeldError", "alone"]


class HeldError(TsforecastError):
    """Another run is writing the same output."""


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Hold `.NAME.lock` beside `output` for the length of the block; HeldError says who has it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system; files are replaced whole all the same
        yield
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            holder = os.read(handle, 200).decode(errors="replace") or "another run"
            os.close(handle)
            raise HeldError(f"{output} is being written by {holder}; it will be free when that run ends") from cause
        # Whoever held it before may have removed the file between our open and our lock.
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            break
        os.close(handle)
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
