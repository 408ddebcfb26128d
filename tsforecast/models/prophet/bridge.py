"""Between a panel and the prophet package: its recipe, its rows and its forecasts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.clock import wall_clock
from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.named import HolidayRows, table_rows
from tsforecast.errors import ConfigError, FitWarning, listed
from tsforecast.forecast import Forecast
from tsforecast.models.prophet import stan
from tsforecast.models.prophet.forecasting import Ahead
from tsforecast.models.prophet.holidays import holiday_parts, is_table
from tsforecast.models.prophet.terms import Regressor, Seasonality
from tsforecast.panel import Float, Panel
from tsforecast.rolling import State

__all__ = ["fit", "forecast", "joined", "pooled_parts", "run"]

SAME = (
    "growth", "changepoints", "n_changepoints", "changepoint_range", "yearly_seasonality", "weekly_seasonality",
    "daily_seasonality", "seasonality_mode", "seasonality_prior_scale", "holidays_prior_scale",
    "changepoint_prior_scale", "mcmc_samples", "interval_width", "uncertainty_samples", "stan_backend", "scaling",
    "holidays_mode",
)  # fmt: skip
"""Arguments that go to the package as they are."""


def fit(
    panel: Panel,
    params: Mapping[str, Any],
    seasonalities: Sequence[Seasonality],
    regressors: Sequence[Regressor],
    days: DayColumns | None,
) -> State:
    """The fitted models of all spans as text, "" for one that failed; `days` holds columns Prophet has no word for."""
    terms = [*regressors]
    if days is not None:
        terms += [
            Regressor(name, float(scale), standardize=False, mode=mode)  # type: ignore[arg-type]
            for name, scale, mode in zip(days.names, days.scale, days.mode, strict=True)
        ]
    arguments = {name: params[name] for name in SAME}
    country, table = _holidays(params["holidays"])
    recipe = stan.Recipe(arguments | {"holidays": table}, country, seasonalities, terms)
    spans = [_rows(panel, i, days) for i in range(len(panel))]
    found, causes = stan.fit_spans(recipe, spans, stan.seeds_of(list(panel.ids), params["seed"]))
    lost = [(panel.ids[i], cause) for i, cause in enumerate(causes) if cause is not None]
    if lost:
        ids = listed([name for name, _ in lost])
        warnings.warn(f"the prophet package could not fit {ids}: {lost[0][1]}", FitWarning, stacklevel=2)
    return {"models": [text or "" for text in found], "days": None if days is None else days.state()}


def run(state: State, panel: Panel, ahead: Ahead, levels: Sequence[float], seed: int) -> stan.StanForecast:
    """What the package says of the rows ahead."""
    days = None if state["days"] is None else DayColumns.from_state(state["days"])
    models = [state["models"][i] or None for i in ahead.fits]
    spans = [_ahead_rows(ahead, i, days) for i in range(len(ahead.fits))]
    return stan.forecast_spans(models, spans, levels, stan.seeds_of(list(panel.ids), seed))


def forecast(state: State, panel: Panel, ahead: Ahead, levels: Sequence[float], seed: int) -> Forecast:
    """Point and the package's own simulated intervals."""
    out = run(state, panel, ahead, levels, seed)
    return Forecast(out.point, out.lower, out.upper) if levels else Forecast(out.point)


def joined(old: State, new: State) -> State:
    """The models of two sets of spans one after the other."""
    return {"models": [*old["models"], *new["models"]], "days": old["days"] or new["days"]}


def pooled_parts(holidays: Any) -> list[Any]:
    """What the package has no word for: calendars that give their own columns."""
    return [part for part in holiday_parts(holidays) if not isinstance(part, str) and not is_table(part)]


def _holidays(holidays: Any) -> tuple[str | None, Any]:
    """The one country, and all tables as one in Prophet's words."""
    countries = [part for part in holiday_parts(holidays) if isinstance(part, str)]
    if len(countries) > 1:
        raise ConfigError(f'engine="stan" takes the holidays of one country, got {listed(countries)}: use engine="map"')
    tables = [table_rows(part) for part in holiday_parts(holidays) if not isinstance(part, str) and is_table(part)]
    return (countries[0] if countries else None), stan.holiday_frame(HolidayRows.joined(tables)) if tables else None


def _rows(panel: Panel, i: int, days: DayColumns | None) -> stan.Rows:
    rows = np.arange(panel.start[i], panel.stop[i])
    times = wall_clock(panel.grid[panel.position(rows, np.full(len(rows), i))], panel.tz, panel.freq)
    columns = dict(zip(panel.column_names, panel.columns[rows].T, strict=True))
    return _made(times, panel.y[rows], columns, days)


def _ahead_rows(ahead: Ahead, i: int, days: DayColumns | None) -> stan.Rows:
    return _made(ahead.wall[i], None, dict(zip(ahead.names, ahead.rows[i].T, strict=True)), days)


def _made(times: NDArray[Any], y: Float | None, columns: dict[str, Float], days: DayColumns | None) -> stan.Rows:
    cap, floor = columns.pop("cap", None), columns.pop("floor", None)
    if days is not None:
        values = days.at(times.astype("datetime64[D]").astype(np.int64))
        columns |= dict(zip(days.names, values.T, strict=True))
    return stan.Rows(times, y, cap, floor, columns)
