"""Prophet's model on every span of a panel: scaled, solved at its exact mode, and brought back as arrays a span."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsforecast.calendars.day_columns import DayColumns
from tsforecast.models.prophet.layout import Unit, units
from tsforecast.models.prophet.scaling import Calendar, Scaled, scaled
from tsforecast.models.prophet.settings import Settings
from tsforecast.models.prophet.spans import Found, additive_mode, general_mode
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows.blocks import side_by_side

__all__ = ["fit", "joined"]

STILL = 1e-9
"""Noise of a constant series, as in Prophet."""


def fit(panel: Panel, settings: Settings) -> State:
    """Parameters of all n spans: k, m, sigma, start, unit, scale, floor, rows, changepoints found (n,), delta and their
    places in t (n, S), beta (n, K), mu and std of regressors (n, r), proper and thinned (n,); NaN without two rows.
    """
    n, k, s = len(panel), len(settings.features.names), settings.hinges
    r = len(settings.features.regressors)
    out = _empty(n, k, s, r)
    calendar = Calendar.of(panel, settings.features)
    work = list(units(panel, k, settings.features.has_row_columns))

    def run(i: int) -> None:
        # Columns beyond what numbers hold make one series fail, not the others.
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            _fit_unit(panel, settings, work[i](), calendar, out)

    side_by_side(len(work), run)
    return out


def _empty(n: int, k: int, s: int, r: int) -> State:
    nan = np.full(n, np.nan)
    state: State = {name: nan.copy() for name in ("k", "m", "sigma", "unit", "scale", "floor")}
    state |= {"start": np.zeros(n, np.int64), "rows": np.zeros(n, np.int64), "changes": np.zeros(n, np.int64)}
    state |= {"delta": np.zeros((n, s)), "at": np.ones((n, s)), "beta": np.zeros((n, k))}
    state |= {"mu": np.zeros((n, r)), "std": np.ones((n, r))}
    return state | {"proper": np.ones(n, bool), "thinned": np.zeros(n, np.int64), "rounds": np.zeros(n, np.int64)}


def _fit_unit(panel: Panel, settings: Settings, unit: Unit, calendar: Calendar, out: State) -> None:
    """Solve a unit's spans and write what was found at their places."""
    span = scaled(panel, settings, unit, calendar)
    active = settings.active(span.facts)
    mode = additive_mode if settings.is_additive else general_mode
    found = mode(settings, unit, span, active)
    stage = np.zeros(len(unit.spans), dtype=np.int64)
    # Where the posterior has no mode because the rows cannot hold all columns, columns go until it has one.
    for more in range(1, settings.stages):
        lacking = np.flatnonzero(~found.proper & (span.facts.count <= found.columns))
        if not len(lacking):
            break
        stage[lacking] = more
        fewer = mode(settings, unit.take(lacking), span.take(lacking), settings.reduced(active[lacking], more))
        found = found.replaced(lacking, fewer)
    _write(settings, unit, span, found, stage, out)


def _write(settings: Settings, unit: Unit, span: Scaled, found: Found, stage: Int, out: State) -> None:
    at, k = unit.spans, len(settings.features.names)
    theta, few = found.theta, span.facts.count < 2
    still = ~few & (span.facts.high == span.facts.low) & (settings.growth != "logistic")
    theta[still] = 0.0
    theta[still, 1] = (span.facts.high[still] - span.floor[still]) / span.scale[still]
    theta[few] = np.nan
    delta = theta[:, 2 + k :]
    if delta.shape[1]:
        # The lone change of a span without changepoints lies at its beginning: it is part of the slope.
        alone = span.changes == 0
        theta[alone, 0] += delta[alone, 0]
        delta[alone] = 0.0
    out["k"][at], out["m"][at], out["beta"][at], out["delta"][at] = theta[:, 0], theta[:, 1], theta[:, 2 : 2 + k], delta
    out["sigma"][at] = np.where(still, STILL, np.where(few, np.nan, np.sqrt(found.variance)))
    out["unit"][at], out["scale"][at], out["floor"][at] = span.facts.unit, span.scale, span.floor
    out["start"][at], out["rows"][at], out["changes"][at] = span.start, span.facts.count, span.changes
    out["at"][at] = span.places.tau / span.places.unit[:, None]
    out["mu"][at], out["std"][at] = span.mu, span.std
    out["proper"][at], out["thinned"][at], out["rounds"][at] = found.proper | still, stage, found.rounds


def joined(old: State, new: State) -> State:
    """The fits of two sets of spans one after the other; columns that one of them lacks have coefficient zero there."""
    days, names = old["days"], list(old["names"])
    if days is not None:
        mine, theirs = DayColumns.from_state(days), DayColumns.from_state(new["days"])
        fresh = [j for j, name in enumerate(theirs.names) if name not in mine.names]
        if mine.names:
            place = names.index(mine.names[-1]) + 1
        else:
            place = list(new["names"]).index(theirs.names[0]) if fresh else 0
        names[place:place] = [theirs.names[j] for j in fresh]
        days = DayColumns.joined([mine, theirs.take(fresh)]).state()
    spans = {}
    for key in old["spans"]:
        parts = [part["spans"][key] for part in (old, new)]
        if key == "beta":
            parts = [_placed(part["spans"][key], part["names"], names) for part in (old, new)]
        spans[key] = np.concatenate(parts)
    return {"spans": spans, "days": days, "names": names}


def _placed(beta: Float, names: Sequence[str], wanted: Sequence[str]) -> Float:
    """Coefficients (n, K) of columns `names` as those of the columns `wanted`."""
    out = np.zeros((len(beta), len(wanted)))
    for j, name in enumerate(names):
        out[:, wanted.index(name)] = beta[:, j]
    return out
