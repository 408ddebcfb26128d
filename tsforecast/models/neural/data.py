"""What a net sees of a panel: scaled rows, the windows that lie in them, and which of those train or validate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, DataError, listed
from tsforecast.models.neural.scaling import Scales
from tsforecast.panel import Bool, Float, Int, Panel

__all__ = [
    "Float32",
    "Groups",
    "Layout",
    "Table",
    "Windows",
    "held_out",
    "inputs",
    "least_rows",
    "scaled",
    "static_units",
    "statics",
    "table",
    "windows",
]

Float32 = NDArray[np.float32]


class Layout(NamedTuple):
    """Columns of a row as a net reads it: the target, past columns, known ones of the next row, flags of gaps.

    `flagged`: places among target (0) and columns (1 ...) whose missing values are flagged. A perceptron is told of
    known columns `apart`, for the steps that it forecasts alone.
    """

    past: int
    known: int
    flagged: tuple[int, ...]
    apart: bool

    @property
    def width(self) -> int:
        """Columns of a row."""
        return 1 + self.past + (0 if self.apart else self.known) + len(self.flagged)

    @property
    def seen(self) -> int | None:
        """Column that flags a seen target; None where all of it is seen."""
        return self.width - len(self.flagged) if 0 in self.flagged else None

    def ahead(self, steps: int, direct: bool) -> int:
        """Known numbers of coming steps that the window does not hold."""
        told = steps if self.apart else steps - 1
        return told * self.known if direct or self.apart else 0


class Groups(NamedTuple):
    """Series that share nets: group of each, `of` (n,), and the g groups' names."""

    of: Int
    names: NDArray[Any]


class Table(NamedTuple):
    """Rows of all spans, one after the other: x (R, c); scaled target y (R,); weight (R,), 0 where y is missing;
    known (R, k) columns of the next row; start (n,) and length (n,) of each series; whole (R,) rows without a gap and
    told (R,) those whose next known columns have none.
    """

    x: Float32
    y: Float32
    weight: Float32
    known: Float32
    start: Int
    length: Int
    whole: Bool
    told: Bool


class Windows(NamedTuple):
    """Windows of some series: first row (W,) in the table, series (W,), and whether they validate (W,)."""

    first: Int
    owner: Int
    validates: Bool

    def take(self, kept: Bool | Int) -> Windows:
        """Some of the windows."""
        return Windows(self.first[kept], self.owner[kept], self.validates[kept])


def scaled(values: Float, scales: Scales, series: Int, first: int) -> Float:
    """Columns (s, ..., c) of some series (s,) in their own units; `first` is the place of the first of them."""
    last = first + values.shape[-1]
    shape = (len(series), *[1] * (values.ndim - 2), values.shape[-1])
    centre, scale = (part[series, first:last].reshape(shape) for part in (scales.centre, scales.scale))
    return np.asarray((values - centre) / scale)


def inputs(layout: Layout, y: Float, columns: Float, following: Float) -> Float32:
    """Rows (..., c) from scaled target (..., 1), past columns (..., p) and known ones of the next row (..., k)."""
    both = [y, columns] if layout.apart else [y, columns, following]
    values = np.concatenate(both, axis=-1)
    every = np.concatenate([y, columns, following], axis=-1)
    flags = np.isfinite(every[..., list(layout.flagged)])
    out: Float32 = np.concatenate([values, flags], axis=-1, dtype=np.float32, casting="unsafe")
    for flag, place in enumerate(layout.flagged):
        if place < values.shape[-1]:
            # A flagged gap is told as such; what stands there then is only a place holder.
            out[..., place] = np.where(flags[..., flag], out[..., place], 0.0)
    return out


def table(panel: Panel, scales: Scales, layout: Layout) -> Table:
    """The rows of all spans in the units of their series."""
    rows, owner = panel.rows, panel.owner
    length = panel.lengths
    start = np.cumsum(length) - length
    columns = scaled(panel.columns[rows], scales, owner, 1)
    past, known = columns[:, : layout.past], columns[:, layout.past :]
    following = np.full_like(known, np.nan)
    following[:-1] = known[1:]
    # What follows the last row of a series is not known here, and no window of training holds that row.
    following[start[length > 0] + length[length > 0] - 1] = np.nan
    y = scaled(panel.y[rows, None], scales, owner, 0)
    with np.errstate(over="ignore"):
        x = inputs(layout, y, past, following)
    weight = np.isfinite(y[:, 0]).astype(np.float32)
    if panel.weights is not None:
        weight *= np.nan_to_num(panel.weights[rows]).astype(np.float32)
    return Table(
        x=np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0),
        y=np.nan_to_num(y[:, 0], nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32),
        weight=weight,
        known=np.nan_to_num(following, nan=0.0).astype(np.float32),
        start=start,
        length=length,
        whole=np.asarray(np.isfinite(x).all(axis=1)),
        told=np.asarray(np.isfinite(following).all(axis=1)),
    )


