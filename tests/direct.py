"""Direct regressions on anomalies row by row, in plain loops: what the batched ones are judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast import normals
from tsforecast.panel import Panel

Array = NDArray[Any]
PRIOR = 10.0


def simulated(n: int, rows: int, seed: int = 0, freq: str = "D", size: float = 10.0) -> Panel:
    """Places in a square of `size` degrees under weather that moves east, each with a year and a level of its own."""
    rng = np.random.default_rng(seed)
    lat, lon = 40 + size * rng.random(n), 10 + size * rng.random(n)
    waves = rng.normal(size=(rows + 40, 6))
    for t in range(1, len(waves)):
        waves[t] += 0.8 * waves[t - 1]
    late = np.round((lon - 10) / size * 4).astype(int)  # the east sees today's weather up to four rows later
    load = 1 + 0.3 * rng.normal(size=(n, 6)) + (lat - lat.mean())[:, None] / size * np.linspace(-1, 1, 6)
    y = np.stack([waves[40 - late[i] : 40 - late[i] + rows] @ load[i] for i in range(n)])
    y = y + 0.5 * rng.normal(size=(n, rows)) + 20 * rng.random((n, 1))
    y += 8 * np.sin(2 * np.pi * np.arange(rows) / 365.2425)
    ids = [f"p{i:03d}" for i in rng.permutation(n)]
    return Panel.from_arrays(y, ids=ids, freq=freq, start="2015-01-01", static={"lat": lat, "lon": lon})


def anomalies(panel: Panel, held: int = 0, base: Any = "auto", places: Any = None) -> tuple[Array, Array, Any]:
    """Anomalies and scales (n, T) of a rectangular panel, from normals fitted before the last `held` rows."""
    normal = normals.fit(panel.replace(stop=panel.stop - held), base, places)
    level, scale = normals.rows(normal, panel)
    shape = len(panel), -1
    return ((panel.y - level) / scale).reshape(shape), scale.reshape(shape), normal


def own_columns(row: Array, t: int, lags: tuple[int, ...], means: tuple[int, ...]) -> list[float]:
    """What a series tells of itself at row t; before the first row stands 0."""

    def value(at: int) -> float:
        return float(row[at]) if at >= 0 else 0.0

    return [value(t - lag) for lag in lags] + [sum(value(t - j) for j in range(w)) / w for w in means]


def haversine(lat: Array, lon: Array) -> Array:
    """Distances (n, n) in km."""
    a, b = np.radians(lat), np.radians(lon)
    half = np.sin((a[:, None] - a) / 2) ** 2 + np.cos(a[:, None]) * np.cos(a) * np.sin((b[:, None] - b) / 2) ** 2
    return np.asarray(2 * 6371.0088 * np.arcsin(np.sqrt(half)))


def ridge(x: Array, y: Array, penalty: float) -> Array:
    """Least squares with sqrt(penalty) times the unit matrix as further rows."""
    extra = np.sqrt(penalty) * np.eye(x.shape[1])
    return np.asarray(np.linalg.lstsq(np.vstack([x, extra]), np.concatenate([y, np.zeros(len(extra))]), rcond=None)[0])


class Loops:
    """KNN with given neighbours, station by station and step by step: `filled` (n, T) are the values it looks at,
    `values` (n, T) its targets, NaN where missing, of which those before row `stop` are learned from.
    """

    def __init__(self, values: Array, filled: Array, index: list[list[int]], weight: list[list[float]], stop: int):
        self.values, self.filled, self.stop = values, filled, stop
        self.index, self.weight = index, weight
        self.terms: tuple[tuple[int, ...], tuple[int, ...]] = (0, 1, 2), (7, 90)

    def own(self, i: int, t: int) -> list[float]:
        return own_columns(self.filled[i], t, *self.terms)

    def columns(self, i: int, t: int) -> list[float]:
        others = [self.filled[j, at] if at >= 0 else 0.0 for j in self.index[i] for at in (t, t - 1)]
        return self.own(i, t) + others

    def summary(self, i: int, t: int) -> list[float]:
        pairs = list(zip(self.index[i], self.weight[i], strict=True))
        mean = [sum(w * self.filled[j, at] for j, w in pairs) if at >= 0 else 0.0 for at in (t, t - 1)]
        return self.own(i, t) + mean

    def origins(self, i: int) -> list[int]:
        first = int(np.argmax(np.isfinite(self.values[i])))
        return list(range(first, self.stop))

    def target(self, i: int, t: int, step: int) -> float:
        return float(self.values[i, t + step]) if t + step < self.stop else np.nan

    def shared(self, step: int) -> Array:
        """Coefficients of the model of all places, from one long table."""
        table = [
            (self.summary(i, t), self.target(i, t, step)) for i in range(len(self.values)) for t in self.origins(i)
        ]
        rows = [(x, y) for x, y in table if np.isfinite(y)]
        return ridge(np.array([x for x, _ in rows]), np.array([y for _, y in rows]), PRIOR)

    def fit(self, i: int, penalty: float, h: int) -> list[tuple[Array, Array]]:
        """Per step the shared coefficients and what place i adds."""
        at = self.origins(i)
        x = np.array([self.columns(i, t) for t in at])
        base = np.array([self.summary(i, t) for t in at])
        y = np.array([[self.target(i, t, step) for step in range(1, h + 1)] for t in at])
        told = np.isfinite(y).sum(axis=0)
        out = []
        for step in range(h):
            shared = self.shared(step + 1)
            known = np.isfinite(y[:, step])
            cross = x[known].T @ (y[known, step] - base[known] @ shared)
            left = told.mean() / len(at) * x.T @ x + penalty * np.eye(x.shape[1])
            out.append((shared, np.linalg.solve(left, cross * told.mean() / told[step])))
        return out

    def forecast(self, i: int, t: int, fits: list[tuple[Array, Array]]) -> Array:
        base, x = np.array(self.summary(i, t)), np.array(self.columns(i, t))
        return np.array([base @ shared + x @ added for shared, added in fits])
