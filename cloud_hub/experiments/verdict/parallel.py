"""Gate of experiments whose arms serve: canary and A/B/n test. Pure, valid at every look.

Invariants: guardrails come first and trip whatever else is missing; no data pauses and never
passes; a sample-ratio mismatch blocks every verdict; what is inconclusive waits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cloud_hub.experiments.verdict.decision import (
    Action,
    GateDecision,
    Looks,
    silent,
    soaking,
    tripped,
)
from cloud_hub.experiments.verdict.eta import until, until_compared, until_not_worse
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.figures import (
    AllocationFigures,
    ArmFigures,
    Figures,
    Guard,
    LabelFigures,
)
from cloud_hub.experiments.verdict.guardrails import by_too_few, too_few, watch
from cloud_hub.experiments.verdict.judgement import Judgement, judge_arm
from cloud_hub.experiments.verdict.key_guardrails import older, too_few_keys
from cloud_hub.experiments.verdict.labelling import (
    by_labelling,
    could_be_labelling,
    hold_back,
    label_figures,
)
from cloud_hub.experiments.verdict.measures import outcomes_of
from cloud_hub.experiments.verdict.spec import CANDIDATE, OF_LABELS, ExperimentSpec
from cloud_hub.statistics.multiple import adjusted
from cloud_hub.text.durations import format_duration
from edge_sdk.contract.plan import Measure

FEEDBACK: Final = "do the apps call feedback?"
ASK: Final[Mapping[Measure, str]] = {
    "accuracy": f"{FEEDBACK} Of numbers, does the policy say reporting.right_within?",
    "served_accuracy": f"{FEEDBACK} Of numbers, does the policy say reporting.right_within?",
    "energy": "have the devices meters? `edge status` says",
    "mae": f"{FEEDBACK} Only numbers have an error",
    "rmse": f"{FEEDBACK} Only numbers have an error",
}


def decide(
    spec: ExperimentSpec,
    evidence: Evidence,
    looks: Looks | None = None,
    dropped: Collection[str] = (),
) -> GateDecision:
    """Judge a canary's step, or an A/B/n test, on the evidence of one look.

    Args:
        spec: the declared experiment.
        evidence: since the step began.
        looks: planned looks taken before, by ``outcome/arm``; empty without a horizon.
        dropped: arms that were taken back, which are not judged any more.
    """
    running = [arm.name for arm in spec.tried if arm.name not in dropped]
    tripping = tuple(
        guard
        for arm in running
        for guard in watch(spec, arm, evidence.control, _arm(evidence, arm), past=evidence.past)
    )
    devices = {arm: len(_arm(evidence, arm).tried) for arm in running}
    judged = _judge(spec, running, evidence, looks or {})
    labels = label_figures(spec, running, evidence)
    guards = by_too_few(tripping, devices, spec.minimum_devices)
    guards = by_labelling(spec, guards, judged, evidence, labels)
    figures = replace(_figures(evidence, guards, judged), labels=labels)
    taken = {f"{j.outcome}/{j.arm}": j.looks for j in judged}
    trip = tripped(spec, guards)
    if trip is not None:
        bad = tuple(arm for arm in running if any(g.trips and g.arm == arm for g in guards))
        # With other arms left only the failing ones go; a pause stops them all.
        alone = trip[0] != "abort" or len(bad) == len(running)
        return GateDecision(trip[0] if alone else "drop", trip[1], figures, looks=taken, arms=bad)
    settled = _settle(spec, running, evidence, judged, labels)
    action, reason, winner = hold_back(spec, settled, judged, labels)
    return GateDecision(action, reason, figures, winner, taken)


def mismatch(evidence: Evidence) -> str:
    """Describe the first cohort whose arms did not get the units that they should; else empty."""
    for cohort in evidence.allocation:
        if cohort.mismatch:
            total = sum(cohort.counts.values())
            shares = ", ".join(
                f"{arm} {cohort.counts[arm]} of {total} (expected {share:.1%})"
                for arm, share in cohort.expected.items()
            )
            return f"sample-ratio mismatch in {cohort.cohort}: {shares}; p = {cohort.p:.2g}"
    return ""


def _judge(
    spec: ExperimentSpec, running: Sequence[str], evidence: Evidence, looks: Looks
) -> tuple[Judgement, ...]:
    past = outcomes_of(evidence.past)
    return tuple(
        judge_arm(
            outcome, arm, evidence.control, _arm(evidence, arm), spec.design,
            looks.get(f"{outcome.name}/{arm}", ()), past[outcome.metric],
        )
        for outcome in spec.outcomes
        for arm in running
    )  # fmt: skip


def _settle(
    spec: ExperimentSpec,
    running: Sequence[str],
    evidence: Evidence,
    judged: tuple[Judgement, ...],
    labels: LabelFigures | None,
) -> tuple[Action, str, str | None]:
    if spec.strategy == "canary":
        worse = [j for j in judged if j.worse and not could_be_labelling(spec, j, labels)]
        # Surely worse is acted on before the step has soaked; unless the arms are not comparable.
        enough = len(_arm(evidence, CANDIDATE).exposed) >= spec.minimum_devices
        if worse and enough and not mismatch(evidence):
            return spec.guardrails.then, f"{_interval(worse[0])}: worse than may be", None
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
        if j.lacking:
            return "wait", f"{j.outcome} of {j.arm}: {j.lacking}", None
        more = until_not_worse(j, soaked, spec)
        end = " at the declared end" if j.done else ""
        return "wait", f"undecided{end}: {_interval(j)}{more}", None
    return "pass", "; ".join(map(_interval, judged)) or "no guardrail tripped", CANDIDATE


def _compare_arms(
    spec: ExperimentSpec, judged: tuple[Judgement, ...], soaked: float
) -> tuple[Action, str, str | None]:
    """The first outcome decides, by Holm over arms; no other may get worse by what matters.

    The family is the declared one: that an arm was dropped makes no other easier to win.
    """
    first = [j for j in judged if j.outcome == spec.outcomes[0].name]
    p = adjusted(dict.fromkeys((arm.name for arm in spec.tried), 1.0) | {j.arm: j.p for j in first})
    # Always-valid p-values stay valid through Holm's procedure, at every look.
    better = [j for j in first if p[j.arm] <= spec.design.alpha and j.gain > 0]
    if better:
        best = max(better, key=lambda j: j.gain)
        # Whatever else it gains: a guard outcome that is surely worse vetoes the promotion.
        harmed = [j for j in judged if j.arm == best.arm and j.worse]
        verdict = f"{best.arm} is better: {_interval(best)}, p = {p[best.arm]:.2g} over all arms"
        if harmed:
            return "conclude", f"{verdict}; but {_interval(harmed[0])}: not promoted", None
        return "conclude", verdict, best.arm
    if all(j.settled for j in first):
        return "conclude", f"no arm gains what matters: {'; '.join(map(_interval, first))}", None
    if all(j.done for j in first):
        return "conclude", f"no difference until the end: {'; '.join(map(_interval, first))}", None
    lacking = [f"{j.outcome} of {j.arm}: {j.lacking}" for j in first if j.lacking]
    if lacking:
        return "wait", lacking[0], None
    more = until_compared(first, soaked, spec)
    return "wait", f"undecided: {'; '.join(map(_interval, first))}{more}", None


def _waits(
    spec: ExperimentSpec, running: Sequence[str], evidence: Evidence
) -> tuple[Action, str] | None:
    """Reasons that hold a verdict back whatever the figures are; ``None`` if there are none.

    Silence comes before all others: a gate that waits for outcomes would else wait forever.
    """
    unheard = silent(spec, evidence) or _unheard(spec, evidence)
    if unheard:
        return "pause", unheard
    missing = _missing(spec, running, evidence)
    if missing:
        return "wait", missing
    unequal = mismatch(evidence)
    return ("wait", f"{unequal}: no verdict until that is explained") if unequal else None


def _unheard(spec: ExperimentSpec, evidence: Evidence) -> str:
    """Name an outcome that should have come long ago and did not come once; else empty."""
    for outcome in spec.outcomes if evidence.soaked >= spec.no_data_seconds else ():
        waits = outcome.metric in OF_LABELS and evidence.settling and evidence.settling.waiting
        if not waits and not any(a.outcomes_of(outcome.metric) for a in evidence.arms.values()):
            return (
                f"nobody reports {outcome.metric} (outcome {outcome.name}) after "
                f"{format_duration(evidence.soaked)}: paused; {ASK.get(outcome.metric, FEEDBACK)}"
            )
    return ""


def _missing(spec: ExperimentSpec, running: Sequence[str], evidence: Evidence) -> str:
    soaks = soaking(spec, evidence)
    if soaks:
        return soaks
    for name in running:
        arm = _arm(evidence, name)
        if len(arm.exposed) < spec.minimum_devices:
            failed = len(arm.failed)
            few = too_few(name, len(arm.exposed), spec.minimum_devices, failed=failed)
            return f"{few}{older(arm)}"
        most, have = max(1, spec.soak_predictions), arm.predictions
        if have < most:
            return f"{name}: {have} of {most} predictions{until(have, most, evidence.soaked)}"
    for outcome in spec.outcomes:
        for name in ("control", *running):
            arm = _arm(evidence, name)
            have = arm.outcomes_of(outcome.metric)
            if have < spec.minimum_outcomes:
                more = until(have, spec.minimum_outcomes, evidence.soaked)
                counted = f"{have} of {spec.minimum_outcomes} outcomes of {outcome.name}"
                return f"{name}: {counted}{more}{older(arm)}"
            few = too_few_keys(name, outcome.name, arm.key_outcomes.get(outcome.metric, {}))
            if few:
                return few
    return ""


def _arm(evidence: Evidence, name: str) -> ArmEvidence:
    return evidence.arms.get(name, ArmEvidence())


def _interval(judged: Judgement) -> str:
    # Of two means that are alike, 1e-16 may be left: that is 0 to people.
    ends = (round(end, 12) + 0.0 for end in (judged.gain, judged.low, judged.high))
    gain, low, high = (f"{end:+.4g}" for end in ends)
    return f"{judged.outcome} of {judged.arm} {gain} in [{low}, {high}]"


def _figures(
    evidence: Evidence, guards: tuple[Guard, ...], judged: tuple[Judgement, ...]
) -> Figures:
    arms = {
        name: ArmFigures(
            devices=len(arm.exposed),
            failed_devices=len(arm.failed),
            predictions=arm.predictions,
            without_buckets=len(arm.without_buckets),
            errors=round(sum(x for x, _ in arm.failures.get("errors", {}).values())),
            labelled=arm.outcomes_of("accuracy"),
        )
        for name, arm in evidence.arms.items()
    }
    allocation = tuple(
        AllocationFigures(a.cohort, a.counts, a.expected, a.p, a.mismatch)
        for a in evidence.allocation
    )
    return Figures(
        arms=arms,
        outcomes=tuple(j.figures() for j in judged),
        guardrails=guards,
        allocation=allocation,
        soaked=evidence.soaked,
        silent=evidence.silent,
    )
