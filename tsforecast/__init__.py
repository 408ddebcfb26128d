"""Forecasts for panels of time series: one table in, one table out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "AR": "models.ar",
    "Anomaly": "compose.anomaly",
    "ArtifactError": "errors",
    "Backtest": "evaluation",
    "Blend": "compose.blend",
    "CNN": "models.neural",
    "Climatology": "models.naive",
    "ConfigError": "errors",
    "Conformal": "intervals",
    "DataError": "errors",
    "DataWarning": "errors",
    "Drift": "models.naive",
    "FitError": "errors",
    "FitWarning": "errors",
    "Forecaster": "forecaster",
    "FutureError": "errors",
    "GRU": "models.neural",
    "GeoBlend": "compose.geo",
    "KNN": "models.knn",
    "KoreanHolidays": "calendars.pooled",
    "LSTM": "models.neural",
    "LagRegressor": "models.lag_regressor",
    "LeakageWarning": "errors",
    "MLP": "models.neural",
    "MissingDependency": "errors",
    "Naive": "models.naive",
    "NotFittedError": "errors",
    "Panel": "panel",
    "Prophet": "models.prophet",
    "RNN": "models.neural",
    "RegionalLinear": "models.regional",
    "Regressor": "models.prophet",
    "SeasonalNaive": "models.naive",
    "Seasonality": "models.prophet",
    "Select": "compose.select",
    "Stack": "compose.stack",
    "TsforecastError": "errors",
    "TsforecastWarning": "errors",
    "WindowMean": "models.naive",
    "acf": "autocorrelation",
    "backtest": "evaluation",
    "check": "findings",
    "check_forecaster": "contract",
    "ljung_box": "autocorrelation",
    "load": "registry",
    "outliers": "findings",
    "pacf": "autocorrelation",
    "plot_acf": "plots",
    "plot_components": "plots",
    "plot_findings": "plots",
    "plot_forecast": "plots",
    "plot_learning_curve": "plots",
    "plot_map": "plots",
    "plot_tuning": "plots",
    "plot_weights": "plots",
    "report": "reporting",
    "split": "findings",
    "tune": "evaluation",
}
_ROOMS = ("datasets", "metrics")

__all__ = sorted([*_NAMES, *_ROOMS, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"tsforecast.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module 'tsforecast' has no attribute {name!r}")
    return getattr(import_module(f"tsforecast.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
