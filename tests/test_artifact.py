"""Model files: what goes in comes out, the same to the last bit, and the file appears whole or not at all."""

import hashlib
import io
import json
import math
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tsforecast import artifact
from tsforecast.artifact import container, trees
from tsforecast.errors import ArtifactError

STATE: dict[str, Any] = {
    "coef": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "empty": np.empty((0, 3)),
    "scalar": np.array(3.5),
    "big_endian": np.arange(3, dtype=">i4"),
    "every_other": np.arange(10)[::2],
    "flags": np.array([[True], [False]]),
    "dates": np.array(["2020-01-25", "NaT"], "datetime64[us]"),
    "fortran_dates": np.asfortranarray(np.arange(6).reshape(2, 3).view("datetime64[D]")),
    "text": np.array([["서울", ""], ["b", "é\U0001f600"]]),
    "ids": np.array(["서울", "b\x00", ""], dtype=object),
    "numbers": np.array([3, -(2**63)], dtype=object),
    "nothing": np.array([], dtype=object),
    "inner": {
        "plain": [None, True, 3, 2**70, -0.0, 0.1, "\ud800 \x00", (1, (2.0, [()]))],
        "beyond": (math.nan, math.inf, -math.inf),
        "": {},
        "map": {"tuple": [1]},
    },
}


def same(one: Any, two: Any) -> bool:
    """Equal in type and to the last bit, NaN and NaT included."""
    if isinstance(one, np.ndarray):
        if one.dtype.kind == "O" or two.dtype.kind == "O":
            return one.dtype == two.dtype and one.tolist() == two.tolist()
        return one.shape == two.shape and one.tobytes() == two.tobytes() and one.dtype == two.dtype
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return repr(one) == repr(two)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.tsf"


@pytest.fixture
def written(path: Path) -> bytes:
    artifact.write(path, "ar", {"lags": (1, 7), "ridge": 0.0}, STATE, {"h": 28})
    return path.read_bytes()


# What goes in comes out.


def test_comes_back(written: bytes, path: Path) -> None:
    back = artifact.read(path)
    assert back.key == "ar"
    assert same(dict(back.params), {"lags": (1, 7), "ridge": 0.0})
    assert same(dict(back.meta), {"h": 28})
    state = {**STATE, "big_endian": np.arange(3, dtype="i4")}
    assert list(back.state) == list(state)
    for name, value in state.items():
        assert same(back.state[name], value), name
    assert back.state["fortran_dates"].flags.f_contiguous
    assert back.state["fortran"].flags.f_contiguous  # a product of other layout may differ in its last bit
    assert all(value.flags.writeable for value in back.state.values() if isinstance(value, np.ndarray))
    assert back.versions["numpy"] == np.__version__


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
kinds = [np.dtype(name) for name in ("f4", "f8", "i4", "i8", "bool", "M8[ns]", "M8[D]", "M8[M]", "U3")]
held = npst.arrays(
    st.sampled_from(kinds),
    npst.array_shapes(min_dims=0, min_side=0, max_side=4),
    elements=None,
)


