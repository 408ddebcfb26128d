"""Running a job: read, check, backtest, fit, forecast, write, report."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import pandas as pd

from tsforecast.errors import SHOWN, ConfigError, DataError, TsforecastWarning
from tsforecast.evaluation import Backtest, backtest
from tsforecast.findings import check
from tsforecast.findings.policies import resolved
from tsforecast.forecaster import Forecaster
from tsforecast.jobs.ahead import check_future, check_sources
from tsforecast.jobs.clean import clean_table
from tsforecast.jobs.exits import Exit
from tsforecast.jobs.forecasts import Forecasts, forecast_all
from tsforecast.jobs.inputs import Inputs, gather
from tsforecast.jobs.lock import alone
from tsforecast.jobs.models import blamed, models_of, policies_of
from tsforecast.jobs.progress import QUIET, Progress
from tsforecast.jobs.schema import Job
from tsforecast.jobs.sinks import target, write_table
from tsforecast.panel import Panel
from tsforecast.reporting import report, standing
from tsforecast.rolling import origins

__all__ = ["Outcome", "backtest_job", "check_job", "run_job"]

GOOD = ("ok", "repaired", "cold_start", "fallback")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Outcome:
    """What a run did: the exit code, its tables, the files written, the warnings on the way."""

    exit: Exit
    findings: pd.DataFrame
    message: str = ""
    forecasts: pd.DataFrame | None = None
    status: pd.DataFrame | None = None
    backtest: Backtest | None = None
    leaderboard: pd.DataFrame | None = None
    files: dict[str, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Series by status."""
        if self.status is None:
            return {}
        return {str(name): int(count) for name, count in self.status["status"].value_counts().items()}


def run_job(job: Job, base: Path, *, progress: Progress = QUIET) -> Outcome:
    """Run a whole job; its paths are relative to `base`.

    ConfigError or DataError, before anything is written, where the job or its data cannot be used; HeldError where
    another run has the same output.
    """
    with alone(target(job.output.forecasts, base)[1]) if job.output.forecasts else nullcontext():
        return _run(job, base, progress)


def _run(job: Job, base: Path, progress: Progress) -> Outcome:
    began = perf_counter()
    with _heard() as said:
        models = models_of(job)
        progress.plan(3 + len(models) * (1 + bool(job.backtest.windows)))
        check_sources(job, models)
        inputs, findings, panel = _opened(job, base, progress)
        check_future(job, models, panel, inputs.future)
        result = _backtest(job, models, panel, progress) if job.backtest.windows else None
        board = None if result is None else standing(result, job.backtest.metric, job.backtest.baseline)
        main = _main(board, models)
        made = forecast_all(job, models, main, panel, inputs, findings, progress)
    outcome = Outcome(
        exit=_verdict(job, made, findings),
        findings=findings,
        forecasts=made.table,
        status=made.status,
        backtest=result,
        leaderboard=board,
        warnings=tuple(said),
    )
    if outcome.exit is Exit.NOT_PUBLISHED:
        bad = int((~made.status["status"].isin(GOOD)).sum())
        share = f"max_failed_share = {job.run.max_failed_share:g}"
        message = f"not published: {bad} of {len(made.status)} series have no forecast ({share})"
        outcome = replace(outcome, message=message)
    files = _write(job, base, outcome, panel, progress, perf_counter() - began)
    return replace(outcome, files=files, seconds=perf_counter() - began)


def check_job(job: Job, base: Path) -> Outcome:
    """Findings in the data of a job; nothing is repaired, nothing written."""
    began = perf_counter()
    with _heard() as said:
        inputs = gather(job, base)
        findings = _checked(job, inputs)
    code = Exit.FINDINGS if len(findings) else Exit.OK
    return Outcome(exit=code, findings=findings, warnings=tuple(said), seconds=perf_counter() - began)


def backtest_job(job: Job, base: Path, *, progress: Progress = QUIET) -> Outcome:
    """The backtest of a job alone: its table and report are written, no forecast is made."""
    began = perf_counter()
    if not job.backtest.windows:
        raise ConfigError("backtest.windows = 0 leaves nothing to compare; give at least 1")
    with _heard() as said:
        models = models_of(job)
        progress.plan(3 + len(models))
        _, findings, panel = _opened(job, base, progress)
        result = _backtest(job, models, panel, progress)
    outcome = Outcome(
        exit=Exit.FINDINGS if _serious(findings) else Exit.OK,
        findings=findings,
        backtest=result,
        leaderboard=standing(result, job.backtest.metric, job.backtest.baseline),
        warnings=tuple(said),
    )
    files = _write(job, base, outcome, panel, progress, perf_counter() - began)
    return replace(outcome, files=files, seconds=perf_counter() - began)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Our own warnings as a list of distinct lines, instead of on the screen."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TsforecastWarning)
        yield said
    own = [str(w.message) for w in caught if issubclass(w.category, TsforecastWarning)]
    said += dict.fromkeys(own)
    for other in caught:
        if not issubclass(other.category, TsforecastWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)


