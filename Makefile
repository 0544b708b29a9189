# Every target says what it does; `make help` lists them. CI calls the same targets.
SHELL := /bin/bash
VENV  := .venv
PY    := $(VENV)/bin/python
UV    := $(VENV)/bin/uv
LOCK  := .ci/locks/dev.txt

.DEFAULT_GOAL := help
.PHONY: help venv dev lint lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

$(VENV)/.locked: $(LOCK)
	@echo "==> virtual environment and locked dependencies"
	@python3 -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' $(LOCK))"
	@$(UV) pip install -q --python $(PY) --require-hashes -r $(LOCK)
	@touch $@

dev: $(VENV)/.locked ## an editable installation for work on edgeform itself
	@$(UV) pip install -q --python $(PY) --no-deps -e .

lint: dev ## ruff, mypy --strict, import contracts
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

lock: ## resolve the development dependencies again, with hashes
	$(UV) pip compile -q pyproject.toml --group dev --extra ansible --extra lab --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 -o $(LOCK)

clean: ## remove what the targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
