"""Every forecaster keeps the contract, and forecasters that break it are found out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tsforecast import contract
from tsforecast.calendars.pooled import KoreanHolidays
from tsforecast.compose.blend import Blend
from tsforecast.compose.geo import GeoBlend
from tsforecast.contract import check_forecaster
from tsforecast.forecaster import Forecaster
from tsforecast.intervals import Conformal
from tsforecast.models.ar import AR
from tsforecast.models.knn import KNN
from tsforecast.models.naive import Climatology, Naive, SeasonalNaive, WindowMean
from tsforecast.models.neural import CNN, GRU, LSTM, MLP, RNN
from tsforecast.models.prophet import Prophet
from tsforecast.models.regional import RegionalLinear
from tsforecast.panel import Panel
from tsforecast.registry import FORECASTERS, find

EXAMPLE = contract.example()
SHORT: dict[str, Any] = {"epochs": 1, "sample": 320}  # what is promised does not wait for a net to learn
PAIR = (AR(3, ridge=0, transform=None), SeasonalNaive())
QUICK: dict[str, Any] = dict.fromkeys(("CNN", "GRU", "LSTM", "MLP", "RNN"), SHORT)
QUICK |= {name: {"members": PAIR} for name in ("Blend", "Select", "Stack")} | {"Anomaly": {"model": AR(3)}}
QUICK |= {"GeoBlend": {"members": ("knn", "linear")}}
ALONE: dict[str, Any] = {"epochs": 2, "scope": "series", "validation": 0.4, "window": 8, "hidden": 12}
WAYS: dict[str, Callable[[], Forecaster]] = {
    "AR plain": lambda: AR(3, ridge=0, transform=None),
    "AR direct": lambda: AR([1, 2, 7], ridge=0.1, transform=None, strategy="direct"),
    "AR calendar": lambda: AR(2, calendar=("weekday", "KR", {"date": ["2024-02-14"], "name": ["x"]}), transform="log"),
    "AR global": lambda: AR(3, scope="global", ridge=0.1, transform="log"),
    "Blend equal": lambda: Blend(PAIR, "equal"),
    "Blend inverse": lambda: Blend(PAIR, "inverse_mse", scope="region", kappa=0),
    "Blend median": lambda: Blend((*PAIR, WindowMean(4)), "median"),
    "Blend series": lambda: Blend(PAIR, scope="series", bands=(1, 3)),
    "Blend with columns": lambda: Blend((AR(2, calendar="weekday"), Blend(PAIR, kappa=0, alias="inner"))),
    "Blend with a net": lambda: Blend((PAIR[1], LSTM(**SHORT))),
    "Climatology means": lambda: Climatology(7),
    "Climatology harmonics": lambda: Climatology(30, kind="harmonics"),
    "CNN series": lambda: CNN(**ALONE, norm="batch"),
    "GRU series": lambda: GRU(**ALONE, dropout=0.1, seeds=2),
    "GeoBlend region": lambda: GeoBlend(("knn", "linear"), region="region", scope="region", k=2, mode="neighbours"),
    "GeoBlend source": lambda: GeoBlend(("knn", LSTM(**SHORT, strategy="direct")), "source", base="none"),
    "KNN clusters": lambda: KNN(2, "cluster", base="none"),
    "LSTM sequence": lambda: LSTM(**SHORT, strategy="sequence", calendar="weekday"),
    "LSTM series": lambda: LSTM(**ALONE),
    "MLP series": lambda: MLP(**ALONE, strategy="direct", calendar=("weekday",)),
    "RegionalLinear global": lambda: RegionalLinear("global", base="none"),
    "RegionalLinear series": lambda: RegionalLinear("series"),
    "RNN pinball": lambda: RNN(**SHORT, strategy="direct", loss="pinball", seeds=2),
    "Prophet KR": lambda: Prophet(holidays="KR"),
    "Prophet pooled": lambda: Prophet(holidays=KoreanHolidays(), seasonality_mode="multiplicative", scaling="minmax"),
    "Prophet flat": lambda: Prophet(growth="flat", changepoints=(), regressors=(), calendar="month"),
    "SeasonalNaive conformal": lambda: SeasonalNaive(intervals=Conformal(windows=12)),
    "WindowMean fallback": lambda: WindowMean(4, on_error="fallback", alias="mean"),
}


def with_columns() -> Panel:
    """The example with a column known for the future and one that is not."""
    rng = np.random.default_rng(4)
    columns = rng.normal(size=(len(EXAMPLE.y), 2))
    return EXAMPLE.with_columns(columns, ("promo", "traffic"), 2).replace(y=EXAMPLE.y * np.exp(0.1 * columns[:, 0]))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", FORECASTERS)
def test_forecasters_keep_the_contract(name: str, check: Callable[[contract.Subject], None]) -> None:
    few = EXAMPLE if check is contract.check_company else EXAMPLE.take(slice(0, 130))
    check(contract.Subject(lambda: find(name)(**QUICK.get(name, {})), few))


@pytest.mark.parametrize("name", WAYS)
def test_ways_of_setting_them_keep_it(name: str) -> None:
    check_forecaster(WAYS[name], EXAMPLE.take(slice(0, 66)))


@pytest.mark.parametrize("columns", [{"known": ("promo",)}, {"past": ("traffic",), "known": ("promo",)}], ids=str)
def test_models_with_columns_keep_it(columns: dict[str, Any]) -> None:
    check_forecaster(lambda: AR(2, ridge=0, transform=None, **columns), with_columns().take(slice(0, 66)))


class Broken(Naive):
    """Naive, but for what a subclass gets wrong."""

    def _predict(self, state: Any, panel: Panel, h: int, known: Any, levels: Any) -> Any:
        out = super()._predict(state, panel, h, known, levels)
        return out.replace(point=out.point + self.wrong(panel))

    def wrong(self, panel: Panel) -> Any:
        raise NotImplementedError


class Peeks(Broken):
    def wrong(self, panel: Panel) -> Any:
        return 1e-9 * panel.y[np.minimum(panel.stop, len(panel.y) - 1), None]


class LooksAround(Broken):
    def wrong(self, panel: Panel) -> Any:
        return 1e-12 * panel.lengths.mean()


class Rolls(Broken):
    def wrong(self, panel: Panel) -> Any:
        return np.random.random() * 1e-9  # noqa: NPY002


class KeepsCount(Broken):
    calls = 0

    def wrong(self, panel: Panel) -> Any:
        type(self).calls += 1
        return 1e-9 * self.calls


class Scribbles(Broken):
    def wrong(self, panel: Panel) -> Any:
        panel.y[panel.stop - 1] *= 1.0
        return 0.0


class CountsDays(Broken):
    def wrong(self, panel: Panel) -> Any:
        return 1e-6 * panel.last[:, None]


class TakesHints(Broken):
    """Changes its own parameters."""

    def wrong(self, panel: Panel) -> Any:
        self.seed = 7
        return 0.0


class ReadsExcluded(Broken):
    """Undoes the exclusion by a memory of the block it was made with."""

    def wrong(self, panel: Panel) -> Any:
        return 0.0 if panel.excluded is None else 1e-9 * np.nansum(self.seen.y)

    def design(self, panel: Panel, almanac: Any = None) -> Panel:
        self.seen = panel
        return super().design(panel, almanac)


class Narrow(Naive):
    """Gives wider levels the narrower intervals."""

    def _predict(self, state: Any, panel: Panel, h: int, known: Any, levels: Any) -> Any:
        out = super()._predict(state, panel, h, known, levels)
        return out if out.lower is None else out.replace(lower=out.lower[..., ::-1], upper=out.upper[..., ::-1])


class WindowsApart(Naive):
    """Fits many origins at once in another way than one."""

    def _fit_windows(self, panel: Panel, cutoffs: Any, h: int | None) -> Any:
        return {"far": np.ones(1)}

    def _predict(self, state: Any, panel: Panel, h: int, known: Any, levels: Any) -> Any:
        out = super()._predict(state, panel, h, known, levels)
        return out.replace(point=out.point * (1.01 if "far" in state else 1.0))


class CountsGaps(Broken):
    def wrong(self, panel: Panel) -> Any:
        return 1e-9 * len(panel) * bool((panel.observed < panel.lengths).any())


class Refits(Naive):
    """Forgets what it was fitted on when rows come in."""

    def update(self, data: Any, *, revised: Any = "raise") -> Any:
        return self.fit(data.replace(y=data.y + 1.0), h=self.h_)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Peeks, "no value after the last row of a fit matters"),
        (LooksAround, "a series (alone|among 7) gives the same bytes"),
        (Rolls, "random state is left alone|two fits give the same bytes"),
        (KeepsCount, "two fits give the same bytes"),
        (Scribbles, "writes into the panel"),
        (CountsDays, "dates before a series began do not matter"),
        (TakesHints, "change no parameter"),
        (ReadsExcluded, "excluded rows do not matter"),
        (Narrow, "wider levels hold narrower ones"),
        (CountsGaps, "a series with missing rows, alone, gives the same bytes"),
        (Refits, "update moves the origin"),
        (WindowsApart, "many origins at once agree"),
    ],
)
def test_broken_promises_are_named(broken: type[Forecaster], promise: str) -> None:
    with pytest.raises(AssertionError, match=f"{broken.__name__} (breaks the contract.*)?({promise})"):
        check_forecaster(lambda: broken(), EXAMPLE.take(slice(0, 70)))
