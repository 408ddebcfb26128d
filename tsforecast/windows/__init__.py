"""Lag windows: fixed tiles of series, moments of lags, and batched solvers on them."""

from tsforecast.windows.moments import explicit_moments, lag_moments
from tsforecast.windows.solve import gcv_ridge, least_squares, pivots_and_solution
from tsforecast.windows.tiles import (
    TILE,
    Tile,
    generators,
    main_season,
    normal_widths,
    seasonal_last,
    tiles,
)

__all__ = [
    "TILE",
    "Tile",
    "explicit_moments",
    "gcv_ridge",
    "generators",
    "lag_moments",
    "least_squares",
    "main_season",
    "normal_widths",
    "pivots_and_solution",
    "seasonal_last",
    "tiles",
]
