"""Anomaly: any forecaster on what is left of a series without its seasonal normal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tsforecast import failures, geography, growth, normals, paths
from tsforecast.calendars.almanac import Almanac
from tsforecast.errors import ConfigError, whole
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import Conformal
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import Roll, State

__all__ = ["Anomaly"]

NEIGHBOUR_MEAN = ("neighbour mean",)
SECTOR_MEANS = tuple(f"neighbours {sector}" for sector in geography.SECTORS)
ROWS = 4_000_000
"""Rows of overlapping spans that are laid apart at once: bounds memory."""


@dataclass(eq=False, repr=False)
class Anomaly(Forecaster):
    """`model` on anomalies: each series less its seasonal normal, in units of its spread at that time of year.

    `base="auto"` is the normal of each series by itself (see `normals.fit`), "none" its mean; rows that come after the
    fit move it along, while the model stays.
    `neighbours=k` gives the model a past column more, the mean anomaly of the k nearest places, "sectors" eight: the
    means of those within 2,500 km by compass direction, which tell where weather comes from. Both let neighbours lend
    their normal to short histories, and need static lat and lon. Columns, calendar, seed and intervals are the
    model's, bounds and `on_error` Anomaly's own. Model and normal are scored together where intervals need errors of
    refitted models.
    """

    model: Any = None
    base: Literal["auto", "none"] = "auto"
    neighbours: int | Literal["sectors"] = 0

    uses_columns: ClassVar[bool] = False

    @property
    def _inner(self) -> Any:
        """The model as it is run: it speaks under the name of the whole, and sees the neighbours."""
        if not isinstance(self.model, Forecaster):
            raise ConfigError(f"{self.name} needs a forecaster to work on anomalies: Anomaly(AR()), got {self.model!r}")
        past = (*self.model.past, *self._seen)
        return self.model.copy(past=past, alias=self.name, on_error="raise" if self.on_error == "raise" else "skip")

    @property
    def _seen(self) -> tuple[str, ...]:
        """Names of the past columns that tell of neighbours."""
        return SECTOR_MEANS if self.neighbours == "sectors" else NEIGHBOUR_MEAN if self.neighbours else ()

    @property
    def model_(self) -> Any:
        """The fitted model, on anomalies."""
        panel = self._ready()
        fit = self.state_["fit"]
        return self._fitted(fit, self._inward(fit, panel))

    def _fitted(self, fit: State, anomalies: Panel) -> Any:
        inner = self._inner
        inner.panel_, inner.state_, inner.h_ = anomalies, fit["inner"], getattr(self, "h_", None)
        inner.calendar_, inner.fitted_with_ = getattr(self, "calendar_", self.almanac), inner._shaping()
        return inner

    @property
    def needs(self) -> Any:
        """What one fit must see together: what the model must, and all series where neighbours count."""
        return "panel" if self.neighbours else self._inner.needs

    @property
    def needs_h(self) -> bool:
        """Whether the horizon must be known at fit."""
        asked: bool = self._inner.needs_h
        return asked

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Columns that the model needs for the future."""
        names: tuple[str, ...] = self._inner.known_columns
        return names

    @property
    def almanac(self) -> Almanac:
        """The calendar of the model."""
        almanac: Almanac = self._inner.almanac
        return almanac

    @property
    def conformal(self) -> Conformal | None:
        """The conformal recipe in force; None where the model has intervals of its own, or errors without refits."""
        if isinstance(self.intervals, Conformal):
            return self.intervals
        recipe: Conformal | None = self._inner.conformal
        return None if self._judges else recipe

    @property
    def _judges(self) -> bool:
        """Whether the model takes its errors from its own fit."""
        return type(self._inner)._errors is not Forecaster._errors

    # The interface.

    def design(self, panel: Panel, almanac: Almanac | None = None) -> Panel:
        """The panel with the columns of the model."""
        prepared: Panel = self.model.design(panel, almanac)
        return prepared

    def _keep_calendar(self, panel: Panel) -> Almanac:
        kept: Almanac = self.model._keep_calendar(panel)
        return kept

    def _known_ahead(self, h: int, future: Any) -> Float:
        values: Float = self.model_._known_ahead(h, future)
        return values

    def _validate(self, h: int | None) -> None:
        inner = self._inner
        if self.past or self.known or self.calendar:
            raise ConfigError(
                f"{self.name} has no columns of its own: give past, known and calendar to its model, as in "
                'Anomaly(AR(known=("promo",)))'
            )
        for name, free in (("lower", None), ("upper", None), ("on_error", "raise"), ("fallback", None)):
            if getattr(self.model, name) != free:
                raise ConfigError(f"{name} of the model would be about anomalies: give {name} to {self.name} itself")
        if self.base not in ("auto", "none"):
            raise ConfigError(f'base must be "auto" (a seasonal normal) or "none" (the mean), got {self.base!r}')
        if self.neighbours != "sectors":
            whole("neighbours", self.neighbours, 0)
        if self.neighbours and not self.model.uses_columns:
            raise ConfigError(f"{type(self.model).__name__} uses no columns: it cannot see neighbours")
        super()._validate(h)
        inner._validate(h)

    def _check(self, panel: Panel, h: int | None) -> None:
        if self.neighbours:
            geography.places_of(panel.static, panel.ids, self.name)
        self._inner._check(self._inward(self._base(panel), panel), h)

    def _rows_needed(self, panel: Panel) -> int:
        need: int = self._inner._rows_needed(self._columned(panel, np.zeros((len(panel.y), len(self._seen)))))
        return need

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        base = self._base(panel)
        anomalies = self._inward(base, panel)
        inner = self._inner.learn(anomalies, h, self._judges, roll)
        # What is out of range is judged by all rows, also where later only the last of them are there.
        return base | {"inner": inner | {"extremes": failures.ranges(anomalies)}}

    def _fit_windows(self, panel: Panel, cutoffs: Int, h: int | None) -> State:
        """One state a window: anomalies of all windows at once would be as many copies of the rows."""
        parts = {}
        for w, stop in enumerate(cutoffs):
            train = panel.upto(stop).numbered()
            parts[str(w)] = fit = self._fit(train, h, Roll(train, h or 1))
            fit["normal"] = normals.settled(fit["normal"])  # no forecast from here knows newer rows
        return {"windows": parts, "size": len(panel)}

    def _base(self, panel: Panel) -> State:
        """What a panel is seen by: its normals, and the neighbours (n, k) of each series."""
        if not self.neighbours:
            return {"normal": normals.fit(panel, self.base)}
        places = geography.places_of(panel.static, panel.ids, self.name, quiet=True)
        return {"normal": normals.fit(panel, self.base, places), "near": self._near(panel, places)}

    def _near(self, panel: Panel, places: geography.Places) -> State:
        """The neighbours of each series, by kind (s, n, m), and their weights."""
        location = geography.locations(places, geography.field(panel, panel.y))
        if self.neighbours == "sectors":
            around = geography.sectors(places, location)
            return {"index": around.index, "weight": around.weight, "doubt": geography.DOUBT}
        index = geography.nearest(places, int(self.neighbours), location).index[None]
        return {"index": index, "weight": (index >= 0).astype(float), "doubt": 0.0}

    def _inward(self, fit: State, panel: Panel) -> Panel:
        """The panel as the model sees it: anomalies, and what those of the neighbours are at the same time."""
        return self._beside(fit, normals.anomalies(fit["normal"], panel))

    def _newest(self, fit: State, panel: Panel, h: int, keep: int | None) -> tuple[Panel, Float, Float]:
        """What forecasts are made of: the last `keep` rows as the model sees them; normals and scales (n, h) ahead.

        The normals are those of all rows up to each span's end, newer than the fit or not.
        """
        normal, spans = normals.renewed(fit["normal"], panel)
        anomalies = normals.anomalies(normal, _recent(spans, keep), apart=True).replace(series=panel.series)
        return self._beside(fit, anomalies), *normals.ahead(normal, spans, h)

    def _beside(self, fit: State, anomalies: Panel) -> Panel:
        """Anomalies with those of the neighbours in columns."""
        return self._columned(anomalies, _around(anomalies, fit["near"])) if self.neighbours else anomalies

    def _columned(self, panel: Panel, values: Float) -> Panel:
        """The panel with the values (N, s) behind its past columns, where the model sees neighbours."""
        if not self.neighbours:
            return panel
        at = panel.n_past
        names = (*panel.column_names[:at], *self._seen, *panel.column_names[at:])
        columns = np.concatenate([panel.columns[:, :at], values, panel.columns[:, at:]], axis=1)
        return panel.with_columns(columns, names, at + len(self._seen))

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        parts = [
            (index, self._outward(fit, some, h, known[index], levels)) for index, fit, some in self._parts(state, panel)
        ]
        return parts[0][1] if len(parts) == 1 else _gathered(parts, len(panel))

    def _parts(self, state: State, panel: Panel) -> Iterator[tuple[Int, State, Panel]]:
        """Spans (s,) with one fit and no more rows than ROWS, that fit, and the panel of these spans."""
        every, series = np.arange(len(panel)), panel.series
        part = np.cumsum(panel.lengths) // ROWS if self.needs == "series" else np.zeros_like(every)
        windows = state.get("windows", {"0": state})
        window, series = np.divmod(series, state["size"]) if "windows" in state else (np.zeros_like(every), series)
        for w, p in np.unique(np.stack([window, part], axis=1), axis=0) if len(every) else [(0, 0)]:
            index = every[(window == w) & (part == p)]
            yield index, windows[str(w)], panel.take(index).replace(series=series[index])

    def _outward(self, fit: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        """The model's forecast of anomalies as one of values."""
        inner, learned = self._inner, fit["inner"]
        if levels and inner.conformal is not None and ("errors" not in learned or learned["errors"].shape[2] < h):
            raise ConfigError(f"{self.name}: conformal intervals need the horizon at fit: fit(data, h={h})")
        anomalies, normal, scale = self._newest(fit, panel, h, inner._keep(learned["fit"]))
        out = inner.forecast(learned, anomalies, h, known, levels)

        def back(values: Float | None) -> Float | None:
            return None if values is None else normal[..., None] + scale[..., None] * values

        return Forecast(
            normal + scale * out.point, back(out.lower), back(out.upper),
            members={name: normal + scale * values for name, values in out.members.items()},
        )  # fmt: skip

    def _simulate(self, state: State, panel: Panel, h: int, known: Float, draws: Float) -> Float:
        anomalies, normal, scale = self._newest(state, panel, h, None)
        drawn = paths.draw(self._fitted(state, anomalies), anomalies, h, known, draws.shape[2])
        return normal[..., None] + scale[..., None] * drawn

    def _inside(self, state: State, panel: Panel) -> Float:
        anomalies = self._inward(state, panel)
        normal, scale = normals.rows(state["normal"], panel)
        return normal + scale * paths.one_step(self._fitted(state, anomalies), anomalies)

    def _spread(self, fit: State) -> Float:
        fits = fit["windows"].values() if "windows" in fit else [fit]
        return np.concatenate([np.sqrt(part["normal"]["spread"][:, 0]) for part in fits])

    def _keep(self, state: State) -> int | None:
        # What neighbours did at the time of a series' own last rows may lie anywhere in theirs.
        kept: int | None = None if self.neighbours else self._inner._keep(state["inner"]["fit"])
        return kept

    # Fitted models over time.

    def _completed(self, state: State, panel: Panel) -> State:
        fit = normals.with_newer(state["fit"], panel)
        anomalies = self._inward(fit, panel)
        inner = self._inner._completed(fit["inner"], anomalies)
        extremes = failures.ranges(anomalies, inner["extremes"])
        return state | {"fit": fit | {"inner": inner | {"extremes": extremes}}}

    def _greeted(self, state: State, panel: Panel) -> State:
        """The state of series never seen: a normal of their own, known to the model as it does."""
        if self.needs == "series":
            return super()._greeted(state, panel)
        fit = self._base(panel)
        anomalies = self._inward(fit, panel)
        inner = self._fitted(state["fit"], anomalies)._greeted(state["fit"]["inner"], anomalies)
        new: State = {
            "fit": fit | {"inner": inner | {"extremes": failures.ranges(anomalies)}},
            "thin": self._thin(panel),
        }
        if "errors" in state:
            new["errors"] = np.full((len(panel), *state["errors"].shape[1:]), np.nan)
        return new

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        """One state of both; neighbours are looked for anew."""
        fits, sizes = (old["fit"], new["fit"]), (n_old, len(panel) - n_old)
        normal = growth.joined(fits[0]["normal"], fits[1]["normal"], *sizes)
        fit: State = {"normal": normal}
        if self.neighbours:
            places = geography.places_of(panel.static, panel.ids, self.name, quiet=True)
            fit["near"] = self._near(panel, places)
        inner = self._inner._join(fits[0]["inner"], fits[1]["inner"], self._inward(fit, panel), n_old)
        rest = {key: value for key, value in old.items() if key != "fit"}
        joined: State = growth.joined(rest, {key: new[key] for key in rest}, *sizes)
        return joined | {"fit": fit | {"inner": inner}}


def _recent(panel: Panel, keep: int | None) -> Panel:
    """The rows of the dates that the last `keep` rows of any series reach back to: what neighbours show then counts."""
    if keep is None or panel.at is not None or not panel.lengths.any():
        return panel
    first = int(panel.last[panel.lengths > 0].min()) - keep + 1
    return panel.replace(start=np.clip(first - panel.offset, panel.start, panel.stop))


def _around(panel: Panel, near: State) -> Float:
    """What the neighbours `near` (s, n, m) of a row's series show at its time (N, s), 0 where none is seen."""
    rows, who = panel.rows, panel.series[panel.owner]
    at = panel.position(rows, panel.owner)
    first = int(at.min(initial=len(panel.grid)))
    shown = np.full((near["index"].shape[1], int(at.max(initial=first)) - first + 1), np.nan)
    shown[who, at - first] = panel.y[rows]
    means = geography.sector_means(geography.Sectors(near["index"], near["weight"]), shown, near["doubt"])
    out = np.zeros((len(panel.y), len(means)))
    out[rows] = means[:, who, at - first].T
    return out


def _gathered(parts: Sequence[tuple[Int, Forecast]], n: int) -> Forecast:
    """Forecasts of some spans each as one of all n."""

    def whole(name: str) -> Any:
        values = [(index, getattr(part, name)) for index, part in parts]
        if any(some is None for _, some in values):
            return None
        out = np.empty((n, *values[0][1].shape[1:]))
        for index, some in values:
            out[index] = some
        return out

    return Forecast(whole("point"), whole("lower"), whole("upper"))
