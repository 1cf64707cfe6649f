# make demo: simulate an acquisition, reconstruct it, compare with the truth.
# make test: every check and test. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo
# The files pin everything: nothing to resolve, and what is never imported need not be compiled.
LOCKED := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r
SELF   := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .

# Hundreds of processes are started: what one of them compiled the others need not compile again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs lock clean

demo: $(VENV)/.runtime
	rm -rf $(DEMO)
	$(BIN)/mosaicflow simulate $(DEMO)/simulated --preset demo
	$(BIN)/mosaicflow run --params-file $(DEMO)/simulated/params.yml --output $(DEMO)/results
	$(BIN)/mosaicflow evaluate --run $(DEMO)/results --truth $(DEMO)/simulated/truth

test: $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/run

lint: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

docs: $(VENV)/.runtime
	$(BIN)/python docs/generate_parameters.py
	$(BIN)/python docs/generate_modules.py
	$(BIN)/python docs/generate_pages.py

# Needs uv; the files hold hashes and no address. What is installed is what is tested: the tests
# hold more packages, which may need older ones.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  pyproject.toml --extra formats --extra view --extra cloud --extra microscopes \
	  --group build --group test -o requirements/test.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  pyproject.toml --group build -c requirements/test.txt -o requirements/runtime.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: run make PYTHON=python3.11 (or newer)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	$(LOCKED) requirements/runtime.txt
	$(SELF)
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(BIN)/python
	$(LOCKED) requirements/test.txt
	$(SELF)
	@touch $@ $(VENV)/.runtime

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .nf-test work .nextflow*
