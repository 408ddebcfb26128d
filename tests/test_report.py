"""The report: hostile text stays text, the page asks nobody for anything, charts say what the arrays say."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsforecast import Drift, Naive, Panel, SeasonalNaive, WindowMean, backtest, check
from tsforecast.reporting import report, standing
from tsforecast.reporting.charts import chart
from tsforecast.reporting.page import Page, Tile, grid, render
from tsforecast.reporting.series import chosen
from tsforecast.reporting.text import number, numbers, shown, stamp

HOSTILE = "<script>alert('서울')</script>\"><img src=x onerror=alert(1)>\u202e{{ 7*7 }}"


class Reader(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def table(n: int = 3, rows: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    ids = np.repeat([f"가게 {i}" for i in range(n)], rows)
    ds = np.tile(pd.date_range("2024-01-01", periods=rows), n)
    y = 50 + 10 * np.sin(np.arange(n * rows) * 2 * np.pi / 7) + rng.normal(0, 2, n * rows)
    return pd.DataFrame({"unique_id": ids, "ds": ds, "y": y})


def hostile_page() -> str:
    one = chart(HOSTILE, {HOSTILE: (np.arange(4), np.arange(4.0))}, {HOSTILE: "m1"}, dotted=[HOSTILE], note=HOSTILE)
    cells = grid(pd.DataFrame({HOSTILE: [HOSTILE], "n": [1]}))
    return render(
        Page(title=HOSTILE, subtitle=HOSTILE, banner=HOSTILE, tiles=(Tile("series", HOSTILE),), leaderboard=cells,
             leaderboard_note=HOSTILE, by_horizon=one, series=(one,), checked=True, findings=cells, statuses=cells,
             footer=(HOSTILE,))
    )  # fmt: skip


def test_hostile_text_is_shown_and_does_nothing() -> None:
    seen = Reader(hostile_page())
    assert not seen.tags & {"script", "img", "iframe", "object", "embed", "link", "a", "form"}
    assert not [name for name in seen.attributes if name.startswith("on") or name == "style"]
    assert seen.links == []
    text = "".join(seen.text)
    assert "<script>alert('서울')</script>" in text
    assert "\u202e" not in text
    assert "U+202E" in text
    assert "{{ 7*7 }}" in text


def test_style_is_the_one_that_the_policy_names_and_nothing_is_requested() -> None:
    html = hostile_page()
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert style is not None
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy[1].replace("&#39;", "'")
    assert policy[1].startswith("default-src 'none'")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    assert "@import" not in html


@given(st.text(max_size=200), st.integers(8, 80))
def test_shown_is_one_short_visible_line(text: str, longest: int) -> None:
    out = shown(text, longest)
    assert len(out) <= longest
    assert out.splitlines() in ([], [out])
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]", out)
    if text.isascii() and text.isprintable() and len(text) <= longest:
        assert out == text


@given(st.floats(0.001, 1e12).flatmap(lambda size: st.sampled_from([size, -size])))
def test_number_is_the_value_to_four_digits(value: float) -> None:
    back = float(number(value).replace(",", ""))
    assert back == pytest.approx(value, rel=2e-3, abs=1e-6)


def test_numbers_share_their_decimals() -> None:
    assert numbers([12.345, 7, np.nan, 1234.5]) == ["12", "7", "–", "1,234"]
    assert numbers([0.5, 0.25, -1.0]) == ["0.50", "0.25", "-1.00"]
    assert numbers([0.0, 5.0, 10.0]) == ["0", "5", "10"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.datetime64("2024-03-01T00:00:00", "us"), "2024-03-01"),
        (np.datetime64("2024-03-01T10:00:00", "us"), "2024-03-01 10:00"),
        (pd.Timestamp("2024-03-01 10:30:05"), "2024-03-01 10:30:05"),
        (7, "7"),
    ],
)
def test_stamp_leaves_out_what_says_nothing(value: object, text: str) -> None:
    assert stamp(value) == text


def points(path: str) -> np.ndarray:
    return np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", path)[1:]])


def test_line_is_the_data_up_to_a_scale() -> None:
    times = np.arange("2024-01-01", "2024-02-01", dtype="datetime64[D]").astype("datetime64[us]")
    values = np.random.default_rng(0).normal(0, 1, len(times))
    made = chart("", {"a": (times, values)}, {"a": "m1"})
    drawn = points(made.lines[0].path)
    assert np.corrcoef(drawn[:, 1], values)[0, 1] == pytest.approx(-1, abs=1e-4)  # SVG counts y downwards
    assert np.ptp(np.diff(drawn[:, 0])) < 0.11  # equal steps, to the tenth of a pixel that is written
    # The labelled ticks lie on the same scale as the line.
    slope, level = np.polyfit(drawn[:, 1], values, 1)
    for pixel, label in made.y_ticks:
        assert slope * pixel + level == pytest.approx(float(label), abs=0.02)


def test_missing_value_lifts_the_pen() -> None:
    values = np.array([1.0, 2.0, np.nan, 3.0, 4.0])
    made = chart("", {"a": (np.arange(5), values)}, {"a": "m1"})
    assert made.lines[0].path.count("M") == 2
    assert len(points(made.lines[0].path)) == 4


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.integers(1, 3000))
def test_everything_drawn_lies_inside(values: list[float], hours: int) -> None:
    times = np.datetime64("2020-02-28", "us") + np.arange(len(values)) * np.timedelta64(hours, "h")
    y = np.array(values)
    made = chart("", {"a": (times, y)}, {"a": "m1"}, bands={"b": (times, y - 1, y + 1)}, rule=times[-1])
    left, right, top, bottom = made.box
    for path in (made.lines[0].path, made.bands[0].path.rstrip("Z")):
        drawn = points(path)
        assert (drawn[:, 0] >= left - 0.1).all()
        assert (drawn[:, 0] <= right + 0.1).all()
        assert (drawn[:, 1] >= top - 0.1).all()
        assert (drawn[:, 1] <= bottom + 0.1).all()
    assert all(left - 0.1 <= x <= right + 0.1 for x, _ in made.x_ticks)
    assert len(made.x_ticks) <= made.width // 75
    assert len({label for _, label in made.x_ticks}) == len(made.x_ticks)


def test_labels_of_ticks_are_whole(tmp_path: Path) -> None:
    """Each within the picture, apart from the others, and at its tick unless the edge is in the way."""
    for hours, rows in ((1, 50), (24, 93), (24, 335), (24 * 7, 60), (24 * 31, 40)):
        times = np.datetime64("2024-01-31", "us") + np.arange(rows) * np.timedelta64(hours, "h")
        made = chart("", {"a": (times, np.zeros(rows))}, {"a": "m1"})
        ends = [(x - 3.2 * len(text), x + 3.2 * len(text)) for x, text in made.x_labels]
        assert ends[0][0] >= 0
        assert ends[-1][1] <= made.width + 0.1
        assert all(one[1] <= other[0] for one, other in pairwise(ends))
        for (x, text), (tick, name) in zip(made.x_labels, made.x_ticks, strict=True):
            assert text == name
            assert x == tick or x + 3.2 * len(text) == pytest.approx(made.width, abs=0.1)
    result = backtest(SeasonalNaive(), table(1).iloc[:63], h=30)  # the last tick is the last day but two
    html = report(result, tmp_path / "r.html").read_text("utf-8")
    drawn = [(float(x), text) for x, text in re.findall(r'<text x="([\d.]+)" y="220" [^>]*>([^<]+)</text>', html)]
    assert drawn
    assert max(x + 3.2 * len(text) for x, text in drawn) <= 520.1


def test_models_are_drawn_over_what_happened(tmp_path: Path) -> None:
    models = [SeasonalNaive(), WindowMean(), Naive(), Drift()]
    html = report(backtest(models, table(1), h=7), tmp_path / "r.html").read_text("utf-8")
    chart_ = html.split("<h2>Forecasts</h2>")[1].split("</svg>")[0]
    assert re.findall(r'<path class="(m\d)"', chart_) == ["m0", "m4", "m3", "m2", "m1"]


def test_series_are_picked_by_size_and_by_error() -> None:
    picked = chosen(np.array([1.0, 9, 3, 4, 5, 6, 7, 8]), np.array([0.5, 0.1, 0.9, 0.01, 0.8, 0.2, 0.3, 0.4]))
    assert picked[1] == picked[7] == "largest values"
    assert picked[3] == "smallest error for its size"
    assert picked[2] == picked[4] == "largest error for its size"
    assert len(picked) == 6
    assert chosen(np.array([np.nan]), None) == {0: ""}


def test_report_of_a_backtest_holds_its_scores(tmp_path: Path) -> None:
    data = table()
    result = backtest([SeasonalNaive(), WindowMean()], data, h=7, windows=3, levels=(80,))
    html = report(result, tmp_path / "new" / "report.html", title="한국 매출").read_text("utf-8")
    assert len(html) < 200_000
    text = "".join(Reader(html).text)
    assert "한국 매출" in text
    # Scores from the table of forecasts, the long way round.
    rows = result.forecasts
    for model in ("SeasonalNaive", "WindowMean"):
        by_series = ((rows[model] - rows["y"]) ** 2).groupby(rows["unique_id"]).mean() ** 0.5
        board = standing(result).set_index("model")
        assert board.loc[model, "rmse"] == pytest.approx(by_series.mean())
        assert board.loc[model, "mae"] == pytest.approx((rows[model] - rows["y"]).abs().mean())
        assert numbers(board["rmse"])[list(board.index).index(model)] in text
    assert all(one in text for one in data["unique_id"].unique())
    assert not list(tmp_path.rglob("*.tmp"))


def test_report_draws_truth_and_forecast_of_the_last_origin(tmp_path: Path) -> None:
    data = table(1)
    result = backtest(SeasonalNaive(), data, h=7, windows=2)
    html = report(result, tmp_path / "r.html").read_text("utf-8")
    history, model = (
        points(re.search(rf'<path class="{style}" d="([^"]+)"', html.split("<h2>Forecasts</h2>")[1])[1])  # type: ignore[index]
        for style in ("m0", "m1")
    )
    truth, shown_ = data["y"].to_numpy()[-7:], result.forecasts["SeasonalNaive"].to_numpy()[-7:]
    joined = np.concatenate([truth, shown_])
    drawn = np.concatenate([history[-7:, 1], model[:, 1]])
    assert np.corrcoef(joined, drawn)[0, 1] == pytest.approx(-1, abs=1e-3)
    np.testing.assert_allclose(history[-7:, 0], model[:, 0])


def test_findings_are_spoken_of_where_someone_looked(tmp_path: Path) -> None:
    data = table(1)
    result = backtest(SeasonalNaive(), data, h=7, windows=2)
    holed = data.assign(y=data["y"].where(data.index != 20))

    def text(findings: pd.DataFrame | None) -> str:
        return "".join(Reader(report(result, tmp_path / "r.html", findings=findings).read_text("utf-8")).text)

    assert "Findings" not in text(None)
    assert "Nothing was found" not in text(None)
    assert "Findings in the data\nNothing was found." in text(check(data))
    assert "TSF-Y-MISSING" in text(check(holed))
    assert "Nothing was found" not in text(check(holed))


def test_report_of_a_panel_of_integers_without_backtest(tmp_path: Path) -> None:
    panel = Panel.from_arrays(np.arange(40.0)[None, :], ids=["a"])
    ahead = SeasonalNaive(season=4).fit(panel).predict(5, levels=(80, 95))
    html = report(panel, tmp_path / "r.html", forecasts=ahead).read_text("utf-8")
    assert "Leaderboard" not in html
    assert "95 %" in html
