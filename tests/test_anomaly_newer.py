"""Rows that come after the fit move the normal of an anomaly, not its model: by hand, in files, over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_anomaly import SHORT, H, climate

from tsforecast import normals
from tsforecast.compose.anomaly import Anomaly
from tsforecast.models.ar import AR
from tsforecast.models.knn import KNN
from tsforecast.models.naive import Naive
from tsforecast.models.neural import LSTM
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Panel
from tsforecast.registry import load
from tsforecast.rolling import roll


@pytest.mark.parametrize("base", ["auto", "none"])
def test_a_rolled_forecast_goes_by_the_normal_of_its_origin(base: Any) -> None:
    panel = climate(3)
    cutoffs = np.array([1099, 1200, 1290])
    rolled = roll(Anomaly(Naive(), base=base), panel, cutoffs, h=H, refit=False).point
    first = normals.fit(panel.upto(1099), base)
    for w, cutoff in enumerate(cutoffs):
        here = panel.upto(int(cutoff))
        now = normals.fit(here, base)
        last = here.stop - 1
        normal, scale = normals.ahead(now, here, H)[0], normals.ahead(first, here, H)[1]
        left = (here.y - normals.rows(now, here)[0]) / normals.rows(first, here)[1]
        np.testing.assert_allclose(rolled[w], normal + scale * left[last, None], rtol=1e-9)


@pytest.mark.parametrize("make", [
    lambda: Anomaly(AR(3)), lambda: Anomaly(AR(2, scope="global")), lambda: Anomaly(LSTM(**SHORT)),
    lambda: Anomaly(AR(2, strategy="direct"), neighbours=2), lambda: KNN(2, "neighbours"),
    lambda: RegionalLinear("global"),
])  # fmt: skip
def test_a_file_and_further_rows_lose_none_of_them(make: Any, tmp_path: Path) -> None:
    panel = climate(4)
    model = make().fit(panel.upto(1099), h=H).update(panel.upto(1199))
    frozen = normals.ahead(model.state_["fit"]["normal"], panel.upto(1199), H)[0]
    here = model.predict(H)[model.name].to_numpy()
    model.save(tmp_path / "model.tsf")
    again = load(tmp_path / "model.tsf")
    np.testing.assert_array_equal(again.predict(H)[model.name].to_numpy(), here)
    moved = normals.ahead(again.state_["fit"]["normal"], panel.upto(1199), H)[0]
    assert np.abs(moved - frozen).max() > 0.01
    np.testing.assert_allclose(moved, normals.ahead(normals.fit(panel.upto(1199)), panel.upto(1199), H)[0])
    later = again.update(panel.tail(100)).predict(H)[model.name].to_numpy()
    rolled = roll(make(), panel, np.array([1099, 1299]), h=H, refit=False).point[1]
    np.testing.assert_allclose(later.reshape(4, H), rolled, rtol=1e-6)


def test_paths_lead_to_them() -> None:
    y = np.random.default_rng(3).normal(size=(2, 1300))
    y[:, 1000:] += 30
    panel = Panel.from_arrays(y, freq="D", start="2020-01-01")
    model = Anomaly(AR(1), base="none").fit(panel.upto(999), h=H).update(panel)
    drawn = model.simulate(200).filter(like="path").to_numpy().mean(axis=1).reshape(2, H)
    np.testing.assert_allclose(drawn, model.predict()["Anomaly"].to_numpy().reshape(2, H), atol=0.5)


def test_windows_with_fits_of_their_own_keep_no_moments() -> None:
    panel = climate(2, rows=500)
    state = Anomaly(AR(2)).learn_windows(panel, np.full((2, 2), 400), H, False)
    assert all("moments" not in part["normal"] for part in state["fit"]["windows"].values())
