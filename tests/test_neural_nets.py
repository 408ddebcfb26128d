"""Forward passes of many nets at once, against torch's modules with the same weights, net by net."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsforecast.models.neural import nets
from tsforecast.models.neural.architecture import Architecture, Embedding, layers, length, n_parameters, weights
from tsforecast.models.neural.blocks import uncrossed

M, B, L, P = 3, 16, 6, 3
MODULES = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
RECURRENT = tuple(MODULES)
ACTIVATIONS = {
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "leaky_relu": nn.LeakyReLU(0.3),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "hardtanh": nn.Hardtanh(),
    "identity": nn.Identity(),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


def made(kind: str = "mlp", **changes: Any) -> Architecture:
    return Architecture(**({"kind": kind, "window": L, "inputs": P, "hidden": (8,)} | changes))


def drawn(net: Architecture, m: int = M, dtype: Any = torch.double) -> Tensor:
    """Flat vectors of m nets; everything that begins as a constant moved, as after some training."""
    begun = np.stack([nets.initial(net, np.random.default_rng(seed)) for seed in range(m)])
    begun[:, : sum(w.size for w in weights(net))] += np.float32(0.1) * np.random.default_rng(m).random(begun.shape[1])[
        : sum(w.size for w in weights(net))
    ].astype(np.float32)
    return torch.from_numpy(begun).to(dtype).requires_grad_()


def told(net: Architecture, m: int = M, b: int = B, dtype: Any = torch.double) -> dict[str, Tensor]:
    """Random windows and whatever else the net asks for."""
    found = {"x": torch.randn(m, net.window, b, net.inputs, dtype=dtype)}
    if net.static:
        found["static"] = torch.randn(m, b, net.static, dtype=dtype)
    if net.ahead:
        found["ahead"] = torch.randn(m, b, net.ahead, dtype=dtype)
    if net.decoder > 1 + net.static:
        found["known"] = torch.randn(m, net.steps - 1, b, net.decoder - 1 - net.static, dtype=dtype)
    return found


def dense(named: dict[str, Tensor], name: str, j: int, x: Tensor) -> Tensor:
    return functional.linear(x, named[f"{name}.weight"][j].t(), named[f"{name}.bias"][j])


def recurrent_module(net: Architecture, named: dict[str, Tensor], j: int, columns: int) -> Any:
    """All layers and both ways as one module of torch's, run by functional_call."""
    options = {"nonlinearity": net.activation} if net.kind == "rnn" else {}
    module = MODULES[net.kind](
        columns, net.hidden[0], len(net.hidden), bidirectional=net.bidirectional, dtype=torch.double, **options
    )
    kept = {}
    for i in range(len(net.hidden)):
        for way, suffix in (("", ""), ("back.", "_reverse"))[: net.directions]:
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                kept[f"{name}_l{i}{suffix}"] = named[f"{net.kind}{i}.{way}{name}"][j].t()
    return lambda x: torch.func.functional_call(module, kept, (x,))


def twin(net: Architecture, named: dict[str, Tensor], j: int, given: dict[str, Tensor]) -> Tensor:
    """Output (b, steps, q = 1) of net j, made of torch's modules as a reader of its documentation would."""
    x = given["x"][j]
    extra = [given[name][j] for name in ("static", "ahead") if name in given]
    acts: list[Any] = [ACTIVATIONS.get(net.activation)] * len(net.hidden)
    if net.activation == "prelu":
        acts = [lambda x, i=i: functional.prelu(x, named[f"prelu{i}"][j]) for i in range(len(net.hidden))]
    if net.kind == "mlp":
        top = torch.cat([x.transpose(0, 1).reshape(x.shape[1], -1), *extra], dim=1)
        for i in range(len(net.hidden)):
            top = acts[i](dense(named, f"dense{i}", j, top))
        return dense(named, "head", j, top)[..., None]
    if "static" in given:
        x = torch.cat([x, given["static"][j].expand(len(x), -1, -1)], dim=2)
    if net.kind == "cnn":
        top = x.permute(1, 2, 0)
        for i in range(len(net.hidden)):
            kernel = named[f"conv{i}.weight"][j].permute(2, 1, 0)
            bias, padding = named[f"conv{i}.bias"][j], net.padding
            if padding == "causal":
                top, padding = functional.pad(top, (net.kernel - 1, 0)), 0
            top = acts[i](functional.conv1d(top, kernel, bias, net.stride, padding))
            if net.pool != "none":
                top = {"max": functional.max_pool1d, "avg": functional.avg_pool1d}[net.pool](top, 2)
        top = top.transpose(1, 2).flatten(1)
    else:
        _, last = recurrent_module(net, named, j, x.shape[2])(x)
        last = last[0] if net.kind == "lstm" else last
        top = torch.cat(list(last[-net.directions :]), dim=1)
    if "ahead" in given:
        top = torch.cat([top, given["ahead"][j]], dim=1)
    return dense(named, "head", j, top)[..., None]


