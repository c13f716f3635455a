"""The offline gate: a candidate against the serving version, on the same rows. Pure.

``fresh``: is it as good on rows of now? ``forgetting``: is it still good at what the model was good
at (catastrophic forgetting)? ``group``: is nobody left behind? ``calibration``, ``size``,
``latency``: does it cost more? ``evidence``: is there anything to compare on? Every threshold is
the policy's; a run without data never passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, ttest_rel

from cloud_hub.database.documents import Document, as_documents
from cloud_hub.policy.schema.sections import GatePolicy, GroupRule
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.statistics.detectors.calibration import brier_rows, expected_calibration_error

SURE: Final = 0.05
"""One-sided p-value at which a group's loss counts as more than chance."""

NAMES: Final = {"fresh": "fresh", "history": "forgetting"}


@dataclass(frozen=True)
class Check:
    """One row of the gate's table. ``p`` is of the difference, on the same rows: exact McNemar's
    for right and wrong answers, else of a paired t-test.
    """

    check: str
    rows: int
    candidate: float | None
    incumbent: float | None
    allowed: float | None
    p: float | None
    ok: bool
    note: str = ""


@dataclass(frozen=True)
class Slice:
    """Both releases on one set of rows; ``groups`` names each row's group, by rule."""

    candidate: ReleaseAnswers
    incumbent: ReleaseAnswers
    groups: Mapping[str, NDArray[np.str_]]
    values: bool = False

    def __len__(self) -> int:
        return len(self.candidate.loss)


@dataclass(frozen=True)
class Costs:
    """Bytes of both models, and seconds a row, measured here in turns."""

    candidate_bytes: int
    incumbent_bytes: int
    candidate_seconds: float | None = None
    incumbent_seconds: float | None = None


def judge(
    slices: Mapping[str, Slice], policy: GatePolicy, costs: Costs, *, required: bool = True
) -> list[Check]:
    """Return the gate's table, a row for each check.

    Args:
        slices: ``fresh`` and ``history``, as far as there are any.
        policy: the thresholds.
        costs: of both releases.
        required: whether a slice with enough rows must be there to pass.
    """
    checks = [_compare(NAMES[name], rows, _allowed(name, policy), policy.minimum_rows)
              for name, rows in slices.items()]  # fmt: skip
    enough = {n: rows for n, rows in slices.items() if len(rows) >= policy.minimum_rows}
    if required and not enough:
        note = f"nothing to compare on: no slice of {policy.minimum_rows} labelled rows"
        checks.append(Check("evidence", 0, None, None, None, None, False, note))
    for name, rows in enough.items():
        for rule in policy.groups:
            checks += _group_checks(name, rows, rule)
        checks += _calibration(name, rows, policy)
    return [*checks, *_costs(costs, policy)]


def as_table(checks: Sequence[Check]) -> list[Document]:
    """Return the checks as JSON objects."""
    return as_documents(checks)


def failures(checks: Sequence[Check]) -> str:
    """Name the checks that failed, in one line; empty if none."""
    return "; ".join(
        f"{c.check}: {c.candidate:.3f} against {c.incumbent:.3f} (allowed loss {c.allowed})"
        if c.candidate is not None and c.incumbent is not None
        else f"{c.check}: {c.note}"
        for c in checks
        if not c.ok
    )


def _allowed(name: str, policy: GatePolicy) -> float:
    return policy.max_fresh_drop if name == "fresh" else policy.max_forgetting


def _compare(name: str, rows: Slice, allowed: float, minimum: int) -> Check:
    """Accuracy may drop by ``allowed``; a mean absolute error may rise by that share of itself."""
    n = len(rows)
    if n < minimum:
        note = f"too few rows to decide (needs {minimum})"
        return Check(name, n, None, None, allowed, None, True, note)
    candidate, incumbent = rows.candidate.loss, rows.incumbent.loss
    mean, before = float(candidate.mean()), float(incumbent.mean())
    if rows.values:
        # 1e-12: the same loss, summed in another order, is no loss.
        ok = mean <= before * (1 + allowed) + 1e-12
        p = float(ttest_rel(candidate, incumbent).pvalue) if (candidate != incumbent).any() else 1.0
        return Check(name, n, mean, before, allowed, p, ok, "mean absolute error, lower is better")
    won, lost = int((candidate < incumbent).sum()), int((candidate > incumbent).sum())
    # Exact McNemar: only rows on which one is right and the other wrong tell the two apart.
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    ok = mean <= before + allowed + 1e-12
    return Check(name, n, 1 - mean, 1 - before, allowed, p, ok, f"+{won} -{lost} answers")


def _group_checks(name: str, rows: Slice, rule: GroupRule) -> list[Check]:
    """A group fails if it loses more than allowed, and surely: small groups vary by chance."""
    names = rows.groups.get(rule.by)
    if names is None:
        return []
    checks = []
    for group in np.unique(names):
        inside = names == group
        part = Slice(_part(rows.candidate, inside), _part(rows.incumbent, inside), {}, rows.values)
        title = f"group {NAMES[name]} {rule.by}={group}"
        check = _compare(title, part, rule.max_drop, rule.minimum_rows)
        sure = check.p is not None and check.p / 2 <= SURE  # half: one side of a two-sided p
        excused = not check.ok and not sure  # too few rows to blame the candidate
        note = f"{check.note}; could be chance" if excused else check.note
        checks.append(replace(check, ok=check.ok or excused, note=note))
    return checks


def _part(answers: ReleaseAnswers, inside: NDArray[np.bool_]) -> ReleaseAnswers:
    return ReleaseAnswers(answers.loss[inside])


def _calibration(name: str, rows: Slice, policy: GatePolicy) -> list[Check]:
    rise = policy.max_calibration_rise
    scores = [_score(a, policy) for a in (rows.candidate, rows.incumbent)]
    if rise is None or scores[0] is None or scores[1] is None:
        return []
    ok = scores[0] <= scores[1] + rise + 1e-12
    title = f"calibration {NAMES[name]}"
    note = f"{policy.calibration}, lower is better"
    return [Check(title, len(rows), scores[0], scores[1], rise, None, ok, note)]


def _score(answers: ReleaseAnswers, policy: GatePolicy) -> float | None:
    if answers.probabilities is None or answers.truth is None:
        return None
    if policy.calibration == "brier":
        return float(brier_rows(answers.probabilities, answers.truth).mean())
    confidence = answers.probabilities.max(axis=1)
    return expected_calibration_error(confidence, answers.loss == 0)


def _costs(costs: Costs, policy: GatePolicy) -> list[Check]:
    checks = []
    if policy.max_bytes is not None:
        fits = costs.candidate_bytes <= policy.max_bytes
        note = f"{costs.candidate_bytes} bytes, allowed {policy.max_bytes}"
        checks.append(Check("size", 0, None, None, None, None, fits, note))
    if policy.max_slowdown is not None and costs.candidate_seconds and costs.incumbent_seconds:
        ratio = costs.candidate_seconds / costs.incumbent_seconds
        note = f"{ratio:.2f} times the incumbent's, allowed {policy.max_slowdown}"
        micros = [1e6 * s for s in (costs.candidate_seconds, costs.incumbent_seconds)]
        limit = policy.max_slowdown
        checks.append(Check("latency", 0, micros[0], micros[1], limit, None, ratio <= limit, note))
    return checks
