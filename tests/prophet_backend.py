"""Our exact mode behind Prophet's own objects: an adapter for tests, and a plugin that teaches pytest runs its name.

`pytest -p prophet_backend --pyargs prophet.tests --backend MODE` runs Prophet's own suite on our solvers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from prophet.models import IStanBackend, StanBackendEnum

from tsforecast.models.prophet import additive, nonlinear
from tsforecast.models.prophet.additive import Normal
from tsforecast.models.prophet.posterior import Problem

NAME = "MODE"
GROWTH = ("linear", "logistic", "flat")


def arrays(data: Mapping[str, Any]) -> dict[str, Any]:
    """What Prophet hands to Stan, as plain arrays."""
    numbers = {name: np.asarray(data[name], float) for name in ("y", "t", "cap", "t_change", "X", "sigmas")}
    chosen = {name: np.asarray(data[name], float) == 1 for name in ("s_a", "s_m")}
    return {**numbers, **chosen, "tau": float(data["tau"]), "growth": GROWTH[int(data["trend_indicator"])]}


def mode(data: Mapping[str, Any], start: tuple[float, float]) -> dict[str, Any]:
    """The mode of one series by our solvers: k, m, delta, beta, sigma_obs, whether it is `proper`, and, where terms
    multiply or the trend is logistic, the solver's own `objective`."""
    given = arrays(data)
    convex = given["growth"] != "logistic" and not given["s_m"].any()
    found = _additive(given) if convex else _nonlinear(given, start)
    theta = found.theta[0]
    g = 2 + given["X"].shape[1]
    parts = {"k": theta[0], "m": theta[1], "beta": theta[2:g], "delta": theta[g:]}
    told = {"proper": bool(found.proper[0])} | ({} if convex else {"objective": float(found.objective[0])})
    return {**parts, "sigma_obs": float(np.sqrt(found.variance[0])), **told}


def _additive(given: dict[str, Any]) -> additive.Mode:
    t, level = given["t"], given["y"].mean()
    y = given["y"] - level  # or squares of a signal far from zero would drown in those of its level
    bent = np.maximum(t[:, None] - given["t_change"], 0)
    if given["growth"] == "flat":
        t, bent = 0 * t, 0 * bent
    design = np.column_stack([t, np.ones_like(t), given["X"], bent])
    precision = np.concatenate([[1 / 25, 1 / 25], given["sigmas"] ** -2.0])[None]
    centre = np.zeros_like(precision)
    centre[0, 1] = -level
    problem = Normal(
        gram=(design.T @ design)[None],
        moment=(design.T @ y)[None],
        square=np.array([y @ y]),
        rows=np.array([float(len(y))]),
        precision=precision,
        centre=centre,
        tau=np.array([given["tau"]]),
    )
    found = additive.solve(problem)
    found.theta[0, 1] += level
    return found


def _nonlinear(given: dict[str, Any], start: tuple[float, float]) -> nonlinear.Mode:
    problem = Problem(
        y=given["y"][None],
        weight=np.ones((1, len(given["y"]))),
        t=given["t"][None],
        changepoints=given["t_change"][None],
        x=given["X"][None],
        multiplicative=given["s_m"],
        precision=np.concatenate([[1 / 25, 1 / 25], given["sigmas"] ** -2.0]),
        tau=np.array([given["tau"]]),
        growth=given["growth"],
        cap=given["cap"][None] if given["growth"] == "logistic" else None,
    )
    return nonlinear.solve(problem, np.array([start]))


class ModeBackend(IStanBackend):
    """A back end as Prophet wants one."""

    @staticmethod
    def get_type() -> str:
        return NAME

    def load_model(self) -> None:
        return None

    def fit(self, stan_init: dict[str, Any], stan_data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        found = mode(stan_data, (float(stan_init["k"]), float(stan_init["m"])))
        wanted = ("k", "m", "delta", "beta", "sigma_obs")
        return {name: np.asarray(found[name], float).reshape(1, -1) for name in wanted}

    def sampling(
        self, stan_init: dict[str, Any], stan_data: dict[str, Any], samples: int, **kwargs: Any
    ) -> dict[str, Any]:
        raise NotImplementedError("a mode has no samples")


_known = StanBackendEnum.get_backend_class


def _with_ours(name: str) -> type[IStanBackend]:
    return ModeBackend if name == NAME else _known(name)


# Prophet's list of back ends is closed. On import, because its worker processes import this module, not the plugin.
StanBackendEnum.get_backend_class = staticmethod(_with_ours)  # type: ignore[method-assign]
