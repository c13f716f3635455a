"""A function that makes rows of a set, as a user would write it."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def orders(as_of: datetime) -> dict[str, Any]:
    return {"user_id": ["a", "b"], "f0": [as_of.timestamp() % 10, 2.0], "f2": [3.0, 4.0]}


def broken(as_of: datetime) -> dict[str, Any]:
    raise RuntimeError("no orders today")
