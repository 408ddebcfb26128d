"""Rows and windows on the device: batches are gathered from one copy of the rows, no window is stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tsforecast.models.neural.architecture import Architecture
from tsforecast.models.neural.data import Float32, Layout, Table, Windows
from tsforecast.models.neural.scaling import Scales

__all__ = ["Batch", "Rows"]


class Batch(NamedTuple):
    """Windows of m nets: x (m, L, b, p), target and weight (m, b, s), units (m, b), static (m, b, s) or None, known
    columns of coming steps: ahead (m, b, A) for the last layer, known (m, h - 1, b, k) for a decoder, or None.
    """

    x: Tensor
    target: Tensor
    weight: Tensor
    centre: Tensor
    scale: Tensor
    static: Tensor | None
    ahead: Tensor | None
    known: Tensor | None


class Rows:
    """The rows of a table and the windows in it, on a device."""

    def __init__(
        self,
        net: Architecture,
        layout: Layout,
        table: Table,
        windows: Windows,
        scales: Scales,
        static: Float32,
        device: torch.device,
    ) -> None:
        def there(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        self.net, self.layout = net, layout
        self.x, self.y, self.weight, self.known = map(there, (table.x, table.y, table.weight, table.known))
        self.first, self.owner = there(windows.first), there(windows.owner)
        with np.errstate(over="ignore"):
            self.centre = there(scales.centre[:, 0].astype(np.float32))
            self.scale = there(scales.scale[:, 0].astype(np.float32))
        self.static = there(static) if static.shape[1] else None
        self.back = torch.arange(net.window, device=device)
        # Targets count from the first row of a window: after it for a net with a loss at every step, else after all.
        begin = 1 if net.sequence else net.window
        self.forth = torch.arange(begin, net.window + net.steps, device=device)

    def weights(self, index: Tensor) -> Tensor:
        """Weight (m, b, s) of each target of windows (m, b)."""
        return self.weight[self.first[index][..., None] + self.forth]

    def batch(self, index: Tensor) -> Batch:
        """Windows (m, b) by number."""
        net, first = self.net, self.first[index]
        m, b = index.shape
        rows = first[:, None, :] + self.back[:, None]  # (m, L, b)
        x = self.x.index_select(0, rows.reshape(-1)).view(m, net.window, b, -1)
        targets = first[..., None] + self.forth
        owner = self.owner[index]
        return Batch(
            x=x,
            target=self.y[targets],
            weight=self.weight[targets],
            centre=self.centre[owner],
            scale=self.scale[owner],
            static=None if self.static is None else self.static[owner],
            ahead=self._ahead(first) if net.ahead else None,
            known=self._decoded(first) if net.decoder and self.layout.known else None,
        )

    def _ahead(self, first: Tensor) -> Tensor:
        """Known columns (m, b, A) of the steps that the window does not tell of, step by step."""
        told = self.net.ahead // self.layout.known
        # The last row of a window holds the columns of step 1, the next one those of step 2.
        last = first + self.net.window - 1 + (0 if self.layout.apart else 1)
        steps = torch.arange(told, device=first.device)
        return self.known[last[..., None] + steps].flatten(2)

    def _decoded(self, first: Tensor) -> Tensor:
        """Known columns (m, h - 1, b, k) of steps 2 to h."""
        steps = torch.arange(self.net.steps - 1, device=first.device)
        return self.known[first[:, None, :] + self.net.window + steps[:, None]]
