"""Ensemble: what forecasters of several members share: their columns, their fits, their out-of-sample errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np

from tsforecast import failures, growth, paths
from tsforecast.compose.columns import Almanacs, known_of, share, side_by_side
from tsforecast.compose.judging import judged, validation_table
from tsforecast.compose.validation import FEW, Plan, Validation, honest, validated
from tsforecast.errors import ConfigError, listed, whole
from tsforecast.forecast import Forecast
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import Conformal
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import Roll, State
from tsforecast.threads import one_blas_thread
from tsforecast.windows.bands import bands_of

__all__ = ["Ensemble"]


@dataclass(eq=False, repr=False)
class Ensemble(Forecaster):
    """Base of forecasters made of members: a family combines what they forecast, by their errors on validation rows.

    The members are fitted on the rows before the validation rows and rolled through these without refitting, from
    `windows` origins `step` rows apart; then they are fitted on all rows. "auto" takes the last quarter of the rows,
    a year at most.
    """

    members: Sequence[Any] = ()
    windows: int | Literal["auto"] = field(default="auto", kw_only=True)
    step: int | Literal["auto"] = field(default="auto", kw_only=True)
    show_members: bool = field(default=False, kw_only=True)

    reference: ClassVar[str] = "reference"
    """What the ensemble is compared with, in words."""

    # What a family writes.

    def _settle(self, seen: Validation | None, panel: Panel) -> State:
        """How to combine, from the members' out-of-sample forecasts; None where nothing is learned from them."""
        raise TypeError(f"{type(self).__name__} does not define _settle")

    def _combine(self, settled: State, points: Float, panel: Panel) -> Float:
        """Forecasts (n, h) from those of the members (m, n, h), of which some may be NaN."""
        raise TypeError(f"{type(self).__name__} does not define _combine")

    def _reference(self, panel: Panel) -> State:
        """How one would combine without having learned anything: what the ensemble is compared with."""
        raise TypeError(f"{type(self).__name__} does not define _reference")

    @property
    def _learns(self) -> bool:
        """Whether the members' errors decide how they are combined."""
        return True

    @property
    def _pools(self) -> bool:
        """Whether what is learned from the errors is shared between series."""
        return True

    def _made(self) -> Sequence[Any]:
        """The members as forecasters; overridden where names stand for them."""
        return self.members

    def _least(self, panel: Panel) -> int:
        """Rows that the validation origins must cover to be gone by."""
        return FEW

    # The members.

    @property
    def _team(self) -> tuple[Forecaster, ...]:
        """The members, each quiet about failures: what one cannot forecast the others do."""
        return tuple(member.copy(on_error="skip", intervals="auto") for member in self._made())

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of the m members, in order."""
        return tuple(member.name for member in self._made())

    @property
    def members_(self) -> dict[str, Forecaster]:
        """The fitted members by name, each a forecaster of its own."""
        panel = self._ready()
        return self._fitted_members(self.state_["fit"], panel)

    def _fitted_members(self, fit: State, panel: Panel) -> dict[str, Forecaster]:
        almanacs = getattr(self, "calendar_", self.almanac)
        found = {}
        for j, member in enumerate(self._team):
            member.panel_, member.state_, member.h_ = share(panel, j), fit["members"][str(j)], getattr(self, "h_", None)
            member.calendar_, member.fitted_with_ = almanacs.parts[j], member._shaping()
            found[member.name] = member
        return found

    @property
    def needs(self) -> Any:
        """What one fit must see together: what its members must, and all series where what is learned is shared."""
        asked = {member.needs for member in self._made() if isinstance(member, Forecaster)} - {"series"}
        if (self._learns and self._pools) or len(asked) > 1:
            return "panel"
        return asked.pop() if asked else "series"

    @property
    def needs_h(self) -> bool:
        """Whether the horizon must be known at fit."""
        return self._learns or any(member.needs_h for member in self._made())

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Columns that any member needs for the future."""
        return tuple(dict.fromkeys(name for member in self._made() for name in member.known_columns))

    @property
    def almanac(self) -> Any:
        """The calendars of the members."""
        return Almanacs(tuple(member.almanac for member in self._made()))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep`, those of the members as member__inner too."""
        own = super().get_params(deep)
        if deep:
            for member in self._made() if self.members else ():
                own |= {f"{member.name}__{inner}": value for inner, value in member.get_params().items()}
        return own

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, those of members as member__inner; ConfigError names an unknown one."""
        by_name = {member.name: member for member in self.members if isinstance(member, Forecaster)}
        for key in list(params):
            outer, _, inner = key.partition("__")
            if inner and outer in by_name:
                by_name[outer].set_params(**{inner: params.pop(key)})
        return super().set_params(**params)

    # The interface.

    def design(self, panel: Panel, almanac: Any = None) -> Panel:
        """The panel with the columns of all members side by side."""
        parts = (almanac or self.almanac).parts
        return side_by_side([m.design(panel, kept) for m, kept in zip(self._made(), parts, strict=True)])

    def _keep_calendar(self, panel: Panel) -> Any:
        return Almanacs(tuple(m._keep_calendar(share(panel, j)) for j, m in enumerate(self._made())))

    def _known_ahead(self, h: int, future: Any) -> Float:
        parts = [member._known_ahead(h, future) for member in self.members_.values()]
        return np.concatenate(parts, axis=2)

    def _validate(self, h: int | None) -> None:
        name = type(self).__name__
        if self.past or self.known or self.calendar:
            raise ConfigError(f"{name} has no columns of its own: give past, known and calendar to its members")
        self._check_members()
        for key, value in (("windows", self.windows), ("step", self.step)):
            if value != "auto":
                whole(f"{name}: {key}", value, 1)
        if not isinstance(self.show_members, bool):
            raise ConfigError(f"show_members must be True or False, got {self.show_members!r}")
        super()._validate(h)
        for member in self._team:
            member._validate(h)

    def _check_members(self) -> None:
        name, members = type(self).__name__, self._made()
        if isinstance(members, str) or not isinstance(members, Sequence) or len(members) < 2:
            raise ConfigError(f"{name} needs two members or more: {name}([AR(), SeasonalNaive()]), got {members!r}")
        for member in members:
            if not isinstance(member, Forecaster):
                raise ConfigError(f"a member of {name} must be a forecaster such as AR(), got {member!r}")
        names = self.member_names
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ConfigError(
                f"members of {name} share the name {listed(twice)}: two of one class need two aliases, "
                f'as in {twice[0]}(alias="{twice[0]} 2")'
            )

    def _check(self, panel: Panel, h: int | None) -> None:
        for j, member in enumerate(self._team):
            member._check(share(panel, j), h)

    def _rows_needed(self, panel: Panel) -> int:
        return min(member._rows_needed(share(panel, j)) for j, member in enumerate(self._team))

    def _fit(self, panel: Panel, h: int | None, roll: Roll) -> State:
        seen = self._validated(panel, h, roll) if self._learns else None
        fits = [roll.learned(member, share(panel, j), h) for j, member in enumerate(self._team)]
        # What is out of a member's range is judged by all rows, also where later only the last of them are there.
        extremes = failures.ranges(panel)
        members = {str(j): fit | {"extremes": extremes} for j, fit in enumerate(fits)}
        state = {"members": members, "settled": self._settle(seen, panel)}
        return state if seen is None else state | self._judged(seen, panel)

    def _validated(self, panel: Panel, h: int | None, roll: Roll) -> Validation:
        assert h is not None  # `needs_h` has asked for it
        plan = Plan(self.windows, self.step, self._least(panel), self.needs == "series")
        return validated(self._team, panel, h, plan, roll)

    def _judged(self, seen: Validation, panel: Panel) -> State:
        """Errors (n, w, h), each origin combined by what earlier ones had told, and how they compare."""

        def errors(settle: Callable[[Validation], State]) -> Float:
            return seen.actual - honest(seen, panel, settle, self._combine)

        own = errors(lambda known: self._settle(known if self._learns else None, panel))
        plain = errors(lambda _: self._reference(panel))
        compared = judged(seen, own, plain, bands_of(panel, seen.actual.shape[2]))
        return {"errors": np.ascontiguousarray(own.swapaxes(0, 1)), "judged": compared}

    def _errors(self, fit: State, panel: Panel, h: int) -> Float:
        """Errors (n, c, h) of the ensemble on its validation rows, combined by what earlier ones of them told."""
        return super()._errors(fit, panel, h) if isinstance(self.intervals, Conformal) else np.asarray(fit["errors"])

    @property
    def validation_(self) -> Any:
        """Table of the validation rows: steps, model (members, `name`, and what that is compared with), mse, origins.

        `gain` is the share by which the MSE of `name` is below that of its reference, `dm` the Diebold-Mariano
        statistic of both (below 0 where `name` is better) with its `pvalue`; each origin is combined by what earlier
        ones had told. ConfigError where nothing was validated.
        """
        panel = self._ready()
        told = self.state_["fit"].get("judged")
        if told is None:
            raise ConfigError(
                f"{self.name}: weights that are given are not validated, unless intervals are made of what is found: "
                'fit(data, h=14), with intervals="auto"'
            )
        return validation_table(told, (*self.member_names, self.name, self.reference), panel)

    def learn(self, panel: Panel, h: int | None, calibrate: bool = True, memory: Roll | None = None) -> State:
        """Fitted state of a prepared panel; its errors are those of the validation rows."""
        state = super().learn(panel, h, False, memory)
        fit = state["fit"]
        if h is not None and calibrate:
            if "errors" not in fit and not isinstance(self.intervals, Conformal):
                # Weights that are given are validated for the sake of intervals alone.
                roll = Roll(panel, h) if memory is None else memory.on(panel, h)
                with one_blas_thread():
                    fit = fit | self._judged(self._validated(panel, h, roll), panel)
            state["errors"] = self._errors(fit, panel, h)
        return state | {"fit": {key: value for key, value in fit.items() if key != "errors"}}

    def learn_windows(self, panel: Panel, cutoffs: Int, h: int, calibrate: bool) -> State:
        """Fitted state of the spans that end at cutoffs (w, n), window-major."""
        return self.learn_spans(panel, cutoffs, h, calibrate)

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        points = np.stack([
            member.forecast(state["members"][str(j)], share(panel, j), h, known_of(panel, j, known), ()).point
            for j, member in enumerate(self._team)
        ])  # fmt: skip
        shown = dict(zip(self.member_names, points, strict=True)) if self.show_members else {}
        return Forecast(self._combine(state["settled"], points, panel), members=shown)

    def _half_widths(self, state: State, panel: Panel, h: int, levels: Sequence[float], pool: str) -> Float:
        """As for others; series without enough errors of their own take those of all, in units of their spread."""
        if self.needs == "series" or self.intervals != "auto" or self._spread(state["fit"]) is None:
            return super()._half_widths(state, panel, h, levels, pool)
        own = Forecaster._half_widths(self.copy(on_error="skip"), state, panel, h, levels, pool)
        few = np.isnan(own).any(axis=(1, 2))
        if few.any():
            own[few] = super()._half_widths(state, panel, h, levels, "panel")[few]
        return own

    def _keep(self, state: State) -> int | None:
        kept = [member._keep(fit["fit"]) for member, fit in self._pairs(state)]
        return None if None in kept else max(rows for rows in kept if rows is not None)

    def _completed(self, state: State, panel: Panel) -> State:
        def complete(j: int, member: Forecaster, fit: State) -> State:
            return member._completed(fit, share(panel, j)) | {"extremes": failures.ranges(panel, fit["extremes"])}

        return self._each(state, complete)

    def _greeted(self, state: State, panel: Panel) -> State:
        """The state of series never seen: known to each member as it does, combined as the others are."""
        if self.needs == "series":
            return super()._greeted(state, panel)

        def greet(j: int, member: Forecaster, fit: State) -> State:
            member.h_ = self.h_
            return member._greeted(fit, share(panel, j)) | {"extremes": failures.ranges(panel)}

        new = self._each(state, greet)
        new["fit"] = new["fit"] | {"settled": self._newcomers(state["fit"]["settled"], panel)}
        new["thin"] = self._thin(panel)
        if "errors" in state:
            new["errors"] = np.full((len(panel), *state["errors"].shape[1:]), np.nan)
        return new

    def _join(self, old: State, new: State, panel: Panel, n_old: int) -> State:
        """One state of both, member by member; what was learned from the errors of the old series stays."""

        def both(j: int, member: Forecaster, fit: State) -> State:
            return member._join(fit, new["fit"]["members"][str(j)], share(panel, j), n_old)

        joined = self._each(old, both)
        settled = self._joined(old["fit"]["settled"], new["fit"]["settled"])
        joined["fit"] = joined["fit"] | {"settled": settled}
        rest = {key: value for key, value in old.items() if key != "fit"}
        fresh = {key: new[key] for key in rest}
        together: State = growth.joined(rest, fresh, n_old, len(panel) - n_old)
        return joined | together

    def _newcomers(self, settled: State, panel: Panel) -> State:
        """What is settled for series never seen, that no error tells of."""
        return settled

    def _joined(self, old: State, new: State) -> State:
        """What was settled for old and new series."""
        return old

    def _pairs(self, fit: State) -> list[tuple[Forecaster, State]]:
        return [(member, fit["members"][str(j)]) for j, member in enumerate(self._team)]

    def _each(self, state: State, change: Callable[[int, Forecaster, State], State]) -> State:
        """The state with that of every member changed."""
        team = self._pairs(state["fit"])
        changed = {str(j): change(j, member, fit) for j, (member, fit) in enumerate(team)}
        return state | {"fit": state["fit"] | {"members": changed}}

    def _inside(self, state: State, panel: Panel) -> Float | None:
        """One-step values (N,) of all rows, from those of the members."""
        members = self._fitted_members(state, panel).values()
        values = np.stack([paths.one_step(member, share(panel, j)) for j, member in enumerate(members)])
        rows, owner = panel.rows, panel.owner
        out = np.full(len(panel.y), np.nan)
        out[rows] = self._combine(state["settled"], values[:, rows, None], panel.take(owner))[:, 0]
        return out
