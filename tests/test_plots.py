"""Figures: what is drawn is what was given, held against the arrays and against statsmodels."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa import stattools

from tsforecast import (
    ConfigError,
    KoreanHolidays,
    NotFittedError,
    Panel,
    Prophet,
    Regressor,
    Seasonality,
    SeasonalNaive,
    WindowMean,
    load,
    tune,
)
from tsforecast.datasets import load as data_set
from tsforecast.plots import plot_acf, plot_components, plot_findings, plot_forecast, plot_tuning


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


@pytest.fixture(scope="module")
def stores() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three stores until the end of November, and what is known of December."""
    sales = data_set("retail_kr")
    sales = sales[sales["unique_id"].isin(sales["unique_id"].unique()[:3])]
    late = sales["ds"] >= "2024-12-01"
    return sales[~late], sales.loc[late, ["unique_id", "ds", "promo"]]


@pytest.fixture(scope="module")
def two_changes(stores: tuple[pd.DataFrame, pd.DataFrame]) -> Prophet:
    model = Prophet(
        changepoints=["2020-01-25", "2020-02-29"], changepoint_prior_scale=10, holidays="KR", known=("promo",)
    )
    return model.fit(stores[0], h=31)


def titles(figure: object) -> list[str]:
    return [axis.title.text for axis in figure.select_yaxes() if axis.title.text]  # type: ignore[attr-defined]


def test_components_figure_holds_the_components_of_the_asked_series(
    stores: tuple[pd.DataFrame, pd.DataFrame], two_changes: Prophet
) -> None:
    store = stores[0]["unique_id"].unique()[2]
    figure = plot_components(two_changes, future=stores[1], ids=[store], level=90)
    assert titles(figure) == ["trend", "yearly", "weekly", "holidays", "regressors"]
    whole = two_changes.components(31, future=stores[1], history=True, levels=[90])
    mine = whole[whole["unique_id"] == store].reset_index(drop=True)
    traces = {trace.name: trace for trace in figure.data if trace.name}
    np.testing.assert_array_equal(traces["trend"].x, mine["ds"].to_numpy())
    np.testing.assert_allclose(traces["trend"].y, mine["trend"], rtol=1e-12)
    np.testing.assert_allclose(figure.data[0].y[: len(mine)], mine["trend-hi-90"], rtol=1e-9)
    np.testing.assert_allclose(traces["promo"].y, mine["promo"], rtol=1e-12)
    christmas = mine[mine["Christmas Day"] != 0]
    np.testing.assert_array_equal(traces["Christmas Day"].x, christmas["ds"].to_numpy("M8[D]"))
    np.testing.assert_allclose(traces["Christmas Day"].y, christmas["Christmas Day"], rtol=1e-12)


def test_changepoints_are_marked_where_they_are(two_changes: Prophet) -> None:
    figure = plot_components(two_changes, n=1, level=None)
    marks = next(trace for trace in figure.data if trace.name == "changepoints")
    assert [str(day)[:10] for day in marks.x] == ["2020-01-25", "2020-02-29"]
    assert [shape.x0[:10] for shape in figure.layout.shapes] == ["2020-01-25", "2020-02-29"]
    changes = two_changes.changepoints_["change"].iloc[:2]
    assert [float(word.split()[0]) for word in marks.text] == pytest.approx(changes.tolist(), rel=5e-3)
    assert not any(trace.fill for trace in figure.data if trace.type == "scatter"), "level=None draws no bands"


@pytest.fixture(scope="module")
def pooled(stores: tuple[pd.DataFrame, pd.DataFrame]) -> Prophet:
    return Prophet(holidays=KoreanHolidays(), known=("promo",)).fit(stores[0].query("ds >= '2021'"))


