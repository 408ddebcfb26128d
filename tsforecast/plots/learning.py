"""Learning curves of networks: loss by epoch, and in words what the curves say."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from tsforecast.errors import ConfigError, NotFittedError, listed, require
from tsforecast.panel import Bool, Float, Int
from tsforecast.plots.style import COLOURS, INK, RED, faint, layout, plain

__all__ = ["advice", "plot_learning_curve"]

COLUMNS = ("model", "seed", "epoch", "loss", "validation_loss", "learning_rate", "best")
SLIGHT = 0.01
"""Share of a loss below which a change of it is of no matter to forecasts: 1 % of a squared error is 0.5 % of its
root."""
SETBACK = 2.0
"""A rise is for good where it is this many times what the curve ever took back: of plateaus of white noise with
patience 10, 1 % pass; of those with autocorrelation 0.7, one in ten."""
JAGGED = 0.05
"""Share of a curve's fall (or rise) by which a quarter of its epochs stray from both neighbours: it is seen."""
MEAN = (0.98, 1.05)
"""Losses of a net that says no more than the mean of scaled rows, whose squared error is 1."""
FEW = 10
"""Nets that are drawn one by one; more are drawn as a band."""
LETTERS = 105
"""Letters of a line below the title."""


def plot_learning_curve(model: Any, *, nets: Sequence[object] | None = None) -> Any:
    """Training and validation loss of a fitted network by epoch, and below the title what they say (see `advice`).

    Marked are the epoch whose weights were kept and, where validation rises for good, where it turns up; hovering tells
    the learning rate. Of several nets the median is drawn, over each of them or over the band of 80 %; a net that has
    stopped counts with its last loss. `nets` picks them by the column "model" of `history_`. ConfigError: no network.
    """
    curves = _read(_history(model), nets)
    lines = [line for words in _words(curves) for line in wrap(plain(words), LETTERS)]
    look = layout(f"{plain(model.name)}: learning curve", 420 + 18 * len(lines))
    look["title"] |= {"y": 1, "yanchor": "top", "pad": {"t": 16}}
    look["margin"] = {"t": 64 + 18 * len(lines), "b": 40}
    figure = require("plotly.graph_objects", "report").Figure(layout=look)
    figure.update_layout(hovermode="x unified", legend={"orientation": "h", "y": -0.12, "yanchor": "top"})
    figure.add_annotation(x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", yshift=12,
                          text="<br>".join(lines), align="left", showarrow=False, font_color=INK)  # fmt: skip
    _draw(figure, curves, "training", curves.loss, COLOURS[0])
    _draw(figure, curves, "validation", curves.validation, COLOURS[1])
    _mark(figure, curves)
    drawn = np.concatenate([trace.y for trace in figure.data if trace.mode == "lines"]).astype(float)
    low, high = np.nanmin(drawn, initial=np.inf), np.nanmax(drawn, initial=-np.inf)
    if 0 < 50 * low < high:
        figure.update_yaxes(type="log", dtick="D1" if high < 1000 * low else 1)
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
    if missing or not len(table):
        raise ConfigError(f"no learning curve: it lacks {listed(missing)}" if missing else "no epoch was trained")
    owners = list(zip(table["model"].to_list(), table["seed"].to_list(), strict=True))
    strange = [] if nets is None else [net for net in nets if all(net != model for model, _ in owners)]
    if strange:
        raise ConfigError(f"no net {listed(strange)}; there are {listed(dict.fromkeys(model for model, _ in owners))}")
    names = [owner for owner in dict.fromkeys(owners) if nets is None or owner[0] in nets]
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
    found = _verdicts(curves)
    turn = _lowest(curves.watched) + 1
    said = []
    for kind in sorted(found, key=lambda kind: -int(found[kind].sum())):  # stable: what is worse first
        nets = found[kind]
        if not nets.any():
            continue
        many = "" if len(nets) == 1 else f" ({'all' if nets.all() else int(nets.sum())} of {len(nets)} nets)"
        said.append(_sentence(kind, curves, turn, nets, many))
    return said


