"""A model of ours and the prophet package's own object with the same arguments, data and parameters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tsforecast import Panel, Prophet
from tsforecast.models.prophet.terms import Regressor, Seasonality

EPSILON = 1e-30
"""Step into the complex plane: derivatives come out to rounding."""


@contextmanager
def quiet() -> Iterator[None]:
    """Prophet without its logs and without its warnings from pandas."""
    logger = logging.getLogger("prophet")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


@dataclass
class Case:
    """A history and the rows to come as prophet takes them, and a model for them; `door` is how our panel reads it."""

    table: pd.DataFrame
    ahead: pd.DataFrame
    arguments: dict[str, Any] = field(default_factory=dict)
    country: str | None = None
    seasonalities: Sequence[Seasonality] = ()
    regressors: Sequence[Regressor] = ()
    door: dict[str, Any] = field(default_factory=dict)

    def ours(self) -> Prophet:
        """Our model, fitted."""
        holidays = self.arguments.get("holidays")
        if self.country is not None:
            holidays = self.country if holidays is None else [holidays, self.country]
        arguments = self.arguments | {"holidays": holidays}
        model = Prophet(**arguments, seasonalities=self.seasonalities, regressors=self.regressors)
        return model.fit(Panel.from_table(self.table, id=None, **self.door))

    def future(self) -> pd.DataFrame | None:
        """The rows to come for our `predict`."""
        return self.ahead if len(self.ahead.columns) > 1 or self.door.get("gaps") == "ignore" else None


def local(table: pd.DataFrame) -> pd.DataFrame:
    """The table on the clock on the wall, which is what prophet takes."""
    return table if table["ds"].dt.tz is None else table.assign(ds=table["ds"].dt.tz_localize(None))


class Twin:
    """Prophet's own object for a case, before any fit: its design matrix, its scales, its forecast."""

    def __init__(self, case: Case) -> None:
        import prophet

        self.case = case
        with quiet():
            own = dict(case.arguments)
            if own.get("holidays") is not None:
                own["holidays"] = pd.DataFrame(own["holidays"]).copy()
            self.model = prophet.Prophet(**own, uncertainty_samples=0)
            for term in case.seasonalities:
                self.model.add_seasonality(**{name: getattr(term, name) for name in term.__slots__})
            for one in case.regressors:
                self.model.add_regressor(**{name: getattr(one, name) for name in one.__slots__})
            if case.country is not None:
                self.model.add_country_holidays(case.country)
            self.data = self.model.preprocess(local(case.table).copy())
        self.columns = [in_our_names(name) for name in self.data.X.columns]

    def take(self, model: Prophet, i: int = 0) -> None:
        """Give prophet the parameters of the i-th series of our model."""
        fit = model.state_["fit"]
        spans, names = fit["spans"], [str(name) for name in fit["names"]]
        beta = dict(zip(names, spans["beta"][i], strict=True))
        extra = set(names) - set(self.columns)
        assert all(beta[name] == 0 for name in extra), f"effects of columns that prophet has not: {sorted(extra)}"
        places = self.data.S if self.data.trend_indicator != 2 else 0
        delta = np.zeros(self.data.S)
        delta[:places] = spans["delta"][i][:places]
        assert not spans["delta"][i][places:].any()
        params = {
            "k": [spans["k"][i]],
            "m": [spans["m"][i]],
            "delta": delta,
            "beta": [beta.get(name, 0.0) for name in self.columns],
            "sigma_obs": [spans["sigma"][i]],
        }
        self.model.params = {name: np.array(value, dtype=float).reshape(1, -1) for name, value in params.items()}

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Prophet's table of the forecast and its components, by our column names."""
        with quiet():
            return self.model.predict(local(rows).copy())

    def components(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What our `components` says, from prophet's table: multiplicative terms as what they add.

        Prophet multiplies the floor as well, though its own likelihood does not: that part is taken out.
        """
        told = self.predict(rows)
        model = self.model
        floor = told.get("floor", model.y_min if model.scaling == "minmax" else 0.0)
        own = [*model.seasonalities, *(model.train_holiday_names if model.train_holiday_names is not None else [])]
        own += list(model.extra_regressors)
        out = {"trend": told["trend"].to_numpy()}
        for name in own:
            times = name in model.component_modes["multiplicative"]
            out[name] = (told[name] * ((told["trend"] - floor) if times else 1.0)).to_numpy()
        out["Prophet"] = (told["yhat"] - floor * told["multiplicative_terms"]).to_numpy()
        return pd.DataFrame(out)

    # The posterior, as Stan's code has it, on prophet's own arrays.

    def value(self, theta: Any) -> Any:
        """Minus the logarithm of the density at [k, m, beta, delta, log sigma], complex or real, |delta| left out."""
        data, k = self.data, self.data.K
        beta, delta, sigma = theta[2 : 2 + k], theta[2 + k : -1], np.exp(theta[-1])
        t, x, y = (np.asarray(part, dtype=float) for part in (data.t, data.X, data.y))
        line = theta[0] * t + np.maximum(t[:, None] - np.asarray(data.t_change), 0) @ delta
        if data.trend_indicator == 0:
            trend = line + theta[1]
        elif data.trend_indicator == 1:
            trend = np.asarray(data.cap) / (1 + np.exp(-(line - theta[0] * theta[1])))
        else:
            trend = theta[1] + 0 * t
        plus, times = (x @ (beta * np.asarray(chosen)) for chosen in (data.s_a, data.s_m))
        square = ((y - trend * (1 + times) - plus) ** 2).sum()
        fit = data.T * np.log(sigma) + square / (2 * sigma**2) + 2 * sigma**2
        return fit + (theta[0] ** 2 + theta[1] ** 2) / 50 + ((beta / np.asarray(data.sigmas)) ** 2).sum() / 2

    @property
    def theta(self) -> np.ndarray:
        """The parameters that prophet holds."""
        params = self.model.params
        parts = [params[name].reshape(-1) for name in ("k", "m", "beta", "delta")]
        return np.concatenate([*parts, np.log(params["sigma_obs"]).reshape(-1)])

    def residuals(self) -> tuple[float, float, float]:
        """How far prophet's parameters are from a mode: slope of `value` by k, m and beta (times the size of their
        columns), by delta in units of 1 / tau, by log sigma a row.
        """
        theta = self.theta
        slope = np.empty(len(theta))
        for j in range(len(theta)):
            moved = theta.astype(complex)
            moved[j] += 1j * EPSILON
            slope[j] = self.value(moved).imag / EPSILON
        g = 2 + self.data.K
        slope[2:g] /= np.maximum(np.abs(self.data.X.to_numpy(dtype=float)).max(axis=0), 1.0)
        delta, toll = theta[g:-1], slope[g:-1] * self.data.tau
        worst = np.where(delta != 0, np.abs(toll + np.sign(delta)), np.maximum(np.abs(toll) - 1, 0))
        return float(np.abs(slope[:g]).max()), float(worst.max(initial=0)), float(abs(slope[-1]) / self.data.T)


def in_our_names(column: str) -> str:
    """'yearly_delim_3' as 'yearly:2:sin', 'fair_delim_-1' as 'fair-1'."""
    name, _, number = column.partition("_delim_")
    if not number:
        return name
    if number[0] in "+-":
        return name if number == "+0" else name + number
    return f"{name}:{(int(number) + 1) // 2}:{'sin' if int(number) % 2 else 'cos'}"
