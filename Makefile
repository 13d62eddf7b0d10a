# What one does with this project. `make` alone lists it.
#
# Only make and a Python from 3.11 to 3.13 have to be there. All the rest is installed from
# PyPI into this folder: uv, which installs, into .tools; the project into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
.SHELLFLAGS := -eu -c

# The version and the hashes of its wheels.
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' uv-requirements.txt)

# What the shell has set for other projects must not reach this one. uv's cache, index and
# network settings may.
UV_KEPT := UV_CACHE_DIR UV_CONCURRENT_% UV_DEFAULT_INDEX UV_INDEX UV_INDEX_% UV_HTTP_% \
  UV_INSECURE_HOST UV_LINK_MODE UV_NATIVE_TLS UV_SYSTEM_CERTS
$(foreach name,$(filter-out $(UV_KEPT),$(filter UV_%,$(.VARIABLES))),$(eval unexport $(name)))
# With the last but one each of the many processes of the tests would compile its libraries anew; with the
# last, output that waits to be written, as it does for everybody else, would not be tested.
unexport CONDA_PREFIX PIP_PREFIX PIP_TARGET PIP_USER PYTHONHOME PYTHONPATH PYTHONSAFEPATH VIRTUAL_ENV \
  PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED
export UV_PYTHON_DOWNLOADS := never
# A company's own certificate authority is in the system's store; where there is none, uv brings its own.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem /etc/pki/tls/cert.pem),true,false)
export DAGSTER_DISABLE_TELEMETRY := 1

# `make PYTHON=/path/to/python3.12 setup` chooses the interpreter. The choice stays.
PYTHON :=
ifeq ($(PYTHON),)
PYTHON := $(shell sed 's/.*|//' .tools/made-for 2>/dev/null)
endif
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3)

BIN := .venv/bin

##@ To use it

.PHONY: help
help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-8s%s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: .venv/scanner ## Install everything, or bring it up to date with uv.lock

.PHONY: demo
demo: setup ## Ingest a week of events, run every asset, show the result
	$(BIN)/sessions-platform demo

.PHONY: dev
dev: setup ## Open the UI, with schedules and sensors, on this machine only
	$(BIN)/sessions-platform dev

##@ To change it

# One more than there are processors, up to four: tests wait for PostgreSQL and for other processes.
TEST_PROCESSES := $(shell n=$$(nproc 2>/dev/null || echo 3); if [ $$n -lt 4 ]; then echo $$((n + 1)); else echo 4; fi)

.PHONY: test
test: setup ## Run the tests that are quick, in about five minutes
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal -m "not slow and not browser and not servers and not spark"

.PHONY: slow
slow: setup ## Run the tests that are slow, in about forty minutes
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadgroup -m "slow and not browser and not servers and not spark" --durations=25

.PHONY: servers
servers: setup ## Read from real servers (S3, Azure, Kafka …), which the tests install from their registries
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile -m servers --durations=25

# In an environment of its own, of 2.4 GB. Where it can't be installed, its tests are skipped and say so.
.PHONY: spark
spark: setup ## Compute sessions on Spark and on Sail, which are installed into build/spark
	@UV_PROJECT_ENVIRONMENT=build/spark .tools/bin/uv sync --quiet --frozen --all-extras --group spark --python .tools/bin/python \
	  && python=build/spark/bin/python || python=$(BIN)/python; \
	$$python -m pytest -m spark -W "ignore::FutureWarning" -W "ignore:unclosed <socket:ResourceWarning"

.PHONY: prove
prove: setup ## Compare 500 random histories of 30 steps with one sort of all events, for half an hour or more
	SESSIONS_TEST_EXAMPLES=500 SESSIONS_TEST_STEPS=30 $(BIN)/pytest -m slow sessions_platform_tests/exactness/test_exactness.py

.PHONY: check
check: setup ## Check the code's style, types, import layers and Dagster definitions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/dg check defs

.PHONY: bench
bench: setup ## Measure how fast it is, for about an hour, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks --docs

# For how long, in minutes: `make SOAK_MINUTES=10 soak`.
SOAK_MINUTES := 120

.PHONY: soak
soak: setup ## Disturb random streams for two hours, compare with one sort of all events, log to build/soak.log
	$(BIN)/python -m sessions_platform_tests.faults.soak --minutes $(SOAK_MINUTES) --log build/soak.log

