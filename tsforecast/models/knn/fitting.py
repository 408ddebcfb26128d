"""Coefficients of every place and step: what they go by is chosen on held-out rows, then they are fitted on all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsforecast import normals
from tsforecast.geography import Places, field, locations
from tsforecast.geography.regression import Ground, Terms, View, held_errors, held_out, moments, origins_kept
from tsforecast.models.knn.choosing import Choice, Spec, choose, left, parts, shared_fit, usual
from tsforecast.models.knn.sources import Scene, view
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows.bands import band_of, bands_of
from tsforecast.windows.blocks import side_by_side

__all__ = ["errors", "fit", "forecast", "reach"]


def fit(panel: Panel, h: int, spec: Spec, places: Places) -> State:
    """Fitted state of n places."""
    bands, held = bands_of(panel, h), held_out(panel, h)
    chosen, mse = [usual(spec)] * len(bands), np.full(len(bands), np.nan)
    if held.any():
        chosen, mse = choose(_scene(panel, held, spec, places)[0], spec, bands, h)
    scene, normal, _ = _scene(panel, np.zeros_like(held), spec, places)
    choice = {str(first): [*one, float(error)] for first, one, error in zip(bands, chosen, mse, strict=True)}
    return _trained(scene, chosen, bands, h) | {"normal": normal, "choice": choice, "reach": reach(panel)}


def reach(panel: Panel) -> int:
    """Last rows that forecasts need: a place goes by what others show at its own last row, however long ago that is."""
    last = panel.last[panel.lengths > 0]
    return Terms.of(panel).depth + 4 + (int(np.ptp(last)) if len(last) else 0)


def errors(state: State, panel: Panel, h: int, spec: Spec, places: Places, back: Int | None) -> Float:
    """Held-out errors (n, c, h) of what the state goes by, fitted before the held-out rows, in units of the data.

    `back` (c,) rows from the end are the origins, None for the usual ones; NaN where no rows can be held out.
    """
    held = held_out(panel, h)
    if not held.any():
        return np.full((len(panel), 1, h), np.nan)
    back = origins_kept(held, h) if back is None else back
    scene, _, scale = _scene(panel, held, spec, places)
    chosen = [Choice(*one[:4]) for one in state["choice"].values()]
    early = _trained(scene, chosen, [int(first) for first in state["choice"]], h)
    told = forecast(scene.ground, early, scene.ground.origins(back)[0])
    return held_errors(scene.ground, told, scale, back)


def _scene(panel: Panel, held: Int, spec: Spec, places: Places) -> tuple[Scene, State, Float]:
    """Anomalies of all rows, from normals that know nothing of the last `held` (n,) ones; these, and scales (n, T)."""
    normal = normals.fit(panel.replace(stop=panel.stop - held), spec.base, places)
    level, scale = normals.rows(normal, panel)
    ground = Ground.of(panel.replace(y=(panel.y - level) / scale), held, np.argsort(places.rank))
    unit = field(panel, scale).values.T
    # Normals say 1 of what never strays; its neighbours have nothing to tell of it.
    still = np.all((unit == 1.0) | np.isnan(unit), axis=1)
    return Scene(ground, places, locations(places, field(panel, panel.y)), still), normal, unit


def _trained(scene: Scene, chosen: Sequence[Choice], bands: Sequence[int], h: int) -> State:
    """For each kind its plan with coefficients (n, p, h), 0 at steps of other kinds; those of own columns (k, h)."""
    kinds: State = {}
    steps = [np.flatnonzero(band_of(bands, h) == b) for b in range(len(bands))]
    for kind in dict.fromkeys(choice.kind for choice in chosen):
        mine = [(choice, step) for choice, step in zip(chosen, steps, strict=True) if choice.kind == kind]
        most = max(choice.near for choice, _ in mine)
        plan = scene.plan(kind, mine[0][0].clusters, most)
        seen = view(plan, scene.ground)
        shared, alone = shared_fit(scene, seen, h)
        coef = _coefficients(scene, seen, shared, mine, most)
        kinds[kind] = plan | {"coef": coef, "steps": np.concatenate([step for _, step in mine])}
    return {"kinds": kinds, "own": scene.ground.persistence, "order": scene.ground.order, "alone": alone}


def _coefficients(scene: Scene, seen: View, shared: Float, mine: Sequence[tuple[Choice, Int]], most: int) -> Float:
    """Coefficients (n, p, h): at the steps of each choice those of the shared model and what a place adds."""
    k = seen.own.shape[1]
    coef = np.zeros((len(seen.own), k + 2 * most, shared.shape[1]))
    coef[~scene.places.known] = np.nan
    tiles = parts(scene.fitted, coef.shape[1] * scene.ground.values.shape[1])

    def work(i: int) -> None:
        some = tiles[i]
        x, y = left(scene, seen, shared, some, most)
        found, prior = moments(x, y, scene.ground.use(some)), seen.spread(shared, some, most)
        part = np.zeros(prior.shape)
        for choice, steps in mine:
            p = k + 2 * choice.near
            part[:, :, steps] = prior[:, :, steps]
            part[:, :p, steps] += found.ridge(p, choice.penalty)[:, :, steps]
        coef[some] = part

    side_by_side(len(tiles), work)
    return coef


def forecast(ground: Ground, state: State, at: Int) -> Float:
    """Anomalies (n, h, r) forecast from the rows `at` (n, r) of the ground."""
    out = np.zeros((len(at), state["alone"].shape[1], at.shape[1]))
    for plan in state["kinds"].values():
        seen, most = view(plan, ground), plan["index"].shape[1]
        for some in parts(ground.order, (seen.own.shape[1] + 2 * most) * at.shape[1]):
            out[some] += np.swapaxes(plan["coef"][some], 1, 2) @ seen.columns_at(some, most, at[some])
    return out
