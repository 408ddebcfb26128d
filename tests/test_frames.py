"""The doors against pandas: coming stamps, tables out, values known beforehand, static tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsforecast import frames
from tsforecast.errors import ConfigError, DataError, FutureError
from tsforecast.forecast import STATUSES, Forecast
from tsforecast.frames import grids
from tsforecast.panel import Names, Panel

ALIASES = [
    "D", "2D", "h", "6h", "15min", "30s", "100ms", "W-SUN", "W-THU", "2W-MON", "MS", "ME", "2MS",
    "BMS", "BME", "QS-JAN", "QS-FEB",
    "QE-DEC", "QE-OCT", "BQE-DEC", "YS-JAN", "YS-JUL", "YE-DEC", "YE-MAR", "B",
]  # fmt: skip


def table(ids: tuple[str, ...] = ("a", "b"), length: int = 20, freq: str = "D") -> pd.DataFrame:
    stamps = pd.date_range(pd.Timestamp("2024-01-01").as_unit("us"), periods=length, freq=freq)
    parts = [
        pd.DataFrame({"unique_id": one, "ds": stamps[: length - i], "y": np.arange(length - i) + 100.0 * i})
        for i, one in enumerate(ids)
    ]
    return pd.concat(parts, ignore_index=True)


def arrow(df: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(df, preserve_index=False)


def lists(data: Any) -> dict[str, list[Any]]:
    if isinstance(data, pd.DataFrame):
        return {name: data[name].tolist() for name in data.columns}
    return data.to_dict(as_series=False) if isinstance(data, pl.DataFrame) else data.to_pydict()


# --- frequencies


@settings(max_examples=60)
@given(
    st.sampled_from(ALIASES), st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")), st.integers(1, 30)
)
def test_the_grid_and_what_follows_are_those_of_pandas(alias: str, begin: Any, size: int) -> None:
    begin = pd.Timestamp(begin).floor("D").as_unit("us")
    wanted = pd.date_range(begin, periods=size + 5, freq=alias).to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(grids.between(alias, wanted[0], wanted[size - 1]), wanted[:size])
    np.testing.assert_array_equal(grids.ahead(alias, wanted[size - 1], 5), wanted[size:])


@settings(max_examples=60)
@given(st.sampled_from([a for a in ALIASES if a not in ("2MS",)]), st.integers(0, 2**32 - 1))
def test_the_frequency_is_read_from_thin_series(alias: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(pd.Timestamp("2001-03-07").as_unit("us"), periods=60, freq=alias)
    parts = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": stamps[np.sort(rng.choice(60, 45, replace=False))], "y": 1.0})
        for i in range(3)
    ]
    assert Panel.from_table(pd.concat(parts)).freq == alias


def test_a_step_that_is_usual_and_too_wide_gives_way_to_one_that_divides_it() -> None:
    days = np.array([0, 2, 4, 6, 8, 9, 11, 13, 15, 17])
    df = pd.DataFrame({"ds": pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D"), "y": 1.0})
    assert Panel.from_table(df).freq == "D"
    assert Panel.from_table(df.assign(ds=days)).freq == 1
    odd = df.assign(ds=np.array([0, 4, 8, 12, 16, 22, 26, 30, 34, 38]))
    with pytest.raises(DataError, match="TSF-FREQ"):
        Panel.from_table(odd)


@given(st.integers(1, 5_000))
def test_steps_are_named_as_pandas_reads_them(seconds: int) -> None:
    alias = grids.named(seconds * 1_000_000)
    assert pd.tseries.frequencies.to_offset(alias) == pd.tseries.frequencies.to_offset(f"{seconds}s")


# --- tables out


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_forecast_table_holds_every_array_in_its_place(kind: str) -> None:
    df = table()
    panel = Panel.from_table({"pandas": df, "polars": pl.from_arrow(arrow(df)), "pyarrow": arrow(df)}[kind])
    rng = np.random.default_rng(0)
    point, width = rng.normal(size=(2, 3)), rng.random((2, 3, 2))
    forecast = Forecast(point, point[..., None] - width, point[..., None] + width, np.array([0, 3], np.int8))
    out = frames.forecast_table(panel, forecast, alias="AR", levels=(80, 97.5), with_status=True)
    wanted = [
        {
            "unique_id": panel.ids[i],
            "ds": pd.Timestamp("2024-01-21") + pd.Timedelta(days=k - i),
            "AR": point[i, k],
            "AR-lo-80": point[i, k] - width[i, k, 0],
            "AR-hi-80": point[i, k] + width[i, k, 0],
            "AR-lo-97.5": point[i, k] - width[i, k, 1],
            "AR-hi-97.5": point[i, k] + width[i, k, 1],
            "status": STATUSES[forecast.status[i]],
        }
        for i in range(2)
        for k in range(3)
    ]
    assert lists(out) == lists(pd.DataFrame(wanted))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tz", [None, "UTC", "Asia/Seoul", "America/New_York"])
def test_time_keeps_its_unit_and_zone(unit: str, tz: str | None) -> None:
    df = table()
    df["ds"] = df["ds"].dt.as_unit(unit).dt.tz_localize(tz)
    made = frames.make_future(Panel.from_table(df), 2)
    assert made["ds"].dtype == df["ds"].dtype
    made = frames.make_future(Panel.from_table(arrow(df)), 2)
    assert made.schema.field("ds").type == arrow(df).schema.field("ds").type


def test_dates_stay_dates_outside_pandas() -> None:
    dated = pl.from_arrow(arrow(table())).with_columns(pl.col("ds").cast(pl.Date))
    assert frames.make_future(Panel.from_table(dated), 2).schema["ds"] == pl.Date
    assert frames.make_future(Panel.from_table(dated.to_arrow()), 2).schema.field("ds").type == pa.date32()


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_any_columns_become_a_table_of_the_callers_kind(kind: str) -> None:
    df = table()
    panel = Panel.from_table({"pandas": df, "polars": pl.from_arrow(arrow(df)), "pyarrow": arrow(df)}[kind])
    columns = {
        "name": np.array(["x", "가", None], dtype=object),
        "when": np.array(["2024-01-01", "2024-02-01", "NaT"], dtype="datetime64[us]"),
        "count": np.array([1, 2, 3]),
        "value": np.array([0.5, np.nan, -1.0]),
    }
    out = frames.native(columns, panel)
    assert [None if not isinstance(v, str) else v for v in lists(out)["name"]] == ["x", "가", None]
    assert lists(out)["count"] == [1, 2, 3]
    np.testing.assert_array_equal(np.array(lists(out)["value"], dtype=float), columns["value"])


# --- values known beforehand


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_known_values_are_those_of_a_merge(seed: int, h: int) -> None:
    rng = np.random.default_rng(seed)
    df = table(("a", "b", "c"), 12).assign(
        price=lambda d: rng.random(len(d)), kind=lambda d: rng.choice(list("xyz"), len(d))
    )
    panel = Panel.from_table(df).replace(n_past=0)
    stamps = pd.date_range("2024-01-01", periods=30)
    every = pd.MultiIndex.from_product([["c", "a", "b", "new"], stamps], names=["unique_id", "ds"]).to_frame(
        index=False
    )
    future = every.assign(kind=rng.choice(panel.categories["kind"], len(every)), price=rng.random(len(every)))
    future = future.sample(frac=1, random_state=seed % 1000)
    wanted = frames.make_future(panel, h).merge(future, how="left", on=["unique_id", "ds"])
    values = frames.known_ahead(panel, future, h)
    np.testing.assert_array_equal(values[:, :, 0].ravel(), wanted["price"])
    labels = np.array(panel.categories["kind"])
    assert labels[values[:, :, 1].astype(int)].ravel().tolist() == wanted["kind"].tolist()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_missing_future_lists_exactly_what_known_ahead_lacks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    panel = Panel.from_table(table().assign(price=1.0)).replace(n_past=0)
    whole = frames.make_future(panel, 5).assign(price=1.0)
    future = whole.copy()
    future.loc[rng.random(10) < 0.2, "price"] = np.nan
    future = future[rng.random(10) < 0.7]
    lacking = frames.missing_future(panel, 5, future)
    there = future.dropna().index
    pd.testing.assert_frame_equal(lacking, whole.drop(there)[["unique_id", "ds"]].reset_index(drop=True))
    if len(lacking):
        with pytest.raises(FutureError):
            frames.known_ahead(panel, future, 5)
    mended = pd.concat([future.dropna(), lacking.assign(price=2.0)])
    assert frames.known_ahead(panel, mended, 5).shape == (2, 5, 1)
    assert len(frames.missing_future(panel, 5, mended)) == 0


def test_trading_days_to_come_are_those_of_the_future_table() -> None:
    days = pd.to_datetime(["2024-01-02", "2024-01-03", "2024-01-05", "2024-01-08"])
    df = pd.DataFrame({"ds": days, "y": 1.0, "open": 1.0})
    panel = Panel.from_table(df, freq="B", gaps="ignore").replace(n_past=0)
    coming = pd.to_datetime(["2024-01-10", "2024-01-11", "2024-01-16"])
    future = pd.DataFrame({"ds": [*days[-2:], *coming], "open": [9.0, 9.0, 1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(frames.known_ahead(panel, future.iloc[::-1], 3)[0, :, 0], [1, 2, 3])
    stamps = frames.future_times(panel, 4, future=future)
    wanted = [*coming, pd.Timestamp("2024-01-17")]
    assert [pd.Timestamp(stamp) for stamp in stamps[0]] == wanted
    with pytest.raises(FutureError, match="lacks 1 rows"):
        frames.known_ahead(panel, future, 4)
    with pytest.raises(FutureError, match="TSF-TS-DUP"):
        frames.known_ahead(panel, pd.concat([future, future.tail(1)]), 3)


def test_known_values_at_hours_and_days_of_a_zone() -> None:
    for freq in ("h", "D"):
        stamps = pd.date_range("2024-03-08", periods=40, freq=freq, tz="America/New_York")
        df = pd.DataFrame({"ds": stamps[:30], "y": 1.0, "p": 1.0})
        panel = Panel.from_table(df).replace(n_past=0)
        future = pd.DataFrame({"ds": stamps[30:], "p": np.arange(10.0)})
        np.testing.assert_array_equal(frames.known_ahead(panel, future, 10)[0, :, 0], np.arange(10))
        moved = future.assign(ds=future["ds"].dt.tz_convert("Asia/Seoul"))
        np.testing.assert_array_equal(frames.known_ahead(panel, moved, 10)[0, :, 0], np.arange(10))


# --- static tables


def test_a_static_table_is_aligned_by_id() -> None:
    static = pd.DataFrame({"unique_id": list("cab"), "lat": [3, 1, 2], "region": ["z", None, "y"]})
    ids = np.array(["a", "b"], dtype=object)
    columns, extra = frames.static_arrays(static, ids)
    assert columns["lat"].tolist() == [1.0, 2.0]
    assert columns["region"].tolist() == [None, "y"]
    assert extra == ("c",)
    with pytest.raises(DataError, match="no row for series d"):
        frames.static_arrays(static, np.array(["a", "d"], dtype=object))
    with pytest.raises(ConfigError, match="'store'"):
        frames.static_arrays(static, ids, id="store")


def test_reading_leaves_text_beyond_ids_to_codes_and_the_rest_out() -> None:
    df = table().assign(kind="q", nested=[[1]] * 39, when=pd.Timestamp("2024-01-01"), n=1)
    got = frames.read(df, Names())
    assert set(got.columns) == {"kind", "n"}
    assert got.categories == {"kind": ("q",)}
    with pytest.raises(ConfigError, match="'nested'"):
        frames.read(df, Names(), columns=["nested"])
