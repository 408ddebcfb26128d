"""Bad tables: each gives our error with code, series, time, column, rows and a remedy, or is repaired and listed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tsforecast import frames
from tsforecast.errors import ConfigError, DataError, Finding, FutureError
from tsforecast.findings import check
from tsforecast.forecast import STATUSES
from tsforecast.models.naive import SeasonalNaive
from tsforecast.panel import Panel

LENGTH = 30


def clean(ids: tuple[Any, ...] = ("a", "b", "c"), freq: str = "D", length: int = LENGTH) -> pd.DataFrame:
    """Sorted, whole, with values that differ from row to row and from series to series."""
    stamps = pd.date_range(pd.Timestamp("2024-01-01").as_unit("us"), periods=length, freq=freq)
    wave = 50 + 10 * np.sin(np.arange(length)) + np.arange(length) % 7
    parts = [pd.DataFrame({"unique_id": one, "ds": stamps, "y": wave + 100 * i}) for i, one in enumerate(ids)]
    return pd.concat(parts, ignore_index=True)


def put(column: str, row: int | list[int], value: Any, dtype: Any = None) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with other cells."""

    def change(df: pd.DataFrame) -> pd.DataFrame:
        df = df.astype({column: dtype}) if dtype is not None else df
        for one in [row] if isinstance(row, int) else row:
            df.loc[one, column] = value
        return df

    return change


