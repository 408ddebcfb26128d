"""Anomaly: the model on what normals leave, by hand; what it hands through, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import lag_table
from numpy.typing import NDArray
from test_normals_lent import haversine

from tsforecast import contract, normals
from tsforecast.calendars.almanac import Almanac
from tsforecast.compose import anomaly
from tsforecast.compose.anomaly import Anomaly
from tsforecast.compose.blend import Blend
from tsforecast.errors import ConfigError, DataError
from tsforecast.forecaster import Forecaster
from tsforecast.geography import Places
from tsforecast.intervals import Conformal
from tsforecast.models.ar import AR
from tsforecast.models.naive import Naive, SeasonalNaive, WindowMean
from tsforecast.models.neural import LSTM
from tsforecast.panel import Panel
from tsforecast.registry import load
from tsforecast.rolling import origins, roll

Array = NDArray[Any]
SHORT: dict[str, Any] = {"epochs": 1, "sample": 320}
H = 5


def climate(n: int = 6, rows: int = 1300, seed: int = 0, **more: Any) -> Panel:
    """Daily temperatures of places near each other, with lat and lon and a column `promo` that adds to them."""
    rng = np.random.default_rng(seed)
    lat, lon = 45 + 2 * rng.normal(size=n), 8 + 2 * rng.normal(size=n)
    day = np.arange(rows)
    shocks = rng.normal(size=(n, rows)) + rng.normal(size=rows)
    y = np.zeros((n, rows))
    for t in range(1, rows):
        y[:, t] = 0.7 * y[:, t - 1] + shocks[:, t]
    promo = (rng.random((n, rows)) < 0.2).astype(float)
    y += 10 + rng.normal(size=(n, 1)) * 5 - 8 * np.cos(2 * np.pi * day / 365.25) + 3 * promo
    return Panel.from_arrays(
        y, freq="D", start="2019-05-01", ids=[f"p{i}" for i in range(n)], columns={"promo": promo.ravel()},
        static={"lat": lat, "lon": lon}, **more,
    )  # fmt: skip


def points(model: Forecaster, panel: Panel, h: int = H, **more: Any) -> Array:
    table = model.fit(panel, h=h).predict(h, **more)
    values: Array = table[model.name].to_numpy().reshape(len(panel), h)
    return values


def test_it_is_an_autoregression_of_the_anomalies() -> None:
    panel = climate(2)
    state = normals.fit(panel)
    left = normals.anomalies(state, panel).y.reshape(2, -1)
    normal, scale = normals.ahead(state, panel, H)
    found = points(Anomaly(AR([1, 3], ridge=0, transform=None)), panel)
    for i in range(2):
        x, target = lag_table(left[i], [1, 3])
        beta = np.linalg.lstsq(x, target, rcond=None)[0]
        z = left[i].tolist()
        for _ in range(H):
            z.append(beta @ [1, z[-1], z[-3]])
        np.testing.assert_allclose(found[i], normal[i] + scale[i] * z[-H:], rtol=1e-7)


@pytest.mark.parametrize(
    "model", [AR([1, 2]), SeasonalNaive(), AR(2, strategy="direct"), AR(2, scope="global")], ids=repr
)
def test_a_year_and_a_trend_are_added_to_the_forecast_as_they_were_to_the_series(model: Forecaster) -> None:
    panel = climate(3)
    t = panel.grid.astype("datetime64[us]").astype(np.int64) / 86_400e6
    t = np.append(t, t[-1] + np.arange(1, H + 1))
    more = 5 * np.sin(2 * np.pi * t / 365.2425) - 2 * np.cos(6 * np.pi * t / 365.2425) + 0.01 * t
    moved = panel.replace(y=panel.y + np.tile(more[:-H], 3))
    np.testing.assert_allclose(points(Anomaly(model), moved), points(Anomaly(model), panel) + more[-H:], atol=1e-4)


def test_base_none_leaves_the_season_in() -> None:
    panel = climate(2)
    y = panel.y.reshape(2, -1)
    found = points(Anomaly(WindowMean(7), base="none"), panel)
    np.testing.assert_allclose(found, np.repeat(y[:, -7:].mean(axis=1)[:, None], H, axis=1))


class TestIntervals:
    """They are the model's own, in units of the spread of the coming dates; else of errors of both, refitted."""

    def test_own_ones(self) -> None:
        panel = climate(3)
        state = normals.fit(panel)
        left = AR(3).fit(normals.anomalies(state, AR(3).design(panel))).predict(H, levels=[80, 95])
        mine = Anomaly(AR(3)).fit(panel).predict(H, levels=[80, 95])
        normal, scale = (part.ravel() for part in normals.ahead(state, panel, H))
        for end in ("", "-lo-80", "-hi-80", "-lo-95", "-hi-95"):
            np.testing.assert_allclose(mine["Anomaly" + end], normal + scale * left["AR" + end], rtol=1e-12)

    def test_those_of_a_net_are_its_own_errors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        panel = climate(6, rows=400)
        state = normals.fit(panel)
        net = LSTM(**SHORT)
        left = net.fit(normals.anomalies(state, net.design(panel)), h=H).predict(H, levels=[80])
        fits = []
        plain = LSTM._fit
        monkeypatch.setattr(LSTM, "_fit", lambda *given: fits.append(1) or plain(*given))
        mine = Anomaly(net).fit(panel, h=H)
        table = mine.predict(H, levels=[80])
        assert len(fits) == 1
        normal, scale = (part.ravel() for part in normals.ahead(state, panel, H))
        for end in ("", "-lo-80", "-hi-80"):
            np.testing.assert_allclose(table["Anomaly" + end], normal + scale * left["LSTM" + end], rtol=1e-12)
        paths = mine.simulate(200).filter(like="path").to_numpy()
        assert np.all(np.abs(np.median(paths, axis=1) - table["Anomaly"]) < table["Anomaly-hi-80"] - table["Anomaly"])

    def test_horizons_that_were_not_fitted_are_refused(self) -> None:
        mine = Anomaly(LSTM(**SHORT)).fit(climate(6, rows=400), h=3)
        with pytest.raises(ConfigError, match="h=4"):
            mine.predict(4, levels=[80])
        assert len(mine.predict(4)) == 24
        with pytest.raises(ConfigError, match="h=4"):
            Anomaly(LSTM(**SHORT)).fit(climate(6, rows=400)).predict(4, levels=[80])

    @pytest.mark.parametrize("inside", [True, False])
    def test_conformal_ones_come_from_refitted_normals(self, inside: bool) -> None:
        recipe, panel = Conformal(windows=9), climate(3)
        model = Anomaly(Naive(intervals=recipe)) if inside else Anomaly(Naive(), intervals=recipe)
        table = model.fit(panel, h=H).predict(H, levels=[80])
        cutoffs = recipe.origins(panel.last, H)
        errors = np.stack([
            [panel.y[panel.start[i] + row + 1 : panel.start[i] + row + 1 + H] for i, row in enumerate(cutoff)]
            - points(Anomaly(Naive()), panel.upto(cutoff)) for cutoff in cutoffs
        ])  # fmt: skip
        width = np.sort(np.abs(errors), axis=0)[7]  # the 8th of 9 is the 80 % one
        np.testing.assert_allclose(table["Anomaly-hi-80"] - table["Anomaly"], width.ravel(), rtol=1e-9)


