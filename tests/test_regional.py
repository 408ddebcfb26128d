"""RegionalLinear against least squares on long tables, and what it does with small, missing and new regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from direct import PRIOR, anomalies, haversine, own_columns, ridge, simulated
from numpy.typing import NDArray

import tsforecast
from tsforecast import normals
from tsforecast.errors import ConfigError
from tsforecast.geography import places_of
from tsforecast.intervals import Conformal
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Panel
from tsforecast.rolling import origins, roll

Array = NDArray[Any]
H = 2
TERMS = (0, 1, 2), (7, 90)
PENALTY = 1000.0


def regions(panel: Panel, names: Any) -> Panel:
    """The panel with a column of regions and no coordinates."""
    return panel.replace(static={"region": np.array(names, dtype=object)})


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Twelve series: four in the north, three in the south, two in the east, three of no region."""
    return regions(simulated(12, 200), ["north"] * 4 + ["south"] * 3 + ["east"] * 2 + [None] * 3)


def point(model: RegionalLinear, panel: Panel, h: int = H) -> Array:
    """Forecasts (n, h) after the last rows."""
    return model.forecast(model.learn(panel, h, False), panel, h, np.empty((len(panel), h, 0)), ()).point


def tables(values: Array, step: int, stop: int) -> list[tuple[Array, Array]]:
    """Own columns and targets of each series, of the origins whose target is known."""
    out = []
    for row in values:
        filled = np.nan_to_num(row)
        first = int(np.argmax(np.isfinite(row)))
        at = [t for t in range(first, stop - step) if np.isfinite(row[t + step])]
        out.append((np.array([own_columns(filled, t, *TERMS) for t in at]), row[[t + step for t in at]]))
    return out


