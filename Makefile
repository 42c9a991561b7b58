# What a newcomer, a developer and CI call. Everything happens inside .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo clients test check crash simulate mutation bench fidelity lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1). Install it, or say: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments. On Debian: apt-get install python3-venv   then run make again."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/made requirements/run.txt pyproject.toml
	@echo "installing locked dependencies into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements/dev.txt
	@echo "installing locked development dependencies into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# The programs of others that the tests run against the simulator. Of `ansible` only one collection is kept.
$(CLIENTS)/made: $(VENV)/made requirements/clients.txt tests/clients/unpack.py
	@echo "installing locked foreign clients into $(CLIENTS) …"
	@rm -rf $(CLIENTS)
	@$(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip --disable-pip-version-check --quiet download --no-deps --only-binary :all: --require-hashes \
	  --dest $(CLIENTS)/wheels -r requirements/clients.txt
	@$(CLIENTS)/bin/python tests/clients/unpack.py $(CLIENTS)/wheels $(CLIENTS)/collections
	@$(CLIENTS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-index $(CLIENTS)/wheels/*.whl
	@rm -r $(CLIENTS)/wheels
	@touch $@

demo: $(VENV)/run  ## the whole story on a simulated cloud: plan, run, thirty minutes, everything taken back, proof
	@$(BIN)/failover demo

# Where they cannot be had, what needs them is skipped and says so.
clients:
	@$(MAKE) --no-print-directory $(CLIENTS)/made || echo "the foreign clients are not there; their tests are skipped"

test: $(VENV)/dev clients  ## all tests
	@$(BIN)/python -m pytest -n auto $(ARGS)

check: $(VENV)/dev  ## formatter, linter, types, import contracts, dependencies, dead code
	@$(PIP) check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/vulture

fidelity: $(VENV)/dev clients  ## how true the simulated cloud is: recordings of a real server, foreign clients, rules and corrections with their tests
	@$(BIN)/python -m tests.conformance.fidelity

crash: $(VENV)/dev  ## kill the process at every named point, during recovery and at any instant (DATABASE=mariadb; ARGS, see --help)
	@$(BIN)/python -m tests.crashes --database $(or $(DATABASE),sqlite) $(ARGS)

simulate: $(VENV)/dev  ## play the plots of seeds: make simulate SEEDS=0-999, or SEEDS=17 for one; ENGINES=2 on one database
	@$(BIN)/python -m tests.simulation $(or $(SEEDS),0-299) --engines $(or $(ENGINES),1)

mutation: $(VENV)/dev  ## how many small faults in plans its tests notice (ARGS: modules, see --help); writes mutation.txt
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.mutation $(ARGS)

bench: $(VENV)/dev  ## speed, as ratios against a bound or a peer in the same run
	@$(BIN)/python -m benchmarks

lock: $(VENV)/dev  ## renew the lock files (needs uv on the PATH)
	@for g in "run --group build" "dev --group test --group lint --group bench --group build"; do set -- $$g; f=$$1; shift; \
	  uv pip compile pyproject.toml "$$@" --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	    --no-header --python-version 3.11 --universal -o requirements/$$f.txt --quiet; done
	@uv pip compile --group clients --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --no-header --python-version 3.11 --universal -o requirements/clients.txt --quiet

clean:  ## remove the virtual environments and caches
	@rm -rf $(VENV) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
