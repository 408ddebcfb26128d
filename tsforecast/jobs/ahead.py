"""Known columns for the rows to come: whether a job says where they are, and whether they are all there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from tsforecast import design, frames
from tsforecast.errors import ConfigError, FutureError, listed
from tsforecast.forecaster import Forecaster
from tsforecast.jobs.models import blamed
from tsforecast.jobs.schema import Job
from tsforecast.panel import Panel

__all__ = ["check_future", "check_sources"]


def check_sources(job: Job, models: Sequence[Forecaster]) -> None:
    """ConfigError, before anything is read, where a model needs columns ahead and the job has no place for them."""
    if job.data.known_source is None and job.as_of is None:
        _refuse(job, models, "or set as_of: the rows after it hold them")


def check_future(job: Job, models: Sequence[Forecaster], panel: Panel, future: pd.DataFrame | None) -> None:
    """ConfigError or FutureError, before anything is fitted, where known columns lack values for the rows to come."""
    if future is None:
        _refuse(job, models, f"no row of the data is later than as_of = {job.as_of}")
        return
    where = "known_source" if job.data.known_source else "the data after as_of"
    for model in models:
        names = model.known_columns
        if "cap" in names and "floor" in panel.column_names:
            names = (*names, "floor")
        if not names:
            continue
        with blamed(model.name):
            try:
                frames.known_ahead(design.known_only(panel, names), future, job.horizon)
            except FutureError as cause:
                fix = f"{where} must hold a row for each series at each of the {job.horizon} steps, every value given"
                findings = [replace(finding, fix=finding.fix if finding.rows else fix) for finding in cause.findings]
                raise FutureError("" if findings else str(cause), findings) from cause


def _refuse(job: Job, models: Sequence[Forecaster], else_: str) -> None:
    needs = [(model.name, model.known_columns) for model in models if model.known_columns]
    if not needs:
        return
    lines = [
        f"[models.{name}] needs {listed(columns, 12)} for the {job.horizon} rows to come: give their table in [data] "
        f'known_source = "csv:FILE" ({else_})'
        for name, columns in needs
    ]
    raise ConfigError("\n".join([*lines, "nothing was run"]))
