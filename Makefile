# What one does with this project. `make` alone lists it.
#
# Only make and a Python from 3.11 to 3.13 have to be there. All the rest is installed from
# PyPI into this folder: uv, which installs, into .tools; the project into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
.SHELLFLAGS := -eu -c

UV_VERSION := 0.13.9

# What the shell has set for other projects must not reach this one. uv's cache, index and
# network settings may.
UV_KEPT := UV_CACHE_DIR UV_CONCURRENT_% UV_DEFAULT_INDEX UV_INDEX UV_INDEX_% UV_HTTP_% \
  UV_INSECURE_HOST UV_LINK_MODE UV_NATIVE_TLS UV_SYSTEM_CERTS
$(foreach name,$(filter-out $(UV_KEPT),$(filter UV_%,$(.VARIABLES))),$(eval unexport $(name)))
# With the last of these each of the many processes of the tests would compile its libraries anew.
unexport CONDA_PREFIX PIP_PREFIX PIP_TARGET PIP_USER PYTHONHOME PYTHONPATH PYTHONSAFEPATH VIRTUAL_ENV \
  PYTHONDONTWRITEBYTECODE
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
setup: .venv/synced ## Install everything, or bring it up to date with uv.lock

.PHONY: demo
demo: setup ## Land a week of events, run every asset, show what came of it
	$(BIN)/sessions-platform demo

.PHONY: dev
dev: setup ## Open the UI, with schedules and sensors, on this machine only
	$(BIN)/sessions-platform dev

##@ To change it

.PHONY: test
test: setup ## Run the tests that are quick, in under four minutes
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal -m "not slow and not browser"

.PHONY: prove
prove: setup ## Hold 500 random journeys of 30 steps against one sort of all events, for half an hour or more
	SESSIONS_TEST_EXAMPLES=500 SESSIONS_TEST_STEPS=30 $(BIN)/pytest -m slow sessions_platform_tests/exactness/test_exactness.py

.PHONY: check
check: setup ## Hold the code against its linters, its types, its walls and Dagster
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/dg check defs

.PHONY: bench
bench: setup ## Measure how fast it is, for an hour or two, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks --docs

.PHONY: mutate
mutate: setup ## Plant 200 defects, one at a time, and see whether the tests fail, for some hours
	$(BIN)/python -m mutation --count 200 --jobs 2 --slow

# How `setup` works: each file below is made when it is missing or older than what it needs.

.venv/synced: .tools/uv-$(UV_VERSION) pyproject.toml uv.lock
	@echo "Installing what uv.lock lists into .venv ..."
	@.tools/bin/uv sync --frozen --python .tools/bin/python
	@touch $@

.tools/uv-$(UV_VERSION): .tools/made-for
	@echo "Installing uv $(UV_VERSION) into .tools ..."
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
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
