"""Requests that no route is for: each is refused with a reason, none is a 5xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from cloud_hub.api.request_body import body_chunks, raw_body
from cloud_hub.errors import HubFault, Invalid, TooLarge, TooSlow
from edge_sdk.contract.version import PROTOCOL
from tests.campaigns.fuzzing.hub_under_fire import hub_under_fire
from tests.campaigns.fuzzing.in_process import Asked


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with hub_under_fire(tmp_path_factory.mktemp("fire")) as fire:
        yield lambda method, path, query="", **more: fire.ask(
            Asked("administrator", method, path, query, **more)
        )


LINES: dict[str, tuple[str, str, str, int, str]] = {
    "a NUL in a path": ("GET", "/v1/metadata/a%00.json", "", 400, "path: expected UTF-8 without"),
    "5,000 characters in a path": ("GET", "/v1/metadata/" + "x" * 5_000, "", 414, "at most 1024"),
    "a name longer than file systems take": (
        "GET",
        "/v1/metadata/" + "x" * 300 + ".json",
        "",
        414,
        "at most 200 bytes between two",
    ),
    "300 bytes in 100 characters": (
        "GET",
        "/v1/targets/" + "%E2%82%AC" * 100,
        "",
        414,
        "at most 200 bytes between two",
    ),
    "a path that is no UTF-8": ("GET", "/v1/models/%FF/plan", "", 400, "path: expected UTF-8"),
    "a lone surrogate in a path": ("GET", "/v1/models/%ED%A0%80/plan", "", 400, "path: expected"),
    "a line break in a query": (
        "POST",
        "/v1/models/demo/rollback",
        "reason=a%0Ab",
        400,
        "query: expected UTF-8 without",
    ),
    "a NUL in a query": ("GET", "/v1/audit", "model=a%00b", 400, "query: expected UTF-8 without"),
    "a query of 100,000 characters": (
        "GET",
        "/v1/audit",
        "model=" + "x" * 100_000,
        414,
        "at most 8192",
    ),
    "a time after every calendar": ("GET", "/v1/audit", "since=1e15", 422, "query.since"),
    "a time that is no number": (
        "GET",
        "/v1/models/demo/monitor/history",
        "since=nan",
        422,
        "since",
    ),
    "an infinite time": ("GET", "/v1/models/demo/samples", "since=inf", 422, "query.since"),
    "a method of our own": ("BREW", "/v1/models", "", 405, "Method Not Allowed"),
    "a run beyond the database's": (
        "GET",
        "/v1/runs/99999999999999999999/log",
        "",
        422,
        "path.run",
    ),
    "a target outside": ("GET", "/v1/targets/..%2F..%2Fadmin.token", "", 404, "not found"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_request_line_that_can_be_no_name_is_refused(ask: Any, case: str) -> None:
    method, path, query, status, reason = LINES[case]
    answer = ask(method, path, query)
    assert (answer.status, answer.error) == (status, "")
    assert reason in json.loads(answer.body)["error"]
    headers = [(name.lower(), value) for name, value in answer.headers]
    assert (b"edge-hub", b"%d" % PROTOCOL) in headers


@pytest.mark.parametrize("host", ["[", "[::1", "a:b:c", "\xff", "", "hub:99999999", "a/b?c#d"])
def test_a_host_that_is_none_does_not_matter(ask: Any, host: str) -> None:
    for path in ("/v1/models", "/nowhere", "/v1/models/"):
        assert ask("GET", path, headers=(("Host", host),)).status in (200, 307, 400, 404)


def test_an_answer_with_what_json_does_not_have_is_sent_all_the_same() -> None:
    from cloud_hub.api.json_response import SafeJSONResponse

    raw = SafeJSONResponse({"a": float("nan"), "b": [float("inf"), 1.5], "c": "\ud800"}).body
    assert json.loads(raw) == {"a": None, "b": [None, 1.5], "c": "\ud800"}


def request(parts: list[bytes], headers: dict[str, str], wait: float = 0.0) -> Request:
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(wait)
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    raw = [(n.lower().encode(), v.encode()) for n, v in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


BODIES: dict[str, tuple[Request, type[HubFault]]] = {
    "a length beyond the limit": (request([], {"Content-Length": "11"}), TooLarge),
    "a length of 5,000 digits": (request([], {"Content-Length": "9" * 5_000}), TooLarge),
    "more than was said": (request([b"x" * 11], {"Content-Length": "2"}), TooLarge),
    "chunks beyond the limit": (request([b"x" * 6] * 2, {}), TooLarge),
    "a client that hangs up": (request([b"x"], {"Content-Length": "5"}), Invalid),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_does_not_end_well_is_refused(case: str) -> None:
    made, error = BODIES[case]
    with pytest.raises(error):
        asyncio.run(raw_body(made, 10))


def test_a_client_that_drips_is_not_waited_for() -> None:
    dripping = request([b"x"] * 10_000, {}, wait=0.01)

    async def read() -> int:
        return sum([len(chunk) async for chunk in body_chunks(dripping, 1 << 20, patience=0.05)])

    with pytest.raises(TooSlow, match="expected at least 1024 bytes a second"):
        asyncio.run(read())
