# Everything a developer types. `make` alone lists it.
#
# One environment, .venv, grows with the targets: `make serve` puts in what serving needs (no PyTorch),
# `make train` and `make install-dev` the rest. An install is repeated only when its lock file has changed. ONNX Runtime
# comes in one of two packages: the large one where NVIDIA's driver is, the small one elsewhere (RUNTIME=).

HOST := $(CAPSNET_HOST)
PORT := $(CAPSNET_PORT)

DATASET := mnist
# Left empty, `fit` chooses: constants for published sets, from the images for a folder.
ARCHITECTURE :=
EPOCHS :=
# Models are named by data set and, where it is not the default one, by architecture.
DATA_NAME := $(notdir $(patsubst %/,%,$(patsubst folder:%,%,$(DATASET))))
MODEL := $(DATA_NAME)$(if $(filter-out efficient,$(ARCHITECTURE)),-$(ARCHITECTURE))
RUN := runs/$(MODEL)

# An index to take torch from instead of pip's own, such as PyTorch's index of CPU-only builds: TORCH_INDEX=https://…
TORCH_INDEX ?=
# More arguments for the tool behind `test` or `train`: make test ARGS="-k routing"
ARGS :=
# Move to the newest allowed versions in `make lock`: UPGRADE=1
UPGRADE :=

# From 1.29 on, ONNX Runtime's wheels report to their maker unless they are told not to.
export ORT_DISABLE_TELEMETRY := 1

VENV := .venv
BIN := $(VENV)/bin
# Which package of ONNX Runtime: gpu where NVIDIA's driver answers, else cpu. RUNTIME= on the command line chooses.
RUNTIME := $(shell { [ -e /proc/driver/nvidia/version ] || nvidia-smi -L; } >/dev/null 2>&1 && echo gpu || echo cpu)
RUNTIME_INSTALLED := $(VENV)/runtime-$(RUNTIME).installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The first of these that is new enough; name another with PYTHON=
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Not empty where the environment is of another Python than its packages, as after an upgrade of the system, or where the
# clone was moved: its commands hold the folder's path.
STALE := $(if $(wildcard $(VENV)/pyvenv.cfg),$(shell [ -d "$$($(BIN)/python -c 'import sysconfig; \
	print(sysconfig.get_path("purelib"))' 2>/dev/null)" ] || echo python; \
	grep -shvxF '$(CURDIR)' $(VENV)/lib/python*/site-packages/capsnet-clone.pth))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test test-slow test-plain test-kubernetes test-browser chromium screenshots train smoke pictures reading results figures tutorial openapi fuzz fuzz-http lock pin-images clean \
	lint lint-style lint-types lint-imports lint-images lint-english install-serve install-train install-dev \
	wheel-check bench-serving bench-limit bench-overload bench-gpu gpu-check bench-training soak performance

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: install-serve ## Serve artifacts/ on http://127.0.0.1:8000 (HOST=, PORT=, or settings in the environment)
	@exec env CAPSNET_HOST='$(HOST)' CAPSNET_PORT='$(PORT)' $(BIN)/python -m app

# Three files at a time: most tests wait for a server or a process more than they compute. TEST_PROCESSES=0 for a debugger.
TEST_PROCESSES := 3
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/browser -n $(TEST_PROCESSES) --dist loadfile
test: install-dev ## Run every test that needs no browser, no container engine and no patience (ARGS=, TEST_PROCESSES=)
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: install-dev ## Run the tests that `make test` leaves out because each takes long (ARGS=, TEST_PROCESSES=)
	$(PYTEST) -m slow $(ARGS)

test-plain: install-dev ## Run the tests over HTTP under plain uvicorn, from a copy of the tree without app/server/ (ARGS=)
	OMP_NUM_THREADS=1 CAPSNET_TEST_SERVER=plain $(BIN)/python -m pytest tests/app/api tests/app/observability \
		-n $(TEST_PROCESSES) --dist loadfile $(ARGS)

# Helm as a library, and the schemas of Kubernetes: 350 MB, so not part of install-dev.
KUBERNETES_TOOLS := helm-python-sdk==0.2.2 kubernetes-validate==1.37.0
test-kubernetes: install-dev ## Check the Helm chart with Helm and Kubernetes' schemas, and try its settings (ARGS=)
	$(PIP) install --quiet $(KUBERNETES_TOOLS)
	$(BIN)/python -m pytest tests/docker/test_kubernetes.py $(ARGS)

