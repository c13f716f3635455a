"""A task that computes nothing: to try an engine, end to end."""

from __future__ import annotations


def echo(common: bytes, item: bytes) -> bytes:
    """Return both, one after the other."""
    return common + item