def held_out(lengths: Int, validation: float, window: int, steps: int) -> Int:
    """Last rows (n,) of each series that validate: a share of its rows or a number; 0 where none would be left to
    train on, or too few for a forecast.
    """
    wanted = np.full(len(lengths), validation) if isinstance(validation, int) else np.floor(lengths * validation)
    rows = wanted.astype(np.int64)
    fits = (rows >= steps) & (lengths - rows >= window + steps)
    return np.where(fits, rows, 0)


def least_rows(validation: float | int, window: int, steps: int) -> int:
    """Fewest rows of a series that trains a net and, where `validation` is not 0, judges it; ConfigError for none."""
    if not validation:
        return window + steps
    if isinstance(validation, int):
        if validation < steps:
            raise ConfigError(
                f"validation={validation} rows are fewer than the {steps} steps ahead: give as many, or a share"
            )
        return validation + window + steps
    rows = max(int(steps / validation), int((window + steps - 1) / (1 - validation)), 1) - 1
    while not held_out(np.array([rows]), validation, window, steps)[0]:
        rows += 1
    return rows


def windows(part: Table, rows_held: Int, window: int, steps: int, masks: bool) -> Windows:
    """Windows with a target to learn from: all of it before the held-out rows (training), or all among them.

    Rows with a gap that no flag tells keep a window out; with `masks` one seen row is enough, without a whole target.
    """
    count = np.maximum(part.length - window - steps + 1, 0)
    owner = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    first = part.start[owner] + place
    ends = place + window + steps  # rows of the series up to the end of the target
    kept = part.length - rows_held
    trains = ends <= kept[owner]
    validates = ~trains & (place + window >= kept[owner])
    unseen, gaps, untold = _sums(part.weight == 0), _sums(~part.whole), _sums(~part.told)
    bad = gaps[first + window] - gaps[first] > 0
    bad |= untold[first + window + steps - 1] - untold[first + window - 1] > 0
    lacking = unseen[first + window + steps] - unseen[first + window]
    bad |= lacking == steps if masks else lacking > 0
    if masks:
        bad |= unseen[first + window] - unseen[first] == window
    fine = (trains | validates) & ~bad
    return Windows(first[fine], owner[fine], validates[fine])


def _sums(flags: Bool) -> Int:
    """Running counts, a zero in front."""
    return np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])


def static_units(names: Sequence[str], static: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What static columns are told by: labels of text, in order; mean and standard deviation of numbers."""
    kept: dict[str, Any] = {}
    for name in names:
        values = np.asarray(static[name])
        if values.dtype.kind in "biuf":
            numbers = values.astype(float)
            spread = float(np.nanstd(numbers))
            kept[name] = {"centre": float(np.nanmean(numbers)), "scale": spread if spread > 0 else 1.0}
        else:
            kept[name] = {"labels": np.unique(values.astype(str)).tolist()}
    return kept


def statics(kept: Mapping[str, Any], static: Mapping[str, NDArray[Any]], ids: NDArray[Any]) -> Float32:
    """Static columns (n, s): numbers in the units kept, text as indicators; DataError for a label never seen."""
    parts = [np.zeros((len(ids), 0), np.float32)]
    for name, how in kept.items():
        values = np.asarray(static[name])
        if "labels" not in how:
            parts.append(((values.astype(float) - how["centre"]) / how["scale"])[:, None].astype(np.float32))
            continue
        hot = values.astype(str)[:, None] == np.asarray(how["labels"])
        unseen = np.flatnonzero(~hot.any(axis=1))
        if len(unseen):
            raise DataError(
                f"static column {name!r} holds {values[unseen[0]]!r} (series {listed(dict.fromkeys(ids[unseen]))}), "
                f"which the model was not fitted on; it knows {listed(how['labels'])}: refit it, or correct the label"
            )
        parts.append(hot.astype(np.float32))
    return np.concatenate(parts, axis=1)
