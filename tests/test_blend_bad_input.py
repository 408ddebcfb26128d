"""Parameters of a Blend and of its members, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blending import H, ar, daily
from tests.builders import table, weekly_table
from tsforecast.compose.blend import Blend
from tsforecast.errors import ConfigError, DataError, NotFittedError
from tsforecast.evaluation import backtest, tune
from tsforecast.intervals import Conformal
from tsforecast.models.ar import AR
from tsforecast.models.naive import Naive, SeasonalNaive

# --- parameters


def test_parameters_of_members_are_reached_by_name() -> None:
    model = Blend([ar(), SeasonalNaive(alias="last year")])
    assert model.get_params()["AR__lags"] == 3
    assert model.get_params()["last year__season"] is None
    assert "AR__lags" not in model.get_params(deep=False)
    model.set_params(AR__lags=5, kappa=0.5, **{"last year__season": 14})
    assert [model.members[0].lags, model.members[1].season, model.kappa] == [5, 14, 0.5]
    with pytest.raises(ConfigError, match="no parameter 'AR2'"):
        model.set_params(AR2__lags=1)
    with pytest.raises(ConfigError, match="no parameter 'lugs'"):
        model.set_params(AR__lugs=1)


def test_clones_have_members_of_their_own() -> None:
    from sklearn.base import clone

    model = Blend([ar(), SeasonalNaive()], {"AR": 1, "SeasonalNaive": 2}, alias="b")
    other = clone(model)
    assert repr(other) == repr(model)
    assert other.members[0] is not model.members[0]
    expected = (
        "Blend(alias='b', members=[AR(lags=3, ridge=0, transform=None), SeasonalNaive()], "
        "weights={'AR': 1, 'SeasonalNaive': 2})"
    )
    assert repr(model) == expected


def test_a_parameter_that_changed_since_fit_is_told() -> None:
    model = Blend([ar(), SeasonalNaive()]).fit(daily(), h=H)
    for change in ({"kappa": 1.0}, {"AR__lags": 4}, {"weights": "equal"}):
        before = {name: model.get_params()[name] for name in change}
        model.set_params(**change)
        with pytest.raises(ConfigError, match="changed since fit"):
            model.predict()
        model.set_params(**before).predict()


def test_a_search_reaches_into_members() -> None:
    model = Blend([ar(), SeasonalNaive()])
    found = tune(model, {"AR__lags": [1, 7], "kappa": [0.0, 1.0]}, daily(), h=3, windows=2)
    assert found.best_params["AR__lags"] == 7
    assert found.best.members[0].lags == 7
    assert model.members[0].lags == 3


def test_before_fit_there_is_nothing_to_see() -> None:
    model = Blend([ar(), Naive()])
    for name in ("weights_", "validation_", "members_"):
        with pytest.raises(NotFittedError, match="call fit"):
            getattr(model, name)
    with pytest.raises(NotFittedError):
        model.predict(3)
    with pytest.raises(ConfigError, match="Blend is fitted for a horizon"):
        model.fit(daily())
    with pytest.raises(ConfigError, match="reaches farther"):
        model.fit(daily(), h=3).predict(4)
    assert len(model.predict(2)) == 6


# --- bad input

TWO = [ar(), Naive()]
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("none", {"members": ()}, "needs two members or more"),
    ("one", {"members": [ar()]}, "needs two members or more"),
    ("text", {"members": "AR"}, "needs two members or more"),
    ("names", {"members": ["AR", "Naive"]}, "must be a forecaster such as AR.*'AR'"),
    ("classes", {"members": [AR, Naive]}, "must be a forecaster such as AR"),
    ("a forecaster", {"members": ar()}, "needs two members or more"),
    ("none at all", {"members": None}, "needs two members or more"),
    ("a set", {"members": {1, 2}}, "needs two members or more"),
    ("numbers", {"members": [1, 2]}, "must be a forecaster"),
    ("twice", {"members": [ar(), ar(2)]}, "share the name AR: .*two aliases"),
    ("word", {"weights": "mae"}, "one of mse, source, equal, inverse_mse, median"),
    ("None", {"weights": None}, "a number for each member"),
    ("True", {"weights": True}, "a number for each member"),
    ("a number", {"weights": 0.3}, "a number for each member"),
    ("other names", {"weights": {"AR": 1, "Drift": 1}}, "weights must name every member .AR, Naive., got AR, Drift"),
    ("a name lacks", {"weights": {"AR": 1}}, "weights must name every member"),
    ("too many", {"weights": [1, 2, 3]}, "a number for each member"),
    ("negative", {"weights": {"AR": 2, "Naive": -1}}, "numbers >= 0"),
    ("zero", {"weights": {"AR": 0, "Naive": 0}}, "do not sum to 0"),
    ("NaN", {"weights": {"AR": np.nan, "Naive": 1}}, "numbers >= 0"),
    ("inf", {"weights": [np.inf, 1]}, "numbers >= 0"),
    ("text in them", {"weights": ["a", 1]}, "numbers >= 0"),
    ("truths", {"weights": [True, False]}, "numbers >= 0"),
    ("2-d", {"weights": np.ones((2, 2))}, "weights must be"),
    ("0-d", {"weights": np.array(1.0)}, "weights must be"),
    ("prior text", {"prior": "equal"}, "prior must be a number for each member"),
    ("prior names", {"prior": {"knn": 0.3, "lstm": 0.7}}, "prior must name every member"),
    ("prior negative", {"prior": [-1, 2]}, "prior must be numbers >= 0"),
    ("prior NaN", {"prior": [np.nan, 2]}, "prior must be numbers >= 0"),
    ("prior zero", {"prior": [0, 0]}, "do not sum to 0"),
    ("prior beside given weights", {"weights": "equal", "prior": [1]}, "prior must be a number for each member"),
    ("kappa -1", {"kappa": -1}, "kappa must be a number >= 0, got -1"),
    ("kappa NaN", {"kappa": np.nan}, "kappa must be a number >= 0, got nan"),
    ("kappa text", {"kappa": "auto"}, "kappa must be a number >= 0, got 'auto'"),
    ("kappa True", {"kappa": True}, "kappa must be a number >= 0"),
    ("kappa None", {"kappa": None}, "kappa must be a number >= 0"),
    ("bands from 2", {"bands": (2, 4)}, "bands must begin at step 1"),
    ("bands fall", {"bands": (1, 4, 2)}, "bands must begin at step 1 and rise"),
    ("bands twice", {"bands": (1, 1)}, "bands must begin at step 1 and rise"),
    ("no bands", {"bands": ()}, 'bands must be "auto" or the first steps'),
    ("bands word", {"bands": "daily"}, 'bands must be "auto" or the first steps'),
    ("bands floats", {"bands": (1, 2.5)}, 'bands must be "auto" or the first steps'),
    ("bands number", {"bands": 3}, 'bands must be "auto" or the first steps'),
    ("scope", {"scope": "country"}, "scope must be 'series', 'global' or a static column .none was given"),
    ("scope None", {"scope": None}, "scope must be"),
    ("scope list", {"scope": ["series"]}, "scope must be"),
    ("calendar", {"calendar": "KR"}, "Blend has no columns of its own: give past, known and calendar to its members"),
    ("known", {"known": ("promo",)}, "Blend has no columns of its own"),
    ("past", {"past": ("promo",)}, "Blend has no columns of its own"),
    ("show_members", {"show_members": "yes"}, "show_members must be True or False"),
    ("intervals", {"intervals": 3}, "intervals must be"),
    ("on_error", {"on_error": "ignore"}, "on_error must be"),
    ("a member's own", {"members": [AR(lags=-1), Naive()]}, "lags"),
    ("a member of a member", {"members": [Blend([ar()], alias="in"), Naive()]}, "needs two members or more"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "told"), WRONG, ids=[name for name, _, _ in WRONG])
def test_what_cannot_be_is_refused(name: str, options: dict[str, Any], told: str) -> None:
    model = Blend(**{"members": TWO} | options)
    with pytest.raises(ConfigError, match=told):
        model.fit(daily(), h=H)
    with pytest.raises(ConfigError, match=told):
        backtest([ar(alias="other"), model], daily(), h=H)
    assert not hasattr(model, "panel_")


def test_an_odd_table_is_told_of_as_by_any_model() -> None:
    with pytest.raises(DataError):
        Blend(TWO).fit(weekly_table().drop(columns="y").assign(y="x"), h=H)
    with pytest.raises(ConfigError, match="no column 'y'"):
        Blend(TWO).fit(weekly_table().drop(columns="y"), h=H)


def test_a_recipe_for_intervals_is_kept() -> None:
    df = daily(2, 80)
    model = Blend([ar(1), Naive()], "equal", intervals=Conformal(windows=10)).fit(df, h=2)
    got = model.predict(levels=[80])
    y = df["y"].to_numpy().reshape(2, -1)
    errors = np.empty((2, 10, 2))
    for k in range(10):
        cut = 80 - 2 - 9 + k
        part = Blend([ar(1), Naive()], "equal").fit(table(y[:, :cut])).predict(2)["Blend"].to_numpy().reshape(2, 2)
        errors[:, k] = np.abs(y[:, cut : cut + 2] - part)
    width = np.sort(errors, axis=1)[:, 8]  # the ceil(11 * 0.8)-th smallest
    np.testing.assert_allclose(got["Blend-hi-80"] - got["Blend"], width.ravel())
