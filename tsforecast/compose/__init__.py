"""Forecasters made of forecasters."""
