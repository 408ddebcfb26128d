"""Figures of forecasts, components, autocorrelations, findings, tuning and learning, as Plotly figures."""

from tsforecast.plots.components import plot_components
from tsforecast.plots.figures import plot_acf, plot_findings, plot_forecast, plot_tuning
from tsforecast.plots.learning import plot_learning_curve

__all__ = ["plot_acf", "plot_components", "plot_findings", "plot_forecast", "plot_learning_curve", "plot_tuning"]
