"""One strict zip of a manifest and arrays: what PKWARE's APPNOTE, section 4.3, asks of stored members, no more.

Reading trusts nothing: sizes are held against the length of the file before anything is read or allocated, and
every byte outside the arrays must be the one that `pack` would have put there. So a flipped byte cannot hide, nor
can a second meaning that another zip reader would see.
"""

from __future__ import annotations

import math
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import ArtifactError

__all__ = [
    "BYTES",
    "DTYPES",
    "MAX_FILE",
    "MAX_MANIFEST",
    "Body",
    "Member",
    "count",
    "member_name",
    "need",
    "pack",
    "read_arrays",
    "read_manifest",
    "replacing",
]

MAX_FILE = 2**32 - 1  # beyond it a zip needs other records
MAX_MANIFEST = 4 * 2**20
MAX_AXES = 32
DTYPES = ("<f4", "<f8", "<i4", "<i8", "|b1")
BYTES = "|u1"  # of text alone

_MANIFEST = "manifest.json"
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_NEW_YEAR_1980 = 1 << 5 | 1  # the first day that a zip can date a member, so that no clock shows in the bytes


def need(holds: bool, complaint: str) -> None:
    """Raise ArtifactError unless that holds."""
    if not holds:
        raise ArtifactError(complaint)


def member_name(index: int) -> str:
    """Name of the member of the array at `index`."""
    return f"{index:04d}.npy"


def count(value: object) -> int:
    """The value itself if it can be a size."""
    need(type(value) is int and 0 <= value <= MAX_FILE, f"a size of {value!r}")
    assert isinstance(value, int)
    return value


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, and vanishes when it does not."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Member(NamedTuple):
    """What the zip says of a member."""

    name: str
    size: int
    crc: int

    def _common(self) -> tuple[int, ...]:
        # flags, method (stored), time, date, CRC, size stored, size, length of the name, no extra field
        return (0, 0, 0, _NEW_YEAR_1980, self.crc, self.size, self.size, len(self.name), 0)

    def local(self) -> bytes:
        """Header before the member's bytes."""
        return _LOCAL.pack(b"PK\x03\x04", 20, *self._common()) + self.name.encode("ascii")

    def central(self, offset: int) -> bytes:
        """Entry in the directory at the end."""
        head = _CENTRAL.pack(b"PK\x01\x02", 20, 20, *self._common(), 0, 0, 0, 0, offset)
        return head + self.name.encode("ascii")


def _directory(members: Sequence[Member]) -> bytes:
    offset, entries = 0, []
    for member in members:
        entries.append(member.central(offset))
        offset += _LOCAL.size + len(member.name) + member.size
    table = b"".join(entries)
    return table + _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(table), offset, 0)


def _length(members: Sequence[Member]) -> int:
    heads = sum(_LOCAL.size + _CENTRAL.size + 2 * len(member.name) + member.size for member in members)
    return heads + _END.size


def _npy_header(dtype: str, shape: Sequence[int], order: str) -> bytes:
    """Header of NumPy's .npy format, version 1.0, padded to 64 bytes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': {order == 'F'}, 'shape': {tuple(shape)}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("ascii")


class Body:
    """One array as a member: its .npy header and its bytes; a Fortran-ordered array stays one."""

    def __init__(self, array: NDArray[Any]) -> None:
        dtype = array.dtype.newbyteorder("<")
        self.dtype, self.shape = dtype.str, [int(size) for size in array.shape]
        self.order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        laid = np.ascontiguousarray(array.T if self.order == "F" else array, dtype=dtype)
        self.flat: NDArray[np.uint8] = laid.reshape(-1).view(np.uint8)
        self.header = _npy_header(self.dtype, self.shape, self.order)
        self.size = len(self.header) + self.flat.size

    def parts(self) -> tuple[bytes | memoryview, ...]:
        """What is written, in order."""
        return self.header, self.flat.data

    def crc(self) -> int:
        """CRC-32 as zip wants it."""
        return zlib.crc32(self.flat.data, zlib.crc32(self.header))

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the member."""
        digest = sha256(self.header)
        digest.update(self.flat.data)
        return {
            "size": self.size,
            "sha256": digest.hexdigest(),
            "dtype": self.dtype,
            "shape": self.shape,
            "order": self.order,
        }


