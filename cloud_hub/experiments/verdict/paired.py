"""Gates of shadow and interleaving, in which what serves goes on serving. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cloud_hub.experiments.verdict.decision import (
    Action,
    GateDecision,
    Looks,
    silent,
    soaking,
    tripped,
)
from cloud_hub.experiments.verdict.eta import until, until_not_worse, until_won
from cloud_hub.experiments.verdict.figures import (
    ErrorShare,
    Figures,
    Guard,
    InterleaveFigures,
    LatencyRatio,
    ShadowFigures,
    finite,
)
from cloud_hub.experiments.verdict.guardrails import alpha_of, by_too_few, too_few, watch_devices
from cloud_hub.experiments.verdict.judgement import Judgement, judge_pairs
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics import sequential
from cloud_hub.statistics.clustered import mean_against
from cloud_hub.statistics.paired import SignTest, sign_test
from cloud_hub.statistics.samples import pair_up
from cloud_hub.statistics.shares import ShareTest, least_devices, share_test

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import (
        Evidence,
        InterleaveEvidence,
        Row,
        ShadowEvidence,
    )
    from edge_sdk.contract.plan import Outcome


def decide_shadow(
    spec: ExperimentSpec, evidence: Evidence, looks: Looks | None = None
) -> GateDecision:
    """Judge a shadow run: guardrails on its errors and latency, then the paired outcomes.

    Args:
        spec: the declared experiment.
        evidence: since it began.
        looks: planned looks taken before, by ``outcome/arm``; empty without a horizon.
    """
    shadow, past = evidence.shadow, looks or {}
    guards = _guards(spec, shadow)
    judged = tuple(
        judge_pairs(
            outcome, CANDIDATE, _pairs(shadow, outcome), spec.design,
            past.get(f"{outcome.name}/{CANDIDATE}", ()), scale=_range(outcome),
        )
        for outcome in spec.outcomes
    )  # fmt: skip
    # Shown, not decided on: the verdict is on outcomes by device, which count devices.
    signs = sign_test(shadow.won, shadow.lost, spec.design.alpha)
    figures = Figures(
        shadow=_shadow_figures(shadow, signs),
        outcomes=tuple(j.figures() for j in judged),
        guardrails=guards,
        soaked=evidence.soaked,
        silent=evidence.silent,
    )
    taken = {f"{j.outcome}/{j.arm}": j.looks for j in judged}
    trip = tripped(spec, guards)
    if trip is not None:
        return GateDecision(*trip, figures, looks=taken)
    action, reason, winner = _settle(spec, evidence, judged)
    return GateDecision(action, reason, figures, winner, taken)


def decide_interleave(spec: ExperimentSpec, evidence: Evidence) -> GateDecision:
    """Judge interleaved rankings by each device's share of sessions won; a tie decides nothing."""
    sessions = evidence.interleave
    tripping = (
        watch_devices(spec, CANDIDATE, sessions.failed, sessions.tried),
        _errors(spec, sessions.errors),
    )
    guards = by_too_few(tripping, {CANDIDATE: len(sessions.tried)}, spec.minimum_devices)
    rows = np.array([*sessions.decided.values()], np.float64).reshape(-1, 3)
    shares = share_test(rows[:, 1], rows[:, 0], spec.design.alpha)
    figures = Figures(
        interleave=_interleave_figures(sessions, shares),
        guardrails=guards,
        soaked=evidence.soaked,
        silent=evidence.silent,
    )
    trip = tripped(spec, guards)
    if trip is not None:
        return GateDecision(*trip, figures)
    decisive = sessions.wins + sessions.losses
    waits = _waits(spec, evidence, sessions.sessions, decisive, len(sessions.devices))
    if waits is not None:
        return GateDecision(*waits, figures)
    return _settle_sessions(spec, evidence.soaked, shares, figures)


