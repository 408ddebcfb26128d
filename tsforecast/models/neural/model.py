"""RNN, LSTM, GRU, MLP and CNN: networks that read a window of rows and tell the next steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tsforecast.models.neural.network import Network

__all__ = ["CNN", "GRU", "LSTM", "MLP", "RNN"]


@dataclass(eq=False, repr=False)
class RNN(Network):
    """Simple recurrent units (tanh or relu) that read the window row by row.

    Elman (1990), Finding structure in time, Cognitive Science 14(2), 179-211.
    """

    bidirectional: bool = field(default=False, kw_only=True)

    kind: ClassVar[str] = "rnn"


@dataclass(eq=False, repr=False)
class LSTM(Network):
    """Long short-term memory units that read the window row by row.

    Hochreiter & Schmidhuber (1997), Long short-term memory, Neural Computation 9(8), 1735-1780.
    """

    bidirectional: bool = field(default=False, kw_only=True)

    kind: ClassVar[str] = "lstm"


@dataclass(eq=False, repr=False)
class GRU(Network):
    """Gated recurrent units that read the window row by row.

    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, EMNLP, 1724-1734.
    """

    bidirectional: bool = field(default=False, kw_only=True)

    kind: ClassVar[str] = "gru"


@dataclass(eq=False, repr=False)
class MLP(Network):
    """A perceptron on the lags of the target and of past columns, and on the known columns of the steps it tells.

    With one hidden layer the nonlinear autoregression of Hyndman & Athanasopoulos (2021), 12.4.
    """

    kind: ClassVar[str] = "mlp"


@dataclass(eq=False, repr=False)
class CNN(Network):
    """Convolutions over the window; `hidden` are the filters of each.

    A layer of kernel k, padding p and stride s makes floor((n + 2 p - k) / s) + 1 rows of n; "same" keeps them,
    "causal" too and looks back alone; a pool halves them.
    LeCun & Bengio (1995), Convolutional networks for images, speech, and time series.
    """

    kernel: int = field(default=3, kw_only=True)
    stride: int = field(default=1, kw_only=True)
    padding: Any = field(default="causal", kw_only=True)
    pool: Literal["none", "max", "avg"] = field(default="none", kw_only=True)

    kind: ClassVar[str] = "cnn"