SHAPES = [
    *(made(kind, static=2, ahead=3, steps=3) for kind in ("rnn", "lstm", "gru", "mlp", "cnn")),
    *(made(kind, hidden=(8, 8), bidirectional=True) for kind in RECURRENT),
    *(made(kind, hidden=(8, 8, 8), inputs=1) for kind in RECURRENT),
    made("rnn", activation="relu", hidden=(8, 8)),
    made("mlp", hidden=(52, 39, 26), ahead=4),
    *(made("mlp", activation=name, slope=0.3, hidden=(5, 4)) for name in (*ACTIVATIONS, "prelu")),
    *(made("cnn", window=12, hidden=(8, 4), padding=padding) for padding in ("same", "causal", 0, 2)),
    *(made("cnn", window=13, hidden=(8, 4), kernel=2, pool=pool, padding="same") for pool in ("max", "avg")),
    made("cnn", window=12, stride=2, padding=1, activation="elu"),
    made("cnn", window=12, kernel=4, padding="same", static=1),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("net", SHAPES, ids=lambda net: f"{net.kind}-{net.hidden}-{net.activation}-{net.padding}")
def test_values_and_gradients_are_those_of_torchs_modules(net: Architecture) -> None:
    flat, given = drawn(net), told(net)
    named = nets.split(net, flat)
    out = nets.forward(net, named, **given)
    assert out.shape == (M, B, net.steps, 1)
    expected = torch.stack([twin(net, named, j, given) for j in range(M)])
    torch.testing.assert_close(out, expected, atol=1e-13, rtol=1e-12)
    by = torch.randn_like(out)
    (mine,), (theirs,) = (torch.autograd.grad((one * by).sum(), flat) for one in (out, expected))
    assert mine.abs().sum() > 0
    torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-11)


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("ways", [False, True])
def test_torchs_kernels_give_the_same_net(kind: str, ways: bool) -> None:
    net = made(kind, hidden=(8, 6), bidirectional=ways, static=2)
    named, given = nets.split(net, drawn(net)), told(net)
    torch.testing.assert_close(
        nets.forward(net, named, **given, fused=True), nets.forward(net, named, **given), atol=1e-13, rtol=1e-12
    )


