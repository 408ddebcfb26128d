"""The contract of every forecaster, as one function to call in a test: `check_forecaster(lambda: MyModel())`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.errors import NotFittedError, TsforecastError
from tsforecast.findings import as_panel
from tsforecast.forecaster import Forecaster
from tsforecast.panel import Float, Int, Panel
from tsforecast.registry import FORECASTERS
from tsforecast.rolling import origins, roll

__all__ = ["check_forecaster"]

H = 5
LEVELS = (80.0, 90.0)
Columns = dict[str, NDArray[Any]]


def check_forecaster(make: Callable[[], Forecaster], data: Any = None) -> None:
    """Check all that this package promises of a forecaster; AssertionError says which promise is broken, and how.

    `make` gives a new, unfitted forecaster each time. `data` is a table or Panel with the columns that it needs and
    at least 40 rows a series, otherwise 400 daily series of several lengths and sizes. Checked are: parameters and
    clones, names and shapes of the result, the same bytes on every run, in any company, in any order and from a file
    in a fresh process, missing values, excluded rows, short series, one poisoned series among many, and that no
    value after an origin moves a forecast.
    """
    panel = example() if data is None else as_panel(data)
    subject = Subject(make, panel)
    for check in CHECKS:
        check(subject)


def example(series: int = 400) -> Panel:
    """Daily series of 60 to 90 rows that begin at different days, with a weekly season, levels from 1 to 1e5, each at
    a place of its own (static columns lat, lon, elevation, region).
    """
    rng = np.random.default_rng(20)
    lengths = 60 + np.arange(series) * 7 % 31
    stop = np.cumsum(lengths)
    place = np.arange(int(lengths.sum())) - np.repeat(stop - lengths, lengths)
    late = np.repeat(np.arange(series) * 11 % 23, lengths)
    level = np.repeat(10.0 ** (np.arange(series) % 6), lengths)
    y = level * (3 + np.sin(2 * np.pi * (place + late) / 7) + 0.3 * rng.normal(size=len(place)))
    return Panel(
        ids=np.array([f"s{i:04d}" for i in range(series)], dtype=object),
        start=stop - lengths,
        stop=stop,
        y=y,
        grid=np.datetime64("2024-01-01", "us") + np.arange(113) * np.timedelta64(1, "D"),
        offset=np.arange(series) * 11 % 23 - (stop - lengths),
        columns=np.empty((len(y), 0)),
        static={
            "lat": 33 + 5 * rng.random(series),
            "lon": 126 + 4 * rng.random(series),
            "elevation": 800 * rng.random(series),
            "region": np.array(["east", "north", "south"], dtype=object)[np.arange(series) % 3],
        },
        series=np.arange(series),
        freq="D",
    )


@dataclass(frozen=True, eq=False)
class Subject:
    """What is examined: how to make it, and the whole panel, of which it sees all but the last H rows a series."""

    make: Callable[[], Forecaster]
    whole: Panel

    @property
    def history(self) -> Panel:
        """The rows that a fit may see."""
        return self.whole.upto(self.whole.last - H)

    def forgiving(self) -> Forecaster:
        """A new forecaster that marks failures instead of raising them."""
        return self.make().set_params(on_error="skip")

    def run(self, model: Forecaster, panel: Panel, levels: tuple[float, ...] = ()) -> Columns:
        """Columns of the forecast table, each (n, H)."""
        table = model.fit(panel, h=H).predict(H, future=self.future(model, panel), levels=levels)
        return read(table, len(panel))

    def future(self, model: Forecaster, panel: Panel) -> Any:
        """The model's known columns in the H rows of the block that follow each span, as a table."""
        if not model.known_columns:
            return None
        rows = np.minimum(panel.stop[:, None] + np.arange(H), len(panel.y) - 1)
        owner = np.repeat(np.arange(len(panel)), H)
        values: dict[str, Any] = {}
        for name in model.known_columns:
            column = panel.column(name)[rows.ravel()]
            labels = panel.categories.get(name)
            values[name] = column if labels is None else np.array(labels, dtype=object)[column.astype(np.int64)]
        return frames.rows_table(panel, owner, frames.future_times(panel, H).ravel(), values)


def read(table: Any, n: int) -> Columns:
    """Columns of a forecast table as arrays (n, h)."""
    frame = frames.opened(table)
    return {name: frame[name].to_numpy().reshape(n, -1) for name in frame.columns}


def demand(kept: bool | np.bool_, model: Forecaster, promise: str) -> None:
    """AssertionError naming the model and the promise unless it was kept."""
    if not kept:
        raise AssertionError(f"{model.name} breaks the contract of forecasters: {promise}")


