"""Line charts as geometry: what to draw and where, for a template that draws it as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.panel import Float
from tsforecast.reporting.text import number, numbers, stamp

__all__ = ["Band", "Chart", "Dot", "Line", "chart"]

LEFT, RIGHT, TOP, BOTTOM = 58, 24, 12, 30
LETTER = 6.4
"""Pixels that a sign of a tick's label takes at most."""
_TIME_STEPS = (
    *((n, "m") for n in (1, 5, 15, 30)),
    *((n, "h") for n in (1, 3, 6, 12)),
    *((n, "D") for n in (1, 2, 7, 14)),
    *((n, "M") for n in (1, 3, 6)),
    *((n, "Y") for n in (1, 2, 5, 10, 20, 50, 100)),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn line: its name in the legend, its style class and its SVG path."""

    name: str
    style: str
    path: str


@dataclass(frozen=True, slots=True)
class Band:
    """A filled area between two bounds."""

    name: str
    style: str
    path: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point that tells its value when the pointer rests on it."""

    x: float
    y: float
    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything a template needs to draw one chart."""

    title: str
    note: str
    lines: tuple[Line, ...]
    bands: tuple[Band, ...]
    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    rule: float | None
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom of the plot within its labels, in pixels."""
        return LEFT, self.width - RIGHT, TOP, self.height - BOTTOM

    @property
    def x_labels(self) -> tuple[tuple[float, str], ...]:
        """Middle and text of each label below the plot: at its tick, or as near as the edge allows."""
        ends = ((self.width - LETTER * len(text) / 2, x, text) for x, text in self.x_ticks)
        return tuple((round(min(x, end), 1), text) for end, x, text in ends)

    @property
    def layers(self) -> tuple[Line, ...]:
        """The lines from below: what happened, then the models, the first named on top."""
        happened = [line for line in self.lines if line.style == "m0"]
        return (*happened, *(line for line in self.lines[::-1] if line.style != "m0"))


@dataclass(frozen=True, slots=True)
class _Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, values: Any) -> Float:
        span = self.high - self.low
        share = (np.asarray(values, dtype=float) - self.low) / (span if span > 0 else 1.0)
        return self.first + share * (self.last - self.first)


def chart(
    title: str,
    lines: Mapping[str, tuple[NDArray[Any], Float]],
    styles: Mapping[str, str],
    *,
    bands: Mapping[str, tuple[NDArray[Any], Float, Float]] | None = None,
    dotted: Sequence[str] = (),
    rule: Any = None,
    note: str = "",
    zero: bool = False,
    size: tuple[int, int] = (520, 230),
) -> Chart:
    """A chart of lines name -> (x, y) over bands name -> (x, lower, upper).

    `styles` gives each line its class, `dotted` names lines that tell their values, `rule` is an x to mark.
    """
    areas = dict(bands or {})
    every_x = np.concatenate([x for x, *_ in (*lines.values(), *areas.values())])
    every_y = np.concatenate([y for _, *ys in (*lines.values(), *areas.values()) for y in ys])
    finite = every_y[np.isfinite(every_y)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    low = min(low, 0.0) if zero else low
    room = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    y_ticks = _nice(low if zero and low == 0 else low - room, high + room)
    width, height = size
    x = _Scale(*_ends(every_x), LEFT, width - RIGHT)
    y = _Scale(min(y_ticks[0], low), max(y_ticks[-1], high), height - BOTTOM, TOP)
    return Chart(
        title=title,
        note=note,
        lines=tuple(Line(name, styles[name], _path(x(_floats(xs)), y(ys))) for name, (xs, ys) in lines.items()),
        bands=tuple(
            Band(name, f"b{number % 4}", _area(x(_floats(xs)), y(lower), y(upper)))
            for number, (name, (xs, lower, upper)) in enumerate(areas.items())
        ),
        dots=tuple(dot for name in dotted if name in lines for dot in _dots(name, styles[name], *lines[name], x, y)),
        x_ticks=_x_ticks(every_x, x, most=width // 75),
        y_ticks=tuple(zip(np.round(y(y_ticks), 1).tolist(), numbers(y_ticks), strict=True)),
        rule=None if rule is None else round(float(x(_floats(np.array([rule])))[0]), 1),
        width=width,
        height=height,
    )


def _floats(values: NDArray[Any]) -> Float:
    times = np.issubdtype(values.dtype, np.datetime64)
    return (values.astype("datetime64[us]").astype(np.int64) if times else values).astype(float)


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    numbers = _floats(values)
    return (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)


def _path(x: Float, y: Float) -> str:
    """An SVG path through the finite points; a missing one lifts the pen."""
    parts, down = [], False
    for px, py in zip(x, y, strict=True):
        if np.isfinite(py):
            parts.append(f"{'L' if down else 'M'}{px:.1f} {py:.1f}")
        down = bool(np.isfinite(py))
    return "".join(parts)


def _area(x: Float, lower: Float, upper: Float) -> str:
    seen = np.isfinite(lower) & np.isfinite(upper)
    x, lower, upper = x[seen], lower[seen], upper[seen]
    if not len(x):
        return ""
    there = "L".join(f"{px:.1f} {py:.1f}" for px, py in zip(x, upper, strict=True))
    back = "L".join(f"{px:.1f} {py:.1f}" for px, py in zip(x[::-1], lower[::-1], strict=True))
    return f"M{there}L{back}Z"


def _dots(name: str, style: str, xs: NDArray[Any], ys: Float, x: _Scale, y: _Scale) -> list[Dot]:
    places = zip(xs, ys, x(_floats(xs)), y(ys), strict=True)
    return [
        Dot(round(float(px), 1), round(float(py), 1), style, f"{stamp(when)}  {name}: {number(float(value))}")
        for when, value, px, py in places
        if np.isfinite(value)
    ]


def _nice(low: float, high: float, most: int = 6, steps: Sequence[float] = (1, 2, 2.5, 5, 10)) -> Float:
    """Round tick values within [low, high], `steps` times a power of ten apart."""
    rough = (high - low) / (most - 1) or 1.0
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(s for s in steps if s * power >= rough * (1 - 1e-9))
    ticks: Float = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    return ticks + 0.0  # -0 is 0


def _x_ticks(values: NDArray[Any], x: _Scale, most: int) -> tuple[tuple[float, str], ...]:
    if not len(values):
        return ()
    if not np.issubdtype(values.dtype, np.datetime64):
        low, high = _ends(values)
        ticks = np.unique(np.round(_nice(low, high, most, (1, 2, 5, 10))))
        return tuple((round(float(x(tick)), 1), number(int(tick))) for tick in ticks)
    low, high = values.min(), values.max()
    for step, unit in _TIME_STEPS:
        first = low.astype(f"datetime64[{unit}]").astype(np.int64)
        whole = np.arange(first - first % step, high.astype(f"datetime64[{unit}]").astype(np.int64) + 1, step)
        stamps = whole.astype(f"datetime64[{unit}]")
        stamps = stamps[(stamps.astype("datetime64[us]") >= low)]
        if len(stamps) <= most:
            break
    pixels = x(_floats(stamps))
    return tuple((round(float(p), 1), _tick(s, unit)) for p, s in zip(pixels, stamps, strict=True))


def _tick(when: np.datetime64, unit: str) -> str:
    if unit in ("m", "h"):
        return str(when.astype("datetime64[m]"))[5:].replace("T", " ")
    return str(when)
