"""What a program said itself: on an emulated processor the runtime has words of its own."""

from __future__ import annotations

import re

RUNTIME = re.compile("cpuinfo|cpuid_info")
"""It names the library with which it asks what the processor is."""


def own_words(said: str) -> str:
    """Return the lines that are not the runtime's."""
    return "".join(line for line in said.splitlines(keepends=True) if not RUNTIME.search(line))
