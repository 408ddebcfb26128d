"""KNN in use: missing values, odd series, parameters, intervals, newer rows, files; the literal mean of a cluster."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from direct import anomalies, own_columns, simulated
from numpy.typing import NDArray

import tsforecast
from tsforecast import normals
from tsforecast.datasets import load
from tsforecast.errors import ConfigError, DataError, DataWarning, FitError
from tsforecast.findings import as_panel
from tsforecast.forecast import STATUSES
from tsforecast.geography import places_of
from tsforecast.intervals import Conformal
from tsforecast.models.knn import KNN
from tsforecast.models.naive import Climatology
from tsforecast.panel import Panel
from tsforecast.rolling import origins, roll

Array = NDArray[Any]
H = 3


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Nine places with 240 days."""
    return simulated(9, 240)


def point(model: KNN, panel: Panel, h: int = H) -> Array:
    """Forecasts (n, h) after the last rows."""
    return model.forecast(model.learn(panel, h, False), panel, h, np.empty((len(panel), h, 0)), ()).point


def test_a_missing_neighbour_counts_by_its_last_value_and_then_as_normal(panel: Panel) -> None:
    model = KNN(5)
    state = model.learn(panel, H, False)
    fit = state["fit"]
    values, scale, normal = anomalies(panel, places=places_of(panel.static, panel.ids, "KNN"))
    level, _ = normals.rows(normal, panel)
    j, last = 3, panel.stop[3] - 1
    for gap in (1, 3, 4, 60):
        lost = panel.y.copy()
        lost[last - gap + 1 : last + 1] = np.nan
        told = panel.y.copy()
        for back in range(gap):
            since = gap - back
            stands = values[j, 239 - gap] * fit["own"][j] ** since if since <= 3 else 0.0
            told[last - back] = level[last - back] + scale[j, 239 - back] * stands
        one, two = (model.forecast(state, panel.replace(y=y), H, np.empty((9, H, 0)), ()).point for y in (lost, told))
        np.testing.assert_allclose(one, two, atol=1e-9)
    assert np.abs(one - point(model, panel)).max() > 1e-3


def test_places_that_are_not_there_count_as_missing(panel: Panel) -> None:
    model = KNN(5)
    state = model.learn(panel, H, False)
    some = np.array([6, 1, 3])
    alone = model.forecast(state, panel.take(some), H, np.empty((3, H, 0)), ()).point
    y = panel.y.copy()
    for j in set(range(9)) - set(some.tolist()):
        y[panel.start[j] : panel.stop[j]] = np.nan
    whole = model.copy(on_error="skip").forecast(state, panel.replace(y=y), H, np.empty((9, H, 0)), ()).point
    np.testing.assert_allclose(alone, whole[some], atol=1e-12)


def test_a_twin_is_nobodys_neighbour() -> None:
    panel = simulated(14, 300, seed=11)
    many = panel.take(np.append(np.arange(14), 0))
    ids = np.array([*panel.ids, "zz twin"], dtype=object)
    twins = many.replace(ids=ids, series=np.arange(15))
    for mode in ("neighbours", "cluster"):
        plan = KNN(4, mode).learn(twins, 1, False)["fit"]["kinds"][mode]
        assert not np.isin(plan["index"], [14] if mode == "neighbours" else []).any()
        if mode == "neighbours":
            np.testing.assert_array_equal(plan["index"][14], plan["index"][0])
            assert 0 not in plan["index"][14]
    model = KNN().fit(twins, h=1)
    one = np.sqrt(np.nanmean(model.state_["errors"][[0, 14]] ** 2))
    others = np.sqrt(np.nanmean(model.state_["errors"] ** 2))
    assert one > 0.3 * others  # a twin that tells the place what it is would leave next to nothing


def test_constant_short_and_empty_series_leave_the_others_forecast() -> None:
    panel = simulated(12, 250, seed=12)
    y, start = panel.y.copy(), panel.start.copy()
    y[panel.start[0] : panel.stop[0]] = 7.0
    y[panel.start[1] : panel.stop[1]] = np.nan
    start[2], start[3] = panel.stop[2] - 3, panel.stop[3]
    odd = panel.replace(y=y, start=start)
    model = KNN(on_error="skip").fit(odd, h=H)
    out = model.forecast(model.state_, odd, H, np.empty((12, H, 0)), ())
    np.testing.assert_allclose(out.point[0], 7.0, atol=1e-9)
    failed = [STATUSES[s] == "failed" for s in out.status]
    assert failed == [i in (1, 3) for i in range(12)]
    assert np.isfinite(out.point[2]).all()
    assert np.abs(out.point[4:] - point(KNN(), panel)[4:]).max() < 5