# The system's Chromium where there is one, else Playwright's own, which it fetches.
chromium: install-dev
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
		$(BIN)/playwright install --with-deps chromium

test-browser: chromium ## Run the tests of the playground in Chromium (ARGS=)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -n 2 --dist loadfile $(ARGS)

screenshots: chromium ## Take the playground's screenshots: docs/images, and every width and theme in screenshots/ (ARGS=)
	$(BIN)/python -m docs.tools.screenshots --output docs/images
	$(BIN)/python -m docs.tools.page_views --output screenshots $(ARGS)

lint: lint-style lint-types lint-imports lint-images lint-english ## Check style, types, import rules, Dockerfiles and English (-k for all at once)

lint-style: install-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint-types: install-dev
	$(BIN)/mypy

lint-imports: install-dev
	$(BIN)/lint-imports --no-logo

lint-images: install-dev
	$(BIN)/hadolint docker/*.Dockerfile

# BASE= names the commit after which subjects are checked; the last tag without it.
lint-english: install-dev ## Check words and sentence lengths of documents, words of sources, commit subjects (BASE=)
	$(BIN)/python -m docs.tools.check_english --base '$(BASE)'

# Their files are put into data/NAME by hand (docs/data-sets.md).
NOT_FETCHED := cifar10 smallnorb
train: install-train ## Train a network and export it to artifacts/ (DATASET=, MODEL=, ARCHITECTURE=, EPOCHS=, ARGS=)
	$(if $(DATA_NAME),,$(error DATASET=$(DATASET) names no data set))
	$(if $(or $(CAPSNET_DATA),$(filter folder:% $(NOT_FETCHED),$(DATASET))),,$(BIN)/python -m training download $(DATASET))
	@case '$(MODEL)' in ''|[!A-Za-z0-9]*|*[!A-Za-z0-9._-]*) echo "MODEL=$(MODEL) can be no model's name: letters of ASCII," \
		"digits, '.', '_' and '-' can; name another with MODEL=" >&2; exit 1;; esac
	$(BIN)/python -m training fit --dataset "$(DATASET)" $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) \
		$(if $(EPOCHS),--epochs $(EPOCHS)) --output "$(RUN)" --resume $(ARGS)
	$(BIN)/python -m training export "$(RUN)/best.safetensors" --output "artifacts/$(MODEL)"
	@echo "make serve, then http://127.0.0.1:8000/?model=$(MODEL)"

smoke: ## Build and run docker-compose.yml for real, and ask it for an answer
	@bash tests/docker/smoke.sh || { status=$$?; [ $$status -eq 75 ] || exit $$status; \
		echo "SKIPPED: make smoke could not run on this machine; the images are NOT tested" >&2; }

wheel-check: ## Build the wheel, install it in a fresh environment, and use it from an empty folder
	PYTHON=$(PYTHON) bash tests/project/check_wheel.sh

# Photographs are drawn at 12 megapixels, which takes half an hour of one core: WORKERS=
WORKERS := 1
reading: install-dev ## Read pages of numbers; write docs/reading.md's figures and sheet (WORKERS=)
	$(BIN)/python -m benchmarks.reading.report --output docs --workers $(WORKERS) $(ARGS)

pictures: install-dev ## Read images as people make them; write docs/images.md's figures and sheets (WORKERS=)
	$(BIN)/python -m benchmarks.preprocessing.report --output docs --workers $(WORKERS) $(ARGS)

results: install-train ## Draw and measure a shipped model for docs/results.md (BENCH_MODEL=, ARGS=)
	$(BIN)/python -m training report $(BENCH_MODEL) $(ARGS)

figures: install-dev ## Draw the figures of docs/capsules.md
	$(BIN)/python -m docs.examples.capsule_figures

tutorial: install-dev ## Run docs/tutorial.md from top to bottom
	$(BIN)/python -m pytest tests/docs/run_tutorial.py $(ARGS)

openapi: install-dev ## Write tests/app/api/openapi.json, to which a test holds the OpenAPI document
	WRITE_OPENAPI=1 $(BIN)/python -m pytest -q tests/app/api/test_openapi.py -k is_known

FUZZ_MINUTES := 10
FUZZ_SECONDS := 25
fuzz: fuzz-http install-dev ## Feed damaged and absurd images to the decoder, and requests to the parsers (FUZZ_MINUTES=)
	$(BIN)/python -m benchmarks.preprocessing.fuzz --minutes $(FUZZ_MINUTES) $(ARGS)

fuzz-http: install-dev ## Compare heads and forms read from their bytes with what parsers read (FUZZ_SECONDS=)
	$(BIN)/python -m benchmarks.http_fuzz --seconds $(FUZZ_SECONDS)

# --------------------------------------------------------------------------------------------------------- benchmarks
# Each prints a table and writes benchmarks/results/NAME.json (OUTPUT=); `make performance` puts them into the docs.
# The cores should be quiet. wrk is Debian's package of that name.

# Words of the names of those that take part in bench-serving, separated by commas; all without any.
CONTENDERS :=
ROUNDS := 3
# Of each measurement; left empty, what suits the benchmark.
SECONDS :=
MINUTES := 10
OUTPUT := benchmarks/results
BENCH_MODEL := artifacts/mnist
# Where the competitors' environments lie, if not in .venv-benchmarks.
export BENCH_ENVIRONMENTS
BENCH := --model $(BENCH_MODEL) --output $(OUTPUT) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

bench-serving: install-dev ## Compare with other servers of the same encoder (CONTENDERS=, ROUNDS=, SECONDS=)
	$(BIN)/python -m benchmarks.competitors.environments "$(CONTENDERS)"
	$(BIN)/python -m benchmarks.serving --contenders "$(CONTENDERS)" --rounds $(ROUNDS) $(BENCH)

bench-limit: install-dev ## What each layer of the service leaves of session.run (ROUNDS=, SECONDS=)
	$(BIN)/python -m benchmarks.limit --rounds $(ROUNDS) $(BENCH)

bench-overload: install-dev ## Twice and ten times the sustainable load (SECONDS=)
	$(BIN)/python -m benchmarks.overload $(BENCH)

bench-gpu: install-dev ## The encoder on a GPU, or on the processor where there is none (SECONDS=)
	$(BIN)/python -m benchmarks.gpu $(BENCH)

# About five minutes on a machine with an NVIDIA GPU. STAND_IN=1 tries the script itself where there is none.
STAND_IN :=
gpu-check: install-dev ## Everything that only a GPU can show, in one go and one table (STAND_IN=1 without one)
	$(BIN)/python -m benchmarks.gpu_check --output $(OUTPUT) $(if $(STAND_IN),--stand-in) $(ARGS)

bench-training: install-dev ## A step of training beside a plain loop and the arithmetic (ROUNDS=, SECONDS=)
	$(BIN)/python -m benchmarks.training --rounds $(ROUNDS) --output $(OUTPUT) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

soak: install-dev ## Clients of every kind, good and bad, for MINUTES=10; every answer checked, memory watched
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --model $(BENCH_MODEL) --output $(OUTPUT) $(ARGS)

performance: install-dev ## Put the measured figures into docs/performance.md
	$(BIN)/python -m benchmarks.report

# ------------------------------------------------------------------------------------------------------- environments

install-serve: $(RUNTIME_INSTALLED) $(VENV)/serve.installed $(BIN)/capsnet
install-train: $(RUNTIME_INSTALLED) $(VENV)/train.installed $(BIN)/capsnet
install-dev: $(RUNTIME_INSTALLED) $(VENV)/dev.installed $(BIN)/capsnet ## Install what development needs (TORCH_INDEX= for a CPU-only torch)

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed, and none was found; name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; exit 1; }
	@[ -z '$(STALE)' ] || echo "$(VENV) is of another Python or another folder; it is made again" >&2
	[ ! -e $(VENV)/pyvenv.cfg ] || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# What a stale environment holds is made again, whatever its dates.
$(if $(STALE),.PHONY: $(BIN)/python $(BIN)/capsnet $(RUNTIME_INSTALLED) $(VENV)/serve.installed $(VENV)/train.installed \
	$(VENV)/dev.installed)

# The environment's Python finds this clone's packages from any folder, and there is the command. `pip install --editable .`
# would do the same, and fetch setuptools without a hash.
$(BIN)/capsnet: | $(BIN)/python
	@echo '$(CURDIR)' >"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/capsnet-clone.pth"
	@printf '#!/bin/sh\nexec "$$(dirname "$$(readlink -f "$$0")")/python" -m capsnet "$$@"\n' >$@
	@chmod +x $@

# Both packages of ONNX Runtime install the same files, so one goes before the other comes. The lock files agree with one
# another, so that a larger installation contains each smaller one, and only runtime-*.txt names a runtime.
$(RUNTIME_INSTALLED): $(VENV)/runtime-%.installed: requirements/runtime-%.txt | $(BIN)/python
	$(PIP) uninstall --quiet --yes onnxruntime onnxruntime-gpu 2>/dev/null
	$(PIP) install -r $<
	@rm -f $(VENV)/runtime-*.installed && touch $@

$(VENV)/serve.installed: requirements/serve.txt | $(BIN)/python
	$(PIP) install -r $<
	@touch $@

$(VENV)/train.installed: requirements/train.txt | $(BIN)/python
	$(install-torch)
	$(PIP) install -r $<
	@touch $@ $(VENV)/serve.installed

$(VENV)/dev.installed: requirements/dev.txt | $(BIN)/python
	$(install-torch)
	$(PIP) install -r $<
	@touch $@ $(VENV)/train.installed $(VENV)/serve.installed

# torch comes first, from TORCH_INDEX or pip's own index, and without a hash: its wheel, and what that needs of CUDA, depend
# on the machine. A local build such as 2.13.0+cpu then satisfies the lock file's torch==2.13.0.
define install-torch
$(PIP) install $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) "$$(grep -o '^torch==[0-9.]*' $<)"
endef

# --------------------------------------------------------------------------------------------------------- lock files

# Exact versions for every platform and every Python from 3.11, without an index's address, and the hashes of all their
# files, without which pip installs nothing. The largest comes first and constrains the others. The runtimes are apart,
# because an environment has one of them: what each needs besides is held to the same versions. So is what torch needs of
# CUDA, which only the wheel from pip's own index asks for.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --no-annotate \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
ALIKE := --constraint requirements/dev.txt

lock: install-dev ## Write requirements/*.txt from pyproject.toml (UPGRADE=1 for the newest versions)
	$(LOCK) pyproject.toml --extra dev $(if $(UPGRADE),--upgrade) --output-file requirements/dev.txt
	$(LOCK) pyproject.toml $(ALIKE) --extra redis --extra serve --extra train --output-file requirements/train.txt
	$(LOCK) pyproject.toml $(ALIKE) --extra redis --extra serve --output-file requirements/serve.txt
	$(LOCK) pyproject.toml $(ALIKE) --extra gpu $(if $(UPGRADE),--upgrade) --output-file requirements/runtime-gpu.txt
	$(LOCK) pyproject.toml $(ALIKE) --extra cpu $(if $(UPGRADE),--upgrade) --output-file requirements/runtime-cpu.txt
	grep -o '^torch==[0-9.]*' requirements/train.txt | $(LOCK) --no-config - $(ALIKE) --output-file requirements/torch-cuda.txt

pin-images: ## Renew the digests of the images in docker/ and docker-compose.yml (asks their registry, needs Docker)
	@grep -rhoE '[a-z0-9./-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}' docker docker-compose.yml | sort -u | while read -r old; do \
		name=$${old%@*}; \
		digest=$$(docker buildx imagetools inspect "$$name" --format '{{.Manifest.Digest}}') && \
		echo "$$name@$$digest" | grep -qE '@sha256:[0-9a-f]{64}$$' || { echo "no digest of $$name" >&2; exit 1; }; \
		files=$$(grep -rlF "$$old" docker docker-compose.yml); \
		sed -i.bak "s|$$old|$$name@$$digest|" $$files; for file in $$files; do rm "$$file.bak"; done; \
		echo "$$name@$$digest"; \
	done

clean: ## Remove caches and build output; environments, data, runs and models stay
	rm -rf build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find app benchmarks capsnet model training tests -name __pycache__ -type d -prune -exec rm -rf {} +
