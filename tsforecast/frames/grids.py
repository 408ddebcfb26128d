"""Time grids: frequencies by name, by inference from stamps, and the stamps that come next."""

from __future__ import annotations

import re
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import ConfigError
from tsforecast.panel import Int

__all__ = [
    "DAY",
    "ahead",
    "anchor",
    "between",
    "fixed_step",
    "infer",
    "is_coarse",
    "named",
    "normalise",
    "revived",
    "weekly",
    "written",
]

DAY = 86_400_000_000
_UNITS = {"D": DAY, "h": 3_600_000_000, "min": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_OLD = {"M": "ME", "Q": "QE", "A": "YE", "Y": "YE", "AS": "YS", "BM": "BME", "BQ": "BQE", "BY": "BYE", "BA": "BYE"}
_OLD |= {"BAS": "BYS", "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "d": "D", "m": "min", "w": "W", "b": "B"}
_NAMES = ("s", "min", "h", "D", "B", "W", "MS", "ME", "BMS", "BME", "QS", "QE", "BQS", "BQE", "YS", "YE")
_ALIAS = re.compile(r"(\d*)\s*([A-Za-z]+)(?:-([A-Za-z0-9]+))?$")


def normalise(freq: Any) -> Any:
    """A frequency in its one spelling: alias str, int step, or a pandas offset that no alias describes.

    Older and newer pandas spellings ("H", "M", "60min", Timedelta) come out alike; "W" alone stays open, its
    weekday is read from the data.
    """
    if freq is None:
        return None
    if isinstance(freq, (int, np.integer)) and not isinstance(freq, bool):
        if freq < 1:
            raise ConfigError(f"freq={freq} is no step; an integer frequency is at least 1")
        return int(freq)
    if isinstance(freq, str):
        return _from_text(freq)
    if isinstance(freq, (timedelta, np.timedelta64)):
        return named(int(np.timedelta64(freq, "us").astype(np.int64)))
    if isinstance(freq, pd.offsets.BaseOffset):
        text = freq.freqstr
        try:
            plain = pd.tseries.frequencies.to_offset(text)
        except ValueError:
            return freq
        return _from_text(text) if plain == freq else freq
    raise ConfigError(f"freq={freq!r} is no frequency; give an alias such as 'D', an int step or a pandas offset")


def written(freq: Any) -> Any:
    """A frequency as plain values, for a file; `revived` reads them. ConfigError for offsets without such a form."""
    if isinstance(freq, (str, int)):
        return freq
    if type(freq) is not pd.offsets.CustomBusinessDay:
        raise ConfigError(f"freq={freq!r} cannot be kept in a file; a CustomBusinessDay or an alias can")
    days = [str(day) for day in np.asarray(freq.holidays, dtype="datetime64[D]")]
    return {"n": freq.n, "weekmask": freq.weekmask, "holidays": days}


def revived(value: Any) -> Any:
    """The frequency that `written` wrote."""
    if not isinstance(value, dict):
        return value
    return pd.offsets.CustomBusinessDay(value["n"], weekmask=value["weekmask"], holidays=value["holidays"])


def _from_text(text: str) -> str:
    match = _ALIAS.match(text.strip())
    if match is None:
        raise _unknown(text)
    digits, unit, anchor = match.groups()
    unit = _OLD.get(unit, unit)
    if unit in _UNITS:
        alias = named(int(digits or 1) * _UNITS[unit])
        return "W" if alias == "7D" else alias
    if unit == "W" and anchor is None:
        return f"{digits}W"
    try:
        offset = pd.tseries.frequencies.to_offset(f"{digits}{unit}" + (f"-{anchor.upper()}" if anchor else ""))
    except ValueError:
        raise _unknown(text) from None
    return str(offset.freqstr)


def _unknown(text: str) -> ConfigError:
    near = get_close_matches(text, _NAMES, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"freq={text!r} is no frequency alias{hint} (known: {', '.join(_NAMES)})")


def named(step: int) -> str:
    """The alias of a step in microseconds."""
    if step < 1:
        raise ConfigError("a frequency must be a positive step")
    unit = next(name for name, size in _UNITS.items() if step % size == 0)
    count = step // _UNITS[unit]
    return unit if count == 1 else f"{count}{unit}"


def fixed_step(freq: Any) -> int | None:
    """The step in microseconds (or the integer step) of a frequency of constant width, None for calendar ones."""
    if isinstance(freq, int):
        return freq
    if not isinstance(freq, str):
        return None
    match = _ALIAS.match(freq)
    assert match is not None
    count, unit = int(match[1] or 1), match[2]
    if unit == "W":
        return 7 * DAY * count
    return count * _UNITS[unit] if unit in _UNITS else None


def is_coarse(freq: Any) -> bool:
    """Whether a frequency counts local calendar days (daily and coarser) rather than steps of UTC."""
    step = fixed_step(freq)
    return not isinstance(freq, int) and (step is None or step % DAY == 0)


def anchor(freq: Any) -> int | None:
    """The remainder, modulo its step, of midnights on the grid of a weekly alias; None where the data decide."""
    if isinstance(freq, str) and freq.startswith("W-"):
        return (_WEEKDAYS.index(freq[2:]) - 3) % 7 * DAY  # 1970-01-01 was a Thursday
    return None


def weekly(remainder: int) -> str:
    """The weekly alias of stamps with this remainder modulo 7 days."""
    return f"W-{_WEEKDAYS[(remainder // DAY + 3) % 7]}"


def between(freq: Any, first: Any, last: Any) -> NDArray[Any]:
    """All stamps of a frequency from `first` (on the grid) to `last`: datetime64[us], or int64 for integer steps."""
    step = fixed_step(freq)
    if isinstance(freq, int):
        return np.arange(first, last + 1, freq, dtype=np.int64)
    if step is not None:
        low, high = np.array([first, last], dtype="datetime64[us]").view(np.int64)
        return np.arange(low, high + 1, step, dtype=np.int64).view("datetime64[us]")
    made = pd.date_range(pd.Timestamp(first), pd.Timestamp(last), freq=freq, unit="us")
    return made.to_numpy().astype("datetime64[us]")


def ahead(freq: Any, last: Any, h: int) -> NDArray[Any]:
    """The `h` stamps that follow `last`, which may itself lie off the grid (a Saturday session, say)."""
    step = fixed_step(freq)
    if isinstance(freq, int):
        return int(last) + freq * np.arange(1, h + 1, dtype=np.int64)
    stamp = np.datetime64(last, "us")
    if step is not None:
        return stamp + np.timedelta64(step, "us") * np.arange(1, h + 1)
    made = pd.date_range(pd.Timestamp(stamp), periods=h + 1, freq=freq, unit="us").to_numpy()
    return made[made > stamp][:h].astype("datetime64[us]")


def infer(stamps: NDArray[Any], codes: Int) -> Any:
    """The frequency of series given as rows sorted by (code, stamp); None where no series has two stamps.

    The most common step decides, over all series; stamps on calendar anchors make it a month, quarter, year,
    week or business day. Steps that contradict it are for the caller to find.
    """
    numbers = stamps.view(np.int64) if stamps.dtype.kind == "M" else stamps
    steps, owner = np.diff(numbers), codes[1:]
    inside = (np.diff(codes) == 0) & (steps > 0)
    if not inside.any():
        return None
    step = _usual_step(steps[inside], owner[inside])
    if stamps.dtype.kind != "M":
        return step
    if step % DAY or np.unique(numbers % DAY, return_counts=True)[1].max() * 2 <= len(numbers):
        return named(step)
    return _calendar(np.unique(stamps.astype("datetime64[D]")), step // DAY)


def _usual_step(steps: Int, owner: Int) -> int:
    """The step of most rows: each series has its own, the most common of its steps.

    In thin series that is too wide: a smaller step wins if it divides all others and is not rare (1 in 10).
    """
    order = np.lexsort((steps, owner))
    steps, owner = steps[order], owner[order]
    first = np.flatnonzero(np.append(True, np.diff(owner) != 0))
    smallest = steps[first]
    rows = np.diff(np.append(first, len(steps)))
    starts = np.flatnonzero(np.append(True, (np.diff(owner) != 0) | (np.diff(steps) != 0)))
    often = np.diff(np.append(starts, len(steps)))  # how often each (series, step) occurs
    where = np.searchsorted(first, starts, side="right") - 1
    best = np.zeros(len(first), dtype=np.int64)
    ranked = np.lexsort((-steps[starts], often))
    best[where[ranked]] = steps[starts][ranked]  # the last one written is the most frequent, then the smallest
    divides = np.add.reduceat(steps % np.repeat(smallest, rows) != 0, first, dtype=np.int64) == 0
    common = 10 * often[np.searchsorted(starts, first)] >= rows
    own = np.where(divides & common, smallest, best)
    kinds, back = np.unique(own, return_inverse=True)
    return int(kinds[np.argmax(np.bincount(back, weights=rows))])


def _calendar(days: NDArray[Any], step: int) -> str:
    """The alias of stamps whose usual step is a whole number of days."""
    weekday = (days.view(np.int64) + 3) % 7
    if step == 1:
        return "B" if weekday.max() < 5 and len(days) > 5 and _has_weekend(days) else "D"
    if step % 7 == 0:
        name = _WEEKDAYS[int(np.bincount(weekday).argmax())]
        return f"W-{name}" if step == 7 else f"{step // 7}W-{name}" if step < 28 else _months(days, step)
    return _months(days, step)


def _has_weekend(days: NDArray[Any]) -> bool:
    return bool(np.any(np.diff(days.view(np.int64)) == 3))


def _months(days: NDArray[Any], step: int) -> str:
    for months in (1, 3, 12):
        if 28 * months <= step <= 31 * months:
            return _anchored(days, months) or f"{step}D"
    return f"{step}D"


def _anchored(days: NDArray[Any], months: int) -> str | None:
    """MS, ME, BMS, BME or their quarterly and yearly kin, whichever the stamps lie on."""
    month = days.astype("datetime64[M]")
    number = int(np.bincount(month.view(np.int64) % 12).argmax())
    first, last = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]") - 1
    business = np.is_busday(days)
    shares = {
        "S": np.mean(days == first),
        "E": np.mean(days == last),
        "BS": np.mean(business & (np.busday_offset(first, 0, roll="forward") == days)),
        "BE": np.mean(business & (np.busday_offset(last, 0, roll="backward") == days)),
    }
    kind = max(shares, key=lambda name: shares[name])
    if shares[kind] <= 0.5:
        return None
    stem = {1: "M", 3: "Q", 12: "Y"}[months]
    alias = f"B{stem}{kind[1]}" if len(kind) == 2 else f"{stem}{kind}"
    if months == 1:
        return alias
    # pandas names quarters by the first month of the year they start, or the last of the one they end
    named = number % 3 if months == 3 and kind[-1] == "S" else number
    named = 9 + number % 3 if months == 3 and kind[-1] == "E" else named
    return f"{alias}-{_MONTHS[named]}"