@pytest.mark.parametrize(("fused", "norm"), [(False, "none"), (True, "none"), (False, "layer")])
@pytest.mark.parametrize("kind", RECURRENT)
def test_sequence_is_an_encoder_and_a_decoder_that_hears_itself(kind: str, fused: bool, norm: str) -> None:
    net = made(kind, hidden=(8, 6), static=2, steps=4, sequence=True, decoder=1 + 3 + 2, quantiles=3, norm=norm)
    flat, given = drawn(net), told(net)
    named = nets.split(net, flat)
    out = nets.forward(net, named, **given, fused=fused)
    assert out.shape == (M, B, L - 1 + 4, 3)
    found = []
    for j in range(M):
        static = given["static"][j]
        cells = {}
        for name, first in ((kind, P + 2), ("decoder", net.decoder)):
            for i, (units, width) in enumerate(zip((8, 6), (first, 8), strict=True)):
                kept = {
                    part: named[f"{name}{i}.{part}"][j].t() for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                }
                cells[name, i] = (CELLS[kind](width, units, dtype=torch.double), kept)
        states: list[Any] = [None, None]

        def heard(name: str, row: Tensor, cells: Any = cells, states: Any = states, j: int = j) -> Tensor:
            for i in range(2):
                module, kept = cells[name, i]
                given_to = (row,) if states[i] is None else (row, states[i])
                states[i] = torch.func.functional_call(module, kept, given_to)
                row = states[i][0] if kind == "lstm" else states[i]
                if norm == "layer":
                    own = (named[f"norm{i}.weight"][j], named[f"norm{i}.bias"][j])
                    row = functional.layer_norm(row, row.shape[-1:], *own)
            return row

        rows = [torch.cat([row, static], dim=1) for row in given["x"][j]]
        outputs = [dense(named, "head", j, heard(kind, row)) for row in rows]
        for t in range(net.steps - 1):
            row = torch.cat([outputs[-1][:, 1:2], given["known"][j, t], static], dim=1)
            outputs.append(dense(named, "head", j, heard("decoder", row)))
        found.append(uncrossed(torch.stack(outputs, dim=1)))
    expected = torch.stack(found)
    torch.testing.assert_close(out, expected, atol=1e-13, rtol=1e-12)
    by = torch.randn_like(out)
    (mine,), (theirs,) = (torch.autograd.grad((one * by).sum(), flat) for one in (out, expected))
    torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-11)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "mlp", "cnn"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norms_are_torchs_on_the_real_rows(kind: str, norm: str) -> None:
    net = made(kind, norm=norm, activation="relu" if kind in ("mlp", "cnn") else "tanh")
    plain = made(kind, activation="identity" if kind in ("mlp", "cnn") else "tanh")
    given, few = told(net), 11
    named = nets.split(net, drawn(net).detach())
    real = torch.zeros(M, B)
    real[:, :few] = 1
    updates: dict[str, Tensor] = {}
    out = nets.forward(net, named, **given, real=real, draw=torch.rand, updates=updates)
    still = nets.forward(net, named, **given)
    hidden = nets.encode(plain, named, **given)
    for j in range(M):
        # Filters are a channel each: (rows, filters, steps) for batch norm, the last axis for layer norm.
        rows = hidden[j].unflatten(1, (-1, 8))
        own = {part: named[f"norm0.{part}"][j] for part in ("weight", "bias")}
        if norm == "batch":
            module = nn.BatchNorm1d(8, dtype=torch.double)
            module.load_state_dict(
                own
                | {"running_mean": named["norm0.mean"][j], "running_var": named["norm0.variance"][j]}
                | {"num_batches_tracked": torch.tensor(0)}
            )
            quiet = module.eval()(rows.transpose(1, 2)).transpose(1, 2)
            loud = module.train()(rows[:few].transpose(1, 2)).transpose(1, 2)
            torch.testing.assert_close(updates["norm0.mean"][j], module.running_mean, atol=1e-12, rtol=1e-12)
            torch.testing.assert_close(updates["norm0.variance"][j], module.running_var, atol=1e-12, rtol=1e-12)
        else:
            quiet = functional.layer_norm(rows, (8,), own["weight"], own["bias"])
            loud = quiet[:few]
        finish = functional.relu if kind in ("mlp", "cnn") else nn.Identity()
        for got, expected in ((out[j, :few], loud), (still[j], quiet)):
            top = dense(named, "head", j, finish(expected).flatten(1))
            torch.testing.assert_close(got[:, :, 0], top, atol=1e-12, rtol=1e-12)
    assert set(updates) == ({"norm0.mean", "norm0.variance"} if norm == "batch" else set())


