"""Rolling origins against a loop of fits, each on a table that ends at its origin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import lagged_series
from hypothesis import given
from hypothesis import strategies as st

from tsforecast import AR, Climatology, Conformal, Naive, Panel, SeasonalNaive
from tsforecast.errors import ConfigError
from tsforecast.rolling import Memory, origins, roll


def plain(lags: Any, **more: Any) -> AR:
    return AR(lags, ridge=0, transform=None, on_error="skip", **more)


def ragged(rows: list[np.ndarray], starts: list[int], **more: Any) -> Panel:
    """A panel whose series begin at these places of one grid."""
    panel = Panel.from_arrays(rows, **more)
    end = max(start + len(row) for start, row in zip(starts, rows, strict=True))
    return panel.replace(offset=panel.offset + np.array(starts), grid=np.arange(end))


@given(
    h=st.integers(1, 4), windows=st.integers(1, 4), step=st.none() | st.integers(1, 5), gap=st.integers(0, 3),
    align=st.sampled_from(["time", "end"]),
)  # fmt: skip
def test_origins_leave_gap_and_horizon_after_the_last(
    h: int, windows: int, step: int | None, gap: int, align: Any
) -> None:
    panel = ragged([np.zeros(60), np.zeros(40)], [0, 5])
    got = origins(panel, h=h, windows=windows, step=step, gap=gap, align=align)
    ends = [59, 59] if align == "time" else [59, 44]
    for i, end in enumerate(ends):
        want = [end - gap - h - (h if step is None else step) * back for back in range(windows)][::-1]
        assert got[:, i].tolist() == want


@pytest.mark.parametrize("wrong", [{"h": 0}, {"windows": 0}, {"step": 0}, {"gap": -1}, {"windows": 30, "h": 3}])
def test_origins_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        origins(Panel.from_arrays([np.zeros(60)]), **({"h": 1} | wrong))


LEVELS = (80.0,)


@pytest.mark.parametrize(
    "model",
    [
        plain(3),
        plain([1, 7], known=("x",)),
        AR(2, ridge="auto", transform="log-diff", on_error="skip"),
        plain(2, strategy="direct"),
        plain(2, scope="global"),
        AR([1, 2], ridge=0.1, transform="diff", on_error="skip"),
        Naive(on_error="skip"),
        Climatology(season=7, on_error="skip"),
        plain(1, intervals=Conformal(windows=5)),
        plain(1, intervals=Conformal(windows=3, pool="panel")),
        SeasonalNaive(3, intervals=Conformal(windows=6, step=2), on_error="skip"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("refit", [True, False, 2])
def test_rolling_equals_a_loop_of_fits(model: Any, refit: Any) -> None:
    rows = [*np.exp(lagged_series(2, 90, (0.5,), seed=1, sd=0.3) + 2), *np.exp(lagged_series(1, 40, seed=2, sd=0.3))]
    rows[0][20] = np.nan
    x = np.random.default_rng(3).normal(size=220)
    panel = ragged(rows, [0, 0, 50], columns={"x": x})
    cutoffs = np.array([72, 76, 80, 85])
    done = roll(model, panel, cutoffs, h=3, refit=refit, levels=LEVELS)
    every = {True: 1, False: 4, 2: 2}[refit]
    known = model.design(panel)
    for w, cutoff in enumerate(cutoffs):
        trained = int(cutoffs[w // every * every])
        want = loop(model, panel, known, int(cutoff), trained)
        for got, column in ((done.point, 0), (done.lower[..., 0], 1), (done.upper[..., 0], 2)):
            np.testing.assert_allclose(got[w], want[..., column], rtol=1e-7, atol=1e-8)
        assert (done.trained[w] == trained).all()
        for i, (row, start) in enumerate(zip(rows, (0, 0, 50), strict=True)):
            np.testing.assert_array_equal(done.actual[w, i], row[cutoff + 1 - start : cutoff + 4 - start])


def loop(model: Any, panel: Panel, design: Panel, cutoff: int, trained: int) -> np.ndarray:
    fitted = model.copy().fit(panel.upto(trained), h=3)
    spans = design.upto(cutoff)
    known = spans.ahead(design, 3, design.columns[:, design.n_past :])
    out = fitted.forecast(fitted.state_, spans, 3, known, LEVELS)
    return np.stack([out.point, out.lower[..., 0], out.upper[..., 0]], axis=2)


def test_a_gap_skips_the_first_steps() -> None:
    panel = Panel.from_arrays(lagged_series(2, 60, seed=4))
    far = roll(plain(2), panel, np.array([50]), h=5, levels=LEVELS)
    late = roll(plain(2), panel, np.array([50]), h=3, gap=2, levels=LEVELS)
    for name in ("point", "lower", "upper", "actual"):
        np.testing.assert_array_equal(getattr(late, name), getattr(far, name)[:, :, 2:])


def test_input_size_hides_the_older_rows() -> None:
    y = lagged_series(2, 80, seed=5)
    done = roll(plain(2), Panel.from_arrays(y), np.array([59, 69]), h=2, input_size=30)
    for w, cutoff in enumerate((59, 69)):
        want = plain(2).fit(Panel.from_arrays(y[:, cutoff - 29 : cutoff + 1])).predict(2)["AR"]
        np.testing.assert_allclose(done.point[w].ravel(), want, rtol=1e-9)


@pytest.mark.parametrize(
    "model",
    [plain(3), plain(2, strategy="direct"), plain(2, scope="global"), AR(on_error="skip"), Climatology(season=7)],
)
def test_rows_after_the_cutoff_change_no_bit(model: Any) -> None:
    y = np.exp(lagged_series(3, 120, (0.4,), seed=6, sd=0.4))
    other = y.copy()
    other[:, 101:] = 1e6
    before, after = (
        roll(model, Panel.from_arrays(rows), np.array([90, 100]), h=4, levels=LEVELS) for rows in (y, other)
    )
    for name in ("point", "lower", "upper"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_order_of_the_cutoffs_does_not_matter() -> None:
    panel = Panel.from_arrays(lagged_series(3, 90, seed=7))
    up = np.array([60, 66, 72, 80])
    forward, back = roll(plain(3), panel, up, h=2), roll(plain(3), panel, up[::-1], h=2)
    np.testing.assert_allclose(back.point[::-1], forward.point, rtol=1e-9)


@pytest.mark.parametrize("level", [0.0, 1e7])
def test_series_that_begin_or_jump_between_windows_keep_their_digits(level: float) -> None:
    y = lagged_series(3, 200, seed=8)
    jump = np.r_[np.zeros(90), 1e6 + y[1, :110]]
    panel = ragged([y[0], level + y[2, :80], jump], [0, 120, 0])
    cutoffs = np.array([80, 140, 160, 180, 195])
    together = roll(plain(3), panel, cutoffs, h=2).point
    for w in range(5):
        alone = roll(plain(3), panel, cutoffs[w : w + 1], h=2).point[0]
        np.testing.assert_allclose(together[w], alone, rtol=0, atol=1e-6)


def test_a_series_that_has_not_begun_has_neither_forecast_nor_truth() -> None:
    panel = ragged([np.arange(60.0), np.arange(20.0)], [0, 35])
    done = roll(Naive(on_error="skip"), panel, np.array([20, 34, 36]), h=3)
    assert np.isnan(done.point[:2, 1]).all()
    assert np.isnan(done.actual[0, 1]).all()
    np.testing.assert_array_equal(done.actual[2, 1], [2.0, 3.0, 4.0])


def test_pooled_errors_of_later_windows_stay_out_of_earlier_intervals() -> None:
    y = lagged_series(4, 120, seed=9)
    y[:, 80:] *= 50
    model = plain(1, intervals=Conformal(windows=4, pool="panel"))
    panel = Panel.from_arrays(y)
    both = roll(model, panel, np.array([70, 115]), h=2, levels=LEVELS)
    alone = roll(model, panel, np.array([70]), h=2, levels=LEVELS)
    np.testing.assert_array_equal(both.lower[0], alone.lower[0])
    assert (both.upper[1] - both.lower[1]).mean() > 5 * (both.upper[0] - both.lower[0]).mean()


@pytest.mark.parametrize("refit", [0, -1])
def test_refit_is_a_number_of_windows(refit: int) -> None:
    with pytest.raises(ConfigError, match="refit"):
        roll(Naive(), Panel.from_arrays(lagged_series(rows=30)), np.array([20]), h=1, refit=refit)


def test_memory_fits_once_for_one_member_and_origin() -> None:
    calls = []

    class Counted(Naive):
        def _fit_windows(self, panel: Panel, cutoffs: Any, h: int | None) -> Any:
            calls.append(len(cutoffs))
            return super()._fit_windows(panel, cutoffs, h)

    memory = Memory(Panel.from_arrays(lagged_series(2, 40)), 2)
    first = memory(Counted(), np.array([20, 30]))
    assert memory(Counted(), np.array([20, 30])) is first
    memory(Counted(), np.array([25]))
    memory(Counted(alias="other"), np.array([25]))
    assert calls == [2, 1, 1]
