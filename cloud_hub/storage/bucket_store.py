"""Artifacts as objects in a bucket, from which devices download for themselves.

An object of a bucket is there whole or not at all by itself. What is checked here is its digest,
before it is there: small content is held in memory meanwhile, large content goes in parts, of which
the bucket makes an object only when the digest of all is right.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import Invalid, NotFound, Unavailable
from cloud_hub.storage.artifact_store import CHUNK, Source, check_name, checked_chunks
from cloud_hub.storage.bucket import PART

if TYPE_CHECKING:
    from cloud_hub.storage.bucket import BucketClient

ADDRESS_SECONDS: Final = 900.0
"""Life of the address that a device is sent to; a download that began goes on beyond it."""


class BucketStore:
    """The objects of one folder of a bucket.

    Args:
        bucket: holds them.
        public: devices may be sent to them.
        at_the_hub: folders of files that are so small that a second request would cost more.
    """

    def __init__(
        self, bucket: BucketClient, *, public: bool = False, at_the_hub: tuple[str, ...] = ()
    ) -> None:
        self._bucket = bucket
        self._public = public
        self._at_the_hub = at_the_hub

    def put(self, name: str, source: Source, *, sha256: str | None = None) -> None:
        """Upload content, in parts if it is large.

        Args:
            name: relative path.
            source: the content.
            sha256: hexadecimal digest that it must have; ``None`` for any content.

        Raises:
            Invalid: the name is none, or the digest is another one; nothing is stored.
            Unavailable: the bucket does not take it; nothing is stored, unless it came whole and
                the bucket's answer was lost.
        """
        check_name(name)
        chunks = checked_chunks(name, source, sha256)
        head = b""
        for chunk in chunks:
            head += chunk
            if len(head) >= PART:
                break
        else:
            self._bucket.put(name, head)
            return
        self._bucket.put_large(name, _joined(head, chunks))

    @contextlib.contextmanager
    def open(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Read a range of an object.

        Args:
            name: relative path.
            start: first byte, from 0.
            stop: byte after the last one; default the end.

        Raises:
            NotFound: there is no such object.
            Unavailable: the bucket does not answer.
        """
        yield self._range(_known(name), start, stop)

    def size(self, name: str) -> int:
        """Return the bytes of an object; raises NotFound."""
        return self._bucket.size(_known(name))

    def exists(self, name: str) -> bool:
        """Return whether there is such an object."""
        try:
            self.size(name)
        except NotFound:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[str]:
        """Return the names of objects, in order; see :class:`ArtifactStore`."""
        folder = prefix.rpartition("/")[0]
        if folder and not _is_name(folder):
            return iter(())
        return iter(sorted(n for n in self._bucket.list(folder) if n.startswith(prefix)))

    def delete(self, name: str) -> None:
        """Remove an object, if there is one."""
        self._bucket.delete(check_name(name))

    def public_address(self, name: str) -> str | None:
        """Return a signed URL of the bucket, where devices may be sent there."""
        if not self._public or name.startswith(self._at_the_hub):
            return None
        return self._bucket.signed_url(check_name(name), ADDRESS_SECONDS)

    @contextlib.contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """Give a copy on this machine; raises NotFound."""
        with tempfile.TemporaryDirectory(prefix="artifact-") as folder:
            path = Path(folder) / "content"
            with self.open(name) as chunks, path.open("wb") as file:
                file.writelines(chunks)
            yield path

    def _range(self, name: str, start: int, stop: int | None) -> Iterator[bytes]:
        if stop is not None and stop <= start:
            self.size(name)
            return iter(())
        try:
            return self._bucket.stream(name, start, stop, CHUNK)
        except Unavailable:
            # A bucket calls a range beyond the end an error.
            if start and start >= self.size(name):
                return iter(())
            raise


def _joined(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except Invalid:
        return False
    return True


def _known(name: str) -> str:
    """Return a name that could be one; raises NotFound."""
    if not _is_name(name) or len(name.encode()) > 900:  # S3 takes keys of 1,024 bytes
        raise NotFound(f"artifact {name:.200}: not found")
    return name
