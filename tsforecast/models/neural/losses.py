"""Losses of scaled predictions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["losses"]

HUBER = 1.0
"""Errors beyond this many units of scale count by their size, not by their square."""


def losses(
    name: str, predicted: Tensor, target: Tensor, centre: Tensor, scale: Tensor, quantiles: Sequence[float]
) -> Tensor:
    """Loss (m, b, s) of each value: predicted (m, b, s, q), target (m, b, s), units (m, b) of each window's series.

    msle and mape are taken in the data's own units, the others in scaled ones.
    """
    if name == "pinball":
        q = torch.tensor(quantiles, dtype=predicted.dtype, device=predicted.device)
        error = target[..., None] - predicted
        return torch.maximum(q * error, (q - 1) * error).mean(dim=-1)
    value = predicted[..., 0]
    error = value - target
    if name == "mse":
        return error * error
    if name == "mae":
        return error.abs()
    if name == "huber":
        size = error.abs()
        return torch.where(size < HUBER, 0.5 * error * error, HUBER * (size - 0.5 * HUBER))
    centre, scale = centre[..., None], scale[..., None]
    actual = target * scale + centre
    if name == "mape":
        # A thousandth of the series' scale keeps values at zero from outweighing all others.
        return (error * scale).abs() / torch.maximum(actual.abs(), 1e-3 * scale)
    gap = torch.log1p((value * scale + centre).clamp(min=0)) - torch.log1p(actual.clamp(min=0))
    return gap * gap
