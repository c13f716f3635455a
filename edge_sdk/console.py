"""What the command lines have in common: they end quietly when nobody reads on."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

Main = Callable[[Sequence[str] | None], int]

UNREAD: Final = 141
"""Exit status if the output was closed, as a shell has it for SIGPIPE."""


def may_be_piped(main: Main) -> Callable[..., int]:
    """``main`` that ends without a word once its output is closed, as by ``| head``."""

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            code = main(argv)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered goes nowhere, or the interpreter complains as it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        return code

    return run
