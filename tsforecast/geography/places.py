"""Where the series are: coordinates checked once, with what is wrong told by series and value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ConfigError, DataError, DataWarning, Finding, listed
from tsforecast.geography.sphere import unit_vectors, wrapped
from tsforecast.panel import Bool, Float, Int

__all__ = ["Places", "places_of"]

CODE = "TSF-PLACE"
TURNS = 540.0  # -180..180 or 0..360 degrees, and a turn more: a longitude in metres or swapped digits lies far outside
LOWEST, HIGHEST = -500.0, 9000.0  # metres: the Dead Sea's shore and the Himalaya lie within, feet and centimetres not
_SPELLINGS = {
    "lat": ("latitude", "latitud", "lat_deg", "latitude_deg", "y_lat"),
    "lon": ("longitude", "lng", "long", "lon_deg", "longitude_deg", "x_lon"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Coordinates of n series: ids (n,), lat and lon (n,) in degrees, elevation (n,) in metres; NaN where unknown."""

    ids: NDArray[Any]
    lat: Float
    lon: Float
    elevation: Float

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def known(self) -> Bool:
        """Whether both coordinates are there (n,)."""
        return np.isfinite(self.lat) & np.isfinite(self.lon)

    @property
    def vectors(self) -> Float:
        """Points (n, 3) of the unit sphere; NaN where unknown."""
        return unit_vectors(self.lat, self.lon)

    @property
    def rank(self) -> Int:
        """Place of each series in the order of ids (n,): what settles ties, whatever the order of the series."""
        # Ids of several types cannot be compared with each other: types are told apart first.
        order = sorted(range(len(self)), key=lambda i: (type(self.ids[i]).__name__, self.ids[i]))
        rank = np.empty(len(self), dtype=np.int64)
        rank[order] = np.arange(len(self))
        return rank

    def take(self, index: Int | Bool | slice) -> Places:
        """The chosen places."""
        return Places(self.ids[index], self.lat[index], self.lon[index], self.elevation[index])


def places_of(static: Mapping[str, NDArray[Any]], ids: NDArray[Any], name: str, *, quiet: bool = False) -> Places:
    """Places of the series `ids` (n,) from static columns lat, lon (degrees) and, if there, elevation (metres).

    `name` is the model's, for messages. ConfigError where a column is missing, DataError (all findings at once) for
    values that cannot be; doubtful ones are a DataWarning unless `quiet`.
    """
    _check_columns(static, name)
    findings: list[Finding] = []
    columns = {"elevation": np.full(len(ids), np.nan), **static}
    lat, lon, elevation = (_numbers(c, np.asarray(columns[c]), ids, findings) for c in ("lat", "lon", "elevation"))
    findings += _impossible(ids, lat, lon, elevation)
    if findings:
        raise DataError(f"{name}: the static table holds coordinates that cannot be", findings)
    if not quiet:
        for words in _doubtful(ids, lat, wrapped(lon), elevation):
            warnings.warn(f"{name}: {words}", DataWarning, stacklevel=2)
    known = np.isfinite(lat) & np.isfinite(lon)
    return Places(ids, np.where(known, lat, np.nan), np.where(known, wrapped(lon), np.nan), elevation)


def _check_columns(static: Mapping[str, NDArray[Any]], name: str) -> None:
    lacking = [column for column in ("lat", "lon") if column not in static]
    if not lacking:
        return
    hints = []
    for column in lacking:
        near = [c for c in static if c.strip().lower() in (column, *_SPELLINGS[column])]
        near = near or get_close_matches(column, [c for c in static if c not in ("lat", "lon")], n=1, cutoff=0.75)
        hints += [f"rename {near[0]!r} to {column!r}"] if near else []
    # The door leaves out columns that mix numbers and text, so one bad cell can look like a column that is not there.
    there = f"columns of one kind: {listed(static, 20)}" if static else "no static table was given"
    raise ConfigError(
        f"{name} needs the places of its series, but static "
        f"{'columns' if len(lacking) > 1 else 'column'} {' and '.join(map(repr, lacking))} "
        f"{'are' if len(lacking) > 1 else 'is'} missing ({there})"
        + (f"; did you mean: {' and '.join(hints)}?" if hints else "")
        + ". Call fit(data, static=places) with one row a series, lat and lon in degrees"
    )


