"""Networks in use: intervals, horizons, newer rows, transfer, hidden states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch
from neural_twin import Twin
from test_neural_engine import WINDOW, panel, points, same, waves, weights

import tsforecast
from tsforecast.errors import ConfigError, FutureError, NotFittedError
from tsforecast.intervals import Conformal
from tsforecast.models.neural import GRU, LSTM, MLP, RNN, training

H = 3


def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the nets of every training from here on."""
    counts: list[int] = []
    original = training.train

    def counted(net: Any, options: Any, rows: Any, tasks: Any, *rest: Any) -> Any:
        counts.append(len(tasks))
        return original(net, options, rows, tasks, *rest)

    monkeypatch.setattr(training, "train", counted)
    return counts


# Intervals


@pytest.mark.parametrize("strategy", ["direct", "sequence"])
def test_quantiles_never_cross_and_cover(strategy: str) -> None:
    rng = np.random.default_rng(0)
    rows = [10 + rng.normal(size=260) * (i + 1) for i in range(30)]
    model = GRU(4, 8, strategy, loss="pinball", quantiles=(0.05, 0.25, 0.5, 0.75, 0.95), preset="fast")
    model.set_params(learning_rate=0.01, batch_size=64).fit(panel([y[:-H] for y in rows]), h=H)
    table = model.predict(levels=(50, 90))
    low90, low50, middle, high50, high90 = (
        table[c].to_numpy().reshape(-1, H) for c in ("GRU-lo-90", "GRU-lo-50", "GRU", "GRU-hi-50", "GRU-hi-90")
    )
    assert np.all(low90 < low50)
    assert np.all(low50 < middle)
    assert np.all(middle < high50)
    assert np.all(high50 < high90)
    actual = np.array([y[-H:] for y in rows])
    assert 0.80 <= np.mean((low90 <= actual) & (actual <= high90)) <= 0.98
    assert 0.36 <= np.mean((low50 <= actual) & (actual <= high50)) <= 0.64
    # Of the normal law with a standard deviation that grows with the series.
    assert np.median((high90 - low90)[:, 0] / (2 * 1.645 * np.arange(1, 31))) == pytest.approx(1.0, abs=0.15)


def test_levels_that_were_not_learned_are_told() -> None:
    model = RNN(WINDOW, 4, loss="pinball", quantiles=(0.1, 0.5, 0.9), epochs=1).fit(panel(waves(2)), h=H)
    with pytest.raises(ConfigError, match=r"learned the levels 80, not 95: .*quantiles=\(0.025, 0.5, 0.975\)"):
        model.predict(levels=(95,))
    model.set_params(intervals=Conformal(10)).fit(panel(waves(2)), h=H)
    assert model.predict(levels=(75,))["RNN-lo-75"].notna().all()


