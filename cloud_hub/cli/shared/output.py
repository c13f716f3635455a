"""Output of the commands: a table or sentences for people, JSON for programs; times as local ISO.

A command returns a :class:`Result`; nothing else prints to standard output. Notes and progress go
to standard error, so that a pipe gets the data alone.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from rich.table import Table as RichTable

DIGEST: Final = re.compile(r"\b[0-9a-f]{64}\b")

NARROWEST: Final = 80
WIDEST: Final = 120
"""Characters: a table is made for a width in between, whatever the terminal says of itself."""

NARROWEST_LAST: Final = 16
"""Characters that the last column has at least while the others stay on one line."""

GAP: Final = 2
"""Characters between two columns."""


@dataclass(frozen=True)
class TextTable:
    """Rows for people. The last column wraps; numbers are set to the right.

    ``title`` stands above it, ``empty`` instead of it where there are no rows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    empty: str = "nothing"


View = str | TextTable | Sequence[str | TextTable]


@dataclass(frozen=True)
class Result:
    """Outcome of a command: ``data`` as ``--json`` prints it, ``view`` of it for people."""

    data: Any
    view: Callable[[Any], View] = field(default=str)
    status: int = 0

    def show(self, *, as_json: bool) -> None:
        """Print it to standard output."""
        if as_json:
            print(json.dumps(self.data, indent=2, sort_keys=True))
            return
        view = self.view(self.data)
        for part in [view] if isinstance(view, str | TextTable) else view:
            print(part if isinstance(part, str) else rendered(part))


def rendered(table: TextTable) -> str:
    """Return the table as text, coloured on a terminal."""
    from rich.console import Console

    if not table.rows:
        return f"{table.title}: {table.empty}" if table.title else table.empty
    columns = shutil.get_terminal_size((WIDEST, 24)).columns
    console = Console(width=min(WIDEST, max(NARROWEST, columns)), highlight=False)
    # Rendered to a text first: rich ends the process by itself where its output is closed.
    with console.capture() as capture:
        console.print(_grid(table, console.width))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def _grid(table: TextTable, width: int) -> RichTable:
    """The table for rich: nothing is cut off; only the last column wraps, if the others fit."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=table.title or None,
        title_justify="left",
    )
    texts = [[cell(value) for value in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *texts, strict=True)]
    fits = sum(widths[:-1]) + GAP * len(widths) + NARROWEST_LAST <= width
    for i, column in enumerate(table.columns):
        numbers = all(isinstance(row[i], int | float | None) for row in table.rows)
        one_line = fits and i != len(widths) - 1
        justify: Literal["left", "right"] = "right" if numbers else "left"
        grid.add_column(column, justify=justify, no_wrap=one_line, overflow="fold")
    for row in texts:
        # As Text: square brackets in a value would otherwise be taken for rich's markup.
        grid.add_row(*map(Text, row))
    return grid


def cell(value: Any) -> str:
    """Return one value for people: ``-`` for nothing, numbers short, pairs as ``name=value``."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):  # before int, which it is too
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return pairs(value) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value) or "-"
    return str(value)


def pairs(values: Mapping[str, Any]) -> str:
    """Return ``name=value`` of all that have a value."""
    return " ".join(f"{name}={short(v)}" for name, v in values.items() if v is not None)


def short(value: Any) -> str:
    """Return one value within a line of pairs, without spaces where possible."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{short(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ",".join(short(part) for part in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    # A SHA-256 is named by its beginning, as git does; JSON has all of it.
    return DIGEST.sub(lambda digest: digest[0][:12], str(value))


def local_time(at: float | None) -> str:
    """Return Unix seconds as local ISO time with its offset, ``-`` for ``None``."""
    if at is None:
        return "-"
    return datetime.datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def plural(count: int, noun: str, several: str = "") -> str:
    """Return a number with its noun: ``1 alarm``, ``2 alarms``.

    Args:
        count: of the things.
        noun: singular.
        several: plural, where it is not the singular with an ``s``.
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def warn(text: str) -> None:
    """Print a warning to standard error."""
    print(f"edge-hub: warning: {text}", file=sys.stderr)


def note(text: str) -> None:
    """Print a remark to standard error."""
    print(f"edge-hub: {text}", file=sys.stderr)


def progress(text: str) -> None:
    """Print a line of progress to standard error, on a terminal only."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def busy(text: str) -> Iterator[None]:
    """Show that something takes a while, on a terminal only."""
    if not sys.stderr.isatty():  # a spinner would fill the log of a CI job
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
