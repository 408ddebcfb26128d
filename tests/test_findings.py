"""Findings and repairs against pandas, statsmodels and loops written out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.seasonal import STL

import tsforecast
from tsforecast.errors import ConfigError, DataError
from tsforecast.findings import POLICIES, as_panel, check, read_panel, split
from tsforecast.findings.extras import with_mask
from tsforecast.findings.repairs import filled, outliers
from tsforecast.panel import Names, Panel

SEEDS = st.integers(0, 2**32 - 1)


def ragged(seed: int, n: int = 4, length: int = 40, missing: float = 0.25, freq: str = "D") -> pd.DataFrame:
    """Series of unequal length and start, in shuffled rows, with missing rows and missing values."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(n):
        begin, size = rng.integers(0, 10), rng.integers(8, length)
        stamps = pd.date_range("2024-01-01", periods=length + 10, freq=freq)[begin : begin + size]
        y = rng.normal(size=size).round(3)
        y[rng.random(size) < missing] = np.nan
        part = pd.DataFrame({"unique_id": f"s{i}", "ds": stamps, "y": y, "x": rng.normal(size=size)})
        keep = rng.random(size) > 0.1
        keep[[0, 1, -1]] = True
        parts.append(part[keep])
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=seed % 1000)


def by_pandas(df: pd.DataFrame, freq: str = "D") -> dict[Any, pd.DataFrame]:
    """Each series on its regular grid, by pandas alone."""
    groups = df.sort_values("ds").groupby("unique_id")
    return {one: rows.set_index("ds")[["y", "x"]].asfreq(freq) for one, rows in groups}


@settings(max_examples=20)
@given(SEEDS)
def test_the_block_is_what_pandas_makes_of_each_series(seed: int) -> None:
    df = ragged(seed)
    panel = Panel.from_table(df, freq="D")
    wanted = by_pandas(df)
    assert panel.ids.tolist() == sorted(wanted)
    for i, one in enumerate(panel.ids):
        span = np.arange(panel.start[i], panel.stop[i])
        np.testing.assert_array_equal(panel.y[span], wanted[one]["y"].to_numpy())
        np.testing.assert_array_equal(panel.column("x")[span], wanted[one]["x"].to_numpy())
        stamps = wanted[one].index.to_numpy().astype("datetime64[us]")
        np.testing.assert_array_equal(panel.grid[panel.position(span, np.full(len(span), i))], stamps)


@settings(max_examples=20)
@given(SEEDS)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    df = ragged(seed)
    one, two = (Panel.from_table(t, freq="D") for t in (df, df.sort_values(["y", "x"])))
    np.testing.assert_array_equal(one.y, two.y)
    np.testing.assert_array_equal(one.columns, two.columns)
    np.testing.assert_array_equal(one.offset, two.offset)


@settings(max_examples=20)
@given(SEEDS)
def test_consecutive_rows_where_gaps_are_ignored(seed: int) -> None:
    df = ragged(seed)
    panel = Panel.from_table(df, freq="D", gaps="ignore")
    wanted = df.sort_values(["unique_id", "ds"])
    assert panel.at is not None
    np.testing.assert_array_equal(panel.y, wanted["y"])
    np.testing.assert_array_equal(panel.grid[panel.at], wanted["ds"].to_numpy().astype("datetime64[us]"))
    assert panel.lengths.tolist() == wanted.groupby("unique_id").size().tolist()


# --- repairs


@settings(max_examples=20)
@given(SEEDS)
@pytest.mark.parametrize(("how", "theirs"), [("interpolate", "interpolate"), ("ffill", "ffill")])
def test_filling_is_that_of_pandas(how: str, theirs: str, seed: int) -> None:
    df = ragged(seed)
    panel = Panel.from_table(df, freq="D", policies={"TSF-Y-MISSING": how, "TSF-Y-TAIL": how})
    wanted = [getattr(rows["y"], theirs)().to_numpy() for rows in by_pandas(df).values()]
    np.testing.assert_allclose(panel.y, np.concatenate(wanted), rtol=0, atol=1e-12)


@settings(max_examples=20)
@given(SEEDS)
def test_seasonal_filling_interpolates_each_weekday(seed: int) -> None:
    df = ragged(seed, length=60)
    panel = Panel.from_table(df, freq="D")
    ours = filled(panel, "seasonal", np.isnan(panel.y))
    wanted = [
        rows["y"].groupby(rows.index.day_of_week).transform(lambda day: day.interpolate()).to_numpy()
        for rows in by_pandas(df).values()
    ]
    np.testing.assert_allclose(ours, np.concatenate(wanted), rtol=0, atol=1e-12)