# `make NEWEST=1 tools` takes the newest versions; `make ACCEPT=1 tools` commits to what was recorded.
.PHONY: tools
tools: setup ## Run the SDKs that events come from, and show what they do otherwise than recorded; with npm and PyPI
	$(BIN)/python -m sessions_platform_tests.tools $(if $(NEWEST),--newest) $(if $(ACCEPT),--accept)

.PHONY: site
site: setup ## Build the documentation as a site into build/site, without a broken link
	.tools/bin/uv run --quiet --frozen --isolated --only-group docs --python .tools/bin/python zensical build --strict

.PHONY: sbom
sbom: setup ## Write what is installed to build/sbom.json (CycloneDX), and the versions to build/versions.txt
	@mkdir -p build
	.tools/bin/uv export --quiet --frozen --no-dev --all-extras --no-extra spark --format cyclonedx1.5 --preview-features sbom-export --output-file build/sbom.json
	.tools/bin/uv export --quiet --frozen --no-dev --all-extras --no-extra spark --no-hashes --no-emit-project --output-file build/versions.txt
	@echo "build/sbom.json, build/versions.txt. For known vulnerabilities: pip-audit -r build/versions.txt"

.PHONY: build
build: setup ## Build the wheel and the sdist into dist/
	@rm -rf dist
	.tools/bin/uv build --quiet --python .tools/bin/python --out-dir dist
	@rm -f dist/.gitignore
	@ls dist

.PHONY: licences
licences: setup ## List the licence of each package that users install, in build/licences.txt
	@mkdir -p build
	.tools/bin/uv export --quiet --frozen --no-dev --all-extras --no-extra spark --no-hashes --no-annotate --no-emit-project \
	  | $(BIN)/python -I .ci/licences.py >build/licences.txt
	@cat build/licences.txt

.PHONY: mutate
mutate: setup ## Plant 200 defects, one at a time, and see whether the tests fail, for some hours
	$(BIN)/python -m mutation --count 200 --jobs 2 --slow

# How `setup` works: each file below is made when it is missing or older than what it needs.

.venv/synced: .tools/uv-$(UV_VERSION) pyproject.toml uv.lock
	@echo "Installing what uv.lock lists into .venv ..."
	@.tools/bin/uv sync --frozen --all-extras --no-extra spark --python .tools/bin/python
	@touch $@

# Compiled where there is a C compiler; one line says where there is none.
.venv/scanner: .venv/synced $(wildcard sessions_platform/scanner/*.[ch]) sessions_platform/scanner/build.py
	@$(BIN)/python -m sessions_platform.scanner
	@touch $@

.tools/uv-$(UV_VERSION): .tools/made-for uv-requirements.txt
	@echo "Installing uv $(UV_VERSION) into .tools ..."
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r uv-requirements.txt
	@touch $@

# Virtual environments hold full paths. So in a folder that was moved or copied both are made
# anew, and for another PYTHON too; the file tells what they were made for.
.tools/made-for:
	@found=; lacking=; stale=; \
	for python in $(PYTHONS); do \
	  "$$python" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 || continue; \
	  "$$python" -I -c 'import ensurepip, venv' >/dev/null 2>&1 || { lacking="$${lacking:-$$python}"; continue; }; \
	  found=$$python; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$lacking" ]; then \
	  echo "$$lacking lacks the venv module. On Debian or Ubuntu: apt-get install $${lacking##*/}-venv" >&2; exit 1; \
	elif [ -z "$$found" ] && [ -n '$(PYTHON)' ]; then \
	  echo '$(PYTHON) is no Python 3.11, 3.12 or 3.13 that runs.' >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "No Python 3.11, 3.12 or 3.13 here. Install one, or name it: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),setup)" >&2; exit 1; \
	fi; \
	if [ -e .tools ]; then stale=.venv; fi; \
	"$$found" -I -m venv --clear .tools; \
	rm -rf $$stale; \
	printf '%s|%s\n' '$(CURDIR)' '$(PYTHON)' >$@

MADE_FOR := $(shell cat .tools/made-for 2>/dev/null)
ifneq "$(MADE_FOR)" "$(CURDIR)|$(PYTHON)"
.PHONY: .tools/made-for
endif
