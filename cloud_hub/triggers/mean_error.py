"""Judges ``performance: {mae_above: …}``: has the mean error of numbers risen above it? Pure.

An e-detector (:mod:`cloud_hub.statistics.detectors.concept`) on errors as shares of the largest
that counts: bounded outcomes in the place of right and wrong ones, with the limit as the base.
While the mean error stays at or below the limit it fires once in :data:`MEAN_RUN` labels on
average, however long it runs and however often one looks.
"""

from __future__ import annotations

from cloud_hub.policy.schema.conditions import PerformanceRule
from cloud_hub.statistics.detectors.concept import MEAN_RUN, ErrorDetector
from cloud_hub.triggers.evidence import MeanErrorEvidence
from cloud_hub.triggers.facts import Facts

MOST_BASE = 0.9
"""Share of the largest error from which on no limit can be told from it any more."""


def judge_mean_error(
    rule: PerformanceRule, limit: float, facts: Facts
) -> tuple[bool, MeanErrorEvidence]:
    """Return whether the mean error surely rose above the limit, and the figures.

    Args:
        rule: its ``minimum``.
        limit: mean absolute error, in the unit of the target.
        facts: errors of the serving version by window.
    """
    largest, windows = facts.serving.largest_error, facts.errors
    measured = sum(window.measured for window in windows)
    note = None
    if largest is None:
        note = "no bound of an error is known: does the policy say reporting.largest_error?"
    elif limit >= MOST_BASE * largest:
        note = f"an error counts as {largest:g} at most: such a limit is never surely exceeded"
    elif not measured:
        note = "no label of a number came yet"
    detector = ErrorDetector()
    if largest is not None and limit < MOST_BASE * largest:
        for window in windows:
            batch = (window.measured, window.shares, limit / largest)
            detector.add(int(window.start), [batch])
    shares = sum(window.shares for window in windows)
    evidence = MeanErrorEvidence(
        measured=round(measured),
        mae=float(f"{largest * shares / measured:.4g}") if largest and measured else None,
        mae_above=limit,
        largest_error=largest,
        evidence=float(f"{detector.evidence:.4g}"),
        fires_from=MEAN_RUN,
        minimum=rule.minimum,
        note=note,
    )
    return measured >= rule.minimum and detector.evidence >= MEAN_RUN, evidence