@pytest.mark.parametrize("scope", ["global", "series"])
@pytest.mark.parametrize("strategy", ["recursive", "direct"])
def test_conformal_errors_are_those_of_validation_rows_without_a_refit(
    strategy: str, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = waves(3)
    counts = trained(monkeypatch)
    model = MLP(WINDOW, 4, strategy, scope=scope, epochs=3, validation=0.3).fit(panel(many), h=H)
    assert counts == [1 if scope == "global" else 3]
    table = model.predict(levels=(50,))
    half = (table["MLP-hi-50"] - table["MLP-lo-50"]).to_numpy().reshape(-1, H) / 2
    errors = by_hand(model, many, 0.3)
    if scope == "global":  # pooled in units of each series' own mean absolute error
        sizes = np.array([np.nanmean(np.abs(e)) for e in errors])
        pool = np.concatenate([np.abs(e) / s for e, s in zip(errors, sizes, strict=True)])
        expected = [[half_of(pool[:, s]) * size for s in range(H)] for size in sizes]
    else:
        expected = [[half_of(np.abs(e[:, s])) for s in range(H)] for e in errors]
    np.testing.assert_allclose(half, expected, rtol=1e-5)


def by_hand(model: Any, many: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Errors (origins, H) of the twin from each origin among the last rows, as far as the rows go."""
    found = []
    for i, y in enumerate(many):
        own, held = 0 if model.scope == "global" else i, int(len(y) * share)
        flagged = bool(model.state_["fit"]["flagged"])
        outputs = H if model.strategy == "direct" else 1
        twin = Twin("mlp", 1 + flagged, (4,), outputs, window=WINDOW, activation="relu", seen=1 if flagged else None)
        twin.take(model.state_["fit"]["weights"], own)
        train = y[: len(y) - held]
        scaled = (y - train.mean()) / train.std()
        errors = []
        # A net for each series has few errors: it takes those whose last steps are not known yet as well.
        nearest = 1 if model.scope == "series" else H
        for origin in range(len(y) - held, len(y) - nearest + 1):
            track = list(scaled[:origin])
            while len(track) < origin + H:
                rows = [[v, 1.0][: 1 + flagged] for v in track[-WINDOW:]]
                with torch.no_grad():
                    track += twin(torch.tensor([rows], dtype=torch.float32)).numpy()[0].tolist()
            said = np.array(track[origin : origin + H]) * train.std() + train.mean()
            actual = np.concatenate([y[origin : origin + H], np.full(H, np.nan)])[:H]
            errors.append(actual - said)
        found.append(np.array(errors))
    return found


def half_of(sizes: np.ndarray) -> float:
    """The conformal quantile at 50 %: the ceil((m + 1) / 2)-th smallest."""
    ordered = np.sort(sizes[np.isfinite(sizes)])
    return float(ordered[int(np.ceil((len(ordered) + 1) * 0.5)) - 1])


def test_without_validation_rows_no_interval_is_made_up() -> None:
    model = MLP(WINDOW, 4, epochs=2, validation=0, early_stopping=False).fit(panel(waves(2)), h=H)
    with pytest.raises(ConfigError, match="needs at least"):
        model.predict(levels=(80,))


# The horizon


@pytest.mark.parametrize("strategy", ["direct", "sequence"])
def test_fewer_steps_are_the_first_of_all(strategy: str) -> None:
    model = LSTM(WINDOW, 4, strategy, scope="series", calendar="weekday", epochs=2).fit(panel(waves(3)), h=5)
    whole = model.predict(levels=(50,)).groupby("unique_id").head(2).reset_index(drop=True)
    pd.testing.assert_frame_equal(model.predict(2, levels=(50,)), whole)
    with pytest.raises(ConfigError, match=r"fitted for h=5; fit\(data, h=6\)"):
        model.predict(6)


def test_known_columns_of_all_steps_are_asked_for() -> None:
    many = waves(2)
    promo = np.random.default_rng(0).normal(size=sum(map(len, many)))
    model = GRU(WINDOW, 4, "direct", known=("promo",), epochs=1).fit(panel(many, columns={"promo": promo}), h=4)
    future = model.make_future(4).assign(promo=0.5)
    got = model.predict(2, future=future)
    pd.testing.assert_frame_equal(
        got, model.predict(4, future=future).groupby("unique_id").head(2).reset_index(drop=True)
    )
    with pytest.raises(FutureError, match=r"future lacks 4 rows.*make_future\(4\)"):
        model.predict(2, future=model.make_future(2).assign(promo=0.5))


def test_direct_nets_need_the_horizon() -> None:
    with pytest.raises(ConfigError, match=r"fit\(data, h=\.\.\.\)"):
        LSTM(WINDOW, 4, "direct", epochs=1).fit(panel(waves(2)))
    with pytest.raises(ConfigError, match=r"fit\(data, h=\.\.\.\)"):
        LSTM(WINDOW, 4, loss="pinball", epochs=1).fit(panel(waves(2)))


def test_sequence_nets_learn_at_every_step() -> None:
    """The loss of an untrained net: of what follows each row of a window, and the steps after it."""
    y = waves(1)[0]
    how: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-30, "epochs": 1, "validation": 0}
    model = GRU(WINDOW, 4, "sequence", early_stopping=False, **how).fit(panel([y]), h=1)
    scaled = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
    twin = Twin("gru", 1, (4,), centred=False).take(weights(model))
    errors = []
    with torch.no_grad():
        for first in range(len(y) - WINDOW):
            states = twin.body[0](scaled[None, first : first + WINDOW, None])[0]
            errors.append(((twin.head(states)[0, :, 0] - scaled[first + 1 : first + WINDOW + 1]) ** 2).mean())
    assert model.history_["loss"].item() == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)


# Newer rows


def later(many: list[np.ndarray], rows: int) -> Any:
    """The same series with `rows` more of them, of the same law."""
    rng = np.random.default_rng(9)
    return [np.concatenate([y, y[-7:].repeat(2)[:rows] + rng.normal(size=rows)]) for y in many]


def table_of(many: list[np.ndarray], ids: Any) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-01", periods=len(y)), "y": y})
        for name, y in zip(ids, many, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("scope", ["global", "series"])
def test_newer_rows_go_through_the_same_weights(scope: str) -> None:
    many, ids = waves(3), list("abc")
    longer = later(many, 5)
    model = RNN(WINDOW, 4, scope=scope, epochs=3).fit(table_of(many, ids), h=H)
    before = {name: array.copy() for name, array in weights(model).items()}
    first = model.predict(H)
    model.update(table_of(longer, ids))
    same(weights(model), before)
    # The net sees nothing but its window: one fitted elsewhere in time, with these weights, says the same.
    assert np.all(model.predict(H)["RNN"].to_numpy() != first["RNN"].to_numpy())
    np.testing.assert_array_equal(model.predict(H)["ds"] - first["ds"], np.timedelta64(5, "D"))
    back = RNN(WINDOW, 4, scope=scope, epochs=3).fit(table_of(many, ids), h=H)
    for k in range(1, 6):
        back.update(table_of([y[: len(y) - 5 + k] for y in longer], ids))
    pd.testing.assert_frame_equal(back.predict(H), model.predict(H))


@pytest.mark.parametrize("scope", ["global", "series"])
def test_finetuning_goes_on_from_the_weights(scope: str) -> None:
    many, ids = waves(3), list("abc")
    model = MLP(WINDOW, 4, scope=scope, epochs=20, learning_rate=0.01).fit(table_of(many, ids), h=H)
    before = {name: array.copy() for name, array in weights(model).items()}
    parameters = model.get_params(deep=False)
    model.update(table_of(later(many, 14), ids), finetune=3)
    moved = max(np.abs(weights(model)[name] - before[name]).max() for name in before)
    fresh = MLP(WINDOW, 4, scope=scope, epochs=3, learning_rate=0.01).fit(table_of(later(many, 14), ids), h=H)
    apart = max(np.abs(weights(fresh)[name] - before[name]).max() for name in before)
    assert 0 < moved < 0.5 * apart
    assert model.history_["epoch"].max() <= 3
    assert model.get_params(deep=False) == parameters
    assert model.predict(H)["MLP"].notna().all()


def test_new_series_are_forecast_by_the_net_of_all() -> None:
    many, ids = waves(4), list("abcd")
    model = GRU(WINDOW, 4, epochs=3).fit(table_of(many[:3], ids[:3]), h=H)
    before = {name: array.copy() for name, array in weights(model).items()}
    old = model.predict(H, levels=(80,))
    model.update(table_of(many[3:], ids[3:]))
    assert model.updated_ == ("d",)
    same(weights(model), before)
    got = model.predict(H, levels=(80,))
    pd.testing.assert_frame_equal(got.iloc[: 3 * H][old.columns[:3]], old[old.columns[:3]])
    # By hand: units of its own training rows.
    train = many[3][: len(many[3]) - int(len(many[3]) * 0.2)]
    twin = Twin("gru", 1, (4,), window=WINDOW).take(before)
    x = torch.tensor((many[3][None, -WINDOW:, None] - train.mean()) / train.std(), dtype=torch.float32)
    with torch.no_grad():
        expected = float(twin(x)) * train.std() + train.mean()
    assert got["GRU"].iloc[3 * H] == pytest.approx(expected, rel=1e-6)
    assert got["GRU-lo-80"].notna().all()


def test_new_series_get_nets_of_their_own() -> None:
    many, ids = waves(4), list("abcd")
    whole = points(RNN(WINDOW, 4, scope="series", epochs=3), panel(many, ids))
    model = RNN(WINDOW, 4, scope="series", epochs=3).fit(table_of(many[:3], ids[:3]), h=H)
    model.update(table_of(many[3:], ids[3:]))
    np.testing.assert_array_equal(model.predict(H)["RNN"].to_numpy().reshape(-1, H), whole)
    assert model.predict(H, levels=(50,)).notna().all(axis=None)
    assert sorted(set(model.history_["model"])) == ids


# Transfer


def test_a_pretrained_net_goes_on_for_other_series() -> None:
    many = waves(6)
    first = LSTM(WINDOW, 4, epochs=4).fit(panel(many[:3]))
    still = LSTM(WINDOW, 4, pretrained=first, optimizer="sgd", learning_rate=1e-30, epochs=1).fit(panel(many[3:]))
    same(weights(still), weights(first))
    own = LSTM(WINDOW, 4, scope="series", pretrained=first, missing="refuse", epochs=1, optimizer="sgd")
    own.set_params(learning_rate=1e-30).fit(panel(many[3:]))
    for name, array in weights(own).items():
        np.testing.assert_array_equal(array, np.broadcast_to(weights(first)[name], array.shape))
    moved = LSTM(WINDOW, 4, pretrained=first, epochs=2).fit(panel(many[3:]))
    assert not np.array_equal(weights(moved)["head.weight"], weights(first)["head.weight"])


def test_a_pretrained_net_survives_a_copy_and_a_file(tmp_path: Path) -> None:
    many = waves(4)
    first = GRU(WINDOW, 4, epochs=4).fit(panel(many[:2]))
    model = GRU(WINDOW, 4, pretrained=first, epochs=2)
    expected = points(model, panel(many[2:]))
    np.testing.assert_array_equal(points(model.copy(), panel(many[2:])), expected)
    model.save(tmp_path / "net.tsf")
    back = tsforecast.load(tmp_path / "net.tsf")
    np.testing.assert_array_equal(back.predict(H)["GRU"].to_numpy().reshape(-1, H), expected)
    first.save(tmp_path / "first.tsf")
    kept = GRU(WINDOW, 4, pretrained=tsforecast.load(tmp_path / "first.tsf"), epochs=2)
    np.testing.assert_array_equal(points(kept, panel(many[2:])), expected)


def test_a_pretrained_net_survives_a_clone() -> None:
    clone = pytest.importorskip("sklearn.base").clone
    many = waves(4)
    model = GRU(WINDOW, 4, pretrained=GRU(WINDOW, 4, epochs=4).fit(panel(many[:2])), epochs=2)
    np.testing.assert_array_equal(points(clone(model), panel(many[2:])), points(model, panel(many[2:])))
    with pytest.raises(NotFittedError):
        clone(model.pretrained).predict(1)


def test_encode_gives_the_last_hidden_state_of_each_row() -> None:
    many = waves(2)
    model = GRU(WINDOW, 4, epochs=2).fit(panel(many))
    table = model.encode()
    assert list(table.columns) == ["unique_id", "ds", *(f"GRU-{u}" for u in range(1, 5))]
    assert len(table) == sum(map(len, many))
    twin = Twin("gru", 1, (4,), window=WINDOW).take(weights(model))
    at = 0
    for y in many:
        train = y[: len(y) - int(len(y) * 0.2)]
        scaled = torch.tensor((y - train.mean()) / train.std(), dtype=torch.float32)
        got = table.iloc[at : at + len(y), 2:].to_numpy(float)
        assert np.isnan(got[: WINDOW - 1]).all()
        for t in (WINDOW - 1, 20, len(y) - 1):
            with torch.no_grad():
                rows = scaled[None, t + 1 - WINDOW : t + 1, None]
                state = twin.body[0](rows - rows.mean())[0][0, -1].numpy()
            np.testing.assert_allclose(got[t], state, rtol=1e-5, atol=1e-6)
        at += len(y)
