"""Odd but valid tables: none is refused, and each gives the block and the forecast of its plain twin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tsforecast import frames
from tsforecast.findings import check
from tsforecast.forecast import Forecast
from tsforecast.models.naive import SeasonalNaive
from tsforecast.panel import Panel

IDS = ["a", "b", "c"]


def plain(stamps: Any, ids: list[Any] = IDS) -> pd.DataFrame:
    """Three series that begin one after the other, sorted, whole numbers as values."""
    rng = np.random.default_rng(7)
    parts = [
        pd.DataFrame({"unique_id": one, "ds": stamps[i:], "y": rng.integers(0, 100, len(stamps) - i).astype(float)})
        for i, one in enumerate(ids)
    ]
    return pd.concat(parts, ignore_index=True)


def dates(freq: str, periods: int = 12, start: str = "2024-01-01") -> pd.DatetimeIndex:
    return pd.date_range(pd.Timestamp(start).as_unit("us"), periods=periods, freq=freq)


DAILY = plain(dates("D"))

KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda df: df,
    "polars": lambda df: pl.from_arrow(pa.Table.from_pandas(df, preserve_index=False)),
    "lazy": lambda df: pl.from_arrow(pa.Table.from_pandas(df, preserve_index=False)).lazy(),
    "pyarrow": lambda df: pa.Table.from_pandas(df, preserve_index=False),
}

# --- stamps of every frequency, in every kind of table

STAMPS: dict[str, tuple[Any, Any]] = {
    "daily": (dates("D"), "D"),
    "daily at nine": (dates("D", start="2024-01-01 09:00"), "D"),
    "over a leap day": (dates("D", start="2024-02-25"), "D"),
    "every second day": (dates("2D"), "2D"),
    "hourly": (dates("h", 60), "h"),
    "hourly at half past": (dates("h", 60, "2024-01-01 00:30"), "h"),
    "six hours": (dates("6h"), "6h"),
    "15 minutes": (dates("15min", 50), "15min"),
    "seconds": (dates("30s", 50), "30s"),
    "milliseconds": (dates("250ms", 50), "250ms"),
    "weeks to Sunday": (dates("W-SUN"), "W-SUN"),
    "weeks to Wednesday": (dates("W-WED"), "W-WED"),
    "fortnights": (dates("2W-MON"), "2W-MON"),
    "month starts": (dates("MS", 30), "MS"),
    "month ends": (dates("ME", 30), "ME"),
    "business month ends": (dates("BME", 30), "BME"),
    "quarter starts": (dates("QS-JAN", 12), "QS-JAN"),
    "quarter ends": (dates("QE-DEC", 12), "QE-DEC"),
    "quarter ends from November": (dates("QE-NOV", 12), "QE-NOV"),
    "year starts": (dates("YS-JAN", 12), "YS-JAN"),
    "years from April": (dates("YS-APR", 12), "YS-APR"),
    "year ends": (dates("YE-DEC", 12), "YE-DEC"),
    "business days": (dates("B", 30), "B"),
    "the year 1700": (dates("D", start="1700-02-20"), "D"),
    "the year 2200": (dates("MS", start="2199-11-01"), "MS"),
    "integers": (np.arange(5, 25), 1),
    "integers by five": (np.arange(0, 100, 5), 5),
    "negative integers": (np.arange(-8, 8), 1),
    "years as integers": (np.arange(1990, 2020), 1),
}


def assert_twin(panel: Panel, df: pd.DataFrame) -> None:
    """The block holds exactly the rows of `df`, by pandas' own sort and grouping."""
    wanted = df.sort_values(["unique_id", "ds"], kind="stable")
    groups = list(wanted.groupby("unique_id", sort=True))
    ends = np.array([wanted["ds"].min(), wanted["ds"].max()]).astype(panel.grid.dtype)
    np.testing.assert_array_equal(panel.grid[[0, -1]], ends)
    assert [str(one) for one in panel.ids] == [str(one) for one, _ in groups]
    for i, (_, rows) in enumerate(groups):
        span = slice(panel.start[i], panel.stop[i])
        np.testing.assert_array_equal(panel.y[span], rows["y"].to_numpy())
        stamps = panel.grid[np.arange(panel.start[i], panel.stop[i]) + panel.offset[i]]
        np.testing.assert_array_equal(stamps, rows["ds"].to_numpy().astype(panel.grid.dtype))