def test_batch_norm_between_recurrent_layers_goes_over_rows_and_steps() -> None:
    net = made("gru", norm="batch", hidden=(8, 4))
    named, given, updates = nets.split(net, drawn(net)), told(net), {}
    nets.forward(net, named, **given, draw=torch.rand, updates=updates)
    first = made("gru", hidden=(8,))
    for j in range(M):
        out, _ = recurrent_module(first, named, j, P)(given["x"][j])
        module = nn.BatchNorm1d(8, dtype=torch.double)
        module.running_mean, module.running_var = (
            named[f"norm0.{x}"][j].detach().clone() for x in ("mean", "variance")
        )
        module(out.permute(1, 2, 0))
        torch.testing.assert_close(updates["norm0.mean"][j], module.running_mean)
        torch.testing.assert_close(updates["norm0.variance"][j], module.running_var)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 30), st.integers(1, 6), st.integers(1, 4), st.sampled_from([0, 1, 3, "same", "causal"]),
    st.sampled_from(["none", "max", "avg"]),
)  # fmt: skip
def test_lengths_of_convolutions(window: int, kernel: int, stride: int, padding: Any, pool: str) -> None:
    net = made("cnn", window=window, kernel=kernel, stride=stride, padding=padding, pool=pool, hidden=(4,))
    rows = torch.randn(1, P, window)
    least = {"same": 1, "causal": 1}.get(padding, kernel - 2 * (padding if isinstance(padding, int) else 0))
    if window < least or length(net, window) < 1:
        return
    if padding == "causal":
        theirs = functional.conv1d(functional.pad(rows, (kernel - 1, 0)), torch.randn(4, P, kernel), stride=stride)
    elif padding == "same":
        theirs = functional.conv1d(rows, torch.randn(4, P, kernel), padding="same")[:, :, ::stride]
    else:
        theirs = nn.Conv1d(P, 4, kernel, stride, padding)(rows)
    if pool != "none":
        theirs = nn.MaxPool1d(2)(theirs)
    assert length(net, window) == theirs.shape[2]
    given = told(net, dtype=torch.float)
    assert nets.encode(net, nets.split(net, drawn(net, dtype=torch.float)), **given).shape == (M, B, theirs[0].numel())


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_causal_convolution_hears_the_newest_row_last_and_no_later_one(stride: int) -> None:
    for window in (7, 8, 9, 10):
        net = made("cnn", window=window, stride=stride, hidden=(4,), activation="identity")
        named, given = nets.split(net, drawn(net)), told(net)
        before = nets.encode(net, named, **given).unflatten(2, (-1, 4))
        for row in range(window):
            changed = {"x": given["x"].clone()}
            changed["x"][:, row] += 1
            moved = (nets.encode(net, named, **changed).unflatten(2, (-1, 4)) != before).any(dim=-1).all(dim=(0, 1))
            ends = [window - 1 - stride * k for k in range(before.shape[2])][::-1]
            assert moved.tolist() == [end - 2 <= row <= end for end in ends]


def test_dropout_keeps_the_share_and_the_mean() -> None:
    net = made("mlp", dropout=0.25, hidden=(64,), activation="identity")
    named, given = nets.split(net, drawn(net).detach()), told(net, b=512)
    named["head.weight"][:], named["head.bias"][:] = 0, 0
    named["head.weight"][:, 0] = 1  # shows the first hidden unit
    kept = nets.encode(net, named, **given)[:, :, 0]
    out = nets.forward(net, named, **given, draw=torch.rand)[:, :, 0, 0]
    dropped = out == 0
    assert abs(dropped.double().mean() - 0.25) < 4 * (0.25 * 0.75 / dropped.numel()) ** 0.5
    torch.testing.assert_close(out[~dropped], kept[~dropped] / 0.75)
    torch.testing.assert_close(nets.forward(net, named, **given)[:, :, 0, 0], kept)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "mlp", "cnn"])
def test_dropout_follows_every_hidden_layer(kind: str) -> None:
    net = made(kind, dropout=0.5, hidden=(8, 4))
    asked = []

    def draw(shape: tuple[int, ...]) -> Tensor:
        asked.append(shape)
        return torch.zeros(shape)  # below the share: everything is dropped

    named = nets.split(net, drawn(net))
    out = nets.forward(net, named, **told(net), draw=draw)
    between = {"mlp": (M, B, 8), "cnn": (M, L, B, 8)}.get(kind, (M, L, B, 8))
    assert asked == [between, (M, B, 4 * (L if kind == "cnn" else 1))]
    assert torch.equal(out, named["head.bias"][:, None, :, None].expand_as(out))


