"""Learning curves of networks: loss by epoch, and in words what the curves say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from tsforecast.errors import ConfigError, NotFittedError, listed, require
from tsforecast.panel import Bool, Float, Int
from tsforecast.plots.style import COLOURS, RED, faint, headed, plain

__all__ = ["advice", "plot_learning_curve"]

COLUMNS = ("model", "seed", "epoch", "loss", "validation_loss", "learning_rate", "best")
SLIGHT = 0.01
"""Share of a loss below which a change of it is of no matter to forecasts: 1 % of a squared error is 0.5 % of its
root."""
SETBACK = 1.5
"""A rise is for good where it is this many times what the curve ever took back: so one of 1,000 plateaus of white
noise passes that patience 10 ends, one in ten of those with autocorrelation 0.7."""
JAGGED = 0.03
"""Share of a curve's fall (or rise) by which a quarter of its epochs stray from both neighbours: it is seen."""
MEAN = (0.98, 1.05)
"""Losses of a net that says no more than the mean of scaled rows, whose squared error is 1."""
FEW = 10
"""Nets that are drawn one by one; more are drawn as a band."""
SPAN = 50
"""Times by which the highest loss exceeds the lowest where a scale of logarithms shows more."""


def plot_learning_curve(model: Any, *, nets: Sequence[object] | None = None) -> Any:
    """Training and validation loss of a fitted network by epoch, and below the title what they say (see `advice`).

    Marked are the epoch whose weights were kept and, where validation rises for good, where it turns up; hovering tells
    the learning rate. Of several nets the median is drawn, over each of them or over the band of 80 %; a net that has
    stopped counts with its last loss. `nets` picks them by the column "model" of `history_`. ConfigError: no network.
    """
    curves = _read(_history(model), nets)
    figure = require("plotly.graph_objects", "report").Figure()
    headed(figure, f"{plain(model.name)}: learning curve", _words(curves), 430)
    figure.update_layout(hovermode="x unified")
    _draw(figure, curves, "training", curves.loss, COLOURS[0])
    _draw(figure, curves, "validation", curves.validation, COLOURS[1])
    _mark(figure, curves)
    drawn = [loss for loss in (curves.loss, curves.validation) if np.isfinite(loss).any()]
    if drawn and 0 < SPAN * min(map(np.nanmin, drawn)) < max(map(np.nanmax, drawn)):
        figure.update_yaxes(type="log")
    return figure.update_xaxes(title="epoch").update_yaxes(title="loss")


def advice(history: Any) -> list[str]:
    """What learning curves say, in words, what most nets have in common first.

    `history` is the table `history_` of a fitted network. A net "diverges", "overfits after epoch N", "does not
    learn", is "jagged" or "still falling at the last epoch"; where it is none of these it has "settled". Validation is
    what is judged, training where there is none.
    """
    return _words(_read(history, None))


class _Curves(NamedTuple):
    """Curves of m nets over e epochs: losses and learning rates (m, e), NaN after a net's end and where not finite.

    `best` (m,) are the epochs whose weights were kept, 0 where none is marked; `broken` nets met a loss that was not
    finite.
    """

    names: list[tuple[Any, Any]]
    loss: Float
    validation: Float
    rate: Float
    best: Int
    broken: Bool

    @property
    def watched(self) -> Float:
        """Validation losses (m, e), training losses where a net has no validation."""
        return np.where((_count(self.validation) > 0)[:, None], self.validation, self.loss)


def _history(model: Any) -> Any:
    try:
        return model.history_
    except NotFittedError:
        raise
    except AttributeError as cause:
        kind = type(model).__name__
        raise ConfigError(f"plot_learning_curve draws a fitted network; {kind} has no history_") from cause


