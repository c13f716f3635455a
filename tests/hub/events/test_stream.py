"""The stream of events: what is filed how, in which order, and what a reader gets."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, insert, update

from cloud_hub.app import create_app
from cloud_hub.database.audit import Audit, audit_table
from cloud_hub.database.engine import metadata, transaction
from cloud_hub.database.event_kinds import ACTIONS, classified
from cloud_hub.events.event import EventFilter, StreamEvent
from cloud_hub.events.service import EventStream
from cloud_hub.events.wording import WORDS, words_of
from cloud_hub.hub import Hub
from tests.postgres import Cluster
from tests.waiting import PATIENCE

FILED = {
    "a release": ("ann", "publish", {"version": "1.1"}, "version.published", "info"),
    "an abort": ("hub", "canary aborted", {}, "rollout.aborted", "critical"),
    "a run that failed": ("hub", "run failed", {}, "run.failed", "warning"),
    "refused by its fleet": ("hub", "refused release", {}, "rollout.taken_back", "critical"),
    "a severity of its own": ("hub", "alarm", {"severity": "critical"}, "alarm.opened", "critical"),
    "of a newer hub": ("x", "moon landed!", {}, "hub.moon_landed", "info"),
    "nothing at all": ("x", "", {}, "hub.event", "info"),
}


@pytest.mark.parametrize("case", FILED)
def test_an_action_is_filed_by_its_words(case: str) -> None:
    actor, action, detail, type_, severity = FILED[case]
    filed = classified(actor, action, detail)
    assert (filed.type, filed.severity) == (f"edge.{type_}", severity)


def test_every_event_has_words() -> None:
    def said(actor: str, action: str) -> str:
        filed = classified(actor, action, {})
        return words_of(
            StreamEvent(
                1, 0.0, filed.kind, filed.type, filed.severity, None, None, None, actor, action, {}
            )
        )

    assert said("hub", "canary aborted") == "An experiment was aborted"
    assert said("x", "moon landed!") == "Hub moon landed"
    told = {f"{kind}.{what}" for kind, what, _ in ACTIONS.values()}
    assert told - {*WORDS, "access.webhook_token_made"} == set()


def test_an_event_about_its_actor_names_the_device() -> None:
    assert classified("d-1", "enrol", {}).device == "d-1"
    assert classified("ann", "revoke", {"device": "d-2"}).device == "d-2"


def test_a_page_goes_on_where_the_last_one_ended(inner: Hub) -> None:
    begin = inner.events.newest()
    for number in range(5):
        inner.audit.record("ann", "publish" if number % 2 else "run failed", f"m{number}")
    seen, after = [], begin
    while (page := inner.events.page(after=after, limit=2)).events:
        seen += [event.model for event in page.events]
        after = page.next
    assert seen == [f"m{number}" for number in range(5)]
    runs = inner.events.page(EventFilter(kinds=("run",), severity="warning"), after=begin)
    assert [event.model for event in runs.events] == ["m0", "m2", "m4"]
    assert inner.events.page(EventFilter(models=("m1",))).events[0].type == "edge.version.published"
    assert inner.events.page(after=runs.next).events == ()


def test_what_is_rolled_back_was_no_event(inner: Hub) -> None:
    begin = inner.events.newest()
    with contextlib.suppress(ZeroDivisionError), transaction(inner.engine):
        inner.audit.record("ann", "publish", "m")
        raise ZeroDivisionError
    assert inner.events.page(after=begin).events == ()


def test_entries_of_an_older_hub_are_events_too(inner: Hub) -> None:
    begin = inner.events.newest()
    row = {"at": 1.0, "actor": "hub", "action": "canary aborted", "model": "m", "detail": {}}
    with inner.engine.begin() as db:
        db.execute(insert(audit_table).values(**row))
    (event,) = inner.events.page(EventFilter(("rollout",), severity="critical"), after=begin).events
    assert event.type == "edge.rollout.aborted"
    assert inner.events.page(EventFilter(("run",)), after=begin).events == ()


def test_everyday_events_of_devices_end_and_the_newest_stays(inner: Hub) -> None:
    for action in ("enrol", "revoke", "enrol", "enrol"):
        inner.audit.record("d-1", action, None, {"device": "d-1"})
    with inner.engine.begin() as db:
        db.execute(update(audit_table).values(at=0.0))
    inner.events.clean(1e9)
    kinds = [e.type.rpartition(".")[2] for e in inner.events.page(EventFilter(("device",))).events]
    assert kinds == ["revoked", "enrolled"]


def test_a_reader_that_waits_is_answered_by_the_next_event(inner: Hub) -> None:
    with TestClient(create_app(inner)) as client:
        token = (inner.settings.data / "admin.token").read_text().strip()
        client.headers["Authorization"] = f"Bearer {token}"
        after = client.get("/v1/events").json()["next"]
        later = threading.Timer(0.2, inner.audit.record, ("ann", "publish", "m"))
        later.start()
        page = client.get(f"/v1/events?after={after}&wait=25").json()
        later.join(PATIENCE)
        assert [event["type"] for event in page["events"]] == ["edge.version.published"]
        assert client.get(f"/v1/events?after={page['next']}&wait=0.1").json()["events"] == []
        assert client.get("/v1/events?kind=moon").status_code == 422


@pytest.fixture
def two_writers(cluster: Cluster) -> Iterator[tuple[Audit, EventStream]]:
    engine = create_engine(cluster.database())
    metadata.create_all(engine, [audit_table])
    yield Audit(engine), EventStream(engine)
    engine.dispose()


@pytest.mark.postgres
def test_ids_ascend_as_transactions_are_committed(
    two_writers: tuple[Audit, EventStream],
) -> None:
    audit, stream = two_writers
    recorded, committed = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction(audit._engine):
            audit.record("slow", "publish", "m")  # first, and committed last
            recorded.set()
            committed.wait(PATIENCE)

    thread = threading.Thread(target=slow)
    thread.start()
    recorded.wait(PATIENCE)
    audit.record("quick", "publish", "m")
    first = stream.page(after=0)
    committed.set()
    thread.join(PATIENCE)
    assert [event.actor for event in first.events] == ["quick"]
    assert [event.actor for event in stream.page(after=first.next).events] == ["slow"]
