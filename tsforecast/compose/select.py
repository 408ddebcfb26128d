"""Select: one member for each series, by its out-of-sample errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from tsforecast import frames
from tsforecast.comparison import diebold_mariano
from tsforecast.compose.ensemble import Ensemble
from tsforecast.compose.validation import FEW, Validation
from tsforecast.errors import ConfigError, listed
from tsforecast.panel import Float, Int, Panel
from tsforecast.rolling import State

__all__ = ["Select"]


@dataclass(eq=False, repr=False)
class Select(Ensemble):
    """The champion of each series: its best member on validation rows, where that beats the baseline beyond noise.

    The member with the lowest mean squared error over all steps is taken if a one-sided Diebold-Mariano test of the
    origins' losses against the `baseline` falls below alpha / (m - 1), as there are m - 1 members to be best by
    chance; else the baseline. `baseline` is the name of a member; None: the simplest one, the first of equals. A
    series without enough origins keeps the baseline; where the chosen member has no forecast, the next best has.
    """

    baseline: str | None = None
    alpha: float = field(default=0.05, kw_only=True)

    reference: ClassVar[str] = "baseline"

    @property
    def _pools(self) -> bool:
        return False

    def _validate(self, h: int | None) -> None:
        super()._validate(h)
        if self.baseline is not None and self.baseline not in self.member_names:
            names = listed(self.member_names)
            raise ConfigError(f"baseline must be None or the name of a member ({names}), got {self.baseline!r}")
        if not isinstance(self.alpha, Real) or isinstance(self.alpha, bool) or not 0 <= float(self.alpha) <= 1:
            raise ConfigError(f"alpha must be a number from 0 to 1, got {self.alpha!r}")

    @property
    def baseline_(self) -> str:
        """Name of the member that the others must beat."""
        return self.member_names[self._base]

    @property
    def _base(self) -> int:
        if self.baseline is not None:
            return self.member_names.index(self.baseline)
        return int(np.argmin([member.complexity for member in self._made()]))

    def _reference(self, panel: Panel) -> State:
        return self._unjudged(len(panel))

    def _unjudged(self, n: int) -> State:
        """The baseline for n series, then the others in order."""
        m = len(self._made())
        mse = np.full((n, m), np.nan)
        base = np.full(n, self._base, dtype=np.int64)
        return {"order": _order(mse, base), "best": base, "mse": mse, "pvalue": np.full(n, np.nan)}

    def _settle(self, seen: Validation | None, panel: Panel) -> State:
        if seen is None or not seen.point.shape[1]:
            return self._unjudged(len(panel))
        losses, mse = _losses(seen)
        base = np.full(len(mse), self._base, dtype=np.int64)
        known = np.isfinite(mse)
        best = np.where(known.any(axis=1), np.where(known, mse, np.inf).argmin(axis=1), base)
        overlap = -(-seen.actual.shape[2] // np.maximum(seen.step, 1))
        pvalue = _chance(losses, best, base, overlap)
        every = np.arange(len(mse))
        # A baseline that forecast nothing there is to look at has nothing to defend.
        won = (pvalue < self.alpha / (mse.shape[1] - 1)) | (~known[every, base] & known[every, best])
        return {"order": _order(mse, np.where(won, best, base)), "best": best, "mse": mse, "pvalue": pvalue}

    def _combine(self, settled: State, points: Float, panel: Panel) -> Float:
        order = settled["order"][panel.series].T[..., None]  # (m, n, 1)
        ranked = np.take_along_axis(points, np.broadcast_to(order, points.shape), axis=0)
        first = np.isfinite(ranked).argmax(axis=0)
        return np.asarray(np.take_along_axis(ranked, first[None], axis=0)[0])

    def _newcomers(self, settled: State, panel: Panel) -> State:
        return self._unjudged(len(panel))

    def _joined(self, old: State, new: State) -> State:
        return {name: np.concatenate([values, new[name]]) for name, values in old.items()}

    @property
    def champions_(self) -> Any:
        """Table of the choice: id, champion, best, pvalue, then `mse-{member}` of each.

        `best` has the lowest mean squared error on the validation rows, `pvalue` is the chance of a lead as large over
        the baseline if both were equal; NaN where nothing could be judged.
        """
        panel, settled = self._ready(), self.state_["fit"]["settled"]
        names = np.array(self.member_names, dtype=object)
        columns: dict[str, Any] = {
            "champion": names[settled["order"][:, 0]],
            "best": names[settled["best"]],
            "pvalue": settled["pvalue"],
        }
        columns |= {f"mse-{name}": settled["mse"][:, j] for j, name in enumerate(names)}
        return frames.rows_table(panel, np.arange(len(panel)), None, columns)


def _order(mse: Float, chosen: Int) -> Int:
    """Members (n, m) by rank: the chosen one, then the others by error, those without errors last."""
    key = np.where(np.isfinite(mse), mse, np.inf)
    key[np.arange(len(mse)), chosen] = -np.inf
    return np.argsort(key, axis=1, kind="stable").astype(np.int64)


def _losses(seen: Validation) -> tuple[Float, Float]:
    """Mean squared errors of each origin (n, m, w) and of all (n, m), over the places that all members reach.

    A member that reaches less than half of what any does stands aside: NaN. So do series with fewer than FEW origins.
    """
    errors = np.ascontiguousarray(np.moveaxis(seen.errors, 2, 0))  # (n, m, w, h): sums along a series' own rows
    reached = np.isfinite(errors)
    places = reached.any(axis=1).sum(axis=(1, 2))
    counts = reached.sum(axis=(2, 3))
    stays = (counts > 0) & (2 * counts >= places[:, None])
    common = (reached | ~stays[:, :, None, None]).all(axis=1) & stays.any(axis=1)[:, None, None]  # (n, w, h)
    enough = seen.enough & (common.any(axis=2).sum(axis=1) >= FEW)
    stays &= enough[:, None]
    squares = np.where(common[:, None] & stays[:, :, None, None], errors, 0.0) ** 2
    count = common.sum(axis=2)[:, None]
    n, m, w, h = errors.shape
    losses = np.where((count > 0) & stays[:, :, None], squares.sum(axis=3) / np.maximum(count, 1), np.nan)
    total = squares.reshape(n, m, w * h).sum(axis=2)
    return losses, np.where(stays, total / np.maximum(count.sum(axis=2), 1), np.nan)


def _chance(losses: Float, best: Int, base: Int, overlap: Int) -> Float:
    """One-sided p-values (n,) of Diebold and Mariano that the best member is no better than the baseline.

    Losses (n, m, w) of the origins, of which `overlap` (n,) share steps. A lead that never changes is none of chance.
    """
    n = len(losses)
    every = np.arange(n)
    out = np.full(n, np.nan)
    ahead, behind = losses[every, best], losses[every, base]
    gap = ahead - behind
    for shared in np.unique(overlap):
        some = overlap == shared
        # Losses are their own absolute values.
        test = diebold_mariano(ahead[some], behind[some], int(shared), loss="absolute")
        out[some] = np.where(test.statistic < 0, test.pvalue / 2, 1 - test.pvalue / 2)
    count = np.isfinite(gap).sum(axis=1)
    lead = np.where(np.isfinite(gap), gap, 0.0).sum(axis=1)
    steady = np.isnan(out) & (count > overlap)
    return np.where(steady, np.where(lead < 0, 0.0, 1.0), out)
