"""report: a backtest, and what was forecast after it, on one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tsforecast.artifact.container import replacing
from tsforecast.evaluation import Backtest
from tsforecast.panel import Panel
from tsforecast.reporting.charts import Chart, chart
from tsforecast.reporting.page import Grid, Page, Tile, grid, render
from tsforecast.reporting.series import chosen, from_backtest, from_table, series_chart, styles_of
from tsforecast.reporting.text import stamp

__all__ = ["report", "standing"]

STATUS_STYLES = {
    "ok": "ok",
    "repaired": "warn",
    "cold_start": "warn",
    "fallback": "warn",
    "quarantined": "bad",
    "failed": "bad",
}
ORIGIN_NOTE = "The last origin of the backtest, with what came true."
AHEAD_NOTE = "The last rows of a few series and what is expected next; intervals of the first model named."


def report(
    data: Backtest | Panel,
    path: str | os.PathLike[str],
    *,
    metric: str = "rmse",
    baseline: str | None = None,
    forecasts: pd.DataFrame | None = None,
    findings: pd.DataFrame | None = None,
    status: pd.DataFrame | None = None,
    title: str = "Backtest",
    banner: str = "",
    footer: Sequence[str] = (),
) -> Path:
    """Write one HTML file that opens anywhere: leaderboard, error by horizon, forecasts of a few series, findings.

    Without `forecasts` the last origin of the backtest is shown. `findings` is what `check` lists: where it is None
    the page does not speak of them. `status` is the table of a job, one row a series.
    The file replaces a former one in one step and asks nobody for anything.
    """
    result = data if isinstance(data, Backtest) else None
    panel = data.panel if isinstance(data, Backtest) else data
    board = None if result is None else standing(result, metric, baseline)
    order = _order(board, forecasts, panel)
    troubled = None if status is None else status[status["status"] != "ok"]
    page = Page(
        title=title,
        subtitle=_subtitle(panel, result),
        banner=banner,
        tiles=_tiles(panel, status, order),
        leaderboard=_leaderboard(board),
        leaderboard_note=_leaderboard_note(board, metric),
        by_horizon=None if result is None else _by_horizon(result, order),
        series=_series(panel, result, forecasts, order),
        series_note=ORIGIN_NOTE if forecasts is None else AHEAD_NOTE,
        checked=findings is not None,
        findings=_findings(findings),
        statuses=grid(troubled, styles={"code": "code", "message": "wide"}),
        footer=tuple(footer),
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        file.write(render(page).encode())
    return target


def standing(result: Backtest, metric: str = "rmse", baseline: str | None = None) -> pd.DataFrame:
    """The leaderboard with further scores beside it, best first: MAE, MASE, bias and each level's coverage, pooled."""
    plain = replace(result, panel=result.panel.replace(kind="pandas"))
    board: pd.DataFrame = plain.leaderboard(metric, baseline)
    more = [name for name in ("mae", "mase", "bias") if name != metric] + ["coverage"] * bool(result.levels)
    scores = plain.scores(more)
    return board.merge(scores[[c for c in scores if c == "model" or c not in board]], on="model", how="left")


def _order(board: pd.DataFrame | None, forecasts: pd.DataFrame | None, panel: Panel) -> list[str]:
    """Models, best first; as the columns of the forecasts stand where nothing was compared."""
    if board is not None:
        return [str(name) for name in board["model"]]
    taken = {panel.names.id, panel.names.time, "status"}
    columns = [] if forecasts is None else [str(name) for name in forecasts if name not in taken]
    return [name for name in columns if not any(f"{word}-" in name for word in ("-lo", "-hi"))]


def _subtitle(panel: Panel, result: Backtest | None) -> str:
    rows = f"{len(panel):,} series, {int(panel.lengths.sum()):,} rows, frequency {panel.freq}"
    if len(panel.grid):
        rows += f", {stamp(panel.grid[0])} to {stamp(panel.grid[-1])}"
    if result is None:
        return rows
    return f"{rows}; {len(result.positions)} origins, {result.h} steps ahead"


def _tiles(panel: Panel, status: pd.DataFrame | None, order: Sequence[str]) -> tuple[Tile, ...]:
    if status is None:
        return (Tile("series", f"{len(panel):,}"), *([Tile("lowest error", order[0])] if order else []))
    counts = status["status"].value_counts()
    shown = [Tile("series asked for", f"{len(status):,}")]
    shown += [Tile(name, f"{int(counts[name]):,}", style) for name, style in STATUS_STYLES.items() if name in counts]
    used = status["model_requested"].iloc[0] if len(status) else None
    return (*shown, *([Tile("model", str(used))] if used else []))


