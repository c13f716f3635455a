"""Bodies and numbers of requests: all are bounded, messages are parsed by the contract.

A body is read for no longer than :data:`PATIENCE_SECONDS` and what it takes at
:data:`SLOWEST_BYTES` a second: whoever drips is hung up on, a slow line is not. uvicorn itself
waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Annotated, BinaryIO, Final, TypeVar

from fastapi import Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from cloud_hub.errors import Invalid, TooLarge, TooSlow
from edge_sdk.contract.codec import decode
from edge_sdk.contract.limits import LATEST

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=10_000)]
"""Most rows of an answer."""

Moment = Annotated[float, Query(ge=0, le=LATEST, allow_inf_nan=False)]
"""Unix seconds."""

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""Number of a run, up to the largest that the database counts to."""

PATIENCE_SECONDS: Final = 30.0
SLOWEST_BYTES: Final = 1_024
"""A second, on average, once :data:`PATIENCE_SECONDS` are over."""


async def body_chunks(
    request: Request, limit: int, *, patience: float = PATIENCE_SECONDS
) -> AsyncIterator[bytes]:
    """Yield the body, at most ``limit`` bytes.

    Args:
        request: whose body it is.
        limit: most bytes.
        patience: seconds that a body may take however short it is.

    Raises:
        TooLarge: it is longer, or says so, before it is read further.
        TooSlow: it comes at less than :data:`SLOWEST_BYTES` a second.
        Invalid: the client hung up.
    """
    _check_length(request, limit)
    clock = asyncio.get_running_loop().time
    begun, size = clock(), 0
    stream = request.stream()
    while True:
        left = begun + patience + size / SLOWEST_BYTES - clock()
        try:
            async with asyncio.timeout(left):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise too_slow() from None
        except ClientDisconnect:
            raise Invalid("body: the connection was closed before its end") from None
        if chunk is None:
            return
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"body: expected at most {limit} bytes")
        yield chunk


def too_slow() -> TooSlow:
    """Return the refusal of a body that comes at less than :data:`SLOWEST_BYTES` a second."""
    return TooSlow(f"body: expected at least {SLOWEST_BYTES} bytes a second")


def _check_length(request: Request, limit: int) -> None:
    """Refuse by its header a body that is too long: nothing of it is read."""
    said = request.headers.get("Content-Length", "")
    # Nobody can send a number of so many digits, and int() takes time for it.
    if said.isdecimal() and (len(said) > 18 or int(said) > limit):
        raise TooLarge(f"body: expected at most {limit} bytes, got {said[:20]}")


async def raw_body(request: Request, limit: int) -> bytes:
    """Return the body, at most ``limit`` bytes; raises as :func:`body_chunks` does."""
    raw = bytearray()
    async for chunk in body_chunks(request, limit):
        raw += chunk
    return bytes(raw)


@contextlib.asynccontextmanager
async def body_file(request: Request, limit: int, folder: FilePath) -> AsyncIterator[BinaryIO]:
    """Give the body as an open file, for those that are larger than memory.

    Args:
        request: whose body it is.
        limit: most bytes.
        folder: where there is room for it; the file has no name there, so a kill leaves nothing.

    Raises:
        HubFault: as :func:`body_chunks`.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        async for chunk in body_chunks(request, limit):
            await run_in_threadpool(file.write, chunk)
        file.seek(0)
        yield file


async def message(request: Request, cls: type[T], limit: int = 1 << 20) -> T:
    """Return the body as a message of the contract.

    Args:
        request: whose body it is.
        cls: class of the message.
        limit: most bytes.

    Raises:
        TooLarge: the body is longer.
        ContractError: it is no such message.
    """
    return decode(cls, await raw_body(request, limit), limit=limit)
