"""Reading a job file: every problem at once, each with its key, its line and the nearest valid key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tsforecast.errors import ConfigError, MissingDependency
from tsforecast.findings.policies import resolved
from tsforecast.jobs.keys import line_of, nearest
from tsforecast.jobs.models import DEFAULTS, make
from tsforecast.jobs.schema import Job

__all__ = ["job_of", "load_job", "parse_job"]

SCHEMES = ("csv", "parquet", "dataset")
LATER = {
    "select": 'choosing a champion for each series, as a model of type = "Select" does',
    "run.chunk": "splitting a job into chunks",
    "run.workers": "more than one worker",
    "run.timeout_s": "time limits",
    "run.refit_every": "keeping models from run to run",
}
LATER_VALUES = {  # key: what there is, what is planned
    "run.engine": ("local", ("dask", "ray", "spark")),
    "output.lang": ("en", ("ko",)),
}


def load_job(path: str | Path) -> Job:
    """The job in a file; ConfigError names each key that cannot work, its line and the nearest valid one."""
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as cause:
        raise ConfigError(f"no job file {str(file)!r}; `tsforecast init` writes one") from cause
    except (UnicodeDecodeError, IsADirectoryError) as cause:
        raise ConfigError(f"{file} is not a text file in UTF-8") from cause
    return parse_job(text, name=file.name)


def parse_job(text: str, *, name: str = "job.toml") -> Job:
    """The job in TOML `text`; `name` is what the messages call it."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise ConfigError(f"{name} is not TOML: {cause}") from cause
    return job_of(raw, text, name=name)


def job_of(raw: Mapping[str, Any], text: str = "", *, name: str = "options") -> Job:
    """The job in a mapping; `text` is the TOML that it came from, for line numbers."""
    problems = _later(raw, text)
    try:
        job = Job.model_validate(raw)
    except ValidationError as cause:
        problems += [_sentence(error, raw, text) for error in cause.errors() if not _is_later(error["loc"])]
        raise ConfigError(_listed(problems, name)) from cause
    problems += _unusable(job, text)
    if problems:
        raise ConfigError(_listed(problems, name))
    return job


def _unusable(job: Job, text: str) -> list[str]:
    """What the types cannot tell: models and their parameters, policies, names of models."""
    problems = []
    for alias, keys in job.models.items():
        try:
            make(alias, keys, job)._validate(job.horizon)
        except ConfigError as cause:
            problems.append(f"{_place(text, _blamed(str(cause), alias, job))}[models.{alias}] {cause}")
        except MissingDependency as cause:
            raise MissingDependency(f"[models.{alias}] {cause}") from cause
    for code, policy in job.policies.items():
        try:
            resolved({code: policy})
        except ConfigError as cause:
            problems.append(f"{_place(text, ('policies', code))}{cause}")
    baseline = job.backtest.baseline
    if baseline is not None and baseline not in (job.models or DEFAULTS):
        place = _place(text, ("backtest", "baseline"))
        problems.append(f"{place}no model {baseline!r}{nearest(baseline, job.models or DEFAULTS)}")
    return problems


def _blamed(message: str, alias: str, job: Job) -> tuple[str, ...]:
    """Path of the key that a message about a model speaks of first: one of its own, or one given to all models."""
    own = job.models[alias].parameters
    paths = {name: ("data", name) for name in ("past", "known")} | {name: ("models", alias, name) for name in own}
    spoken = {name: found.start() for name in paths if (found := re.search(rf"\b{re.escape(name)}\b", message))}
    return paths[min(spoken, key=lambda name: spoken[name])] if spoken else ("models", alias, "type")


def _listed(problems: Sequence[str], name: str) -> str:
    return "\n".join(f"{name}: {line}" for line in problems)


def _place(text: str, path: Sequence[str | int]) -> str:
    line = line_of(text, path)
    return f"line {line}: " if line else ""


def _look(raw: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _is_later(path: Sequence[str | int]) -> bool:
    dotted = ".".join(str(part) for part in path)
    return dotted in LATER or dotted in LATER_VALUES


def _later(raw: Mapping[str, Any], text: str) -> list[str]:
    """What the file asks for that a later version will do."""
    problems = []
    for dotted, what in LATER.items():
        path = dotted.split(".")
        if _look(raw, path) is not None:
            problems.append(f"{_place(text, path)}{dotted} ({what}) is not in this version; leave it out")
    for dotted, (known, planned) in LATER_VALUES.items():
        path = dotted.split(".")
        value = _look(raw, path)
        if value in planned:
            problems.append(f"{_place(text, path)}{dotted} = {value!r} is not in this version, {known!r} is")
        elif value not in (None, known):
            problems.append(f"{_place(text, path)}{dotted} = {value!r} is unknown; there is {known!r}")
    for location in _locations(raw):
        value = _look(raw, location)
        scheme = str(value).partition(":")[0]
        if isinstance(value, str) and ":" in value and scheme not in SCHEMES:
            choices = ", ".join(f"{known}:" for known in SCHEMES)
            problems.append(f"{_place(text, location)}{scheme}: is not in this version; there are {choices}")
    return problems


def _locations(raw: Mapping[str, Any]) -> list[tuple[str | int, ...]]:
    """Paths of all keys that hold a location."""
    data: list[tuple[str | int, ...]] = [
        ("data", key) for key in ("source", "known_source", "static_source", "mask", "save_clean")
    ]
    joins = _look(raw, ("data", "join"))
    data += [("data", "join", i, "source") for i in range(len(joins) if isinstance(joins, list) else 0)]
    return data + [("output", key) for key in ("forecasts", "backtest", "status")]


def _fields_at(path: Sequence[str | int]) -> tuple[str, ...]:
    """Names of the keys that the table at `path` may hold."""
    model: type[BaseModel] = Job
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        kinds = [model.model_fields[part].annotation]
        while kinds:
            kind = kinds.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
            else:
                kinds.extend(get_args(kind))
    return tuple(model.model_fields)


def _sentence(error: Any, raw: Mapping[str, Any], text: str) -> str:
    """One validation error as a sentence: line, key, what is wrong, what was probably meant."""
    path = error["loc"]
    dotted = ".".join(str(part) for part in path)
    place = _place(text, path)
    if error["type"] == "extra_forbidden":
        return f"{place}unknown key {dotted!r}{nearest(str(path[-1]), _fields_at(path[:-1]))}"
    if error["type"] == "missing":
        table = f"[{'.'.join(str(p) for p in path[:-1])}]" if len(path) > 1 else "the job"
        return f"{place}{table} needs the key {str(path[-1])!r}"
    given = _look(raw, path)
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if error["type"] == "string_pattern_mismatch":
        message = "is not a location: write scheme:path, for example parquet:data/sales.parquet"
    if error["type"] == "literal_error" and isinstance(given, str):
        message += nearest(given, [str(choice) for choice in error["ctx"]["expected"].replace("'", "").split(" or ")])
    return f"{place}{dotted} = {given!r}: {message}"
