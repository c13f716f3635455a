"""What the command lines have in common: they end with a sentence, or none, when output fails."""

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
    """``main`` that ends without a word once its output is closed, as by ``| head``.

    Where nothing more can be written, as on a full disk, it ends with 1 and says why.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            code = main(argv)
            if sys.stdout is not None:  # as it is where it was closed before the start
                sys.stdout.flush()
        except BrokenPipeError:
            _drop_output()
            return UNREAD
        except OSError as error:
            _drop_output()
            where = f"{error.filename}: " if error.filename else ""
            print(f"cannot go on: {where}{error.strerror or error}", file=sys.stderr)
            return 1
        return code

    return run


def _drop_output() -> None:
    """What is still buffered goes nowhere, or the interpreter complains as it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
