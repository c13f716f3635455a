# `make demo` and `make test` are all that a fresh machine needs: Python 3.11+, make, a package index.
PYTHON ?= python3
BIN := .venv/bin
CODE := edge_sdk converters cloud_hub benchmarks examples tests
WHEELS := edge_sdk converters cloud_hub .
PROJECTS := pyproject.toml $(WHEELS:%=%/pyproject.toml)
PIP := -m pip install --quiet --disable-pip-version-check
# This repository's own packages come from the checkout; everything else is pinned by hash.
FROM_CHECKOUT := $(PIP) --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-device check format bench bytes sweep statistics peers postgres live-fleet swap-kill tree-runtimes wheels lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

.venv/demo .venv/dev: .venv/%: requirements/%.txt $(PROJECTS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) --require-hashes -r $<
	$(BIN)/python $(FROM_CHECKOUT) $(WHEELS:%=-e ./%)
	@touch $@

.venv-device/installed: requirements/test.txt $(PROJECTS)
	$(PYTHON) -m venv .venv-device
	.venv-device/bin/python $(PIP) --require-hashes -r $<
	.venv-device/bin/python $(FROM_CHECKOUT) -e ./edge_sdk
	@touch $@

demo: .venv/demo  ## the whole product on the digits fleet, in about three minutes
	$(BIN)/python -m examples.digits.demo

test: .venv/dev  ## every test
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

test-fast: .venv/dev  ## the tests that start no process and train no model: under a minute
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not slow"

test-device: .venv-device/installed  ## the device's tests where only the device package is installed
	.venv-device/bin/python -m pytest -n 2 --dist loadfile -q tests/contract tests/edge

postgres: .venv/dev  ## the tests of the hub once more, with PostgreSQL in place of SQLite
	$(BIN)/python -m pytest -n 2 --dist loadfile -q --postgres tests/hub

format: .venv/dev  ## rewrite the code as the linter wants it
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

check: .venv/dev  ## format, lint, types
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

bench: .venv/dev  ## measure, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

bytes: .venv/dev  ## what updates of 200 devices cost on the wire; writes benchmarks/BYTES.md
	$(BIN)/python -m benchmarks.wire

sweep: .venv/dev  ## every scikit-learn estimator through the converters; writes docs/ESTIMATORS.md
	$(BIN)/python -m benchmarks.sweep

statistics: .venv/dev peers  ## error rates, power, detection; write benchmarks/STATISTICS.md
	$(BIN)/python -m benchmarks.statistics

live-fleet: .venv/dev  ## a thousand devices on a real hub; a candidate bad in one region stops there
	$(BIN)/python -m tests.campaigns.live_fleet --devices 1000

peers: .venv/peers/installed  ## what detection is measured beside, in an environment of its own

.venv/peers/installed: benchmarks/statistics/peers/requirements.txt
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

swap-kill: .venv/dev  ## a thousand kills at any moment of a swap of model and pack
	$(BIN)/python -m tests.campaigns.swap_kill --trials 1000

tree-runtimes: .venv/dev  ## random trees in every onnxruntime from 1.20 on
	$(BIN)/python -m tests.campaigns.tree_runtimes

wheels: .venv/dev  ## build every distribution into dist/
	for package in $(WHEELS); do $(BIN)/python -m build --no-isolation --quiet --outdir dist $$package || exit 1; done

LOCK := .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-package edge-deployment-sdk \
	--no-emit-package edge-deployment-sdk-core --no-emit-package edge-deployment-sdk-converters \
	--no-emit-package edge-deployment-sdk-hub pyproject.toml

lock:  ## pin the newest versions, with hashes; the smaller sets are parts of the largest
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	$(LOCK) --upgrade --extra dev -o requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt -o requirements/device.txt
	$(LOCK) --constraint requirements/dev.txt --extra test -o requirements/test.txt
	$(LOCK) --constraint requirements/dev.txt --extra demo -o requirements/demo.txt

clean:  ## remove what the targets made
	rm -rf .venv .venv-device .venv-lock .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
