"""Output of the commands: tables for people, JSON for programs, progress on a terminal.

A report is text in which Markdown tables stand. On a terminal its tables are drawn to fit; anywhere
else it is printed as it is, so that it can be pasted into a pull request.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.certification.verify import Verification
    from edge_sdk.model.release import Release

log = logging.getLogger(__name__)


def print_certificate(release: Release, as_json: bool) -> None:
    """Print what was measured when a release was made."""
    from converters.certification.report import certificate_table

    if not as_json:
        print_report(certificate_table(release))
        return
    manifest = release.manifest
    print_json(
        {
            "folder": str(release.folder),
            "digest": release.digest,
            "manifest": json.loads(manifest.to_json()),
            "certificate": json.loads(release.certificate().to_json()),
        }
    )


def print_verification(verification: Verification, as_json: bool) -> None:
    """Print what was checked here, and times and memory of both machines."""
    if as_json:
        print_json({"ok": True, **asdict(verification)})
    else:
        print_report(verification.report())


def print_json(value: Any) -> None:
    """Print one JSON document, keys in order, for programs."""
    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


def print_report(text: str) -> None:
    """Print a report; on a terminal its Markdown tables are drawn."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console

    console = Console(highlight=False)
    for is_table, lines in itertools.groupby(text.splitlines(), lambda line: line[:1] == "|"):
        if is_table:
            console.print(_table(list(lines)))
        else:
            console.print("\n".join(lines), markup=False)


def _table(lines: Sequence[str]) -> Any:
    """A Markdown table as a drawn one: head, alignment (``---:`` is right), rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    head, alignment, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    table = Table(box=box.SIMPLE_HEAD)
    for title, dashes in zip(head, alignment, strict=True):
        table.add_column(Text(title), justify="right" if dashes.endswith(":") else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Give a function that shows the steps of the work on a terminal, as they begin.

    Elsewhere, and where log records of the level INFO are shown, it shows nothing: the log tells.
    """
    if not sys.stderr.isatty() or log.isEnabledFor(logging.INFO):
        yield lambda step: None
        return
    from rich.console import Console

    # Plain lines, no spinner: its thread would run beside the latency measurements.
    console = Console(stderr=True, highlight=False)

    def report(message: str) -> None:
        console.print(message, style="dim", markup=False)

    yield report
