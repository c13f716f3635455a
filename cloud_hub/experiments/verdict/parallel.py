"""What an experiment's evidence says. Pure, and valid however often it is asked.

Invariants: guardrails come first and trip whatever else is missing; no data pauses and never
passes; a sample-ratio mismatch blocks every verdict; what is inconclusive waits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from cloud_hub.experiments.verdict.eta import until, until_compared, until_not_worse
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.guardrails import Guard, watch
from cloud_hub.experiments.verdict.judgement import Judgement, Look, judge_arm
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics.multiple import adjusted
from cloud_hub.text.durations import format_duration
from edge_sdk.contract.plan import Measure

Action = Literal["wait", "pass", "drop", "abort", "pause", "conclude"]
PAUSED: Final = "paused, not passed"
Looks = Mapping[str, tuple[Look, ...]]
"""Planned looks taken so far, by ``outcome/arm``."""


FEEDBACK: Final = "do the apps call feedback?"
ASK: Final[Mapping[Measure, str]] = {
    "accuracy": f"{FEEDBACK} Of numbers, does the policy say reporting.right_within?",
    "energy": "have the devices meters? `edge status` says",
}


@dataclass(frozen=True)
class GateDecision:
    """What to do, why, and the figures that it was decided on.

    ``pass``: on to the next step. ``drop``: ``arms`` are taken back and the others go on.
    ``conclude``: it is over; ``winner`` is the arm to promote, if any. ``looks`` are kept for the
    next time.
    """

    action: Action
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)
    winner: str | None = None
    looks: Looks = field(default_factory=dict)
    arms: tuple[str, ...] = ()


def decide(
    spec: ExperimentSpec,
    evidence: Evidence,
    looks: Looks | None = None,
    dropped: Collection[str] = (),
) -> GateDecision:
    """Judge a canary's step, or an A/B/n test without the arms that were ``dropped``, now."""
    running = [arm.name for arm in spec.tried if arm.name not in dropped]
    guards = tuple(
        guard
        for arm in running
        for guard in watch(spec, arm, evidence.control, _arm(evidence, arm))
    )
    judged = _judge(spec, running, evidence, looks or {})
    figures = _figures(evidence, guards, judged)
    kept = {f"{j.outcome}/{j.arm}": j.looks for j in judged}
    trip = tripped(spec, guards)
    if trip is not None:
        bad = tuple(arm for arm in running if any(g.trips and g.arm == arm for g in guards))
        alone = trip[0] != "abort" or len(bad) == len(running)
        return GateDecision(trip[0] if alone else "drop", trip[1], figures, looks=kept, arms=bad)
    action, reason, winner = _settle(spec, running, evidence, judged)
    return GateDecision(action, reason, figures, winner, kept)


def tripped(spec: ExperimentSpec, guards: tuple[Guard, ...]) -> tuple[Action, str] | None:
    """What the guardrails say, if any trips."""
    reasons = [guard.reason for guard in guards if guard.trips]
    return (spec.guardrails.then, "; ".join(reasons)) if reasons else None


def mismatch(evidence: Evidence) -> str:
    """Which cohort's arms did not get the units that they should; empty if all did."""
    for found in evidence.allocation:
        if found.mismatch:
            total = sum(found.counts.values())
            shares = ", ".join(
                f"{arm} {found.counts[arm]} of {total} (expected {share:.1%})"
                for arm, share in found.expected.items()
            )
            return f"sample-ratio mismatch in {found.cohort}: {shares}; p = {found.p:.2g}"
    return ""


def _judge(
    spec: ExperimentSpec, running: Sequence[str], evidence: Evidence, looks: Looks
) -> tuple[Judgement, ...]:
    return tuple(
        judge_arm(
            outcome, arm, evidence.control, _arm(evidence, arm), spec.design,
            looks.get(f"{outcome.name}/{arm}", ()),
        )
        for outcome in spec.outcomes
        for arm in running
    )  # fmt: skip


def _settle(
    spec: ExperimentSpec,
    running: Sequence[str],
    evidence: Evidence,
    judged: tuple[Judgement, ...],
) -> tuple[Action, str, str | None]:
    if spec.strategy == "canary":
        worse = [j for j in judged if j.worse]
        if worse and not mismatch(evidence):
            return spec.guardrails.then, f"{_said(worse[0])}: worse than may be", None
    waits = _waits(spec, running, evidence)
    if waits is not None:
        return (*waits, None)
    verdict = _canary if spec.strategy == "canary" else _compare_arms
    return verdict(spec, judged, evidence.soaked)


def _canary(
    spec: ExperimentSpec, judged: tuple[Judgement, ...], soaked: float
) -> tuple[Action, str, str | None]:
    undecided = [j for j in judged if not j.not_worse]
    if undecided:
        j = undecided[0]
        more = until_not_worse(j, soaked, spec)
        told = " at the declared end" if j.done else ""
        return "wait", f"undecided{told}: {_said(j)}{more}", None
    return "pass", "; ".join(map(_said, judged)) or "no guardrail tripped", CANDIDATE


