"""Learning curves: what is drawn against the table, what is said against curves whose course is known."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tsforecast import ConfigError, Naive, NotFittedError, plot_learning_curve
from tsforecast.plots.learning import advice

Curve = tuple[ArrayLike, ArrayLike | None]

losses = st.floats(0.01, 10.0)


@dataclass
class Fitted:
    """What the figure asks of a network."""

    history_: Any
    name: str = "LSTM"


def history(nets: Mapping[tuple[object, int], Curve], kept: int | None = None, rate: float = 1e-3) -> pd.DataFrame:
    """A table as networks write it; the rate halves every ten epochs, the lowest epoch is kept where none is told."""
    parts = []
    for (model, seed), (loss, validation) in nets.items():
        y = np.asarray(loss, dtype=float)
        seen = np.full(len(y), np.nan) if validation is None else np.asarray(validation, dtype=float)
        watched = np.where(np.isfinite(y if validation is None else seen), y if validation is None else seen, np.inf)
        epoch = np.arange(1, len(y) + 1)
        parts.append(
            pd.DataFrame(
                {
                    "model": model,
                    "seed": seed,
                    "epoch": epoch,
                    "loss": y,
                    "validation_loss": seen,
                    "learning_rate": rate * 0.5 ** ((epoch - 1) // 10),
                    "best": epoch == (kept or watched.argmin() + 1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def one(loss: ArrayLike, validation: ArrayLike | None = None, kept: int | None = None) -> pd.DataFrame:
    return history({("global", 0): (loss, validation)}, kept)


def kinds(table: pd.DataFrame) -> list[str]:
    """The verdicts without their epochs and remedies."""
    names = ("diverges", "overfits", "does not learn", "jagged", "still falling", "too few", "settled")
    return [next(name for name in names if line.startswith(name)) for line in advice(table)]


def tally(table: pd.DataFrame) -> Counter[str]:
    """Nets by verdict, as said of two nets and more: "3 of 5 nets", "all of 2 nets"."""
    found: Counter[str] = Counter()
    for kind, line in zip(kinds(table), advice(table), strict=True):
        said = re.search(r"(\w+) of (\d+) nets", line)
        assert said, line
        found[kind] += int(said[2] if said[1] == "all" else said[1])
    return found


def stopped(curve: np.ndarray, patience: int = 10) -> np.ndarray:
    """The epochs until none of the last `patience` was better."""
    lowest = 0
    for epoch, loss in enumerate(curve):
        lowest = epoch if loss < curve[lowest] else lowest
        if epoch - lowest >= patience:
            return curve[: epoch + 1]
    return curve


def autoregressive(rng: np.random.Generator, rows: int, phi: float) -> np.ndarray:
    noise = rng.normal(size=rows) * np.sqrt(1 - phi**2)
    noise[0] /= np.sqrt(1 - phi**2)
    for t in range(1, rows):
        noise[t] += phi * noise[t - 1]
    return noise


# Curves of any shape


@given(st.lists(losses, min_size=4, max_size=60), st.booleans())
def test_a_falling_curve_is_neither_jagged_nor_overfitted(values: list[float], validated: bool) -> None:
    falling = sorted(values, reverse=True)
    found = kinds(one(falling, falling if validated else None))
    assert not {"jagged", "overfits", "diverges"} & set(found)


@given(
    st.lists(losses, min_size=1, max_size=40, unique=True),
    st.lists(st.floats(0.02, 0.5), min_size=3, max_size=40),
    st.integers(0, 5),
)
def test_validation_that_falls_and_then_rises_overfits_after_its_lowest_epoch(
    falls: list[float], steps: list[float], still: int
) -> None:
    down = sorted(falls, reverse=True)
    up = down[-1] * (1 + np.cumsum([0.0] * min(still, 2 * len(steps) // 3) + steps))
    loss = np.linspace(1.0, 0.1, len(down) + len(up))
    (said,) = advice(one(loss, [*down, *up]))
    assert said.startswith(f"overfits after epoch {len(down)}: ")


@given(st.lists(losses, min_size=2, max_size=50), st.integers(-12, 12))
def test_units_of_the_loss_change_no_verdict_but_that_of_the_mean(values: list[float], power: int) -> None:
    """A power of two changes no digit; only "does not learn" knows that scaled rows err by 1."""
    validation, loss = np.array(values), np.linspace(0.9, 0.5, len(values))
    found, other = (kinds(one(unit * loss, unit * validation)) for unit in (1.0, 2.0**power))
    assume("does not learn" not in {*found, *other})
    assert found == other


@example([[1.0] * 8, [1.0, 1.0, 2.0, 1.0, 1.0, 2.0, 0.5]], Random(0))
@settings(max_examples=50)
@given(st.lists(st.lists(losses, min_size=1, max_size=20), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_a_net_is_judged_without_its_company(many: list[list[float]], random: Any) -> None:
    alone = Counter(kind for curve in many for kind in kinds(one(curve)))
    together = history({("a", seed): (curve, None) for seed, curve in enumerate(many)})
    order = list(range(len(together)))
    random.shuffle(order)
    assert tally(together) == tally(together.iloc[order]) == alone


def test_what_most_nets_have_in_common_is_said_first() -> None:
    falls, rises = np.geomspace(1, 0.3, 20), [*np.geomspace(1, 0.5, 10), *np.linspace(0.5, 0.8, 10)]
    calm = 0.3 + 0.7 * np.exp(-np.arange(20))
    for curves in ([calm, calm, falls, falls, falls, rises], [rises, rises, calm]):
        said = kinds(history({("a", seed): (calm, curve) for seed, curve in enumerate(curves)}))
        assert said == [{id(calm): "settled", id(falls): "still falling", id(rises): "overfits"}[one]
                        for one, _ in Counter(map(id, curves)).most_common()]  # fmt: skip


# Curves whose course is known


@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_plateaus_are_rarely_called_overfitted(phi: float) -> None:
    """Validation that falls to a level and only wanders there until patience ends: 1 % and 15 % of 300 at most."""
    rng, fall = np.random.default_rng(0), 0.3 + 0.7 * np.exp(-np.arange(200) / 5)
    plateaus = [stopped(fall + 0.01 * autoregressive(rng, 200, phi)) for _ in range(300)]
    table = history({(net, 0): (np.geomspace(1, 0.2, len(curve)), curve) for net, curve in enumerate(plateaus)})
    assert tally(table)["overfits"] <= (3 if phi == 0 else 45)


def test_a_noisy_rise_is_found() -> None:
    """Up by 1 % of the level an epoch for 35 epochs, in noise of 2 %."""
    rng, epochs = np.random.default_rng(1), np.arange(50)
    course = 0.3 + 0.7 * np.exp(-epochs / 4) + 0.003 * np.maximum(epochs - 15, 0)
    loss = np.geomspace(1, 0.1, 50)
    table = history({(net, 0): (loss, course + 0.006 * rng.normal(size=50)) for net in range(100)})
    assert tally(table)["overfits"] >= 95


@pytest.mark.parametrize(("constant", "said"), [(20, "still falling"), (10, "still falling"), (2, "settled")])
def test_an_exponential_falls_still_until_it_has_fallen(constant: float, said: str) -> None:
    """A fifth of 30 epochs takes off 1 - exp(-6/20), 1 - exp(-6/10): more than 1 % of what is left and of the whole."""
    loss = 0.3 + 0.7 * np.exp(-np.arange(30) / constant)
    assert kinds(one(loss)) == [said]
    assert kinds(one(loss, loss + 0.1)) == [said]


@pytest.mark.parametrize(("share", "jagged"), [(0.01, False), (0.025, False), (0.035, True), (0.3, True)])
def test_a_zigzag_is_jagged_from_three_hundredths_of_the_fall(share: float, jagged: bool) -> None:
    """Up by `share` of the fall at every other epoch, from a level that is reached at once."""
    curve = np.where(np.arange(41) % 2, 0.5, 0.5 + 0.5 * share)
    curve[0] = 1.0
    assert ("jagged" in kinds(one(np.geomspace(1, 0.4, 41), curve))) == jagged


def test_a_zigzag_is_held_against_what_training_learned_in_its_first_epoch() -> None:
    curve = 0.2 + 0.004 * (np.arange(30) % 2)
    assert kinds(one(np.full(30, 0.2), curve)) == ["jagged"]
    assert kinds(one([0.6, *[0.2] * 29], curve)) == ["settled"]


def test_one_bad_epoch_is_not_jagged_and_a_slight_zigzag_of_a_high_level_neither() -> None:
    curve = 0.3 + 0.7 * np.exp(-np.arange(60) / 6)
    curve[30] *= 5
    assert kinds(one(curve)) == ["settled"]
    dip = np.array([1.0, *np.tile([0.5, 0.52], 20)])
    dip[20] = 0.1
    assert kinds(one(dip)) == ["jagged"]
    assert kinds(one(100 + 0.4 * (-1.0) ** np.arange(40))) == ["does not learn"]


def test_seven_epochs_show_a_zigzag_and_six_do_not() -> None:
    zigzag = 0.5 + 0.3 * (np.arange(7) % 2)
    assert "jagged" in kinds(one(zigzag))
    assert "jagged" not in kinds(one(zigzag[:6]))


def test_a_slight_rise_and_one_bad_last_epoch_are_not_for_good() -> None:
    falls, loss = np.geomspace(1, 0.5, 20), np.geomspace(1, 0.4, 30)
    assert kinds(one(loss, [*falls, *np.linspace(0.5001, 0.5045, 10)])) == ["settled"]
    assert kinds(one(loss, [*falls, *np.linspace(0.5001, 0.512, 10)])) == ["overfits"]
    assert kinds(one(loss, [*falls, *[0.501] * 9, 0.8])) == ["settled"]
    assert kinds(one(loss, [*falls, *[0.6] * 10])) == ["overfits"]
    assert "overfits" not in kinds(one(loss[:22], [*falls, 0.6, 0.7]))


def test_what_falls_still_is_lowest_at_the_end_and_falls_by_what_matters() -> None:
    again = np.concatenate([np.geomspace(1, 0.2, 20), np.geomspace(0.5, 0.3, 20)])
    assert kinds(one(again)) == ["settled"]
    end = np.linspace(0.34, 0.3, 20)  # a fifth of 30 epochs: 4 % of the loss, not of a fall from 100
    assert kinds(one([*np.geomspace(1, 0.35, 10), *end])) == ["still falling"]
    assert kinds(one([*np.geomspace(100, 0.35, 10), *end])) == ["settled"]
    assert advice(one(np.linspace(0.5, 0.496, 30)))[0].startswith("settled in the first epoch")


def test_plateaus_are_rarely_called_falling() -> None:
    """Forty epochs of white noise of 2 %: 6 % of 300."""
    rng = np.random.default_rng(5)
    table = history({(net, 0): (0.3 + 0.006 * rng.normal(size=40), None) for net in range(300)})
    assert tally(table)["still falling"] <= 20


def test_what_does_not_learn() -> None:
    rng, epochs = np.random.default_rng(2), np.arange(40)
    around = 1 + 0.002 * rng.normal(size=40)
    (said,) = advice(one(around, around * 1.3))
    assert said.startswith("does not learn: no better than the first epoch, or than the mean")
    lucky = np.where(epochs == 20, 0.9, 1.0) * around
    assert kinds(one(around, lucky * 1.3)) == ["does not learn"]
    assert kinds(one(np.linspace(1.3, 0.985, 30))) == ["still falling"]
    to_the_mean = 1 + 4 * np.exp(-epochs / 2)
    assert kinds(one(to_the_mean, to_the_mean)) == ["does not learn"]
    # Dropout weighs on training alone; what is learned in one epoch is low from the first; other units are not scaled.
    assert kinds(one(around, 0.6 + 0.4 * np.exp(-epochs / 3))) == ["settled"]
    assert advice(one(0.3 * around, 0.4 * around))[0].startswith("settled in the first epoch: ")
    assert kinds(one(30 * to_the_mean, 30 * to_the_mean)) == ["settled"]


def test_few_epochs_tell_little() -> None:
    for rows in (1, 2, 3):
        assert advice(one(np.linspace(1, 0.5, rows))) == [f"too few epochs to judge: raise epochs (it ran {rows})"]


def test_a_loss_that_is_no_number_diverges() -> None:
    (said,) = advice(one([1.0, 0.7, 0.5, 0.4, 0.9, np.nan], [1.0, 0.8, 0.6, 0.5, 1.1, np.nan]))
    assert said.startswith("diverges after epoch 4: ")
    assert kinds(one([*np.tile([1.0, 0.5], 10), np.nan])) == ["diverges"]
    (said,) = advice(one([np.inf], [np.nan]))
    assert said.startswith("diverges in the first epoch: ")


# Curves of gradient descent on least squares, whose theory is known


def descent(step: float, rows: int = 30, epochs: int = 400, noise: float = 1.0, batch: int | None = None) -> Curve:
    """Losses of least squares in 25 columns by gradient descent; steps beyond 2 / lambda_max diverge."""
    rng = np.random.default_rng(3)
    X, truth = rng.normal(size=(rows + 200, 25)), rng.normal(size=25) / 5
    y = X @ truth + noise * rng.normal(size=len(X))
    y = y / y[:rows].std()
    top = np.linalg.eigvalsh(2 * X[:rows].T @ X[:rows] / rows)[-1]
    w, found = np.zeros(25), []
    for _ in range(epochs):
        for part in np.array_split(rng.permutation(rows), rows // (batch or rows)):
            w = w - step / top * 2 * X[part].T @ (X[part] @ w - y[part]) / len(part)
        found.append([np.mean((X[part] @ w - y[part]) ** 2) for part in (slice(rows), slice(rows, None))])
    loss, validation = np.array(found).T
    return loss, validation


def test_descent_on_few_noisy_rows_overfits_after_its_best_epoch() -> None:
    loss, validation = descent(0.5)
    turn = int(np.argmin(validation)) + 1
    assert 1 < turn < 100
    (said,) = advice(one(loss, validation))
    assert said.startswith(f"overfits after epoch {turn}: ")
    assert "the weights of that epoch are kept" in said
    (said,) = advice(one(loss, validation, kept=400))
    assert "the weights of epoch 400 are kept: early_stopping=True" in said


def test_descent_on_many_rows_settles_and_with_a_tiny_step_falls_still() -> None:
    assert kinds(one(*descent(0.5, rows=2000, epochs=60))) == ["settled"]
    assert kinds(one(*descent(0.005, rows=2000, epochs=60))) == ["still falling"]


def test_descent_diverges_beyond_the_step_of_theory_and_not_below() -> None:
    below, beyond = (kinds(one(*descent(step, rows=2000, epochs=80))) for step in (1.9, 2.1))
    assert "diverges" not in below
    assert beyond == ["diverges"]


def test_steps_on_single_rows_are_jagged_where_they_are_long() -> None:
    long, short = (descent(step, rows=300, epochs=60, noise=0.5, batch=1) for step in (0.06, 0.001))
    assert "jagged" in kinds(one(*long))
    assert "jagged" not in kinds(one(*short))


# The figure


def lines(figure: Any) -> dict[str, Any]:
    """Traces in the legend by name."""
    return {trace.name: trace for trace in figure.data if trace.showlegend is not False}


def shown(figure: Any) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def test_the_figure_of_one_net_holds_its_losses_its_epoch_and_its_words() -> None:
    epochs = np.arange(40)
    loss, validation = 0.2 + 0.8 * np.exp(-epochs / 9), 0.4 + 0.6 * np.exp(-epochs / 5) + 0.004 * epochs
    table = one(loss, validation)
    figure = plot_learning_curve(Fitted(table, "<b>net"))
    best = int(validation.argmin()) + 1
    traces = lines(figure)
    assert list(traces) == ["training", "validation", f"weights kept: epoch {best}"]
    np.testing.assert_array_equal(traces["training"].x, epochs + 1)
    np.testing.assert_array_equal(traces["training"].y, loss)
    np.testing.assert_array_equal(traces["validation"].y, validation)
    dot = traces[f"weights kept: epoch {best}"]
    assert (dot.x[0], dot.y[0]) == (best, validation[best - 1])
    assert [traces["training"].text[epoch] for epoch in (0, 10, 39)] == [
        " at rate 0.001", " at rate 0.0005", " at rate 0.000125"
    ]  # fmt: skip
    assert figure.layout.title.text == "&lt;b>net: learning curve"
    words, turns = shown(figure)
    assert words.replace("<br>", " ") == advice(table)[0]
    assert turns == f"turns up after epoch {best}"
    assert [shape.x0 for shape in figure.layout.shapes] == [best]
    assert figure.layout.yaxis.type is None


def test_without_validation_nothing_turns_up_and_training_bears_the_mark() -> None:
    loss = np.geomspace(1, 0.1, 20)
    figure = plot_learning_curve(Fitted(one(loss)))
    assert list(lines(figure)) == ["training", "weights kept: epoch 20"]
    assert figure.data[1].y == (loss[-1],)
    assert not figure.layout.shapes


@pytest.mark.parametrize(("turn", "anchor"), [(8, "left"), (24, "right")])
def test_the_text_of_a_mark_stands_where_there_is_room(turn: int, anchor: str) -> None:
    course = np.concatenate([np.geomspace(1, 0.4, turn), np.linspace(0.41, 0.8, 32 - turn)])
    note = plot_learning_curve(Fitted(one(np.geomspace(1, 0.3, 32), course))).layout.annotations[1]
    assert (note.text, note.xanchor) == (f"turns up after epoch {turn}", anchor)


def test_losses_far_apart_stand_on_a_scale_of_logarithms() -> None:
    assert plot_learning_curve(Fitted(one(np.geomspace(1000, 0.5, 20)))).layout.yaxis.type == "log"
    assert plot_learning_curve(Fitted(one([1000.0, 10.0, 1.0, 0.0, 0.0]))).layout.yaxis.type is None


def ensemble(nets: int) -> dict[tuple[object, int], Curve]:
    """Nets that stop after different epochs; half of them turn up."""
    rng = np.random.default_rng(4)
    found: dict[tuple[object, int], Curve] = {}
    for net in range(nets):
        epochs = np.arange(rng.integers(30, 60))
        rise = 0.01 * np.maximum(epochs - rng.integers(8, 20), 0) * (net % 2)
        loss = rng.uniform(0.2, 0.4) + 0.7 * np.exp(-epochs / 3)
        found[f"shop {net // 2}", net % 2] = loss, loss + 0.1 + rise
    return found


def held(nets: Mapping[tuple[object, int], Curve], which: int, rows: int) -> np.ndarray:
    """Losses (m, e), the last of each net repeated after its end."""
    curves = [np.asarray(curve[which]) for curve in nets.values()]
    return np.array([np.append(curve, [curve[-1]] * (rows - len(curve))) for curve in curves])


@pytest.mark.parametrize("nets", [11, 500])
def test_many_nets_are_a_median_and_a_band(nets: int) -> None:
    curves = ensemble(nets)
    figure = plot_learning_curve(Fitted(history(curves)))
    assert len(figure.data) == 4
    traces = lines(figure)
    rows = len(traces[f"training, median of {nets} nets"].x)
    assert rows == max(len(np.asarray(curve[0])) for curve in curves.values())
    bands = [trace for trace in figure.data if trace.fill]
    for which, name in enumerate(("training", "validation")):
        expected = np.quantile(held(curves, which, rows), [0.1, 0.5, 0.9], axis=0, method="lower")
        np.testing.assert_allclose(traces[f"{name}, median of {nets} nets"].y, expected[1])
        np.testing.assert_allclose(bands[which].y, np.append(expected[0], expected[2][::-1]))
    running = [sum(len(np.asarray(loss)) > epoch for loss, _ in curves.values()) for epoch in range(rows)]
    assert [text.split(", ")[1] for text in traces[f"training, median of {nets} nets"].text] == [
        f"{left} of {nets} nets running" for left in running
    ]
    turns = [int(np.argmin(np.asarray(validation))) + 1 for (_, seed), (_, validation) in curves.items() if seed]
    best = [int(np.argmin(np.asarray(validation))) + 1 for _, validation in curves.values()]
    marks = [int(np.quantile(epochs, 0.5, method="lower")) for epochs in (best, turns)]
    assert [shape.x0 for shape in figure.layout.shapes if shape.type == "line"] == marks
    assert f"weights kept: epoch {marks[0]} (half of {nets} nets" in shown(figure)[1]
    assert any(line.startswith(f"overfits after epoch {marks[1]} (median; {nets // 2} of {nets} nets): ")
               for line in advice(history(curves)))  # fmt: skip


def test_a_few_nets_are_drawn_one_by_one_and_can_be_picked() -> None:
    curves = ensemble(6)
    table = history(curves)
    figure = plot_learning_curve(Fitted(table))
    thin = {trace.name: trace for trace in figure.data if trace.showlegend is False}
    assert len(thin) == 12
    for (model, seed), (_, validation) in curves.items():
        expected = np.asarray(validation)
        drawn = np.asarray(thin[f"validation, {model}, seed {seed}"].y, dtype=float)
        np.testing.assert_array_equal(drawn[: len(expected)], expected)
        assert np.isnan(drawn[len(expected) :]).all()
    dots = lines(figure)["weights kept"]
    assert list(dots.x) == table.loc[table["best"], "epoch"].tolist()
    assert list(dots.y) == table.loc[table["best"], "validation_loss"].tolist()
    picked = plot_learning_curve(Fitted(table), nets=["shop 1"])
    same = plot_learning_curve(Fitted(table[table["model"] == "shop 1"]))
    assert picked == same


def test_a_polars_table_gives_the_same_figure() -> None:
    table = history(ensemble(5))
    polars = pl.from_pandas(table).with_columns(pl.col("validation_loss").fill_nan(None))
    assert plot_learning_curve(Fitted(polars)) == plot_learning_curve(Fitted(table))


def test_nets_that_never_had_a_finite_loss_are_said_and_not_drawn() -> None:
    figure = plot_learning_curve(Fitted(one([np.nan], [np.nan])))
    assert shown(figure)[0].startswith("diverges in the first epoch")
    assert list(lines(figure)) == []


def test_what_cannot_be_drawn_says_why() -> None:
    table = history(ensemble(14))
    with pytest.raises(ConfigError, match="draws a fitted network; Naive has no history_"):
        plot_learning_curve(Naive())
    with pytest.raises(ConfigError, match=r"no net nobody; there are shop 0, shop 1, .* \.\.\. and 2 more"):
        plot_learning_curve(Fitted(table), nets=["shop 1", "nobody"])
    with pytest.raises(ConfigError, match="nets= is empty"):
        plot_learning_curve(Fitted(table), nets=[])
    with pytest.raises(ConfigError, match="it lacks best"):
        advice(table.drop(columns="best"))
    with pytest.raises(ConfigError, match="no net has an epoch with a finite loss: lower learning_rate"):
        advice(table.iloc[:0])

    class Unfitted:
        @property
        def history_(self) -> Any:
            raise NotFittedError("LSTM is not fitted yet")

    with pytest.raises(NotFittedError, match="not fitted yet"):
        plot_learning_curve(Unfitted())
