"""Forecasts of all models side by side, and one status row for every series that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from tsforecast import registry
from tsforecast.errors import DataError
from tsforecast.forecaster import Forecaster
from tsforecast.jobs.inputs import Inputs
from tsforecast.jobs.models import blamed, policies_of
from tsforecast.jobs.progress import Progress
from tsforecast.jobs.schema import Job
from tsforecast.panel import Panel

__all__ = ["Forecasts", "forecast_all"]

_STOPPED = ("quarantine", "raise")
_REPAIRED = ("interpolate", "seasonal", "ffill", "clip", "missing", "last", "sum", "mean")


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """Long table of all models' forecasts, and the status of each series under the main model."""

    table: pd.DataFrame
    status: pd.DataFrame


def forecast_all(
    job: Job,
    models: Sequence[Forecaster],
    main: str,
    panel: Panel,
    inputs: Inputs,
    findings: pd.DataFrame,
    progress: Progress,
) -> Forecasts:
    """Fit each model on the whole panel and forecast; series left out get the fallback where their rows allow it."""
    keys = _keys(panel)
    tables = []
    for model in models:
        progress.start(f"forecast {model.name}")
        with blamed(model.name):
            model.fit(panel, h=job.horizon)
            table = model.predict(
                job.horizon, future=inputs.future if model.known_columns else None, levels=tuple(job.levels)
            )
        if "status" in table:
            table = table.rename(columns={"status": "status" if model.name == main else f"{model.name}-status"})
        tables.append(table)
        progress.done("")
    whole = reduce(lambda left, right: left.merge(right, on=keys, how="outer"), tables)
    # Every model says how it fared; the status of the main one is the status of the series, and stands last.
    others = [name for name in whole if str(name).endswith("-status")]
    whole = whole[[name for name in whole if name not in ("status", *others)] + ["status"] * ("status" in whole)]
    left_out = _left_out(inputs.history, panel)
    rescued = _rescued(job, main, panel, inputs.history, left_out) if job.on_error == "fallback" else None
    if rescued is not None:
        whole = pd.concat([whole, rescued.reindex(columns=whole.columns)], ignore_index=True)
        whole = whole.sort_values(keys, kind="stable", ignore_index=True)
    return Forecasts(whole, _statuses(job, main, panel, whole, left_out, findings))


def _keys(panel: Panel) -> list[str]:
    return [name for name in (panel.names.id, panel.names.time) if name is not None]


def _left_out(history: pd.DataFrame, panel: Panel) -> list[object]:
    """Ids in the table that did not become series of the panel."""
    if panel.names.id is None:
        return []
    known = set(panel.ids)
    asked = history[panel.names.id].dropna().unique().tolist()
    return sorted((one for one in asked if one not in known), key=str)


def _rescued(job: Job, main: str, panel: Panel, history: pd.DataFrame, ids: Sequence[object]) -> pd.DataFrame | None:
    """Fallback forecasts of quarantined series from those of their rows that can be trusted."""
    id_, time, target = panel.names
    if not ids or id_ is None:
        return None
    rows = history.loc[history[id_].isin(ids), [id_, time, target]].dropna(subset=[time])
    values = pd.to_numeric(rows[target], errors="coerce").astype(float)
    rows = rows.assign(**{target: values.where(np.isfinite(values) & (values.abs() <= 1e15))})
    rows = rows.drop_duplicates([id_, time], keep="last")
    try:
        mended = Panel.from_table(
            rows, id=id_, time=time, target=target, freq=panel.freq, gaps=job.data.gaps, policies=policies_of(job)
        )
        model = registry.build(job.fallback, {"alias": main, "on_error": "skip"})
        table: pd.DataFrame = model.fit(mended, h=job.horizon).predict(job.horizon, levels=tuple(job.levels))
    except DataError:
        return None
    usable = table.groupby(id_)[main].transform(lambda point: point.notna().all())
    return table[usable].assign(status="fallback")


def _statuses(
    job: Job,
    main: str,
    panel: Panel,
    forecasts: pd.DataFrame,
    left_out: Sequence[object],
    findings: pd.DataFrame,
) -> pd.DataFrame:
    """One row a series: status, the finding behind it, the model asked for and the one used."""
    id_ = panel.names.id
    ids = [*panel.ids, *left_out]
    if id_ is None:
        said = {panel.ids[0]: forecasts["status"].iloc[0] if "status" in forecasts else "ok"}
    elif "status" in forecasts:
        said = dict(forecasts.groupby(id_, sort=False)["status"].first())
    else:
        said = dict.fromkeys(panel.ids, "ok")
    status = [said.get(one, "quarantined") for one in ids]
    acting = findings[findings["policy"].isin([*_STOPPED, *_REPAIRED])]
    worst = acting.drop_duplicates("series").set_index("series") if len(acting) else acting
    kinds = {"ok": main, "repaired": main, "cold_start": main, "fallback": job.fallback}
    rows = []
    for one, kind in zip(ids, status, strict=True):
        found = worst.loc[one] if kind != "ok" and one in worst.index else None
        rows.append(
            {
                id_ or "unique_id": one,
                "status": kind,
                "code": None if found is None else found["code"],
                "message": _reason(kind, found, one in left_out),
                "column": None if found is None else found["column"],
                "rows": None if found is None else int(found["count"]),
                "model_requested": main,
                "model_used": kinds.get(kind),
            }
        )
    table = pd.DataFrame(rows).astype({"rows": "Int64"})
    return table.sort_values(table.columns[0], kind="stable", ignore_index=True, key=lambda ids: ids.astype(str))


def _reason(kind: str, found: pd.Series | None, quarantined: bool) -> str:
    if kind == "ok":
        return ""
    if found is not None:
        return ". ".join(str(found[key]) for key in ("found", "fix") if found[key])
    if kind == "fallback" and not quarantined:
        return "the model gave no usable forecast"
    return "no usable forecast" if kind == "failed" else "left out"
