"""The road from a table to a Panel: read, spot, place, repair; all findings at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tsforecast import frames
from tsforecast.errors import ConfigError, DataError, Finding, listed
from tsforecast.findings.cells import spot
from tsforecast.findings.extras import with_mask, with_static
from tsforecast.findings.placing import Placed, place
from tsforecast.findings.policies import Book, resolved, worst_first
from tsforecast.findings.values import spot_and_repair
from tsforecast.frames import Table, grids
from tsforecast.panel import Names, Panel

__all__ = ["as_panel", "examined", "read_panel", "settings"]


def as_panel(data: Any, static: Any = None) -> Panel:
    """A table with the default names as a Panel; a Panel passes through, with `static` exchanged where given."""
    if not isinstance(data, Panel):
        return read_panel(data, static=static)
    panel = data if static is None else with_static(data, static)
    # What was taken from a larger panel is numbered as it lies here: fitted parameters are rows of this one.
    return panel.numbered()


def read_panel(
    data: Any,
    *,
    names: Names = Names(),
    freq: Any = None,
    gaps: Literal["fill", "ignore"] = "fill",
    static: Any = None,
    policies: Mapping[str, str] | None = None,
    mask: Any = None,
    weights: str | None = None,
) -> Panel:
    """A table as a Panel under `policies` (code -> policy, see POLICIES); DataError lists all that they do not settle.

    What was repaired, filled, sorted or left out is listed in `Panel.findings`.
    """
    freq, chosen = settings(freq, gaps, policies)
    table = frames.read(data, names)
    kept: list[Finding] = []
    while True:
        book = Book(table, chosen, thorough=False)
        panel = examined(book, freq, gaps, weights)
        book.raise_if_any()
        if not book.quarantined.any():
            break
        kept += [finding for finding in book.findings if finding.policy == "quarantine"]
        table = table.without(book.quarantined)
    assert panel is not None
    panel = panel.replace(findings=tuple(worst_first([*kept, *book.findings])))
    if static is not None:
        panel = with_static(panel, static)
    return panel if mask is None else with_mask(panel, mask)


def examined(book: Book, freq: Any, gaps: str, weights: str | None = None) -> Panel | None:
    """The panel of a book's table, every finding written down; None where a grid cannot be made."""
    table = book.table
    _settle_weights(table, weights)
    spot(book, integer_steps=isinstance(freq, int))
    placed = place(book, freq, gaps)
    if placed is None:
        return None
    panel = _block(table, placed, book.policies["TSF-TS-DUP"], weights)
    return spot_and_repair(book, panel, placed)


def settings(freq: Any, gaps: str, policies: Mapping[str, str] | None) -> tuple[Any, dict[str, str]]:
    """Normalised frequency and the policy of every code; ConfigError for a word that does not exist."""
    if gaps not in ("fill", "ignore"):
        raise ConfigError(f"gaps must be 'fill' or 'ignore', got {gaps!r}")
    return grids.normalise(freq), resolved(policies)


def _block(table: Table, placed: Placed, doubled: str, weights: str | None) -> Panel:
    """The rows of a table in the places found for them."""
    names = [name for name in table.columns if name != weights]
    columns = np.empty((len(placed.seen), len(names)))
    for k, name in enumerate(names):
        columns[:, k] = placed.scatter(table.columns[name])
    repaired = None
    if doubled in ("last", "sum", "mean") and len(placed.dest) > placed.seen.sum():
        twice = np.bincount(placed.dest, minlength=len(placed.seen)) > 1
        repaired = np.zeros(len(table.ids), dtype=bool)
        repaired[np.searchsorted(placed.stop, np.flatnonzero(twice), side="right")] = True
    return Panel(
        ids=table.ids,
        start=placed.start,
        stop=placed.stop,
        y=placed.scatter(table.y.values, doubled),
        grid=placed.grid,
        offset=placed.first - placed.start,
        columns=columns,
        column_names=tuple(names),
        n_past=len(names),
        categories={name: labels for name, labels in table.categories.items() if name in names},
        weights=None if weights is None else np.nan_to_num(placed.scatter(table.columns[weights])),
        at=placed.at,
        series=np.arange(len(table.ids), dtype=np.int64),
        freq=placed.clock.freq,
        tz=placed.clock.tz,
        kind=table.kind,
        time_unit=table.times.unit,
        names=table.names,
        repaired=repaired,
    )


def _settle_weights(table: Table, weights: str | None) -> None:
    if weights is None:
        return
    if weights not in table.columns or weights in table.categories:
        raise ConfigError(f"weights={weights!r} is no numeric column (columns: {listed(table.columns, 20)})")
    values = table.columns[weights]
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        head = wrong[:5]
        finding = Finding(
            "TSF-Y-NONFINITE",
            "weights that are missing, infinite or negative",
            series=table.ids[table.codes[head[0]]] if table.names.id else None,
            column=weights,
            when=table.times.shown(head),
            rows=tuple(table.origin(head).tolist()),
            count=len(wrong),
            found=float(values[head[0]]),
            expected="a finite number >= 0",
            fix="Weight 0 leaves a row out",
        )
        raise DataError("", [finding])
