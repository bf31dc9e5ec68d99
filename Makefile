# Everything runs from `.venv`, which every target makes first where it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Real annotation files and footage, where the folder is there; the tests that need them say so and skip otherwise.
DFER_TEST_DATA ?= $(wildcard $(abspath ../shared/data))
export DFER_TEST_DATA

.DEFAULT_GOAL := help
.PHONY: help venv demo test slurm-test browser-test lowest-test check dist docs docs-test pictures clean

help:
	@echo "make demo      the whole story on this machine: no key, no GPU, no download of weights (under 4 minutes)"
	@echo "make test      the tests"
	@echo "make slurm-test   a grid on a Slurm of this machine, installed where missing (Debian or Ubuntu, as root)"
	@echo "make browser-test  the page in Chromium, installed where missing (Debian or Ubuntu, as root)"
	@echo "make lowest-test  install the declared lower bounds of the dependencies and import every module"
	@echo "make check     style, types, the direction of imports, dependencies"
	@echo "make dist      the sdist and the wheel, in dist/, with their metadata checked"
	@echo "make docs      the documentation as a site, in site/; any broken link or warning fails"
	@echo "make docs-test   the commands of its pages are run, and that it loads nothing from elsewhere"
	@echo "make venv      only the environment .venv"
	@echo "make pictures  draw the pictures of the README again"
	@echo "make clean     remove .venv and what the tools keep"

venv: $(VENV)/ready

# uv installs in a fraction of pip's time; where it cannot be had, pip does the same.
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

# Two processes of one thread each: faster than one of two on small tensors, and the same figures everywhere.
test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

# The tests begin Slurm's daemons themselves, as root on loopback, and end them.
slurm-test: venv
	PATH="$$PATH:/usr/sbin"; { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends slurm-wlm munge; }
	DFER_SLURM_TEST=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/slurm $(PYTEST_ARGS)

browser-test: venv
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends chromium; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -m browser $(PYTEST_ARGS)

# An environment of its own: the lower bounds do not fit beside the versions that the tests run with.
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
	$(BIN)/deptry .

docs: venv
	DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean --quiet

docs-test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m docs $(PYTEST_ARGS)

pictures: venv
	$(BIN)/python benchmarks/pictures.py

clean:
	rm -rf $(VENV) .lowest dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
