"""Sentences of a report: declared rules, guardrails, the way of a canary. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cloud_hub.experiments.report_sections import ArmStatus, PathStage, PathStep
from cloud_hub.experiments.verdict.figures import (
    ErrorExcess,
    ErrorShare,
    FailedDevices,
    FailureExcess,
    GroupExcess,
    Guard,
    LabelGap,
    LatencyQuantile,
    LatencyRatio,
)
from cloud_hub.experiments.verdict.spec import band_of, judged_by_labels
from cloud_hub.text.durations import format_duration

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.spec import ExperimentSpec


def rules(spec: ExperimentSpec) -> list[str]:
    """Return the declaration as sentences."""
    return [*_judged_by(spec), *_labels(spec), _verdict(spec), *_steps(spec), *_ends(spec)]


def _judged_by(spec: ExperimentSpec) -> list[str]:
    if spec.strategy == "interleave":
        effect = spec.minimum_effect
        more = f"; {0.5 + effect:.1%} of them matters" if effect else ""
        return [f"Judged by sessions won{more}."]
    sentences = []
    for outcome in spec.outcomes:
        better = "more" if outcome.upward else "less"
        effect = outcome.minimum_effect
        matters = f", {effect:g} matters" if effect else ", any difference matters"
        sentences.append(
            f"Judged by {outcome.name} ({outcome.metric}): {better} is better{matters}."
        )
    return sentences


def _labels(spec: ExperimentSpec) -> list[str]:
    if not judged_by_labels(spec):
        return []
    stated = spec.labels.settle_seconds
    after = "once nearly all have come" if stated is None else f"{format_duration(stated)} later"
    hides = f"unequal labelling could hide more than {band_of(spec):g} of accuracy"
    return [
        f"The labels of a window count {after}; nothing wins while {hides} beyond the loss that "
        "does not matter."
    ]


def gap(row: LabelGap, settles: float) -> str:
    """Return as a sentence how differently an arm and the control are labelled.

    Args:
        row: the gap.
        settles: seconds after which windows are settled.
    """
    soon = "" if row.seconds == settles else f" within {format_duration(row.seconds)}"
    return (
        f"Labelled{soon}: {row.shares[1]:.1%} of {row.arm}'s answers and {row.shares[0]:.1%} of "
        f"control's, a difference in [{row.low:+.4g}, {row.high:+.4g}] at any look, which could "
        f"hide a loss of {row.loss:.4g} or a gain of {row.gain:.4g}"
    )


def _verdict(spec: ExperimentSpec) -> str:
    design = spec.design
    wrong = f"A verdict is wrong with chance {design.alpha:.1%} at most"
    if design.horizon is None:
        return f"{wrong}, however often one looks."
    looks = f"at {design.looks} looks until {design.horizon:,} independent outcomes an arm"
    return f"{wrong}, {looks}; then it ends."


def _steps(spec: ExperimentSpec) -> list[str]:
    what = "A step" if spec.strategy == "canary" else "It"
    least = f"{what} lasts {format_duration(spec.soak_seconds)} at least"
    more = f" and {spec.soak_predictions:,} predictions" if spec.soak_predictions else ""
    outcomes = f"{spec.minimum_outcomes:,} outcomes and {spec.minimum_devices} device(s) an arm"
    silence = (
        f"Without a report for {format_duration(spec.no_data_seconds)} it pauses; it never passes."
    )
    return [f"{least}{more}, with {outcomes}.", silence]


def _ends(spec: ExperimentSpec) -> list[str]:
    rules_ = spec.guardrails
    then = "takes its arm back" if rules_.then == "abort" else "pauses it"
    chance = f"on a healthy arm one ever trips with chance {rules_.alpha:.1%} at most"
    devices = f"failed devices: surely more than {rules_.max_failed_devices:.1%}"
    guard = f"A guardrail {then}; {chance} ({devices})."
    if not spec.promotes:
        return [guard, "At the end nothing is promoted by itself."]
    approval = "A person promotes" if spec.approval else "The hub promotes"
    return [guard, f"{approval} what wins."]


def guard(row: Guard) -> str:
    """Return the figures of one guardrail as a sentence."""
    f = row.figures
    match f:
        case FailedDevices():
            names = f" ({', '.join(f.failed)})" if f.failed else ""
            return f"failed on {f.count} device(s){names}"
        case FailureExcess():
            (x, n), (y, m) = f.candidate, f.control
            margin = f", beyond {f.margin:g}" if f.margin else ""
            counted = f"{x:,} of {n:,}, of the control {y:,} of {m:,}"
            return f"{counted}; evidence that these are more{margin}: {f.e_value:.3g}"
        case GroupExcess():
            (x, n), (y, m) = f.candidate, f.control
            if not f.group:
                return f"no labels of the {f.groups} declared groups on both arms yet"
            margin = f", beyond {f.margin:g}" if f.margin else ""
            counted = f"{f.group}: {x:,} of {n:,} wrong, of the control {y:,} of {m:,}"
            more = f"evidence that any of {f.groups} groups got worse{margin}: {f.e_value:.3g}"
            return f"{counted}; {more}"
        case ErrorExcess():
            margin = f", beyond {f.margin:g}" if f.margin else ""
            off = f"off by {f.candidate_error:.4g}, the control by {f.control_error:.4g}"
            return f"{off}; evidence that this is more{margin}: {f.e_value:.3g}"
        case ErrorShare():
            return f"{f.share:.2%} of inputs, may be {f.at_most:.2%}"
        case LatencyRatio():
            return f"{f.ratio:.2f} times as long, may be {f.at_most:g} times"
        case LatencyQuantile():
            return _latency(f)


def _latency(f: LatencyQuantile) -> str:
    if f.candidate_us is None or f.control_us is None or f.low is None:
        return "not enough is known yet"
    surely = f"surely at least {f.low:.2f} times as long, {f.at_most:g} times are allowed"
    return f"{f.candidate_us:,.0f} µs, of the control {f.control_us:,.0f} µs; {surely}"


def path(spec: ExperimentSpec, stage: int, step: int, status: str) -> tuple[PathStage, ...]:
    """Return the stages of a canary with their steps; of another strategy none.

    Args:
        spec: the declared experiment.
        stage: number of the present stage, or of that in which it ended.
        step: number of the step in it.
        status: of the experiment.
    """
    if spec.strategy != "canary":
        return ()
    now = (stage, step) if status != "promoted" else (len(spec.path), 0)
    here = "now" if status in ("running", "paused", "waiting") else status
    return tuple(
        PathStage(
            place.name,
            tuple(
                PathStep(share, _state((i, j), now, here))
                for j, share in enumerate(place.steps)
                if share < 1  # a share of everybody is no step: there is nobody to compare with
            ),
        )
        for i, place in enumerate(spec.path)
    )


def _state(place: tuple[int, int], now: tuple[int, int], here: str) -> str:
    return here if place == now else "passed" if place < now else "to come"


def counts(by_name: Mapping[str, int]) -> str:
    """Return counts by name: ``control 39, candidate 1``."""
    return ", ".join(f"{name} {number:,}" for name, number in by_name.items()) or "none"


def tried(spec: ExperimentSpec, arms: Sequence[ArmStatus]) -> str:
    """Return the versions, with the names of their arms where there are several."""
    if spec.strategy != "ab":
        return arms[0].version
    return " and ".join(f"{arm.version} ({arm.arm})" for arm in arms)
