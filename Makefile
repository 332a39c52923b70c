# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# PYTHON is the interpreter to build on (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The vendor's JavaScript SDK, for its conformance tests.
JAVASCRIPT := tests/conformance/javascript
SITE := $(VENV)/share/glovebox/sandbox-site
# The lock files name everything, so pip need not resolve anything.
PIP_FLAGS := --quiet --disable-pip-version-check --no-deps --require-hashes

export SAM_CLI_TELEMETRY := 0

.PHONY: help setup demo live test thorough check unit lock bench-floor bench-before bench-sandbox bench-import chaos fuzz-api model openapi bwrap node tools alone lab clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready bwrap ## Make the environment; leaves the command at .venv/bin/glovebox

$(VENV)/.ready: requirements/dev.txt requirements/sandbox.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Glovebox needs Python 3.11 or later, this is %d.%d: try make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "making the environment in $(VENV) (about a minute) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module: on Debian and Ubuntu type: sudo apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install $(PIP_FLAGS) -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -rf $(SITE)
	@$(BIN)/pip install $(PIP_FLAGS) --target $(SITE) -r requirements/sandbox.txt
	@touch $@

.venv-%/.ready: requirements/%.txt
	@echo "installing $* into .venv-$* ..."
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install $(PIP_FLAGS) -r requirements/$*.txt
	@touch $@

bwrap:
	@command -v bwrap >/dev/null || sh local/install-bubblewrap.sh

# Where there is no Node.js and it may not be installed, the tests that need it say so.
node:
	@command -v npm >/dev/null || sh local/install-node.sh || true

$(JAVASCRIPT)/node_modules/.ready: $(JAVASCRIPT)/package.json $(JAVASCRIPT)/package-lock.json | node
	@if command -v npm >/dev/null; then \
	  echo "installing the vendor's JavaScript SDK ..." && cd $(JAVASCRIPT) && npm ci --silent && touch node_modules/.ready; fi

demo: setup ## Run the examples on this machine, every test in its own sandbox
	@$(BIN)/python examples/demo.py

live: setup ## The contract suite and the demo against the hosted service (LIVE="options")
	@$(BIN)/python tests/live.py $(LIVE)

check: setup ## Format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .

# Tests that look at nothing but their own: side by side, or file by file where those of a file
# share a server. The others count what is on the machine, or load it, and run alone.
SIDE_BY_SIDE := tests/unit tests/docs tests/stack tests/contract
FILE_BY_FILE := tests/integration/sandbox tests/conformance tests/faults
LOUD := tests/integration/sandbox/test_abuse.py
ALONE := tests/integration/local tests/e2e
# Launchers that crash and hang, and servers that are away, are waited for most of the time.
LAB := tests/e2e/faults tests/e2e/test_sandbox_server_away.py tests/e2e/test_sweeping.py tests/e2e/test_no_secret_leaves.py

unit: setup ## The quick tests
	@$(BIN)/python -m pytest -n 2 tests/unit tests/docs

tools: .venv-sam/.ready .venv-checkov/.ready $(JAVASCRIPT)/node_modules/.ready

alone:
	@for folder in $(ALONE); do $(BIN)/python -m pytest -m 'not thorough' $(LAB:%=--ignore=%) $$folder || exit 1; done

lab: check
	@for part in $(LAB); do $(BIN)/python -m pytest $$part || exit 1; done

# What waits goes with what computes: the end-to-end tests leave a processor to the types, and to
# the laboratory.
test: ## Everything that CI runs
	@$(MAKE) --no-print-directory --jobs=2 setup tools
	@$(BIN)/python -m pytest -m 'not thorough' -n 3 --dist worksteal $(SIDE_BY_SIDE)
	@$(BIN)/python -m pytest -m 'not thorough' -n 3 --dist loadfile --ignore $(LOUD) $(FILE_BY_FILE)
	@$(BIN)/python -m pytest $(LOUD)
	@$(MAKE) --no-print-directory --jobs=2 lab alone

thorough: setup tools ## The tests that CI has no time for: more faults of HopX, made-up requests, the AWS CLI
	@$(BIN)/python -m pytest -m thorough tests/faults tests/integration/sandbox tests/e2e

bench-floor: setup ## Wall time against bare bubblewrap and pytest
	@$(BIN)/python benchmarks/floor.py

bench-before: setup ## This checkout beside another one (BEFORE=folder)
	@$(BIN)/python benchmarks/before.py $(BEFORE)

bench-sandbox: setup ## The sandbox server against bare bubblewrap
	@$(BIN)/python benchmarks/sandbox.py

# SEED repeats a series of faults; MINUTES goes on for so long and looks for growth.
chaos: setup ## 1000 tests while a tenth of all requests and calls goes wrong
	@$(BIN)/python benchmarks/chaos.py $(if $(SEED),--seed $(SEED)) $(if $(TESTS),--tests $(TESTS)) $(if $(RATE),--rate $(RATE)) $(if $(MINUTES),--minutes $(MINUTES))

# EXAMPLES series of at most STEPS steps, from a SEED: CI plays 200, of 100 steps, always the same.
model: setup ## The ledger under everything at once: more than CI plays
	@EXAMPLES=$(or $(EXAMPLES),2000) STEPS=$(or $(STEPS),100) SEED=$(SEED) $(BIN)/python -m pytest -s tests/faults/test_model.py --timeout 3600

openapi: setup ## Write the API's description, docs/openapi.json
	@PYTHONPATH=. $(BIN)/python tests/faults/api_description.py

fuzz-api: setup ## Ten minutes of made-up requests to the API
	@PYTHONPATH=. $(BIN)/python tests/faults/api_fuzz.py --max-time=600

bench-import: setup ## What a launcher imports at a cold start
	@$(BIN)/python benchmarks/imports.py

lock: setup ## Renew the lock files from the .in files
	@for name in dev sandbox sam checkov; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@$(BIN)/uv pip compile --quiet --python-version 3.13 --python-platform x86_64-manylinux2014 --generate-hashes --no-emit-index-url --no-header layers/deps/requirements.in -o layers/deps/requirements.txt

clean: ## Remove what make made
	rm -rf .venv .venv-sam .venv-checkov $(JAVASCRIPT)/node_modules .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
