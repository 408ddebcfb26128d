"""Data sets that come with the package: two real ones, and a simulated one whose truth is known.

| name | rows | series | frequency | y |
| --- | --- | --- | --- | --- |
| `nyse` | 6,051 | 1 | trading days | log trading volume of the New York Stock Exchange |
| `colorado` | 199,422 | 376 | months | mean temperature at stations in and around Colorado, degrees C |
| `retail_kr` | 102,280 | 40 | days | simulated sales of Korean stores, ten thousand won |

`data/README.md` gives source, licence, columns, units and checksums.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from tsforecast.errors import ConfigError
from tsforecast.panel import Float

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Truth", "load", "names"]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What `retail_kr` was made of.

    components: unique_id, ds, trend, weekly, yearly, holidays, promo, noise; they add up to y.
    effects: unique_id, term, value. Terms are `level` (on the first day), `slope` (a day), `change:2020-01-25` and
    `change:2020-02-29` (of the slope), `weekday=mon` ..., `yearly:1:sin` ..., `KR:national` ... and `KR:off_weekday`
    as the calendar columns are named, `KR:seollal-14` ... `KR:chuseok+7` by days from the lunar day, `promo`, and
    `noise` (standard deviation). changepoints: dates of the two changes.
    """

    components: pd.DataFrame
    effects: pd.DataFrame
    changepoints: pd.DatetimeIndex


def names() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(_READERS)


@overload
def load(name: str, *, static: Literal[False] = ..., truth: Literal[False] = ...) -> pd.DataFrame: ...
@overload
def load(name: str, *, static: Literal[True], truth: Literal[False] = ...) -> tuple[pd.DataFrame, pd.DataFrame]: ...
@overload
def load(name: str, *, static: Literal[False] = ..., truth: Literal[True]) -> tuple[pd.DataFrame, Truth]: ...
@overload
def load(name: str, *, static: Literal[True], truth: Literal[True]) -> tuple[pd.DataFrame, pd.DataFrame, Truth]: ...
def load(name: str, *, static: bool = False, truth: bool = False) -> Any:
    """The long table (unique_id, ds, y, ...) of a data set; with `static` and `truth` a tuple that has these too.

    The static table has one row a series: unique_id, lat, lon and more (`colorado`, `retail_kr`). ConfigError: a
    name that is not there, a static table or a truth that the set does not have.
    """
    if name not in _READERS:
        raise ConfigError(f"no data set {name!r}; there are {', '.join(names())}")
    if static and name not in _PLACES:
        raise ConfigError(f"data set {name!r} has no static table; these have: {', '.join(_PLACES)}")
    if truth and name != "retail_kr":
        raise ConfigError(f"data set {name!r} is real, its truth is not known; retail_kr has one")
    table, known = _READERS[name]()
    asked = [table, *([_places(name)] if static else []), *([known] if truth else [])]
    return asked[0] if len(asked) == 1 else tuple(asked)


def _path(file: str) -> Path:
    # A wheel carries the files inside the package; an editable install reads them from the checkout.
    inside = Path(str(files("tsforecast"))) / "_data" / file
    return inside if inside.exists() else Path(__file__).parent.parent / "data" / file


