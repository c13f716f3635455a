"""Names in messages: the nearest to one that a person mistyped, and lists of those there are."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

SHOWN: Final = 20
"""Names that a message lists at most."""


def did_you_mean(name: str, candidates: Sequence[str]) -> str:
    """Return ``did you mean NAME?`` with a space after it; empty if no candidate is near."""
    near = difflib.get_close_matches(name, candidates, n=1)
    return f"did you mean {near[0]}? " if near else ""


def listed(names: Sequence[str]) -> str:
    """Return the names for a message, the first :data:`SHOWN` of them."""
    more = len(names) - SHOWN
    first = ", ".join(names[:SHOWN])
    return f"{first} and {more} more" if more > 0 else first
