"""The steps of an operation, and what each of them said, one file a step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class KeptSteps:
    """Numbers steps, and keeps their outputs in a folder."""

    folder: Path
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def next(self, what: str) -> Path:
        """Return the file, without its ending, of one more step."""
        self.names.append(what)
        name = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")
        return self.folder / f"{len(self.names):02d}-{name}"

    def keep(self, what: str, text: str) -> None:
        """Keep the text of one more step."""
        path = self.next(what)
        path.with_name(f"{path.name}.txt").write_text(text)

    def write_index(self, title: str) -> None:
        """Write the list of steps."""
        lines = [f"# {title}", "", *(f"{i}. {name}" for i, name in enumerate(self.names, 1))]
        (self.folder / "README.md").write_text("\n".join(lines) + "\n")