def _settle_sessions(
    spec: ExperimentSpec, soaked: float, shares: ShareTest, figures: Figures
) -> GateDecision:
    """The verdict on the share of decided sessions that the candidate wins."""
    decisive = shares.wins + shares.losses
    share = (
        f"wins {shares.share:.1%} of {decisive} decided sessions of {shares.devices} devices "
        f"[{shares.low:.1%}, {shares.high:.1%}]"
    )
    limit = 0.5 + spec.minimum_effect
    if not shares.n:
        least = math.ceil(least_devices(spec.design.alpha))
        reason = (
            f"no verdict: {decisive} decided sessions of {shares.devices} device(s), each of which "
            f"is one observation; {least} are the fewest that can show anything, more where some "
            "have most of the sessions"
        )
        return GateDecision("wait", reason, figures)
    if shares.winner is None and limit > 0.5 and shares.high <= limit:
        reason = f"no gain that matters: candidate {share}, at most {limit:.1%}"
        return GateDecision("conclude", reason, figures)
    if shares.winner is None and spec.design.horizon and decisive >= spec.design.horizon:
        return GateDecision("conclude", f"no difference until the end: candidate {share}", figures)
    if shares.winner is None:
        more = until_won(
            shares.share, shares.low, shares.high, shares.n, spec.minimum_effect, soaked,
            spec.design.alpha,
        )  # fmt: skip
        return GateDecision("wait", f"undecided: candidate {share}{more}", figures)
    winner = CANDIDATE if shares.winner == CANDIDATE else None
    return GateDecision(
        "conclude", f"candidate {share}: {shares.winner} is better", figures, winner
    )


def _settle(
    spec: ExperimentSpec, evidence: Evidence, judged: tuple[Judgement, ...]
) -> tuple[Action, str, str | None]:
    compared, devices = evidence.shadow.compared, len(evidence.shadow.devices)
    have = min((j.outcomes[0] for j in judged), default=compared)
    waits = _waits(spec, evidence, compared, have, devices)
    if waits is not None:
        return (*waits, None)
    intervals = "; ".join(
        f"{j.outcome} {j.gain:+.4g} in [{j.low:+.4g}, {j.high:+.4g}]" for j in judged
    )
    if any(j.worse for j in judged):
        return "conclude", f"the candidate is worse: {intervals}", None
    if all(j.not_worse for j in judged):
        return (
            "conclude",
            f"the candidate is not worse: {intervals or 'no guardrail tripped'}",
            CANDIDATE,
        )
    if all(j.done for j in judged):
        return "conclude", f"undecided at the declared end: {intervals}", None
    unsure = next(j for j in judged if not j.not_worse)
    if unsure.lacking:
        return "wait", f"{unsure.outcome}: {unsure.lacking}", None
    more = until_not_worse(unsure, evidence.soaked, spec)
    return "wait", f"undecided: {intervals}{more}", None


def _waits(
    spec: ExperimentSpec, evidence: Evidence, exposure: int, outcomes: int, devices: int
) -> tuple[Action, str] | None:
    silence, soaks = silent(spec, evidence), soaking(spec, evidence)
    if silence:
        return "pause", silence
    if soaks:
        return "wait", soaks
    most, least = max(1, spec.soak_predictions), spec.minimum_outcomes
    if exposure < most:
        more = until(exposure, most, evidence.soaked)
        return "wait", f"{exposure} of {most} requests with the candidate{more}"
    if devices < spec.minimum_devices:
        return "wait", too_few(CANDIDATE, devices, spec.minimum_devices)
    if outcomes < least:
        what = "decided sessions" if spec.strategy == "interleave" else "outcomes"
        more = until(outcomes, least, evidence.soaked)
        return "wait", f"{outcomes} of {least} {what}{more}"
    return None


