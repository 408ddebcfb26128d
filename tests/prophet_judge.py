"""Stan as the judge: series of many kinds, Prophet's fit of each, and what Stan's own density says of both answers."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from prophet_backend import mode

from tsforecast import Panel, datasets
from tsforecast.models.prophet.model import Prophet as Ours

PARAMETERS = ("k", "m", "delta", "beta", "sigma_obs")
Solver = Callable[["Judge"], Mapping[str, Any]]


@dataclass
class Case:
    """A series as Prophet takes it (ds, y, cap, floor, columns) and the model to fit to it."""

    name: str
    table: pd.DataFrame
    arguments: dict[str, Any] = field(default_factory=dict)
    country: str | None = None
    regressors: tuple[tuple[str, str], ...] = ()
    door: dict[str, Any] = field(default_factory=dict)  # how our panel reads the table

    @property
    def is_convex(self) -> bool:
        modes = [self.arguments.get("seasonality_mode"), *(how for _, how in self.regressors)]
        return self.arguments.get("growth") != "logistic" and "multiplicative" not in modes

    def model(self) -> Any:
        from prophet import Prophet

        model = Prophet(**self.arguments)
        for name, how in self.regressors:
            model.add_regressor(name, mode=how)
        if self.country is not None:
            model.add_country_holidays(self.country)
        return model


@dataclass
class Verdict:
    """Minus Stan's log density at its own answer and at ours, and how far ours is from a stationary point.

    flat: gradient by k, m and beta; kinks: gradient by delta beyond what |delta| allows, as a share of 1/tau; noise:
    gradient by log sigma a row. All by Stan's own gradient.
    """

    case: Case
    theirs: float
    ours: float
    proper: bool
    flat: float
    kinks: float
    noise: float

    @property
    def gap(self) -> float:
        return self.theirs - self.ours

    @property
    def residual(self) -> float:
        return max(self.flat, self.kinks, self.noise)


@contextmanager
def quiet() -> Iterator[None]:
    """Prophet and cmdstanpy without their logs and their warnings from pandas."""
    loggers = [logging.getLogger(name) for name in ("prophet", "prophet.models", "cmdstanpy")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


class Judge:
    """One case before Stan."""

    def __init__(self, case: Case) -> None:
        self.case = case
        with quiet():
            self.model = case.model()
            inputs = self.model.preprocess(case.table.copy())
            start = self.model.calculate_initial_params(inputs.K)
        self.data, self.init = dataclasses.asdict(inputs), dataclasses.asdict(start)
        self.start = (float(start.k), float(start.m))
        self.backend = self.model.stan_backend

    def fit(self, sig_figs: int = 18) -> dict[str, Any]:
        """Prophet's own answer, by default with all its digits."""
        with quiet():
            found = self.backend.fit(self.init, self.data, seed=1, sig_figs=sig_figs)
            self.backend.cleanup()
        return {name: np.asarray(found[name], float) for name in (*PARAMETERS, "lp__")}

    def density(self, answer: Mapping[str, Any]) -> tuple[float, dict[str, np.ndarray]]:
        """Minus Stan's log density, constants dropped, and its gradient by each parameter (sigma: by log sigma)."""
        plain = {name: np.asarray(answer[name], float).reshape(-1).tolist() for name in PARAMETERS}
        plain |= {name: plain[name][0] for name in ("k", "m", "sigma_obs")}
        data = self.backend.prepare_data(self.init, self.data)[1]
        with quiet():
            row = self.backend.model.log_prob(plain, data, jacobian=False, sig_figs=18).iloc[0]
        slopes = {
            name: -np.array([row[c] for c in row.index if c.partition(".")[0] == f"g_{name}"]) for name in PARAMETERS
        }
        return -float(row["lp__"]), slopes

    def verdict(self, answer: Mapping[str, Any], theirs: float) -> Verdict:
        """What Stan says of an answer, beside minus its log density at its own."""
        ours, slopes = self.density(answer)
        tau, delta = float(self.data["tau"]), np.asarray(answer["delta"])
        by_delta = np.abs(slopes["delta"]) * tau
        return Verdict(
            case=self.case,
            theirs=theirs,
            ours=ours,
            proper=bool(answer["proper"]),
            flat=float(np.abs(np.concatenate([slopes["k"], slopes["m"], slopes["beta"]])).max()),
            kinks=float(np.where(delta != 0, by_delta, np.maximum(by_delta - 1, 0)).max()),
            noise=float(np.abs(slopes["sigma_obs"]).max()) / self.data["T"],
        )


