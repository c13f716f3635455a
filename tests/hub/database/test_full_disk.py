"""A database whose disk is full: told in health and log, nothing acknowledged is lost, and it
goes on when there is room.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.database.outage import unavailable
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Unavailable
from cloud_hub.hub import Hub, open_hub
from cloud_hub.observability.readiness import Readiness
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, Upload
from tests.edge.builders import make_release
from tests.hub.telemetry.reporting_fleet import Simulated
from tests.new_hub import initialise
from tests.postgres import Cluster
from tests.waiting import PATIENCE

SIZE = "64m"
UPLOAD, UPLOADS = 20, 500
LINES = 400
FULL = ("disk is full", "disk I/O error", "No space left on device")


class SmallDisk:
    """A disk with the tables of a hub on it; what else is on it can be made to fill it."""

    def __init__(self, place: Path, url: str | None) -> None:
        self.place, self.url, self._ballast = place, url, place / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))

    def make_room(self) -> None:
        self._ballast.unlink()


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)  # of a server that several tests use
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here (it needs root): {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=PATIENCE)


@pytest.fixture
def on_postgresql(cluster: Cluster) -> Iterator[SmallDisk]:
    with mounted(cluster.folder / "small") as place:
        (place / "tables").mkdir()
        shutil.chown(place / "tables", cluster.user)
        url = cluster.database(place / "tables")
        yield SmallDisk(place, url)
        cluster.drop(url)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "small") as place:
        yield SmallDisk(place, None)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def disk(request: pytest.FixtureRequest) -> SmallDisk:
    found: SmallDisk = request.getfixturevalue(f"on_{request.param}")
    return found


@pytest.fixture
def hub(disk: SmallDisk, tmp_path: Path) -> Iterator[Hub]:
    data = tmp_path / "hub" if disk.url else disk.place / "hub"
    settings = Settings(data, disk.url, tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    hub.registry.publish(make_release(tmp_path / "made"), actor="test")
    hub.plans.promote("demo", "1.0", actor="test", reason="first")
    yield hub
    hub.close()


def test_reports_are_refused_and_sent_again_and_health_says_why(
    hub: Hub, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    fleet, now = Simulated(hub, devices=1), [0.0]
    device = EnrolledDevice(fleet.names[0], ("demo",))
    body = to_plain(fleet.report_of(0))
    readiness = Readiness(hub, clock=lambda: now[0])

    def send(number: int) -> int:
        first = number * UPLOAD + 1
        messages = (Message("b1", n, "window", body) for n in range(first, first + UPLOAD))
        return hub.telemetry.ingest(device, Upload(tuple(messages))).accepted

    def told() -> tuple[str, str]:
        now[0] += 1_000.0
        readiness.tick(0.0)
        return next((c.state, c.says) for c in readiness.checks() if c.name == "database")

    assert send(0) == UPLOAD
    well = ("ok", f"{hub.engine.dialect.name} answers")
    assert told() == well
    disk.fill()
    refused, taken = "", 1
    while not refused and taken < UPLOADS:  # until what the tables had left is used up
        try:
            taken += send(taken) // UPLOAD
        except Unavailable as error:
            refused = str(error)
    assert "send it again" in refused
    state, says = told()
    (full,) = {each for each in FULL if each in says}
    assert state == "warn"
    assert "not stored, and will be sent again" in caplog.text
    assert f"were not stored: {says.partition('stored: ')[2]}" in caplog.text
    assert full in caplog.text
    assert hub.plans.current("demo") is not None  # what is only read goes on
    disk.make_room()
    assert send(taken) == UPLOAD
    assert told() == well
    counted = hub.telemetry.predictions_by_device("demo")
    assert counted == {device.device: 100 * UPLOAD * (taken + 1)}


def test_what_an_administrator_changes_is_answered_503_and_done_when_there_is_room(
    hub: Hub, disk: SmallDisk
) -> None:
    def change() -> None:
        for n in range(LINES):
            hub.audit.record("me", "webhook token", "demo", {"said": f"{n} {'x' * 4_000}"})

    disk.fill()
    with pytest.raises(SQLAlchemyError) as raised:
        change()
    answer = unavailable(raised.value)
    assert answer is not None
    assert (answer.status, "takes nothing now" in str(answer)) == (503, True)
    disk.make_room()
    change()
