"""What networks refuse, mask, set aside or stop at: our exceptions with a remedy, or a forecast that stands."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch
from builders import table
from test_neural_engine import KINDS, panel, points, waves, weights

from tsforecast.errors import ConfigError, DataError, FitError, FitWarning, NotFittedError
from tsforecast.models.ar import AR
from tsforecast.models.naive import Naive
from tsforecast.models.neural import CNN, GRU, LSTM, MLP, RNN
from tsforecast.models.neural.options import OPTIMIZERS
from tsforecast.panel import Panel

H = 3
QUICK: dict[str, Any] = {"window": 6, "hidden": 4, "epochs": 2}


# Parameters

REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (
        LSTM,
        {"optimizer": "adamm"},
        "optimizer must be one of adadelta, .*sgd, got 'adamm'; did you mean 'adam",
    ),
    (LSTM, {"optimizer": None}, "optimizer must be one of adadelta, adagrad, adam"),
    (LSTM, {"optimizer_options": {"momentum": 0.9}}, "optimizer_options=.*momentum.*Adam takes betas"),
    (LSTM, {"optimizer_options": {"betas": (2.0, 0.9)}}, "Invalid beta.*Adam takes"),
    (LSTM, {"optimizer": "sgd", "optimizer_options": {"nesterov": True}}, "Nesterov.*SGD takes momentum"),
    (LSTM, {"optimizer_options": {"lr": 0.1}}, "without lr"),
    (LSTM, {"optimizer_options": "momentum"}, "optimizer_options must be a mapping"),
    (MLP, {"activation": "reluu"}, "activation must be one of elu, .* tanh, got 'reluu'; did you mean 'relu'"),
    (RNN, {"activation": "sigmoid"}, "activation must be one of relu, tanh, got 'sigmoid'"),
    (LSTM, {"loss": "rmse"}, "loss must be one of huber, mae, .*; did you mean 'mse'"),
    (LSTM, {"schedule": "cos"}, "schedule must be one of constant, cosine, .*did you mean 'cosine'"),
    (LSTM, {"scaling": "std"}, "scaling must be one of minmax, none, robust, standard"),
    (LSTM, {"missing": "zero"}, "missing must be one of mask, refuse"),
    (LSTM, {"norm": "instance"}, "norm must be one of batch, layer, none"),
    (LSTM, {"preset": "slow"}, "preset must be one of default, fast, accurate, notes"),
    (LSTM, {"device": "gpu"}, "device must be one of auto, cpu, cuda, mps"),
    (LSTM, {"strategy": "many"}, "strategy must be one of auto, direct, recursive, sequence"),
    (LSTM, {"scope": "shop"}, "scope must be 'series', 'global' or a static column"),
    (LSTM, {"static": ("shop",)}, "no static column 'shop'.*static=table"),
    (LSTM, {"learning_rate": float("nan")}, "learning_rate must be a finite number above 0, got nan"),
    (LSTM, {"learning_rate": float("inf")}, "learning_rate must be a finite number above 0, got inf"),
    (LSTM, {"learning_rate": -1e-3}, "learning_rate must be a finite number above 0"),
    (LSTM, {"learning_rate": 0}, "learning_rate must be a finite number above 0"),
    (LSTM, {"learning_rate": "fast"}, "learning_rate must be a finite number above 0"),
    (LSTM, {"learning_rate": True}, "learning_rate must be a finite number above 0"),
    (LSTM, {"dropout": 1.0}, "dropout must be a finite number at least 0 and below 1"),
    (LSTM, {"l1": -1}, "l1 must be"),
    (LSTM, {"l2": float("nan")}, "l2 must be"),
    (LSTM, {"clip": 0}, "clip must be a finite number above 0"),
    (LSTM, {"jitter": -0.1}, "jitter must be"),
    (LSTM, {"magnitude": 1.0}, "magnitude must be"),
    (LSTM, {"window": 0}, "window must be a whole number of at least 1"),
    (LSTM, {"window": 2.5}, "window must be a whole number"),
    (LSTM, {"window": True}, "window must be a whole number"),
    (LSTM, {"hidden": 0}, "hidden must be a whole number of at least 1"),
    (LSTM, {"hidden": ()}, "hidden must name at least one"),
    (LSTM, {"hidden": (8, -1)}, "hidden must be a whole number of at least 1, got -1"),
    (LSTM, {"hidden": "32"}, "hidden must be a whole number"),
    (LSTM, {"epochs": 0}, "epochs must be a whole number of at least 1"),
    (LSTM, {"patience": 0}, "patience must be a whole number of at least 1"),
    (LSTM, {"batch_size": 0}, "batch_size must be"),
    (LSTM, {"batch_size": "all"}, "batch_size must be"),
    (LSTM, {"sample": 0}, "sample must be"),
    (LSTM, {"threads": 0}, "threads must be"),
    (LSTM, {"seeds": 0}, "seeds must be"),
    (LSTM, {"seeds": []}, "seeds must be a number of nets or distinct"),
    (LSTM, {"seeds": [1, 1]}, "distinct whole numbers"),
    (LSTM, {"seeds": [0.5]}, "seeds must be"),
    (LSTM, {"embed": 0}, "embed must be"),
    (LSTM, {"slope": -1.0}, "slope must be"),
    (LSTM, {"early_stopping": "yes"}, "early_stopping must be True or False"),
    (LSTM, {"validation": 0}, "validation=0 leaves none: give validation=0.2, or early_stopping=False"),
    (LSTM, {"validation": -0.1}, "validation must be a share"),
    (LSTM, {"validation": 2.5}, "validation must be a share of the rows below 1, or a whole number"),
    (LSTM, {"validation": float("nan")}, "validation must be a share"),
    (LSTM, {"validation": "20%"}, "validation must be a share"),
    (LSTM, {"loss": "pinball", "quantiles": (0.1, 0.9)}, "quantiles must be distinct.* such as"),
    (LSTM, {"loss": "pinball", "quantiles": (0.1, 0.5, 0.8)}, "in pairs about 0.5"),
    (LSTM, {"loss": "pinball", "quantiles": 0.5}, "quantiles must be"),
    (LSTM, {"loss": "pinball", "quantiles": (0.0, 0.5, 1.0)}, "between 0 and 1"),
    (LSTM, {"loss": "pinball", "strategy": "recursive"}, 'needs strategy="direct" or "sequence"'),
    (
        LSTM,
        {"past": ("x",), "strategy": "recursive"},
        r'cannot use past columns \(x\).*Use strategy="direct"',
    ),
    (LSTM, {"bidirectional": 1}, "bidirectional must be True or False"),
    (LSTM, {"bidirectional": True, "strategy": "sequence"}, "sequence.*bidirectional"),
    (MLP, {"strategy": "sequence"}, "MLP has no states.*for RNN, LSTM and GRU"),
    (CNN, {"strategy": "sequence"}, "CNN has no states"),
    (CNN, {"kernel": 0}, "kernel must be"),
    (CNN, {"stride": 0}, "stride must be"),
    (CNN, {"padding": "valid"}, 'padding .*"same", "causal" or rows'),
    (CNN, {"pool": "sum"}, "pool must be one of avg, max, none"),
    (CNN, {"hidden": (4, 4, 4), "pool": "max"}, "convolution 3 of 3 leaves no row of a window of 6: give a longer"),
    (CNN, {"kernel": 9, "padding": 0}, "convolution 1 of 1 leaves no row"),
    (LSTM, {"pretrained": "net.pt"}, "pretrained must be a fitted network"),
    (LSTM, {"pretrained": Naive()}, "pretrained must be a fitted network"),
]


@pytest.mark.parametrize(("kind", "how", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_parameters_that_cannot_work_are_refused(kind: Any, how: dict[str, Any], said: str) -> None:
    columns = {"x": np.arange(107.0)} if "past" in how else {}
    data = panel(waves(2), columns=columns)
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        kind(**QUICK | how).fit(data, h=H)


@pytest.mark.parametrize("word", ["cuda", "mps"])
def test_devices_that_are_not_there_are_told(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"device='{word}': this machine has none.*device=\"auto\""):
        LSTM(**QUICK, device=word).fit(panel(waves(2)))
    assert LSTM(**QUICK, device="auto").fit(panel(waves(2))).predict(1)["LSTM"].notna().all()


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@GPU
@pytest.mark.parametrize("strategy", ["recursive", "direct"])
@pytest.mark.parametrize("kind", KINDS)
def test_cpu_and_cuda_agree(kind: str, strategy: str) -> None:
    many = waves(6)
    got = {}
    for device in ("cpu", "cuda"):
        model = KINDS[kind](6, 8, strategy, epochs=5, learning_rate=0.01, device=device)
        got[device] = points(model, panel(many))
    scale = np.array([y.std() for y in many])[:, None]
    assert np.max(np.abs(got["cpu"] - got["cuda"]) / scale) < 1e-4


def test_unfitted_pretrained_nets_are_told() -> None:
    with pytest.raises(NotFittedError, match=r"pretrained=GRU.* is not fitted: call fit"):
        GRU(**QUICK, pretrained=GRU()).fit(panel(waves(2)))


OTHERS = [GRU(6, 5), GRU(6, 4, known=("promo",)), LSTM(6, 4), GRU(6, (4, 4)), GRU(6, 4, "direct")]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_pretrained_nets_of_another_shape_are_refused(other: Any) -> None:
    data = panel(waves(2), columns={"promo": np.random.default_rng(0).normal(size=107)})
    other = other.set_params(epochs=1).fit(data, h=H)
    with pytest.raises(ConfigError, match=r"net of another shape: .* there and .* here.*; give both the same window"):
        GRU(**QUICK, pretrained=other).fit(data)


# Rows


def test_windows_longer_than_the_series_are_told() -> None:
    data = panel([waves(1)[0]], ids=["a"])
    with pytest.raises(DataError, match=r"(?s)LSTM cannot be fitted.*series 'a'.*needs 60"):
        LSTM(60, 4, epochs=1).fit(data)
    how: dict[str, Any] = {"validation": 0, "early_stopping": False}
    with pytest.raises(ConfigError, match=r"no window to train on: window=50 .* longest series has 50: give a shorter"):
        LSTM(50, 4, epochs=1, **how).fit(data)


def test_no_validation_rows_left_is_told() -> None:
    with pytest.raises(ConfigError, match=r"no validation rows left: validation=0.2 of 50 rows .*early_stopping=False"):
        LSTM(20, 4, "direct", epochs=1).fit(panel([waves(1)[0]]), h=15)
    with pytest.raises(ConfigError, match="no validation rows left"):
        LSTM(6, 4, epochs=1, validation=49).fit(panel([waves(1)[0]]))


def test_short_series_are_forecast_by_the_net_of_the_others() -> None:
    many = [*waves(2), waves(1)[0][:9]]
    got = points(RNN(**QUICK), panel(many))
    assert np.isfinite(got).all()
    with pytest.raises(DataError, match=r"x2|2"):
        RNN(**QUICK, scope="series").fit(panel([*waves(2), waves(1)[0][:7]]), h=H)
    left = RNN(**QUICK, scope="series", on_error="skip").fit(panel([*waves(2), waves(1)[0][:7]]), h=H).predict(H)
    assert left["status"].tolist() == ["ok"] * 6 + ["failed"] * 3


@pytest.mark.parametrize("how", [{"past": ("x",)}, {"known": ("x",)}], ids=str)
def test_columns_without_a_value_are_told(how: dict[str, Any]) -> None:
    data = table(waves(2), x=np.full(107, np.nan))
    with pytest.raises(DataError, match="x"):
        LSTM(**QUICK, **how).fit(data, h=H)


def test_labels_never_seen_are_told() -> None:
    promo = np.array(["none", "sale"], dtype=object)[np.arange(107) % 2]
    model = LSTM(**QUICK, known=("promo",)).fit(table(waves(2), promo=promo), h=H)
    with pytest.raises(DataError, match=r"'?promo'?.*gift|gift.*promo"):
        model.predict(H, future=model.make_future(H).assign(promo="gift"))
    static = pd.DataFrame({"unique_id": ["s000", "s001"], "shop": ["a", "b"]})
    by_shop = LSTM(**QUICK, static=("shop",)).fit(table(waves(2)), static=static, h=H)
    new = Panel.from_table(table(waves(3)[2:], ids=["s9"]), static=pd.DataFrame({"unique_id": ["s9"], "shop": ["z"]}))
    with pytest.raises(DataError, match=r"static column 'shop' holds 'z' \(series s9\).*knows a, b"):
        by_shop.update(new)
    grouped = LSTM(**QUICK, scope="shop").fit(table(waves(2)), static=static)
    with pytest.raises(DataError, match=r"s9.*shop"):
        grouped.update(new)


def test_logarithms_of_negative_targets_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        MLP(**QUICK, loss="msle").fit(panel([y - 101 for y in waves(2)]))


# Losses that are not finite, and poison


def test_a_loss_that_is_not_finite_names_the_epoch() -> None:
    with pytest.raises(FitError, match=r"loss was not finite.* global \(seed 0, epoch \d+\): lower learning_rate"):
        RNN(**QUICK | {"epochs": 40}, activation="relu", optimizer="sgd", learning_rate=1e6).fit(panel(waves(2)))


def test_nets_that_failed_fall_back_as_told() -> None:
    many = waves(3)
    wild: dict[str, Any] = {"activation": "relu", "optimizer": "sgd", "learning_rate": 1e6, "scope": "series"}
    with pytest.warns(FitWarning, match="loss was not finite"):
        skipped = RNN(**QUICK | wild | {"epochs": 40}, on_error="skip").fit(panel(many), h=H).predict(H)
    assert set(skipped["status"]) == {"failed"}
    assert skipped["RNN"].isna().all()
    with pytest.warns(FitWarning, match="loss was not finite"):
        model = RNN(**QUICK | wild | {"epochs": 40}, on_error="fallback", fallback=Naive()).fit(panel(many), h=H)
    stood = model.predict(H)
    np.testing.assert_array_equal(stood["RNN"], np.repeat([y[-1] for y in many], H))
    assert np.isfinite(weights(model)["head.weight"]).all()


@pytest.mark.parametrize("poison", ["spike", "spikes", "constant", "zeros", "tiny"])
@pytest.mark.parametrize("kind", ["lstm", "mlp"])
def test_one_poisoned_series_spoils_no_other(kind: str, poison: str) -> None:
    many, ends = [y[:-H] for y in waves(12)], np.array([y[-H:] for y in waves(12)])
    bad, rng = many[5].copy(), np.random.default_rng(0)
    if poison == "spike":
        bad[30] = 1e9
    elif poison == "spikes":
        bad[rng.integers(0, len(bad), 6)] = 1e12 * rng.normal(size=6)
    else:
        bad = {"tiny": 1e-200 * bad, "constant": 7 + 0 * bad, "zeros": 0 * bad}[poison]
    how: dict[str, Any] = {"epochs": 8, "learning_rate": 0.02, "on_error": "skip"}
    clean = points(KINDS[kind](6, 6, **how), panel(many))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        spoiled = points(KINDS[kind](6, 6, **how), panel([bad if i == 5 else y for i, y in enumerate(many)]))
    sizes = [np.sqrt(np.mean((got - ends)[np.arange(12) != 5] ** 2)) for got in (clean, spoiled)]
    assert sizes[0] < 2.0
    assert sizes[1] < 1.15 * sizes[0]
    # Numbers whose squares are none of the machine's are not forecast, and `status` says so.
    assert np.isfinite(spoiled[5]).all() == (poison != "tiny")
    assert {t.category for t in told} <= {FitWarning}
    assert bool(told) == poison.startswith("spike")
    if poison in ("constant", "zeros"):
        np.testing.assert_allclose(spoiled[5], bad[0], atol=1.0)


def test_series_of_their_own_are_spoiled_alone() -> None:
    many = waves(4)
    before = points(GRU(**QUICK, scope="series"), panel(many))
    many[2] = many[2].copy()
    many[2][10] = 1e9
    after = points(GRU(**QUICK, scope="series"), panel(many))
    np.testing.assert_array_equal(after[[0, 1, 3]], before[[0, 1, 3]])


def test_every_optimiser_takes_a_rate_beyond_reason_without_an_exception_of_its_own() -> None:
    for name in OPTIMIZERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            model = RNN(**QUICK, activation="relu", optimizer=name, learning_rate=1e30, on_error="fallback")
            got = model.fit(panel(waves(2)), h=H).predict(H)
        assert np.isfinite(got["RNN"]).all(), name


def test_tables_without_ids_and_with_integer_time_work() -> None:
    y = waves(1)[0]
    one = pd.DataFrame({"ds": np.arange(len(y)), "y": y})
    got = MLP(**QUICK).fit(one).predict(H)
    assert list(got.columns) == ["ds", "MLP"]
    assert AR(1).fit(one).predict(H)["ds"].tolist() == got["ds"].tolist()
