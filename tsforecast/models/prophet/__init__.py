"""Prophet's model: trend with changepoints, seasonalities, holidays and regressors, solved for a whole panel."""

from tsforecast.models.prophet.model import Prophet
from tsforecast.models.prophet.terms import Regressor, Seasonality

__all__ = ["Prophet", "Regressor", "Seasonality"]
