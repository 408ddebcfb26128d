"""The prophet package in a process pool: what a user of many series would do with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import pandas as pd

__all__ = ["CORES", "fit", "fit_and_predict", "fitted", "hush", "pooled", "seconds_each"]

CORES = 2


def hush() -> None:
    """Keep prophet's words out of the table."""
    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(name).disabled = True


def fitted(table: pd.DataFrame, *, country: str | None = None, **params: Any) -> Any:
    """A fitted prophet.Prophet of one series."""
    hush()
    from prophet import Prophet

    model = Prophet(**params)
    if country is not None:
        model.add_country_holidays(country)
    return model.fit(table)


def fit(table: pd.DataFrame, **params: Any) -> None:
    """Fit one series, and leave the model in the worker."""
    fitted(table, **params)


def fit_and_predict(table: pd.DataFrame, *, steps: int, **params: Any) -> pd.DataFrame:
    """Forecast and 80 / 95 % intervals of the next `steps` days, both levels read off one simulation."""
    model = fitted(table, **params)
    future = model.make_future_dataframe(steps, include_history=False)
    draws = model.predictive_samples(future)["yhat"]
    model.uncertainty_samples = 0
    out = model.predict(future)[["ds", "yhat"]]
    for name, share in (("lo-95", 2.5), ("lo-80", 10), ("hi-80", 90), ("hi-95", 97.5)):
        out[name] = model.percentile(draws, share, axis=1)
    return out


def pooled(task: Callable[..., Any], tables: list[pd.DataFrame], how: Mapping[str, Any]) -> tuple[list[Any], float]:
    """Results of a task on every table by `CORES` processes, and the seconds it took once they had started."""
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        list(pool.map(partial(task, **how), tables[:CORES] * 2))  # imports and a first fit
        began = perf_counter()
        done = list(pool.map(partial(task, **how), tables, chunksize=2))
        return done, perf_counter() - began


def seconds_each(task: Callable[..., Any], data: pd.DataFrame, sample: int, how: Mapping[str, Any]) -> float:
    """Seconds a series, from the first `sample` ones."""
    ids = data["unique_id"].unique()[:sample]
    tables = [data[data["unique_id"] == one].drop(columns="unique_id") for one in ids]
    return pooled(task, tables, how)[1] / len(tables)
