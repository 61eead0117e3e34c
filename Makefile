# Everything a person types here. `make help` lists it.
VENV := .venv
SYNAPSE := .venv-synapse
PY := $(VENV)/bin/python
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help install install-test demo check fast test sim fuzz bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: ## Install what the programs and the demo need (a virtual environment, tor, Synapse)
	@.ci/setup demo

install-test: ## Install what the tests need besides (PostgreSQL, the checkers)
	@.ci/setup test

demo: install ## Show a Matrix user and a Chattor user talk over a private Tor network (CHECK=1 ends after it)
	@$(VENV)/bin/chattor-bridge demo $(if $(CHECK),--check)

check: install-test ## The gate: format, lint, types, import rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

fast: install-test ## The tests that need no tor, Synapse or PostgreSQL
	$(VENV)/bin/pytest -m "not tor and not synapse and not postgres"

test: check ## Everything that CI runs (WORKERS=1 for one test at a time; each worker has servers of its own)
	$(VENV)/bin/pytest --numprocesses $(WORKERS) --dist worksteal

sim: install-test ## Live through a month of 300 nodes in virtual time (SEED=, NODES=, DAYS=, MESSAGES=, ROUGH=1)
	$(PY) -m tests.sim $(if $(SEED),--seed $(SEED)) $(if $(NODES),--nodes $(NODES)) $(if $(DAYS),--days $(DAYS)) \
		$(if $(MESSAGES),--messages $(MESSAGES)) $(if $(ROUGH),--rough)

fuzz: install-test ## Fuzz every decoder, guided by coverage (SECONDS=60 for each, TARGETS="cbor html" for some)
	@.ci/setup fuzz
	$(PY) -m tests.fuzz.run --seconds $(or $(SECONDS),60) $(TARGETS)

bench: install-test ## Measure, each number beside its floor (JSON=file writes them, PARTS="memory links" for some)
	$(PY) -m tests.bench $(if $(JSON),--json $(JSON)) $(PARTS)

clean: ## Remove what was installed and built here
	rm -rf $(VENV) $(SYNAPSE) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
