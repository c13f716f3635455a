"""Two processes of one hub whose clocks differ by an hour: what is acknowledged, holds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, UpdateEvent, Upload
from edge_sdk.hub.client import HubClient
from tests.edge.builders import make_release
from tests.postgres import Cluster
from tests.servers import HubProcess
from tests.simulated_device import join
from tests.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@contextlib.contextmanager
def beside(hub: HubProcess, database: str, off: float) -> Iterator[str]:
    """Serve the same hub by another process, whose clock is off; gives its address."""
    address = hub.data / "hub.url"
    address.unlink()
    words = ["-m", "tests.hub.workers.skewed", str(off), str(hub.data), "--port", "0"]
    log = (hub.data.parent / "beside.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, *words, "--database", database, "--tick", "0.2"], stdout=log, stderr=log
    )
    try:
        wait_for(lambda: address.exists() or process.poll() is not None, "the address")
        assert process.poll() is None, (hub.data.parent / "beside.log").read_text()
        yield address.read_text().strip()
    finally:
        process.terminate()
        process.wait(PATIENCE)
        log.close()


def clock_of(url: str, admin: str) -> tuple[int, str]:
    """The status of readiness, and the state of its check of the clock."""
    headers = {"Authorization": f"Bearer {admin}"}
    answer = requests.get(f"{url}/readyz", headers=headers, timeout=PATIENCE)
    (check,) = [check for check in answer.json()["checks"] if check["name"] == "clock"]
    return answer.status_code, str(check["state"])


@pytest.mark.parametrize("off", [3_600.0, -3_600.0], ids=["ahead", "behind"])
def test_of_two_workers_the_one_with_the_wrong_clock_is_not_ready_and_loses_nothing(
    cluster: Cluster, tmp_path: Path, off: float
) -> None:
    database = cluster.database()
    hub = HubProcess(tmp_path, database=database)
    try:
        release = make_release(tmp_path / "made", "clocks")
        hub.admin.publish(release.folder, hub.key, override="test")
        hub.admin.post("models/clocks/promote", version="1.0")
        admin = (hub.data / "admin.token").read_text().strip()
        with beside(hub, database, off) as wrong:
            wait_for(lambda: clock_of(wrong, admin) == (503, "fail"), "a clock that is told of")
            assert clock_of(hub.url, admin) == (200, "ok")
            assert hub.admin.get("health")["leader"]["leads"]
            clients = [HubClient(url, timeout=PATIENCE) for url in (hub.url, wrong)]
            join(clients[0], hub.token("clocks"), "clocks")
            assert clients[0].credentials is not None
            clients[1].authenticate(clients[0].credentials)
            # Each is delivered to both, by turns to the one and the other first.
            for sequence in range(1, 7):
                event = UpdateEvent("clocks", "failed", "1.0", int(time.time()), None, "probe", "x")
                upload = Upload((Message("boot", sequence, "event", to_plain(event)),))
                for turn in (0, 1):
                    reply = clients[(sequence + turn) % 2].upload(upload)
                    assert reply.rejected == ()
            for client in clients:
                assert client.changed(None)
        stored = hub.admin.get("models/clocks/telemetry", limit=100)["events"]
        assert len(stored) == 6
        assert clients[0].changed(None)  # also once the wrong one is gone
    finally:
        hub.close()
