"""Lag-window networks: windows of rows in, the next steps out."""