def assert_same_block(one: Panel, two: Panel) -> None:
    for name in ("ids", "start", "stop", "y", "grid", "offset"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.freq, one.tz) == (two.freq, two.tz)


def naive(panel: Panel, h: int = 3) -> Any:
    """Last value held, as a table: enough to see ids, values and coming stamps."""
    last = panel.y[panel.stop - 1]
    return frames.forecast_table(panel, Forecast(np.repeat(last[:, None], h, axis=1)), alias="Naive")


def listed(table: Any) -> dict[str, list[Any]]:
    """Any table as plain lists."""
    if isinstance(table, pd.DataFrame):
        return {name: table[name].tolist() for name in table.columns}
    return table.to_dict(as_series=False) if isinstance(table, pl.DataFrame) else table.to_pydict()


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("name", list(STAMPS))
def test_every_frequency_in_every_kind_of_table(name: str, kind: str) -> None:
    stamps, freq = STAMPS[name]
    df = plain(stamps)
    table = KINDS[kind](df)
    panel = Panel.from_table(table)
    assert panel.freq == freq
    assert_twin(panel, df)
    assert len(check(table)) == 0
    out = naive(panel)
    assert type(out) is {"pandas": pd.DataFrame, "pyarrow": pa.Table}.get(kind, pl.DataFrame)
    step = freq if isinstance(freq, int) else pd.tseries.frequencies.to_offset(freq)
    coming = [stamps[-1] + step * k for k in (1, 2, 3)]
    assert listed(out)["ds"] == coming * 3
    assert listed(out)["unique_id"] == [one for one in IDS for _ in range(3)]
    forecasts = [listed(SeasonalNaive(season=5).fit(one).predict(7)) for one in (table, df)]
    assert forecasts[0] == forecasts[1]
    assert forecasts[0]["SeasonalNaive"][:5] == df[df["unique_id"] == "a"]["y"].tolist()[-5:]


# --- other ways to write the same daily table

ARROW = {
    "unique_id": pd.ArrowDtype(pa.string()),
    "ds": pd.ArrowDtype(pa.timestamp("us")),
    "y": pd.ArrowDtype(pa.float64()),
}


