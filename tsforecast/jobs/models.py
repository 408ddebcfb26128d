"""The models of a job: made by name from their keys, with what the job says for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from tsforecast import registry
from tsforecast.errors import ConfigError, TsforecastError
from tsforecast.findings import POLICIES
from tsforecast.forecaster import Forecaster
from tsforecast.jobs.keys import nearest
from tsforecast.jobs.schema import Job, ModelKeys

__all__ = ["blamed", "make", "models_of", "past_of", "policies_of"]

_TERMS = {
    "regressors": ("Regressor", '{ name = "promo" }'),
    "seasonalities": ("Seasonality", '{ name = "monthly", period = 30.5, fourier_order = 5 }'),
}
_MADE_OF = ("members", "model")  # parameters that hold forecasters
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
    shared: dict[str, Any] = {"alias": alias, "on_error": job.on_error}
    if job.on_error == "fallback" and keys.type != job.fallback:
        shared["fallback"] = registry.build(job.fallback, {})
    return _made(keys, job, shared, (alias,))


def past_of(model: Forecaster) -> Iterator[str]:
    """Columns known up to the origin that a model uses, or any of the models that it is made of."""
    yield from model.past
    for name in _MADE_OF:
        held = getattr(model, name, ())
        for member in held if isinstance(held, Sequence) else (held,):
            if isinstance(member, Forecaster):
                yield from past_of(member)


def _made(keys: ModelKeys, job: Job, shared: Mapping[str, Any], above: tuple[str, ...]) -> Forecaster:
    """A forecaster from its keys; `above` names the tables that it is part of, outermost first."""
    kind = registry.find(keys.type)
    member = partial(_member, job=job, kind=kind, above=above)
    own = {name: _parameter(name, value, member) for name, value in keys.parameters.items()}
    made: Forecaster = registry.build(keys.type, {**shared, "seed": job.run.seed, **own})
    # What is made of forecasters leaves the columns to these.
    if not made.uses_columns or any(hasattr(made, name) for name in _MADE_OF):
        return made
    # A column that the model names as a term of its own is no plain known column of it as well.
    known = tuple(name for name in job.data.known if name not in made.known_columns)
    return made.copy(**({"past": tuple(job.data.past), "known": known} | own))


def _member(value: Any, *, job: Job, kind: type, above: tuple[str, ...]) -> Any:
    """A member of a `kind`: from the name of another table of the job, of a type, or from a table within."""
    if isinstance(value, Mapping):
        if not isinstance(value.get("type"), str):
            raise ConfigError(f'a table here needs a type, as in {{ type = "AR", lags = 7 }}, got {dict(value)!r}')
        name, keys, shared = value.get("alias", value["type"]), ModelKeys(**value), {}
        if not isinstance(name, str):
            raise ConfigError(f"alias must be text, got {name!r}")
    elif not isinstance(value, str):
        return value  # no member at all, which the model itself says
    elif value in above:
        raise ConfigError(f"{', which is made of '.join(map(repr, (*above, value)))}: none can hold itself")
    elif value in job.models:
        name, keys, shared, above = value, job.models[value], {"alias": value}, (*above, value)
    elif value in registry.FORECASTERS:
        name, keys, shared = value, ModelKeys(type=value), {}
    elif any(isinstance(word, str) for word in getattr(kind, "members", ())):
        return value  # a word of that kind's own
    else:
        others = [name for name in (*job.models, *registry.FORECASTERS) if name not in above]
        raise ConfigError(f"no model {value!r} in this job, nor a type of that name{nearest(value, others)}")
    try:
        made = _made(keys, job, shared, above)
        made._validate(job.horizon)
    except ConfigError as cause:
        raise ConfigError(f"{name}: {cause}") from cause
    return made


def _parameter(name: str, value: Any, member: Callable[[Any], Any]) -> Any:
    try:
        return _value(name, value, member)
    except ConfigError as cause:
        raise ConfigError(f"{name!r}: {cause}") from cause


def _value(name: str, value: Any, member: Callable[[Any], Any]) -> Any:
    """A TOML value as the parameter it stands for: tables are recipes, a fallback is a model's name."""
    if name in _MADE_OF:
        return tuple(map(member, value)) if isinstance(value, list) else member(value)
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
