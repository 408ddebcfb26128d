"""The one table of finding codes with what may be done about each, and the book in which findings are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Final

import numpy as np

from tsforecast.errors import SHOWN, ConfigError, DataError, Finding
from tsforecast.frames import Table
from tsforecast.panel import Bool, Int

__all__ = ["POLICIES", "Book", "resolved", "worst_first"]

_STOP = ("raise", "quarantine")
_FILL = ("raise", "quarantine", "interpolate", "seasonal", "ffill", "keep")

POLICIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "TSF-TZ": ("keep", ("keep",)),
    "TSF-Y-TYPE": ("raise", ("raise",)),
    "TSF-ID-NULL": ("raise", _STOP),
    "TSF-ID-MIXED": ("raise", _STOP),
    "TSF-ID-TWIN": ("raise", _STOP),
    "TSF-TS-NULL": ("raise", _STOP),
    "TSF-FREQ": ("raise", _STOP),
    "TSF-FREQ-PHASE": ("raise", _STOP),
    "TSF-TS-DUP": ("raise", (*_STOP, "last", "sum", "mean")),
    "TSF-TS-GAP": ("fill", ("fill", *_STOP)),
    "TSF-Y-NONFINITE": ("raise", _STOP),
    "TSF-Y-RANGE": ("raise", _STOP),
    "TSF-Y-TAIL": ("keep", _FILL),
    "TSF-Y-MISSING": ("keep", _FILL),
    "TSF-LEN": ("raise", ("raise", "fallback")),
    "TSF-OUT-RANGE": ("fallback", ("fallback", "raise")),
    "TSF-Y-OUTLIER": ("ignore", ("ignore", "clip", "missing", "quarantine")),
    "TSF-CONST": ("ignore", ("ignore",)),
    "TSF-ORDER": ("sorted", ("sorted",)),
}
"""Code -> (default, all that it may be), worst first."""

_RANK = {code: rank for rank, code in enumerate(POLICIES)}


def resolved(policies: Mapping[str, str] | None) -> dict[str, str]:
    """The policy of every code; ConfigError names an unknown code or policy and its nearest neighbour."""
    chosen = {code: default for code, (default, _) in POLICIES.items()}
    for code, policy in (policies or {}).items():
        if code not in POLICIES:
            raise ConfigError(f"policies: no finding has the code {code!r}{_near(code, list(POLICIES))}")
        allowed = POLICIES[code][1]
        if policy not in allowed:
            raise ConfigError(f"policies: {code} cannot be {policy!r}{_near(policy, allowed)}")
        chosen[code] = policy
    return chosen


def _near(word: object, choices: Sequence[str]) -> str:
    near = get_close_matches(str(word), choices, n=1, cutoff=0.4)
    return (f"; did you mean {near[0]!r}?" if near else "") + f" (known: {', '.join(choices)})"


class Book:
    """Findings of one reading of one table, each with its policy; knows which series and rows to leave out."""

    def __init__(self, table: Table, policies: Mapping[str, str], *, thorough: bool) -> None:
        self.table = table
        self.policies = policies
        self.thorough = thorough
        self.findings: list[Finding] = []
        self.quarantined: Bool = np.zeros(len(table.ids), dtype=bool)
        self.unusable: Bool = np.zeros(len(table), dtype=bool)
        """Rows without a series or a place on the grid; later steps look at the others only."""

    @cached_property
    def _groups(self) -> tuple[Int, Int]:
        order = np.argsort(self.table.codes, kind="stable")
        return order, np.searchsorted(self.table.codes[order], np.arange(len(self.table.ids) + 1))

    def rows_of(self, series: int) -> Int:
        """Rows of the series at a position, in the order of the table; the table is grouped once."""
        order, ends = self._groups
        return order[ends[series] : ends[series + 1]]

    def wants(self, code: str) -> bool:
        """Whether findings of this code are looked for: all of them in a check, else those whose policy acts."""
        return self.thorough or self.policies[code] not in ("ignore", "keep", "fill")

    def series(self, code: int) -> object:
        """The id at a position; None where the table has no ids, or for a missing one."""
        return None if self.table.names.id is None or code < 0 else self.table.ids[code : code + 1].tolist()[0]

    def add(self, code: str, message: str, series: int = -1, **facts: Any) -> None:
        """Write one finding: about the series at a position, or about the table as a whole."""
        facts.setdefault("policy", self.policies[code])
        self.findings.append(Finding(code, message, series=self.series(series), **facts))
        if series >= 0 and facts["policy"] == "quarantine":
            self.quarantined[series] = True

    def add_rows(self, code: str, message: str, rows: Int, *, found: Any = None, **facts: Any) -> None:
        """Write one finding a series about `rows`; `found` is one value, or an array beside `rows`."""
        owner = self.table.codes[rows]
        order = np.argsort(owner, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
            first = rows[part[:SHOWN]]
            self.add(
                code,
                message,
                int(owner[part[0]]),
                when=self.table.times.shown(first),
                rows=tuple(self.table.origin(first).tolist()),
                count=len(part),
                found=found[part[:1]].tolist()[0] if isinstance(found, np.ndarray) else found,
                **facts,
            )

    def raise_if_any(self) -> None:
        """DataError with all findings whose policy is "raise", worst first."""
        fatal = [finding for finding in self.findings if finding.policy == "raise"]
        if fatal:
            raise DataError("", worst_first(fatal))


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings by code in the order of POLICIES, then by how many rows they concern."""
    return sorted(findings, key=lambda f: (f.policy not in _STOP, _RANK[f.code], -f.count))