class TestNeighbours:
    """The mean anomaly of the nearest places, at the same time."""

    @staticmethod
    def mean_by_hand(panel: Panel, left: Array, k: int) -> Array:
        """Means (n, T) of the anomalies (n, T) of the k nearest places of each, missing ones left out."""
        where = Places(panel.ids, panel.static["lat"], panel.static["lon"], np.full(len(panel), np.nan))
        rows = []
        for i in range(len(panel)):
            km = haversine(where, i)
            km[i] = np.inf
            near = left[np.argsort(km)[: min(k, len(panel) - 1)]]
            seen = np.isfinite(near).sum(axis=0)
            rows.append(np.where(seen > 0, np.nansum(near, axis=0) / np.maximum(seen, 1), 0.0))
        return np.stack(rows)

    @pytest.mark.parametrize("k", [1, 3, 40])
    def test_it_is_a_past_column_of_the_model(self, k: int) -> None:
        panel = climate(6)
        gone = np.random.default_rng(1).random(len(panel.y)) < 0.3
        panel = panel.replace(y=np.where(gone, np.nan, panel.y))
        model = Anomaly(AR(2, past=("promo",), strategy="direct"), neighbours=k, on_error="skip").fit(panel, h=H)
        seen = model.model_.panel_
        assert seen.column_names == ("promo", "neighbour mean")
        assert seen.n_past == 2
        left = normals.anomalies(normals.fit(panel), panel).y.reshape(6, -1)
        np.testing.assert_allclose(seen.column("neighbour mean"), self.mean_by_hand(panel, left, k).ravel(), atol=1e-9)

    def test_it_goes_into_the_forecast(self) -> None:
        panel = climate(5)
        found = points(Anomaly(AR(1, strategy="direct", ridge=0, transform=None), neighbours=2), panel)
        state = normals.fit(panel)
        left = normals.anomalies(state, panel).y.reshape(5, -1)
        mean = self.mean_by_hand(panel, left, 2)
        normal, scale = normals.ahead(state, panel, H)
        for i in range(5):
            for step in range(1, H + 1):
                x = np.column_stack([np.ones(len(left[i])), left[i], mean[i]])
                # All steps of a direct model learn from the same origins: those that know the last step.
                beta = np.linalg.lstsq(x[: len(x) - H], left[i][step : len(x) - H + step], rcond=None)[0]
                wanted = normal[i, step - 1] + scale[i, step - 1] * (x[-1] @ beta)
                assert found[i, step - 1] == pytest.approx(wanted, rel=1e-6)

    def test_no_later_value_of_any_place_matters(self) -> None:
        panel = climate(6)
        model = Anomaly(AR(1, strategy="direct"), neighbours=3)
        cutoffs = np.array([1000, 1100, 1200])
        y = panel.y.reshape(6, -1).copy()
        y[:, 1101:] = 50 * np.random.default_rng(2).normal(size=(6, 1300 - 1101))
        for refit in (True, False):
            one, other = (
                roll(model, some, cutoffs, h=H, refit=refit).point[:2] for some in (panel, panel.replace(y=y.ravel()))
            )
            np.testing.assert_array_equal(one.view(np.int64), other.view(np.int64))

    def test_neither_order_nor_turns_of_the_globe_matter(self) -> None:
        panel = climate(7)
        make = lambda: Anomaly(AR(1, strategy="direct"), neighbours=3)  # noqa: E731
        before = points(make(), panel)
        order = np.random.default_rng(3).permutation(7)
        after = points(make(), panel.take(order).replace(series=np.arange(7)))
        np.testing.assert_array_equal(before[order].view(np.int64), after.view(np.int64))
        turned = panel.replace(static={**panel.static, "lon": panel.static["lon"] + 360})
        np.testing.assert_array_equal(before.view(np.int64), points(make(), turned).view(np.int64))

    def test_new_places_are_among_the_neighbours_after_an_update(self, tmp_path: Path) -> None:
        panel = climate(6)
        some = panel.take(slice(0, 4)).replace(series=np.arange(4))
        model = Anomaly(AR(1, strategy="direct"), neighbours=2).fit(some, h=H)
        model.update(panel)
        assert list(model.updated_) == ["p4", "p5"]
        seen = model.model_.panel_
        wanted = self.mean_by_hand(panel, seen.y.reshape(6, -1), 2)
        np.testing.assert_allclose(seen.column("neighbour mean"), wanted.ravel(), atol=1e-9)
        here = model.predict(H)
        model.save(tmp_path / "model.tsf")
        there = load(tmp_path / "model.tsf").predict(H)
        np.testing.assert_array_equal(here["Anomaly"].to_numpy(), there["Anomaly"].to_numpy())

    def test_a_file_holds_what_they_did_at_the_end_of_a_series_that_ended_before(self, tmp_path: Path) -> None:
        panel = climate(4)
        panel = panel.replace(stop=panel.stop - np.array([0, 0, 300, 0]))
        model = Anomaly(AR(1, strategy="direct"), neighbours=2).fit(panel, h=H)
        model.save(tmp_path / "model.tsf")
        there = load(tmp_path / "model.tsf").predict(H)
        np.testing.assert_array_equal(model.predict(H)["Anomaly"].to_numpy(), there["Anomaly"].to_numpy())


