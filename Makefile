# `make demo` shows it, `make test` proves it, `make install` leaves .venv/bin/driftgate ready.
# Everything is installed into .venv (and .venv/triton for the embedded Triton); nothing outside the checkout.

PYTHON ?= python3
BIN := .venv/bin
export UV_CACHE_DIR ?= $(CURDIR)/.venv/uv-cache
export UV_LINK_MODE ?= hardlink
# Trust what the machine trusts, as pip does: companies have certificates of their own.
export UV_SYSTEM_CERTS ?= 1
UV := $(BIN)/uv
NODE := tests/clients/node
# Public data with known changes, for `make bench-detection`; what is absent is said to be.
DATA ?= ../shared/data

.PHONY: install demo test test-clients bench bench-proxy bench-detection check lint types format lock audit clean

install: .venv/.runtime .venv/.triton

demo: install
	$(BIN)/driftgate demo

test: install .venv/.dev check
	$(BIN)/python -m pytest

# Real clients through the proxy, in environments of their own (490 MB on disk); Node's where npm is, and a real server
# (210 MB) where there is a wheel of it for this platform. See docs/clients.md.
test-clients: install .venv/.dev .venv/.clients .venv/.server
	$(BIN)/python -m pytest tests/clients

# Speed and memory of the whole path on this machine, as a table; about 15 minutes.
bench: install
	$(BIN)/python benchmarks/whole_path.py

# Speed of the proxy beside nginx, Envoy, vLLM's router, Portkey and LiteLLM, where those are on the PATH; about 10 minutes.
bench-proxy: install
	$(BIN)/python benchmarks/proxy/speed.py

# What the detection raises on nothing, how soon it sees a change and what it says of it, as a page of docs; hours.
# Peers are measured where PEERS names Python interpreters that have them (benchmarks/detection/peers.txt).
bench-detection: install
	$(BIN)/python -m benchmarks.detection $(DATA) --peers $(PEERS) --plots docs/img --out docs/detection-measured.md

check: lint types

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Rewrites the lock files from pyproject.toml and requirements/triton.in.
lock: $(UV)
	$(UV) pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -o requirements/runtime.lock
	$(UV) pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -c requirements/runtime.lock -o requirements/dev.lock
	$(UV) pip compile -q --group clients --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -o requirements/clients.lock
	$(UV) pip compile -q --group server --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -o requirements/server.lock
	$(UV) pip compile -q requirements/triton.in --no-deps --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -o requirements/triton.lock
	$(UV) pip compile -q requirements/uv.in --universal --generate-hashes --no-emit-index-url --no-header \
		-o requirements/uv.lock
	if command -v npm >/dev/null; then cd $(NODE) && npm install --package-lock-only \
		--omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error; fi

# Known vulnerabilities of what the lock files name, as PyPI and npm know them. It needs their services, so no check runs it;
# --strict: what cannot be looked up is a failure, not a clean bill.
audit: $(UV)
	failed=0; for lock in runtime dev clients triton; do echo "requirements/$$lock.lock"; \
		$(UV) tool run pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
			-r requirements/$$lock.lock || failed=1; done; \
	if command -v npm >/dev/null; then (cd $(NODE) && npm audit) || failed=1; fi; exit $$failed

clean:
	rm -rf .venv $(NODE)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV): requirements/uv.lock
	$(PYTHON) -c 'import sys; sys.exit("driftgate needs Python 3.11 or newer: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	touch $@

.venv/.runtime: $(UV) requirements/runtime.lock pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/runtime.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

.venv/.dev: .venv/.runtime requirements/dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock
	touch $@

.venv/.clients: $(UV) requirements/clients.lock $(NODE)/package-lock.json
	$(UV) venv --quiet --allow-existing --python $(BIN)/python .venv/clients
	$(UV) pip install --quiet --python .venv/clients/bin/python --require-hashes -r requirements/clients.lock
	if command -v npm >/dev/null; then cd $(NODE) && npm ci --no-audit --no-fund --loglevel=error; \
		else echo "npm is not installed: the tests of Node's clients will be skipped"; fi
	touch $@

.venv/.server: $(UV) requirements/server.lock
	$(UV) venv --quiet --allow-existing --python $(BIN)/python .venv/server
	$(UV) pip install --quiet --python .venv/server/bin/python --only-binary :all: --require-hashes \
		-r requirements/server.lock || { rm -rf .venv/server; \
		echo "no server for this platform: the tests of a real server will be skipped"; }
	touch $@

# The embedded Triton needs numpy < 2, so it gets a small environment of its own.
.venv/.triton: $(UV) requirements/triton.lock
	$(UV) venv --quiet --allow-existing --python $(BIN)/python .venv/triton
	$(UV) pip install --quiet --python .venv/triton/bin/python --no-deps --require-hashes -r requirements/triton.lock
	touch $@
