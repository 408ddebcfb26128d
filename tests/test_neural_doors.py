"""Networks on file and at the doors: what a model file holds, counts of parameters, backtests, jobs, command line."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from builders import table
from test_neural_engine import KINDS, panel, waves

import tsforecast
from tsforecast.cli import main
from tsforecast.evaluation import backtest
from tsforecast.jobs import run_job
from tsforecast.jobs.config import parse_job
from tsforecast.models.naive import Naive
from tsforecast.models.neural import GRU, LSTM, MLP, RNN
from tsforecast.models.neural.architecture import Architecture, n_parameters

H = 3


# Counts


def test_the_counts_of_the_study_notes() -> None:
    def count(**shape: Any) -> tuple[int, int]:
        net = Architecture(**{"window": 5, "inputs": 1} | shape)
        return n_parameters(net, one_bias=True), n_parameters(net)

    mlp: dict[str, Any] = {"kind": "mlp", "window": 1}
    assert count(**mlp, inputs=4, hidden=(5,)) == (31, 31)
    assert count(**mlp, inputs=19, hidden=(50,)) == (1051, 1051)
    assert count(**mlp, inputs=13, hidden=(52, 39, 26)) == (3862, 3862)
    assert count(**mlp, inputs=784, hidden=(256, 128), steps=10) == (235_146, 235_146)
    assert count(kind="rnn", inputs=3, hidden=(12,)) == (205, 217)
    assert count(kind="rnn", inputs=3, hidden=(12,), window=400) == (205, 217)
    assert count(kind="lstm", inputs=32, hidden=(32,)) == (8320 + 33, 8448 + 33)


def test_models_tell_their_counts_and_why_there_are_two() -> None:
    rng = np.random.default_rng(0)
    data = panel(waves(2), columns={"p": rng.normal(size=107), "q": rng.normal(size=107)}, n_past=2)
    model = RNN(5, 12, past=("p", "q"), epochs=1).fit(data, h=1)
    assert model.n_parameters_ == 217
    told = model.describe()
    assert told["parameters"] == 217
    assert told["parameters_with_one_bias"] == 205
    assert "two bias vectors" in told["note"]
    layers = {layer["layer"]: layer for layer in told["layers"]}
    assert layers["rnn0"]["parameters"] == 204
    assert layers["rnn0"]["output"] == (5, 12)
    assert layers["head"]["parameters"] == 13
    days = MLP(5, 32, past=("p", "q"), calendar="weekday", epochs=1)
    # The book's five trading days; here a week of seven: 705 = 20 x 32 + 32 + 32 + 1, and 64 for two days more.
    assert days.fit(data, h=1).n_parameters_ == 705 + 2 * 32
    assert "note" not in days.describe()


@pytest.mark.parametrize(("windows", "batch", "steps"), [(175, 32, 6), (4276, 64, 67)])
def test_steps_an_epoch_are_windows_by_batch(windows: int, batch: int, steps: int) -> None:
    y = np.sin(np.arange(windows + 5) * 0.3)
    model = RNN(5, 2, epochs=1, batch_size=batch, validation=0, early_stopping=False).fit(panel([y]))
    assert model.describe()["training_windows"] == windows
    assert model.describe()["steps_an_epoch"] == steps


# Files

WAYS: dict[str, Any] = {
    "recursive": {},
    "own nets": {"scope": "series"},
    "pinball": {"loss": "pinball", "quantiles": (0.25, 0.5, 0.75)},
    "columns": {"known": ("promo",), "calendar": ("weekday", "KR"), "embed": 2},
    "ensemble": {"seeds": 2, "optimizer_options": {"betas": (0.8, 0.9)}, "hidden": (4, 3)},
}


def test_files_give_the_same_bytes_in_a_fresh_process(tmp_path: Path) -> None:
    promo = np.array(["none", "sale", "big"], dtype=object)[np.random.default_rng(0).integers(0, 3, 107)]
    data, expected = table(waves(2), promo=promo), {}
    for kind, way in CASES:
        model = KINDS[kind](**{"window": 6, "hidden": 4, "epochs": 2} | WAYS[way], alias=f"{kind} {way}").fit(data, h=H)
        future = model.make_future(H).assign(promo=["sale", "none", "big"] * 2)
        expected[model.name] = model.predict(H, future=future, levels=LEVELS)
        model.save(tmp_path / f"{model.name}.tsf")
        future.to_csv(tmp_path / "future.csv", index=False)
    done = subprocess.run([sys.executable, "-c", FRESH, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, said in expected.items():
        back = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_array_equal(back, said.iloc[:, 2:].to_numpy(float), err_msg=name)


CASES = [("lstm", way) for way in WAYS] + [(kind, "columns") for kind in ("rnn", "gru", "mlp", "cnn")]
LEVELS = (50,)
FRESH = """
import sys
from pathlib import Path
import numpy as np, pandas as pd, tsforecast
for path in sorted(Path(sys.argv[1]).glob("*.tsf")):
    model = tsforecast.load(path)
    future = pd.read_csv(path.parent / "future.csv", parse_dates=["ds"])
    said = model.predict(3, future=future, levels=(50,))
    np.save(path.with_suffix(".npy"), said.iloc[:, 2:].to_numpy(float))
    assert len(model.history_) and model.n_parameters_ and model.describe()["layers"]
