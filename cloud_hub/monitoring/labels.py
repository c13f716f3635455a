"""Late labels of one version, scored window by window. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cloud_hub.monitoring.figures import ConceptFigures
from cloud_hub.monitoring.findings import Finding
from cloud_hub.monitoring.store import Concept
from cloud_hub.policy.schema.monitoring import MonitoringPolicy
from cloud_hub.statistics.detectors.concept import (
    Coverage,
    ErrorDetector,
    Labelled,
    base_rate,
    device_bases,
    first_alarm,
)

LEAST: Final = 500
"""Labels that become the base rate where the release promises none."""


def score(
    concept: Concept,
    windows: Sequence[Coverage],
    rows: Sequence[Labelled],
    policy: MonitoringPolicy,
) -> Finding:
    """Take the labels of settled windows into ``concept``; return the finding.

    Args:
        concept: detector and counts of the version; it is changed.
        windows: settled windows, in order of time.
        rows: their labels by device and window.
        policy: its ``mean_run``.
    """
    labelled = sum(row.labelled for row in rows)
    errors = sum(row.errors for row in rows)
    for row in rows:
        counts = concept.counts.setdefault(row.device, [0, 0])
        counts[0] += row.errors
        counts[1] += row.labelled
    # One second past the start: scoring goes on with the next window, whatever their length.
    concept.scored_to = windows[-1].start + 1
    alarmed = None
    if concept.base is None:
        _learn_base(concept)
    else:
        alarmed = first_alarm(
            concept.detector, rows, concept.base, own=concept.own, mean_run=policy.mean_run
        )
    evidence = concept.detector.evidence
    predictions = sum(window.predictions for window in windows)
    rate = errors / labelled if labelled else 0.0
    figures = ConceptFigures(
        labelled=labelled,
        errors=errors,
        coverage=round(labelled / predictions, 4) if predictions else None,
        base_rate=concept.base,
        evidence=float(f"{evidence:.4g}"),
        alarm_from=policy.mean_run,
        alarmed_at=alarmed,
        risen_since=concept.detector.since if evidence > 1 else None,
    )
    rise = rate - concept.base if concept.base is not None and labelled else 0.0
    return Finding("concept:errors", "concept", alarmed is not None, rise, figures)


def _learn_base(concept: Concept) -> None:
    errors = sum(pair[0] for pair in concept.counts.values())
    labelled = sum(pair[1] for pair in concept.counts.values())
    if labelled >= LEAST:
        concept.base = base_rate(errors, labelled)


def rebased(concept: Concept) -> Concept:
    """Return a concept whose base are the errors so far, of each device its own."""
    errors = sum(pair[0] for pair in concept.counts.values())
    labelled = sum(pair[1] for pair in concept.counts.values())
    if not labelled:
        return replace(concept, counts={}, detector=ErrorDetector())
    base = base_rate(errors, labelled)
    pairs = {device: (wrong, n) for device, (wrong, n) in concept.counts.items()}
    own = device_bases(pairs, base)
    return replace(concept, base=base, own=own, counts={}, detector=ErrorDetector())


def restarted(concept: Concept) -> Concept:
    """Return a concept with the same base, without the evidence."""
    return replace(concept, detector=ErrorDetector())
