"""Two workers behind one address: what is killed, hangs or loses its database, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import requests

from cloud_hub.cli.main import main
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, UpdateEvent, Upload
from edge_sdk.hub.client import HubClient
from tests.edge.builders import make_release
from tests.hub.workers.conftest import Team, is_gone
from tests.new_hub import initialise
from tests.postgres import Cluster
from tests.simulated_device import join
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.postgres


class Sender:
    """A device that tells one event after the other, and sends each until it is taken."""

    def __init__(self, team: Team) -> None:
        client = HubClient(team.url, timeout=PATIENCE)
        join(client, team.token("away"), "away")
        assert client.credentials is not None
        credential = client.credentials.current(client._exchange)
        self._headers = {"Authorization": f"Bearer {credential}"}
        self._team = team

    def report(self, sequence: int) -> requests.Response:
        event = UpdateEvent("away", "failed", "1.0", int(time.time()), None, "probe", "slow")
        message = Message("boot", sequence, "event", to_plain(event))
        return requests.post(
            f"{self._team.url}/v1/messages", data=Upload((message,)).to_json(),
            headers=self._headers, timeout=PATIENCE,
        )  # fmt: skip

    def stored(self) -> int:
        telemetry = self._team.admin.get("models/away/telemetry", limit=10_000)
        return len(telemetry["events"])


def test_sqlite_takes_one_worker_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    initialise(Settings(tmp_path / "h"))
    assert main(["serve", str(tmp_path / "h"), "--port", "0", "--workers", "2"]) == 1
    assert capsys.readouterr().err == (
        "edge-hub: --workers 2: SQLite takes one process; give --database "
        "postgresql+psycopg://HOST/NAME, or leave --workers out\n"
    )


def test_a_database_that_is_not_there_is_one_sentence_of_the_supervisor(tmp_path: Path) -> None:
    data, url = tmp_path / "h", f"postgresql+psycopg://x@/x?host={tmp_path}"
    initialise(Settings(data, url))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cloud_hub.cli.main", "serve", str(data), "--port", "0"),
            *("--database", url, "--workers", "2"),
        ],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("edge-hub: database: postgresql+psycopg://")
    assert not (data / "hub.url").exists()


def test_connections_are_shared_and_a_worker_that_is_killed_is_replaced(team: Team) -> None:
    before = team.workers()
    answers = Counter(team.health()["worker"] for _ in range(64))
    # By chance all 64 go to one of two with 2 in 10 to the 19.
    assert len(answers) == 2
    killed = next(iter(before))
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_gone(killed), "the end of the worker")
    after = team.workers()
    assert killed not in after
    assert len(after & before) == 1


def test_another_worker_leads_when_the_leader_is_killed(team: Team) -> None:
    leader = team.leader()
    term = team.health()["leader"]["term"]
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: is_gone(leader), "the end of the leader")
    assert team.leader() != leader
    assert team.health()["leader"]["term"] > term
    team.workers()


def test_nothing_acknowledged_is_lost_while_postgresql_is_away(
    team: Team, own_cluster: Cluster, tmp_path: Path
) -> None:
    release = make_release(tmp_path / "made", "away")
    team.admin.publish(release.folder, team.key, override="test")
    team.admin.post("models/away/promote", version="1.0")
    device = Sender(team)
    term = wait_for(lambda: team.health()["leader"]["term"], "a leader")
    taken, refused, done = [], [], threading.Event()

    def send() -> None:
        sequence = 1
        while not done.is_set():
            answer = device.report(sequence)
            if answer.status_code == 200:
                taken.append(sequence)
                sequence += 1
            else:
                refused.append((answer.status_code, answer.headers.get("Retry-After")))
                done.wait(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        wait_for(lambda: len(taken) > 3, "reports that are taken")
        own_cluster.stop()
        wait_for(lambda: len(refused) > 3, "reports that are refused")
        wait_for(lambda: "does not answer" in team.health()["leader"]["problem"], "the problem")
        own_cluster.start()
        count = len(taken)
        wait_for(lambda: len(taken) > count + 3, "reports that are taken again")
    finally:
        done.set()
        thread.join()
    assert {status for status, _ in refused} == {503}
    assert all(retry_after is not None for _, retry_after in refused)
    assert team.workers()  # none has ended
    wait_for(lambda: team.health()["leader"]["term"] > term, "a leader of the time after")
    wait_for(lambda: team.health()["loop"] == {}, "a loop without errors")
    assert device.stored() == len(taken)


def test_the_end_of_the_supervisor_is_the_end_of_its_workers(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    team = Team(tmp_path, database=own_cluster.database(), workers=2)
    workers = team.workers()
    team.kill()
    wait_for(lambda: all(map(is_gone, workers)), "the end of the workers")
    team.start()  # the folder is free
    workers = team.workers()
    team.close()  # SIGTERM
    assert all(map(is_gone, workers))
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{team.url}/v1/health", timeout=PATIENCE)
