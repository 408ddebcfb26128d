"""Sources: the tables that a job reads, and which file and line each row came from."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsforecast import datasets
from tsforecast.errors import ConfigError, DataError, Finding, listed, require

__all__ = ["Source", "need", "read"]

NOT_UTF8 = "its text is not UTF-8: save it as UTF-8"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A table and where its rows came from: `files` and the row of the table at which each begins."""

    table: pd.DataFrame
    files: tuple[str, ...]
    first: tuple[int, ...]
    header: int

    def place(self, row: int) -> tuple[str, int]:
        """File and line (CSV) or row from 0 (parquet) of a row of the table."""
        number = int(np.searchsorted(self.first, row, side="right")) - 1
        return self.files[number], row - self.first[number] + self.header


def read(location: str, base: Path, *, texts: Iterable[str] = (), static: bool = False) -> Source:
    """The rows at a location (csv:, parquet:, dataset:) relative to `base`; columns in `texts` stay text.

    A glob reads all files it matches, by name; `static` asks a data set for its static table. DataError where a file
    is damaged or its columns differ.
    """
    scheme, _, rest = location.partition(":")
    if scheme == "dataset":
        table = datasets.load(rest, static=True)[1] if static else datasets.load(rest)
        return Source(table, (location,), (0,), 0)
    files = _matches(rest, base)
    tables = [_read_one(file, scheme, tuple(texts)) for file in files]
    for file, table in zip(files, tables, strict=True):
        different = set(table.column_names) ^ set(tables[0].column_names)
        if different:
            raise DataError(f"{file} and {files[0]} do not have the same columns: {listed(sorted(different))}")
    arrow = require("pyarrow", "cli")
    whole = arrow.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0]
    first = np.cumsum([0, *(table.num_rows for table in tables[:-1])])
    return Source(
        whole.to_pandas(date_as_object=False),
        tuple(str(file) for file in files),
        tuple(int(row) for row in first),
        2 if scheme == "csv" else 0,
    )


def _matches(pattern: str, base: Path) -> list[Path]:
    whole = str(base / Path(pattern).expanduser())
    files = [Path(found) for found in sorted(glob.glob(whole, recursive=True)) if Path(found).is_file()]
    if not files:
        folder = Path(whole).parent
        there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        near = difflib.get_close_matches(Path(whole).name, there, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; {folder} does not exist" if not folder.is_dir() else ""
        raise ConfigError(f"no file at {whole}{hint}")
    return files


def _read_one(file: Path, scheme: str, texts: Sequence[str]) -> Any:
    arrow = require("pyarrow", "cli")
    try:
        if scheme == "parquet":
            return require("pyarrow.parquet", "cli").read_table(file)
        csv = require("pyarrow.csv", "cli")
        # Ids stay text: 007 is not 7, and the store "NA" is not a missing value.
        kept = {name: arrow.string() for name in texts}
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=kept))
    except arrow.ArrowInvalid as cause:
        what = str(cause).splitlines()[0]
        if "UTF8" in what or "UTF-8" in what:
            what = NOT_UTF8
        raise DataError(f"{file} cannot be read as {scheme}: {what}") from cause
    if any(arrow.types.is_binary(column.type) for column in table.schema):
        raise DataError(f"{file} cannot be read as {scheme}: {NOT_UTF8}")
    return table


def need(there: Iterable[object], columns: Iterable[str | None], where: str) -> None:
    """DataError for columns that are not `there`, each with the nearest one that is."""
    known = [str(name) for name in there]
    missing = [name for name in dict.fromkeys(columns) if name is not None and name not in known]
    if missing:
        found = []
        for name in missing:
            near = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"there are {listed(known, 12)}"
            found.append(Finding("TSF-COLUMN", f"{where} lacks a column", column=name, fix=fix))
        raise DataError("", found)
