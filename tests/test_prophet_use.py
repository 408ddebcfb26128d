"""Prophet's model as it is met in use: names that collide, calendars side by side, rows that are long, models read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holidays
import numpy as np
import pandas as pd
import pytest

from tsforecast import KoreanHolidays, Panel, Prophet, Regressor, load, plot_components, tune
from tsforecast.errors import ConfigError, DataWarning
from tsforecast.models.prophet.holidays import day_columns


def sales(rows: int = 400, freq: str = "D", **columns: Any) -> pd.DataFrame:
    t = np.arange(rows)
    noise = np.random.default_rng(0).normal(scale=0.3, size=rows)
    ds = pd.date_range("2022-01-03", periods=rows, freq=freq)
    return pd.DataFrame({"unique_id": "a", "ds": ds, "y": 20 + np.sin(t) + noise} | columns)


@pytest.mark.parametrize("alias", ["trend", "weekly", "promo", "fair", "ds", "unique_id"])
def test_components_refuse_to_hide_one_behind_the_models_name(alias: str) -> None:
    fair = {"holiday": ["fair"], "ds": ["2022-03-01"]}
    model = Prophet(alias=alias, regressors=(Regressor("promo"),), holidays=fair).fit(sales(promo=1.0))
    with pytest.raises(ConfigError, match=f"called '{alias}': give the model another alias"):
        model.components(history=True)


def test_components_refuse_to_hide_the_column_of_ids() -> None:
    panel = Panel.from_table(sales().rename(columns={"unique_id": "store"}), id="store")
    model = Prophet(holidays={"holiday": ["store"], "ds": ["2022-03-01"]}).fit(panel)
    with pytest.raises(ConfigError, match="called 'store'"):
        model.components(2)


def test_a_name_that_two_countries_give_to_other_days_is_two_holidays() -> None:
    first, last = (int(np.datetime64(day, "D").astype(np.int64)) for day in ("2022-01-01", "2024-12-31"))
    columns = day_columns(["KR", "US"], first_day=first, last_day=last, prior_scale=1.0, mode="additive", covers=last)
    days = np.arange(first, last + 1)
    values = dict(zip(columns.names, columns.at(days).T, strict=True))
    assert "Memorial Day" not in values
    for country in ("KR", "US"):
        theirs = holidays.country_holidays(country, years=range(2022, 2025), language="en_US")
        expected = np.array([theirs.get(day) == "Memorial Day" for day in days.astype("datetime64[D]").tolist()])
        np.testing.assert_array_equal(values[f"Memorial Day ({country})"] != 0, expected)
    new_year = days.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) == days
    np.testing.assert_array_equal(values["New Year's Day"] != 0, new_year)  # the same days: one holiday


def test_a_country_alone_keeps_prophets_names() -> None:
    first, last = (int(np.datetime64(day, "D").astype(np.int64)) for day in ("2022-01-01", "2024-12-31"))
    for given in ("KR", ["KR", "KR"], ["US", "US-CA"]):
        columns = day_columns(given, first_day=first, last_day=last, prior_scale=1.0, mode="additive", covers=last)
        assert "Memorial Day" in columns.names
        assert not any("(KR)" in name or "(US" in name for name in columns.names)


def test_a_class_for_a_value_is_told() -> None:
    with pytest.raises(ConfigError, match=r"write KoreanHolidays\(\)"):
        Prophet(holidays=KoreanHolidays).fit(sales())


@pytest.mark.parametrize("freq", ["W-MON", "MS", "ME", "QS"])
def test_pooled_holidays_of_long_rows_point_to_the_calendar_word(freq: str) -> None:
    with pytest.raises(ConfigError, match=f"the rows are of {freq}.*: write calendar='KR'"):
        Prophet(holidays=KoreanHolidays()).fit(sales(60, freq))
    with pytest.warns(DataWarning, match="calendar='US' counts the days off"):
        Prophet(holidays="US").fit(sales(60, freq))


@pytest.mark.parametrize("freq", ["D", "B", "h"])
def test_holidays_of_short_rows_are_no_matter(freq: str) -> None:
    Prophet(holidays=["US", KoreanHolidays()]).fit(sales(300, freq))  # a warning would be an error


def test_a_model_that_was_read_tells_its_effects_without_intervals(tmp_path: Path) -> None:
    fitted = Prophet(holidays="KR").fit(sales())
    fitted.save(tmp_path / "model")
    read = load(tmp_path / "model")
    told = fitted.effects()
    pd.testing.assert_frame_equal(read.effects(levels=()), told.drop(columns=["lo-95", "hi-95"]))
    with pytest.raises(ConfigError, match=r"levels=\(\)"):
        read.effects()


def test_figures_have_the_bands_that_interval_width_says() -> None:
    pytest.importorskip("plotly")
    fitted = Prophet(interval_width=0.9).fit(sales())
    assert plot_components(fitted).to_json() == plot_components(fitted, level=90).to_json()
    assert plot_components(fitted).to_json() != plot_components(fitted, level=80).to_json()


def test_tuning_on_swapped_arguments_is_refused_before_the_grid_is_spread_out() -> None:
    grid = {"changepoint_prior_scale": [0.05, 0.5]}
    with pytest.raises(ConfigError, match=r"got DataFrame: tune\(model, grid, data"):
        tune(Prophet(), sales(), grid, h=3)  # type: ignore[arg-type]