def test_holidays_that_carry_most_have_a_colour_and_a_name(
    stores: tuple[pd.DataFrame, pd.DataFrame], pooled: Prophet
) -> None:
    figure = plot_components(pooled, 31, future=stores[1], n=2, level=None)
    whole = pooled.components(31, future=stores[1], history=True)
    whole = whole[whole["unique_id"].isin(whole["unique_id"].unique()[:2])]
    held = {"unique_id", "ds", "trend", "yearly", "weekly", "promo", "Prophet"}
    families = [name for name in whole if name not in held]
    year = whole[whole["ds"] >= whole["ds"].max() - pd.Timedelta(days=366)]
    size = year[families].abs().sum().sort_values(ascending=False)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    named = {trace.name for trace in bars if trace.showlegend is not False}
    assert named == {*size.index[:7], "others"}
    assert "off_weekday" in named
    colours = {trace.name: trace.marker.color for trace in bars}
    assert len({colours[name] for name in named}) == 8
    assert {colours[name] for name in size.index[7:]} <= {colours["others"]}
    drawn = whole[whole["ds"] >= whole["ds"].max() - pd.Timedelta(days=376)]
    for axis, (_, mine) in zip(("x7", "x8"), drawn.groupby("unique_id", sort=False), strict=True):
        effects = mine.set_index(mine["ds"].dt.strftime("%Y-%m-%d"))[families].abs()
        notes = {note.x[:10]: note.text for note in figure.layout.annotations if note.xref == axis}
        assert {"seollal", "chuseok", "christmas"} <= set(notes.values())
        assert notes == effects.loc[list(notes)].idxmax(axis=1).to_dict()
        # What has no name is small, or stands beside a name.
        days, near = pd.to_datetime(effects.index), pd.to_datetime(list(notes))
        alone = np.abs(days.to_numpy()[:, None] - near.to_numpy()).min(axis=1) > np.timedelta64(31, "D")
        assert effects.max(axis=1)[alone].max() <= 0.1 * effects.max().max()


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_curves_of_seasonalities_are_what_the_components_show(mode: str) -> None:
    data = table(2 * 365)
    model = Prophet(seasonality_mode=mode, seasonalities=(Seasonality("moon", 29.53, 2),), yearly_seasonality=4)
    model.fit(data)
    parts, curves = model.components(history=True), model.seasonal_curves(levels=[80])
    assert list(curves.columns) == ["unique_id", "seasonality", "period", "mode", "day", "estimate", "lo-80", "hi-80"]
    weekly = curves[(curves["seasonality"] == "weekly") & (curves["unique_id"] == "가")]
    mine = parts[parts["unique_id"] == "가"]
    share = mine["weekly"] / (mine["trend"] if mode == "multiplicative" else 1.0)
    seen = share.groupby(mine["ds"].dt.day_of_week).mean()
    np.testing.assert_allclose(weekly["estimate"], seen, atol=1e-9)
    yearly = curves[(curves["seasonality"] == "yearly") & (curves["unique_id"] == "가")]
    share = mine["yearly"] / (mine["trend"] if mode == "multiplicative" else 1.0)
    # 1 January 2024 is 54 years of 365.25 days after 1970-01-01, less half a day.
    middle = (yearly["estimate"].to_numpy()[:-1] + yearly["estimate"].to_numpy()[1:]) / 2
    np.testing.assert_allclose(share.to_numpy()[1:365], middle[:364], atol=2e-3 * np.abs(middle).max())
    figure = plot_components(model, n=1)
    assert titles(figure) == ["trend", "yearly", "weekly", "moon"]
    assert (figure.layout.yaxis3.tickformat == ".0%") == (mode == "multiplicative")


def test_bands_of_curves_are_those_of_the_components() -> None:
    data = table(200)
    model = Prophet(weekly_seasonality=3, regressors=(), n_changepoints=3).fit(data)
    parts, curves = model.components(history=True, levels=[80]), model.seasonal_curves(levels=[80])
    width = (parts["weekly-hi-80"] - parts["weekly-lo-80"]).to_numpy()[:7]  # 1 January 2024 is a Monday
    np.testing.assert_allclose((curves["hi-80"] - curves["lo-80"])[:7], width, rtol=1e-6)


def test_hours_get_a_day_and_a_week_of_their_own() -> None:
    when = pd.date_range("2024-01-01", periods=24 * 30, freq="h")
    y = 10 + 3 * np.sin(2 * np.pi * when.hour / 24) + np.random.default_rng(0).normal(scale=0.1, size=len(when))
    figure = plot_components(Prophet(holidays="KR").fit(pd.DataFrame({"ds": when, "y": y})), 24)
    daily = next(trace for trace in figure.data if trace.name == "daily")
    np.testing.assert_allclose(daily.y, 3 * np.sin(2 * np.pi * daily.x / 24), atol=0.15)
    assert daily.x[-1] == 24
    bars = next(trace for trace in figure.data if trace.name == "New Year's Day")
    assert list(bars.x) == [np.datetime64("2024-01-01")], "a bar a day, not one an hour"


def test_business_days_have_a_week_of_five() -> None:
    when = pd.bdate_range("2024-01-01", periods=100)
    y = np.arange(100) + np.tile([0, 1, 2, 3, 9], 20) + np.random.default_rng(0).normal(scale=0.1, size=100)
    curves = Prophet().fit(pd.DataFrame({"ds": when, "y": y})).seasonal_curves()
    assert curves["day"].tolist() == [0, 1, 2, 3, 4]


def test_what_cannot_be_drawn_says_why(tmp_path: object, two_changes: Prophet) -> None:
    data = table()
    with pytest.raises(ConfigError, match="draws a fitted Prophet, got SeasonalNaive"):
        plot_components(SeasonalNaive().fit(data))
    with pytest.raises(NotFittedError):
        plot_components(Prophet())
    with pytest.raises(ConfigError, match="no series nobody; there are"):
        plot_components(two_changes, ids=["nobody"])
    model = Prophet(regressors=(Regressor("x"),)).fit(data.assign(x=np.arange(len(data)) % 3))
    with pytest.raises(ConfigError, match="say h="):
        plot_components(model, future=data)
    model.save(f"{tmp_path}/model.tsf")
    again = load(f"{tmp_path}/model.tsf")
    with pytest.raises(ConfigError, match="fit it again"):
        plot_components(again)
    assert titles(plot_components(again, level=None)) == ["trend", "weekly", "regressors"]


def test_stan_has_no_components_to_draw() -> None:
    pytest.importorskip("prophet")
    model = Prophet(engine="stan", n_changepoints=1, uncertainty_samples=10).fit(table(30).query("unique_id == 'c'"))
    with pytest.raises(ConfigError, match='engine="map"'):
        plot_components(model)
