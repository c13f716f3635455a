"""Guardrail on how far off numbers are: a candidate that errs by more than the control. Pure.

An error counts as its share of the largest that counts (``largest_error``), between 0 and 1. The
evidence is that of failures with these shares in the place of counts. It stays valid: of all
outcomes between 0 and 1 with one mean those that are 0 or 1 have the largest exponential moments,
so what is no surprise for counts is none for shares. The price is power where errors are small
beside the largest: their variance is smaller than that of counts, which the evidence does not use.

Source:
    W. Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58, 1963
    (equation 4.1: the exponential function lies below its chord).
"""

from __future__ import annotations

from cloud_hub.experiments.verdict.evidence import OFF, ArmEvidence
from cloud_hub.experiments.verdict.figures import ErrorExcess, Guard, e_value_of
from cloud_hub.statistics.failures import judge_failures
from cloud_hub.statistics.heterogeneity import FailureCounts


def watch_errors(
    alpha: float, arm: str, control: ArmEvidence, candidate: ArmEvidence, margin: float = 0.0
) -> tuple[Guard, ...]:
    """Return the guardrail on errors of one arm; none where an error has no largest.

    Args:
        alpha: chance that it ever trips on a candidate that is no farther off.
        arm: name of the candidate's arm.
        control: evidence of what serves.
        candidate: evidence of the arm.
        margin: by how much more numbers may be off on average, in the unit of the target.
    """
    largest = candidate.largest_error
    mine, theirs = candidate.failures.get(OFF, {}), control.failures.get(OFF, {})
    if largest is None or not any(n for _, n in (*mine.values(), *theirs.values())):
        return ()
    counts = FailureCounts.of(mine, theirs)
    log_e = judge_failures(counts, margin=margin / largest).log_e
    e_value, limit = e_value_of(log_e), 1 / alpha
    x, n, y, m = (float(total) for total in counts.by_period().sum(axis=1))
    mean, before = largest * x / max(n, 1.0), largest * y / max(m, 1.0)
    trips = e_value >= limit
    beyond = f" by more than {margin:.3g}" if margin else ""
    measured = f"off by {mean:.4g} on average, the control by {before:.4g}"
    reason = f"{arm} is farther off{beyond}: {measured}, e-value {e_value:.3g} >= {limit:.3g}"
    quiet = f"quiet: {arm} is {measured}, e-value {e_value:.3g} < {limit:.3g}"
    figures = ErrorExcess(mean, before, int(n), int(m), e_value, margin)
    return (Guard(OFF, arm, trips, reason if trips else quiet, figures),)
