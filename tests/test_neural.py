"""Forecasts of networks by hand: which row stands where in a window, what is fed back, in which units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch
from builders import table
from neural_twin import Series, Twin, examples, series, standard

from tsforecast.models.neural import CNN, GRU, LSTM, MLP, RNN
from tsforecast.panel import Panel

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU, "mlp": MLP, "cnn": CNN}
RECURRENT = ("rnn", "lstm", "gru")
WINDOW = 6
H = 4
LENGTHS = (60, 48)


def made(seed: int = 0, past: int = 0, known: int = 0) -> list[Series]:
    """Series with random columns: the first known one is a flag."""
    rng = np.random.default_rng(seed)
    found = []
    for i, t in enumerate(LENGTHS):
        y = 50.0 * (i + 1) + 3 * np.sin(2 * np.pi * np.arange(t + H) / 7) + rng.normal(size=t + H)
        columns = 7 + 4 * rng.normal(size=(t + H, known))
        columns[:, :1] = rng.integers(0, 2, size=columns[:, :1].shape)
        found.append(series(y, 100 + 20 * rng.normal(size=(t + H, past)), columns))
    return found


def split(many: list[Series]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of all but the last H rows, and of those: columns p0 ... and k0 ..."""
    parts = []
    for i, one in enumerate(many):
        columns = {f"p{j}": one.past[:, j] for j in range(one.past.shape[1])}
        columns |= {f"k{j}": one.known[:, j] for j in range(one.known.shape[1])}
        parts.append(table(one.y, ids=[f"s{i}"], **columns))
    history = pd.concat([part.iloc[:-H] for part in parts], ignore_index=True)
    future = pd.concat([part.iloc[-H:] for part in parts], ignore_index=True)
    return history, future.drop(columns=["y", *[c for c in future if c.startswith("p")]])


def history(many: list[Series]) -> list[Series]:
    return [Series(*(part[:-H] for part in one)) for one in many]


def fitted(kind: str, many: list[Series], strategy: str, **how: Any) -> tuple[Any, np.ndarray]:
    """A model of two epochs, and its forecast (n, H)."""
    past, known = many[0].past.shape[1], many[0].known.shape[1]
    columns = {"past": tuple(f"p{j}" for j in range(past)), "known": tuple(f"k{j}" for j in range(known))}
    data, future = split(many)
    model = KINDS[kind](WINDOW, 5, strategy, epochs=2, learning_rate=0.02, **columns, **how).fit(data, h=H)
    table_ = model.predict(H, future=future if known else None)
    return model, table_[model.name].to_numpy().reshape(-1, H)


def twin_of(kind: str, model: Any, inputs: int, outputs: int, told: int) -> Twin:
    activation = "relu" if kind in ("mlp", "cnn") else "tanh"
    twin = Twin(kind, inputs, (5,), outputs, window=WINDOW, told=told, activation=activation)
    return twin.take(model.state_["fit"]["weights"])


def told_by(twin: Twin, x: Any, ahead: Any) -> np.ndarray:
    given = None if ahead is None or not np.size(ahead) else torch.tensor(np.ravel(ahead)[None], dtype=torch.float32)
    with torch.no_grad():
        return twin(torch.tensor(np.asarray(x)[None], dtype=torch.float32), given).numpy()[0].astype(float)


def in_units(one: Series) -> tuple[Any, Any, Any, float, float]:
    """Scaled y of the history, past and known columns, and the units of y, from training rows alone."""
    rows = len(one.y) - H
    train = slice(0, rows - int(rows * 0.2))
    mean, sd = one.y[train].mean(), one.y[train].std()
    past, known = ((part - standard(part[train])[0]) / standard(part[train])[1] for part in (one.past, one.known))
    return (one.y[:rows] - mean) / sd, past, known, mean, sd


# By hand


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_recursive_forecasts_feed_back_what_they_say(kind: str, known: int) -> None:
    many = made(known=known)
    model, got = fitted(kind, many, "recursive")
    apart = kind == "mlp"
    twin = twin_of(kind, model, 1 if apart else 1 + known, 1, known if apart else 0)
    for one, said in zip(many, got, strict=True):
        y, _, columns, mean, sd = in_units(one)
        track = list(y)
        for _ in range(H):
            t = len(track)
            x = [[track[r], *([] if apart else columns[r + 1])] for r in range(t - WINDOW, t)]
            track.append(told_by(twin, x, columns[t] if apart else None)[0])
        np.testing.assert_allclose(said, np.array(track[-H:]) * sd + mean, rtol=1e-6)


