"""Figures: what is drawn is what was given, held against the arrays and against statsmodels."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa import stattools

from tsforecast import ConfigError, Panel, SeasonalNaive, WindowMean, tune
from tsforecast.plots import plot_acf, plot_findings, plot_forecast, plot_tuning


def table(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    ds = np.tile(pd.date_range("2024-01-01", periods=rows), 3)
    y = 50 + 10 * np.sin(np.arange(3 * rows) * 2 * np.pi / 7) + np.cumsum(rng.normal(0, 1, 3 * rows))
    return pd.DataFrame({"unique_id": np.repeat(["가", "<b>b", "c"], rows), "ds": ds, "y": y})


def test_forecast_figure_holds_history_points_and_bands() -> None:
    data = table()
    ahead = SeasonalNaive().fit(data).predict(7, levels=(80, 95))
    figure = plot_forecast(data, ahead.sample(frac=1, random_state=0), ids=["c", "가"], rows=30)
    history, wide, narrow, model = figure.data[:4]
    mine, drawn = data[data["unique_id"] == "c"], ahead[ahead["unique_id"] == "c"]
    np.testing.assert_array_equal(history.y, mine["y"].to_numpy()[-30:])
    np.testing.assert_array_equal(model.y, drawn["SeasonalNaive"])
    np.testing.assert_array_equal(model.x, drawn["ds"].to_numpy())
    np.testing.assert_array_equal(wide.y[:7], drawn["SeasonalNaive-hi-95"])
    np.testing.assert_array_equal(narrow.y[7:][::-1], drawn["SeasonalNaive-lo-80"])
    assert [note.text for note in figure.layout.annotations] == ["c", "가"]
    with pytest.raises(ConfigError, match="no series nobody"):
        plot_forecast(data, ahead, ids=["nobody"])


def test_ids_are_text_in_titles() -> None:
    data = table()
    figure = plot_forecast(data, SeasonalNaive().fit(data).predict(7), ids=["<b>b"])
    assert figure.layout.annotations[0].text == "&lt;b>b"


@pytest.mark.parametrize("partial", [False, True])
def test_autocorrelations_and_their_band_are_those_of_statsmodels(partial: bool) -> None:
    y = np.cumsum(np.random.default_rng(1).normal(size=300)) * 0.3 + np.random.default_rng(2).normal(size=300)
    figure = plot_acf(Panel.from_arrays(y[None, :]), lags=12, partial=partial, level=90)
    band, bars = figure.data
    if partial:
        expected, interval = stattools.pacf(y, nlags=12, alpha=0.1)
    else:
        with pytest.warns(FutureWarning):
            expected, interval = stattools.acf(y, nlags=12, alpha=0.1, fft=False)
    np.testing.assert_allclose(bars.y, expected[1:], atol=1e-12)
    np.testing.assert_allclose(band.y[:12], ((interval[:, 1] - interval[:, 0]) / 2)[1:], rtol=1e-9)


def test_autocorrelations_of_residuals_are_of_the_fitted_table() -> None:
    data = table()
    model = SeasonalNaive().fit(data)
    residual = model.fitted().query("unique_id == 'c'")["residual"].dropna()
    figure = plot_acf(model, id="c", lags=10)
    np.testing.assert_allclose(figure.data[1].y, stattools.acf(residual, nlags=10, fft=False)[1:])
    assert "residuals" in figure.layout.title.text


def test_findings_figure_marks_the_planted_outlier_and_gap() -> None:
    data = table()
    data.loc[200, "y"] = 900.0
    data = data.drop(index=[210, 211])
    figure = plot_findings(data, n=1)
    marks = {trace.name: trace for trace in figure.data}
    assert list(marks["outlier"].y) == [900.0]
    assert list(marks["outlier"].x) == [np.datetime64("2024-03-21")]
    assert list(marks["missing"].x) == [np.datetime64("2024-03-31"), np.datetime64("2024-04-01")]


def test_validation_curve_goes_through_the_best_score_at_each_value() -> None:
    data = table()
    done = tune(WindowMean(), {"window": [28, 3, 7]}, data, h=7, windows=3)
    dots, curve = plot_tuning(done).data
    assert list(curve.x) == [3, 7, 28]
    scores = {params["window"]: score for params, score in zip(done.candidates, done.score, strict=True)}
    assert list(curve.y) == [scores[window] for window in (3, 7, 28)]
    assert len(dots.x) == 3
    with pytest.raises(ConfigError, match="'season' was not searched; there are window"):
        plot_tuning(done, "season")
