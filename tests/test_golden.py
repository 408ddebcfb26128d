"""Model files of every release load forever, and forecast what they forecast when they were written.

A new release adds a file with `python tests/test_golden.py NAME`; none is ever rewritten.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsforecast import AR, load

FOLDER = Path(__file__).parent / "golden"
H = 5


def data() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two series of 60 days with a known column, and its values ahead."""
    days = pd.date_range("2024-01-01", periods=60 + H)
    parts = []
    for i, name in enumerate(("강남점", "busan")):
        t = np.arange(len(days))
        promo = ((t + 3 * i) % 10 == 0).astype(float)
        y = 100 + 5 * i + 0.2 * t + 8 * np.sin(2 * np.pi * t / 7 + i) + 12 * promo + 2 * np.cos(1.7 * t)
        parts.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y, "promo": promo}))
    table = pd.concat(parts)
    past = table["ds"] < days[60]
    return table[past], table.loc[~past, ["unique_id", "ds", "promo"]]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.tsf")), ids=lambda path: path.stem)
def test_an_old_file_forecasts_as_it_did(path: Path) -> None:
    wanted = pd.read_csv(path.with_suffix(".csv"), parse_dates=["ds"])
    found = load(path).predict(H, future=data()[1], levels=[80])
    assert found["unique_id"].tolist() == wanted["unique_id"].tolist()
    assert (found["ds"].to_numpy("M8[us]") == wanted["ds"].to_numpy("M8[us]")).all()
    np.testing.assert_allclose(found.iloc[:, 2:], wanted.iloc[:, 2:], rtol=1e-9)


def test_there_is_a_file() -> None:
    assert list(FOLDER.glob("*.tsf"))


if __name__ == "__main__":
    history, future = data()
    model = AR([1, 7], known=("promo",), calendar=("weekday",), ridge=0.01, transform="log").fit(history)
    model.save(FOLDER / f"{sys.argv[1]}.tsf")
    model.predict(H, future=future, levels=[80]).to_csv(FOLDER / f"{sys.argv[1]}.csv", index=False)