@settings(max_examples=20)
@given(SEEDS)
def test_inside_and_tail_are_settled_apart(seed: int) -> None:
    df = ragged(seed, missing=0.4)
    inside = Panel.from_table(df, freq="D", policies={"TSF-Y-MISSING": "ffill"}).y
    tail = Panel.from_table(df, freq="D", policies={"TSF-Y-TAIL": "ffill"}).y
    start = 0
    for rows in by_pandas(df).values():
        y = rows["y"]
        last = y.last_valid_index()
        behind = np.full(len(y), last is None) if last is None else (y.index > last)
        span = slice(start, start + len(y))
        np.testing.assert_array_equal(inside[span], np.where(behind, y, y.ffill()))
        np.testing.assert_array_equal(tail[span], np.where(behind, y.ffill(), y))
        start += len(y)


def hampel_by_loop(y: np.ndarray[Any, Any], half: int, threshold: float) -> list[bool]:
    """The definition, one row at a time."""
    flagged = []
    for r, value in enumerate(y):
        window = y[max(0, r - half) : r + half + 1]
        window = window[~np.isnan(window)]
        if np.isnan(value) or not len(window):
            flagged.append(False)
            continue
        middle = np.median(window)
        scale = 1.4826 * np.median(np.abs(window - middle)) or 1.2533 * np.mean(np.abs(window - middle))
        flagged.append(bool(scale > 0 and abs(value - middle) > threshold * scale))
    return flagged


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 9), st.sampled_from([2.0, 3.0, 6.0]))
def test_hampel_outliers_are_those_of_the_definition(seed: int, half: int, threshold: float) -> None:
    df = ragged(seed)
    panel = Panel.from_table(df.assign(y=df["y"].round()), freq="D")  # ties, so that some deviations are zero
    found = outliers(panel, width=half, threshold=threshold)
    wanted = [hampel_by_loop(panel.y[a:b], half, threshold) for a, b in zip(panel.start, panel.stop, strict=True)]
    assert found.mask.tolist() == [flag for series in wanted for flag in series]


def test_stl_outliers_are_far_remainders_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    t = np.arange(140)
    y = 20 + 0.1 * t + 8 * np.sin(2 * np.pi * t / 7) + rng.normal(0, 0.5, len(t))
    y[[50, 90]] += [9, -9]  # within the range of the season, far from what the season says
    df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=len(t)), "y": y})
    panel = Panel.from_table(df)
    rest = STL(y, period=7, robust=True).fit().resid
    apart = np.abs(rest - np.median(rest))
    wanted = np.flatnonzero(apart > 6 * 1.4826 * np.median(apart))
    assert np.flatnonzero(outliers(panel, "stl").mask).tolist() == wanted.tolist()
    assert {50, 90} <= set(wanted)


def test_outliers_are_clipped_to_the_edge_or_taken_out() -> None:
    y = np.array([1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 500.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=12), "y": y})
    found = outliers(Panel.from_table(df))
    assert np.flatnonzero(found.mask).tolist() == [6]
    clipped = Panel.from_table(df, policies={"TSF-Y-OUTLIER": "clip"})
    assert clipped.y[6] == found.high[6]
    gone = Panel.from_table(df, policies={"TSF-Y-OUTLIER": "missing", "TSF-Y-MISSING": "interpolate"})
    assert gone.y.tolist() == np.where(y == 500, 2.0, y).tolist()
    assert [f.code for f in gone.findings] == ["TSF-Y-MISSING", "TSF-Y-OUTLIER"]


@pytest.mark.parametrize(("how", "theirs"), [("sum", "sum"), ("mean", "mean"), ("last", "last")])
def test_doubled_rows_are_added_up_as_pandas_does(how: str, theirs: str) -> None:
    rng = np.random.default_rng(0)
    df = pd.concat([ragged(5, missing=0)] * 2).assign(y=lambda d: rng.integers(0, 99, len(d)).astype(float))
    panel = Panel.from_table(df, freq="D", policies={"TSF-TS-DUP": how})
    wanted = df.groupby(["unique_id", "ds"])["y"].agg(theirs)
    np.testing.assert_array_equal(panel.y[~np.isnan(panel.y)], wanted.to_numpy())
    assert panel.repaired is not None
    assert panel.repaired.all()


# --- the table of findings

COLUMNS = ["code", "series", "column", "ds", "row", "count", "found", "expected", "policy", "fix"]


