"""Behaviour of all three command lines: they end with a sentence, or none, when output fails."""

from __future__ import annotations

import argparse
import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

Main = Callable[[Sequence[str] | None], int]

UNREAD: Final = 141
"""Exit status if the output was closed, as a shell has it for SIGPIPE."""

OURS: Final = ("edge_sdk", "converters", "cloud_hub")

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as a shell has it for SIGINT."""


def may_be_piped(main: Main) -> Callable[..., int]:
    """``main`` that ends without a word once its output is closed, as by ``| head``, or on Ctrl-C,
    and with one line where the system refuses something else, such as room on the disk.

    What the terminal's encoding lacks is written as an escape.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            code = main(argv)
            if sys.stdout is not None:  # it may be closed from the start
                sys.stdout.flush()
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            _drop_output()
            return UNREAD
        except OSError as error:
            _drop_output()
            print(f"cannot go on: {reason_of(error)}", file=sys.stderr)
            return 1
        return code

    return run


def part_of(extra: str, name: str) -> Callable[[Main], Main]:
    """For the ``main`` of the command ``name``: where a package is missing, it says that the
    ``extra`` of our distribution brings it.
    """

    def wrap(main: Main) -> Main:
        @functools.wraps(main)
        def run(argv: Sequence[str] | None = None) -> int:
            try:
                return main(argv)
            except ModuleNotFoundError as error:
                missing = (error.name or str(error)).partition(".")[0]
                if missing in OURS:
                    raise
                if missing in sys.stdlib_module_names:  # no package brings what a system lacks
                    text = f"this system's Python has no {missing}, which Linux and macOS have"
                    print(f"{name}: {text}: run it there", file=sys.stderr)
                    return 1
                brings = f'pip install "edge-deployment-sdk[{extra}]"'
                print(f"{name}: {missing} is not installed: {brings}", file=sys.stderr)
                return 1

        return run

    return wrap


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add ``--version``: the version of our distribution."""
    parser.add_argument("--version", action=_Version, nargs=0, help="print it, and end")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(parser.prog, version("edge-deployment-sdk-core"))
        parser.exit()


def reason_of(error: Exception) -> str:
    """Return the reason for the user: of a file that cannot be read or written, which and why."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _drop_output() -> None:
    """Drop what is still buffered, or the interpreter complains as it exits."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
