"""Neighbours, regions, blends and cold starts on real places, beside climatology; speed of the neighbours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.row import Row, at_most, wanted
from tsforecast import Panel, backtest, datasets
from tsforecast.compose.geo import GeoBlend
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Float

__all__ = ["rows"]

TRAIN, END = "2021-12-31", "2023-12-31"
H = 14
FOLDS = 10
LONG = 120
NEAREST = 10

SPEED = """
import sys
from time import perf_counter
import numpy as np
from tsforecast import KNN, Panel

def panel(places, days):
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(30, 60, places), rng.uniform(-10, 40, places)
    wave = np.sin(2 * np.pi * np.arange(days) / 365.2425)
    noise = rng.normal(size=(places, days))
    for day in range(1, days):
        noise[:, day] += 0.7 * noise[:, day - 1]
    return Panel.from_arrays(
        10 + 8 * wave + 3 * noise, freq="D", start="2014-01-01", static={"lat": lat, "lon": lon}
    )
def size(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 2**20
KNN(20).fit(panel(50, 400), h=14).predict(14)
data = panel(int(sys.argv[1]), 3650)
before, began = size("VmRSS"), perf_counter()
KNN(20).fit(data, h=14).predict(14)
print(perf_counter() - began, size("VmHWM") - before)
"""


def rows(words: Sequence[str]) -> Iterator[Row]:
    """All rows of the geographic models."""
    if wanted("geo cities", words):
        yield from _cities()
    if wanted("geo Colorado", words):
        yield from _cold_start()
    if wanted("geo speed", words):
        yield from _speed()


def _cities() -> Iterator[Row]:
    folder = os.environ.get("TSFORECAST_DATA")
    if folder is None or find_spec("torch") is None:
        yield Row("geo cities", "-", "skipped", None, "TSFORECAST_DATA must name the folder of the data; needs torch")
        return
    data, static = cities(Path(folder))
    panel = Panel.from_table(data, static=static)
    blends = [
        GeoBlend(),
        GeoBlend(weights="source", alias="30 / 70"),
        GeoBlend.literal(alias="the literal recipe"),
    ]
    windows = int((np.datetime64(END) - np.datetime64(TRAIN)).astype(int)) - H + 1
    models = [*blends[0]._made(), RegionalLinear("global", alias="pooled AR"), *blends]
    done = backtest(models, panel, h=H, windows=windows, step=1, refit=False)
    errors = dict(zip(done.models, done.errors, strict=True))
    errors["climatology"] = done.actual - climatology(panel, done.positions[:, 0], H)
    rmse = {name: np.sqrt(np.nanmean(e**2)) for name, e in errors.items()}
    first = {name: np.sqrt(np.nanmean(e[..., 0] ** 2)) for name, e in errors.items()}
    told = ", ".join(f"{name} {rmse[name]:.3f} ({first[name]:.3f})" for name in rmse)
    what = "geo cities, 138 daily, h 1-14, origins of 2022-23: "
    own, single = "GeoBlend", min(rmse[member.name] for member in blends[0]._made())
    yield _near(what + "blend / climatology", 0.945, rmse[own] / rmse["climatology"], f"RMSE all (h1): {told}")
    yield _near(what + "h1 / climatology", 0.60, first[own] / first["climatology"], "")
    yield _near(what + "h1 / pooled AR", 0.95, first[own] / first["pooled AR"], "")
    yield _near(what + "blend / best member", 1.01, rmse[own] / single, "")
    yield _near(what + "weights mse / 30-70", 1.002, rmse[own] / rmse["30 / 70"], "")
    literal = rmse["the literal recipe"] / rmse["climatology"]
    yield Row(what + "the literal recipe / climatology", "shown", f"{literal:.3f} x", None, "")


def cities(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Long table of the cities' daily temperatures to the end of 2023, and their places."""
    wide = pd.read_csv(folder / "city_temperature_daily.csv.gz", parse_dates=["date"], index_col="date").loc[:END]
    data = wide.melt(ignore_index=False, var_name="unique_id", value_name="y").rename_axis("ds").reset_index()
    places = pd.read_csv(folder / "city_temperature_places.csv").rename(
        columns={"id": "unique_id", "country": "region"}
    )
    return data, places[["unique_id", "lat", "lon", "region"]]


def climatology(panel: Panel, cutoffs: Any, h: int) -> Float:
    """Three waves of the year and a trend, fitted anew to the rows up to each cutoff: forecasts (w, n, h)."""
    n = len(panel)
    y = panel.y[panel.start[:, None] + np.arange(panel.lengths[0])]
    days = panel.grid.astype("datetime64[D]").astype(int)
    t = np.concatenate([days, days[-1] + 1 + np.arange(h)])
    angle = 2 * np.pi * np.outer(t, [1, 2, 3]) / 365.2425
    x = np.column_stack([np.ones(len(t)), np.sin(angle), np.cos(angle), (t - days[0]) / 365.2425])
    rows_ = x[: y.shape[1]]
    gram = np.cumsum(rows_[:, :, None] * rows_[:, None, :], axis=0)
    cross = np.cumsum(rows_[:, :, None] * y.T[:, None, :], axis=0)
    out = np.empty((len(cutoffs), n, h))
    for w, last in enumerate(cutoffs):
        out[w] = (x[last + 1 : last + 1 + h] @ np.linalg.solve(gram[last], cross[last])).T
    return out


def _near(what: str, bar: float, ratio: float, detail: str) -> Row:
    row = at_most(what, bar, ratio, detail)
    return Row(row.what, row.must, f"{ratio:.4f} x", row.holds, row.detail)


def _cold_start() -> Iterator[Row]:
    """Each station of Colorado forecast as if it had never been seen, a tenth of the stations at a time."""
    data, static = datasets.load("colorado", static=True)
    ids = np.array(sorted(static["unique_id"]))
    parts = {"with elevation": static, "without": static.drop(columns="elevation")}
    told = {
        name: pd.concat([_left_out(data, places, set(ids[fold::FOLDS])) for fold in range(FOLDS)])
        for name, places in parts.items()
    }
    seen = data.dropna().assign(late=data["ds"] >= "1986").groupby(["unique_id", "late"]).size().unstack(fill_value=0)
    long = set(seen.index[(seen >= LONG).all(axis=1)])

    def rmse(name: str, column: str, some: set[str]) -> float:
        table = told[name][told[name]["unique_id"].isin(some)]
        return float(np.sqrt(((table["y"] - table[column]) ** 2).mean()))

    for some, words in ((long, "with ten years of rows before 1986 and after"), (set(ids), "all of them")):
        own, raw = rmse("with elevation", "GeoBlend", some), rmse("with elevation", "raw", some)
        detail = f"with elevation {own:.2f} C, without {rmse('without', 'GeoBlend', some):.2f} C, raw mean {raw:.2f} C"
        what = f"geo Colorado, stations never seen, 1986-97, {words}: "
        if some is long:
            yield _near(what + "with elevation / raw mean of ten neighbours", 0.88, own / raw, detail)
            yield Row(what + "RMSE", "<= 2.10 C", f"{own:.2f} C", own <= 2.10, f"{len(long)} stations")
        else:
            yield Row(what + "RMSE", "shown", f"{own:.2f} C", None, detail)


def _left_out(data: pd.DataFrame, places: pd.DataFrame, left: set[str]) -> pd.DataFrame:
    """Truth and forecasts of the stations `left` out, a year at a time from 1986 on."""
    import warnings

    seen = data[~data["unique_id"].isin(left)]
    static = places[~places["unique_id"].isin(left)]
    strange = places[places["unique_id"].isin(left)]
    model = GeoBlend(members=("knn", "linear"))
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = seen[seen["ds"] < "1986"]
        long = known.groupby("unique_id")["y"].transform("count") >= 120
        model.fit(known[long], h=12, static=static[static["unique_id"].isin(known[long]["unique_id"])])
        for year in range(1986, 1998):
            coming = model.predict(12, static=strange)
            parts.append(coming[coming["ds"].dt.year == year])  # a station that ended earlier has other dates
            newer = seen[(seen["ds"] >= str(year)) & (seen["ds"] < str(year + 1))]
            model.update(newer[newer["unique_id"].isin(known[long]["unique_id"])])
    table = pd.concat(parts)
    mine = table[table["unique_id"].isin(left)].merge(data[["unique_id", "ds", "y"]], on=["unique_id", "ds"])
    return mine.merge(_raw_mean(table[~table["unique_id"].isin(left)], places, sorted(left)), on=["unique_id", "ds"])


def _raw_mean(forecasts: pd.DataFrame, places: pd.DataFrame, left: Sequence[str]) -> pd.DataFrame:
    """The mean of the ten nearest stations' own forecasts at each date: what a map of dots would tell."""
    where = places.set_index("unique_id")[["lat", "lon"]]
    wide = forecasts.pivot(index="ds", columns="unique_id", values="GeoBlend")
    out = {}
    for name in left:
        here, there = np.radians(where.loc[name].to_numpy()), np.radians(where.loc[wide.columns].to_numpy())
        half = (there - here) / 2
        chord = np.sin(half[:, 0]) ** 2 + np.cos(here[0]) * np.cos(there[:, 0]) * np.sin(half[:, 1]) ** 2
        out[name] = wide[wide.columns[np.argsort(chord)[:NEAREST]]].mean(axis=1)
    return pd.DataFrame(out).melt(ignore_index=False, var_name="unique_id", value_name="raw").reset_index(names="ds")


def _speed() -> Iterator[Row]:
    """Seconds and memory of KNN(20) in a fresh process, and how they grow with the places."""
    took = {places: _timed(places) for places in (250, 1000)}
    seconds, memory = took[1000]
    detail = ", ".join(f"{n} places {s:.1f} s, {m:.2f} GiB" for n, (s, m) in took.items())
    what = "geo speed, 1,000 places x 3,650 days, KNN(20) fit + predict 14: "
    yield Row(what + "seconds", "<= 30 s", f"{seconds:.1f} s", seconds <= 30, detail)
    yield Row(what + "memory", "<= 3 GB", f"{memory:.2f} GiB", memory <= 2.79, "peak above the input")
    yield at_most(what + "four times the places cost", 5.0, seconds / took[250][0], "near-linear")


def _timed(places: int) -> tuple[float, float]:
    command = [sys.executable, "-c", SPEED, str(places)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory
