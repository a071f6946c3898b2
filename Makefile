# Two commands: `make demo` shows the main job, `make test` passes the tests. Each sets everything up first, once.

.PHONY: help demo test test-headless check format samples screenshots setup clean

# Compiled modules halve the time that napari and torch take to import.
unexport PYTHONDONTWRITEBYTECODE
# One process per core, one thread per process.
export OMP_NUM_THREADS ?= 1

BIN = $(firstword $(wildcard .venv/Scripts) .venv/bin)
PYTHON_IN = $(BIN)/python
PYTEST = $(PYTHON_IN) -m pytest -n 2 --dist worksteal
BLIND = PYTHONPATH="$(CURDIR)/tests/without_qt"
NO_WINDOWS = --no-xvfb -p no:pytest-qt -p no:napari -p no:npe2 -p no:napari-plugin-engine --ignore tests/widgets
WINDOWS = tests/widgets tests/architecture

help:
	@echo "make demo         set up, then show the main job (without a display: as files in demo_output)"
	@echo "make test         set up, then run the tests, first without Qt and napari"
	@echo "make check        set up, then run ruff, mypy, import-linter and the manifest's validation"
	@echo "make format       let ruff mend what it can"
	@echo "make samples      simulate the sample images again"
	@echo "make screenshots  take the screenshots of the documentation again"

setup:
	@PYTHON="$(PYTHON)" sh .ci/setup

demo: setup
	@env -u OMP_NUM_THREADS $(PYTHON_IN) -m unveil demo

test: test-headless
	@$(PYTHON_IN) tests/check_display.py
	$(PYTEST) $(WINDOWS)

test-headless: setup
	$(BLIND) $(PYTEST) $(NO_WINDOWS)

check: setup
	$(PYTHON_IN) -m ruff check
	$(PYTHON_IN) -m ruff format --check
	$(PYTHON_IN) -m mypy
	$(BIN)/lint-imports
	$(PYTHON_IN) -m npe2 validate src/unveil/napari.yaml

format: setup
	$(PYTHON_IN) -m ruff check --fix
	$(PYTHON_IN) -m ruff format

samples: setup
	$(PYTHON_IN) -m unveil.sample_data.make_samples

screenshots: setup
	env -u OMP_NUM_THREADS $(PYTHON_IN) docs/screenshots.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
