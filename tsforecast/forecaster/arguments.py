"""What the parameters that all forecasters share may be."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from tsforecast.calendars.almanac import Almanac
from tsforecast.errors import ConfigError
from tsforecast.intervals import Conformal

__all__ = ["check", "is_count"]


def is_count(value: object) -> bool:
    """Whether a value is a whole number >= 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check(model: Any, h: int | None) -> None:
    """ConfigError for a shared parameter that cannot be, or a horizon that is lacking or none."""
    choices = ("raise", "fallback", "skip")
    if model.on_error not in choices:
        raise ConfigError(f"on_error must be one of {', '.join(choices)}, got {model.on_error!r}")
    if not (model.intervals == "auto" or isinstance(model.intervals, Conformal)):
        raise ConfigError(f'intervals must be "auto" or Conformal(...), got {model.intervals!r}')
    if not model.uses_columns and (model.past or model.known or Almanac.of(model.calendar).words):
        raise ConfigError(f"{type(model).__name__} uses no columns: leave past, known and calendar empty")
    if model.needs_h and h is None:
        raise ConfigError(f"{model.name} is fitted for a horizon: fit(data, h=...)")
    if h is not None and not is_count(h):
        raise ConfigError(f"h must be a whole number >= 1, got {h!r}")
    for bound in ("lower", "upper"):
        value = getattr(model, bound)
        if value is not None and not (isinstance(value, Real) and value == value):
            raise ConfigError(f"{bound} must be a number or None, got {value!r}")
    if model.lower is not None and model.upper is not None and model.lower > model.upper:
        raise ConfigError(f"lower={model.lower} is above upper={model.upper}")
    _check_columns(model)


def _check_columns(model: Any) -> None:
    for name in ("past", "known"):
        value = getattr(model, name)
        if isinstance(value, str) or not isinstance(value, Sequence):
            hint = f'; write {name}=("{value}",)' if isinstance(value, str) else ""
            raise ConfigError(f"{name} must be a sequence of names, got {value!r}{hint}")
