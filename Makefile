# `make demo` and `make test` are all that a fresh machine needs: Python 3.11+, make, a package index.
PYTHON ?= python3
BIN := .venv/bin
CODE := edge_sdk converters cloud_hub benchmarks examples handbook native tests .ci
WHEELS := edge_sdk converters cloud_hub .
PROJECTS := pyproject.toml $(WHEELS:%=%/pyproject.toml)
PIP := -m pip install --quiet --disable-pip-version-check
# This repository's own packages come from the checkout; everything else is pinned by hash.
FROM_CHECKOUT := $(PIP) --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help site pictures demo demo-scale test test-fast test-device coverage check format bench bytes sweep statistics \
	statistics-quick peers coldstart postgres hub-load live-fleet swap-kill fuzz state-damage kill-matrix lost-writes \
	hub-kills report-kills batch-kills chaos random-pipelines tree-runtimes packs-elsewhere conformance vendor wheels \
	extras images arm64 lock clean operate

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

demo: .venv/demo  ## the whole product on the digits fleet, in about two minutes
	$(BIN)/python -m examples.digits.demo

demo-scale: .venv/dev  ## the demo once more, on PostgreSQL, a bucket and Ray on this machine
	$(BIN)/python -m tests.campaigns.demo_at_scale

test: .venv/dev  ## every test
	$(BIN)/python -m pytest -n 3 --dist loadfile -q

test-fast: .venv/dev  ## the tests that start no process and train no model: under a minute
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not slow"

test-device: .venv-device/installed  ## the device's tests where only the device package is installed
	.venv-device/bin/python -m pytest -n 2 --dist loadfile -q tests/contract tests/edge

coverage: .venv/dev  ## every test once more, and which lines none of them runs; more than twice as long
	$(BIN)/python -m pytest -n 2 --dist loadfile -q --cov --cov-report=term:skip-covered

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

statistics: .venv/dev peers  ## error rates, power, detection, from fresh seeds; write benchmarks/STATISTICS.md
	$(BIN)/python -m benchmarks.statistics --processes 2

statistics-quick: .venv/dev  ## the hardest cells from a fixed seed, below five minutes; fails if a level is refuted
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.statistics --quick --processes 2

hub-load: .venv/dev  ## a real hub under load, on this machine alone: what is missing, or ROWS="storm push", ROWS=all; writes docs/SCALE.md
	$(BIN)/python -m benchmarks.hub $(if $(ROWS),--rows $(ROWS)) $(if $(PEERS),--peers $(PEERS))

live-fleet: .venv/dev  ## a thousand devices on a real hub; a candidate bad in one region stops there
	$(BIN)/python -m tests.campaigns.live_fleet --devices 1000

peers: .venv/peers/installed  ## what detection is measured beside, in an environment of its own

.venv/peers/installed: benchmarks/statistics/peers/requirements.txt
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

coldstart: .venv/dev .venv/coldstart/installed  ## what personalisation on devices is worth; writes benchmarks/COLD_START.md
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.coldstart

.venv/coldstart/installed: benchmarks/coldstart/peers/requirements.txt
	$(PYTHON) -m venv .venv/coldstart
	.venv/coldstart/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

swap-kill: .venv/dev  ## a thousand kills at any moment of a swap of model and pack
	$(BIN)/python -m tests.campaigns.swap_kill --trials 1000

state-damage: .venv/dev  ## every file of a device's state damaged, one at a time
	$(BIN)/python -m tests.campaigns.state_damage --flips 20

kill-matrix: .venv/dev  ## SIGKILL at every write-like system call of a device; needs strace
	$(BIN)/python -m tests.campaigns.kill_matrix

lost-writes: .venv/dev  ## a device's power ends and what was not synced is lost; needs strace
	$(BIN)/python -m tests.campaigns.lost_writes

hub-kills: .venv/dev  ## 200 kills of a hub that ingests, publishes, promotes, migrates
	$(BIN)/python -m tests.campaigns.hub_kills --kills 200

