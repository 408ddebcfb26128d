"""Weather stations forecast with their neighbours: a blend, its weights, a backtest, places that have no station.

Run it with `python examples/geo.py [folder]`; it writes forecasts.csv and, where plotly is installed, map.html and
weights.html there.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

import tsforecast as tsf
from tsforecast import Climatology, GeoBlend, Panel, backtest

H = 12
MONTHS = 240
"""Observed months that a station must have."""


def main(folder: Path) -> None:
    """Forecast the monthly temperatures of 1997 around Denver, at stations and at places without one."""
    folder.mkdir(parents=True, exist_ok=True)
    data, places = stations()
    apart = places["unique_id"].isin(sorted(places["unique_id"])[::6])
    held, known = places[apart], places[~apart]
    history = data[(data["ds"] < "1997") & data["unique_id"].isin(known["unique_id"])]

    # Without a network: `GeoBlend()` has an LSTM in the place of the regression, and needs torch.
    model = GeoBlend(members=("knn", "linear"), show_members=True).fit(history, static=known)
    print(f"{len(known)} stations")
    print(model.weights_.to_string(index=False))
    print(model.validation_.to_string(index=False))

    panel = Panel.from_table(history, static=known)
    scores = backtest([model, Climatology()], panel, h=H, windows=5, step=12)
    print(scores.leaderboard("rmse", baseline="Climatology").to_string(index=False))

    # A row of the static table is all that a place needs. Stations kept out show how well that goes.
    centre = {"unique_id": ["Alpine Visitor Center"], "lat": [40.442], "lon": [-105.755], "elevation": [3595.0]}
    forecasts = model.predict(H, levels=[80], static=pd.concat([held, pd.DataFrame(centre)]))
    forecasts.to_csv(folder / "forecasts.csv", index=False)
    print(forecasts[forecasts["unique_id"] == "Alpine Visitor Center"].head(3).to_string(index=False))
    print(judged(forecasts.merge(data, on=["unique_id", "ds"]), held).to_string(index=False))

    if find_spec("plotly"):
        tsf.plot_map(model, k=5).write_html(folder / "map.html", include_plotlyjs=True)
        tsf.plot_weights(model).write_html(folder / "weights.html", include_plotlyjs=True)


def stations() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Monthly means since 1950 of long-lived stations around Denver, and where these are."""
    data, places = tsf.datasets.load("colorado", static=True)
    near = places["lat"].between(38, 41) & places["lon"].between(-107, -104)
    data = data[(data["ds"] >= "1950") & data["unique_id"].isin(places.loc[near, "unique_id"])]
    seen = data.groupby("unique_id").agg(months=("y", "count"), last=("ds", "max"))
    long = seen.index[(seen["months"] >= MONTHS) & (seen["last"] == "1997-12-01")]
    return data[data["unique_id"].isin(long)], places[places["unique_id"].isin(long)]


def judged(table: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """RMSE and share of values within the interval of each station that was kept out."""
    error = table["y"] - table["GeoBlend"]
    inside = table["y"].between(table["GeoBlend-lo-80"], table["GeoBlend-hi-80"])
    by_place = table.assign(rmse=error**2, inside=inside).groupby("unique_id")[["rmse", "inside"]].mean()
    by_place["rmse"] **= 0.5
    return held[["unique_id", "name", "elevation"]].merge(by_place, on="unique_id").round(2)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
