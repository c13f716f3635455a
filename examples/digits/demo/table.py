"""The table of results: a row a step, with its evidence, ok or not."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass

WIDTH = 66


@dataclass(frozen=True)
class Row:
    """Result of one step."""

    step: str
    evidence: str
    ok: bool
    seconds: float


class Table:
    """Collects rows; a step that raises is a row that is not ok, and the demo goes on."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.started = time.time()

    def step(self, name: str, run: Callable[[], tuple[bool, str]]) -> None:
        """Run a step and add its outcome as a row."""
        print(f"[{time.time() - self.started:5.1f} s] {name} …", flush=True)
        started = time.time()
        try:
            ok, evidence = run()
        except Exception as error:
            ok, evidence = False, f"{type(error).__name__}: {error}"
        self.rows.append(Row(name, evidence, ok, time.time() - started))
        print(f"          {'ok' if ok else 'NOT OK'}: {evidence}", flush=True)

    @property
    def ok(self) -> bool:
        """Return whether every row is ok."""
        return all(row.ok for row in self.rows)

    def text(self) -> str:
        """Return the table for a terminal."""
        lines = ["", f"{'step':<34} {'':<6} evidence", "-" * 110]
        for row in self.rows:
            steps = textwrap.wrap(row.step, 34)
            parts = textwrap.wrap(row.evidence, WIDTH) or [""]
            for i in range(max(len(steps), len(parts))):
                verdict = ("ok" if row.ok else "NOT OK") if i == 0 else ""
                step = steps[i] if i < len(steps) else ""
                part = parts[i] if i < len(parts) else ""
                lines.append(f"{step:<34} {verdict:<6} {part}")
        return "\n".join(lines)
