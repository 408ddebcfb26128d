"""The models of a job: made by name from their keys, with what the job says for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsforecast import registry
from tsforecast.errors import ConfigError
from tsforecast.findings import POLICIES
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import Conformal
from tsforecast.jobs.schema import Job, ModelKeys

__all__ = ["make", "models_of", "policies_of"]

DEFAULTS = {"AR": ModelKeys(type="AR"), "SeasonalNaive": ModelKeys(type="SeasonalNaive")}


def models_of(job: Job) -> list[Forecaster]:
    """One forecaster for each [models.NAME], its name as alias; AR and SeasonalNaive where the job names none.

    A job without a naive rule gets SeasonalNaive beside its models: every report compares with one.
    """
    models = [make(alias, keys, job) for alias, keys in (job.models or DEFAULTS).items()]
    if not any(model.complexity == 0 for model in models) and "SeasonalNaive" not in {m.name for m in models}:
        models.append(make("SeasonalNaive", DEFAULTS["SeasonalNaive"], job))
    return models


def make(alias: str, keys: ModelKeys, job: Job) -> Forecaster:
    """A forecaster from its keys; columns, failures and seed come from the job unless the model has its own."""
    kind = registry.find(keys.type)
    shared: dict[str, Any] = {"alias": alias, "on_error": job.on_error, "seed": job.run.seed}
    if job.on_error == "fallback" and keys.type != job.fallback:
        shared["fallback"] = registry.build(job.fallback, {})
    if getattr(kind, "uses_columns", True):
        shared |= {"past": tuple(job.data.past), "known": tuple(job.data.known)}
    own = {name: _value(name, value) for name, value in keys.parameters.items()}
    made: Forecaster = registry.build(keys.type, shared | own)
    return made


def _value(name: str, value: Any) -> Any:
    """A TOML value as the parameter it stands for: tables are recipes, a fallback is a model's name."""
    if name == "intervals" and isinstance(value, Mapping):
        try:
            return Conformal(**value)
        except TypeError as cause:
            fields = ", ".join(Conformal.__dataclass_fields__)
            raise ConfigError(f"intervals has the keys {fields}; got {', '.join(value)}") from cause
    if name == "fallback" and isinstance(value, str):
        return registry.build(value, {})
    return tuple(value) if isinstance(value, list) else value


def policies_of(job: Job) -> dict[str, str]:
    """A job leaves a bad series out where a call would raise; the job's own policies come first."""
    careful = {
        code: "quarantine"
        for code, (default, allowed) in POLICIES.items()
        if default == "raise" and "quarantine" in allowed
    }
    return careful | job.policies