def cells(column: str, convert: Callable[[Any], Any], dtype: Any = object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda df: df.assign(**{column: pd.Series([convert(v) for v in df[column]], dtype=dtype, index=df.index)})


WAYS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "shuffled": lambda df: df.sample(frac=1, random_state=3),
    "reversed": lambda df: df.iloc[::-1],
    "by time, then id": lambda df: df.sort_values(["ds", "unique_id"]),
    "an odd index": lambda df: df.set_axis(list("xy" * 20)[: len(df)], axis=0),
    "an index with dates": lambda df: df.set_index(pd.DatetimeIndex(df["ds"]).rename("when")),
    "ids and times in a MultiIndex": lambda df: df.set_index(["unique_id", "ds"]),
    "times in the index": lambda df: df.set_index("ds"),
    "ids in the index": lambda df: df.set_index("unique_id"),
    "categorical ids": lambda df: df.astype({"unique_id": "category"}),
    "categories in odd order": lambda df: df.assign(unique_id=pd.Categorical(df["unique_id"], ["c", "z", "a", "b"])),
    "string dtype ids": lambda df: df.astype({"unique_id": "string"}),
    "pyarrow string ids": lambda df: df.astype({"unique_id": "string[pyarrow]"}),
    "object ids": lambda df: df.astype({"unique_id": object}),
    "Arrow columns": lambda df: df.astype(ARROW),
    "Arrow dates": lambda df: df.assign(ds=df["ds"].dt.date.astype(pd.ArrowDtype(pa.date32()))),
    "Arrow decimals": cells("y", lambda v: Decimal(int(v)), pd.ArrowDtype(pa.decimal128(10, 2))),
    "Arrow integers": lambda df: df.astype({"y": pd.ArrowDtype(pa.int64())}),
    "Int64 values": lambda df: df.astype({"y": "Int64"}),
    "Float64 values": lambda df: df.astype({"y": "Float64"}),
    "Float32 values": lambda df: df.astype({"y": "Float32"}),
    "float32 values": lambda df: df.astype({"y": np.float32}),
    "float16 values": lambda df: df.astype({"y": np.float16}),
    "int8 values": lambda df: df.astype({"y": np.int8}),
    "uint64 values": lambda df: df.astype({"y": np.uint64}),
    "Decimal values": cells("y", lambda v: Decimal(str(v))),
    "object floats": cells("y", float),
    "object integers": cells("y", int),
    "numpy scalars as objects": cells("y", np.float32),
    "numeric categories": lambda df: df.astype({"y": "category"}),
    "integer categories": lambda df: df.astype({"y": int}).astype({"y": "category"}),
    "date objects": cells("ds", lambda v: v.date()),
    "datetime objects": cells("ds", lambda v: v.to_pydatetime()),
    "Timestamp objects": cells("ds", pd.Timestamp),
    "datetime64 objects": cells("ds", lambda v: v.to_datetime64()),
    "ISO dates as text": cells("ds", lambda v: v.date().isoformat(), "str"),
    "ISO date-times as text": cells("ds", lambda v: v.isoformat(), "str"),
    "ISO text with blanks": cells("ds", lambda v: f" {v.isoformat(' ')} "),
    "basic ISO text": cells("ds", lambda v: v.strftime("%Y%m%d")),
    "ISO text as categories": lambda df: df.assign(ds=df["ds"].dt.strftime("%Y-%m-%d").astype("category")),
    "ISO text in Arrow": lambda df: df.assign(ds=df["ds"].dt.strftime("%Y-%m-%d").astype(pd.ArrowDtype(pa.string()))),
    "nanoseconds": lambda df: df.assign(ds=df["ds"].dt.as_unit("ns")),
    "milliseconds": lambda df: df.assign(ds=df["ds"].dt.as_unit("ms")),
    "seconds": lambda df: df.assign(ds=df["ds"].dt.as_unit("s")),
    "periods": lambda df: df.assign(ds=df["ds"].dt.to_period("D")),
    "extra columns": lambda df: df.assign(x=1.5, flag=True, text="q", when=pd.Timestamp("2020-01-01"), none=None),
    "lists beside": lambda df: df.assign(nested=[[1, 2]] * len(df)),
    "columns in another order": lambda df: df[["y", "ds", "unique_id"]],
    "column names that are numbers beside": lambda df: df.assign(**{"0": 1.0}).rename(columns={"0": 0}),
    "polars dates": lambda df: KINDS["polars"](df).with_columns(pl.col("ds").cast(pl.Date)),
    "polars nanoseconds": lambda df: KINDS["polars"](df).with_columns(pl.col("ds").cast(pl.Datetime("ns"))),
    "polars categories": lambda df: KINDS["polars"](df).with_columns(pl.col("unique_id").cast(pl.Categorical)),
    "polars enum": lambda df: KINDS["polars"](df).with_columns(pl.col("unique_id").cast(pl.Enum(["c", "b", "a"]))),
    "polars decimals": lambda df: KINDS["polars"](df).with_columns(pl.col("y").cast(pl.Decimal(20, 2))),
    "polars integers": lambda df: KINDS["polars"](df).with_columns(pl.col("y").cast(pl.Int16)),
    "polars text dates": lambda df: KINDS["polars"](df).with_columns(pl.col("ds").dt.strftime("%Y-%m-%d")),
    "polars lists beside": lambda df: KINDS["polars"](df).with_columns(pl.lit([1, 2]).alias("nested")),
    "Arrow table with dates": lambda df: pa.Table.from_pandas(df.assign(ds=df["ds"].dt.date), preserve_index=False),
    "Arrow table in chunks": lambda df: pa.concat_tables(
        [pa.Table.from_pandas(part, preserve_index=False) for _, part in df.groupby(np.arange(len(df)) % 4)]
    ),
    "Arrow dictionaries": lambda df: pa.Table.from_pandas(df.astype({"unique_id": "category"}), preserve_index=False),
    "Arrow dictionaries in chunks": lambda df: pa.concat_tables(
        [
            pa.Table.from_pandas(p.astype({"unique_id": "category"}), preserve_index=False)
            for _, p in df.groupby("unique_id")
        ]
    ),
    "Arrow large strings": lambda df: pa.Table.from_pandas(df, preserve_index=False).cast(
        pa.schema([("unique_id", pa.large_string()), ("ds", pa.timestamp("us")), ("y", pa.float64())])
    ),
    "Arrow decimals in a table": lambda df: pa.Table.from_pandas(df, preserve_index=False).cast(
        pa.schema([("unique_id", pa.string()), ("ds", pa.date32()), ("y", pa.decimal128(10, 2))])
    ),
}


