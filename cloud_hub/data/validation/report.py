"""Outcome of a validation: findings in words, and which checks could be made. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cloud_hub.policy.schema.validation import CheckName

Level = Literal["fails", "told"]

SHOWN = 5
"""Findings that a reason names; the report has all."""


@dataclass(frozen=True)
class DataFinding:
    """Something that a check found.

    Attributes:
        check: which one.
        level: ``fails`` stops a run, ``told`` does not.
        column: that it is about, if it is about one.
        text: what was expected, what came.
        value: what was measured.
        limit: of it.
    """

    check: CheckName
    level: Level
    column: str | None
    text: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class DataCheck:
    """A check: whether it was made, or in ``skipped`` why not; number of its ``findings``."""

    check: CheckName
    findings: int
    skipped: str = ""


@dataclass(frozen=True)
class ValidationReport:
    """All checks of one dataset.

    Attributes:
        rows: that were checked.
        columns: features.
        before: version that they were compared with, ``NAME@N``; ``None`` if there was none.
        checks: in order.
        findings: in the order of the checks.
    """

    rows: int
    columns: int
    before: str | None
    checks: tuple[DataCheck, ...]
    findings: tuple[DataFinding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(finding.level != "fails" for finding in self.findings)

    def reason(self) -> str:
        """Return why the data cannot be used, in words; empty if nothing failed."""
        failed = [finding.text for finding in self.findings if finding.level == "fails"]
        more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        return f"data: {'; '.join(failed[:SHOWN])}{more}" if failed else ""
