"""Groups of rows and of devices: who is served worse, who is answered otherwise, and whose errors
rose though those of all did not. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from cloud_hub.monitoring.findings import Finding, fairness_finding, selection_finding
from cloud_hub.monitoring.store import Concept, GroupErrors
from cloud_hub.policy.schema.monitoring import MonitoringPolicy
from cloud_hub.statistics.concept import Labelled, base_rate, first_alarm
from cloud_hub.statistics.fairness import LEAST, Counts, disparity, selection
from cloud_hub.telemetry.groups import GroupWindow
from edge_sdk.contract.certificate import Certificate
from edge_sdk.contract.groups import OTHER, GroupColumn

T = TypeVar("T")
LEARNED: Final = 500
"""Labels of a group that become its base rate where the release promises none."""


def name_of(column: str, group: str) -> str:
    """How a group is called in signals."""
    return f"{column}={group}"


def promised(certificate: Certificate) -> dict[str, float]:
    """Base rates of errors by group, of those with enough check rows."""
    return {
        name_of(g.column, g.group): base_rate(round((1 - g.score) * g.rows), g.rows)
        for g in certificate.groups
        if g.score is not None and g.rows >= LEAST
    }


def by_attribute(
    concept: Concept, attributes: Mapping[str, Mapping[str, str]], names: Iterable[str]
) -> dict[str, dict[str, tuple[int, int]]]:
    """(labelled, correct) of groups of devices, by attribute."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for name in names:
        groups = found.setdefault(name, {})
        for device, (errors, labelled) in concept.counts.items():
            value = attributes.get(device, {}).get(name)
            if value is not None:
                known = groups.get(value, (0, 0))
                groups[value] = (known[0] + labelled, known[1] + labelled - errors)
    return found


def told_apart(
    found: Mapping[str, Mapping[str, T]], declared: Iterable[GroupColumn]
) -> dict[str, dict[str, T]]:
    """What is known of groups of rows that can be compared: *other* holds rows of all groups that
    a device does not tell of by name, and is none unless the release declares it.
    """
    real = {column.name for column in declared if OTHER in column.values}
    return {
        column: {g: each for g, each in groups.items() if g != OTHER or column in real}
        for column, groups in found.items()
    }


def compare(groups: Mapping[str, Counts], policy: MonitoringPolicy) -> list[Finding]:
    """The accuracies of groups, by each column or attribute."""
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
    """What groups of rows are answered: the answer whose shares differ most, by each column."""
    limit = policy.acceptable_selection
    found = []
    for column, groups in answers.items():
        differs = selection(groups, classes, acceptable=1.0 if limit is None else limit)
        if differs is not None:
            found.append(selection_finding(column, *differs))
    return found


def score(
    concept: Concept,
    windows: Sequence[GroupWindow],
    bases: Mapping[str, float],
    policy: MonitoringPolicy,
    *,
    count: int,
) -> list[Finding]:
    """Take labels of settled windows into the detector of each group; what they say.

    Args:
        concept: what is known of groups; it is changed.
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
            labelled.setdefault(name_of(window.column, window.group), []).append(row)
    found = []
    for name, rows in labelled.items():
        known = concept.groups.setdefault(name, GroupErrors(bases.get(name)))
        found.append(_score_one(name, known, rows, policy.mean_run * max(1, count)))
    return found


def _score_one(name: str, known: GroupErrors, rows: Sequence[Labelled], mean_run: float) -> Finding:
    labelled, errors = sum(row.labelled for row in rows), sum(row.errors for row in rows)
    known.labelled, known.errors = known.labelled + labelled, known.errors + errors
    base, alarmed = known.base, None
    if base is not None:
        alarmed = first_alarm(known.detector, rows, base, mean_run=mean_run)
    elif known.labelled >= LEARNED:
        known.base = base_rate(known.errors, known.labelled)
    evidence = known.detector.evidence
    figures: dict[str, Any] = {
        "labelled": labelled,
        "errors": errors,
        "base_rate": base,
        "evidence": float(f"{evidence:.4g}"),
        "alarm_from": mean_run,
        "alarmed_at": alarmed,
        "risen_since": known.detector.since if evidence > 1 else None,
    }
    rise = errors / labelled - base if base is not None else 0.0
    return Finding(f"concept:{name}", "concept", alarmed is not None, rise, figures)


def restarted(known: GroupErrors, *, rebase: bool) -> GroupErrors:
    """A group without the evidence; with ``rebase`` its errors so far are what is normal."""
    base = base_rate(known.errors, known.labelled) if rebase and known.labelled else known.base
    return GroupErrors(base)
