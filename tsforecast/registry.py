"""The one literal table of names -> forecasters and recipes, for model files, jobs and the command line."""

from __future__ import annotations

from dataclasses import MISSING, fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from tsforecast import artifact
from tsforecast.design import keep_calendar
from tsforecast.errors import ArtifactError, ConfigError
from tsforecast.growth import panel_from

__all__ = ["FORECASTERS", "build", "find", "load", "recipe"]

FORECASTERS = {
    "AR": "tsforecast.models.ar",
    "Anomaly": "tsforecast.compose.anomaly",
    "Blend": "tsforecast.compose.blend",
    "CNN": "tsforecast.models.neural",
    "Climatology": "tsforecast.models.naive",
    "Drift": "tsforecast.models.naive",
    "GRU": "tsforecast.models.neural",
    "GeoBlend": "tsforecast.compose.geo",
    "KNN": "tsforecast.models.knn",
    "LSTM": "tsforecast.models.neural",
    "LagRegressor": "tsforecast.models.lag_regressor",
    "MLP": "tsforecast.models.neural",
    "Naive": "tsforecast.models.naive",
    "Prophet": "tsforecast.models.prophet",
    "RNN": "tsforecast.models.neural",
    "RegionalLinear": "tsforecast.models.regional",
    "SeasonalNaive": "tsforecast.models.naive",
    "Select": "tsforecast.compose.select",
    "Stack": "tsforecast.compose.stack",
    "WindowMean": "tsforecast.models.naive",
}
_RECIPES = {
    "Conformal": "tsforecast.intervals",
    "KoreanHolidays": "tsforecast.calendars.pooled",
    "Regressor": "tsforecast.models.prophet.terms",
    "Seasonality": "tsforecast.models.prophet.terms",
}


def find(name: str) -> type:
    """The forecaster class of that name; ConfigError lists the choices."""
    if name not in FORECASTERS:
        near = get_close_matches(name, FORECASTERS, 1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no forecaster {name!r}{hint} (there are {', '.join(FORECASTERS)})")
    found: type = getattr(import_module(FORECASTERS[name]), name)
    return found


def build(name: str, params: dict[str, Any]) -> Any:
    """A forecaster by name with these parameters; ConfigError names an unknown one and the nearest valid one."""
    made = find(name)
    _refuse_unknown(name, params, list(made().get_params(deep=False)))
    return made(**params)


def recipe(name: str, params: dict[str, Any]) -> Any:
    """A parameter that is a value of its own (Conformal, Regressor, ...); ConfigError for parameters that it lacks."""
    if name not in _RECIPES:
        raise ConfigError(f"no type {name!r} here (there are {', '.join(_RECIPES)})")
    kind = getattr(import_module(_RECIPES[name]), name)
    _refuse_unknown(name, params, [field.name for field in fields(kind)])
    lacking = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING and f.name not in params]
    if lacking:
        raise ConfigError(f"{name} needs {', '.join(lacking)}")
    return kind(**params)


def _refuse_unknown(name: str, params: dict[str, Any], valid: list[str]) -> None:
    for key in params:
        if key not in valid:
            near = get_close_matches(key, valid, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{name} has no parameter {key!r}{hint} (it has {', '.join(valid)})")


def load(path: Any) -> Any:
    """The fitted model that `save` wrote; ArtifactError where the file is damaged or from elsewhere."""
    kept = artifact.read(path)
    if kept.key not in FORECASTERS:
        raise ArtifactError(f"{path}: holds a {kept.key!r}, which this version does not know")
    try:
        model = find(kept.key)(**{name: _revived(value) for name, value in kept.params.items()})
        model.panel_ = panel_from(kept.state["panel"])
        model.state_, model.h_, model.fitted_with_ = kept.state["model"], kept.state["h"], model._shaping()
        # Files of versions that held no calendar take that of the installed package.
        known = kept.state.get("calendar")
        model.calendar_ = keep_calendar(model.panel_, model.almanac) if known is None else model.almanac.restored(known)
    except (KeyError, TypeError, ValueError, IndexError) as cause:
        raise ArtifactError(f"{path}: its content does not fit a {kept.key}: {cause}") from cause
    return model


def _revived(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"class", "params"}:
        params = {name: _revived(inner) for name, inner in value["params"].items()}
        return recipe(value["class"], params) if value["class"] in _RECIPES else find(value["class"])(**params)
    if isinstance(value, (list, tuple)):
        return type(value)(_revived(inner) for inner in value)
    return value