def _places(name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(_path(_PLACES[name]), dtype={"unique_id": str})


def _nyse() -> tuple[pd.DataFrame, None]:
    import pandas as pd

    raw = pd.read_csv(_path("nyse.csv"), parse_dates=["date"])
    table = raw.rename(columns={"date": "ds", "log_volume": "y"})
    table.insert(0, "unique_id", "NYSE")
    return table[["unique_id", "ds", "y", "DJ_return", "log_volatility", "day_of_week", "train"]], None


def _colorado() -> tuple[pd.DataFrame, None]:
    """Each station from its first to its last observation; months without one between them are NaN."""
    import pandas as pd

    wide = pd.read_csv(_path("colorado.csv.gz"), index_col="month", parse_dates=["month"])
    seen = wide.notna().to_numpy()
    begun = np.maximum.accumulate(seen, axis=0)
    not_over = np.maximum.accumulate(seen[::-1], axis=0)[::-1]
    station, month = np.nonzero((begun & not_over).T)
    table = pd.DataFrame(
        {
            "unique_id": wide.columns.to_numpy()[station],
            "ds": wide.index.to_numpy()[month],
            "y": wide.to_numpy()[month, station],
        }
    )
    return table, None


# retail_kr. Effects are shares of a store's level; every store deviates from them at random.
_CHANGES = ("2020-01-25", "2020-02-29")
_TREND = {"level": 1.0, "slope": 8e-5, f"change:{_CHANGES[0]}": -4.6e-3, f"change:{_CHANGES[1]}": 4.64e-3}
_WEEKLY = {"mon": -0.06, "tue": -0.05, "wed": -0.04, "thu": -0.02, "fri": 0.03, "sat": 0.09, "sun": 0.05}
_YEARLY = {"yearly:1:sin": -0.02, "yearly:1:cos": 0.04, "yearly:2:sin": 0.015, "yearly:2:cos": -0.02}
_HOLIDAYS = {
    "new_year": -0.10,
    "national": 0.03,
    "memorial": -0.03,
    "children": 0.12,
    "buddha": 0.04,
    "christmas": 0.13,
    "labor": 0.05,
    "election": 0.06,
    "temporary": 0.07,
    "substitute": 0.04,
    "off_weekday": 0.05,
}
_LUNAR = {  # by days from Seollal and Chuseok: presents before, closed doors on the day, slow days after
    "seollal": {**dict.fromkeys(range(-9, -5), 0.06), **dict.fromkeys(range(-5, -1), 0.16)}
    | {-1: -0.10, 0: -0.28, 1: -0.12, 2: -0.05, 3: -0.03},
    "chuseok": {**dict.fromkeys(range(-11, -6), 0.07), **dict.fromkeys(range(-6, -1), 0.20)}
    | {-1: -0.08, 0: -0.30, 1: -0.14, 2: -0.06, 3: -0.03},
}
_WINDOW = range(-14, 8)
_PROMO, _NOISE = 0.15, 0.03


def _retail_kr() -> tuple[pd.DataFrame, Truth]:
    """Trend + weekly + yearly + holidays + promo + noise, each linear in known columns; PCG64 with a fixed seed."""
    import pandas as pd

    ids = _places("retail_kr")["unique_id"].to_numpy()
    days = pd.date_range("2018-01-01", "2024-12-31", unit="us")
    rng = np.random.Generator(np.random.PCG64(20180101))
    groups = _retail_columns(days)
    level = np.round(rng.uniform(120, 400, len(ids)))
    promo = _promotions(rng, len(ids), len(days))
    effects: dict[str, Float] = {}
    parts: dict[str, Float] = {}
    for group, (columns, shares) in groups.items():
        values = _deviating(rng, np.array(list(shares.values())), level, exact=group == "trend")
        if group == "weekly":  # a week adds nothing, so that the level is the trend's alone
            values -= values.mean(axis=1, keepdims=True)
        effects |= dict(zip(shares, values.T, strict=True))
        parts[group] = np.einsum("nk,pk->np", values, columns)
    effects["promo"] = _deviating(rng, np.array([_PROMO]), level)[:, 0]
    effects["noise"] = _NOISE * level
    parts["promo"] = effects["promo"][:, None] * promo
    noise = effects["noise"][:, None] * rng.standard_normal(promo.shape)
    # Rounded as a till would; the last bits of a sine differ between platforms, the cents do not.
    y = np.round(sum(parts.values()) + noise, 2)
    parts["noise"] = y - sum(parts.values())
    keys = {"unique_id": np.repeat(ids, len(days)), "ds": np.tile(days.to_numpy(), len(ids))}
    table = pd.DataFrame({**keys, "y": y.ravel(), "promo": promo.ravel()})
    known = pd.DataFrame({"unique_id": ids, **effects}).melt("unique_id", var_name="term")
    components = pd.DataFrame({**keys, **{name: part.ravel() for name, part in parts.items()}})
    return table, Truth(components, known, pd.DatetimeIndex(_CHANGES))


def _deviating(rng: np.random.Generator, shares: Float, level: Float, *, exact: bool = False) -> Float:
    """Effects (n, k) of every store: the common shares, a tenth more or less by store, times its level."""
    own = 1.0 if exact else 1.0 + 0.1 * rng.standard_normal((len(level), len(shares)))
    return np.asarray(shares * own * level[:, None])


def _retail_columns(days: pd.DatetimeIndex) -> dict[str, tuple[Float, dict[str, float]]]:
    """For each component: its columns (P, k), and the share of each by name."""
    from tsforecast.calendars.features import features

    stamps = days.to_numpy("datetime64[us]")
    since = [(days - days[0]).days, *((days - np.datetime64(day)).days for day in _CHANGES)]
    trend = np.column_stack([np.ones(len(days)), *(np.maximum(past, 0) for past in since)])
    weekly, _ = features(stamps, "weekday")
    yearly, _ = features(stamps, "yearly:2")
    korean, labels = features(stamps, "KR")
    own = [f"KR:{name}" for name in _HOLIDAYS]
    lunar = _lunar_windows(stamps)
    holidays = np.column_stack([korean[:, [labels.index(name) for name in own]], *lunar.values()])
    shares = dict(zip(own, _HOLIDAYS.values(), strict=True))
    shares |= {f"KR:{day}{step:+d}": _LUNAR[day].get(step, 0.0) for day in _LUNAR for step in _WINDOW}
    return {
        "trend": (trend, _TREND),
        "weekly": (weekly, {f"weekday={day}": share for day, share in _WEEKLY.items()}),
        "yearly": (yearly, _YEARLY),
        "holidays": (holidays, shares),
    }


def _lunar_windows(stamps: np.ndarray[Any, Any]) -> dict[str, Float]:
    """Indicators (P, window) of the days from Seollal and from Chuseok."""
    from tsforecast.calendars.korea import korean_holidays

    table = korean_holidays(2018, 2025)
    days = stamps.astype("datetime64[D]")
    windows = {}
    for family, name in (("seollal", "설날"), ("chuseok", "추석")):
        on = table["name"].str.split("; ").map(lambda names, name=name: name in names)
        feast = table.loc[on, "date"].to_numpy("datetime64[D]")
        steps = (days[:, None] - feast).astype(np.int64)
        windows[family] = np.stack([(steps == step).any(axis=1) for step in _WINDOW], axis=1).astype(float)
    return windows


def _promotions(rng: np.random.Generator, stores: int, days: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Promotion days (n, P) as 0 and 1: five to ten days in a row, three to seven weeks apart."""
    gaps = rng.integers(21, 50, (stores, days // 26 + 1))
    lengths = rng.integers(5, 11, gaps.shape)
    begin = np.cumsum(gaps, axis=1) + np.cumsum(lengths, axis=1) - lengths
    steps = np.zeros((stores, days + 1), dtype=np.int64)
    store = np.arange(stores)[:, None]
    np.add.at(steps, (store, np.minimum(begin, days)), 1)
    np.add.at(steps, (store, np.minimum(begin + lengths, days)), -1)
    return np.cumsum(steps[:, :-1], axis=1)


_READERS = {"nyse": _nyse, "colorado": _colorado, "retail_kr": _retail_kr}
_PLACES = {"colorado": "colorado_places.csv", "retail_kr": "retail_kr_places.csv"}