def test_dropout_follows_every_step_of_a_decoder() -> None:
    net = made("gru", dropout=0.5, hidden=(8, 4), sequence=True, steps=3, decoder=1)
    named = nets.split(net, drawn(net))
    out = nets.forward(net, named, **told(net), draw=lambda shape: torch.zeros(shape))
    assert torch.equal(out, named["head.bias"][:, None, :, None].expand_as(out))


@pytest.mark.parametrize("kind", ["lstm", "mlp", "cnn"])
def test_embeddings_are_torchs(kind: str) -> None:
    net = made(
        kind, inputs=6, static=5, embeddings=(Embedding(1, 4, 2, False), Embedding(0, 3, 2, True))
    )  # rows: value, 4 indicators, value; static: 3 indicators, 2 values
    plain = made(kind, inputs=2 + 2, static=2 + 2)
    named, given = nets.split(net, drawn(net)), told(net)
    labels, places = torch.randint(4, (M, L, B)), torch.randint(3, (M, B))
    given["x"][..., 1:5] = functional.one_hot(labels, 4)
    given["static"][..., :3] = functional.one_hot(places, 3)
    rows = torch.stack([functional.embedding(labels[j], named["embed0"][j]) for j in range(M)])
    static = torch.stack([functional.embedding(places[j], named["embed1"][j]) for j in range(M)])
    by_hand = {
        "x": torch.cat([given["x"][..., [0, 5]], rows], dim=-1),
        "static": torch.cat([given["static"][..., 3:], static], dim=-1),
    }
    torch.testing.assert_close(nets.forward(net, named, **given), nets.forward(plain, named, **by_hand))
    none = {"x": given["x"].clone(), "static": given["static"]}
    none["x"][..., 1:5] = 0
    by_hand["x"][..., 2:] = 0  # a label that is not among them says nothing
    torch.testing.assert_close(nets.forward(net, named, **none), nets.forward(plain, named, **by_hand))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=7))
def test_quantiles_never_cross(raw: list[float]) -> None:
    values = torch.tensor(raw, dtype=torch.double)
    out = uncrossed(values)
    middle = len(raw) // 2
    assert out[middle] == values[middle]
    assert (out.diff() >= 0).all()
    steps = functional.softplus(torch.cat([values[:middle], values[middle + 1 :]]))
    torch.testing.assert_close(out.diff(), steps, atol=1e-12, rtol=1e-12)


