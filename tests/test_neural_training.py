"""How networks learn: against plain torch loops with torch's own modules, and between the ways they are run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from neural_twin import Course, Series, Twin, draws_after_start, examples, series, train

from tsforecast.models.neural import CNN, GRU, LSTM, MLP, RNN
from tsforecast.models.neural.options import OPTIMIZERS
from tsforecast.panel import Panel

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU, "mlp": MLP, "cnn": CNN}
WINDOW = 6


def waves(lengths: tuple[int, ...] = (70, 55), seed: int = 0) -> list[Series]:
    rng = np.random.default_rng(seed)
    return [
        series(10.0 * (i + 1) + 3 * np.sin(2 * np.pi * np.arange(t) / 7) + rng.normal(size=t))
        for i, t in enumerate(lengths)
    ]


def panel(many: list[Series]) -> Panel:
    return Panel.from_arrays([one.y for one in many], freq="D", start="2024-01-01")


def untrained(model: Any, data: Any, h: int | None = None) -> Any:
    """The model before its first step: a rate too small to move any weight."""
    still = {"learning_rate": 1e-30, "optimizer": "sgd", "optimizer_options": None, "epochs": 1, "schedule": "constant"}
    return model.copy(**still, l1=0.0, l2=0.0, clip=None).fit(data, h=h)


def both(model: Any, many: list[Series], optimizer: Any, **how: Any) -> tuple[Any, Course]:
    """A fitted model, and the course of a plain loop from the same weights with the same orders."""
    data = panel(many)
    steps = how.pop("steps", 1)
    start = untrained(model, data, steps)
    rows = examples(many, WINDOW, steps, validation=0 if model.validation == 0 else 0.2)
    hidden = model.hidden if isinstance(model.hidden, tuple) else (model.hidden,)
    activation = {"mlp": "relu", "cnn": "relu"}.get(model.kind, "tanh")
    activation = model.activation or activation
    centred = model.centre != "series"
    twin = Twin(model.kind, 1, hidden, steps, window=WINDOW, activation=activation, centred=centred)
    twin.take(start.state_["fit"]["weights"])
    course = train(twin, rows, optimizer(twin.parameters()), epochs=model.epochs, draws=draws_after_start(start), **how)
    return model.fit(data, h=steps), course


def check(model: Any, course: Course, close: float = 1e-5) -> None:
    """Losses of every epoch, and the weights of the one that is kept."""
    kept = model.state_["fit"]
    np.testing.assert_allclose(kept["history"][0, 0][: len(course.losses)], course.losses, rtol=close, atol=close)
    expected = course.weights[int(kept["best"][0, 0]) - 1]
    for name, array in kept["weights"].items():
        np.testing.assert_allclose(array[0, 0], expected[name], rtol=close, atol=close, err_msg=name)


# A whole run


@pytest.mark.parametrize("centre", ["window", "series"])
@pytest.mark.parametrize("hidden", [8, (7, 5)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_that_of_a_plain_loop(kind: str, hidden: Any, centre: Any) -> None:
    how: dict[str, Any] = {"batch_size": 32, "learning_rate": 0.01, "early_stopping": False}
    model = KINDS[kind](WINDOW, hidden, epochs=5, centre=centre, **how)
    check(*both(model, waves(), lambda p: torch.optim.Adam(p, lr=0.01), batch_size=32))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_direct_nets_is_that_of_a_plain_loop(kind: str) -> None:
    model = KINDS[kind](WINDOW, 6, "direct", epochs=4, batch_size=16, early_stopping=False)
    check(*both(model, waves(), lambda p: torch.optim.Adam(p, lr=1e-3), batch_size=16, steps=3))


def test_all_rows_train_where_none_validate() -> None:
    model = MLP(WINDOW, 5, epochs=4, batch_size=20, validation=0, early_stopping=False)
    fitted, course = both(model, waves(), lambda p: torch.optim.Adam(p, lr=1e-3), batch_size=20)
    assert np.isnan(course.losses[:, 1]).all()
    assert fitted.state_["fit"]["windows"].tolist() == [70 + 55 - 2 * WINDOW]
    check(fitted, course)


# Optimisers, schedules, penalties

OPTIONS: dict[str, dict[str, Any]] = {
    "adadelta": {"rho": 0.8},
    "adagrad": {"lr_decay": 0.1},
    "adam": {"betas": (0.8, 0.95), "eps": 1e-6, "amsgrad": True},
    "adamax": {"betas": (0.7, 0.99)},
    "adamw": {"weight_decay": 0.1},
    "asgd": {"lambd": 1e-3, "t0": 2},
    "lbfgs": {"max_iter": 3, "history_size": 4},
    "nadam": {"momentum_decay": 0.01},
    "radam": {"weight_decay": 0.01},
    "rmsprop": {"alpha": 0.9, "momentum": 0.5, "centered": True},
    "rprop": {"etas": (0.6, 1.3)},
    "sgd": {"momentum": 0.9, "nesterov": True},
}


@pytest.mark.parametrize("options", ["usual", "given"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_are_those_of_torch(name: str, options: str) -> None:
    given = OPTIONS[name] if options == "given" else {}
    rate = {"adadelta": 0.5, "lbfgs": 0.1}.get(name, 0.01)
    size = None if name == "lbfgs" else 40
    model = RNN(
        WINDOW, 6, epochs=6 if size else 3, batch_size=size or "full", early_stopping=False,
        optimizer=name, optimizer_options=given, learning_rate=rate,
    )  # fmt: skip
    made = getattr(torch.optim, OPTIMIZERS[name])
    # lbfgs evaluates dozens of times an epoch, each from what rounding left of the last.
    check(*both(model, waves(), lambda p: made(list(p), lr=rate, **given), batch_size=size), 2e-5 if size else 1e-3)


RATES = {
    "constant": lambda e: 1.0,
    "cosine": lambda e: 0.5 * (1 + np.cos(np.pi * e / 6)),
    "exponential": lambda e: 0.01 ** (e / 6),
    "linear": lambda e: 1 - e / 6,
    "step": lambda e: (1.0, 1.0, 0.1, 0.1, 0.01, 0.01)[e],
}


@pytest.mark.parametrize("schedule", RATES)
def test_schedules_set_the_rate_of_each_epoch(schedule: str) -> None:
    rates = [0.02 * RATES[schedule](e) for e in range(6)]
    model = MLP(WINDOW, 5, epochs=6, learning_rate=0.02, schedule=schedule, early_stopping=False)
    fitted, course = both(model, waves(), lambda p: torch.optim.Adam(p, lr=0.02), batch_size=32, rates=rates)
    check(fitted, course)
    np.testing.assert_allclose(fitted.history_["learning_rate"], rates, rtol=1e-12)


@pytest.mark.parametrize(
    "how", [{"l1": 0.01}, {"l2": 0.03}, {"clip": 0.05}, {"l1": 0.002, "l2": 0.01, "clip": 0.3}], ids=str
)
def test_penalties_spare_biases_and_gradients_are_clipped(how: dict[str, float]) -> None:
    model = LSTM(WINDOW, 5, epochs=5, optimizer="sgd", learning_rate=0.3, early_stopping=False, **how)
    penalty = how.get("l1", 0.0), how.get("l2", 0.0)
    check(*both(
        model, waves(), lambda p: torch.optim.SGD(p, lr=0.3), batch_size=32, penalty=penalty, clip=how.get("clip")
    ))  # fmt: skip


def huber(predicted: Any, target: Any) -> Any:
    return torch.nn.functional.huber_loss(predicted, target, delta=1.0)


@pytest.mark.parametrize(("name", "loss"), [("mae", torch.nn.functional.l1_loss), ("huber", huber)])
def test_losses_are_those_of_torch(name: str, loss: Any) -> None:
    model = GRU(WINDOW, 5, epochs=4, loss=name, learning_rate=0.01, early_stopping=False)
    check(*both(model, waves(), lambda p: torch.optim.Adam(p, lr=0.01), batch_size=32, loss=loss))


@pytest.mark.parametrize("name", ["msle", "mape"])
def test_relative_losses_are_taken_in_units_of_the_data(name: str) -> None:
    """The loss of an untrained net, by hand: of logarithms of 1 + y, and of errors in shares of y."""
    y = waves()[0].y - 9
    y = np.abs(y) if name == "msle" else y
    model = MLP(
        WINDOW, 4, loss=name, optimizer="sgd", learning_rate=1e-30, epochs=1, validation=0, early_stopping=False
    )  # fmt: skip
    fitted = model.fit(Panel.from_arrays([y], freq="D", start="2024-01-01"))
    twin = Twin("mlp", 1, (4,), window=WINDOW, activation="relu").take(fitted.state_["fit"]["weights"])
    rows = examples([series(y)], WINDOW, validation=0)
    with torch.no_grad():
        said = twin(torch.tensor(np.array([e.x for e in rows]), dtype=torch.float32)).numpy()[:, 0] * y.std() + y.mean()
    actual = y[WINDOW:]
    if name == "msle":
        expected = (np.log1p(np.maximum(said, 0)) - np.log1p(actual)) ** 2
    else:
        expected = np.abs(said - actual) / np.maximum(np.abs(actual), 1e-3 * y.std())
    assert fitted.history_["loss"].item() == pytest.approx(expected.mean(), rel=1e-4)
