# Needs only make, a Python 3.11, 3.12 or 3.13 and a package index. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install run test test-compose env soak check contracts bench kafka clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-bench/.installed
PYTEST_ARGS ?=
# Each process has servers of its own (about 1 GB with Kafka), and waits for them most of the time: more than cores is of no use.
PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$(( n > 4 ? 4 : n )))
SOAK_ARGS ?=
BENCH_ARGS ?= --write

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@python=""; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then \
	    python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Keyfold needs Python 3.11, 3.12 or 3.13 on PATH (as python3 or python3.1x); none was found." >&2; exit 1; fi; \
	[ -x $(BIN)/python ] || { "$$python" -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "No virtual environment could be made; on Debian and Ubuntu install python3-venv." >&2; exit 1; }; }
	@echo "Installing the exact versions of requirements.lock into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMP) ## make .venv with everything in it (the other targets do it when needed)

run: $(STAMP) ## start everything in one process on an embedded PostgreSQL
	@$(BIN)/keyfold up

test: $(STAMP) ## run the tests; pass more with PYTEST_ARGS="-k ledger -x", one by one with PROCESSES=0
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(PYTEST_ARGS)

soak: $(STAMP) ## kill things at random for half an hour; SOAK_ARGS="--minutes 3 --json"
	@$(BIN)/python -m tests.faults.soak $(SOAK_ARGS)

check: $(STAMP) ## format, lint, types, import rules, contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/keyfold contracts --check

contracts: $(STAMP) ## generate schemas and examples from the event classes
	@$(BIN)/keyfold contracts

bench: $(STAMP) $(PEERS) ## measure the speed against peers and limits (an hour); BENCH_ARGS="--quick" or "--only append"
	@$(BIN)/python -m bench $(BENCH_ARGS)

$(PEERS): bench/requirements.txt | $(STAMP)
	@[ -x .venv-bench/bin/python ] || $(BIN)/python -m venv .venv-bench
	@echo "Installing the peers of the benchmark into .venv-bench ..."
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements.txt
	@touch $@

env: ## .env for docker compose, with random secrets; one that is there stays, and is checked
	@python3 deploy/env.py

test-compose: $(STAMP) ## bring everything up by docker compose and hold it to the embedded form (needs an engine)
	@KEYFOLD_COMPOSE=1 $(BIN)/python -m pytest -p no:xdist tests/e2e/test_compose.py $(PYTEST_ARGS)

kafka: $(STAMP) ## a real Kafka broker on this machine until Ctrl-C (needs java and mvn)
	@$(BIN)/python deploy/kafka/broker.py start --data .keyfold/kafka

clean: ## remove .venv, caches and build output; data folders stay
	rm -rf $(VENV) .venv-bench .cache .ruff_cache .hypothesis build dist
	find services shared tests bench deploy -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