WAYS: dict[str, Any] = {
    "AR": lambda: Anomaly(AR(3)),
    "AR calendar": lambda: Anomaly(AR(2, calendar=("weekday",)), alias="left", lower=0.0),
    "SeasonalNaive": lambda: Anomaly(SeasonalNaive(), base="none"),
    "LSTM": lambda: Anomaly(LSTM(**SHORT)),
    "LSTM direct": lambda: Anomaly(LSTM(**SHORT, strategy="direct"), neighbours=2),
    "AR near": lambda: Anomaly(AR(2, strategy="direct"), neighbours=3),
    "AR global": lambda: Anomaly(AR(3, scope="global")),
    "conformal": lambda: Anomaly(Naive(intervals=Conformal(windows=12))),
    "fallback": lambda: Anomaly(AR(3), on_error="fallback"),
}


@pytest.mark.parametrize("name", WAYS)
def test_it_keeps_the_contract(name: str, tmp_path: Path) -> None:
    n = 16
    static = {axis: np.random.default_rng(6).random(n) * 9 for axis in ("lat", "lon")}
    subject = contract.Subject(WAYS[name], contract.example(n).replace(static=static))
    for check in contract.CHECKS:
        if check is not contract.check_file:  # what is below, in another process
            check(subject)
    model = subject.make().fit(subject.history, h=H)
    here = model.predict(levels=[80])
    model.save(tmp_path / "model.tsf")
    there = load(tmp_path / "model.tsf").predict(levels=[80])
    np.testing.assert_array_equal(here[model.name].to_numpy(), there[model.name].to_numpy())
    np.testing.assert_array_equal(here[f"{model.name}-lo-80"].to_numpy(), there[f"{model.name}-lo-80"].to_numpy())


