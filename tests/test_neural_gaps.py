"""Missing values in windows: flagged or refused, never silently zero; by hand against torch's own modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from builders import table
from neural_twin import Twin
from test_neural_engine import KINDS, panel, same, waves, weights

from tsforecast.errors import FitError
from tsforecast.models.neural import GRU, MLP

H = 3
QUICK: dict[str, Any] = {"window": 6, "hidden": 4, "epochs": 2}


def holes(many: list[np.ndarray], seed: int = 0, share: float = 0.1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    found = [y.copy() for y in many]
    for y in found:
        y[3:-8][rng.random(len(y) - 11) < share] = np.nan
    return found


@pytest.mark.parametrize("centre", ["window", "series"])
def test_masked_gaps_are_flagged_and_the_place_holder_is_told_apart(centre: Any) -> None:
    """By hand: flag 0 and the mean of the training rows in its place; targets without a value are left out."""
    many = holes(waves(2))
    many[0][20:28] = np.nan  # longer than a window, which then tells nothing
    still = MLP(6, 4, centre=centre, optimizer="sgd", learning_rate=1e-30, epochs=1).fit(panel(many))
    twin = Twin("mlp", 2, (4,), window=6, activation="relu", centred=centre == "window", seen=1).take(weights(still))
    losses: dict[bool, list[float]] = {False: [], True: []}
    for y in many:
        kept = len(y) - int(len(y) * 0.2)
        scaled = (y - np.nanmean(y[:kept])) / np.nanstd(y[:kept])
        rows = np.stack([np.nan_to_num(scaled), np.isfinite(y)], axis=1)
        for t in range(6, len(y)):
            if np.isfinite(y[t]) and rows[t - 6 : t, 1].any():
                with torch.no_grad():
                    said = float(twin(torch.tensor(rows[None, t - 6 : t], dtype=torch.float32)))
                losses[t >= kept].append((said - scaled[t]) ** 2)
    got = still.history_.iloc[0]
    assert got["loss"] == pytest.approx(np.mean(losses[False]), rel=1e-5)
    assert got["validation_loss"] == pytest.approx(np.mean(losses[True]), rel=1e-5)


def test_steps_without_a_value_are_left_out_of_the_loss() -> None:
    """A window of a direct net counts the steps of its target that were seen; one that refuses gaps needs them all."""
    y = holes(waves(1), share=0.2)[0]
    how: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-30, "epochs": 1, "validation": 0}
    masks, refuses = (
        MLP(4, 3, "direct", missing=word, early_stopping=False, **how).fit(panel([y]), h=H)
        for word in ("mask", "refuse")
    )
    scaled = (y - np.nanmean(y)) / np.nanstd(y)
    twin = Twin("mlp", 2, (3,), H, window=4, activation="relu", seen=1).take(weights(masks))
    errors, whole = [], 0
    for t in range(4, len(y) - H + 1):
        rows = np.stack([np.nan_to_num(scaled), np.isfinite(y)], axis=1)[t - 4 : t]
        whole += bool(np.isfinite(y[t - 4 : t + H]).all())
        if rows[:, 1].any():
            with torch.no_grad():
                said = twin(torch.tensor(rows[None], dtype=torch.float32)).numpy()[0]
            errors += [e for e in (said - scaled[t : t + H]) ** 2 if np.isfinite(e)]
    assert 0 < whole < len(y) - H - 10
    assert refuses.describe()["training_windows"] == whole
    # The loss is a mean of batches: by their weights, so that each step seen counts once.
    assert masks.history_["loss"].item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_gaps_of_past_columns_are_told_by_a_flag_and_their_mean() -> None:
    many, rng = waves(1), np.random.default_rng(0)
    x = 100 + 20 * rng.normal(size=len(many[0]))
    x[rng.random(len(x)) < 0.2] = np.nan
    how: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-30, "epochs": 1, "validation": 0}
    model = GRU(4, 3, past=("x",), early_stopping=False, **how).fit(panel(many, columns={"x": x}, n_past=1), h=1)
    twin = Twin("gru", 3, (3,)).take(weights(model))
    y = (many[0] - many[0].mean()) / many[0].std()
    columns = [y, np.nan_to_num((x - np.nanmean(x)) / np.nanstd(x)), np.isfinite(x)]
    windows = np.stack([np.stack([c[t - 4 : t] for c in columns], axis=1) for t in range(4, len(y))])
    with torch.no_grad():
        said = twin(torch.tensor(windows, dtype=torch.float32)).numpy()[:, 0]
    assert model.history_["loss"].item() == pytest.approx(np.mean((said - y[4:]) ** 2), rel=1e-5)


def test_a_missing_value_is_not_a_mean() -> None:
    """A gap says otherwise than a value that equals the place holder."""
    many = holes(waves(2))
    model = MLP(6, 8, epochs=5, learning_rate=0.05).fit(panel(many))
    centre = model.state_["fit"]["centre"][:, 0]
    ends = {}
    for word in ("missing", "mean"):
        last = [y.copy() for y in many]
        for y, mean in zip(last, centre, strict=True):
            y[-2] = np.nan if word == "missing" else mean
        spans = panel(last)
        ends[word] = model._predict(model.state_["fit"], spans, 1, np.empty((2, 1, 0)), ()).point
    assert np.abs(ends["missing"] - ends["mean"]).min() > 1e-3


def test_gaps_may_be_refused() -> None:
    many = holes(waves(2))
    refusing = MLP(6, 4, missing="refuse", epochs=2).fit(panel(many))
    whole = sum(
        np.isfinite(y[t - 6 : t + 1]).all() for y in many for t in range(6, len(y) - int(len(y) * 0.2))
    )  # fmt: skip
    assert refusing.describe()["training_windows"] == whole
    assert refusing.predict(H)["MLP"].notna().all()
    many[1][-3] = np.nan
    with pytest.raises(FitError, match="1"):
        MLP(6, 4, missing="refuse", epochs=2).fit(panel(many)).predict(H)
    left = MLP(6, 4, missing="refuse", epochs=2, on_error="skip").fit(panel(many)).predict(H)
    assert left["status"].tolist() == ["ok"] * H + ["failed"] * H


@pytest.mark.parametrize("role", ["past", "known"])
@pytest.mark.parametrize("kind", KINDS)
def test_gaps_in_columns_are_masked(kind: str, role: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=107)
    x[rng.random(107) < 0.1] = np.nan
    data = table(waves(2), x=x)
    model = KINDS[kind](**QUICK, **{role: ("x",)}).fit(data, h=H)
    future = model.make_future(H).assign(x=0.0) if role == "known" else None
    assert model.predict(H, future=future)[model.name].notna().all()


def test_excluded_rows_teach_nothing() -> None:
    many = waves(2)
    data = panel(many)
    mask = np.zeros(107, dtype=bool)
    mask[20:26] = True
    hollow = np.where(mask, np.nan, data.y)
    excluded = MLP(**QUICK).fit(data.replace(excluded=mask, y=hollow))
    missing = MLP(**QUICK).fit(data.replace(y=hollow))
    same(weights(excluded), weights(missing))
