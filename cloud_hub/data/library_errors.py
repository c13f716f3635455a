"""What libraries say when they fail, short enough for a sentence of ours."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return what a library said, without its trace, short."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
