"""Weights and maps: what is drawn against the tables of the model and against the coordinates."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import lagged_series, table

from tsforecast import AR, Blend, ConfigError, NotFittedError, SeasonalNaive, WindowMean, plot_weights

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


def test_weights_that_were_given_are_drawn_without_a_validation() -> None:
    model = pair(weights=WEIGHTS).fit(data(), h=3)
    figure = plot_weights(model)
    assert {name: list(bar.x) for name, bar in bars(figure).items()} == {"AR": [0.2], "WindowMean": [0.8]}
    assert "Nothing was validated: the weights are as given" in words(figure)
    assert not any(trace.type == "heatmap" for trace in figure.data)
    assert "are the prior" in words(plot_weights(pair(weights="source").fit(data(), h=3)))


def test_few_origins_are_told() -> None:
    few, fewer = (pair().fit(data(rows=rows), h=3) for rows in (34, 20))
    assert not np.allclose(few.weights_["weight"], 0.5)
    assert few.validation_["mse"].isna().all()
    assert "how the blend does by weights of earlier ones is not known" in words(plot_weights(few))
    assert np.allclose(fewer.weights_["weight"], 0.5)
    assert "Too few origins in the validation rows: the weights are the prior" in words(plot_weights(fewer))


def test_any_kind_of_table_and_a_saved_model_give_the_same_figure(tmp_path: Any) -> None:
    pl = pytest.importorskip("polars")
    from tsforecast import load

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
