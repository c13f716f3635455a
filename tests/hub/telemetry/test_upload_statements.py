"""What an upload costs the database: what is the same for all of its messages is read once."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    FeedbackReport,
    KeyVotes,
    Message,
    SampleBatch,
    UpdateEvent,
    Upload,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.plan import Cohort
from edge_sdk.contract.window import Window
from tests.edge.builders import make_release
from tests.hub.enrolled import long_ago
from tests.hub.experiments.fleets import Device, fleet

TABLES = ("devices", "experiments", "experiment_members", "plans", "models", "versions")
"""Tables whose rows are the same for all messages of one upload."""

POLICY = "sharing: {samples: true, per_window: 50}\nreporting: {window: 5m, votes: 100}\n"


@pytest.fixture
def member(serving: Hub, tmp_path: Path) -> Device:
    """A device with the candidate of a canary in its region; the plan asks for rows and votes."""
    serving.policies.apply("demo", POLICY, actor="test")
    serving.registry.publish(make_release(tmp_path / "1.1", version="1.1", seed=3), actor="test")
    devices = fleet(serving, 12, ("eu",))
    spec = ExperimentSpec(
        "demo", "canary", candidate="1.1", cohort=Cohort("region", ("eu",)), steps=(0.5, 1.0)
    )
    serving.experiments.run(spec, actor="test")
    for device in devices:
        device.sync()
    long_ago(serving)
    return next(device for device in devices if device.given.arm == "candidate")


@contextlib.contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements of a block."""
    seen: list[str] = []

    def note(_db: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def upload_of(device: Device, each: int) -> Upload:
    """``each`` messages of every kind that is common."""
    now, given = int(time.time()) // 300 * 300, device.given
    version = given.release.version
    digest = device.hub.registry.release("demo", version).profile_digest
    bodies: list[Any] = []
    for i in range(each):
        window = Window("demo", version, now + i, now + i + 1, given.experiment, given.arm)
        bodies += [
            WindowReport(window, digest, {"model": 5}),
            FeedbackReport(window, 5, 4, 5, 4),
            SampleBatch("demo", version, ((1.0, 2.0, 3.0, 4.0),), (0,), (now,)),
            KeyVotes("demo", version, now, (f"{i:032x}",)),
            UpdateEvent("demo", "failed", version, 1, reason="no", experiment=given.experiment),
        ]
    messages = (Message("b1", n, kind_of(b), to_plain(b)) for n, b in enumerate(bodies, 1))
    return Upload(tuple(messages))


def test_what_is_the_same_for_all_messages_of_an_upload_is_read_once(member: Device) -> None:
    upload = upload_of(member, 10)
    with statements(member.hub.engine) as seen:
        reply = member.hub.telemetry.ingest(EnrolledDevice(member.name, ("demo",)), upload)
    assert (reply.accepted, reply.rejected) == (50, ())
    reads = [s for s in seen if s.startswith("SELECT")]
    once = {table: [s for s in reads if f" FROM {table} " in s or f'JOIN "{table}" AS t' in s]
            for table in TABLES}  # fmt: skip
    assert {table: len(queries) for table, queries in once.items()} == {
        "devices": 1, "experiments": 1, "experiment_members": 1, "models": 1, "versions": 1,
        "plans": 2,  # what they ask of devices, and to whom they give which arm
    }  # fmt: skip
    assert len(seen) < 5 * 50, Counter(seen)
