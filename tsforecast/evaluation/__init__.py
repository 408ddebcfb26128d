"""Evaluation: forecasters judged on the past they have not seen, and their parameters chosen there.

`running` rolls the models, `folds` deals the rows of a lag table out, `value` is what both give, `scoring` makes
tables of scores from it, `tuning` searches a grid.
"""

from tsforecast.evaluation.running import backtest
from tsforecast.evaluation.tuning import Tuning, tune
from tsforecast.evaluation.value import Backtest

__all__ = ["Backtest", "Tuning", "backtest", "tune"]
