# `make demo` and `make test` do everything from a bare checkout; PYTHON names the interpreter to build with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check bench low clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo    forecasts, a backtest and a report of the bundled data"
	@echo "make test    the whole test-suite"
	@echo "make check   format, lint, types, layout"
	@echo "make bench   speed and accuracy beside the peers"
	@echo "make low     the doors on the lowest supported pandas"
	@echo "make clean   removes environments, caches and output"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	PIP_CONSTRAINT=constraints.txt $(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	PIP_CONSTRAINT=constraints.txt $(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.stamp-demo
	@$(BIN)/python -m tsforecast demo

test: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -n 2 -q

check: $(VENV)/.stamp-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

.venv-low/.stamp: pyproject.toml constraints-low.txt
	$(PYTHON) -m venv .venv-low
	PIP_CONSTRAINT=constraints-low.txt .venv-low/bin/python -m pip install --quiet \
	  --disable-pip-version-check --editable '.[polars]' pyarrow pytest hypothesis
	@touch $@

low: .venv-low/.stamp
	.venv-low/bin/python -m pytest -q tests/test_bad_input.py tests/test_odd_input.py tests/test_frames.py

.venv-bench/.stamp: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	  --editable '.[cli,prophet,sklearn,stats,torch]' mlforecast prophet-batch lightning neuralforecast
	@touch $@

bench: .venv-bench/.stamp
	.venv-bench/bin/python -m benchmarks

clean:
	rm -rf .venv .venv-low .venv-bench out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
