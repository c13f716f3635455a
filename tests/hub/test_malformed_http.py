"""Bytes on the line that are no HTTP, or lie about it: a real hub refuses them and goes on."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.servers import HubProcess
from tests.waiting import PATIENCE

HEAD = b"POST /v1/enrol HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer guess\r\n"
SENT: dict[str, bytes] = {
    "noise": b"\x16\x03\x01\x00\xa5\x01\x00\x00" * 20,
    "no version": b"GET /v1/health\r\n\r\n",
    "a line of 100,000 characters": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: hub\r\n\r\n",
    "a header of 100,000 characters": HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "ten thousand headers": HEAD + b"X: y\r\n" * 10_000 + b"\r\n",
    "a length below zero": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length that is no number": HEAD + b"Content-Length: many\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length of 5,000 digits": HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "a length beyond the limit": HEAD + b"Content-Length: 99999999999\r\n\r\n",
    "length and chunks": HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk below zero": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
    "a target that is no path": b"GET http://[ HTTP/1.1\r\nHost: hub\r\n\r\n",
    "a target of bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: hub\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "a host that is none": b"GET /nowhere HTTP/1.1\r\nHost: [\r\n\r\n",
    "an upgrade": b"GET /v1/health HTTP/1.1\r\nHost: hub\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "a proxy's request": b"CONNECT hub:80 HTTP/1.1\r\nHost: hub\r\n\r\n",
    "half a body": HEAD + b'Content-Length: 50\r\n\r\n{"model":',
}


@pytest.mark.parametrize("case", SENT)
def test_what_is_no_http_is_answered_with_a_refusal_or_hung_up_on(
    hub: HubProcess, case: str
) -> None:
    where = urlsplit(hub.url)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as line:
        line.sendall(SENT[case])
        line.shutdown(socket.SHUT_WR)
        try:
            answer = line.recv(64)
        except ConnectionResetError:
            answer = b""
    status = answer.split(b" ")[1:2]
    assert not status or status[0][:1] in (b"2", b"4"), answer
    assert hub.admin.get("health")["ok"] is True
