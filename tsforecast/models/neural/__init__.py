"""Lag-window networks: windows of rows in, the next steps out."""

from tsforecast.models.neural.model import CNN, GRU, LSTM, MLP, RNN

__all__ = ["CNN", "GRU", "LSTM", "MLP", "RNN"]
