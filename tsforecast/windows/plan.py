"""What a lag model may look like: target transforms and sets of lags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tsforecast.errors import ConfigError
from tsforecast.panel import Float

__all__ = ["TRANSFORMS", "Transform", "fewest_rows", "lag_sets", "parse_lags", "parse_transform", "usual_horizon"]


class Transform(NamedTuple):
    """Target transform: natural log or not, then a difference at lag `diff` (0 for none)."""

    log: bool = False
    diff: int = 0

    def word(self) -> str:
        """The transform as users write it."""
        parts = ["log"] * self.log + ["diff" if self.diff == 1 else f"diff{self.diff}"] * bool(self.diff)
        return "-".join(parts) or "none"

    def apply(self, y: Float) -> Float:
        """The values y (s, T) transformed; NaN where it does not exist."""
        with np.errstate(invalid="ignore", divide="ignore"):
            g = np.log(np.where(y > 0, y, np.nan)) if self.log else y
        if not self.diff:
            return g
        out = np.full_like(g, np.nan)
        out[:, self.diff :] = g[:, self.diff :] - g[:, : -self.diff]
        return out


TRANSFORMS = ("log", "diff", "seasonal-diff", "log-diff", "log-seasonal-diff")


def parse_transform(word: str | None, season: int) -> Transform:
    """A Transform from a word of TRANSFORMS, or None; ConfigError lists the choices."""
    if word is None:
        return Transform()
    if word not in TRANSFORMS:
        raise ConfigError(f'transform must be "auto", None, {", ".join(TRANSFORMS)}; got {word!r}')
    diff = season if "seasonal-diff" in word else int("diff" in word)
    if "seasonal-diff" in word and season < 2:
        raise ConfigError(f"transform={word!r} needs a season: season=..., or a frequency that has one")
    return Transform(word.startswith("log"), diff)


def parse_lags(lags: int | Sequence[int]) -> tuple[int, ...]:
    """Sorted lags: 14 means 1..14; ConfigError for zero, negative or doubled ones."""
    if isinstance(lags, (int, np.integer)) and not isinstance(lags, bool):
        if lags < 0:
            raise ConfigError(f"lags must be >= 0, got {lags}")
        return tuple(range(1, int(lags) + 1))
    if (
        not isinstance(lags, Iterable)
        or isinstance(lags, str)
        or not all(isinstance(lag, (int, np.integer)) for lag in lags)
    ):
        raise ConfigError(f'lags must be "auto", a number or a list of numbers, got {lags!r}')
    wanted = [int(lag) for lag in lags]
    if len(set(wanted)) != len(wanted) or min(wanted, default=1) < 1:
        raise ConfigError(f"lags must be distinct and >= 1, got {wanted}")
    return tuple(sorted(wanted))


def fewest_rows(lags: Sequence[int]) -> int:
    """Rows below which a series is too short to be offered these lags: 1.5 times the longest lag and their number."""
    return -(-3 * max(len(lags), max(lags, default=0)) // 2)


def lag_sets(seasons: Sequence[int], rows: int) -> list[tuple[int, ...]]:
    """Candidate sets of lags for a series of `rows` rows, from few to many.

    None, 1, 1..3; up to a season and the neighbours of each; 1..s+2; 1..2s+2 for a short season; multiples of each
    season and their neighbours; without a season also 1..2 and 1..6.
    """
    if not seasons:
        sets = [(), (1,), (1, 2), (1, 2, 3), tuple(range(1, 7))]
        return [lags for lags in sets if fewest_rows(lags) <= rows] or [()]
    short = min(seasons)
    # A year of weeks is too long to be followed lag by lag, and not a whole number of them: neighbours on both sides.
    long = short > 31 and len(seasons) == 1
    first = {1} if short < 7 else {1, 2, 3}
    light = first | {s + d for s in seasons for d in ((-1, 0, 1) if long else (0, 1))}
    base = set(range(1, 9 if long else short + 3))
    longer = set(base)
    for season in seasons:
        above = [s for s in seasons if s > season]
        last = min(above) if above else (2 if long else 3) * season
        for multiple in range(season, last + 1, season):
            longer |= {multiple, multiple + 1} if multiple == last or not above else {multiple}
    if long:
        longer |= light
    wider = set(range(1, 2 * short + 3)) if short <= 12 else base
    every = [(), (1,), (1, 2, 3), *(tuple(sorted(lags)) for lags in (light, base, wider, longer))]
    return [lags for lags in dict.fromkeys(every) if fewest_rows(lags) <= rows] or [()]


def usual_horizon(seasons: Sequence[int]) -> int:
    """Rows ahead that a choice is judged on where no horizon is given: two seasons, a quarter of a long one."""
    short = min(seasons, default=3)
    return 2 * short if short <= 31 or len(seasons) > 1 else short // 4
