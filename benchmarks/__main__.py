"""`python -m benchmarks [name ...]`: run all rows of the table, or those whose name contains a word."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import accuracy, doors, geo, imports, judge, korea, lag_models, memory, networks, nyse, prophet_models
from benchmarks.row import Row, table

GROUPS = (
    imports.rows, doors.rows, lag_models.rows, memory.rows, prophet_models.rows, judge.rows, accuracy.rows, korea.rows,
    nyse.rows, networks.rows, geo.rows,
)  # fmt: skip


def main(words: Sequence[str]) -> None:
    """Print one line a row, as soon as it is measured, then the whole table."""
    done: list[Row] = []
    for group in GROUPS:
        for row in group(words):
            print(row.line(), flush=True)
            done.append(row)
    print()
    print(table(done))


if __name__ == "__main__":
    main(sys.argv[1:])