def test_what_never_strays_teaches_nothing() -> None:
    panel = simulated(12, 250, seed=12)
    lat = np.append(-60.0, panel.static["lat"][1:])  # sees the others, and is seen by none
    y = np.where(np.arange(len(panel.y)) < panel.stop[0], 7.0, panel.y)
    still = panel.replace(y=y, static=panel.static | {"lat": lat})
    others = still.take(np.arange(1, 12)).replace(series=np.arange(11))
    np.testing.assert_allclose(point(KNN(4), still)[1:], point(KNN(4), others), rtol=0, atol=1e-9)


def test_a_place_that_begins_after_the_origin_fails_alone() -> None:
    panel = simulated(12, 300, seed=12)
    start = panel.start.copy()
    start[5] += 280
    late = panel.replace(start=start, offset=panel.offset)
    cutoffs = np.array([240, 250])
    got = roll(KNN(4, on_error="skip"), late, cutoffs, h=H, refit=False)
    assert (got.status[:, 5] == STATUSES.index("failed")).all()
    others = np.delete(np.arange(12), 5)
    lost = late.replace(y=np.where(np.arange(3600) // 300 == 5, np.nan, late.y))
    want = roll(KNN(4, on_error="skip"), lost, cutoffs, h=H, refit=False)
    np.testing.assert_array_equal(got.point[:, others], want.point[:, others])
    early = late.upto(240)
    model = KNN(4, on_error="skip").fit(early, h=H)
    assert np.isnan(model.state_["errors"][5]).all()


def test_too_few_rows_to_choose_by() -> None:
    panel = simulated(50, 40, seed=17)
    (band, *_rest) = KNN().fit(panel, h=3).describe()["bands"]
    assert (band["mode"], band["k"], band["pseudo_rows"]) == ("neighbours", 20, 400.0)
    assert np.isnan(band["mse"])
    (band,) = KNN(mode="cluster").fit(panel.take(np.arange(4)).replace(series=np.arange(4)), h=1).describe()["bands"]
    assert (band["mode"], band["clusters"], band["k"]) == ("cluster", 1, 1)


def test_windows_side_by_side_are_forecast_as_each_alone(panel: Panel) -> None:
    model = KNN(4)
    state = model.learn(panel.replace(stop=panel.stop - 20), H, False)
    cutoffs = np.array([[221], [230], [239]]) * np.ones(9, np.int64)
    many = model.forecast(state, panel.cut(cutoffs), H, np.empty((27, H, 0)), ()).point.reshape(3, 9, H)
    for one, cutoff in zip(many, cutoffs, strict=True):
        alone = model.forecast(state, panel.upto(cutoff), H, np.empty((9, H, 0)), ()).point
        np.testing.assert_allclose(one, alone, atol=1e-10)


def test_one_series_is_forecast_from_its_own_past_with_a_warning_once() -> None:
    panel = simulated(1, 300)
    with pytest.warns(DataWarning, match="no neighbours"):
        model = KNN().fit(panel, h=2)
    assert np.isfinite(model.predict(2).KNN).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rolled = roll(KNN(), panel, origins(panel, h=2, windows=3), h=2)
    assert np.isfinite(rolled.point).all()


def test_unknown_places_are_refused_or_left_to_the_fallback(panel: Panel) -> None:
    lat = panel.static["lat"].copy()
    lat[3] = np.nan
    lost = panel.replace(static=panel.static | {"lat": lat})
    with pytest.warns(DataWarning), pytest.raises(DataError, match=f"no lat and lon: {panel.ids[3]}"):
        KNN().fit(lost, h=2)
    for on_error, status in (("skip", "failed"), ("fallback", "fallback")):
        with pytest.warns(DataWarning):
            table = KNN(on_error=on_error).fit(lost, h=2).predict(2)
        got = table.groupby("unique_id", sort=False).status.first()
        assert got[panel.ids[3]] == status
        assert (got.drop(panel.ids[3]) == "ok").all()
    with pytest.raises(ConfigError, match="lat"):
        KNN().fit(panel.replace(static={}), h=2)


# The forecaster.


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"k": 0}, "k must be"),
        ({"k": "five"}, "k must be"),
        ({"mode": "nearest"}, "neighbours, cluster"),
        ({"base": "year"}, "base must be"),
        ({"raw_mean": 1}, "raw_mean must be"),
        ({"raw_mean": True, "mode": "neighbours"}, "mean of a cluster"),
        ({"calendar": "weekday"}, "uses no columns"),
    ],
)
def test_parameters_that_cannot_be(panel: Panel, params: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        KNN(**params).fit(panel, h=2)


def test_a_horizon_is_asked_for(panel: Panel) -> None:
    with pytest.raises(ConfigError, match="horizon"):
        KNN().fit(panel)
    with pytest.raises(ConfigError, match="reaches farther"):
        KNN(3).fit(panel, h=2).predict(3)


def test_intervals_hold_what_they_promise_without_a_refit(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = simulated(15, 1100, seed=13)
    early = panel.replace(stop=panel.stop - 200)
    fits: list[int] = []
    inner = KNN._fit
    monkeypatch.setattr(KNN, "_fit", lambda self, *rest: (fits.append(1), inner(self, *rest))[1])
    model = KNN(8).fit(early, h=H)
    assert len(fits) == 1
    covered = []
    for back in range(200, H, -7):
        spans = panel.replace(stop=panel.stop - back)
        out = model.forecast(model.state_, spans, H, np.empty((15, H, 0)), (80,))
        truth = spans.ahead(panel, H)
        covered.append((out.lower[..., 0] <= truth) & (truth <= out.upper[..., 0]))
    assert 0.74 < np.mean(covered) < 0.86


def test_conformal_recipes_take_their_own_origins(panel: Panel) -> None:
    errors = KNN(3).fit(panel, h=2).state_["errors"]
    some = KNN(3, intervals=Conformal(windows=12, step=3)).fit(panel, h=2).state_["errors"]
    assert some.shape == (9, 12, 2)
    back = 2 + 3 * np.arange(11, -1, -1)
    np.testing.assert_array_equal(some, errors[:, errors.shape[1] - back])


def test_fitted_values_are_one_step_forecasts(panel: Panel) -> None:
    model = KNN(4).fit(panel, h=2)
    table = model.fitted()
    values = table["KNN"].to_numpy().reshape(9, 240)
    for last in (100, 200, 238):
        spans = panel.upto(last)
        told = model.forecast(model.state_, spans, 1, np.empty((9, 1, 0)), ()).point[:, 0]
        np.testing.assert_allclose(values[:, last + 1], told, atol=1e-8)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("way", [KNN(4), KNN(3, "cluster")], ids=repr)
def test_update_moves_the_origin_and_greets_newcomers(panel: Panel, tmp_path: Path, way: KNN) -> None:
    early = panel.replace(stop=panel.stop - 20)
    model = way.copy().fit(early, h=H).update(panel)
    want = roll(way, panel, np.array([219, 239]), h=H, refit=False).point[1]
    np.testing.assert_allclose(model.predict(H).KNN.to_numpy().reshape(9, H), want, atol=1e-9)
    new = simulated(1, 240, seed=20)
    model.update(new.replace(ids=np.array(["new"], dtype=object), static={}))
    assert model.updated_ == ("new",)
    table = model.predict(H, levels=[80])
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)
    np.testing.assert_allclose(table.KNN.to_numpy()[: 9 * H].reshape(9, H), want, atol=1e-9)
    # By its own past alone: the coefficients that all share, on an anomaly from its own normal.
    values, _, normal = anomalies(new)
    level, scale = normals.ahead(normal, new, H)
    x = own_columns(values[0], 239, (0, 1, 2), (7, 90))
    np.testing.assert_allclose(
        table.KNN.to_numpy()[9 * H :], level[0] + scale[0] * (x @ model.state_["fit"]["alone"]), atol=1e-9
    )
    model.save(tmp_path / "model.tsf")
    again = tsforecast.load(tmp_path / "model.tsf").predict(H, levels=[80])
    np.testing.assert_array_equal(again.to_numpy()[:, 2:].astype(float), table.to_numpy()[:, 2:].astype(float))


def test_stale_places_are_forecast_from_their_own_last_row() -> None:
    panel = simulated(10, 460, seed=14)
    stop = panel.stop.copy()
    stop[4] -= 150
    ragged = panel.replace(stop=stop)
    model = KNN(4)
    got = point(model, ragged)
    state = model.learn(ragged, H, False)
    at_once = panel.replace(stop=panel.stop - 150)
    told = model.forecast(state, at_once, H, np.empty((10, H, 0)), ()).point
    np.testing.assert_allclose(got[4], told[4], atol=1e-9)


# The literal recipe.


def stamped(panel: Panel, freq: str) -> Panel:
    """The panel with weekly stamps for "W-SUN", as it is otherwise."""
    weeks = np.datetime64("2000-01-02", "us") + 7 * np.arange(len(panel.grid)) * np.timedelta64(1, "D")
    return panel.replace(grid=weeks, freq=freq) if freq == "W-SUN" else panel


def position(day: Any, freq: str) -> tuple[int, ...]:
    """Where a date stands in the calendar."""
    if freq == "D":
        return (day.month, day.day)
    return (day.month,) if freq == "MS" else ((day.timetuple().tm_yday - 1) // 7,)


@pytest.mark.parametrize("freq", ["D", "MS", "W-SUN"])
def test_the_raw_mean_is_that_of_a_cluster_at_the_calendar_position(freq: str) -> None:
    panel = stamped(simulated(12, 880, seed=15, freq="MS" if freq == "MS" else "D"), freq)  # to 29 May 2017
    model = KNN(3, raw_mean=True).fit(panel, h=4)
    label = model.state_["fit"]["label"]
    table = model.predict(4)
    stamps = [day.item() for day in panel.grid.astype("M8[D]")]
    ahead = [day.item() for day in table.ds.to_numpy().astype("M8[D]")]
    got, y, held = table.KNN.to_numpy().reshape(12, 4), panel.y.reshape(12, 880), 220
    for i in range(12):
        mates = [j for j in range(12) if label[j] == label[i]]
        for step in range(4):
            at = [t for t in range(880) if position(stamps[t], freq) == position(ahead[4 * i + step], freq)]
            assert got[i, step] == pytest.approx(np.mean([y[j, t] for j in mates for t in at]), rel=1e-12)
        # Held-out errors are those of the means of the rows before.
        target = 880 - held + 7
        at = [t for t in range(880 - held) if position(stamps[t], freq) == position(stamps[target], freq)]
        left = y[i, target] - np.mean([y[j, t] for j in mates for t in at])
        back = {step: 880 - 1 - target + step for step in (1, 4)}
        for step, rows in back.items():
            assert model.state_["errors"][i, held - rows, step - 1] == pytest.approx(left, rel=1e-9)


def test_the_raw_mean_takes_as_many_clusters_as_err_least() -> None:
    panel = simulated(44, 800, seed=18)
    errors = {k: KNN(k, raw_mean=True).fit(panel, h=1).state_["errors"] for k in (1, 4, 11)}
    best = min(errors, key=lambda k: float(np.nanmean(errors[k] ** 2)))
    assert KNN(raw_mean=True).fit(panel, h=1).describe()["clusters"] == best


def test_the_raw_mean_loses_to_climatology_and_neighbours_win() -> None:
    table, places = load("colorado", static=True)
    panel = as_panel(table, places)
    long = panel.lengths > 1100
    panel = panel.take(long).replace(series=np.arange(int(long.sum())))
    cutoffs = np.searchsorted(panel.grid, np.datetime64("1985-12-01")) + np.arange(0, 120, 6)
    models = Climatology(on_error="skip"), KNN(on_error="skip"), KNN(raw_mean=True, on_error="skip")
    errors = np.stack([roll(model, panel, cutoffs, h=12, refit=2).errors for model in models])
    climatology, near, raw = np.sqrt(np.mean(errors[:, np.isfinite(errors).all(axis=0)] ** 2, axis=1))
    assert raw > 1.05 * climatology
    assert near < climatology


def test_a_position_never_seen_has_that_of_the_day_before() -> None:
    panel = simulated(4, 365, seed=16)  # 2015: no 29 February
    model = KNN(2, raw_mean=True, on_error="skip")
    fit = model.learn(panel, 1, False)["fit"]
    means = fit["means"].reshape(-1, 12, 31)
    np.testing.assert_array_equal(means[:, 1, 28], means[:, 1, 27])
    lost = panel.replace(static=panel.static | {"lat": np.array([np.nan, *panel.static["lat"][1:]])})
    strict = KNN(2, raw_mean=True)
    state = strict.learn(lost, 1, False)
    with pytest.raises(FitError, match=panel.ids[0]):
        strict.forecast(state, lost, 1, np.empty((4, 1, 0)), ())
