"""Memory above the input for 100,000 series."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.row import Row, wanted

__all__ = ["rows"]

CODE = """
import numpy as np
import pandas as pd
from tsforecast import AR

n, days = 100_000, 200
data = pd.DataFrame({
    "unique_id": pd.Series(np.repeat(np.arange(n), days)),
    "ds": np.tile(pd.date_range("2024-01-01", periods=days), n),
    "y": np.random.default_rng(0).normal(size=n * days),
})
AR(14, ridge=0, transform=None).fit(data.head(days * 100)).predict(28)
def size(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 2**20
before = size("VmRSS")
AR(14, ridge=0, transform=None).fit(data).predict(28)
print(size("VmHWM") - before)
"""


def rows(words: Sequence[str]) -> Iterator[Row]:
    """Peak resident memory of table -> table over what was held before, in a fresh process; GiB."""
    if not wanted("memory", words):
        return
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    above = float(done.stdout)
    yield Row("memory above the input, 100,000 x 200, AR(14)", "<= 1 GB", f"{above:.2f} GiB", above <= 0.93, "peak RSS")
