"""Plotly figures of forecasts, components, autocorrelations, findings, tuning, learning, weights and places."""

from tsforecast.plots.components import plot_components
from tsforecast.plots.figures import plot_acf, plot_findings, plot_forecast, plot_tuning
from tsforecast.plots.learning import plot_learning_curve
from tsforecast.plots.map import plot_map
from tsforecast.plots.weights import plot_weights

__all__ = [
    "plot_acf",
    "plot_components",
    "plot_findings",
    "plot_forecast",
    "plot_learning_curve",
    "plot_map",
    "plot_tuning",
    "plot_weights",
]