def _read(history: Any, nets: Sequence[object] | None) -> _Curves:
    """Curves of the chosen nets; ConfigError names those that are not there."""
    table = nw.from_native(history, eager_only=True)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ConfigError(f"no history of a network: it lacks {listed(missing)}")
    if not len(table):
        raise ConfigError("no net has an epoch with a finite loss: lower learning_rate, or set clip")
    owners = list(zip(table["model"].to_list(), table["seed"].to_list(), strict=True))
    there = dict.fromkeys(model for model, _ in owners)
    wanted = there if nets is None else dict.fromkeys(nets)
    if not wanted.keys() <= there.keys() or not wanted:
        strange = [net for net in wanted if net not in there]
        raise ConfigError(f"no net {listed(strange)}; there are {listed(there)}" if strange else "nets= is empty")
    names = [owner for owner in dict.fromkeys(owners) if owner[0] in wanted]
    places = {owner: place for place, owner in enumerate(names)}
    net = np.array([places.get(owner, -1) for owner in owners])
    epoch = table["epoch"].to_numpy().astype(np.int64) - 1

    def dense(name: str) -> Float:
        values = np.full((len(names), int(epoch[net >= 0].max()) + 1), np.nan)
        values[net[net >= 0], epoch[net >= 0]] = table[name].to_numpy().astype(float)[net >= 0]
        return values

    loss, validation = dense("loss"), dense("validation_loss")
    kept = np.nan_to_num(dense("best")) * np.arange(1, loss.shape[1] + 1)
    return _Curves(
        names=names,
        loss=np.where(np.isfinite(loss), loss, np.nan),
        validation=np.where(np.isfinite(validation), validation, np.nan),
        rate=dense("learning_rate"),
        best=kept.max(axis=1).astype(np.int64),
        broken=np.isfinite(loss).sum(axis=1) < np.isfinite(dense("epoch")).sum(axis=1),
    )


def _words(curves: _Curves) -> list[str]:
    """A line for each verdict that some net has, the most frequent first."""
    found = {kind: nets for kind, nets in _verdicts(curves).items() if nets.any()}
    turn = _lowest(curves.watched) + 1
    # The sort is stable: of equally frequent ones what is worse comes first.
    return [_sentence(kind, curves, turn, found[kind]) for kind in sorted(found, key=lambda kind: -found[kind].sum())]


def _sentence(kind: str, curves: _Curves, turn: Int, nets: Bool) -> str:
    """A verdict on the marked nets (m,), which are lowest at `turn` (m,), and what to do."""
    of = f"{'all' if nets.all() else int(nets.sum())} of {len(nets)} nets"
    some = "" if len(nets) == 1 else f" ({of})"
    when = f"epoch {_middle(turn[nets])}" + ("" if len(nets) == 1 else f" (median; {of})")
    ran = _middle(_count(curves.loss)[nets])
    kept = f"the weights of {'that epoch' if len(nets) == 1 else 'the best epochs'} are kept"
    late = curves.best[nets & (curves.best > turn)]
    if len(late):
        kept = f"but the weights of epoch {_middle(late)} are kept: early_stopping=True keeps the best"
    return {
        "diverges": f"diverges {f'after {when}' if ran else f'in the first epoch{some}'}: training gets worse as well, "
        "or is not finite. Lower learning_rate, or set clip",
        "overfits": f"overfits after {when}: validation rises for good while training does not; {kept}. Raise dropout "
        "or l2, lower hidden or learning_rate, or give more rows",
        "does not learn": f"does not learn{some}: no better than the first epoch, or than the mean (whose squared "
        "error on scaled rows is 1). Try another learning_rate, a longer window, other columns",
        "jagged": f"jagged{some}: lower the learning rate, raise the epochs",
        "still falling": f"still falling at the last epoch{some}: raise epochs or patience (it ran {ran})",
        "short": f"too few epochs to judge{some}: raise epochs (it ran {ran})",
        "flat": f"settled in the first epoch{some}: no later one is better by {SLIGHT:.0%}. Hold it against a naive "
        "forecast",
        "settled": f"settled: lowest at {when}, neither falling nor rising clearly at the end",
    }[kind]


def _verdicts(curves: _Curves) -> dict[str, Bool]:
    """Which nets (m,) are what, from the worst; every net is something."""
    watched = curves.watched
    rises, short = _rises(watched), _count(watched) < 4
    diverges = curves.broken | (rises & _rises(curves.loss))
    undecided = ~(rises | short | diverges)
    falls, idle, flat = _falls(watched), _idle(curves), _flat(watched)
    jagged = _zigzags(curves) & ~diverges
    calm = undecided & ~(falls | idle | jagged)
    return {
        "diverges": diverges,
        "overfits": rises & ~diverges,
        "does not learn": undecided & idle & ~falls,
        "jagged": jagged,
        "still falling": undecided & falls,
        "short": short & ~diverges,
        "flat": calm & flat,
        "settled": calm & ~flat,
    }


