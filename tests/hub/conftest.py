"""A hub in this process, without its loop: tests call tick themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.hub import Hub, open_hub
from cloud_hub.settings import Settings
from tests.edge.builders import make_release
from tests.hub.warm_batches import WarmBatches
from tests.hub.warm_workers import WarmStart
from tests.named_hub import names
from tests.new_hub import initialise
from tests.postgres import Cluster, running_cluster
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def names_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in every run: they settle who is on which arm of an experiment."""
    monkeypatch.setattr("cloud_hub.fleet.service.secrets", names(1))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, a module is loaded before it is taken to hang."""
    monkeypatch.setattr("cloud_hub.runs.entry_point.IMPORT_SECONDS", PATIENCE)


@pytest.fixture(scope="session")
def warm_start() -> Iterator[WarmStart]:
    start = WarmStart()
    yield start
    start.close()


@pytest.fixture
def cold_workers() -> None:
    """For tests of what a worker inherits: each is a fresh interpreter, as in production."""


@pytest.fixture(autouse=True)
def warm_workers(
    request: pytest.FixtureRequest, warm_start: WarmStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that hubs of this process start are forked by one that has imported libraries."""
    if "cold_workers" not in request.fixturenames:
        monkeypatch.setattr("cloud_hub.isolation.process_limits.subprocess", warm_start)
        monkeypatch.setattr("cloud_hub.batch.workers.subprocess", WarmBatches)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    yield from running_cluster()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str | None:
    """Where the tables of the hub are: its own SQLite, or with ``--postgres`` in PostgreSQL."""
    wanted = request.config.getoption("--postgres")
    return request.getfixturevalue("cluster").database() if wanted else None


@pytest.fixture
def inner(tmp_path: Path, database: str | None) -> Iterator[Hub]:
    settings = Settings(tmp_path / "hub", database, tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    yield hub
    hub.close()


@pytest.fixture
def serving(inner: Hub, tmp_path: Path) -> Hub:
    """A hub whose model ``demo`` serves 1.0."""
    inner.registry.publish(make_release(tmp_path / "made"), actor="test")
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    return inner
