"""Seoul stores with a recurrent network: training, its learning curve, forecasts, a store never seen, the daily job.

Run it with `python examples/networks.py [folder]`; it writes forecasts.csv, learning_curve.html and model.tsf there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tsforecast as tsf
from tsforecast import GRU, SeasonalNaive, backtest

H = 14


def main(folder: Path) -> None:
    """Forecast two weeks of five simulated Korean stores by one net that learned on four of them."""
    folder.mkdir(parents=True, exist_ok=True)
    sales = tsf.datasets.load("retail_kr")
    sales = sales[sales["unique_id"].str.startswith("서울")]
    history = sales[sales["ds"] < "2024-12-01"]
    promotions = sales.loc[sales["ds"] >= "2024-12-01", ["unique_id", "ds", "promo"]]
    newest = history["unique_id"] == "서울잠실점"

    model = GRU(known=("promo",), calendar=("weekday", "KR"), preset="fast")
    model.fit(history[~newest], h=H)
    told = model.describe()
    for layer in told["layers"]:
        print(f"{layer['layer']}: {layer['what']}, {layer['parameters']} parameters")
    print(f"{told['training_windows']} windows, {told['steps_an_epoch']} steps an epoch")
    curve = model.history_
    print(curve[curve["best"]].to_string(index=False))
    tsf.plot_learning_curve(model).write_html(folder / "learning_curve.html", include_plotlyjs=True)

    # A store that opened this summer: the net as it is, in the units of the store's own rows.
    model.update(history[newest & (history["ds"] >= "2024-08-01")])
    forecasts = model.predict(future=promotions, levels=[80, 95])
    forecasts.to_csv(folder / "forecasts.csv", index=False)
    print(forecasts[forecasts["unique_id"] == "서울잠실점"].head(3).to_string(index=False))

    # Trained once, before the first origin.
    scores = backtest([model, SeasonalNaive()], history, h=H, windows=4, levels=(80,), refit=False)
    print(scores.leaderboard("mae", baseline="SeasonalNaive").to_string(index=False))

    # The daily job: load what was saved, append yesterday's rows, forecast again under the same weights.
    model.save(folder / "model.tsf")
    tomorrow = tsf.load(folder / "model.tsf").update(sales[sales["ds"] == "2024-12-01"])
    print(tomorrow.predict(7, future=promotions, levels=[80]).head(3).to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
