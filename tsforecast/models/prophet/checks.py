"""What cannot work in the rows that Prophet's model is fitted on or shall forecast: which series, column and date."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tsforecast import frames
from tsforecast.calendars.clock import wall_clock
from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.named import read_stamps
from tsforecast.calendars.rhythm import Rhythm
from tsforecast.errors import SHOWN, ConfigError, DataError, DataWarning, Finding, FutureError, listed
from tsforecast.frames.columns import spelled
from tsforecast.models.prophet.arguments import Arguments, check_arguments, check_names
from tsforecast.models.prophet.holidays import Lapse, day_columns, holiday_parts, is_table, lapses
from tsforecast.models.prophet.terms import regressors_of
from tsforecast.panel import Bool, Float, Int, Panel

__all__ = [
    "check_ahead",
    "check_arguments",
    "check_changepoints",
    "check_columns",
    "check_data",
    "check_future",
    "check_names",
]

_LONG = 200_000  # days before 1970 at which a table may begin


class Fitted(Arguments, Protocol):
    """A fitted model: its arguments and its state."""

    state_: dict[str, Any]


class _Cells(NamedTuple):
    """Rows (m,) to be judged: whose they are, when they are, and their columns."""

    panel: Panel
    owner: Int
    stamps: NDArray[Any]
    columns: dict[str, Float]

    def findings(self, bad: Bool, column: str, code: str, message: str, **facts: Any) -> Iterator[Finding]:
        """One finding a series about the cells of `bad` in a column."""
        rows = np.flatnonzero(bad)
        order = rows[np.argsort(self.owner[rows], kind="stable")]
        for part in np.split(order, np.flatnonzero(np.diff(self.owner[order])) + 1) if len(order) else ():
            series = None if self.panel.names.id is None else self.panel.ids[self.owner[part[0]]]
            yield Finding(
                code, message, series=series, column=column, when=spelled(self.stamps[part[:SHOWN]]), count=len(part),
                found=float(self.columns[column][part[0]]), **facts,
            )  # fmt: skip


def check_columns(model: Arguments, panel: Panel) -> None:
    """ConfigError for a column that the arguments need and the data lacks, saying what needs it."""
    needed = {"cap": 'growth="logistic" takes the capacity of each row from it'} if model.growth == "logistic" else {}
    for term in model.seasonalities:
        if term.condition_name is not None:
            needed[term.condition_name] = f"seasonality {term.name!r} acts where it is true"
    for name, why in needed.items():
        if name not in panel.column_names:
            there = listed(panel.column_names, 20) or "none besides id, time and target"
            raise ConfigError(f"the data has no column {name!r}: {why}. Add it (columns: {there})")
        if name in panel.categories:
            raise ConfigError(f"column {name!r} holds text, but {why}: give numbers")


def check_data(model: Arguments, panel: Panel) -> None:
    """DataError for columns that a fit cannot use on rows with a target, and for changepoints outside the history;
    ConfigError for holidays that cannot act on rows of this length.

    Missing values in columns are a DataWarning unless on_error="raise": such rows are left out then.
    """
    if panel.grid.dtype.kind != "M":
        raise ConfigError("Prophet's model needs dates, but the time column holds integer steps")
    if panel.column_names:
        _check_rows(model, panel)
    _check_holiday_names(model, panel)
    _check_holiday_rows(model, panel)
    _check_ended(model, panel)
    if model.changepoints is not None:
        check_changepoints(read_stamps(model.changepoints, "changepoints"), panel, model.on_error)


def _check_rows(model: Arguments, panel: Panel) -> None:
    """DataError for columns that a fit cannot use on rows with a target."""
    rows, owner = panel.rows, panel.owner
    seen = np.isfinite(panel.y[rows])
    rows, owner = rows[seen], owner[seen]
    columns = {name: panel.columns[rows, place] for place, name in enumerate(panel.column_names)}
    cells = _Cells(panel, owner, panel.grid[panel.position(rows, owner)], columns)
    lowest = np.full(len(panel), 0.0)
    if model.scaling == "minmax":
        lowest[:] = np.inf
        np.minimum.at(lowest, owner, panel.y[rows])
    wrong = list(_wrong(model, cells, lowest))
    gaps = list(_missing(cells, "on rows with a target"))
    if wrong or (gaps and model.on_error == "raise"):
        raise DataError("the columns of the data cannot be used", [*wrong, *gaps])
    for gap in gaps[:SHOWN]:
        warnings.warn(f"{gap.line()}. Those rows are left out", DataWarning, stacklevel=3)
    if model.growth == "logistic":
        _warn_of_bounds(cells, panel.y[rows])


def _warn_of_bounds(cells: _Cells, y: Float) -> None:
    """DataWarning for series of which most rows (m,) lie beyond the capacity or the floor that their trend keeps to.

    Seasons and noise carry rows across, of a series that has reached its capacity about half of them: three quarters
    are more than chance.
    """
    columns, n = cells.columns, len(cells.panel)
    beyond = {"cap": y > columns["cap"]}
    if "floor" in columns:
        beyond["floor"] = y < columns["floor"]
    for name, rows in beyond.items():
        most = 4 * np.bincount(cells.owner[rows], minlength=n) > 3 * np.bincount(cells.owner, minlength=n)
        if most.any():
            side, end = ("below", "largest") if name == "cap" else ("above", "smallest")
            whose = "" if cells.panel.names.id is None else f" of {listed(cells.panel.ids[most])}"
            warnings.warn(
                f"the {name} lies {side} y on most rows{whose}: the trend of logistic growth cannot reach them. Give "
                f"the {end} value that the series can have as {name!r}",
                DataWarning,
                stacklevel=4,
            )


def _check_holiday_names(model: Arguments, panel: Panel) -> None:
    """ConfigError where a holiday of the history has the name of another term."""
    seasonal = [term.name for term in model.seasonalities]
    columns = [*(term.name for term in regressors_of(model.regressors)), *model.known]
    if model.holidays is None or not len(panel.grid) or not (seasonal or columns):
        return
    first, last = _span(panel)
    scale = model.holidays_prior_scale
    days = day_columns(model.holidays, first_day=first, last_day=last, prior_scale=scale, mode="additive", covers=last)
    check_names(days.component, seasonal, columns)


def _span(panel: Panel) -> tuple[int, int]:
    first, last = panel.grid[[0, -1]].astype("datetime64[D]").astype(np.int64).tolist()
    return first, last


def _check_ended(model: Arguments, panel: Panel) -> None:
    """DataWarning for holidays of tables that came at even intervals and then, within the history, no more."""
    tables = [part for part in holiday_parts(model.holidays) if is_table(part)]
    if not tables or not len(panel.grid):
        return
    first, last = _span(panel)
    days = day_columns(tables, first_day=first, last_day=last, prior_scale=model.holidays_prior_scale, mode="additive")
    ended = [
        f"{one.name!r} (last on {_day(one.last)}, the next one due around {_day(one.due)})"
        for one in lapses(days, last)
        if one.regular and one.due <= last
    ]
    if ended:
        warnings.warn(
            f"holidays are taken as ended, for the history goes on without them: {listed(ended)}. Add the dates that "
            "lack; a column ended in the table, true, says that there are none",
            DataWarning,
            stacklevel=2,
        )


def _check_holiday_rows(model: Arguments, panel: Panel) -> None:
    """ConfigError for pooled holidays where a row is longer than a day; DataWarning for a country's.

    A row has the holidays of the day that it is stamped with, and none of the other days that it stands for.
    """
    rhythm = Rhythm.of(panel.freq)
    parts = [part for part in holiday_parts(model.holidays) if not is_table(part)] if rhythm.kind == "long" else []
    for part in parts:
        given = repr(part) if isinstance(part, str) else f"{type(part).__name__}()"
        word = part if isinstance(part, str) else "KR"
        said = f"holidays={given} are of days, but the rows are of {rhythm.label}"
        if not isinstance(part, str):
            raise ConfigError(f"{said}: write calendar={word!r}, which counts the days off in each row's period")
        warnings.warn(
            f"{said} and have those of their first or last day alone; calendar={word!r} counts the days off in each",
            DataWarning,
            stacklevel=2,
        )


def check_future(model: Fitted, panel: Panel, known: Float) -> None:
    """FutureError for known values (n, h, k) that a forecast cannot use, and for holidays whose dates are not given."""
    n, h, _ = known.shape
    names = panel.known_names
    times = frames.future_times(panel, h)
    if panel.at is not None:
        times = known[..., -1].astype(np.int64).astype("datetime64[us]")
        names, known = names[:-1], known[..., :-1]
    columns = {name: known[..., place].reshape(-1) for place, name in enumerate(names)}
    cells = _Cells(panel, np.repeat(np.arange(n), h), times.reshape(-1), columns)
    spans = model.state_["fit"].get("spans")
    lowest = np.zeros(n) if spans is None else spans["floor"][panel.series]
    wrong = [*_wrong(model, cells, lowest), *_missing(cells, "for rows to come")]
    if wrong:
        raise FutureError("the values to come cannot be used", wrong)
    days = _days(model, panel)
    if days is not None and times.size:
        check_ahead(days, panel.grid, times)


def _days(model: Fitted, panel: Panel) -> DayColumns | None:
    """The holidays that a forecast will look up; of Prophet's own engine, those that it cannot look up elsewhere."""
    kept = model.state_["fit"].get("days")
    if model.engine == "map":
        return None if kept is None else DayColumns.from_state(kept)
    tables = [part for part in holiday_parts(model.holidays) if is_table(part)]
    if not tables:
        return None
    scale = model.holidays_prior_scale
    return day_columns(tables, first_day=-_LONG, last_day=_span(panel)[1], prior_scale=scale, mode="additive")


