"""Findings: what is wrong in a table and what may be done about it, on the one road from a table to a Panel.

`policies` holds the codes, `cells`, `placing`, `steps` and `values` look for trouble, `repairs` mends, `reading` walks
the road, `checking` lists all findings.
"""

from tsforecast.findings.checking import check, outliers, split
from tsforecast.findings.policies import POLICIES
from tsforecast.findings.reading import as_panel, read_panel

__all__ = ["POLICIES", "as_panel", "check", "outliers", "read_panel", "split"]
