"""Reasons of failures on the network, below the wrappers that each library on the way adds."""

from __future__ import annotations

from http.client import HTTPException
from typing import Final

from urllib3.exceptions import HTTPError

from edge_sdk.errors import reason_of

HUNG_UP: Final = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
"""At the other end; :class:`http.client.RemoteDisconnected` is a reset."""


def first_cause(error: BaseException) -> BaseException:
    """Return the first error, below the wrappers."""
    while isinstance(error.__context__, OSError | HTTPException | HTTPError):
        error = error.__context__
    return error


def why(error: BaseException) -> str:
    """Return the reason of the first error, in one line."""
    return reason_of(first_cause(error))
