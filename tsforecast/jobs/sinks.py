"""Sinks: tables written so that a reader sees the former file or the new one, never a part of either."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tsforecast.artifact.container import replacing
from tsforecast.errors import ConfigError, require

__all__ = ["target", "write_table"]


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        if scheme == "csv":
            file.write(table.to_csv(index=False).encode())
        else:
            arrow, parquet = require("pyarrow", "cli"), require("pyarrow.parquet", "cli")
            parquet.write_table(arrow.Table.from_pandas(table, preserve_index=False), file, compression="zstd")
    return path
