# make demo   set up .venv, install, and run the whole job on handwritten digits
# make test   set up .venv, install, and run the tests
# make lint   ruff and mypy
# JOBS=N runs N test files at a time, each with one thread (a process takes up to 2 GB).
# VENV=DIR puts the virtual environment elsewhere; PYTHON=… chooses the interpreter it is made with.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint

demo: $(STAMP)
	$(BIN)/python examples/digits.py
	$(BIN)/edgeft run --recipe examples/digits.toml

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[train,report,dev,examples]'
	touch $@
