"""Model files: nested plain values and named arrays to one file and back; nothing in a file is ever run.

A file is a zip of stored members: manifest.json, then 0000.npy, 0001.npy, ... in the order of the manifest. The
manifest holds format version, model key, package versions, the trees of params, state and meta, and of every member
its size, SHA-256, dtype, shape and order. The same content always gives the same bytes.

Reading trusts none of it: sizes and counts are held against caps and against the length of the file before anything
is read, and every byte outside the arrays must be the one that `write` would have put there. So a flipped byte
cannot hide anywhere, nor can a second meaning that another zip reader would see.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from tsforecast.artifact.container import (
    MAX_MANIFEST,
    Body,
    member_name,
    need,
    pack,
    read_arrays,
    read_manifest,
    replacing,
)
from tsforecast.artifact.trees import decode, encode
from tsforecast.errors import ArtifactError

__all__ = ["Artifact", "read", "replacing", "write"]

FORMAT = 1
MAX_VALUES = 200_000  # in the manifest: they grow about twentyfold when parsed
MAX_MEMBERS = 4096

_MALFORMED = (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content of a model file: registry key, parameters, fitted state, meta, and the versions that wrote it."""

    key: str
    params: Mapping[str, Any]
    state: Mapping[str, Any]
    meta: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict)


def write(
    path: str | os.PathLike[str],
    key: str,
    params: Mapping[str, Any],
    state: Mapping[str, Any],
    meta: Mapping[str, Any],
) -> None:
    """Write a model file in one step: whoever looks sees the former file or the whole new one.

    Values may be None, bool, int, float, str, lists, tuples and str-keyed mappings of such, and arrays of float32,
    float64, int32, int64, bool, str or datetime64; ArtifactError names the place of anything else.
    """
    bodies: list[Body] = []
    trees = {
        name: encode(dict(tree), bodies, (name,))
        for name, tree in (("params", params), ("state", state), ("meta", meta))
    }
    if len(bodies) > MAX_MEMBERS:
        raise ArtifactError(f"{len(bodies)} arrays in one model file; at most {MAX_MEMBERS}: stack them")
    facts = {member_name(i): body.facts() for i, body in enumerate(bodies)}
    raw = _dump({"format": FORMAT, "key": key, "versions": _versions(), **trees, "members": facts})
    if len(raw) > MAX_MANIFEST or _values(raw) > MAX_VALUES:
        raise ArtifactError(
            f"plain values take {len(raw)} bytes, about {_values(raw)} values; at most {MAX_MANIFEST} and "
            f"{MAX_VALUES}: hold long lists as arrays"
        )
    pack(path, raw, bodies)


def read(path: str | os.PathLike[str]) -> Artifact:
    """Read a model file; ArtifactError if it is damaged, foreign, hostile or of a format not known here."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ArtifactError(f"cannot load {os.fspath(path)}: not a regular file")
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except ArtifactError as cause:
            raise ArtifactError(f"cannot load {os.fspath(path)}: {cause}") from cause
        except _MALFORMED as cause:
            raise ArtifactError(f"cannot load {os.fspath(path)}: its manifest is malformed ({cause!r})") from cause


def _dump(manifest: object) -> bytes:
    return json.dumps(manifest, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def _values(raw: bytes) -> int:
    """Bound on the values that a JSON text holds, without parsing it."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    try:
        own = version("tsforecast")
    except PackageNotFoundError:  # run from a source tree
        own = "unknown"
    return {"tsforecast": own, "numpy": np.__version__, "python": python_version()}


def _read(file: BinaryIO, size: int) -> Artifact:
    raw, first = read_manifest(file, size)
    manifest = _parse(raw)
    facts = manifest["members"]
    need(len(facts) <= MAX_MEMBERS, f"{len(facts)} arrays, at most {MAX_MEMBERS}")
    arrays = read_arrays(file, size, first, facts)
    key, versions = manifest["key"], manifest["versions"]
    need(isinstance(key, str) and all(isinstance(v, str) for v in versions.values()), "its key is malformed")
    params, state, meta = (decode(manifest[name], arrays, 1) for name in ("params", "state", "meta"))
    need(all(isinstance(tree, dict) for tree in (params, state, meta)), "params, state or meta is no mapping")
    need(not arrays, "it holds arrays that nothing refers to")
    return Artifact(key, params, state, meta, versions)


def _parse(raw: bytes) -> dict[str, Any]:
    need(_values(raw) <= MAX_VALUES, f"more than {MAX_VALUES} values in its manifest")
    manifest: dict[str, Any] = json.loads(raw.decode("ascii"))
    version = manifest["format"]
    known = type(version) is int and version == FORMAT
    need(known, f"format {version!r}, known here is {FORMAT}: install the tsforecast that wrote it")
    # Doubled keys, odd spacing or odd numbers would read differently elsewhere.
    need(_dump(manifest) == raw, "its manifest is not as this package writes one")
    return manifest
