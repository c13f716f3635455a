"""Clients of the local server that say exactly what a test wants said."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_sdk.local_server.server import LocalServer

INFER = "/v2/models/demo/infer"
SECONDS = 30.0


def row_request(
    values: Sequence[Any], shape: Sequence[int] = (1, 4), **more: Any
) -> dict[str, Any]:
    tensor = {"name": "X", "shape": list(shape), "datatype": "FP32", "data": list(values)}
    return {"inputs": [tensor], **more}


def ask(
    server: LocalServer | str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
) -> tuple[int, Any, Mapping[str, str]]:
    """Status, JSON (or bytes where it is none) and headers of one request on a connection."""
    url = server if isinstance(server, str) else server.url
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        how = method or ("GET" if raw is None else "POST")
        connection.request(how, path, raw, dict(headers or {}))
        answer = connection.getresponse()
        content, given = answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()
    is_json = given.get("content-type") == "application/json" and "content-encoding" not in given
    if is_json and content:
        return answer.status, json.loads(content), given
    return answer.status, content, given


def tensors(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def connected(server: LocalServer) -> socket.socket:
    parts = urlsplit(server.url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def said(server: LocalServer, raw: bytes) -> bytes:
    """All that the server says to raw bytes until it ends the connection."""
    with connected(server) as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        return received(sock)


def received(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


class FrameClient:
    """The binary path, as docs/LOCAL_SERVER.md says it."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(path))

    def ask(self, kind: int, body: bytes, model: int = 0) -> tuple[int, bytes]:
        self.sock.sendall(struct.pack("<IHH", len(body), kind, model) + body)
        return self.answer(kind)

    def answer(self, kind: int) -> tuple[int, bytes]:
        size, status, answered = struct.unpack("<IHH", self._take(8))
        assert answered == kind
        return status, self._take(size)

    def row(self, row: bytes, model: int = 0) -> dict[str, Any]:
        status, body = self.ask(1, row, model)
        assert status == 200, body
        source, flags, *lengths, count, confidence = struct.unpack_from("<BBHHHI4xd", body)
        numbers = list(struct.unpack_from(f"<{count}d", body, 24))
        at, texts = 24 + 8 * count, []
        for length in lengths:
            texts.append(body[at : at + length].decode())
            at += length
        assert at == len(body)
        return {
            "source": ("pack", "model", "cloud", "default")[source],
            "degraded": bool(flags & 1),
            "label": (int(texts[0]) if flags & 4 else texts[0]) if flags & 2 else None,
            "confidence": confidence if flags & 8 else None,
            "numbers": numbers,
            "version": texts[1],
            "id": texts[2],
        }

    def close(self) -> None:
        self.sock.close()

    def _take(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = self.sock.recv(count - len(parts))
            assert part, "the server ended the connection"
            parts += part
        return parts
