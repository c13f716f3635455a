"""Requests and answers of HTTP/1.1, as far as the protocol needs them.

Invariant: what could be read in two ways (two lengths, a length and chunks, line feeds alone, names
that are no tokens) is refused, and the connection ends.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from edge_sdk.local_server.refusal import (
    BAD_REQUEST,
    LENGTH_REQUIRED,
    TOO_LARGE,
    UNSUPPORTED,
    RequestRefused,
)

HEAD_BYTES: Final = 16 << 10
"""Longest request line and headers together."""

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
JSON_LENGTH: Final = "inference-header-content-length"

_ONCE: Final = frozenset(
    ("content-length", "content-encoding", "host", JSON_LENGTH, "origin", "transfer-encoding")
)
_is_token = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_DIGITS: Final = 15
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
_EITHER: Final = 47
"""Window bits with which zlib takes both."""

EXPANSION: Final = 1_032
"""Most bytes that a compressed byte becomes: 258 for two of its bits."""

_WORTH_COMPRESSING: Final = 1_024
_REASONS: Final[Mapping[int, str]] = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 411: "Length Required", 413: "Content Too Large",
    415: "Unsupported Media Type", 421: "Misdirected Request",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable",
}  # fmt: skip


class HttpHead(NamedTuple):
    """Request line and headers; the names of headers are in lower case.

    ``path`` has no query. ``is_kept`` is True if the client goes on using the connection.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    is_kept: bool
    body_bytes: int

    @property
    def json_bytes(self) -> int | None:
        """Length of the JSON, if raw bytes are behind it.

        Raises:
            RequestRefused: it is no number.
        """
        text = self.headers.get(JSON_LENGTH)
        return None if text is None else number(JSON_LENGTH, text)


class HttpResponse(NamedTuple):
    """An answer; ``headers`` are those besides its type and length."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_json(cls, value: Any, status: int = 200) -> HttpResponse:
        """Return ``value`` as JSON."""
        return cls(status, json.dumps(value).encode())

    def to_bytes(self, *, closes: bool) -> bytes:
        """Return the bytes to send; ``closes`` says that the connection ends with them."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        if closes:
            more += "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\n"
            f"Content-Type: {self.media_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n{more}\r\n"
        )
        return head.encode("latin-1") + self.body

    def compressed(self, accepted: str | None) -> HttpResponse:
        """Return it compressed, where the client takes that and it is worth while."""
        if accepted is None or len(self.body) < _WORTH_COMPRESSING:
            return self
        names = [name.strip().lower() for name in accepted.split(",")]
        coding = next((name for name in names if name in _WINDOW_BITS), None)
        if coding is None:
            return self
        packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS[coding])
        body = packer.compress(self.body) + packer.flush()
        return self._replace(body=body, headers=(*self.headers, ("Content-Encoding", coding)))


@functools.lru_cache(32)  # a client says the same with each request
def parse_head(raw: bytes) -> HttpHead:
    """Read request line and headers, without the empty line behind them.

    Raises:
        RequestRefused: they are no HTTP/1, or could be read in two ways.
    """
    lines = raw.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0") or not words[1].isascii():
        raise RequestRefused(BAD_REQUEST, "expected a request line of HTTP/1.1")
    if raw.count(b"\n") != len(lines) - 1 or raw.count(b"\r") != len(lines) - 1:
        raise RequestRefused(BAD_REQUEST, "expected lines that end with CR and LF")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _is_token(name):
            raise RequestRefused(BAD_REQUEST, "expected headers such as 'Host: localhost'")
        key = name.lower().decode()
        if key in _ONCE and key in headers:
            raise RequestRefused(BAD_REQUEST, f"expected {key} once")
        # Not all that Python calls a space: a vertical tab before a length makes it none.
        headers[key] = value.strip(b" \t").decode("latin-1")
    is_new = words[2] == b"HTTP/1.1"
    connection = headers.get("connection", "keep-alive" if is_new else "close").lower()
    path = words[1].partition(b"?")[0].decode()
    kept = "close" not in connection and (is_new or "keep-alive" in connection)
    return HttpHead(words[0].decode("latin-1"), path, headers, kept, _body_bytes(headers))


def decompressed(body: bytes, coding: str | None, limit: int) -> bytes:
    """Return the body as it was before the client compressed it.

    Args:
        body: as it came.
        coding: value of the header ``Content-Encoding``, or ``None``.
        limit: most bytes that it may become.

    Raises:
        RequestRefused: it becomes more, is damaged, or is compressed in another way.
    """
    if coding is None or coding.lower() == "identity":
        return body
    if coding.lower() not in _WINDOW_BITS:
        raise RequestRefused(
            UNSUPPORTED, f"expected a body in gzip, deflate or identity, got {coding:.40}"
        )
    unpacker = zlib.decompressobj(_EITHER)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestRefused(BAD_REQUEST, f"the compressed body is damaged; {error}") from error
    if len(plain) > limit:
        raise RequestRefused(TOO_LARGE, f"expected at most {limit} bytes, decompressed")
    if not unpacker.eof:
        raise RequestRefused(BAD_REQUEST, "the compressed body ends early")
    if unpacker.unused_data:
        raise RequestRefused(BAD_REQUEST, "expected nothing behind the end of the compressed body")
    return plain


def _body_bytes(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise RequestRefused(LENGTH_REQUIRED, "expected Content-Length: chunks are not taken")
    text = headers.get("content-length")
    return 0 if text is None else number("content-length", text)


def number(name: str, text: str) -> int:
    """Return the number in a header; raises RequestRefused."""
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS:
        raise RequestRefused(BAD_REQUEST, f"{name}: expected a number, got {text:.40}")
    return int(text)
