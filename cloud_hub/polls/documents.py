"""Signed metadata in memory, in every form in which it is asked for.

Metadata of a version never changes; the timestamp is the one file that does, and whoever keeps the
metadata knows the newest. What is large is read and compressed by the general way first, on a
thread: an event loop compresses nothing that takes longer than a request.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cloud_hub.api.artifact_response import JSON, SentForms, forms_of
from cloud_hub.errors import HubFault, NotFound

TIMESTAMP: Final = "timestamp.json"
SMALL_BYTES: Final = 64 << 10
"""Files up to this are read and compressed on the event loop, in less than a millisecond."""

MOST_BYTES: Final = 64 << 20
"""Of metadata in memory; beyond it what came first is read again."""

ABSENT_SECONDS: Final = 1.0
"""For which a version that was none is taken to be none still: each device asks for the root that
may come next."""

MOST_ABSENT: Final = 256
VERSIONED: Final = re.compile(r"[0-9]{1,10}\.[a-z]{1,20}\.json")

RawHeaders = list[tuple[bytes, bytes]]

CACHE_CONTROL: Final = "public, no-cache"
"""Caches may keep metadata for everybody, and ask the hub each time whether it is still so: with
the credential of who asks, so that a stranger learns nothing from them."""


class MetadataSource(Protocol):
    """Where metadata is kept."""

    def raw(self, name: str) -> bytes:
        """Return a file; raises NotFound."""
        ...

    def timestamp(self) -> bytes:
        """Return the newest timestamp, at once."""
        ...


@dataclass(frozen=True, slots=True)
class SentForm:
    """One form of a document: its body, its ETag as it is sent, and the headers of both answers."""

    body: bytes
    etag: bytes
    unchanged: tuple[tuple[bytes, bytes], ...]
    whole: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document as it is and, where that is smaller, compressed."""

    raw: bytes
    plain: SentForm
    compressed: SentForm

    def form(self, accepts_zstd: bool) -> SentForm:
        """Return the form for who takes compressed answers, or does not."""
        return self.compressed if accepts_zstd else self.plain


class SignedDocuments:
    """The metadata that devices ask for. Safe from several threads.

    Args:
        source: where it is kept.
        most_bytes: to keep in memory.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        source: MetadataSource,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._most = most_bytes
        self._clock = clock
        self._bytes = 0
        self._lock = threading.Lock()
        self._versioned: dict[str, SignedDocument] = {}
        self._timestamp: SignedDocument | None = None
        self._absent: dict[str, tuple[float, SignedDocument | None, NotFound]] = {}

    def get(self, name: str) -> bytes:
        """Return a file, and have it in memory from then on; raises NotFound."""
        with self._lock:  # one at a time: a fleet asks for the same new file at once
            if name == TIMESTAMP:
                return self._source.timestamp()
            known = self._versioned.get(name)
            if known is not None:
                return known.raw
            newest = self.timestamp()
            try:
                raw = self._source.raw(name)
            except NotFound as error:
                if VERSIONED.fullmatch(name):
                    self._note_absent(name, newest, error)
                raise
            if VERSIONED.fullmatch(name):
                self._keep(name, _document(raw))
            return raw

    def peek(self, name: str) -> SignedDocument | None:
        """Return a document that is in memory, or is soon; ``None``: ask the general way."""
        if name == TIMESTAMP:
            return self.timestamp()
        return self._versioned.get(name)

    def absent(self, name: str) -> NotFound | None:
        """Return why there is no document of a name, as it was known a moment ago.

        Whatever is published ends with a new timestamp, and what was none before may be there then.
        """
        at, newest, error = self._absent.get(name, (float("-inf"), None, None))
        still = self._clock() - at < ABSENT_SECONDS
        return error if still and newest is self.timestamp() else None

    def timestamp(self) -> SignedDocument | None:
        """Return the newest timestamp; ``None`` where it cannot be read."""
        try:
            raw = self._source.timestamp()
        except (HubFault, OSError):
            return None
        known = self._timestamp
        if known is None or known.raw != raw:
            if len(raw) > SMALL_BYTES:
                return None
            self._timestamp = known = _document(raw)
        return known

    def _note_absent(self, name: str, newest: SignedDocument | None, error: NotFound) -> None:
        if len(self._absent) >= MOST_ABSENT:
            self._absent.pop(next(iter(self._absent)))
        self._absent[name] = (self._clock(), newest, error)

    def _keep(self, name: str, document: SignedDocument) -> None:
        size = len(document.raw) + len(document.compressed.body)
        while self._versioned and self._bytes + size > self._most:
            oldest = self._versioned.pop(next(iter(self._versioned)))
            self._bytes -= len(oldest.raw) + len(oldest.compressed.body)
        if size <= self._most:
            self._versioned[name] = document
            self._bytes += size


def _document(raw: bytes) -> SignedDocument:
    forms = forms_of(raw)
    return SignedDocument(raw, _form(forms, False), _form(forms, True))


def _form(forms: SentForms, accepts_zstd: bool) -> SentForm:
    body, etag, headers = forms.chosen(accepts_zstd)
    common = {**headers, "Cache-Control": CACHE_CONTROL, "ETag": etag}
    whole = {"Content-Length": str(len(body)), "Content-Type": JSON}
    return SentForm(body, etag.encode(), encoded(common), encoded({**common, **whole}))


def encoded(headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers as an ASGI server takes them."""
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())
