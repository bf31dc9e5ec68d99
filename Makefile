# Everything runs from `.venv`. Every target creates it first if it is missing or older than its sources.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Real annotation files and footage. Tests that need them are skipped if the folder is missing.
DFER_TEST_DATA ?= $(wildcard $(abspath ../shared/data))
export DFER_TEST_DATA
# Demo and tests start many Python processes. Without bytecode files each would compile both packages again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test slurm-test browser-test lowest-test check dist docs docs-test pictures clean

help:
	@echo "make demo      descriptions, training, comparison and prediction on drawn faces (under 4 minutes)"
	@echo "make test      the tests"
	@echo "make slurm-test   tests on a local Slurm, installed if missing (Debian or Ubuntu, as root)"
	@echo "make browser-test  tests of the page in Chromium, installed if missing (Debian or Ubuntu, as root)"
	@echo "make lowest-test  install the lowest declared versions of the dependencies and import every module"
	@echo "make check     style, types, import directions, dependencies"
	@echo "make dist      build the sdist and the wheel in dist/ and check their metadata"
	@echo "make docs      build the documentation in site/; a broken link or a warning is an error"
	@echo "make docs-test   run the commands of the README and the documentation, check the site"
	@echo "make venv      create the environment .venv"
	@echo "make pictures  draw the pictures of the README"
	@echo "make clean     remove .venv, build results and tool caches"

venv: $(VENV)/ready

# uv is much faster than pip. If it cannot be installed, pip is used.
$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "dfer-prompts needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	if $(BIN)/python -m pip install --quiet uv; \
		then $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
		else $(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'; fi
	touch $@

demo: venv
	$(BIN)/dfer-prompts demo

# Two processes with one thread each: faster than one process with two, and results do not depend on threads.
test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# The tests start and stop Slurm's daemons, as root on loopback.
slurm-test: venv
	PATH="$$PATH:/usr/sbin"; { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends slurm-wlm munge; }
	DFER_SLURM_TEST=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/slurm $(PYTEST_ARGS)

browser-test: venv
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends chromium; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -m browser $(PYTEST_ARGS)

# A separate environment, because the tests run with other versions.
lowest-test: venv
	$(PYTHON) -m venv --clear .lowest
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python .lowest/bin/python --resolution lowest-direct --editable .
	.lowest/bin/python tests/lowest.py

dist: venv
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry . benchmarks

docs: venv
	DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean --quiet

docs-test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m docs $(PYTEST_ARGS)

pictures: venv
	$(BIN)/python benchmarks/pictures.py

clean:
	rm -rf $(VENV) .lowest dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