def _numbers(column: str, given: NDArray[Any], ids: NDArray[Any], findings: list[Finding]) -> Float:
    """A static column as floats (n,), NaN where missing; text and booleans are findings."""
    if given.dtype.kind in "iuf":
        return np.ascontiguousarray(given, dtype=np.float64)
    out = np.full(len(given), np.nan)
    wrong = []
    values = given.tolist()
    for i, value in enumerate(values):
        if isinstance(value, Real) and not isinstance(value, bool):
            out[i] = float(value)
        elif value is not None:
            wrong.append(i)
    if wrong:
        fix = f"Convert the column to numbers, as in places[{column!r}].astype(float)"
        findings.append(_finding("no number", ids[wrong], [repr(values[i]) for i in wrong], column, "a number", fix))
    return out


def _finding(message: str, ids: NDArray[Any], found: Sequence[object], column: str, expected: str, fix: str) -> Finding:
    """One kind of trouble in one column; `ids` and what was `found` in each."""
    shown = found[0] if len(ids) == 1 else listed(f"{name}: {value}" for name, value in zip(ids, found, strict=True))
    return Finding(CODE, message, series=ids[0], column=column, count=len(ids), found=shown, expected=expected, fix=fix)


def _impossible(ids: NDArray[Any], lat: Float, lon: Float, elevation: Float) -> list[Finding]:
    high = np.abs(lat) > 90
    swapped = high & np.isfinite(lat) & (np.abs(lon) <= 90)
    swap = "Were lat and lon swapped? Latitudes belong in lat, longitudes in lon"
    degrees = "Give degrees (not radians times a factor, metres of a map grid or 1e-6 degrees)"
    metres = "Give elevation in metres above the sea; leave it missing where it is unknown"
    tests = (
        (swapped, lat, "lat", "latitude out of range while lon would fit", "-90..90", swap),
        (high & ~swapped, lat, "lat", "latitude out of range", "-90..90", degrees),
        (np.abs(lon) > TURNS, lon, "lon", "longitude out of range", "-180..180 or 0..360", degrees),
        ((elevation < LOWEST) | (elevation > HIGHEST), elevation, "elevation", "elevation out of range",
         f"{LOWEST:g}..{HIGHEST:g} m", metres),
    )  # fmt: skip
    return [
        _finding(message, ids[wrong], [f"{v:.10g}" for v in values[wrong]], column, expected, fix)
        for wrong, values, column, message, expected, fix in tests
        if wrong.any()
    ]


def _doubtful(ids: NDArray[Any], lat: Float, lon: Float, elevation: Float) -> list[str]:
    """What looks doubtful, in words."""
    here, there = np.isfinite(lat), np.isfinite(lon)
    known = here & there
    words = []
    if (here != there).any():
        words.append(f"only one coordinate of {_names(ids, here != there)}: taken as places unknown")
    if (~here & ~there).any():
        words.append(f"no coordinates of {_names(ids, ~here & ~there)}: places unknown")
    null = known & (lat == 0) & (lon == 0)
    if len(set(ids[null])) > 1:
        words.append(f"lat = lon = 0, an empty field perhaps, for {_names(ids, null)}")
    elif len(set(ids[known])) > 1 and np.ptp(lat[known]) == 0 and np.ptp(lon[known]) == 0:
        words.append(f"all places are one ({_names(ids, known)}): neighbours are told apart by id alone")
    lost = known & ~np.isfinite(elevation)
    if lost.any() and np.isfinite(elevation).any():
        words.append(f"no elevation for {_names(ids, lost)}, while others have one")
    return words


def _names(ids: NDArray[Any], chosen: Bool) -> str:
    return listed(dict.fromkeys(ids[chosen].tolist()))
