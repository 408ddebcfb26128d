"""Weights and maps: what is drawn against the tables of the model and against the coordinates."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lagged_series, table
from hypothesis import given, settings
from hypothesis import strategies as st

from tsforecast import (
    AR,
    Blend,
    ConfigError,
    Conformal,
    DataError,
    NotFittedError,
    SeasonalNaive,
    WindowMean,
    datasets,
    load,
    plot_map,
    plot_weights,
)
from tsforecast.models.knn import KNN

WEIGHTS = {"AR": 0.2, "WindowMean": 0.8}


def data(n: int = 6, rows: int = 300, ids: list[str] | None = None) -> pd.DataFrame:
    return table(lagged_series(n, rows, (0.7,), seed=1, level=20), ids)


def pair(**options: Any) -> Blend:
    return Blend([AR(lags=2), WindowMean(14)], **options)


def bars(figure: Any, thin: bool = False) -> dict[str, Any]:
    return {bar.name: bar for bar in figure.data if bar.type == "bar" and (bar.width < 0.2) == thin}


def grid(figure: Any) -> Any:
    return next(trace for trace in figure.data if trace.type == "heatmap")


def words(figure: Any) -> str:
    return " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ").replace("\u00a0", " ")


# Weights


def test_weights_are_those_of_the_model_the_first_band_on_top() -> None:
    model = pair(prior=(0.3, 0.7)).fit(data(), h=14)
    told = model.weights_
    figure = plot_weights(model)
    for name, bar in bars(figure).items():
        mine = told[told["member"] == name]
        np.testing.assert_array_equal(bar.x, mine["weight"])
        assert list(bar.text) == [f"{w:.2f}" if w >= 0.06 else "" for w in mine["weight"]]
        assert (np.diff(bar.y) > 0).all()
    axis = figure.layout.yaxis
    assert axis.range[0] > axis.range[1]
    assert list(axis.ticktext) == ["step 1", "steps 2-3", "steps 4-7", "steps 8-14"]
    assert {name: set(bar.x) for name, bar in bars(figure, thin=True).items()} == {"AR": {0.3}, "WindowMean": {0.7}}


def test_errors_gain_and_statistic_are_those_of_the_validation() -> None:
    model = Blend([AR(lags=2), WindowMean(14), SeasonalNaive()], alias="Mix").fit(data(), h=7)
    told = model.validation_
    figure = plot_weights(model)
    found = grid(figure)
    assert list(figure.layout.xaxis2.ticktext) == ["AR", "WindowMean", "SeasonalNaive", "Mix", "prior"]
    assert list(found.y) == ["step 1", "steps 2-3", "steps 4-7"]
    assert figure.layout.yaxis2.autorange == "reversed"
    mse = told["mse"].to_numpy().reshape(3, 5)
    shown = np.array([[float(re.sub("</?b>", "", cell)) for cell in row] for row in found.text])
    np.testing.assert_allclose(shown, mse, rtol=1e-3)
    np.testing.assert_allclose(found.z, np.minimum(mse / mse.min(axis=1, keepdims=True) - 1, 0.25), atol=1e-12)
    assert found.hovertext[1][0].startswith(f"AR, steps 2-3: MSE {mse[1, 0]:.6g}, ")
    assert [["<b>" in cell for cell in row].index(True) for row in found.text] == list(mse.argmin(axis=1))
    own = told[told["model"] == "Mix"]
    for steps, gain, t in zip(found.y, own["gain"], own["dm"], strict=True):
        assert f"{steps} {gain:+.1%} (t {t:.2f}, p " in words(figure)
    assert f"{told['origins'].iloc[0]} origins" in words(figure)


def test_groups_have_their_own_bars_and_can_be_picked() -> None:
    places = pd.DataFrame({"unique_id": [f"s{i:03d}" for i in range(6)], "region": ["서울", "<b>B</b>", "C"] * 2})
    model = pair(scope="region").fit(data(), h=3, static=places)
    told = model.weights_
    figure = plot_weights(model, groups=["서울", "C"])
    labels = list(figure.layout.yaxis.ticktext)
    assert labels == ["<b>C</b>  step 1", "steps 2-3", "<b>서울</b>  step 1", "steps 2-3"]
    for name, bar in bars(figure).items():
        mine = told[(told["member"] == name) & told["group"].isin(["서울", "C"])]
        np.testing.assert_array_equal(bar.x, mine["weight"])
    first = list(plot_weights(model, n=1).layout.yaxis.ticktext)
    assert first == ["<b>&lt;b>B&lt;/b></b>  step 1", "steps 2-3"]
    with pytest.raises(ConfigError, match="no weights of D; there are those of <b>B</b>, C, 서울"):
        plot_weights(model, groups=["D"])


def test_narrow_bars_have_no_figure() -> None:
    figure = plot_weights(pair(weights={"AR": 0.04, "WindowMean": 0.96}).fit(data(), h=3))
    assert {name: list(bar.text) for name, bar in bars(figure).items()} == {"AR": [""], "WindowMean": ["0.96"]}


def test_weights_that_were_given_are_drawn_without_a_validation() -> None:
    model = pair(weights=WEIGHTS).fit(data())
    figure = plot_weights(model)
    assert {name: list(bar.x) for name, bar in bars(figure).items()} == {"AR": [0.2], "WindowMean": [0.8]}
    assert "Nothing was validated: the weights are as given" in words(figure)
    assert not any(trace.type == "heatmap" for trace in figure.data)
    assert "Nothing was validated: the weights are the prior" in words(plot_weights(pair(weights="source").fit(data())))
    # Told how far intervals must reach, a fit validates what it was given.
    told = plot_weights(pair(weights=WEIGHTS).fit(data(), h=3))
    assert any(trace.type == "heatmap" for trace in told.data)
    assert "steps 2-3 -4.5%" in words(told)
    assert "The weights are the prior" in words(plot_weights(pair(weights="source").fit(data(), h=3)))


def test_few_origins_are_told() -> None:
    few, fewer = (pair().fit(data(rows=rows), h=3) for rows in (34, 20))
    assert not np.allclose(few.weights_["weight"], 0.5)
    assert few.validation_["mse"].isna().all()
    assert "how the blend does by weights of earlier ones is not known" in words(plot_weights(few))
    assert np.allclose(fewer.weights_["weight"], 0.5)
    assert "Too few origins in the validation rows: the weights are the prior" in words(plot_weights(fewer))


def test_any_kind_of_table_and_a_saved_model_give_the_same_figure(tmp_path: Any) -> None:
    pl = pytest.importorskip("polars")
    plain = pair().fit(data(), h=3)
    plain.save(tmp_path / "m.tsf")
    other = pair().fit(pl.from_pandas(data()), h=3)
    assert plot_weights(other) == plot_weights(plain) == plot_weights(load(tmp_path / "m.tsf"))


def test_names_are_text_and_long_ones_are_cut() -> None:
    long = "an alias of thirty-five letters <i>"
    members = [AR(lags=2, alias=long), WindowMean(14, alias="<b>평균</b>")]
    figure = plot_weights(Blend(members).fit(data(), h=3))
    assert [bar.name for bar in bars(figure).values()] == ["an alias of thirty-five…", "&lt;b>평균&lt;/b>"]
    assert all(long.replace("<", "&lt;") in bar.hovertemplate for bar in list(bars(figure).values())[:1])


def test_weights_of_what_has_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="draws a fitted Blend or GeoBlend, got AR"):
        plot_weights(AR())
    with pytest.raises(NotFittedError):
        plot_weights(pair())
    with pytest.raises(ConfigError, match="median of its members"):
        plot_weights(pair(weights="median").fit(data(), h=3))
    with pytest.raises(ConfigError, match="the same weights for all series"):
        plot_weights(pair().fit(data(), h=3), groups=["x"])


# Maps


def haversine(lat: Any, lon: Any) -> np.ndarray:
    """Kilometres (n, n) between all places, inf to oneself."""
    phi, theta = np.radians(lat), np.radians(lon)
    a = np.sin((phi[:, None] - phi) / 2) ** 2
    a += np.cos(phi[:, None]) * np.cos(phi) * np.sin((theta[:, None] - theta) / 2) ** 2
    km = 2 * 6371.0088 * np.arcsin(np.sqrt(a))
    np.fill_diagonal(km, np.inf)
    return km


def world(n: int = 30, rows: int = 120, seed: int = 0, **more: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Series by whole numbers, so that the normal is the mean, and places anywhere."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:02d}" for i in range(n)]
    lat, lon = np.degrees(np.arcsin(rng.uniform(-0.9, 0.9, n))), rng.uniform(-180, 180, n)
    series = table(lagged_series(n, rows, (0.6,), seed=seed, level=10), ids, start=0)
    return series, pd.DataFrame({"unique_id": ids, "lat": lat, "lon": lon} | more)


def fitted(series: pd.DataFrame, places: pd.DataFrame, model: Any = None) -> Any:
    """A model with errors at the last 20 origins, or `model`."""
    return (model or WindowMean(5, intervals=Conformal())).fit(series, h=3, static=places)


def stations(figure: Any) -> pd.DataFrame:
    """Every drawn station: id, x, y, size, colour, cluster, hover."""
    parts = [
        pd.DataFrame({
            "unique_id": [re.match("<b>(.*?)</b><br>", text)[1] for text in one.hovertext], "x": one.x, "y": one.y,
            "size": one.marker.size, "colour": one.marker.color, "cluster": one.name, "hover": one.hovertext,
        })
        for one in figure.data if "markers" in one.mode
    ]  # fmt: skip
    return pd.concat(parts).set_index("unique_id").sort_index()


def links(figure: Any) -> np.ndarray:
    """Ends (l, 2, 2) of all lines."""
    (lines,) = (one for one in figure.data if one.mode == "lines")
    return np.stack([lines.x, lines.y], axis=1).reshape(-1, 3, 2)[:, :2]


def test_every_station_is_drawn_once_where_it_is_in_true_proportion() -> None:
    series, places = world()
    figure = plot_map(fitted(series, places))
    drawn = stations(figure)
    assert list(drawn.index) == list(places["unique_id"])
    np.testing.assert_array_equal(drawn["y"], places["lat"])
    np.testing.assert_allclose(drawn["x"], places["lon"], atol=1e-9)
    scale = figure.layout.yaxis.scaleratio
    assert scale == pytest.approx(1 / np.cos(np.radians(places["lat"])).mean())
    for axis, values in ((figure.layout.xaxis, drawn["x"]), (figure.layout.yaxis, drawn["y"])):
        assert axis.range[0] < values.min() < values.max() < axis.range[1]
        assert len(set(np.round(np.diff(axis.tickvals), 9))) == 1
        assert all(
            float(text[:-1] if text.endswith("°") else text[:-2]) == abs((v + 180) % 360 - 180)
            for v, text in zip(axis.tickvals, axis.ticktext, strict=True)
        )


def test_lines_lead_to_the_nearest_by_great_circles() -> None:
    series, places = world(40)
    figure = plot_map(fitted(series, places), links=2)
    order = np.argsort(haversine(places["lat"].to_numpy(), places["lon"].to_numpy()), axis=1)[:, :2]
    wanted = {frozenset((i, int(j))) for i in range(40) for j in order[i]}
    at = {
        (round(lon % 360, 6), round(lat, 6)): i
        for i, (lat, lon) in enumerate(zip(places["lat"], places["lon"], strict=True))
    }
    ends = [[at[round(x % 360, 6), round(y, 6)] for x, y in line] for line in links(figure)]
    assert {frozenset(pair) for pair in ends} == wanted
    # None spans more than half of the globe: a line across the border is drawn on both sides.
    assert (np.abs(np.diff(links(figure)[..., 0], axis=1)) <= 180).all()
    assert len(ends) > len(wanted)
    for one, hover in stations(figure)["hover"].items():
        told = re.findall(r"([\d,]+) km: (p\d\d)", hover)
        assert [name for _, name in told] == [f"p{j:02d}" for j in order[int(one[1:])]]
    assert len(plot_map(fitted(series, places), links=0).data) == stations(figure)["cluster"].nunique()


def test_stations_on_both_sides_of_the_date_line_are_drawn_side_by_side() -> None:
    series, _ = world(4)
    places = pd.DataFrame({"unique_id": ["p00", "p01", "p02", "p03"], "lat": [-18.1, -13.8, -17.7, -36.8],
                           "lon": [178.4, -171.8, 168.3, 174.8]})  # fmt: skip
    figure = plot_map(fitted(series, places), links=1)
    np.testing.assert_allclose(stations(figure)["x"], [178.4, 188.2, 168.3, 174.8])
    turned = places.assign(lon=places["lon"] + 360)
    assert plot_map(fitted(series, turned), links=1) == figure
    assert {"175°E", "180°", "175°W"} <= set(figure.layout.xaxis.ticktext)
    assert "13.8°S, 171.8°W" in stations(figure).loc["p01", "hover"]


def test_clusters_are_those_that_lie_together_and_neighbours_differ_in_colour() -> None:
    rng = np.random.default_rng(1)
    series, places = world(40)
    group = np.arange(40) % 10
    places["lat"], places["lon"] = 8.0 * group - 36 + rng.normal(0, 0.3, 40), 20.0 * group + rng.normal(0, 0.3, 40)
    drawn = stations(plot_map(fitted(series, places), k=10))
    assert pd.crosstab(drawn["cluster"], group).gt(0).sum(axis=1).eq(1).all()
    colour = drawn.groupby(group)["colour"].first()
    assert (colour.to_numpy()[1:] != colour.to_numpy()[:-1]).all()
    figure = plot_map(fitted(series, places), k=3)
    assert stations(figure)["cluster"].nunique() == 3
    legend = [one.name for one in figure.data if one.showlegend]
    assert sum(int(re.search(r"\((\d+)\)", name)[1]) for name in legend) == 40
    assert not any(one.showlegend for one in plot_map(fitted(series, places), k=10).data)


def test_clusters_are_as_many_as_the_model_goes_by() -> None:
    series, places = world(40)
    figure = plot_map(fitted(series, places, KNN(6, "cluster")))
    assert stations(figure)["cluster"].nunique() == 6
    blend = Blend([KNN(5, "cluster"), WindowMean(7)]).fit(series, h=3, static=places)
    assert stations(plot_map(blend))["cluster"].nunique() == 5


def test_skill_is_that_of_the_validation_errors_over_the_mean_of_earlier_rows() -> None:
    series, places = world(elevation=np.arange(30) * 10.0)
    model = fitted(series, places)
    figure = plot_map(model)
    drawn = stations(figure)
    y = series["y"].to_numpy().reshape(30, 120)
    held = 120 // 4
    usual = np.sqrt(((y[:, -held:] - y[:, :-held].mean(axis=1, keepdims=True)) ** 2).mean(axis=1))
    skill = 1 - np.sqrt(np.nanmean(model.state_["errors"] ** 2, axis=(1, 2))) / usual
    told = [float(re.search(r"skill over climatology (-?[\d.]+)%", text)[1]) for text in drawn["hover"]]
    np.testing.assert_allclose(told, 100 * skill, atol=0.051)
    np.testing.assert_allclose(drawn["size"], 5 + 12 * np.clip(skill / 0.5, 0, 1))
    assert f"{skill.min():.0%} to {skill.max():.0%}, half above {np.median(skill):.0%}" in words(figure)
    assert [re.search(r"(\d+) m<br>", text)[1] for text in drawn["hover"]] == [str(10 * i) for i in range(30)]


def test_a_saved_model_has_its_places_but_no_rows_to_judge_by(tmp_path: Any) -> None:
    series, places = world()
    model = fitted(series, places, AR(lags=1, intervals=Conformal()))
    model.save(tmp_path / "m.tsf")
    loaded = plot_map(load(tmp_path / "m.tsf"))
    whole = stations(plot_map(model))
    assert "skill" in words(plot_map(model))
    assert "skill" not in words(loaded)
    assert stations(loaded)[["x", "y", "cluster"]].equals(whole[["x", "y", "cluster"]])


def test_stations_without_a_place_are_named_not_drawn() -> None:
    series, places = world(12)
    places.loc[[3, 7], "lat"] = np.nan
    figure = plot_map(fitted(series, places))
    assert set(places["unique_id"]) - set(stations(figure).index) == {"p03", "p07"}
    assert "Not drawn for want of coordinates: p03, p07." in words(figure)


def test_names_stand_beside_few_stations_as_text() -> None:
    series, places = world(3)
    names = {"p00": "<b>서울</b>", "p01": "울릉도 아주 아주 긴 이름의 관측소", "p02": "C"}
    for data in (series, places):
        data["unique_id"] = data["unique_id"].map(names)
    figure = plot_map(fitted(series, places))
    shown = {text for one in figure.data if one.mode == "markers+text" for text in one.text}
    assert shown == {"&lt;b>서울&lt;/b>", "울릉도 아주 아주 긴 이름의…", "C"}
    hovers = [text for one in figure.data[1:] for text in one.hovertext]
    assert sum(text.startswith("<b>&lt;b>서울&lt;/b></b><br>") for text in hovers) == 1
    assert sum(" km: &lt;b>서울&lt;/b><br>" in text + "<br>" for text in hovers) == 2
    assert not any(one.mode == "markers+text" for one in plot_map(fitted(*world(30))).data)


def test_bundled_stations_make_a_map() -> None:
    series, places = datasets.load("colorado", static=True)
    model = Blend([AR(lags=1), WindowMean(12)], weights="equal").fit(series, static=places)
    figure = plot_map(model)
    assert len(stations(figure)) == 376
    assert figure.layout.xaxis.ticktext[0].endswith("°W")
    assert figure.layout.yaxis.ticktext[0].endswith("°N")


def test_maps_of_what_has_no_places_are_refused() -> None:
    with pytest.raises(ConfigError, match="draws a fitted model with places, got str"):
        plot_map("KNN")
    with pytest.raises(NotFittedError):
        plot_map(WindowMean())
    with pytest.raises(ConfigError, match="no static table was given"):
        plot_map(AR(lags=1).fit(data()))
    series, places = world(4)
    with pytest.raises(ConfigError, match="links must be a whole number of at least 0"):
        plot_map(fitted(series, places), links=-1)
    with pytest.raises(ConfigError, match="k must be a whole number of at least 1"):
        plot_map(fitted(series, places), k=0)
    far = AR(lags=1).fit(series, static=places.assign(lat=95.0, lon=200.0))
    with pytest.raises(DataError, match="latitude out of range"):
        plot_map(far)


coordinate = st.tuples(st.floats(-90, 90), st.floats(-180, 360))


@settings(max_examples=30)
@given(st.lists(coordinate, min_size=1, max_size=6), st.integers(0, 3), st.booleans())
def test_places_anywhere_make_a_map(where: list[tuple[float, float]], links: int, alike: bool) -> None:
    series, _ = world(len(where), 30)
    places = pd.DataFrame(where if not alike else where[:1] * len(where), columns=["lat", "lon"])
    places["unique_id"] = series["unique_id"].unique()
    figure = plot_map(WindowMean(5).fit(series, static=places), links=links)
    drawn = stations(figure)
    assert list(drawn.index) == list(places["unique_id"])
    np.testing.assert_allclose(drawn["y"], places["lat"])
    turns = (drawn["x"].to_numpy() - places["lon"].to_numpy()) / 360
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    across, up = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert np.isfinite([*across, *up]).all()
    assert drawn["x"].between(*across).all()
    assert drawn["y"].between(*up).all()
    assert across[1] - across[0] <= 360


def test_a_year_must_lie_before_the_rows_that_are_judged() -> None:
    _, places = world(3)
    for rows, told in ((600, True), (400, False)):
        series = table(lagged_series(3, rows, (0.5,)), list(places["unique_id"]))
        assert ("skill" in words(plot_map(fitted(series, places)))) is told
