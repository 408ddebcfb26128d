"""Korean stores with Prophet's model: pooled holidays, promotions, the two breaks of 2020, and what each part adds.

Run it with `python examples/korean_retail.py [folder]`; it writes forecasts.csv and components.html there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tsforecast as tsf
from tsforecast import KoreanHolidays, Prophet, Regressor, SeasonalNaive, backtest

H = 31
STORE = "서울강남점"


def main(folder: Path) -> None:
    """Forecast December 2024 for 40 simulated stores, whose true effects are known."""
    folder.mkdir(parents=True, exist_ok=True)
    sales, truth = tsf.datasets.load("retail_kr", truth=True)
    history = sales[sales["ds"] < "2024-12-01"]
    promotions = sales.loc[sales["ds"] >= "2024-12-01", ["unique_id", "ds", "promo"]]

    model = Prophet(
        changepoints=["2020-01-25", "2020-02-29"],  # the first is Lunar New Year: fitted together with the holidays
        changepoint_prior_scale=10,
        holidays=KoreanHolidays(),
        regressors=(Regressor("promo"),),
    )
    model.fit(history)
    forecasts = model.predict(H, future=promotions, levels=[80, 95])
    forecasts.to_csv(folder / "forecasts.csv", index=False)

    changes = model.changepoints_
    print(changes[changes["unique_id"] == STORE].to_string(index=False))
    effects, known = model.effects(), truth.effects
    store = effects[effects["unique_id"] == STORE].merge(known, on=["unique_id", "term"]).set_index("term")
    terms = ["promo", "KR:christmas", "KR:seollal-3", "KR:seollal+0", "KR:chuseok+0"]
    print(store.loc[terms, ["estimate", "lo-95", "hi-95", "value"]].round(1).to_string())

    figure = tsf.plot_components(model, H, future=promotions, ids=[STORE])
    figure.write_html(folder / "components.html", include_plotlyjs=True)

    scores = backtest([model, SeasonalNaive()], history, h=H, windows=4, levels=(80,))
    print(scores.leaderboard("mae").to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
