# One entry for people and for CI. Needs only Python >= 3.11 and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# One worker more than cores: real processes and screens spend a part of their tests waiting.
WORKERS := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist worksteal
RANDOM_TESTS = $(shell grep -rlE '_support.examples import|^from hypothesis' tests --include='test_*.py')
# Compiled modules are kept, whatever the environment says: every daemon that a test starts would compile all of them again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-day test-long test-random explore soak check test-peers bench docs screens clean
.DEFAULT_GOAL := help

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.installed: pyproject.toml uv.lock
	@echo 'Installing into $(VENV), once; this takes a minute ...' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv sync --frozen --inexact --quiet
	@touch $@

demo: $(VENV)/.installed  ## watch a two-connector DC station work, without hardware
	@$(BIN)/evsectl demo

test: $(VENV)/.installed  ## all tests that need no other programs and no patience
	$(PYTEST) $(WORKERS) -m 'not peer and not slow'

test-day: test-long test-random  ## both of the next two; CI runs the first beside everything else

test-long: $(VENV)/.installed  ## the long tests: every tick of a day with 100 cars and faults, the demo under kills
	EVSE_EXAMPLES=full $(PYTEST) -n 2 --dist worksteal --timeout 3600 -rP -m slow

test-random: $(VENV)/.installed  ## all random examples, of which make test tries an eighth
	EVSE_EXAMPLES=full $(PYTEST) $(WORKERS) --timeout 3600 -m 'not peer and not slow' $(RANDOM_TESTS)

explore: $(VENV)/.installed  ## random examples that nobody has seen before; what they find becomes a test
	EVSE_EXAMPLES=new $(PYTEST) $(WORKERS) --timeout 3600 -m 'not peer and not slow' $(RANDOM_TESTS)

soak: $(VENV)/.installed  ## a thousand stations killed or without power at any operation; figures into docs/performance.md
	$(BIN)/python -m tools.soak_ocpp --seeds 1000 --jobs $$(nproc) --sweep --write

check: $(VENV)/.installed  ## lint, types, import contracts, generated files up to date
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generate --check

test-peers: $(VENV)/.installed  ## against independent programs (npm ocpp-rpc, mbpoll); installs them
	@sh tests/peers/install.sh
	EVSE_PEERS=1 $(PYTEST) -m peer tests/peers

bench: $(VENV)/.installed  ## measure the budgets and write docs/performance.md
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv sync --frozen --inexact --quiet --group bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed  ## regenerate man pages, completions, schemas and references
	$(BIN)/python -m tools.generate
	$(BIN)/python -m tools.ocpp_cases

screens: $(VENV)/.installed  ## regenerate the pictures of the README
	$(BIN)/python -m tools.render_screens

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
