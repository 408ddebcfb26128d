"""Normals that neighbours lend to short histories, against all distances by haversine and means by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tsforecast import normals
from tsforecast.geography import Places, kilometres
from tsforecast.panel import Panel

Array = NDArray[Any]
LONG, SHORT = 7, 1.6  # years


def places(n: int, seed: int = 0, spread: float = 4.0, unknown: tuple[int, ...] = ()) -> Places:
    rng = np.random.default_rng(seed)
    lat, lon = 45 + spread * rng.normal(size=n), 8 + spread * rng.normal(size=n)
    lat[list(unknown)] = np.nan
    return Places(np.array([f"p{i:02d}" for i in range(n)], dtype=object), lat, lon, np.full(n, np.nan))


def network(years: Array, seed: int = 0, freq: str = "D") -> Panel:
    """Temperatures of neighbouring places that end together; `years` (n,) of rows each."""
    rng = np.random.default_rng(seed)
    a_year = 365.25 if freq == "D" else 12
    lengths = np.round(years * a_year).astype(int)
    longest = int(lengths.max())
    panel = Panel.from_arrays(
        np.zeros((len(years), longest)), freq=freq, start="2012-01-01" if freq == "D" else "2012-01"
    )
    place = np.arange(longest) / a_year
    course = -np.cos(2 * np.pi * place) + 0.2 * np.sin(4 * np.pi * place)
    y = rng.normal(size=(len(years), 1)) * 8 + (9 + rng.random((len(years), 1))) * course + 0.1 * place
    y = y + 2 * rng.normal(size=y.shape)
    return panel.replace(y=y.ravel(), start=panel.stop - lengths)


def haversine(a: Places, i: int) -> Array:
    lat, lon = np.radians(a.lat), np.radians(a.lon)
    half = np.sin((lat - lat[i]) / 2) ** 2 + np.cos(lat) * np.cos(lat[i]) * np.sin((lon - lon[i]) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(half))


def by_hand(panel: Panel, where: Places, years: Array, i: int) -> tuple[Array, Array, float]:
    """Mean coefficients (k,) and variances (3,) of the neighbours of series i, and its own share."""
    alone = normals.fit(panel)
    km = haversine(where, i)
    lenders = [j for j in np.argsort(km) if years[j] >= 5 and km[j] <= 2000][:10]
    weight = 1 / np.maximum(km[lenders], 1)
    worth = 6 * np.exp(-len(lenders) / weight.sum() / 250)
    weight = weight / weight.sum()
    return weight @ alone["coef"][lenders], weight @ alone["spread"][lenders], years[i] / (years[i] + worth)


@pytest.mark.parametrize("freq", ["D", "MS"])
def test_short_histories_take_a_share_of_the_shape_next_door(freq: str) -> None:
    years = np.array([LONG] * 14 + [SHORT, 2.5, 6])
    panel, where = network(years, freq=freq), places(17)
    have = panel.lengths / (365.25 if freq == "D" else 12)
    state, alone = normals.fit(panel, places=where), normals.fit(panel)
    np.testing.assert_array_equal(state["coef"][have >= 5], alone["coef"][have >= 5])
    for i in (14, 15):
        theirs, _, share = by_hand(panel, where, have, i)
        assert 0.15 < share < 0.9
        shape = share * alone["coef"][i] + (1 - share) * theirs
        shape[-1] = theirs[-1]  # under three years a series tells of no trend
        np.testing.assert_allclose(state["coef"][i, 1:], shape[1:], atol=1e-9)
        # The level is the own one: over its rows, the normal and the values have the same mean.
        normal = normals.rows(state, panel)[0][panel.start[i] : panel.stop[i]]
        assert normal.mean() == pytest.approx(panel.y[panel.start[i] : panel.stop[i]].mean(), abs=1e-9)


def test_the_spread_of_short_histories_is_shared_too() -> None:
    panel, where = network(np.array([LONG] * 12 + [0.4])), places(13)
    state = normals.fit(panel, places=where)
    _, theirs, share = by_hand(panel, where, panel.lengths / 365.25, 12)
    last = slice(panel.start[12], panel.stop[12])
    own = np.var(panel.y[last] - normals.rows(state, panel)[0][last], ddof=1)
    np.testing.assert_allclose(state["spread"][12], share * np.array([own, 0, 0]) + (1 - share) * theirs, rtol=1e-9)


def test_months_that_were_not_seen_are_the_neighbours() -> None:
    years = np.array([LONG] * 6 + [2.0])
    panel, where = network(years, freq="MS", seed=1), places(7, seed=1)
    last = slice(panel.start[6], panel.stop[6])
    y = panel.y.copy()
    month = panel.grid.astype("datetime64[M]").astype(int)[-24:] % 12
    y[last] = np.where((month == 6) | (month == 7), np.nan, y[last])
    panel = panel.replace(y=y)
    theirs = normals.rows(normals.fit(panel.take(slice(0, 6))), panel.take(slice(0, 6)))[0].reshape(7, -1)[:6, -24:]
    normal = normals.rows(normals.fit(panel, places=where), panel)[0][last]
    summer = (month == 6) | (month == 7)
    # By how much the summer lies above the other months is known from neighbours alone.
    rise = theirs[:, summer].mean() - theirs[:, ~summer].mean()
    assert normal[summer].mean() - normal[~summer].mean() == pytest.approx(rise, abs=1.0)
    alone = normals.rows(normals.fit(panel), panel)[0][last]
    assert alone[summer].mean() - alone[~summer].mean() == pytest.approx(0, abs=1.5)


def test_some_weeks_of_rows_are_enough_for_a_year() -> None:
    years = np.array([LONG] * 12 + [0.1])
    whole = network(np.full(13, float(LONG)), seed=3)
    panel = whole.replace(start=np.append(whole.start[:12], whole.stop[12] - 36))
    normal = normals.rows(normals.fit(panel, places=places(13)), whole)[0][whole.start[12] : whole.stop[12]]
    wanted = normals.rows(normals.fit(whole), whole)[0][whole.start[12] : whole.stop[12]]
    assert np.sqrt(np.mean((normal - wanted) ** 2)) < 1.5
    alone = normals.rows(normals.fit(panel), whole)[0][whole.start[12] : whole.stop[12]]
    assert np.sqrt(np.mean((alone - wanted) ** 2)) > 5
    scale = normals.ahead(normals.fit(panel, places=places(13)), panel, 200)[1][12]
    assert np.all((scale > 1.2) & (scale < 3.5))
    assert years[12] < 1


def test_a_shift_moves_the_own_level_alone() -> None:
    panel, where = network(np.array([LONG] * 8 + [SHORT, 0.2])), places(10)
    before = normals.fit(panel, places=where)
    for i in (2, 8, 9):
        y = panel.y.copy()
        y[panel.start[i] : panel.stop[i]] += 10
        after = normals.fit(panel.replace(y=y), places=where)
        moved = after["coef"] - before["coef"]
        assert moved[i, 0] == pytest.approx(10, abs=1e-8)
        moved[i, 0] = 0
        np.testing.assert_allclose(moved, 0, atol=1e-8)
        np.testing.assert_allclose(after["spread"], before["spread"], atol=1e-6)


@pytest.mark.parametrize("how", ["unknown", "far", "no lender"])
def test_without_neighbours_the_own_rows_decide(how: str) -> None:
    years = np.array([4.0 if how == "no lender" else LONG] * 6 + [SHORT])
    where = places(7, unknown=(6,) if how == "unknown" else ())
    if how == "far":
        where.lat[6], where.lon[6] = -30, 150
    panel = network(years)
    state, alone = normals.fit(panel, places=where), normals.fit(panel)
    np.testing.assert_array_equal(state["coef"], alone["coef"])
    np.testing.assert_array_equal(state["spread"], alone["spread"])


def test_lenders_have_places_too() -> None:
    panel = network(np.array([LONG] * 6 + [SHORT]))
    known = normals.fit(panel, places=places(7, unknown=(0, 1, 2)))
    fewer = panel.take(np.arange(3, 7)).replace(series=np.arange(4))
    some = places(7).take(np.arange(3, 7))
    np.testing.assert_allclose(known["coef"][6], normals.fit(fewer, places=some)["coef"][3], atol=1e-12)


def test_order_and_turns_of_the_globe_change_no_bit() -> None:
    years = np.array([LONG] * 12 + [SHORT, 0.3, 2.2])
    panel, where = network(years), places(15)
    state = normals.fit(panel, places=where)
    order = np.random.default_rng(1).permutation(15)
    shuffled = normals.fit(panel.take(order).replace(series=np.arange(15)), places=where.take(order))
    for name in ("coef", "spread", "since"):
        np.testing.assert_array_equal(state[name][order].view(np.int64), shuffled[name].view(np.int64))


def test_the_nearest_ten_lend() -> None:
    """Beyond ten, and under five years, a place changes nothing."""
    years = np.array([LONG] * 14 + [4.5, SHORT])
    panel, where = network(years), places(16)
    km = haversine(where, 15)
    far = int(np.argsort(np.where(years >= 5, km, np.inf))[11])
    near = int(np.argsort(np.where(years >= 5, km, np.inf))[9])
    before = normals.fit(panel, places=where)["coef"][15]
    for i, moves in ((far, False), (14, False), (near, True)):
        y = panel.y.copy()
        y[panel.start[i] : panel.stop[i] : 2] += np.linspace(0, 50, len(y[panel.start[i] : panel.stop[i] : 2]))
        after = normals.fit(panel.replace(y=y), places=where)["coef"][15]
        assert np.any(before != after) == moves


def test_kilometres_are_those_of_the_haversine() -> None:
    where = places(6)
    chord = np.linalg.norm(where.vectors - where.vectors[2], axis=1)
    np.testing.assert_allclose(kilometres(chord), haversine(where, 2), atol=1e-6)
