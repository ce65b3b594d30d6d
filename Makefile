# Two commands: `make demo` does the main job, `make test` runs every check. Each sets itself up first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUTPUT ?= demo-output
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TORCH_CPP_LOG_LEVEL := ERROR

.PHONY: demo test quick lint docs setup clean

demo: setup
	$(BIN)/overcast demo --output $(DEMO_OUTPUT)

test: lint docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

QUICK := methods/test_losses.py methods/test_distances.py metrics/test_pixel.py metrics/test_average_precision.py raster \
	reading data/splits/test_splits.py data/splits/test_splitfile.py data/test_labels.py data/test_augment.py \
	data/test_warp.py cli/test_config.py training/test_lifesigns.py
quick: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile $(QUICK:%=tests/%)

docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

setup: $(VENV)/.installed

$(VENV)/.packages: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Overcast needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r constraints.txt
	touch $@

$(VENV)/.installed: $(VENV)/.packages pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) $(DEMO_OUTPUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis
