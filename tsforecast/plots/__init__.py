"""Figures of forecasts, components, autocorrelations, findings and tuning, as Plotly figures."""

from tsforecast.plots.figures import plot_acf, plot_findings, plot_forecast, plot_tuning

__all__ = ["plot_acf", "plot_findings", "plot_forecast", "plot_tuning"]