def stacked(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    return np.vstack([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def by_hand(values: Array, groups: list[list[int]], step: int, stop: int) -> list[Array]:
    """Coefficients of all series, then of each group shrunk to them."""
    each = tables(values, step, stop)
    shared = ridge(*stacked(each), PRIOR)
    out = [shared]
    for group in groups:
        x, y = stacked([each[i] for i in group])
        out.append(shared + ridge(x, y - x @ shared, PENALTY))
    return out


def told(values: Array, coef: list[list[Array]], at: int) -> Array:
    """Anomalies (n, h) from row `at` by coefficients of each series and step."""
    return np.array([
        [np.array(own_columns(np.nan_to_num(row), at, *TERMS)) @ one for one in mine]
        for row, mine in zip(values, coef, strict=True)
    ])  # fmt: skip


def test_coefficients_are_ridge_regressions_on_long_tables(panel: Panel) -> None:
    y = panel.y.copy()
    y[panel.start[1] : panel.start[1] + 50] = np.nan  # begins later
    late = panel.replace(y=y)
    values, _, normal = anomalies(late)
    level, scale = normals.ahead(normal, late, H)
    groups = [[0, 1, 2, 3], [4, 5, 6]]  # two series and a missing name are no region
    model_of = [1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0]
    fits = [by_hand(values, groups, step, 200) for step in (1, 2)]
    want = level + scale * told(values, [[fit[m] for fit in fits] for m in model_of], 199)
    np.testing.assert_allclose(point(RegionalLinear(), late), want, atol=1e-8)
    alike = level + scale * told(values, [[fit[0] for fit in fits]] * 12, 199)
    np.testing.assert_allclose(point(RegionalLinear("global"), late), alike, atol=1e-8)
    single = [by_hand(values, [[i] for i in range(12)], step, 200) for step in (1, 2)]
    want = level + scale * told(values, [[fit[1 + i] for fit in single] for i in range(12)], 199)
    np.testing.assert_allclose(point(RegionalLinear("series"), late), want, atol=1e-8)


def test_missing_targets_are_left_out_and_missing_values_told_by_the_last_ones(panel: Panel) -> None:
    y = panel.y.copy()
    y[panel.start[2] + 60 : panel.start[2] + 64] = np.nan
    gaps = panel.replace(y=y)
    values, _, _ = anomalies(gaps)
    row = values[2]
    seen = np.isfinite(row[:-1]) & np.isfinite(row[1:])
    rho = np.corrcoef(row[:-1][seen], row[1:][seen])[0, 1]
    filled = values.copy()
    filled[2, 60:64] = [row[59] * rho, row[59] * rho**2, row[59] * rho**3, 0.0]
    table = [
        (np.array([own_columns(filled[i], t, *TERMS) for t in range(199) if np.isfinite(values[i, t + 1])]),
         np.array([values[i, t + 1] for t in range(199) if np.isfinite(values[i, t + 1])]))
        for i in range(12)
    ]  # fmt: skip
    shared = ridge(*stacked(table), PRIOR)
    coef = RegionalLinear("global").learn(gaps, 1, False)["fit"]["coef"]
    np.testing.assert_allclose(coef[0, :, 0], shared, atol=1e-10)


def test_a_small_region_goes_by_what_lies_around_it() -> None:
    panel = simulated(40, 150, seed=3)
    names = np.array(["west" if lon < 15 else "east" for lon in panel.static["lon"]], dtype=object)
    names[:2], names[5] = "tiny", None
    placed = panel.replace(static=panel.static | {"region": names})
    fit = RegionalLinear().learn(placed, 1, False)["fit"]
    small = [0, 1, 5]
    assert set(fit["model"][[i for i in range(40) if i not in small]]) == {1, 2}
    km = haversine(panel.static["lat"], panel.static["lon"])
    values, _, _ = anomalies(placed, places=places_of(placed.static, placed.ids, "x"))
    each = tables(values, 1, 150)
    shared = ridge(*stacked(each), PRIOR)
    for i in small:
        coef = fit["coef"][fit["model"][i], :, 0]
        assert fit["model"][i] > 2
        # Among the groups of nearest places there is one whose regression this is; k-means draws the line.
        from tsforecast.geography import clusters

        label = clusters(places_of(placed.static, placed.ids, "x"), 4).label
        mates = np.flatnonzero(label == label[i])
        assert km[i, mates].max() < np.delete(km[i], mates).max()
        x, y = stacked([each[j] for j in mates])
        np.testing.assert_allclose(coef, shared + ridge(x, y - x @ shared, PENALTY), atol=1e-8)


def test_errors_are_those_of_the_fit_before_the_held_out_rows(panel: Panel) -> None:
    model = RegionalLinear("global").fit(panel, h=H)
    values, scale, _ = anomalies(panel, 50)
    fits = [by_hand(values, [], step, 150) for step in (1, 2)]
    errors = model.state_["errors"]
    assert errors.shape == (12, 50, H)
    for back in (50, 17, 2):
        want = told(values, [[fit[0] for fit in fits]] * 12, 199 - back)
        left = (values[:, 200 - back : 202 - back] - want) * scale[:, 200 - back : 202 - back]
        np.testing.assert_allclose(errors[:, 50 - back], left, atol=1e-8)
    assert np.isnan(errors[:, -1, 1]).all()
    some = RegionalLinear("global", intervals=Conformal(windows=6, step=4)).fit(panel, h=H).state_["errors"]
    np.testing.assert_array_equal(some, errors[:, 50 - (2 + 4 * np.arange(5, -1, -1))])


def test_scope_must_be_there(panel: Panel) -> None:
    with pytest.raises(ConfigError, match=r"scope='country' is not a static column \(static columns: region\)"):
        RegionalLinear("country").fit(panel, h=1)
    with pytest.raises(ConfigError, match="no static table was given"):
        RegionalLinear("country").fit(panel.replace(static={}), h=1)
    with pytest.raises(ConfigError, match="base must be"):
        RegionalLinear("global", base="year").fit(panel, h=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="horizon"):
        RegionalLinear("global").fit(panel)


def test_regions_are_taken_from_what_there_is(panel: Panel) -> None:
    bare = panel.replace(static={})
    np.testing.assert_array_equal(point(RegionalLinear(), bare), point(RegionalLinear("global"), bare))
    np.testing.assert_array_equal(point(RegionalLinear(), panel), point(RegionalLinear("region"), panel))
    placed = simulated(40, 150, seed=3)
    nowhere = placed.replace(static=placed.static | {"region": np.full(40, None, dtype=object)})
    np.testing.assert_array_equal(point(RegionalLinear(), placed), point(RegionalLinear("region"), nowhere))
    assert (point(RegionalLinear(), placed) != point(RegionalLinear("global"), placed)).any()


def test_order_changes_no_bit(panel: Panel) -> None:
    placed = simulated(24, 160, seed=5)
    placed = placed.replace(static=placed.static | {"region": np.array([*"aaaabbbbcd" * 2, *"aabb"], dtype=object)})
    order = np.random.default_rng(2).permutation(24)
    mixed = placed.take(order).replace(series=np.arange(24))
    np.testing.assert_array_equal(point(RegionalLinear(), mixed), point(RegionalLinear(), placed)[order])
    lon = placed.static["lon"] + 360 * (np.arange(24) % 2)
    turned = placed.replace(static=placed.static | {"lon": lon})
    np.testing.assert_array_equal(point(RegionalLinear(), turned), point(RegionalLinear(), placed))
    one, two = (RegionalLinear().fit(p, h=H).state_["errors"] for p in (mixed, placed))
    np.testing.assert_array_equal(one, two[order])


def test_numbers_may_be_regions(panel: Panel) -> None:
    codes = np.array([1.0] * 4 + [2.0] * 3 + [3.0] * 2 + [np.nan] * 3)
    np.testing.assert_array_equal(
        point(RegionalLinear("zone"), panel.replace(static={"zone": codes})), point(RegionalLinear(), panel)
    )


def test_one_series_raised_moves_itself_alone(panel: Panel) -> None:
    y = panel.y.copy()
    y[panel.start[4] : panel.stop[4]] += 10
    moved = point(RegionalLinear(), panel.replace(y=y)) - point(RegionalLinear(), panel)
    np.testing.assert_allclose(moved, np.where(np.arange(12) == 4, 10.0, 0.0)[:, None] * np.ones(H), atol=1e-8)


def test_constant_short_and_empty_series() -> None:
    panel = regions(simulated(12, 200, seed=7), ["a"] * 6 + ["b"] * 6)
    y, start = panel.y.copy(), panel.start.copy()
    y[panel.start[0] : panel.stop[0]] = 3.0
    y[panel.start[1] : panel.stop[1]] = np.nan
    start[2], start[3] = panel.stop[2] - 2, panel.stop[3]
    odd = panel.replace(y=y, start=start)
    model = RegionalLinear(on_error="skip").fit(odd, h=H)
    got = model.predict(H)["RegionalLinear"].to_numpy().reshape(12, H)
    np.testing.assert_allclose(got[0], 3.0, atol=1e-9)
    assert np.isnan(got[[1, 3]]).all()
    assert np.isfinite(np.delete(got, [1, 3], axis=0)).all()
    alone = panel.take(np.array([5])).replace(series=np.zeros(1, np.int64), static={})
    assert np.isfinite(point(RegionalLinear("global"), alone)).all()


def test_series_that_ended_earlier_are_forecast_from_their_own_last_row(panel: Panel) -> None:
    model = RegionalLinear()
    state = model.learn(panel, H, False)
    stop = panel.stop.copy()
    stop[3] -= 150
    ragged = panel.replace(stop=stop)
    got = model.forecast(state, ragged, H, np.empty((12, H, 0)), ()).point
    early = model.forecast(state, panel.replace(stop=panel.stop - 150), H, np.empty((12, H, 0)), ()).point
    whole = model.forecast(state, panel, H, np.empty((12, H, 0)), ()).point
    np.testing.assert_array_equal(got[3], early[3])
    np.testing.assert_array_equal(np.delete(got, 3, axis=0), np.delete(whole, 3, axis=0))


def test_a_series_that_begins_after_the_origin_fails_alone(panel: Panel) -> None:
    start = panel.start.copy()
    start[3] += 190
    late = panel.replace(start=start)
    got = roll(RegionalLinear(on_error="skip"), late, np.array([150, 160]), h=H, refit=False)
    assert np.isnan(got.point[:, 3]).all()
    assert np.isfinite(np.delete(got.point, 3, axis=1)).all()
    model = RegionalLinear(on_error="skip").fit(late.upto(150), h=H)
    assert np.isnan(model.state_["errors"][3]).all()


def test_fitted_values_are_one_step_forecasts(panel: Panel) -> None:
    model = RegionalLinear().fit(panel, h=H)
    values = model.fitted()["RegionalLinear"].to_numpy().reshape(12, 200)
    for last in (0, 99, 198):
        spans = panel.upto(last)
        one = model.forecast(model.state_, spans, 1, np.empty((12, 1, 0)), ()).point[:, 0]
        np.testing.assert_allclose(values[:, last + 1], one, atol=1e-9)
    assert np.isfinite(values).all()


def test_update_and_files(panel: Panel, tmp_path: Path) -> None:
    model = RegionalLinear().fit(panel.replace(stop=panel.stop - 9), h=H).update(panel)
    want = roll(RegionalLinear(), panel, np.array([190, 199]), h=H, refit=False).point[1]
    np.testing.assert_allclose(model.predict(H)["RegionalLinear"].to_numpy().reshape(12, H), want, atol=1e-9)
    new = simulated(1, 150, seed=9)
    model.update(new.replace(ids=np.array(["new"], dtype=object), static={}))
    table = model.predict(H, levels=[80])
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)
    values, _, normal = anomalies(new)
    level, scale = normals.ahead(normal, new, H)
    x = np.array(own_columns(values[0], 149, *TERMS))
    told = level[0] + scale[0] * (x @ model.state_["fit"]["coef"][0])
    np.testing.assert_allclose(table["RegionalLinear"].to_numpy()[12 * H :], told, atol=1e-9)
    model.save(tmp_path / "model.tsf")
    again = tsforecast.load(tmp_path / "model.tsf").predict(H, levels=[80])
    np.testing.assert_array_equal(again.to_numpy()[:, 2:].astype(float), table.to_numpy()[:, 2:].astype(float))


def test_nothing_after_an_origin_matters(panel: Panel) -> None:
    cutoffs = origins(panel, h=H, windows=4, step=3)
    y = panel.y.copy()
    y[np.concatenate([np.arange(stop - 11, stop) for stop in panel.stop])] = -1e3
    one, two = (roll(RegionalLinear(), p, cutoffs, h=H, refit=False).point[0] for p in (panel, panel.replace(y=y)))
    np.testing.assert_array_equal(one, two)


def test_regions_help_where_they_differ() -> None:
    """Two countries of opposite persistence: one model for both knows neither."""
    rng = np.random.default_rng(0)
    y = np.zeros((12, 600))
    for t in range(1, 600):
        y[:, t] = np.where(np.arange(12) < 6, 0.8, -0.8) * y[:, t - 1] + rng.normal(size=12)
    panel = Panel.from_arrays(y, freq=1, static={"region": np.array(["a"] * 6 + ["b"] * 6, dtype=object)})
    cutoffs = origins(panel, h=1, windows=40)
    own, all_ = (
        np.mean(roll(RegionalLinear(scope), panel, cutoffs, h=1, refit=False).errors ** 2)
        for scope in ("region", "global")
    )
    assert own < 1.35 < 1.6 < all_
