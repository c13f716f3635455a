"""Objects in a bucket (S3 and its like, Google, Azure): the only module that knows obstore.

Every failure is a HubFault: NotFound, :class:`Conflict` where a condition of a write does not hold,
and :class:`Unavailable` for all that a bucket can do wrong, with its own reason and never a
credential. A request is tried again for some seconds by the library, and has an end: a connection
that brings nothing for :attr:`Limits.silence` is given up.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, S3Store

from cloud_hub.errors import Conflict, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from cloud_hub.storage.bucket_address import BucketAddress

PART: Final = 8 << 20
"""Bytes of one part of a large upload; S3 takes 10,000 parts."""

PARTS_AT_ONCE: Final = 4
MISSING: Final = (FileNotFoundError,)
SECRETS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Limits:
    """How long a bucket may take.

    Attributes:
        connect: seconds for a connection.
        silence: seconds in which an answer brings nothing.
        whole: seconds of one request, a body of gigabytes included.
        retries: times that a request is sent again.
        retrying: seconds after which it is sent no more.
    """

    connect: float = 5.0
    silence: float = 20.0
    whole: float = 3_600.0
    retries: int = 3
    retrying: float = 20.0


@dataclass(frozen=True)
class Tag:
    """Which content an object has, for writes on the condition that it still does."""

    etag: str | None
    version: str | None

    def as_mode(self) -> Any:
        """Return it as obstore takes it."""
        pairs = {"e_tag": self.etag, "version": self.version}
        return {name: value for name, value in pairs.items() if value is not None}


class Bucket:
    """The objects below one folder of a hub's place in a bucket.

    Args:
        address: of the hub's place.
        folder: within it.
        limits: of its requests.
    """

    def __init__(self, address: BucketAddress, folder: str, limits: Limits = Limits()) -> None:
        self.address = address
        self.place = f"{address}: {folder}"
        prefix = f"{address.prefix}/{folder}".strip("/")
        public = address.public_endpoint
        try:
            self._store = _opened(address, prefix, address.endpoint, limits)
            self._signing = _opened(address, prefix, public, limits) if public else self._store
        except (BaseError, ValueError) as error:
            raise Invalid(f"artifacts: {address}: cannot be opened; {reason(error)}") from error

    def get(self, name: str) -> tuple[bytes, Tag]:
        """Return a small object and which content that is; raises NotFound."""
        with self._told("read", name):
            result = obstore.get(self._store, name)
            return bytes(result.bytes()), _tag(result.meta)

    def get_other(self, name: str, than: Tag) -> tuple[bytes, Tag] | None:
        """Return a small object unless it has the content that is known; raises NotFound.

        Args:
            name: of the object.
            than: the content that is known.
        """
        if than.etag is None:
            return self.get(name)
        with self._told("read", name):
            try:
                result = obstore.get(self._store, name, options={"if_none_match": than.etag})
                return bytes(result.bytes()), _tag(result.meta)
            except NotModifiedError:
                return None

    def stream(self, name: str, start: int, stop: int | None, chunk: int) -> Iterator[bytes]:
        """Ask for a range now, and return its content as it comes; raises NotFound.

        Args:
            name: of the object.
            start: first byte; below the size.
            stop: byte after the last one, if not the end.
            chunk: bytes of a piece, about.
        """
        wanted: Any = (start, stop) if stop is not None else {"offset": start}
        options: Any = {"range": wanted} if start or stop is not None else None
        with self._told("read", name):
            result = obstore.get(self._store, name, options=options)
        return self._pieces(name, iter(result.stream(min_chunk_size=chunk)))

    def size(self, name: str) -> int:
        """Return the bytes of an object; raises NotFound."""
        with self._told("look at", name):
            return int(obstore.head(self._store, name)["size"])

    def put(
        self,
        name: str,
        raw: bytes,
        *,
        create: bool = False,
        instead_of: Tag | None = None,
    ) -> Tag:
        """Write a small object, whole or not at all.

        Args:
            name: of the object.
            raw: its content.
            create: only if there is none.
            instead_of: only in place of this content.

        Raises:
            Conflict: the condition does not hold.
        """
        mode: Any = instead_of.as_mode() if instead_of else "create" if create else "overwrite"
        with self._told("write", name):
            done = obstore.put(self._store, name, raw, mode=mode, use_multipart=False)
        return Tag(done["e_tag"], done["version"])

    def put_large(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write an object in parts; an error of ``chunks`` aborts it, and nothing is seen of it."""
        with self._told("write", name):
            obstore.put(
                self._store, name, iter(chunks),
                use_multipart=True, chunk_size=PART, max_concurrency=PARTS_AT_ONCE,
            )  # fmt: skip

    def list(self, folder: str = "") -> Iterator[str]:
        """Return the names below a folder, in no order."""
        with self._told("list", folder):
            for batch in obstore.list(self._store, folder or None):
                yield from (str(entry["path"]) for entry in batch)

    def delete(self, name: str) -> None:
        """Remove an object; none is no error."""
        with self._told("delete", name), contextlib.suppress(*MISSING):
            obstore.delete(self._store, name)

    def signed_url(self, name: str, seconds: float) -> str:
        """Return a URL from which anybody may read an object for some time."""
        span = datetime.timedelta(seconds=seconds)
        with self._told("sign an address of", name):
            return str(obstore.sign(self._signing, "GET", name, span))

    def _pieces(self, name: str, pieces: Iterator[Any]) -> Iterator[bytes]:
        while True:
            # Only the next piece is asked for within: what its reader raises is the reader's own.
            with self._told("read", name):
                piece = next(pieces, None)
            if piece is None:
                return
            yield bytes(piece)

    @contextlib.contextmanager
    def _told(self, doing: str, name: str) -> Iterator[None]:
        try:
            yield
        except MISSING as error:
            if "NoSuchBucket" in str(error):
                raise Unavailable(f"{self.address}: there is no such bucket; make it") from error
            raise NotFound(f"artifact {name:.200}: not found") from None
        except (AlreadyExistsError, PreconditionError) as error:
            raise Conflict(f"{self.place}/{name}: somebody else wrote it meanwhile") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Unavailable(
                f"{self.place}: may not {doing} {name:.200}; {reason(error)}; look at the "
                "credentials in the environment and at the policy of the bucket",
                seconds=30.0,
            ) from error
        except BaseError as error:
            raise Unavailable(
                f"{self.place}: could not {doing} {name:.200}; {reason(error)}", seconds=5.0
            ) from error


