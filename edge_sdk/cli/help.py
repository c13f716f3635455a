"""Help of the ``edge`` command: grouped, with an example for every command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

EXIT_STATUS: Final = """\
exit status:
  0  done
  1  refused or failed; one line on standard error says why
  2  wrong usage
"""


class CommandGroups:
    """The commands of a parser, listed in groups in its help.

    Args:
        parser: of the program, or of a command that has others below it.
        metavar: what a command is called in the usage line.
    """

    def __init__(self, parser: argparse.ArgumentParser, metavar: str = "COMMAND") -> None:
        # argparse would list all commands in one row; the listing in the epilog has groups.
        self._commands = parser.add_subparsers(
            required=True, metavar=metavar, help=argparse.SUPPRESS, prog=parser.prog
        )
        parser.usage = f"{parser.prog} [-h] {metavar} ..."
        self._parser = parser
        self._metavar = metavar
        self._listing = ""
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = EXIT_STATUS

    def group(self, title: str) -> None:
        """Begin a group: commands that are added from now on stand below ``title``."""
        self._listing += f"{title}:\n" if not self._listing else f"\n{title}:\n"
        self._show()

    def add(
        self, name: str, text: str, examples: Sequence[str], *, parent: Any = None
    ) -> argparse.ArgumentParser:
        """Add a command.

        Args:
            name: as it is typed.
            text: one line of help.
            examples: command lines, one at least.
            parent: a parser with options that it shares with others.
        """
        lines = "\n".join(f"  {example}" for example in examples)
        command: argparse.ArgumentParser = self._commands.add_parser(
            name,
            help=text,
            description=f"{text[:1].upper()}{text[1:]}.",
            epilog=f"example:\n{lines}\n\n{EXIT_STATUS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[] if parent is None else [parent],
        )
        self._listing += f"    {name:<10}  {text}\n"
        self._show()
        return command

    def _show(self) -> None:
        more = f"'{self._parser.prog} {self._metavar} --help' explains one, with an example."
        self._parser.epilog = f"{self._listing}\n{more}\n\n{EXIT_STATUS}"


def json_option() -> argparse.ArgumentParser:
    """Return a parser with ``--json``, a parent of every command that prints facts."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parent


def add_attributes(command: argparse.ArgumentParser) -> None:
    """Add ``--attribute NAME=VALUE``, which may be given several times."""
    command.add_argument(
        "--attribute",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for cohorts, such as region=eu; may be given several times",
    )


def _pair(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value
