"""Reports: a backtest and its forecasts in one HTML file that opens anywhere."""

from tsforecast.reporting.writing import report, standing

__all__ = ["report", "standing"]
