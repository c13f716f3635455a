"""A task that computes nothing: to try an engine, end to end."""

from __future__ import annotations

import time


def echo(common: bytes, item: bytes) -> bytes:
    """Return both, one after the other."""
    return common + item


def count(common: bytes, item: bytes) -> bytes:
    """Return how many items this process has counted, as text; ``fail`` fails."""
    if item == b"fail":
        raise ValueError("it was asked to")
    _counted.append(item)
    return str(len(_counted)).encode()


_counted: list[bytes] = []


def wait(common: bytes, item: bytes) -> bytes:
    """Wait for some seconds, a number as text, and return the item."""
    time.sleep(float(item))
    return item
