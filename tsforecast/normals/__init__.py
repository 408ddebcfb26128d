"""Seasonal normals: what each series usually does at a date, and by how much it strays from that."""

from tsforecast.normals.normal import ahead, anomalies, at, fit, rows
from tsforecast.normals.renewal import renewed, settled, with_newer

__all__ = ["ahead", "anomalies", "at", "fit", "renewed", "rows", "settled", "with_newer"]
