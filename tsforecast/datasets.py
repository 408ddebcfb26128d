"""Data sets that come with the package: two real ones and a simulated one whose truth is known."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tsforecast.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load", "names"]


def names() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(sorted(_READERS))


def load(name: str) -> pd.DataFrame:
    """The long table (unique_id, ds, y, ...) of a data set; ConfigError lists the names when there is no such set."""
    if name not in _READERS:
        raise ConfigError(f"no data set {name!r}; there are {', '.join(names())}")
    return _READERS[name]()


def _path(file: str) -> Path:
    # A wheel carries the files inside the package; an editable install reads them from the checkout.
    inside = Path(str(files("tsforecast"))) / "_data" / file
    return inside if inside.exists() else Path(__file__).parent.parent / "data" / file


def _nyse() -> pd.DataFrame:
    import pandas as pd

    raw = pd.read_csv(_path("nyse.csv"), parse_dates=["date"])
    table = raw.rename(columns={"date": "ds", "log_volume": "y"})
    table.insert(0, "unique_id", "NYSE")
    return table[["unique_id", "ds", "y", "DJ_return", "log_volatility", "day_of_week", "train"]]


_READERS = {"nyse": _nyse}
