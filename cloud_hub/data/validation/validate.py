"""All checks of a dataset before it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cloud_hub.data.validation import column_checks, labels, origins, repeats, shifts
from cloud_hub.data.validation.found import Found, Skipped
from cloud_hub.data.validation.report import DataCheck, DataFinding, ValidationReport
from cloud_hub.data.validation.subject import ValidatedRows
from cloud_hub.policy.schema.validation import CheckName

CHECKS: Final[Mapping[CheckName, Callable[[ValidatedRows], Iterable[Found]]]] = {
    "schema": column_checks.schema,
    "missing": column_checks.missing,
    "range": column_checks.ranges,
    "duplicate_rows": repeats.duplicate_rows,
    "duplicate_features": repeats.duplicate_features,
    "label_balance": labels.label_balance,
    "label_leak": labels.label_leak,
    "holdout_overlap": repeats.holdout_overlap,
    "drift": shifts.drift,
    "device_share": origins.device_share,
    "fleet": shifts.fleet,
    "new_categories": shifts.new_categories,
    "time_gap": origins.time_gap,
}
"""In the order in which they are made and told; another check adds its line here."""


def validate(subject: ValidatedRows) -> ValidationReport:
    """Make every check, and return what all of them found.

    Args:
        subject: the rows, what they are compared with, and the thresholds.
    """
    checks, findings = [], []
    for name, check in CHECKS.items():
        try:
            found = list(check(subject))
        except Skipped as reason:
            checks.append(DataCheck(name, 0, str(reason)))
            continue
        checks.append(DataCheck(name, len(found)))
        # A feature twice is news only where it was not so before, and nobody knows that.
        told = name in subject.policy.told or (
            name == "duplicate_features" and subject.before is None
        )
        level = "told" if told else "fails"
        findings += [DataFinding(name, level, *each) for each in found]  # type: ignore[arg-type]
    return ValidationReport(
        rows=len(subject.data),
        columns=len(subject.data.names),
        before=None if subject.before is None else subject.before.name,
        checks=tuple(checks),
        findings=tuple(findings),
    )
