"""Stacked regression against least squares, ridge and non-negative least squares of other packages."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lagged_series, table
from hypothesis import given
from hypothesis import strategies as st
from told import Told, ToldTogether, told_table, validation

from tsforecast import AR, Blend, ConfigError, Naive, SeasonalNaive, Stack, WindowMean, backtest, load
from tsforecast.compose.stack import _apart
from tsforecast.contract import check_forecaster, example
from tsforecast.panel import Panel
from tsforecast.windows.solve import RIDGES

FINALS = ("ridge", "ols", "nonnegative")


def forecasts(seed: int, m: int = 3, w: int = 40, n: int = 2, h: int = 1, noise: float = 1.0) -> tuple[Any, Any]:
    """Members' forecasts (m, w, n, h) that share an error, at levels far apart, and the truth (w, n, h)."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-3, 6, size=(n, 1))
    actual = size * (rng.normal(size=(w, n, h)) + 5)
    own = rng.normal(size=(m, w, n, h)) * rng.uniform(0.3, 2, size=(m, 1, 1, 1))
    return actual + noise * size * (own + rng.normal(size=(w, n, h))), actual


def panel_of(n: int, **static: Any) -> Panel:
    return Panel.from_arrays(np.zeros((n, 3)), freq="D", start="2024-01-01", static=static)


def settled(stack: Stack, point: np.ndarray, actual: np.ndarray, step: int = 1, **static: Any) -> dict[str, Any]:
    """What a stack of as many members learns from such a validation."""
    stack.members = [Naive(alias=str(j)) for j in range(len(point))]
    return stack._settle(validation(point, actual, step), panel_of(actual.shape[1], **static))


