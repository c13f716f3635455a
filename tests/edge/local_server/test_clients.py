"""Many clients, slow clients, clients that go away: the others get their answers."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError, StateError
from edge_sdk.local_server.connection import Connection
from edge_sdk.local_server.limits import ServerLimits
from edge_sdk.local_server.server import LocalServer
from tests.edge.builders import make_release, rows, softmax
from tests.edge.local_server.asking import (
    INFER,
    FrameClient,
    ask,
    connected,
    received,
    row_request,
    tensors,
)
from tests.waiting import PATIENCE, wait_for

GOOD = row_request([1, 2, 3, 4])


def request(body: Any) -> bytes:
    raw = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (INFER.encode(), len(raw), raw)


def test_a_hundred_at_once_each_get_their_own_answer(server: LocalServer) -> None:
    x = rows(100)
    expected = softmax(x, 0).argmax(axis=1).tolist()
    start = threading.Barrier(100)

    def client(i: int) -> list[int]:
        with connected(server) as sock:
            start.wait()
            labels = []
            for _ in range(5):
                sock.sendall(request(row_request(x[i].tolist(), id=str(i))))
                answer = b""
                while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
                    answer += sock.recv(1 << 16)
                body = json.loads(answer.partition(b"\r\n\r\n")[2])
                assert body["id"] == str(i)
                labels.append(tensors(body)["label"][0])
            return labels

    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(client, range(100)))
    assert found == [[label] * 5 for label in expected]


def displaced(server: LocalServer) -> float:
    """How many connections had to make room, by what the server says of itself."""
    lines = ask(server, "/metrics")[1].decode().splitlines()
    name = "edge_server_connections_displaced_total "
    return float(next(line for line in lines if line.startswith(name)).removeprefix(name))


def test_clients_that_say_nothing_make_room_for_one_that_asks(
    device: EdgeDevice, socket_path: Path
) -> None:
    with LocalServer(device, port=0, limits=ServerLimits(connections=8)) as server:
        idle = [connected(server) for _ in range(30)]
        half = [connected(server) for _ in range(30)]
        for sock in half:
            sock.sendall(request(GOOD)[:-10])
        assert ask(server, INFER, GOOD)[0] == 200
        assert displaced(server) > 0
        for sock in (*idle, *half):
            sock.close()


def drip(sock: socket.socket, data: bytes) -> None:
    for byte in data:
        sock.sendall(bytes([byte]))
        time.sleep(0.05)


def insist(sock: socket.socket, data: bytes) -> None:
    """Send again and again, and read no answer."""
    while True:
        sock.sendall(data)


def test_a_request_that_drips_is_ended_though_it_never_stops(device: EdgeDevice) -> None:
    limits = ServerLimits(request_seconds=0.5)
    with LocalServer(device, port=0, limits=limits) as server, connected(server) as sock:
        began = time.monotonic()
        with pytest.raises(OSError):
            drip(sock, request(GOOD) + bytes(10_000))
        assert time.monotonic() - began < 60
        assert ask(server, INFER, GOOD)[0] == 200


def test_an_idle_connection_ends_and_a_client_that_reads_nothing_holds_up_nobody(
    device: EdgeDevice,
) -> None:
    limits = ServerLimits(idle_seconds=0.2, request_seconds=0.5)
    with LocalServer(device, port=0, limits=limits) as server:
        with connected(server) as sock:
            assert sock.recv(1) == b""
        x = rows(2_000)
        big = request(row_request(x.tolist(), x.shape))
        with connected(server) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            with pytest.raises(OSError):
                insist(deaf, big)
        assert ask(server, INFER, GOOD)[0] == 200


def test_clients_that_take_no_answer_make_room_before_their_time_is_over(
    device: EdgeDevice,
) -> None:
    limits = ServerLimits(connections=2, request_seconds=3_600)
    x = rows(2_000)
    big = request(row_request(x.tolist(), x.shape))
    with LocalServer(device, port=0, limits=limits) as server:
        deaf = [connected(server) for _ in range(2)]
        for sock in deaf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.settimeout(2.0)
            with pytest.raises(TimeoutError):
                insist(sock, big)
        silent = [connected(server) for _ in range(2)]
        assert displaced(server) >= 3  # both, and a silent one for this very question
        for sock in (*deaf, *silent):
            sock.close()


def test_what_is_sent_in_the_middle_of_a_request_gives_it_no_more_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"POST")
        connection = Connection(ours, ServerLimits())
        connection.begin()
        ends_at = connection.ends_at
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert connection.ends_at == ends_at


def test_a_connection_that_is_ended_behind_its_answer_waits_for_no_other_request() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"two requests, the second of which was sent at once")
        connection = Connection(ours, ServerLimits())
        served: list[bytes] = []

        def exchange(of: Connection) -> bool:
            served.append(of.take(12))
            of.answering()
            of.end()  # as the server does when it is closed, once the answer is as good as sent
            return True

        connection.serve(exchange)
        assert served == [b"two requests"]


def test_a_client_that_is_gone_before_its_answer_is_forgotten(server: LocalServer) -> None:
    for cut in (1, 40, -1, None):
        with connected(server) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(request(GOOD)[:cut])

    def alone() -> bool:
        text = ask(server, "/metrics")[1].decode()
        return "\nedge_server_connections 1\n" in text

    wait_for(alone, "connections that are gone to be forgotten")


def test_a_client_that_waits_to_be_told_sends_its_body(server: LocalServer) -> None:
    body = json.dumps(GOOD).encode()
    head = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n" % (
        INFER.encode(), len(body),
    )  # fmt: skip
    with connected(server) as sock:
        sock.sendall(head + b"Connection: close\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert received(sock).startswith(b"HTTP/1.1 200 OK")


def test_large_bodies_of_all_clients_together_are_bounded(device: EdgeDevice) -> None:
    limits = ServerLimits(body_bytes=200_000, all_bodies_bytes=300_000)
    large = json.dumps(GOOD).encode() + b" " * 150_000
    begun = b"POST /v2 HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000)
    with LocalServer(device, port=0, limits=limits) as server, contextlib.ExitStack() as first:

        def taken() -> bool:
            first.close()  # or the large one came before it, and it was refused
            first.enter_context(connected(server)).sendall(begun)
            return ask(server, INFER, large)[0] == 503

        wait_for(taken, "the budget to be taken")
        assert ask(server, INFER, GOOD)[0] == 200  # small ones are always taken
        first.close()
        wait_for(lambda: ask(server, INFER, large)[0] == 200, "the budget to be free again")


def test_a_small_body_that_is_compressed_leaves_room_for_others(device: EdgeDevice) -> None:
    limits = ServerLimits(body_bytes=1_000_000, all_bodies_bytes=1_000_000)
    coding, body = {"Content-Encoding": "gzip"}, gzip.compress(json.dumps(GOOD).encode())
    with LocalServer(device, port=0, limits=limits) as server, connected(server) as first:
        head = b"POST %s HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        first.sendall(head % (INFER.encode(), len(body)) + body[:-1])
        assert ask(server, INFER, body, coding)[0] == 200
        first.sendall(body[-1:])
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[EdgeDevice]:
    with EdgeDevice.offline(make_release(tmp_path, defect="hang").folder) as device:
        yield device
        serving = device._service.serving
        assert serving is not None
        serving.model.abort()  # or its threads would compute for hours


def test_a_model_that_hangs_holds_up_nobody_else_and_no_closing(hanging: EdgeDevice) -> None:
    server = LocalServer(hanging, port=0)
    x = rows(2)
    x[0, 0] = 200.0
    with connected(server) as sock:
        sock.sendall(request(row_request(x.ravel().tolist(), x.shape)))
        time.sleep(0.2)
        assert ask(server, "/v2/health/ready")[0] == 200
        assert ask(server, INFER, GOOD)[0] == 200
        began = time.monotonic()
        server.close(timeout=0.5)
        assert time.monotonic() - began < 20
        assert received(sock) == b""


def test_closing_waits_for_an_answer_which_is_the_last_of_its_connection(
    hanging: EdgeDevice,
) -> None:
    server, x = LocalServer(hanging, port=0), rows(2)
    x[0, 0] = 200.0
    with connected(server) as sock, ThreadPoolExecutor(1) as pool:
        sock.sendall(request(row_request(x.ravel().tolist(), x.shape)) + request(GOOD))
        wait_for(lambda: any(c.is_answering for c in [*server._connections]), "the request")
        closing = pool.submit(server.close, PATIENCE)
        wait_for(lambda: all(c.is_ending for c in [*server._connections]), "closing to begin")
        assert not closing.done()
        serving = hanging._service.serving
        assert serving is not None
        serving.model.abort()
        answer = received(sock)
        closing.result(PATIENCE)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"}")


def test_closing_lets_an_answer_finish_and_ends_the_rest(
    device: EdgeDevice, tmp_path: Path
) -> None:
    server = LocalServer(device, port=0, path=tmp_path / "s")
    idle, client = connected(server), FrameClient(tmp_path / "s")
    assert client.row(rows(1)[0].tobytes())["label"] is not None
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 4
    assert (idle.recv(1), client.sock.recv(1)) == (b"", b"")
    idle.close()
    client.close()
    with pytest.raises(OSError):
        connected(server)
    server.close()  # once more does nothing


def test_a_port_that_is_taken_and_limits_that_are_none_are_refused(
    server: LocalServer, device: EdgeDevice
) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(StateError, match=f"port {port}: .*; choose another port"):
        LocalServer(device, port=port)
    for wrong in ("192.0.2.1", "no address"):
        with pytest.raises(StateError, match="cannot listen on"):
            LocalServer(device, host=wrong, port=0)
    with pytest.raises(StateError, match="expected 0 to 65535"):
        LocalServer(device, port=70_000)
    for wrong_limit in (0, -1, True, 1.5, None):
        with pytest.raises(InputError, match="connections: expected a number above 0"):
            ServerLimits(connections=wrong_limit)  # type: ignore[arg-type]
