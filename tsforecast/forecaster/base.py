"""Forecaster: the interface. A public shell that checks once, and the few pure methods that a family writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tsforecast import design, failures, frames, growth, paths
from tsforecast.calendars.almanac import Almanac
from tsforecast.errors import ConfigError, NotFittedError, listed
from tsforecast.findings import as_panel
from tsforecast.forecast import STATUSES, Forecast
from tsforecast.forecaster import arguments
from tsforecast.intervals import Conformal, checked_levels, groups_of, radius
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.parameters import Parameters
from tsforecast.rolling import Memory, Roll, State, rolled
from tsforecast.threads import one_blas_thread

__all__ = ["Forecaster"]


FREE = frozenset(
    {
        "alias", "device", "fallback", "intervals", "interval_width", "lower", "on_error", "progress", "seed",
        "show_members", "threads", "upper",
    }
)  # fmt: skip
"""Parameters that may change between fit and predict."""


@dataclass(eq=False, repr=False)
class Forecaster(Parameters):
    """Base of all forecasters: parameters are fields, fitted state is a value, families write `_fit` and `_predict`."""

    alias: str | None = field(default=None, kw_only=True)
    past: Sequence[str] = field(default=(), kw_only=True)
    known: Sequence[str] = field(default=(), kw_only=True)
    calendar: Sequence[Any] | str = field(default=(), kw_only=True)
    intervals: Literal["auto"] | Conformal = field(default="auto", kw_only=True)
    lower: float | None = field(default=None, kw_only=True)
    upper: float | None = field(default=None, kw_only=True)
    on_error: Literal["raise", "fallback", "skip"] = field(default="raise", kw_only=True)
    fallback: Any = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    needs: ClassVar[Any] = "series"
    """What one fit or predict must see together: "series", ("group", column) or "panel"."""
    has_intervals: ClassVar[bool] = False
    """Whether `_predict` fills lower and upper itself."""
    uses_columns: ClassVar[bool] = True
    """Whether past, known and calendar columns can enter the model."""
    complexity: ClassVar[int] = 3
    """Place in the order of simplicity (0 naive rules, 1 normals, 2 linear lag models, 3 others): what an equal score
    is settled by."""

    # What a family writes. All of it is pure: nothing is read but the arguments, nothing is changed.

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        """Parameters of all n series; a series that cannot be fitted gets NaN, never an exception."""
        raise TypeError(f"{type(self).__name__} does not define _fit")

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        """Forecast of the h steps after each span; row `panel.series[i]` of the state belongs to span i."""
        raise TypeError(f"{type(self).__name__} does not define _predict")

    def _fit_windows(self, panel: Panel, cutoffs: Int, h: int | None) -> State:
        """Parameters of the spans that end at cutoffs (w, n), window-major; overridden where work can be shared."""
        many = panel.cut(cutoffs).numbered()
        return self._fit(many, h, Memory(many, h or 1))

    def _check(self, panel: Panel, h: int | None) -> None:
        """ConfigError for parameters that cannot work, whatever the values in the data."""

    def _rows_needed(self, panel: Panel) -> int:
        """Observed rows that a series must have to be fitted."""
        return 1

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        """The states of the first n_old series of `panel` and of its others as one."""
        joined: State = growth.joined(old, new, n_old, len(panel) - n_old)
        return joined

    def _greeted(self, state: State, panel: Panel) -> State:
        """The state of series that `update` meets for the first time."""
        return self.learn(panel, self.h_)

    def _completed(self, state: State, panel: Panel) -> State:
        """The state with what is worked out only on demand, while the rows it was fitted on are still there."""
        return state

    def _spread(self, fit: State) -> Float | None:
        """Usual distance (n,) of each series from its level, for pooled errors to reach those that have none."""
        return None

    def _keep(self, state: State) -> int | None:
        """Last rows of each series that forecasts need; None for all."""
        return None

    def _simulate(self, state: State, panel: Panel, h: int, known: Float, draws: Float) -> Float | None:
        """Sample paths (n, h, p) from standard normal `draws` (n, h, p); None where a family has no such road."""
        return None

    def _inside(self, state: State, panel: Panel) -> Float | None:
        """In-sample values (N,) of all rows, where they need no rows before them; None where they do."""
        return None

    def _keep_calendar(self, panel: Panel) -> Almanac:
        """The almanac with the holidays that a model fitted on the prepared panel goes by from now on."""
        return design.keep_calendar(panel, self.almanac)

    # Pure steps on prepared panels: what rolling calls.

    @property
    def name(self) -> str:
        """Column name of the forecasts: the alias, or the class name."""
        return self.alias or type(self).__name__

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Columns of the data that a forecast needs for the future."""
        return tuple(self.known)

    @property
    def conformal(self) -> Conformal | None:
        """The conformal recipe in force, or None where the family's own intervals are."""
        if isinstance(self.intervals, Conformal):
            return self.intervals
        return None if self.has_intervals else Conformal()

    @property
    def almanac(self) -> Almanac:
        """The calendar words and their overrides; ConfigError where `calendar` holds something else."""
        return Almanac.of(self.calendar)

    def design(self, panel: Panel, almanac: Almanac | None = None) -> Panel:
        """The panel with the columns of this model alone: past, then known, then calendar.

        `almanac` holds the holidays that a fitted model goes by; None: those of the installed package.
        """
        return design.prepare(panel, tuple(self.past), tuple(self.known), almanac or self.almanac)

    def learn(self, panel: Panel, h: int | None, calibrate: bool = True, memory: Memory | None = None) -> State:
        """Fitted state of a prepared panel: the family's parameters and, given h, conformal errors."""
        with one_blas_thread():
            fit = self._fit(panel, h, Memory(panel, h or 1) if memory is None else memory.on(panel, h or 1))
        state: State = {"fit": fit, "thin": self._thin(panel)}
        if self.conformal is not None and h is not None and calibrate:
            state["errors"] = self._errors(fit, panel, h)
        return state

    def learn_windows(self, panel: Panel, cutoffs: Int, h: int, calibrate: bool) -> State:
        """Fitted state of the spans that end at cutoffs (w, n), window-major; no origin is calibrated twice."""
        with one_blas_thread():
            fit = self._fit_windows(panel, cutoffs, h)
        state: State = {"fit": fit, "thin": self._thin(panel.cut(cutoffs)), "windows": len(cutoffs)}
        if self.conformal is not None and calibrate:
            last = np.minimum(cutoffs, panel.last)
            wanted = np.stack([self.conformal.origins(row, h) for row in last])  # (w, c, n)
            flat, where = np.unique(wanted.reshape(-1, len(panel)), axis=0, return_inverse=True)
            errors = self._calibrated(panel, flat, h)[:, where.reshape(len(cutoffs), -1)]  # (n, w, c, h)
            state["errors"] = errors.swapaxes(0, 1).reshape(-1, *errors.shape[2:])
        return state

    def learn_spans(self, panel: Panel, cutoffs: Int, h: int, calibrate: bool) -> State:
        """As `learn_windows`, each span learned as a series of its own: for families whose errors come with the fit."""
        learned = self.learn(panel.cut(cutoffs).numbered(), h, calibrate)
        return learned | {"windows": len(cutoffs)}

    def _thin(self, panel: Panel) -> Bool:
        thin: Bool = panel.observed < self._rows_needed(panel)
        return thin

    def _errors(self, fit: State, panel: Panel, h: int) -> Float:
        """Out-of-sample errors (n, c, h) that conformal intervals are made of; overridden where no refit is needed."""
        assert self.conformal is not None
        # Each series from its own end, as `predict` will: company may know later days there as well.
        return self._calibrated(panel, self.conformal.origins(panel.last, h), h)

    def _calibrated(self, panel: Panel, cutoffs: Int, h: int) -> Float:
        quiet = self.copy(intervals="auto", on_error="skip")
        return rolled(quiet, panel, cutoffs, h=h).errors.swapaxes(0, 1)

    def forecast(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        """Forecast of a prepared panel: the family's, then intervals, failures and fallback, bounds."""
        recipe = self.conformal
        # Too few rows for the model: what it says of them is no forecast, and `on_error` settles it.
        thin = state["thin"][panel.series]
        out = self._predict(state["fit"], panel, h, known, levels if recipe is None else ())
        if levels and recipe is not None:
            width = self._half_widths(state, panel, h, levels, recipe.pool)
            out = out.replace(lower=out.point[..., None] - width, upper=out.point[..., None] + width)
            # Too few errors for an interval that was asked for: the series fails, not silently by half.
            thin = thin | np.isnan(width).any(axis=(1, 2))
        elif levels:
            out = failures.with_widths(out, panel, levels)
        if thin.any():
            out = out.replace(point=np.where(thin[:, None], np.nan, out.point))
        extremes = state["extremes"][panel.series] if "extremes" in state else None
        out = failures.settle(
            out, panel, levels, name=self.name, on_error=self.on_error, rescue=self._rescue, extremes=extremes
        )
        if panel.repaired is not None:
            repaired = panel.repaired & (out.status == STATUSES.index("ok"))
            out = out.replace(status=np.where(repaired, STATUSES.index("repaired"), out.status).astype(np.int8))
        return out.clipped(self.lower, self.upper)

    def _half_widths(self, state: State, panel: Panel, h: int, levels: Sequence[float], pool: str) -> Float:
        """Conformal half-widths (n, h, q); spans of one fit share its errors, those of other windows are not theirs."""
        fits, first, back = np.unique(panel.series, return_index=True, return_inverse=True)
        few = panel.take(first)
        window = fits // max(len(state["errors"]) // state.get("windows", 1), 1)
        groups = groups_of(pool, few.static, len(few)) + window * len(few)
        spread = self._spread(state["fit"])
        own = None if spread is None else spread[fits]
        return radius(state["errors"][fits], levels, groups, few.ids, self.on_error == "raise", own, h)[back]

    def _rescue(self, panel: Panel, h: int, levels: Sequence[float]) -> Forecast:
        if self.fallback is None:
            return failures.seasonal_stand_in(panel, h, levels)
        plain = self.fallback.design(panel.numbered())
        known = np.empty((len(panel), h, plain.columns.shape[1] - plain.n_past))
        state = self.fallback._fit(plain, h, Memory(plain, h))
        rescued: Forecast = self.fallback._predict(state, plain, h, known, levels)
        return rescued

    # The public shell.

    def fit(self, data: Any, *, h: int | None = None, static: Any = None) -> Self:
        """Fit on a table (unique_id, ds, y) or a Panel; `h` tells what is fitted per horizon (direct, conformal).

        DataError lists findings in the data, ConfigError parameters that cannot work.
        """
        panel = as_panel(data, static)
        self._validate(h)
        prepared = self.design(panel)
        self._check(prepared, h)
        failures.check_lengths(prepared, self._rows_needed(prepared), self.name, self.on_error)
        state = self.learn(prepared, h)
        self.panel_, self.state_, self.h_, self.fitted_with_ = prepared, state, h, self._shaping()
        self.calendar_ = self._keep_calendar(prepared)
        return self

    def predict(
        self,
        h: int | None = None,
        *,
        future: Any = None,
        levels: Sequence[float] = (),
        static: Any = None,
        aggregate: str | None = None,
    ) -> Any:
        """Table of forecasts for the h rows after each series: id, time, `name`, `name-lo-80`, `name-hi-80`, [status].

        `future` holds the known columns for those rows (FutureError where it lacks any). `aggregate="W"` gives sums
        over calendar periods, their intervals from joint sample paths. `static` names places never seen, for models
        that can forecast them; the table has a status then.
        """
        panel, steps, levels = self._ready(), self._horizon(h), checked_levels(levels)
        if levels and self.conformal is not None and "errors" not in self.state_:
            raise ConfigError(f"{self.name}: conformal intervals need the horizon at fit: fit(data, h={steps})")
        if static is not None and aggregate is not None:
            raise ConfigError("aggregate= sums the series that were fitted: leave static= out")
        known = self._known_ahead(steps, future)
        times = frames.future_times(panel, steps, future=future)
        if aggregate is not None:
            return paths.totals(self, panel, times, known, levels, aggregate)
        out = self.forecast(self.state_, panel, steps, known, levels)
        if static is not None:
            panel, times, out = self._with_places(static, times, out, levels)
        with_status = self.on_error != "raise" or static is not None
        return frames.forecast_table(panel, out, alias=self.name, levels=levels, with_status=with_status, times=times)

    def _with_places(
        self, static: Any, times: NDArray[Any], out: Forecast, levels: Sequence[float]
    ) -> tuple[Panel, NDArray[Any], Forecast]:
        """Series, stamps (n, h) and forecast with places behind that were never seen; for families that can."""
        raise ConfigError(
            f"{self.name} forecasts the series it was fitted on; static= is for models that go farther, as GeoBlend"
        )

    def simulate(self, n_paths: int = 100, h: int | None = None, *, future: Any = None) -> Any:
        """Table of sample paths: id, time, `name-path-1` ... `name-path-{n_paths}`; seeded a series by its id."""
        panel, steps = self._ready(), self._horizon(h)
        known = self._known_ahead(steps, future)
        drawn = paths.draw(self, panel, steps, known, n_paths)
        columns = {f"{self.name}-path-{p + 1}": drawn[:, :, p].reshape(-1) for p in range(n_paths)}
        owner = np.repeat(np.arange(len(panel)), steps)
        return frames.rows_table(panel, owner, frames.future_times(panel, steps, future=future).ravel(), columns)

    def fitted(self) -> Any:
        """Table of one-step in-sample values: id, time, y, `name`, residual; NaN where a model has no value yet."""
        return paths.fitted(self, self._ready())

    def update(self, data: Any, *, revised: Literal["raise", "replace"] = "raise") -> Self:
        """Append newer rows under the same parameters; ids never seen are fitted, and listed in `updated_`.

        Overlapping rows must agree with those known, or DataError; `revised="replace"` takes the new values.
        """
        old = self._ready()
        state = self._completed(self.state_, old)
        panel, fresh = growth.extended(old, self.design(growth.newer(old, data), self.calendar_), revised)
        if fresh.any():
            new = panel.take(fresh).replace(series=np.arange(int(fresh.sum())))
            learned = self._greeted(state, new)
            if "extremes" in state:
                learned["extremes"] = failures.ranges(new)
            state = self._join(state, learned, panel, int((~fresh).sum()))
        self.panel_, self.state_, self.updated_ = panel, state, tuple(panel.ids[fresh])
        return self

    def make_future(self, h: int | None = None) -> Any:
        """Skeleton of the `future` table: id and time of the h rows after each series."""
        return frames.make_future(self._ready(), self._horizon(h))

    def missing_future(self, h: int | None = None, future: Any = None) -> Any:
        """Rows (id, time) that `future` still lacks for the next h rows."""
        return frames.missing_future(design.known_only(self._ready(), self.known_columns), self._horizon(h), future)

    def describe(self) -> dict[str, Any]:
        """Name, parameters and the columns that enter the model, in order."""
        panel = self._ready()
        return {
            "name": self.name,
            "params": self.get_params(deep=False),
            "past": list(panel.column_names[: panel.n_past]),
            "known": list(panel.known_names),
        }

    def save(self, path: Any) -> None:
        """Write the fitted model to one file; `tsforecast.load(path)` gives it back in any process."""
        panel = self._ready()
        self.state_ = self._completed(self.state_, panel)
        growth.save(self, panel, path)

    def __repr__(self) -> str:
        """As `Parameters` writes it, but tables as dicts of columns: what differs must read differently."""
        plain = {name: frames.plain_tables(value) for name, value in self.get_params(deep=False).items()}
        return Parameters.__repr__(self.copy(**plain))

    def _ready(self) -> Panel:
        panel: Panel | None = getattr(self, "panel_", None)
        if panel is None:
            raise NotFittedError(f"{self.name} is not fitted yet: call fit(data) first")
        changed = [name for name, value in self._shaping().items() if value != self.fitted_with_[name]]
        if changed:
            raise ConfigError(f"{self.name}: {listed(changed)} changed since fit: fit again, or set it back")
        return panel

    def _shaping(self) -> dict[str, str]:
        """The parameters that a fitted state depends on, as text."""
        return {name: repr(value) for name, value in self.get_params(deep=False).items() if name not in FREE}

    def _known_ahead(self, h: int, future: Any) -> Float:
        return design.ahead(self._ready(), tuple(self.known), self.calendar_, h, future)

    def _horizon(self, h: int | None) -> int:
        steps = self.h_ if h is None else h
        if steps is None or not arguments.is_count(steps):
            if hasattr(h, "columns"):
                raise ConfigError(f"{self.name}: a table goes to future=: predict(28, future=table)")
            raise ConfigError(f"{self.name}: say how far to forecast: h, a whole number >= 1, got {str(h)[:60]}")
        if self.h_ is not None and steps > self.h_ and ("errors" in self.state_ or self.needs_h):
            raise ConfigError(f"{self.name} was fitted for h={self.h_}; fit(data, h={steps}) reaches farther")
        return int(steps)

    def _validate(self, h: int | None) -> None:
        arguments.check(self, h)
        other = self.fallback
        if other is None:
            return
        if not isinstance(other, Forecaster):
            raise ConfigError(f"fallback must be a forecaster such as Naive(), got {other!r}")
        if other.past or other.known or other.almanac.words:
            raise ConfigError(f"fallback={other!r} must do without past, known and calendar columns")

    @property
    def needs_h(self) -> bool:
        """Whether the horizon must be known at fit."""
        return False