def verdicts(case: Case, *solvers: Solver) -> list[Verdict]:
    """A verdict a solver; Prophet fits the case once."""
    judge = Judge(case)
    theirs = -float(judge.fit()["lp__"].squeeze())
    return [judge.verdict(solver(judge), theirs) for solver in solvers]


def by_solvers(judge: Judge) -> Mapping[str, Any]:
    """The answer of our solvers to the very arrays that Stan is given."""
    return mode(judge.data, judge.start)


def by_class(judge: Judge) -> Mapping[str, Any]:
    """The answer of our Prophet to the table: its own scaling, changepoints and columns, named as Prophet does."""
    case = judge.case
    model = Ours(**case.arguments, holidays=case.country)
    for name, how in case.regressors:
        model.add_regressor(name, mode=how)  # type: ignore[arg-type]
    model.fit(Panel.from_table(case.table, id=None, **case.door))
    spans, names = model.state_["fit"]["spans"], [str(name) for name in model.state_["fit"]["names"]]
    beta = dict(zip(names, spans["beta"][0], strict=True))
    theirs = [_our_name(column) for column in judge.data["X"].columns]
    assert all(beta[name] == 0 for name in set(names) - set(theirs)), "an effect of columns that Prophet has not"
    return {
        **{name: float(spans[name][0]) for name in ("k", "m")},
        "sigma_obs": float(spans["sigma"][0]),
        "delta": np.resize([*spans["delta"][0], *[0.0] * 25], judge.data["S"]),  # none where the trend is flat
        "beta": np.array([beta.get(name, 0.0) for name in theirs]),  # a holiday that met no row has no effect
        "proper": bool(spans["proper"][0]),
    }


def _our_name(column: str) -> str:
    name, _, number = column.partition("_delim_")
    if not number or number == "+0":
        return name
    return f"{name}:{(int(number) + 1) // 2}:{'sin' if int(number) % 2 else 'cos'}"