def test_parameters_are_counted_as_in_books_and_as_by_torch() -> None:
    def perceptron(inputs: int, *hidden: int, steps: int = 1) -> int:
        return n_parameters(made("mlp", window=1, inputs=inputs, hidden=hidden, steps=steps))

    assert perceptron(4, 5) == 31
    assert perceptron(19, 50) == 1_051
    assert perceptron(13, 52, 39, 26) == 3_862
    assert perceptron(784, 256, 128, steps=10) == 235_146
    rnn, lstm = made("rnn", inputs=3, hidden=(12,)), made("lstm", inputs=32, hidden=(32,))
    assert (n_parameters(rnn, one_bias=True), n_parameters(rnn)) == (205, 217)
    without_head = [sum(w.size for w in layers(net)[0].weights) for net in (rnn, lstm)]
    assert without_head == [204, 8_448]
    assert n_parameters(lstm, one_bias=True) - 33 == 8_320
    for kind in RECURRENT:
        net = made(kind, hidden=(8, 8), bidirectional=True)
        theirs = [*MODULES[kind](P, 8, 2, bidirectional=True).parameters(), *nn.Linear(16, 1).parameters()]
        assert n_parameters(net) == sum(p.numel() for p in theirs)
    conv = [*nn.Conv1d(P, 8, 3).parameters(), nn.PReLU().weight, *nn.BatchNorm1d(8).parameters()]
    theirs = [*conv, *nn.Linear(8 * L, 1).parameters()]
    net = made("cnn", activation="prelu", norm="batch")
    assert n_parameters(net) == sum(p.numel() for p in theirs)
    assert sum(w.size for w in weights(net)) == n_parameters(net) + 16  # running mean and variance


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "mlp", "cnn"])
def test_initial_weights_are_those_that_torch_would_draw_from(kind: str) -> None:
    net = made(kind, hidden=(40, 30), norm="batch", activation="prelu" if kind in ("mlp", "cnn") else "tanh")
    flat = nets.initial(net, np.random.default_rng(3))
    assert flat.dtype == np.float32
    assert len(flat) == nets.size(net)
    assert len(flat) % 32 == 0
    assert np.array_equal(flat, nets.initial(net, np.random.default_rng(3)))
    named = nets.split(net, torch.from_numpy(flat[None]))
    bounds = {"dense0": P * L, "dense1": 40, "conv0": 3 * P, "conv1": 3 * 40, "head": 30 * (L if kind == "cnn" else 1)}
    bounds |= {f"{kind}0": 40, f"{kind}1": 30} if kind in RECURRENT else {}
    for name, value in named.items():
        layer, _, part = name.partition(".")
        if layer in bounds:
            bound = bounds[layer] ** -0.5
            assert value.abs().max() <= bound
            if value.numel() > 500:
                assert value.abs().max() > 0.98 * bound
                assert abs(value.mean()) < 5 * bound / (3 * value.numel()) ** 0.5
        elif layer.startswith("prelu"):
            assert (value == 0.25).all()
        else:
            assert (value == (1.0 if part in ("weight", "variance") else 0.0)).all()
    assert not flat[sum(w.size for w in weights(net)) :].any()


@pytest.mark.parametrize(
    "net",
    [
        made("rnn", hidden=(12,), static=2, ahead=3),
        made("rnn", activation="relu", hidden=(12, 5), dropout=0.3),
        made("lstm", hidden=(12, 5), norm="layer", dropout=0.1),
        made("lstm", hidden=(16,), bidirectional=True, quantiles=3, steps=2),
        made("lstm", hidden=(12,), sequence=True, steps=3, decoder=3, quantiles=3),
        made("gru", hidden=(12, 7), norm="batch"),
        made("gru", hidden=(5,), sequence=True, steps=3, decoder=3),
        made("mlp", hidden=(5, 4), norm="batch", activation="selu", dropout=0.3),
        made("mlp", hidden=(13,), norm="layer", activation="prelu", embeddings=(Embedding(0, 3, 2, False),)),
        made("mlp", hidden=(16,), quantiles=3),
        made("cnn", hidden=(5, 3), norm="batch", pool="max", activation="elu"),
        made("cnn", hidden=(12,), pool="avg", activation="sigmoid", padding=0, static=2),
    ],
    ids=lambda net: f"{net.kind}-{net.hidden}-{net.norm}",
)
def test_a_net_is_computed_alike_to_the_bit_in_any_company(net: Architecture) -> None:
    m = 48
    whole, given = drawn(net, m, torch.float).detach(), told(net, m, nets.rows(net), torch.float)
    chance: dict[tuple[int, ...], Tensor] = {}

    def run(some: list[int]) -> list[Tensor]:
        def draw(shape: tuple[int, ...]) -> Tensor:
            if shape[1:] not in chance:
                chance[shape[1:]] = torch.rand(m, *shape[1:])
            return chance[shape[1:]][some]

        flat = whole[some].requires_grad_()
        updates: dict[str, Tensor] = {}
        inputs = {name: value[some] for name, value in given.items()}
        out = nets.forward(net, nets.split(net, flat), **inputs, draw=draw, updates=updates)
        (grad,) = torch.autograd.grad(out.square().sum(), flat)
        return [out.detach(), grad, *updates.values()]

    every = run(list(range(m)))
    for some in ([11], [3, 40, 11, 0, 9], list(range(m))[::-1]):
        for part, all_of_it in zip(run(some), every, strict=True):
            assert torch.equal(part, all_of_it[some]), len(some)
