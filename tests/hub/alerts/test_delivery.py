"""Events on their way to a real receiver: signed, in order, each at least once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.alerts.delivery import Courier
from cloud_hub.alerts.envelope import cloud_event, text_of
from cloud_hub.alerts.rules import AlertRules
from cloud_hub.app import create_app
from cloud_hub.database.event_kinds import classified
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.events.event import StreamEvent
from cloud_hub.hub import Hub, open_hub
from cloud_hub.settings import Settings
from tests.hub.alerts.receiver import Receiver, receiving
from tests.new_hub import initialise
from tests.waiting import wait_for

EVERYTHING = AlertRules(severity="info")


@pytest.fixture
def hub(tmp_path: Path, database: str | None) -> Iterator[Hub]:
    allowed = ("127.0.0.0/8",)
    settings = Settings(tmp_path / "hub", database, tick_seconds=0, alert_networks=allowed)
    initialise(settings)
    hub = open_hub(settings)
    yield hub
    hub.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as receiver:
        yield receiver


def courier(hub: Hub, ahead: float = 0.0) -> Courier:
    """One whose clock is ahead."""
    made = hub.alerts._courier
    return Courier(
        hub.alerts.store, hub.events, made._source, made._allowed, lambda: time.time() + ahead
    )


def is_signed(got: dict[str, Any], secret: str, which: int = 0) -> bool:
    """As a receiver checks it who has read the specification and uses no library."""
    headers = {name.lower(): value for name, value in got["headers"].items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{got['body']}"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, signed.encode(), hashlib.sha256)).decode()
    return bool(headers["webhook-signature"].split()[which] == f"v1,{expected}")


def test_each_event_arrives_in_order_as_a_signed_cloudevent(hub: Hub, receiver: Receiver) -> None:
    secret = hub.alerts.add("ops", "webhook", receiver.url, AlertRules(), actor="ann")
    assert secret is not None
    hub.audit.record("ann", "publish", "m", {"version": "1.1"})  # no warning
    hub.audit.record("hub", "canary aborted", "m", {"version": "1.1", "reason": "errors"})
    hub.audit.record("hub", "run failed", "m", {"reason": "no rows"})
    courier(hub).deliver("ops")
    got, events = receiver.got(), receiver.events()
    assert [event["type"] for event in events] == ["edge.rollout.aborted", "edge.run.failed"]
    assert got[0]["path"] == "/hook?a=1"
    assert got[0]["headers"]["Content-Type"].startswith("application/cloudevents+json")
    assert all(is_signed(each, secret) for each in got)
    first = events[0]
    assert (first["specversion"], first["subject"], first["severity"]) == (
        "1.0",
        "m/1.1",
        "critical",
    )
    assert first["data"]["detail"]["reason"] == "errors"
    assert int(first["id"]) < int(events[1]["id"])
    courier(hub).deliver("ops")
    assert len(receiver.got()) == 2
    assert [tried.delivered for tried in hub.alerts.deliveries("ops", 10)] == [True, True]


def test_a_receiver_that_was_away_gets_everything_afterwards(hub: Hub, receiver: Receiver) -> None:
    hub.alerts.add("ops", "webhook", receiver.url, EVERYTHING, actor="ann")
    receiver.answer("503 100")
    begin = len(receiver.got())
    for number in range(3):
        hub.audit.record("ann", "publish", f"m{number}")
    courier(hub).deliver("ops")
    courier(hub, ahead=50.0).deliver("ops")  # it asked to be left alone for longer
    assert len(receiver.got()) == begin + 1
    assert hub.alerts.failing()[0].reason == "answered 503"
    receiver.answer("200")
    courier(hub, ahead=105.0).deliver("ops")
    models = [event["data"]["model"] for event in receiver.events() if event["data"]["model"]]
    assert list(dict.fromkeys(models)) == ["m0", "m1", "m2"]
    assert hub.alerts.failing() == []


def test_an_event_that_is_sent_again_has_the_same_id(
    hub: Hub, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.alerts.add("ops", "webhook", receiver.url, EVERYTHING, actor="ann")
    sender = courier(hub)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt  # after the receiver took it, before that was written down

    with monkeypatch.context() as patch:
        patch.setattr(hub.alerts.store, "advance", killed)
        with pytest.raises(KeyboardInterrupt):
            sender.deliver("ops")
    sender.deliver("ops")
    ids = [got["headers"]["webhook-id"] for got in receiver.got()]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_redirects_are_not_followed_and_gone_is_final(hub: Hub, receiver: Receiver) -> None:
    hub.alerts.add("ops", "webhook", receiver.url, EVERYTHING, actor="ann")
    receiver.answer("302")
    outcome = hub.alerts.test("ops", actor="ann")
    assert (outcome.delivered, outcome.status) == (False, 302)
    assert [got["path"] for got in receiver.got()] == ["/hook?a=1"]
    receiver.answer("410")
    courier(hub).deliver("ops")
    assert hub.alerts.failing()[0].disabled
    hub.alerts.resume("ops", actor="ann", skip=True)
    receiver.answer("200")
    courier(hub).deliver("ops")  # what waited was left out; that it was resumed is new
    assert [e["type"] for e in receiver.events()[2:]] == ["edge.hub.alerts_resumed"]


def test_a_private_address_is_not_asked_unless_allowed(inner: Hub, receiver: Receiver) -> None:
    inner.alerts.add("ops", "webhook", receiver.url, EVERYTHING, actor="ann")
    outcome = inner.alerts.test("ops", actor="ann")
    assert not outcome.delivered
    assert "not public" in outcome.reason
    assert receiver.got() == []


def test_both_secrets_sign_while_a_receiver_changes_over(hub: Hub, receiver: Receiver) -> None:
    old = hub.alerts.add("ops", "webhook", receiver.url, EVERYTHING, actor="ann")
    new = hub.alerts.rotate("ops", actor="ann")
    assert old is not None
    hub.alerts.test("ops", actor="ann")
    (got,) = receiver.got()
    assert is_signed(got, new, 0)
    assert is_signed(got, old, 1)
    (stored,) = hub.alerts.store.all()
    assert stored.signing(time.time() + 90_000.0) == [new]


def test_what_is_critical_does_not_wait_and_comes_once(hub: Hub, receiver: Receiver) -> None:
    rules = AlertRules(quiet=("00:00-24:00",))
    hub.alerts.add("ops", "webhook", receiver.url, rules, actor="ann")
    hub.audit.record("hub", "run failed", "m")
    hub.audit.record("hub", "canary aborted", "m")
    courier(hub).deliver("ops")
    courier(hub).deliver("ops")
    assert [e["type"] for e in receiver.events()] == ["edge.rollout.aborted"]
    hub.alerts.change("ops", AlertRules(), actor="ann")
    courier(hub).deliver("ops")
    assert [e["type"] for e in receiver.events()] == ["edge.rollout.aborted", "edge.run.failed"]


def test_the_loop_has_them_sent_and_holds_up_nothing(hub: Hub, receiver: Receiver) -> None:
    hub.alerts.add("ops", "webhook", receiver.url, EVERYTHING, actor="ann")
    hub.alerts.tick(time.time())
    wait_for(lambda: hub.alerts.status()[0].waiting == 0, "its delivery")
    assert [e["type"] for e in receiver.events()] == ["edge.hub.alerts_added"]


def test_the_api_shows_a_secret_once_and_never_again(hub: Hub, receiver: Receiver) -> None:
    from fastapi.testclient import TestClient

    with TestClient(create_app(hub)) as client:
        token = (hub.settings.data / "admin.token").read_text().strip()
        client.headers["Authorization"] = f"Bearer {token}"
        path = "/v1/alerts/destinations"
        made = client.post(f"{path}/ops", json={"url": receiver.url, "severity": "info"})
        assert made.status_code == 201
        secret = made.json()["secret"]
        shown = client.get(path).text + client.get("/v1/audit").text + client.get("/v1/events").text
        assert secret not in shown
        assert "a=1" not in shown
        assert client.post(f"{path}/ops/test").json()["delivered"]
        assert client.post(f"{path}/ops", json={"url": receiver.url}).status_code == 409
        assert client.post(f"{path}/x", json={"url": "file:///etc/passwd"}).status_code == 422
        assert client.post(f"{path}/ops/silence?seconds=60&reason=x").status_code == 204
        assert client.post(f"{path}/ops/resume").status_code == 204
        wanted = {"kinds": ["rollout"], "severity": "critical"}
        assert client.put(f"{path}/ops/rules", json=wanted).status_code == 204
        assert client.get(path).json()[0]["rules"]["kinds"] == ["rollout"]
        assert client.get(f"{path}/ops/deliveries").json() == []
        assert client.delete(f"{path}/ops").status_code == 204
        assert client.post(f"{path}/ops/test").status_code == 404


def test_rules_and_places_that_make_no_sense_are_refused(hub: Hub) -> None:
    digest = AlertRules(digest_seconds=60.0)
    with pytest.raises(Invalid, match="digest"):
        hub.alerts.add("ops", "webhook", "https://a.example/", digest, actor="ann")
    with pytest.raises(Invalid, match="kind: expected one of"):
        AlertRules(kinds=("moon",))
    with pytest.raises(Invalid, match="webhook"):
        hub.alerts.add("ops", "apprise", "json://127.0.0.1/", AlertRules(), actor="ann")
    with pytest.raises(NotFound):
        hub.alerts.rotate("ops", actor="ann")
    hub.alerts.add("ops", "webhook", "https://a.example/", AlertRules(), actor="ann")
    with pytest.raises(Conflict):
        hub.alerts.add("ops", "webhook", "https://a.example/", AlertRules(), actor="ann")


def an_event(**data: Any) -> StreamEvent:
    filed = classified("hub", "canary aborted", {})
    return StreamEvent(
        1, 0.0, filed.kind, filed.type, filed.severity, "m", "1.1", None, "hub", "canary aborted",
        data,
    )  # fmt: skip


def test_evidence_that_is_too_long_is_left_out() -> None:
    body = json.loads(cloud_event(an_event(reason="x", figures=["y" * 90_000]), "urn:edge-hub:1"))
    assert body["data"]["shortened"]
    assert body["data"]["detail"] == {"reason": "x"}


def test_what_a_device_says_cannot_add_lines_to_a_message() -> None:
    text = text_of([an_event(reason="bad\nSubject: x\r\x1b[31m")] * 21)
    assert len(text.splitlines()) == 21
    assert text.endswith("and 1 more: edge-hub events")
    assert "\x1b" not in text
