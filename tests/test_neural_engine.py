"""Many nets at once: in tiles or in turn, in any company, from several seeds, stopped at different epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from neural_twin import Twin, batch, examples, series

from tsforecast.errors import FitWarning
from tsforecast.models.neural import CNN, GRU, LSTM, MLP, RNN, devices, nets
from tsforecast.models.neural.settings import settings
from tsforecast.panel import Panel

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU, "mlp": MLP, "cnn": CNN}
WINDOW = 6
H = 3


def waves(n: int = 9, seed: int = 0) -> list[np.ndarray]:
    """Series of several lengths and levels."""
    rng = np.random.default_rng(seed)
    lengths = 50 + np.arange(n) * 7 % 23
    return [
        100.0 * (i + 1) + 3 * np.sin(2 * np.pi * (np.arange(t) + i) / 7) + rng.normal(size=t)
        for i, t in enumerate(lengths)
    ]


def panel(many: list[np.ndarray], ids: Any = None, **rest: Any) -> Panel:
    return Panel.from_arrays(many, ids=ids, freq="D", start="2024-01-01", **rest)


def points(model: Any, data: Panel, h: int = H) -> np.ndarray:
    return model.fit(data, h=h).predict(h)[model.name].to_numpy().reshape(-1, h)


def weights(model: Any) -> dict[str, np.ndarray]:
    kept: dict[str, np.ndarray] = model.state_["fit"]["weights"]
    return kept


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


# Tiles


@pytest.mark.parametrize("loss", ["mse", "pinball"])
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_and_loops_agree(kind: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = "direct" if loss == "pinball" else "recursive"
    how: dict[str, Any] = {"scope": "series", "epochs": 6, "learning_rate": 0.01, "loss": loss, "dropout": 0.2}
    data, curves = panel(waves()), {}
    for tile, fused in ((1, True), (1, False), (256, False)):
        monkeypatch.setattr(devices, "engine", lambda *_, tile=tile, fused=fused: devices.Engine(tile, fused, 64, 1))
        model = KINDS[kind](WINDOW, 6, strategy, **how).fit(data, h=H)
        curves[tile, fused] = model.state_["fit"]["history"]
    for curve in curves.values():
        np.testing.assert_allclose(curve, curves[1, False], rtol=1e-5, atol=1e-5)


def test_the_engine_tiles_small_nets_and_what_steps_each_weight_alone() -> None:
    small = LSTM(14, 16, scope="series", epochs=1, batch_size=16).fit(panel(waves()))
    net = small._look(small.state_["fit"], small.panel_).net
    cpu, adam, lbfgs = torch.device("cpu"), settings(small).options, settings(LSTM(optimizer="lbfgs")).options
    assert devices.engine(net, 16, adam, cpu, None).tile > 1
    assert devices.engine(net, 16, lbfgs, cpu, None).tile == 1
    assert devices.engine(net, 1_000_000, adam, cpu, None).tile == 1


# Groups


def test_a_net_of_a_group_is_that_of_the_group_alone() -> None:
    many = waves(6)
    shop = np.array(["b", "a", "b", "b", "a", "a"], dtype=object)
    data = panel(many, list("uvwxyz"), static={"shop": shop})
    grouped = GRU(WINDOW, 5, scope="shop", epochs=4).fit(data, h=H)
    got = grouped.predict(H)["GRU"].to_numpy().reshape(-1, H)
    assert grouped.needs == ("group", "shop")
    assert sorted(set(grouped.history_["model"])) == ["a", "b"]
    for name in ("a", "b"):
        mine = np.flatnonzero(shop == name)
        few = panel([many[i] for i in mine], ["uvwxyz"[i] for i in mine], static={"shop": shop[mine]})
        np.testing.assert_allclose(got[mine], points(GRU(WINDOW, 5, scope="shop", epochs=4), few), rtol=1e-6)
    whole = points(GRU(WINDOW, 5, epochs=4), data)
    assert np.abs(whole - got).max() > 1e-3


# Seeds


@pytest.mark.parametrize("scope", ["global", "series"])
def test_an_ensemble_is_the_mean_of_its_seeds(scope: str) -> None:
    data = panel(waves(4))
    how: dict[str, Any] = {"scope": scope, "epochs": 12, "patience": 2, "learning_rate": 0.05, "dropout": 0.1}
    ensemble = LSTM(WINDOW, 5, seeds=[11, 3, 7], **how)
    got = points(ensemble, data)
    each = [LSTM(WINDOW, 5, seeds=[seed], **how).fit(data, h=H) for seed in (11, 3, 7)]
    singles = [one.predict(H)["LSTM"].to_numpy().reshape(-1, H) for one in each]
    np.testing.assert_allclose(got, np.mean(singles, axis=0), rtol=1e-6)
    assert np.ptp(singles, axis=0).min() > 0
    curves = ensemble.history_
    for seed, one in zip((11, 3, 7), each, strict=True):
        mine = curves[curves["seed"] == seed].reset_index(drop=True)
        np.testing.assert_allclose(mine["loss"], one.history_["loss"], rtol=1e-5)
        np.testing.assert_array_equal(mine["best"], one.history_["best"])


def test_seeds_by_number_count_from_the_seed() -> None:
    data = panel(waves(3))
    by_number = points(MLP(WINDOW, 4, seeds=2, seed=5, epochs=2), data)
    np.testing.assert_array_equal(by_number, points(MLP(WINDOW, 4, seeds=(5, 6), epochs=2), data))
    assert np.all(by_number != points(MLP(WINDOW, 4, seeds=2, seed=6, epochs=2), data))


@pytest.mark.parametrize("kind", KINDS)
def test_runs_repeat_to_the_byte_and_leave_the_process_as_it_was(kind: str) -> None:
    data = panel(waves(3))
    how: dict[str, Any] = {"epochs": 3, "dropout": 0.3, "jitter": 0.1, "magnitude": 0.1, "sample": 30}
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    torch.set_num_threads(2)
    first = KINDS[kind](WINDOW, 4, **how).fit(data, h=H)
    table = first.predict(H)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[2])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    torch.rand(7)
    np.random.rand(3)  # noqa: NPY002
    second = KINDS[kind](WINDOW, 4, **how).fit(data, h=H)
    same(weights(first), weights(second))
    assert table.equals(second.predict(H))


def test_threads_are_given_back_when_a_fit_fails() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(Exception, match="optimizer_options"):
            MLP(WINDOW, 4, optimizer_options={"speed": 1}).fit(panel(waves(2)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# Early stopping


@pytest.mark.parametrize("scope", ["global", "series"])
@pytest.mark.parametrize("kind", ["rnn", "mlp"])
def test_the_weights_kept_are_those_of_the_best_epoch(kind: str, scope: str) -> None:
    many = waves(4)
    how: dict[str, Any] = {"scope": scope, "epochs": 60, "patience": 4, "learning_rate": 0.08, "missing": "refuse"}
    model = KINDS[kind](WINDOW, 8, **how).fit(panel(many))
    state, curves = model.state_["fit"], model.history_
    rows = examples([series(y) for y in many], WINDOW)
    stopped = []
    for g, (_, curve) in enumerate(curves.groupby("model", sort=False)):
        judges = [e for e in rows if e.validates and (scope == "global" or e.owner == g)]
        twin = Twin(kind, 1, (8,), window=WINDOW, activation="relu" if kind == "mlp" else "tanh")
        x, _, target = batch(judges)
        with torch.no_grad():
            again = float(((twin.take(state["weights"], g)(x) - target) ** 2).mean())
        assert again == pytest.approx(curve["validation_loss"].min(), rel=1e-5)
        best = curve["epoch"][curve["best"]].item()
        assert best == curve["validation_loss"].to_numpy().argmin() + 1
        assert len(curve) == min(60, best + 4)
        assert curve["epoch"].tolist() == list(range(1, len(curve) + 1))
        stopped.append(len(curve))
    assert min(stopped) < 60
    if scope == "series":
        assert len(set(stopped)) > 1


def test_without_early_stopping_the_last_epoch_is_kept() -> None:
    data = panel(waves(2))
    model = RNN(WINDOW, 8, epochs=30, learning_rate=0.1, early_stopping=False).fit(data)
    curve = model.history_
    assert curve["epoch"].tolist() == list(range(1, 31))
    assert curve["epoch"][curve["best"]].tolist() == [30]
    assert curve["validation_loss"].notna().all()
    assert curve["validation_loss"].argmin() != 29


def test_a_net_with_validation_rows_sees_none_of_them_in_training() -> None:
    one = waves(1)
    changed = [one[0].copy()]
    changed[0][-10:] += 50
    kept = [
        RNN(WINDOW, 5, epochs=5, early_stopping=False, validation=10).fit(panel(y)).state_["fit"]
        for y in (one, changed)
    ]
    same(kept[0]["weights"], kept[1]["weights"])
    np.testing.assert_array_equal(kept[0]["centre"], kept[1]["centre"])
    assert np.all(kept[0]["history"][0, 0, :, 1] < kept[1]["history"][0, 0, :, 1])


def test_presets_set_what_is_not_given() -> None:
    data = panel(waves(2))
    notes = LSTM(WINDOW, 4, preset="notes", learning_rate=1e-6).fit(data)
    lengths = np.array([50, 57])
    # 25 epochs of batches of 32; a quarter of the rows validates.
    assert len(notes.history_) == 25
    windows = int((lengths - np.floor(lengths * 0.25) - WINDOW).sum())
    assert notes.describe()["training_windows"] == windows
    assert notes.describe()["steps_an_epoch"] == -(-windows // 32)
    given = LSTM(WINDOW, 4, preset="notes", epochs=2, batch_size=7).fit(data)
    assert given.history_["epoch"].max() == 2
    assert given.describe()["steps_an_epoch"] == -(-windows // 7)


def test_a_sample_takes_so_many_windows_an_epoch() -> None:
    model = MLP(WINDOW, 4, epochs=2, batch_size=8, sample=20).fit(panel(waves(3)))
    assert model.describe()["steps_an_epoch"] == 3
    assert nets.MULTIPLE == 16


def test_noise_and_sizes_of_windows_have_the_spread_that_is_set() -> None:
    """Of a net that says nothing but a constant, losses tell what became of the targets; of a linear one, of the rows.

    Its target times a factor 1 + 0.5 z has 1 + 0.25 times the mean square; a row with noise of 0.5 adds the squares of
    the weights times 0.25.
    """
    y = waves(1)[0].repeat(40)
    data = panel([np.random.default_rng(0).permutation(y)])
    how: dict[str, Any] = {
        "activation": "identity", "optimizer": "sgd", "learning_rate": 1e-30, "epochs": 1, "validation": 0,
        "early_stopping": False, "centre": "series", "sample": "all",
    }  # fmt: skip
    plain, noisy, sized = (MLP(2, 3, **how, **more).fit(data) for more in ({}, {"jitter": 0.5}, {"magnitude": 0.5}))
    losses = [one.history_["loss"].item() for one in (plain, noisy, sized)]
    kept = weights(plain)
    slopes = kept["dense0.weight"][0, 0] @ kept["head.weight"][0, 0]
    constant = float(kept["dense0.bias"][0, 0] @ kept["head.weight"][0, 0, :, 0] + kept["head.bias"][0, 0, 0])
    assert losses[1] - losses[0] == pytest.approx(0.25 * float((slopes**2).sum()), rel=0.25)
    # Rows and target grow alike, and so does the error, but for the constant.
    assert losses[2] == pytest.approx(1.25 * (losses[0] - constant**2) + constant**2, rel=0.05)


def test_progress_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    MLP(WINDOW, 4, epochs=3, progress=True, alias="net").fit(panel(waves(2)))
    said = capsys.readouterr()
    assert said.out == ""
    assert "net" in said.err
    assert "3/3" in said.err


def test_series_that_lie_far_off_are_set_aside_and_told() -> None:
    many, ids = waves(6), list("abcdef")
    before = points(RNN(WINDOW, 5, epochs=4), panel([y for i, y in enumerate(many) if i != 3], list("abcef")))
    many[3] = many[3].copy()
    many[3][20] = 1e9
    with pytest.warns(FitWarning, match=r"1 of 6 series .* without d"):
        after = points(RNN(WINDOW, 5, epochs=4), panel(many, ids))
    np.testing.assert_allclose(after[[0, 1, 2, 4, 5]], before, rtol=1e-6)
    assert np.isfinite(after[3]).all()
