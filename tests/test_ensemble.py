"""What ensembles share: validation origins, fits that are made once, errors that look back only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import lagged_series, table
from tsforecast.comparison import diebold_mariano
from tsforecast.compose.blend import Blend
from tsforecast.compose.judging import judged
from tsforecast.compose.validation import FEW, Plan, Validation, folds, honest, origins_of, validated
from tsforecast.evaluation import backtest
from tsforecast.findings import as_panel
from tsforecast.models.ar import AR
from tsforecast.models.naive import Drift, Naive, SeasonalNaive, WindowMean
from tsforecast.panel import Panel
from tsforecast.rolling import Memory


def panel_of(lengths: list[int], late: list[int] | None = None) -> Panel:
    """Daily series of these lengths, each `late` days after the first."""
    rng = np.random.default_rng(len(lengths))
    stop = np.cumsum(lengths)
    start = stop - lengths
    late_by = np.array(late or [0] * len(lengths))
    days = int((late_by + lengths).max())
    return Panel(
        ids=np.array([f"s{i:03d}" for i in range(len(lengths))], dtype=object), start=start, stop=stop,
        y=rng.normal(size=int(stop[-1])), offset=late_by - start, series=np.arange(len(lengths)), freq="D",
        grid=np.datetime64("2024-01-01", "us") + np.arange(days) * np.timedelta64(1, "D"),
        columns=np.empty((int(stop[-1]), 0)),
    )  # fmt: skip


# --- where the origins lie


def origins_by_hand(rows: int, h: int, plan: Plan, need: int, most: int) -> list[int]:
    """Rows before each origin, oldest first, of a series of so many rows."""
    held = max(rows // 4, min(rows // 3, plan.least + h - 1))
    held = max(h + FEW, min(held, 365 + h - 1))
    if plan.windows != "auto":
        held = max(held, h + (1 if plan.step == "auto" else plan.step) * (plan.windows - 1))
    held = min(held, rows - need)
    every = [rows - h - i for i in range(max(held - h + 1, 0))]  # newest first, one step apart
    windows = most if plan.windows == "auto" else plan.windows
    step = plan.step
    if step == "auto":
        step = 1
        if plan.windows == "auto":
            while len(every[::step]) > windows:
                step += 1
        else:
            while len(every[:: step + 1][:windows]) == windows and (step + 1) * windows <= len(every):
                step += 1
    return every[::step][:windows][::-1]


plans = st.builds(
    Plan,
    st.one_of(st.just("auto"), st.integers(1, 60)),
    st.one_of(st.just("auto"), st.integers(1, 9)),
    st.sampled_from([24, 60, 180]),
    st.booleans(),
)


rows_of = st.one_of(st.integers(0, 120), st.integers(0, 900))


@given(plans, st.integers(1, 15), st.integers(1, 40), st.lists(rows_of, min_size=1, max_size=4))
def test_origins_are_those_that_a_loop_finds(plan: Plan, h: int, need: int, lengths: list[int]) -> None:
    lengths[0] = max(lengths[0], 1)
    panel = panel_of(lengths)
    cutoffs, step = origins_of(panel, h, plan, need)
    for i, rows in enumerate(lengths):
        if not rows:  # nothing is forecast there
            continue
        longest = rows if plan.alone else max(lengths)
        expected = origins_by_hand(longest, h, plan, need, 48 if plan.alone else 365)
        assert not expected or expected[0] >= need
        assert (np.diff(expected) == step[i]).all()
        if sum(rows >= origin + h for origin in expected) < min(FEW, len(expected)):
            expected = [origin - longest + rows for origin in expected]
        got = cutoffs[:, i]
        if plan.alone:  # as many for each series; the first stands for those that it has not
            assert len(got) == (48 if plan.windows == "auto" else plan.windows)
            got = got[np.append(got[:-1] != got[1:], True) & (got >= 0)]
        assert (got + 1).tolist() == expected


def test_series_that_begin_late_or_end_early_are_cut_at_the_same_dates() -> None:
    panel = panel_of([200, 100, 30, 100], [0, 95, 165, 40])
    cutoffs, step = origins_of(panel, 5, Plan("auto", "auto", 24, False), 10)
    assert (cutoffs[:, :3] == cutoffs[:, :1]).all()
    assert cutoffs[-1].tolist() == [194, 194, 194, 134]  # the last one ended before the validation rows
    alone = origins_of(panel, 5, Plan("auto", "auto", 24, True), 10)[0]
    assert (alone[-1] + 5 == panel.last).all()
    assert (step == 1).all()


def test_a_series_that_ended_long_ago_has_intervals_too() -> None:
    panel = panel_of([200, 80, 190], [0, 0, 0])
    got = Blend([AR(2, ridge=0, transform=None), Naive()]).fit(panel, h=3).predict(levels=[95])
    width = (got["Blend-hi-95"] - got["Blend-lo-95"]).to_numpy().reshape(3, 3)
    assert (width > 2).all()  # of noise with variance 1
    assert (width < 8).all()


# --- what members are shown


@dataclass(eq=False, repr=False)
class Spy(Naive):
    """Naive, but it writes down what it was fitted on: the rows of each series, and their last day."""

    seen: ClassVar[list[tuple[str, tuple[int, ...], int]]] = []

    def _fit(self, panel: Panel, h: int | None, roll: Any) -> Any:
        self.seen.append((self.name, tuple(panel.lengths.tolist()), int(panel.last.max())))
        return super()._fit(panel, h, roll)


@pytest.fixture(autouse=True)
def _a_clean_sheet() -> None:
    Spy.seen.clear()


def test_members_are_fitted_before_the_validation_rows_and_then_on_all() -> None:
    panel = panel_of([120, 80, 120], [0, 40, 0])
    first = origins_of(panel, 4, Plan("auto", "auto", FEW, False), 1)[0][0, 0]
    Blend([Spy(), SeasonalNaive()]).fit(panel, h=4)
    assert Spy.seen == [("Spy", (first + 1, max(first + 1 - 40, 0), first + 1), first), ("Spy", (120, 80, 120), 119)]


@pytest.mark.parametrize("options", [{}, {"scope": "series"}, {"weights": "equal"}, {"windows": 1}, {"windows": 5}])
def test_no_member_is_fitted_twice_for_one_origin(options: dict[str, Any]) -> None:
    panel = panel_of([150, 150])
    inner = Blend([Spy(), Naive(alias="other")], "equal" if "weights" in options else "mse", alias="inner")
    Blend([Spy(), Spy(alias="twin"), inner], **options).fit(panel, h=3)
    assert set(Counter(Spy.seen).values()) == {1}


@pytest.mark.parametrize("refit", [True, False, 2])
@pytest.mark.parametrize("scope", ["global", "series"])
def test_a_member_judged_beside_its_blend_is_fitted_once_for_both(refit: Any, scope: str) -> None:
    panel = panel_of([150, 130])
    models = [Spy(), Blend([Spy(), SeasonalNaive()], scope=scope), Blend([Drift(), Spy()], "equal", alias="even")]
    together = backtest(models, panel, h=3, windows=4, refit=refit)
    assert set(Counter(Spy.seen).values()) == {1}
    for model, both in zip(models, together.rolled, strict=True):
        apart = backtest(model, panel, h=3, windows=4, refit=refit).rolled[0]
        np.testing.assert_allclose(both.point, apart.point, rtol=1e-12)


def test_levels_ask_for_no_fit_more() -> None:
    backtest([Spy(), Blend([Spy(), Drift()])], panel_of([150, 130]), h=3, windows=4, levels=(80,))
    assert set(Counter(Spy.seen).values()) == {1}


def test_a_memory_tells_panels_horizons_and_models_apart() -> None:
    one, other = panel_of([40]), panel_of([40])
    memory = Memory(one, 3)
    for panel in (one, other, one.upto(20), one.upto(20)):
        for model in (Spy(), Spy(), Spy(alias="b")):
            memory.learned(model, panel, 3)
    memory.learned(Spy(), one, 4)
    assert len(Spy.seen) == 3 * 2 + 1


def test_a_memory_holds_only_what_is_asked_for_again() -> None:
    panel = panel_of([40])
    memory = Memory(panel, 3, wanted={repr(Spy())}).on(panel, 3)
    for model in (Spy(), Spy(), Spy(alias="b"), Spy(alias="b")):
        memory.learned(model, panel, 3)
    assert [name for name, *_ in Spy.seen] == ["Spy", "b", "b"]


def test_models_that_share_nothing_are_judged_as_if_alone() -> None:
    panel = panel_of([150, 130])
    models = [ar := AR(2, ridge=0, transform=None), Blend([Drift(), Naive()])]
    together = backtest(models, panel, h=3, windows=4).rolled
    for model, both in zip((ar, models[1]), together, strict=True):
        assert (backtest(model, panel, h=3, windows=4).rolled[0].point == both.point).all()


# --- what is learned from them


def test_validation_holds_what_the_members_say_when_rolled_without_refitting() -> None:
    panel = panel_of([90, 90])
    h, plan = 3, Plan("auto", "auto", FEW, False)
    team = (AR(2, ridge=0, transform=None), WindowMean(4))
    seen = validated(team, panel, h, plan, Memory(panel, h))
    for j, member in enumerate(team):
        fitted = member.fit(panel.upto(seen.cutoffs[0]), h=h)
        for w, cutoff in enumerate(seen.cutoffs):
            if w:
                fitted.update(panel.upto(cutoff))
            point = fitted.predict(h)[member.name].to_numpy().reshape(2, h)
            np.testing.assert_allclose(seen.point[j, w], point, rtol=1e-9)
            np.testing.assert_array_equal(seen.actual[w], panel.y.reshape(2, 90)[:, cutoff[0] + 1 : cutoff[0] + 1 + h])


def test_a_series_with_few_origins_has_the_errors_of_each_once() -> None:
    panel = panel_of([200, 40])
    seen = validated((Naive(), Drift()), panel, 3, Plan("auto", "auto", FEW, True), Memory(panel, 3))
    there = np.isfinite(seen.actual).all(axis=2)
    assert there.sum(axis=0).tolist() == [48, len(origins_by_hand(40, 3, Plan("auto", "auto", FEW, True), 2, 48))]
    assert len(np.unique(seen.cutoffs[there[:, 1], 1])) == there[:, 1].sum()


@pytest.mark.parametrize("alone", [False, True])
def test_upto_an_origin_only_those_count_whose_steps_had_passed(alone: bool) -> None:
    panel = panel_of([200, 150])
    h = 7
    seen = validated((Naive(), Drift()), panel, h, Plan("auto", 2, FEW, alone), Memory(panel, h))
    for window in range(0, len(seen.actual), 5):
        known = seen.upto(window).actual
        for i, w in np.ndindex(2, len(known)):
            whole = np.isfinite(seen.actual[w, i]).all() and seen.cutoffs[w, i] + h <= seen.cutoffs[window, i]
            assert np.isfinite(known[w, i]).all() == whole
            assert np.isfinite(known[w, i]).any() == whole


def test_upto_counts_rows_by_their_dates_where_gaps_are_ignored() -> None:
    days = pd.date_range("2024-01-01", periods=240)
    kept = np.random.default_rng(0).random(240) < 0.5
    long = pd.concat([
        pd.DataFrame({"unique_id": "whole", "ds": days, "y": np.arange(240.0)}),
        pd.DataFrame({"unique_id": "holes", "ds": days[kept], "y": np.arange(240.0)[kept]}),
    ])  # fmt: skip
    panel = Panel.from_table(long, gaps="ignore", freq="D")
    h = 5
    seen = validated((Naive(), Drift()), panel, h, Plan("auto", "auto", FEW, False), Memory(panel, h))
    for window in range(len(seen.actual)):
        known = seen.upto(window).actual
        assert not (known > seen.cutoffs[window, 0]).any()  # the values are the days
    assert np.isfinite(seen.upto(len(seen.actual) - 1).actual).any()


def test_a_later_value_changes_no_bit_of_an_earlier_honest_forecast() -> None:
    panel = panel_of([160, 160, 160])
    h, blend = 4, Blend([Naive(), AR(2, ridge=0, transform=None), WindowMean(9)], kappa=0.0)
    seen = validated(blend._team, panel, h, Plan("auto", "auto", FEW, False), Memory(panel, h))
    w = len(seen.actual)
    before = honest(seen, panel, lambda known: blend._settle(known, panel), blend._combine)
    for part in folds(w):
        # Everything after the day of the first origin of a part is another.
        late = panel.y.copy().reshape(3, 160)
        late[:, seen.cutoffs[part.start, 0] + 1 :] += 100.0
        spoiled = panel.replace(y=late.ravel())
        again = validated(blend._team, spoiled, h, Plan("auto", "auto", FEW, False), Memory(spoiled, h))
        after = honest(again, spoiled, lambda known: blend._settle(known, panel), blend._combine)
        assert (after[: part.start + 1] == before[: part.start + 1]).all()
        assert (after[part.start + 1 :] != before[part.start + 1 :]).all() or part.start + 1 == w


def test_errors_that_are_kept_do_not_look_ahead_either() -> None:
    panel = panel_of([160, 160])
    late = panel.y.copy().reshape(2, 160)
    late[:, -4:] += 50.0
    team = [Naive(), AR(2, ridge=0, transform=None)]
    one, two = (Blend(team, kappa=0).fit(p, h=4).state_["errors"] for p in (panel, panel.replace(y=late.ravel())))
    assert (one[:, :-7] == two[:, :-7]).all()
    assert (one[:, -1] != two[:, -1]).all()


def test_honest_forecasts_are_combined_by_what_earlier_origins_told() -> None:
    panel = panel_of([200, 200])
    h, blend = 2, Blend([Naive(), WindowMean(9)], kappa=0.01)
    seen = validated(blend._team, panel, h, Plan("auto", "auto", FEW, False), Memory(panel, h))
    got = honest(seen, panel, lambda known: blend._settle(known, panel), blend._combine)
    learned = 0
    for part in folds(len(seen.actual)):
        errors = seen.errors[:, : max(part.start - h + 1, 0)]
        share = np.full((2, 2), 0.5)  # step, member
        if errors.shape[1] >= FEW:
            learned += 1
            size = np.abs(errors).mean(axis=(0, 1, 3))
            for step in range(h):
                e = (errors / size[:, None])[:, :, :, step].reshape(2, -1)
                s = e @ e.T / e.shape[1]
                pull = 0.04 / (1 / np.diag(s)).sum()  # 2 kappa times the harmonic mean of the diagonal
                a = (s[1, 1] - s[0, 1] + pull * 0.5) / (s[0, 0] + s[1, 1] - 2 * s[0, 1] + pull)
                share[step] = np.clip([a, 1 - a], 0, 1)
        np.testing.assert_allclose(got[part], np.einsum("hm,mwnh->wnh", share, seen.point[:, part]), rtol=1e-9)
    assert learned >= 2


def test_judged_are_origins_at_which_something_was_learned() -> None:
    rng = np.random.default_rng(3)
    m, w, n, h = 2, 60, 3, 4
    cutoffs = np.repeat(100 + np.arange(w)[:, None], n, axis=1)
    actual = rng.normal(size=(w, n, h))
    actual[rng.random(actual.shape) < 0.1] = np.nan
    seen = Validation(cutoffs, cutoffs + h, rng.normal(size=(m, w, n, h)), actual, np.ones(n, int), np.ones(n, bool))
    own, plain = rng.normal(size=(2, w, n, h))
    told = judged(seen, own, plain, (1, 2))
    starts = [part.start for part in folds(w)]
    late = next(start for start in starts if start - h + 1 >= FEW)
    assert told["origins"] == w - late
    every = np.stack([*seen.errors, own, plain])[:, late:]
    for b, steps in enumerate([slice(0, 1), slice(1, 4)]):
        part = every[..., steps]
        there = np.isfinite(part).all(axis=0)
        np.testing.assert_allclose(told["mse"][b], [np.mean(errors[there] ** 2) for errors in part])
        losses = [np.array([np.mean(e[k][there[k]] ** 2) for k in range(w - late)]) for e in (part[2], part[3])]
        test = diebold_mariano(*map(np.sqrt, losses), h=steps.stop)
        assert told["statistic"][b] == pytest.approx(float(test.statistic))
        assert told["pvalue"][b] == pytest.approx(float(test.pvalue))


@pytest.mark.parametrize("windows", [1, 2, 7])
def test_a_few_windows_tell_nothing_and_leave_the_prior(windows: int) -> None:
    model = Blend([Naive(), WindowMean(3)], prior=[1, 3], windows=windows).fit(panel_of([80, 80]), h=3)
    assert set(model.weights_["weight"]) == {0.25, 0.75}
    assert model.validation_["mse"].isna().all()
    apart = [member.fit(panel_of([80, 80])).predict(3)[member.name] for member in (Naive(), WindowMean(3))]
    np.testing.assert_allclose(model.predict(3)["Blend"], 0.25 * apart[0] + 0.75 * apart[1])


# --- doors of the whole


def test_what_is_asked_of_validation_is_checked() -> None:
    for name in ("windows", "step"):
        for value in (0, -1, 1.5, "many", None, True, [3]):
            with pytest.raises(ValueError, match=name):
                Blend([Naive(), Drift()], **{name: value}).fit(panel_of([80]), h=3)


def test_windows_and_step_are_kept_where_the_rows_allow_it() -> None:
    panel = panel_of([300])
    seen = validated((Naive(), Drift()), panel, 3, Plan(12, 14, FEW, False), Memory(panel, 3))
    assert seen.cutoffs[:, 0].tolist() == [296 - 14 * k for k in reversed(range(12))]


def test_errors_of_a_new_series_wait_for_a_fit() -> None:
    df = table(lagged_series(3, 150))
    model = Blend([AR(2, ridge=0, transform=None), Naive()]).fit(df, h=4)
    new = table(lagged_series(2, 60, seed=9), ids=["y", "z"], start="2022-04-01")
    model.update(new)
    assert model.updated_ == ("y", "z")
    got = model.predict(4)
    weight = model.weights_
    for k, steps in enumerate(["1", "2-3", "2-3", "4"]):
        share = weight[weight["steps"] == steps].set_index("member")["weight"]
        for name in ("y", "z"):
            parts = {m: f.predict(4) for m, f in model.members_.items()}
            by_hand = sum(share[m] * t[t["unique_id"] == name][m].iloc[k] for m, t in parts.items())
            assert got[got["unique_id"] == name]["Blend"].iloc[k] == pytest.approx(by_hand)
    assert as_panel(new).ids.tolist() == ["y", "z"]
