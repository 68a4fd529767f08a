# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LAYER ?= dev
STAMP := $(VENV)/.installed-$(LAYER)
ARGS ?=
RESUME ?=
SIDE_BY_SIDE = $(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target

# Folders of a tier's first half; the second is all others. Both should end at the same time. In `unit` everything that
# imports torch is in the first: that import takes as long as a hundred tests, so one process is enough for it.
FIRST_HALF.unit := benchmarks experiments model quality serving trainer
FIRST_HALF.integration := serving trainer
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# With ARGS="-k WORD" one half may have no such test, which pytest tells by 5.
OR_NOTHING_CHOSEN := $(if $(ARGS),|| test $$? = 5)

.DEFAULT_GOAL := help
.PHONY: help setup demo test status checks lint types contracts unit contract integration e2e browser bench lock lock-jars schemas \
        clean-state clean compose-test chromium

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(STAMP): requirements/bootstrap.txt requirements/$(LAYER).txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the $(LAYER) layer (hash-locked; about 6 GB with torch, a minute or two on a fast line)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/$(LAYER).txt requirements/bootstrap.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

setup: $(STAMP) ## Make the virtual environment and install everything, hash-locked.

demo: $(STAMP) ## Run the whole loop on this machine; ARGS="--days 2 --exit", RESUME=1 goes on from state.
	@$(BIN)/springtide demo $(if $(RESUME),--resume) $(ARGS)

status: $(STAMP) ## Tell what of the embedded stack runs.
	@$(BIN)/springtide status

test: checks unit integration e2e browser ## Lint, types, import contracts and every tier of tests.

checks: $(STAMP) # mypy fills one core, the others take turns on the other
	@$(SIDE_BY_SIDE) types lint contracts contract

lint: $(STAMP) ## Style.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## Types, strict.
	@$(BIN)/mypy .

contracts: $(STAMP) ## Who may import whom.
	@$(BIN)/lint-imports

unit: ## The fast tier, in two halves side by side.
integration: ## Against a real broker, Ray and Feast, in two halves side by side.
unit integration: $(STAMP)
	@$(SIDE_BY_SIDE) $@-first $@-second

%-first: $(STAMP)
	@$(PYTEST) $(FIRST_HALF.$*:%=tests/$*/%) $(ARGS) $(OR_NOTHING_CHOSEN)

%-second: $(STAMP)
	@$(PYTEST) tests/$* $(FIRST_HALF.$*:%=--ignore=tests/$*/%) $(ARGS) $(OR_NOTHING_CHOSEN)

contract e2e: $(STAMP) ## One tier of tests.
	@$(BIN)/python -m pytest tests/$@ $(ARGS)

chromium: ## Install Debian's Chromium for the browser tier, where it is missing.
	@command -v chromium >/dev/null || { \
	  echo "installing chromium with apt-get"; \
	  $$(test $$(id -u) = 0 || echo sudo) apt-get update -qq && \
	  $$(test $$(id -u) = 0 || echo sudo) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }

browser: $(STAMP) chromium ## The page in a real browser.
	@$(BIN)/python -m pytest tests/browser $(ARGS)

bench: $(STAMP) ## Every benchmark that has a --quick, quick; prints ratios.
	@for name in $$(grep -rl --include='*.py' '"--quick"' benchmarks | sort | sed 's/\.py$$//; s,/,.,g'); do \
	  $(BIN)/python -m $$name --quick || exit 1; done

compose-test: $(STAMP) ## docker compose up for real, and kill every service in turn (needs an engine).
	@$(BIN)/python -m pytest tests/compose $(ARGS)

lock: $(STAMP) ## Resolve requirements/*.in again; writes hashes, never addresses.
	@cd requirements && for layer in dev learner edge bootstrap; do \
	  ../$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate --override overrides.txt \
	    $$( [ $$layer = dev ] || echo -c dev.txt ) $$layer.in -o $$layer.txt; done

lock-jars: $(STAMP) ## Resolve the broker's jars again; writes their sha256.
	@$(BIN)/python -m local_stack.broker.relock

schemas: $(STAMP) ## Freeze the message schemas again, after a deliberate change.
	@$(BIN)/python -m springtide.contracts.freeze_schemas

clean-state: ## Remove the embedded stack's state (broker, checkpoints, features, logs).
	@if [ -x $(BIN)/springtide ]; then $(BIN)/springtide clean-state; else rm -rf .springtide; fi

clean: clean-state ## Remove the virtual environment and caches as well.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
