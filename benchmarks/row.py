"""A line of the benchmark table, and how times are taken."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

__all__ = ["Row", "at_least", "at_most", "best", "table", "wanted"]


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured, what it must reach, what it reached, and the raw figures behind it."""

    what: str
    must: str
    measured: str
    holds: bool | None
    detail: str

    def line(self) -> str:
        """The row as one line of text."""
        verdict = "" if self.holds is None else "ok  " if self.holds else "MISS"
        return f"{verdict} {self.what}: {self.measured} (must reach {self.must}); {self.detail}"


def at_least(what: str, bar: float, ratio: float, detail: str) -> Row:
    """A row whose ratio must reach a bar."""
    return Row(what, f">= {bar:g} x", f"{ratio:.1f} x", ratio >= bar, detail)


def at_most(what: str, bar: float, ratio: float, detail: str) -> Row:
    """A row whose ratio must stay below a bar."""
    return Row(what, f"<= {bar:g} x", f"{ratio:.2f} x", ratio <= bar, detail)


def best(run: Callable[[], Any], repeat: int = 3) -> float:
    """Seconds of the fastest of `repeat` runs, the first one warm."""
    run()
    seconds = []
    for _ in range(repeat):
        gc.collect()
        began = perf_counter()
        run()
        seconds.append(perf_counter() - began)
    return min(seconds)


def wanted(name: str, words: Sequence[str]) -> bool:
    """Whether the caller asked for this row."""
    return not words or any(word in name for word in words)


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = ["| what | must reach | measured | figures |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {r.what} | {r.must} | {r.measured} | {r.detail} |" for r in rows)])