@pytest.mark.parametrize("name", ["AR", "LSTM"])
def test_portions_of_spans_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = climate(4, rows=600)
    cutoffs = origins(panel, h=H, windows=8, step=3)
    whole = [roll(WAYS[name](), panel, cutoffs, h=H, refit=refit, levels=(80.0,)) for refit in (False, 2)]
    monkeypatch.setattr(anomaly, "ROWS", 1500)
    for one, refit in zip(whole, (False, 2), strict=True):
        other = roll(WAYS[name](), panel, cutoffs, h=H, refit=refit, levels=(80.0,))
        for part in ("point", "lower", "upper"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_windows_at_once_are_those_one_by_one() -> None:
    panel = climate(3, rows=700)
    cutoffs = np.array([500, 520, 690])
    together = roll(Anomaly(AR(2)), panel, cutoffs, h=H, levels=(80.0,))
    for w, cutoff in enumerate(cutoffs):
        table = Anomaly(AR(2)).fit(panel.upto(int(cutoff)), h=H).predict(H, levels=[80])
        np.testing.assert_array_equal(together.point[w].ravel(), table["Anomaly"].to_numpy())
        np.testing.assert_array_equal(together.upper[w].ravel(), table["Anomaly-hi-80"].to_numpy())


def test_columns_and_holidays_are_the_models(tmp_path: Path) -> None:
    panel = climate(3)
    known = panel.upto(1294)
    model = Anomaly(AR(2, known=("promo",), calendar=("KR",))).fit(known, h=H)
    assert model.known_columns == ("promo",)
    assert "promo" in model.describe()["known"]
    future = model.make_future(H)
    future["promo"] = panel.column("promo").reshape(3, -1)[:, 1295:].ravel()
    found = model.predict(H, future=future)["Anomaly"].to_numpy()
    future["promo"] = 1 - future["promo"]
    other = model.predict(H, future=future)["Anomaly"].to_numpy()
    np.testing.assert_allclose(np.abs(found - other), 3, atol=1.5)
    assert list(model.missing_future(H).columns) == ["unique_id", "ds"]
    model.save(tmp_path / "model.tsf")
    again = load(tmp_path / "model.tsf")
    np.testing.assert_array_equal(again.predict(H, future=future)["Anomaly"].to_numpy(), other)
    np.testing.assert_equal(again.calendar_.state(), model.calendar_.state())


def test_a_fitted_model_goes_by_the_holidays_it_has_seen() -> None:
    panel, model = climate(2, rows=400), AR(2, calendar=("KR",))
    kept = Almanac.of(("KR", {"date": ["2019-06-11"], "name": ["a day of its own"]}))
    mine = Anomaly(model).design(panel, kept)
    np.testing.assert_array_equal(mine.columns, model.design(panel, kept).columns)
    assert mine.columns.shape == Anomaly(model).design(panel).columns.shape
    assert np.any(mine.columns != Anomaly(model).design(panel).columns)


def test_values_in_the_sample_are_the_models() -> None:
    panel = climate(2, rows=500)
    state = normals.fit(panel)
    left = AR(2).fit(normals.anomalies(state, AR(2).design(panel))).fitted()
    normal, scale = normals.rows(state, panel)
    np.testing.assert_allclose(Anomaly(AR(2)).fit(panel).fitted()["Anomaly"], normal + scale * left["AR"], rtol=1e-12)


def test_members_of_a_blend_are_shown_as_values() -> None:
    panel = climate(3, rows=500)
    model = Anomaly(Blend((AR(2), Naive()), show_members=True)).fit(panel, h=H)
    out = model.forecast(model.state_, model.panel_, H, np.empty((3, H, 0)), ())
    np.testing.assert_allclose(out.members["Naive"][:, 0], points(Anomaly(Naive()), panel)[:, 0])
    low, high = np.minimum(*out.members.values()), np.maximum(*out.members.values())
    assert np.all((out.point >= low - 1e-9) & (out.point <= high + 1e-9))


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Anomaly(), "Anomaly\\(AR\\(\\)\\)"),
    (lambda: Anomaly("AR"), "needs a forecaster"),
    (lambda: Anomaly(AR(), past=("promo",)), "to its model"),
    (lambda: Anomaly(AR(), known=("promo",)), "to its model"),
    (lambda: Anomaly(AR(), calendar="KR"), "to its model"),
    (lambda: Anomaly(AR(lower=0)), "lower"),
    (lambda: Anomaly(AR(on_error="skip")), "on_error"),
    (lambda: Anomaly(AR(fallback=Naive())), "fallback"),
    (lambda: Anomaly(AR(), base="mean"), "base"),
    (lambda: Anomaly(AR(), neighbours=-1), "neighbours"),
    (lambda: Anomaly(AR(), neighbours=1.5), "neighbours"),
    (lambda: Anomaly(Naive(), neighbours=2), "Naive uses no columns"),
    (lambda: Anomaly(AR(3, strategy="recursive"), neighbours=2), "recursive"),
    (lambda: Anomaly(AR(3, transform="log")), "above 0"),
    (lambda: Anomaly(AR("many")), "lags"),
])  # fmt: skip
def test_what_cannot_work_is_told_at_fit(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make().fit(climate(3, rows=300), h=2)


def test_neighbours_need_places() -> None:
    panel = climate(3, rows=300)
    with pytest.raises(ConfigError, match="lat"):
        Anomaly(AR(strategy="direct"), neighbours=2).fit(panel.replace(static={}), h=2)
    static = {"lat": np.array([120.0, 121.0, 119.0]), "lon": np.array([30.0, 31.0, 32.0])}
    with pytest.raises(DataError, match="swapped"):
        Anomaly(AR(strategy="direct"), neighbours=2).fit(panel.replace(static=static), h=2)
