"""Parameters: what scikit-learn asks of an estimator, without importing it."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from tsforecast.errors import ConfigError, listed

__all__ = ["Parameters"]


@dataclass(eq=False, repr=False)
class Parameters:
    """Dataclass fields as parameters: get_params, set_params and a short repr; `sklearn.clone` works."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep`, those of nested objects as outer__inner too."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        if not deep:
            return own
        nested = {
            f"{outer}__{inner}": value
            for outer, member in own.items()
            if hasattr(member, "get_params") and not isinstance(member, type)
            for inner, value in member.get_params().items()
        }
        return own | nested

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name (outer__inner for nested ones); ConfigError names an unknown one."""
        valid = [f.name for f in fields(self)]
        for key, value in params.items():
            outer, _, inner = key.partition("__")
            if outer not in valid:
                raise ConfigError(f"{type(self).__name__} has no parameter {outer!r}; it has {listed(valid, 40)}")
            if inner:
                getattr(self, outer).set_params(**{inner: value})
            else:
                setattr(self, outer, value)
        return self

    def copy(self, **changes: Any) -> Self:
        """A new, unfitted object with the same parameters but for `changes`."""
        return type(self)(**(self.get_params(deep=False) | changes))

    def __repr__(self) -> str:
        changed = []
        for f in fields(self):
            default = f.default if f.default_factory is MISSING else f.default_factory()
            value = getattr(self, f.name)
            if default is MISSING or repr(value) != repr(default):
                changed.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"
