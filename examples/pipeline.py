"""A small data pipeline: check, backtest, fit, forecast with known promotions, save, load, update.

Run it with `python examples/pipeline.py [folder]`; it writes forecasts.csv and model.tsf there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tsforecast as tsf
from tsforecast import AR, Climatology, SeasonalNaive, backtest

H = 14


def main(folder: Path) -> None:
    """Forecast two weeks of 40 simulated Korean stores."""
    folder.mkdir(parents=True, exist_ok=True)
    sales = tsf.datasets.load("retail_kr")
    history = sales[sales["ds"] < "2024-12-01"]
    promotions = sales.loc[sales["ds"] >= "2024-12-01", ["unique_id", "ds", "promo"]]

    findings = tsf.check(history)
    print(f"{len(findings)} findings in {history['unique_id'].nunique()} series")

    models = [
        AR(known=("promo",), calendar=("weekday", "KR")),
        SeasonalNaive(),
        Climatology(),
    ]
    scores = backtest(models, history, h=H, windows=4)
    print(scores.leaderboard(baseline="SeasonalNaive").to_string(index=False))

    model = models[0].fit(history, h=H)
    forecasts = model.predict(future=promotions, levels=[80, 95])
    forecasts.to_csv(folder / "forecasts.csv", index=False)
    print(forecasts.head(3).to_string(index=False))

    # The daily job: load what was saved, append yesterday's rows, forecast again under the same parameters.
    model.save(folder / "model.tsf")
    tomorrow = tsf.load(folder / "model.tsf").update(sales[sales["ds"] == "2024-12-01"])
    print(tomorrow.predict(7, future=promotions).head(3).to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
