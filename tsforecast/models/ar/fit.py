"""One lag regression a series, batched: moments once, then any subset of lags and any ridge from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.windows.moments import explicit_moments, lag_design, lag_moments
from tsforecast.windows.plan import Transform
from tsforecast.windows.solve import centred, effective, exact, gcv_ridge, least_squares, spread
from tsforecast.windows.tiles import Tile, tiles

__all__ = ["Fit", "Moments", "Ridge", "Rows", "fit_lags", "moments", "tile_rows"]

Ridge = float | Literal["auto"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What one tile brings to a regression: z (s, T), past (s, T, p), known (s, T, k), weights (s, T) or None.

    Target and columns are (value - centre) / scale, NaN where missing; centre, scale (s, 1 + p + k), the target
    first; log_mean (s,): the mean log of the target where it is logged, else 0.
    """

    z: Float
    past: Float
    known: Float
    weights: Float | None
    centre: Float
    scale: Float
    log_mean: Float


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments (n, d, d) of [1, lags..., past lags..., known..., target], rows in them (n,), and the units of Rows."""

    values: Float
    rows: Float
    centre: Float
    scale: Float
    log_mean: Float
    lags: tuple[int, ...]
    n_past: int

    def columns(self, lags: Sequence[int]) -> list[int]:
        """Positions of the constant, of these lags of every channel, of the known columns and of the target."""
        width = len(self.lags)
        place = [self.lags.index(lag) for lag in lags]
        chosen = [1 + channel * width + p for channel in range(1 + self.n_past) for p in place]
        return [0, *chosen, *range(1 + (1 + self.n_past) * width, self.values.shape[1])]

    def units(self, lags: Sequence[int]) -> tuple[Float, Float]:
        """What each regressor was centred and scaled by (n, c)."""
        owner = np.repeat(np.arange(1 + self.n_past), len(lags))
        channel = [*owner, *range(1 + self.n_past, self.centre.shape[1])]
        return self.centre[:, channel], self.scale[:, channel]

    def take(self, index: Int) -> Moments:
        """The moments of some series."""
        parts = {name: getattr(self, name)[index] for name in ("values", "rows", "centre", "scale", "log_mean")}
        return replace(self, **parts)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Least-squares answers on the scale of the transformed target.

    coef (n, c): lags, then past lags column by column, then known; const, sigma2, count, freedom, ridge, total
    sum of squares (n,); score (n,): log of the generalised cross-validation error on the scale of the data;
    error (n, 1 + c): standard errors, the constant's first (empty where not asked for).
    """

    coef: Float
    const: Float
    sigma2: Float
    count: Float
    freedom: Float
    ridge: Float
    total: Float
    score: Float
    error: Float

    def arrays(self) -> dict[str, Float]:
        """The answers by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def take(self, index: Int) -> Fit:
        """The answers of some series."""
        return Fit(**{name: values[index] for name, values in self.arrays().items()})


def tile_rows(panel: Panel, tile: Tile, transform: Transform, units: tuple[Float, Float] | None = None) -> Rows:
    """The tile's target and columns, transformed, less their means and scaled.

    `units` (centre, scale (n, 1 + p + k)) sets what to centre and scale by, else each series' own observed rows.
    """
    y = tile.gather(panel.y)
    y[~np.isfinite(y)] = np.nan
    z = transform.apply(y)
    columns = tile.gather(panel.columns)
    if transform.diff and columns.shape[2]:
        moved = np.full_like(columns, np.nan)
        moved[:, transform.diff :] = columns[:, transform.diff :] - columns[:, : -transform.diff]
        columns = moved
    if units is None:
        centre, scale = _units(z, columns)
    else:
        centre, scale = units[0][tile.index], units[1][tile.index]
    log_mean = np.zeros(len(z))
    if transform.log:
        seen = y > 0
        log_mean = np.log(np.where(seen, y, 1.0)).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    columns = (columns - centre[:, None, 1:]) / scale[:, None, 1:]
    return Rows(
        z=(z - centre[:, :1]) / scale[:, :1],
        past=columns[:, :, : panel.n_past],
        known=columns[:, :, panel.n_past :],
        weights=None if panel.weights is None else tile.gather(panel.weights, 0.0),
        centre=centre,
        scale=scale,
        log_mean=log_mean,
    )


def _units(z: Float, columns: Float) -> tuple[Float, Float]:
    """Means and root mean squares about them of target and columns (s, 1 + k); 1 for what is constant."""
    centre, scale = np.zeros((len(z), 1 + columns.shape[2])), np.ones((len(z), 1 + columns.shape[2]))
    for c, channel in enumerate((z, *np.ascontiguousarray(np.moveaxis(columns, 2, 0)))):
        mean, gap, count = _mean(channel)
        size = np.sqrt(np.einsum("st,st->s", gap, gap) / count)
        constant = size <= 1e-13 * np.maximum(np.abs(mean), 1e-300)
        centre[:, c], scale[:, c] = mean, np.where(constant, 1.0, size)
    return centre, scale


def _mean(x: Float) -> tuple[Float, Float, Int]:
    """Mean of the observed values (s,), gaps from it (s, T) with zeros where missing, their number (s,)."""
    seen = np.isfinite(x)
    if seen.all():  # the same sums with fewer copies
        mean = x.sum(axis=1) / x.shape[1]
        mean = mean + (x - mean[:, None]).sum(axis=1) / x.shape[1]
        return mean, x - mean[:, None], seen.sum(axis=1)
    count = np.maximum(seen.sum(axis=1), 1)
    mean = np.where(seen, x, 0.0).sum(axis=1) / count
    # A second pass on the gaps: at level 1e9 the first mean is off by more than a small signal.
    mean = mean + np.where(seen, x - mean[:, None], 0.0).sum(axis=1) / count
    return mean, np.where(seen, x - mean[:, None], 0.0), count


def moments(
    panel: Panel, transform: Transform, lags: tuple[int, ...], units: tuple[Float, Float] | None = None
) -> Moments:
    """Moments of every series: by shifted copies where all rows are observed, by explicit rows elsewhere."""
    k, p = panel.columns.shape[1], panel.n_past
    d = 2 + (1 + p) * len(lags) + (k - p)
    n = len(panel)
    out, used, log_mean = np.zeros((n, d, d)), np.zeros(n), np.zeros(n)
    centre, scale = np.zeros((n, 1 + k)), np.ones((n, 1 + k))
    for tile in tiles(panel):
        rows = tile_rows(panel, tile, transform, units)
        out[tile.index], used[tile.index] = _tile_moments(rows, tile, transform, lags)
        centre[tile.index], scale[tile.index], log_mean[tile.index] = rows.centre, rows.scale, rows.log_mean
    return Moments(out, used, centre, scale, log_mean, lags, p)


def _tile_moments(rows: Rows, tile: Tile, transform: Transform, lags: tuple[int, ...]) -> tuple[Float, Float]:
    lengths = np.maximum(tile.inside.sum(axis=1) - transform.diff, 0)
    plain = rows.weights is None and not rows.past.shape[2] and not rows.known.shape[2]
    seen = np.isfinite(rows.z)
    whole = (seen.sum(axis=1) == lengths) & plain
    # Each series takes the road that its own rows ask for, so that company does not matter.
    z = rows.z if seen.all() else np.where(seen, rows.z, 0.0)
    fast = lag_moments(z, lengths, lags) if whole.any() else None
    if fast is not None and whole.all():
        return fast, fast[:, 0, 0]
    x, complete = lag_design(rows.z, lags, rows.past, rows.known)
    slow, used = explicit_moments(x, complete, rows.z[:, :, None], rows.weights)
    return (slow, used) if fast is None else (np.where(whole[:, None, None], fast, slow), used)


def fit_lags(
    panel: Panel,
    transform: Transform,
    m: Moments,
    lags: Sequence[int],
    ridge: Ridge,
    *,
    errors: bool = False,
    by_rows: bool = True,
) -> Fit:
    """Answers for a subset of the lags of `m`; standard errors only on request.

    Without a ridge, collinear series are solved exactly on their rows; where the moments are not those of the
    series alone (`by_rows=False`) a smallest ridge stands in for that.
    """
    chosen = m.columns(lags)
    part = m.values[:, chosen][:, :, chosen]
    if panel.weights is not None:
        part *= mean_one(m)[:, None, None]
    gram, cross, power, mean = centred(part, 1)
    count = part[:, 0, 0]
    if ridge == "auto":
        coef, penalty, freedom = gcv_ridge(gram, cross[..., 0], power[:, 0, 0], count)
        weak = np.zeros(len(gram), dtype=bool)
    else:
        penalty = np.full(len(gram), float(ridge))
        coef, weak = least_squares(gram, cross, penalty)
        coef = coef[..., 0]
        freedom = effective(gram, penalty)
    if weak.any() and not by_rows:
        coef[weak] = least_squares(gram[weak], cross[weak], np.full(int(weak.sum()), 1e-9))[0][..., 0]
    elif weak.any():
        coef[weak], freedom[weak] = _exact(panel, transform, m, lags, weak)
    return _finished(m, lags, coef, (gram, cross[..., 0], power[:, 0, 0], mean, count), freedom, penalty, errors)


def mean_one(m: Moments) -> Float:
    """Factor (n,) that gives the rows of each series weights of mean 1, so that sums of weights count rows."""
    total = m.values[:, 0, 0]
    return np.where(total > 0, m.rows / np.where(total > 0, total, 1.0), 1.0)


def _exact(panel: Panel, transform: Transform, m: Moments, lags: Sequence[int], weak: Bool) -> tuple[Float, Float]:
    """Minimum-norm coefficients (w, c) and ranks (w,) of the weak series, from their rows."""
    few = panel.take(weak)
    units = (m.centre[weak], m.scale[weak])
    coef = np.zeros((len(few), len(m.columns(lags)) - 2))
    rank = np.zeros(len(few))
    for tile in tiles(few):
        rows = tile_rows(few, tile, transform, units)
        x, complete = lag_design(rows.z, lags, rows.past, rows.known)
        use = complete * np.isfinite(rows.z) * (1.0 if rows.weights is None else rows.weights)
        coef[tile.index], rank[tile.index] = exact(x[:, :, 1:], np.nan_to_num(rows.z), use)
    return coef, rank


def _finished(
    m: Moments,
    lags: Sequence[int],
    coef: Float,
    sums: tuple[Float, Float, Float, Float, Float],
    freedom: Float,
    penalty: Float,
    errors: bool,
) -> Fit:
    """Answers on the scale of the transformed target, from coefficients on centred, scaled values."""
    gram, cross, power, mean, count = sums
    # Sums along rows of one memory layout: that of one series alone is ambiguous, and the order would change bits.
    gram, cross, coef = (np.ascontiguousarray(part) for part in (gram, cross, coef))
    image = np.ascontiguousarray(np.einsum("nij,nj->ni", gram, coef))
    left = np.maximum(power - 2 * (cross * coef).sum(axis=1) + (image * coef).sum(axis=1), 1e-15 * power)
    spare = count - 1 - freedom
    room = np.maximum(spare, 1e-9)
    middle, scale = m.units(lags)
    own = m.scale[:, 0]
    square = own**2
    sigma2 = np.where(spare > 0, left / room, np.nan) * square
    gcv = np.where(spare > 0, count * left / room**2, np.inf)
    raw = coef * (own[:, None] / scale)
    place = middle + scale * mean[:, 1:-1]
    const = m.centre[:, 0] + own * mean[:, -1] - (raw * place).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.log(gcv) + 2 * np.log(own) + 2 * m.log_mean
    error = np.empty((len(coef), 0))
    if errors:
        covariance = spread(gram, penalty) / (scale[:, :, None] * scale[:, None, :])
        about = 1 / np.maximum(count, 1) + np.einsum("ni,nij,nj->n", place, covariance, place)
        shares = np.concatenate([about[:, None], np.einsum("nii->ni", covariance)], axis=1)
        with np.errstate(invalid="ignore"):
            error = np.sqrt(np.maximum(shares, 0.0) * sigma2[:, None])
    return Fit(raw, const, sigma2, count, freedom, penalty, power * square, score, error)