"""


def test_files_hold_arrays_and_json_alone(tmp_path: Path) -> None:
    LSTM(6, 4, epochs=1, device="cpu").fit(table(waves(2)), h=H).save(tmp_path / "net.tsf")
    with zipfile.ZipFile(tmp_path / "net.tsf") as held:
        names = held.namelist()
        for name in names:
            body = held.read(name)
            if name.endswith(".json"):
                json.loads(body)
            else:
                assert name.endswith(".npy")
                assert body.startswith(b"\x93NUMPY")
            assert b"torch" not in body
    assert any(name.endswith(".npy") for name in names)


def test_what_was_trained_on_an_accelerator_is_forecast_without_one(tmp_path: Path) -> None:
    model = GRU(6, 4, epochs=1).fit(table(waves(2)), h=H)
    model.set_params(device="cuda")
    model.save(tmp_path / "net.tsf")
    back = tsforecast.load(tmp_path / "net.tsf")
    assert back.device == "cuda"
    pd.testing.assert_frame_equal(back.predict(H), model.predict(H))


def test_without_torch_the_rest_works_and_networks_say_what_to_install(tmp_path: Path) -> None:
    model = GRU(6, 4, epochs=1).fit(table(waves(2)), h=H)
    model.save(tmp_path / "net.tsf")
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import pandas as pd, tsforecast\n"
        "from tsforecast.errors import MissingDependency\n"
        "y = pd.DataFrame({'ds': range(40), 'y': range(40)})\n"
        "assert len(tsforecast.AR(1).fit(y).predict(2)) == 2\n"
        "model = tsforecast.load(sys.argv[1])\n"
        "def told(call):\n"
        "    try:\n"
        "        call()\n"
        "    except MissingDependency as error:\n"
        "        return str(error)\n"
        "for call in (lambda: model.predict(2), lambda: model.fitted(), lambda: model.encode(),\n"
        "             lambda: tsforecast.LSTM(4, 2).fit(y)):\n"
        "    assert \"pip install 'tsforecast[torch]'\" in str(told(call)), told(call)\n"
        "print(len(model.history_))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.tsf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"]


# Doors


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("scope", ["global", "series"])
def test_backtests_forecast_as_single_fits_do(scope: str, refit: bool) -> None:
    """Each origin by hand: a fit on the rows up to it, or up to the first one and newer rows by `update`."""
    data = table([y[:50] for y in waves(4)])
    made = backtest([MLP(6, 4, scope=scope, epochs=2), Naive()], data, h=H, windows=3, refit=refit)
    got = made.forecasts
    origins = sorted(got["cutoff"].unique())
    assert len(origins) == 3
    for origin in origins:
        seen = data[data["ds"] <= origin]
        if refit:
            model = MLP(6, 4, scope=scope, epochs=2).fit(seen, h=H)
        else:
            model = MLP(6, 4, scope=scope, epochs=2).fit(data[data["ds"] <= origins[0]], h=H).update(seen)
        mine = got[got["cutoff"] == origin].sort_values(["unique_id", "ds"])
        np.testing.assert_allclose(mine["MLP"], model.predict(H)["MLP"], rtol=1e-6)


def test_reports_show_networks(tmp_path: Path) -> None:
    made = backtest([GRU(6, 4, epochs=1), Naive()], table(waves(3)), h=H, windows=2)
    tsforecast.report(made, tmp_path / "report.html")
    assert "GRU" in (tmp_path / "report.html").read_text("utf-8")


def test_in_sample_values_are_one_step_forecasts() -> None:
    data = table(waves(2))
    model = LSTM(6, 4, epochs=2).fit(data)
    inside = model.fitted()
    assert inside["LSTM"].isna().sum() == 2 * 6
    y = waves(2)[0]
    spans = panel([y[:30]])
    kept = model.state_["fit"]
    said = model._predict(kept, spans, 1, np.empty((1, 1, 0)), ()).point[0, 0]
    assert inside["LSTM"].iloc[30] == pytest.approx(said, rel=1e-6)


JOB = """
horizon = 3
levels = [50]
[data]
source = "csv:sales.csv"
[models.LSTM]
type = "LSTM"
window = 6
hidden = 4
epochs = 2
calendar = ["weekday"]
[models.own]
type = "MLP"
window = 6
hidden = [4, 3]
scope = "series"
epochs = 2
optimizer = "sgd"
optimizer_options = { momentum = 0.9 }
[backtest]
windows = 2
"""


def test_jobs_run_networks_as_python_does(tmp_path: Path) -> None:
    data = table(waves(3))
    data.to_csv(tmp_path / "sales.csv", index=False)
    outcome = run_job(parse_job(JOB), tmp_path)
    made = {
        "LSTM": LSTM(6, 4, epochs=2, calendar=("weekday",)),
        "own": MLP(6, (4, 3), scope="series", epochs=2, optimizer="sgd", optimizer_options={"momentum": 0.9}),
    }
    assert outcome.forecasts is not None
    for name, model in made.items():
        got = outcome.forecasts.sort_values(["unique_id", "ds"])[name]
        np.testing.assert_allclose(got, model.fit(data, h=H).predict(H)[model.name], rtol=1e-6)


def test_the_command_line_forecasts_with_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table(waves(2)).to_csv("sales.csv", index=False)
    Path("job.toml").write_text(JOB, "utf-8")
    code = main(["run", "job.toml"])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "Traceback" not in said.out + said.err
