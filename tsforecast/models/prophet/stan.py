"""The prophet package itself, a series at a time: for whoever needs its own numbers to the digit, or MCMC.

Nothing of its model is changed here. What is added: a process pool for panels, silence, seeds a series, temporary
files that never stay behind, and a fitted model as one line of text.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from multiprocessing import current_process, get_context
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tsforecast.calendars.named import HolidayRows
from tsforecast.errors import ConfigError, MissingDependency, require
from tsforecast.models.prophet.terms import Regressor, Seasonality
from tsforecast.panel import Float
from tsforecast.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Recipe", "Rows", "StanForecast", "fit_spans", "forecast_spans", "holiday_frame", "seeds_of"]

OLDEST = (1, 5)
PER_WORKER = 8
"""Series that make it worth starting a worker: to import prophet takes about as long as to fit a few of them."""

_LOGGERS = ("prophet", "prophet.models", "prophet.plot", "cmdstanpy")
_KEPT = ("k", "m", "delta", "beta", "sigma_obs")  # of the parameters: Stan also returns the trend of each row
_NOT_COMPONENTS = ("ds", "cap", "floor", "yhat")
# Loggers, numpy's generator and cmdstanpy belong to the whole process, so one thread at a time may use prophet.
_ALONE = threading.RLock()

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one series: ds (T,) datetime64, y (T,), cap (T,) and floor (T,) or None, columns name -> (T,)."""

    ds: NDArray[np.datetime64]
    y: Float | None = None
    cap: Float | None = None
    floor: Float | None = None
    columns: Mapping[str, Float] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """The rows as Prophet takes them."""
        import pandas as pd

        given = {"ds": self.ds, "y": self.y, "cap": self.cap, "floor": self.floor, **self.columns}
        return pd.DataFrame({name: values for name, values in given.items() if values is not None})


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """What each Prophet object is made of: its own keyword arguments, then the terms that are added to it.

    `arguments["holidays"]` is Prophet's table, `country` the code of its built-in holidays.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    country: str | None = None
    seasonalities: Sequence[Seasonality] = ()
    regressors: Sequence[Regressor] = ()

    def build(self) -> Any:
        """An unfitted prophet.Prophet."""
        given = dict(self.arguments)
        if given.get("holidays") is not None:
            given["holidays"] = given["holidays"].copy()  # Prophet writes into it
        model = _package().Prophet(**given)
        for s in self.seasonalities:
            model.add_seasonality(s.name, s.period, s.fourier_order, s.prior_scale, s.mode, s.condition_name)
        for r in self.regressors:
            model.add_regressor(r.name, r.prior_scale, r.standardize, r.mode)
        if self.country is not None:
            model.add_country_holidays(self.country)
        return model


@dataclass(frozen=True, slots=True, eq=False)
class StanForecast:
    """Point (n, h); lower and upper (n, h, q); components name -> (n, h), 0 where a series has none of that name.

    A series that failed has NaN throughout and its reason in `causes` (n,), None where all went well.
    """

    point: Float
    lower: Float
    upper: Float
    components: Mapping[str, Float]
    causes: Sequence[str | None]


def holiday_frame(rows: HolidayRows) -> pd.DataFrame:
    """Occurrences of holidays as the table that Prophet takes."""
    import pandas as pd

    table = {
        "holiday": rows.name.astype(object),
        "ds": rows.day.astype("datetime64[D]").astype("datetime64[us]"),
        "lower_window": rows.lower,
        "upper_window": rows.upper,
    }
    scaled = ~np.isnan(rows.scale)
    return pd.DataFrame(table | ({"prior_scale": rows.scale} if scaled.any() else {}))


def seeds_of(ids: Sequence[object], seed: int) -> list[int]:
    """A seed for each series from a stable hash of `seed` and its id, as Stan and numpy take it (31 bits)."""
    return [int.from_bytes(blake2b(f"{seed}|{name}".encode(), digest_size=4).digest(), "little") >> 1 for name in ids]


def fit_spans(
    recipe: Recipe, spans: Sequence[Rows], seeds: Sequence[int], *, workers: int | None = None
) -> tuple[list[str | None], list[str | None]]:
    """Fitted models (n,) as text and the reasons (n,) of those that failed, each None where there is none.

    ConfigError if no Prophet can be made of the recipe, MissingDependency without prophet 1.5 or newer.
    """
    with _alone():
        try:
            recipe.build()
        except (TypeError, ValueError) as cause:
            raise ConfigError(f'engine="stan": the prophet package refuses these parameters: {cause}') from cause
    results = _each(partial(_fit, recipe), list(zip(spans, seeds, strict=True)), workers)
    return [made for made, _ in results], [cause for _, cause in results]


def forecast_spans(
    models: Sequence[str | None],
    spans: Sequence[Rows],
    levels: Sequence[float],
    seeds: Sequence[int],
    *,
    workers: int | None = None,
) -> StanForecast:
    """Forecast of each model on its own rows, h of them for all; intervals are Prophet's simulation, seeded a series.

    All levels (in percent) are read off the same draws. Prophet counts future rows, not time: its intervals widen
    with the rows that are asked for, so leave none out.
    """
    with _alone():
        _package()
    there = [i for i, model in enumerate(models) if model is not None]
    items = [(str(models[i]), spans[i], seeds[i]) for i in there]
    results = _each(partial(_forecast, tuple(levels)), items, workers)
    n, h = len(spans), len(spans[0].ds) if len(spans) else 0
    causes: list[str | None] = [None if model is not None else "it was not fitted" for model in models]
    point = np.full((n, h), np.nan)
    bounds = np.full((2, n, h, len(levels)), np.nan)
    parts: dict[str, Float] = {}
    for i, (made, cause) in zip(there, results, strict=True):
        causes[i] = cause
        if made is not None:
            point[i], bounds[:, i], mine = made
            for name, values in mine.items():
                parts.setdefault(name, np.zeros((n, h)))[i] = values
    for values in parts.values():
        values[[cause is not None for cause in causes]] = np.nan
    return StanForecast(point, bounds[0], bounds[1], parts, causes)


def _package() -> Any:
    """The prophet package, or MissingDependency where it is absent, too old or without its compiled model."""
    prophet = require("prophet", "prophet")
    version = str(getattr(prophet, "__version__", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise MissingDependency(
            f'engine="stan" needs prophet {wanted} or newer, this is {version}: '
            "pip install --upgrade 'tsforecast[prophet]'"
        )
    return prophet


# One series. Tasks catch what prophet throws, so that no series takes another with it.


def _fit(recipe: Recipe, item: tuple[Rows, int]) -> tuple[str | None, str | None]:
    rows, seed = item
    with _alone() as folder:
        try:
            model = recipe.build()
            options = {"show_progress": False} if model.mcmc_samples else {}
            model.fit(rows.table(), seed=seed, output_dir=folder, **options)
            return _written(model), None
        except Exception as cause:
            return None, _told(cause)


def _forecast(
    levels: tuple[float, ...], item: tuple[str, Rows, int]
) -> tuple[tuple[Float, Float, dict[str, Float]] | None, str | None]:
    text, rows, seed = item
    with _alone():
        try:
            model = _read(text)
            table = rows.table()
            bounds = _bounds(model, table, levels, seed)
            model.uncertainty_samples = 0  # the point needs no draws
            made = model.predict(table)
            parts = {str(name): made[name].to_numpy(float) for name in made if name not in _NOT_COMPONENTS}
            return (made["yhat"].to_numpy(float), bounds, parts), None
        except Exception as cause:
            return None, _told(cause)


def _bounds(model: Any, table: pd.DataFrame, levels: tuple[float, ...], seed: int) -> Float:
    """Lower and upper bounds (2, h, q) as Prophet's own predict would find them after np.random.seed(seed)."""
    if not levels:
        return np.empty((2, len(table), 0))
    if not model.uncertainty_samples:
        raise ValueError("uncertainty_samples=0 leaves no draws to make intervals of")
    np.random.seed(seed)  # noqa: NPY002 - prophet draws from numpy's process-wide generator
    draws = model.predictive_samples(table)["yhat"]
    # In Prophet's words, digit for digit: 100 * (1 - 0.8) / 2 is not quite 10.
    low = [100 * (1.0 - level / 100) / 2 for level in levels]
    high = [100 * (1.0 + level / 100) / 2 for level in levels]
    return np.stack([model.percentile(draws, share, axis=1).T for share in (low, high)])


