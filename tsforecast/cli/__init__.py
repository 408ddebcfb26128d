"""The command line; `tsforecast --help` lists its commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        from tsforecast.cli.app import launch
    except ImportError as cause:
        sys.stderr.write(f"error: the command line needs more packages: pip install 'tsforecast[cli]' ({cause})\n")
        return 30
    return launch(sys.argv[1:] if argv is None else argv)