def _sentence(kind: str, curves: _Curves, turn: Int, nets: Bool, many: str) -> str:
    """A verdict on the marked nets, and what to do."""
    epoch = _middle(turn[nets])
    ran = _middle(_count(curves.loss)[nets])
    if kind == "overfits":
        late = nets & (curves.best > turn)
        kept = f"the weights of {'that epoch' if len(nets) == 1 else 'their best epochs'} are kept"
        if late.any():
            kept = f"but those of epoch {_middle(curves.best[late])} are kept, early_stopping=True keeps the best"
        return (
            f"overfits after epoch {epoch}{many}: validation rises for good while training does not; {kept}. "
            "Raise dropout or l2, lower hidden or learning_rate, or give more rows"
        )
    return {
        "diverges": f"diverges after epoch {min(epoch, ran)}{many}: training gets worse as well. "
        "Lower learning_rate, or set clip",
        "does not learn": f"does not learn{many}: no better than the first epoch, or than the mean (on scaled rows a "
        "squared error of 1). Try another learning_rate, a longer window, other columns",
        "jagged": f"jagged{many}: lower the learning rate, raise the epochs",
        "still falling": f"still falling at the last epoch{many}: raise epochs (it ran {ran})",
        "short": f"too few epochs to judge{many}: raise epochs (it ran {ran})",
        "flat": f"settled in the first epoch{many}: no later one is better by {SLIGHT:.0%}; hold it against a naive "
        "forecast",
        "settled": f"settled{many}: lowest at epoch {epoch}, neither falling nor rising clearly at the end",
    }[kind]


