"""Refusals of the local server: an error of the device, or of the request itself, as a status."""

from __future__ import annotations

from edge_sdk.errors import EdgeError, InputError, StateError

BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
LENGTH_REQUIRED = 411
TOO_LARGE = 413
UNSUPPORTED = 415
MISDIRECTED = 421
HEAD_TOO_LARGE = 431
FAILED = 500
NOT_IMPLEMENTED = 501
UNAVAILABLE = 503


class RequestRefused(EdgeError):
    """A request that the local server does not answer; ``status`` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: EdgeError) -> int:
    """Return the status of HTTP that says whose fault ``error`` is."""
    if isinstance(error, RequestRefused):
        return error.status
    if isinstance(error, StateError):  # the process that runs the device has ended
        return UNAVAILABLE
    return BAD_REQUEST if isinstance(error, InputError) else FAILED
