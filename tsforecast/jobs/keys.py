"""Where a key stands in a job file, and which key was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

__all__ = ["line_of", "nearest"]

_HEADER = re.compile(r"^\s*\[{1,2}\s*(?P<path>[^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?P<path>[\w\-.\"' ]+?)\s*=")
_OTHER_WORDS = {"future": "known_source", "future_source": "known_source", "h": "horizon", "regressors": "known"}


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Line, from 1, of the key `path` in TOML `text`, or of the nearest key that encloses it."""
    wanted = tuple(part for part in path if isinstance(part, str))
    found: dict[int, int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = here = _parts(header["path"])
        elif key:
            here = table + _parts(key["path"])
        else:
            continue
        shared = len(here) if here == wanted[: len(here)] else 0
        if header and wanted == here[: len(wanted)]:
            shared = len(wanted)
        if shared:
            found.setdefault(shared, number)
    return found[max(found)] if found else None


def nearest(word: str, choices: Iterable[str]) -> str:
    """' (did you mean 'horizon'?)', or the choices where none is near, or ''."""
    known = {choice.lower(): choice for choice in sorted(choices)}
    other = _OTHER_WORDS.get(word)
    if other in known:
        return f"; did you mean {other!r}?"
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {known[near[0]]!r}?"
    return f"; there are {', '.join(known.values())}" if known else ""
