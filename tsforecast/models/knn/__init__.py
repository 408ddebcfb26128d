"""Geographic neighbours: places forecast with what lies around them."""

from tsforecast.models.knn.model import KNN

__all__ = ["KNN"]
