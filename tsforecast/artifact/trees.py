"""Trees of plain values and arrays as JSON and a list of members, and back.

JSON stands for itself except that a mapping is {"map": {...}}, a tuple {"tuple": [...]}, a float beyond JSON
{"float": "nan"}, and arrays are {"array": member}, {"dates": [member, unit]}, {"integers": member} (an object array
of int) or {"text": [UTF-8 member, offsets member, shape, width or null for an object array]}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.artifact.container import BYTES, DTYPES, Body, count, member_name, need
from tsforecast.errors import ArtifactError

__all__ = ["decode", "encode"]

MAX_DEPTH = 32
MAX_BITS = 1024  # of an int: text to int takes quadratic time

_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns")


def encode(value: Any, bodies: list[Body], path: tuple[object, ...]) -> Any:
    """Turn a value into JSON, appending its arrays to `bodies`; `path` says where it lies, for complaints."""
    if len(path) > MAX_DEPTH:
        raise ArtifactError(f"{_place(path)} lies deeper than {MAX_DEPTH} levels")
    if isinstance(value, np.ndarray):
        return _encode_array(value, bodies, path)
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if isinstance(value, Mapping):
        if not all(type(name) is str for name in value):
            raise ArtifactError(f"{_place(path)} has keys that are not str")
        return {"map": {name: encode(item, bodies, (*path, name)) for name, item in value.items()}}
    if isinstance(value, (list, tuple)):
        items = [encode(item, bodies, (*path, i)) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and value.bit_length() <= MAX_BITS:
        return int(value)
    raise ArtifactError(f"{_place(path)} is a {type(value).__name__}: a model file holds plain values and arrays")


def _place(path: tuple[object, ...]) -> str:
    return f"{path[0]}{''.join(f'[{part!r}]' for part in path[1:])}"


def _encode_array(array: NDArray[Any], bodies: list[Body], path: tuple[object, ...]) -> dict[str, Any]:
    def member(part: NDArray[Any]) -> str:
        bodies.append(Body(part))
        return member_name(len(bodies) - 1)

    kind = array.dtype.kind
    if array.dtype.newbyteorder("<").str in DTYPES:
        return {"array": member(array)}
    if kind == "M" and np.datetime_data(array.dtype) in [(unit, 1) for unit in _UNITS]:
        native = array.astype(array.dtype.newbyteorder("="), order="K")
        return {"dates": [member(native.view(np.int64)), np.datetime_data(array.dtype)[0]]}
    items = array.ravel().tolist() if kind in "UO" else []
    if items and all(type(item) is int and -(2**63) <= item < 2**63 for item in items):
        return {"integers": member(array.astype(np.int64))}
    if kind == "U" or (kind == "O" and all(type(item) is str for item in items)):
        try:
            joined = "".join(items).encode()
        except UnicodeEncodeError as cause:
            raise ArtifactError(f"{_place(path)} holds text that is no Unicode: {cause.object!r}") from cause
        offsets = np.cumsum([0, *map(len, items)], dtype=np.int64)
        width = array.dtype.itemsize // 4 if kind == "U" else None
        need(_is_even(width, offsets), f"{_place(path)}: a few long texts among short ones; make it dtype object")
        parts = [member(np.frombuffer(joined, np.uint8)), member(offsets)]
        return {"text": [*parts, list(array.shape), width]}
    raise ArtifactError(f"{_place(path)} is an array of {array.dtype}, which a model file does not hold")


def _is_even(width: int | None, offsets: NDArray[np.int64]) -> bool:
    """Whether an array of `width` characters an item stays in proportion to its text: a cap for memory."""
    return width is None or 4 * width * (len(offsets) - 1) <= 2**20 + 64 * (int(offsets[-1]) + len(offsets))


def decode(node: Any, arrays: dict[str, NDArray[Any]], depth: int) -> Any:
    """Turn JSON back into the value, taking its arrays out of `arrays`; Python's own errors if it is malformed."""
    need(depth <= MAX_DEPTH, f"its values lie deeper than {MAX_DEPTH} levels")
    if isinstance(node, list):
        return [decode(item, arrays, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    ((tag, body),) = node.items()
    if tag == "map":
        return {name: decode(item, arrays, depth + 1) for name, item in body.items()}
    if tag == "tuple":
        return tuple([decode(item, arrays, depth + 1) for item in body])
    if tag == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[body]
    if tag == "array":
        return _take(arrays, body, *DTYPES)
    if tag == "integers":
        return _take(arrays, body, "<i8").astype(object)
    if tag == "dates":
        name, unit = body
        need(unit in _UNITS, f"dates in units of {unit!r}")
        return _take(arrays, name, "<i8").view(f"datetime64[{unit}]")
    need(tag == "text", f"a value marked {tag!r}")
    return _decode_text(arrays, *body)


def _take(arrays: dict[str, NDArray[Any]], name: str, *dtypes: str) -> NDArray[Any]:
    """Hand out an array, once, as the tree says what it is."""
    array = arrays.pop(name)
    need(array.dtype.str in dtypes, f"{name} has dtype {array.dtype}, which its place does not take")
    return array


def _decode_text(
    arrays: dict[str, NDArray[Any]], text_name: str, offsets_name: str, shape: list[int], width: int | None
) -> NDArray[Any]:
    text = _take(arrays, text_name, BYTES).tobytes().decode()
    offsets = _take(arrays, offsets_name, "<i8")
    fits = len(offsets) == math.prod(map(count, shape)) + 1 and offsets[0] == 0 and offsets[-1] == len(text)
    longest = int(np.diff(offsets).max(initial=0))
    need(fits and bool(np.all(np.diff(offsets) >= 0)), f"{offsets_name} does not cut {text_name} into texts")
    need(width is None or longest <= count(width), f"{text_name} holds texts longer than {width}")
    need(_is_even(width, offsets), f"{text_name} would grow out of proportion")
    cuts = offsets.tolist()
    array: NDArray[Any] = np.empty(len(cuts) - 1, dtype=object if width is None else f"<U{width}")
    array[:] = [text[a:b] for a, b in pairwise(cuts)]
    return array.reshape(shape)
