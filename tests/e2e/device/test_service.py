"""``edge run`` as a service of the machine: what the service manager hears, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.cli.main import _parser
from edge_sdk.cli.owner_logs import records
from edge_sdk.service.manager import ServiceManager, supervised
from tests.conftest import Publish
from tests.edge.builders import rows
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "edge.service"


def running(
    state: Path, stdin: int | IO[bytes], environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge_sdk.cli.main", "run", str(state)]
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


@pytest.fixture
def state(
    hub: HubProcess, publish: Publish, tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    """The folder of a device that was enrolled, and that nobody runs."""
    model = f"service-{abs(hash(request.node.name))}"
    publish(model)
    EdgeDevice(tmp_path / "d", hub=hub.url, token=hub.token(model), model=model).close()
    return tmp_path / "d"


class Manager:
    """A service manager: it reads all the time, or what it is told would be dropped."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self.heard or "STOPPING=1" not in self.heard[-1]:
            self.heard.append(self._socket.recv(4096).decode())
        self._socket.close()

    def stopped(self) -> bool:
        return not self._thread.is_alive()


def test_a_service_hears_ready_well_and_stopping_and_ends_cleanly(state: Path) -> None:
    place = state.parent / "notify"
    manager = Manager(place)
    told = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "400000"}
    process = running(state, subprocess.DEVNULL, told)
    try:
        wait_for(lambda: len(manager.heard) > 3, "ready, and well three times")
        ready, *well = list(manager.heard)
        assert ready.splitlines()[0] == "READY=1"
        assert "STATUS=serving" in ready
        assert all(each.startswith("WATCHDOG=1\n") for each in well)
        with EdgeDevice.attach(state) as device:  # it runs on without rows
            assert device.predict(rows(1)[0]).source == "model"
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 0
    wait_for(manager.stopped, "word that it stops")
    assert not (state / "owner.json").exists()


def test_sigterm_ends_a_run_that_waits_for_rows(state: Path) -> None:
    process = running(state, subprocess.PIPE)
    wait_for((state / "owner.json").exists, "the device")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(rows(1)[0].tolist()).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["source"] == "model"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    process.communicate()


def test_the_end_of_the_rows_ends_a_run(state: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as empty:
        process = running(state, empty)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 0


class Standing:
    """A device whose thread stands still."""

    def stalled(self) -> str | None:
        return "the thread edge-fold has stood still for 61 s"


def test_the_watchdog_of_a_device_that_stands_still_hears_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as socket_of_manager:
        socket_of_manager.bind(str(tmp_path / "n"))
        socket_of_manager.settimeout(PATIENCE)
        manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "20000"})
        with supervised(Standing(), lambda: "serving", manager):
            heard = [socket_of_manager.recv(4096).decode() for _ in range(4)]
    assert heard[0] == "READY=1\nSTATUS=serving"
    assert set(heard[1:]) == {"STATUS=the thread edge-fold has stood still for 61 s"}


def test_without_a_manager_or_for_another_process_nothing_is_sent() -> None:
    ServiceManager({}).tell("READY=1")
    ServiceManager({"NOTIFY_SOCKET": "/nowhere"}).tell("READY=1")
    assert ServiceManager({"WATCHDOG_USEC": "1000"}).watchdog is None
    other = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    assert ServiceManager(other).watchdog is None


def test_the_unit_starts_a_command_that_is_there() -> None:
    lines = [
        line.partition("=")
        for line in UNIT.read_text().replace("\\\n", "").splitlines()
        if "=" in line
    ]
    values = {name: value for name, _, value in lines if not name.startswith("#")}
    assert values["Type"] == "notify"
    arguments = _parser().parse_args(shlex.split(values["ExecStart"])[1:])
    assert arguments.state == Path("/var/lib") / values["StateDirectory"]


def test_logs_that_are_followed_go_on_with_the_process_that_runs_it_next(state: Path) -> None:
    deaf = {"NOTIFY_SOCKET": "/nowhere"}  # so that each has something to log at once
    processes = [running(state, subprocess.DEVNULL, deaf)]
    with EdgeDevice.attach(state, timeout=PATIENCE) as device:
        wait_for(device.logs, "a record of the first process")

    def start_again(_: float) -> None:
        assert len(processes) == 1
        processes[-1].terminate()
        processes[-1].communicate(timeout=PATIENCE)
        processes.append(running(state, subprocess.DEVNULL, deaf))
        with EdgeDevice.attach(state, timeout=PATIENCE) as device:
            wait_for(device.logs, "a record of the process that came next")

    try:
        begun = 0
        for entry in records(state, follow=True, pause=start_again):
            begun += entry.number == 1
            if begun == 2:
                break
    finally:
        processes[-1].terminate()
        processes[-1].communicate(timeout=PATIENCE)
