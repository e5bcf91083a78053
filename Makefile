# Everything a developer types. `make` alone prints this list; works with GNU make 3.81 and later.

PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11
BIN := .venv/bin
SERVICES := gateway fanout delivery retry recorder

# Compiled modules are kept even where the environment says otherwise, as container images do: to
# compile anew at every start costs each of six processes one to three seconds.
export PYTHONDONTWRITEBYTECODE :=

# One lock for all platforms and every Python we support; each service gets what was tested.
LOCK := $(BIN)/uv pip compile --quiet --no-config --no-header --no-annotate \
	--universal --python-version 3.11 --generate-hashes
AS_TESTED := -c requirements/test.txt
UPGRADED := $(if $(UPGRADE),--upgrade)

# Side by side, each pytest process has a Kafka and a MongoDB of its own. What works with a whole
# stack has the machine for itself; the end-to-end tests come last: theirs stands to the end.
PURE := tests/unit tests/architecture
SERVED := tests/integration
STACKED := tests/docs tests/e2e

# The first Python that is new enough; empty if there is none.
find_python = $(firstword $(foreach p,$(PYTHONS),$(shell $(p) -c \
	'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test test-secure test-all lint type bench fuzz-api
.PHONY: test-kubernetes sbom requirements clean reset

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/run.stamp ## Install what `make run` needs, into .venv
setup-test: .venv/test.stamp ## Install what the tests and checks need, too

run: setup ## Run all of Hooklane here, with its Kafka and MongoDB (Ctrl-C stops it)
	@exec $(BIN)/python -m deploy.local run

test: setup-test ## Unit and integration tests, a few minutes
	@$(BIN)/python -m pytest -n 2 -m "not node and not go" $(PURE)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not node" $(SERVED)
	@exec $(BIN)/python -m pytest -m "not slow and not node" $(STACKED)

test-secure: setup-test ## The integration tests on a Kafka and a MongoDB with TLS and logins
	@HOOKLANE_TEST_SECURE=1 exec $(BIN)/python -m pytest -n 2 --dist loadfile \
	  -m "not slow and not node" $(SERVED)

test-all: setup-test ## Every test: with Node.js and Go programs and the slow crash rounds
	@exec $(BIN)/python -m pytest $(PURE) $(SERVED) tests/slow $(STACKED)

lint: setup-test ## Style, formatting, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

type: setup-test ## Types, strictly
	@exec $(BIN)/mypy

bench: setup-test ## Measure throughput, latency and isolation here (BENCH="--quick --series A,B")
	@exec $(BIN)/python -m bench $(BENCH)

fuzz-api: setup-test ## Try the whole API with Schemathesis for 20 minutes (FUZZ_SECONDS=...)
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),1200) exec $(BIN)/python -m pytest -s \
	  tests/integration/gateway/test_fuzz.py

test-kubernetes: setup-test ## Both overlays on a real API server (Go builds it once, five minutes)
	@$(BIN)/python -m deploy.kubernetes.tools cluster
	@exec $(BIN)/python -m pytest tests/kubernetes

sbom: .cache/ci/tools.stamp ## Write what is inside each image (CycloneDX) into dist/sbom
	@exec .cache/ci/bin/python .ci/sbom.py dist/sbom

requirements: setup ## Lock the dependencies of pyproject.toml (UPGRADE=1: to newer versions)
	$(LOCK) $(UPGRADED) pyproject.toml --all-extras --group local --group test -o requirements/test.txt
	$(LOCK) $(AS_TESTED) pyproject.toml --all-extras --group local -o requirements/run.txt
	for service in $(SERVICES); do \
	  $(LOCK) $(AS_TESTED) pyproject.toml --extra $$service -o requirements/$$service.txt || exit 1; \
	done
	echo uv | $(LOCK) $(UPGRADED) - -o requirements/uv.txt

clean: ## Remove the environment and all caches in this folder (the stack's state stays)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

reset: ## Forget the state of the local stack: its events, endpoints and log
	rm -rf .hooklane

.venv/run.stamp: requirements/run.txt requirements/uv.txt
	@$(call install,run)
	@$(BIN)/python -m deploy.local.prepare fetch
	@touch $@

.venv/test.stamp: requirements/test.txt requirements/uv.txt
	@$(call install,test)
	@$(BIN)/python -m deploy.local.prepare archive
	@touch .venv/run.stamp $@

.cache/ci/tools.stamp: .ci/requirements.txt
	@$(find_python) -m venv --clear .cache/ci
	@.cache/ci/bin/pip install --quiet --no-compile --require-hashes -r $<
	@touch $@

install = python=$(find_python); \
	test -n "$$python" || { \
	  echo "Hooklane needs Python 3.11 or later: install it, or name it with PYTHON=..." >&2; \
	  exit 1; \
	}; \
	exec $$python deploy/local/install.py $(1)
