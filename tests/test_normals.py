"""Seasonal normals against least squares by hand, statsmodels' information criterion and neighbours by haversine."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tsforecast import normals
from tsforecast.errors import ConfigError
from tsforecast.panel import Panel

Array = NDArray[Any]
DAY = np.timedelta64(1, "D")


def days(panel: Panel, i: int = 0) -> Array:
    """Days since 1970 of the rows of series i."""
    rows = np.arange(panel.start[i], panel.stop[i])
    stamps = panel.grid[panel.position(rows, np.full(len(rows), i))]
    return stamps.astype("datetime64[us]").astype(np.int64) / 86_400e6


def waves(t: Array, trend: bool = True) -> Array:
    """Level, three harmonics of the year and a trend at days t (...,)."""
    angle = 2 * np.pi * t / 365.2425
    columns = [np.ones_like(t), *(f(k * angle) for k in (1, 2, 3) for f in (np.sin, np.cos))]
    return np.stack([*columns, (t - 18_000) / 365.2425] if trend else columns, axis=-1)


def dummies(place: Array, count: int) -> Array:
    return (place[:, None] == np.arange(count)).astype(float)


def fitted(x: Array, y: Array) -> Array:
    """Values at all rows of x of a least-squares fit on those where y is observed."""
    seen = np.isfinite(y)
    values: Array = x @ np.linalg.lstsq(x[seen], y[seen], rcond=None)[0]
    return values


def temperatures(n: int, years: float, seed: int = 0, start: str = "2010-03-05") -> Panel:
    """Daily series with a year, a trend and noise that is wider in winter."""
    rng = np.random.default_rng(seed)
    rows = round(365.25 * years)
    panel = Panel.from_arrays(np.zeros((n, rows)), freq="D", start=start)
    t = days(panel)
    wide = 2 + np.cos(2 * np.pi * t / 365.2425)
    amplitude = 5 + rng.random((n, 1)) * 10
    y = (
        10
        - amplitude * np.cos(2 * np.pi * (t - 20) / 365.2425)
        + 0.05 * (t - t[0]) / 365
        + wide * rng.normal(size=(n, rows))
    )
    return panel.replace(y=y.ravel())


def months(n: int, rows: int, seed: int = 0, start: str = "1980-04") -> Panel:
    rng = np.random.default_rng(seed)
    place = np.arange(rows) % 12
    y = rng.normal(size=(n, 1)) * 5 + 10 * np.sin(2 * np.pi * place / 12) + 0.01 * np.arange(rows)
    return Panel.from_arrays(y + rng.normal(size=(n, rows)), freq="MS", start=start)


def with_gaps(panel: Panel, share: float = 0.2, seed: int = 1) -> Panel:
    gone = np.random.default_rng(seed).random(len(panel.y)) < share
    return panel.replace(y=np.where(gone, np.nan, panel.y))


def test_daily_normals_are_three_waves_and_a_trend() -> None:
    panel = with_gaps(temperatures(2, 6.5))
    state = normals.fit(panel)
    t = days(panel)
    t = np.concatenate([t, t[-1] + np.arange(1, 15)])
    for i in range(2):
        y = np.append(panel.y[panel.start[i] : panel.stop[i]], np.full(14, np.nan))
        wanted = fitted(waves(t), y)
        np.testing.assert_allclose(
            normals.rows(state, panel)[0][panel.start[i] : panel.stop[i]], wanted[:-14], atol=1e-5
        )
        np.testing.assert_allclose(normals.ahead(state, panel, 14)[0][i], wanted[-14:], atol=1e-5)


@pytest.mark.parametrize(
    ("years", "season", "trend"), [(0.85, False, False), (1, True, False), (2.9, True, False), (3, True, True)]
)
def test_daily_normals_claim_no_more_than_the_rows_tell(years: float, season: bool, trend: bool) -> None:
    panel = temperatures(1, years)
    t = days(panel)
    x = waves(t, trend) if season else np.ones((len(t), 1))
    np.testing.assert_allclose(normals.rows(normals.fit(panel), panel)[0], fitted(x, panel.y), atol=1e-5)


def test_a_year_with_months_missing_has_no_waves() -> None:
    panel = temperatures(1, 4)
    month = panel.grid.astype("datetime64[M]").astype(int) % 12
    y = np.where(month < 4, panel.y, np.nan)  # waves through winters alone would be anything in summer
    normal = normals.rows(normals.fit(panel.replace(y=y)), panel)[0]
    assert np.abs(normal - np.nanmean(y)).max() < 5


def test_monthly_normals_are_means_and_a_trend_of_thirty_years() -> None:
    panel = with_gaps(months(3, 450))
    # Thirty years are counted from the last row that was observed.
    ends = [int(np.flatnonzero(np.isfinite(row))[-1]) + 1 for row in panel.y.reshape(3, 450)]
    assert min(ends) < 450
    old = np.concatenate([np.arange(450) < end - 360 for end in ends])
    state = normals.fit(panel.replace(y=np.where(old, 1e3, panel.y)))
    place = np.arange(450 + 6)
    t = (np.datetime64("1980-04") + place).astype("datetime64[D]").astype(int) / 365.2425
    x = np.column_stack([dummies(place % 12, 12), t])
    for i in range(3):
        y = np.append(panel.y[panel.start[i] : panel.stop[i]], np.full(6, np.nan))
        begin = ends[i] - 360
        y[:begin] = np.nan
        wanted = fitted(x, y)
        normal = normals.rows(state, panel)[0][panel.start[i] : panel.stop[i]]
        np.testing.assert_allclose(normal[begin:], wanted[begin:450], atol=1e-5)
        np.testing.assert_allclose(normals.ahead(state, panel, 6)[0][i], wanted[450:], atol=1e-5)
        # Before the rows that it comes from the trend is not followed.
        first = begin + int(np.isfinite(y[begin:]).argmax())
        flat = fitted(np.column_stack([dummies(place % 12, 12), np.maximum(t, t[first])]), y)
        np.testing.assert_allclose(normal[:begin], flat[:begin], atol=1e-5)


@pytest.mark.parametrize(("freq", "rows"), [("MS", 8 * 12), ("MS", 8 * 12 - 3), ("QS", 32), ("QS", 30)])
def test_a_trend_of_months_needs_eight_years(freq: str, rows: int) -> None:
    step = 3 if freq == "QS" else 1
    panel = months(1, rows * step)
    panel = Panel.from_arrays([panel.y[::step]], freq="MS", start="1980-04").replace(grid=panel.grid[::step], freq=freq)
    place = np.arange(rows) * step
    x = np.column_stack([dummies(place % 12, 12), days(panel) / 365.2425 * (rows * step >= 95)])
    np.testing.assert_allclose(normals.rows(normals.fit(panel), panel)[0], fitted(x, panel.y), atol=1e-5)


def test_weekly_normals_are_waves() -> None:
    panel = temperatures(1, 7)
    panel = Panel.from_arrays([panel.y[::7]], freq="D", start="2010-03-05").replace(grid=panel.grid[::7], freq="W-FRI")
    np.testing.assert_allclose(
        normals.rows(normals.fit(panel), panel)[0], fitted(waves(days(panel)), panel.y), atol=1e-5
    )


def test_weekdays_come_in_where_bic_asks_for_them() -> None:
    panel = temperatures(60, 4, seed=3)
    week = (days(panel).astype(int) + 3) % 7
    y = panel.y.reshape(60, -1) + np.linspace(0, 0.8, 60)[:, None] * np.sin(week)
    panel = panel.replace(y=y.ravel())
    normal = normals.rows(normals.fit(panel), panel)[0].reshape(60, -1)
    x = waves(days(panel))
    chosen = []
    for i in range(60):
        plain, full = sm.OLS(y[i], x).fit(), sm.OLS(y[i], np.column_stack([x, dummies(week, 7)[:, 1:]])).fit()
        wanted = full if full.bic < plain.bic else plain
        chosen.append(wanted is full)
        np.testing.assert_allclose(normal[i], wanted.fittedvalues, atol=1e-5)
    assert not any(chosen[:10])
    assert all(chosen[-10:])


def test_hours_of_the_day_are_local_ones() -> None:
    rng = np.random.default_rng(2)
    grid = np.datetime64("2024-02-20", "us") + np.arange(24 * 60) * np.timedelta64(1, "h")
    utc = grid.astype("datetime64[h]").astype(int)
    local = np.where(grid < np.datetime64("2024-03-10T10:00"), utc - 8, utc - 7)  # Los Angeles moved its clocks then
    y = 10 * np.exp(np.sin(2 * np.pi * (local % 24) / 24)) + rng.normal(size=len(grid))
    panel = Panel.from_arrays([y], freq="h", start="2024-02-20", tz="America/Los_Angeles").replace(grid=grid)
    normal = normals.rows(normals.fit(panel), panel)[0]
    np.testing.assert_allclose(normal, fitted(dummies(local % 24, 24), y), atol=1e-5)


@pytest.mark.parametrize(
    ("freq", "start", "base"), [(1, 0, "auto"), ("YS", "1950", "auto"), ("D", "2020-01-01", "none")]
)
def test_without_seasons_there_is_a_level(freq: Any, start: Any, base: Any) -> None:
    y = np.random.default_rng(4).normal(3, 2, size=(2, 60))
    panel = Panel.from_arrays(y, freq=freq, start=start)
    state = normals.fit(panel, base)
    normal, scale = normals.ahead(state, panel, 3)
    np.testing.assert_allclose(normal, np.repeat(y.mean(axis=1)[:, None], 3, axis=1))
    np.testing.assert_allclose(scale, np.repeat(y.std(axis=1, ddof=1)[:, None], 3, axis=1))


def test_row_weights_are_those_of_weighted_least_squares() -> None:
    panel = temperatures(1, 5)
    weights = np.random.default_rng(5).integers(0, 3, size=len(panel.y)).astype(float)
    wanted = sm.WLS(panel.y, waves(days(panel)), weights=weights).fit().fittedvalues
    normal = normals.rows(normals.fit(panel.replace(weights=weights)), panel)[0]
    np.testing.assert_allclose(normal, wanted, atol=1e-5)


def test_the_spread_has_a_first_harmonic_shrunk_by_years() -> None:
    panel = temperatures(1, 6)
    t, years = days(panel), len(panel.y) / 365.25
    normal, scale = normals.rows(normals.fit(panel), panel)
    square = (panel.y - normal) ** 2
    x = waves(t, trend=False)[:, :3]
    x = x - np.append(0, x[:, 1:].mean(axis=0))
    coef = np.linalg.lstsq(x, square, rcond=None)[0]
    coef[1:] *= years / (years + 3)
    # Columns of weekdays that were not asked for are no lost degrees of freedom.
    wanted = np.sqrt(x @ coef * len(t) / (len(t) - 8))
    np.testing.assert_allclose(scale, wanted, rtol=2e-3)
    cold = np.cos(2 * np.pi * t / 365.2425) > 0.8
    assert scale[cold].mean() > 1.5 * scale[~cold].min()


def test_the_spread_has_a_floor() -> None:
    panel = temperatures(1, 6)
    t = days(panel)
    y = np.where(np.cos(2 * np.pi * t / 365.2425) > 0.9, panel.y, 0.0)  # it moves for some weeks of a year alone
    normal, scale = normals.rows(normals.fit(panel.replace(y=y)), panel)
    usual = np.sqrt(((y - normal) ** 2).sum() / (len(t) - 8))
    assert scale.min() == pytest.approx(0.3 * usual, rel=0.02)  # the level of the variance is not quite its mean


@pytest.mark.parametrize("level", [0.0, 7.0, 1e9, -1e-9])
@pytest.mark.parametrize("freq", ["D", "MS", 1])
def test_a_series_that_never_strays_has_scale_one(level: float, freq: Any) -> None:
    panel = Panel.from_arrays(np.full((1, 1200), level), freq=freq, start=0 if freq == 1 else "1990-01")
    state = normals.fit(panel)
    np.testing.assert_array_equal(normals.ahead(state, panel, 5)[1], 1.0)
    np.testing.assert_allclose(normals.anomalies(state, panel).y, 0.0, atol=1e-6)


def mixed() -> Panel:
    """Daily series of 1 to 1,800 rows that begin at different days, some with gaps, one constant, one empty."""
    lengths = np.array([1800, 1, 400, 30, 1200, 800, 0, 1100, 366, 5])
    stop = np.cumsum(lengths)
    late = np.arange(10) * 17 % 31
    y = np.random.default_rng(8).normal(size=int(stop[-1])) + np.repeat(np.arange(10) * 100.0, lengths)
    y[stop[3] : stop[4] : 7] = np.nan
    y[stop[4] : stop[5]] = 5.0
    return Panel(
        ids=np.array([f"s{i}" for i in range(10)], dtype=object), start=stop - lengths, stop=stop, y=y,
        grid=np.datetime64("2015-01-01", "us") + np.arange(1840) * DAY, offset=late - (stop - lengths),
        columns=np.empty((len(y), 0)), series=np.arange(10), freq="D",
    )  # fmt: skip


def same_bits(one: Array, other: Array) -> None:
    np.testing.assert_array_equal(np.asarray(one).view(np.int64), np.asarray(other).view(np.int64))


def test_company_and_order_change_no_bit() -> None:
    panel = mixed()
    whole = normals.fit(panel)
    normal, scale = normals.ahead(whole, panel, 9)
    for index in ([4], [7], np.arange(7), np.random.default_rng(0).permutation(10)):
        part = panel.take(np.asarray(index)).replace(series=np.arange(len(index)))
        state = normals.fit(part)
        for name in ("coef", "spread", "since"):
            same_bits(whole[name][index], state[name])
        for mine, theirs in zip((normal, scale), normals.ahead(state, part, 9), strict=True):
            same_bits(mine[index], theirs)
    years = np.datetime64("2005-01-01", "us") + np.arange(3652) * DAY
    older = panel.replace(grid=np.concatenate([years, panel.grid]), offset=panel.offset + 3652)
    assert older.grid[3652] == panel.grid[0]
    same_bits(normals.fit(older)["coef"], whole["coef"])


def test_rows_after_the_spans_are_not_read() -> None:
    panel = mixed()
    early = panel.upto(900)
    late = np.ones(len(panel.y), dtype=bool)
    late[early.rows] = False
    one, other = normals.fit(early), normals.fit(early.replace(y=np.where(late, 1e6, panel.y)))
    for name in ("coef", "spread", "since"):
        same_bits(one[name], other[name])


def test_values_of_spans_agree_wherever_they_are_asked_for() -> None:
    panel = mixed()
    state = normals.fit(panel.upto(1500))
    normal, scale = normals.rows(state, panel)
    rows, owner = panel.rows, panel.owner
    stamps = panel.grid[panel.position(rows, owner)]
    for mine, theirs in zip((normal, scale), normals.at(state, owner, stamps), strict=True):
        same_bits(mine[rows], theirs)
    early = panel.upto(1500)
    after = normals.ahead(state, early, 4)
    for i in (0, 4, 7):
        for mine, theirs in zip(after, (normal, scale), strict=True):
            left = min(4, int(panel.stop[i] - early.stop[i]))
            same_bits(mine[i, :left], theirs[early.stop[i] : early.stop[i] + left])
    there = np.zeros(len(panel.y), dtype=bool)
    there[early.rows] = True
    assert np.isnan(normals.rows(state, early)[0][~there]).all()
    assert np.isfinite(normal[rows]).all()


def test_anomalies_of_spans_that_overlap_are_their_own() -> None:
    panel = mixed()
    ragged = panel.replace(at=panel.position(panel.rows, panel.owner), offset=np.zeros(10, dtype=np.int64))
    cutoffs = np.repeat([[600], [900], [1700]], 10, axis=1)
    for whole in (panel, ragged):
        many = whole.cut(cutoffs).replace(series=np.arange(30))
        found = normals.anomalies(normals.fit(many), many)
        for w in range(3):
            alone = panel.upto(cutoffs[w])
            wanted = normals.anomalies(normals.fit(alone), alone)
            for i in range(10):
                mine = found.y[found.start[10 * w + i] : found.stop[10 * w + i]]
                same_bits(mine, wanted.y[alone.start[i] : alone.stop[i]])
            filled = alone.lengths > 0
            np.testing.assert_array_equal(found.last[10 * w : 10 * w + 10][filled], alone.last[filled])


def test_rows_without_gaps_between_them_keep_their_dates() -> None:
    panel = temperatures(1, 8)
    kept = np.flatnonzero(np.random.default_rng(9).random(len(panel.y)) < 0.7)
    thin = panel.replace(
        y=panel.y[kept],
        at=kept,
        stop=np.array([len(kept)]),
        columns=np.empty((len(kept), 0)),
        offset=np.zeros(1, np.int64),
    )
    holes = panel.replace(y=np.where(np.isin(np.arange(len(panel.y)), kept), panel.y, np.nan))
    wanted = normals.anomalies(normals.fit(holes), holes).y[kept]
    np.testing.assert_allclose(normals.anomalies(normals.fit(thin), thin).y, wanted, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 900),
    freq=st.sampled_from(["D", "MS", "QS", "W-MON", "h", "B", "YS"]),
    gaps=st.floats(0, 1),
    level=st.sampled_from([0.0, 1.0, 1e6, -1e12]),
    seed=st.integers(0, 99),
)
def test_what_was_observed_once_has_a_finite_normal_and_a_positive_scale(
    rows: int, freq: str, gaps: float, level: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    step = {"D": 24, "MS": 730, "QS": 2190, "W-MON": 168, "h": 1, "B": 24, "YS": 8766}[freq]
    stamps = np.datetime64("1950-01-02", "h") + np.arange(max(rows, 1)) * step
    y = np.where(rng.random(rows) < gaps, np.nan, level + rng.normal(size=rows))
    panel = Panel.from_arrays([y]).replace(grid=stamps.astype("datetime64[us]"), freq=freq)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        normal, scale = normals.at(normals.fit(panel), np.array([0]), stamps[None, -1:].astype("datetime64[us]"))
    if np.isfinite(y).any():
        assert np.isfinite(normal).all()
        assert np.isfinite(scale).all()
        assert (scale > 0).all()
        assert np.abs(normal - level).max() < 50 + 1e-6 * abs(level)
    else:
        assert np.isnan(normal).all()


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(ConfigError, match="base"):
        normals.fit(mixed(), "median")  # type: ignore[arg-type]
