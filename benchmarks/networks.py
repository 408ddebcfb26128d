"""The networks beside Lightning, neuralforecast and a plain torch loop; a forecast of 10,000 series; memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lag_models import example
from benchmarks.nyse import TRAIN, ahead, book_net, lab_windows, r_squared, trading_days
from benchmarks.row import Row, at_least, at_most, best, wanted
from tsforecast import LSTM, Panel

__all__ = ["rows"]

EPOCHS, SEEDS = 200, 5
HOURS, WINDOW, H = 400, 168, 48
MANY = {"series": 500, "rows": 300, "window": 14, "units": 16}
SAMPLE = 40

MEMORY = """
import torch
from benchmarks.lag_models import example
from tsforecast import LSTM

def model():
    return LSTM(28, hidden=16, batch_size=512, epochs=1, sample=100_000, validation=0, early_stopping=False)
def size(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 2**20
model().fit(example(100))
data = example(10_000)
before = size("VmRSS")
model().fit(data)
print(size("VmHWM") - before)
"""


def rows(words: Sequence[str]) -> Iterator[Row]:
    """All rows of the networks' speed."""
    if not wanted("networks", words):
        return
    if find_spec("torch") is None:
        yield Row("networks", "-", "skipped", None, "pip install 'tsforecast[torch]'")
        return
    yield from _many_series()
    yield from _forecast()
    yield _memory()
    if find_spec("lightning") is None or find_spec("neuralforecast") is None:
        yield Row("networks: peers", "-", "skipped", None, "pip install lightning neuralforecast")
        return
    yield from _lab()
    yield from _hourly()


def _seconds(run: Any) -> float:
    began = perf_counter()
    run()
    return perf_counter() - began


def _lab() -> Iterator[Row]:
    """The book's RNN, trained by the lab's loop and by ours: seconds a seed, and R^2 on the test days."""
    from benchmarks.net_peers import at_threads, lightning, quickest

    x, y, train = lab_windows()
    threads, _ = quickest(lambda: lightning(x[train], y[train], x[~train], 4).seconds)
    with at_threads(threads):
        lab = lightning(x[train], y[train], x[~train], EPOCHS)
        bare = EPOCHS / 10 * lightning(x[train], y[train], x[~train], 10, logs=False).seconds
    days = trading_days()
    known = Panel.from_table(days.iloc[:TRAIN], freq="B", gaps="ignore")
    one, five = book_net(seeds=1), book_net(seeds=SEEDS)
    alone = _seconds(lambda: one.fit(known, h=1))
    each = _seconds(lambda: five.fit(known, h=1)) / SEEDS
    beside = f"Lightning {lab.seconds:.1f} s ({bare:.1f} s without its logs) at {threads} thread(s)"
    what = f"networks: RNN(12), {int(train.sum()):,} windows, {EPOCHS} epochs of 64"
    yield at_least(f"{what}, one seed, over a Lightning loop", 2.5, lab.seconds / alone, f"{alone:.1f} s, {beside}")
    yield at_least(f"{what}, a seed of five, over a Lightning loop", 8, lab.seconds / each, f"{each:.1f} s, {beside}")
    truth, point = ahead([one], days, TRAIN)
    theirs, ours = r_squared(y[~train], lab.point), r_squared(truth, point[0])
    yield Row(
        "networks: RNN(12), R^2 on the test days less that of the Lightning loop", "within 0.01",
        f"{ours - theirs:+.4f}", abs(ours - theirs) <= 0.01, f"{ours:.4f}, {theirs:.4f}; one seed each",
    )  # fmt: skip


def hourly(n: int = HOURS, seed: int = 11) -> pd.DataFrame:
    """Series of 1,000 to 1,500 hours: a level, three harmonics of the day, weekdays, AR(1) noise; seeded."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, rows in enumerate(rng.integers(1000, 1501, n)):
        turns = 2 * np.pi * np.outer([1, 2, 3], np.arange(24)) / 24 + rng.uniform(0, 2 * np.pi, (3, 1))
        day = rng.normal(scale=[1, 0.5, 0.25]) @ np.sin(turns)
        week = np.repeat(rng.normal(scale=0.5, size=7), 24)
        noise = rng.normal(scale=0.07, size=rows)
        for t in range(1, rows):
            noise[t] += 0.7 * noise[t - 1]
        t = np.arange(rows) + rng.integers(0, 168)
        y = rng.lognormal(4, 1) * (1 + 0.25 * day[t % 24] + 0.25 * week[t % 168] + noise)
        ds = pd.date_range("2024-01-01", periods=1500, freq="h")[1500 - rows :]
        parts.append(pd.DataFrame({"unique_id": f"h{number:03d}", "ds": ds, "y": y}))
    return pd.concat(parts, ignore_index=True)


def _hourly() -> Iterator[Row]:
    """LSTM(64) on hourly series, as many windows in as many steps as neuralforecast is given."""
    from benchmarks.net_peers import at_threads, neural, quickest

    data = hourly()
    held = data.groupby("unique_id").tail(H)
    train, truth = data.drop(held.index), held["y"].to_numpy()
    for batch, steps in ((128, 500), (1024, 100)):
        threads, _ = quickest(lambda batch=batch: neural(train, H, WINDOW, 6, batch).seconds)  # type: ignore[misc]
        with at_threads(threads):
            theirs = neural(train, H, WINDOW, steps, batch)
        model = LSTM(
            WINDOW, hidden=64, strategy="direct", batch_size=batch, epochs=10, sample=batch * steps // 10,
            validation=0, early_stopping=False, loss="mae", learning_rate=1e-2, schedule="cosine", seeds=1,
            threads=2,
        )  # fmt: skip
        ours = _seconds(lambda model=model: model.fit(train, h=H))  # type: ignore[misc]
        errors = [np.abs(truth - point).mean() for point in (model.predict()["LSTM"].to_numpy(), theirs.point)]
        what = f"networks: LSTM(64), {WINDOW} -> {H}, {HOURS} hourly series, {steps} steps of {batch} windows"
        figures = f"{ours:.1f} s, neuralforecast {theirs.seconds:.1f} s at {threads} thread(s)"
        figures += "; ours at rate 1e-2 with cosine, neuralforecast at its defaults"
        yield at_most(f"{what}, of neuralforecast's time", 0.5, ours / theirs.seconds, figures)
        figures = f"MAE {errors[0]:.3f}, neuralforecast {errors[1]:.3f}"
        yield at_most(f"{what}, of its MAE", 1.0, errors[0] / errors[1], figures)


def _many_series() -> Iterator[Row]:
    """A net for each of 500 series, by batch size, beside a loop at one thread."""
    from benchmarks.net_peers import at_threads, loop

    window, units = MANY["window"], MANY["units"]
    data = example(MANY["series"], MANY["rows"])
    y = data["y"].to_numpy(np.float32).reshape(MANY["series"], -1)
    y = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)
    every = np.lib.stride_tricks.sliding_window_view(y, window + 1, axis=1)[:SAMPLE].copy()
    x, target = every[..., :-1, None].copy(), every[..., -1].copy()
    for batch in (16, 32, 64, 128, "full"):
        epochs = 3
        size = every.shape[1] if batch == "full" else int(batch)
        with at_threads(1):
            loop(x[:1], target[:1], units, size, 1)
            alone = loop(x, target, units, size, epochs) * MANY["series"] / SAMPLE
        model = LSTM(
            window, hidden=units, scope="series", strategy="recursive", batch_size=batch, epochs=epochs,
            validation=0, early_stopping=False, seeds=1,
        )  # fmt: skip
        model.fit(data[data["unique_id"] < "store-00008"])
        ours = _seconds(lambda model=model: model.fit(data))  # type: ignore[misc]
        what = f"networks: {MANY['series']} LSTM({units}), window {window}, batch {batch}, over a torch loop"
        figures = f"{ours:.1f} s, loop {alone:.1f} s, {epochs} epochs"
        yield at_least(what, 3 if batch == 16 else 1, alone / ours, figures)


def _forecast() -> Iterator[Row]:
    """Seconds of a recursive forecast of every series, table to table."""
    data = example()
    model = LSTM(
        28, hidden=16, strategy="recursive", batch_size=256, epochs=1, sample=5_000, validation=0,
        early_stopping=False, seeds=1,
    )  # fmt: skip
    model.fit(data)
    seconds = best(lambda: model.predict(28))
    what = "networks: LSTM(16), window 28, recursive, 28 steps for 10,000 series"
    yield Row(what, "<= 2.5 s", f"{seconds:.2f} s", seconds <= 2.5, "predict, best of 3")


def _memory() -> Row:
    """Peak resident memory of a fit over what was held before, in a fresh process; GiB."""
    done = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    above = float(done.stdout)
    what = "networks: memory above the input, training LSTM(16) on 10,000 x 400, window 28"
    return Row(what, "<= 2 GB", f"{above:.2f} GiB", above <= 1.86, "peak RSS; an epoch of 100,000 windows")
