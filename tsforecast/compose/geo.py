"""GeoBlend: neighbours on the globe and a network on anomalies, blended by validation error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames, growth, normals
from tsforecast.compose import cold
from tsforecast.compose.anomaly import Anomaly
from tsforecast.compose.blend import Blend
from tsforecast.compose.validation import Validation
from tsforecast.errors import ConfigError, MissingDependency, listed
from tsforecast.findings import as_panel
from tsforecast.forecast import STATUSES, Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.geography import Places, locations, places_of
from tsforecast.geography import field as field_of
from tsforecast.models.knn import KNN
from tsforecast.models.neural import LSTM
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Float, Panel, unit
from tsforecast.rolling import Roll, State

__all__ = ["GeoBlend"]

USUAL = {"D": 14, "B": 10, "C": 10, "h": 48, "W": 13, "M": 12, "Q": 8, "Y": 5}
"""Steps that are forecast where `fit` is not told how many, by frequency."""
LEAST = {"D": 180, "B": 130, "C": 130}
"""Rows that validation origins must cover before they move the prior; 24 for months and others."""
PRIORS: dict[frozenset[str], dict[str, float]] = {
    frozenset({"knn", "lstm"}): {"knn": 0.3, "lstm": 0.7},
    frozenset({"knn", "linear"}): {"knn": 0.3, "linear": 0.7},
    frozenset({"knn", "linear", "lstm"}): {"knn": 0.3, "linear": 0.2, "lstm": 0.5},
}


@dataclass(eq=False, repr=False)
class GeoBlend(Blend):
    """Blend of what neighbouring places and a network tell of a place: KNN 30 / LSTM 70, moved by validation MSE.

    `members` are words ("knn", "linear", "lstm") or forecasters; `weights` and `prior` may name them by either. Each
    word stands for a forecaster of anomalies from the seasonal normal (`base`): `KNN(k, mode)`,
    `RegionalLinear(region)`, an LSTM that sees the neighbours by direction. `fit(data, static=places)` needs lat and
    lon (degrees) a series, and takes elevation (metres) and a region where they are there; `predict(static=places)`
    forecasts places never seen too. See `literal` for the plain recipe that this one stands for.
    """

    members: Sequence[Any] = ("knn", "lstm")
    k: int | Literal["auto"] = field(default="auto", kw_only=True)
    mode: Literal["auto", "neighbours", "cluster"] = field(default="auto", kw_only=True)
    region: str = field(default="auto", kw_only=True)
    base: Literal["auto", "none"] = field(default="auto", kw_only=True)

    in_units: ClassVar[bool] = False  # one physical unit: the smallest squared error in degrees is what is asked for

    @classmethod
    def literal(cls, **options: Any) -> Self:
        """The recipe taken by its word: the mean of a cluster's raw values at the same time of year 0.3, an LSTM on
        raw values 0.7, a linear regression a region without a weight.

        It is there to be compared with: on temperatures it loses to the seasonal normal of each place.
        """
        members = (
            KNN(mode="cluster", raw_mean=True),
            RegionalLinear(options.pop("region", "auto"), base="none"),
            LSTM(strategy="direct"),
        )
        weights = {"knn": 0.3, "linear": 0.0, "lstm": 0.7}
        return cls(members=members, weights=weights, prior=weights, **options)

    def _made(self) -> Sequence[Any]:
        if isinstance(self.members, str) or not isinstance(self.members, Sequence):
            return ()
        return tuple(_WORDS[m](self) if isinstance(m, str) and m in _WORDS else m for m in self.members)

    def _check_members(self) -> None:
        words = ", ".join(map(repr, _WORDS))
        asked = f"members are two or more of the words {words}, or forecasters, in a sequence"
        if isinstance(self.members, str) or not isinstance(self.members, Sequence) or len(self.members) < 2:
            raise ConfigError(f"{asked}; got {self.members!r}")
        wrong = [m for m in self.members if isinstance(m, str) and m not in _WORDS]
        if wrong:
            raise ConfigError(f"{asked}; got {wrong[0]!r}")
        super()._check_members()

    def _validate(self, h: int | None) -> None:
        try:
            super()._validate(h)
        except MissingDependency as cause:
            if "lstm" not in self.members:
                raise
            words = f"{cause}; GeoBlend(members=('knn', 'linear')) does without"
            raise MissingDependency(words) from cause

    @property
    def _prior(self) -> Float:
        if self.prior is not None:
            return super()._prior
        words = [m if isinstance(m, str) else _word_of(m) for m in self.members]
        given = PRIORS.get(frozenset(words))
        return super()._prior if given is None or len(words) != len(given) else np.array([given[w] for w in words])

    def _given(self, what: str, numbers: Any) -> Float:
        if isinstance(numbers, Mapping):
            numbers = {_NAMES.get(name, name): number for name, number in numbers.items()}
        return super()._given(what, numbers)

    @property
    def needs(self) -> Any:
        """All series: what unseen places are forecast by is known of all of them."""
        return "panel"

    def _check(self, panel: Panel, h: int | None) -> None:
        self._places(panel)  # what is wrong with them is told under this name, not a member's
        super()._check(panel, h)

    def _least(self, panel: Panel) -> int:
        return LEAST.get(_unit(panel), super()._least(panel))

    def fit(self, data: Any, *, h: int | None = None, static: Any = None) -> Self:
        """Fit on a table (unique_id, ds, y) or a Panel with `static` places; without `h` for the frequency's usual
        horizon: 14 days, 48 hours, 13 weeks, 12 months.

        DataError lists findings in the data and coordinates that cannot be, ConfigError parameters that cannot work.
        """
        panel = as_panel(data, static)
        return super().fit(panel, h=USUAL.get(_unit(panel), 12) if h is None else h)

    # What places never seen are forecast by.

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        return super()._fit(panel, h, roll) | self._ground(panel)

    def _ground(self, panel: Panel) -> State:
        """Normals of the series, and which of them are one location."""
        places = self._places(panel)
        normal = normals.fit(panel, self.base, places)
        return {"normal": normal, "location": locations(places, field_of(panel, panel.y))}

    def _spread(self, fit: State) -> Float:
        return np.asarray(np.sqrt(fit["normal"]["spread"][:, 0]))

    def _places(self, panel: Panel) -> Places:
        return places_of(panel.static, panel.ids, self.name, quiet=True)

    def _judged(self, seen: Validation, panel: Panel) -> State:
        """As for other ensembles, and the errors (n, c, h) of each place as if it had never been seen."""
        told = super()._judged(seen, panel)
        some = slice(None, None, -(-len(seen.cutoffs) // cold.ORIGINS) or None)
        if not len(seen.cutoffs):
            return told | {"cold": told["errors"]}
        then = panel.upto(seen.cutoffs[0])
        ground = self._ground(then.numbered())
        actual, cutoffs = seen.actual[some].swapaxes(0, 1), seen.cutoffs[some]
        stamps = frames.future_times(panel.cut(cutoffs), actual.shape[2]).reshape(len(cutoffs), *actual[:, 0].shape)
        point = actual - told["errors"][:, some]
        stamps = stamps.swapaxes(0, 1)
        missed = cold.errors(ground["normal"], self._places(panel), point, actual, stamps, ground["location"])
        return told | {"cold": missed}

    def _with_places(
        self, static: Any, times: NDArray[Any], out: Forecast, levels: Sequence[float]
    ) -> tuple[Panel, NDArray[Any], Forecast]:
        """The fitted series, and behind them the places of `static` that were never seen, as cold starts."""
        panel, fit = self._ready(), self.state_["fit"]
        ids, columns = frames.static_table(static, panel.names.id or "unique_id")
        fitted = set(panel.ids.tolist())
        new = np.array([name not in fitted for name in ids.tolist()], dtype=bool)
        if not new.any():
            return panel, times, out
        old = self._places(panel)
        others = places_of({name: values[new] for name, values in columns.items()}, ids[new], self.name)
        cold.check(old, others, self.name)
        # The steps after the newest row of all: what ended earlier has nothing to say of them.
        coming = times[int(panel.last.argmax())]
        normal = normals.renewed(fit["normal"], panel)[0]
        point = cold.forecast(normal, old, others, out.point, times, coming, fit["location"])
        if levels and "cold" not in fit:
            raise ConfigError(
                f"{self.name}: intervals of places never seen come from validation rows, which weights that are given "
                'have with intervals="auto" alone'
            )
        width = None
        if levels:
            width = cold.half_widths(fit["cold"][..., : point.shape[1]], old, others, levels, fit["location"])
            lost = np.asarray(np.isnan(width).any(axis=(1, 2)))
            if lost.any() and self.on_error == "raise":
                raise ConfigError(
                    f"{self.name}: too few errors on validation rows for intervals of {listed(others.ids[lost])} at "
                    f"{listed(f'{level:g} %' for level in levels)}: fit on more rows or places, or ask for no levels"
                )
            point = np.where(lost[:, None], np.nan, point)
        return (
            _widened(panel, ids[new]),
            np.concatenate([times, np.tile(coming, (len(others), 1))]),
            _behind(out, point, width).clipped(self.lower, self.upper),
        )

    def _completed(self, state: State, panel: Panel) -> State:
        done = super()._completed(state, panel)
        return done | {"fit": normals.with_newer(done["fit"], panel)}

    def _greeted(self, state: State, panel: Panel) -> State:
        new = super()._greeted(state, panel)
        # Places that came with rows alone have no coordinates: they lend to no other.
        own = {"normal": normals.fit(panel, self.base), "location": np.arange(len(panel))}
        if "cold" in state["fit"]:
            own["cold"] = np.full((len(panel), *state["fit"]["cold"].shape[1:]), np.nan)
        return new | {"fit": new["fit"] | own}

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        joined, n_new = super()._join(old, new, panel, n_old), len(panel) - n_old
        keys = ("normal", "cold") if "cold" in old["fit"] else ("normal",)
        ground = {key: growth.joined(old["fit"][key], new["fit"][key], n_old, n_new) for key in keys}
        location = np.concatenate([old["fit"]["location"], n_old + new["fit"]["location"]])
        return joined | {"fit": joined["fit"] | ground | {"location": location}}


def _widened(panel: Panel, ids: NDArray[Any]) -> Panel:
    """The panel with series of no rows behind its own."""
    none = np.zeros(len(ids), dtype=np.int64)
    return panel.replace(
        ids=np.concatenate([panel.ids, ids]),
        start=np.concatenate([panel.start, none]),
        stop=np.concatenate([panel.stop, none]),
        offset=np.concatenate([panel.offset, none]),
        series=np.arange(len(panel) + len(ids), dtype=np.int64),
        static={},
        repaired=None,
    )


def _behind(out: Forecast, point: Float, width: Float | None) -> Forecast:
    """A forecast with those of cold starts behind it; no member has one there."""
    lower, upper = (
        None if ends is None or width is None else np.concatenate([ends, point[..., None] + sign * width])
        for ends, sign in ((out.lower, -1), (out.upper, 1))
    )
    nothing = np.full(point.shape, np.nan)
    status = np.where(np.isfinite(point).all(axis=1), STATUSES.index("cold_start"), STATUSES.index("failed"))
    return out.replace(
        point=np.concatenate([out.point, point]),
        lower=lower,
        upper=upper,
        status=np.concatenate([out.status, status.astype(np.int8)]),
        members={name: np.concatenate([values, nothing]) for name, values in out.members.items()},
    )


def _unit(panel: Panel) -> str:
    alias = unit(panel.freq)
    return alias if alias in ("D", "B", "C", "h", "W") else alias.lstrip("B")[:1]


def _word_of(member: Any) -> str:
    inner = member.model if isinstance(member, Anomaly) else member
    return next((word for word, name in _NAMES.items() if name == type(inner).__name__), "")


def _knn(blend: GeoBlend) -> Forecaster:
    return KNN(blend.k, blend.mode, base=blend.base, seed=blend.seed)


def _linear(blend: GeoBlend) -> Forecaster:
    return RegionalLinear(blend.region, base=blend.base, seed=blend.seed)


def _lstm(blend: GeoBlend) -> Forecaster:
    # A short window, no calendar and few epochs: what else a net can learn of a few years it learns by heart.
    net = LSTM(
        5, 32, "direct", preset="fast", centre="series", schedule="cosine", epochs=20, early_stopping=False,
        validation=0, seeds=3, seed=blend.seed,
    )  # fmt: skip
    return Anomaly(net, base=blend.base, neighbours="sectors", alias="LSTM")


_NAMES = {"knn": "KNN", "linear": "RegionalLinear", "lstm": "LSTM"}
_WORDS: Mapping[str, Callable[[GeoBlend], Forecaster]] = {"knn": _knn, "linear": _linear, "lstm": _lstm}
