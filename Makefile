# A fresh machine needs git, make and Python 3.11; everything else is installed into .venv by the first target.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint clean

demo: $(VENV)/.installed
	@$(BIN)/monge demo

test: $(VENV)/.installed-test
	@$(BIN)/pytest --numprocesses auto --dist loadfile

lint: $(VENV)/.installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench-sampler: bench-sampler_error
bench-ot: bench-transport

bench-%: $(VENV)/.installed-bench
	@$(BIN)/python bench/$*.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "monge needs Python 3.11 or later: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(LOCK) | $(BIN)/python
	$(BIN)/pip install --quiet --constraint $(LOCK) --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(LOCK) | $(BIN)/python
	$(BIN)/pip install --quiet --constraint $(LOCK) --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml $(LOCK) | $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint $(LOCK) --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV)
