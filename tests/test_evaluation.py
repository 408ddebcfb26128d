"""Backtests against loops by hand, scikit-learn's scores, statsmodels' tests and published figures."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import weekly_table
from sklearn import metrics as sk

from tsforecast.datasets import load
from tsforecast.errors import ConfigError, FitError, LeakageWarning
from tsforecast.evaluation import Backtest, backtest
from tsforecast.evaluation.scoring import history_scale
from tsforecast.forecaster import Forecaster
from tsforecast.models.ar import AR
from tsforecast.models.naive import Climatology, Drift, Naive, SeasonalNaive, WindowMean
from tsforecast.panel import Panel

H = 4


def sliced(
    model: Forecaster, data: pd.DataFrame, cutoffs: list[Any], *, h: int, gap: int = 0, every: int = 1, last: int = 0
) -> pd.DataFrame:
    """The same backtest by hand: slice the table, fit, append what came since, predict, join the truth."""
    parts = []
    for w, cutoff in enumerate(cutoffs):
        trained = cutoffs[w // every * every]
        rows = data[data.ds <= trained]
        rows = rows.groupby("unique_id").tail(last) if last else rows
        fitted = model.copy().fit(rows, h=h + gap)
        if cutoff != trained:
            fitted.update(data[data.ds <= cutoff] if not last else data[(data.ds > trained) & (data.ds <= cutoff)])
        ahead = fitted.predict(h + gap)
        ahead = ahead.groupby("unique_id").tail(h).assign(cutoff=cutoff)
        parts.append(ahead.merge(data[["unique_id", "ds", "y"]], on=["unique_id", "ds"]))
    return pd.concat(parts).sort_values(["unique_id", "cutoff", "ds"], ignore_index=True)


MODELS = [Naive(), SeasonalNaive(), Drift(), WindowMean(5), Climatology(7.0), AR(3, ridge=0, transform=None)]


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize(
    "options",
    [
        {"windows": 3},
        {"windows": 5, "step": 1},
        {"windows": 3, "step": 2, "gap": 2},
        {"windows": 4, "refit": False},
        {"windows": 5, "step": 3, "refit": 2},
        {"windows": 2, "input_size": 21},
    ],
    ids=str,
)
def test_equals_fits_on_sliced_tables(model: Forecaster, options: dict[str, Any]) -> None:
    data = weekly_table()
    bt = backtest(model, data, h=H, **options)
    refit = options.get("refit", True)
    every = options["windows"] if refit is False else int(refit)
    step, gap = options.get("step", H), options.get("gap", 0)
    end = data.ds.max() - pd.Timedelta(days=H + gap)
    cutoffs = [end - pd.Timedelta(days=step * back) for back in range(options["windows"])][::-1]
    expected = sliced(model, data, cutoffs, h=H, gap=gap, every=every, last=options.get("input_size", 0))
    got = bt.forecasts
    assert list(bt.cutoffs) == [np.datetime64(cutoff) for cutoff in cutoffs]
    pd.testing.assert_frame_equal(got[["unique_id", "ds", "cutoff", "y"]], expected[["unique_id", "ds", "cutoff", "y"]])
    # AR shares its sums between windows, and a capped fit counts time from another day: both to rounding.
    exact = refit is True and "input_size" not in options and not isinstance(model, AR)
    np.testing.assert_allclose(got[model.name], expected[model.name], rtol=0 if exact else 1e-10)
    if refit is True:
        assert "trained_to" not in got
    else:
        place = {cutoff: cutoffs[w // every * every] for w, cutoff in enumerate(cutoffs)}
        assert (got.trained_to == got.cutoff.map(place)).all()


def test_align_end_cuts_each_series_at_its_own_end() -> None:
    data = weekly_table(lengths=(60, 50, 40), late=(0, 0, 0))
    bt = backtest(SeasonalNaive(), data, h=H, windows=2, align="end")
    for _, own in data.groupby("unique_id"):
        alone = backtest(SeasonalNaive(), own, h=H, windows=2).forecasts
        mine = bt.forecasts[bt.forecasts.unique_id == own.unique_id.iloc[0]].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone)
    assert bt.cutoffs.shape == (2, 3)


def test_no_value_after_a_cutoff_matters() -> None:
    data = weekly_table()
    models = [SeasonalNaive(), Climatology(7.0), AR(3)]
    before = backtest(models, data, h=H, windows=3, levels=(80,))
    spoiled = data.copy()
    late = spoiled.ds > pd.Timestamp(before.cutoffs[1])
    spoiled.loc[late, "y"] = 1e3 * np.random.default_rng(1).normal(size=late.sum())
    after = backtest(models, spoiled, h=H, windows=3, levels=(80,))
    for one, other in zip(before.rolled, after.rolled, strict=True):
        np.testing.assert_array_equal(one.point[:2], other.point[:2])
        np.testing.assert_array_equal(one.lower[:2], other.lower[:2])
    assert not np.array_equal(before.rolled[0].point[2], after.rolled[0].point[2])


def test_intervals_are_those_of_a_fit_on_the_slice() -> None:
    data = weekly_table(lengths=(60, 60), late=(0, 0))
    bt = backtest(SeasonalNaive(), data, h=H, windows=2, levels=(80, 95))
    for cutoff, got in bt.forecasts.groupby("cutoff"):
        want = SeasonalNaive().fit(data[data.ds <= cutoff]).predict(H, levels=(80, 95))
        columns = [c for c in want if c.startswith("Seasonal")]
        np.testing.assert_array_equal(got[columns], want[columns])
        assert columns[1:] == [f"SeasonalNaive-{side}-{level}" for level in (80, 95) for side in ("lo", "hi")]


@pytest.fixture(scope="module")
def bt() -> Backtest:
    return backtest([SeasonalNaive(), WindowMean(5)], weekly_table(3), h=H, windows=4, step=3, levels=(80, 95))


KEYS = {"model": [], "series": ["unique_id"], "horizon": ["horizon"], "window": ["cutoff"]}


@pytest.mark.parametrize("by", ["model", "series", "horizon", "window", ("series", "horizon"), ("window", "series")])
def test_scores_equal_sklearn_on_the_table(bt: Backtest, by: Any) -> None:
    long = bt.forecasts
    long["horizon"] = (long.ds - long.cutoff).dt.days
    keys = [name for key in ([by] if isinstance(by, str) else by) for name in KEYS[key]]
    got = bt.scores(("mae", "rmse", "mape", "r2"), by=by)
    groups = [((), long)] if not keys else list(long.groupby(keys))
    assert len(got) == 2 * len(groups)
    for key, part in groups:
        for name in bt.models:
            row = got[got.model == name]
            for column, value in zip(keys, np.atleast_1d(np.array(key, dtype=object)), strict=True):
                row = row[row[column] == value]
            assert len(row) == 1
            score = row.iloc[0]
            assert score.pairs == len(part)
            assert score.mae == pytest.approx(sk.mean_absolute_error(part.y, part[name]), rel=1e-12)
            assert score.rmse == pytest.approx(sk.root_mean_squared_error(part.y, part[name]), rel=1e-12)
            assert score.mape == pytest.approx(sk.mean_absolute_percentage_error(part.y, part[name]), rel=1e-12)
            if len(part) > 1:
                assert score.r2 == pytest.approx(sk.r2_score(part.y, part[name]), rel=1e-9)


def test_interval_scores_by_hand(bt: Backtest) -> None:
    long = bt.forecasts
    got = bt.scores(("coverage", "pinball", "crps"), by="model").set_index("model").loc["SeasonalNaive"]
    # Each quantile stands for those nearest to it.
    shares = {"lo-95": (0.025, 0.0625), "lo-80": (0.1, 0.2375), "hi-80": (0.9, 0.2375), "hi-95": (0.975, 0.0625)}
    total = 0.4 * got["pinball-0.5"]
    assert got["pinball-0.5"] == pytest.approx(sk.mean_pinball_loss(long.y, long["SeasonalNaive"], alpha=0.5))
    for end, (alpha, share) in shares.items():
        own = sk.mean_pinball_loss(long.y, long[f"SeasonalNaive-{end}"], alpha=alpha)
        assert got[f"pinball-{alpha:g}"] == pytest.approx(own)
        total += share * own
    assert got["crps"] == pytest.approx(2 * total)
    for level in (80, 95):
        inside = long.y.between(long[f"SeasonalNaive-lo-{level}"], long[f"SeasonalNaive-hi-{level}"])
        assert got[f"coverage-{level}"] == pytest.approx(inside.mean())


@pytest.mark.parametrize(("name", "power"), [("mase", 1), ("rmsse", 2)])
def test_scaled_scores_see_training_rows_alone(bt: Backtest, name: str, power: int) -> None:
    data, terms = weekly_table(3), []
    for (series, cutoff), part in bt.forecasts.groupby(["unique_id", "cutoff"]):
        past = data[(data.unique_id == series) & (data.ds <= cutoff)].y
        scale = (past.diff(7).abs() ** power).mean()
        terms += list((part.y - part["WindowMean"]).abs() ** power / scale)
    got = bt.scores(name).set_index("model").loc["WindowMean", name]
    assert got == pytest.approx(np.mean(terms) ** (1 / power), rel=1e-12)


def test_history_scale_of_one_series_ignores_the_others() -> None:
    rng = np.random.default_rng(5)
    rows = [rng.normal(size=n) for n in (30, 5, 60, 8)]
    panel = Panel.from_arrays(rows, freq="D", start="2024-01-01")
    huge = panel.replace(y=np.where(np.arange(len(panel.y)) < 30, panel.y * 1e14, panel.y))
    cutoffs = np.broadcast_to(np.array([[40], [3], [20]]), (3, 4))
    one, other = history_scale(panel, cutoffs, 1), history_scale(huge, cutoffs, 1)
    np.testing.assert_array_equal(one[:, 1:], other[:, 1:])
    for i, row in enumerate(rows):
        for w, cutoff in enumerate((40, 3, 20)):
            past = pd.Series(row[: cutoff + 1])
            np.testing.assert_allclose(one[w, i], past.diff(7).abs().mean(), rtol=1e-13)


def test_left_out_pairs_are_counted_and_shown() -> None:
    data = weekly_table(lengths=(40, 40), late=(0, 0))
    data.loc[[38, 39, 79], "y"] = 0.0
    got = backtest(Naive(), data, h=H).scores("mape", by="series")
    assert list(got.mape_left_out) == [2, 1]
    assert list(got.pairs) == [4, 4]
    part = backtest(Naive(), data, h=H).forecasts.query("unique_id == 's0' and y != 0")
    assert got.mape[0] == pytest.approx(sk.mean_absolute_percentage_error(part.y, part.Naive))


class Patient(Naive):
    """Naive, but only after 8 rows."""

    def _rows_needed(self, panel: Panel) -> int:
        return 8

    def _predict(self, state: Any, panel: Panel, h: int, known: Any, levels: Any) -> Any:
        out = super()._predict(state, panel, h, known, levels)
        return out.replace(point=np.where((panel.lengths < 8)[:, None], np.nan, out.point))


def test_models_are_scored_on_the_pairs_that_all_have() -> None:
    """A series too short for a model at an origin is no failure, and no other model is judged there."""
    data = weekly_table(lengths=(60, 12), late=(0, 48))
    bt = backtest([Naive(), Patient(alias="late")], data, h=2, windows=5)
    board = bt.leaderboard("mae", average="pooled").set_index("model")
    lacking = bt.forecasts.late.isna()
    assert board.loc["late", "missing"] == lacking.sum() == 6
    assert board.loc["Naive", "missing"] == 0
    both = bt.forecasts[~lacking]
    assert board.loc["Naive", "mae"] == pytest.approx(sk.mean_absolute_error(both.y, both.Naive))


class Broken(Naive):
    """Naive, but without an answer for series s1."""

    def _predict(self, state: Any, panel: Panel, h: int, known: Any, levels: Any) -> Any:
        out = super()._predict(state, panel, h, known, levels)
        return out.replace(point=np.where((panel.ids == "s1")[:, None], np.nan, out.point))


def test_a_model_that_fails_raises_or_says_so() -> None:
    with pytest.raises(FitError, match=r"Broken: no usable forecast at 2 of 6 .*s1"):
        backtest(Broken(), weekly_table(), h=H, windows=2)
    got = backtest([Naive(), Broken(on_error="skip")], weekly_table(), h=H, windows=2)
    assert set(got.forecasts.query("unique_id == 's1'")["Broken-status"]) == {"failed"}
    assert set(got.forecasts.query("unique_id != 's1'")["Broken-status"]) == {"ok"}
    rescued = backtest([SeasonalNaive(), Broken(on_error="fallback")], weekly_table(), h=H, windows=2).forecasts
    assert set(rescued.query("unique_id == 's1'")["Broken-status"]) == {"fallback"}
    assert rescued.query("unique_id == 's1'").eval("Broken == SeasonalNaive").all()


def test_series_that_begin_or_end_between_origins_are_no_failure() -> None:
    data = weekly_table(lengths=(60, 10, 40), late=(0, 50, 0))
    bt = backtest(Naive(), data, h=H, windows=4)
    counts = bt.forecasts.groupby("unique_id").size()
    # s1 begins at day 50, after the cutoffs at days 43 and 47 (0-based) but before 51 and 55; s2 ended at day 39.
    assert counts.to_dict() == {"s0": 16, "s1": 8}


def test_horizons_are_counted_from_the_cutoff() -> None:
    bt = backtest(Naive(), weekly_table(), h=2, windows=2, gap=3)
    long = bt.forecasts
    got = bt.scores("mae", by="horizon")
    for row in got.itertuples():
        part = long[(long.ds - long.cutoff).dt.days == row.horizon]
        assert row.mae == pytest.approx(sk.mean_absolute_error(part.y, part.Naive))
    assert list(got.horizon) == [4, 5]


def test_excluded_rows_are_neither_fitted_nor_scored() -> None:
    panel = Panel.from_table(weekly_table(lengths=(60,), late=(0,)))
    excluded = np.arange(60) >= 58
    wild = panel.replace(y=np.where(excluded, 1e6, panel.y), excluded=excluded)
    bt = backtest(Naive(), wild, h=H, windows=2)
    kept = bt.forecasts[bt.forecasts.y < 1e6]
    assert len(kept) == len(bt.forecasts) - 2
    got = bt.scores("mae").iloc[0]
    assert (got.pairs, got.mae) == (6, pytest.approx(sk.mean_absolute_error(kept.y, kept.Naive)))


# What cannot work.


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([Naive(), Naive()], {}, "share the name Naive: two of one class need two aliases"),
        ([], {}, "no model"),
        ([Naive], {}, "must be a forecaster"),
        (Naive(alias="y"), {}, "column of the table already"),
        (Naive(), {"align": "middle"}, "align must be"),
        (Naive(), {"scheme": "random"}, "scheme must be"),
        (Naive(), {"scheme": "kfold"}, "no lag table"),
        (AR(2), {"scheme": "kfold", "windows": 3}, "one step ahead"),
        (AR(2), {"scheme": "blocked", "h": 1}, "at least 2, got 1"),
        (AR(2), {"scheme": "blocked", "h": 1, "windows": 90}, "90 folds need as many rows"),
        (Naive(), {"windows": 100}, "rows before the end"),
        (Naive(), {"refit": 0}, "refit must be"),
        (Naive(), {"levels": (0.8,)}, "80, not 0.8"),
        (SeasonalNaive(season=0), {}, "season must be"),
    ],
)
def test_options_that_cannot_work(models: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backtest(models, weekly_table(), **({"h": H} | options))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda bt: bt.scores("nonsense"), "no metric 'nonsense'; there are mae"),
        (lambda bt: bt.scores(by="week"), "by takes model, series"),
        (lambda bt: bt.scores("coverage"), "levels="),
        (lambda bt: bt.leaderboard("rmse", "AR"), "no model 'AR' in this backtest; there are Naive"),
        (lambda bt: bt.leaderboard(average="all"), "average must be"),
        (lambda bt: bt.compare("Naive", "AR"), "no model 'AR'"),
        (lambda bt: bt.compare("Naive", "Naive", by="week"), "by must be"),
    ],
)
def test_questions_without_an_answer(call: Any, message: str) -> None:
    done = backtest(Naive(), weekly_table(), h=H)
    with pytest.raises(ConfigError, match=message):
        call(done)


@pytest.mark.parametrize("kind", ["polars", "pyarrow"])
def test_tables_come_back_in_the_callers_kind(kind: str) -> None:
    data = weekly_table()
    given: Any = __import__("polars").from_pandas(data) if kind == "polars" else None
    if given is None:
        given = __import__("pyarrow").Table.from_pandas(data)
    plain, other = (backtest([Naive(), SeasonalNaive()], d, h=H, windows=2, refit=2) for d in (data, given))
    for ask in (
        lambda bt: bt.forecasts,
        lambda bt: bt.scores(("mae", "mape"), by=("series", "window")),
        lambda bt: bt.leaderboard().drop(columns="seconds") if bt is plain else bt.leaderboard(),
        lambda bt: bt.compare("Naive", "SeasonalNaive", by="series"),
    ):
        want, got = ask(plain), ask(other)
        assert type(got).__module__.startswith(kind)
        got = got.to_pandas()[list(want)]
        pd.testing.assert_frame_equal(got, want, check_dtype=False)


# The New York Stock Exchange, as published.


@pytest.fixture(scope="module")
def nyse() -> Panel:
    return Panel.from_table(load("nyse"), freq="B", gaps="ignore")


@pytest.mark.parametrize(
    ("calendar", "r2"), [((), 0.4128912938562521), (("weekday",), 0.4595563133053273)], ids=["lags", "weekday"]
)
def test_nyse_one_step_ahead(nyse: Panel, calendar: tuple[str, ...], r2: float) -> None:
    """James, Witten, Hastie, Tibshirani, Taylor (2023), An Introduction to Statistical Learning, lab 10.9.6."""
    model = AR(5, past=("DJ_return", "log_volatility"), calendar=calendar, ridge=0, transform=None)
    bt = backtest(model, nyse, h=1, windows=1770, refit=False)
    assert bt.leaderboard("r2").r2[0] == pytest.approx(r2, abs=1e-9)
    train = load("nyse").query("train")
    assert np.datetime64(train.ds.iloc[-1]) == bt.cutoffs[0]
    assert set(bt.forecasts.trained_to) == {train.ds.iloc[-1]}


def test_nyse_last_value_and_autocorrelation(nyse: Panel) -> None:
    assert backtest(Naive(), nyse, h=1, windows=1770).leaderboard("r2").r2[0] == pytest.approx(0.180, abs=5e-4)
    own = [pd.Series(nyse.y).autocorr(lag) for lag in (1, 5, 20)]
    np.testing.assert_allclose(own, [0.673, 0.455, 0.227], atol=5e-4)


def test_judging_on_rows_tuned_on_warns() -> None:
    data = weekly_table()
    model = Naive()
    vars(model)["tuned_on_"] = np.datetime64("2024-02-25", "us")
    with pytest.warns(LeakageWarning, match=r"Naive was tuned on rows up to 2024-02-25.* judged from 2024-02-22"):
        backtest(model, data, h=H, windows=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vars(model)["tuned_on_"] = np.datetime64("2024-02-21", "us")
        backtest(model, data, h=H, windows=2)
    vars(model)["tuned_on_"] = np.datetime64("2024-02-22", "us")
    with pytest.warns(LeakageWarning):
        backtest(model, data, h=H, windows=2)
