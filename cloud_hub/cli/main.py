"""``edge-hub``: initialise and serve a hub, and everything an administrator does with one.

Only what parses the command line is imported before a command runs, so ``--help`` answers at once;
and it is imported inside of :func:`main`, so that Ctrl-C and a missing package end with one line
from the start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.cli.console import INTERRUPTED, may_be_piped, part_of, reason_of

if TYPE_CHECKING:
    import typer

    from cloud_hub.cli.registration import Invocation

NAME: Final = "edge-hub"
DONE: Final = 0
REFUSED: Final = 1

EXITS: Final = (
    "Exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; "
    "3 policy plan --exit-code found changes; 130 interrupted; 141 output closed."
)


@may_be_piped
@part_of("hub", NAME)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, as the help lists them."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print(f"{NAME}: interrupted", file=sys.stderr)
        return INTERRUPTED


def app() -> typer.Typer:
    """Return the whole command line; commands stand in the help in the order of this list."""
    import typer

    from cloud_hub.cli import (
        administration,
        datasets,
        experiments,
        fleet,
        freshness,
        monitoring,
        plans,
        policy,
        registration,
        releases,
        runs,
        server,
        triggers,
    )

    hub = typer.Typer(
        name=NAME,
        help="Version, sign, roll out, watch and retrain edge models.",
        epilog=EXITS,
        context_settings=registration.HELP_OPTIONS,
        pretty_exceptions_enable=False,
    )
    hub.callback()(_options())
    parts = (
        server, releases, plans, experiments, fleet, monitoring, policy, datasets, triggers, runs,
        freshness, administration,
    )  # fmt: skip
    for part in parts:
        part.add_commands(hub)
    return hub


def _options() -> Any:
    from typing import Annotated

    import typer

    def print_version(asked: bool) -> None:
        if asked:
            from importlib.metadata import version

            print(NAME, version("edge-deployment-sdk"))
            raise typer.Exit

    option = typer.Option("--version", callback=print_version, is_eager=True, help="Print it, end.")

    def options(version: Annotated[bool, option] = False) -> None:
        """Options before the command."""

    options.__annotations__ = {"version": Annotated[bool, option], "return": None}
    return options


def _run(words: list[str]) -> int:
    import typer

    # The command itself is called, not the app: that would replace sys.excepthook.
    command = typer.main.get_command(app())
    try:
        parsed = command.main(words, prog_name=NAME, standalone_mode=False)
    except typer.TyperException as error:
        print(_wrong_usage(error), file=sys.stderr)
        return error.exit_code
    return parsed if isinstance(parsed, int) else _execute(parsed)  # a status of --help


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
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    path = context.command_path if context is not None else NAME
    if param is not None and error.message:
        word = next((o for o in param.opts if o.startswith("--")), None)
        word = word or param.name.rstrip("_")
        message = f"argument {word}: {error.message}"
    else:
        message = error.format_message().rstrip(".")
    return f"{path}: error: {message}; see {path} --help"


if __name__ == "__main__":
    sys.exit(main())
