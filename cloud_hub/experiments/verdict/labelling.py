"""Labels of an experiment: which count already, and whether the arms are labelled alike. Pure.

A verdict on accuracy stands on the answers that got a label. So windows count once they are
settled, and nothing is promoted while the arms' labelled shares, or how fast labels come, may
differ by so much that what is missing could hide a loss. For the bounds and what they assume see
:mod:`cloud_hub.statistics.label_coverage`.

With ``margin`` the loss that the outcome may have, ``low`` the lower end of its gain and ``loss``
what the gaps could hide at worst, a candidate passes with ``low >= -margin`` and ``low - loss >=
-(margin + band)``. As the default ``band`` is the margin, one that is worse by more than twice the
margin passes only if an interval misses, however its labels are missing (in one direction).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cloud_hub.experiments.verdict.evidence import (
    GROUPS,
    ArmEvidence,
    Came,
    Evidence,
    Row,
    Settling,
)
from cloud_hub.experiments.verdict.figures import ArmLabels, Guard, LabelFigures, LabelGap
from cloud_hub.experiments.verdict.judgement import Judgement, judge_arm
from cloud_hub.experiments.verdict.label_table import LabelTable
from cloud_hub.experiments.verdict.spec import OF_LABELS, ExperimentSpec, band_of
from cloud_hub.statistics.clustered import compare
from cloud_hub.statistics.label_coverage import (
    COMPLETE,
    complete,
    early_age,
    hidden,
    settling_time,
    within,
    worst_case,
)
from cloud_hub.statistics.samples import pair_up, sums_of
from cloud_hub.text.durations import format_duration
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.decision import Action
    from cloud_hub.experiments.verdict.spec import LabelRules
    from cloud_hub.statistics.label_coverage import WindowLabels

DOUBTFUL: Final = 2.0
"""Standard errors by which labelled shares differ where a guardrail on labels is not trusted."""

DIFFERENT: Final = "no verdict, as the arms are labelled differently"

SHARE: Final = Outcome("labelled", "accuracy", "up", 0.0)
"""Having a label, judged like an outcome of 0 and 1: by the same comparison of devices."""


def settle(
    rules: LabelRules,
    arms: Mapping[str, ArmEvidence],
    recorded: LabelTable,
    step: LabelTable,
    now: float,
) -> tuple[dict[str, ArmEvidence], Settling]:
    """Return the arms with the labels of settled windows, and when those settle.

    Args:
        rules: of the experiment.
        arms: of the present step, with every label.
        recorded: since the experiment began; from them it is known how late labels come.
        step: those of the present step and its cohort.
        now: Unix seconds.
    """
    seconds = settling_seconds(rules, recorded.windows, step.windows, now)
    settled = step.only(step.windows.ended + seconds <= now) if seconds else step
    windows = settled.windows
    labelled = windows.labelled.sum(axis=1)
    waiting = float(step.windows.labelled.sum() - labelled.sum())
    settling = Settling(seconds, early_age(windows, seconds), round(waiting))
    accuracy = settled.by_arm(windows.correct, labelled)
    served = settled.by_arm(settled.served[:, 1], settled.served[:, 0])
    labels: dict[Came, dict[str, dict[str, Row]]] = {
        "settled": settled.by_arm(labelled, windows.answers),
        "early": settled.by_arm(within(windows, settling.early), windows.answers),
        "so far": step.by_arm(step.windows.labelled.sum(axis=1), step.windows.answers),
    }
    return with_labels(arms, accuracy, served, labels), settling


def settling_seconds(
    rules: LabelRules, recorded: WindowLabels, step: WindowLabels, now: float
) -> float:
    """Return how long after its end a window of the present step counts.

    Args:
        rules: of the experiment.
        recorded: labels since the experiment began.
        step: labels of the present step.
        now: Unix seconds.
    """
    if complete(step):
        # No label is missing that could tell another story. Asked of all windows together: single
        # ones are complete soonest where few answers, and none that waits for a label, are wrong.
        return 0.0
    return settling_time(recorded, rules.settle_seconds, now)


def with_labels(
    arms: Mapping[str, ArmEvidence],
    accuracy: Mapping[str, Mapping[str, Row]],
    served: Mapping[str, Mapping[str, Row]],
    labels: Mapping[Came, Mapping[str, Mapping[str, Row]]],
) -> dict[str, ArmEvidence]:
    """Return the arms with the labels that count.

    Args:
        arms: of the present step.
        accuracy: rows by arm and device, of settled windows.
        served: the same of what was served.
        labels: rows of answers that have a label, by when they came, arm and device.
    """
    return {
        name: replace(
            arm,
            outcomes={
                **arm.outcomes,
                "accuracy": accuracy.get(name, {}),
                "served_accuracy": served.get(name, {}),
            },
            labels={came: by_arm.get(name, {}) for came, by_arm in labels.items()},
        )
        for name, arm in arms.items()
    }


def label_figures(
    spec: ExperimentSpec, running: Sequence[str], evidence: Evidence
) -> LabelFigures | None:
    """Return the labels of all arms and the candidates' gaps; ``None`` without any evidence of it.

    Args:
        spec: the declared experiment.
        running: arms that are judged.
        evidence: of one look.
    """
    settling = evidence.settling
    if settling is None:
        return None
    arms = {name: _arm_labels(arm) for name, arm in evidence.arms.items()}
    gaps = [
        gap
        for name in running
        if {name, CONTROL} <= arms.keys()
        for gap in _gaps(spec, name, evidence, settling, arms)
    ]
    return LabelFigures(settling.seconds, settling.waiting, band_of(spec), arms, tuple(gaps))


def _arm_labels(arm: ArmEvidence) -> ArmLabels:
    answers, labelled = _totals(arm.labels.get("settled", {}))
    counted, right = _totals(arm.outcomes.get("accuracy", {}))
    # Devices may weigh less in the one than in the other, so that counts would not fit together.
    correct = labelled * right / counted if counted else 0.0
    early = _totals(arm.labels.get("early", {}))[1]
    low, high = worst_case(correct, labelled, answers)
    return ArmLabels(round(answers), round(labelled), round(early), round(correct), low, high)


def _gaps(
    spec: ExperimentSpec,
    arm: str,
    evidence: Evidence,
    settling: Settling,
    arms: Mapping[str, ArmLabels],
) -> Iterable[LabelGap]:
    mine, theirs = arms[arm], arms[CONTROL]
    if not mine.labelled or not theirs.labelled:
        return
    yield _gap(spec, arm, "settled", settling.seconds, evidence, arms)
    # Where nearly all labels come early, early ones say nothing that all do not say.
    if 0 < mine.early + theirs.early < COMPLETE * (mine.labelled + theirs.labelled):
        yield _gap(spec, arm, "early", settling.early, evidence, arms)


def _gap(
    spec: ExperimentSpec,
    arm: str,
    came: Came,
    seconds: float,
    evidence: Evidence,
    arms: Mapping[str, ArmLabels],
) -> LabelGap:
    # Looked at any time even where the verdict has planned looks: its looks are not kept. Of
    # several arms any could win by an interval that misses.
    alpha = spec.design.alpha / len(spec.tried)
    design = replace(spec.design, horizon=None, alpha=alpha)
    before, after = (_as_outcomes(each, came) for each in (evidence.control, evidence.arms[arm]))
    judged = judge_arm(SHARE, arm, before, after, design)
    mine, theirs = arms[arm], arms[CONTROL]
    accuracy, others = (each.correct / each.labelled for each in (mine, theirs))
    worst = hidden(judged.low, judged.high, mine.labelled / mine.answers, accuracy)
    # Nothing is hidden beyond the answers that have no label.
    loss = accuracy - mine.lowest + theirs.highest - others
    gain = mine.highest - accuracy + others - theirs.lowest
    return LabelGap(
        arm, seconds, (judged.control or 0.0, judged.candidate or 0.0), judged.low, judged.high,
        min(worst.loss, max(loss, 0.0)), min(worst.gain, max(gain, 0.0)),
    )  # fmt: skip


def _as_outcomes(arm: ArmEvidence, came: Came) -> ArmEvidence:
    return ArmEvidence({"accuracy": arm.labels.get(came, {})})


def _totals(rows: Mapping[str, Row]) -> tuple[float, float]:
    n, total, _ = sums_of(rows).tolist()
    return n, total


def by_labelling(
    spec: ExperimentSpec,
    guards: tuple[Guard, ...],
    judged: Sequence[Judgement],
    evidence: Evidence,
    labels: LabelFigures | None,
) -> tuple[Guard, ...]:
    """Hold back the guardrails on wrong labels where labelling may be all that differs.

    They, that on groups included, see labels as they come, settled or not, so that they are quick.
    Where the arms' shares of answers with a label seem to differ they wait until the candidate is
    worse whatever that hides.

    Args:
        spec: the declared experiment.
        guards: of every arm.
        judged: every outcome of every arm.
        evidence: of one look.
        labels: figures of this look.
    """
    doubtful = {
        row.arm
        for row in judged
        if could_be_labelling(spec, row, labels) and _seem_to_differ(evidence, row.arm)
    }
    return tuple(
        replace(guard, trips=False, reason=f"{DIFFERENT}: {guard.reason}")
        if guard.trips and guard.name in ("wrong labels", GROUPS) and guard.arm in doubtful
        else guard
        for guard in guards
    )


def _seem_to_differ(evidence: Evidence, arm: str) -> bool:
    """Whether shares of answers with a label differ by more than chance would at most looks."""
    control, candidate = (
        each.labels.get("so far", {})
        for each in (evidence.control, evidence.arms.get(arm, ArmEvidence()))
    )
    contrast = compare(*pair_up(control, candidate))
    return bool(abs(contrast.estimate) > DOUBTFUL * contrast.variance**0.5)


def could_be_labelling(
    spec: ExperimentSpec, judged: Judgement, labels: LabelFigures | None
) -> bool:
    """Return whether gaps in the labels could be all that makes an arm look worse than it may be.

    Args:
        spec: the declared experiment.
        judged: an outcome that is surely worse.
        labels: figures of this look.
    """
    if labels is None or not _of_labels(spec, judged):
        return False
    gain = max((gap.gain for gap in labels.gaps if gap.arm == judged.arm), default=0.0)
    if not any(gap.arm == judged.arm for gap in labels.gaps):
        return True  # no settled labels yet, so that nothing is known of it
    return judged.high + gain >= -judged.minimum_effect


def _of_labels(spec: ExperimentSpec, judged: Judgement) -> bool:
    return any(o.name == judged.outcome and o.metric in OF_LABELS for o in spec.outcomes)


def hold_back(
    spec: ExperimentSpec,
    decision: tuple[Action, str, str | None],
    judged: Sequence[Judgement],
    labels: LabelFigures | None,
) -> tuple[Action, str, str | None]:
    """Return the decision, or to wait where it would promote what the labels do not bear out.

    Args:
        spec: the declared experiment.
        decision: action, reason and winner.
        judged: every outcome of every arm.
        labels: figures of this look.
    """
    action, reason, winner = decision
    if labels is None:
        return decision
    if action == "wait":
        return action, reason + _unsettled(spec, labels), winner
    for row in judged if winner is not None else ():
        if row.arm == winner and _of_labels(spec, row):
            for gap in (gap for gap in labels.gaps if gap.arm == winner):
                allowed = row.minimum_effect + labels.band
                if row.low - gap.loss < -allowed:
                    return "wait", _unequal(gap, labels, row.low - gap.loss, allowed), None
    return decision


def _unsettled(spec: ExperimentSpec, labels: LabelFigures) -> str:
    """Say how many labels are waited for, if there would be enough with them."""
    fewest = min((arm.labelled for arm in labels.arms.values()), default=0)
    if not labels.waiting or fewest >= spec.minimum_outcomes:
        return ""
    after = format_duration(labels.settles)
    return f"; {labels.waiting:,} labels are of windows that count {after} after their end"


def _unequal(gap: LabelGap, labels: LabelFigures, worst: float, allowed: float) -> str:
    settled = gap.seconds == labels.settles
    soon = "" if settled else f" within {format_duration(gap.seconds)}"
    apart = gap.low > 0 or gap.high < 0
    what = "the arms are labelled differently" if apart else "labelling is not shown to be alike"
    return (
        f"no verdict: labelled {gap.shares[1]:.1%} of {gap.arm}'s answers{soon} and "
        f"{gap.shares[0]:.1%} of control's; {what}: at worst accuracy changes by {worst:+.4g}, may "
        f"be {-allowed:+.4g}"
    )