def _opened(job: Job, base: Path, progress: Progress) -> tuple[Inputs, pd.DataFrame, Panel]:
    progress.start("read")
    inputs = gather(job, base)
    files = len(inputs.source.files)
    progress.done(f"{len(inputs.history):,} rows" + (f" from {files} files" if files > 1 else ""))
    progress.start("check")
    findings = _checked(job, inputs)
    panel = _panel(job, inputs, findings)
    progress.done(f"{len(panel):,} series, {len(findings):,} findings")
    return inputs, findings, panel


def _panel(job: Job, inputs: Inputs, findings: pd.DataFrame) -> Panel:
    """The series that the policies leave; DataError with the findings where they leave none."""
    data = job.data
    stopped = findings[findings["policy"] == "quarantine"]
    try:
        return Panel.from_table(
            inputs.history,
            id=inputs.id,
            time=data.time,
            target=data.target,
            freq=job.freq,
            gaps=data.gaps,
            static=inputs.static,
            policies=policies_of(job),
            mask=inputs.mask,
            weights=data.weights,
        )
    except DataError as cause:
        if cause.code != "TSF-LEN" or not len(stopped):
            raise
        worst = stopped[["code", "series", "found", "fix"]].head(SHOWN).itertuples(index=False)
        lines = [f"{code}: series {series!r}: {found}. {fix}" for code, series, found, fix in worst]
        raise DataError("\n".join(["every series is quarantined", *lines])) from cause


def _checked(job: Job, inputs: Inputs) -> pd.DataFrame:
    """All findings, with the policy that the job has for each, and the file and line where it is seen first."""
    data = job.data
    table: pd.DataFrame = check(
        inputs.history, job.freq, id=inputs.id, time=data.time, target=data.target, gaps=data.gaps
    )
    policies = resolved(policies_of(job))
    table = table.assign(policy=[policies[code] for code in table["code"]])
    if not data.source.startswith("dataset:"):
        table["where"] = [None if pd.isna(row) else inputs.place(int(row)) for row in table["row"]]
    return table


def _backtest(job: Job, models: list[Forecaster], panel: Panel, progress: Progress) -> Backtest:
    """The backtest of all models, a step of the progress each."""
    keys = job.backtest
    # What cannot work for any model is no fault of the first.
    origins(panel, h=job.horizon, windows=keys.windows, step=keys.step, gap=keys.gap)
    parts = []
    for model in models:
        progress.start(f"backtest {model.name}")
        with blamed(model.name):
            part = backtest(
                model,
                panel,
                h=job.horizon,
                windows=keys.windows,
                step=keys.step,
                gap=keys.gap,
                refit=keys.refit,
                input_size=keys.input_size,
                levels=tuple(job.levels),
            )
        parts.append(part)
        progress.done(f"{keys.windows} windows")
    return replace(
        parts[0],
        models=tuple(model.name for model in models),
        rolled=tuple(part.rolled[0] for part in parts),
        complexity=tuple(model.complexity for model in models),
        reports_status=tuple(part.reports_status[0] for part in parts),
    )


def _main(board: pd.DataFrame | None, models: list[Forecaster]) -> str:
    """The model whose forecast counts: the simplest within one standard error of the best, or the first named."""
    if board is None:
        return models[0].name
    picked = board.loc[board["chosen"], "model"]
    return str(picked.iloc[0] if len(picked) else board["model"].iloc[0])


def _serious(findings: pd.DataFrame) -> bool:
    """Whether a finding changed or left out data."""
    return bool((~findings["policy"].isin(["ignore", "keep", "fill", "sorted"])).any())


def _verdict(job: Job, made: Forecasts, findings: pd.DataFrame) -> Exit:
    status = made.status["status"]
    if (~status.isin(GOOD)).mean() > job.run.max_failed_share:
        return Exit.NOT_PUBLISHED
    return Exit.FINDINGS if (status != "ok").any() or _serious(findings) else Exit.OK


def _write(job: Job, base: Path, outcome: Outcome, panel: Panel, progress: Progress, seconds: float) -> dict[str, Path]:
    """Write what the job asks for; forecasts only where they may be published."""
    keys = job.output
    files: dict[str, Path] = {}
    if not any((keys.forecasts, keys.backtest, keys.status, keys.report, job.data.save_clean)):
        return files
    progress.start("write")
    published = outcome.exit is not Exit.NOT_PUBLISHED
    tables = {
        "forecasts": (keys.forecasts, outcome.forecasts if published else None),
        "backtest": (keys.backtest, None if outcome.backtest is None else outcome.backtest.forecasts),
        "status": (keys.status, outcome.status),
        "clean": (job.data.save_clean, clean_table(panel) if job.data.save_clean else None),
    }
    for name, (location, table) in tables.items():
        if location is not None and table is not None:
            files[name] = write_table(table, location, base)
    if keys.report is not None:
        files["report"] = report(
            outcome.backtest or panel,
            base / Path(keys.report).expanduser(),
            metric=job.backtest.metric,
            baseline=job.backtest.baseline,
            forecasts=outcome.forecasts,
            findings=outcome.findings,
            status=outcome.status,
            title=keys.title,
            banner=outcome.message,
            footer=[*outcome.warnings, f"Made by tsforecast in {seconds:.1f} s."],
        )
    progress.done(
        ", ".join(str(path.relative_to(base) if path.is_relative_to(base) else path) for path in files.values())
    )
    return files
