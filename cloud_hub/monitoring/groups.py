"""Groups of rows and of devices: differences of accuracy, differences of answers, and errors that
rise in one group though not over all. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from cloud_hub.monitoring.figures import ErrorFigures
from cloud_hub.monitoring.findings import Finding, fairness_finding, selection_finding
from cloud_hub.monitoring.store import Concept, GroupErrors
from cloud_hub.statistics.detectors.concept import Labelled, base_rate, first_alarm
from cloud_hub.statistics.fairness import LEAST, Counts, disparity, selection
from edge_sdk.contract.groups import OTHER, GroupColumn

if TYPE_CHECKING:
    from cloud_hub.policy.schema.monitoring import MonitoringPolicy
    from cloud_hub.telemetry.groups import GroupWindow
    from edge_sdk.contract.certificate import Certificate

T = TypeVar("T")
LEARNED: Final = 500
"""Labels of a group that become its base rate where the release promises none."""


def group_name(column: str, group: str) -> str:
    """Return the name of a group in signals."""
    return f"{column}={group}"


def promised(certificate: Certificate) -> dict[str, float]:
    """Return the base rates of errors by group, of groups with enough check rows."""
    return {
        group_name(g.column, g.group): base_rate(round((1 - g.score) * g.rows), g.rows)
        for g in certificate.groups
        if g.score is not None and g.rows >= LEAST
    }


def by_attribute(
    concept: Concept, attributes: Mapping[str, Mapping[str, str]], names: Iterable[str]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Return (labelled, correct) of groups of devices, by attribute and value.

    Args:
        concept: labels by device.
        attributes: of each device.
        names: attributes to group by.
    """
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for name in names:
        groups = counts.setdefault(name, {})
        for device, (errors, labelled) in concept.counts.items():
            value = attributes.get(device, {}).get(name)
            if value is not None:
                n, correct = groups.get(value, (0, 0))
                groups[value] = (n + labelled, correct + labelled - errors)
    return counts


def comparable(
    by_column: Mapping[str, Mapping[str, T]], declared: Iterable[GroupColumn]
) -> dict[str, dict[str, T]]:
    """Return the entries of groups of rows that can be compared.

    *other* holds the rows of all groups that a device does not report by name, so it is no group
    unless the release declares it.

    Args:
        by_column: anything by column and group.
        declared: columns with groups of the release.
    """
    real = {column.name for column in declared if OTHER in column.values}
    return {
        column: {g: each for g, each in groups.items() if g != OTHER or column in real}
        for column, groups in by_column.items()
    }


def compare(groups: Mapping[str, Counts], policy: MonitoringPolicy) -> list[Finding]:
    """Compare the accuracies of groups, by each column or attribute."""
    acceptable = policy.acceptable_disparity
    return [
        fairness_finding(name, disparity(counts, acceptable=acceptable))
        for name, counts in groups.items()
    ]


def selections(
    answers: Mapping[str, Mapping[str, Mapping[str, int]]],
    classes: Sequence[str],
    policy: MonitoringPolicy,
) -> list[Finding]:
    """Compare the answers to groups of rows: by each column, the answer whose shares differ most.

    Args:
        answers: number of predictions by column, group and answer.
        classes: labels that the model can answer.
        policy: its ``acceptable_selection`` raises alarms; none without it.
    """
    limit = policy.acceptable_selection
    findings = []
    for column, groups in answers.items():
        differs = selection(groups, classes, acceptable=1.0 if limit is None else limit)
        if differs is not None:
            findings.append(selection_finding(column, *differs))
    return findings


def score(
    concept: Concept,
    windows: Sequence[GroupWindow],
    bases: Mapping[str, float],
    policy: MonitoringPolicy,
    *,
    count: int,
) -> list[Finding]:
    """Take labels of settled windows into the detector of each group; return its findings.

    Args:
        concept: detectors of groups; it is changed.
        windows: of all groups.
        bases: error rates that the release promises, by group.
        policy: its ``mean_run`` is that of all groups together.
        count: groups that the release declares.
    """
    labelled: dict[str, list[Labelled]] = {}
    for window in windows:
        if window.labelled:
            errors = window.labelled - window.correct
            row = Labelled("", window.start, window.labelled, errors)
            labelled.setdefault(group_name(window.column, window.group), []).append(row)
    findings = []
    for name, rows in labelled.items():
        group = concept.groups.setdefault(name, GroupErrors(bases.get(name)))
        # count times the run: a false alarm of any of them is as rare as one of the whole model.
        findings.append(_score_one(name, group, rows, policy.mean_run * max(1, count)))
    return findings


def _score_one(name: str, group: GroupErrors, rows: Sequence[Labelled], mean_run: float) -> Finding:
    labelled, errors = sum(row.labelled for row in rows), sum(row.errors for row in rows)
    group.labelled, group.errors = group.labelled + labelled, group.errors + errors
    base, alarmed = group.base, None
    if base is not None:
        alarmed = first_alarm(group.detector, rows, base, mean_run=mean_run)
    elif group.labelled >= LEARNED:
        group.base = base_rate(group.errors, group.labelled)
    evidence = group.detector.evidence
    figures = ErrorFigures(
        labelled=labelled,
        errors=errors,
        base_rate=base,
        evidence=float(f"{evidence:.4g}"),
        alarm_from=mean_run,
        alarmed_at=alarmed,
        risen_since=group.detector.since if evidence > 1 else None,
    )
    rise = errors / labelled - base if base is not None else 0.0
    return Finding(f"concept:{name}", "concept", alarmed is not None, rise, figures)


def restarted(group: GroupErrors, *, rebase: bool) -> GroupErrors:
    """Return a group without the evidence; with ``rebase`` its errors so far become its base."""
    base = base_rate(group.errors, group.labelled) if rebase and group.labelled else group.base
    return GroupErrors(base)
