"""The models of a job: made by name from their keys, with what the job says for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tsforecast import registry
from tsforecast.errors import ConfigError, TsforecastError
from tsforecast.findings import POLICIES
from tsforecast.forecaster import Forecaster
from tsforecast.jobs.schema import Job, ModelKeys

__all__ = ["blamed", "make", "models_of", "policies_of"]

_TERMS = {
    "regressors": ("Regressor", '{ name = "promo" }'),
    "seasonalities": ("Seasonality", '{ name = "monthly", period = 30.5, fourier_order = 5 }'),
}
DEFAULTS = {"AR": ModelKeys(type="AR"), "SeasonalNaive": ModelKeys(type="SeasonalNaive")}


def models_of(job: Job) -> list[Forecaster]:
    """One forecaster for each [models.NAME], its name as alias; AR and SeasonalNaive where the job names none.

    A job without a naive rule gets SeasonalNaive beside its models: every report compares with one.
    """
    models = [make(alias, keys, job) for alias, keys in (job.models or DEFAULTS).items()]
    if not any(model.complexity == 0 for model in models) and "SeasonalNaive" not in {m.name for m in models}:
        models.append(make("SeasonalNaive", DEFAULTS["SeasonalNaive"], job))
    return models


@contextmanager
def blamed(alias: str) -> Iterator[None]:
    """Errors of ours within the block begin with the table of the job file that names the model."""
    try:
        yield
    except TsforecastError as cause:
        cause.args = (f"[models.{alias}] {cause}", *cause.args[1:])
        raise


def make(alias: str, keys: ModelKeys, job: Job) -> Forecaster:
    """A forecaster from its keys; columns, failures and seed come from the job unless the model has its own."""
    kind = registry.find(keys.type)
    shared: dict[str, Any] = {"alias": alias, "on_error": job.on_error, "seed": job.run.seed}
    if job.on_error == "fallback" and keys.type != job.fallback:
        shared["fallback"] = registry.build(job.fallback, {})
    own = {name: _parameter(name, value) for name, value in keys.parameters.items()}
    made: Forecaster = registry.build(keys.type, shared | own)
    if not getattr(kind, "uses_columns", True):
        return made
    # A column that the model names as a term of its own is no plain known column of it as well.
    known = tuple(name for name in job.data.known if name not in made.known_columns)
    return made.copy(**({"past": tuple(job.data.past), "known": known} | own))


def _parameter(name: str, value: Any) -> Any:
    try:
        return _value(name, value)
    except ConfigError as cause:
        raise ConfigError(f"{name!r}: {cause}") from cause


def _value(name: str, value: Any) -> Any:
    """A TOML value as the parameter it stands for: tables are recipes, a fallback is a model's name."""
    if name in ("past", "known") and isinstance(value, str):
        return (value,)
    if name == "intervals" and isinstance(value, Mapping):
        return registry.recipe("Conformal", dict(value))
    if name == "fallback" and isinstance(value, str):
        return registry.build(value, {})
    if name in _TERMS:
        items = value if isinstance(value, list) else [value]
        return tuple(_term(name, item) for item in items)
    if name == "holidays":
        return _holidays(value)
    return tuple(value) if isinstance(value, list) else value


def _term(name: str, item: Any) -> Any:
    """A regressor or seasonality from its table; a name alone does for a regressor."""
    if name == "regressors" and isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, Mapping):
        raise ConfigError(f"it holds tables such as {_TERMS[name][1]}, got {item!r}")
    return registry.recipe(_TERMS[name][0], dict(item))


def _holidays(value: Any) -> Any:
    """Country codes as they are, "KoreanHolidays" (or a table of that type) pooled, dates with names as one table."""
    items = value if isinstance(value, list) else [value]
    dates = [item for item in items if isinstance(item, Mapping) and "type" not in item]
    made: list[Any] = []
    for item in items:
        keys = {"type": item} if item == "KoreanHolidays" else item
        if isinstance(keys, Mapping) and "type" in keys:
            made.append(registry.recipe(str(keys["type"]), {k: v for k, v in keys.items() if k != "type"}))
        elif not isinstance(item, Mapping):
            made.append(item)
    if dates:
        names = list(dict.fromkeys(key for item in dates for key in item))
        made.append({key: [item.get(key) for item in dates] for key in names})
    return made[0] if len(made) == 1 else tuple(made)


def policies_of(job: Job) -> dict[str, str]:
    """A job leaves a bad series out where a call would raise; the job's own policies come first."""
    careful = {
        code: "quarantine"
        for code, (default, allowed) in POLICIES.items()
        if default == "raise" and "quarantine" in allowed
    }
    return careful | job.policies
