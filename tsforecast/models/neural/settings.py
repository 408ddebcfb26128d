"""What a network's parameters come to: presets filled in, every choice checked before a row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from tsforecast.errors import ConfigError, NotFittedError, listed, whole
from tsforecast.models.neural import options
from tsforecast.models.neural.architecture import RECURRENT, Architecture, Embedding, length
from tsforecast.models.neural.data import Layout
from tsforecast.models.neural.options import Options, chosen, number

__all__ = ["Settings", "settings", "started"]

ENSEMBLE = 1000
"""Most nets of an ensemble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A network's parameters with the presets filled in; `window` None means that the frequency decides."""

    kind: str
    window: int | None
    hidden: tuple[int, ...]
    strategy: str
    validation: float | int
    seeds: tuple[int, ...]
    options: Options
    shape: Mapping[str, Any]
    embed: int | None

    @property
    def at_once(self) -> bool:
        """Whether a net gives all steps, and so is trained for a horizon."""
        return self.strategy != "recursive"

    def rows(self, freq: object) -> int:
        """Rows of the window."""
        return options.look_back(freq) if self.window is None else self.window

    def net(
        self, layout: Layout, static: Mapping[str, Any], labels: Sequence[tuple[int, int]], size: tuple[int, int]
    ) -> Architecture:
        """The net for rows of this layout, static columns, labels (first column, count) and `size` (window, steps)."""
        window, steps = size
        count = sum(len(how.get("labels", "1")) for how in static.values())
        sequence = self.strategy == "sequence"
        found = [] if self.embed is None else [Embedding(first, many, self.embed, False) for first, many in labels]
        place = 0
        for how in static.values():
            many = len(how.get("labels", "1"))
            if self.embed is not None and "labels" in how:
                found.append(Embedding(place, many, self.embed, True))
            place += many
        told = count - sum(e.labels - e.size for e in found if e.static)
        net = Architecture(
            kind=self.kind, window=window, inputs=layout.width, hidden=self.hidden, static=count, steps=steps,
            ahead=0 if sequence else layout.ahead(steps, self.at_once), quantiles=max(len(self.options.quantiles), 1),
            sequence=sequence, decoder=1 + layout.known + told if sequence and steps > 1 else 0,
            seen=layout.seen, embeddings=tuple(found), **self.shape,
        )  # fmt: skip
        _check_length(net)
        return net


def settings(model: Any) -> Settings:
    """The settings of a network's parameters; ConfigError names what cannot work, and the choices there are."""
    kind: str = model.kind
    usual = options.preset(model.preset, kind)

    def given(name: str) -> Any:
        value = getattr(model, name)
        return usual[name] if value is None else value

    _check_static(model.static, model.scope)
    strategy = _strategy(model)
    validation = _validation(given("validation"))
    return Settings(
        kind=kind,
        window=None if model.window is None else whole("window", model.window, 1),
        hidden=options.widths("hidden", given("hidden")),
        strategy=strategy,
        validation=validation,
        seeds=_seeds(given("seeds"), model.seed),
        options=_options(model, given, validation),
        shape=_shape(model, given, strategy),
        embed=None if model.embed is None else whole("embed", model.embed, 1),
    )


def _check_static(names: Any, scope: str) -> None:
    if isinstance(names, str) or not isinstance(names, Sequence):
        hint = f'; write static=("{names}",)' if isinstance(names, str) else ""
        raise ConfigError(f"static must be a sequence of names, got {names!r}{hint}")
    if names and scope == "series":
        raise ConfigError('static columns tell series apart, and with scope="series" a net sees one: leave them out')