def reason(error: Exception) -> str:
    """Return what a store said, in one line and without credentials."""
    said = str(error).split("\n\nDebug source:")[0]
    code = re.search(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?", said)
    if code:
        said = ": ".join(part for part in code.groups() if part)
    else:
        said = re.sub(r"\?\S*", "", " ".join(said.split()).replace("Generic S3 error: ", ""))
    for name in SECRETS:
        secret = os.environ.get(name)
        if secret:
            said = said.replace(secret, "…")
    return said[:300]


def _tag(meta: Any) -> Tag:
    return Tag(meta.get("e_tag"), meta.get("version"))


def _opened(address: BucketAddress, prefix: str, endpoint: str | None, limits: Limits) -> Any:
    """Open a store; credentials are taken from the environment or the machine's role."""
    options: dict[str, Any] = {
        "prefix": prefix,
        "client_options": {
            "connect_timeout": datetime.timedelta(seconds=limits.connect),
            "read_timeout": datetime.timedelta(seconds=limits.silence),
            "timeout": datetime.timedelta(seconds=limits.whole),
            "allow_http": bool(endpoint) and str(endpoint).startswith("http://"),
        },
        "retry_config": {
            "max_retries": limits.retries,
            "retry_timeout": datetime.timedelta(seconds=limits.retrying),
            "backoff": {
                "base": 2,
                "init_backoff": datetime.timedelta(milliseconds=100),
                "max_backoff": datetime.timedelta(seconds=2),
            },
        },
    }
    if endpoint:
        options["endpoint"] = endpoint
    if address.scheme == "gs":
        return GCSStore(address.bucket, **options)
    if address.scheme == "az":
        if address.account:
            options["account_name"] = address.account
        return AzureStore(address.bucket, **options)
    if address.region:
        options["region"] = address.region
    # Of others than Amazon most know only addresses with the bucket in their path.
    return S3Store(address.bucket, virtual_hosted_style_request=endpoint is None, **options)
