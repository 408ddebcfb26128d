"""What the first import costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.row import Row, best, wanted

__all__ = ["rows"]


def rows(words: Sequence[str]) -> Iterator[Row]:
    """Seconds of `from tsforecast import AR, backtest` above those of `import pandas`, in fresh processes."""
    if not wanted("import", words):
        return
    bare = best(lambda: _run("import pandas"), 5)
    ours = best(lambda: _run("from tsforecast import AR, backtest"), 5)
    extra = ours - bare
    figures = f"{bare:.2f} s, {ours:.2f} s"
    yield Row("import AR, backtest", "pandas + 0.35 s", f"pandas + {extra:.2f} s", extra <= 0.35, figures)


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)
