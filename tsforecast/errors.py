"""Errors and warnings, each saying what is wrong, where, and what to do.

TsforecastError
├── DataError          (ValueError)     the table holds something no model may see; carries `findings`
│   └── FutureError                     the future table lacks, doubles or mistypes known values
├── ConfigError        (ValueError)     a parameter, an option or a combination of them cannot work
├── NotFittedError     (AttributeError) predict, save or update before fit
├── FitError           (RuntimeError)   a fit or a forecast failed for some series
├── ArtifactError      (ValueError)     a model file is damaged, foreign or too large
└── MissingDependency  (ImportError)    an optional package is absent; the message holds the pip line

TsforecastWarning (UserWarning)
├── DataWarning        data was repaired or looks doubtful
├── FitWarning         a fit was changed to stay usable
└── LeakageWarning     a score may be flattering: rows were used twice
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "Finding",
    "FitError",
    "FitWarning",
    "FutureError",
    "LeakageWarning",
    "MissingDependency",
    "NotFittedError",
    "TsforecastError",
    "TsforecastWarning",
    "listed",
    "require",
    "whole",
]

SHOWN = 5


def listed(items: Iterable[object], limit: int = SHOWN) -> str:
    """At most `limit` items joined by commas, then "... and 32 more"."""
    every = [str(item) for item in items]
    head = ", ".join(every[:limit])
    return head if len(every) <= limit else f"{head} ... and {len(every) - limit} more"


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trouble in one series (or in the whole table, `series=None`)."""

    code: str
    message: str
    series: object = None
    column: str | None = None
    when: tuple[object, ...] = ()
    rows: tuple[int, ...] = ()
    count: int = 1
    found: object = None
    expected: object = None
    fix: str = ""
    policy: str = "raise"

    def line(self) -> str:
        """The finding as one line of text: code, place, what, remedy."""
        where = [f"series {self.series!r}"] if self.series is not None else []
        if self.column is not None:
            where.append(f"column {self.column!r}")
        if self.when:
            extra = f" ... and {self.count - SHOWN} more" if self.count > SHOWN else ""
            where.append("at " + ", ".join(str(w) for w in self.when[:SHOWN]) + extra)
        elif self.rows:
            extra = f" ... and {self.count - SHOWN} more" if self.count > SHOWN else ""
            where.append("rows " + ", ".join(str(r) for r in self.rows[:SHOWN]) + extra)
        place = f" ({'; '.join(where)})" if where else ""
        facts = "" if self.expected is None else f": found {self.found}, expected {self.expected}"
        return f"{self.code}: {self.message}{place}{facts}{'. ' + self.fix if self.fix else ''}"


class TsforecastError(Exception):
    """Root of every error this package raises on purpose."""


class DataError(TsforecastError, ValueError):
    """The table holds something no model may see; `findings` lists all of it, worst first."""

    def __init__(self, message: str = "", findings: Sequence[Finding] = ()) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        lines = [message] if message else []
        lines += [finding.line() for finding in self.findings[:SHOWN]]
        if len(self.findings) > SHOWN:
            lines.append(f"... and {len(self.findings) - SHOWN} more findings (see .findings)")
        super().__init__("\n".join(lines))

    @property
    def code(self) -> str | None:
        """Code of the worst finding."""
        return self.findings[0].code if self.findings else None

    @property
    def series(self) -> object:
        """Id of the series of the worst finding."""
        return self.findings[0].series if self.findings else None

    @property
    def column(self) -> str | None:
        """Column of the worst finding."""
        return self.findings[0].column if self.findings else None

    @property
    def rows(self) -> tuple[int, ...]:
        """First rows of the worst finding, counted from 0 in the caller's table."""
        return self.findings[0].rows if self.findings else ()

    @property
    def fix(self) -> str:
        """Remedy for the worst finding."""
        return self.findings[0].fix if self.findings else ""


class FutureError(DataError):
    """The future table lacks, doubles or mistypes values that the model needs."""


class ConfigError(TsforecastError, ValueError):
    """A parameter or a combination of parameters cannot work."""


class NotFittedError(TsforecastError, AttributeError):
    """A method that needs a fitted model was called before `fit`."""


class FitError(TsforecastError, RuntimeError):
    """A fit or a forecast failed for the listed series."""

    def __init__(self, message: str, series: Sequence[object] = ()) -> None:
        self.series = tuple(series)
        super().__init__(message)


class ArtifactError(TsforecastError, ValueError):
    """A model file is damaged, foreign, or larger than the caps allow."""


class MissingDependency(TsforecastError, ImportError):
    """An optional package is not installed; the message holds the pip line."""


class TsforecastWarning(UserWarning):
    """Root of every warning this package gives on purpose."""


class DataWarning(TsforecastWarning):
    """Data was repaired or looks doubtful."""


class FitWarning(TsforecastWarning):
    """A fit was changed to stay usable."""


class LeakageWarning(TsforecastWarning):
    """A score may be flattering: the same rows were used to choose and to judge."""


def whole(name: str, value: object, least: int) -> int:
    """A whole number of at least `least`, or ConfigError naming the parameter."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def require(module: str, extra: str) -> Any:
    """Import `module` or raise MissingDependency with the pip line for `extra`."""
    try:
        return import_module(module)
    except ImportError as cause:
        raise MissingDependency(
            f"{module.partition('.')[0]} is needed here but not installed: pip install 'tsforecast[{extra}]'"
        ) from cause
