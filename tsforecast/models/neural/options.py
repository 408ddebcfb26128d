"""The choices that a network is set by, the presets, and what is refused before any row is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import cos, isfinite, pi
from numbers import Real
from typing import Any

import numpy as np

from tsforecast.errors import ConfigError, whole
from tsforecast.panel import seasons

__all__ = [
    "ACTIVATIONS",
    "CENTRES",
    "DEVICES",
    "LOSSES",
    "NORMS",
    "OPTIMIZERS",
    "POOLS",
    "PRESETS",
    "SCALINGS",
    "SCHEDULES",
    "Options",
    "chosen",
    "look_back",
    "number",
    "preset",
    "rate",
    "widths",
]

ACTIVATIONS = ("elu", "hardtanh", "identity", "leaky_relu", "prelu", "relu", "relu6", "selu", "sigmoid", "tanh")
DEVICES = ("auto", "cpu", "cuda", "mps")
CENTRES = ("series", "window")
LOSSES = ("huber", "mae", "mape", "mse", "msle", "pinball")
OPTIMIZERS = {
    "adadelta": "Adadelta",
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamax": "Adamax",
    "adamw": "AdamW",
    "asgd": "ASGD",
    "lbfgs": "LBFGS",
    "nadam": "NAdam",
    "radam": "RAdam",
    "rmsprop": "RMSprop",
    "rprop": "Rprop",
    "sgd": "SGD",
}
"""Names and the classes of torch.optim; all but lbfgs treat each weight by itself, so many nets make one step."""
NORMS = ("batch", "layer", "none")
POOLS = ("avg", "max", "none")
SCALINGS = ("minmax", "none", "robust", "standard")
SCHEDULES = ("constant", "cosine", "exponential", "linear", "step")

PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "hidden": {"mlp": (64,), "cnn": (32, 32)},
        "activation": {"mlp": "relu", "cnn": "relu"},
        "centre": "window",
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "batch_size": 32,
        "epochs": 200,
        "validation": 0.2,
        "patience": 10,
        "seeds": 1,
        "sample": 20_000,
    },
    "fast": {"batch_size": 64, "learning_rate": 3e-3, "epochs": 60, "patience": 5, "sample": 10_000},
    "accurate": {"schedule": "cosine", "patience": 20, "seeds": 5, "sample": 50_000},
    "notes": {"epochs": 25, "batch_size": 32, "validation": 0.25, "patience": 3, "sample": None, "centre": "series"},
}
"""What a parameter left at None becomes; presets name what they change of the default one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a net is trained, every choice made."""

    loss: str
    quantiles: tuple[float, ...]
    optimizer: str
    optimizer_options: Mapping[str, Any]
    learning_rate: float
    schedule: str
    l1: float
    l2: float
    clip: float | None
    batch_size: int | None  # None: all windows
    epochs: int
    patience: int | None  # None: no early stopping
    sample: int | None
    jitter: float
    magnitude: float

    @property
    def is_elementwise(self) -> bool:
        """Whether a step on many nets at once is a step on each."""
        return self.optimizer != "lbfgs"


def chosen(name: str, value: object, choices: Iterable[str]) -> str:
    """The value if it is one of the choices, or ConfigError that lists them."""
    choices = tuple(choices)
    if isinstance(value, str) and value in choices:
        return value
    near = get_close_matches(str(value), choices, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}{hint}")


def number(name: str, value: object, low: float, high: float = float("inf"), *, least: bool = True) -> float:
    """A finite number from `low` (itself excluded unless `least`) to below `high`, or ConfigError."""
    fine = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    if not fine or not (low <= float(value) if least else low < float(value)) or float(value) >= high:  # type: ignore[arg-type]
        bounds = f"{'at least' if least else 'above'} {low:g}" + (f" and below {high:g}" if high < float("inf") else "")
        raise ConfigError(f"{name} must be a finite number {bounds}, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def widths(name: str, value: object) -> tuple[int, ...]:
    """Units a layer: one number, or one for each layer."""
    if isinstance(value, (list, tuple, np.ndarray)):
        if not len(value):
            raise ConfigError(f"{name} must name at least one layer's width, got {value!r}")
        return tuple(whole(name, one, 1) for one in value)
    return (whole(name, value, 1),)


def preset(word: object, kind: str) -> dict[str, Any]:
    """Values that a preset gives to a kind of net, for the parameters that were left at None."""
    named = PRESETS["default"] | PRESETS[chosen("preset", word, PRESETS)]
    usual = {"hidden": (32,), "activation": "tanh"}
    return {key: value.get(kind, usual[key]) if isinstance(value, dict) else value for key, value in named.items()}


def look_back(freq: object) -> int:
    """Rows of the window where none is given: two of the frequency's main seasons, 12 where it has none."""
    season = min(seasons(freq), default=0)
    return 2 * season if 1 < season <= 60 else 12


def rate(schedule: str, epoch: int, epochs: int) -> float:
    """Factor of the learning rate in epoch 0 ... epochs - 1."""
    done = epoch / max(epochs, 1)
    factors = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + cos(pi * done)),
        "exponential": 0.01**done,
        "linear": 1 - done,
        "step": 0.1 ** int(3 * done),
    }
    return float(factors[schedule])
