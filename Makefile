# Sightline: every day-to-day command. `make` alone lists them.

PYTHON ?= python3
PORT ?= 3000
WORKSPACE ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test test-js test-cluster test-attack test-browser screenshots check format bench bench-cluster soak docs lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## create .venv and install the locked dependencies (once)

$(STAMP): requirements.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: Sightline needs Python 3.11 or newer; '$(PYTHON)' is older or missing (try: make $(or $(MAKECMDGOALS),install) PYTHON=python3.11)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

run: install ## start the gateway (PORT=3000, WORKSPACE=<dir> to watch a folder)
	@exec env $(if $(WORKSPACE),SIGHTLINE_WORKSPACE='$(WORKSPACE)') $(BIN)/litestar --app app:create_app run --port $(PORT)

PYTEST := $(BIN)/python -m pytest
# Many tests hold a time limit on real sockets. With RETRY=1, as in CI, what fails is run once more by
# itself: a busy machine passes then, a broken promise does not.
AGAIN = $(if $(RETRY),|| { echo "once more by itself: what failed"; $(PYTEST) --last-failed $(1); })

# The modules that decide what a client gets: no branch of theirs goes untested.
CORE := app/channels/bus.py,app/channels/subscription.py,app/channels/replay.py,app/ws/registry.py,app/ws/session.py

test: install ## run the tests, and hold full branch coverage of the core
	$(PYTEST) --cov --cov-report= $(call AGAIN,--cov --cov-append --cov-report=)
	$(BIN)/python -m coverage report --include=$(CORE) --fail-under=100 --show-missing

test-cluster: install ## run gateways on NATS as processes, and what goes wrong around them
	$(PYTEST) tests/cluster $(call AGAIN,tests/cluster)

# node 20 has its WebSocket behind a flag, which later ones do not need.
test-js: install ## run the tests of the browser client and the console, where there is a node
	@command -v node >/dev/null && command -v npm >/dev/null || \
		{ echo "skipped: the tests of clients/js and the console need node 20 or newer, with npm"; exit 0; }; \
	cd clients/js && \
	{ test -d node_modules/typescript -a -d node_modules/@asyncapi/parser || npm install --no-save --no-package-lock --silent || true; } && \
	node $$(node --experimental-websocket -e 0 2>&1 && echo --experimental-websocket) --test test/*.test.js \
		../../tests/console/*.test.js

test-browser: install ## run the console's tests in a real browser: Debian's chromium
	$(PYTEST) tests/browser $(call AGAIN,tests/browser)

screenshots: install ## take the pictures in docs/images anew
	$(BIN)/python -m tests.browser.screenshots docs/images

test-attack: install ## run the long attacks: a thousand resumes, ten thousand connections, every benchmark
	$(PYTEST) -m attack $(call AGAIN,-m attack)

check: install ## formatting, lint, types, then the tests
	$(BIN)/black --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: install ## rewrite the sources with black and ruff's safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/black .

bench: $(VENV)/.bench ## measure the gateway beside its peers (20 minutes)
	$(BIN)/python -m benchmarks

$(VENV)/.bench: requirements-bench.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

bench-cluster: install ## measure the gateway on NATS JetStream, with one and two gateways (3 minutes)
	$(BIN)/python -m benchmarks.cluster
	$(BIN)/python -m benchmarks.million

MINUTES ?= 10

soak: install ## mixed load with faults for MINUTES=10, and an exact sum for every client
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

docs: $(VENV)/.docs ## build the documentation as a site: open build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: requirements-docs.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-docs.lock
	@touch $@

LOCK := uv pip compile --no-strip-extras --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11

lock: ## resolve the dependencies of pyproject.toml again (needs uv)
	$(LOCK) --extra workspace --extra metrics --extra nats --extra dev pyproject.toml -o requirements.lock
	$(LOCK) --extra bench -c requirements.lock pyproject.toml -o requirements-bench.lock
	$(LOCK) --extra docs -c requirements.lock pyproject.toml -o requirements-docs.lock