def _rises(curves: Float) -> Bool:
    """Curves (m, e) that rise for good after their lowest epoch.

    What has risen is the median of the last third of the epochs after it (three at least) over the lower epoch beside
    it: the lowest itself may be luck. It has risen by what matters, and by more than the curve took back, whether of
    rises before its lowest epoch or of the last rise.
    """
    count, low = _count(curves), _lowest(curves)
    after = count - 1 - low
    sides = np.pad(np.where(np.isnan(curves), np.inf, curves), ((0, 0), (1, 1)), constant_values=np.inf)
    beside = np.take_along_axis(sides, np.stack([low, low + 2], axis=1), axis=1).min(axis=1)
    rise = _median_of(curves, count, np.maximum(-(-after // 3), 3)) - beside
    late = np.arange(curves.shape[1]) > low[:, None]
    up = np.where(late, 0.0, curves - np.fmin.accumulate(curves, axis=1))
    down = np.where(late, np.fmax.accumulate(np.where(late, curves, -np.inf), axis=1) - curves, 0.0)
    strayed = np.nanmax(np.maximum(up, down), axis=1, initial=0.0)
    rising: Bool = (after >= 3) & (rise > SLIGHT * beside) & (rise > SETBACK * strayed)
    return rising


def _falls(curves: Float) -> Bool:
    """Curves (m, e) that are lowest in their last fifth, and lower there than in the fifth before by what matters.

    What matters is a hundredth of the loss, and of its whole fall, below which it is not seen.
    """
    count, low = _count(curves), _lowest(curves)
    block = np.maximum(count // 5, 1)
    end = _median_of(curves, count, block)
    fall = _median_of(curves, count - block, block) - end
    whole = curves[:, 0] - _quantile(curves, 0.0)
    falling: Bool = (low >= count - block) & (fall > SLIGHT * np.maximum(end, whole))
    return falling


def _flat(curves: Float) -> Bool:
    """Curves (m, e) that the first epoch tells; the best tenth of the epochs, so that luck does not count."""
    flat: Bool = _quantile(curves, 0.1) > (1 - SLIGHT) * curves[:, 0]
    return flat


def _idle(curves: _Curves) -> Bool:
    """Nets (m,) whose training says no more than the mean, and whose validation no more than that or the first epoch.

    Both are asked: dropout weighs on training alone, and the mean of quiet validation rows errs by less than 1.
    """
    low, floor = _quantile(curves.watched, 0.1), _quantile(curves.loss, 0.1)
    return (floor >= MEAN[0]) & (_flat(curves.watched) | ((low >= MEAN[0]) & (low <= MEAN[1])))


def _zigzags(curves: _Curves) -> Bool:
    """Nets (m,) of seven epochs or more that wobble by a share of the swing and of the level that is seen.

    The swing is that of both curves: where the first epoch teaches most of it, training alone tells.
    """
    watched = curves.watched
    count, wobble = _count(watched), _wobble(watched)
    end = _median_of(watched, count, np.maximum(count // 5, 1))
    swing = np.maximum(np.fmax(watched[:, 0], curves.loss[:, 0]), end) - _quantile(watched, 0.1)
    return (count >= 7) & (wobble > JAGGED * swing) & (wobble > SLIGHT * _quantile(watched, 0.5))


def _wobble(curves: Float) -> Float:
    """How far a quarter of the epochs lie outside of their two neighbours (m,): 0 where a curve turns but once."""
    left, middle, right = curves[:, :-2], curves[:, 1:-1], curves[:, 2:]
    outside = np.maximum(middle - np.maximum(left, right), np.minimum(left, right) - middle)
    return _quantile(np.maximum(outside, 0.0), 0.75)


def _count(curves: Float) -> Int:
    """Epochs (m,) until the last finite loss."""
    counts: Int = (np.isfinite(curves) * np.arange(1, curves.shape[1] + 1)).max(axis=1)
    return counts


def _lowest(curves: Float) -> Int:
    """Places (m,) of the lowest losses, the first of equal ones."""
    lowest: Int = np.where(np.isnan(curves), np.inf, curves).argmin(axis=1)
    return lowest


def _quantile(curves: Float, share: float) -> Float:
    """Lower empirical quantiles (m,) of the finite values; NaN where there is none."""
    ordered = np.sort(np.pad(curves, ((0, 0), (0, 1)), constant_values=np.nan), axis=1)  # NaN last
    place = (share * np.maximum(np.isfinite(curves).sum(axis=1) - 1, 0)).astype(np.int64)
    found: Float = np.take_along_axis(ordered, place[:, None], axis=1)[:, 0]
    return found


def _median_of(curves: Float, stop: Int, rows: Int) -> Float:
    """Medians (m,) of the `rows` epochs before `stop`."""
    epoch = np.arange(curves.shape[1])
    return _quantile(np.where((epoch < stop[:, None]) & (epoch >= (stop - rows)[:, None]), curves, np.nan), 0.5)


def _middle(epochs: Int) -> int:
    return int(np.sort(epochs)[(len(epochs) - 1) // 2])


def _draw(figure: Any, curves: _Curves, name: str, losses: Float, colour: str) -> None:
    """One kind of loss (m, e): the median as a line, over each net or over the band of 80 % of them."""
    seen = np.flatnonzero(_count(losses))
    if not len(seen):
        return
    losses, many = losses[seen], len(seen)
    epochs = np.arange(1, losses.shape[1] + 1)
    held = np.take_along_axis(losses, np.minimum(epochs, _count(losses)[:, None]) - 1, axis=1)
    if many > FEW:
        low, high = (_quantile(held.T, share) for share in (0.1, 0.9))
        figure.add_scatter(x=np.concatenate([epochs, epochs[::-1]]), y=np.concatenate([low, high[::-1]]),
                           fill="toself", fillcolor=faint(colour), mode="none", hoverinfo="skip", showlegend=False,
                           legendgroup=name)  # fmt: skip
    elif many > 1:
        for net, line in zip(seen, losses, strict=True):
            model, seed = curves.names[net]
            figure.add_scatter(x=epochs, y=line, mode="lines", line={"color": faint(colour, 0.4), "width": 1},
                               name=plain(f"{name}, {model}, seed {seed}"), hovertemplate="%{y:.4g}",
                               showlegend=False, legendgroup=name)  # fmt: skip
    told = [""] * len(epochs)
    if name == "training":
        running = np.isfinite(losses).sum(axis=0)
        rates = _quantile(curves.rate[seen].T, 0.5)
        told = [f" at rate {rate:.3g}" for rate in rates]
        if many > 1:
            told = [f"{text}, {left} of {many} nets running" for text, left in zip(told, running, strict=True)]
    figure.add_scatter(x=epochs, y=_quantile(held.T, 0.5), mode="lines", text=told, hovertemplate="%{y:.4g}%{text}",
                       name=name if many == 1 else f"{name}, median of {many} nets", legendgroup=name,
                       line={"color": colour, "width": 2.5})  # fmt: skip


def _mark(figure: Any, curves: _Curves) -> None:
    """The kept epochs, and where nets turn up that rise for good: dots of a few nets, lines of many."""
    watched = curves.watched
    kept = np.flatnonzero((curves.best > 0) & (_count(watched) > 0))
    best, half = curves.best[kept], watched.shape[1] / 2
    if len(curves.names) > FEW:
        _rule(figure, "weights kept: epoch", best, COLOURS[2], ("bottom", half))
    elif len(kept):
        figure.add_scatter(x=best, y=watched[kept, best - 1], mode="markers", hoverinfo="skip",
                           name="weights kept" + ("" if len(kept) > 1 else f": epoch {best[0]}"),
                           marker={"color": COLOURS[2], "size": 10, "line": {"width": 1, "color": "#fff"}})  # fmt: skip
    _rule(figure, "turns up after epoch", _lowest(watched)[_rises(watched)] + 1, RED, ("top", half))


def _rule(figure: Any, what: str, epochs: Int, colour: str, place: tuple[str, float]) -> None:
    """An upright line at the middle of some epochs, what it is, and the half of many around it.

    `place` is where the text stands: at the top or bottom, and the epoch from which on it stands left of the line.
    """
    if not len(epochs):
        return
    middle, text = _middle(epochs), f"{what} {_middle(epochs)}"
    low, high = np.quantile(epochs, [0.25, 0.75], method="nearest").tolist()
    if len(epochs) > FEW and low < high:
        text += f" (half of {len(epochs)} nets: {low} to {high})"
        figure.add_vrect(x0=low, x1=high, fillcolor=colour, opacity=0.08, line_width=0)
    note = {"text": text, "font_color": colour, "bgcolor": "rgba(255,255,255,0.7)"}
    figure.add_vline(x=middle, line={"color": colour, "width": 1.5, "dash": "dot"}, annotation=note,
                     annotation_position=f"{place[0]} {'left' if middle > place[1] else 'right'}")  # fmt: skip
