"""Prophet's model beside the prophet package in a process pool and beside prophet-batch, on the same tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers import CORES, fit, fit_and_predict, hush, seconds_each
from benchmarks.row import Row, at_least, at_most, best, wanted
from tsforecast import Prophet, backtest

__all__ = ["rows"]

SERIES, DAYS, STEPS = 1_000, 1_095, 90
SAMPLE = 48
"""Series that the pool fits; its time is scaled to all of them."""
FEW, CURVED_DAYS = 500, 731
LENGTHS = (60, 120, 365, 730, 1_095, 1_460, 2_190, 3_000)
FULL = {"yearly_seasonality": True, "weekly_seasonality": True}


def example(n: int, days: int, *, curved: bool = False) -> pd.DataFrame:
    """Daily series with a bent trend, a week, a year and noise; seeded. `curved` gives them a capacity to grow to."""
    rng = np.random.default_rng(11)
    t = np.arange(days)
    scale = rng.lognormal(3, 0.7, (n, 1))
    bend = np.maximum(t - rng.uniform(0.2, 0.7, (n, 1)) * days, 0) / days
    year = rng.normal(scale=0.15, size=(n, 2)) @ np.stack(
        [np.sin(2 * np.pi * t / 365.25), np.cos(2 * np.pi * t / 365.25)]
    )
    week = rng.normal(scale=0.1, size=(n, 7))[:, t % 7]
    pattern = 1 + year + week + rng.normal(scale=0.08, size=(n, days))
    line = 1 + rng.normal(scale=0.4, size=(n, 1)) * t / days + rng.normal(scale=0.8, size=(n, 1)) * bend
    cap = 2.0 + 0.5 * t / days
    level = cap / (1 + np.exp(-3 * (t / days - 0.4) * rng.uniform(0.5, 1.5, (n, 1)))) if curved else np.abs(line) + 0.2
    table = {
        "unique_id": np.repeat([f"store-{i:05d}" for i in range(n)], days),
        "ds": np.tile(pd.date_range("2021-01-01", periods=days), n),
        "y": (scale * level * pattern).reshape(-1),
    }
    return pd.DataFrame(table | ({"cap": (scale * cap).reshape(-1)} if curved else {}))


def rows(words: Sequence[str]) -> Iterator[Row]:
    """All rows of Prophet's model."""
    for name, group in (("Prophet fit", _fits), ("Prophet backtest", _backtests), ("Prophet growth", _growth),
                        ("Prophet memory", _memory)):  # fmt: skip
        if wanted(name, words):
            yield from group()


def _fits() -> Iterator[Row]:
    data = example(SERIES, DAYS)
    what = f"{SERIES:,} x {DAYS:,}"
    ours = best(lambda: Prophet().fit(data)) / SERIES
    yield from _beside(f"Prophet fit, {what}", ours, data, 150, fit, {}, 20)
    korean = best(lambda: Prophet(holidays="KR").fit(data).predict(STEPS, levels=[80, 95])) / SERIES
    what = f"Prophet fit + predict {STEPS} days, 80 / 95 %, Korean holidays, {what}"
    yield from _beside(what, korean, data, 80, fit_and_predict, {"country": "KR", "steps": STEPS})
    curved = example(FEW, CURVED_DAYS, curved=True)
    for name, bar, more in (
        ("multiplicative", 30, {"seasonality_mode": "multiplicative"}),
        ("logistic with C(t)", 20, {"growth": "logistic"}),
    ):
        table = curved if "growth" in more else curved.drop(columns="cap")
        ours = best(lambda table=table, more=more: Prophet(**more).fit(table), 2) / FEW  # type: ignore[misc]
        yield from _beside(f"Prophet fit, {name}, {FEW} x {CURVED_DAYS}", ours, table, bar, fit, more)


def _beside(
    what: str,
    ours: float,
    data: pd.DataFrame,
    bar: float,
    task: Callable[..., Any],
    how: dict[str, Any],
    batch: float = 0,
) -> Iterator[Row]:
    """Rows against prophet in a pool and, where it does the same, against prophet-batch; times are a series' own."""
    theirs = seconds_each(task, data, SAMPLE, how)
    figures = f"{1000 * ours:.2f} ms a series, {1000 * theirs:.0f} ms in a pool of {CORES}"
    yield at_least(f"{what}, over prophet", bar, theirs / ours, figures)
    if batch:
        theirs = _prophet_batch(data, how)
        yield at_least(f"{what}, over prophet-batch", batch, theirs / ours, f"{1000 * theirs:.1f} ms with {CORES} jobs")


def _prophet_batch(data: pd.DataFrame, how: dict[str, Any]) -> float:
    """Seconds a series of fitting all of them."""
    hush()
    import prophet_batch

    began = perf_counter()
    prophet_batch.fit_many(data, n_jobs=CORES, **how)
    return (perf_counter() - began) / data["unique_id"].nunique()


def _backtests() -> Iterator[Row]:
    """Twelve cutoffs, 30 days apart; every term is on at every cutoff, so that lengths differ and nothing else."""
    seconds = {}
    for days in (730, 2_920):
        data = example(FEW, days)
        once = best(lambda data=data: Prophet(**FULL).fit(data))  # type: ignore[misc]
        roll = best(lambda data=data: backtest(Prophet(**FULL), data, h=30, windows=12), 2)  # type: ignore[misc]
        seconds[days] = roll
        yield at_most(f"Prophet backtest, 12 cutoffs, {FEW} x {days:,}, of one fit", 8, roll / once,
                      f"{roll:.2f} s, fit {once:.2f} s")  # fmt: skip
    ratio = seconds[2_920] / seconds[730]
    yield at_most("Prophet backtest at T = 2,920, of that at 730", 1.5, ratio, f"{seconds[2_920]:.2f} s")


def _growth() -> Iterator[Row]:
    """Milliseconds a series by length: the rows enter sums once, the solving does not see them."""
    spent = {}
    for days in LENGTHS:
        data = example(FEW, days)
        spent[days] = 1000 * best(lambda data=data: Prophet(**FULL).fit(data), 2) / FEW  # type: ignore[misc]
    figures = ", ".join(f"{days:,}: {ms:.2f}" for days, ms in spent.items())
    ratio = spent[LENGTHS[-1]] / spent[LENGTHS[0]]
    yield Row(f"Prophet fit by T, {FEW} series", "near flat", f"{ratio:.1f} x from 60 to 3,000", None, f"ms: {figures}")


CODE = """
import numpy as np
from benchmarks.prophet_models import example
from tsforecast import Prophet

data = example(10_000, 1_095)
Prophet().fit(data.head(1_095 * 20)).predict(90, levels=[80, 95])
def size(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 2**20
open("/proc/self/clear_refs", "w").write("5")  # the peak so far was that of making the example
before = size("VmRSS")
Prophet().fit(data).predict(90, levels=[80, 95])
print(size("VmHWM") - before)
"""


def _memory() -> Iterator[Row]:
    """Peak resident memory of table -> table over what was held before, in a fresh process; GiB."""
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    above = float(done.stdout)
    what = "Prophet memory above the input, 10,000 x 1,095, fit + predict 90 days with 80 / 95 %"
    yield Row(what, "<= 1 GB", f"{above:.2f} GiB", above <= 0.93, "peak RSS")
