"""The interface of all forecasters."""

from tsforecast.forecaster.base import Forecaster

__all__ = ["Forecaster"]
