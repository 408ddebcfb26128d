"""Fitted models over time: rows appended to a panel, states joined, models kept in files."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast import artifact, failures, frames
from tsforecast.errors import ArtifactError, ConfigError, DataError, Finding, listed
from tsforecast.findings import read_panel
from tsforecast.frames import grids
from tsforecast.frames.columns import spelled
from tsforecast.panel import Bool, Int, Names, Panel
from tsforecast.parameters import Parameters
from tsforecast.rolling import Member

__all__ = ["extended", "joined", "newer", "panel_from", "panel_state", "plain", "save"]


def newer(old: Panel, data: Any) -> Panel:
    """Newer rows as a Panel of the same frequency, names and text labels as `old`; DataError for a label never seen."""
    if not isinstance(data, Panel):
        gaps: Literal["fill", "ignore"] = "fill" if old.at is None else "ignore"
        data = read_panel(data, names=old.names, freq=old.freq, gaps=gaps)
    columns = data.columns.copy()
    for name, labels in data.categories.items():
        if name not in old.categories:
            continue
        unseen = sorted(set(labels) - set(old.categories[name]))
        if unseen:
            raise DataError(f"column {name!r} holds {listed(unseen)}, which the model was not fitted on: refit it")
        codes = np.array([old.categories[name].index(label) for label in labels], dtype=float)
        place = data.column_names.index(name)
        known = np.isfinite(columns[:, place])
        columns[known, place] = codes[columns[known, place].astype(np.int64)]
    recoded: Panel = data.replace(columns=columns, categories={**data.categories, **old.categories})
    return recoded


def extended(old: Panel, new: Panel, revised: Literal["raise", "replace"]) -> tuple[Panel, Bool]:
    """The panel with newer rows appended, and which of its series are new (n,).

    Equal overlap is ignored; DataError names rows that changed unless `revised="replace"`.
    """
    grid = _common_grid(old, new)
    ids = np.concatenate([old.ids, new.ids[~np.isin(new.ids, old.ids)]])
    place = {name: i for i, name in enumerate(ids)}
    p = len(grid)
    keys, rows = [], []
    for panel in (old, new):
        owner = panel.owner
        inside = panel.rows
        at = np.searchsorted(grid, panel.grid[panel.position(inside, owner)])
        mine = np.array([place[name] for name in panel.ids], dtype=np.int64)
        keys.append(mine[owner] * p + at)
        rows.append(inside)
    both, mine_at, theirs_at = np.intersect1d(keys[0], keys[1], return_indices=True)
    _check_revisions(old, new, rows[0][mine_at], rows[1][theirs_at], both, ids, grid, revised)
    # A row without a value says nothing about one that is known.
    late = np.isfinite(new.y[rows[1]]) & (revised == "replace")
    late |= ~np.isin(keys[1], keys[0])
    kept = ~np.isin(keys[0], keys[1][late])
    key = np.concatenate([keys[0][kept], keys[1][late]])
    blocks = _blocks(old, new, rows[0][kept], rows[1][late])
    fresh = np.arange(len(ids)) >= len(old)
    return _assembled(_widened(old, new, ids), grid, key, blocks), fresh


def _common_grid(old: Panel, new: Panel) -> NDArray[Any]:
    """The stamps of both panels and all between them; ConfigError or DataError where they do not lie on one grid."""
    if new.freq != old.freq or (old.at is None) != (new.at is None):
        raise ConfigError(f"the new rows have frequency {new.freq!r}, the model was fitted on {old.freq!r}")
    if str(new.tz) != str(old.tz):
        raise ConfigError(
            f"the new rows have time zone {new.tz}, the model was fitted on {old.tz}; "
            "make both alike (tz_localize / tz_convert)"
        )
    both = np.unique(np.concatenate([old.grid, new.grid]))
    if old.at is not None or not len(both):
        return both
    whole = grids.between(old.freq, both[0], both[-1])
    stray = both[~np.isin(both, whole)]
    if len(stray):
        fix = "Give stamps that continue those the model was fitted on"
        finding = Finding(
            "TSF-FREQ-PHASE", f"stamps off the grid of {old.freq!r}", column=old.names.time,
            when=tuple(stray[:5]), count=len(stray), fix=fix,
        )  # fmt: skip
        raise DataError("update: the new rows do not lie on the grid of the model", [finding])
    return whole


def _blocks(old: Panel, new: Panel, mine: Int, theirs: Int) -> dict[str, NDArray[Any]]:
    """Everything that a row holds, of rows `mine` of the old panel and then `theirs` of the new."""
    blocks: dict[str, NDArray[Any]] = {
        "y": np.concatenate([old.y[mine], new.y[theirs]]),
        "columns": np.concatenate([old.columns[mine], new.columns[theirs]]),
    }
    if old.excluded is not None or new.excluded is not None:
        parts = [
            np.zeros(len(r), bool) if p.excluded is None else p.excluded[r] for p, r in ((old, mine), (new, theirs))
        ]
        blocks["excluded"] = np.concatenate(parts)
    if old.weights is not None or new.weights is not None:
        shares = [np.ones(len(r)) if p.weights is None else p.weights[r] for p, r in ((old, mine), (new, theirs))]
        blocks["weights"] = np.concatenate(shares)
    return blocks


def _widened(old: Panel, new: Panel, ids: NDArray[Any]) -> Panel:
    """The old panel with room for all ids: static columns of new series from `new`, missing where it has none."""
    mine = np.flatnonzero(~np.isin(new.ids, old.ids))
    static = {}
    for name, values in old.static.items():
        missing = np.full(len(mine), np.nan if values.dtype.kind == "f" else "", dtype=values.dtype)
        static[name] = np.concatenate([values, new.static[name][mine] if name in new.static else missing])
    repaired = None
    if old.repaired is not None or new.repaired is not None:
        repaired = np.isin(ids, [] if old.repaired is None else old.ids[old.repaired])
        repaired |= np.isin(ids, [] if new.repaired is None else new.ids[new.repaired])
    return old.replace(ids=ids, static=static, repaired=repaired, series=np.arange(len(ids), dtype=np.int64))


def _check_revisions(
    old: Panel, new: Panel, mine: Any, theirs: Any, keys: Any, ids: Any, grid: Any, revised: str
) -> None:
    if revised not in ("raise", "replace"):
        raise ConfigError(f'revised must be "raise" or "replace", got {revised!r}')
    changed = np.isfinite(new.y[theirs]) & (old.y[mine] != new.y[theirs])
    if old.excluded is not None:  # their values are held as missing
        changed &= ~old.excluded[mine]
    if revised == "raise" and changed.any():
        where = keys[changed]
        first = int(where[0]) // len(grid)
        same = where[where // len(grid) == first]
        raise DataError(
            f"update: {int(changed.sum())} rows differ from those the model knows",
            [
                Finding(
                    "TSF-REVISED",
                    "values changed",
                    series=ids[first],
                    column=old.names.target,
                    when=spelled(grid[same % len(grid)][:5]),
                    count=len(same),
                    fix='leave them out, or update(data, revised="replace")',
                )
            ],
        )


def _assembled(like: Panel, grid: NDArray[Any], key: Int, blocks: dict[str, NDArray[Any]]) -> Panel:
    """A panel from rows with keys id * P + position; gaps become NaN rows unless the panel ignores gaps."""
    order = np.argsort(key, kind="stable")
    owner, at = np.divmod(key[order], len(grid))
    ids = np.arange(len(like.ids))
    first = np.searchsorted(owner, ids)
    last = np.searchsorted(owner, ids, side="right") - 1
    if like.at is not None:
        rows = {name: values[order] for name, values in blocks.items()}
        return like.replace(start=first, stop=last + 1, grid=grid, at=at, offset=np.zeros(len(ids), np.int64), **rows)
    begin = at[np.minimum(first, len(at) - 1)]
    lengths = np.where(last >= first, at[last] - begin + 1, 0)
    stop = np.cumsum(lengths)
    offset = begin - (stop - lengths)
    whole = {}
    for name, values in blocks.items():
        empty = False if name == "excluded" else np.nan if name in ("y", "columns") else 1.0
        whole[name] = np.full((int(lengths.sum()), *values.shape[1:]), empty, dtype=values.dtype)
        whole[name][at - offset[owner]] = values[order]
    return like.replace(start=stop - lengths, stop=stop, grid=grid, offset=offset, **whole)


def joined(old: Any, new: Any, n_old: int, n_new: int) -> Any:
    """Two states of n_old and n_new series as one: arrays with the series on their first axis are put end to end."""
    if isinstance(old, dict):
        return {key: joined(value, new[key], n_old, n_new) for key, value in old.items()}
    if isinstance(old, np.ndarray) and old.ndim and len(old) == n_old and len(new) == n_new:
        return np.concatenate([old, new])
    return old


def save(model: Member, panel: Panel, path: Any) -> None:
    """Write a fitted model to one file: parameters, fitted arrays, and the last rows that forecasts need.

    A stand-in for failures is fitted when it is called for, so it needs all rows.
    """
    keep = None if model.on_error == "fallback" else model._keep(model.state_["fit"])
    extremes = failures.ranges(panel, model.state_.get("extremes"))
    state = {
        "model": model.state_ | {"extremes": extremes},
        "panel": panel_state(panel if keep is None else panel.tail(keep)),
        "h": model.h_,
        "calendar": model.calendar_.state(),
    }
    params = {name: plain(value) for name, value in model.get_params(deep=False).items()}
    artifact.write(path, type(model).__name__, params, state, {})


def plain(value: Any) -> Any:
    """A parameter as plain values; nested forecasters and recipes as {"class": ..., "params": ...}.

    Estimators of other packages become {"name": ..., parameter: ...}: the model that takes them makes them by name.
    """
    value = frames.plain_tables(value)
    if hasattr(value, "get_params"):
        inner = {name: plain(v) for name, v in value.get_params(deep=False).items()}
        own = isinstance(value, Parameters)
        return {"class": type(value).__name__, "params": inner} if own else {"name": type(value).__name__, **inner}
    if is_dataclass(value) and not isinstance(value, type):
        return {
            "class": type(value).__name__,
            "params": {f.name: plain(getattr(value, f.name)) for f in fields(value)},
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str, np.ndarray)):
        return value
    raise ArtifactError(f"a parameter of type {type(value).__name__} cannot be saved: {value!r}")


def panel_state(panel: Panel) -> dict[str, Any]:
    """The rows of the spans alone, as named arrays."""
    lengths = panel.lengths
    rows = panel.rows
    position = panel.position(rows, panel.owner)
    low = int(position.min(initial=len(panel.grid) - 1)) if len(rows) else 0
    grid = panel.grid[low:]
    ids = panel.ids
    return {
        "ids": ids.astype(np.int64) if all(isinstance(i, (int, np.integer)) for i in ids) else ids.astype(str),
        "lengths": lengths,
        "y": panel.y[rows],
        "excluded": None if panel.excluded is None else panel.excluded[rows],
        "weights": None if panel.weights is None else panel.weights[rows],
        "columns": panel.columns[rows],
        "names": list(panel.column_names),
        "n_past": panel.n_past,
        "categories": {name: list(labels) for name, labels in panel.categories.items()},
        "position": position - low,
        "ragged": panel.at is not None,
        "grid": grid.astype("datetime64[us]").astype(np.int64) if grid.dtype.kind == "M" else grid,
        "dated": grid.dtype.kind == "M",
        "series": panel.series,
        "freq": grids.written(panel.freq),
        "tz": None if panel.tz is None else str(panel.tz),
        "kind": panel.kind,
        "time_unit": panel.time_unit,
        "repaired": panel.repaired,
        "table": list(panel.names),
        "static": {k: np.asarray(v) if v.dtype.kind in "fiub" else v.astype(str) for k, v in panel.static.items()},
    }


def panel_from(state: dict[str, Any]) -> Panel:
    """The panel that `panel_state` wrote."""
    stop = np.cumsum(state["lengths"])
    start = stop - state["lengths"]
    position = state["position"]
    first = position[np.minimum(start, max(len(position) - 1, 0))] if len(position) else start
    grid = state["grid"].view("datetime64[us]") if state["dated"] else state["grid"]
    return Panel(
        ids=state["ids"].astype(object),
        start=start,
        stop=stop,
        y=state["y"],
        grid=grid,
        offset=first - start,
        columns=state["columns"],
        column_names=tuple(state["names"]),
        n_past=state["n_past"],
        categories={name: tuple(labels) for name, labels in state["categories"].items()},
        static=state["static"],
        at=position if state["ragged"] else None,
        series=state["series"],
        freq=grids.revived(state["freq"]),
        tz=state["tz"],
        kind=state["kind"],
        time_unit=state["time_unit"],
        repaired=state["repaired"],
        excluded=state["excluded"],
        weights=state["weights"],
        names=Names(*state["table"]),
    )
