"""``edge-convert``: convert a model, verify a release, show its certificate.

This module is what the console script starts. It loads nothing heavy, not even typer, so that an
installation that lacks a package answers with a sentence; the commands are in
:mod:`converters.cli.app`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from edge_sdk.cli.console import UNREAD, may_be_piped, part_of

NAME: Final = "edge-convert"


@may_be_piped
@part_of("convert", NAME)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 is done, 1 refused, 2 wrong usage.

    ``edge-convert MODEL ...`` is short for ``edge-convert convert MODEL ...``.
    """
    import typer

    from converters.cli.app import app
    from converters.errors import ConversionError
    from edge_sdk.errors import EdgeError

    command = typer.main.get_command(app)
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Outside its standalone mode typer raises what it would print, in a frame, on its own.
        status = command.main(arguments, prog_name=NAME, standalone_mode=False)
    except typer.TyperException as error:
        print(_usage_error(error), file=sys.stderr)
        return error.exit_code
    except (ConversionError, EdgeError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    except SystemExit:
        return UNREAD  # typer's answer, in either mode, to an output that was closed
    return int(status or 0)


def _usage_error(error: Exception) -> str:
    """One sentence, and how the command is called."""
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    if context is None:
        return f"{NAME}: {message}"
    usage = " ".join(context.get_usage().split()).removeprefix("Usage: ")
    return f"{NAME}: {message}\nusage: {usage} (more: {context.command_path} --help)"


if __name__ == "__main__":
    sys.exit(main())
