"""Any regressor of scikit-learn on a lag table, one for the panel or one a series."""

from tsforecast.models.lag_regressor.model import LagRegressor

__all__ = ["LagRegressor"]
