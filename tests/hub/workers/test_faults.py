"""Faults of several workers that share their work, such as a leader killed while it trains."""

# ruff: noqa: F811 (a fixture is taken over from elsewhere)
from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from cloud_hub.hub import Hub, open_hub
from cloud_hub.runs.store import RunCause
from cloud_hub.settings import Settings
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.credentials import Credentials
from edge_sdk.hub.device_key import DeviceKey
from tests.edge.builders import make_release
from tests.hub.runs.conftest import Ready, poor, ready  # noqa: F401, the fixtures
from tests.hub.workers.conftest import Team, is_gone
from tests.postgres import Cluster
from tests.simulated_device import MemoryChain
from tests.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


WAITING = 18
"""Devices: by chance one of two workers has none of them with 8 in a million."""


class Scale(Team):
    """Two workers, and the address of their database."""

    database: str


@pytest.fixture(scope="module")
def team(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scale]:
    url = own_cluster.database()
    team = Scale(tmp_path_factory.mktemp("faults"), database=url, workers=2)
    team.database = url
    yield team
    team.close()


@pytest.fixture
def inner(team: Scale) -> Iterator[Hub]:
    """A third worker, in this process, which never leads."""
    hub = open_hub(Settings(team.data, team.database, tick_seconds=0))
    yield hub
    hub.close()


def counted(team: Team, group: str) -> float:
    """Answers of a group of routes, as any of the workers tells of all."""
    token = (team.data / "metrics.token").read_text().strip()
    answer = requests.get(
        f"{team.url}/metrics", timeout=PATIENCE,
        headers={"Authorization": f"Bearer {token}", "Connection": "close"},
    )  # fmt: skip
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    samples = families["edge_hub_http_requests"].samples
    return sum(s.value for s in samples if s.labels["group"] == group)


def test_metrics_are_sums_that_go_on_when_a_worker_is_replaced(team: Scale) -> None:
    def ask(times: int) -> None:
        for _ in range(times):
            requests.get(f"{team.url}/healthz", timeout=PATIENCE, headers={"Connection": "close"})

    team.workers()
    ask(40)
    before = counted(team, "healthz")
    assert before >= 40
    files = sorted(path.name for path in (team.data / "metrics").iterdir())
    for _ in range(2):
        workers = team.workers()
        killed = min(workers)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda pid=killed: is_gone(pid), "the end of the worker")
        wait_for(lambda old=workers: len(team.workers() - old) == 1, "another worker")
    assert counted(team, "healthz") == before
    ask(10)
    # Whoever answers has counted before: every worker but it has, and it reads its own.
    wait_for(lambda: counted(team, "healthz") == before + 10, "the sum of all workers")
    assert sorted(path.name for path in (team.data / "metrics").iterdir()) == files


def test_devices_that_wait_at_any_worker_hear_of_what_another_one_publishes(
    team: Scale, inner: Hub, tmp_path: Path
) -> None:
    for version in ("1.0", "1.1"):
        inner.registry.publish(make_release(tmp_path / version, "told", version), actor="test")
    inner.plans.promote("told", "1.0", actor="test", reason="first")
    told: Counter[bool] = Counter()
    token = inner.fleet.new_token("told", uses=WAITING, seconds=600, actor="test")

    def wait() -> None:
        client = HubClient(team.url, timeout=PATIENCE)
        client.authenticate(Credentials(MemoryChain(*devices.pop())))
        etag = client.changed(None)
        began.release()
        told[client.changed(etag, wait=int(PATIENCE)) is not None] += 1

    # At one worker: names of devices are the same in every run, and in each worker of a run.
    devices: list[tuple[DeviceKey, str]] = []
    for _ in range(WAITING):
        key = DeviceKey.generate()
        enrolment = key.enrolment(("told",), token)
        devices.append((key, inner.fleet.enrol(token, enrolment).device))
    began = threading.Semaphore(0)
    threads = [threading.Thread(target=wait) for _ in range(WAITING)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert began.acquire(timeout=PATIENCE)
    inner.plans.promote("told", "1.1", actor="test", reason="news")
    for thread in threads:
        thread.join(PATIENCE)
    assert told == {True: WAITING}


def test_a_training_whose_leader_is_killed_is_taken_up_and_makes_one_version(
    team: Scale, inner: Hub, ready: Ready
) -> None:
    ready("takes_a_while")
    inner.runs.request("demo", RunCause("manual"))
    wait_for(
        lambda: (run := inner.runs.records("demo")[-1]).status == "training" and run.isolation,
        "a training that has begun",
    )
    leader = team.leader()
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: is_gone(leader), "the end of the leader")
    ended = wait_for(
        lambda: (
            (run := inner.runs.records("demo")[-1]).status not in ("waiting", "training") and run
        ),
        "the end of the run",
    )
    assert ended
    assert (ended.status, ended.version) == ("experiment", "2.0"), ended.reason
    assert ended.attempts == 2
    assert len(inner.runs.records("demo")) == 1
    assert [v.version for v in inner.registry.versions("demo")] == ["1.0", "2.0"]
    assert len(inner.experiments.records("demo")) == 1
    assert team.leader() != leader