def _wrong(model: Arguments, cells: _Cells, lowest: Float) -> Iterator[Finding]:
    """Findings about capacities and conditions; `lowest` (n,) is the floor where no column gives it."""
    if model.growth == "logistic":
        floor = cells.columns.get("floor", lowest[cells.owner])
        under = "floor" if "floor" in cells.columns else "lowest value" if model.scaling == "minmax" else "floor, 0"
        yield from cells.findings(
            cells.columns["cap"] <= floor, "cap", "TSF-CAP", f"cap is not above the {under}",
            expected="more", fix="Give the largest value that the series can reach, or growth='linear'",
        )  # fmt: skip
    for name in dict.fromkeys(term.condition_name for term in model.seasonalities if term.condition_name):
        values = cells.columns[name]
        who = next(term.name for term in model.seasonalities if term.condition_name == name)
        yield from cells.findings(
            np.isfinite(values) & (values != 0) & (values != 1), name, "TSF-CONDITION",
            f"the condition of seasonality {who!r} is neither true nor false", expected="0 or 1",
            fix="Give the rows on which it acts as true",
        )  # fmt: skip


def _missing(cells: _Cells, where: str) -> Iterator[Finding]:
    """Findings about values that are no numbers."""
    for name, values in cells.columns.items():
        fix = "Fill them in the table (0 where nothing took place), or leave the column out"
        if name in ("cap", "floor"):
            fix = f"Give the {name} of every row, the same number for all where it does not move"
        yield from cells.findings(
            ~np.isfinite(values), name, "TSF-COLUMN", f"missing or infinite {where}", expected="a number", fix=fix
        )


