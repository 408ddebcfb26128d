"""Reports: a backtest and its forecasts in one HTML file that opens anywhere."""