def spoiled() -> pd.DataFrame:
    df = pd.DataFrame(
        {
            "unique_id": np.repeat(["a", "b", "c", "d"], 20),
            "ds": np.tile(pd.date_range("2024-01-01", periods=20), 4),
            "y": np.tile(np.arange(20.0), 4),
        }
    )
    df.loc[[3, 4], "y"] = np.nan
    df.loc[25, "y"] = 1e7
    df.loc[40:59, "y"] = 5.0
    df.loc[62, "y"] = np.inf
    return df.drop([30, 31]).reset_index(drop=True)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_check_lists_everything_once_worst_first(kind: str) -> None:
    arrow = pa.Table.from_pandas(spoiled(), preserve_index=False)
    table = check({"pandas": spoiled(), "polars": pl.from_arrow(arrow), "pyarrow": arrow}[kind])
    assert type(table).__module__.partition(".")[0] == kind
    rows = (
        table.to_dict("records") if kind == "pandas" else getattr(table, "to_dicts", getattr(table, "to_pylist", 0))()
    )
    assert list(rows[0]) == COLUMNS
    seen = [(r["code"], r["series"], r["ds"], r["row"], r["count"], r["policy"]) for r in rows]
    assert [tuple(None if v is pd.NA else v for v in row) for row in seen] == [
        ("TSF-Y-NONFINITE", "d", "2024-01-03", 60, 1, "raise"),
        ("TSF-TS-GAP", "b", "2024-01-11", None, 2, "fill"),
        ("TSF-Y-MISSING", "a", "2024-01-04", 3, 2, "keep"),
        ("TSF-Y-OUTLIER", "b", "2024-01-06", 25, 1, "ignore"),
        ("TSF-CONST", "c", None, None, 20, "ignore"),
    ]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_clean_table_gives_an_empty_table_of_findings(kind: str) -> None:
    df = spoiled().iloc[5:20][["unique_id", "ds", "y"]]
    arrow = pa.Table.from_pandas(df, preserve_index=False)
    table = check({"pandas": df, "polars": pl.from_arrow(arrow), "pyarrow": arrow}[kind])
    assert len(table) == 0
    assert list(table.columns if kind != "pyarrow" else table.column_names) == COLUMNS


def test_a_table_with_an_infinity_can_still_be_checked_for_outliers() -> None:
    df = spoiled()
    df.loc[df["unique_id"] == "d", "y"] = np.inf
    assert "TSF-Y-NONFINITE" in set(check(df)["code"])


def test_defaults_are_among_what_is_allowed() -> None:
    assert all(default in allowed for default, allowed in POLICIES.values())


# --- the door's other arguments


@settings(max_examples=20)
@given(SEEDS, st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5), (0.7, 0.1, 0.1, 0.1)]))
def test_split_cuts_all_series_at_the_same_times(seed: int, fractions: tuple[float, ...]) -> None:
    df = ragged(seed)
    parts = split(df, fractions)
    assert sum(map(len, parts)) == len(df)
    stamps = np.sort(df["ds"].unique())
    for early, late in pairwise(parts):
        assert early["ds"].max() < late["ds"].min()
    for part, share in zip(parts, fractions, strict=True):
        assert abs(part["ds"].nunique() - share * len(stamps)) <= 1
        pd.testing.assert_frame_equal(part, df.loc[part.index])


@pytest.mark.parametrize("fractions", [(1.0,), (0.5, 0.6), (1.2, -0.2), (0.0, 1.0), (0.001, 0.999)])
def test_split_refuses_shares_that_cannot_be(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError):
        split(ragged(0), fractions)


def test_split_keeps_the_kind_of_table() -> None:
    arrow = pa.Table.from_pandas(ragged(1), preserve_index=False)
    assert [type(part) for part in split(arrow)] == [pa.Table] * 3
    assert [type(part) for part in split(pl.from_arrow(arrow))] == [pl.DataFrame] * 3


def test_the_mask_excludes_rows_of_one_series_or_of_all() -> None:
    df = ragged(2, n=3)
    mask = pd.DataFrame(
        {
            "unique_id": ["s1", "all"],
            "from": ["2024-01-05", "2024-01-20"],
            "to": [pd.Timestamp("2024-01-08"), pd.Timestamp("2024-01-21")],
        }
    )
    panel = Panel.from_table(df, freq="D", mask=mask)
    assert panel.excluded is not None
    start = 0
    for one, rows in by_pandas(df).items():
        days = rows.index
        wanted = (days >= "2024-01-20") & (days <= "2024-01-21")
        if one == "s1":
            wanted |= (days >= "2024-01-05") & (days <= "2024-01-08")
        assert panel.excluded[start : start + len(rows)].tolist() == wanted.tolist()
        start += len(rows)


