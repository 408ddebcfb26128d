"""Normals that take in newer rows, against least squares and fits on all rows at once, means by hand and bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_normals import days, fitted, mixed, months, same_bits, temperatures, waves, with_gaps
from test_normals_lent import network, places

from tsforecast import normals
from tsforecast.panel import Panel

Array = NDArray[Any]
PARTS = ("coef", "spread", "since", "until", "told")


def hours(n: int = 2, rows: int = 24 * 80) -> Panel:
    rng = np.random.default_rng(5)
    t = np.arange(rows)
    y = 10 + 4 * np.sin(2 * np.pi * (t - 6) / 24) + np.sin(2 * np.pi * t / 168) + rng.normal(size=(n, rows))
    return Panel.from_arrays(y, freq="h", start="2024-02-20", tz="America/Los_Angeles")


def counted(n: int = 2) -> Panel:
    return Panel.from_arrays(np.random.default_rng(6).normal(3, 2, size=(n, 90)))


def weighed(panel: Panel) -> Panel:
    return panel.replace(weights=np.random.default_rng(7).integers(0, 3, size=len(panel.y)).astype(float))


CASES: dict[str, tuple[Panel, int]] = {
    "days": (with_gaps(temperatures(3, 7)), 1900),
    "days with weights": (weighed(with_gaps(temperatures(3, 7))), 2300),
    "days that are large": (temperatures(2, 7).replace(y=temperatures(2, 7).y + 1e7), 1900),
    "months": (with_gaps(months(3, 330)), 200),
    "hours": (with_gaps(hours()), 24 * 50),
    "steps": (with_gaps(counted()), 40),
}


@pytest.mark.parametrize("name", CASES)
def test_newer_rows_tell_what_a_fit_on_all_rows_is_told(name: str) -> None:
    panel, cutoff = CASES[name]
    old, whole = normals.fit(panel.upto(cutoff)), normals.fit(panel)
    np.testing.assert_array_equal(old["told"], whole["told"])
    state, spans = normals.renewed(old, panel)
    size = np.abs(whole["coef"]).max()
    np.testing.assert_array_equal(state["until"], whole["until"])
    ahead, wanted = normals.ahead(state, spans, 400)[0], normals.ahead(whole, panel, 400)[0]
    np.testing.assert_allclose(ahead, wanted, rtol=0, atol=1e-9 * size)
    assert np.abs(ahead - normals.ahead(old, panel, 400)[0]).max() > 1e-3
    np.testing.assert_array_equal(state["spread"], old["spread"])


def test_renewed_normals_are_least_squares_on_all_rows() -> None:
    panel = with_gaps(temperatures(2, 6.5))
    state, spans = normals.renewed(normals.fit(panel.upto(1500)), panel)
    for i in range(2):
        y = panel.y[panel.start[i] : panel.stop[i]]
        normal = normals.rows(state, spans)[0][panel.start[i] : panel.stop[i]]
        np.testing.assert_allclose(normal, fitted(waves(days(panel)), y), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_two_steps_are_one(name: str) -> None:
    panel, cutoff = CASES[name]
    old = normals.fit(panel.upto(cutoff))
    once, _ = normals.renewed(old, panel)
    half, between = normals.renewed(old, panel.upto(cutoff + 33))
    twice, _ = normals.renewed(half, panel.replace(series=between.series))
    assert np.any(half["coef"] != old["coef"])
    np.testing.assert_allclose(twice["coef"], once["coef"], rtol=0, atol=1e-9 * np.abs(once["coef"]).max())
    np.testing.assert_array_equal(twice["until"], once["until"])


def test_columns_that_were_not_told_of_stay_out() -> None:
    panel = temperatures(1, 4)
    old = normals.fit(panel.upto(950))  # under three years: waves, no trend
    state, spans = normals.renewed(old, panel)
    wanted = fitted(waves(days(panel), trend=False), panel.y)
    np.testing.assert_allclose(normals.rows(state, spans)[0], wanted, atol=1e-5)
    assert np.abs(normals.rows(normals.fit(panel), panel)[0] - wanted).max() > 0.01


def test_a_shift_moves_the_level_by_its_share_of_the_rows() -> None:
    y = np.full((1, 400), 50.0)
    y[:, ::2] += 2
    y[:, 300:] *= 1.01
    panel = Panel.from_arrays(y, freq="D", start="2020-01-01")
    state, spans = normals.renewed(normals.fit(panel.upto(299), "none"), panel)
    np.testing.assert_allclose(normals.ahead(state, spans, 2)[0], 51 + 0.25 * 0.51)


def test_what_was_lent_keeps_its_shape_and_moves_its_level() -> None:
    panel, where = network(np.array([7.0] * 8 + [1.6, 0.3])), places(10)
    cutoff = int(panel.last.max()) - 60
    y = panel.y.copy()
    for i in (8, 9):
        y[panel.stop[i] - 60 : panel.stop[i]] += 4
    panel = panel.replace(y=y)
    old = normals.fit(panel.upto(cutoff), places=where)
    state, spans = normals.renewed(old, panel)
    for i in (8, 9):
        np.testing.assert_array_equal(state["coef"][i, 1:], old["coef"][i, 1:])
        normal = normals.rows(state, spans)[0][panel.start[i] : panel.stop[i]]
        assert normal.mean() == pytest.approx(y[panel.start[i] : panel.stop[i]].mean(), abs=1e-9)
        assert state["coef"][i, 0] - old["coef"][i, 0] == pytest.approx(4 * 60 / panel.lengths[i], abs=0.8)
    assert np.any(state["coef"][:8, 1:] != old["coef"][:8, 1:])


def test_without_newer_rows_nothing_changes() -> None:
    panel = mixed()
    state = normals.fit(panel.upto(900))
    for same in (panel.upto(900), panel.upto(700), panel.upto(900).tail(3), panel.upto(-1)):
        again, spans = normals.renewed(state, same)
        assert again is state
        assert spans is same
    some, _ = normals.renewed(state, panel)
    still = panel.last == panel.upto(900).last
    assert 0 < still.sum() < len(panel)
    for name in ("coef", "until"):
        same_bits(some[name][still], state[name][still])
    assert np.any(some["coef"][~still] != state["coef"][~still])


@pytest.mark.parametrize("base", ["auto", "none"])
def test_a_series_first_seen_after_the_fit_has_no_normal(base: Any) -> None:
    panel = mixed().take(np.array([0, 1]))
    late = panel.replace(offset=panel.offset + np.array([0, 1700]), series=np.arange(2))
    state, spans = normals.renewed(normals.fit(late.upto(1000), base), late)
    assert np.isnan(normals.ahead(state, spans, 3)[0][1]).all()
    assert np.isfinite(normals.ahead(state, spans, 3)[0][0]).all()


def test_company_order_and_repeated_spans_change_no_bit() -> None:
    panel = mixed()
    state = normals.fit(panel.upto(700))
    whole, _ = normals.renewed(state, panel)
    for index in ([4], [7], np.arange(7), np.random.default_rng(0).permutation(10)):
        part, spans = normals.renewed(state, panel.take(np.asarray(index)))
        np.testing.assert_array_equal(spans.series, np.arange(len(index)) if part is not state else index)
        mine = part["coef"] if part is not state else part["coef"][index]
        same_bits(whole["coef"][index], mine)
    cutoffs = np.repeat([[650], [701], [900], [1840]], 10, axis=1)
    many = normals.renewed(state, panel.cut(cutoffs))[0]
    for w in range(4):
        alone, spans = normals.renewed(state, panel.upto(cutoffs[w]))
        for name in PARTS[:3]:
            np.testing.assert_array_equal(many[name][10 * w : 10 * w + 10], alone[name][spans.series])


def test_company_of_the_same_dates_changes_no_bit() -> None:
    panel = temperatures(33, 5)
    old = normals.fit(panel.upto(1500))
    whole, _ = normals.renewed(old, panel)
    for i in (0, 13, 32):
        one = panel.take(np.array([i]))
        alone = normals.fit(one.upto(1500).replace(series=np.arange(1)))
        same_bits(alone["coef"][0], old["coef"][i])
        same_bits(normals.renewed(old, one)[0]["coef"][0], whole["coef"][i])


def test_only_rows_between_the_fit_and_the_end_of_a_span_are_read() -> None:
    panel = mixed()
    early, now = panel.upto(700), panel.upto(1100)
    state = normals.fit(early)
    wanted, _ = normals.renewed(state, now)
    read = np.zeros(len(panel.y), dtype=bool)
    read[now.rows] = True
    read[early.rows] = False
    poisoned = now.replace(y=np.where(read, panel.y, 1e9))
    for some in (poisoned, now.tail(405)):
        found, _ = normals.renewed(state, some)
        for name in PARTS[:3]:
            np.testing.assert_array_equal(found[name], wanted[name])


def test_rows_without_gaps_between_them_are_told_by_their_dates() -> None:
    panel = temperatures(2, 6)
    ragged = panel.replace(at=panel.position(panel.rows, panel.owner), offset=np.zeros(2, np.int64))
    state = normals.fit(panel.upto(1500))
    same_bits(normals.renewed(state, ragged)[0]["coef"], normals.renewed(state, panel)[0]["coef"])


def test_grids_that_begin_elsewhere_change_no_bit() -> None:
    panel = mixed()
    state = normals.fit(panel.upto(700))
    later = panel.tail(1300)
    first = int(later.position(later.start, np.arange(10))[later.lengths > 0].min())
    moved = later.replace(grid=panel.grid[first:], offset=panel.offset - first)
    same_bits(normals.renewed(state, moved)[0]["coef"], normals.renewed(state, panel)[0]["coef"])


def test_settled_normals_say_the_same() -> None:
    panel = mixed()
    state = normals.fit(panel)
    for one, other in zip(normals.ahead(state, panel, 4), normals.ahead(normals.settled(state), panel, 4), strict=True):
        same_bits(one, other)
    assert normals.renewed(normals.settled(state), panel)[1] is panel
