"""Several worker processes of one hub, on PostgreSQL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
import requests

from tests.postgres import Cluster, running_cluster
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


@pytest.fixture(autouse=True)
def names_of_devices() -> None:
    """As they come: hubs here serve several tests, and one name is given once."""


class Team(HubProcess):
    """``edge-hub serve --workers 2``; each request has a connection of its own."""

    def health(self) -> dict:  # type: ignore[type-arg]
        """What the administrator is told by whichever worker answers."""
        token = (self.data / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}

        def answer() -> requests.Response | None:
            # A worker that is killed takes the connections with it that it has not answered.
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(f"{self.url}/v1/health", headers=headers, timeout=PATIENCE)
            return None

        answered = wait_for(answer, "an answer")
        assert answered is not None
        return dict(answered.json())

    def workers(self, count: int = 2) -> set[int]:
        """Process ids of ``count`` workers that answer."""
        seen: set[int] = set()

        def all_seen() -> bool:
            seen.add(pid_of(self.health()["worker"]))
            return len(seen) >= count

        wait_for(all_seen, f"answers of {count} workers")
        return seen

    def leader(self) -> int:
        """Process id of the worker that leads, as it says itself."""

        def leads() -> int:
            health = self.health()
            return pid_of(health["worker"]) if health["leader"]["leads"] else 0

        return wait_for(leads, "a leader")


def pid_of(worker: str) -> int:
    return int(worker.split()[2])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A PostgreSQL that a test may stop."""
    yield from running_cluster()


@pytest.fixture(scope="module")
def team(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """One hub of two workers for the tests of a file."""
    folder = tmp_path_factory.mktemp("team")
    team = Team(folder, database=own_cluster.database(), workers=2)
    yield team
    team.close()