def check_changepoints(changepoints: NDArray[np.datetime64], panel: Panel, on_error: str = "raise") -> None:
    """DataError for changepoints (c,) outside the observed rows of a series, as wall-clock time; ConfigError where none
    has them.

    Unless on_error="raise", series that lack one are a DataWarning: they go without it.
    """
    if not len(changepoints) or not len(panel.grid):
        return
    rows, owner = panel.rows, panel.owner
    seen = np.isfinite(panel.y[rows])
    position = panel.position(rows[seen], owner[seen])
    first, last = np.full(len(panel), len(panel.grid)), np.full(len(panel), -1)
    np.minimum.at(first, owner[seen], position)
    np.maximum.at(last, owner[seen], position)
    some = np.flatnonzero(last >= 0)
    wall = wall_clock(panel.grid, panel.tz, panel.freq)
    outside = (changepoints < wall[first[some], None]) | (changepoints > wall[last[some], None])  # (n, c)
    nowhere = outside.all(axis=0)
    if len(some) and nowhere.any():
        begin, end = spelled(wall[[first[some].min(), last[some].max()]])
        raise ConfigError(
            f"changepoints {listed(spelled(changepoints[nowhere]))} lie outside the history, {begin} to {end}; "
            "leave them out: the trend can bend only between rows"
        )
    lacking = np.flatnonzero(outside.any(axis=1))
    findings = [
        Finding(
            "TSF-CHANGEPOINT", "changepoints outside the history", column=panel.names.time,
            series=None if panel.names.id is None else panel.ids[i], when=spelled(changepoints[beyond][:SHOWN]),
            count=int(beyond.sum()), found=" to ".join(str(day) for day in spelled(wall[[first[i], last[i]]])),
            expected="a history around them",
            fix="Leave the changepoints out, or the series; on_error='skip' fits it without them",
        )
        for i, beyond in zip(some[lacking], outside[lacking], strict=True)
    ]  # fmt: skip
    if findings and on_error == "raise":
        raise DataError(f"{len(findings)} of {len(panel)} series do not reach all changepoints", findings)
    if findings:
        names = listed(f.series for f in findings)
        warnings.warn(f"changepoints outside the history are left out of {names}", DataWarning, stacklevel=2)


