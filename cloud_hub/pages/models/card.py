"""Model cards as a page shows them: the few forms of Markdown that conversion writes. Pure.

A card comes with a release, so from whoever made it: here it becomes plain data, which the
template escapes. What is of no known form is shown as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

MOST: Final = 60_000
"""Characters of a card that are shown."""


@dataclass(frozen=True)
class CardBlock:
    """A part of a card: ``rows`` are those of a table (the first its head), else lines of text."""

    kind: Literal["heading", "text", "list", "table"]
    rows: tuple[tuple[str, ...], ...]


def blocks(text: str) -> list[CardBlock]:
    """Return the parts of a card in Markdown."""
    return list(_blocks(text[:MOST]))


def _blocks(text: str) -> Iterator[CardBlock]:
    for part in text.split("\n\n"):
        lines = [line for line in part.splitlines() if line.strip()]
        if not lines:
            continue
        if lines[0].startswith("#"):
            yield CardBlock("heading", ((_plain(lines[0].lstrip("# ")),),))
            lines = lines[1:]
        if not lines:
            continue
        if all(line.startswith("|") for line in lines) and len(lines) > 1:
            rows = [_cells(line) for line in (lines[0], *lines[2:])]
            yield CardBlock("table", tuple(row for row in rows if any(row)))
        elif all(line.startswith("- ") for line in lines):
            yield CardBlock("list", tuple((_plain(line[2:]),) for line in lines))
        else:
            yield CardBlock("text", ((_plain(" ".join(lines)),),))


def _cells(line: str) -> tuple[str, ...]:
    # A bar within a cell is written as \|.
    whole = line.replace("\\|", "\0").strip().strip("|")
    return tuple(_plain(cell.replace("\0", "|").strip()) for cell in whole.split("|"))


def _plain(text: str) -> str:
    return text.replace("`", "").replace("\\", "")
