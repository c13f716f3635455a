"""What devices post, answered without the general way: whose, how long it may take, its count."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from cloud_hub.api import device_posts
from cloud_hub.api.device_posts import DevicePosts
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from tests.hub.polls.asgi import Answered, application, ask
from tests.simulated_device import credentialed

PATH = "/v1/messages"


@pytest.fixture
def credential(serving: Hub) -> str:
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    return credentialed(serving, token)[1]


async def echo(device: EnrolledDevice, raw: bytes) -> Any:
    return {"models": list(device.models), "body": raw.decode()}


async def handed_on(scope: Scope, receive: Receive, send: Send) -> None:
    body = json.dumps((await receive())["body"].decode()).encode()
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": body})


def posted(hub: Hub, headers: dict[str, str], **more: Any) -> Answered:
    app = DevicePosts(handed_on, hub, {PATH: echo})
    asked = {"method": "POST", "content": b"hello", **more}
    return asyncio.run(ask(app, PATH, headers, **asked))


def test_a_known_device_is_answered_and_everything_else_handed_on_with_its_body(
    serving: Hub, credential: str
) -> None:
    shown = {"Authorization": f"Bearer {credential}"}
    answered = posted(serving, shown)
    assert (answered.status, json.loads(answered.body)) == (
        200,
        {"models": ["demo"], "body": "hello"},
    )
    others = (
        posted(serving, {}),
        posted(serving, {"Authorization": f"Bearer {credential}x"}),
        posted(serving, {"Authorization": f"Basic {credential}"}),
        posted(serving, shown, query=b"a=1"),
        posted(serving, shown, method="PUT"),
    )
    assert {(other.status, other.body) for other in others} == {(299, b'"hello"')}
    long = posted(serving, shown, content=b"a" * (device_posts.SHORT + 1))
    assert (long.status, len(long.body)) == (299, device_posts.SHORT + 3)


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    serving: Hub, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_posts, "PATIENCE_SECONDS", 0.02)
    sent: list[Message] = []

    async def never() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": PATH, "query_string": b"",
        "headers": [(b"authorization", f"Bearer {credential}".encode())],
    }  # fmt: skip
    asyncio.run(DevicePosts(handed_on, serving, {PATH: echo})(scope, never, send))
    assert sent[0]["status"] == 408
    assert b"expected at least 1024 bytes a second" in sent[1]["body"]


def test_what_devices_post_is_counted_by_what_it_is_about(serving: Hub, credential: str) -> None:
    app = application(serving)
    headers = {"Authorization": f"Bearer {credential}"}
    asked = ask(app, PATH, headers, method="POST", content=b'{"messages":[]}')
    try:
        assert asyncio.run(asked).status == 200
    finally:
        serving.telemetry.close()
    counted = app.state.metrics.text([]).decode()
    assert 'edge_hub_http_requests_total{code="2xx",group="messages",method="POST"} 1.0' in counted