def check_ahead(columns: DayColumns, history: NDArray[Any], times: NDArray[Any]) -> None:
    """FutureError for days to come whose holidays nobody gave, from stamps of the history and of the forecast.

    A table that ends before a holiday's usual next date would give that day no effect, and the forecast would look
    like any other: an error for what comes at even intervals. What comes at odd ones may really not come, so that is a
    DataWarning. What was due within the history has ended.
    """
    ahead = times.astype("datetime64[D]").astype(np.int64).reshape(-1)
    if int(ahead.max()) > columns.last:
        end = _day(columns.last)
        raise FutureError(f"the holidays of the model are known until {end}; forecast fewer steps, or fit it again")
    seen = int(history.max().astype("datetime64[D]").astype(np.int64))
    missed = [one for one in lapses(columns, seen) if seen < one.due <= int(ahead.max())]
    findings = [_lapsed(one) for one in missed if one.regular]
    if findings:
        raise FutureError("the table of holidays ends before the forecast does", findings)
    odd = [f"{one.name!r} (last on {_day(one.last)})" for one in missed]
    if odd:
        warnings.warn(
            f"holidays: no dates to come are given for {listed(odd)}; the forecast counts on none. A column ended in "
            "the table, true, says that none come",
            DataWarning,
            stacklevel=2,
        )


def _day(number: int) -> np.datetime64:
    return np.datetime64(number, "D")


def _lapsed(lapse: Lapse) -> Finding:
    last, due = (_day(number).item() for number in (lapse.last, lapse.due))
    return Finding(
        "TSF-FUTURE", f"holiday {lapse.name!r} has no date to come", column="holiday", when=(due,),
        found=f"{last} as the last one", expected=f"one around {due}",
        fix="Add its coming dates to holidays= and fit again; if none come, a column ended in the table, true, says so",
    )  # fmt: skip
