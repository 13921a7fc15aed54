# `make run` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
# Another Python has another environment: `make test PYTHON=python3.12` leaves the usual one alone.
VENV := .venv$(patsubst %,-%,$(filter-out python3,$(notdir $(PYTHON))))
BIN := $(VENV)/bin
export PYTHON
# Modules are compiled once, as those of an installed package are.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup run test shared alone quick verify lint types fresh docs man rows coverage few floors newer diagrams picture bench containment simulate crash soak cluster mutants lock clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.ready ## Create .venv with everything, or bring it up to date

$(VENV)/.ready: .ci/requirements.lock .ci/setup pyproject.toml
	@sh .ci/setup $(VENV)

run: setup ## Drive this project's own release check, through a kill -9, to completion
	@$(BIN)/python -m goalfsm.examples.release_run

# Real kills and counted calls want the machine for themselves; everything else shares it.
ALONE := tests/bench tests/crash tests/cluster/test_kills.py
# One worker more than there are processors: many tests wait for processes of their own.
EACH := -n $(shell expr `getconf _NPROCESSORS_ONLN` + 1) --dist worksteal

test: setup ## Run the tests; those that need Node, Graphviz or root may skip
	@$(MAKE) --no-print-directory shared
	@$(MAKE) --no-print-directory alone

shared: setup ## Run the tests that share the machine
	$(BIN)/python -m pytest $(EACH) $(PYTEST) $(ALONE:%=--ignore=%)

alone: setup ## Run the tests that want the machine for themselves: counts, crashes, kills
	$(BIN)/python -m pytest $(PYTEST) $(ALONE)

quick: setup ## Run what decides and what carries it out, in about a minute
	$(BIN)/python -m pytest -q $(EACH) $(PYTEST) tests/unit tests/session tests/conformance \
		tests/daemon tests/simulation

lint: setup ## Style, formatting and the direction of imports
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/lint-imports || status=1; \
	exit $$status

types: setup ## mypy strict, and pyright on the public API
	@status=0; \
	$(BIN)/mypy || status=1; \
	$(BIN)/pyright || status=1; \
	exit $$status

fresh: setup ## Are diagrams/ and the generated blocks of the docs what the machines give?
	$(BIN)/python -m goalfsm.diagram.docs.files --check
	$(BIN)/python -m tests.packaging.api --check

# The tests of what decides; the others are about what carries it out, and are run without counting.
PURE := tests/conformance tests/prompts tests/recovery tests/session tests/testing tests/unit

coverage: setup ## Run the tests of what decides and hold it at 100 % of its branches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(EACH) $(PYTEST) $(PURE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

rows: setup ## Does the suite fire every row of our machines' tables?
	$(BIN)/python -m pytest -q --goalfsm-coverage=100 tests/unit tests/recovery tests/session \
		tests/testing/test_our_machines.py

verify: setup ## Everything that has to hold; installs what it needs; no test may skip
	@sh .ci/tools
	@status=0; \
	$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target \
		lint types fresh docs man rows || status=1; \
	$(MAKE) --no-print-directory --keep-going coverage floors newer PYTEST=--no-skips || status=1; \
	$(MAKE) --no-print-directory test PYTEST="--no-skips $(PURE:%=--ignore=%)" || status=1; \
	exit $$status

docs: setup ## Build the documentation site into build/docs; a warning or a dead link fails
	$(BIN)/sphinx-build -q -W --keep-going -b html -c docs . build/docs

man: setup ## Build the manual page build/man/goalfsm.1
	$(BIN)/sphinx-build -q -W --keep-going -b man -c docs . build/man

# A test or a few of each dependency and of each extra.
SOME := tests/cli/test_run.py::test_a_goal_completes tests/store/test_file.py \
	tests/cli/test_notifying.py::test_a_service_of_apprise_is_told tests/session/test_codec.py \
	tests/diagram/test_extract.py tests/diagram/test_png.py tests/ui/test_keys.py::test_s_steers \
	tests/appserver/test_websocket.py tests/agents/test_acp.py::test_a_prompt_is_done_and_charged \
	tests/mcp/test_server.py::test_the_tools_are_listed_as_they_are_everywhere
FEW := $(SOME) tests/packaging/test_modules.py tests/testing/test_other_plugins.py \
	tests/cluster/test_jobs.py::test_a_job_comes_after_its_transaction_and_not_before

few: setup ## Run a test or a few of each dependency; with PYTHON=python3.13 by that one
	$(BIN)/python -m pytest -q $(EACH) $(PYTEST) $(FEW)

floors: .venv-floors/.ready ## Run these with the lowest versions of the dependencies that are allowed
	.venv-floors/bin/python -m pytest -q $(EACH) $(PYTEST) $(FEW)

.venv-floors/.ready: .ci/floors.lock .ci/beside.py $(VENV)/.ready
	@.venv/bin/python .ci/beside.py .venv-floors .venv/bin/python .ci/floors.lock

# What enumerates, draws or counts finds the same in every Python.
SEARCHING := any_ or every_ or properties or stateful or labelled or accuracy or vector_runner

newer: setup ## Run what decides and some of these with each newer Python that is here
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target \
		newer-3.12 newer-3.13 newer-3.14

newer-%:
	@sh .ci/newer $* $(PYTEST) -k 'not ($(SEARCHING))' $(SOME) \
		tests/conformance tests/recovery tests/session tests/unit

diagrams: setup ## Write diagrams/ and the generated blocks of the docs
	$(BIN)/python -m goalfsm.diagram.docs.files
	$(BIN)/python -m tests.packaging.api

picture: setup ## Write docs/ui.svg, the picture of the terminal interface
	$(BIN)/python -m tests.ui.picture

bench: .venv-bench/.ready ## Measure beside the peers; QUICK=1 is coarse and writes nothing, LONG=1 adds the storm
	.venv-bench/bin/python -m tests.bench $(if $(QUICK),--quick,--write) $(if $(LONG),--long)

.venv-bench/.ready: .ci/bench.lock .ci/setup pyproject.toml
	@sh .ci/setup .venv-bench .ci/bench.lock

containment: setup ## What every complaint costs before the engine stops or waits, as a table
	$(BIN)/python -m tests.containment

simulate: setup ## Simulate SEEDS seeds of engines, people and crashes on virtual time
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),300)

crash: setup ## Kill a daemon KILLS times and check that nothing is lost
	$(BIN)/python -m tests.crash.run --kills $(or $(KILLS),200)

soak: setup ## Have one engine do TURNS turns of a program and compare what it holds
	$(BIN)/python -m tests.crash.soak --turns $(or $(TURNS),20000)

cluster: setup ## Kill nodes, PostgreSQL and the queue KILLS times and check that nothing is lost
	$(BIN)/python -m tests.cluster.killing --kills $(or $(KILLS),200)

mutants: .venv-mutants/.ready ## Count the changes of the pure modules that tests notice; ALL=1, ONLY='goalfsm.text*'
	@sh .ci/mutants $(ONLY) $(if $(ALL),--all) $(if $(CONTROL),--control) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

.venv-mutants/.ready: .ci/mutants.lock .ci/setup pyproject.toml
	@sh .ci/setup .venv-mutants .ci/mutants.lock

lock: ## Resolve the dependencies again; ARGS=--upgrade takes newer versions
	@sh .ci/lock $(ARGS)

clean: ## Remove what was built, not the environments
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache mutants .mutmut-cache
	find goalfsm recovery tests -name __pycache__ -type d -prune -exec rm -rf {} +
