# The same verbs on a laptop, on a server and in CI. `make up` needs root and makes a whole lab on this machine;
# `make preview` and `make test-fast` need neither root nor an account.
PYTHON := .venv/bin/python
STACK ?= dev
RUNS ?= 20
BASELINE_RUNS ?= 5
.PHONY: up down status check figures bench-failover shell preview test test-fast lint clean setup setup-dev

up: setup
	$(PYTHON) -m tools lab
	$(PYTHON) -m lab up $(STACK)

down: setup
	$(PYTHON) -m lab down

status: setup
	@$(PYTHON) -m lab status

check: setup
	@$(PYTHON) -m check --stack $(STACK) $(ARGS)

figures: setup-dev
	$(PYTHON) -m tools lab
	@$(PYTHON) -m lab.figures

bench-failover: setup-dev
	$(PYTHON) -m tools lab
	@$(PYTHON) -m lab.rig bench --runs $(RUNS) --baseline-runs $(BASELINE_RUNS) $(ARGS)

shell: setup
	@$(PYTHON) -m lab shell $(M)

preview: setup
	$(PYTHON) -m tools engine
	$(PYTHON) -m lab preview $(STACK)

test-fast: setup-dev
	$(PYTHON) -m pytest tests/unit tests/components tests/policy

test: lint
	$(PYTHON) -m tools engine
	$(PYTHON) -m tools lab
	$(PYTHON) -m pytest tests/unit tests/components tests/policy tests/engine tests/lab

lint: setup-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .
	.venv/bin/lint-imports

clean: down
	$(PYTHON) -m tools clean

setup:
	@tools/setup.sh

setup-dev:
	@tools/setup.sh --dev
