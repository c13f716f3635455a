"""Connections that ask nothing are hung up on; those that ask stay, and a crowd is let in."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from cloud_hub.api.connections import duplicate_listeners, impatient_protocol, take_all_handles
from tests.waiting import PATIENCE, wait_for

REQUEST = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n"
KEPT_SECONDS = 0.1


async def app(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(1.0)  # longer than a connection may be silent at its start
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def serving(app: Any, protocol: Any, **options: Any) -> Iterator[int]:
    """Serve an application on a thread; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=protocol, lifespan="off", log_config=None, ws="none", **options
    )
    server = uvicorn.Server(config)
    sockets = duplicate_listeners(listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    wait_for(lambda: server.started, "the server")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@pytest.fixture
def port() -> Iterator[int]:
    with serving(app, impatient_protocol(0.3)) as port:
        yield port


def test_who_says_nothing_or_half_a_request_is_hung_up_on_and_who_asks_is_answered(
    port: int,
) -> None:
    with contextlib.ExitStack() as stack:
        silent, half, asking = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            for _ in range(3)
        )
        half.sendall(b"GET / HT")
        asking.sendall(REQUEST)
        assert silent.recv(100) == b""
        assert half.recv(100) == b""
        assert asking.recv(100).startswith(b"HTTP/1.1 204")


class Standstill:
    """An application that stops its whole process after an answer, with the connection kept."""

    def __init__(self) -> None:
        self.asked = 0
        self.asked_again = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        if self.asked == 1:
            assert self.asked_again.wait(PATIENCE)
            time.sleep(2 * KEPT_SECONDS)  # now the next request is there, and its time is over


def test_a_request_that_came_in_time_is_answered_by_a_hub_that_reads_it_late() -> None:
    app = Standstill()
    with contextlib.ExitStack() as stack:
        served = serving(app, impatient_protocol(), timeout_keep_alive=KEPT_SECONDS)
        address = ("127.0.0.1", stack.enter_context(served))
        kept = stack.enter_context(socket.create_connection(address, PATIENCE))
        kept.sendall(REQUEST)
        assert kept.recv(1_000).startswith(b"HTTP/1.1 204")
        kept.sendall(REQUEST)
        app.asked_again.set()
        assert kept.recv(1_000).startswith(b"HTTP/1.1 204")
        assert kept.recv(1_000) == b""  # and afterwards it is idle


class Crowd:
    """An application that stops its whole process in the first request, until a crowd has come, and
    then counts the turns of its event loop until all of them have asked.
    """

    SIZE = 64

    def __init__(self) -> None:
        self.asked, self.turns, self.has_come = 0, 0, threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        if self.asked == 1:
            assert self.has_come.wait(PATIENCE)
            self._count()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _count(self) -> None:
        if self.asked < self.SIZE:
            self.turns += 1
            asyncio.get_running_loop().call_soon(self._count)


def test_a_crowd_is_let_in_within_fewer_turns_of_the_loop_than_there_are_connections() -> None:
    app = Crowd()
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", stack.enter_context(serving(app, impatient_protocol())))
        crowd = []
        for _ in range(Crowd.SIZE):
            crowd.append(stack.enter_context(socket.create_connection(address, PATIENCE)))
            crowd[-1].sendall(REQUEST)
        app.has_come.set()
        for each in crowd:
            assert each.recv(1_000).startswith(b"HTTP/1.1 204")
    assert app.turns < Crowd.SIZE / 2


def test_a_process_takes_all_handles_that_it_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        take_all_handles()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
