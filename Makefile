# Sightline: every day-to-day command. `make` alone lists them.

PYTHON ?= python3
PORT ?= 3000
WORKSPACE ?=

VENV := .venv
BIN := $(VENV)/bin

# Without its caches, each of the hundreds of processes that the tests start would compile the gateway again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test test-unit test-slow test-js test-cluster test-attack test-browser test-frameworks kill-journal screenshots static quick check format wheel test-compiled bench bench-loops bench-cluster bench-journal soak attack docs lock test-agents film

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Each target installs its dependencies on first use, from its own lock file.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
BROWSER := $(VENV)/.browser
BENCH := $(VENV)/.bench
DOCS := $(VENV)/.docs

# $(call packages,lock file,megabytes,seconds)
define packages
@echo "installing $$(grep -c == $(1)) packages into $(VENV), about $(2) MB; once, about $(3) s"
@$(BIN)/python -m pip install --quiet --require-hashes -r $(1)
endef

install: $(DEV) ## create .venv with everything for running and testing (once)

$(RUN): requirements.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: Sightline needs Python 3.11 or newer; '$(PYTHON)' is older or missing (try: make $(or $(MAKECMDGOALS),install) PYTHON=python3.11)" >&2; exit 1; }
	@echo "creating $(VENV); once, about 5 s"
	@$(PYTHON) -m venv $(VENV)
	$(call packages,requirements.lock,100,15)
	@echo "installing Sightline and its Python client from this folder, about 3 s"
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

$(DEV): requirements-dev.lock $(RUN)
	$(call packages,requirements-dev.lock,300,30)
	@touch $@

$(BROWSER): requirements-browser.lock $(DEV)
	$(call packages,requirements-browser.lock,170,10)
	@touch $@

$(BENCH): requirements-bench.lock $(DEV)
	$(call packages,requirements-bench.lock,100,20)
	@touch $@

$(DOCS): requirements-docs.lock $(DEV)
	$(call packages,requirements-docs.lock,100,20)
	@touch $@

# An environment like that of a program with agents: the client, and no gateway.
FRAMEWORKS := build/frameworks

$(FRAMEWORKS)/.ready: requirements-frameworks.lock
	@echo "installing $$(grep -c == $<) packages into $(FRAMEWORKS), about 180 MB; once, about 25 s"
	@$(PYTHON) -m venv $(FRAMEWORKS)
	@$(FRAMEWORKS)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

run: $(RUN) ## start the gateway (PORT=3000, WORKSPACE=<dir> to watch a folder)
	@exec env $(if $(WORKSPACE),SIGHTLINE_WORKSPACE='$(WORKSPACE)') $(BIN)/sightline run --port $(PORT)

PYTEST := $(BIN)/python -m pytest
# More workers than a small machine has cores, as most tests wait for sockets and processes.
JOBS ?= 4
PARALLEL := -n $(JOBS) --dist worksteal
# These tests cover every branch of the core modules: see pyproject.toml.
CORE := tests/channels tests/contract tests/ws

test: $(DEV) ## run the tests (two minutes on two cores; JOBS=4 workers)
	@set -e; began=$$(date +%s); \
	echo "the core's tests, with full branch coverage of the core: about a third of the time"; \
	$(PYTEST) $(PARALLEL) --cov --cov-report=term-missing:skip-covered $(CORE); \
	echo "all other tests: the rest of it"; \
	$(PYTEST) $(PARALLEL) $(CORE:%=--ignore=%); \
	echo "make test: all passed in $$(($$(date +%s) - began)) s"

