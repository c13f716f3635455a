"""Versions as a tree, each below the one that it was trained from, and what a plan does with them.

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_hub.registry.service import VersionRecord
    from edge_sdk.contract.plan import Plan

DEEPEST: Final = 12
"""Levels that are drawn; what is deeper stands as deep as that."""

TONES: Final = {"serving": "good", "rolled_back": "bad", "retired": "quiet", "published": "info"}
"""Tone of each status of a version."""


@dataclass(frozen=True)
class LineageRow:
    """A version in the tree; ``depth`` is 0 for one that was trained from scratch."""

    record: VersionRecord
    depth: int

    @property
    def guide(self) -> str:
        """Lines before its name."""
        return "  " * (self.depth - 1) + "└ " if self.depth else ""


def tree(records: Sequence[VersionRecord]) -> list[LineageRow]:
    """Return versions below their parents, the newest line first.

    A version whose parent is not among them stands as one without.

    Args:
        records: of one model, oldest first.
    """
    known = {record.version: i for i, record in enumerate(records)}
    children: dict[str | None, list[VersionRecord]] = defaultdict(list)
    for i, record in enumerate(records):
        # Only of older ones: what a publisher claims must not make a circle.
        older = record.parent is not None and known.get(record.parent, i) < i
        children[record.parent if older else None].append(record)
    rows: list[LineageRow] = []
    waiting = [(record, 0) for record in children[None]]
    while waiting:
        record, depth = waiting.pop()
        rows.append(LineageRow(record, min(depth, DEEPEST)))
        waiting += [(child, depth + 1) for child in children[record.version]]
    return rows


def roles_of(plan: Plan | None) -> Mapping[str, str]:
    """Return ``serves`` and ``tried`` by version, as a plan says."""
    if plan is None:
        return {}
    trial = plan.experiment.arms if plan.experiment is not None else ()
    return {arm.release.version: "tried" for arm in trial} | {plan.serving.version: "serves"}
