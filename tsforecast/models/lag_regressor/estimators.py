"""Estimators of scikit-learn: named in one literal table, made, asked what they can do, and fitted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from tsforecast.errors import ConfigError, FitWarning, require
from tsforecast.panel import Float

__all__ = ["FAMILIES", "copes_with_missing", "fitted", "label", "made", "takes_weights", "told_once"]

_LINEAR, _TREES = "sklearn.linear_model", "sklearn.tree"
_ENSEMBLES, _SCALES = "sklearn.ensemble", "sklearn.preprocessing"

FAMILIES: dict[str, tuple[str, str]] = {
    "ARDRegression": (_LINEAR, "linear"),
    "BayesianRidge": (_LINEAR, "linear"),
    "ElasticNet": (_LINEAR, "linear"),
    "ElasticNetCV": (_LINEAR, "linear"),
    "HuberRegressor": (_LINEAR, "linear"),
    "Lars": (_LINEAR, "linear"),
    "LarsCV": (_LINEAR, "linear"),
    "Lasso": (_LINEAR, "linear"),
    "LassoCV": (_LINEAR, "linear"),
    "LassoLars": (_LINEAR, "linear"),
    "LassoLarsCV": (_LINEAR, "linear"),
    "LassoLarsIC": (_LINEAR, "linear"),
    "LinearRegression": (_LINEAR, "linear"),
    "LinearSVR": ("sklearn.svm", "linear"),
    "OrthogonalMatchingPursuit": (_LINEAR, "linear"),
    "QuantileRegressor": (_LINEAR, "linear"),
    "Ridge": (_LINEAR, "linear"),
    "RidgeCV": (_LINEAR, "linear"),
    "SGDRegressor": (_LINEAR, "linear"),
    "TheilSenRegressor": (_LINEAR, "linear"),
    "DecisionTreeRegressor": (_TREES, "tree"),
    "ExtraTreeRegressor": (_TREES, "tree"),
    "ExtraTreesRegressor": (_ENSEMBLES, "forest"),
    "RandomForestRegressor": (_ENSEMBLES, "forest"),
    "GradientBoostingRegressor": (_ENSEMBLES, "boosting"),
    "HistGradientBoostingRegressor": (_ENSEMBLES, "histogram boosting"),
    "Pipeline": ("sklearn.pipeline", "pipeline"),
    "MaxAbsScaler": (_SCALES, "scaler"),
    "MinMaxScaler": (_SCALES, "scaler"),
    "PolynomialFeatures": (_SCALES, "polynomial"),
    "RobustScaler": (_SCALES, "scaler"),
    "StandardScaler": (_SCALES, "scaler"),
    "AdaBoostRegressor": (_ENSEMBLES, ""),
    "BaggingRegressor": (_ENSEMBLES, ""),
    "GaussianProcessRegressor": ("sklearn.gaussian_process", ""),
    "KNeighborsRegressor": ("sklearn.neighbors", ""),
    "KernelRidge": ("sklearn.kernel_ridge", ""),
    "MLPRegressor": ("sklearn.neural_network", ""),
    "NuSVR": ("sklearn.svm", ""),
    "SVR": ("sklearn.svm", ""),
}
"""Name -> (module, family whose fitted state can be read as arrays; "" where it stays an object in memory)."""


def label(estimator: Any) -> str:
    """Name of an estimator given as object, name or mapping."""
    if isinstance(estimator, str):
        return estimator
    return str(estimator.get("name")) if isinstance(estimator, Mapping) else type(estimator).__name__


def made(estimator: Any, seed: int) -> Any:
    """A new, unfitted estimator: a clone of an object, or by name from FAMILIES; unset random states become `seed`.

    ConfigError for an unknown name, a parameter the class does not have, or what is no regressor.
    """
    base = require("sklearn.base", "sklearn")
    if isinstance(estimator, (str, Mapping)):
        new = _named(estimator)
    elif isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
        raise ConfigError(f"estimator must be a regressor of scikit-learn or the name of one, got {estimator!r}")
    else:
        new = base.clone(estimator)
    if not base.is_regressor(new):
        raise ConfigError(f"estimator must be a regressor, {label(estimator)} is none")
    unset = [key for key, value in new.get_params().items() if key.endswith("random_state") and value is None]
    return new.set_params(**dict.fromkeys(unset, seed))


def _named(node: Any) -> Any:
    """What a name or a mapping {"name": ..., parameter: ...} stands for, estimators inside it too."""
    if isinstance(node, Mapping):
        params = {key: _inner(value) for key, value in node.items() if key != "name"}
        name = node.get("name")
    else:
        params, name = {}, node
    if name not in FAMILIES:
        near = get_close_matches(str(name), FAMILIES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no estimator {name!r}{hint} (by name there are {', '.join(FAMILIES)})")
    kind = getattr(require(FAMILIES[name][0], "sklearn"), name)
    try:
        return kind(**params)
    except TypeError as cause:
        raise ConfigError(f"{name}: {cause}; it has {', '.join(kind().get_params())}") from cause


def _inner(node: Any) -> Any:
    if isinstance(node, Mapping) and "name" in node:
        return _named(node)
    if isinstance(node, (list, tuple)):
        return type(node)(_inner(item) for item in node)
    return node


def copes_with_missing(estimator: Any) -> bool:
    """Whether the estimator takes rows with NaN."""
    return bool(require("sklearn.utils", "sklearn").get_tags(estimator).input_tags.allow_nan)


def _last_step(estimator: Any) -> tuple[str, Any]:
    """Prefix of the fit parameters of what a pipeline ends with, and that itself."""
    steps = getattr(estimator, "steps", None)
    return (f"{steps[-1][0]}__", steps[-1][1]) if steps else ("", estimator)


def takes_weights(estimator: Any) -> bool:
    """Whether rows can be weighted."""
    last = _last_step(estimator)[1]
    return bool(require("sklearn.utils.validation", "sklearn").has_fit_parameter(last, "sample_weight"))


def fitted(estimator: Any, x: Float, y: Float, weights: Float | None) -> Any:
    """The estimator, new and still its caller's own, fitted on rows x (R, c), y (R,), weights (R,)."""
    if weights is None or (weights == weights[0]).all():
        return estimator.fit(x, y)
    return estimator.fit(x, y, **{f"{_last_step(estimator)[0]}sample_weight": weights})


@contextmanager
def told_once(name: str) -> Iterator[None]:
    """Gathers the warnings of fits that did not converge into a single FitWarning."""
    slow = require("sklearn.exceptions", "sklearn").ConvergenceWarning
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    unconverged = [w for w in caught if issubclass(w.category, slow)]
    for w in caught:
        if w not in unconverged:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    if unconverged:
        first = str(unconverged[0].message).partition("\n")[0]
        warnings.warn(f"{name}: {len(unconverged)} fits did not converge: {first}", FitWarning, stacklevel=2)