# Folders of tests that start processes or servers; all other folders are unit tests.
NOT_UNIT := agents browser cli cluster compiled console contract documents frameworks kit live sources
UNIT := $(filter-out $(NOT_UNIT:%=tests/%/) %__pycache__/,$(sort $(wildcard tests/*/)))
UNIT += tests/test_gateway.py tests/test_rooms.py tests/test_settings.py

test-unit: $(DEV) ## run the unit tests alone (20 seconds)
	$(PYTEST) $(PARALLEL) $(UNIT)

test-slow: $(DEV) ## run the tests that take more than two seconds each, and property tests with new examples
	$(PYTEST) -m '(slow or hypothesis) and not attack and not browser' $(PARALLEL) --hypothesis-profile=explore -o faulthandler_timeout=1200

test-cluster: $(DEV) ## test gateway processes on NATS, with faults
	$(PYTEST) $(PARALLEL) -o faulthandler_timeout=600 tests/cluster

# In node 20, WebSocket needs a flag.
test-js: $(DEV) ## test the browser client and the console, if node is installed
	@command -v node >/dev/null && command -v npm >/dev/null || \
		{ echo "skipped: the tests of clients/js and the console need node 20 or newer, with npm"; exit 0; }; \
	cd clients/js && \
	{ test -d node_modules/typescript -a -d node_modules/@asyncapi/parser -a -d node_modules/@ag-ui/client || npm install --no-save --no-package-lock --silent || true; } && \
	node $$(node --experimental-websocket -e 0 2>&1 && echo --experimental-websocket) --test test/*.test.js \
		../../tests/console/*.test.js

test-browser: $(BROWSER) ## test the console in a real browser (Debian's chromium)
	$(PYTEST) -m 'not attack' -n 2 --dist worksteal -o faulthandler_timeout=600 tests/browser
	$(PYTEST) -m 'not attack' -o faulthandler_timeout=600 tests/live/test_login_page.py

test-frameworks: $(DEV) $(FRAMEWORKS)/.ready ## test the adapters for agent frameworks with the real packages
	$(PYTEST) tests/frameworks

# The version of the recordings.
CLAUDE_CODE := 2.1.332

test-agents: $(DEV) ## test the hooks with the real Claude Code and a scripted model (2 minutes, 250 MB; needs npm)
	@test -x build/claude-code/node_modules/.bin/claude || \
		npm install --silent --no-save --no-package-lock --prefix build/claude-code @anthropic-ai/claude-code@$(CLAUDE_CODE)
	$(PYTEST) -s tests/agents

WHEEL := build/compiled

wheel: $(DEV) ## build the wheel with its hot modules compiled, in build/compiled (a minute; needs a C compiler)
	@rm -rf $(WHEEL)
	HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/python -m hatchling build -t wheel -d $(WHEEL)

# The modules are compiled as `sightline`; the tests get it under the name `app` too.
test-compiled: $(DEV) ## test the compiled wheel with the unit tests of the stream (needs a C compiler)
	@command -v $(or $(CC),cc) >/dev/null || \
		{ echo "skipped: a compiled wheel needs a C compiler, such as gcc with libc6-dev"; exit 0; }; \
	set -e; $(MAKE) wheel; \
	$(BIN)/python -m pip install --quiet --no-index --no-deps --target $(WHEEL)/packages $(WHEEL)/*.whl; \
	$(BIN)/python tests/kit/installed.py $(WHEEL)/packages pytest tests/compiled tests/channels \
		tests/redaction/test_publishing.py tests/ws

screenshots: $(BROWSER) ## take the screenshots in docs/images again
	$(BIN)/python -m tests.browser.screenshots docs/images

film: $(BROWSER) ## take the short film in docs/images again (a minute)
	$(BIN)/python -m tests.browser.film docs/images/agents.gif

test-attack: $(DEV) ## run the long attacks: a thousand resumes, ten thousand connections, every benchmark
	$(PYTEST) -m attack -o faulthandler_timeout=1200

ROUNDS ?= 100

kill-journal: $(DEV) ## SIGKILL a gateway under load, ROUNDS=100 times: what was answered is looked up (5 to 20 minutes)
	$(BIN)/python -m tests.kit.kills --rounds $(ROUNDS)

static: $(DEV)
	$(BIN)/black --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

quick: static test-unit ## formatting, lint, types and the unit tests (half a minute)

check: static test ## formatting, lint, types, then all tests but the long ones (four minutes)

format: $(DEV) ## rewrite the sources with black and ruff's safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/black .

bench: $(BENCH) ## measure the gateway beside its peers (three runs of each took 19 minutes; without --runs it is five)
	$(BIN)/python -m benchmarks

bench-loops: $(BENCH) ## measure asyncio beside uvloop, pure beside compiled, and each newer Python (3 minutes and more)
	$(BIN)/python -m benchmarks.loops

bench-cluster: $(DEV) ## measure the gateway on NATS JetStream, with one and two gateways (3 minutes)
	$(BIN)/python -m benchmarks.cluster
	$(BIN)/python -m benchmarks.million

bench-journal: $(BENCH) ## measure the journal: what it costs, and its answers with up to 5,000,000 events (5 to 12 minutes, 6 GB)
	$(BIN)/python -m benchmarks.journal

MINUTES ?= 10

soak: $(DEV) ## mixed load with faults for MINUTES=10; every client's events are counted
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

attack: $(DEV) ## everything that strangers can do at once, for MINUTES=10: memory, and a client's waits
	$(BIN)/python -m benchmarks.attacks --minutes $(MINUTES)

docs: $(DOCS) ## build the documentation as a site: open build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

LOCK := uv pip compile --no-strip-extras --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11

lock: ## resolve the dependencies of pyproject.toml again (needs uv)
	$(LOCK) --extra workspace --extra metrics --extra nats --extra otlp --extra jwt --group build \
		pyproject.toml clients/python/pyproject.toml -o requirements.lock
	$(LOCK) --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) --group compile -c requirements.lock -c requirements-dev.lock -o requirements-compile.lock
	$(LOCK) --group browser -c requirements.lock -c requirements-dev.lock -o requirements-browser.lock
	$(LOCK) --group frameworks clients/python/pyproject.toml -o requirements-frameworks.lock
	$(LOCK) --group bench -c requirements.lock -c requirements-dev.lock -o requirements-bench.lock
	$(LOCK) --group docs -c requirements.lock -c requirements-dev.lock -o requirements-docs.lock
