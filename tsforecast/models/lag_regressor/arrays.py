"""Fitted estimators as arrays, and predictions from those arrays: what a model file holds in place of an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.models.lag_regressor.estimators import FAMILIES
from tsforecast.panel import Float, Int
from tsforecast.rolling import State

__all__ = ["appended", "predicted", "read", "stacked", "taken"]

Part = dict[str, Any]
WORK = 32_768
"""(row, tree) pairs walked at once: keeps node lookups in cache, changes no bit of a result."""


def read(estimator: Any) -> Part | None:
    """One fitted estimator as named arrays and plain values; None where its family has no such form."""
    family = _family(estimator)
    if family == "pipeline":
        steps = [step for _, step in estimator.steps[:-1] if step is not None and step != "passthrough"]
        chain = [_STEPS[_family(step)](step) if _family(step) in _STEPS else None for step in steps]
        part = read(estimator.steps[-1][1])
        if part is None or part["chain"] or any(link is None for link in chain):
            return None
        return part | {"chain": {str(i): link for i, link in enumerate(chain)}}
    return _READERS[family](estimator) if family in _READERS else None


def _family(estimator: Any) -> str:
    kind = type(estimator)
    module, family = FAMILIES.get(kind.__name__, ("", ""))
    # A class of the same name from elsewhere is another family.
    return family if module and f"{kind.__module__}.".startswith(f"{module}.") else ""


def _linear(estimator: Any) -> Part:
    base = float(np.ravel(estimator.intercept_)[0])
    return {"family": "linear", "chain": {}, "coef": np.ravel(estimator.coef_).astype(float), "base": np.array(base)}


def _tree(estimator: Any) -> Part:
    return _walk([_nodes(estimator)], 0.0, single=True)


def _forest(estimator: Any) -> Part:
    return _walk([_nodes(tree) for tree in estimator.estimators_], 0.0, single=True, share=len(estimator.estimators_))


def _boosting(estimator: Any) -> Part | None:
    zero = isinstance(estimator.init_, str)
    if not zero and type(estimator.init_).__name__ != "DummyRegressor":
        return None
    base = 0.0 if zero else float(np.ravel(estimator.init_.constant_)[0])
    trees = [_nodes(tree) for tree in estimator.estimators_[:, 0]]
    for tree in trees:
        tree["value"] = estimator.learning_rate * tree["value"]
    return _walk(trees, base, single=True)


def _histogram(estimator: Any) -> Part | None:
    tables = [predictor.nodes for predictors in estimator._predictors for predictor in predictors]
    if any(table["is_categorical"].any() for table in tables):
        return None
    trees = [
        {
            "leaf": table["is_leaf"] > 0,
            "feature": table["feature_idx"],
            "threshold": table["num_threshold"],
            "left": table["left"].astype(np.int64),
            "right": table["right"].astype(np.int64),
            "missing_left": table["missing_go_to_left"] > 0,
            "value": table["value"],
            "depth": int(table["depth"].max()),
        }
        for table in tables
    ]
    part = _walk(trees, float(np.ravel(estimator._baseline_prediction)[0]), single=False)
    return part | {"exponential": type(estimator._loss.link).__name__ == "LogLink"}


def _nodes(estimator: Any) -> Part:
    tree = estimator.tree_
    return {
        "leaf": tree.children_left < 0,
        "feature": tree.feature,
        "threshold": tree.threshold,
        "left": tree.children_left,
        "right": tree.children_right,
        "missing_left": tree.missing_go_to_left > 0,
        "value": tree.value[:, 0, 0],
        "depth": int(tree.max_depth),
    }


def _walk(trees: Sequence[Part], base: float, *, single: bool, share: int = 1) -> Part:
    """Trees put end to end behind a leaf of value 0; a leaf leads to itself, so all rows take the same number of steps.

    `single`: thresholds meet regressors rounded to single precision, as scikit-learn's trees do.
    """
    sizes = np.array([len(tree["value"]) for tree in trees], dtype=np.int64)
    root = 1 + np.cumsum(sizes) - sizes
    leaf = np.concatenate([[True], *[tree["leaf"] for tree in trees]])
    place = np.arange(len(leaf))

    def joined(name: str, first: Any, shift: bool = False) -> NDArray[Any]:
        parts = [tree[name] + (r if shift else 0) for tree, r in zip(trees, root, strict=True)]
        return np.concatenate([[first], *parts])

    return {
        "family": "trees",
        "chain": {},
        "single": single,
        "exponential": False,
        "feature": np.where(leaf, 0, joined("feature", 0)).astype(np.int32),
        "threshold": np.where(leaf, np.inf, joined("threshold", 0.0)),
        "left": np.where(leaf, place, joined("left", 0, shift=True)).astype(np.int32),
        "right": np.where(leaf, place, joined("right", 0, shift=True)).astype(np.int32),
        "missing_left": np.concatenate([[True], *[tree["missing_left"] for tree in trees]]),
        "value": joined("value", 0.0).astype(float),
        "root": root.astype(np.int32),
        "depth": np.array(max((tree["depth"] for tree in trees), default=0)),
        "share": np.array(float(share)),
        "base": np.array(base),
    }


def _scaler(step: Any) -> Part | None:
    """(x - shift) / scale."""
    kind, width = type(step).__name__, step.n_features_in_
    if getattr(step, "clip", False):
        return None
    if kind == "MinMaxScaler":
        return {"shift": -step.min_ / step.scale_, "scale": 1.0 / step.scale_}
    shift = {"StandardScaler": "mean_", "RobustScaler": "center_"}.get(kind)
    middle = getattr(step, shift, None) if shift else None
    scale = step.scale_
    return {
        "shift": np.zeros(width) if middle is None or not getattr(step, "with_mean", True) else middle,
        "scale": np.ones(width) if scale is None else scale,
    }


def _polynomial(step: Any) -> Part:
    """Which regressors are multiplied in each product."""
    return {"products": [np.repeat(np.arange(len(powers)), powers).tolist() for powers in step.powers_]}


_READERS = {
    "linear": _linear,
    "tree": _tree,
    "forest": _forest,
    "boosting": _boosting,
    "histogram boosting": _histogram,
}
_STEPS = {"scaler": _scaler, "polynomial": _polynomial}


def stacked(parts: Sequence[Part | None], shape: tuple[int, int]) -> State:
    """Parts of models (m, S), row by row, with arrays (m, S, ...) padded to one shape; what is None forecasts NaN."""
    there = [part for part in parts if part is not None]
    return _stacked(there[0], parts, shape) if there else {}


def _stacked(like: Mapping[str, Any], parts: Sequence[Mapping[str, Any] | None], shape: tuple[int, int]) -> State:
    out: State = {}
    for name, value in like.items():
        each = [None if part is None else part[name] for part in parts]
        if isinstance(value, dict):
            out[name] = _stacked(value, each, shape)
        elif isinstance(value, np.ndarray):
            size = np.max([np.shape(x) for x in each if x is not None], axis=0).astype(int)
            whole = np.zeros((len(parts), *size), value.dtype)
            if name == "base":
                whole[:] = np.nan
            for i, x in enumerate(each):
                if x is not None:
                    place: tuple[int | slice, ...] = (i, *map(slice, np.shape(x)))
                    whole[place] = x
            out[name] = whole.reshape(*shape, *size)
        else:
            out[name] = value
    return out


def appended(one: State, other: State, count: int, more: int) -> State:
    """States of `count` models and of `more` others as one; models without a state (none was fitted) forecast NaN."""
    out: State = {}
    for name, value in (one or other).items():
        if isinstance(value, dict):
            out[name] = appended(one.get(name, {}), other.get(name, {}), count, more)
        elif isinstance(value, np.ndarray):
            parts = [state.get(name, np.empty((0, *value.shape[1:]), value.dtype)) for state in (one, other)]
            size = np.max([part.shape[1:] for part in parts], axis=0).astype(int)
            whole = np.full((count + more, *size), np.nan if name == "base" else 0, value.dtype)
            for first, part in zip((0, count), parts, strict=True):
                place = (slice(first, first + len(part)), *map(slice, part.shape[1:]))
                whole[place] = part
            out[name] = whole
        else:
            out[name] = value
    return out


def taken(state: State, models: Int) -> State:
    """The state of some of the models."""
    out: State = {}
    for name, value in state.items():
        inner = taken(value, models) if isinstance(value, dict) else value
        out[name] = value[models] if isinstance(value, np.ndarray) else inner
    return out


def predicted(state: State, x: Float, model: Int, step: int) -> Float:
    """Predictions (R,) for rows x (R, c), row r by model `model[r]` at column `step`; each row's bits are its own."""
    if not state:
        return np.full(len(x), np.nan)

    def of(values: NDArray[Any]) -> NDArray[Any]:
        picked: NDArray[Any] = values[model, step]
        return picked

    for i in range(len(state["chain"])):
        x = _through(state["chain"][str(i)], x, of)
    if state["family"] == "linear":
        # Elementwise sums, not a product: the company a series keeps must change no bit.
        told: Float = (of(state["coef"])[:, : x.shape[1]] * x).sum(axis=1) + of(state["base"])
        return told
    total: Float = of(state["base"]) + _sum_of_trees(state, x, model, step) / np.maximum(of(state["share"]), 1.0)
    return np.exp(total) if state["exponential"] else total


