"""Linear regressions that the series of a region share."""

from tsforecast.models.regional.model import RegionalLinear

__all__ = ["RegionalLinear"]