def _guards(spec: ExperimentSpec, shadow: ShadowEvidence) -> tuple[Guard, ...]:
    rules = spec.guardrails
    guards = [
        watch_devices(spec, CANDIDATE, shadow.failed, shadow.tried),
        _errors(spec, shadow.errors),
    ]
    if rules.latency is not None:
        most = rules.latency.at_most
        low, mean = _surely_above(shadow.latency, math.log2(most), alpha_of(spec, "latency"), 0.0)
        measured = f"{CANDIDATE} takes {2**mean:.2f} times as long"
        trips = low > 0
        reason = f"{measured}, more than {most:g}"
        quiet = f"quiet: {measured}, surely more than {most:g} would trip it"
        # Differences are of log2 of the times: their mean is the log of a geometric mean ratio.
        figures = LatencyRatio(2**mean, 2 ** (low + math.log2(most)), most)
        guards.append(Guard("latency", CANDIDATE, trips, reason if trips else quiet, figures))
    return by_too_few(tuple(guards), {CANDIDATE: len(shadow.tried)}, spec.minimum_devices)


def _errors(spec: ExperimentSpec, errors: Mapping[str, Row]) -> Guard:
    """A candidate beside what serves has no control to fail as often as: a share is declared."""
    most = spec.guardrails.max_error_share
    low, mean = _surely_above(errors, most, alpha_of(spec, "errors"), 1.0)
    trips = low > 0
    reason = f"{CANDIDATE} fails on more than {most:.1%} of inputs ({mean:.1%})"
    measured = f"{CANDIDATE} fails on {mean:.1%} of inputs"
    quiet = f"quiet: {measured}, surely more than {most:.1%} would trip it"
    figures = ErrorShare(mean, low + most, most)
    return Guard("errors", CANDIDATE, trips, reason if trips else quiet, figures)


def _surely_above(
    rows: Mapping[str, Row], limit: float, alpha: float, scale: float
) -> tuple[float, float]:
    """Lower end of the mean less ``limit``, and the mean; without data nothing is sure."""
    sample, _ = pair_up(rows, {})
    contrast = mean_against(sample, limit, scale=scale)
    low, _high = sequential.interval(contrast, alpha)
    empty = float(contrast.n) == 0
    # Without data the end is minus infinity, which JSON cannot carry.
    return max(float(low), -1e9), 0.0 if empty else float(contrast.estimate) + limit


def _pairs(shadow: ShadowEvidence, outcome: Outcome) -> Mapping[str, Row]:
    differences: Mapping[str, Mapping[str, Row]] = {
        "accuracy": shadow.labelled,
        "latency": shadow.latency,
        "errors": shadow.errors,
        "mae": shadow.off,
    }
    return differences.get(outcome.metric, {})


def _range(outcome: Outcome) -> float:
    return 0.0 if outcome.metric in ("latency", "mae") else 1.0


def _mean(rows: Mapping[str, Row]) -> float | None:
    n = sum(row[0] for row in rows.values())
    return finite(sum(row[1] for row in rows.values()) / n) if n else None


def _shadow_figures(shadow: ShadowEvidence, signs: SignTest) -> ShadowFigures:
    latency = _mean(shadow.latency)
    return ShadowFigures(
        compared=shadow.compared,
        devices=sum(row[0] > 0 for row in shadow.disagreements.values()),
        disagreement=_mean(shadow.disagreements),
        confidence_shift=_mean(shadow.confidence),
        value_shift=_mean(shadow.value),
        latency_ratio=None if latency is None else 2**latency,
        error_share=_mean(shadow.errors),
        skipped=dict(shadow.skipped),
        candidate_only=shadow.won,
        incumbent_only=shadow.lost,
        signs=signs,
    )


def _interleave_figures(sessions: InterleaveEvidence, shares: ShareTest) -> InterleaveFigures:
    return InterleaveFigures(
        wins=sessions.wins,
        losses=sessions.losses,
        ties=sessions.ties,
        sessions=sessions.sessions,
        clicks=dict(sessions.clicks),
        first=dict(sessions.first),
        refused=dict(sessions.refused),
        signs=shares,
    )
