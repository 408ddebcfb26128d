"""tune against a loop over backtests, and the marks that it leaves."""

import warnings
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.errors import ConfigError, LeakageWarning
from tsforecast.evaluation import Tuning, backtest, tune
from tsforecast.models.ar import AR
from tsforecast.models.naive import Naive, SeasonalNaive, WindowMean

GRID: dict[str, Any] = {"lags": [1, [1, 7], 14], "ridge": [0.0, 0.1, "auto"], "transform": [None, "diff"]}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    when = pd.date_range("2024-01-01", periods=120)
    parts = [
        pd.DataFrame(
            {"unique_id": i, "ds": when, "y": np.tile(rng.normal(size=7), 18)[:120] + rng.normal(size=120) / 3}
        )
        for i in range(3)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def tuned(data: pd.DataFrame) -> Tuning:
    return tune(AR(alias="mine"), GRID, data, h=7, windows=3)


def test_equals_a_loop_over_backtests(tuned: Tuning, data: pd.DataFrame) -> None:
    combinations = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    scores = [backtest(AR(**params), data, h=7, windows=3).leaderboard().rmse[0] for params in combinations]
    assert list(tuned.candidates) == combinations
    np.testing.assert_array_equal(tuned.score, scores)
    assert tuned.best_params == combinations[int(np.argmin(scores))]
    np.testing.assert_array_equal(tuned.table.rmse, np.sort(scores))
    assert list(tuned.table)[:5] == ["rank", "lags", "ridge", "transform", "rmse"]


def test_the_best_is_an_unfitted_copy(tuned: Tuning) -> None:
    assert tuned.best.get_params() == AR(alias="mine", **tuned.best_params).get_params()
    assert not hasattr(tuned.best, "panel_")


def test_curve_is_the_best_at_each_value(tuned: Tuning) -> None:
    curve = tuned.curve("lags")
    assert list(curve.lags) == ["1", "[1, 7]", "14"]
    for row, value in zip(curve.itertuples(), GRID["lags"], strict=True):
        there = [s for s, c in zip(tuned.score, tuned.candidates, strict=True) if c["lags"] == value]
        assert (row.best, row.worst) == (min(there), max(there))
        assert row.mean == pytest.approx(np.mean(there))
    numbers = tune(WindowMean(), {"window": [3, 7]}, tuned.backtest.panel, h=1, windows=5).curve("window")
    assert numbers.window.dtype.kind == "i"


def test_greater_can_be_better(data: pd.DataFrame) -> None:
    found = tune(SeasonalNaive(), {"season": [1, 7]}, data, h=7, windows=2, metric="r2")
    assert found.best_params == {"season": 7}
    assert found.table.r2.is_monotonic_decreasing


def test_a_random_search_is_seeded_and_never_repeats(data: pd.DataFrame) -> None:
    grid = {"window": list(range(1, 40))}
    one, again, other = (tune(WindowMean(), grid, data, h=2, n_iter=30, seed=s) for s in (1, 1, 2))
    assert one.candidates == again.candidates != other.candidates
    assert len({c["window"] for c in one.candidates}) == 30
    assert len(tune(WindowMean(), {"window": [1, 2]}, data, h=2, n_iter=50).candidates) == 2


def test_a_candidate_without_any_forecast_loses_alone(data: pd.DataFrame) -> None:
    class Picky(WindowMean):
        """WindowMean that fails at a window of 5."""

        def _predict(self, *args: Any) -> Any:
            out = super()._predict(*args)
            return out.replace(point=out.point * np.nan) if self.window == 5 else out

    found = tune(Picky(on_error="skip"), {"window": [5, 7, 14]}, data, h=7, windows=2)
    assert np.isnan(found.score[0])
    plain = tune(WindowMean(), {"window": [7, 14]}, data, h=7, windows=2)
    np.testing.assert_array_equal(found.score[1:], plain.score)
    assert found.curve("window").best.isna().tolist() == [True, False, False]
    with pytest.raises(ConfigError, match="no candidate has a finite rmse"):
        tune(Picky(on_error="skip"), {"window": [5]}, data, h=7)


def test_nested_parameters_leave_the_model_alone(data: pd.DataFrame) -> None:
    model = AR(1, on_error="fallback", fallback=SeasonalNaive(season=3))
    found = tune(model, {"fallback__season": [2, 7]}, data, h=2)
    assert model.fallback.season == 3
    assert found.best.fallback.season in (2, 7)


def test_the_span_tuned_on_is_remembered_and_warned_of(data: pd.DataFrame) -> None:
    until = data.ds.max() - pd.Timedelta(days=14)
    held_back = tune(WindowMean(), {"window": [7, 14]}, data[data.ds <= until], h=7, windows=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backtest([Naive(), held_back.best], data, h=7, windows=2)
    with pytest.warns(LeakageWarning, match="WindowMean was tuned on rows up to"):
        backtest([Naive(), held_back.best], data, h=7, windows=3)


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({}, {}, "at least one parameter"),
        ({"window": []}, {}, "give values for window"),
        ({"widow": [1]}, {}, "no parameter 'widow'"),
        ({"window": [1]}, {"n_iter": 0}, "n_iter must be a whole number of at least 1"),
        ({"window": [1]}, {"metric": "nonsense"}, "no metric 'nonsense'"),
        ({"window": [0]}, {}, "window must be a whole number of at least 1"),
    ],
)
def test_searches_that_cannot_work(data: pd.DataFrame, grid: Any, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(WindowMean(), grid, data, h=2, **options)


def test_an_unsearched_parameter_has_no_curve(tuned: Tuning) -> None:
    with pytest.raises(ConfigError, match="'past' was not searched; there are lags"):
        tuned.curve("past")