def _strategy(model: Any) -> str:
    word = chosen("strategy", model.strategy, ("auto", "direct", "recursive", "sequence"))
    if word == "auto":
        return "direct" if model.past or model.loss == "pinball" else "recursive"
    if word == "recursive" and model.past:
        raise ConfigError(
            f'strategy="recursive" cannot use past columns ({listed(model.past)}): their own future would be needed '
            'to go on from the first step. Use strategy="direct" or "sequence", or list them as known'
        )
    if word == "recursive" and model.loss == "pinball":
        raise ConfigError(
            'loss="pinball" needs strategy="direct" or "sequence": quantiles of one step, fed back, are not those of '
            "the next"
        )
    if word == "sequence" and model.kind not in RECURRENT:
        raise ConfigError(
            f'{type(model).__name__} has no states to carry on: strategy="sequence" is for RNN, LSTM and GRU'
        )
    if word == "sequence" and getattr(model, "bidirectional", False):
        raise ConfigError('strategy="sequence" learns the next value at every step, which bidirectional=True would see')
    return word


def _validation(value: Any) -> float | int:
    fine = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value) and float(value) >= 0
    if not fine or (value >= 1 and value != int(value)):
        raise ConfigError(f"validation must be a share of the rows below 1, or a whole number of rows, got {value!r}")
    return int(value) if value >= 1 or value == 0 else float(value)


def _seeds(value: Any, seed: Any) -> tuple[int, ...]:
    if isinstance(value, (list, tuple, np.ndarray)):
        seeds = tuple(whole("seeds", one, 0) for one in value)
        if not seeds or len(set(seeds)) != len(seeds):
            raise ConfigError(f"seeds must be a number of nets or distinct whole numbers, got {value!r}")
        return seeds
    first, count = whole("seed", seed, -(2**63)), whole("seeds", value, 1)
    if count > ENSEMBLE:
        raise ConfigError(f"seeds={count}: an ensemble has at most {ENSEMBLE} nets")
    return tuple(range(first, first + count))


def _options(model: Any, given: Any, validation: float | int) -> Options:
    batch, sample = given("batch_size"), given("sample")
    early = model.early_stopping
    if not isinstance(early, bool):
        raise ConfigError(f"early_stopping must be True or False, got {early!r}")
    if not early and model.patience is not None:
        raise ConfigError("patience= is what early stopping waits: leave it out, or early_stopping=True")
    if early and not validation:
        raise ConfigError(
            "early stopping watches the loss of validation rows, and validation=0 leaves none: give validation=0.2, or "
            "early_stopping=False for a fixed number of epochs on all rows"
        )
    loss = chosen("loss", model.loss, options.LOSSES)
    more = {} if model.optimizer_options is None else model.optimizer_options
    if not isinstance(more, Mapping) or "lr" in more:
        raise ConfigError(f"optimizer_options must be a mapping such as {{'momentum': 0.9}} without lr, got {more!r}")
    return Options(
        loss=loss,
        quantiles=_quantiles(model.quantiles) if loss == "pinball" else (),
        optimizer=chosen("optimizer", model.optimizer, options.OPTIMIZERS),
        optimizer_options=dict(more),
        learning_rate=number("learning_rate", given("learning_rate"), 0.0, least=False),
        schedule=chosen("schedule", given("schedule"), options.SCHEDULES),
        l1=number("l1", model.l1, 0.0),
        l2=number("l2", model.l2, 0.0),
        clip=None if model.clip is None else number("clip", model.clip, 0.0, least=False),
        batch_size=None if batch == "full" else whole("batch_size", batch, 1),
        epochs=whole("epochs", given("epochs"), 1),
        patience=whole("patience", given("patience"), 1) if early else None,
        sample=None if sample in (None, "all") else whole("sample", sample, 1),
        jitter=number("jitter", model.jitter, 0.0),
        magnitude=number("magnitude", model.magnitude, 0.0, 1.0),
    )


def _quantiles(values: Any) -> tuple[float, ...]:
    fine = isinstance(values, Sequence) and not isinstance(values, str) and all(isinstance(q, Real) for q in values)
    chosen_ = sorted(float(q) for q in values) if fine else []
    apart = len(set(chosen_)) == len(chosen_) and all(0 < q < 1 for q in chosen_)
    if (
        not apart
        or any(abs(q + p - 1) > 1e-9 for q, p in zip(chosen_, chosen_[::-1], strict=True))
        or 0.5 not in chosen_
    ):
        raise ConfigError(
            "quantiles must be distinct, between 0 and 1, in pairs about 0.5 and with it, such as (0.1, 0.5, 0.9); "
            f"got {values!r}"
        )
    return tuple(chosen_)


