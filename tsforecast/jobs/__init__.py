"""Jobs: a file that says what to forecast, from which tables, and where the results go."""

from tsforecast.jobs.config import load_job
from tsforecast.jobs.exits import Exit
from tsforecast.jobs.run import Outcome, backtest_job, check_job, run_job
from tsforecast.jobs.schema import Job

__all__ = ["Exit", "Job", "Outcome", "backtest_job", "check_job", "load_job", "run_job"]