@given(state=st.dictionaries(st.text(max_size=5), plain | held, max_size=4))
def test_whatever_is_held_comes_back(state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tsf"
    artifact.write(path, "k", {}, state, {})
    assert same(dict(artifact.read(path).state), state)


def test_numpy_and_zipfile_read_the_same(written: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(written)) as file:
        assert file.testzip() is None
        manifest = json.loads(file.read("manifest.json"))
        assert file.namelist() == ["manifest.json", *manifest["members"]]
        for name, facts in manifest["members"].items():
            raw = file.read(name)
            assert len(raw) == facts["size"]
            assert hashlib.sha256(raw).hexdigest() == facts["sha256"]
            array = np.load(io.BytesIO(raw), allow_pickle=False)
            assert [array.dtype.str, list(array.shape)] == [facts["dtype"], facts["shape"]]
        first = np.load(io.BytesIO(file.read("0000.npy")), allow_pickle=False)
    assert same(first, STATE["coef"])


@pytest.mark.parametrize("array", [STATE["coef"], STATE["fortran"], STATE["empty"], STATE["scalar"], np.zeros(10**6)])
def test_array_headers_are_those_of_numpy(array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    body = container.Body(array)
    assert b"".join(bytes(part) for part in body.parts()) == buffer.getvalue()


def test_same_content_same_bytes(written: bytes, tmp_path: Path) -> None:
    time.sleep(0.01)
    artifact.write(tmp_path / "again.tsf", "ar", {"lags": (1, 7), "ridge": 0.0}, STATE, {"h": 28})
    assert (tmp_path / "again.tsf").read_bytes() == written


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": [{1, 2}]}, r"state\['a'\]\[0\] is a set"),
        ({"f": len}, r"state\['f'\] is a builtin"),
        ({"c": np.zeros(2, complex)}, "array of complex128"),
        ({"c": np.zeros(2, np.int8)}, "array of int8"),
        ({"c": np.array([1, "a"], dtype=object)}, "array of object"),
        ({"c": np.array([True], dtype=object)}, "array of object"),
        ({"c": np.array([2**63], dtype=object)}, "array of object"),
        ({"c": np.zeros(2, "datetime64[15m]")}, "array of datetime64"),
        ({"c": np.array(["\ud800"])}, "no Unicode"),
        ({"c": np.array(["a" * 9999] + ["b"] * 999)}, "make it dtype object"),
        ({3: 1}, "keys that are not str"),
        ({"i": 1 << 5000}, "is a int"),
        ({"x": [0] * 300_000}, "hold long lists as arrays"),
        ({str(i): np.zeros(1) for i in range(5000)}, "5000 arrays"),
    ],
)
def test_what_a_file_cannot_hold_is_named(value: dict[Any, Any], complaint: str, path: Path) -> None:
    with pytest.raises(ArtifactError, match=complaint):
        artifact.write(path, "ar", {}, value, {})
    assert not list(path.parent.iterdir())


def test_nesting_is_limited_alike_at_both_ends(path: Path) -> None:
    deep: Any = 1
    for _ in range(trees.MAX_DEPTH - 2):
        deep = [deep]
    artifact.write(path, "k", {}, {"deep": deep}, {})
    assert artifact.read(path).state == {"deep": deep}
    with pytest.raises(ArtifactError, match="deeper"):
        artifact.write(path, "k", {}, {"deep": [deep]}, {})
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ArtifactError, match="deeper"):
        artifact.write(path, "k", {}, {"cycle": cycle}, {})


# The file appears whole or not at all.


def test_a_failure_leaves_the_former_file(written: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        artifact.write(path, "other", {}, {}, {})
    assert path.read_bytes() == written
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_block_leaves_nothing(path: Path) -> None:
    def interrupted() -> None:
        with artifact.replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(path.parent.iterdir())


def test_bytes_reach_the_disk_before_the_name_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append("sync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("replace"), move(a, b))[1])
    artifact.write(path, "k", {}, {}, {})
    assert seen == (["sync", "replace", "sync"] if os.name == "posix" else ["sync", "replace"])


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_mode_and_link_of_the_former_file_stay(written: bytes, path: Path) -> None:
    path.chmod(0o600)
    link = path.with_name("link.tsf")
    link.symlink_to(path)
    artifact.write(link, "new", {}, {}, {})
    assert link.is_symlink()
    assert artifact.read(path).key == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_reading_imports_and_runs_nothing(written: bytes, path: Path) -> None:
    code = """
import sys
from tsforecast import artifact

path, seen = sys.argv[1], []
sys.addaudithook(lambda event, args: seen.append((event, str(args[0]) if args else "")))
artifact.read(path)
events = list(seen)
assert [what for event, what in events if event == "open"] == [path], events
runs = ("import", "exec", "compile", "pickle", "os.system", "subprocess", "socket", "ctypes", "marshal")
assert not [event for event in events if event[0].startswith(runs)], events
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
