"""Log trading volume of the New York Stock Exchange, one day ahead: what networks explain of 1,770 test days.

James, Witten, Hastie, Tibshirani, Taylor (2023), An Introduction to Statistical Learning with Applications in Python,
section 10.9.6. Training is the first 4,281 rows. What the book does not fix (window, units, epochs, rate of the LSTM;
the weight of the blend) was chosen on the last 15 % of these; the test days judge the result once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.row import Row, wanted
from tsforecast import AR, LSTM, MLP, RNN, Panel, backtest, datasets

__all__ = ["TRAIN", "ahead", "book_net", "lab_windows", "r_squared", "rows", "trading_days"]

SEEDS, TRAIN, VALIDATION = 5, 4281, 642
PAST = ("DJ_return", "log_volatility")
CLOSINGS = ("weekday", "NYSE", "yearly:3")
WHOLE: dict[str, Any] = {"centre": "series", "past": PAST, "validation": 0, "early_stopping": False}
"""Every training row teaches, for a fixed number of epochs."""


def rows(words: Sequence[str]) -> Iterator[Row]:
    """R^2 of every model of the table on the test days."""
    if not wanted("NYSE", words):
        return
    if find_spec("torch") is None:
        yield Row("NYSE", "-", "skipped", None, "pip install 'tsforecast[torch]'")
        return
    days = trading_days()
    yield from _straight(days)
    yield from _books(days)
    yield from _beyond(days)


def trading_days() -> pd.DataFrame:
    """The 6,051 days: unique_id, ds, y = log volume, and the two past columns."""
    return datasets.load("nyse")[["unique_id", "ds", "y", *PAST]]


def r_squared(truth: np.ndarray, point: np.ndarray) -> float:
    """Share of the variance around the truth's own mean that forecasts explain."""
    return float(1 - ((truth - point) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def ahead(models: Sequence[Any], days: pd.DataFrame, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth (w,) of the days from position `first` on, and what each model (m, w), fitted once on those before, said
    of them the day before.
    """
    panel = Panel.from_table(days, freq="B", gaps="ignore")
    done = backtest(list(models), panel, h=1, windows=len(days) - first, refit=False)
    return done.actual[:, 0, 0], np.array([one.point[:, 0, 0] for one in done.rolled])


def book_net(seeds: int | Sequence[int], **more: Any) -> RNN:
    """The book's recurrent net: 5 days of 3 columns, 12 tanh units, dropout of the last state."""
    return RNN(
        5, hidden=12, dropout=0.1, optimizer="rmsprop", optimizer_options={"alpha": 0.99}, learning_rate=1e-3,
        batch_size=64, epochs=200, strategy="direct", seeds=seeds, **WHOLE, **more,
    )  # fmt: skip


def lab_windows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows (6046, 5, 3) in training units, the day after each (6046,), and whether it is a training day."""
    values = trading_days()[["y", *PAST]].to_numpy()
    values = (values - values[:TRAIN].mean(axis=0)) / values[:TRAIN].std(axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], 5, axis=0).swapaxes(1, 2)
    return windows.astype(np.float32), values[5:, 0].astype(np.float32), np.arange(5, len(values)) < TRAIN


def _straight(days: pd.DataFrame) -> Iterator[Row]:
    for name, calendar, published in (
        ("5 lags", (), 0.4128912938562521), ("5 lags + weekday", ("weekday",), 0.4595563133053273),
    ):  # fmt: skip
        model = AR(5, past=PAST, calendar=calendar, ridge=0, transform=None)
        truth, point = ahead([model], days, TRAIN)
        r2 = r_squared(truth, point[0])
        yield Row(f"NYSE: OLS, {name}", f"{published:.4f}", f"{r2:.4f}", abs(r2 - published) < 1e-9, "R^2, 1,770 days")


def _books(days: pd.DataFrame) -> Iterator[Row]:
    def perceptron(seeds: Any) -> MLP:
        return MLP(
            5, hidden=32, activation="relu", dropout=0.5, optimizer="rmsprop", learning_rate=1e-3, batch_size=64,
            epochs=20, calendar="weekday", strategy="direct", seeds=seeds, **WHOLE,
        )  # fmt: skip

    for name, make, bars in (
        ("RNN(12)", book_net, (0.410, 0.415)),
        ("RNN(12) + weekday", lambda seeds: book_net(seeds, calendar="weekday"), (None, 0.455)),
        ("MLP(32) + weekday", perceptron, (None, 0.462)),
    ):
        truth, each, ensemble = _seeds(make, days, TRAIN)
        yield from _judged(f"NYSE: {name}", [r_squared(truth, one) for one in each], r_squared(truth, ensemble), bars)


def _seeds(make: Any, days: pd.DataFrame, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (w,), what each seed said (5, w), and what the ensemble of them said (w,), trained as one batch."""
    models = [make(seeds=(seed,)).copy(alias=f"seed {seed}") for seed in range(SEEDS)]
    truth, point = ahead([*models, make(seeds=SEEDS)], days, first)
    return truth, point[:-1], point[-1]


def _judged(name: str, each: list[float], ensemble: float, bars: tuple[float | None, float]) -> Iterator[Row]:
    mean, (least, bar) = float(np.mean(each)), bars
    seeds = " ".join(f"{r2:.4f}" for r2 in each)
    yield Row(
        f"{name}, mean over {SEEDS} seeds", "-" if least is None else f">= {least:.3f}", f"{mean:.4f}",
        None if least is None else mean >= least, seeds,
    )  # fmt: skip
    yield Row(f"{name}, forecast of {SEEDS} seeds", f">= {bar:.3f}", f"{ensemble:.4f}", ensemble >= bar, "R^2")


def _linear(lags: int) -> AR:
    return AR(lags, past=PAST, calendar=CLOSINGS, ridge=0, transform=None, alias=f"OLS {lags}")


def _net(seeds: Any) -> LSTM:
    """Chosen on the validation days: windows of 5 to 30, 8 to 128 units, dropout up to a half, the rate, the epochs."""
    return LSTM(
        10, hidden=64, dropout=0.3, learning_rate=1e-3, batch_size=32, epochs=30, calendar=CLOSINGS,
        strategy="direct", seeds=seeds, **WHOLE,
    )  # fmt: skip


def _beyond(days: pd.DataFrame) -> Iterator[Row]:
    known = days.iloc[:TRAIN]
    truth, point = ahead([_net(SEEDS), _linear(5), _linear(20)], known, TRAIN - VALIDATION)
    validation = [r_squared(truth, one) for one in point]
    weight = float(np.clip((truth - point[2]) @ (point[0] - point[2]) / ((point[0] - point[2]) ** 2).sum(), 0, 1))
    truth, each, ensemble = _seeds(_net, days, TRAIN)
    _, (short, long) = ahead([_linear(5), _linear(20)], days, TRAIN)
    straight = r_squared(truth, short)
    said = "of the validation days"
    yield Row("NYSE: OLS, 5 lags, weekday and closings", "-", f"{straight:.4f}", None, f"{validation[1]:.4f} {said}")
    yield Row(
        "NYSE: OLS, 20 lags, weekday and closings", "-", f"{r_squared(truth, long):.4f}", None,
        f"{validation[2]:.4f} {said}",
    )  # fmt: skip
    name = "NYSE: LSTM, weekday and closings"
    yield from _judged(
        name, [r_squared(truth, one) for one in each], r_squared(truth, ensemble), (None, straight - 0.003)
    )
    blend = r_squared(truth, weight * ensemble + (1 - weight) * long)
    yield Row(
        "NYSE: blend of that LSTM and OLS of 20 lags", "0.49 hoped for", f"{blend:.4f}", None,
        f"weight {weight:.2f} of the LSTM, from the validation days, of which it explains {validation[0]:.4f}",
    )  # fmt: skip
