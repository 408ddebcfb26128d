"""Prophet: trend with changepoints, seasonalities, holidays and regressors, at the exact mode of its posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from tsforecast import design, frames
from tsforecast.calendars.almanac import Almanac
from tsforecast.calendars.clock import grid_clock
from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.named import read_stamps
from tsforecast.calendars.rhythm import Rhythm
from tsforecast.errors import ConfigError
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import checked_levels
from tsforecast.models.prophet import bridge, checks, components, curves, fitting, forecasting, inference
from tsforecast.models.prophet.features import BUILT_IN, Features, Order
from tsforecast.models.prophet.holidays import day_columns, holiday_parts
from tsforecast.models.prophet.settings import Settings
from tsforecast.models.prophet.terms import Mode, Regressor, Seasonality, regressors_of
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import Roll, State
from tsforecast.windows import generators

__all__ = ["Prophet"]

TIME = "(time)"
"""Name of the column that carries the moment of each row where a panel's steps are not those of its frequency."""


@dataclass(eq=False, repr=False)
class Prophet(Forecaster):
    """Prophet's additive model of a time series, fitted for a whole panel at once.

    The arguments have Prophet's names, meanings and defaults. engine: "map" finds the exact mode of the posterior for
    all series in one batch; "stan" runs the prophet package (extra `prophet`) a series at a time, for its own numbers
    to the digit and for MCMC. holidays: a country code ("KR": one free effect a name, as in Prophet), a table with
    `holiday` and `ds` (and windows, prior scales), `KoreanHolidays()`, or a list of these. `known=("promo",)` is
    `regressors=(Regressor("promo"),)`. growth="logistic" takes the capacity from a column `cap` and, where there is
    one, the floor from `floor`, both needed for the future too. interval_width: level of the bands in
    `plot_components`; tables have those that `levels` asks for.
    Taylor & Letham (2018), Forecasting at scale, The American Statistician 72(1), 37-45.
    """

    growth: Literal["linear", "logistic", "flat"] = "linear"
    changepoints: Sequence[Any] | None = None
    n_changepoints: int = 25
    changepoint_range: float = 0.8
    yearly_seasonality: Order = "auto"
    weekly_seasonality: Order = "auto"
    daily_seasonality: Order = "auto"
    holidays: Any = None
    seasonality_mode: Mode = "additive"
    seasonality_prior_scale: float = 10.0
    holidays_prior_scale: float = 10.0
    changepoint_prior_scale: float = 0.05
    mcmc_samples: int = 0
    interval_width: float = 0.80
    uncertainty_samples: int = 1000
    stan_backend: str | None = None
    scaling: Literal["absmax", "minmax"] = "absmax"
    holidays_mode: Mode | None = None
    engine: Literal["map", "stan"] = "map"
    seasonalities: Sequence[Seasonality] = ()
    regressors: Sequence[Regressor | str] = ()

    has_intervals: ClassVar[bool] = True

    def add_seasonality(
        self,
        name: str,
        period: float,
        fourier_order: int,
        prior_scale: float | None = None,
        mode: Mode | None = None,
        condition_name: str | None = None,
    ) -> Self:
        """Append a seasonality of `period` days to `seasonalities`, as Prophet's method of that name; returns self."""
        term = Seasonality(name, period, fourier_order, prior_scale, mode, condition_name)
        self.seasonalities = (*self.seasonalities, term)
        return self

    def add_regressor(
        self,
        name: str,
        prior_scale: float | None = None,
        standardize: bool | Literal["auto"] = "auto",
        mode: Mode | None = None,
    ) -> Self:
        """Append a column of the data to `regressors`, as Prophet's method of that name; returns self."""
        self.regressors = (*self.regressors, Regressor(name, prior_scale, standardize, mode))
        return self

    def add_country_holidays(self, country_name: str) -> Self:
        """Append a country's holidays to `holidays`, as Prophet's method of that name; returns self."""
        given = () if self.holidays is None else self.holidays
        several = isinstance(given, (list, tuple))
        self.holidays = (*given, country_name) if several else (given, country_name)
        return self

    @property
    def changepoints_(self) -> Any:
        """Table, a row a changepoint: id, time, `change` of the slope in units of the target a day."""
        panel, spans, _ = self._fitted("changepoints_")
        owner, moments, table = inference.changes(panel, spans)
        return frames.rows_table(panel, owner, moments, table)

    @property
    def diagnostics_(self) -> Any:
        """Table, a row a series: rows, sigma, changepoints, those that bend, and whether the posterior had a mode.

        `reduced` tells how often terms were taken away until it had one.
        """
        panel, spans, _ = self._fitted("diagnostics_")
        return inference.diagnostics(panel, spans)

    def effects(self, levels: Sequence[float] = (95,)) -> Any:
        """Table: id, term, component, mode, estimate and its interval, of every coefficient and slope change.

        Additive effects are in units of the target, multiplicative ones shares of the trend, slope changes a day.
        """
        panel, spans, settings = self._fitted("effects()")
        sums = self._sums(settings.features)
        owner, table = inference.effects(panel, settings, spans, checked_levels(levels), sums)
        return frames.rows_table(panel, owner, None, table)

    def components(
        self, h: int | None = None, *, future: Any = None, history: bool = False, levels: Sequence[float] = ()
    ) -> Any:
        """Table: id, time, trend, every seasonality, holiday family and regressor, and their sum, the forecast.

        `history=True` puts the rows that are known (of a saved model the last 64) before the h steps to come, or gives
        them alone. `levels` adds bands of each component: Laplace's approximation, and for the trend its changes to
        come. `lower` and `upper` are not applied here. ConfigError where two columns would have one name.
        """
        panel, spans, settings = self._fitted("components()")
        parts = self._parts(h, future, history)
        return components.table(settings, spans, panel, parts, self.name, checked_levels(levels))

    def seasonal_curves(self, levels: Sequence[float] = ()) -> Any:
        """Table: id, seasonality, period, mode, day, estimate and its interval, of one period of every seasonality.

        Additive ones in units of the target, multiplicative ones as shares of the trend. Day 0 is 1 January, Monday or
        midnight, for other periods that of 1970-01-01; the condition of a conditional one is taken as met.
        """
        panel, spans, settings = self._fitted("seasonal_curves()")
        owner, table = curves.curves(panel, settings, spans, checked_levels(levels))
        return frames.rows_table(panel, owner, None, table)

    def describe(self) -> dict[str, Any]:
        """Name, parameters and columns, and of every component how many coefficients it has."""
        out = super().describe()
        if self.engine == "map":
            names = self._fitted("describe()")[2].features.component
            out["components"] = {name: names.count(name) for name in dict.fromkeys(names)}
        return out

    def _inside(self, state: State, panel: Panel) -> Float | None:
        rows, ahead = self._rows(panel)
        value = np.full(len(panel.y), np.nan)
        value[rows] = self._at(state, panel, ahead, ()).point
        return value

    def _rows(self, panel: Panel) -> tuple[Int, forecasting.Ahead]:
        """The rows that are known (n, L), the last one repeated behind shorter series."""
        rows = np.minimum(panel.start[:, None] + np.arange(int(panel.lengths.max(initial=0))), panel.stop[:, None] - 1)
        stamps = panel.grid[panel.position(rows, np.arange(len(panel))[:, None])]
        clock = (panel.tz, panel.freq)
        return rows, forecasting.Ahead.of(stamps, panel.columns[rows], panel.column_names, panel.series, clock)

    def _parts(self, h: int | None, future: Any, history: bool) -> list[forecasting.Ahead]:
        """The rows that are known, and the steps to come."""
        panel = self._ready()
        parts = [self._rows(panel)[1]] if history else []
        if h is not None or not history:
            steps = self._horizon(h)
            parts.append(self._ahead(panel, steps, self._known_ahead(steps, future)))
        return parts

    def _fitted(self, what: str) -> tuple[Panel, State, Settings]:
        """Rows, parameters a series and settings of a fitted model; ConfigError where `what` has no meaning."""
        panel = self._ready()
        if self.engine != "map":
            raise ConfigError(f'{what} describes engine="map"; this model was fitted with engine={self.engine!r}')
        state = self.state_["fit"]
        return panel, state["spans"], self._settings(self._features(panel, _days_of(state)), panel)

    def _sums(self, features: Features) -> tuple[Sequence[str], Float]:
        """Sums of coefficients that mean something together: what pooled calendars tell of their columns."""
        names: list[str] = []
        weights = [np.empty((0, len(features.names)))]
        for part in holiday_parts(self.holidays):
            if features.days is not None and hasattr(part, "effects"):
                labels, rows = part.effects(features.days)
                names += labels
                weights.append(np.zeros((len(labels), len(features.names))))
                weights[-1][:, features.holiday] = rows
        return names, np.concatenate(weights)

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Columns of the data that must be known for the future: regressors, conditions, capacity and floor."""
        conditions = [term.condition_name for term in self.seasonalities if term.condition_name]
        named = [*self.known, *(term.name for term in regressors_of(self.regressors)), *conditions]
        panel: Panel | None = getattr(self, "panel_", None)
        if self.growth == "logistic":
            named += ["cap", *(["floor"] if panel is not None and "floor" in panel.column_names else [])]
        return tuple(dict.fromkeys(named))

    def design(self, panel: Panel, almanac: Almanac | None = None) -> Panel:
        """The panel with the columns of this model alone."""
        checks.check_columns(self, panel)
        columns = [*self.known_columns]
        if self.growth == "logistic" and "floor" in panel.column_names and "floor" not in columns:
            columns.append("floor")
        prepared = design.prepare(panel, (), tuple(columns), almanac or self.almanac)
        if panel.at is None or TIME in panel.column_names:
            return prepared
        moment = np.full((len(panel.y), 1), np.nan)
        rows = panel.rows
        moment[rows, 0] = panel.grid[panel.position(rows, panel.owner)].astype("datetime64[us]").astype(np.int64)
        names = (*prepared.column_names, TIME)
        return prepared.with_columns(np.concatenate([prepared.columns, moment], axis=1), names, 0)

    def _known_ahead(self, h: int, future: Any) -> Float:
        panel = self._ready()
        values = design.ahead(panel, self.known_columns, self.calendar_, h, future)
        if panel.at is not None:
            times = frames.future_times(panel, h, future=future).astype("datetime64[us]").astype(np.int64)
            values = np.concatenate([values, times[..., None].astype(float)], axis=2)
        checks.check_future(self, panel, values)
        return values

    def _validate(self, h: int | None) -> None:
        super()._validate(h)
        checks.check_arguments(self)

    def _check(self, panel: Panel, h: int | None) -> None:
        checks.check_data(self, panel)

    def fit(self, data: Any, *, h: int | None = None, static: Any = None) -> Self:
        """Fit on a table (unique_id, ds, y) or a Panel; FitWarning names series with too few rows for all terms."""
        super().fit(data, h=h, static=static)
        if self.engine == "map" and self.on_error == "raise":
            inference.warn_of_reduced(self._ready(), self.state_["fit"]["spans"], self.name)
        return self

    def _rows_needed(self, panel: Panel) -> int:
        return 2

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        if self.engine == "stan":
            pooled = bridge.pooled_parts(self.holidays)
            days = self._days(panel, pooled) if pooled else None
            return bridge.fit(panel, self.get_params(deep=False), self.seasonalities, self._regressors(panel), days)
        days = self._days(panel, self.holidays)
        features = self._features(panel, days)
        state: State = fitting.fit(panel, self._settings(features, panel))
        return {"spans": state, "days": None if days is None else days.state(), "names": list(features.names)}

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        return self._at(state, panel, self._ahead(panel, h, known), levels)

    def _at(self, state: State, panel: Panel, ahead: forecasting.Ahead, levels: Sequence[float]) -> Forecast:
        if self.engine == "stan":
            return bridge.forecast(state, panel, ahead, levels, self.seed)
        features = self._features(panel, _days_of(state))
        return forecasting.forecast(state["spans"], ahead, features, self.growth, levels)

    def _simulate(self, state: State, panel: Panel, h: int, known: Float, draws: Float) -> Float | None:
        if self.engine == "stan":
            return None
        features, randoms = self._features(panel, _days_of(state)), generators(panel.ids, self.seed)
        ahead = self._ahead(panel, h, known)
        return forecasting.simulate(state["spans"], ahead, features, self.growth, draws, randoms)

    def _ahead(self, panel: Panel, h: int, known: Float) -> forecasting.Ahead:
        times = frames.future_times(panel, h)
        if panel.at is not None:
            given = known[..., panel.known_names.index(TIME)]
            told = np.isfinite(given)
            times = times.astype("datetime64[us]")
            times[told] = given[told].astype(np.int64).astype("datetime64[us]")
        return forecasting.Ahead.of(times, known, panel.known_names, panel.series, (panel.tz, panel.freq))

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        join = bridge.joined if self.engine == "stan" else fitting.joined
        fit = join(old["fit"], new["fit"])
        return super()._join(old | {"fit": {}}, new | {"fit": {}}, panel, n_old) | {"fit": fit}

    def _keep(self, state: State) -> int | None:
        return 64  # forecasts need none; these are what `update` compares its overlap with, and what can be looked at

    def _days(self, panel: Panel, holidays: Any) -> DayColumns | None:
        if holidays is None or not len(panel.grid):
            return None
        days = panel.grid[[0, -1]].astype("datetime64[D]").astype(np.int64)
        return day_columns(
            holidays,
            first_day=int(days[0]) - 1,
            last_day=int(days[1]) + 1,
            prior_scale=self.holidays_prior_scale,
            mode=self.holidays_mode or self.seasonality_mode,
        )

    def _features(self, panel: Panel, days: DayColumns | None) -> Features:
        if panel.grid.dtype.kind != "M":
            raise ConfigError(f"{self.name} needs dates, but the time column holds integer steps")
        orders = {name: getattr(self, f"{name}_seasonality") for name in BUILT_IN}
        rhythm = Rhythm.of(panel.freq)
        for name in BUILT_IN:  # Prophet leaves a yearly seasonality on for one row a year
            if orders[name] == "auto" and rhythm.rows_in(name) < 2:
                orders[name] = False
        own = {term.name for term in self.seasonalities}
        terms = [
            Seasonality(name, period, usual if order is True or order == "auto" else int(order))
            for name, (period, usual) in BUILT_IN.items()
            if (order := orders[name]) is not False and order != 0 and not (order == "auto" and name in own)
        ]
        terms += [term for term in self.seasonalities if term.name not in {t.name for t in terms}]
        resolved = [_resolved(term, self.seasonality_prior_scale, self.seasonality_mode) for term in terms]
        regressors = [
            _resolved(term, self.holidays_prior_scale, self.seasonality_mode) for term in self._regressors(panel)
        ]
        return Features(
            seasonalities=tuple(term for term in resolved if term.condition_name is None),
            conditional=tuple(term for term in resolved if term.condition_name is not None),
            regressors=tuple(regressors),
            days=days,
            auto=tuple(name for name in BUILT_IN if orders[name] == "auto" and name not in own),
        )

    def _regressors(self, panel: Panel) -> list[Regressor]:
        """Every column that acts linearly: regressors, text ones by label, and the columns of calendar words."""
        given = {name: Regressor(name) for name in self.known} | {
            term.name: term for term in regressors_of(self.regressors)
        }
        out: list[Regressor] = []
        for name, term in given.items():
            labels = panel.categories.get(name)
            columns = [name] if labels is None else [f"{name}={label}" for label in labels]
            out += [Regressor(column, term.prior_scale, term.standardize, term.mode) for column in columns]
        others = {TIME, "cap", "floor", *(r.name for r in out), *(s.condition_name for s in self.seasonalities)}
        out += [Regressor(name) for name in panel.column_names if name not in others]
        return out

    def _settings(self, features: Features, panel: Panel) -> Settings:
        moments = None if self.changepoints is None else _moments(self.changepoints, panel)
        return Settings(
            growth=self.growth,
            features=features,
            number=self.n_changepoints if moments is None else len(moments),
            share=self.changepoint_range,
            moments=moments,
            tau=self.changepoint_prior_scale,
            scaling=self.scaling,
        )


def _resolved(term: Any, scale: float, mode: Mode) -> Any:
    own = term.prior_scale
    return replace(term, prior_scale=scale if own is None else own, mode=term.mode or mode)


def _moments(changepoints: Sequence[Any], panel: Panel) -> Int:
    """Changepoints (wall-clock times) as microseconds since 1970 in the panel's own time, in order, each once."""
    wall = read_stamps(changepoints, "changepoints")
    return np.unique(grid_clock(wall, panel.tz, panel.freq).astype(np.int64))


def _days_of(state: State) -> DayColumns | None:
    return None if state["days"] is None else DayColumns.from_state(state["days"])