def _through(link: State, x: Float, of: Any) -> Float:
    if "products" in link:
        columns = [np.prod(x[:, product], axis=1) for product in link["products"]]
        return np.stack(columns, axis=1)
    width = x.shape[1]
    scale = of(link["scale"])[:, :width]
    moved: Float = (x - of(link["shift"])[:, :width]) / np.where(scale == 0, 1.0, scale)
    return moved


def _sum_of_trees(state: State, x: Float, model: Int, step: int) -> Float:
    """Sum (R,) over the trees of each row's model, in their order."""
    names = ("feature", "threshold", "left", "right", "missing_left", "value")
    feature, threshold, left, right, missing_left, value = (state[name][:, step].reshape(-1) for name in names)
    first = (model * state["value"].shape[2])[:, None]
    root = state["root"][model, step]
    depth = int(state["depth"][:, step].max(initial=0))
    if state["single"]:
        x = x.astype(np.float32)
    blind = bool(np.isnan(x).any())
    flat, place = x.reshape(-1), (np.arange(len(x)) * x.shape[1])[:, None]
    total = np.zeros(len(x))
    chunk = max(1, WORK // max(1, len(x)))
    for low in range(0, root.shape[1], chunk):
        node = first + root[:, low : low + chunk]
        for _ in range(depth):
            value_there = flat[place + feature[node]]
            go_left = value_there <= threshold[node]
            if blind:
                go_left |= np.isnan(value_there) & missing_left[node]
            node = first + np.where(go_left, left[node], right[node])
        for values in value[node].T:
            total += values
    return total