def pack(path: str | os.PathLike[str], manifest: bytes, bodies: Sequence[Body]) -> None:
    """Write the file in one step: whoever looks sees the former file or the whole new one."""
    members = [Member(_MANIFEST, len(manifest), zlib.crc32(manifest))]
    members += [Member(member_name(i), body.size, body.crc()) for i, body in enumerate(bodies)]
    if _length(members) > MAX_FILE:
        raise ArtifactError(f"the model takes {_length(members)} bytes; a model file holds {MAX_FILE} at most")
    with replacing(path) as file:
        for member, parts in zip(members, [(manifest,), *(body.parts() for body in bodies)], strict=True):
            file.write(member.local())
            for part in parts:
                file.write(part)
        file.write(_directory(members))


def read_manifest(file: BinaryIO, size: int) -> tuple[bytes, Member]:
    """Bytes of the manifest, the first member, of a file of `size` bytes."""
    need(size <= MAX_FILE, f"{size} bytes, where a model file holds {MAX_FILE} at most")
    head = file.read(_LOCAL.size + len(_MANIFEST))
    need(head[:4] == b"PK\x03\x04", "not a model file: no zip begins like this")
    need(len(head) == _LOCAL.size + len(_MANIFEST), "the file is cut off")
    crc, stored = struct.unpack_from("<2L", head, 14)
    first = Member(_MANIFEST, stored, crc)
    need(head == first.local(), "not a model file, or damaged: the first member is no stored manifest.json")
    need(stored <= min(MAX_MANIFEST, size), f"a manifest of {stored} bytes, at most {min(MAX_MANIFEST, size)}")
    raw = file.read(stored)
    need(len(raw) == stored and zlib.crc32(raw) == crc, "its manifest is damaged or cut off")
    return raw, first


def read_arrays(
    file: BinaryIO, size: int, first: Member, facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, NDArray[Any]]:
    """Read the members that follow the manifest, by the facts that it tells, and check the file to its end."""
    need(list(facts) == [member_name(i) for i in range(len(facts))], "its members have foreign names")
    claimed = [first] + [Member(name, count(fact["size"]), 0) for name, fact in facts.items()]
    need(_length(claimed) == size, f"{size} bytes, where its manifest tells of {_length(claimed)}")
    arrays: dict[str, NDArray[Any]] = {}
    members = [first]
    for name, fact in facts.items():
        arrays[name], member = _read_array(file, name, fact)
        members.append(member)
    directory = _directory(members)
    need(file.read(len(directory)) == directory, "its directory is damaged")
    return arrays


def _read_array(file: BinaryIO, name: str, facts: Mapping[str, Any]) -> tuple[NDArray[Any], Member]:
    dtype, order, shape = facts["dtype"], facts["order"], [count(size) for size in facts["shape"]]
    need(dtype in DTYPES or dtype == BYTES, f"{name} has dtype {dtype!r}")
    need(order in ("C", "F") and len(shape) <= MAX_AXES, f"{name} has a foreign layout")
    header = _npy_header(dtype, shape, order)
    claimed = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
    need(claimed == facts["size"], f"{name} has {facts['size']} bytes, its shape asks for {claimed}")
    local = file.read(_LOCAL.size + len(name))
    need(file.read(len(header)) == header, f"the header of {name} is damaged")
    stored = np.empty(shape if order == "C" else shape[::-1], dtype)
    flat: NDArray[np.uint8] = stored.reshape(-1).view(np.uint8)
    need(file.readinto(flat.data) == flat.size, f"{name} is cut off")  # type: ignore[attr-defined]
    digest = sha256(header)
    digest.update(flat.data)
    need(digest.hexdigest() == facts["sha256"], f"{name} is damaged: its SHA-256 differs")
    member = Member(name, claimed, zlib.crc32(flat.data, zlib.crc32(header)))
    need(local == member.local(), f"the zip header of {name} is damaged")
    need(dtype != "|b1" or flat.max(initial=0) <= 1, f"{name} holds bytes that are neither true nor false")
    return stored if order == "C" else stored.T, member
