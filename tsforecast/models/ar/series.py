"""Recursive AR, one regression a series: fitting in blocks, forecasts and intervals from the fitted state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tsforecast.failures import out_of_range
from tsforecast.forecast import Forecast
from tsforecast.models.ar.choose import Candidate, Choice, choose
from tsforecast.models.ar.dynamics import Equation, impulse, recursion
from tsforecast.models.ar.fit import Fit, Moments, Ridge, fit_lags, moments, tile_rows
from tsforecast.models.ar.levels import equation, start_window
from tsforecast.panel import Bool, Float, Int, Panel
from tsforecast.rolling import State
from tsforecast.windows import Tile, normal_widths
from tsforecast.windows.blocks import in_blocks
from tsforecast.windows.moments import explicit_moments, lag_design
from tsforecast.windows.plan import Transform

__all__ = [
    "drives",
    "empty_state",
    "equation_of",
    "fit",
    "fit_windows",
    "forms_of",
    "predict",
    "simulate",
    "widened",
    "with_errors",
    "write_fit",
]


GROWTH = 10.0
"""Ranges of its history that a logged equation may leave it by; twice as many are a failure."""
HALVINGS = 12
FARTHEST = 1000


def fit(panel: Panel, candidates: Sequence[Candidate], ridge: Ridge, h: int | None, calm: bool) -> State:
    """State arrays of n series: the equation of each, its coefficients, and what was chosen."""
    union = tuple(sorted({lag for c in candidates for lag in c.lags}))
    state = empty_state(panel, candidates)

    def work(block: Int) -> None:
        part = panel.take(block)
        choice = choose(part, candidates, ridge, h or 1, calm) if len(candidates) > 1 else None
        chosen = np.zeros(len(part), dtype=np.int64) if choice is None else choice.leading
        for number in np.unique(chosen):
            index = np.nonzero(chosen == number)[0]
            some, form = part.take(index), candidates[number]
            m = moments(some, form.transform, form.lags)
            done = fit_lags(some, form.transform, m, form.lags, ridge)
            write_fit(state, block[index], some, form, union, done, m.centre[:, 0], calm)
        state["choice"][block] = chosen
        if choice is not None:
            _write_mean(state, block, choice)
        if calm:
            _calm_growth(state, block, part, h or 1)

    in_blocks(len(panel), work)
    state["calm"] = calm
    return state


def _write_mean(state: State, block: Int, choice: Choice) -> None:
    """Put mixed equations in the place of the leading ones, where several forms carry weight."""
    share = choice.weights.max(axis=1, initial=0.0)
    mixed = np.flatnonzero(share < 1)
    state["weight"][block] = share
    for name, values in choice.equation._asdict().items():
        state[name][block[mixed]] = values[mixed]


def _calm_growth(state: State, block: Int, panel: Panel, h: int) -> None:
    """Draw the drift of logged equations in, where it carries them off within h steps or half their history."""
    eq = equation_of(state, block)
    reach = np.clip(panel.lengths // 2, h, max(h, FARTHEST))
    const, changed = bounded(eq, panel, start_window(eq, panel), None, reach)
    state["const"][block] = const
    state["stabilised"][block] |= changed


def bounded(eq: Equation, panel: Panel, window: Float, drive: Float | None, reach: Int) -> tuple[Float, Bool]:
    """Constants (n,) under which logged equations stay within GROWTH ranges for `reach` steps (n,), and which changed.

    Roots say nothing of it: a drift of logs compounds, and a chance one leaves every bound in time. It is halved
    until it does not, at last dropped.
    """
    const, changed = eq.const.copy(), np.zeros(len(panel), dtype=bool)
    index = np.flatnonzero(eq.log)
    for _ in range(HALVINGS):
        if not len(index):
            return const, changed
        few = eq.take(index)
        ahead = None if drive is None else drive[index]
        point = few.back(recursion(few.phi, const[index], window[index], int(reach[index].max()), ahead))
        point = np.where(np.arange(point.shape[1]) < reach[index, None], point, point[:, :1])
        index = index[out_of_range(point, panel.take(index), limit=GROWTH)]
        const[index] /= 2
        changed[index] = True
    const[index] = 0.0
    return const, changed


def with_errors(state: State, panel: Panel, ridge: Ridge) -> State:
    """The state of series 0..n-1 with standard errors, from the rows it was fitted on; they are not worked out before.

    Forecasts need none of them, and they would cost a fit another third.
    """
    if state["error"].shape[1]:
        return state
    error = np.full((len(panel), state["coef"].shape[1] + 1), np.nan)
    first, which = forms_of(state)
    for number in range(len(first)):
        _write_errors(error, state, panel, np.nonzero(which == number)[0], ridge)
    return state | {"error": error}


def forms_of(state: State) -> tuple[Int, Int]:
    """The first series of each form (f,), and the form of every series (n,): its lags, log and difference."""
    used = np.packbits(~np.isnan(state["coef"][:, : len(state["lags"])]), axis=1)
    diff = state["diff"].astype(np.int64)[:, None].view(np.uint8)
    rows = np.ascontiguousarray(np.concatenate([used, state["log"][:, None].view(np.uint8), diff], axis=1))
    key = rows.view(f"S{rows.shape[1]}")[:, 0]  # text of one length sorts faster than rows
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return first, which.reshape(-1)


def _write_errors(error: Float, state: State, panel: Panel, alike: Int, ridge: Ridge) -> None:
    """Standard errors of the series `alike`, which took one form."""
    one = alike[0]
    place = np.nonzero(~np.isnan(state["coef"][one, : len(state["lags"])]))[0]
    lags = tuple(state["lags"][p] for p in place)
    transform = Transform(bool(state["log"][one]), int(state["diff"][one]))
    width, channels = len(state["lags"]), 1 + panel.n_past
    own = [c * width + p for c in range(channels) for p in place]
    column = np.array([-1, *own, *range(width * channels, state["coef"].shape[1])], dtype=np.int64) + 1

    def work(block: Int) -> None:
        some = panel.take(alike[block])
        done = fit_lags(some, transform, moments(some, transform, lags), lags, ridge, errors=True)
        error[alike[block][:, None], column] = done.error

    in_blocks(len(alike), work)


def fit_windows(panel: Panel, cutoffs: Int, form: Candidate, ridge: Ridge, calm: bool) -> State:
    """State of the spans that end at cutoffs (w, n), window-major: rows are summed once, each window adds its own.

    Centre and scale are those of the first window, for as long as they fit: they condition the sums and change
    answers by rounding alone.
    """
    state = empty_state(panel.cut(cutoffs), [form])
    n = len(panel)

    def work(block: Int) -> None:
        part = panel.take(block)
        before = part.upto(cutoffs[0, block])
        m = moments(before, form.transform, form.lags)
        for w, cutoff in enumerate(cutoffs[:, block]):
            now = part.upto(cutoff)
            if np.any(now.stop < before.stop):  # windows that go back in time share nothing
                m = moments(now, form.transform, form.lags)
            elif w:
                m = restarted(added(m, before, now, form), now, form)
            done = fit_lags(now, form.transform, m, form.lags, ridge)
            write_fit(state, w * n + block, now, form, form.lags, done, m.centre[:, 0], calm)
            before = now

    in_blocks(n, work)
    state["calm"] = calm
    return state


def added(m: Moments, before: Panel, now: Panel, form: Candidate) -> Moments:
    """Moments of `now` from those of `before`, a shorter span of the same rows."""
    fresh = now.stop - before.stop
    step = int(fresh.max(initial=0))
    if not step:
        return m
    width = step + max(form.lags, default=0) + form.transform.diff
    late = now.tail(width)
    steps = np.arange(-width, 0)
    rows = late.stop[:, None] + steps
    inside = rows >= late.start[:, None]
    tile = Tile(np.arange(len(now)), np.where(inside, rows, 0), inside)
    part = tile_rows(late, tile, form.transform, (m.centre, m.scale))
    x, whole = lag_design(part.z, form.lags, part.past, part.known)
    whole = whole * (steps >= -fresh[:, None])
    weights = None if part.weights is None else part.weights[:, -step:]
    x, whole = x[:, -step:] * whole[:, -step:, None], whole[:, -step:]  # rows known before are left out of both
    more, used = explicit_moments(x, whole, part.z[:, -step:, None], weights)
    return replace(m, values=m.values + more, rows=m.rows + used)


def restarted(m: Moments, now: Panel, form: Candidate) -> Moments:
    """The moments summed afresh in units of their own rows, for series that have left the centre and scale they had.

    Sums far from their centre lose digits, and columns of very different size drown each other.
    """
    count = np.maximum(m.values[:, :1, 0], 1e-300)
    mean = m.values[:, 0, 1:] / count
    square = np.einsum("ndd->nd", m.values)[:, 1:] / count
    stray = (mean**2 > 1e4 * (square - mean**2)) & (mean**2 > 1e-12) | (square > 1e8)
    lost = np.nonzero(stray.any(axis=1) & (m.rows > 0))[0]
    if not len(lost):
        return m
    fresh = moments(now.take(lost), form.transform, form.lags)
    parts = {name: getattr(m, name).copy() for name in ("values", "rows", "centre", "scale", "log_mean")}
    for name, values in parts.items():
        values[lost] = getattr(fresh, name)
    return replace(m, **parts)


def empty_state(panel: Panel, candidates: Sequence[Candidate]) -> State:
    """State arrays for the series of `panel`, nothing fitted yet."""
    n = len(panel)
    union = sorted({lag for c in candidates for lag in c.lags})
    order = max(max(c.lags, default=0) + c.transform.diff for c in candidates)
    width = len(union) * (1 + panel.n_past) + panel.columns.shape[1] - panel.n_past
    shapes: dict[str, tuple[int, ...]] = {
        "phi": (n, order), "const": (n,), "centre": (n,), "sd": (n,), "coef": (n, width), "error": (n, 0),
        "intercept": (n,), "sigma2": (n,), "count": (n,), "freedom": (n,), "ridge": (n,), "total": (n,),
    }  # fmt: skip
    state: State = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    state["phi"][:] = 0.0
    state["log"] = np.zeros(n, dtype=bool)
    state["stabilised"] = np.zeros(n, dtype=bool)
    state["diff"] = np.zeros(n, dtype=np.int64)
    state["choice"] = np.zeros(n, dtype=np.int64)
    state["weight"] = np.ones(n)
    state["calm"] = False
    state["lags"] = list(union)
    return state


def write_fit(
    state: State, where: Int, panel: Panel, form: Candidate, union: Sequence[int], done: Fit, centre: Float, calm: bool
) -> None:
    """Write answers of one form into rows `where` of the state."""
    eq, changed = equation(form.transform, form.lags, done, centre, calm)
    state["phi"][where, : eq.phi.shape[1]] = eq.phi
    for name, values in (("const", eq.const), ("centre", eq.centre), ("sd", eq.sd), ("log", eq.log)):
        state[name][where] = values
    state["stabilised"][where], state["diff"][where] = changed, form.transform.diff
    state["intercept"][where] = done.const
    for name in ("sigma2", "count", "freedom", "ridge", "total"):
        state[name][where] = getattr(done, name)
    lagged = len(union) * (1 + panel.n_past)
    place = [c * len(union) + union.index(lag) for c in range(1 + panel.n_past) for lag in form.lags]
    place += range(lagged, lagged + panel.columns.shape[1] - panel.n_past)
    column = np.array(place, dtype=np.int64)
    state["coef"][where[:, None], column] = done.coef
    if done.error.shape[1]:
        if not state["error"].shape[1]:
            state["error"] = np.full((len(state["coef"]), state["coef"].shape[1] + 1), np.nan)
        state["error"][where[:, None], np.append(0, column + 1)] = done.error


def equation_of(state: State, series: Int) -> Equation:
    """The equations of the fitted series that spans ask for."""
    return Equation(**{name: state[name][series] for name in ("phi", "const", "centre", "sd", "log")})


def predict(state: State, panel: Panel, h: int, known: Float, levels: Sequence[float], mean_point: bool) -> Forecast:
    """Recursive forecasts; intervals from the psi weights, exact on the scale of the recursion."""
    eq = equation_of(state, panel.series)
    ahead, behind = drives(state, panel, h, known)
    window = start_window(eq, panel, behind)
    if state["calm"] and eq.log.any():
        # Farther ahead than the fit was told of: what would fail there is drawn in for this call.
        first = eq.back(recursion(eq.phi, eq.const, window, h, ahead))
        wild = np.flatnonzero(eq.log & out_of_range(first, panel))
        few = None if ahead is None else ahead[wild]
        eq.const[wild] = bounded(eq.take(wild), panel.take(wild), window[wild], few, np.full(len(wild), h))[0]
    u = recursion(eq.phi, eq.const, window, h, ahead)
    spread = None
    if levels or (mean_point and eq.log.any()):
        spread = eq.sd[:, None] * np.sqrt(np.cumsum(impulse(eq.phi, h) ** 2, axis=1))
    point = eq.back(u)
    if mean_point and spread is not None:
        point = np.where(eq.log[:, None], point * np.exp(np.minimum(spread**2 / 2, 50.0)), point)
    if not levels or spread is None:
        return Forecast(point)
    width = normal_widths(spread, levels)
    return Forecast(point, eq.back(u[..., None] - width), eq.back(u[..., None] + width))


def drives(state: State, panel: Panel, h: int, known: Float) -> tuple[Float | None, Float | None]:
    """What known columns add to the recursion ahead (n, h) and behind (n, W); differenced where the target is."""
    k = known.shape[2]
    if not k:
        return None, None
    beta = np.nan_to_num(state["coef"][panel.series][:, state["coef"].shape[1] - k :])
    diff = state["diff"][panel.series]
    width = 2 * state["phi"].shape[1] + 2 + int(diff.max(initial=0))
    past = np.nan_to_num(panel.right(width, panel.columns[:, panel.n_past :]))
    whole = np.einsum("ntk,nk->nt", np.concatenate([past, known], axis=1), beta)
    for d in np.unique(diff[diff > 0]):
        index = np.nonzero(diff == d)[0]
        part = whole[index]
        whole[index, d:] = part[:, d:] - part[:, :-d]
    return whole[:, width:], whole[:, :width]


def simulate(state: State, panel: Panel, h: int, known: Float, draws: Float) -> Float:
    """Sample paths (n, h, p): the recursion driven by sd times `draws` (n, h, p), parameters taken as known."""
    eq = equation_of(state, panel.series)
    ahead, behind = drives(state, panel, h, known)
    u = recursion(eq.phi, eq.const, start_window(eq, panel, behind), h, ahead)
    psi = impulse(eq.phi, h)
    shocks = draws * eq.sd[:, None, None]
    paths = np.empty_like(draws)
    for step in range(h):
        # The response to shocks up to this step: a convolution with the psi weights.
        paths[:, step] = u[:, step, None] + np.einsum("ns,nsp->np", psi[:, step::-1], shocks[:, : step + 1])
    return eq.back(paths)


def widened(state: State, lags: Sequence[int], n_past: int, reach: int) -> State:
    """The same state with room for more lags, NaN where a series has none, and polynomials of order `reach`."""
    old, width = state["lags"], len(state["lags"])
    channels = [c * len(lags) + lags.index(lag) for c in range(1 + n_past) for lag in old]
    known = state["coef"].shape[1] - width * (1 + n_past)
    column = np.array([*channels, *range(len(lags) * (1 + n_past), len(lags) * (1 + n_past) + known)], dtype=np.int64)
    n, total = len(state["coef"]), len(lags) * (1 + n_past) + known
    coef, error = np.full((n, total), np.nan), np.full((n, total + 1), np.nan)
    coef[:, column], error[:, np.append(0, column + 1)] = state["coef"], state["error"]
    phi = np.zeros((n, reach))
    held = min(reach, state["phi"].shape[1])
    phi[:, :held] = state["phi"][:, :held]
    return state | {"coef": coef, "error": error, "phi": phi, "lags": list(lags)}
