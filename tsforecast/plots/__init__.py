"""Figures of forecasts, components, autocorrelations, findings and tuning, as Plotly figures."""

from tsforecast.plots.components import plot_components
from tsforecast.plots.figures import plot_acf, plot_findings, plot_forecast, plot_tuning

__all__ = ["plot_acf", "plot_components", "plot_findings", "plot_forecast", "plot_tuning"]
