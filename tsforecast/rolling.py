"""Rolling origins: which rows each forecast may see, and what was already fitted for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, whole
from tsforecast.forecast import Forecast
from tsforecast.panel import Float, Int, Panel

__all__ = ["Member", "Memory", "Roll", "Rolled", "origins", "roll", "rolled"]

State = dict[str, Any]
SPANS = 100_000  # spans (window x series) held at once: bounds memory, changes no bit of a result


class Member(Protocol):
    """What the rooms below the interface ask of a forecaster: pure steps on prepared panels."""

    lower: float | None
    upper: float | None
    seed: int
    state_: State
    h_: int | None
    calendar_: Any

    @property
    def name(self) -> str:
        """Column name of the forecasts."""

    @property
    def needs(self) -> Any:
        """What one fit must see together."""

    @property
    def on_error(self) -> str:
        """What becomes of series that fail."""

    @property
    def conformal(self) -> Any:
        """The conformal recipe in force, or None."""

    def design(self, panel: Panel) -> Panel:
        """The panel with the model's columns alone."""

    def learn(self, panel: Panel, h: int | None, calibrate: bool = True, memory: Any = None) -> State:
        """Fitted state of a panel."""

    def learn_windows(self, panel: Panel, cutoffs: Int, h: int, calibrate: bool) -> State:
        """Fitted state of all spans that end at cutoffs (w, n)."""

    def forecast(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        """Finished forecast of a panel."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name."""

    def _predict(self, state: State, panel: Panel, h: int, known: Float, levels: Sequence[float]) -> Forecast:
        """Forecast of the family alone."""

    def _simulate(self, state: State, panel: Panel, h: int, known: Float, draws: Float) -> Float | None:
        """Sample paths of the family, or None."""

    def _inside(self, state: State, panel: Panel) -> Float | None:
        """In-sample values of all rows, or None."""

    def _keep(self, state: State) -> int | None:
        """Last rows that forecasts need."""


@dataclass(frozen=True, slots=True, eq=False)
class Rolled:
    """Forecasts at w origins: cutoffs and trained (w, n) grid positions; point, actual (w, n, h);
    lower, upper (w, n, h, q) or None; status (w, n); seconds of the whole.
    """

    cutoffs: Int
    trained: Int
    point: Float
    lower: Float | None
    upper: Float | None
    actual: Float
    status: NDArray[np.int8]
    seconds: float

    @property
    def errors(self) -> Float:
        """Actual minus point (w, n, h); NaN where either is missing."""
        return self.actual - self.point


def origins(
    panel: Panel,
    *,
    h: int,
    windows: int = 1,
    step: int | None = None,
    gap: int = 0,
    align: Literal["time", "end"] = "time",
) -> Int:
    """Cutoffs (w, n) as grid positions, oldest first, the last with exactly `gap + h` rows after it.

    `align="time"` cuts every series at the same date, `align="end"` each at its own end. ConfigError where the
    first cutoff would leave no series with a row.
    """
    stride = h if step is None else step
    for name, value, least in (("h", h, 1), ("windows", windows, 1), ("step", stride, 1), ("gap", gap, 0)):
        whole(name, value, least)
    last = panel.last
    end = last if align == "end" else np.full(len(panel), last.max(initial=0), dtype=np.int64)
    cutoffs = end[None, :] - (gap + h) - stride * np.arange(windows - 1, -1, -1)[:, None]
    if not np.any(panel.upto(cutoffs[0]).lengths > 0):
        longest = int(panel.lengths.max(initial=0))
        raise ConfigError(
            f"{windows} windows of h={h} with step={stride}, gap={gap} need more than "
            f"{gap + h + stride * (windows - 1)} rows before the end; the longest series has {longest}"
        )
    return cutoffs.astype(np.int64)


def roll(
    model: Member,
    panel: Panel,
    cutoffs: Int,
    *,
    h: int,
    gap: int = 0,
    refit: bool | int = True,
    input_size: int | None = None,
    levels: Sequence[float] = (),
) -> Rolled:
    """Forecasts of `model` from each cutoff (w,) or (w, n), seeing only rows at or before it.

    `refit=True` fits at every origin, `False` once at the first, k at every k-th; `input_size` caps the rows a
    fit may see. Steps gap+1 .. gap+h are kept.
    """
    design = model.design(panel)
    return rolled(model, design, cutoffs, h=h, gap=gap, refit=refit, input_size=input_size, levels=levels)


def rolled(
    model: Member,
    design: Panel,
    cutoffs: Int,
    *,
    h: int,
    gap: int = 0,
    refit: bool | int = True,
    input_size: int | None = None,
    levels: Sequence[float] = (),
    memory: Memory | None = None,
) -> Rolled:
    """`roll` on a panel that went through the model's `design` already; `memory` spares fits it knows."""
    began = perf_counter()
    cuts = np.broadcast_to(cutoffs if cutoffs.ndim == 2 else cutoffs[:, None], (len(cutoffs), len(design)))
    every = 1 if refit is True else len(cuts) if refit is False else whole("refit", refit, 1)
    if input_size is not None:
        whole("input_size", input_size, 1)
    if model.needs == "series" and every == 1 and input_size is None and memory is None:
        parts = _batched(model, design, cuts, h + gap, levels)
    else:
        parts = _grouped(model, design, cuts, h + gap, every, input_size, levels, memory)
    spans = design.cut(cuts)
    actual = spans.ahead(design, gap + h)
    actual[spans.lengths == 0] = np.nan  # a series that begins later has nothing to say of these steps
    actual = actual.reshape(len(cuts), len(design), gap + h)
    fitted_at = cuts[(np.arange(len(cuts)) // every) * every]
    return Rolled(
        cutoffs=cuts,
        trained=np.minimum(fitted_at, design.last),
        point=_joined([f.point for f in parts], len(cuts))[:, :, gap:],
        lower=_joined_or_none([f.lower for f in parts], len(cuts), gap),
        upper=_joined_or_none([f.upper for f in parts], len(cuts), gap),
        actual=actual[:, :, gap:],
        status=_joined([f.status for f in parts], len(cuts)),
        seconds=perf_counter() - began,
    )


def _batched(model: Member, design: Panel, cuts: Int, h: int, levels: Sequence[float]) -> list[Forecast]:
    """Every origin fitted: windows and series are one batch of spans, a bounded number at a time."""
    chunk = max(1, SPANS // max(1, len(design)))
    parts = []
    for first in range(0, len(cuts), chunk):
        some = cuts[first : first + chunk]
        state = model.learn_windows(design, some, h, bool(levels))
        spans = design.cut(some)
        spans = spans.numbered()
        parts.append(
            model.forecast(state, spans, h, spans.ahead(design, h, design.columns[:, design.n_past :]), levels)
        )
    return parts


def _grouped(
    model: Member,
    design: Panel,
    cuts: Int,
    h: int,
    every: int,
    input_size: int | None,
    levels: Sequence[float],
    memory: Memory | None,
) -> list[Forecast]:
    """A fit serves `every` windows; a model of single series rolls over them as one batch of spans."""
    parts = []
    at_once = max(1, min(every, SPANS // max(1, len(design)))) if model.needs == "series" else 1
    for first in range(0, len(cuts), every):
        train = design.upto(cuts[first])
        train = train if input_size is None else train.tail(input_size)
        learn = model.learn if memory is None else partial(memory.learned, model)
        state = learn(train, h, bool(levels))
        group = cuts[first : first + every]
        for low in range(0, len(group), at_once):
            some = group[low : low + at_once]
            spans = design.cut(some)
            spans = spans if input_size is None else spans.tail(input_size)
            parts.append(
                model.forecast(state, spans, h, spans.ahead(design, h, design.columns[:, design.n_past :]), levels)
            )
    return parts


def _joined(parts: Sequence[NDArray[Any]], windows: int) -> NDArray[Any]:
    whole = np.concatenate(parts)
    return whole.reshape(windows, -1, *whole.shape[1:])


def _joined_or_none(parts: Sequence[Float | None], windows: int, gap: int) -> Float | None:
    given = [part for part in parts if part is not None]
    return _joined(given, windows)[:, :, gap:] if len(given) == len(parts) else None


class Memory:
    """What a `_fit` may ask: forecasts of members on its own panel. One call never fits a member twice for one origin.

    States are known by member, rows and horizon; `on` another panel the same memory goes on. `wanted` are the members,
    as text, that are worth remembering; None for all.
    """

    def __init__(
        self, panel: Panel, h: int, states: dict[Any, State] | None = None, wanted: Collection[str] | None = None
    ) -> None:
        self.panel, self.h = panel, h
        self._states: dict[Any, State] = {} if states is None else states
        self._wanted = wanted
        self._known: dict[Any, Rolled] = {}

    def on(self, panel: Panel, h: int) -> Memory:
        """The same memory for another panel and horizon."""
        return Memory(panel, h, self._states, self._wanted)

    def __call__(self, member: Any, cutoffs: Int, *, design: Panel | None = None, refit: bool | int = True) -> Rolled:
        """Out-of-sample forecasts of `member` from cutoffs (w,) or (w, n); `refit=False` fits once, at the first.

        `design` is the panel with the member's columns, where it is made already.
        """
        key = (repr(member), np.ascontiguousarray(cutoffs).tobytes(), refit)
        if key not in self._known:
            made = member.design(self.panel) if design is None else design
            # Fits at every origin are one batch, which no other call asks for.
            memory = None if refit is True else self
            self._known[key] = rolled(member, made, cutoffs, h=self.h, refit=refit, memory=memory)
        return self._known[key]

    def learned(self, member: Any, design: Panel, h: int | None, calibrate: bool = False) -> State:
        """Fitted state of a member on the rows of `design`, with conformal errors where asked for."""
        # The block itself is part of the key, and kept, so that no other can take its place in memory.
        calibrate = calibrate and member.conformal is not None
        key = (repr(member), h, id(design.y), design.start.tobytes(), design.stop.tobytes(), calibrate)
        known = self._states.get(key)
        state: State = member.learn(design, h, calibrate, self) if known is None else known["state"]
        if known is None and (self._wanted is None or repr(member) in self._wanted):
            self._states[key] = {"state": state, "block": design.y}
        return state


Roll = Memory  # what families call the last argument of `_fit`