def _shape(model: Any, given: Any, strategy: str) -> dict[str, Any]:
    """Parameters of the architecture that no data decides."""
    for name in ("scaling", "missing", "norm"):
        chosen(
            name,
            getattr(model, name),
            {"scaling": options.SCALINGS, "missing": ("mask", "refuse"), "norm": options.NORMS}[name],
        )
    chosen("device", model.device, options.DEVICES)
    if model.threads is not None:
        whole("threads", model.threads, 1)
    centre = chosen("centre", given("centre"), options.CENTRES)
    if model.window == 1:
        # A row less its own mean is nothing.
        if model.centre == "window":
            raise ConfigError('centre="window" needs more rows than window=1; centre="series" counts from the series')
        centre = "series"
    if strategy == "sequence":
        # The mean of a window would tell its earlier rows of its later ones, which they learn to forecast.
        if model.centre == "window":
            raise ConfigError(
                'centre="window" needs strategy="recursive" or "direct"; a sequence takes centre="series"'
            )
        centre = "series"
    cells = {"rnn": ("relu", "tanh"), "lstm": ("tanh",), "gru": ("tanh",)}.get(model.kind, options.ACTIVATIONS)
    shape = {
        "centred": centre == "window",
        "activation": chosen("activation", given("activation"), cells),
        "slope": number("slope", model.slope, 0.0),
        "dropout": number("dropout", given("dropout"), 0.0, 1.0),
        "norm": model.norm,
    }
    if model.kind in RECURRENT:
        if not isinstance(model.bidirectional, bool):
            raise ConfigError(f"bidirectional must be True or False, got {model.bidirectional!r}")
        shape["bidirectional"] = model.bidirectional
    if model.kind == "cnn":
        padding = model.padding
        shape["padding"] = (
            padding if padding in ("same", "causal") else whole('padding ("same", "causal" or rows)', padding, 0)
        )
        shape["kernel"], shape["stride"] = whole("kernel", model.kernel, 1), whole("stride", model.stride, 1)
        shape["pool"] = chosen("pool", model.pool, options.POOLS)
    return shape


def _check_length(net: Architecture) -> None:
    rows = net.window
    for i in range(len(net.hidden) if net.kind == "cnn" else 0):
        rows = length(net, rows)
        if rows < 1:
            raise ConfigError(
                f"convolution {i + 1} of {len(net.hidden)} leaves no row of a window of {net.window}: give a longer "
                'window, fewer layers, a smaller kernel or stride, pool="none", or padding="causal"'
            )


def started(model: Any) -> tuple[Mapping[str, Any], Any]:
    """State of the fitted network that `pretrained` is, and the ids of its series; ConfigError where it computes
    something else, which the shapes of its weights may not tell.
    """
    other = model.pretrained
    if not hasattr(other, "kind") or not hasattr(other, "predict"):
        raise ConfigError(f"pretrained must be a fitted network, got {other!r}")
    if not hasattr(other, "state_"):
        raise NotFittedError(
            f"pretrained={other!r} is not fitted: call fit(data) first (copies and clones of a fitted model are not)"
        )
    mine, theirs = ({**settings(one).shape, "static": tuple(one.static)} for one in (model, other))
    odd = [
        f"{name} {theirs.get(name, 'absent')!r} there and {mine.get(name, 'absent')!r} here"
        for name in {**theirs, **mine}
        if name != "dropout" and theirs.get(name) != mine.get(name)
    ]
    if odd:
        raise ConfigError(f"pretrained= is a net of another shape: {listed(odd)}; make them alike")
    return other.state_["fit"], other.panel_.ids
