"""Guardrail on declared groups of rows: none may get worse on the candidate alone. Pure.

The figures of all rows hardly move when a small group gets worse, so each group has evidence of its
own: that its labels are wrong more often on the candidate than the same group's on the control.
The mean of the groups' e-values is an e-value itself (whatever they have to do with each other), so
with G groups one of them trips at G times the limit, and no alpha has to be dealt out over them.

Assumes what the evidence of wrong labels does, and that a group means the same on both arms: that
which arm a device is on does not decide which rows are said to be of the group.

Source:
    V. Vovk, R. Wang, "E-values: Calibration, combination and applications", Annals of Statistics
    49(3), 2021 (the arithmetic mean is, up to a constant, the best merging under any dependence).
"""

from __future__ import annotations

from collections.abc import Mapping

from cloud_hub.experiments.verdict.evidence import GROUPS, ArmEvidence
from cloud_hub.experiments.verdict.figures import GroupExcess, Guard, e_value_of
from cloud_hub.statistics.failures import FailureEvidence, judge_failures
from cloud_hub.statistics.heterogeneity import FailureCounts


def watch_groups(
    alpha: float, arm: str, control: ArmEvidence, candidate: ArmEvidence, margin: float = 0.0
) -> tuple[Guard, ...]:
    """Return the guardrail on groups of one arm; none where no release declares any.

    Args:
        alpha: chance that it ever trips on a candidate that is no worse for any group.
        arm: name of the candidate's arm.
        control: evidence of what serves.
        candidate: evidence of the arm.
        margin: by how much more a share of wrong labels of a group does not matter.
    """
    found: dict[str, tuple[FailureEvidence, FailureCounts]] = {}
    names = sorted({*control.groups, *candidate.groups})
    for name in names:
        mine, theirs = candidate.groups.get(name, {}), control.groups.get(name, {})
        if mine and theirs:
            counts = FailureCounts.of(mine, theirs)
            found[name] = (judge_failures(counts, margin=margin), counts)
    if not names:
        return ()
    if not found:
        quiet = "quiet: no labels of a declared group on both arms yet"
        return (Guard(GROUPS, arm, False, quiet, GroupExcess("", (0, 0), (0, 0), 1.0, len(names))),)
    e_value = _mean({name: evidence.log_e for name, (evidence, _) in found.items()}, len(names))
    worst = max(found, key=lambda name: found[name][0].log_e)
    x, n, y, m = (int(total) for total in found[worst][1].by_period().sum(axis=1))
    limit = 1 / alpha
    trips = e_value >= limit
    beyond = f" by more than {margin:.3g}" if margin else ""
    counted = f"{x} of {n} against {y} of {m}"
    over = f"e-value over {len(names)} groups {e_value:.3g}"
    reason = f"{arm} is wrong more often{beyond} on {worst}: {counted}, {over} >= {limit:.3g}"
    quiet = (
        f"quiet: wrong labels of {arm} on {worst}, its worst group: {counted}, {over} < {limit:.3g}"
    )
    figures = GroupExcess(worst, (x, n), (y, m), e_value, len(names), margin)
    return (Guard(GROUPS, arm, trips, reason if trips else quiet, figures),)


def _mean(log_e: Mapping[str, float], groups: int) -> float:
    """Mean e-value over all declared groups; one without labels bets nothing, so its e-value is 1.

    Args:
        log_e: by group.
        groups: that are declared.
    """
    total = sum(e_value_of(each) for each in log_e.values())
    return (total + groups - len(log_e)) / groups
