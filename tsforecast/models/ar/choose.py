"""Which transform and which lags a series takes: judged on its own past rows, batched over the panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tsforecast.models.ar.dynamics import Equation, stable
from tsforecast.models.ar.fit import Fit, Ridge, fit_lags, moments
from tsforecast.models.ar.levels import equation, forecast_levels
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.windows import tiles
from tsforecast.windows.plan import Transform, fewest_rows

__all__ = ["Candidate", "Choice", "choose"]

ORIGINS = 4
"""Past origins that a form is judged on."""
KEPT = 2
"""Sets of lags of one transform, the best by AICc, that are judged on those origins."""
SHARPNESS = 4.0
"""Weight of a form: (error at past origins x one-step error in sample) to minus this power."""
ROOT = 3.43**2
"""What a form on levels must gain in twice the log-likelihood over one with a root held at 1: least squares finds roots
below 1 in random walks too. The 1 % point of Dickey & Fuller (1979), JASA 74, squared."""
NEGLIGIBLE = 0.1
"""Forms of a smaller weight than this share of the best are left out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to write the model: a transform of the target and the lags of the regression.

    `season` is that of a guess which a series' own autocorrelation must confirm before the form is tried; 0: none.
    """

    transform: Transform
    lags: tuple[int, ...]
    season: int = 0


class Choice(NamedTuple):
    """What became of n series and c candidates.

    leading (n,): the candidate of the greatest weight; weights (n, c) add up to 1, all on logs or none; equation:
    their weighted mean; changed (n,): whether the leading form had to be stabilised.
    """

    leading: Int
    weights: Float
    equation: Equation


class _Trial(NamedTuple):
    """One candidate fitted to some of the series, `rows` (s,): their equations and scores (s,), smaller is better."""

    number: int
    rows: Int
    equation: Equation
    score: Float


def choose(panel: Panel, candidates: Sequence[Candidate], ridge: Ridge, h: int, stabilise: bool) -> Choice:
    """Weigh the candidates for each series, and mix the equations of those that carry weight.

    Every form is an autoregression of the levels (of their logs), a differenced one with roots held at 1, so a
    weighted mean of forms is one too; it is steadier than the best form alone. Where columns are known for the
    future, or where the mean is not stable though its parts are, the leading form stands alone. A series is offered
    what its own rows can carry, whatever others in the panel can.
    Buckland, Burnham & Augustin (1997), Biometrics 53; Hansen (2007), Econometrica 75.
    """
    offered = _offers(panel, candidates)
    roomy = _have_room(panel.lengths, offered, candidates)
    groups, member = np.unique(np.concatenate([offered, roomy[:, None]], axis=1), axis=0, return_inverse=True)
    order = max(max(c.lags, default=0) + c.transform.diff for c in candidates)
    n, member = len(panel), member.reshape(-1)
    weights = np.zeros((n, len(candidates)))
    mixed = Equation(np.zeros((n, order)), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool))
    alone = panel.columns.shape[1] > 0
    for number, offer in enumerate(groups):
        index, mine = np.flatnonzero(member == number), np.flatnonzero(offer[:-1])
        part = panel.take(index)
        trials = _tried(part, candidates, mine, (ridge, h, stabilise, bool(offer[-1])))
        share = _shares(trials, candidates, len(part), alone)
        eq = _mixed(trials, share, order)
        wild = (share.max(axis=1) < 1) & ~stable(eq.phi, 1 + 1e-6) & stabilise
        if wild.any():
            share = _leading(share, wild)
            eq = _mixed(trials, share, order)
        weights[index] = share
        for whole, piece in zip(mixed, eq, strict=True):
            whole[index] = piece
    return Choice(np.argmax(weights, axis=1), weights, mixed)


def _offers(panel: Panel, candidates: Sequence[Candidate]) -> Bool:
    """Which candidates each series is offered (n, c): those its length, its sign and its season allow."""
    fewest = np.array([fewest_rows(c.lags) for c in candidates])
    fits = fewest <= panel.lengths[:, None]
    if len(candidates) == 1 or not fits.any():
        return np.ones(fits.shape, dtype=bool)
    seasons = sorted({c.season for c in candidates if c.season})
    positive: Bool = np.ones(len(panel), dtype=bool)
    repeats: Bool = np.ones((len(panel), 1 + len(seasons)), dtype=bool)
    for tile in tiles(panel):
        rows = tile.gather(panel.y)
        positive[tile.index] = ~np.any(rows <= 0, axis=1)
        for place, season in enumerate(seasons, 1):
            repeats[tile.index, place] = _repeats(rows, season)
    logged: Bool = np.array([c.transform.log for c in candidates], dtype=bool)
    fits &= positive[:, None] | ~logged
    fits &= repeats[:, [0 if not c.season else 1 + seasons.index(c.season) for c in candidates]]
    fits[~fits.any(axis=1)] = True
    return fits


def _have_room(lengths: Int, offered: Bool, candidates: Sequence[Candidate]) -> Bool:
    """Whether series are four times as long as the longest lag they are offered, with ten rows a lag (n,)."""
    names = sorted({lag for c in candidates for lag in c.lags})
    among = np.array([[lag in c.lags for lag in names] for c in candidates], dtype=bool).reshape(len(candidates), -1)
    used = offered.astype(np.int64) @ among > 0
    longest = np.max(used * np.array(names, dtype=np.int64), axis=1, initial=0)
    enough: Bool = lengths >= np.maximum(4 * longest, 10 * used.sum(axis=1))
    return enough


def _repeats(y: Float, season: int) -> Bool:
    """Whether first differences, or levels about their line, are positively autocorrelated at the season (s,).

    One-sided at 5 per cent. y (s, T), NaN where missing.
    """
    if y.shape[1] <= season + 2:
        return np.zeros(len(y), dtype=bool)
    seen = np.isfinite(y)
    count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    time = np.where(seen, np.arange(float(y.shape[1])), 0.0)
    time = np.where(seen, time - time.sum(axis=1, keepdims=True) / count, 0.0)
    level = np.where(seen, y - np.where(seen, y, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.maximum((time * time).sum(axis=1, keepdims=True), 1.0)
    line = level - time * ((time * level).sum(axis=1, keepdims=True) / spread)
    both = seen[:, 1:] & seen[:, :-1]
    steps = np.where(both, y[:, 1:] - y[:, :-1], 0.0)
    steps = np.where(
        both, steps - steps.sum(axis=1, keepdims=True) / np.maximum(both.sum(axis=1, keepdims=True), 1), 0.0
    )
    found = np.zeros(len(y), dtype=bool)
    for x in (steps, line):
        power = (x * x).sum(axis=1)
        found |= (x[:, season:] * x[:, :-season]).sum(axis=1) > 1.645 / np.sqrt(count[:, 0]) * power
    return found


def _tried(
    panel: Panel, candidates: Sequence[Candidate], mine: Int, how: tuple[Ridge, int, bool, bool]
) -> list[_Trial]:
    """Trials of the candidates `mine`; logs or not is settled on one difference, the others follow it."""
    every = np.arange(len(panel))
    forms: dict[Transform, list[int]] = {}
    for number in mine:
        forms.setdefault(candidates[number].transform, []).append(int(number))
    if len(mine) == 1:
        eq = _fitted(panel, candidates[mine[0]], how[0], how[2])[1]
        return [_Trial(int(mine[0]), every, eq, np.zeros(len(panel)))]
    pivot = 1 if any(form.diff == 1 for form in forms) else min(form.diff for form in forms)
    lowest = {log: np.full(len(panel), np.inf) for log in (False, True)}
    trials = []
    for form, numbers in sorted(forms.items(), key=lambda item: item[0].diff != pivot):
        index = every
        if form.diff != pivot and Transform(not form.log, pivot) in forms:
            index = every[(lowest[True] < lowest[False]) == form.log]
        for trial in _judged(panel.take(index), candidates, numbers, how):
            where = index[trial.rows]
            lowest[form.log][where] = np.minimum(lowest[form.log][where], trial.score)
            trials.append(trial._replace(rows=where))
    return trials


def _judged(
    panel: Panel, candidates: Sequence[Candidate], numbers: Sequence[int], how: tuple[Ridge, int, bool, bool]
) -> list[_Trial]:
    """Trials of one transform: AICc sifts the lags, errors at past origins and AICc score what is left of them.

    Series with room to spare take all lags from one table of sums and need no ridge, and are judged by the answers on
    all their rows: neither the rows before the longest lag nor those behind the origins are missed there.
    """
    ridge, h, stabilise, roomy = how
    forms = [candidates[i] for i in numbers]
    union = tuple(sorted({lag for form in forms for lag in form.lags}))
    sums = {lags: moments(panel, forms[0].transform, lags) for lags in ([union] if roomy else [f.lags for f in forms])}
    tables = [sums[union if roomy else form.lags] for form in forms]
    # Least squares; where columns are collinear the smallest of ridges, which is as good for sifting.
    fits = [
        fit_lags(panel, form.transform, m, form.lags, 0.0, by_rows=False) for form, m in zip(forms, tables, strict=True)
    ]
    rank = np.argsort(np.argsort(np.stack([_aicc(fit) for fit in fits], axis=1), axis=1, kind="stable"), axis=1)
    trials = []
    for number, form, m, sifted, chosen in zip(numbers, forms, tables, fits, (rank < KEPT).T, strict=True):
        index = np.flatnonzero(chosen)
        if not len(index):
            continue
        part, m = panel.take(index), m.take(index)
        fit = (
            sifted.take(index)
            if roomy and ridge in ("auto", 0)
            else fit_lags(part, form.transform, m, form.lags, ridge)
        )
        eq = equation(form.transform, form.lags, fit, m.centre[:, 0], stabilise)[0]
        held = _held(part.lengths, h)
        judge = (fit, eq) if roomy else _fitted(part.replace(stop=part.stop - held[2]), form, ridge, stabilise)
        with np.errstate(divide="ignore"):
            score = np.log(_validation(part, form, *judge, h, held)) + _aicc(fit) / 2
        if not form.transform.diff:
            score = score + ROOT / (2 * np.maximum(fit.count, 1.0))
        score = np.where(np.isnan(score), np.inf, np.maximum(score, -1e3))
        trials.append(_Trial(number, index, eq, score))
    return trials


def _fitted(panel: Panel, form: Candidate, ridge: Ridge, stabilise: bool) -> tuple[Fit, Equation]:
    """Answers of one form, and its recursion."""
    m = moments(panel, form.transform, form.lags)
    fit = fit_lags(panel, form.transform, m, form.lags, ridge)
    return fit, equation(form.transform, form.lags, fit, m.centre[:, 0], stabilise)[0]


def _aicc(fit: Fit) -> Float:
    """Corrected Akaike criterion a row (n,), of the data's own scale; infinite where rows are too few.

    Hurvich & Tsai (1989), Biometrika 76.
    """
    parameters = fit.freedom + 2
    spare = fit.count - parameters - 1
    with np.errstate(all="ignore"):
        # The score is that of generalised cross-validation: twice the log of rows over spare rows above the fit.
        fine = fit.score + 2 * np.log((fit.count - 1 - fit.freedom) / fit.count)
        value = fine + 2 * parameters / np.where(spare > 0, spare, 1.0)
    return np.where((spare > 0) & ~np.isnan(value), value, np.inf)


def _held(lengths: Int, h: int) -> tuple[Int, Int, Int]:
    """Steps judged from an origin, rows between two origins, rows behind the first origin (n,)."""
    reach = np.minimum(h, np.maximum(lengths // 5, 1))
    step = np.maximum(reach // 2, 1)
    return reach, step, np.minimum(reach + (ORIGINS - 1) * step, lengths // 3)


def _validation(panel: Panel, form: Candidate, fit: Fit, eq: Equation, h: int, spans: tuple[Int, Int, Int]) -> Float:
    """Mean absolute error (n,) of recursions from the last ORIGINS origins; NaN where there is none."""
    reach, step, held = spans
    total, count = np.zeros(len(panel)), np.zeros(len(panel))
    for origin in range(ORIGINS):
        back = held - origin * step
        part = panel.replace(stop=panel.stop - np.maximum(back, 0))
        point = forecast_levels(eq, part, h, *_drive(form, fit, part, panel, h))
        actual = part.ahead(panel, h)
        use = (np.arange(h) < reach[:, None]) & np.isfinite(actual) & (back > 0)[:, None]
        total += np.where(use, np.abs(actual - point), 0.0).sum(axis=1)
        count += use.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _drive(form: Candidate, fit: Fit, part: Panel, panel: Panel, h: int) -> tuple[Float | None, Float | None]:
    """What known columns add ahead (n, h) of the spans of `part` and behind (n, W) their ends."""
    known = panel.columns[:, panel.n_past :]
    if not known.shape[1]:
        return None, None
    diff, beta = form.transform.diff, fit.coef[:, fit.coef.shape[1] - known.shape[1] :]
    width = 2 * max(form.lags, default=0) + 3 * diff + 2
    rows = np.concatenate([part.right(width, known), part.ahead(panel, h, known)], axis=1)
    added = np.einsum("ntk,nk->nt", np.nan_to_num(rows), beta)
    if diff:
        added[:, diff:] -= added[:, :-diff].copy()
    return added[:, width:], added[:, :width]


def _shares(trials: Sequence[_Trial], candidates: Sequence[Candidate], n: int, alone: bool) -> Float:
    """Weights (n, c) of the trials: none across the log, none for a form far behind; all to the best if `alone`."""
    score = np.full((n, len(candidates)), np.inf)
    tried = np.zeros(score.shape, dtype=bool)
    for trial in trials:
        score[trial.rows, trial.number], tried[trial.rows, trial.number] = trial.score, True
    # Too few rows to judge by: the plainest form, which repeats the last value where it is offered.
    lost = ~np.isfinite(score).any(axis=1)
    plain = np.array([(c.transform.diff != 1) * 1e6 + 10 * len(c.lags) + c.transform.log for c in candidates])
    score[lost] = np.where(tried[lost], plain, np.inf)
    best = np.argmin(score, axis=1)
    weights = np.exp(-SHARPNESS * (score - score[np.arange(n), best, None]))
    logged = np.array([c.transform.log for c in candidates])
    weights[(weights < NEGLIGIBLE) | (logged != logged[best, None])] = 0.0
    shares: Float = _leading(weights, lost | alone)
    # One after the other: longer series in the panel bring candidates, and their zeros must not change a sum's bits.
    shares /= np.add.accumulate(shares, axis=1)[:, -1:]
    return shares


def _leading(weights: Float, which: Bool) -> Float:
    """Weights with those of the series `which` given to their first greatest."""
    one = np.arange(weights.shape[1]) == np.argmax(weights, axis=1)[:, None]
    return np.where(which[:, None], one, weights)


def _mixed(trials: Sequence[_Trial], weights: Float, order: int) -> Equation:
    """The weighted mean of the trials' equations, on levels about one centre, for n series."""
    n = len(weights)
    phi, const, square, log = np.zeros((n, order)), np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool)
    centre = np.zeros(n)
    for trial in trials:
        live = np.flatnonzero(weights[trial.rows, trial.number])
        rows, eq = trial.rows[live], trial.equation.take(live)
        weight = weights[rows, trial.number]
        # Forms on levels share one centre. Differenced ones have none, nor need any: they give back all of a level.
        centre[rows] = np.where(eq.centre != 0, eq.centre, centre[rows])
        phi[rows, : eq.phi.shape[1]] += weight[:, None] * eq.phi
        const[rows] += weight * eq.const
        square[rows] += weight * eq.sd**2
        log[rows] = eq.log
    return Equation(phi, const, centre, np.sqrt(square), log)