def objective(data: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """The same density written out in numpy, with the logistic trend in the form that divides by no rate."""
    y, t, cap, at = (np.asarray(data[name], float) for name in ("y", "t", "cap", "t_change"))
    x, scales = np.asarray(data["X"], float), np.asarray(data["sigmas"], float)
    k, m, s = (float(np.squeeze(answer[name])) for name in ("k", "m", "sigma_obs"))
    delta, beta = (np.asarray(answer[name], float).reshape(-1) for name in ("delta", "beta"))
    bent = np.maximum(t[:, None] - at, 0) @ delta
    match int(data["trend_indicator"]):
        case 0:
            trend = k * t + m + bent
        case 1:
            trend = cap / (1 + np.exp(-(k * (t - m) + bent)))
        case _:
            trend = np.full(len(t), m)
    fit = trend * (1 + x @ (beta * np.asarray(data["s_m"]))) + x @ (beta * np.asarray(data["s_a"]))
    likelihood = len(y) * np.log(s) + ((y - fit) ** 2).sum() / (2 * s * s)
    prior = 2 * s * s + (k * k + m * m) / 50 + np.abs(delta).sum() / data["tau"] + ((beta / scales) ** 2).sum() / 2
    return float(likelihood + prior)


# The series.

GROUPS = (
    "short", "year", "long", "flat", "gaps", "korea", "changes", "hours", "months", "weeks", "nyse", "colorado",
    "retail", "product", "product-short", "mixed", "logistic", "capacity",
)  # fmt: skip
"""Kinds of series; the last five are not convex."""


def cases(group: str, seed: int = 0) -> list[Case]:
    """The cases of one group, the same ones every time; real series do not heed the seed."""
    rng = np.random.default_rng([seed, sum(map(ord, group))])
    made: list[Case] = list(_MAKERS[group](rng))
    for i, case in enumerate(made):
        case.name = f"{group}-{i}"
    return made


def _y(rng: np.random.Generator, ds: pd.DatetimeIndex, shares: float = 0.0) -> np.ndarray:
    """A level, one of four trends, weekly and yearly waves, noise, now and then heavy tailed; `shares`: as factors."""
    t = np.linspace(0, 1, len(ds))
    match rng.integers(4):
        case 0:
            trend = 3 * rng.normal() * t + np.maximum(t[:, None] - rng.uniform(0, 0.9, 3), 0) @ rng.normal(0, 4, 3)
        case 1:
            trend = np.cumsum(rng.normal(0, 0.15, len(ds)))
        case 2:
            trend = 3.0 * (t > rng.uniform(0.2, 0.8)) * rng.normal()
        case _:
            trend = np.zeros(len(ds))
    day = (ds - pd.Timestamp("2000-01-01")) / pd.Timedelta(days=1)
    waves = rng.normal() * np.sin(2 * np.pi * day / 365.25 + rng.uniform(0, 6)) + rng.normal(0, 0.5, 7)[ds.dayofweek]
    waves = waves + rng.normal() * np.sin(2 * np.pi * day + rng.uniform(0, 6))
    noise = rng.normal(size=len(ds)) if rng.random() < 0.7 else rng.standard_t(3, len(ds))
    level, size = 10.0 ** rng.uniform(-1, 5), rng.uniform(0.1, 1.0)
    if shares:
        return level * ((6 + trend) * (1 + shares * waves) + size * noise)
    return level * (rng.choice([0.0, 12.0]) + trend + waves + size * noise)


def _days(rng: np.random.Generator, rows: int, freq: str = "D") -> pd.DatetimeIndex:
    return pd.date_range(f"20{rng.integers(10, 20)}-{rng.integers(1, 13):02d}-01", periods=rows, freq=freq)


def _plain(rng: np.random.Generator, rows: int, freq: str = "D", shares: float = 0.0, **arguments: Any) -> Case:
    ds = _days(rng, rows, freq)
    return Case("", pd.DataFrame({"ds": ds, "y": _y(rng, ds, shares)}), arguments)


def monthly(rng: np.random.Generator, rows: int) -> Case:
    """A short monthly series under a yearly seasonality of 20 columns."""
    return _plain(rng, rows, "MS", yearly_seasonality=10)


def _gaps(rng: np.random.Generator) -> Iterator[Case]:
    for rows in (40, 60, 90, 120, 150, 200, 250, 300, 365, 400, 450, 500):
        case = _plain(rng, rows)
        case.table.loc[rng.random(rows) < rng.uniform(0.02, 0.5), "y"] = np.nan
        yield case


def _korea(rng: np.random.Generator) -> Iterator[Case]:
    for i, rows in enumerate((120, 200, 250, 300, 365, 400, 500, 600)):
        case = _plain(rng, rows, changepoint_prior_scale=(0.05, 0.5)[i % 2])
        case.country = "KR"
        yield case
    retail = datasets.load("retail_kr")
    for store in retail["unique_id"].unique()[:4]:
        rows = retail[retail["unique_id"] == store].head(500)
        yield Case("", rows[["ds", "y"]].reset_index(drop=True), country="KR")


def _changes(rng: np.random.Generator) -> Iterator[Case]:
    for scale in (0.001, 0.5, 10.0):
        yield _plain(rng, 300, changepoint_prior_scale=scale)
        yield _plain(rng, 60, changepoint_prior_scale=scale)
    for number in (0, 1, 3, 60):
        yield _plain(rng, 150, n_changepoints=number)
    for share in (0.3, 1.0):
        yield _plain(rng, 150, changepoint_range=share)
    for scaling in ("minmax", "absmax"):
        yield _plain(rng, 200, scaling=scaling, seasonality_prior_scale=0.1)
    case = _plain(rng, 400, changepoint_prior_scale=10.0)
    case.arguments["changepoints"] = list(case.table["ds"].iloc[[300, 100, 101]])
    yield case


def _real(name: str, rows: Sequence[int], series: int = 1) -> Iterator[Case]:
    table = datasets.load(name)
    for i, one in enumerate(table["unique_id"].unique()[:: 376 // 10 if name == "colorado" else 1][:series]):
        own = table[table["unique_id"] == one][["ds", "y"]].dropna()
        length = rows[i % len(rows)]
        for first in range(0, (len(own) - length) if series == 1 else 1, 900):
            door = {"gaps": "ignore", "freq": "B"} if name == "nyse" else {}
            yield Case("", own.iloc[first : first + length].reset_index(drop=True), door=door)


def _mixed(rng: np.random.Generator) -> Iterator[Case]:
    for i in range(14):
        case = _plain(rng, int(rng.integers(60, 400)), shares=0.1)
        case.table["price"] = rng.normal(size=len(case.table))
        case.table["promo"] = (rng.random(len(case.table)) < 0.2) * 1.0
        case.table["y"] *= 1 + 0.1 * case.table["promo"]
        case.regressors = (("price", "additive"), ("promo", "multiplicative"))
        if i % 2:
            case.arguments["seasonality_mode"] = "multiplicative"
        yield case


def _logistic(rng: np.random.Generator, varying: bool) -> Iterator[Case]:
    for rows in (40, 60, 90, 120, 150, 200, 250, 300, 365, 400) * 2:
        ds = _days(rng, rows)
        t = np.linspace(0, 1, rows)
        steps = np.maximum(t[:, None] - rng.uniform(0, 0.9, 2), 0) @ rng.normal(0, 3, 2)
        cap = 20 * (1 + (0.5 * t + 0.1 * np.sin(9 * t)) * varying)
        y = cap / (1 + np.exp(-(rng.uniform(-3, 1) + rng.uniform(-3, 5) * t + steps)))
        y = y + rng.normal(0, 0.5, 7)[ds.dayofweek] + rng.normal(0, rng.uniform(0.1, 1), rows)
        low = 5.0 * varying
        table = pd.DataFrame({"ds": ds, "y": y + low, "cap": cap * rng.uniform(0.9, 1.5) + low})
        arguments = {"growth": "logistic"}
        if varying:
            table["floor"] = low
            if rows % 20:
                arguments["seasonality_mode"] = "multiplicative"
        yield Case("", table, arguments)


_MAKERS: dict[str, Callable[[np.random.Generator], Iterator[Case]]] = {
    "short": lambda rng: (_plain(rng, int(rows)) for rows in np.linspace(28, 99, 24)),
    "year": lambda rng: (_plain(rng, int(rows)) for rows in np.linspace(100, 500, 24)),
    "long": lambda rng: (_plain(rng, rows) for rows in (731, 800, 1095)),
    "flat": lambda rng: (_plain(rng, int(rows), growth="flat") for rows in np.linspace(28, 500, 12)),
    "gaps": _gaps,
    "korea": _korea,
    "changes": _changes,
    "hours": lambda rng: (_plain(rng, rows, "h") for rows in (60, 120, 200, 300, 400, 500)),
    "months": lambda rng: (_plain(rng, rows, "MS") for rows in (30, 36, 48, 60, 72, 96, 120, 144, 200, 240)),
    "weeks": lambda rng: (_plain(rng, rows, "W") for rows in (60, 110, 160, 210, 260, 310)),
    "nyse": lambda rng: _real("nyse", (250,)),
    "colorado": lambda rng: _real("colorado", (60, 120, 200, 300), 10),
    "retail": lambda rng: _real("retail_kr", (90, 200, 365, 500), 10),
    "product": lambda rng: (
        _plain(rng, int(rows), shares=0.15, seasonality_mode="multiplicative") for rows in np.linspace(100, 500, 24)
    ),
    "product-short": lambda rng: (
        _plain(rng, int(rows), shares=0.15, seasonality_mode="multiplicative") for rows in np.linspace(28, 99, 24)
    ),
    "mixed": _mixed,
    "logistic": lambda rng: _logistic(rng, varying=False),
    "capacity": lambda rng: _logistic(rng, varying=True),
}
