"""Sinks: files replaced in one step, so that a reader sees the former one or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pandas as pd

from tsforecast.errors import ConfigError, require

__all__ = ["replace_file", "target", "write_table"]


def replace_file(path: Path, write: Callable[[IO[bytes]], Any]) -> Path:
    """Fill a private temporary file beside `path`, fsync it, rename it over `path`, fsync the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    private = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with private.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        private.replace(path)
    finally:
        private.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return path


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; there the rename alone has to do.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def target(location: str, base: Path) -> tuple[str, Path]:
    """Scheme and file of a location to write to; the scheme is the suffix where the path has none."""
    scheme, _, rest = location.partition(":")
    if scheme not in ("csv", "parquet"):
        raise ConfigError(f"cannot write to {location!r}; there are csv: and parquet:")
    path = base / Path(rest).expanduser()
    return scheme, path if path.suffix else path.with_suffix(f".{scheme}")


def write_table(table: pd.DataFrame, location: str, base: Path) -> Path:
    """Write a table as parquet or CSV; returns the file."""
    scheme, path = target(location, base)
    if scheme == "csv":
        return replace_file(path, lambda file: table.to_csv(file, index=False, encoding="utf-8"))
    arrow, parquet = require("pyarrow", "cli"), require("pyarrow.parquet", "cli")
    whole = arrow.Table.from_pandas(table, preserve_index=False)
    return replace_file(path, lambda file: parquet.write_table(whole, file, compression="zstd"))
