# `make demo` and `make test` are all that a fresh machine needs: Python 3.11+, make, a package index.
PYTHON ?= python3
BIN := .venv/bin
CODE := edge_sdk converters cloud_hub benchmarks examples tests

.DEFAULT_GOAL := help
.PHONY: help demo test check bench sweep statistics peers postgres live-fleet swap-kill tree-runtimes lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

.venv/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv/installed  ## the whole product on the digits fleet, in about three minutes
	$(BIN)/python -m examples.digits.demo

test: .venv/installed  ## every test
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

postgres: .venv/installed  ## the tests of the hub once more, with PostgreSQL in place of SQLite
	$(BIN)/python -m pytest -n 2 --dist loadfile -q --postgres tests/hub

check: .venv/installed  ## format, lint, types
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

bench: .venv/installed  ## measure, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

sweep: .venv/installed  ## every scikit-learn estimator through the converters; writes docs/ESTIMATORS.md
	$(BIN)/python -m benchmarks.sweep

statistics: .venv/installed peers  ## error rates, power, detection; write benchmarks/STATISTICS.md
	$(BIN)/python -m benchmarks.statistics

live-fleet: .venv/installed  ## a thousand devices on a real hub; a candidate bad in one region stops there
	$(BIN)/python -m tests.campaigns.live_fleet --devices 1000

peers: .venv/peers/installed  ## what detection is measured beside, in an environment of its own

.venv/peers/installed: benchmarks/statistics/peers/requirements.txt
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

swap-kill: .venv/installed  ## a thousand kills at any moment of a swap of model and pack
	$(BIN)/python -m tests.campaigns.swap_kill --trials 1000

tree-runtimes: .venv/installed  ## random trees in every onnxruntime from 1.20 on
	$(BIN)/python -m tests.campaigns.tree_runtimes

lock: .venv/installed  ## pin the newest versions, with hashes
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml -o requirements/device.txt
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --upgrade --extra dev pyproject.toml -o requirements/dev.txt

clean:  ## remove what the targets made
	rm -rf .venv .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
