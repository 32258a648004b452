# make demo   set up .venv, install, and run the whole job on handwritten digits
# make test   set up .venv, install, and run the tests
# make lint   ruff and mypy
# make test-oldest   set up .venv-oldest with onnxruntime 1.18 and numpy 1.26, and evaluate the same bundle in both
# JOBS=N runs N test files at a time, each with one thread (a process takes up to 2 GB).
# VENV=DIR puts the virtual environment elsewhere; PYTHON=… chooses the interpreter it is made with. OLDEST=DIR and
# OLDEST_PYTHON=… (3.10 to 3.12: those that onnxruntime 1.18 was built for) do so for test-oldest.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST ?= .venv-oldest
OLDEST_PYTHON ?= $(PYTHON)
OLDEST_STAMP := $(OLDEST)/.installed

.PHONY: demo test lint test-oldest

demo: $(STAMP)
	$(BIN)/python examples/digits.py
	$(BIN)/edgeft run --recipe examples/digits.toml

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

test-oldest: $(STAMP) $(OLDEST_STAMP)
	EDGEFT_OLD_PYTHON=$(abspath $(OLDEST))/bin/python $(BIN)/python -m pytest -rs tests/evaluation/test_oldest_runtime.py

$(OLDEST_STAMP):
	$(OLDEST_PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet 'onnxruntime==1.18.*' 'numpy==1.26.*' 'click>=8.1' tqdm 'Pillow>=10' \
	  'tomli; python_version < "3.11"'
	touch $@

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[train,report,dev,examples]'
	touch $@
