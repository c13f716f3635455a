"""The quick way of an upload and the general one: the same answers, refusals included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from cloud_hub.api import auth, device_posts
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Unavailable
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from tests.hub.polls.asgi import Answered, application, ask
from tests.hub.telemetry.reporting_fleet import Simulated
from tests.simulated_device import credentialed


@pytest.fixture
def device(serving: Hub) -> tuple[EnrolledDevice, str]:
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    name, credential = credentialed(serving, token)
    return EnrolledDevice(name, ("demo",)), credential


@pytest.fixture
def client(serving: Hub) -> Iterator[Any]:
    yield application(serving)
    serving.telemetry.close()


def posted(client: Any, body: str, credential: str) -> Answered:
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    return asyncio.run(ask(client, "/v1/messages", headers, method="POST", content=body.encode()))


def messages(hub: Hub, first: int) -> list[dict[str, Any]]:
    body = to_plain(Simulated(hub, devices=1).report_of(0))
    return [
        {"boot": "b1", "sequence": first, "kind": "window", "body": body},
        {"boot": "b1", "sequence": first + 1, "kind": "window", "body": {"nonsense": True}},
        {"boot": "b1", "sequence": first + 2, "kind": "window", "body": {**body, "profile": "0"}},
        {"boot": "b1"},
    ]


def finding(found: EnrolledDevice | None) -> Callable[..., Awaitable[EnrolledDevice | None]]:
    """Return what looks a device up; where it finds none an upload goes the general way."""

    async def look_up(*_: object) -> EnrolledDevice | None:
        return found

    return look_up


def test_both_ways_give_the_same_answers(
    serving: Hub, client: Any, device: tuple[EnrolledDevice, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    known, credential = device
    bodies = [
        lambda first: json.dumps({"messages": messages(serving, first)}),
        lambda first: json.dumps({"messages": []}),
        lambda first: json.dumps({"messages": 5}),
        lambda first: "no JSON",
        lambda first: json.dumps({"messages": messages(serving, first)[:1]}) + " " * 70_000,
    ]
    ways = []
    for first, recognised in ((1, None), (101, known)):
        monkeypatch.setattr(device_posts, "looked_up_device", finding(recognised))
        asked = [posted(client, body(first), credential) for body in bodies]
        replies = [(a.status, a.headers["content-type"], json.loads(a.body)) for a in asked]
        text = json.dumps(replies).replace(f'"sequence": {first + 1}', '"sequence": 2')
        ways.append(text.replace(f'"sequence": {first + 2}', '"sequence": 3'))
    assert ways[0] == ways[1]
    assert '"accepted": 1' in ways[0]
    assert serving.telemetry.predictions_by_device("demo") == {known.device: 200}


def test_a_full_queue_is_told_with_when_to_come_again(
    serving: Hub, client: Any, device: tuple[EnrolledDevice, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    known, credential = device

    async def full(*_: object) -> None:
        raise Unavailable("full", 5.0)

    monkeypatch.setattr(serving.telemetry, "ingest_async", full)
    body = json.dumps({"messages": messages(serving, 1)[:1]})
    for recognised in (None, known):
        monkeypatch.setattr(device_posts, "looked_up_device", finding(recognised))
        reply = posted(client, body, credential)
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert json.loads(reply.body) == {"error": "full"}


def test_a_device_is_looked_up_once_and_then_known(
    serving: Hub, device: tuple[EnrolledDevice, str]
) -> None:
    known, credential = device
    serving.fleet.known.clear()
    assert auth.known_device(serving, credential) is None
    assert asyncio.run(auth.looked_up_device(serving, credential)) == known
    assert auth.known_device(serving, credential) == known
    assert asyncio.run(auth.looked_up_device(serving, "nobody's")) is None