def _told(cause: Exception) -> str:
    """An exception in one line; of a failed Stan run the last line it printed says most."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no message'}"


def _written(model: Any) -> str:
    """A fitted model as text, with what predict reads and not a digit less."""
    import pandas as pd
    from prophet.serialize import model_to_dict

    step = float(np.diff(model.history["t"]).mean())  # all that predict takes from the history, for a single row
    span = model.history["ds"].iloc[[0, -1]].reset_index(drop=True)
    exact = {"start": span.to_numpy().astype("M8[ns]").view(np.int64).tolist(), "unit": model.start.unit, "step": step}
    model.history = pd.DataFrame({"ds": span, "t": [0.0, step]})
    model.history_dates, model.fit_kwargs = span, {}
    model.params = {name: model.params[name] for name in _KEPT}
    return json.dumps({"tsforecast": exact, "model": model_to_dict(model)})


def _read(text: str) -> Any:
    """The model that `_written` wrote; prophet's own form rounds times and the history."""
    import pandas as pd
    from prophet.serialize import model_from_dict

    parts = json.loads(text)
    exact = parts["tsforecast"]
    model = model_from_dict(parts["model"])
    span = pd.Series(np.array(exact["start"], "M8[ns]"), name="ds").dt.as_unit(exact["unit"])
    model.start, model.t_scale = span.min(), span.max() - span.min()
    model.history = pd.DataFrame({"ds": span, "t": [0.0, exact["step"]]})
    return model


