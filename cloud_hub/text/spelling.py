"""Names that a person typed, beside those that there are. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

SHOWN: Final = 20
"""How many names a message lists."""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A question about the nearest name, with a space behind; empty if none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? " if near else ""


def listed(names: Sequence[str]) -> str:
    """The names for a message, the first :data:`SHOWN` of them."""
    more = len(names) - SHOWN
    told = ", ".join(names[:SHOWN])
    return f"{told} and {more} more" if more > 0 else told
