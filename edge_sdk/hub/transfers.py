"""Downloads over a network that fails: what came is kept, whatever ends the connection.

Invariants:

* A file appears at its place whole and with its signed digest, or not at all.
* Every byte that came is in the ``.part`` beside the destination before the next one is waited for:
  a connection that is cut costs a request, and no byte again.
* A transfer that gets on is gone on with at once. One that stands still is an error, and the part
  waits for the next attempt, in this process or another.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.patch import WINDOW_LOG
from edge_sdk.errors import HubError, HubUnreachable
from edge_sdk.hub.deadlines import Late, Progress, Stalled, close_answer, reading
from edge_sdk.system.compression import decompressed, zstd
from edge_sdk.system.files import fsync_directory, fsync_file, sha256_file

if TYPE_CHECKING:
    import requests

    from edge_sdk.contract.manifest import FileRef

Get = Callable[[str, dict[str, str]], "requests.Response"]
"""Sends a GET of a path with these headers; raises HubError, HubUnreachable."""

CHUNK: Final = 1 << 16
"""Most bytes of one read."""

PROGRESS: Final = 1 << 10
"""Bytes that an attempt has to bring for the next one to follow at once."""

STALLS: Final = 2
"""Attempts in a row without :data:`PROGRESS` after which a transfer is given up for now."""

PAUSE: Final = 0.2
"""Seconds before the attempt after one that brought little; a network often needs a moment."""

SYNC_BYTES: Final = 8 << 20
"""Bytes after which the part is synced: more than that is never lost with the power."""

PLAIN: Final = {"Accept-Encoding": "identity"}
"""A proxy that compresses on its own would make ranges of something else."""


COMPRESSED: Final = {"Accept-Encoding": "zstd"}
"""The hub's documents are sent as they are or in zstd, and told apart by their ETag."""


