# Meta Chat Mesh. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# Data to fit the scorer on: a folder of labelled replies (docs/scoring-report.md says what it must hold).
DATA ?= ../shared/data/confidence

.DEFAULT_GOAL := help
.PHONY: help run test test-long test-fast chaos check format protos check-protos lock scorer benchmarks benchmarks-peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/.runtime ## start everything on this machine, with a demo tenant
	@exec $(BIN)/metachat run

test: $(VENV)/.development ## run all tests (brings RabbitMQ and PostgreSQL of its own)
	@$(BIN)/python -m tests.servers pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(VENV)/.development ## run the tests that take minutes each
	@$(BIN)/python -m tests.servers pytest -m long $(ARGS)

test-fast: $(VENV)/.development ## run the tests that need no server
	@$(BIN)/pytest -q tests/unit tests/contract $(ARGS)

chaos: $(VENV)/.development ## kill, freeze and cut everything while messages flow, then count (SEED= MESSAGES= FAULTS=)
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MESSAGES),--messages $(MESSAGES)) $(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

pictures: $(VENV)/.development ## take the pictures of the console anew (docs/pictures/console)
	@METACHAT_PICTURES=1 $(BIN)/pytest -q -m chromium tests/acceptance $(ARGS)

check: $(VENV)/.development check-protos ## lint, types, import rules, contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.development ## format the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

protos: $(VENV)/.development ## regenerate the stubs from the .proto files
	$(BIN)/python protos/generate.py

check-protos: $(VENV)/.development ## fail where stubs are stale or the contracts break the lint rules
	$(BIN)/python protos/generate.py --check
	$(BIN)/buf lint protos/metachat/metachat.binpb --config protos/buf.yaml

lock: $(VENV)/.development ## compile the lock files from requirements*.in
	$(PIP_COMPILE) requirements.in --output-file requirements.lock
	$(PIP_COMPILE) --constraint requirements.lock requirements-dev.in requirements.in --output-file requirements-dev.lock
	$(PIP_COMPILE) --constraint requirements.lock benchmarks/requirements.in --output-file benchmarks/requirements.lock

scorer: $(VENV)/.development ## refit the scorer from DATA and rewrite its report
	$(BIN)/python -m services.confidence.fitting --data $(DATA)
	$(BIN)/python -m services.topics.fitting --data $(DATA)

benchmarks: $(VENV)/.development ## print throughput and latency of the main path, side by side
	$(BIN)/python -m tests.servers $(BIN)/python -m benchmarks.main_path

benchmarks-peers: $(VENV)/.development build/peers/.installed ## messages through the worker, FastStream and Celery, side by side
	$(BIN)/python -m tests.servers $(BIN)/python -m benchmarks.queue_load --peers build/peers/bin/python $(ARGS)

# Of its own, because nothing of the product needs what we are held against.
build/peers/.installed: benchmarks/requirements.lock | $(BIN)/python
	@echo "installing the peers into build/peers (once)"
	@$(BIN)/python -m venv build/peers
	@build/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

clean: ## remove the virtual environment and caches (data in .data stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "$(PYTHON) is missing or older than 3.11: install Python 3.11 or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml protos/pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
		--config-settings editable_mode=compat --editable ./protos --editable .
	@touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	@echo "installing the tools of the tests into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@
