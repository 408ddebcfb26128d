"""Networks where series differ most: short ones, newcomers, grown ones, columns that never varied, odd widths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from test_neural_engine import KINDS, WINDOW, panel, points, waves

from tsforecast.errors import ConfigError, DataError
from tsforecast.intervals import radius
from tsforecast.models.neural import MLP
from tsforecast.models.neural.data import held_out, least_rows
from tsforecast.panel import Panel

H = 3


def table(name: str, first: int, stop: int, **columns: Any) -> pd.DataFrame:
    t = np.arange(first, stop)
    ds = pd.date_range("2024-01-01", periods=stop)[first:]
    return pd.DataFrame({"unique_id": name, "ds": ds, "y": np.sin(t / 3)} | columns)


# Intervals


def test_intervals_of_a_series_without_errors_have_its_size() -> None:
    rng = np.random.default_rng(0)
    wave = 10 + np.sin(np.arange(100) / 3)
    rows = [1000 * (wave + 0.1 * rng.normal(size=100)) for _ in range(5)]
    rows.append(1e6 * (wave + 0.1 * rng.normal(size=100))[:16])  # too short to hold rows out
    model = MLP(12, 8, epochs=5).fit(panel(rows), h=7)
    found = model.predict(7, levels=(80,))
    width = (found["MLP-hi-80"] - found["MLP-lo-80"]).to_numpy().reshape(6, 7).mean(axis=1)
    assert not np.isfinite(model.state_["errors"][5]).any()
    assert 0.5 < width[5] / (1000 * width[:5].mean()) < 2


def test_series_without_errors_or_spread_get_no_width() -> None:
    errors = np.stack([np.arange(1.0, 10.0), np.full(9, np.nan), np.arange(1.0, 10.0)])[..., None]
    ids, groups = np.array(["a", "b", "c"], dtype=object), np.zeros(3, np.int64)
    with pytest.raises(ConfigError, match="series b share the errors of others"):
        radius(errors, (80,), groups, ids)
    got = radius(errors, (80,), groups, ids, False)[:, 0, 0]
    np.testing.assert_array_equal(np.isnan(got), [False, True, False])
    # Three times the spread of the others, whose widths are alike.
    wide = radius(errors, (80,), groups, ids, True, np.array([2.0, 6.0, 2.0]))[:, 0, 0]
    np.testing.assert_allclose(wide, got[0] * np.array([1, 3, 1]))


def test_errors_count_an_origin_once_where_gaps_are_ignored() -> None:
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2024-01-01", periods=300).delete(rng.choice(299, 60, replace=False))
    many = pd.DataFrame({"unique_id": "a", "ds": days, "y": rng.normal(size=len(days))})
    data = Panel.from_table(pd.concat([many, many[::2].assign(unique_id="b")]), freq="B", gaps="ignore")
    model = MLP(WINDOW, 4, epochs=2).fit(data, h=H)
    held = model.state_["fit"]["held"]
    assert held.tolist() == [48, 24]
    for errors, most in zip(model.state_["errors"][:, :, 0], held, strict=True):
        told = errors[np.isfinite(errors)]
        assert len(np.unique(told)) == len(told)
        assert most / 2 < len(told) <= most


# Newer rows


def test_new_series_join_after_fine_tuning() -> None:
    model = MLP(WINDOW, 4, scope="series", epochs=5).fit(table("a", 0, 80), h=H)
    model.update(table("a", 80, 90), finetune=2)
    model.update(table("b", 0, 80))
    counts = model.history_.groupby("model")["epoch"].max()
    assert counts["a"] == 2
    assert counts["b"] == 5


@pytest.mark.parametrize(("scope", "finetune"), [("global", False), ("global", 2), ("series", 2)])
def test_series_that_have_enough_rows_by_now_are_forecast(scope: str, finetune: Any) -> None:
    short = table("b", 0, 5).assign(y=1e6)
    later = table("b", 5, 60)
    later["y"] = 1e6 + 1e4 * later["y"]
    model = MLP(WINDOW, 4, scope=scope, epochs=3, on_error="skip").fit(pd.concat([table("a", 0, 80), short]), h=H)
    model.update(pd.concat([table("a", 80, 90), later]), finetune=finetune)
    assert list(model.predict(H)["status"]) == ["ok"] * 2 * H
    whole = np.concatenate([short["y"], later["y"]])
    held = held_out(np.array([60]), 0.2, WINDOW, 1)[0]
    assert model.state_["fit"]["centre"][1, 0] == pytest.approx(whole[: 60 - held].mean())
    assert model.state_["fit"]["scale"][1, 0] == pytest.approx(whole[: 60 - held].std())


def test_a_newcomer_without_its_static_column_stays_outside() -> None:
    data = pd.concat([table("a", 0, 60), table("b", 0, 60)])
    for labels in ([1.0, 2.0], ["s", "m"]):
        static = pd.DataFrame({"unique_id": ["a", "b"], "size": labels})
        model = MLP(WINDOW, 4, static=("size",), epochs=2).fit(data, h=1, static=static)
        before = model.predict(1)
        with pytest.raises(DataError, match="series c"):
            model.update(table("c", 0, 60))
        pd.testing.assert_frame_equal(model.predict(1), before)


# Transfer


def test_pretrained_nets_that_compute_something_else_are_refused() -> None:
    data = pd.concat([table("a", 0, 60), table("b", 0, 60)])
    static = pd.DataFrame({"unique_id": ["a", "b"], "size": [1.0, 5.0], "other": [2.0, 9.0]})
    plain = MLP(WINDOW, 4, epochs=2).fit(data, h=1)
    told = MLP(WINDOW, 4, epochs=2, static=("other",)).fit(data, h=1, static=static)
    for other, how, said in (
        (plain, {"static": ("size",)}, "static"),
        (told, {"static": ("size",)}, "static"),
        (plain, {"activation": "tanh"}, "activation"),
        (plain, {"centre": "series"}, "centred"),
    ):
        with pytest.raises(ConfigError, match=said):
            MLP(WINDOW, 4, epochs=2, pretrained=other, **how).fit(data, h=1, static=static)


# Columns


def test_a_price_that_never_varied_moves_by_shares_of_its_size() -> None:
    data = panel(waves(1), ["a"])
    model = MLP(WINDOW, 4, known=("price",), epochs=3)
    rows = len(data.y)
    model.fit(data.with_columns(np.full((rows, 1), 1000.0), ("price",), 0), h=1)
    fit = model.state_["fit"]
    assert (1500.0 - fit["centre"][0, 1]) / fit["scale"][0, 1] == pytest.approx(0.5)
    model.fit(data.with_columns(np.zeros((rows, 1)), ("price",), 0), h=1)
    assert (model.state_["fit"]["centre"][0, 1], model.state_["fit"]["scale"][0, 1]) == (0.0, 1.0)


def test_static_columns_tell_a_net_of_one_series_nothing() -> None:
    static = pd.DataFrame({"unique_id": ["a"], "size": [1.0]})
    with pytest.raises(ConfigError, match="tell series apart"):
        MLP(WINDOW, 4, static=("size",), scope="series").fit(table("a", 0, 60), h=1, static=static)


# Rows needed


@pytest.mark.parametrize("validation", [0.01, 0.2, 0.5, 0.9, 20])
@pytest.mark.parametrize(("window", "steps"), [(1, 1), (6, 1), (12, 14), (100, 7)])
def test_least_rows_are_the_first_that_hold_some_out(validation: float | int, window: int, steps: int) -> None:
    many = np.arange(1, 3000)
    first = many[held_out(many, validation, window, steps) > 0][0]
    assert least_rows(validation, window, steps) == first


def test_series_too_short_for_a_direct_net_of_their_own_are_told_at_fit() -> None:
    data = pd.concat([table("a", 0, 200), table("b", 0, 30)])
    with pytest.raises(DataError, match=r"series 'b'\): found 30, expected 70"):
        MLP(WINDOW, 4, "direct", "series", epochs=2).fit(data, h=14)
    with pytest.raises(ConfigError, match="fewer than the 14 steps"):
        MLP(WINDOW, 4, "direct", "series", epochs=2, validation=5).fit(table("a", 0, 200), h=14)


# Company


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("cnn", {"hidden": 5, "activation": "selu"}),
        ("cnn", {"hidden": (7, 3), "strategy": "direct"}),
        ("mlp", {"hidden": 13, "activation": "selu"}),
        ("mlp", {"hidden": 13, "activation": "elu"}),
    ],
)
def test_odd_widths_are_computed_alike_in_any_company(kind: str, how: dict[str, Any]) -> None:
    how = {"scope": "series", "epochs": 2, "learning_rate": 0.02, **how}
    many, ids = waves(7), list("abcdefg")
    together = points(KINDS[kind](WINDOW, **how), panel(many, ids))
    for few in ([6, 1, 3], [5, 6]):
        got = points(KINDS[kind](WINDOW, **how), panel([many[i] for i in few], [ids[i] for i in few]))
        np.testing.assert_array_equal(got, together[few])


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_do_not_depend_on_company(kind: str) -> None:
    many, ids = waves(7), list("abcdefg")
    together = KINDS[kind](WINDOW, 5 if kind == "cnn" else 6, scope="series", epochs=2).fit(panel(many, ids), h=1)
    for i in (0, 6):
        alone = together.copy().fit(panel([many[i]], [ids[i]]), h=1).encode()
        whole = together.encode()
        np.testing.assert_array_equal(whole[whole["unique_id"] == ids[i]].iloc[:, 2:], alone.iloc[:, 2:])