def same_bytes(one: Columns, other: Columns, model: Forecaster, promise: str) -> None:
    """AssertionError with the first difference unless all float columns agree bit by bit."""
    for name, values in one.items():
        if values.dtype.kind != "f":
            continue
        different = values.view(np.int64) != other[name].astype(float).view(np.int64)
        if different.any():
            i = int(np.flatnonzero(different.any(axis=1))[0])
            raise AssertionError(
                f"{model.name} breaks the contract of forecasters: {promise}; column {name!r} differs in "
                f"{int(different.any(axis=1).sum())} of {len(values)} series, first number {i}: "
                f"{values[i]} and {other[name][i]}"
            )


def check_parameters(subject: Subject) -> None:
    """Parameters are fields, copies and clones have the same, and nothing is fitted before fit."""
    model = subject.make()
    params = model.get_params(deep=False)
    demand(repr(model.copy()) == repr(model), model, "copy() keeps every parameter")
    demand(model.set_params(**params) is model, model, "set_params takes what get_params gives, and returns self")
    if find_spec("sklearn") is not None:
        from sklearn.base import clone

        demand(repr(clone(model)) == repr(model), model, "sklearn.clone keeps every parameter")
    try:
        model.predict(H)
    except NotFittedError:
        pass
    else:
        demand(False, model, "predict before fit raises NotFittedError")
    subject.run(model, subject.history)
    demand(repr(subject.make()) == repr(model), model, "fit and predict change no parameter")


def check_result(subject: Subject) -> None:
    """One row a series and step, in order; finite points; intervals around them that grow with the level."""
    model, panel = subject.make(), subject.history
    got = subject.run(model, panel, LEVELS)
    ends = [f"{model.name}-{side}-{level:g}" for level in LEVELS for side in ("lo", "hi")]
    names = [name for name in (panel.names.id, panel.names.time) if name] + [model.name, *ends]
    status = ["status"] if model.on_error != "raise" else []
    demand(list(got) == names + status, model, f"the columns are {names + status}, not {list(got)}")
    demand(got[model.name].shape == (len(panel), H), model, f"{H} rows a series")
    if panel.names.id is not None:
        demand(bool((got[panel.names.id] == panel.ids[:, None]).all()), model, "series come in the order of their ids")
    demand(bool(np.isfinite(got[model.name]).all()), model, "points are finite on clean data")
    inner_low, inner_high, outer_low, outer_high = (got[name] for name in ends)
    inside = (outer_low <= inner_low) & (inner_low <= inner_high) & (inner_high <= outer_high)
    demand(bool(inside.all()), model, "wider levels hold narrower ones")


def check_determinism(subject: Subject) -> None:
    """The same bytes again, whatever the process-wide random state, which stays as it was."""
    model, panel = subject.make(), subject.history
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        first = subject.run(model, panel, LEVELS)
        drawn = np.random.random()  # noqa: NPY002
        np.random.seed(1)  # noqa: NPY002
        demand(drawn == np.random.random(), model, "the process-wide random state is left alone")  # noqa: NPY002
        np.random.seed(2)  # noqa: NPY002
        same_bytes(first, subject.run(subject.make(), panel, LEVELS), model, "two fits give the same bytes")
    finally:
        np.random.set_state(state)  # noqa: NPY002
    again = read(model.predict(H, future=subject.future(model, panel), levels=LEVELS), len(panel))
    same_bytes(first, again, model, "two calls of predict give the same bytes")


def check_input_is_left_alone(subject: Subject) -> None:
    """Fit and predict write into no array that they were given."""
    panel = subject.history
    y, columns = panel.y.copy(), panel.columns.copy()
    y.setflags(write=False)
    columns.setflags(write=False)
    model = subject.make()
    try:
        subject.run(model, panel.replace(y=y, columns=columns), LEVELS)
    except ValueError as cause:
        if "read-only" not in str(cause):
            raise
        raise AssertionError(f"{model.name} writes into the panel that it was given") from cause


