"""LagRegressor: against scikit-learn on lag tables made by hand, against AR, and from its own files."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from sklearn import linear_model, svm
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from tsforecast import datasets
from tsforecast.contract import check_forecaster, example
from tsforecast.errors import ArtifactError, ConfigError, FitError, FitWarning
from tsforecast.evaluation import backtest
from tsforecast.intervals import Conformal
from tsforecast.models.ar import AR
from tsforecast.models.lag_regressor import LagRegressor, arrays
from tsforecast.panel import Panel
from tsforecast.registry import load
from tsforecast.rolling import roll

LENGTHS = (70, 90, 64, 80)


def weekly(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        10.0 * (i + 1) + 2 * np.sin(2 * np.pi * np.arange(t) / 7) + np.cumsum(rng.normal(size=t)) * 0.3
        for i, t in enumerate(lengths)
    ]


def daily(series: list[Any], **rest: Any) -> Panel:
    return Panel.from_arrays(series, freq="D", start="2024-01-01", **rest)


def table(y: Any, lags: tuple[int, ...]) -> tuple[Any, Any]:
    """Lag table of one series by pandas."""
    frame = pd.concat([pd.Series(y).shift(lag) for lag in lags] + [pd.Series(y)], axis=1).iloc[max(lags) :].dropna()
    return frame.to_numpy()[:, :-1], frame.to_numpy()[:, -1]


def by_hand(model: Any, y: Any, lags: tuple[int, ...], h: int) -> Any:
    """A recursion written out."""
    track = list(y)
    for _ in range(h):
        track.append(float(model.predict([[track[-lag] for lag in lags]])[0]))
    return np.array(track[-h:])


def points(model: LagRegressor, panel: Panel, h: int, **rest: Any) -> Any:
    return model.fit(panel, h=h).predict(h, **rest)[model.name].to_numpy().reshape(-1, h)


# Against models from outside


@pytest.mark.parametrize("transform", [None, "standard"])
def test_linear_regression_a_series_is_ar(transform: str | None) -> None:
    series = weekly()
    series[1][[20, 21, 50]] = np.nan
    panel = daily(series)
    expected = AR(7, ridge=0, transform=None).fit(panel).predict(14)["AR"].to_numpy().reshape(-1, 14)
    model = LagRegressor("LinearRegression", lags=7, scope="series", transform=transform)
    np.testing.assert_allclose(points(model, panel, 14), expected, rtol=1e-8)


def test_missing_last_values_are_forecast_first_as_in_ar() -> None:
    series = weekly()
    series[0][[-1, -3, -4]] = np.nan
    series[2][-2] = np.nan
    panel = daily(series)
    expected = AR([1, 2, 7], ridge=0, transform=None).fit(panel).predict(9)["AR"].to_numpy().reshape(-1, 9)
    model = LagRegressor("LinearRegression", lags=[1, 2, 7], scope="series")
    np.testing.assert_allclose(points(model, panel, 9), expected, rtol=1e-8)


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
def test_known_and_calendar_columns_enter_as_in_ar(strategy: str) -> None:
    series = weekly()
    promo = np.random.default_rng(1).integers(0, 2, sum(LENGTHS)).astype(float)
    panel = daily(series, columns={"promo": promo})
    shared: dict[str, Any] = {"lags": 3, "known": ("promo",), "calendar": ("weekday",), "strategy": strategy}
    reference = AR(ridge=0, transform=None, **shared).fit(panel, h=5)
    future = reference.make_future(5).assign(promo=np.arange(20) % 2)
    expected = reference.predict(5, future=future)["AR"].to_numpy().reshape(-1, 5)
    model = LagRegressor("LinearRegression", scope="series", **shared)
    np.testing.assert_allclose(points(model, panel, 5, future=future), expected, rtol=1e-8)


TRANSFORMS = ["log", "diff", "seasonal-diff", "log-diff", "log-seasonal-diff-standard"]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_are_those_of_ar(transform: str) -> None:
    panel = daily(weekly())
    plain = transform.removesuffix("-standard")
    reference = AR(4, ridge=0, transform=plain, stabilise=False).fit(panel).predict(9)
    model = LagRegressor("LinearRegression", lags=4, scope="series", transform=transform)
    np.testing.assert_allclose(points(model, panel, 9).ravel(), reference["AR"], rtol=1e-7)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_direct_transforms_are_those_of_ar(transform: str) -> None:
    panel, h = daily(weekly()), 9
    reference = AR(4, ridge=0, transform=transform.removesuffix("-standard"), strategy="direct")
    # AR fits all horizons on the rows that the last one has: its last step alone has the same rows as here.
    ends = [reference.fit(panel, h=s).predict(s)["AR"].to_numpy().reshape(-1, s)[:, -1] for s in range(1, h + 1)]
    model = LagRegressor("LinearRegression", lags=4, scope="series", transform=transform, strategy="direct")
    np.testing.assert_allclose(points(model, panel, h), np.stack(ends, axis=1), rtol=1e-7)


@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.Lasso(alpha=0.05),
        svm.SVR(C=3.0),
        KNeighborsRegressor(3),
        make_pipeline(StandardScaler(), PolynomialFeatures(2), linear_model.Ridge(alpha=5.0)),
        GradientBoostingRegressor(n_estimators=8, random_state=3),
    ],
    ids=lambda e: type(e).__name__,
)
def test_one_model_of_all_series_equals_a_table_made_by_hand(estimator: Any) -> None:
    series, lags = weekly(), (1, 2, 7)
    tables = [table(y, lags) for y in series]
    model = clone(estimator).fit(np.vstack([x for x, _ in tables]), np.concatenate([y for _, y in tables]))
    expected = [by_hand(model, y, lags, 10) for y in series]
    got = points(LagRegressor(estimator, lags=lags, transform=None), daily(series), 10)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    with pytest.raises(NotFittedError):
        estimator.predict(np.zeros((1, 3)))


def test_standard_puts_each_series_in_its_own_units() -> None:
    series, lags = weekly(), (1, 7)
    units = [(y.mean(), y.std()) for y in series]
    scaled = [(y - m) / s for y, (m, s) in zip(series, units, strict=True)]
    tables = [table(y, lags) for y in scaled]
    model = linear_model.Ridge().fit(np.vstack([x for x, _ in tables]), np.concatenate([y for _, y in tables]))
    expected = [m + s * by_hand(model, y, lags, 6) for y, (m, s) in zip(scaled, units, strict=True)]
    np.testing.assert_allclose(points(LagRegressor(lags=lags), daily(series), 6), expected, rtol=1e-10)


def test_direct_with_past_columns_is_one_estimator_a_horizon() -> None:
    series, h = weekly(), 3
    wind = np.random.default_rng(2).normal(size=sum(LENGTHS))
    panel = daily(series, columns={"wind": wind}, n_past=1)
    frames = []
    for y, w in zip(series, np.split(wind, np.cumsum(LENGTHS)[:-1]), strict=True):
        frame = pd.DataFrame({f"{n}{lag}": pd.Series(v).shift(lag) for n, v in (("y", y), ("w", w)) for lag in (1, 2)})
        frames.append(frame.assign(y=y))
    last = np.array([[y[-1], y[-2], w[-1], w[-2]] for y, w in zip(series, np.split(wind, np.cumsum(LENGTHS)[:-1]))])  # noqa: B905
    expected = np.empty((len(series), h))
    for step in range(1, h + 1):
        rows = pd.concat([f.assign(y=f["y"].shift(1 - step)) for f in frames]).dropna().to_numpy()
        expected[:, step - 1] = linear_model.Lasso(alpha=0.02).fit(rows[:, :-1], rows[:, -1]).predict(last)
    model = LagRegressor(linear_model.Lasso(alpha=0.02), lags=2, past=("wind",), transform=None)
    np.testing.assert_allclose(points(model, panel, h), expected, rtol=1e-10)


def test_estimators_that_cope_with_missing_values_keep_their_rows() -> None:
    series, lags = weekly(), (1, 2, 7)
    series[0][[10, 11, 40, -2]] = np.nan
    estimator = HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5, random_state=0)
    tables = []
    for y in series:
        frame = pd.concat([pd.Series(y).shift(lag) for lag in lags] + [pd.Series(y)], axis=1).iloc[7:]
        tables.append(frame[frame.iloc[:, -1].notna()].to_numpy())
    rows = np.vstack(tables)
    model = clone(estimator).fit(rows[:, :-1], rows[:, -1])
    got = points(LagRegressor(estimator, lags=lags, transform=None), daily(series), 5)
    np.testing.assert_allclose(got, [by_hand(model, y, lags, 5) for y in series], rtol=1e-10)


def test_a_model_a_group_knows_its_group_alone() -> None:
    series = weekly()
    region = np.array(["동", "서", "동", "서"], dtype=object)
    panel = daily(series, static={"region": region})
    got = points(LagRegressor(lags=3, scope="region"), panel, 4)
    for label in ("동", "서"):
        index = np.nonzero(region == label)[0]
        alone = points(LagRegressor(lags=3), daily([series[i] for i in index]), 4)
        np.testing.assert_allclose(got[index], alone, rtol=1e-12)


def test_static_columns_are_regressors() -> None:
    series = weekly((60, 60, 60))
    height = np.array([1.0, 4.0, 2.0])
    tables = [table(y, (1,)) for y in series]
    x = np.vstack([np.column_stack([x, np.full(len(x), s)]) for (x, _), s in zip(tables, height, strict=True)])
    model = linear_model.Lasso(alpha=0.01).fit(x, np.concatenate([y for _, y in tables]))
    expected = model.predict(np.column_stack([[y[-1] for y in series], height]))
    own = LagRegressor(linear_model.Lasso(alpha=0.01), lags=1, transform=None, static=("height",))
    np.testing.assert_allclose(points(own, daily(series, static={"height": height}), 1)[:, 0], expected, rtol=1e-10)


def test_weights_reach_the_estimator() -> None:
    series, rng = weekly(), np.random.default_rng(4)
    weights = rng.uniform(0.0, 2.0, sum(LENGTHS)) * (rng.uniform(size=sum(LENGTHS)) > 0.2)
    parts = np.split(weights, np.cumsum(LENGTHS)[:-1])
    tables = [table(y, (1, 2)) for y in series]
    x, y = np.vstack([x for x, _ in tables]), np.concatenate([y for _, y in tables])
    scale = make_pipeline(linear_model.Ridge(alpha=2.0))
    model = linear_model.Ridge(alpha=2.0).fit(x, y, sample_weight=np.concatenate([w[2:] for w in parts]))
    got = points(LagRegressor(scale, lags=2, transform=None), daily(series, weights=weights), 3)
    np.testing.assert_allclose(got, [by_hand(model, y, (1, 2), 3) for y in series], rtol=1e-9)
    with pytest.raises(ConfigError, match="KNeighborsRegressor takes no row weights"):
        LagRegressor("KNeighborsRegressor", lags=2).fit(daily(series, weights=weights))


def test_automatic_lags_are_what_the_history_carries() -> None:
    short, long = weekly((30, 200))
    model = LagRegressor("LinearRegression", scope="series").fit(daily([short, long]))
    sets, choice = model.state_["fit"]["sets"], model.state_["fit"]["models"]["choice"]
    assert max(sets[choice[0]]) <= 10 < max(sets[choice[1]])
    for i, y in enumerate((short, long)):
        x, target = table(y, tuple(sets[choice[i]]))
        reference = linear_model.LinearRegression().fit(x, target)
        got = model.predict(5)["LagRegressor"].to_numpy().reshape(2, 5)[i]
        np.testing.assert_allclose(got, by_hand(reference, y, tuple(sets[choice[i]]), 5), rtol=1e-8)


def test_new_york_volume_as_published() -> None:
    table_ = datasets.load("nyse")
    panel, trained = Panel.from_table(table_, freq="B", gaps="ignore"), int(table_["train"].sum())
    assert panel.at is not None
    model = LagRegressor("LinearRegression", lags=5, past=("DJ_return", "log_volatility"))
    errors = roll(model, panel, panel.at[trained - 1 : -1], h=1, refit=False).errors[:, 0, 0]
    test = table_["y"].to_numpy()[trained:]
    # Least squares on five lags, as ISLP's laboratory on the series has it (section 10.9.6).
    assert 1 - (errors**2).sum() / ((test - test.mean()) ** 2).sum() == pytest.approx(0.4128912938562521, abs=1e-9)


def test_folds_leave_rows_out_of_estimators_without_weights() -> None:
    y = weekly((60,))[0]
    estimator = KNeighborsRegressor(3)
    done = backtest([LagRegressor(estimator, lags=2, transform=None)], daily([y]), h=1, windows=4, scheme="blocked")
    x, target = table(y, (1, 2))
    fold = np.arange(60) * 4 // 60
    for number in range(4):
        model = clone(estimator).fit(x[fold[2:] != number], target[fold[2:] != number])
        mine = np.flatnonzero(fold[2:] == number)
        got = done.rolled[0].point[mine + 1, 0, 0]
        np.testing.assert_allclose(got, model.predict(x[mine]), rtol=1e-10)


# Arrays in place of objects

FAMILIES = [
    linear_model.LinearRegression(fit_intercept=False),
    linear_model.Lasso(alpha=0.01),
    linear_model.SGDRegressor(max_iter=2000),
    linear_model.HuberRegressor(max_iter=500),
    svm.LinearSVR(C=0.001, loss="squared_epsilon_insensitive"),
    DecisionTreeRegressor(max_depth=6),
    ExtraTreeRegressor(),
    RandomForestRegressor(7),
    ExtraTreesRegressor(5, max_depth=4),
    GradientBoostingRegressor(n_estimators=12, subsample=0.7),
    GradientBoostingRegressor(n_estimators=5, init="zero", loss="huber"),
    HistGradientBoostingRegressor(max_iter=15, min_samples_leaf=5),
    HistGradientBoostingRegressor(max_iter=8, min_samples_leaf=5, loss="poisson"),
    make_pipeline(StandardScaler(), PolynomialFeatures(2, interaction_only=True), linear_model.Ridge()),
    make_pipeline(MinMaxScaler((-1, 2)), RobustScaler(), MaxAbsScaler(), "passthrough", RandomForestRegressor(3)),
    make_pipeline(StandardScaler(with_mean=False), PolynomialFeatures(3, include_bias=False), linear_model.Ridge()),
]


@pytest.mark.parametrize("estimator", FAMILIES, ids=lambda e: type(e).__name__)
def test_forecasts_from_arrays_are_those_of_the_estimator(estimator: Any) -> None:
    rng = np.random.default_rng(5)
    estimator = clone(estimator)
    unset = [name for name, value in estimator.get_params().items() if name.endswith("random_state") and value is None]
    estimator.set_params(**dict.fromkeys(unset, 0))
    fitted, parts, rows = [], [], []
    for size in (80, 120):
        x = rng.normal(size=(size, 4)) * [1, 100, 0.01, 1]
        y = 20 + x[:, 0] + np.abs(x[:, 3]) + rng.normal(size=size)
        fitted.append(clone(estimator).fit(x, y))
        parts.append(arrays.read(fitted[-1]))
        probes = rng.normal(size=(50, 4)) * [1, 100, 0.01, 1]
        # A hair beside a threshold it matters in which precision both are held.
        edges = parts[-1].get("threshold", np.zeros(1))
        probes[:25, 0] = np.resize(edges[np.isfinite(edges)], 25) * (1 + 1e-9)
        rows.append(probes)
    assert None not in parts
    state = arrays.stacked([*parts, None], (3, 1))
    x = np.vstack([*rows, rows[0]])
    got = arrays.predicted(state, x, np.repeat([0, 1, 2], 50), 0)
    np.testing.assert_allclose(got[:50], fitted[0].predict(rows[0]), rtol=1e-12)
    np.testing.assert_allclose(got[50:100], fitted[1].predict(rows[1]), rtol=1e-12)
    assert np.isnan(got[100:]).all()


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(4, random_state=0), HistGradientBoostingRegressor(max_iter=6)]
)
def test_trees_send_missing_values_where_scikit_learn_does(estimator: Any) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(300, 3))
    y = x[:, 0] + np.where(np.isnan(x[:, 1]), 2.0, x[:, 1])
    x[rng.uniform(size=x.shape) < 0.2] = np.nan
    model = clone(estimator).fit(x, y)
    part = arrays.read(model)
    got = arrays.predicted(arrays.stacked([part], (1, 1)), x, np.zeros(300, np.int64), 0)
    np.testing.assert_allclose(got, model.predict(x), rtol=1e-12)


def test_foreign_and_unreadable_estimators_stay_objects() -> None:
    class Ridge(linear_model.Ridge):
        def predict(self, X: Any) -> Any:
            return super().predict(X) + 1

    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    assert arrays.read(Ridge().fit(x, y)) is None
    assert arrays.read(make_pipeline(StandardScaler(), svm.SVR()).fit(x, y)) is None
    assert arrays.read(make_pipeline(MinMaxScaler(clip=True), linear_model.Ridge()).fit(x, y)) is None
    codes = np.column_stack([np.arange(40) % 4, x[:, 0]])
    categorical = HistGradientBoostingRegressor(categorical_features=[0], min_samples_leaf=2)
    assert arrays.read(categorical.fit(codes, codes[:, 0] ** 2)) is None


@pytest.mark.parametrize("scope", ["global", "series"])
@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.RidgeCV(alphas=np.array([0.1, 1.0])),
        RandomForestRegressor(3),
        HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=5),
        make_pipeline(StandardScaler(), PolynomialFeatures(2), linear_model.Ridge(alpha=4.0)),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_file_gives_the_same_bytes_and_can_be_fitted_again(estimator: Any, scope: str, tmp_path: Any) -> None:
    panel = daily(weekly((40, 50)))
    recipe = Conformal(windows=5)
    model = LagRegressor(estimator, lags=3, scope=scope, strategy="direct", intervals=recipe).fit(panel, h=2)
    model.save(tmp_path / "model.tsf")
    back = load(tmp_path / "model.tsf")
    pd.testing.assert_frame_equal(back.predict(2, levels=(80,)), model.predict(2, levels=(80,)), check_exact=True)
    again = back.copy().fit(panel, h=2)
    pd.testing.assert_frame_equal(again.predict(2), model.predict(2), check_exact=True)
    back.save(tmp_path / "again.tsf")
    assert (tmp_path / "again.tsf").read_bytes() == (tmp_path / "model.tsf").read_bytes()


def test_what_has_no_arrays_cannot_be_saved(tmp_path: Any) -> None:
    model = LagRegressor("SVR", lags=3).fit(daily(weekly()))
    with pytest.raises(ArtifactError, match=r"fitted SVR cannot .* RandomForestRegressor"):
        model.save(tmp_path / "model.tsf")
    assert not list(tmp_path.iterdir())


# Promises


@pytest.mark.parametrize(
    "make",
    [
        lambda: LagRegressor(),
        pytest.param(
            lambda: LagRegressor({"name": "HistGradientBoostingRegressor", "max_iter": 3}, lags=7),
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda: LagRegressor("LinearRegression", lags=2, scope="series"), marks=pytest.mark.slow),
    ],
    ids=["default", "boosting", "series"],
)
def test_contract(make: Any) -> None:
    check_forecaster(make, example(4))


def test_own_models_give_the_same_bytes_in_any_company() -> None:
    series = weekly((70, 90, 64, 80, 77, 30))
    for estimator in ("Ridge", {"name": "ExtraTreesRegressor", "n_estimators": 3}, "SVR"):
        model = LagRegressor(estimator, scope="series", sample=40)
        together = points(model, daily(series, ids=list("abcdef")), 5)
        for i, name in enumerate("abcdef"):
            alone = points(model.copy(), daily([series[i]], ids=[name]), 5)
            assert (alone[0] == together[i]).all(), (estimator, name)


def test_rolling_with_one_fit_equals_forecasts_of_that_fit() -> None:
    panel = daily(weekly((80, 80)))
    for scope in ("global", "series"):
        model = LagRegressor(lags=3, scope=scope)
        done = roll(model, panel, np.array([60, 64]), h=4, refit=False)
        fitted = model.copy().fit(panel.upto(60))
        fitted.panel_ = panel.upto(64)
        expected = fitted.predict(4)["LagRegressor"].to_numpy().reshape(2, 4)
        np.testing.assert_allclose(done.point[1], expected, rtol=1e-13)


@pytest.mark.parametrize("estimator", [{"name": "RandomForestRegressor", "n_estimators": 4}, "SVR", "Ridge"])
def test_update_fits_new_series_and_keeps_old_models(estimator: Any) -> None:
    first, second, third = weekly((70, 80, 200))
    ids = ["b", "c", "a"]
    frames = [
        pd.DataFrame({"unique_id": i, "ds": pd.date_range("2024-01-01", periods=len(y)), "y": y})
        for i, y in zip(ids, (first, second, third), strict=True)
    ]
    old = LagRegressor(estimator, scope="series").fit(pd.concat(frames[:2]))
    before = old.predict(3).set_index("unique_id")["LagRegressor"]
    alone = LagRegressor(estimator, scope="series").fit(frames[2]).predict(3).set_index("unique_id")["LagRegressor"]
    got = old.update(frames[2]).predict(3).set_index("unique_id")["LagRegressor"]
    for name, expected in (("b", before), ("c", before), ("a", alone)):
        assert got[name].tolist() == expected[name].tolist()


def test_update_gives_new_series_the_model_that_all_share() -> None:
    first, second, third = weekly((70, 80, 12))
    frames = [
        pd.DataFrame({"unique_id": i, "ds": pd.date_range("2024-01-01", periods=len(y)), "y": y})
        for i, y in zip("abc", (first, second, third), strict=True)
    ]
    model = LagRegressor("LinearRegression", lags=2, transform=None).fit(pd.concat(frames[:2]))
    part = model.state_["fit"]["models"]["arrays"]
    coef, base = part["coef"][0, 0], part["base"][0, 0]
    got = model.update(frames[2]).predict(1).set_index("unique_id")["LagRegressor"]
    for name, y in zip("abc", (first, second, third), strict=True):
        np.testing.assert_allclose(got[name], base + coef @ [y[-1], y[-2]], rtol=1e-12)
    assert len(model.state_["fit"]["models"]["choice"]) == 1


def test_update_brings_a_model_with_a_new_group() -> None:
    series = weekly((70, 80, 90))
    frames = [
        pd.DataFrame({"unique_id": i, "ds": pd.date_range("2024-01-01", periods=len(y)), "y": y})
        for i, y in zip("bca", series, strict=True)
    ]
    places = pd.DataFrame({"unique_id": ["a", "b", "c"], "region": ["east", "west", "west"]})
    model = LagRegressor({"name": "DecisionTreeRegressor", "max_depth": 5}, lags=2, scope="region")
    old = model.copy().fit(pd.concat(frames[:2]), static=places)
    before = old.predict(3).set_index("unique_id")["LagRegressor"]
    alone = model.copy().fit(frames[2], static=places).predict(3).set_index("unique_id")["LagRegressor"]
    panel = Panel.from_table(frames[2], static=places)
    got = old.update(panel).predict(3).set_index("unique_id")["LagRegressor"]
    for name, expected in (("b", before), ("c", before), ("a", alone)):
        assert got[name].tolist() == expected[name].tolist()


def test_short_and_empty_series_beside_a_shared_model() -> None:
    series = weekly((70, 90, 3))
    series.append(np.full(20, np.nan))
    panel = daily(series)
    out = LagRegressor(lags=7, on_error="fallback").fit(panel).predict(4)
    table_ = out.pivot(index="unique_id", columns="ds", values="LagRegressor")
    assert np.isfinite(out[out["unique_id"] < 3]["LagRegressor"]).all()
    assert out[out["unique_id"] == 2]["status"].eq("ok").all()
    assert out[out["unique_id"] == 3]["status"].eq("failed").all()
    assert len(table_) == 4


def test_fits_that_fail_name_their_series() -> None:
    bad = {"name": "QuantileRegressor", "quantile": 0.5, "alpha": -1.0}
    with pytest.raises(FitError, match=r"QuantileRegressor cannot be fitted for 0, 1.*alpha") as caught:
        LagRegressor(bad, lags=2, scope="series").fit(daily(weekly((40, 40))))
    assert caught.value.series == (0, 1)
    out = LagRegressor(bad, lags=2, scope="series", on_error="fallback").fit(daily(weekly((40, 40)))).predict(2)
    assert (out["status"] == "fallback").all()


def test_slow_convergence_is_said_once() -> None:
    hurried = linear_model.Lasso(alpha=1e-6, max_iter=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LagRegressor(hurried, lags=7, scope="series").fit(daily(weekly()))
    assert [w.category for w in caught] == [FitWarning]
    assert "4 fits did not converge" in str(caught[0].message)


def test_sample_is_what_one_estimator_sees() -> None:
    class Counting(linear_model.LinearRegression):
        seen: tuple[int, ...] = ()

        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            type(self).seen += (len(X),)
            return super().fit(X, y)

    LagRegressor(Counting(), lags=2, sample=50).fit(daily(weekly()))
    LagRegressor(Counting(), lags=2, sample=70, scope="series").fit(daily(weekly()))
    assert Counting.seen == (50, 68, 70, 62, 70)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"estimator": "Rige"}, "did you mean 'Ridge'"),
        ({"estimator": {"name": "Lasso", "alhpa": 1}}, "alhpa"),
        ({"estimator": linear_model.LogisticRegression()}, "LogisticRegression is none"),
        ({"estimator": linear_model.Ridge}, "must be a regressor"),
        ({"estimator": 7}, "must be a regressor"),
        ({"lags": 0}, "nothing to regress on"),
        ({"lags": "some"}, "lags must be"),
        ({"transform": "log-standrad"}, "did you mean 'log-standard'"),
        ({"strategy": "both"}, "strategy must be"),
        ({"strategy": "recursive", "past": ("wind",)}, "cannot use past columns"),
        ({"scope": "region"}, "scope must be"),
        ({"static": ("region",)}, "no static column 'region'"),
        ({"sample": 0}, "sample must be"),
        ({"season": 0}, "season must be"),
    ],
)
def test_parameters_that_cannot_work(params: dict[str, Any], words: str) -> None:
    panel = daily(weekly(), columns={"wind": np.zeros(sum(LENGTHS))}, n_past=1)
    with pytest.raises(ConfigError, match=words):
        LagRegressor(**params).fit(panel)


def test_parameters_of_the_estimator_are_reached_by_name() -> None:
    model = LagRegressor(linear_model.Ridge(alpha=2.0), lags=2)
    assert model.get_params()["estimator__alpha"] == 2.0
    copy = clone(model).set_params(estimator__alpha=9.0)
    assert model.estimator.alpha == 2.0
    strong, weak = (points(m, daily(weekly()), 3) for m in (copy, model))
    assert not np.allclose(strong, weak)
