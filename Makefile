# The same verbs on a laptop, on a server and in CI. `make up` needs root and makes a whole lab on this machine;
# `make preview` and `make test-fast` need neither root nor an account.
PYTHON := .venv/bin/python
STACK ?= dev
# In the environment, not in the commands' text: a branch's name is no shell command.
export STACK BASE REPORT GATEWAY
# Some environments forbid Python to keep what it has compiled; every preview would then begin with half a second of that.
export PYTHONDONTWRITEBYTECODE :=
RUNS ?= 20
BASELINE_RUNS ?= 5
.PHONY: up down status check drain undrain figures shell preview preview-live bench-preview bench-failover
.PHONY: test test-fast test-failover fuzz sweep lint lint-workflows docs clean setup setup-dev

up: setup
	$(PYTHON) -m tools lab
	$(PYTHON) -m lab up $(STACK)

down: setup
	$(PYTHON) -m lab down

status: setup
	@$(PYTHON) -m lab status

check: setup
	@$(PYTHON) -m check --stack $(STACK) $(ARGS)

# A gateway hands its traffic over before you work on it; without loss, and refused if nobody could take over.
drain: setup
	@$(PYTHON) -m check.drain "$$GATEWAY" --stack $(STACK) $(ARGS)

undrain: setup
	@$(PYTHON) -m check.drain "$$GATEWAY" --undo --stack $(STACK) $(ARGS)

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
	@$(PYTHON) -m lab preview "$$STACK" --base "$$BASE" --report "$$REPORT"

# Against the stack as it runs, with the official pulumi on PATH and access to its backend.
preview-live: setup
	@PATH="$(CURDIR)/.venv/bin:$$PATH" $(PYTHON) -m report "$$STACK" "$$REPORT"

bench-preview: setup-dev
	$(PYTHON) -m tools engine
	@$(PYTHON) -m tests.engine.preview_bench $(ARGS)

test-fast: setup-dev
	$(PYTHON) -m pytest tests/unit tests/components tests/policy tests/corpus

test: lint
	$(PYTHON) -m tools engine
	$(PYTHON) -m tools lab
	$(PYTHON) -m pytest tests/unit tests/components tests/policy tests/corpus tests/engine tests/failover tests/lab

# The route agent, and every failure once on the network-only lab.
test-failover: setup-dev
	$(PYTHON) -m tools lab
	$(PYTHON) -m pytest tests/failover

# 20,000 generated stacks against a checker that shares no code with the plan; EXAMPLES=N for another number.
EXAMPLES ?= 20000
fuzz: setup-dev
	TAILSPAN_EXAMPLES=$(EXAMPLES) $(PYTHON) -m pytest tests/unit/test_plan_properties.py -s -o timeout=0

# Every resource type of the two clouds' SDKs, as the preview-only plugins read it, against its classes.
sweep: setup-dev
	TAILSPAN_SWEEP=1 $(PYTHON) -m pytest tests/engine/test_cloud_sweep.py

docs: setup-dev
	@$(PYTHON) -m tools docs
	@$(PYTHON) -m policy.docs

lint: setup-dev lint-workflows
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .
	.venv/bin/lint-imports

# GitHub's workflows: their syntax and expressions, and what an attacker could do with them.
lint-workflows: setup-dev
	$(PYTHON) -m tools lint
	.venv/bin/zizmor --offline --quiet .github/workflows

clean: down
	$(PYTHON) -m tools clean

setup:
	@tools/setup.sh

setup-dev:
	@tools/setup.sh --dev