class Transfers:
    """The downloads of one client, one at a time.

    Args:
        get: sends a request, with a deadline for the head of its answer.
        ask: sends one with a deadline for all of its answer.
        bytes_per_second: that downloads may take of the network; 0 for all that there is.
    """

    def __init__(self, get: Get, ask: Get, bytes_per_second: int = 0) -> None:
        self._get = get
        self._ask = ask
        self._pace = Pace(bytes_per_second)
        self._interrupted = threading.Event()
        self._response: requests.Response | None = None

    def interrupt(self) -> None:
        """End the download under way, and every later one; its part waits to be resumed."""
        self._interrupted.set()
        response = self._response
        # A read that waits for a slow hub does not look at the flag. urllib3 has this since 2.3.
        shutdown = getattr(response.raw, "shutdown", None) if response is not None else None
        if shutdown is not None:
            with contextlib.suppress(Exception):
                shutdown()

    def download(self, path: str, ref: FileRef, destination: Path) -> None:
        """Put what the hub has at ``path`` at ``destination``: whole and verified, or not at all.

        Args:
            path: of the request; it names its content, so a part of it can be resumed.
            ref: length in bytes and SHA-256 that it must have.
            destination: its place; the folder is there.

        Raises:
            HubUnreachable: the transfer stands still, or was interrupted; what came is kept.
            HubError: the hub refused, or sent something else than ``ref``.
        """
        part = part_of(destination)
        try:
            if _size(part) > ref.length:
                part.unlink()
            self._fill(path, ref, part)
            _finish(path, ref, part, destination)
        except OSError as error:
            raise HubError(f"{destination}: cannot store the download; {error}") from error

    def stream(self, path: str) -> Iterator[bytes]:
        """Send a request now, and return its body, gone on with after cuts.

        Args:
            path: of the request; content that changes under it needs an ETag.

        Raises:
            HubUnreachable: the transfer stands still, or the content changed meanwhile.
            HubError: the hub refused.
        """
        response = self._ask(path, {**COMPRESSED})
        pieces = self._pieces(path, response)
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        return _decoded(path, pieces) if encoded else pieces

    def _pieces(self, path: str, response: requests.Response) -> Iterator[bytes]:
        have = stalls = 0
        etag = response.headers.get("ETag")
        while True:
            came = 0
            try:
                if have:
                    response = self._rest(path, have, etag or "")
                for chunk in self._chunks(path, response):
                    came += len(chunk)
                    yield chunk
                return
            except Late:
                raise  # a request for the rest would have no time either
            except HubUnreachable:
                have, stalls = have + came, 0 if came >= PROGRESS else stalls + 1
                if stalls >= STALLS or not have or not etag or self._interrupted.is_set():
                    raise

    def _rest(self, path: str, have: int, etag: str) -> requests.Response:
        headers = {"Range": f"bytes={have}-", "If-Range": etag}
        response = self._ask(path, {**COMPRESSED, **headers})
        if response.status_code != 206:
            close_answer(response)
            raise HubError(f"{path}: it changed while it was read")
        return response

    def _fill(self, path: str, ref: FileRef, part: Path) -> None:
        """Make the part as long as the file, over as many connections as that takes."""
        if ref.length == 0:
            part.touch()
        stalls = 0
        while (have := _size(part)) < ref.length:
            try:
                self._append(path, ref, part, have)
            except Stalled:
                raise  # a hub that drips would have us ask for ever
            except HubUnreachable:
                came = _size(part)
                stalls = 0 if came >= have + PROGRESS else stalls + 1
                # Nothing yet: the hub is away, and whoever asked knows when to ask again.
                if stalls >= STALLS or came == 0 or self._interrupted.is_set():
                    raise
                if stalls:
                    self._interrupted.wait(PAUSE)

    def _append(self, path: str, ref: FileRef, part: Path, have: int) -> None:
        headers = {"Range": f"bytes={have}-"} if have else {}
        self._response = response = self._get(path, {**PLAIN, **headers})
        resumed = have > 0 and response.status_code == 206
        room = ref.length - (have if resumed else 0)
        # Unbuffered: what was read is the system's at once, however this process ends.
        with part.open("ab" if resumed else "wb", buffering=0) as file:
            try:
                unsynced = 0
                progress = Progress(path)
                for chunk in self._chunks(path, response):
                    progress.came(len(chunk))
                    room -= len(chunk)
                    if room < 0:
                        file.truncate(0)  # or the next attempt would resume what is wrong
                        raise HubError(f"{path}: expected {ref.length} bytes, the hub sends more")
                    _write_all(file, chunk)
                    unsynced += len(chunk)
                    if unsynced >= SYNC_BYTES:
                        fsync_file(part)
                        fsync_directory(part.parent)  # or all of it is lost with its name
                        unsynced = 0
            finally:
                fsync_file(part)
        if room > 0:
            raise HubUnreachable(
                f"{path}: the transfer stopped at {ref.length - room} of {ref.length} bytes"
            )

    def _chunks(self, path: str, response: requests.Response) -> Iterator[bytes]:
        """Yield the body as it comes.

        ``iter_content`` fills a chunk before it yields it, and drops the begun one at a cut: a
        sixth of all bytes came twice where connections were cut every 200 kB.
        """
        with reading(response, path):
            while not self._interrupted.is_set():
                chunk = response.raw.read1(self._pace.chunk, decode_content=False)
                if not chunk:
                    return
                yield chunk
                self._interrupted.wait(self._pace.rest(len(chunk), time.monotonic()))
            raise HubUnreachable(f"{path}: interrupted")


def _decoded(path: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from decompressed(pieces, WINDOW_LOG)
    except (zstd.ZstdError, EOFError) as error:
        raise HubError(f"{path}: the answer cannot be decompressed; {error}") from error


class Pace:
    """The rests that keep a transfer to a number of bytes a second.

    Args:
        bytes_per_second: of the network; 0 for all that there is.

    Attributes:
        chunk: most bytes to read at once, a tenth of a second's.
    """

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._free = 0.0
        self.chunk = min(CHUNK, max(1, bytes_per_second // 10)) if bytes_per_second else CHUNK

    def rest(self, count: int, now: float) -> float:
        """Return the seconds to rest after ``count`` bytes that came at ``now``, monotonic."""
        if not self._rate:
            return 0.0
        # What was not used a while ago is not made up for in a burst.
        self._free = max(self._free, now - count / self._rate) + count / self._rate
        return max(0.0, self._free - now)


def part_of(destination: Path) -> Path:
    """Return the place where a download waits until it is whole."""
    return destination.with_name(destination.name + ".part")


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _write_all(file: object, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]  # type: ignore[attr-defined]


def _finish(path: str, ref: FileRef, part: Path, destination: Path) -> None:
    # Read back as a whole: it came over several connections, perhaps in several runs.
    digest = sha256_file(part)
    if digest != ref.sha256:
        part.unlink()
        raise HubError(f"{path}: expected SHA-256 {ref.sha256}, got {digest}")
    part.replace(destination)
    # The rename is not durable before its folder is.
    fsync_directory(destination.parent)
