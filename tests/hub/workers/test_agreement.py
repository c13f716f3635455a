"""What one worker changes holds in the others; what two do at once takes effect once.

Two hubs are open in this process on one PostgreSQL and one folder, as two workers have them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text, update

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Conflict, HubFault
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub, open_hub
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, UpdateEvent, Upload
from tests.edge.builders import make_release
from tests.new_hub import initialise
from tests.postgres import Cluster
from tests.simulated_device import credentialed
from tests.structure import modules
from tests.waiting import wait_for

pytestmark = pytest.mark.postgres
Workers = tuple[Hub, Hub]


@pytest.fixture(scope="module")
def workers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    settings = Settings(folder / "hub", cluster.database(), tick_seconds=0)
    initialise(settings)
    first, second = open_hub(settings), open_hub(settings)
    for version in ("1.0", "1.1", "1.2"):
        first.registry.publish(make_release(folder / version, "demo", version), actor="test")
    first.plans.promote("demo", "1.0", actor="test", reason="first")
    yield first, second
    first.close()
    second.close()


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """The results of calls at the same moment; an error of the hub is a result."""
    results: list[Any] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(place: int, work: Callable[[], Any]) -> None:
        gate.wait()
        try:
            results[place] = work()
        except HubFault as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def event(sequence: int, boot: str) -> Message:
    body = UpdateEvent("demo", "failed", "1.0", int(time.time()), None, "probe", "slow")
    return Message(boot, sequence, "event", to_plain(body))


def test_a_message_that_two_workers_are_given_at_once_counts_once(workers: Workers) -> None:
    first, second = workers
    name, _ = credentialed(first, first.fleet.new_token("demo", uses=1, seconds=60, actor="t"))
    device = EnrolledDevice(name, ("demo",))
    for boot in map("boot{}".format, range(10)):
        upload = Upload(tuple(event(sequence, boot) for sequence in range(1, 6)))
        replies = at_once(
            lambda upload=upload: first.telemetry.ingest(device, upload),
            lambda upload=upload: second.telemetry.ingest(device, upload),
        )
        assert sum(reply.accepted for reply in replies) == 5, replies
        assert sum(reply.duplicates for reply in replies) == 5
    stored = first.telemetry.events("demo", since=0.0, limit=None)
    assert len(stored) == 50


def test_of_two_changes_of_a_plan_at_once_one_is_told_to_try_again(workers: Workers) -> None:
    first, second = workers
    for _ in range(5):
        before = first.plans.current("demo")
        assert before is not None
        other = "1.1" if before.serving.version != "1.1" else "1.2"
        results = at_once(
            lambda other=other: first.plans.promote("demo", other, actor="a", reason="x"),
            lambda: second.plans.promote("demo", "1.0", actor="b", reason="x"),
        )
        assert all(not isinstance(r, HubFault) or isinstance(r, Conflict) for r in results)
        newest = second.plans.current("demo")
        assert newest is not None
        # Whatever came last in the database is what devices see.
        assert first.repository.has_plan(newest)


def test_a_plan_that_a_worker_left_unpublished_is_published_by_the_leader(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workers
    second.plans.tick(0.0)

    def full(_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(first.repository, "publish_plan", full)
        current = first.plans.current("demo")
        assert current is not None
        version = "1.1" if current.serving.version != "1.1" else "1.2"
        with pytest.raises(OSError, match="no space"):
            first.plans.promote("demo", version, actor="test", reason="lost")
    newest = first.plans.current("demo")
    assert newest is not None
    assert not second.repository.has_plan(newest)
    second.plans.tick(1.0)
    assert second.repository.has_plan(newest)


def test_a_policy_and_a_revoked_device_hold_in_every_worker(workers: Workers) -> None:
    first, second = workers
    first.registry.set_policy("demo", "reporting: {requests_per_second: 1}", actor="test")
    assert second.registry.policy("demo").reporting.requests_per_second == 1
    token = first.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    name, credential = credentialed(second, token)
    assert first.fleet.authenticate(credential).device == name
    first.fleet.identities.revoke(name, actor="test", reason="stolen")

    def refused() -> bool:
        try:
            second.fleet.authenticate(credential)
        except HubFault:
            return True
        return False

    # At once in the worker that did it, within seconds in those that remember credentials.
    wait_for(refused, "the end of the credential in the other worker")


def test_times_of_devices_are_written_in_the_order_in_which_check_ins_lock_them(
    workers: Workers,
) -> None:
    first, second = workers
    token = first.fleet.new_token("demo", uses=2, seconds=60, actor="t")
    early, late = sorted(credentialed(first, token)[0] for _ in range(2))

    def seen(db: Connection, name: str) -> None:
        change = update(devices).where(devices.c.device == name)
        db.execute(change.values(seen_at=devices.c.seen_at - 100))

    with first.engine.begin() as db:
        seen(db, early)  # by now it lies behind the other, and would be found last
    with first.engine.begin() as db:
        seen(db, early)
        for name in (early, late):
            second.fleet.sightings.note(name)
        flushing = threading.Thread(target=second.fleet.sightings.flush)
        flushing.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        wait_for(lambda: db.execute(waiting).scalar(), "the other worker, which waits")
        seen(db, late)  # whoever waited with this one locked would be waited for
    flushing.join()
    seen_at = {record.device: record.seen_at for record in second.fleet.devices("demo")}
    assert min(seen_at[early], seen_at[late]) > time.time() - 60


def test_an_enrolment_token_of_one_use_is_used_once(workers: Workers) -> None:
    first, second = workers
    token = first.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    results = at_once(lambda: credentialed(first, token), lambda: credentialed(second, token))
    assert sum(isinstance(result, HubFault) for result in results) == 1


def test_two_that_ask_for_a_run_or_a_generation_get_one(workers: Workers) -> None:
    from cloud_hub.runs.store import RunCause

    first, second = workers
    stores = [hub.runs._store for hub in workers]
    new = {"mode": "stateless", "parent": "1.0", "since": 0.0, "reason": ""}
    cause = RunCause("manual", actor="test", reason="both")
    at_once(*(lambda store=store: store.join_or_add("demo", cause, **new) for store in stores))
    active = second.runs.records("demo")
    assert len(active) == 1
    assert len(active[0].causes) == 2
    first.runs.cancel(active[0].id, actor="test", reason="done")


def test_what_the_loop_writes_goes_through_transactions_with_a_fence() -> None:
    """``engine.begin()`` would write whoever leads by now."""
    requests_only = {"cloud_hub.telemetry.intake.writer", "cloud_hub.fleet.service"}
    requests_only |= {"cloud_hub.fleet.identities", "cloud_hub.fleet.sightings"}
    requests_only |= {"cloud_hub.people.sessions", "cloud_hub.people.tokens"}
    for module in modules("cloud_hub"):
        if not module.name.startswith("cloud_hub.database.") and module.name not in requests_only:
            assert "engine.begin()" not in Path(module.path).read_text(), module.name