def _verdicts(curves: _Curves) -> dict[str, Bool]:
    """Which nets (m,) are what, from the worst; every net is something."""
    watched = curves.watched
    count, bottom, first = _count(watched), _quantile(watched, 0.0), watched[:, 0]
    block = np.maximum(count // 5, 1)
    end, before = _median_of(watched, count, block), _median_of(watched, count - block, block)
    rises = _rises(watched)
    diverges = curves.broken | (rises & _rises(curves.loss))
    overfits = rises & ~diverges
    short = (count < 4) & ~diverges
    told = diverges | overfits | short
    drop = before - end
    falling = ~told & (drop > SLIGHT * np.maximum(end, first - bottom)) & (_lowest(watched) >= count - block)
    told |= falling
    low, floor = _quantile(watched, 0.1), _quantile(curves.loss, 0.1)  # a tenth, not the luckiest epoch
    flat = low > (1 - SLIGHT) * first
    nothing = ~told & (floor >= MEAN[0]) & (flat | ((low >= MEAN[0]) & (low <= MEAN[1])))
    swing = np.maximum(first, end) - bottom
    wobble = _wobble(watched)
    seen = (wobble > JAGGED * swing) & (wobble > SLIGHT * _quantile(watched, 0.5)) & (count >= 7)
    jagged = seen & ~diverges
    calm = ~(told | nothing | jagged)
    return {
        "diverges": diverges,
        "overfits": overfits,
        "does not learn": nothing,
        "jagged": jagged,
        "still falling": falling,
        "short": short,
        "flat": calm & flat,
        "settled": calm & ~flat,
    }


def _rises(curves: Float) -> Bool:
    """Curves (m, e) that rise for good after their lowest epoch.

    What counts is the median of the last third of the epochs after it (three at least): it lies above by more than
    matters, and by more than the curve took back, whether of rises before its lowest epoch or of the last rise.
    """
    count, low, bottom = _count(curves), _lowest(curves), _quantile(curves, 0.0)
    after = count - 1 - low
    rise = _median_of(curves, count, np.maximum(-(-after // 3), 3)) - bottom
    late = np.arange(curves.shape[1]) > low[:, None]
    up = np.where(late, 0.0, curves - np.fmin.accumulate(curves, axis=1))
    down = np.where(late, np.fmax.accumulate(np.where(late, curves, -np.inf), axis=1) - curves, 0.0)
    strayed = np.nanmax(np.maximum(up, down), axis=1, initial=0.0)
    rising: Bool = (after >= 3) & (rise > SLIGHT * bottom) & (rise > SETBACK * strayed)
    return rising


def _wobble(curves: Float) -> Float:
    """How far a quarter of the epochs lie outside of their two neighbours (m,): 0 where a curve turns but once."""
    left, middle, right = curves[:, :-2], curves[:, 1:-1], curves[:, 2:]
    outside = np.maximum(middle - np.maximum(left, right), np.minimum(left, right) - middle)
    turn = np.arange(1, curves.shape[1] - 1) == _lowest(curves)[:, None]
    return _quantile(np.where(turn, 0.0, np.maximum(outside, 0.0)), 0.75)


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
    seen = ~np.isnan(losses).all(axis=1)
    if not seen.any():
        return
    many = int(seen.sum())
    epochs = np.arange(1, losses.shape[1] + 1)
    last = _count(losses[seen])[:, None] - 1
    held = np.take_along_axis(losses[seen], np.minimum(np.arange(losses.shape[1]), last), axis=1)
    if many > FEW:
        low, high = (_quantile(held.T, share) for share in (0.1, 0.9))
        figure.add_scatter(x=np.concatenate([epochs, epochs[::-1]]), y=np.concatenate([low, high[::-1]]),
                           fill="toself", fillcolor=faint(colour), line_width=0, mode="none", hoverinfo="skip",
                           showlegend=False, legendgroup=name)  # fmt: skip
    elif many > 1:
        for (model, seed), line in zip((curves.names[i] for i in np.flatnonzero(seen)), losses[seen], strict=True):
            figure.add_scatter(x=epochs, y=line, mode="lines", line={"color": faint(colour, 0.35), "width": 1},
                               name=plain(f"{name}: {model}, seed {seed}"), hovertemplate="%{y:.4g}",
                               showlegend=False, legendgroup=name)  # fmt: skip
    rates = _quantile(curves.rate[seen].T, 0.5)
    running = np.isfinite(losses[seen]).sum(axis=0)
    texts = [f"rate {rate:.3g}" for rate in rates]
    if many > 1:
        texts = [f"{text}, {left} of {many} nets running" for text, left in zip(texts, running, strict=True)]
    hover = (
        {"text": texts, "hovertemplate": "%{y:.4g} (%{text})"} if name == "training" else {"hovertemplate": "%{y:.4g}"}
    )
    shown = name if many == 1 else f"{name}, median of {many} nets"
    figure.add_scatter(x=epochs, y=_quantile(held.T, 0.5), mode="lines", name=shown, legendgroup=name,
                       line={"color": colour, "width": 2.5}, **hover)  # fmt: skip


def _mark(figure: Any, curves: _Curves) -> None:
    """The kept epochs and, of nets that rise for good, where they turn: dots and lines, their middles of many nets."""
    watched = curves.watched
    kept = np.flatnonzero(curves.best)
    if len(kept) and len(curves.names) <= FEW:
        losses = watched[kept, curves.best[kept] - 1]
        figure.add_scatter(x=curves.best[kept], y=losses, mode="markers", name="best epoch", hoverinfo="skip",
                           marker={"color": COLOURS[2], "size": 9, "line": {"width": 1, "color": "white"}})  # fmt: skip
    if len(kept):
        _rule(figure, "best epoch", curves.best[kept], COLOURS[2], "bottom")
    rises = np.flatnonzero(_rises(watched))
    if len(rises):
        _rule(figure, "turns up", _lowest(watched)[rises] + 1, RED, "top")


def _rule(figure: Any, what: str, epochs: Int, colour: str, side: str) -> None:
    """An upright line at the middle of some epochs, what it is, and the half of them around it."""
    middle = _middle(epochs)
    low, high = (int(epoch) for epoch in np.quantile(epochs, [0.25, 0.75], method="nearest"))
    text = f"{what}: {middle}" + (f" (half of {len(epochs)}: {low} to {high})" if low < high else "")
    if low < high:
        figure.add_vrect(x0=low, x1=high, fillcolor=colour, opacity=0.08, line_width=0)
    figure.add_vline(x=middle, line={"color": colour, "width": 1.5, "dash": "dot"}, annotation_text=text,
                     annotation_position=f"{side} right", annotation_font_color=colour)  # fmt: skip