def table_of(point: np.ndarray, actual: np.ndarray, steps: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Deviations (rows, m) of the members from their mean and the truth, row by row, in units of each series."""
    rows, target = [], []
    m, w, n, h = point.shape
    for i in range(n):
        errors = [abs(actual[o, i, s] - point[j, o, i, s]) for j in range(m) for o in range(w) for s in range(h)]
        unit = np.nanmean(errors)
        for o in range(w):
            for s in range(h)[steps]:
                mean = sum(point[j, o, i, s] for j in range(m)) / m
                row = [(point[j, o, i, s] - mean) / unit for j in range(m)]
                if np.isfinite([*row, actual[o, i, s]]).all():
                    rows.append(row)
                    target.append((actual[o, i, s] - mean) / unit)
    return np.array(rows), np.array(target)


def shares(c: np.ndarray) -> np.ndarray:
    return 1 / len(c) + c - c.mean()


# --- the three regressions


@pytest.mark.parametrize("m", [2, 3, 5])
def test_ols_is_least_squares_on_the_stacked_table(m: int) -> None:
    point, actual = forecasts(m, m=m, n=4, h=3)
    point[0, 3, 1, 2] = actual[5, 0, 0] = np.nan
    x, target = table_of(point, actual)
    expected = shares(np.linalg.lstsq(x, target)[0])
    got = settled(Stack(final="ols", bands=(1,)), point, actual)
    np.testing.assert_allclose(got["weights"][0, 0], expected, rtol=1e-9, atol=1e-11)


def test_each_band_of_steps_has_a_regression_of_its_own() -> None:
    point, actual = forecasts(1, n=3, h=6)
    got = settled(Stack(final="ols", bands=(1, 2, 5, 9)), point, actual)
    assert got["first"] == [1, 2, 5]
    for b, steps in enumerate((slice(0, 1), slice(1, 4), slice(4, 6))):
        x, target = table_of(point, actual, steps)
        np.testing.assert_allclose(got["weights"][0, b], shares(np.linalg.lstsq(x, target)[0]), rtol=1e-8)


@pytest.mark.parametrize("noise", [0.05, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_ridge_has_the_penalty_of_least_cross_validated_error(seed: int, noise: float) -> None:
    from sklearn.linear_model import Ridge

    point, actual = forecasts(seed, m=4, w=24, n=1, noise=noise)
    if seed % 2:  # members that differ by chance alone
        point = actual + np.random.default_rng(seed).normal(size=point.shape) * actual.std()
    x, target = table_of(point, actual)
    size = np.sqrt((x**2).sum(axis=0))
    score, c = len(x) * (target**2).sum() / (len(x) - 1) ** 2, np.zeros(4)
    for penalty in RIDGES:
        alpha = max(penalty, 1e-12)
        model = Ridge(alpha=alpha, fit_intercept=False, solver="svd").fit(x / size, target)
        values = np.linalg.svd(x / size, compute_uv=False) ** 2
        used = (values / (values + alpha))[values > 1e-11].sum()
        left = ((target - model.predict(x / size)) ** 2).sum()
        if len(x) * left / (len(x) - 1 - used) ** 2 < score:
            score, c = len(x) * left / (len(x) - 1 - used) ** 2, model.coef_ / size
    got = settled(Stack(), point, actual)
    np.testing.assert_allclose(got["weights"][0, 0], shares(c), rtol=1e-5, atol=1e-7)


def test_ridge_keeps_the_equal_mean_where_members_differ_by_chance() -> None:
    kept = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        actual = rng.normal(size=(30, 1, 1))
        got = settled(Stack(), actual + rng.normal(size=(3, 30, 1, 1)), actual)
        kept.append(np.ptp(got["weights"]) < 1e-12)
    assert 0.3 < np.mean(kept) < 0.9


@pytest.mark.parametrize("seed", range(6))
def test_nonnegative_is_that_of_scipy_with_a_row_for_the_sum(seed: int) -> None:
    from scipy.optimize import nnls

    point, actual = forecasts(seed, m=4, n=2, h=2)
    point[1] = actual + 3 * (point[1] - actual)
    m, _, n, _ = point.shape
    unit = np.array([np.abs(actual - point)[:, :, i].mean() for i in range(n)])[:, None]
    errors = ((point - actual) / unit).reshape(m, -1).T
    expected, _ = nnls(np.vstack([errors, np.full((1, m), 1e5)]), np.append(np.zeros(len(errors)), 1e5))
    got = settled(Stack(final="nonnegative", bands=(1,)), point, actual)["weights"][0, 0]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert got.min() >= 0
    assert abs(got.sum() - 1) < 1e-12
    assert (expected < 1e-9).any()


@given(st.integers(0, 10**6), st.sampled_from(FINALS), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_neither_level_nor_scale_of_a_series_matters(seed: int, final: Any, level: float, scale: float) -> None:
    point, actual = forecasts(seed, n=2)
    unit = np.abs(actual[:, 0] - point[:, :, 0]).mean()
    before = settled(Stack(final=final), point, actual)["weights"]
    for values in (point, actual):
        values[..., 0, :] = scale * (values[..., 0, :] + level * unit)
    after = settled(Stack(final=final), point, actual)["weights"]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("final", FINALS)
def test_members_in_another_order_keep_their_coefficients(final: Any) -> None:
    point, actual = forecasts(3, n=3)
    first = settled(Stack(final=final), point, actual)["weights"][0, 0]
    for order in permutations(range(3)):
        again = settled(Stack(final=final), point[list(order)], actual)["weights"][0, 0]
        np.testing.assert_allclose(again, first[list(order)], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("final", FINALS)
def test_members_that_forecast_alike_share(final: Any) -> None:
    point, actual = forecasts(5, m=3, noise=0.3)
    point[1] = actual + 0.8 * (point[0] - actual)  # else the equal mean is not moved
    point = np.stack([point[0], point[0], point[1]])
    weights = settled(Stack(final=final), point, actual)["weights"][0, 0]
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)
    assert np.ptp(weights) > 0.1
    equal = settled(Stack(final=final), np.stack([point[0]] * 3), actual)["weights"]
    np.testing.assert_allclose(equal, 1 / 3, atol=1e-7)


@pytest.mark.parametrize("final", FINALS)
def test_a_member_that_is_right_takes_all(final: Any) -> None:
    point, actual = forecasts(6, n=3, h=4)
    point[2] = actual
    weights = settled(Stack(final=final), point, actual)["weights"]
    np.testing.assert_allclose(weights, np.broadcast_to([0, 0, 1], weights.shape), atol=1e-4)


# --- who shares a regression, and what there is to tell by


def test_series_and_groups_have_regressions_of_their_own() -> None:
    point, actual = forecasts(7, n=5)
    alone = settled(Stack(final="ols", scope="series"), point, actual)["weights"]
    region = np.array(["b", "a", "b", "a", "c"], dtype=object)
    grouped = settled(Stack(final="ols", scope="region"), point, actual, region=region)
    assert grouped["names"] == ["a", "b", "c"]
    for i in range(5):
        own = settled(Stack(final="ols"), point[:, :, [i]], actual[:, [i]])["weights"][0]
        np.testing.assert_allclose(alone[i], own, rtol=1e-12)
    for g, name in enumerate("abc"):
        few = np.flatnonzero(region == name)
        own = settled(Stack(final="ols"), point[:, :, few], actual[:, few])["weights"][0]
        np.testing.assert_allclose(grouped["weights"][g], own, rtol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4))
def test_origins_that_share_steps_count_once(seed: int, h: int, step: int) -> None:
    rng = np.random.default_rng(seed)
    w, n = 12, 4
    parts = np.where(rng.random((3, w, n, h)) < 0.2, np.nan, 1.0)
    groups, bands = rng.integers(0, 2, n), np.minimum(np.arange(h), 2)
    groups[0] = 1
    got = _apart(parts, np.full(n, step), groups, bands)
    for g in range(2):
        for b in range(int(bands.max()) + 1):
            steps = [s for s in range(h) if bands[s] == b]
            there = [
                any(np.isfinite(parts[:, o, i, s]).all() for s in steps)
                for i in range(n) if groups[i] == g for o in range(w)
            ]  # fmt: skip
            assert got[g, b] == pytest.approx(sum(there) / max(1, -(-(steps[-1] + 1) // step)))


@pytest.mark.parametrize("final", FINALS)
def test_too_few_origins_give_the_equal_mean(final: Any) -> None:
    y = lagged_series(3, 24)
    stack = Stack([Naive(), WindowMean(5)], final).fit(table(y), h=5)
    np.testing.assert_array_equal(stack.coefficients_["coefficient"], 0.5)
    long = Stack([Naive(), WindowMean(5)], final).fit(table(lagged_series(3, 200, (0.97,))), h=5)
    assert np.ptp(long.coefficients_["coefficient"]) > 0.05


def test_fewer_origins_than_coefficients_tell_nothing() -> None:
    point, actual = forecasts(8, m=5, w=3, n=1)
    for final in FINALS:
        np.testing.assert_allclose(settled(Stack(final=final), point, actual)["weights"], 0.2)


# --- through the public class


def truth_of_columns(seed: int = 0, n: int = 6, rows: int = 260) -> pd.DataFrame:
    """y = 0.9 a + 0.4 b - 0.3 c and a little noise, at levels from 1 to 1e5; `region` n turns the first two round."""
    rng = np.random.default_rng(seed)
    level = 10.0 ** np.arange(n)[:, None]
    columns = {name: level * (10 + rng.normal(size=(n, rows))) for name in "abc"}
    y = 0.9 * columns["a"] + 0.4 * columns["b"] - 0.3 * columns["c"] + 0.01 * level * rng.normal(size=(n, rows))
    return told_table(columns, y)


def members() -> list[Told]:
    return [Told(known=(name,), alias=name) for name in "abc"]


@pytest.mark.parametrize("final", ["ridge", "ols"])
@pytest.mark.parametrize("scope", ["global", "series"])
def test_a_known_mixture_is_found_and_forecast(final: Any, scope: str) -> None:
    data = truth_of_columns()
    last = data.groupby("unique_id").tail(4)
    stack = Stack(members(), final, scope=scope).fit(data.drop(last.index), h=4)
    told = stack.coefficients_
    assert list(told.columns) == (["steps", "member", "coefficient"] if scope == "global" else
                                  ["group", "steps", "member", "coefficient"])  # fmt: skip
    assert set(told["steps"]) == {"1", "2-3", "4"}
    for name, expected in zip("abc", (0.9, 0.4, -0.3), strict=True):
        np.testing.assert_allclose(told.loc[told["member"] == name, "coefficient"], expected, atol=0.03)
    got = stack.predict(4, future=last.drop(columns="y"))
    level = 10.0 ** np.repeat(np.arange(6), 4)
    np.testing.assert_allclose((got["Stack"].to_numpy() - last["y"].to_numpy()) / level, 0, atol=0.1)
    by_hand = told.pivot(index=[c for c in ("group", "steps") if c in told], columns="member", values="coefficient")
    if scope == "global":
        weights = by_hand.loc[["1", "2-3", "2-3", "4"]].to_numpy()
        expected = (np.tile(weights, (6, 1)) * last[list("abc")].to_numpy()).sum(axis=1)
        np.testing.assert_allclose(got["Stack"], expected, rtol=1e-12)


def test_a_member_without_a_forecast_leaves_the_mean_of_the_others() -> None:
    data = truth_of_columns()
    last = data.groupby("unique_id").tail(4)
    some = [Told(("s001",), known=("a",), alias="a"), *members()[1:]]
    got = Stack(some).fit(data.drop(last.index), h=4).predict(4, future=last.drop(columns="y"))
    here = (last["unique_id"] == "s001").to_numpy()
    np.testing.assert_allclose(got["Stack"][here], last[["b", "c"]].mean(axis=1)[here], rtol=1e-12)
    assert np.abs(got["Stack"][~here] - last[list("abc")].mean(axis=1).to_numpy()[~here]).min() > 0
    nobody = [member.copy(silent=("s001",)) for member in members()]
    status = Stack(nobody, on_error="skip").fit(data.drop(last.index), h=4).predict(4, future=last.drop(columns="y"))
    assert (status["status"] == "failed").tolist() == here.tolist()


def test_stacks_are_compared_with_the_equal_mean() -> None:
    told = Stack(members(), "ols").fit(truth_of_columns(), h=4).validation_
    pair = told[told["model"].isin(["Stack", "equal mean"])].pivot(index="steps", columns="model", values="mse")
    assert (pair["Stack"] < 0.01 * pair["equal mean"]).all()
    gain = told.loc[told["model"] == "Stack", "gain"].to_numpy()
    np.testing.assert_allclose(gain, (1 - pair["Stack"] / pair["equal mean"]).to_numpy(), rtol=1e-9)


def test_nonnegative_is_the_blend_without_a_prior() -> None:
    data = table(lagged_series(5, 150, (0.6, 0.2), level=20))
    some = [AR(2), WindowMean(), Naive()]
    stack = Stack(some, "nonnegative").fit(data, h=5)
    blend = Blend(some, kappa=0).fit(data, h=5)
    np.testing.assert_allclose(stack.predict()["Stack"], blend.predict()["Blend"], rtol=1e-6)


@pytest.mark.parametrize("scope", ["global", "series", "zone"])
def test_the_order_of_series_changes_no_bit(scope: str) -> None:
    y = lagged_series(12, 120, (0.7,)) * 10.0 ** (np.arange(12) % 5)[:, None]
    data = table(y)
    static = pd.DataFrame(
        {"unique_id": data["unique_id"].unique(), "zone": np.array(["x", "y", "z"])[np.arange(12) % 3]}
    )
    stack = Stack([AR(2), WindowMean(), Naive()], scope=scope).fit(data, h=4, static=static)
    order = np.random.default_rng(0).permutation(12)
    panel = stack.panel_
    mixed = panel.take(order).replace(series=np.arange(12))
    again = Stack([AR(2), WindowMean(), Naive()], scope=scope).fit(mixed, h=4)
    one, two = (model.predict()["Stack"].to_numpy().reshape(12, 4) for model in (stack, again))
    np.testing.assert_array_equal(one[order], two)


@pytest.mark.parametrize("scope", ["global", "series", "zone"])
def test_files_newer_rows_and_new_series(tmp_path: Path, scope: str) -> None:
    y = lagged_series(6, 140, (0.7,), seed=3)
    ids = [f"s{i}" for i in range(6)]
    zone = pd.DataFrame({"unique_id": ids, "zone": ["x", "y", "x", "y", "x", "y"]})
    made = lambda: Stack([AR(2), WindowMean(), Naive()], "ols", scope=scope)  # noqa: E731
    stack = made().fit(table(y[:4, :130], ids[:4]), h=3, static=zone)
    stack.save(tmp_path / "stack.tsf")
    back = load(tmp_path / "stack.tsf")
    pd.testing.assert_frame_equal(back.predict(levels=[80]), stack.predict(levels=[80]))
    pd.testing.assert_frame_equal(back.coefficients_, stack.coefficients_)
    before = stack.coefficients_["coefficient"].to_numpy()
    stack.update(table(y, ids))
    after = stack.coefficients_["coefficient"].to_numpy()
    np.testing.assert_array_equal(after[: len(before)], before)
    got = stack.predict().set_index("unique_id")["Stack"]
    assert np.isfinite(got).all()
    if scope == "series":
        alone = made().fit(table(y[4:], ids[4:]), h=3)
        np.testing.assert_array_equal(got[["s4", "s5"]], alone.predict()["Stack"])
        return
    each = np.stack([member.predict(3).iloc[:, 2].to_numpy(float) for member in stack.members_.values()])
    weights = before.reshape(-1, 2, 3)[0 if scope == "global" else -1][[0, 1, 1]]  # steps 1 | 2-3
    if scope == "zone":  # the new rows did not say where the new series lie
        weights = np.full((3, 3), 1 / 3)
    expected = (each.reshape(3, 6, 3)[:, 4:] * weights.T[:, None]).sum(axis=0).ravel()
    np.testing.assert_allclose(got[["s4", "s5"]], expected, rtol=1e-12)


def test_a_second_series_learns_for_itself_where_one_was_fitted_alone() -> None:
    y = lagged_series(2, 160, (0.9,), seed=11)
    made = lambda: Stack([AR(1), WindowMean(), Naive()], "ols", scope="series")  # noqa: E731
    stack = made().fit(table(y[:1], ["a"]), h=2).update(table(y[1:], ["b"]))
    alone = [made().fit(table(y[[i]], ["ab"[i]]), h=2).predict()["Stack"] for i in range(2)]
    np.testing.assert_array_equal(stack.predict()["Stack"], np.concatenate(alone))


def test_newcomers_to_a_stack_that_needs_the_whole_panel_take_the_equal_mean() -> None:
    data = truth_of_columns(n=5)
    some = [ToldTogether(known=(name,), alias=name) for name in "abc"]
    old = data[data["unique_id"] < "s002"]
    last = data.groupby("unique_id").tail(4)
    stack = Stack(some, scope="series").fit(old.drop(last.index, errors="ignore"), h=4)
    stack.update(data.drop(last.index))
    got = stack.predict(future=last.drop(columns="y"))["Stack"].to_numpy()
    plain = last[list("abc")].mean(axis=1).to_numpy()
    np.testing.assert_allclose(got[8:], plain[8:], rtol=1e-12)
    assert (np.abs(got[:8] / plain[:8] - 1) > 1e-6).all()
    assert len(stack.coefficients_["group"].unique()) == 5


def test_backtests_and_intervals() -> None:
    y = lagged_series(20, 260, (0.8,), seed=5)
    models = [Stack([AR(1, ridge=0), WindowMean(), SeasonalNaive()]), SeasonalNaive()]
    found = backtest(models, table(y), h=3, windows=4, step=3, levels=[80])
    scored = found.forecasts
    error = {name: np.sqrt(((scored["y"] - scored[name]) ** 2).mean()) for name in ("Stack", "SeasonalNaive")}
    assert error["Stack"] < 0.9 * error["SeasonalNaive"]
    inside = (scored["Stack-lo-80"] <= scored["y"]) & (scored["y"] <= scored["Stack-hi-80"])
    assert 0.7 < inside.mean() < 0.9


@pytest.mark.parametrize("final", ["ridge", "nonnegative"])
def test_stacks_of_single_series_keep_the_contract_of_forecasters(final: Any) -> None:
    members = (AR(3, ridge=0, transform=None), SeasonalNaive())
    check_forecaster(lambda: Stack(members, final, scope="series"), example(30))


# --- what cannot be


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        (Stack(), "needs two members"),
        (Stack([AR()]), "needs two members"),
        (Stack([AR(), Naive()], "lasso"), "final must be one of ridge, ols, nonnegative"),
        (Stack([AR(), Naive()], None), "final must be one of"),  # type: ignore[arg-type]
        (Stack([AR(), Naive()], scope="country"), "scope must be 'series', 'global' or a static column"),
        (Stack([AR(), Naive()], scope=3), "scope must be"),  # type: ignore[arg-type]
        (Stack([AR(), Naive()], bands=(2, 4)), "begin at step 1"),
        (Stack([AR(), Naive()], bands=(1, 4, 4)), "rise"),
        (Stack([AR(), Naive()], bands=()), "bands must be"),
        (Stack([AR(), Naive()], bands=(1, 2.5)), "bands must be"),  # type: ignore[arg-type]
        (Stack([AR(), Naive()], windows=0), "windows must be"),
        (Stack([AR(), AR()]), "share the name AR"),
    ],
)
def test_what_cannot_be_is_refused(stack: Stack, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        stack.fit(table(lagged_series(2, 60)), h=3)


def test_the_horizon_must_be_told() -> None:
    with pytest.raises(ConfigError, match="fit\\(data, h="):
        Stack([AR(), Naive()]).fit(table(lagged_series(2, 60)))
