"""Exit codes of every command, in one table."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """What a command says to the shell; schedulers act on these numbers."""

    OK = 0
    BUG = 1  # ours: please report it
    USAGE = 2  # the command line was wrong
    FINDINGS = 10  # done, with findings in the data or some series not ok
    NOT_PUBLISHED = 20  # more than max_failed_share of the series failed: nothing was written over
    CONTRACT = 30  # the job file or the data cannot be used; nothing ran
    INFRASTRUCTURE = 40  # disk or network: safe to start again
    HELD = 75  # another run holds the output
    INTERRUPTED = 130  # Ctrl-C
    TERMINATED = 143  # SIGTERM
