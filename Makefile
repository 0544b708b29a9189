# Two commands do everything from a fresh clone: `make demo` and `make test`. CI calls the same targets.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
UV    := $(BIN)/uv
LOCK  := .ci/locks/dev.txt
PEERS := .venv-peers
PEERS_LOCK := .ci/locks/peers.txt
BENCH := .venv-bench
PYTEST := $(BIN)/pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-all machines soak bench-fleet bench-inference bench-recipes bench-power bench-spec dev peers wheel system lint lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

demo: wheel system ## the whole story on lab devices: plan, apply, a bad model, a lost connection, drift
	@$(BIN)/edgeform lab demo site/lab

test: wheel system peers lint ## everything a change must pass: sampled slow tiers
	@echo "==> tests (the installed wheel, not the checkout)"
	@EDGEFORM_TESTED=wheel $(PYTEST) -n 2 --dist loadfile -m "not slow and not vm" --durations 10

test-all: wheel system machines peers lint ## all of it, slow tiers whole
	@echo "==> all tests (the installed wheel, not the checkout)"
	@EDGEFORM_TESTED=wheel $(PYTEST) -n 2 --dist loadfile --durations 30

soak: wheel system ## fuzzing, a thousand power cuts, matrices: hours, its result is committed
	@$(BIN)/python bench/soak.py --out docs/reference/soak.json

bench-fleet: wheel system ## no-op plan and model update against Ansible and plain pyinfra, side by side
	@$(BIN)/python bench/fleet.py

bench-spec: wheel ## load, validate, resolve and plan 1,000 to 100,000 devices
	@$(BIN)/python bench/spec.py

bench-recipes: wheel ## each recipe on the lab's network: accuracy, agreement, SQNR, size, latency
	@$(BIN)/python bench/recipes.py

bench-power: wheel ## how many wrong models the checks catch, and how often they turn a right one down: hours
	@$(BIN)/python bench/power.py --jobs 2 --out bench/results/power.json

bench-inference: wheel $(BENCH)/mlserver/.locked $(BENCH)/kserve/.locked ## the runtime beside a bare loop, MLServer and KServe
	@$(BIN)/python bench/inference.py

$(BENCH)/%/.locked: bench/peers/%.txt | $(VENV)/.locked
	@echo "==> $* in an environment of its own"
	@$(UV) venv -q --clear --python $(BIN)/python $(BENCH)/$*
	@$(UV) pip install -q --python $(BENCH)/$*/bin/python --require-hashes -r $<
	@touch $@

$(VENV)/.locked: $(LOCK)
	@echo "==> virtual environment with locked dependencies ($$(python3 --version))"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edgeform needs Python 3.11 or newer"; exit 1; }
	@python3 -m venv $(VENV) >/dev/null 2>&1 || { .ci/need python3-venv && python3 -m venv $(VENV); }
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' $(LOCK))"
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r $(LOCK)
	@touch $@

$(PEERS)/.locked: $(PEERS_LOCK) | $(VENV)/.locked
	@echo "==> servers and tools that tests talk to"
	@$(UV) venv -q --clear --python $(BIN)/python $(PEERS)
	@$(UV) pip install -q --python $(PEERS)/bin/python --require-hashes -r $(PEERS_LOCK)
	@touch $@

peers: $(PEERS)/.locked ## what tests talk to and never import: MLflow, S3, SageMaker's registry, OIP and OMS clients

dev: $(VENV)/.locked ## an editable installation, for work on edgeform itself
	@$(UV) pip install -q --python $(BIN)/python --no-deps -e .

wheel: $(VENV)/.locked ## build the wheel and install it: what users get is what is tested
	@echo "==> wheel"
	@rm -rf build/wheel && $(UV) build -q --wheel --python $(BIN)/python -o build/wheel .
	@$(UV) pip install -q --python $(BIN)/python --no-deps --reinstall-package edgeform build/wheel/*.whl

system: $(VENV)/.locked ## install missing system packages where allowed, else name them
	@.ci/need --lab

machines: system ## what the virtual machines of test-all are made with
	@.ci/need --vm

lint: $(VENV)/.locked ## ruff, mypy --strict, import contracts
	@echo "==> lint"
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lock: ## resolve the development dependencies again, with hashes
	$(UV) pip compile -q pyproject.toml --group dev --extra ansible --extra lab --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 -o $(LOCK)
	$(UV) pip compile -q --group peers --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 -o $(PEERS_LOCK)
	for peer in mlserver kserve; do $(UV) pip compile -q bench/peers/$$peer.in --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 -o bench/peers/$$peer.txt; done

clean: ## remove what the targets made
	rm -rf $(VENV) $(PEERS) $(BENCH) build dist .mypy_cache .ruff_cache .pytest_cache
