"""Leaf families of forecasters; none imports another."""
