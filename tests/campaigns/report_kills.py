"""SIGKILL of the hub while it stores reports: none that it acknowledged is lost, none counts twice.

``python -m tests.campaigns.report_kills --kills 50 [--database postgresql+psycopg://…]``

Connections send window reports without pause, each one message an upload, and note which the hub
said that it has. At a random moment the hub's process is killed and started again. A report without
an answer is sent again, as devices do. In the end every report that was acknowledged must be in the
hub, and each once.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from cloud_hub.database.engine import connect
from cloud_hub.hub import open_hub
from cloud_hub.settings import Settings
from cloud_hub.telemetry.tables import messages, reports, totals
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import WindowReport
from edge_sdk.contract.window import Window
from tests.contract.examples import histogram_text
from tests.edge.builders import make_release, profile
from tests.servers import HubProcess
from tests.simulated_device import credentialed
from tests.waiting import PATIENCE

CONNECTIONS: Final = 8
ROWS: Final = 10
LONGEST: Final = 0.5
"""Seconds after a start, at most, at which the hub is killed."""

PAUSE: Final = 0.02
"""Seconds between two reports of a device: below the rate at which a hub stops listening."""


@dataclass
class Outcome:
    """What came of the kills: reports that the hub acknowledged, that it has, and of them lost."""

    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} reports acknowledged, {self.stored} stored: {self.lost} lost, "
            f"{self.doubled} counted twice"
        )


class Connection:
    """One device that reports on a thread of its own.

    Args:
        hub: that it reports to.
        device: its name.
        credential: of the device.
        body: of its reports, as JSON.
    """

    def __init__(self, hub: HubProcess, device: str, credential: str, body: Any) -> None:
        self._hub, self.device, self._body = hub, device, body
        self._headers = {"Authorization": f"Bearer {credential}"}
        self.acknowledged: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        sequence = 1
        while not self._stop.wait(PAUSE):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                if self._sent(sequence):
                    self.acknowledged.append(sequence)
                    sequence += 1

    def _sent(self, sequence: int) -> bool:
        message = {"boot": "b1", "sequence": sequence, "kind": "window", "body": self._body}
        where = self._hub.url.removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(where, timeout=30)) as connection:
            body = json.dumps({"messages": [message]})
            connection.request("POST", "/v1/messages", body, self._headers)
            reply = json.loads(connection.getresponse().read())
        return bool(reply.get("accepted", 0) + reply.get("duplicates", 0) == 1)


def run(folder: Path, kills: int, *, seed: int = 0, database: str | None = None) -> Outcome:
    """Kill the hub so many times while devices report; then count.

    Args:
        folder: for the hub.
        kills: how many.
        seed: of the moments.
        database: URL of the hub's database; default SQLite.
    """
    chance = random.Random(seed)
    settings = Settings(folder / "hub", database, tick_seconds=0)
    hub = HubProcess(folder, database=database)
    connections = [Connection(hub, *each) for each in reporting_devices(hub, settings, folder)]
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0, LONGEST))
            hub.kill()
            hub.start()
    finally:
        for connection in connections:
            connection.finish()
        hub.close()
    return _counted(settings, connections)


def reporting_devices(
    hub: HubProcess, settings: Settings, folder: Path
) -> list[tuple[str, str, Any]]:
    """Names, credentials and bodies of devices of a hub that does not serve meanwhile."""
    hub.kill()
    inner = open_hub(settings)
    try:
        release = make_release(folder / "made")
        inner.registry.publish(release, actor="test")
        inner.plans.promote("demo", "1.0", actor="test", reason="first")
        token = inner.fleet.new_token("demo", uses=CONNECTIONS, seconds=3_600, actor="test")
        digest = inner.registry.release("demo", "1.0").profile_digest
        devices = [credentialed(inner, token) for _ in range(CONNECTIONS)]
    finally:
        inner.close()
    hub.start()
    now = int(time.time()) // 300 * 300
    features, outputs = (
        histogram_text(*((ROWS, *[0] * (f.bins + 1)) for f in layout))
        for layout in (profile().features, profile().outputs)
    )
    window = Window("demo", "1.0", now, now + 300)
    body = to_plain(WindowReport(window, digest, {"model": ROWS}, features, outputs, ROWS))
    return [(device, credential, body) for device, credential in devices]


def _counted(settings: Settings, connections: Sequence[Connection]) -> Outcome:
    outcome, engine = Outcome(), connect(settings)
    try:
        for each in connections:
            with engine.connect() as db:
                name = select(messages.c.sequence).where(messages.c.device == each.device)
                stored = set(db.execute(name).scalars())
                rows = select(func.count()).where(reports.c.device == each.device)
                count = int(db.execute(rows).scalar() or 0)
                made = select(totals.c.predictions).where(totals.c.device == each.device)
                predictions = int(db.execute(made).scalar() or 0)
            outcome.acknowledged += len(each.acknowledged)
            outcome.stored += len(stored)
            outcome.lost += len(set(each.acknowledged) - stored)
            outcome.doubled += abs(count - len(stored)) + abs(predictions - ROWS * len(stored))
    finally:
        engine.dispose()
    return outcome


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if nothing was lost or counted twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", help="URL of an empty database; default SQLite")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="report-kills-") as folder:
        outcome = run(
            Path(folder), arguments.kills, seed=arguments.seed, database=arguments.database
        )
    print(f"{arguments.kills} kills; {outcome}")
    return 1 if outcome.lost or outcome.doubled or not outcome.acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
