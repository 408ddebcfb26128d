"""Progress: who hears how far a job is."""

from __future__ import annotations

from typing import Protocol

__all__ = ["QUIET", "Progress"]


class Progress(Protocol):
    """Who hears how far a job is."""

    def plan(self, steps: int) -> None:
        """So many steps are to come."""

    def start(self, step: str) -> None:
        """A step begins."""

    def done(self, detail: str) -> None:
        """The step that began last is done."""


class _Quiet:
    def plan(self, steps: int) -> None:
        """Say nothing."""

    def start(self, step: str) -> None:
        """Say nothing."""

    def done(self, detail: str) -> None:
        """Say nothing."""


QUIET: Progress = _Quiet()
"""Progress for nobody."""