# The process around them.


@contextmanager
def _alone() -> Iterator[str]:
    """Prophet to oneself: quiet, one BLAS thread, numpy's generator given back as it was; an own folder for files."""
    folder_of_its_own = tempfile.TemporaryDirectory(prefix="tsforecast-")
    with _ALONE, folder_of_its_own as folder, one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # prophet's use of pandas, of which the caller can change nothing
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        before = [logger.disabled for logger in loggers]
        state = np.random.get_state()  # noqa: NPY002 - prophet's, and perhaps the caller's
        try:
            for logger in loggers:
                logger.disabled = True
            yield folder
        finally:
            np.random.set_state(state)  # noqa: NPY002
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled


def _each(
    task: Callable[[Item], tuple[Made | None, str | None]], items: Sequence[Item], workers: int | None
) -> list[tuple[Made | None, str | None]]:
    """The task on every item, in worker processes where there is enough to do; a result never depends on which."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = min(cores, len(items) // PER_WORKER) if workers is None else min(workers, len(items))
    if wanted <= 1 or current_process().daemon:  # a daemon may have no children
        return [task(item) for item in items]
    results: dict[int, tuple[Made | None, str | None]] = {}
    with tempfile.TemporaryDirectory(prefix="tsforecast-") as folder:
        _pooled(task, items, range(len(items)), wanted, folder, results)
        while len(results) < len(items):
            # A worker died. One worker takes the rest in order, so that the first one lost is the one to blame.
            left = [i for i in range(len(items)) if i not in results]
            _pooled(task, items, left, 1, folder, results)
            first = next((i for i in left if i not in results), None)
            if first is not None:
                results[first] = (None, "its worker process died: out of memory, or killed from outside")
    return [results[i] for i in range(len(items))]


def _pooled(
    task: Callable[[Item], tuple[Made | None, str | None]],
    items: Sequence[Item],
    chosen: Sequence[int],
    workers: int,
    folder: str,
    results: dict[int, tuple[Made | None, str | None]],
) -> None:
    """Fill `results` for the chosen items, those that were lost with a worker left out."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_settle, initargs=(folder,))
    try:
        futures: dict[int, Future[tuple[Made | None, str | None]]] = {}
        try:
            with _without_main():
                for i in chosen:
                    futures[i] = pool.submit(task, items[i])
        except BrokenProcessPool:
            pass  # found while handing out: what was handed out is looked at below, the rest is left
        for i, future in futures.items():
            try:
                results[i] = future.result()
            except BrokenProcessPool:
                continue
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settle(folder: str) -> None:
    """In a new worker: all temporary files go where the parent removes them, even those of a worker that dies."""
    tempfile.tempdir = folder


@contextmanager
def _without_main() -> Iterator[None]:
    """Start workers without the caller's script, which would run once more in each if it had no main guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
