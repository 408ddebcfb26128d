"""Prophet's model on real Korean series beside the prophet package; TSFORECAST_DATA names their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers import fit_and_predict, fitted, hush, pooled
from benchmarks.row import Row, at_most, wanted
from tsforecast import KoreanHolidays, Prophet

__all__ = ["rows"]

STEPS = 28
LITERAL: dict[str, Any] = {
    "changepoint_prior_scale": 10,
    "changepoints": ["2020-01-25", "2020-02-29"],
    "yearly_seasonality": 10,
    "weekly_seasonality": False,
    "daily_seasonality": False,
    "growth": "linear",
}
FELL = {("2020-01-28", "2020-02-17"): -10, ("2020-02-18", "2020-02-28"): -25, ("2020-02-29", "2020-03-20"): -39}
"""Rides against the same days a year before, per cent."""


def rows(words: Sequence[str]) -> Iterator[Row]:
    """Errors and coverage on power and subway rides; the two changes of 2020 in subway rides by both engines."""
    if not wanted("Korea", words):
        return
    folder = os.environ.get("TSFORECAST_DATA")
    if not folder or not Path(folder).is_dir():
        yield Row("Korea: Prophet on real series", "-", "skipped", None, "set TSFORECAST_DATA to the folder of them")
        return
    power = _read(folder, "korea_peak_power_daily.csv", "peak_mw")
    rides = _read(folder, "seoul_subway_daily.csv", "total")
    yield from _holidays("Korean peak power", _spans(power, "2019-01", "2021-12", 6), bars=(0.5, 1.0))
    yield from _holidays("Seoul subway rides", _spans(rides, "2019-01", "2019-12", 2))
    yield from _two_changes(rides)


def _read(folder: str, file: str, target: str) -> pd.DataFrame:
    table = pd.read_csv(Path(folder) / file, parse_dates=["date"])
    return table.rename(columns={"date": "ds", target: "y"})[["ds", "y"]]


def _spans(data: pd.DataFrame, first: str, last: str, years: int) -> pd.DataFrame:
    """A series for every month: the years before it, and with `ahead` the days to forecast."""
    parts = []
    for origin in pd.date_range(first, last, freq="MS"):
        end = origin + pd.Timedelta(days=STEPS)
        part = data[(data["ds"] >= origin - pd.DateOffset(years=years)) & (data["ds"] < end)]
        parts.append(part.assign(unique_id=str(origin.date()), ahead=part["ds"] >= origin))
    return pd.concat(parts, ignore_index=True)


def _holidays(name: str, spans: pd.DataFrame, bars: Sequence[float] | None = None) -> Iterator[Row]:
    """MAPE on public holidays and other days over that of prophet with its own Korean holidays, then coverage."""
    import holidays

    ahead = spans["ahead"]
    known, truth = spans.loc[~ahead, ["unique_id", "ds", "y"]], spans[ahead]
    ours = Prophet(holidays=KoreanHolidays()).fit(known).predict(STEPS, levels=[80, 95])
    ours = ours.rename(columns=lambda column: column.replace("Prophet-", "").replace("Prophet", "yhat"))
    tables = [part.drop(columns="unique_id") for _, part in known.groupby("unique_id")]
    made, _ = pooled(fit_and_predict, tables, {"country": "KR", "steps": STEPS})
    theirs = pd.concat(
        [part.assign(unique_id=one) for part, one in zip(made, truth["unique_id"].unique(), strict=True)]
    )
    both = [truth.merge(part, on=["unique_id", "ds"]) for part in (ours, theirs)]
    assert all(len(part) == len(truth) for part in both)
    public = holidays.country_holidays("KR", years=range(2013, 2023))
    off = both[0]["ds"].dt.date.isin(set(public)).to_numpy()
    for kind, days, bar in zip(("holidays", "other days"), (off, ~off), bars or (None, None), strict=True):
        errors = [100 * (part["yhat"] / part["y"] - 1).abs()[days].mean() for part in both]
        what = f"Korea: {name}, {STEPS} days ahead, MAPE on {kind}, of prophet with its KR holidays"
        figures = f"{errors[0]:.2f} %, prophet {errors[1]:.2f} %, {days.sum()} days"
        ratio = errors[0] / errors[1]
        yield at_most(what, bar, ratio, figures) if bar else Row(what, "-", f"{ratio:.2f} x", None, figures)
    shares = [[100 * part["y"].between(part[f"lo-{q}"], part[f"hi-{q}"]).mean() for q in (80, 95)] for part in both]
    measured = " / ".join(f"{share:.1f} %" for share in shares[0])
    beside = " / ".join(f"{share:.1f} %" for share in shares[1])
    yield Row(f"Korea: {name}, coverage of 80 / 95 % intervals", "-", measured, None, f"prophet {beside}")


def _two_changes(rides: pd.DataFrame) -> Iterator[Row]:
    """Trend of the subway rides with a change on 2020-01-25 and one on 2020-02-29, by both engines."""
    hush()
    ours = Prophet(holidays="KR", **LITERAL).fit(rides)
    state = ours.state_["fit"]["spans"]
    table = ours.components(history=True)
    scale = float(state["scale"][0])
    values = {name: float(state[name][0]) for name in ("k", "m", "sigma")}
    beta, delta = state["beta"][0], state["delta"][0]
    least = _objective(rides["y"] / scale, table["Prophet"] / scale, beta=beta, delta=delta, **values)
    yield _change_row("map", least, delta * scale / state["unit"][0], table["trend"].set_axis(table["ds"]))
    theirs = fitted(rides, country="KR", **LITERAL)
    table = theirs.predict(theirs.history)
    found = {name: theirs.params[name][0] for name in ("k", "m", "beta", "delta")}
    found |= {"k": float(found["k"][0]), "m": float(found["m"][0]), "sigma": float(theirs.params["sigma_obs"][0][0])}
    f = _objective(theirs.history["y_scaled"], table["yhat"] / theirs.y_scale, **found)
    slope = found["delta"] * theirs.y_scale / (theirs.t_scale / pd.Timedelta(days=1))
    yield _change_row("stan", f, slope, table["trend"].set_axis(table["ds"]))
    yield Row("Korea: objective, map less stan, subway rides", "<= 0", f"{least - f:.3f}", least <= f + 1e-8, "nats")


def _objective(y: Any, yhat: Any, *, k: float, m: float, sigma: float, beta: Any, delta: Any) -> float:
    """Minus the log posterior but for a constant; y on the model's scale, prior scale 10 throughout."""
    rest = np.asarray(y) - np.asarray(yhat)
    prior = (k**2 + m**2) / 50 + np.abs(delta).sum() / 10 + ((beta / 10) ** 2).sum() / 2 + 2 * sigma**2
    return float(len(rest) * np.log(sigma) + (rest @ rest) / (2 * sigma**2) + prior)


def _change_row(engine: str, f: float, change: Any, trend: pd.Series) -> Row:
    before = trend["2020-01-24"]
    measured = ", ".join(f"{100 * size / before:+.2f} %" for size in change)
    found = ", ".join(f"{100 * (trend[first:last].mean() / before - 1):.0f} %" for first, last in FELL)
    levels = ", ".join(f"{level} %" for level in FELL.values())
    what = f'Korea: subway rides, engine="{engine}", slope changes of 2020-01-25 and 02-29, of the level a day'
    return Row(what, "-", measured, None, f"objective {f:.3f}; trend then {found} beside {levels} measured")
