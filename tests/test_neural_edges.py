"""Edges of the networks: options that optimisers refuse, nets that begin as others, short windows, huge values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from test_neural_engine import panel, points, waves
from test_neural_training import both, check
from test_neural_training import waves as many_waves

from tsforecast.errors import ConfigError
from tsforecast.models.neural import GRU, LSTM, MLP, RNN


def test_line_searches_hear_of_penalties() -> None:
    given: dict[str, Any] = {"line_search_fn": "strong_wolfe", "max_iter": 6}
    model = RNN(
        6, 5, epochs=3, batch_size="full", optimizer="lbfgs", optimizer_options=given, learning_rate=1.0, l2=0.05,
        early_stopping=False,
    )  # fmt: skip
    fitted, course = both(
        model, many_waves(), lambda weights: torch.optim.LBFGS(list(weights), lr=1.0, **given), penalty=(0.0, 0.05)
    )
    check(fitted, course, 1e-3)


def test_models_that_begin_as_different_nets_read_differently() -> None:
    many = waves(2)
    one, other = (GRU(6, 4, pretrained=GRU(6, 4, epochs=1).fit(panel(many[i : i + 1]))) for i in (0, 1))
    assert repr(one) != repr(other)


@pytest.mark.parametrize(
    "how",
    [
        {"optimizer_options": {"betas": (0.9,)}},
        {"optimizer_options": {"foreach": True, "fused": True}},
        {"optimizer": "lbfgs", "optimizer_options": {"line_search_fn": "x"}},
        {"optimizer": "lbfgs", "optimizer_options": {"history_size": 0}},
        {"static": None},
        {"static": "shop"},
        {"window": 1, "centre": "window"},
    ],
    ids=str,
)
def test_what_no_net_can_be_trained_by_is_refused(how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"optimizer_options=.* takes|static must be|window=1"):
        MLP(**{"window": 6, "hidden": 4, "epochs": 1, **how}).fit(panel(waves(2)))


@pytest.mark.parametrize("how", [{"seeds": np.array([1, 2])}, {"optimizer_options": {"foreach": True}}], ids=str)
def test_arrays_and_other_steps_of_the_same_optimiser_work(how: dict[str, Any]) -> None:
    assert np.isfinite(points(MLP(6, 4, epochs=1, **how), panel(waves(2)))).all()


def test_a_window_of_one_row_is_told_its_level() -> None:
    rng = np.random.default_rng(0)
    y = np.where(np.arange(300) % 2 == 0, 5, -5) + 0.1 * rng.normal(size=300)
    model = MLP(1, 8, epochs=60, learning_rate=0.02).fit(panel([y]))
    assert abs(model.predict(1)["MLP"].item() - 5) < 1


def test_a_series_of_a_huge_size_leaves_others_alone() -> None:
    many = [*waves(5), 1e200 * waves(1)[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert np.isfinite(points(MLP(6, 4, epochs=1, on_error="skip"), panel(many))[:5]).all()


@pytest.mark.parametrize("h", [1, 2])
def test_fewer_steps_have_the_same_intervals(h: int) -> None:
    model = LSTM(6, 4, "direct", epochs=2).fit(panel(waves(3)), h=5)
    few, all_ = model.predict(h, levels=(80,)), model.predict(5, levels=(80,)).groupby("unique_id").head(h)
    np.testing.assert_allclose(few["LSTM-lo-80"], all_["LSTM-lo-80"], rtol=1e-12)
