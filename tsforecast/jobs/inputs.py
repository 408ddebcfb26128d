"""Inputs: the tables of a job, joined and derived, cut at its as_of, with the columns that its models use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tsforecast.errors import ConfigError, DataError, Finding, listed
from tsforecast.jobs.derive import derived
from tsforecast.jobs.models import models_of, past_of
from tsforecast.jobs.schema import Job, JoinKeys
from tsforecast.jobs.sources import Source, need, read
from tsforecast.panel import Names

__all__ = ["Inputs", "gather"]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """History, future values of known columns, static columns and masked spans, as pandas tables."""

    source: Source
    id: str | None
    history: pd.DataFrame
    future: pd.DataFrame | None
    static: pd.DataFrame | None
    mask: pd.DataFrame | None

    def place(self, row: int) -> str:
        """File and line (CSV) or row (parquet, from 0) of a row of the history."""
        file, line = self.source.place(int(self.history.index[row]))
        return f"{file}:{line}"


def gather(job: Job, base: Path) -> Inputs:
    """Read every table that the job names; ConfigError or DataError where one is absent, damaged or lacks a column."""
    data = job.data
    texts = [data.id] if data.id else []
    source = read(data.source, base, texts=texts)
    joined = source.table
    for join in data.join:
        joined = _joined(joined, join, base, texts)
    # The default name is no demand: a table without ids is one series.
    id_ = None if data.id == Names().id and data.id not in joined else data.id
    past, known = _columns(job)
    need([*joined, *data.derive], [id_, data.time, data.target, data.weights, *past, *known], "the data")
    whole = derived(joined, data.derive)
    known += [name for name in ("floor",) if "cap" in known and name in whole]  # with a capacity, if it is there
    keep = [id_, data.time, data.target, data.weights, *past, *known]
    history = whole[list(dict.fromkeys(name for name in keep if name is not None))]
    history, ahead = _cut(history, job, id_, known)
    future = read(data.known_source, base, texts=texts).table if data.known_source else ahead
    if future is not None:
        need(future, [id_, data.time, *known], "known_source")
    static = read(data.static_source, base, texts=texts, static=True).table if data.static_source else None
    mask = _mask(data.mask, base, id_) if data.mask else None
    if static is not None:
        need(static, [id_], "static_source")
    return Inputs(source, id_, history, future, static, mask)


def _mask(location: str, base: Path, id_: str | None) -> pd.DataFrame:
    """Spans to leave out; the column of ids may be called id, or as in the data."""
    mask = read(location, base, texts=["id", *([id_] if id_ else [])]).table
    if id_ is not None and id_ not in mask:
        mask = mask.rename(columns={"id": id_})
    need(mask, [id_, "from", "to"], "mask")
    return mask


def _columns(job: Job) -> tuple[list[str], list[str]]:
    """Columns beside id, time and target: those kept on request or known up to now, and those known for the future."""
    models = models_of(job)
    past = [*job.data.columns, *job.data.past, *(name for model in models for name in past_of(model))]
    return past, [*job.data.known, *(name for model in models for name in model.known_columns)]


def _joined(table: pd.DataFrame, join: JoinKeys, base: Path, texts: Sequence[str]) -> pd.DataFrame:
    """The table with the columns of another one, whose keys must be there once each."""
    other = read(join.source, base, texts=[name for name in texts if name in join.on]).table
    need(table, join.on, "the data")
    need(other, join.on, join.source)
    shared = (set(table.columns) & set(other.columns)) - set(join.on)
    if shared:
        raise ConfigError(f"join {join.source}: both tables have {listed(sorted(shared))}; add to on or rename")
    doubled = other.duplicated(join.on)
    if doubled.any():
        rows = tuple(int(row) for row in doubled.to_numpy().nonzero()[0])
        raise DataError(
            "",
            [
                Finding(
                    "TSF-JOIN-DUP",
                    f"{join.source}: keys {listed(join.on)} are not unique",
                    rows=rows[:5],
                    count=len(rows),
                    fix="keep one row a key, or name more columns in on",
                )
            ],
        )
    for key in join.on:
        if (table[key].dtype.kind == "M") != (other[key].dtype.kind == "M"):
            raise ConfigError(
                f"join {join.source}: column {key!r} is {table[key].dtype} here and {other[key].dtype} there"
            )
    return table.merge(other, on=join.on, how="left")


def _cut(
    table: pd.DataFrame, job: Job, id_: str | None, known: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """History up to as_of, and the known columns of the rows after it."""
    if job.as_of is None:
        return table, None
    times = table[job.data.time]
    limit: object = job.as_of
    if not isinstance(job.as_of, int):
        limit = pd.Timestamp(job.as_of)
        times = pd.to_datetime(times) if times.dtype.kind != "M" else times
        # A date means the whole of that day.
        limit = limit + pd.Timedelta(days=1) if type(job.as_of).__name__ == "date" else limit
        limit = limit.tz_localize(times.dt.tz) if times.dt.tz is not None and limit.tzinfo is None else limit
        before = times < limit if type(job.as_of).__name__ == "date" else times <= limit
    else:
        before = times <= limit
    if not before.any():
        raise ConfigError(f"as_of = {job.as_of}: no row is that early; the first is {times.min()}")
    names = [id_, job.data.time, *known]
    ahead = table.loc[~before, [name for name in dict.fromkeys(names) if name is not None]]
    return table[before | times.isna()], ahead if len(ahead) and known else None
