"""Stan as the judge of our modes, on more series than the tests take: `python -m benchmarks judge`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.row import Row, wanted

__all__ = ["rows"]

SEEDS = range(4)
REAL = ("nyse", "colorado", "retail")
SLACK = 1e-8


def rows(words: Sequence[str]) -> Iterator[Row]:
    """Minus log density at Prophet's answer less that at ours, a row a kind of series, and all that Prophet won."""
    if not wanted("judge", words):
        return
    if find_spec("prophet") is None:
        yield Row("judge", "-", "skipped", None, "pip install prophet")
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    judge = import_module("prophet_judge")
    lost = {True: [0, 0], False: [0, 0]}
    for group in judge.GROUPS:
        cases = [case for seed in ([0] if group in REAL else SEEDS) for case in judge.cases(group, seed)]
        found = [judge.verdicts(case, judge.by_solvers)[0] for case in cases]
        proper = [v for v in found if v.proper]
        gaps = np.array([v.gap for v in proper])
        worse = [f"{v.case.name} by {-v.gap:.2g}" for v in proper if v.gap < -SLACK]
        count = lost[cases[0].is_convex]
        count[0] += len(worse)
        count[1] += len(proper)
        figures = (
            f"gap min {gaps.min():.1e}, median {np.median(gaps):.2g}, max {gaps.max():.3g}; residuals: gradient "
            f"{max(v.flat for v in proper):.0e}, kinks {max(v.kinks for v in proper):.0e}, noise "
            f"{max(v.noise for v in proper):.0e}; {len(found) - len(proper)} improper{''.join(f'; {w}' for w in worse)}"
        )
        kind = "convex" if cases[0].is_convex else "not convex"
        yield Row(f"judge: {group} ({kind})", "-", f"{len(proper) - len(worse)} of {len(proper)}", None, figures)
    for convex, least in ((True, 1.0), (False, 0.99)):
        worse_, all_ = lost[convex]
        share = 1 - worse_ / all_
        what = f"judge: f(ours) <= f(Prophet) + 1e-8, {'convex' if convex else 'not convex'}"
        yield Row(what, f"{least:.0%}", f"{share:.1%}", share >= least, f"{all_ - worse_} of {all_} series")
