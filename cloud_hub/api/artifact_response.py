"""Artifacts over HTTP: whole, a range, or from where the store has them for everybody."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from cloud_hub.storage.artifact_store import ArtifactStore
from edge_sdk.system.compression import zstd

COMPRESSED_BYTES: Final = 1_024
"""Documents from here on are compressed for whoever takes that: each version adds to metadata."""

LEVEL: Final = 12
JSON: Final = "application/json"
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class SentElsewhere(RedirectResponse):
    """An answer that sends a device to a bucket.

    Args:
        address: signed URL of the bucket.
        most: bytes that the device fetches there at most; it may do without, or break off.
    """

    def __init__(self, address: str, most: int) -> None:
        # 307 keeps method and headers, Range among them; clients drop the token on the way.
        super().__init__(address, 307)
        self.most = most


def artifact_response(request: Request, store: ArtifactStore, name: str) -> Response:
    """Answer a request for an artifact, whose name must say its content.

    Args:
        request: may ask for one ``Range``; several are answered with the whole, as HTTP allows.
        store: holds the artifact.
        name: of the artifact; its last part becomes the ETag.

    Raises:
        NotFound: there is none.
    """
    size = store.size(name)
    etag = f'"{name.rpartition("/")[2]}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    # With If-Range a client says which content it has a part of.
    same = request.headers.get("If-Range", etag) == etag
    span = byte_range(request.headers.get("Range", ""), size) if same else None
    address = store.public_address(name)
    if address is not None:
        start, stop = span or (0, size)
        return SentElsewhere(address, max(0, stop - start))
    if span is not None and not 0 <= span[0] < span[1]:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, stop = span or (0, size)
    headers["Content-Length"] = str(stop - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    body = _chunks(store, name, start, stop)
    status = 200 if span is None else 206
    return StreamingResponse(body, status, headers, "application/octet-stream")


def content_response(
    request: Request, raw: bytes, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer a request for a small JSON document that may change under its address.

    Args:
        request: may ask for one ``Range`` of it, with ``If-Range`` to be sure that it is the same,
            or with ``If-None-Match`` whether it is another than it has.
        raw: the content.
        headers: of the answer, besides its own.
    """
    accepts_zstd = "zstd" in request.headers.get("Accept-Encoding", "")
    raw, etag, form = forms_of(raw).chosen(accepts_zstd)
    own = {**form, **(headers or {}), "ETag": etag}
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=304, headers=own)
    # Without If-Range nobody knows of what the client has a part.
    same = request.headers.get("If-Range") == etag
    span = byte_range(request.headers.get("Range", ""), len(raw)) if same else None
    if span is None or not 0 <= span[0] < span[1]:
        return Response(raw, headers=own, media_type=JSON)
    start, stop = span
    own["Content-Range"] = f"bytes {start}-{stop - 1}/{len(raw)}"
    return Response(raw[start:stop], 206, own, JSON)


@dataclass(frozen=True, slots=True)
class SentForms:
    """A small document as it is sent: as it is, or compressed for whoever takes that.

    Attributes:
        raw: the content.
        digest: of it, as far as an ETag needs.
    """

    raw: bytes
    digest: str

    def chosen(self, accepts_zstd: bool) -> tuple[bytes, str, dict[str, str]]:
        """Return body, ETag and headers of an answer, but for those of the moment.

        Args:
            accepts_zstd: who asks takes compressed answers.
        """
        headers = {"Accept-Ranges": "bytes", "Vary": "Accept-Encoding"}
        if accepts_zstd and len(self.raw) >= COMPRESSED_BYTES:
            # Another content with a name of its own: a range is one of what is sent.
            headers["Content-Encoding"] = "zstd"
            return _compressed(self.raw), f'"{self.digest}-zstd"', headers
        return self.raw, f'"{self.digest}"', headers


def forms_of(raw: bytes) -> SentForms:
    """Return the forms of a document."""
    return SentForms(raw, hashlib.sha256(raw).hexdigest()[:32])


@functools.lru_cache(maxsize=32)
def _compressed(raw: bytes) -> bytes:
    """Compress metadata once for the whole fleet."""
    return zstd.compress(raw, LEVEL)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Read a ``Range`` header.

    Args:
        header: its value; empty if there is none.
        size: bytes of the whole.

    Returns:
        First byte and the byte after the last, or ``None`` for the whole. Where the range is beyond
        the end, the two are no range.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # "-5": the last five bytes
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


def _chunks(store: ArtifactStore, name: str, start: int, stop: int) -> Iterator[bytes]:
    with store.open(name, start, stop) as chunks:
        yield from chunks
