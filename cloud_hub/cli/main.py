"""``edge-hub``: initialise and serve a hub, and everything an administrator does with one.

The command line is imported inside of :func:`main`, so that Ctrl-C and a missing package end with
one line from the start. It imports only what parses, so ``--help`` answers at once; a command
imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edge_sdk.cli.console import INTERRUPTED, may_be_piped, part_of, reason_of

if TYPE_CHECKING:
    import typer

    from cloud_hub.cli.shared.registration import Invocation

NAME: Final = "edge-hub"
DONE: Final = 0
REFUSED: Final = 1


@may_be_piped
@part_of("hub", NAME)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, as the help lists them."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print(f"{NAME}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(words: list[str]) -> int:
    """Parse, then run: what the command raises never passes through typer."""
    import typer

    from cloud_hub.cli.app import create_app

    # The command itself is called, not the app: that would replace sys.excepthook.
    command = typer.main.get_command(create_app(words))
    try:
        parsed = command.main(words, prog_name=NAME, standalone_mode=False)
    except typer.TyperException as error:
        print(_wrong_usage(error), file=sys.stderr)
        return error.exit_code
    # --help, --version and completion end with a status instead of a command.
    return parsed if isinstance(parsed, int) else _execute(parsed)


def _execute(invocation: Invocation) -> int:
    from cloud_hub.errors import HubFault
    from edge_sdk.contract.errors import EdgeError

    try:
        result = invocation.run()
    except BrokenPipeError:  # an OSError, but nothing to complain of: see may_be_piped
        raise
    except (HubFault, EdgeError, OSError) as error:
        print(f"{NAME}: {reason_of(error)}", file=sys.stderr)
        return REFUSED
    if result is None:
        return DONE
    result.show(as_json=invocation.as_json)
    return result.status


def _wrong_usage(error: typer.TyperException) -> str:
    """One sentence: the command, the argument, what was expected, and where help is."""
    # TyperException declares neither; its subclasses for wrong usage have both.
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    path = context.command_path if context is not None else NAME
    if param is not None and error.message:
        option = next((word for word in param.opts if word.startswith("--")), None)
        message = f"argument {option or param.name.rstrip('_')}: {error.message}"
    else:
        message = error.format_message().rstrip(".")
    return f"{path}: error: {message}; see {path} --help"


if __name__ == "__main__":
    sys.exit(main())