def _leaderboard(board: pd.DataFrame | None) -> Grid | None:
    if board is None:
        return None
    baseline = board["model"] == board["baseline"]
    table = board.drop(columns=["rank", "chosen", "figure", "baseline", "pairs", "seconds", *_left_out(board)])
    if not table["missing"].any():
        table = table.drop(columns="missing")
    shares = [str(name) for name in table if name == "skill" or str(name).startswith("coverage")]
    for name in shares:
        table[name] = [f"{share:.1%}" if np.isfinite(share) else "–" for share in table[name]]
    table.insert(1, "", np.where(board["chosen"], "chosen", np.where(baseline, "baseline", "")))
    table["seconds"] = [f"{seconds:.2f}" for seconds in board["seconds"]]
    styles = np.where(board["chosen"], "best", np.where(baseline, "base", "")).tolist()
    return grid(table, rows=styles, styles=dict.fromkeys([*shares, "seconds"], "n"))


def _left_out(board: pd.DataFrame) -> list[str]:
    return [str(name) for name in board if str(name).endswith("_left_out")]


def _leaderboard_note(board: pd.DataFrame | None, metric: str) -> str:
    if board is None:
        return ""
    against = board["baseline"].iloc[0]
    skill = f" Skill is the share of {against}'s error that is gone." if against else ""
    gaps = "".join(
        f" {name.removesuffix('_left_out').upper()} leaves out {int(board[name].max()):,} pairs: not defined there."
        for name in _left_out(board)
        if board[name].any()
    )
    return (
        f"{metric.upper()} is the {board['figure'].iloc[0]}, the other scores take all pairs together.{skill} "
        "behind_se counts standard errors behind the best; chosen is the simplest model within one of them."
    ) + gaps


def _findings(findings: pd.DataFrame | None) -> Grid | None:
    if findings is None:
        return None
    place = "where" if "where" in findings else "row"
    wanted = ["code", "series", "column", "ds", place, "count", "found", "policy", "fix"]
    styles = {"code": "code", "series": "id", "ds": "id", "found": "wide", "fix": "wide"}
    return grid(findings[wanted], styles=styles)


def _by_horizon(result: Backtest, order: Sequence[str]) -> Chart | None:
    plain = replace(result, panel=result.panel.replace(kind="pandas"))
    scores: pd.DataFrame = plain.scores(["mae"], by=["model", "horizon"])
    if result.h < 2:
        return None
    lines = {}
    for name in order:
        mine = scores[scores["model"] == name]
        lines[name] = (mine["horizon"].to_numpy(), mine["mae"].to_numpy(dtype=float))
    title = "Mean absolute error by steps ahead"
    return chart(title, lines, styles_of(order), zero=True, size=(1040, 290))


def _series(
    panel: Panel, result: Backtest | None, forecasts: pd.DataFrame | None, order: Sequence[str]
) -> tuple[Chart, ...]:
    owner = panel.owner
    size = np.abs(panel.y[panel.rows])
    there = np.isfinite(size)
    count = np.bincount(owner[there], minlength=len(panel))
    total = np.bincount(owner[there], size[there], minlength=len(panel))
    sizes = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    losses = None
    if result is not None:
        errors = np.abs(result.errors[result.models.index(order[0])])
        there = np.isfinite(errors)
        count = there.sum(axis=(0, 2))
        mean = np.where(there, errors, 0.0).sum(axis=(0, 2)) / np.maximum(count, 1)
        losses = np.where((count > 0) & (sizes > 0), mean / np.where(sizes > 0, sizes, 1.0), np.nan)
    styles = styles_of(order)
    made = []
    for place, note in chosen(sizes, losses).items():
        if forecasts is not None:
            levels = _levels(forecasts, order[0])
            ahead = from_table(forecasts, panel, order, levels, place)
        else:
            ahead = None if result is None else from_backtest(result, order, place)
        if ahead is not None:
            made.append(series_chart(panel, place, ahead, styles, note))
    return tuple(made)


def _levels(forecasts: pd.DataFrame, model: str) -> list[float]:
    start = f"{model}-lo-"
    return [float(str(name).removeprefix(start)) for name in forecasts if str(name).startswith(start)]
