"""New columns by arithmetic on others: names, numbers, + - * / ** and a few functions, nothing else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.errors import ConfigError, listed

__all__ = ["derived"]

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sqrt": np.sqrt,
}


def derived(table: pd.DataFrame, formulas: Mapping[str, str]) -> pd.DataFrame:
    """The table with a column for each formula, in order, so that a later one may use an earlier one."""
    out = table.copy(deep=False)
    for name, formula in formulas.items():
        try:
            tree = ast.parse(formula, mode="eval").body
        except SyntaxError as cause:
            raise ConfigError(f"derive {name}: {formula!r} is not arithmetic on columns") from cause
        # What is not finite here (a zero denominator) is named with its rows by the findings.
        with np.errstate(all="ignore"):
            out[name] = _value(tree, out, f"derive {name} = {formula!r}")
    return out


def _value(node: ast.expr, table: pd.DataFrame, where: str) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id=name):
            if name not in table.columns:
                raise ConfigError(f"{where}: no column {name!r}; there are {listed(table.columns, 12)}")
            if not pd.api.types.is_numeric_dtype(table[name]):
                raise ConfigError(f"{where}: column {name!r} is not numeric")
            return table[name].to_numpy(dtype=float, na_value=np.nan)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, table, where)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, table, where), _value(right, table, where))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_value(arg, table, where) for arg in args))
    known = ", ".join(_FUNCTIONS)
    raise ConfigError(f"{where}: only columns, numbers, + - * / ** and {known} may be used")