def _compare_arms(
    spec: ExperimentSpec, judged: tuple[Judgement, ...], soaked: float
) -> tuple[Action, str, str | None]:
    """The first outcome decides, by Holm over arms; no other may get worse by what matters.

    The family is the declared one: that an arm was dropped makes no other easier to win.
    """
    first = [j for j in judged if j.outcome == spec.outcomes[0].name]
    p = adjusted(dict.fromkeys((arm.name for arm in spec.tried), 1.0) | {j.arm: j.p for j in first})
    better = [j for j in first if p[j.arm] <= spec.design.alpha and j.gain > 0]
    if better:
        best = max(better, key=lambda j: j.gain)
        harmed = [j for j in judged if j.arm == best.arm and j.worse]
        said = f"{best.arm} is better: {_said(best)}, p = {p[best.arm]:.2g} over all arms"
        if harmed:
            return "conclude", f"{said}; but {_said(harmed[0])}: not promoted", None
        return "conclude", said, best.arm
    if all(j.settled for j in first):
        return "conclude", f"no arm gains what matters: {'; '.join(map(_said, first))}", None
    if all(j.done for j in first):
        return "conclude", f"no difference until the end: {'; '.join(map(_said, first))}", None
    more = until_compared(first, soaked, spec)
    return "wait", f"undecided: {'; '.join(map(_said, first))}{more}", None


def _waits(
    spec: ExperimentSpec, running: Sequence[str], evidence: Evidence
) -> tuple[Action, str] | None:
    """What keeps a verdict back whatever the figures say."""
    if evidence.silent >= spec.no_data_seconds:
        return (
            "pause",
            f"no candidate has reported for {format_duration(evidence.silent)}: {PAUSED}",
        )
    unheard = _unheard(spec, evidence)
    if unheard:
        return "pause", unheard
    missing = _missing(spec, running, evidence)
    if missing:
        return "wait", missing
    bad = mismatch(evidence)
    return ("wait", f"{bad}: no verdict until that is explained") if bad else None


def _unheard(spec: ExperimentSpec, evidence: Evidence) -> str:
    """An outcome that should have come long ago and did not come once."""
    for outcome in spec.outcomes if evidence.soaked >= spec.no_data_seconds else ():
        if not any(arm.outcomes_of(outcome.metric) for arm in evidence.arms.values()):
            return (
                f"nobody reports {outcome.metric} (outcome {outcome.name}) after "
                f"{format_duration(evidence.soaked)}: paused; {ASK.get(outcome.metric, FEEDBACK)}"
            )
    return ""


def _missing(spec: ExperimentSpec, running: Sequence[str], evidence: Evidence) -> str:
    if evidence.soaked < spec.soak_seconds:
        return (
            f"soaking: {format_duration(evidence.soaked)} of {format_duration(spec.soak_seconds)}"
        )
    for name in running:
        arm = _arm(evidence, name)
        if len(arm.exposed) < spec.minimum_devices:
            return f"{name}: on {len(arm.exposed)} of {spec.minimum_devices} devices"
        most, have = max(1, spec.soak_predictions), arm.predictions
        if have < most:
            return f"{name}: {have} of {most} predictions{until(have, most, evidence.soaked)}"
    for outcome in spec.outcomes:
        for name in ("control", *running):
            have = _arm(evidence, name).outcomes_of(outcome.metric)
            if have < spec.minimum_outcomes:
                more = until(have, spec.minimum_outcomes, evidence.soaked)
                return f"{name}: {have} of {spec.minimum_outcomes} outcomes of {outcome.name}{more}"
    return ""


def _arm(evidence: Evidence, name: str) -> ArmEvidence:
    return evidence.arms.get(name, ArmEvidence())


def _said(judged: Judgement) -> str:
    gain, low, high = (f"{end + 0.0:+.4g}" for end in (judged.gain, judged.low, judged.high))
    return f"{judged.outcome} of {judged.arm} {gain} in [{low}, {high}]"


def _figures(
    evidence: Evidence, guards: tuple[Guard, ...], judged: tuple[Judgement, ...]
) -> dict[str, Any]:
    arms = {
        name: {
            "devices": len(arm.exposed),
            "failed_devices": len(arm.failed),
            "predictions": arm.predictions,
            "errors": sum(x for x, _ in arm.failures.get("errors", {}).values()),
            "labelled": arm.outcomes_of("accuracy"),
        }
        for name, arm in evidence.arms.items()
    }
    return {
        "arms": arms,
        "outcomes": [j.plain() for j in judged],
        "guardrails": [asdict(guard) for guard in guards],
        "allocation": [{**asdict(a), "mismatch": a.mismatch} for a in evidence.allocation],
        "soaked": evidence.soaked,
        "silent": evidence.silent,
    }
