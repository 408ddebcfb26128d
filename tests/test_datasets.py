"""The data sets are what data/README.md says, and what others have measured on them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsforecast.calendars.features import features
from tsforecast.datasets import Truth, load, names
from tsforecast.errors import ConfigError

DATA = Path(__file__).parent.parent / "data"
# Korea Astronomy and Space Science Institute, almanac of each year.
SEOLLAL = ["2018-02-16", "2019-02-05", "2020-01-25", "2021-02-12", "2022-02-01", "2023-01-22", "2024-02-10"]
CHUSEOK = ["2018-09-24", "2019-09-13", "2020-10-01", "2021-09-21", "2022-09-10", "2023-09-29", "2024-09-17"]


@pytest.fixture(scope="module")
def retail() -> tuple[pd.DataFrame, pd.DataFrame, Truth]:
    return load("retail_kr", static=True, truth=True)


@pytest.fixture(scope="module")
def nyse() -> pd.DataFrame:
    return load("nyse")


def stated() -> dict[str, str]:
    """File (or table) -> SHA-256, from data/README.md."""
    rows = re.findall(r"^\| `?([\w.]+)`? \| `([0-9a-f]{64})` \|", (DATA / "README.md").read_text(), re.M)
    return dict(rows)


def test_each_file_has_its_stated_checksum() -> None:
    files = [path for path in DATA.iterdir() if path.name != "README.md"]
    assert {path.name for path in files} | {"retail_kr"} == set(stated())
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == stated()[path.name], path.name


def test_the_simulated_table_has_its_stated_checksum(
    retail: tuple[pd.DataFrame, pd.DataFrame, Truth],
) -> None:
    np.random.seed(1)  # noqa: NPY002 - the process-wide state must not matter
    for table in (retail[0], load("retail_kr")):
        text = table.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%d")
        assert hashlib.sha256(text.encode()).hexdigest() == stated()["retail_kr"]


def test_nyse_is_the_series_of_the_book(nyse: pd.DataFrame) -> None:
    assert nyse.shape == (6051, 7)
    assert nyse["train"].sum() == 4281
    assert nyse["train"].is_monotonic_decreasing
    assert [round(nyse["y"].autocorr(lag), 3) for lag in (1, 5, 20)] == [0.673, 0.455, 0.227]
    y, test = nyse["y"].to_numpy(), ~nyse["train"].to_numpy()
    last = np.concatenate([[np.nan], y[:-1]])
    assert round(r2(y[test], last[test]), 3) == 0.180


@pytest.mark.parametrize(("words", "expected"), [((), 0.4128912938562521), (("weekday",), 0.4595563133053273)])
def test_nyse_linear_model_has_the_published_r2(nyse: pd.DataFrame, words: tuple[str, ...], expected: float) -> None:
    """Five lags of three columns, least squares, as in An Introduction to Statistical Learning, lab 10.9.6."""
    lagged = [nyse[name].shift(lag) for lag in range(1, 6) for name in ("y", "DJ_return", "log_volatility")]
    days, _ = features(nyse["ds"].to_numpy("datetime64[us]"), words, freq="B")
    design = np.column_stack([np.ones(len(nyse)), *lagged, days])[5:]
    y, train = nyse["y"].to_numpy()[5:], nyse["train"].to_numpy()[5:]
    coefficients = np.linalg.lstsq(design[train], y[train], rcond=None)[0]
    assert r2(y[~train], design[~train] @ coefficients) == pytest.approx(expected, abs=1e-9)


def test_colorado_stations_are_regular_and_begin_and_end_with_an_observation() -> None:
    table, places = load("colorado", static=True)
    assert len(table) == 199_422
    assert table["y"].notna().sum() == 177_298
    assert list(places["unique_id"]) == list(table["unique_id"].unique())
    assert places["unique_id"].str.len().eq(6).all()
    month = table["ds"].dt.year * 12 + table["ds"].dt.month
    groups = table.groupby("unique_id")
    assert month.groupby(table["unique_id"]).diff().dropna().eq(1).all()
    assert groups["y"].nth(0).notna().all()
    assert groups["y"].nth(-1).notna().all()


def test_colorado_cools_with_height_as_the_air_does() -> None:
    table, places = load("colorado", static=True)
    july = table[table["ds"].dt.month == 7].groupby("unique_id")["y"].mean()
    found = places.set_index("unique_id").join(july, how="inner").dropna()
    design = np.column_stack([np.ones(len(found)), found["elevation"] / 1000, found["lat"]])
    slope = np.linalg.lstsq(design, found["y"].to_numpy(), rcond=None)[0]
    assert -8.5 < slope[1] < -5.0  # degrees C a kilometre; 6.5 in the standard atmosphere
    assert slope[2] < 0


def test_retail_components_add_up(retail: tuple[pd.DataFrame, pd.DataFrame, Truth]) -> None:
    table, places, truth = retail
    parts = truth.components.drop(columns=["unique_id", "ds"])
    np.testing.assert_allclose(parts.sum(axis=1), table["y"], rtol=0, atol=1e-9)
    pd.testing.assert_frame_equal(truth.components[["unique_id", "ds"]], table[["unique_id", "ds"]])
    assert list(places["unique_id"]) == sorted(table["unique_id"].unique())
    assert table["y"].min() > 0
    assert set(table["promo"].unique()) == {0, 1}


def test_retail_truth_is_what_least_squares_finds(
    retail: tuple[pd.DataFrame, pd.DataFrame, Truth],
) -> None:
    table, _, truth = retail
    ds = pd.DatetimeIndex(table["ds"].unique())
    t = np.arange(len(ds))
    columns: dict[str, np.ndarray] = {"level": np.ones(len(ds)), "slope": t}
    for day in ("2020-01-25", "2020-02-29"):
        columns[f"change:{day}"] = np.maximum((ds - pd.Timestamp(day)).days, 0)
    for name, feasts in (("seollal", SEOLLAL), ("chuseok", CHUSEOK)):
        for step in range(-14, 8):
            columns[f"KR:{name}{step:+d}"] = ds.isin(pd.DatetimeIndex(feasts) + pd.Timedelta(days=step))
    for k in (1, 2):
        angle = 2 * np.pi * k * (ds - pd.Timestamp("1970-01-01")).days / 365.25
        columns |= {f"yearly:{k}:sin": np.sin(angle), f"yearly:{k}:cos": np.cos(angle)}
    # One column a weekday against Wednesday; holidays other than the lunar two are taken out as known.
    others = [day for day in range(7) if day != 2]
    weekly = np.column_stack([ds.day_of_week == day for day in others]).astype(float)
    shared = np.column_stack([*columns.values(), weekly]).astype(float)
    effects = truth.effects.pivot(index="unique_id", columns="term", values="value")
    family = fixed_holidays(ds)
    inside = []
    for unique_id, rows in table.groupby("unique_id"):
        known = sum(effects.loc[unique_id, f"KR:{name}"] * flag for name, flag in family.items())
        design = np.column_stack([shared, rows["promo"]])
        gram = np.linalg.inv(design.T @ design)
        found = gram @ design.T @ (rows["y"].to_numpy() - known)
        error = effects.loc[unique_id, "noise"] * np.sqrt(np.diag(gram))
        wanted = effects.loc[unique_id, [*columns, "promo"]].to_numpy(float, copy=True)
        wanted[0] += effects.loc[unique_id, "weekday=wed"]
        at = [*range(len(columns)), design.shape[1] - 1]
        inside.append(np.abs(found[at] - wanted) < 1.96 * error[at])
    assert 0.93 < np.mean(inside) < 0.97


def fixed_holidays(ds: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Families of Korean public holidays 2018-2024 from the Official Gazette, apart from Seollal and Chuseok."""
    named = {
        "new_year": [f"{year}-01-01" for year in range(2018, 2025)],
        "national": [f"{year}-{day}" for year in range(2018, 2025) for day in ("03-01", "08-15", "10-03", "10-09")],
        "memorial": [f"{year}-06-06" for year in range(2018, 2025)],
        "labor": [f"{year}-05-01" for year in range(2018, 2025)],
        "children": [f"{year}-05-05" for year in range(2018, 2025)],
        "christmas": [f"{year}-12-25" for year in range(2018, 2025)],
        "buddha": ["2018-05-22", "2019-05-12", "2020-04-30", "2021-05-19", "2022-05-08", "2023-05-27", "2024-05-15"],
        "election": ["2018-06-13", "2020-04-15", "2022-03-09", "2022-06-01", "2024-04-10"],
        "temporary": ["2020-08-17", "2023-10-02", "2024-10-01"],
        "substitute": [
            "2018-05-07",
            "2018-09-26",
            "2019-05-06",
            "2020-01-27",
            "2021-08-16",
            "2021-10-04",
            "2021-10-11",
            "2022-09-12",
            "2022-10-10",
            "2023-01-24",
            "2023-05-29",
            "2024-02-12",
            "2024-05-06",
        ],
    }
    flags = {name: ds.isin(pd.DatetimeIndex(days)) for name, days in named.items()}
    lunar = [pd.DatetimeIndex(SEOLLAL + CHUSEOK) + pd.Timedelta(days=step) for step in (-1, 0, 1)]
    feast = ds.isin(lunar[0].union(lunar[1]).union(lunar[2]))
    flags = {name: flag & ~feast for name, flag in flags.items()}
    anything = np.logical_or.reduce([feast, *flags.values()])
    return {**flags, "off_weekday": anything & (ds.day_of_week < 5)}


def test_what_is_not_there_is_an_error_that_lists_what_is() -> None:
    assert names() == ("nyse", "colorado", "retail_kr")
    with pytest.raises(ConfigError, match="no data set 'nysee'; there are nyse, colorado, retail_kr"):
        load("nysee")
    with pytest.raises(ConfigError, match="no static table"):
        load("nyse", static=True)
    with pytest.raises(ConfigError, match="truth is not known"):
        load("colorado", truth=True)


def r2(y: np.ndarray, yhat: np.ndarray) -> float:
    return float(1 - np.sum((y - yhat) ** 2) / np.sum((y - y.mean()) ** 2))