@pytest.mark.parametrize("name", list(WAYS))
def test_other_ways_to_write_the_same_table(name: str) -> None:
    table = WAYS[name](DAILY)
    panel = Panel.from_table(table)
    assert panel.freq == "D"
    assert_twin(panel, DAILY)
    found = listed(check(table))["code"]
    assert set(found) <= {"TSF-ORDER"}
    ours, twin = (listed(SeasonalNaive().fit(one).predict(9)) for one in (table, DAILY))
    assert ours["unique_id"] == twin["unique_id"]
    assert ours["SeasonalNaive"] == twin["SeasonalNaive"]
    assert [pd.Timestamp(stamp) for stamp in ours["ds"]] == twin["ds"]


# --- ids of all sorts

ID_SETS: dict[str, list[Any]] = {
    "integers": [3, 20, 100],
    "negative integers": [-5, -4, 7],
    "large integers": [2**40, 2**40 + 1, 2**62],
    "Korean": ["가락점", "강남점", "제주 본점"],
    "emoji": ["🍎", "🍏", "👩‍👩‍👧"],
    "digits as text": ["001", "01", "1"],
    "upper and lower case": ["A", "B", "a"],
    "markup": ["<b>x</b>", "=1+1", "x'; DROP TABLE"],
    "long": ["x" * 500, "x" * 501, "y"],
    "with blanks inside": ["a\tb", "a  b", "a b"],
    "right to left": ["א", "ב", "ג"],
    "combining letters": ["e\u0301", "o\u0302", "u\u0308"],
    "floats": [0.5, 1.5, 2.5],
    "dates": [dt.date(2020, 1, 1), dt.date(2020, 1, 2), dt.date(2021, 1, 1)],
    "tuples of one": ["(1,)", "(2,)", "(3,)"],
    "words that mean nothing": ["NA", "None", "nan"],
}


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("name", list(ID_SETS))
def test_ids_of_all_sorts(name: str, kind: str) -> None:
    ids = ID_SETS[name]
    df = plain(dates("D"), ids)
    table = KINDS[kind](df)
    panel = Panel.from_table(table)
    assert panel.ids.tolist() == ids
    assert len(check(table)) == 0
    out = listed(naive(panel))
    assert out["unique_id"] == [one for one in ids for _ in range(3)]
    assert out["Naive"] == [float(df[df["unique_id"] == one]["y"].iloc[-1]) for one in ids for _ in range(3)]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_hashes_as_ids_keep_every_digit(kind: str) -> None:
    hashes = np.array([1, 2**63, 2**64 - 1], dtype=np.uint64)
    df = DAILY.assign(unique_id=hashes[DAILY["unique_id"].map({"a": 0, "b": 1, "c": 2})])
    out = listed(SeasonalNaive().fit(KINDS[kind](df)).predict(2))
    assert out["unique_id"] == [one for one in hashes.tolist() for _ in range(2)]