@pytest.mark.parametrize(
    ("zone", "tz"),
    [
        ("America/New_York", None),
        ("America/New_York", "Asia/Seoul"),
        ("America/New_York", "America/New_York"),
        (None, None),
    ],
)
@pytest.mark.parametrize("freq", ["D", "h"])
def test_the_mask_is_read_in_the_time_of_the_panel(freq: str, zone: str | None, tz: str | None) -> None:
    stamps = pd.date_range("2024-03-08", periods=60, freq=freq, tz=zone)
    panel = Panel.from_table(pd.DataFrame({"ds": stamps, "y": 1.0}))
    low, high = pd.Timestamp("2024-03-09"), pd.Timestamp("2024-03-10 12:00")
    wanted = (stamps >= low.tz_localize(tz or stamps.tz)) & (stamps <= high.tz_localize(tz or stamps.tz))
    mask = pd.DataFrame({"from": [low.tz_localize(tz)], "to": [high.tz_localize(tz)]})
    masked = with_mask(panel, mask)
    assert masked.excluded is not None
    assert masked.excluded.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "mask",
    [
        pd.DataFrame({"from": ["2024-01-01"]}),
        pd.DataFrame({"from": [1], "to": [2]}),
        pd.DataFrame({"unique_id": ["zz"], "from": ["2024-01-01"], "to": ["2024-01-02"]}),
    ],
)
def test_a_mask_that_cannot_apply_is_refused(mask: pd.DataFrame) -> None:
    with pytest.raises(ConfigError):
        Panel.from_table(ragged(2), freq="D", mask=mask)


def test_weights_follow_their_rows_and_gaps_weigh_nothing() -> None:
    df = ragged(4, missing=0).assign(w=lambda d: np.arange(len(d), dtype=float))
    panel = Panel.from_table(df, freq="D", weights="w")
    assert panel.weights is not None
    wanted = [
        rows.set_index("ds")["w"].asfreq("D").fillna(0).to_numpy()
        for _, rows in df.sort_values("ds").groupby("unique_id")
    ]
    np.testing.assert_array_equal(panel.weights, np.concatenate(wanted))
    assert panel.column_names == ("x",)


def test_static_columns_are_aligned_and_spare_rows_listed() -> None:
    static = pd.DataFrame({"unique_id": ["zz", "s2", "s0", "s1"], "lat": [0.0, 2.0, 0.5, 1.0], "region": list("zcab")})
    panel = as_panel(Panel.from_table(ragged(3, n=3), freq="D"), static)
    assert panel.static["lat"].tolist() == [0.5, 1.0, 2.0]
    assert panel.static["region"].tolist() == ["a", "b", "c"]
    assert [(f.code, f.count) for f in panel.findings if f.policy == "ignore"] == [("TSF-LEN", 1)]
    with pytest.raises(DataError, match="s1"):
        as_panel(panel, static[static["unique_id"] != "s1"])
    with pytest.raises(DataError, match="more than one row for s2"):
        as_panel(panel, pd.concat([static, static.iloc[[1]]]))


def test_text_columns_become_codes_of_sorted_labels() -> None:
    df = ragged(6, missing=0).assign(kind=lambda d: np.where(d["x"] > 0, "ja", "nein"), flag=lambda d: d["x"] > 0)
    panel = read_panel(df, names=Names(), freq="D")
    assert panel.categories == {"kind": ("ja", "nein")}
    x = panel.column("x")
    gap = np.isnan(x)
    np.testing.assert_array_equal(panel.column("kind")[~gap], np.where(x[~gap] > 0, 0.0, 1.0))
    np.testing.assert_array_equal(panel.column("flag")[~gap], (x[~gap] > 0).astype(float))
    assert np.isnan(panel.column("kind")[gap]).all()


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_missing_labels_are_missing_values(kind: str) -> None:
    labels = ["q", None, "p", "q", None]
    df = pd.DataFrame(
        {
            "ds": pd.date_range("2024-01-01", periods=5),
            "y": 1.0,
            "kind": labels,
            "flag": [True, None, False, True, None],
        }
    )
    arrow = pa.Table.from_pandas(df, preserve_index=False)
    panel = Panel.from_table({"pandas": df, "polars": pl.from_arrow(arrow), "pyarrow": arrow}[kind])
    assert panel.categories == {"kind": ("p", "q")}
    np.testing.assert_array_equal(panel.column("kind"), [1, np.nan, 0, 1, np.nan])
    np.testing.assert_array_equal(panel.column("flag"), [1, np.nan, 0, 1, np.nan])


def test_a_fitted_panel_does_not_change_with_the_callers_table() -> None:
    df = ragged(8, missing=0)
    panel = Panel.from_table(df, freq="D")
    before = panel.y.copy()
    df["y"] = df["y"].to_numpy() + 1
    df.loc[:, "y"] = 0.0
    np.testing.assert_array_equal(panel.y, before)


def test_outliers_are_a_table_of_the_rows_that_repairs_would_touch() -> None:
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=60), "y": np.sin(np.arange(60.0))})
    df.loc[30, "y"] = 50.0
    found = tsforecast.outliers(df)
    assert found[["unique_id", "ds", "y"]].values.tolist() == df.loc[[30], ["unique_id", "ds", "y"]].values.tolist()
    assert found["high"].item() < 50
