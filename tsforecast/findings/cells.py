"""What can be wrong in single cells: ids, times and targets that no grid can hold."""

from __future__ import annotations

import unicodedata
from collections import defaultdict

import numpy as np

from tsforecast.errors import SHOWN
from tsforecast.findings.policies import Book
from tsforecast.panel import Int

__all__ = ["spot"]

LARGEST = 1e15
"""Beyond it, floats of the target no longer carry units (2^53 is 9e15)."""


def spot(book: Book, *, integer_steps: bool) -> None:
    """Write the findings about ids, times and target; `integer_steps` takes integers in the time column as steps."""
    _ids(book)
    _times(book)
    if not integer_steps:
        _dates_as_integers(book)
    _target(book)


def _ids(book: Book) -> None:
    table, name = book.table, book.table.names.id
    texts = {place: one for place, one in enumerate(table.ids.tolist()) if isinstance(one, str)}
    missing = table.codes < 0
    for place in (place for place, text in texts.items() if not text.strip()):
        missing |= table.codes == place
        book.quarantined[place] = book.policies["TSF-ID-NULL"] == "quarantine"
    if missing.any():
        rows = np.flatnonzero(missing)
        book.unusable[rows] = True
        book.add(
            "TSF-ID-NULL",
            "rows without an id",
            column=name,
            when=table.times.shown(rows[:SHOWN]),
            rows=tuple(table.origin(rows[:SHOWN]).tolist()),
            count=len(rows),
            found="null or empty",
            expected="an id in every row",
            fix=f"Fill or drop them: df.dropna(subset=[{name!r}])",
        )
    if texts and len(texts) < len(table.ids):
        _mixed(book, texts)
    _twins(book, texts)


def _mixed(book: Book, texts: dict[int, str]) -> None:
    """Text beside other types: the kind that fewer ids have is the odd one."""
    everyone = set(range(len(book.table.ids)))
    odd = min(everyone - set(texts), set(texts), key=len)
    kinds = sorted({type(one).__name__ for one in book.table.ids.tolist()})
    for place in sorted(odd):
        one = book.series(place)
        rows = book.rows_of(place)
        book.add_rows(
            "TSF-ID-MIXED",
            f"ids are of several types ({', '.join(kinds)})",
            rows,
            column=book.table.names.id,
            found=f"{one!r} ({type(one).__name__})",
            expected="one type, so that 1 and '1' cannot be two series",
            fix=f"Make them text: df[{book.table.names.id!r}].astype(str)",
        )


def _twins(book: Book, texts: dict[int, str]) -> None:
    """Ids that look the same: composed and decomposed letters (NFC / NFD), blanks around."""
    alike: dict[str, list[int]] = defaultdict(list)
    suspects = [text for text in texts.values() if not text.isascii() or text != text.strip()]
    if not suspects:
        return
    for place, text in texts.items():
        alike[unicodedata.normalize("NFC", text).strip()].append(place)
    for key, places in alike.items():
        if len(places) > 1 and key:
            for place in places:
                book.add_rows(
                    "TSF-ID-TWIN",
                    f"{len(places)} ids look like {key!r} and differ only in encoding or blanks",
                    book.rows_of(place),
                    column=book.table.names.id,
                    found=ascii(texts[place]),
                    expected="one spelling of each id",
                    fix=f"Write them alike: df[{book.table.names.id!r}].str.normalize('NFC').str.strip()",
                )


def _times(book: Book) -> None:
    times, name = book.table.times, book.table.names.time
    if len(times.wrong):
        book.unusable[times.wrong] = True
        book.add_rows(
            "TSF-TS-NULL",
            "cells that cannot be read as a time",
            times.wrong,
            found=times.cells,
            column=name,
            expected="dates, date-times, ISO 8601 text or whole numbers",
            fix=f"Convert first: pd.to_datetime(df[{name!r}], format=...)",
        )
    if times.null is not None:
        rows = np.flatnonzero(times.null)
        book.unusable[rows] = True
        book.add_rows(
            "TSF-TS-NULL",
            "rows without a time",
            rows,
            column=name,
            found="null",
            expected="a time in every row",
            fix=f"Fill or drop them: df.dropna(subset=[{name!r}])",
        )


def _dates_as_integers(book: Book) -> None:
    """Integers that are dates or epochs in disguise; as steps they would give forecasts for nonsense dates."""
    if book.table.times.values.dtype.kind == "M":
        return
    values = book.table.times.values[~book.unusable]
    if not len(values):
        return
    meaning = _disguise(values)
    if meaning is None:
        return
    what, call = meaning
    rows = np.flatnonzero(~book.unusable)[:SHOWN]
    name = book.table.names.time
    book.add(
        "TSF-FREQ",
        f"whole numbers that look like {what}",
        int(book.table.codes[rows[0]]),
        policy="raise",
        column=name,
        rows=tuple(book.table.origin(rows).tolist()),
        count=len(values),
        found=int(values[0]),
        expected="dates, or integer steps such as 1, 2, 3",
        fix=f"Convert: {call.format(name)}; or pass freq=1 if they really are steps",
    )


def _disguise(values: Int) -> tuple[str, str] | None:
    low, high = int(values.min()), int(values.max())
    if low >= 19000101 and high <= 21001231:
        month, day = values // 100 % 100, values % 100
        if month.min() >= 1 and month.max() <= 12 and day.min() >= 1 and day.max() <= 31:
            return "dates (YYYYMMDD)", "pd.to_datetime(df[{0!r}].astype(str), format='%Y%m%d')"
    if low >= 190001 and high <= 210012 and (values % 100).min() >= 1 and (values % 100).max() <= 12:
        return "months (YYYYMM)", "pd.to_datetime(df[{0!r}].astype(str), format='%Y%m')"
    for unit, size in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        if low >= 3e8 * size and high <= 5e9 * size:  # 1979 to 2128
            return f"epoch times ({unit})", f"pd.to_datetime(df[{{0!r}}], unit={unit!r})"
    return None


def _target(book: Book) -> None:
    y, name = book.table.y, book.table.names.target
    if len(y.wrong):
        rows = y.wrong[:SHOWN]
        kind = type(y.cells[0]).__name__
        book.add(
            "TSF-Y-TYPE",
            f"the target holds {kind} values",
            int(book.table.codes[rows[0]]),
            column=name,
            when=book.table.times.shown(rows),
            rows=tuple(book.table.origin(rows).tolist()),
            count=len(y.wrong),
            found=y.cells[:1].tolist()[0],
            expected="numbers",
            fix=f"Convert: pd.to_numeric(df[{name!r}]), or .astype(float) where booleans are meant as 0 and 1",
        )
    # fmax and fmin skip NaN and keep infinities: one pass each on clean data
    high, low = np.fmax.reduce(y.values, initial=-1.0), np.fmin.reduce(y.values, initial=1.0)
    if high <= LARGEST and low >= -LARGEST:
        return
    infinite = np.isinf(y.values)
    large = ~infinite & (np.abs(y.values) > LARGEST)
    for code, message, mask in (
        ("TSF-Y-NONFINITE", "infinite values", infinite),
        ("TSF-Y-RANGE", "values too large to be computed with", large),
    ):
        if mask.any():
            rows = np.flatnonzero(mask)
            book.add_rows(
                code,
                message,
                rows,
                found=y.values[rows],
                column=name,
                expected=f"finite numbers up to {LARGEST:g}",
                fix="Correct them, or set them missing (NaN)",
            )
