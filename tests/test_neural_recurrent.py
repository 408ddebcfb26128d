"""Recurrent layers with gradients written out, against torch's own modules and finite differences."""

import itertools
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from tsforecast.models.neural import recurrent
from tsforecast.models.neural.recurrent import Cell

KINDS = ("rnn", "relu", "lstm", "gru")
GATES = {"rnn": 1, "relu": 1, "lstm": 4, "gru": 3}
WAYS = [(kind, fused) for kind in KINDS for fused in (False, True)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


def layer(kind: str, x: Tensor, cell: Cell, state: Any = None, fused: bool = False) -> tuple[Tensor, Any]:
    if kind in ("rnn", "relu"):
        return recurrent.rnn(x, cell, state, relu=kind == "relu", fused=fused)
    return getattr(recurrent, kind)(x, cell, state, fused=fused)


def modules(kind: str, m: int, inputs: int, units: int, dtype: Any = torch.double) -> list[nn.RNNBase]:
    made = {"rnn": nn.RNN, "relu": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
    options = {"nonlinearity": "relu"} if kind == "relu" else {}
    return [made(inputs, units, **options).to(dtype) for _ in range(m)]


def arrays(made: list[nn.RNNBase], of: Any = lambda weight: weight.detach()) -> list[Tensor]:
    """What `of` makes of torch's weights (g u, inputs), as ours (m, inputs, g u)."""
    return [torch.stack([of(getattr(one, f"{name}_l0")).t() for one in made]) for name in Cell._fields]


def begun(kind: str, m: int, b: int, units: int, dtype: Any = torch.double) -> list[Tensor]:
    count = 2 if kind == "lstm" else 1
    return [torch.randn(m, b, units, dtype=dtype).requires_grad_() for _ in range(count)]


@pytest.mark.parametrize(("kind", "fused"), WAYS)
def test_values_and_gradients_are_those_of_the_module(kind: str, fused: bool) -> None:
    m, steps, b, inputs, units = 3, 6, 5, 2, 4
    made = modules(kind, m, inputs, units)
    cell = Cell(*(weight.requires_grad_() for weight in arrays(made)))
    x = torch.randn(m, steps, b, inputs, dtype=torch.double).requires_grad_()
    state = begun(kind, m, b, units)
    out, last = layer(kind, x, cell, tuple(state), fused)
    by = torch.randn(m, steps, b, units, dtype=torch.double), torch.randn(len(state), m, b, units, dtype=torch.double)
    loss = (out * by[0]).sum() + sum((s * w).sum() for s, w in zip(last, by[1], strict=True))
    mine = torch.autograd.grad(loss, [x, *state, *cell])

    total = torch.zeros((), dtype=torch.double)
    for i, one in enumerate(made):
        first = tuple(s[i : i + 1] for s in state)
        theirs, end = one(x[i], first if kind == "lstm" else first[0])
        ends = end if kind == "lstm" else (end,)
        torch.testing.assert_close(out[i], theirs, atol=1e-13, rtol=0)
        for got, expected in zip(last, ends, strict=True):
            torch.testing.assert_close(got[i], expected[0], atol=1e-13, rtol=0)
        total = total + (theirs * by[0][i]).sum() + sum((s[0] * w[i]).sum() for s, w in zip(ends, by[1], strict=True))
    total.backward()
    expected = [x.grad, *(s.grad for s in state), *arrays(made, lambda weight: weight.grad)]
    for got, wanted in zip(mine, expected, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_gradients_are_finite_differences(kind: str) -> None:
    m, steps, b, inputs, units = 2, 3, 2, 2, 2
    cell = [weight.requires_grad_() for weight in arrays(modules(kind, m, inputs, units))]
    x = torch.randn(m, steps, b, inputs, dtype=torch.double).requires_grad_()

    def run(rows: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        out, last = layer(kind, rows, Cell(*rest[:4]), rest[4:])
        return out, *last

    assert torch.autograd.gradcheck(run, (x, *cell, *begun(kind, m, b, units)))


@pytest.mark.parametrize(
    ("kind", "fused", "used"),
    [(*way, used) for way in WAYS for used in ("last", "rows", "cell") if used != "cell" or way[0] == "lstm"],
)
def test_gradient_where_only_some_of_the_output_is_used(kind: str, fused: bool, used: str) -> None:
    made = modules(kind, 1, 3, 4)
    cell = Cell(*(weight.requires_grad_() for weight in arrays(made)))
    x = torch.randn(1, 5, 2, 3, dtype=torch.double)
    out, last = layer(kind, x, cell, fused=fused)
    theirs, end = made[0](x[0])
    mine = {"last": last[0], "rows": out[:, 2], "cell": last[-1]}[used]
    other = {"last": end[0] if kind == "lstm" else end, "rows": theirs[2], "cell": end[-1]}[used]
    other.square().sum().backward()
    got = torch.autograd.grad(mine.square().sum(), list(cell))
    for one, wanted in zip(got, arrays(made, lambda weight: weight.grad), strict=True):
        torch.testing.assert_close(one, wanted, atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_stays_near_double_over_a_long_window(kind: str) -> None:
    (one,) = modules(kind, 1, 3, 32)
    cell = Cell(*arrays([one]))
    x = torch.randn(1, 168, 16, 3, dtype=torch.double)
    exact = one(x[0])[0]
    single = Cell(*(weight.float() for weight in cell))
    for fused in (False, True):
        out, _ = layer(kind, x.float(), single, fused=fused)
        assert (out[0].double() - exact).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_of_both_kinds_agree(kind: str) -> None:
    m, steps, b, inputs, units = 2, 60, 32, 3, 32
    cell = [weight.requires_grad_() for weight in arrays(modules(kind, m, inputs, units, torch.float))]
    x = torch.randn(m, steps, b, inputs)
    found = []
    for fused in (False, True):
        out, _ = layer(kind, x, Cell(*cell), fused=fused)
        found.append([out.detach(), *torch.autograd.grad(out.square().mean(), cell)])
    for own, torchs in zip(*found, strict=True):
        torch.testing.assert_close(own, torchs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "fused"), WAYS)
def test_a_window_in_two_parts_is_the_window(kind: str, fused: bool) -> None:
    cell = Cell(*(weight.requires_grad_() for weight in arrays(modules(kind, 2, 3, 4))))
    x = torch.randn(2, 7, 3, 3, dtype=torch.double)
    whole, end = layer(kind, x, cell, fused=fused)
    first, state = layer(kind, x[:, :4], cell, fused=fused)
    second, last = layer(kind, x[:, 4:], cell, state, fused)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    for got, wanted in zip(last, end, strict=True):
        torch.testing.assert_close(got, wanted)
    parts = torch.autograd.grad(second.square().sum(), list(cell))
    for got, wanted in zip(parts, torch.autograd.grad(whole[:, 4:].square().sum(), list(cell)), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_where_no_gradient_is_kept(kind: str) -> None:
    cell = Cell(*(weight.requires_grad_() for weight in arrays(modules(kind, 3, 3, 16, torch.float))))
    x = torch.randn(3, 9, 16, 3)
    kept, last = layer(kind, x, cell)
    with torch.no_grad():
        lean, end = layer(kind, x, cell)
    assert torch.equal(kept, lean)
    assert all(torch.equal(a, b) for a, b in zip(last, end, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_is_computed_alike_to_the_bit_in_any_company(kind: str) -> None:
    # 32 numbers of a net at least: what a vectorised loop takes at once.
    for (b, units), inputs in itertools.product([(16, 12), (64, 16), (32, 5), (32, 1), (16, 10)], (1, 4)):
        m, units_of_gates = 48, GATES[kind] * units
        cell = Cell(
            torch.randn(m, inputs, units_of_gates),
            torch.randn(m, units, units_of_gates) / 4,
            torch.randn(m, units_of_gates),
            torch.randn(m, units_of_gates),
        )
        x = torch.randn(m, 7, b, inputs)

        def run(some: list[int], x: Tensor = x, cell: Cell = cell) -> list[Tensor]:
            mine = Cell(*(weight[some].requires_grad_() for weight in cell))
            out, last = layer(kind, x[some].requires_grad_(), mine)
            return [out.detach(), *torch.autograd.grad(last[0].square().sum() + out.sin().sum(), list(mine))]

        every = run(list(range(m)))
        for some in ([11], [3, 40, 11, 0, 9], list(range(m))[::-1]):
            for part, whole in zip(run(some), every, strict=True):
                assert torch.equal(part, whole[some]), (b, inputs, units, len(some))