@pytest.mark.parametrize(("past", "known"), [(0, 0), (2, 0), (0, 2), (1, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_direct_forecasts_are_one_pass(kind: str, past: int, known: int) -> None:
    many = made(past=past, known=known)
    model, got = fitted(kind, many, "direct")
    apart = kind == "mlp"
    told = known * (H if apart else H - 1)
    twin = twin_of(kind, model, 1 + past + (0 if apart else known), H, told)
    for one, said in zip(many, got, strict=True):
        y, before, columns, mean, sd = in_units(one)
        end = len(y)
        x = [[y[t], *before[t], *([] if apart else columns[t + 1])] for t in range(end - WINDOW, end)]
        ahead = columns[end:] if apart else columns[end + 1 :]
        np.testing.assert_allclose(said, told_by(twin, x, ahead) * sd + mean, rtol=1e-6)


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_are_those_of_windows_made_one_by_one(kind: str, strategy: str) -> None:
    """At a rate that moves nothing: mean squared errors of the untrained net on both sets of windows."""
    past = 1 if strategy == "direct" else 0
    many, steps = made(past=past, known=2), H if strategy == "direct" else 1
    columns = {"past": ("p0",) * past, "known": ("k0", "k1")}
    how: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-30, "epochs": 1}
    model = KINDS[kind](WINDOW, 5, strategy, **columns, **how).fit(split(many)[0], h=H)
    apart = kind == "mlp"
    rows = examples(history(many), WINDOW, steps, apart=apart)
    twin = twin_of(kind, model, rows[0].x.shape[1], steps, len(rows[0].ahead))
    for place, validates in enumerate((False, True)):
        each = [np.mean((told_by(twin, e.x, e.ahead) - e.target) ** 2) for e in rows if e.validates is validates]
        assert model.history_.iloc[0][["loss", "validation_loss"]].iloc[place] == pytest.approx(np.mean(each), rel=1e-5)
    assert model.describe()["training_windows"] == sum(not e.validates for e in rows)


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_direct_and_recursive_are_one_net_at_the_next_step(kind: str, known: int) -> None:
    data, future = split(made(known=known))
    names = tuple(f"k{j}" for j in range(known))
    got = []
    for strategy in ("recursive", "direct"):
        model = KINDS[kind](WINDOW, 5, strategy, epochs=3, known=names).fit(data, h=1)
        got.append(model.predict(1, future=future if known else None)[model.name].to_numpy())
    np.testing.assert_array_equal(got[0], got[1])


# Columns that say everything

LONG: dict[str, Any] = {"epochs": 16, "learning_rate": 0.03, "schedule": "linear", "batch_size": 16, "validation": 0}
LONG |= {"early_stopping": False}


def rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


@pytest.mark.parametrize("strategy", ["recursive", "direct", "sequence"])
@pytest.mark.parametrize("kind", KINDS)
def test_known_columns_stand_at_the_step_they_speak_of(kind: str, strategy: str) -> None:
    """The target is the known column of its own row, which is noise: at any other row it says nothing."""
    if strategy == "sequence" and kind not in RECURRENT:
        return
    rng = np.random.default_rng(1)
    known = rng.normal(size=(250 + H, 1))
    many = [series(20 + 3 * known[:, 0], known=known)]
    data, future = split(many)
    model = KINDS[kind](4, 12, strategy, known=("k0",), **LONG)
    got = model.fit(data, h=H).predict(H, future=future)[model.name].to_numpy()
    assert rms(got - many[0].y[-H:]) < 0.5
    shuffled = future.assign(k0=future["k0"].to_numpy()[::-1])
    turned = model.predict(H, future=shuffled)[model.name].to_numpy()
    assert rms(turned - many[0].y[-H:][::-1]) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_past_columns_stand_at_their_own_row(kind: str) -> None:
    """The target is what the past column said the row before."""
    rng = np.random.default_rng(2)
    past = rng.normal(size=(250 + H, 1))
    y = np.concatenate([[0.0], 20 + 3 * past[:-1, 0]])
    many = [series(y, past=past)]
    model = KINDS[kind](4, 12, past=("p0",), **LONG)
    got = model.fit(split(many)[0].iloc[1:], h=1).predict(1)[model.name].to_numpy()
    assert rms(got - y[-H]) < 0.5


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
def test_calendar_columns_are_known_columns(strategy: str) -> None:
    data, _ = split(made())
    by_calendar = GRU(WINDOW, 5, strategy, calendar="weekday", epochs=3).fit(data, h=H)
    columns = by_calendar.describe()["known"]
    assert len(columns) == 7
    order = [next(w for w in range(7) if WEEK[w] in c.lower()) for c in columns]
    by_hand = GRU(WINDOW, 5, strategy, known=tuple(WEEK[w] for w in order), epochs=3).fit(weekdays(data), h=H)
    future = weekdays(by_hand.make_future(H))
    np.testing.assert_array_equal(by_calendar.predict(H)["GRU"], by_hand.predict(H, future=future)["GRU"])


WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def weekdays(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: (frame["ds"].dt.day_of_week == w).astype(float) for w, name in enumerate(WEEK)})


def test_text_columns_are_indicators_or_embedded() -> None:
    rng = np.random.default_rng(3)
    data, future = split(made())
    labels = np.array(["none", "sale", "big"])
    told = labels[rng.integers(0, 3, len(data))], labels[rng.integers(0, 3, len(future))]
    hot = [{f"h{j}": (t == label).astype(float) for j, label in enumerate(sorted(labels))} for t in told]
    by_text = LSTM(WINDOW, 5, known=("promo",), epochs=3).fit(data.assign(promo=told[0]), h=H)
    by_hand = LSTM(WINDOW, 5, known=("h0", "h1", "h2"), epochs=3).fit(data.assign(**hot[0]), h=H)
    got = by_text.predict(H, future=future.assign(promo=told[1]))["LSTM"]
    np.testing.assert_array_equal(got, by_hand.predict(H, future=future.assign(**hot[1]))["LSTM"])
    embedded = LSTM(WINDOW, 5, known=("promo",), embed=2, epochs=3).fit(data.assign(promo=told[0]), h=H)
    # Three labels told by two numbers each instead of three indicators: one column less in four gates of five units.
    assert embedded.n_parameters_ == by_text.n_parameters_ - 4 * 5 + 3 * 2
    assert embedded.predict(H, future=future.assign(promo=told[1]))["LSTM"].notna().all()


def test_static_columns_enter_in_units_and_as_indicators() -> None:
    y = [np.sin(np.arange(50) * 0.9) + i for i in range(4)]
    static = {"size": np.array([3.0, 5.0, 9.0, 1.0]), "kind": np.array(["b", "a", "c", "a"], dtype=object)}
    data = Panel.from_arrays(y, freq="D", start="2024-01-01", static=static)
    model = MLP(WINDOW, 5, static=("size", "kind"), epochs=2).fit(data)
    assert model.n_parameters_ == (WINDOW + 1 + 3) * 5 + 5 + 5 + 1
    twin = Twin("mlp", 1, (5,), 1, window=WINDOW, told=4, activation="relu").take(model.state_["fit"]["weights"])
    size = (static["size"] - static["size"].mean()) / static["size"].std()
    got = model.predict(1)["MLP"].to_numpy()
    for i, one in enumerate(y):
        train = one[: 50 - 10]
        told = [size[i], *(float(static["kind"][i] == label) for label in "abc")]
        x = (one[-WINDOW:, None] - train.mean()) / train.std()
        assert got[i] == pytest.approx(told_by(twin, x, told)[0] * train.std() + train.mean(), rel=1e-5)


def test_a_static_number_lets_one_net_tell_series_apart() -> None:
    """Series that look alike and go on by the sign that only the static column tells."""
    rng = np.random.default_rng(4)
    sign = np.array([1.0, -1.0] * 6)
    noise = rng.normal(size=(12, 120))
    y = np.zeros((12, 120))
    for t in range(1, 120):
        y[:, t] = sign * 0.9 * y[:, t - 1] + noise[:, t]
    data = Panel.from_arrays(y, freq="D", start="2024-01-01", static={"sign": sign})
    ends = {}
    for static in ((), ("sign",)):
        model = MLP(1, 16, static=static, preset="fast", learning_rate=0.02, scaling="none", centre="series")
        model.fit(data)
        ends[static] = model.predict(1)["MLP"].to_numpy() - sign * 0.9 * y[:, -1]
    assert np.abs(ends["sign",]).mean() < 0.25 * np.abs(ends[()]).mean()


# Scaling


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "none"])
def test_units_come_from_training_rows_alone(scaling: str) -> None:
    many = made()
    data = split(many)[0]
    model = MLP(WINDOW, 4, scaling=scaling, epochs=1).fit(data)
    for i, one in enumerate(history(many)):
        train = one.y[: len(one.y) - int(len(one.y) * 0.2)]
        low, middle, high = np.percentile(train, [25, 50, 75])
        centre, scale = {
            "standard": (train.mean(), train.std()),
            "minmax": (train.min(), np.ptp(train)),
            "robust": (middle, high - low),
            "none": (0.0, 1.0),
        }[scaling]
        kept = model.state_["fit"]
        assert kept["centre"][i, 0] == pytest.approx(centre)
        assert kept["scale"][i, 0] == pytest.approx(scale)


@pytest.mark.parametrize("scope", ["global", "series"])
def test_forecasts_move_with_level_and_size(scope: str) -> None:
    data = split(made())[0]
    how: dict[str, Any] = {"scope": scope, "epochs": 3}
    plain = GRU(WINDOW, 4, **how).fit(data).predict(H)["GRU"]
    moved = GRU(WINDOW, 4, **how).fit(data.assign(y=1e6 + 512 * data["y"])).predict(H)["GRU"]
    np.testing.assert_allclose((moved - 1e6) / 512, plain, rtol=1e-4)
