"""Errors on their way from the owner to the process that asked."""

from __future__ import annotations

from typing import Any

from edge_sdk import errors
from edge_sdk.errors import EdgeError


def error_to_plain(error: EdgeError) -> dict[str, Any]:
    """Return class, message and plain attributes."""
    named = {n: v for n, v in vars(error).items() if isinstance(v, str | int | float | None)}
    return {"class": type(error).__name__, "message": str(error), "attributes": named}


def error_from_plain(plain: Any) -> EdgeError:
    """Return the error; one of a class that is not known here is an :class:`EdgeError`."""
    name, message = str(plain["class"]), str(plain["message"])
    kind = getattr(errors, name, EdgeError) if name in errors.__all__ else EdgeError
    if not (isinstance(kind, type) and issubclass(kind, EdgeError)):
        kind = EdgeError
    # Not by the constructor: some put the message together from their arguments.
    error = kind.__new__(kind, message)
    error.args = (message,)
    vars(error).update(plain["attributes"])
    return error
