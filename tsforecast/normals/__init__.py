"""Seasonal normals: what each series usually does at a date, and by how much it strays from that."""

from tsforecast.normals.normal import ahead, anomalies, at, fit, rows

__all__ = ["ahead", "anomalies", "at", "fit", "rows"]
