"""Reading requests: numbers and bodies are bounded, messages are parsed by the contract."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Path, Query, Request

from cloud_hub.errors import TooLarge
from edge_sdk.contract.codec import decode

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=10_000)]
"""How many rows an answer may have."""

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""Of a run: what a database counts with."""


async def raw_body(request: Request, limit: int) -> bytes:
    """The body, at most ``limit`` bytes; raises TooLarge before it is read further."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise TooLarge(f"body: expected at most {limit} bytes")
    return bytes(raw)


async def message(request: Request, cls: type[T], limit: int = 1 << 20) -> T:
    """The body as the contract's ``cls``; raises ContractError."""
    return decode(cls, await raw_body(request, limit), limit=limit)