def objects(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return put(column, row, value, object)


def twice(rows: list[int]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda df: pd.concat([df, df.loc[rows]], ignore_index=True)


def joined(other: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda df: pd.concat([df, other], ignore_index=True)


def renamed(ids: Mapping[Any, Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda df: df.assign(unique_id=df["unique_id"].astype(object).replace(ids))


def day(number: int) -> dt.date:
    return dt.date(2024, 1, 1) + dt.timedelta(days=number)


@dataclass(frozen=True)
class Bad:
    """A change that spoils a clean table, and the finding it must give."""

    change: Callable[[pd.DataFrame], Any]
    code: str
    series: Any = None
    column: str | None = None
    when: Any = None
    row: int | None = None
    count: int | None = None
    words: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


B = LENGTH  # first row of series b
OFF = dt.datetime(2024, 1, 6, 12, 34)
HOURS = pd.date_range(pd.Timestamp("2024-01-01").as_unit("us"), periods=LENGTH, freq="h")
STRICT = {"policies": {"TSF-Y-MISSING": "raise", "TSF-Y-TAIL": "raise"}}

BAD: dict[str, Bad] = {
    # the target
    "text among numbers": Bad(
        objects("y", B + 5, "n/a"), "TSF-Y-TYPE", "b", "y", day(5), B + 5, 1, ("n/a", "to_numeric")
    ),
    "all numbers as text": Bad(lambda d: d.assign(y=d["y"].astype("str")), "TSF-Y-TYPE", "a", "y", day(0), 0, 90),
    "numbers with commas": Bad(objects("y", 3, "1,234"), "TSF-Y-TYPE", "a", "y", day(3), 3, 1, ("1,234",)),
    "booleans": Bad(lambda d: d.assign(y=d["y"] > 55), "TSF-Y-TYPE", "a", "y", day(0), 0, 90, ("bool",)),
    "one boolean": Bad(objects("y", 7, True), "TSF-Y-TYPE", "a", "y", day(7), 7, 1, ("True",)),
    "categories of text": Bad(
        lambda d: d.assign(y=pd.Categorical(["low", "high"] * 45)), "TSF-Y-TYPE", "a", "y", day(0), 0, 90
    ),
    "dates": Bad(lambda d: d.assign(y=d["ds"]), "TSF-Y-TYPE", "a", "y", day(0), 0, 90),
    "durations": Bad(lambda d: d.assign(y=d["ds"] - d["ds"].min()), "TSF-Y-TYPE", "a", "y", day(0), 0, 90),
    "complex numbers": Bad(lambda d: d.assign(y=d["y"] + 1j), "TSF-Y-TYPE", "a", "y", day(0), 0, 90, ("complex",)),
    "lists": Bad(lambda d: d.assign(y=[[v] for v in d["y"]]), "TSF-Y-TYPE", "a", "y", day(0), 0, 90, ("list",)),
    "infinity": Bad(put("y", B + 4, np.inf), "TSF-Y-NONFINITE", "b", "y", day(4), B + 4, 1, ("inf",)),
    "minus infinity": Bad(put("y", [3, 9], -np.inf), "TSF-Y-NONFINITE", "a", "y", day(3), 3, 2, ("-inf",)),
    "Decimal infinity": Bad(objects("y", 3, Decimal("Infinity")), "TSF-Y-NONFINITE", "a", "y", day(3), 3, 1),
    "far too large": Bad(put("y", B, 1e300), "TSF-Y-RANGE", "b", "y", day(0), B, 1, ("1e+300", "1e+15")),
    "far too small": Bad(put("y", B, -1e16), "TSF-Y-RANGE", "b", "y", day(0), B, 1),
    "integers past 2^53": Bad(
        lambda d: d.assign(y=np.arange(90) + 2**60), "TSF-Y-RANGE", "a", "y", day(0), 0, 30, ("1e+15",)
    ),
    "missing inside": Bad(put("y", [4, 5], np.nan), "TSF-Y-MISSING", "a", "y", day(4), 4, 2, ("interpolate",), STRICT),
    "missing in the first row": Bad(put("y", 0, np.nan), "TSF-Y-MISSING", "a", "y", day(0), 0, 1, (), STRICT),
    "missing at the end": Bad(put("y", [28, 29], np.nan), "TSF-Y-TAIL", "a", "y", day(28), 28, 2, (), STRICT),
    "all missing": Bad(put("y", list(range(B, 60)), np.nan), "TSF-Y-TAIL", "b", "y", day(0), B, 30, (), STRICT),
    "null among Int64": Bad(
        lambda d: put("y", 4, pd.NA)(d.assign(y=d["y"].round()).astype({"y": "Int64"})),
        "TSF-Y-MISSING",
        "a",
        "y",
        day(4),
        4,
        1,
        (),
        STRICT,
    ),
    "None among objects": Bad(objects("y", 4, None), "TSF-Y-MISSING", "a", "y", day(4), 4, 1, (), STRICT),
    # time
    "NaT": Bad(put("ds", B + 5, pd.NaT), "TSF-TS-NULL", "b", "ds", None, B + 5, 1, ("dropna",)),
    "None as a date": Bad(objects("ds", 5, None), "TSF-TS-NULL", "a", "ds", None, 5, 1),
    "text that is no date": Bad(
        lambda d: objects("ds", 5, "soon")(d.assign(ds=d["ds"].astype("str"))),
        "TSF-TS-NULL",
        "a",
        "ds",
        None,
        5,
        1,
        ("soon",),
    ),
    "day first": Bad(
        lambda d: d.assign(ds=d["ds"].dt.strftime("%d/%m/%Y")),
        "TSF-TS-NULL",
        "a",
        "ds",
        None,
        0,
        30,
        ("01/01/2024", "format"),
    ),
    "a day that does not exist": Bad(
        lambda d: objects("ds", 5, "2024-02-30")(d.assign(ds=d["ds"].astype("str"))),
        "TSF-TS-NULL",
        "a",
        "ds",
        None,
        5,
        1,
    ),
    "aware among naive": Bad(
        lambda d: objects("ds", 5, pd.Timestamp("2024-01-06", tz="Asia/Seoul"))(d.astype({"ds": object})),
        "TSF-TS-NULL",
        "a",
        "ds",
        None,
        5,
        1,
        ("Asia/Seoul",),
    ),
    "booleans as time": Bad(lambda d: d.assign(ds=d["y"] > 55), "TSF-TS-NULL", "a", "ds", None, 0, 30),
    "fractions as time": Bad(
        lambda d: d.assign(ds=np.tile(np.arange(30) + 0.5, 3)), "TSF-TS-NULL", "a", "ds", None, 0, 30, ("0.5",)
    ),
    "missing integer time": Bad(
        lambda d: put("ds", 5, pd.NA)(d.assign(ds=pd.array(np.tile(np.arange(30), 3), dtype="Int64"))),
        "TSF-TS-NULL",
        "a",
        "ds",
        None,
        5,
        1,
    ),
    "YYYYMMDD": Bad(
        lambda d: d.assign(ds=d["ds"].dt.strftime("%Y%m%d").astype(int)),
        "TSF-FREQ",
        "a",
        "ds",
        None,
        0,
        90,
        ("YYYYMMDD", "%Y%m%d"),
    ),
    "YYYYMM": Bad(
        lambda d: clean(freq="MS").assign(ds=lambda e: e["ds"].dt.strftime("%Y%m").astype(int)),
        "TSF-FREQ",
        "a",
        "ds",
        None,
        0,
        90,
        ("YYYYMM",),
    ),
    "epoch seconds": Bad(
        lambda d: d.assign(ds=d["ds"].astype("datetime64[s]").astype("int64")),
        "TSF-FREQ",
        "a",
        "ds",
        None,
        0,
        90,
        ("unit='s'",),
    ),
    "epoch nanoseconds": Bad(
        lambda d: d.assign(ds=d["ds"].astype("datetime64[ns]").astype("int64")),
        "TSF-FREQ",
        "a",
        "ds",
        None,
        0,
        90,
        ("unit='ns'",),
    ),
    "a doubled row": Bad(twice([B + 3]), "TSF-TS-DUP", "b", "ds", day(3), B + 3, 2, ("'last'",)),
    "three times": Bad(twice([5, 5]), "TSF-TS-DUP", "a", "ds", day(5), 5, 3),
    "the whole table twice": Bad(lambda d: twice(list(d.index))(d), "TSF-TS-DUP", "a", "ds", day(0), 0, 60),
    "a forgotten id column": Bad(
        lambda d: d.rename(columns={"unique_id": "store"}), "TSF-TS-DUP", None, "ds", day(0), 0, 90, ("id column",)
    ),
    "doubled with gaps ignored": Bad(twice([B + 3]), "TSF-TS-DUP", "b", "ds", day(3), B + 3, 2, (), {"gaps": "ignore"}),
    "one stamp off the grid": Bad(put("ds", 5, OFF), "TSF-FREQ-PHASE", "a", "ds", OFF, 5, 1, ("12:34",)),
    "one series at another hour": Bad(
        lambda d: d.assign(ds=d["ds"] + pd.to_timedelta((d["unique_id"] == "b") * 9, unit="h")),
        "TSF-FREQ-PHASE",
        "b",
        "ds",
        dt.datetime(2024, 1, 1, 9),
        B,
        30,
    ),
    "hours in a daily panel": Bad(
        lambda d: d.assign(ds=np.where(d["unique_id"] == "b", np.tile(HOURS, 3), d["ds"])),
        "TSF-FREQ",
        "b",
        "ds",
        None,
        None,
        None,
        ("step h",),
    ),
    "weeks in a daily panel": Bad(
        lambda d: d.assign(ds=np.where(d["unique_id"] == "b", clean(freq="W-MON")["ds"], d["ds"])),
        "TSF-FREQ",
        "b",
        "ds",
        None,
        B,
        None,
        ("7 x D",),
    ),
    "months told to be days": Bad(
        lambda d: clean(freq="MS"), "TSF-FREQ", "a", "ds", None, 0, None, ("x D",), {"freq": "D"}
    ),
    "days told to be months": Bad(lambda d: d, "TSF-FREQ", "a", "ds", None, 1, 29, ("step D", "MS"), {"freq": "MS"}),
    "month ends told to be starts": Bad(
        lambda d: clean(freq="ME"), "TSF-FREQ-PHASE", "a", "ds", dt.date(2024, 1, 31), 0, 30, (), {"freq": "MS"}
    ),
    "Mondays told to be Sundays": Bad(
        lambda d: clean(freq="W-MON"),
        "TSF-FREQ-PHASE",
        "a",
        "ds",
        dt.date(2024, 1, 1),
        0,
        30,
        ("W-SUN",),
        {"freq": "W-SUN"},
    ),
    "weekends told to be business days": Bad(
        lambda d: d, "TSF-FREQ-PHASE", "a", "ds", dt.date(2024, 1, 6), 5, 8, (), {"freq": "B"}
    ),
    "an alias for integers": Bad(
        lambda d: d.assign(ds=np.tile(np.arange(30), 3)),
        "TSF-FREQ",
        None,
        "ds",
        None,
        None,
        None,
        ("'D'",),
        {"freq": "D"},
    ),
    "an integer step for dates": Bad(lambda d: d, "TSF-FREQ", None, "ds", None, None, None, ("alias",), {"freq": 1}),
    "one row without a frequency": Bad(lambda d: d.head(1), "TSF-FREQ", None, "ds", None, 0, None, ("freq=",)),
    "a year 2261": Bad(
        lambda d: put("ds", B + 29, pd.Timestamp("2261-01-01"))(clean(freq="min")),
        "TSF-TS-GAP",
        "b",
        "ds",
        dt.date(2261, 1, 1),
        B + 29,
        1,
        ("2261",),
    ),
    "gaps, not allowed": Bad(
        lambda d: d.drop([B + 4, B + 5]),
        "TSF-TS-GAP",
        "b",
        "ds",
        day(4),
        None,
        2,
        ("gaps=",),
        {"policies": {"TSF-TS-GAP": "raise"}},
    ),
    # ids
    "a null id": Bad(put("unique_id", [5, 6], None), "TSF-ID-NULL", None, "unique_id", day(5), 5, 2, ("dropna",)),
    "an empty id": Bad(renamed({"b": ""}), "TSF-ID-NULL", None, "unique_id", day(0), B, 30),
    "a blank id": Bad(renamed({"b": "  "}), "TSF-ID-NULL", None, "unique_id", day(0), B, 30),
    "NaN among integer ids": Bad(
        lambda d: put("unique_id", 5, np.nan)(d.assign(unique_id=np.repeat([1.0, 2.0, 3.0], 30))),
        "TSF-ID-NULL",
        None,
        "unique_id",
        day(5),
        5,
        1,
    ),
    "1 and '1'": Bad(renamed({"a": 1, "b": "1"}), "TSF-ID-MIXED", 1, "unique_id", day(0), 0, 30, ("astype(str)",)),
    "a number among names": Bad(renamed({"b": 7}), "TSF-ID-MIXED", 7, "unique_id", day(0), B, 30),
    "composed and decomposed": Bad(
        renamed({"a": "가락", "b": "\u1100\u1161\u1105\u1161\u11a8"}),
        "TSF-ID-TWIN",
        None,
        "unique_id",
        day(0),
        None,
        30,
        ("NFC",),
    ),
    "a blank behind": Bad(renamed({"b": "a "}), "TSF-ID-TWIN", "a", "unique_id", day(0), 0, 30, ("strip",)),
    # the table
    "no rows": Bad(lambda d: d.head(0), "TSF-LEN", None, None, None, None, 0, ("rows",)),
    "negative weights": Bad(
        lambda d: d.assign(w=-1.0), "TSF-Y-NONFINITE", "a", "w", day(0), 0, 90, ("Weight 0",), {"weights": "w"}
    ),
}


def finding_of(bad: Bad, error: DataError) -> Finding:
    return next(f for f in error.findings if f.code == bad.code and (bad.series is None or f.series == bad.series))


@pytest.mark.parametrize("name", list(BAD))
def test_bad_tables_are_refused_with_place_and_remedy(name: str) -> None:
    bad = BAD[name]
    with pytest.raises(DataError) as caught:
        Panel.from_table(bad.change(clean()), **bad.options)
    finding = finding_of(bad, caught.value)
    for word in (bad.code, *bad.words):
        assert word in str(caught.value) or word in repr(finding.found)
    assert finding.column == bad.column
    if bad.when is not None:
        assert finding.when[0] == bad.when
    if bad.row is not None:
        assert finding.rows[0] == bad.row
    if bad.count is not None:
        assert finding.count == bad.count
    assert len(finding.rows) <= 5
    assert len(finding.when) <= 5
    assert finding.fix
    assert finding.expected


@pytest.mark.parametrize("name", [n for n, bad in BAD.items() if not bad.options])
def test_check_lists_what_the_door_refuses(name: str) -> None:
    bad = BAD[name]
    table = check(bad.change(clean()))
    assert bad.code in set(table["code"])


@pytest.mark.parametrize("kind", ["polars", "pyarrow"])
@pytest.mark.parametrize(
    "name", ["infinity", "NaT", "a doubled row", "one stamp off the grid", "a null id", "far too large"]
)
def test_the_same_findings_in_other_tables(name: str, kind: str) -> None:
    bad = BAD[name]
    arrow = pa.Table.from_pandas(bad.change(clean()), preserve_index=False)
    with pytest.raises(DataError) as caught:
        Panel.from_table(arrow if kind == "pyarrow" else pl.from_arrow(arrow))
    finding = finding_of(bad, caught.value)
    assert (finding.series, finding.column, finding.rows[0], finding.count) == (
        bad.series,
        bad.column,
        bad.row,
        bad.count,
    )


def test_all_findings_come_at_once_worst_first() -> None:
    df = twice([B + 3])(put("y", 4, np.inf)(put("ds", 61, pd.NaT)(clean())))
    with pytest.raises(DataError) as caught:
        Panel.from_table(df)
    assert [f.code for f in caught.value.findings] == ["TSF-TS-NULL", "TSF-TS-DUP", "TSF-Y-NONFINITE"]
    assert [f.series for f in caught.value.findings] == ["c", "b", "a"]
    assert caught.value.code == "TSF-TS-NULL"


def test_rows_are_counted_in_the_callers_order() -> None:
    df = put("y", B + 4, np.inf)(clean()).sample(frac=1, random_state=2)
    with pytest.raises(DataError) as caught:
        Panel.from_table(df)
    assert caught.value.rows == (int(np.flatnonzero(np.isinf(df["y"].to_numpy()))[0]),)


# --- options that cannot work

CONFIG: dict[str, tuple[Callable[[pd.DataFrame], Any], dict[str, Any], str]] = {
    "no time column": (lambda d: d.rename(columns={"ds": "date"}), {}, "no column 'ds'"),
    "a name nearly right": (lambda d: d.rename(columns={"y": "Y"}), {"target": "yy"}, "'Y'"),
    "an id that is not there": (lambda d: d, {"id": "store"}, "no column 'store'"),
    "doubled column names": (lambda d: pd.concat([d, d[["y"]]], axis=1), {}, "y"),
    "a list": (lambda d: [1, 2, 3], {}, "list"),
    "a dict": (lambda d: d.to_dict(), {}, "dict"),
    "a numpy array": (lambda d: d["y"].to_numpy(), {}, "ndarray"),
    "a Series": (lambda d: d["y"], {}, "Series"),
    "an unknown frequency": (lambda d: d, {"freq": "dayly"}, "known"),
    "a frequency of zero": (lambda d: d, {"freq": 0}, "at least 1"),
    "a boolean frequency": (lambda d: d, {"freq": True}, "frequency"),
    "an unknown code": (lambda d: d, {"policies": {"TSF-TS-DUPE": "last"}}, "TSF-TS-DUP"),
    "an unknown policy": (lambda d: d, {"policies": {"TSF-TS-DUP": "lasst"}}, "'last'"),
    "an unknown word for gaps": (lambda d: d, {"gaps": "drop"}, "ignore"),
    "weights that are not there": (lambda d: d, {"weights": "w"}, "'w'"),
    "weights that are text": (lambda d: d.assign(w="x"), {"weights": "w"}, "numeric"),
}


@pytest.mark.parametrize("name", list(CONFIG))
def test_options_that_cannot_work(name: str) -> None:
    change, options, word = CONFIG[name]
    with pytest.raises(ConfigError, match=word):
        Panel.from_table(change(clean()), **options)


# --- repaired, and listed

REPAIRED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, str], str, float]] = {
    "interpolate": (put("y", B + 4, np.nan), {"TSF-Y-MISSING": "interpolate"}, "TSF-Y-MISSING", np.nan),
    "seasonal": (put("y", B + 14, np.nan), {"TSF-Y-MISSING": "seasonal"}, "TSF-Y-MISSING", np.nan),
    "ffill": (put("y", B + 4, np.nan), {"TSF-Y-MISSING": "ffill"}, "TSF-Y-MISSING", np.nan),
    "tail held": (put("y", B + 29, np.nan), {"TSF-Y-TAIL": "ffill"}, "TSF-Y-TAIL", np.nan),
    "clipped": (put("y", B + 4, 1e6), {"TSF-Y-OUTLIER": "clip"}, "TSF-Y-OUTLIER", 1e6),
    "set missing": (put("y", B + 4, 1e6), {"TSF-Y-OUTLIER": "missing"}, "TSF-Y-OUTLIER", 1e6),
    "last of doubled": (twice([B + 3]), {"TSF-TS-DUP": "last"}, "TSF-TS-DUP", np.nan),
    "sum of doubled": (twice([B + 3]), {"TSF-TS-DUP": "sum"}, "TSF-TS-DUP", np.nan),
}


@pytest.mark.parametrize("name", list(REPAIRED))
def test_what_is_repaired_is_marked_and_listed(name: str) -> None:
    change, policies, code, gone = REPAIRED[name]
    panel = Panel.from_table(change(clean()), policies=policies)
    assert panel.repaired is not None
    assert panel.repaired.tolist() == [False, True, False]
    assert [(f.code, f.series, f.policy) for f in panel.findings if f.code == code] == [(code, "b", policies[code])]
    assert not np.any(panel.y == gone)
    others = np.r_[0:30, 60:90]
    np.testing.assert_array_equal(panel.y[others], clean()["y"].to_numpy()[others])
    out = SeasonalNaive(on_error="skip").fit(panel).predict(2)
    assert out["status"].tolist() == ["ok"] * 2 + ["repaired"] * 2 + ["ok"] * 2


QUARANTINED = [
    "infinity", "far too large", "NaT", "text that is no date", "a doubled row", "one stamp off the grid",
    "hours in a daily panel",
    "weeks in a daily panel", "one series at another hour", "a number among names", "an empty id",
]  # fmt: skip


@pytest.mark.parametrize("name", QUARANTINED)
def test_quarantine_takes_the_series_out_and_lists_it(name: str) -> None:
    bad = BAD[name]
    panel = Panel.from_table(bad.change(clean()), policies={bad.code: "quarantine"})
    gone = {f.series for f in panel.findings if f.policy == "quarantine"}
    left = [one for one in ("a", "b", "c") if one not in gone | ({"b"} if bad.code.startswith("TSF-ID") else set())]
    assert panel.ids.tolist() == left
    wanted = clean()
    twin = Panel.from_table(wanted[wanted["unique_id"].isin(left)])
    np.testing.assert_array_equal(panel.y, twin.y)
    np.testing.assert_array_equal(panel.grid, twin.grid)


@pytest.mark.parametrize("poison", ["infinity", "text", "outlier", "gaps", "constant", "missing", "short"])
def test_one_poisoned_series_leaves_the_others_bit_identical(poison: str) -> None:
    df = clean(tuple(f"s{i:04d}" for i in range(1000)))
    row = 500 * LENGTH
    options: dict[str, Any] = {"policies": {"TSF-Y-NONFINITE": "quarantine", "TSF-TS-NULL": "quarantine"}}
    spoil: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "infinity": put("y", row + 4, np.inf),
        "text": lambda d: objects("ds", row + 4, "x")(d.assign(ds=d["ds"].dt.strftime("%Y-%m-%d"))),
        "outlier": put("y", row + 9, 1e14),
        "gaps": lambda d: d.drop(range(row + 3, row + 9)),
        "constant": put("y", list(range(row, row + LENGTH)), 0.0),
        "missing": put("y", list(range(row, row + LENGTH)), np.nan),
        "short": lambda d: d.drop(range(row, row + LENGTH - 1)),
    }
    model = SeasonalNaive(on_error="skip")
    whole = model.fit(Panel.from_table(df)).predict(7, levels=(80,))
    spoiled = model.fit(Panel.from_table(spoil[poison](df.copy()), **options)).predict(7, levels=(80,))
    pd.testing.assert_frame_equal(
        whole[whole["unique_id"] != "s0500"].reset_index(drop=True),
        spoiled[spoiled["unique_id"] != "s0500"].reset_index(drop=True),
        check_exact=True,
        check_dtype=False,  # pandas 2 reads text as nanoseconds
    )


# --- what others take in silence


def test_missing_days_are_missing_and_never_contiguous() -> None:
    df = clean().drop([B + 24, B + 25, B + 26])
    panel = Panel.from_table(df)
    assert np.flatnonzero(np.isnan(panel.y)).tolist() == [B + 24, B + 25, B + 26]
    assert [(f.code, f.count) for f in panel.findings] == [("TSF-TS-GAP", 3)]


def test_a_gap_at_the_end_keeps_each_series_its_own_origin() -> None:
    out = SeasonalNaive().fit(clean().drop(range(B + 27, B + 30))).predict(1)
    assert out["ds"].dt.date.tolist() == [day(30), day(27), day(30)]


def test_missing_values_at_the_end_do_not_shift_the_origin() -> None:
    panel = Panel.from_table(put("y", [28, 29], np.nan)(clean()))
    assert panel.repaired is None
    assert frames.future_times(panel, 1)[0, 0] == np.datetime64(day(30))


def test_unsorted_rows_are_sorted_and_counted() -> None:
    panel = Panel.from_table(clean().iloc[::-1])
    np.testing.assert_array_equal(panel.y, clean()["y"])
    assert [(f.code, f.policy, f.count) for f in panel.findings] == [("TSF-ORDER", "sorted", 89)]


# --- tables of the future

FUTURE: dict[str, tuple[Callable[[pd.DataFrame], Any], tuple[str, ...]]] = {
    "no table": (lambda f: None, ("make_future(3)",)),
    "a column is lacking": (lambda f: f.drop(columns="promo"), ("future has no column 'promo'", "make_future(3)")),
    "the ids are lacking": (lambda f: f.drop(columns="unique_id"), ("future has no column 'unique_id'",)),
    "a row is lacking": (lambda f: f.drop(4), ("(b, 2024-02-01)", "missing_future(3, future)")),
    "a series is lacking": (lambda f: f[f["unique_id"] != "b"], ("lacks 3 rows", "(b, 2024-01-31")),
    "everything is lacking": (lambda f: f.head(0), ("lacks 9 rows", "... and 4 more")),
    "a row is doubled": (lambda f: pd.concat([f, f.iloc[[4]]]), ("TSF-TS-DUP", "(b, 2024-02-01")),
    "a value is missing": (put("promo", 4, np.nan), ("lacks 1 values", "'promo'", "(b, 2024-02-01")),
    "a label never seen": (put("kind", 4, "new"), ("never saw: new", "'kind'", "Use one of x, y, z")),
    "text for numbers": (lambda f: f.assign(promo="x"), ("'promo'", "text")),
    "numbers for text": (lambda f: f.assign(kind=1.0), ("'kind'", "numbers")),
    "another year": (lambda f: f.assign(ds=f["ds"] + pd.DateOffset(years=1)), ("lacks 9 rows",)),
    "a time zone": (lambda f: f.assign(ds=f["ds"].dt.tz_localize("Asia/Seoul")), ("time zone",)),
    "integers for dates": (lambda f: f.assign(ds=range(9)), ("integers",)),
    "a null time": (put("ds", 4, pd.NaT), ("'ds'", "rows 4")),
    "ids of another type": (lambda f: f.assign(unique_id=range(9)), ("lacks 9 rows",)),
}


def known_panel() -> tuple[Panel, pd.DataFrame]:
    df = clean().assign(promo=np.arange(90.0), kind=["x", "y", "z"] * 30)
    panel = Panel.from_table(df).replace(n_past=0)
    assert panel.known_names == ("promo", "kind")
    future = frames.make_future(panel, 3)
    return panel, future.assign(promo=np.arange(9.0), kind=["z", "y", "x"] * 3)


@pytest.mark.parametrize("name", list(FUTURE))
def test_bad_tables_of_the_future(name: str) -> None:
    panel, future = known_panel()
    change, words = FUTURE[name]
    with pytest.raises(FutureError) as caught:
        frames.known_ahead(panel, change(future), 3)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f,
        lambda f: f.sample(frac=1, random_state=1),
        lambda f: f[["kind", "ds", "promo", "unique_id"]],
        lambda f: pd.concat([f, f.assign(ds=f["ds"] - pd.Timedelta("30D"), promo=-1.0)]),
        lambda f: pd.concat([f.assign(ds=f["ds"] + pd.Timedelta("3D"), promo=np.nan), f]),
        lambda f: pd.concat([f, f.assign(unique_id="zzz", promo=-5.0)]),
        lambda f: pa.Table.from_pandas(f, preserve_index=False),
    ],
)
def test_future_values_join_by_id_time_and_name(change: Callable[[pd.DataFrame], Any]) -> None:
    panel, future = known_panel()
    values = frames.known_ahead(panel, change(future), 3)
    np.testing.assert_array_equal(values[:, :, 0], np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(values[:, :, 1], [[2, 1, 0]] * 3)


def test_every_status_of_a_forecast_has_a_word() -> None:
    assert "repaired" in STATUSES
    assert "quarantined" in STATUSES
