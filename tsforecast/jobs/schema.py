"""The job file as types: each key, its default and its meaning; `tsforecast schema` prints them."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

__all__ = ["BacktestKeys", "DataKeys", "Job", "JoinKeys", "ModelKeys", "OutputKeys", "RunKeys"]

Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=100)]


def _with_scheme(value: object) -> object:
    """A bare path by the scheme of its ending: out/clean.parquet is parquet:out/clean.parquet."""
    if isinstance(value, str) and not re.match(r"^[a-z0-9]+:", value):
        ending = value.rpartition(".")[2]
        return f"{ending}:{value}" if ending in ("csv", "parquet") else value
    return value


Location = Annotated[str, BeforeValidator(_with_scheme), Field(pattern=r"^[a-z0-9]+:.+")]


class Keys(BaseModel):
    """A table of the job file: every key is known, or refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


class JoinKeys(Keys):
    """A further table whose columns are added where `on` agrees; each key may be there once."""

    source: Location
    on: list[str] = Field(min_length=1)


class DataKeys(Keys):
    """Where the rows are and what their columns mean."""

    source: Location
    """csv: or parquet: with a path or glob relative to the job file, or dataset: with a bundled set."""
    id: str = "unique_id"
    """Column that names the series; a table without the default one is a single series."""
    time: str = "ds"
    target: str = "y"
    past: list[str] = []
    """Columns known up to the origin."""
    known: list[str] = []
    """Columns given for the future as well."""
    known_source: Location | None = None
    """Future values of the known columns."""
    static_source: Location | None = None
    """One row a series: region, lat, lon, ..."""
    columns: list[str] = []
    """Keep these further columns; empty: what the models use."""
    join: list[JoinKeys] = []
    derive: dict[str, str] = {}
    """New columns by arithmetic on others: { range = "tmax - tmin" }."""
    gaps: Literal["fill", "ignore"] = "fill"
    weights: str | None = None
    """Column of row weights."""
    mask: Location | None = None
    """Table of id (or all), from, to: rows left out of fitting."""
    save_clean: Location | None = None
    """Where to write the data as repaired."""


class ModelKeys(BaseModel):
    """A model: its type by name, and the parameters of that type."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Every key but `type`."""
        return dict(self.model_extra or {})


class BacktestKeys(Keys):
    """How the models are compared on the past."""

    windows: int = Field(default=4, ge=0)
    """Origins; 0 leaves the backtest out."""
    step: int | None = Field(default=None, ge=1)
    """Rows between origins; the horizon when absent."""
    gap: int = Field(default=0, ge=0)
    """Rows between the last one known and the first one forecast."""
    refit: bool | int = True
    """true: at every origin; false: at the first; k: at every k-th."""
    input_size: int | None = Field(default=None, ge=1)
    """Rows that a fit may see."""
    metric: str = "rmse"
    """Score of the leaderboard."""
    baseline: str | None = None
    """Model to measure skill against; the first naive one when absent."""


class OutputKeys(Keys):
    """Where the results go; every file is replaced in one step or not at all."""

    forecasts: Location | None = "parquet:out/forecasts.parquet"
    backtest: Location | None = "parquet:out/backtest.parquet"
    status: Location | None = "parquet:out/status.parquet"
    report: str | None = "out/report.html"
    title: str = "Forecast"
    lang: Literal["en"] = "en"


class RunKeys(Keys):
    """How the job runs."""

    engine: Literal["local"] = "local"
    max_failed_share: Share = 0.05
    """Above it nothing is published and the exit code is 20."""
    seed: int = 0


class Job(Keys):
    """A whole job file."""

    horizon: int = Field(ge=1)
    """Steps ahead."""
    freq: str | int | None = None
    """Offset alias or integer step; inferred when absent."""
    as_of: date | datetime | int | None = None
    """Last row that the models may see; later rows give known columns alone. The last row when absent."""
    levels: list[Level] = [80, 95]
    """Prediction intervals, per cent."""
    on_error: Literal["raise", "fallback", "skip"] = "fallback"
    fallback: str = "SeasonalNaive"
    """Type of the model that stands in where a series' own one failed."""
    policies: dict[str, str] = {}
    """What to do about a finding: { TSF-TS-DUP = "last" }."""
    data: DataKeys
    models: dict[str, ModelKeys] = {}
    """[models.NAME] with a type and its parameters; AR and SeasonalNaive when absent."""
    backtest: BacktestKeys = BacktestKeys()
    output: OutputKeys = OutputKeys()
    run: RunKeys = RunKeys()

    @field_validator("levels")
    @classmethod
    def _levels(cls, levels: list[float]) -> list[float]:
        if any(level < 1 for level in levels):
            raise ValueError("levels are per cent: write 80, not 0.8")
        return sorted(set(levels))