def check_company(subject: Subject) -> None:
    """A model of single series gives the same bytes alone, in sevens, and in any order."""
    model, panel = subject.make(), subject.history
    if model.needs != "series":
        return
    whole = subject.run(model, panel, LEVELS)
    shuffled = np.random.default_rng(0).permutation(len(panel))
    choices = {"alone": np.array([len(panel) // 2]), "among 7": np.arange(min(7, len(panel))), "shuffled": shuffled}
    for words, index in choices.items():
        part = panel.take(index).replace(series=np.arange(len(index)))
        got = subject.run(subject.make(), part, LEVELS)
        same_bytes({k: v[index] for k, v in whole.items()}, got, model, f"a series {words} gives the same bytes")


def check_company_of_older_series(subject: Subject) -> None:
    """A series that begins years before the others moves none of them."""
    model, panel = subject.make(), subject.history
    if model.needs != "series" or panel.at is not None or panel.grid.dtype.kind != "M" or panel.freq != "D":
        return
    earlier = 400
    days = np.arange(-earlier, 0) * np.timedelta64(1, "D")
    grid = np.concatenate([panel.grid[0] + days, panel.grid])
    moved = panel.replace(grid=grid, offset=panel.offset + earlier)
    promise = "dates before a series began do not matter"
    same_bytes(subject.run(model, panel), subject.run(subject.make(), moved), model, promise)


def check_canary(subject: Subject) -> None:
    """No value after an origin, of any series, changes a bit of a forecast from it."""
    model, whole = subject.make(), subject.whole
    rng = np.random.default_rng(1)
    spoiled = _spoiled_after(whole, whole.last - H, model.past, rng)
    promise = "no value after the last row of a fit matters"
    before = subject.run(model, subject.history, LEVELS)
    same_bytes(before, subject.run(subject.make(), spoiled.upto(whole.last - H), LEVELS), model, promise)
    cutoffs = origins(whole, h=H, windows=3, step=2)
    later = _spoiled_after(whole, np.minimum(cutoffs[0], whole.last), model.past, rng)
    one, other = (
        roll(subject.forgiving(), panel, cutoffs, h=H, levels=LEVELS if not model.known else ()).point[0]
        for panel in (whole, later)
    )
    same_bytes({"point": one}, {"point": other}, model, "no value after an origin matters to its forecast")


def _spoiled_after(panel: Panel, cutoff: Int, past: Sequence[str], rng: np.random.Generator) -> Panel:
    """The panel with other targets and `past` columns after each series' cutoff; known columns stay."""
    y, columns = panel.y.copy(), panel.columns.copy()
    kept = panel.upto(cutoff).stop
    late = np.concatenate([np.arange(a, b) for a, b in zip(kept, panel.stop, strict=True)])
    y[late] = 1e3 * rng.normal(size=len(late))
    for name in past:
        if name not in panel.categories:
            columns[late, panel.column_names.index(name)] = 1e3 * rng.normal(size=len(late))
    return panel.replace(y=y, columns=columns)


def check_windows(subject: Subject) -> None:
    """Rolling over several origins at once agrees with a fit at each, to rounding."""
    model, panel = subject.forgiving(), subject.whole
    cutoffs = origins(panel, h=H, windows=3, step=2)
    together = roll(model, panel, cutoffs, h=H).point
    one_by_one = np.concatenate([roll(model, panel, cutoff[None], h=H, refit=2).point for cutoff in cutoffs])
    size = np.abs(one_by_one).max(axis=2, keepdims=True)
    near = np.isclose(together, one_by_one, rtol=0, atol=np.nan_to_num(1e-7 * size), equal_nan=True)
    demand(bool(near.all()), model, "many origins at once agree with one fit at each")


def check_update(subject: Subject) -> None:
    """Newer rows move the origin and not the parameters: `update` forecasts as a rolled model that is not refitted."""
    model, whole = subject.forgiving(), subject.whole
    cutoffs = np.stack([whole.last - 2 * H, whole.last - H])
    rolled = roll(subject.forgiving(), whole, cutoffs, h=H, refit=False).point[1]
    model.fit(whole.upto(cutoffs[0]), h=H).update(subject.history)
    got = read(model.predict(H, future=subject.future(model, subject.history)), len(whole))[model.name]
    size = np.nan_to_num(np.abs(rolled).max(axis=1, keepdims=True))
    near = np.isclose(got, rolled, rtol=0, atol=1e-9 * size, equal_nan=True)
    demand(bool(near.all()), model, "update moves the origin and keeps the parameters")


def check_missing_values(subject: Subject) -> None:
    """Where rows are missing, a series has a finite forecast or says that it failed; the origin stays."""
    model, panel = subject.forgiving(), subject.history
    y = panel.y.copy()
    y[np.random.default_rng(2).random(len(y)) < 0.1] = np.nan
    y[panel.stop[::3] - 1] = np.nan
    got = subject.run(model, panel.replace(y=y))
    failed = got["status"] == "failed"
    finite = np.isfinite(got[model.name])
    demand(bool((finite | failed).all()), model, "a forecast that is not finite has the status failed")
    if model.needs == "series":
        some = np.arange(0, len(panel), 9)
        for i in some[:10]:
            index = np.array([i])
            alone = subject.run(subject.forgiving(), panel.replace(y=y, series=np.zeros_like(panel.series)).take(index))
            promise = "a series with missing rows, alone, gives the same bytes"
            same_bytes({k: v[index] for k, v in got.items()}, alone, model, promise)
    stamps = frames.future_times(panel, H)
    same = got[panel.names.time].astype(stamps.dtype) == stamps
    demand(bool(same.all()) or panel.tz is not None, model, "the origin stays the last row, also where it is missing")


def check_excluded_rows(subject: Subject) -> None:
    """What stands in excluded rows changes no bit."""
    model, panel = subject.forgiving(), subject.history
    rng = np.random.default_rng(3)
    excluded = rng.random(len(panel.y)) < 0.1
    other = np.where(excluded, panel.y + 100 * rng.normal(size=len(panel.y)), panel.y)
    one, two = (subject.run(subject.forgiving(), panel.replace(y=y, excluded=excluded)) for y in (panel.y, other))
    same_bytes(one, two, model, "excluded rows do not matter")


def check_short_series(subject: Subject) -> None:
    """Series of 0, 1, 2 and 3 rows fail on their own, or raise what this package raises."""
    model, panel = subject.forgiving(), subject.history
    lengths = np.where(np.arange(len(panel)) % 2, np.arange(len(panel)) // 2 % 4, panel.lengths)
    short = panel.replace(start=panel.stop - lengths)
    got = subject.run(model, short)
    wrong = ~np.isfinite(got[model.name]) & (got["status"] != "failed")
    demand(not wrong.any(), model, "a short series without a forecast has the status failed")
    if model.needs == "series":
        long = np.arange(len(panel)) % 2 == 0
        whole = subject.run(subject.forgiving(), panel)
        promise = "short series do not touch others"
        same_bytes({k: v[long] for k, v in whole.items()}, {k: v[long] for k, v in got.items()}, model, promise)
    strict = subject.make()
    try:
        subject.run(strict, short)
    except TsforecastError:
        pass
    else:
        demand(strict.on_error != "raise" or not (got["status"] == "failed").any(), model, "a failure raises")


def check_poison(subject: Subject) -> None:
    """One series full of absurd values among 1,000 leaves the other forecasts as they are, bit by bit."""
    model = subject.forgiving()
    if model.needs != "series":
        return
    index = np.resize(np.arange(len(subject.whole)), 1000)
    many = subject.history.take(index)
    names = np.array([f"s{i:04d}" for i in range(1000)], dtype=object)
    ill = 500
    y = np.append(many.y, [1e14, -1e14, np.nan, 0.0, 1e-300] * 8)
    start, stop, offset = many.start.copy(), many.stop.copy(), many.offset.copy()
    start[ill], stop[ill] = len(many.y), len(y)
    offset[ill] = many.last[ill] - (len(y) - 1)
    columns = np.concatenate([many.columns, np.zeros((40, many.columns.shape[1]))])
    well = many.replace(ids=names, series=np.arange(1000), y=y, columns=columns)
    others = np.arange(1000) != ill
    one = subject.run(model, well)
    two = subject.run(subject.forgiving(), well.replace(start=start, stop=stop, offset=offset))
    promise = "a poisoned series touches no other"
    same_bytes({k: v[others] for k, v in one.items()}, {k: v[others] for k, v in two.items()}, model, promise)


def check_file(subject: Subject) -> None:
    """Loaded in a fresh process, a saved model gives the same bytes; classes outside the registry are spared."""
    model, panel = subject.make(), subject.history
    if type(model).__name__ not in FORECASTERS or model.known:
        return
    here = subject.run(model, panel, LEVELS)
    code = (
        "import sys, numpy as np; from tsforecast.registry import load; from tsforecast.contract import read\n"
        f"got = read(load(sys.argv[1]).predict({H}, levels={LEVELS}), {len(panel)})\n"
        "np.savez(sys.argv[2], **{k: v for k, v in got.items() if v.dtype.kind == 'f'})"
    )
    with TemporaryDirectory() as folder:
        file, out = Path(folder) / "model.tsf", Path(folder) / "out.npz"
        model.save(file)
        subprocess.run([sys.executable, "-c", code, str(file), str(out)], check=True)  # noqa: S603
        with np.load(out) as kept:
            there: dict[str, Float] = {name: kept[name] for name in kept.files}
    same_bytes({k: here[k] for k in there}, there, model, "a saved model forecasts the same in another process")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_parameters,
    check_result,
    check_determinism,
    check_input_is_left_alone,
    check_company,
    check_company_of_older_series,
    check_canary,
    check_windows,
    check_update,
    check_missing_values,
    check_excluded_rows,
    check_short_series,
    check_poison,
    check_file,
)