# --- time zones: days are local, hours are steps of UTC

ZONES: dict[str, tuple[str, str, str, int]] = {
    "Seoul days": ("Asia/Seoul", "D", "2024-03-01", 20),
    "New York days over spring": ("America/New_York", "D", "2024-03-05", 12),
    "New York days over autumn": ("America/New_York", "D", "2024-10-30", 12),
    "Sao Paulo days whose midnight is skipped": ("America/Sao_Paulo", "D", "2018-10-30", 12),
    "Cairo days whose midnight is skipped": ("Africa/Cairo", "D", "2024-04-20", 12),
    "London weeks": ("Europe/London", "W-MON", "2024-03-01", 12),
    "Sydney months": ("Australia/Sydney", "MS", "2023-06-01", 20),
    "Kathmandu days": ("Asia/Kathmandu", "D", "2024-01-01", 12),
    "UTC days": ("UTC", "D", "2024-01-01", 12),
}


def local(zone: str, freq: str, start: str, periods: int) -> pd.DatetimeIndex:
    wall = pd.date_range(start, periods=periods, freq=freq, unit="us")
    return wall.tz_localize(zone, nonexistent="shift_forward")


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("name", list(ZONES))
def test_local_days_are_days(name: str, kind: str) -> None:
    zone, freq, start, periods = ZONES[name]
    whole = local(zone, freq, start, periods + 3)
    df = plain(whole[:periods])
    table = KINDS[kind](df)
    panel = Panel.from_table(table)
    assert (panel.freq, str(panel.tz)) == (freq, zone)
    assert_same_block(panel, Panel.from_table(table, freq=freq))
    assert not np.isnan(panel.y).any()
    assert len(check(table)) == 0
    coming = [pd.Timestamp(stamp) for stamp in listed(naive(panel))["ds"]]
    assert coming == whole[periods:].tolist() * 3


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("start", ["2024-03-09 12:00", "2024-11-02 12:00", "2024-06-01"])
@pytest.mark.parametrize("freq", ["h", "30min"])
def test_hours_over_a_clock_change_are_steps_of_utc(freq: str, start: str, kind: str) -> None:
    begin = pd.Timestamp(start).as_unit("us").tz_localize("America/New_York").tz_convert("UTC")
    whole = pd.date_range(begin, periods=63, freq=freq).tz_convert("America/New_York")
    table = KINDS[kind](plain(whole[:60]))
    panel = Panel.from_table(table)
    assert panel.freq == freq
    assert_same_block(panel, Panel.from_table(table, freq=freq))
    assert not np.isnan(panel.y).any()
    assert len(check(table)) == 0
    coming = [pd.Timestamp(stamp) for stamp in listed(naive(panel))["ds"]]
    assert coming == whole[60:].tolist() * 3


def test_days_of_utc_that_carry_another_zone_are_days_of_utc() -> None:
    whole = pd.date_range("2024-03-01", periods=23, freq="D", tz="UTC").tz_convert("America/New_York")
    panel = Panel.from_table(plain(whole[:20]))
    assert (panel.freq, panel.tz) == ("D", "UTC")
    assert not np.isnan(panel.y).any()
    assert [pd.Timestamp(stamp) for stamp in listed(naive(panel))["ds"]] == whole[20:].tolist() * 3
    assert_same_block(panel, Panel.from_table(plain(whole[:20]), freq="D"))


