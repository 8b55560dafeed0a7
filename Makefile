# Every target works from a fresh clone, as root and as an ordinary user. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

bin := .venv/bin
# More arguments for the command behind a target: make run ARGS="--sandbox", make test ARGS="-k ports -x".
ARGS ?=
# How many processes the tests run in; they wait more than they compute. JOBS=0 runs them in one, for -s and --pdb.
JOBS ?= 4
pytest := $(bin)/python -m pytest -q -n $(JOBS) --dist loadfile

.PHONY: help setup setup-dev run demo test test-unit test-integration test-e2e check audit format lock docs bench bench-quick bench-check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## system packages and .venv, where they are missing
	@deploy/setup/environment.sh runtime

setup-dev: ## the same with the tools for tests and checks
	@deploy/setup/environment.sh dev

run: setup ## start Zapvisor in the foreground; Ctrl-C ends it
	@exec $(bin)/zapvisor up $(ARGS)

demo: setup-dev ## evidence run on the sandbox: one line a step
	@exec $(bin)/python -m tests.e2e.demo $(ARGS)

test: setup-dev ## every tier of tests
	@exec $(pytest) $(ARGS)

test-unit: setup-dev ## tests without sockets and sleeps
	@exec $(pytest) tests/unit $(ARGS)

test-integration: setup-dev ## tests with real services
	@exec $(pytest) tests/integration $(ARGS)

test-e2e: setup-dev ## the whole product on the sandbox
	@exec $(pytest) tests/e2e $(ARGS)

check: setup-dev ## lint, format, types, import rules, file sizes, generated documents
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/mypy docs/generate.py
	$(bin)/lint-imports
	$(bin)/bandit -q -c pyproject.toml -r cli ecosystem orchestrator worker
	$(bin)/python docs/generate.py --check
	@deploy/setup/file-sizes.sh

audit: setup-dev ## known vulnerabilities of what is locked; needs the network
	$(bin)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock -r requirements-dev.lock $(ARGS)

format: setup-dev ## let ruff fix and format
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

docs: setup-dev ## write docs/errors.md and docs/settings.md anew
	$(bin)/python docs/generate.py

lock: ## renew the locks from pyproject.toml
	@deploy/setup/lock.sh $(ARGS)

bench: setup-dev ## every figure into build/bench.json; half an hour
	@exec $(bin)/python -m tests.benchmarks $(ARGS)

bench-quick: setup-dev ## the quick set of figures; a few minutes
	@exec $(bin)/python -m tests.benchmarks --quick $(ARGS)

bench-check: setup-dev ## compare build/bench.json with the budget, tests/benchmarks/budget.toml
	@exec $(bin)/python -m tests.benchmarks.check $(ARGS)

clean: ## remove .venv and every cache; sessions and settings stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
