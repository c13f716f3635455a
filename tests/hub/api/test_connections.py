"""Connections that ask nothing are hung up on; those that ask stay."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from cloud_hub.api.connections import impatient_protocol, take_all_handles
from tests.waiting import PATIENCE, wait_for


async def app(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(1.0)  # longer than a connection may be silent at its start
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=impatient_protocol(0.3), lifespan="off", log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_for(lambda: server.started, "the server")
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(PATIENCE)


def test_who_says_nothing_or_half_a_request_is_hung_up_on_and_who_asks_is_answered(
    port: int,
) -> None:
    with contextlib.ExitStack() as stack:
        silent, half, asking = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            for _ in range(3)
        )
        half.sendall(b"GET / HT")
        asking.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert silent.recv(100) == b""
        assert half.recv(100) == b""
        assert asking.recv(100).startswith(b"HTTP/1.1 204")


def test_a_process_takes_all_handles_that_it_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        take_all_handles()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