@pytest.mark.parametrize("offset", ["+09:00", "-03:30", "Z"])
def test_text_with_an_offset_is_read_in_that_zone(offset: str) -> None:
    df = DAILY.assign(ds=DAILY["ds"].dt.strftime(f"%Y-%m-%dT%H:%M:%S{offset}"))
    panel = Panel.from_table(df)
    assert panel.freq == "D"
    assert_twin(panel, DAILY)
    for kind in ("pandas", "polars", "pyarrow"):
        coming = listed(naive(Panel.from_table(KINDS[kind](df))))["ds"]
        assert pd.Timestamp(coming[0]) == pd.Timestamp(f"2024-01-13T00:00{offset}")


# --- few rows, few series


@pytest.mark.parametrize("kind", list(KINDS))
def test_one_row_with_a_frequency(kind: str) -> None:
    panel = Panel.from_table(KINDS[kind](DAILY.head(1)), freq="D")
    assert panel.y.tolist() == [DAILY["y"].iloc[0]]
    assert [pd.Timestamp(s) for s in listed(naive(panel))["ds"]] == dates("D", 3, "2024-01-02").tolist()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_table_without_ids_is_one_series_and_stays_so(kind: str) -> None:
    table = KINDS[kind](DAILY[DAILY["unique_id"] == "a"][["ds", "y"]])
    panel = Panel.from_table(table)
    assert panel.names.id is None
    assert list(listed(naive(panel))) == ["ds", "Naive"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_names_of_the_callers_own(kind: str) -> None:
    table = KINDS[kind](DAILY.rename(columns={"unique_id": "매장", "ds": "날짜", "y": "매출"}))
    panel = Panel.from_table(table, id="매장", time="날짜", target="매출")
    assert_twin(panel, DAILY)
    assert list(listed(naive(panel))) == ["매장", "날짜", "Naive"]


@pytest.mark.parametrize("given", ["D", "d", "24h", pd.Timedelta("1D"), dt.timedelta(days=1), pd.offsets.Day()])
def test_one_frequency_in_several_words(given: Any) -> None:
    panel = Panel.from_table(DAILY, freq=given)
    assert panel.freq == "D"
    assert_twin(panel, DAILY)


@pytest.mark.parametrize(
    ("given", "stamps", "meant"),
    [
        ("H", dates("h"), "h"),
        ("M", dates("ME"), "ME"),
        ("Q", dates("QE"), "QE-DEC"),
        ("A", dates("YE"), "YE-DEC"),
        ("T", dates("min"), "min"),
        ("60min", dates("h"), "h"),
        ("W", dates("W-THU"), "W-THU"),
        ("7D", dates("W-TUE"), "W-TUE"),
        ("W-THU", dates("W-THU"), "W-THU"),
        (pd.offsets.MonthEnd(), dates("ME"), "ME"),
        (2, np.arange(0, 30, 2), 2),
    ],
)
def test_older_and_shorter_aliases(given: Any, stamps: Any, meant: Any) -> None:
    assert Panel.from_table(plain(stamps), freq=given).freq == meant


def test_a_custom_calendar_of_business_days() -> None:
    offset = pd.offsets.CustomBusinessDay(holidays=["2024-01-08", "2024-02-01"])
    df = plain(pd.date_range("2024-01-02", periods=20, freq=offset).as_unit("us"))
    panel = Panel.from_table(df, freq=offset)
    assert_twin(panel, df)
    assert listed(naive(panel))["ds"][:3] == [pd.Timestamp(d) for d in ("2024-01-31", "2024-02-02", "2024-02-05")]


def test_trading_days_taken_as_consecutive() -> None:
    days = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-05", "2024-01-06", "2024-01-09", "2024-01-10"])
    df = plain(days.as_unit("us"))
    panel = Panel.from_table(df.sample(frac=1, random_state=1), freq="B", gaps="ignore")
    assert panel.at is not None
    assert panel.y.tolist() == df["y"].tolist()
    assert panel.grid[panel.at].tolist() == df["ds"].to_numpy().astype("datetime64[us]").tolist()
    assert listed(naive(panel, 2))["ds"][:2] == [pd.Timestamp("2024-01-11"), pd.Timestamp("2024-01-12")]
