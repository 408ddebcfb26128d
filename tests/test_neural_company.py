"""A net for each series: not one bit of it depends on the company it keeps, the order, or how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from test_neural_engine import KINDS, WINDOW, panel, points, waves

from tsforecast.models.neural import MLP, RNN

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "direct": {"strategy": "direct"},
    "odd widths": {"hidden": (7, 3)},
    "one unit": {"hidden": 1},
    "large": {"hidden": 64},
    "dropout, penalties": {"dropout": 0.3, "l1": 1e-3, "l2": 1e-3, "clip": 0.5},
    "noise": {"jitter": 0.05, "magnitude": 0.1},
    "ensemble": {"seeds": 2},
    "sample": {"sample": 20},
    "quantiles": {"strategy": "direct", "loss": "pinball"},
    "layer norm": {"norm": "layer"},
    "batch norm": {"norm": "batch"},
    "full": {"batch_size": "full"},
    "one by one": {"batch_size": 1, "epochs": 1},
    "all rows": {"validation": 0, "early_stopping": False},
    "cosine sgd": {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, "schedule": "cosine"},
    "lbfgs": {"optimizer": "lbfgs", "learning_rate": 0.1, "epochs": 1},
    "rprop": {"optimizer": "rprop"},
}
CASES = [(kind, way) for kind in KINDS for way in WAYS if kind in ("lstm", "cnn") or list(WAYS).index(way) < 5]
CASES += [(kind, way) for kind in ("rnn", "gru", "lstm") for way in ("both ways", "sequence")]
WAYS |= {"both ways": {"bidirectional": True}, "sequence": {"strategy": "sequence"}}


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_bits_of_a_series_alone_are_those_in_company(kind: str, way: str) -> None:
    how = {"hidden": 6, "scope": "series", "epochs": 5, "learning_rate": 0.02} | WAYS[way]
    how |= {} if "early_stopping" in how else {"patience": 2}
    many, ids = waves(5), list("abcde")
    together = points(KINDS[kind](WINDOW, **how), panel(many, ids))
    assert np.isfinite(together).all()
    order = np.array([3, 0, 4, 1, 2])
    shuffled = points(KINDS[kind](WINDOW, **how), panel([many[i] for i in order], [ids[i] for i in order]))
    np.testing.assert_array_equal(shuffled, together[order])
    for few in ([1], [3, 1], [4, 0, 2]):
        got = points(KINDS[kind](WINDOW, **how), panel([many[i] for i in few], [ids[i] for i in few]))
        np.testing.assert_array_equal(got, together[few])


def test_a_hole_in_one_series_changes_no_other() -> None:
    many, ids = waves(5), list("abcde")
    before = points(MLP(WINDOW, 4, scope="series", epochs=3), panel(many, ids))
    many[2] = many[2].copy()
    many[2][[7, 20, 21]] = np.nan
    after = points(MLP(WINDOW, 4, scope="series", epochs=3), panel(many, ids))
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(after[kept], before[kept])
    assert np.all(after[2] != before[2])


def test_blocks_of_series_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsforecast.models.neural import fitting

    data = panel(waves())
    whole = points(RNN(WINDOW, 4, scope="series", epochs=3), data)
    monkeypatch.setattr(fitting, "BLOCK", 2)
    np.testing.assert_array_equal(points(RNN(WINDOW, 4, scope="series", epochs=3), data), whole)
