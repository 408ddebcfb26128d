"""Network: the parameters that all networks share, and how they keep the interface."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np

from tsforecast import failures, frames
from tsforecast.errors import ConfigError, DataError, FitError, FitWarning, listed, require, whole
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import Conformal
from tsforecast.models.neural import describing, growing
from tsforecast.models.neural.architecture import n_parameters
from tsforecast.models.neural.data import Groups, Layout, least_rows, statics
from tsforecast.models.neural.settings import settings, started
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import Roll, State

__all__ = ["Network"]

INSIDE = 50_000
"""Rows whose in-sample values are worked out at once: bounds memory."""


@dataclass(eq=False, repr=False)
class Network(Forecaster):
    """Base of the networks: the parameters they share, and how they are fitted and forecast.

    A parameter left at None takes its value from `preset`. Needs torch: pip install 'tsforecast[torch]'.
    """

    window: int | None = None
    hidden: int | Sequence[int] | None = None
    strategy: Literal["auto", "recursive", "direct", "sequence"] = "auto"
    scope: str = "global"
    preset: Literal["default", "fast", "accurate", "notes"] = "default"
    static: Sequence[str] = field(default=(), kw_only=True)
    embed: int | None = field(default=None, kw_only=True)
    activation: str | None = field(default=None, kw_only=True)
    slope: float = field(default=0.01, kw_only=True)
    dropout: float | None = field(default=None, kw_only=True)
    norm: Literal["none", "layer", "batch"] = field(default="none", kw_only=True)
    loss: str = field(default="mse", kw_only=True)
    quantiles: Sequence[float] = field(default=(0.025, 0.05, 0.1, 0.5, 0.9, 0.95, 0.975), kw_only=True)
    optimizer: str = field(default="adam", kw_only=True)
    optimizer_options: Mapping[str, Any] | None = field(default=None, kw_only=True)
    learning_rate: float | None = field(default=None, kw_only=True)
    schedule: str | None = field(default=None, kw_only=True)
    l1: float = field(default=0.0, kw_only=True)
    l2: float = field(default=0.0, kw_only=True)
    clip: float | None = field(default=None, kw_only=True)
    batch_size: int | Literal["full"] | None = field(default=None, kw_only=True)
    epochs: int | None = field(default=None, kw_only=True)
    validation: float | None = field(default=None, kw_only=True)
    early_stopping: bool = field(default=True, kw_only=True)
    patience: int | None = field(default=None, kw_only=True)
    centre: Literal["window", "series"] | None = field(default=None, kw_only=True)
    scaling: Literal["standard", "minmax", "robust", "none"] = field(default="standard", kw_only=True)
    seeds: int | Sequence[int] | None = field(default=None, kw_only=True)
    sample: int | Literal["all"] | None = field(default=None, kw_only=True)
    missing: Literal["mask", "refuse"] = field(default="mask", kw_only=True)
    jitter: float = field(default=0.0, kw_only=True)
    magnitude: float = field(default=0.0, kw_only=True)
    pretrained: Any = field(default=None, kw_only=True)
    device: Literal["auto", "cpu", "cuda", "mps"] = field(default="auto", kw_only=True)
    threads: int | None = field(default=None, kw_only=True)
    progress: bool = field(default=False, kw_only=True)

    kind: ClassVar[str] = ""

    @property
    def needs(self) -> Any:
        """What one fit must see together: a series, a group, or the panel."""
        return {"series": "series", "global": "panel"}.get(self.scope, ("group", self.scope))

    @property
    def needs_h(self) -> bool:
        """Whether the horizon must be known at fit."""
        return settings(self).at_once

    @property
    def conformal(self) -> Conformal | None:
        """The conformal recipe in force, or None where quantiles are learned; a shared net's errors are pooled."""
        if isinstance(self.intervals, Conformal) or self.loss == "pinball":
            return self.intervals if isinstance(self.intervals, Conformal) else None
        return Conformal(pool={"series": "series", "global": "panel"}.get(self.scope, self.scope))

    @property
    def history_(self) -> Any:
        """Table of the learning curves: model, seed, epoch, loss, validation_loss, learning_rate, best."""
        panel = self._ready()
        return describing.history(settings(self), self.state_["fit"], self._groups(panel).names, panel)

    @property
    def n_parameters_(self) -> int:
        """Numbers that one net learns; torch's two bias vectors a recurrent layer are counted both."""
        return n_parameters(self._look(self.state_["fit"], self._ready()).net)

    def describe(self) -> dict[str, Any]:
        """Name, parameters, columns, and the net: layers with shapes and parameters, windows, steps an epoch."""
        panel = self._ready()
        net = self._look(self.state_["fit"], panel).net
        return super().describe() | describing.net(net, settings(self), self.state_["fit"])

    def update(
        self, data: Any, *, revised: Literal["raise", "replace"] = "raise", finetune: bool | int = False
    ) -> Self:
        """Append newer rows under the same weights; ids never seen are forecast by the net that serves them.

        `finetune=True` goes on training from these weights for a tenth of the epochs, a number for as many.
        Overlapping rows must agree with those known, or DataError; `revised="replace"` takes the new values.
        """
        tuned = finetune is not False
        few = whole("finetune", finetune, 1) if tuned and finetune is not True else settings(self).options.epochs // 10
        super().update(data, revised=revised)
        panel = self._ready()
        if tuned or self.scope != "series":
            self.state_ = self._grown(self.state_, panel)
        if not tuned:
            return self
        again = self.copy(epochs=max(few, 1))
        fit = again._trained(panel, again._plan(panel, self.h_, self.state_["fit"]))
        self.state_ = self.state_ | {"fit": fit}
        if "errors" in self.state_:
            self.state_["errors"] = self._errors(fit, panel, int(self.state_["errors"].shape[2]))
        return self

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy: what `pretrained` was fitted on goes along."""
        return self.copy()

    def encode(self, future: Any = None) -> Any:
        """Table of the last hidden layer for every row: id, time, `name-1` ... `name-u`, of the window that ends there.

        NaN where the window is not full. As past columns they tell other models what the net has seen. `future` holds
        the known columns of the steps after the last row, which the newest window reads.
        """
        panel = self._ready()
        require("torch", "torch")
        from tsforecast.models.neural import forecasting

        state = self.state_["fit"]
        coming = self._known_ahead(int(state["steps"]), future)
        values = forecasting.encoded(self._look(state, panel), state, panel, self._group(state, panel), coming)
        columns = {f"{self.name}-{u + 1}": values[:, u] for u in range(values.shape[1])}
        rows, owner = panel.rows, panel.owner
        return frames.rows_table(panel, owner, panel.grid[panel.position(rows, owner)], columns)

    def _validate(self, h: int | None) -> None:
        require("torch", "torch")
        from tsforecast.models.neural.descent import check_optimizer

        check_optimizer(settings(self).options)
        super()._validate(h)

    def __repr__(self) -> str:
        """As all forecasters, with a digest of the weights that `pretrained` gives: what differs must read so."""
        return super().__repr__() + ("" if self.pretrained is None else describing.digest(self.pretrained))

    def _check(self, panel: Panel, h: int | None) -> None:
        there = listed(panel.static) or "none was given"
        if self.scope not in ("series", "global", *panel.static):
            raise ConfigError(f"scope must be 'series', 'global' or a static column ({there}), got {self.scope!r}")
        for name in self.static:
            if name not in panel.static:
                raise ConfigError(f"no static column {name!r} ({there}): fit(data, static=table)")
            lacking = [value is None or value != value for value in panel.static[name].tolist()]
            if any(lacking):
                raise DataError(
                    f"static column {name!r} has no value for series {listed(panel.ids[lacking])}: give one, or leave "
                    "the column out"
                )
        if self.loss == "msle" and np.nanmin(panel.y[panel.rows], initial=0.0) < 0:
            raise ConfigError('loss="msle" takes logarithms of 1 + y: the target must not be negative')
        made = settings(self)
        if self.scope == "series" and made.at_once:
            rows = least_rows(made.validation, made.rows(panel.freq), h or 1)
            failures.check_lengths(panel, rows, self.name, self.on_error)

    def _rows_needed(self, panel: Panel) -> int:
        made = settings(self)
        window = made.rows(panel.freq)
        # A net of its own needs a window to learn from and, where it validates, one to be judged by.
        return least_rows(made.validation, window, 1) if self.scope == "series" else window

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        return self._trained(panel, self._plan(panel, h))

    def _trained(self, panel: Panel, plan: Any) -> State:
        from tsforecast.models.neural import fitting

        groups = self._groups(panel)
        with describing.bar(self.progress, self.name, plan.options.epochs) as tell:
            state = fitting.fit(panel, plan, groups, tell)
        lost = np.argwhere(state["failed"] > 0)
        if len(lost):
            nets = [f"{groups.names[g]} (seed {plan.seeds[s]}, epoch {state['failed'][g, s]})" for g, s in lost]
            words = (
                f"{self.name}: the loss was not finite, and training stopped, for {listed(nets)}: lower learning_rate, "
                "set clip=1.0, or look at the data with tsforecast.check(data)"
            )
            if self.on_error == "raise" and (state["failed"] > 0).all(axis=1).any():
                raise FitError(words, [str(groups.names[g]) for g in np.unique(lost[:, 0])])
            warnings.warn(words, FitWarning, stacklevel=2)
        return state | {"names": [] if self.scope == "series" else [str(name) for name in groups.names]}

    def _plan(self, panel: Panel, h: int | None, tuned: State | None = None) -> Any:
        """What a fit on the panel does; `tuned`: from these weights, in their units."""
        from tsforecast.models.neural.fitting import Plan

        made = settings(self)
        window, steps = made.rows(panel.freq), (h or 1) if made.at_once else 1
        given = {*self.past, *self.known}
        return Plan(
            build=lambda layout, static: made.net(layout, static, self._labels(panel, layout), (window, steps)),
            options=made.options,
            window=window,
            steps=steps,
            numeric=tuple(i for i, name in enumerate(panel.column_names) if name in given),
            static=tuple(self.static),
            scaling=self.scaling,
            validation=made.validation,
            masks=self.missing == "mask",
            apart=self.kind == "mlp",
            alone=self.scope == "series",
            seeds=made.seeds,
            device=self.device,
            threads=self.threads,
            start=self._start(panel, tuned),
        )

    def _start(self, panel: Panel, tuned: State | None) -> Any:
        from tsforecast.models.neural.fitting import Start

        if tuned is None and self.pretrained is None:
            return None
        state, ids = (tuned, panel.ids) if tuned is not None else started(self)
        names = state["names"] or [str(name) for name in ids]
        units = (tuned["centre"], tuned["scale"]) if tuned is not None else None
        return Start(state["weights"], names, tuple(state["flagged"]), state["static"], units)

    def _labels(self, panel: Panel, layout: Layout) -> list[tuple[int, int]]:
        """First place in a row, and count, of the indicators of each text column that the rows hold."""
        names = list(panel.column_names)
        found = []
        for name in (*self.past, *self.known):
            if name in panel.categories:
                first = names.index(f"{name}={panel.categories[name][0]}")
                if not layout.apart or first < layout.past:
                    found.append((1 + first, len(panel.categories[name])))
        return found

    def _look(self, state: State, panel: Panel) -> Any:
        from tsforecast.models.neural.forecasting import Look

        made, past = settings(self), panel.n_past
        layout = Layout(past, panel.columns.shape[1] - past, tuple(state["flagged"]), self.kind == "mlp")
        size = int(state["window"]), int(state["steps"])
        net = made.net(layout, state["static"], self._labels(panel, layout), size)
        return Look(net, layout, made.at_once, self.scope == "series")

    def _groups(self, panel: Panel) -> Groups:
        if self.scope == "series":
            return Groups(np.arange(len(panel)), panel.ids)
        shared = np.full(len(panel), "global") if self.scope == "global" else panel.static[self.scope].astype(str)
        names, of = np.unique(shared, return_inverse=True)
        return Groups(of.astype(np.int64), names)

    def _group(self, state: State, panel: Panel) -> Int:
        """Place (n,) of each span's nets in the state; -1 where its group was not fitted."""
        if self.scope == "series":
            return panel.series
        found = self._groups(panel)
        place = {name: i for i, name in enumerate(state["names"])}
        return np.array([place.get(str(name), -1) for name in found.names], dtype=np.int64)[found.of]

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        require("torch", "torch")  # a model from a file went through no `fit` here
        from tsforecast.models.neural import forecasting

        values = forecasting.points(self._look(state, panel), state, panel, self._group(state, panel), h, known)
        lost = np.isnan(values).all(axis=(1, 2, 3))
        values[lost] = 0.0
        values = np.nanmean(values, axis=1)  # (n, h, q): seeds whose loss was not finite are left out
        values[lost] = np.nan
        point = values[..., values.shape[2] // 2]
        if self.conformal is not None or not levels:
            return Forecast(point)
        return Forecast(point, *forecasting.between(self.name, settings(self).options.quantiles, values, levels))

    def forecast(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        """Forecast of a prepared panel; a window that the net cannot read is named as such."""
        try:
            return super().forecast(state, panel, h, known, levels)
        except FitError as cause:
            from tsforecast.models.neural import forecasting

            gaps = forecasting.gaps(self._look(state["fit"], panel), state["fit"], panel, known)
            if not gaps.any():
                raise
            words = (
                f"{self.name}: the newest window of {listed(panel.ids[gaps])} has a gap (TSF-Y-MISSING) that the net "
                "cannot be told of, since it was fitted without any: fit again on these rows, fill them "
                '(policies={"TSF-Y-MISSING": "interpolate"}), or set on_error="fallback"'
            )
            raise FitError(words, list(panel.ids[gaps])) from cause

    def _spread(self, fit: State) -> Float:
        return np.asarray(fit["scale"][:, 0])

    def _errors(self, fit: State, panel: Panel, h: int) -> Float:
        """Errors (n, c, h) of the fitted net from the last rows, which judged it and taught it nothing."""
        back = self._origins(int(fit["held"][panel.series].max(initial=0)), h, len(panel))
        if not len(back):
            return np.full((len(panel), 1, h), np.nan)
        # Counted in rows: where gaps are ignored, several places of the grid have the same newest row.
        spans = panel.take(np.tile(np.arange(len(panel)), len(back)))
        spans = spans.replace(stop=np.maximum(spans.stop - np.repeat(back, len(panel)), spans.start))
        known = spans.ahead(panel, h, panel.columns[:, panel.n_past :])
        errors = spans.ahead(panel, h) - self._predict(fit, spans, h, known, ()).point
        errors = errors.reshape(len(back), len(panel), h)
        errors[back[:, None] > fit["held"][panel.series]] = np.nan
        return np.ascontiguousarray(errors.swapaxes(0, 1))

    def _origins(self, held: int, h: int, n: int) -> Int:
        """Rows (c,) back from the end at which errors are taken, farthest first; all lie among the held-out rows."""
        recipe = self.conformal
        assert recipe is not None
        if self.scope == "series" or isinstance(self.intervals, Conformal):
            # As many origins as there must be for the farthest step; nearer steps have some errors more.
            last = min(held, h - 1 + recipe.step * recipe.windows)
            return np.arange(1, last + 1, recipe.step, dtype=np.int64)[::-1]
        # A shared net's errors are pooled: many series need few origins each, spread over all that is held out.
        count, nearest = min(max(2000 // max(n, 1), 5), 200), min(h, max(held // 2, 1))
        return np.unique(np.linspace(nearest, held, count if held else 0).astype(np.int64))[::-1]

    def _inside(self, state: State, panel: Panel) -> Float:
        """One-step values (N,) of all rows, each told the known columns of the steps that its net looks ahead."""
        value = np.full(len(panel.y), np.nan)
        rows, owner = panel.rows, panel.owner
        for first in range(0, len(rows), INSIDE):
            some = slice(first, first + INSIDE)
            whole = panel.take(owner[some])
            spans = whole.replace(stop=rows[some])
            known = spans.ahead(whole, int(state["steps"]), panel.columns[:, panel.n_past :])
            value[rows[some]] = self._predict(state, spans, 1, known, ()).point[:, 0]
        return value

    def learn_windows(self, panel: Panel, cutoffs: Int, h: int, calibrate: bool) -> State:
        """Fitted state of the spans that end at cutoffs (w, n), window-major."""
        return self.learn_spans(panel, cutoffs, h, calibrate)

    def _greeted(self, state: State, panel: Panel) -> State:
        """The state of series never seen: a net of their own, or units of their own under the shared weights."""
        if self.scope == "series":
            return super()._greeted(state, panel)
        require("torch", "torch")
        from tsforecast.models.neural import fitting

        self._check(panel, self.h_)
        fit = state["fit"]
        statics(fit["static"], panel.static, panel.ids)  # a label that the net never saw is told before it comes in
        strange = self._group(fit, panel) < 0
        if strange.any():
            raise DataError(
                f"series {listed(panel.ids[strange])} are of a {self.scope} that the model was not fitted on: fit again"
            )
        new = {"fit": fit | fitting.units(panel, self._plan(panel, self.h_)), "thin": self._thin(panel)}
        if "errors" in state:
            new["errors"] = self._errors(new["fit"], panel, int(state["errors"].shape[2]))
        return new

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        return growing.joined(old, new, (n_old, len(panel) - n_old), self.scope == "series")

    def _grown(self, state: State, panel: Panel) -> State:
        """The state where series that had too few rows have enough by now, in units of the rows they have."""
        enough = state["thin"] & ~self._thin(panel)
        if not enough.any():
            return state
        require("torch", "torch")
        from tsforecast.models.neural import fitting

        return growing.renewed(state, enough, fitting.units(panel.take(enough), self._plan(panel, self.h_)))

    def _keep(self, state: State) -> int | None:
        return int(state["window"]) + 64

    def _known_ahead(self, h: int, future: Any) -> Float:
        # A net that gives all steps at once reads what is known of all of them, also where fewer are asked for.
        at_once = settings(self).at_once and self.h_ is not None
        return super()._known_ahead(max(h, self.h_ or 1) if at_once else h, future)
