"""Bodies and numbers of requests: all are bounded, messages are parsed by the contract."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Path, Query, Request

from cloud_hub.errors import TooLarge
from edge_sdk.contract.codec import decode

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=10_000)]
"""Most rows of an answer."""

Moment = Annotated[float, Query(ge=0, le=2**40, allow_inf_nan=False)]
"""Unix seconds."""

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""Number of a run, up to the largest that the database counts to."""


async def raw_body(request: Request, limit: int) -> bytes:
    """Return the body, at most ``limit`` bytes; raises TooLarge before it is read further."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise TooLarge(f"body: expected at most {limit} bytes")
    return bytes(raw)


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
