"""backtest: forecasters rolled over the past of a panel."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

from tsforecast.compose.ensemble import Ensemble
from tsforecast.errors import ConfigError, FitError, LeakageWarning, listed
from tsforecast.evaluation.folds import check_folds, dealt, fold_rolled
from tsforecast.evaluation.value import Backtest
from tsforecast.findings import as_panel
from tsforecast.forecast import STATUSES
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import checked_levels
from tsforecast.panel import Panel
from tsforecast.rolling import Memory, Rolled, origins, rolled

__all__ = ["backtest"]


def backtest(
    models: Forecaster | Sequence[Forecaster],
    data: Any,
    *,
    h: int,
    windows: int = 1,
    step: int | None = None,
    gap: int = 0,
    refit: bool | int = True,
    input_size: int | None = None,
    levels: Sequence[float] = (),
    align: Literal["time", "end"] = "time",
    scheme: Literal["rolling", "kfold", "blocked"] = "rolling",
) -> Backtest:
    """Forecasts of each model from `windows` origins, `step` rows apart (h where None), and the truth beside them.

    The last origin leaves `gap + h` rows, and steps gap+1 .. gap+h are judged. `refit=True` fits at every origin,
    `False` at the first alone, k at every k-th; `input_size` caps the rows that a fit sees. `align="time"` cuts all
    series at the same date, `"end"` each at its own end, for models of single series. Known columns are read from
    the data itself, so they are taken as known without error. A series too short at an origin has no forecast there.

    `scheme="kfold"` (shuffled) and `"blocked"` (stretches of time) judge a plain lag model on the rows of its lag
    table instead, by fits on the other `windows` - 1 folds, later rows among them: honest only where residuals are
    uncorrelated (see `tsforecast.evaluation.folds`).

    ConfigError for names or options that cannot work, FitError where a model with `on_error="raise"` gave no usable
    forecast, LeakageWarning where the origins reach into rows that a model was tuned on.
    """
    panel, levels = as_panel(data), checked_levels(levels)
    members = _members(models, panel)
    _check_choices(members, align, scheme)
    fold = None
    shared: list[dict[str, Any]] = [{}] * len(members)
    if scheme == "rolling":
        cutoffs = origins(panel, h=h, windows=windows, step=step, gap=gap, align=align)
        _warn_of_leakage(members, panel, int(cutoffs.min()) + 1)
        shared = _shared(members, panel, h + gap)
        options: dict[str, Any] = {"refit": refit, "input_size": input_size, "levels": levels}
        roll = partial(rolled, cutoffs=cutoffs, h=h, gap=gap, **options)
    else:
        check_folds(members, h=h, gap=gap, levels=levels)
        fold = dealt(len(panel.grid), windows, scheme)
        _warn_of_leakage(members, panel, 0)
        roll = partial(fold_rolled, fold=fold)
    done = [_rolled(model, panel, partial(roll, **more), h + gap) for model, more in zip(members, shared, strict=True)]
    return Backtest(
        panel=panel,
        models=tuple(model.name for model in members),
        rolled=tuple(done),
        complexity=tuple(model.complexity for model in members),
        reports_status=tuple(model.on_error != "raise" for model in members),
        h=h,
        step=1 if fold is not None else h if step is None else step,
        gap=gap,
        levels=levels,
        refit=refit,
        align=align,
        fold=fold if fold is None else fold[1:],
    )


def _members(models: Forecaster | Sequence[Forecaster], panel: Panel) -> tuple[Forecaster, ...]:
    members = (models,) if isinstance(models, Forecaster) else tuple(models)
    if not members:
        raise ConfigError("no model to backtest: give one forecaster or a sequence of them")
    for model in members:
        if not isinstance(model, Forecaster):
            raise ConfigError(f"a model must be a forecaster such as AR() or Naive(), got {model!r}")
    names = [model.name for model in members]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"models share the name {listed(twice)}: two of one class need two aliases, "
            f'as in {twice[0]}(alias="{twice[0]} 2")'
        )
    taken = sorted({"cutoff", "trained_to", *filter(None, panel.names)} & set(names))
    if taken:
        raise ConfigError(f"{listed(taken)} is a column of the table already: give the model another alias")
    return members


def _check_choices(members: Sequence[Forecaster], align: str, scheme: str) -> None:
    if align not in ("time", "end"):
        raise ConfigError(f'align must be "time" or "end", got {align!r}')
    if scheme not in ("rolling", "kfold", "blocked"):
        raise ConfigError(f'scheme must be "rolling", "kfold" or "blocked", got {scheme!r}')
    wide = [model.name for model in members if align == "end" and model.needs != "series"]
    if wide:
        raise ConfigError(
            f'align="end" would show {listed(wide)} later rows of other series: '
            'it sees several series at once and needs align="time"'
        )


def _warn_of_leakage(members: Sequence[Forecaster], panel: Panel, position: int) -> None:
    """LeakageWarning for models tuned on rows at or after the grid position of the first row to be judged."""
    first = panel.grid[max(position, 0)]
    for model in members:
        until = getattr(model, "tuned_on_", None)
        if until is not None and until.dtype.kind == first.dtype.kind and first <= until:
            warnings.warn(
                f"{model.name} was tuned on rows up to {until} and is judged from {first} on: its score is "
                "flattered; tune on earlier rows, or judge on later ones",
                LeakageWarning,
                stacklevel=3,
            )


def _shared(members: Sequence[Forecaster], panel: Panel, h: int) -> list[dict[str, Any]]:
    """For each model one `memory` of all that are part of several, or judged beside what they are part of; {} for a
    model that has none of these.
    """
    for model in members:
        model._validate(h)
    parts = [list(_parts(_quiet(model))) for model in members]
    times = Counter(chain.from_iterable(parts))
    memory = Memory(panel, h, wanted={name for name, count in times.items() if count > 1})
    return [{"memory": memory} if any(times[name] > 1 for name in mine) else {} for mine in parts]


def _parts(model: Forecaster) -> Iterator[str]:
    """A model and all that it is made of, as text."""
    yield repr(model)
    for member in model._team if isinstance(model, Ensemble) else ():
        yield from _parts(member)


def _quiet(model: Forecaster) -> Forecaster:
    # Series that have not begun at an origin are no failure of the model, and must not stop the others.
    return model.copy(on_error="skip") if model.on_error == "raise" else model


def _rolled(model: Forecaster, panel: Panel, roll: Callable[[Forecaster, Panel], Rolled], h: int) -> Rolled:
    """`roll` with the checks of `fit` before it, and the failures that `on_error="raise"` asks for after it."""
    model._validate(h)
    design = model.design(panel)
    model._check(design, h)
    done = roll(_quiet(model), design)
    if model.on_error == "raise":
        _raise_failures(model, design, done)
    return done


def _raise_failures(model: Forecaster, design: Panel, done: Rolled) -> None:
    failed = done.status == STATUSES.index("failed")
    if not failed.any():
        return
    shape = failed.shape
    enough = model._rows_needed(design)
    trained = design.cut(done.trained).observed.reshape(shape)
    guilty = failed & (trained >= max(enough, 1)) & (design.cut(done.cutoffs).lengths.reshape(shape) > 0)
    if guilty.any():
        ids = design.ids[guilty.any(axis=0)]
        raise FitError(
            f"{model.name}: no usable forecast at {int(guilty.sum())} of {guilty.size} (origin, series) pairs, "
            f'for {listed(ids)}: look at them with tsforecast.check(data), or set on_error="fallback"',
            list(ids),
        )
