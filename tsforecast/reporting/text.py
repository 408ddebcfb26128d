"""Text that came from data, made fit to be shown: no control, no bidi trick, no endless id."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tsforecast.panel import Float

__all__ = ["cells", "number", "numbers", "shown", "stamp"]

LONGEST = 60
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_JOINERS = "\u200d\ufe0f"  # they hold an emoji together


def shown(value: object, longest: int = LONGEST) -> str:
    """A value as one visible line: control and direction marks as U+202E, the middle cut where too long."""
    text = "".join(_visible(sign) for sign in str(value))
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def _visible(sign: str) -> str:
    if sign in _JOINERS or unicodedata.category(sign) not in _HIDDEN:
        return sign
    return f"U+{ord(sign):04X}"


def number(value: object, digits: int = 4) -> str:
    """A number with `digits` significant ones and thousands apart; '–' where there is none."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{int(value):,}"
    if not isinstance(value, float | np.floating):
        return str(value)
    if not np.isfinite(value):
        return "–"
    size = abs(float(value))
    if size != 0 and (size >= 1e9 or size < 1e-4):
        return f"{value:.{digits - 1}e}"
    places = digits if size == 0 else max(0, digits - 1 - int(np.floor(np.log10(size))))
    return f"{value:,.{min(places, 6)}f}"


def numbers(values: Sequence[float] | Float) -> list[str]:
    """Numbers of one column, axis or list, all with the same decimals: those that its largest one needs."""
    given = np.asarray(values, dtype=float)
    sizes = np.abs(given[np.isfinite(given)])
    largest = sizes.max(initial=0.0)
    if largest >= 1e9 or 0 < largest < 1e-4:
        return [number(value) for value in given]
    places = 3 if largest == 0 else int(np.clip(3 - np.floor(np.log10(largest)), 0, 6))
    wanted = next(p for p in range(places + 1) if p == places or np.allclose(sizes, np.round(sizes, p), rtol=1e-9))
    return [f"{value:,.{wanted}f}" if np.isfinite(value) else "–" for value in given]


def stamp(value: object) -> str:
    """A time without the part that says nothing: midnight, or seconds of zero."""
    plain = value.astype("datetime64[s]") if isinstance(value, np.datetime64) else value
    return str(plain).replace("T", " ").removesuffix(":00").removesuffix(" 00:00")


def cells(column: pd.Series) -> list[str]:
    """The values of a table's column as text; '–' where one is missing."""
    if column.dtype.kind == "f":
        return numbers(column.to_numpy(dtype=float))
    return ["–" if missing else _cell(value) for value, missing in zip(column, column.isna(), strict=True)]


def _cell(value: object) -> str:
    return stamp(value) if hasattr(value, "isoformat") else number(value)
