"""AR and OLS lag models, batched over the panel."""

from tsforecast.models.ar.model import AR

__all__ = ["AR"]
