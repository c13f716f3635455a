"""Asking a device for its log or for a sync: who may, who is told, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from sqlalchemy import func, select, update

from cloud_hub.errors import Conflict, TooManyRequests
from cloud_hub.fleet import asks as asks_module
from cloud_hub.fleet.tables import device_asks
from cloud_hub.hub import Hub
from edge_sdk.contract.fleet import DeviceLog, DeviceLogLine
from edge_sdk.contract.version import ASKS
from tests.hub.pages.visitor import Visitor, told
from tests.hub.polls.asgi import application, ask
from tests.simulated_device import credentialed

TIMESTAMP = "/v1/metadata/timestamp.json"
LOG = DeviceLog(True, (DeviceLogLine(5.0, "WARNING", "edge_sdk.x", "<b>the hub is away</b>"),))


def joined(hub: Hub) -> tuple[str, dict[str, str]]:
    token = hub.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
    device, credential = credentialed(hub, token)
    return device, {"Authorization": f"Bearer {credential}"}


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "general"])
def test_only_the_device_that_is_asked_is_told_and_no_cache_keeps_it(
    serving: Hub, fast: bool
) -> None:
    app = application(serving, fast=fast)
    (device, own), (_, other) = joined(serving), joined(serving)
    serving.fleet.asks.ask(device, "logs", actor="ann")
    serving.fleet.asks.ask(device, "sync", actor="ann")
    for path, method in ((TIMESTAMP, "GET"), ("/v1/alive", "POST")):
        answer = asyncio.run(ask(app, path, own, method))
        assert (answer.headers[ASKS.lower()], answer.headers["cache-control"]) == (
            "logs, sync", "no-store",
        )  # fmt: skip
        assert ASKS.lower() not in asyncio.run(ask(app, path, other, method)).headers


def test_a_device_that_waits_is_answered_at_once_and_waits_again_if_it_does_not_answer(
    serving: Hub,
) -> None:
    app = application(serving)
    device, own = joined(serving)
    etag = asyncio.run(ask(app, TIMESTAMP, own)).headers["etag"]
    waits = own | {"If-None-Match": etag, "Prefer": "wait=300"}

    async def asked_while_it_waits() -> Any:
        waiting = asyncio.create_task(ask(app, TIMESTAMP, waits))
        while not len(serving.waiters):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(serving.fleet.asks.ask, device, "sync", actor="ann")
        answer = await waiting
        # As one of an older SDK, which takes no notice: the hub lets it wait as before.
        waiting = asyncio.create_task(ask(app, TIMESTAMP, waits))
        while not len(serving.waiters):
            await asyncio.sleep(0.01)
        serving.waiters.release()
        await waiting
        return answer

    answer = asyncio.run(asked_while_it_waits())
    assert (answer.status, answer.headers[ASKS.lower()]) == (304, "sync")


def test_a_log_is_taken_once_and_only_from_whom_it_was_asked(serving: Hub) -> None:
    (device, _), (other, _) = joined(serving), joined(serving)
    asks = serving.fleet.asks
    made = asks.ask(device, "logs", actor="ann")
    assert asks.ask(device, "logs", actor="bob") == made
    with pytest.raises(Conflict, match="nobody asked"):
        asks.take_log(other, LOG)
    asks.take_log(device, LOG)
    with pytest.raises(Conflict, match="it was sent already"):
        asks.take_log(device, LOG)
    (kept,) = asks.of(device)
    assert (kept.state(time.time()), kept.lines[0]["message"]) == (
        "answered", "<b>the hub is away</b>",
    )  # fmt: skip
    assert [e.actor for e in serving.audit.entries() if e.action == "ask-logs"] == ["ann"]
    serving.fleet.forget(device, reason="sold", actor="ann")
    with serving.engine.connect() as db:
        assert db.execute(select(func.count()).select_from(device_asks)).scalar_one() == 0


def test_questions_are_bounded_in_number_and_gone_after_a_week(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (device, own), (other, _) = joined(serving), joined(serving)
    asks = serving.fleet.asks
    monkeypatch.setattr(asks_module, "MOST_OPEN", 1)
    asks.ask(device, "logs", actor="ann")
    with pytest.raises(TooManyRequests, match="have not answered"):
        asks.ask(other, "logs", actor="ann")
    for _ in range(12):
        asks.take_log(device, DeviceLog(False))
        asks.ask(device, "logs", actor="ann")
    assert len(asks.of(device)) == asks_module.KEPT_OF_DEVICE
    long_ago = device_asks.c.asked_at - 2 * asks_module.DAY
    with serving.engine.begin() as db:
        db.execute(update(device_asks).values(asked_at=long_ago))
    assert {a.state(time.time()) for a in asks.of(device)} == {"refused", "expired"}
    serving.asked.changed()
    answer = asyncio.run(ask(application(serving), TIMESTAMP, own))
    assert ASKS.lower() not in answer.headers
    asks.tick(time.time() + 6 * asks_module.DAY)
    assert asks.of(device) == []


def test_the_page_asks_shows_the_log_and_says_that_an_owner_refuses(serving: Hub) -> None:
    visitor = Visitor(serving).sign_in()
    device, own = joined(serving)
    said = visitor.send(f"/devices/{device}/log")
    assert (said.status, said.headers["location"]) == (303, f"/devices/{device}")
    assert "log waits" in told(visitor.page(f"/devices/{device}"))
    sent = own | {"Content-Type": "application/json"}
    body = json.dumps({"allowed": True, "lines": [vars(LOG.lines[0])]}).encode()
    app = application(serving)
    for status in (204, 409):
        assert asyncio.run(ask(app, "/v1/device-log", sent, "POST", b"", body)).status == status
    page = visitor.page(f"/devices/{device}")
    assert "<b>the hub is away</b>" not in page
    assert "warning <b>the hub is away</b> edge_sdk.x" in told(page)
    serving.fleet.asks.ask(device, "logs", actor="ann")
    serving.fleet.asks.take_log(device, DeviceLog(False))
    assert "log refused" in told(visitor.page(f"/devices/{device}"))
    many = json.dumps({"allowed": True, "lines": [vars(LOG.lines[0])] * 501}).encode()
    assert asyncio.run(ask(app, "/v1/device-log", sent, "POST", b"", many)).status == 422
