"""The offline gate: a candidate against the serving version, on the same rows. Pure.

``fresh``: is it as good on rows of now? ``forgetting``: is it still good at what the model was good
at (catastrophic forgetting)? ``group``: is nobody left behind? ``calibration``, ``size``,
``latency``: does it cost more? ``evidence``: is there anything to compare on? Every threshold is
the policy's; a run without data never passes.

``fresh``, ``forgetting`` and the Brier score are tests of non-inferiority: a candidate passes if
the rows *show* that it loses less than is allowed. One that loses as much passes with a chance of
at most the level of the check, which becomes smaller when rows are asked again
(:mod:`cloud_hub.statistics.reuse`). What the rows cannot tell is ``undecided``, does not pass, and
says how many rows would. A group, of which there are few rows, is only held to not losing more
*surely*.

No figures of the old holdout come out, only verdicts: with figures anybody could fit candidates to
it, and it would be worn after a few uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cloud_hub.database.documents import Document, as_documents
from cloud_hub.policy.schema.sections import GatePolicy, GroupRule
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.statistics.detectors.calibration import brier_rows, expected_calibration_error
from cloud_hub.statistics.noninferiority import (
    PairedAnswers,
    mean_rows_needed,
    mean_within,
    p_within,
    rows_needed,
    surely_beyond,
    surely_within,
)
from cloud_hub.statistics.reuse import Wear

NAMES: Final = {"fresh": "fresh", "history": "forgetting"}

HIDDEN: Final = "history"
"""Slice of which no figures are shown."""

ASSUMED: Final = 0.05
"""Share of rows on which two versions differ, for the rows that a hidden slice would need."""

Verdict = Literal["", "passed", "worse", "undecided"]


@dataclass(frozen=True)
class Check:
    """One row of the gate's table.

    Attributes:
        check: its name.
        rows: labelled rows that it looked at.
        candidate: figure of the candidate; ``None`` where it is not shown.
        incumbent: that of the serving version.
        allowed: loss that is just too much.
        p: one-sided, against "it loses as much as is allowed, or more"; ``None`` where there is no
            test, or nothing is shown.
        ok: whether the candidate may go on.
        note: for people.
        verdict: what the rows show; empty where there is no test.
        level: chance of ``passed`` for a candidate that loses what is allowed.
        needed: rows with which a candidate that is as good would pass with a chance of 80%, if
            they are undecided; ``None`` if no number would do.
        use: which use of these rows it is, from 1.
    """

    check: str
    rows: int
    candidate: float | None
    incumbent: float | None
    allowed: float | None
    p: float | None
    ok: bool
    note: str = ""
    verdict: Verdict = ""
    level: float | None = None
    needed: int | None = None
    use: int | None = None


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
    slices: Mapping[str, Slice],
    policy: GatePolicy,
    costs: Costs,
    *,
    required: bool = True,
    wear: Mapping[str, Wear] = MappingProxyType({}),
) -> list[Check]:
    """Return the gate's table, a row for each check.

    Args:
        slices: ``fresh`` and ``history``, as far as there are any.
        policy: the thresholds.
        costs: of both releases.
        required: whether a slice with enough rows must be there to pass.
        wear: what was asked of each slice before.
    """
    checks: list[Check] = []
    for name, rows in slices.items():
        checks += judge_slice(name, rows, policy, wear.get(name, Wear()))
    enough = any(len(rows) >= policy.minimum_rows for rows in slices.values())
    if required and not enough:
        note = f"nothing to compare on: no slice of {policy.minimum_rows} labelled rows"
        checks.append(Check("evidence", 0, None, None, None, None, False, note))
    return [*checks, *_costs(costs, policy)]


def judge_slice(name: str, rows: Slice, policy: GatePolicy, wear: Wear) -> list[Check]:
    """Return the checks on one set of rows.

    Args:
        name: ``fresh`` or ``history``.
        rows: both releases on them.
        policy: the thresholds.
        wear: what was asked of these rows before.
    """
    n, allowed, title = len(rows), _allowed(name, policy), NAMES[name]
    if n < policy.minimum_rows:
        note = f"too few rows to look at (the policy's minimum_rows is {policy.minimum_rows})"
        return [Check(title, n, None, None, allowed, None, True, note)]
    level = wear.level(policy.alpha)
    checks = [_compare(title, rows, allowed, level)]
    for rule in policy.groups:
        checks += _group_checks(title, rows, rule, policy.alpha)
    checks += _calibration(title, rows, policy, level)
    checks = [replace(check, use=wear.uses + 1) for check in checks]
    return [_hidden(check, n) for check in checks] if name == HIDDEN else checks


def verdicts_on(name: str, checks: Sequence[Check]) -> list[Check]:
    """Return the checks that came from one set of rows, ``fresh`` or ``history``."""
    # Titles are "fresh", "calibration fresh", "group fresh label=3".
    return [c for c in checks if c.use is not None and NAMES[name] in c.check.split()[:2]]


def as_table(checks: Sequence[Check]) -> list[Document]:
    """Return the checks as JSON objects."""
    return as_documents(checks)


def failures(checks: Sequence[Check]) -> str:
    """Name the checks that failed, in one line; empty if none."""
    return "; ".join(_failure(check) for check in checks if not check.ok)


def _failure(check: Check) -> str:
    if check.candidate is None or check.incumbent is None:
        return f"{check.check}: {check.note}"
    figures = f"{check.candidate:.3f} against {check.incumbent:.3f}"
    told = f"; {check.note}" if check.verdict == "undecided" else ""
    return f"{check.check}: {figures} (allowed loss {check.allowed}){told}"


def _allowed(name: str, policy: GatePolicy) -> float:
    return policy.max_fresh_drop if name == "fresh" else policy.max_forgetting


def _compare(name: str, rows: Slice, allowed: float, level: float) -> Check:
    """Accuracy may drop by ``allowed``; a mean absolute error may rise by that share of itself."""
    if rows.values:
        return _compare_values(name, rows, allowed, level)
    pairs = _pairs(rows)
    verdict = _verdict(surely_within(pairs, allowed, level), surely_beyond(pairs, allowed, level))
    needed = rows_needed(pairs.discordance, allowed, level, gain=-pairs.loss)
    note = f"{pairs.won:,} rows won, {pairs.lost:,} lost"
    return _judged(
        Check(
            name, len(rows), 1 - float(rows.candidate.loss.mean()),
            1 - float(rows.incumbent.loss.mean()), allowed, p_within(pairs, allowed), False, note,
        ), verdict, level, needed,
    )  # fmt: skip


def _compare_values(name: str, rows: Slice, allowed: float, level: float) -> Check:
    candidate, incumbent = rows.candidate.loss, rows.incumbent.loss
    differences = candidate - (1 + allowed) * incumbent
    if not np.isfinite(differences).all():
        note = "no verdict: errors that are no finite numbers"
        return Check(name, len(rows), None, None, allowed, None, False, note, "undecided", level)
    within, beyond, p = mean_within(differences, level)
    needed = mean_rows_needed(differences, allowed * float(incumbent.mean()), level)
    note = "mean absolute error, lower is better"
    mean, before = float(candidate.mean()), float(incumbent.mean())
    check = Check(name, len(rows), mean, before, allowed, p, False, note)
    return _judged(check, _verdict(within, beyond), level, needed)


def _verdict(within: bool, beyond: bool) -> Verdict:
    return "passed" if within else "worse" if beyond else "undecided"


def _judged(check: Check, verdict: Verdict, level: float, needed: int | None) -> Check:
    """Add a verdict to a check; what is undecided says how many rows would decide it."""
    undecided = verdict == "undecided"
    note = f"{check.note}; {_too_few(check.rows, needed)}" if undecided else check.note
    needed = needed if undecided else None
    ok = verdict == "passed"
    return replace(check, ok=ok, verdict=verdict, level=level, needed=needed, note=note)


def _too_few(rows: int, needed: int | None) -> str:
    if needed is None:
        return "undecided: no number of rows shows that an equal loses nothing; allow a loss"
    if needed <= rows:
        return f"undecided: {rows:,} rows do not show it of this candidate"
    return f"undecided: too few rows, {needed:,} needed, {rows:,} there"


def _hidden(check: Check, rows: int) -> Check:
    """Leave out what would tell more of the holdout than the verdict."""
    hidden = replace(check, candidate=None, incumbent=None, p=None)
    if check.verdict == "worse":
        return replace(hidden, note=f"surely loses more than {check.allowed}")
    if check.verdict == "passed":
        return replace(hidden, note=f"surely loses less than {check.allowed}")
    if check.ok or check.level is None or check.note.startswith("no verdict"):
        return replace(hidden, note="no sure loss" if check.verdict else check.note)
    needed = rows_needed(ASSUMED, check.allowed or 0.0, check.level)
    note = f"{_too_few(rows, needed)}, if versions differ on {ASSUMED:.0%} of them"
    return replace(hidden, needed=needed, note=note)


def _pairs(rows: Slice) -> PairedAnswers:
    candidate, incumbent = rows.candidate.loss, rows.incumbent.loss
    lost, won = int((candidate > incumbent).sum()), int((candidate < incumbent).sum())
    return PairedAnswers(len(rows), lost, won)


def _group_checks(name: str, rows: Slice, rule: GroupRule, alpha: float) -> list[Check]:
    """A group fails if it surely loses more than allowed: small groups vary by chance."""
    names = rows.groups.get(rule.by)
    if names is None:
        return []
    parts = {str(group): names == group for group in np.unique(names)}
    judged = {g: part for g, part in parts.items() if part.sum() >= rule.minimum_rows}
    checks = []
    for group, inside in parts.items():
        title, n = f"group {name} {rule.by}={group}", int(inside.sum())
        if group not in judged:
            note = f"too few rows to decide (needs {rule.minimum_rows})"
            checks.append(Check(title, n, None, None, rule.max_drop, None, True, note))
            continue
        part = Slice(_part(rows.candidate, inside), _part(rows.incumbent, inside), {}, rows.values)
        # Bonferroni: a candidate is blamed by chance with at most alpha, however many groups.
        check = _compare(title, part, rule.max_drop, alpha / len(judged))
        blamed = check.verdict == "worse"
        seen = _seen_worse(check) and not blamed
        note = f"{check.note}; could be chance" if seen else check.note
        checks.append(replace(check, ok=not blamed, note=note))
    return checks


def _seen_worse(check: Check) -> bool:
    if check.candidate is None or check.incumbent is None or check.allowed is None:
        return False
    return abs(check.incumbent - check.candidate) > check.allowed


def _part(answers: ReleaseAnswers, inside: NDArray[np.bool_]) -> ReleaseAnswers:
    return ReleaseAnswers(answers.loss[inside])


def _calibration(name: str, rows: Slice, policy: GatePolicy, level: float) -> list[Check]:
    rise, title = policy.max_calibration_rise, f"calibration {name}"
    candidate, incumbent = (_score(a, policy) for a in (rows.candidate, rows.incumbent))
    if rise is None or candidate is None or incumbent is None:
        return []
    note = f"{policy.calibration}, lower is better"
    means = (float(candidate.mean()), float(incumbent.mean()))
    check = Check(title, len(rows), means[0], means[1], rise, None, means[0] <= means[1] + rise,
                  note)  # fmt: skip
    if policy.calibration == "ece":  # no mean over rows: compared as it is, without a test
        return [replace(check, verdict="passed" if check.ok else "worse")]
    differences = candidate - incumbent - rise
    within, beyond, p = mean_within(differences, level)
    needed = mean_rows_needed(differences, rise, level)
    return [_judged(replace(check, p=p), _verdict(within, beyond), level, needed)]


def _score(answers: ReleaseAnswers, policy: GatePolicy) -> NDArray[np.float64] | None:
    """Brier score of each row [N], or the expected calibration error as an array of one."""
    if answers.probabilities is None or answers.truth is None:
        return None
    if policy.calibration == "brier":
        return brier_rows(answers.probabilities, answers.truth)
    confidence = answers.probabilities.max(axis=1)
    return np.array([expected_calibration_error(confidence, answers.loss == 0)])


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
