"""Rows that were measured, in a file: a run that was cut goes on, and one row can be repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.hub.scale_row import ScaleRow
from edge_sdk.bench import machine
from edge_sdk.system.files import READABLE, write_atomic


@dataclass(frozen=True)
class MeasuredGroup:
    """The rows of one group, as they were measured together.

    Attributes:
        rows: of the table.
        day: on which.
        load: processes that ran or waited on the machine as it began, the last minute's mean.
        facts: of the machine.
    """

    rows: tuple[ScaleRow, ...]
    day: str
    load: str
    facts: Mapping[str, str]


class CachedRows:
    """What was measured so far, by group; every change is on the disk at once.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._groups: dict[str, MeasuredGroup] = {}
        if path.exists():
            for name, group in json.loads(path.read_text()).items():
                rows = tuple(ScaleRow(**row) for row in group.pop("rows"))
                self._groups[name] = MeasuredGroup(rows, **group)

    def __contains__(self, group: str) -> bool:
        return group in self._groups

    def get(self, group: str) -> MeasuredGroup | None:
        """Return a group, if it was measured."""
        return self._groups.get(group)

    def forget(self) -> None:
        """Measure everything anew."""
        self._groups.clear()
        self._write()

    def keep(self, group: str, rows: Sequence[ScaleRow], load: str) -> None:
        """Note a group.

        Args:
            group: its name.
            rows: that were measured.
            load: of the machine as it began.
        """
        day = time.strftime("%Y-%m-%d")
        self._groups[group] = MeasuredGroup(tuple(rows), day, load, machine.facts())
        self._write()

    def _write(self) -> None:
        plain = {name: asdict(group) for name, group in self._groups.items()}
        text = json.dumps(plain, indent=1, ensure_ascii=False, sort_keys=True)
        write_atomic(self._path, f"{text}\n".encode(), mode=READABLE)
