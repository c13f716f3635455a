"""Artifacts over HTTP: what a client that was interrupted asks for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from starlette.datastructures import Headers

from cloud_hub.api.artifact_response import artifact_response
from cloud_hub.storage.artifact_store import ArtifactStore
from cloud_hub.storage.folder_store import FolderStore

CONTENT = bytes(range(100))


class AddressedFolder(FolderStore):
    """A store from which anybody with the address may read."""

    def public_address(self, name: str) -> str | None:
        return f"https://bucket/{name}?signed"


@dataclass
class Answer:
    """What a client receives."""

    status: int
    headers: Headers
    content: bytes


def get(store: ArtifactStore, name: str, headers: dict[str, str]) -> Answer:
    raw = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": "http", "method": "GET", "headers": raw, "path": name, "query_string": b""}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()  # the client stays

    asyncio.run(artifact_response(Request(scope), store, name)(scope, receive, send))
    start, *parts = sent
    content = b"".join(part["body"] for part in parts)
    return Answer(start["status"], Headers(raw=start["headers"]), content)


PARTS: dict[str, tuple[dict[str, str], int, bytes, str | None]] = {
    "no range": ({}, 200, CONTENT, None),
    "from a byte on": ({"Range": "bytes=90-"}, 206, CONTENT[90:], "bytes 90-99/100"),
    "one byte": ({"Range": "bytes=0-0"}, 206, CONTENT[:1], "bytes 0-0/100"),
    "beyond the end": ({"Range": "bytes=98-200"}, 206, CONTENT[98:], "bytes 98-99/100"),
    "the last bytes": ({"Range": "bytes=-3"}, 206, CONTENT[97:], "bytes 97-99/100"),
    "more last bytes than there are": ({"Range": "bytes=-300"}, 206, CONTENT, "bytes 0-99/100"),
    "nothing is left": ({"Range": "bytes=100-"}, 416, b"", "bytes */100"),
    "several ranges": ({"Range": "bytes=0-1,5-6"}, 200, CONTENT, None),
    "no range at all": ({"Range": "bytes=-"}, 200, CONTENT, None),
    "another unit": ({"Range": "rows=0-1"}, 200, CONTENT, None),
    "the same content": (
        {"Range": "bytes=9-9", "If-Range": '"file"'}, 206, CONTENT[9:10], "bytes 9-9/100",
    ),
    "other content": ({"Range": "bytes=9-9", "If-Range": '"old"'}, 200, CONTENT, None),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_a_client_gets_what_it_asks_for(tmp_path: Path, case: str) -> None:
    headers, status, content, part = PARTS[case]
    store = FolderStore(tmp_path)
    store.put("a/file", CONTENT)
    answer = get(store, "a/file", headers)
    assert (answer.status, answer.content) == (status, content)
    assert answer.headers.get("Content-Range") == part
    assert answer.headers["Content-Length"] == str(len(content))
    assert (answer.headers["ETag"], answer.headers["Accept-Ranges"]) == ('"file"', "bytes")


def test_a_store_with_addresses_is_asked_directly(tmp_path: Path) -> None:
    store = AddressedFolder(tmp_path)
    store.put("a/file", CONTENT)
    answer = get(store, "a/file", {"Range": "bytes=5-"})
    assert (answer.status, answer.headers["Location"]) == (307, "https://bucket/a/file?signed")