report-kills: .venv/dev  ## 50 kills of a hub that stores reports
	$(BIN)/python -m tests.campaigns.report_kills --kills 50

batch-kills: .venv/dev  ## 300 kills of batch jobs: of their workers, of the hub that starts them
	$(BIN)/python -m tests.campaigns.batch_kills --kills 300

chaos: .venv/dev  ## updates through cuts, loss, slow lines, portals, gateways, TLS and DNS trouble
	$(BIN)/python -m tests.campaigns.chaos

operate: .venv/dev  ## a fleet operated by commands alone, then by pages alone, every step kept in build/operation
	$(BIN)/python -m tests.operation

fuzz: .venv/dev  ## twenty thousand requests of all roles to all routes: none is a 5xx
	$(BIN)/python -m tests.campaigns.fuzz --requests 20000 --seed 1
	$(BIN)/python -m tests.campaigns.fuzz --requests 4000 --seed 2 --postgres

tree-runtimes: .venv/dev  ## random trees in every onnxruntime from 1.20 on
	$(BIN)/python -m tests.campaigns.tree_runtimes

random-pipelines: .venv/dev  ## 400 random scikit-learn pipelines, converted and held to themselves
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaigns.random_pipelines --seeds 400

packs-elsewhere: .venv/dev  ## packs in C and JavaScript: a million keys as in Python, a million mutants; needs gcc and node
	$(BIN)/python -m tests.packs_elsewhere.random_keys --keys 1000000 --mutants 1000000

conformance: .venv/dev  ## The Update Framework's own suite on our client; SUITE=FOLDER of a checkout of tuf-conformance
	@command -v faketime >/dev/null || { echo "expected faketime: apt-get install faketime"; exit 1; }
	@test -n "$(SUITE)" || { echo "expected SUITE=FOLDER, a checkout of theupdateframework/tuf-conformance"; exit 1; }
	$(PYTHON) -m venv .venv/conformance
	.venv/conformance/bin/python $(PIP) $(SUITE)
	.venv/conformance/bin/python -m pytest -q -p no:cacheprovider -c /dev/null \
		`.venv/conformance/bin/python -c "import tuf_conformance as t; print(t.__path__[0])"` \
		--entrypoint "$(CURDIR)/$(BIN)/python -m tests.conformance.client"

.venv/site: requirements/site.txt .venv/dev
	$(BIN)/python $(PIP) --require-hashes -r $<
	@touch $@

site: .venv/site  ## all pages as one site, to be opened as files: build/site/index.html; fails on any warning
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

pictures: .venv/dev  ## the pictures of the README and the site, from a hub that is started for them; needs chromium
	$(BIN)/python -m handbook.pictures

vendor: .venv/dev  ## fetch the third-party files of the web page anew, by their checksums
	$(BIN)/python -m cloud_hub.web.fetch_vendor

wheels: .venv/dev  ## build every distribution into dist/, the same bytes for the same commit, with bills of materials
	$(BIN)/python .ci/distributions.py dist

extras: wheels  ## every extra alone in a fresh environment, and the three programs by uvx; LIGHT=--light leaves out the large ones
	test -x .venv-lock/bin/uv || ($(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv)
	.venv-lock/bin/python .ci/extras.py dist $(LIGHT)

images: .venv/dev wheels  ## both images built, weighed, run with a read-only root; needs root, buildah, podman, runc, debootstrap
	$(BIN)/python -m tests.deploy.images $(if $(BASE),--base $(BASE))

arm64: .venv/dev  ## a device on an emulated arm64 Debian; needs root, debootstrap, qemu-user-static; TESTS=none, some, all
	$(BIN)/python -m tests.deploy.arm64 --tests $(or $(TESTS),some)

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
	$(LOCK) --constraint requirements/dev.txt --extra site -o requirements/site.txt
	$(LOCK) --constraint requirements/dev.txt --extra hub --extra postgres --extra s3 --extra oidc \
		--extra notify --extra otel -o requirements/hub.txt

clean:  ## remove what the targets made
	rm -rf .venv .venv-device .venv-lock .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
