"""What the gates say, as tables of evidence."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud_hub.errors import Invalid
from cloud_hub.experiments.schedule import advance, begin, choose_salt
from cloud_hub.experiments.verdict.decision import GateDecision
from cloud_hub.experiments.verdict.device_counts import Member, count, shares
from cloud_hub.experiments.verdict.eta import until, until_won
from cloud_hub.experiments.verdict.evidence import (
    ArmEvidence,
    Evidence,
    InterleaveEvidence,
    Row,
    ShadowEvidence,
)
from cloud_hub.experiments.verdict.paired import decide_interleave, decide_shadow
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import (
    ArmSpec,
    Design,
    ExperimentSpec,
    Guardrails,
    LatencyGuard,
    StageSpec,
    parse_experiment,
)
from cloud_hub.statistics.allocation import check_allocation
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import SLOTS, Cohort, Outcome, ReleaseRef, slot_of

CANARY = ExperimentSpec(
    "m", "canary", candidate="1.1", soak_seconds=10, minimum_outcomes=100,
    guardrails=Guardrails(alpha=0.01, latency=LatencyGuard(0.5, 1.5)), no_data_seconds=300,
)  # fmt: skip


def arm(
    right: float,
    n: int = 1_000,
    *,
    devices: int = 20,
    errors: int = 0,
    middle: int = 30,
    **more: Any,
) -> ArmEvidence:
    """``n`` labelled requests on ``devices`` devices, a share ``right`` of them right."""
    names = [f"{right}-{i}" for i in range(devices)]
    each = n // devices
    good = round(right * each)
    histogram = tuple(n // devices if bin_ == middle else 0 for bin_ in range(64))
    defaults: dict[str, Any] = {
        "outcomes": {
            "accuracy": dict.fromkeys(names, (each, good, good)),
            "errors": dict.fromkeys(names, (each, 0.0, 0.0)),
        },
        "failures": {
            "errors": {
                (name, 0): (
                    errors // devices + (i < errors % devices),
                    each + errors // devices + (i < errors % devices),
                )
                for i, name in enumerate(names)
            },
            "wrong labels": {(name, 0): (each - good, each) for name in names},
        },
        "latency": dict.fromkeys(names, histogram),
        "exposed": frozenset(names),
        "predictions": n + errors,
    }
    return ArmEvidence(**{**defaults, **more})


def seen(candidate: ArmEvidence, control: ArmEvidence, **more: Any) -> Evidence:
    return Evidence({CONTROL: control, "candidate": candidate}, **{"soaked": 60.0, **more})


EMPTY = ArmEvidence()
SKEWED = check_allocation("region=eu", {"candidate": 90, CONTROL: 10}, {"candidate": 1, CONTROL: 1})

CANARIES: dict[str, tuple[Evidence, str, str]] = {
    "a better one passes": (seen(arm(0.95), arm(0.7)), "pass", "accuracy of candidate +0.26"),
    "a better one soaks first": (
        seen(arm(0.95), arm(0.7), soaked=5.0), "wait", "soaking: 5 seconds of 10 seconds",
    ),
    "a worse one is taken back": (seen(arm(0.7), arm(0.95)), "abort", "more wrong labels"),
    "a worse one is taken back before it has soaked": (
        seen(arm(0.7), arm(0.95), soaked=0.0), "abort", "more wrong labels",
    ),
    "without any data it waits": (seen(EMPTY, EMPTY), "wait", "candidate on 0 of 3"),
    "without any data for long it pauses and never passes": (
        seen(EMPTY, EMPTY, soaked=1e9, silent=301.0), "pause", "paused, not passed",
    ),
    "a good one that fell silent pauses": (
        seen(arm(0.95), arm(0.7), silent=301.0), "pause", "no candidate has reported for 5 minutes",
    ),
    "without a control it waits": (seen(arm(0.95), EMPTY), "wait", "control: 0 of 100 outcomes"),
    "without labels for long it pauses and says what is missing": (
        seen(arm(0.9, outcomes={}, failures={}), arm(0.9, outcomes={}, failures={}), soaked=301.0),
        "pause", "nobody reports accuracy",
    ),
    "few labels that look good wait": (
        seen(arm(1.0, n=60), arm(0.7)), "wait", "candidate: 60 of 100 outcomes of accuracy",
    ),
    "an equal one on little data is undecided": (
        seen(arm(0.9, n=200), arm(0.9, n=200)), "wait", "undecided",
    ),
    "one that fails on a device is taken back there alone": (
        seen(ArmEvidence(failed=frozenset(["d"])), arm(0.9)),
        "wait", "too few devices: candidate on 0 of 3, failed on 1",
    ),
    "one that fails on few of many goes on": (
        seen(arm(0.95, failed=frozenset("ab")), arm(0.7)), "pass", "accuracy of candidate",
    ),
    "one that fails on every device is taken back": (
        seen(ArmEvidence(failed=frozenset("abc")), arm(0.9), soaked=0.0),
        "abort", "failed on 3 of 3 devices, surely more than 5.0%",
    ),
    "one that crashes is taken back without a label": (
        seen(
            arm(0.9, n=100, errors=50, outcomes={}),
            arm(0.9, n=2_000, errors=1, outcomes={}), soaked=0.0,
        ),
        "abort", "more errors: 50 of 150 against 1 of 2001",
    ),
    "a slower one is taken back": (
        seen(arm(0.95, middle=36), arm(0.95), soaked=0.0), "abort", "p50 of latency is at least",
    ),
    "a mismatch blocks a verdict and names the cohort": (
        seen(arm(0.95), arm(0.7), allocation=(SKEWED,)),
        "wait", "mismatch in region=eu: candidate 90 of 100 (expected 50.0%)",
    ),
    "a mismatch does not hold a guardrail back": (
        seen(arm(0.7), arm(0.95), allocation=(SKEWED,)), "abort", "more wrong labels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CANARIES)
def test_a_canary(case: str) -> None:
    evidence, action, reason = CANARIES[case]
    decision = decide(CANARY, evidence)
    assert (decision.action, reason in decision.reason) == (action, True), decision.reason
    assert set(decision.figures.arms) == {CONTROL, "candidate"}
    names = [guard.name for guard in decision.figures.guardrails]
    assert names == ["failed devices", "errors", "wrong labels", "p50 of latency"]


def test_a_guardrail_may_pause_instead() -> None:
    calm = replace(CANARY, guardrails=replace(CANARY.guardrails, then="pause"))
    assert decide(calm, seen(arm(0.7), arm(0.95))).action == "pause"


AB = ExperimentSpec(
    "m", "ab", arms=(ArmSpec("one", "1.1", 0.3), ArmSpec("two", "1.2", 0.3)),
    soak_seconds=10, minimum_outcomes=100,
    outcomes=(
        Outcome("clicks", "reward", "up", 0.02), Outcome("time", "latency", "down", 0.5),
    ),
)  # fmt: skip


def rewarded(mean: float, latency: float = 7.0, *, name: str, n: int = 4_000) -> ArmEvidence:
    """Rewards of 0 or 1, and log2 latencies that hardly vary, on 40 devices."""
    each = n // 40
    hits = mean * each
    devices = [f"{name}-{i}" for i in range(40)]
    time = (each, each * latency, each * (latency**2 + 0.01))
    outcomes: dict[Any, dict[str, Row]] = {
        "reward": dict.fromkeys(devices, (each, hits, hits)),
        "latency": dict.fromkeys(devices, time),
    }
    return ArmEvidence(outcomes=outcomes, exposed=frozenset(devices), predictions=n)


def trial(control: float, one: float, two: float, slow: float = 7.0) -> Evidence:
    found = {CONTROL: control, "one": one, "two": two}
    arms = {name: rewarded(mean, name=name) for name, mean in found.items()}
    arms["two"] = rewarded(two, slow, name="two")
    return Evidence(arms, soaked=60.0)


ABS: dict[str, tuple[Evidence, str, str, str | None]] = {
    "the best of two that are better wins": (
        trial(0.3, 0.4, 0.45), "conclude", "two is better", "two",
    ),
    "no difference waits": (trial(0.3, 0.3, 0.31), "wait", "undecided", None),
    "surely no gain that matters concludes": (
        trial(0.5, 0.3, 0.2), "conclude", "no arm gains what matters", None,
    ),
    "a winner that harms another outcome is not promoted": (
        trial(0.3, 0.3, 0.5, slow=8.5), "conclude", "not promoted", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ABS)
def test_an_ab_test(case: str) -> None:
    evidence, action, reason, winner = ABS[case]
    decision = decide(AB, evidence)
    assert (decision.action, decision.winner) == (action, winner), decision.reason
    assert reason in decision.reason
    tests = [j.tests[0] for j in decision.figures.outcomes]
    assert {t.test for t in tests} == {"Welch"}
    assert not any(t.valid for t in tests)


def failing(name: str) -> ArmEvidence:
    return replace(rewarded(0.3, name=name), failed=frozenset(f"d-{i}" for i in range(12)))


def drops(**arms: ArmEvidence) -> Evidence:
    calm = {name: rewarded(0.3, name=name) for name in (CONTROL, "one", "two")}
    return Evidence({**calm, **arms}, soaked=60.0)


DROPS: dict[str, tuple[Evidence, str, str, tuple[str, ...], tuple[str, ...]]] = {
    "one of two fails: it alone is dropped": (
        drops(one=failing("one")), "abort", "drop", ("one",), (),
    ),
    "both fail: nothing is left": (
        drops(one=failing("one"), two=failing("two")), "abort", "abort", ("one", "two"), (),
    ),
    "the one that is left fails: nothing is left": (
        drops(one=failing("one"), two=failing("two")), "abort", "abort", ("two",), ("one",),
    ),
    "one that was dropped fails on and on: nothing happens": (
        drops(one=failing("one")), "abort", "wait", (), ("one",),
    ),
    "a person wants to look first": (
        drops(one=failing("one")), "pause", "pause", ("one",), (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DROPS)
def test_a_guardrail_takes_back_its_own_arm_only(case: str) -> None:
    evidence, then, action, arms, dropped = DROPS[case]
    spec = replace(AB, guardrails=Guardrails(then=then))  # type: ignore[arg-type]
    decision = decide(spec, evidence, dropped=dropped)
    assert (decision.action, decision.arms) == (action, arms), decision.reason
    assert {j.arm for j in decision.figures.outcomes} == {"one", "two"} - set(dropped)
    if arms == ("one",):
        assert "two" not in decision.reason


def test_a_verdict_waits_for_nothing_of_a_dropped_arm() -> None:
    evidence = trial(0.3, 0.3, 0.45)
    arms = {name: arm for name, arm in evidence.arms.items() if name != "one"}
    assert decide(AB, replace(evidence, arms=arms)).action == "wait"
    decision = decide(AB, replace(evidence, arms=arms), dropped=["one"])
    assert (decision.action, decision.winner) == ("conclude", "two")


def test_a_dropped_arm_makes_no_other_easier_to_win() -> None:
    """Between alpha / 2 and alpha: enough for one arm, not for one of two."""
    alone = replace(AB, arms=AB.arms[1:])
    gains = np.arange(0.32, 0.36, 0.0005)
    p = {g: decide(alone, trial(0.3, 0.3, g)).figures.outcomes[0].p for g in gains}
    gain = next(g for g in gains if AB.design.alpha / 2 < p[g] <= AB.design.alpha)
    assert decide(alone, trial(0.3, 0.3, gain)).winner == "two"
    assert decide(AB, trial(0.3, 0.3, gain), dropped=["one"]).action == "wait"


def test_a_declared_end_is_looked_at_as_planned_and_then_over() -> None:
    one = ExperimentSpec(
        "m", "ab", arms=(ArmSpec("one", "1.1", 0.5),), soak_seconds=0, minimum_outcomes=1,
        outcomes=(Outcome("clicks", "reward"),), design=Design(horizon=4_000, looks=4),
    )  # fmt: skip
    looks: Any = {}
    actions = []
    for n in (400, 1_000, 1_400, 2_000, 4_400):
        arms = {c: rewarded(0.3, name=c, n=n) for c in (CONTROL, "one")}
        decision = decide(one, Evidence(arms, soaked=1.0), looks)
        looks = decision.looks
        actions.append((decision.action, len(looks["clicks/one"])))
    assert actions == [("wait", 0), ("wait", 1), ("wait", 1), ("wait", 2), ("conclude", 3)]
    assert "no difference until the end" in decision.reason
    assert decision.figures.outcomes[0].tests[0].valid


SHADOW = ExperimentSpec("m", "shadow", candidate="1.1", soak_seconds=10, minimum_outcomes=50,
                        guardrails=Guardrails(latency=LatencyGuard(0.5, 2.0)))  # fmt: skip


def shadow(won: int, lost: int, n: int = 4_000, *, errors: int = 0, ratio: float = 1.0) -> Evidence:
    devices = [f"d-{i}" for i in range(20)]
    each = n // 20
    log = float(np.log2(ratio))
    found = ShadowEvidence(
        labelled=dict.fromkeys(devices, (each, (won - lost) / 20, (won + lost) / 20)),
        disagreements=dict.fromkeys(devices, (each, 5.0, 5.0)),
        latency=dict.fromkeys(devices, (each, each * log, each * (log**2 + 0.1))),
        errors=dict.fromkeys(devices, (each + errors / 20, errors / 20, errors / 20)),
        skipped={"queue": 7},
    )  # fmt: skip
    return Evidence(shadow=found, soaked=60.0)


SHADOWS: dict[str, tuple[Evidence, str, str, str | None]] = {
    "one that is better is not worse": (shadow(300, 50), "conclude", "not worse", "candidate"),
    "one that is worse is found out unserved": (shadow(50, 400), "conclude", "is worse", None),
    "few labels are undecided": (shadow(3, 2, 100), "wait", "undecided", None),
    "one that fails is stopped": (shadow(0, 0, errors=800), "abort", "fails on more than", None),
    "one that is slow is stopped": (shadow(0, 0, ratio=4.0), "abort", "4.00 times as long", None),
    "no data at all pauses": (Evidence(silent=1e6), "pause", "no candidate has reported", None),
}


@pytest.mark.parametrize("case", SHADOWS)
def test_a_shadow_run(case: str) -> None:
    evidence, action, reason, winner = SHADOWS[case]
    decision = decide_shadow(SHADOW, evidence)
    assert (decision.action, decision.winner) == (action, winner), decision.reason
    assert reason in decision.reason
    if evidence.shadow.compared:
        assert decision.figures.shadow.skipped == {"queue": 7}
        assert decision.figures.shadow.disagreement == pytest.approx(100 / evidence.shadow.compared)


def won(wins: int, losses: int) -> dict[str, Row]:
    """Decided sessions, on ten devices."""
    if not wins + losses:
        return {}
    return {f"d{i}": ((wins + losses) / 10, wins / 10, wins / 10) for i in range(10)}


MIXED = ExperimentSpec("m", "interleave", candidate="1.1", soak_seconds=10, minimum_outcomes=50)
SESSIONS: dict[str, tuple[tuple[int, int, int], str, str, str | None]] = {
    "the candidate wins": ((300, 150, 900), "conclude", "candidate is better", "candidate"),
    "the control wins": ((100, 300, 900), "conclude", "control is better", None),
    "as many each": ((200, 200, 900), "wait", "undecided", None),
    "too few that decide": ((20, 2, 900), "wait", "22 of 50 decided sessions", None),
    "no sessions": ((0, 0, 0), "wait", "0 of 1 requests", None),
}


@pytest.mark.parametrize("case", SESSIONS)
def test_interleaving(case: str) -> None:
    (wins, losses, sessions), action, reason, winner = SESSIONS[case]
    found = InterleaveEvidence(won(wins, losses), 5, sessions)
    decision = decide_interleave(MIXED, Evidence(interleave=found, soaked=60.0))
    assert (decision.action, decision.winner) == (action, winner), decision.reason
    assert reason in decision.reason


@pytest.mark.parametrize(
    ("wins", "losses", "effect", "action"),
    [(3_000, 3_000, 0.05, "conclude"), (3_000, 3_000, 0.0, "wait"), (300, 300, 0.05, "wait")],
)
def test_interleaving_ends_where_no_gain_that_matters_is_left(
    wins: int, losses: int, effect: float, action: str
) -> None:
    found = InterleaveEvidence(won(wins, losses), 5, 2 * (wins + losses))
    spec = replace(MIXED, minimum_effect=effect)
    decision = decide_interleave(spec, Evidence(interleave=found, soaked=60.0))
    assert (decision.action, decision.winner) == (action, None)
    assert ("no gain that matters" in decision.reason) == (action == "conclude")


def test_an_interleaved_candidate_that_fails_is_stopped() -> None:
    failing = InterleaveEvidence(
        won(300, 150), 5, 900, errors={f"d{i}": (100.0, 20.0, 20.0) for i in range(10)}
    )
    decision = decide_interleave(MIXED, Evidence(interleave=failing, soaked=60.0))
    assert (decision.action, "fails on more than 1.0%" in decision.reason) == ("abort", True)


def test_stages_go_cohort_by_cohort_and_nobody_who_is_in_leaves() -> None:
    eu, us = Cohort("region", ("eu",)), Cohort("region", ("us",))
    spec = replace(
        CANARY, steps=(0.1, 0.5, 1.0), stages=(StageSpec(eu), StageSpec(us, (0.2,)), StageSpec())
    )
    running = begin(spec, "x", {"candidate": ReleaseRef("1.1", "b" * 64)}, "salt")
    seen_: list[tuple[int, int, int, int]] = []
    stage = step = 0
    fleet = [(f"d{i}", {"region": r}) for i in range(200) for r in ("eu", "us", "asia")]
    before: set[int] = set()
    while True:
        inside = {
            i for i, (d, a) in enumerate(fleet) if running.takes_part(a) and running.arm_of(d, a)
        }
        assert before <= inside
        before = inside
        seen_.append((stage, step, running.arms[0].weight, len(running.completed)))
        following = advance(spec, running, stage, step)
        if following.experiment is None:
            break
        running, stage, step = following.experiment, following.stage, following.step
    assert seen_ == [
        (0, 0, 1_000, 0),
        (0, 1, 5_000, 0),
        (1, 0, 2_000, 1),
        (2, 0, 1_000, 2),
        (2, 1, 5_000, 2),
    ]


def test_a_small_fleet_gets_its_devices_into_the_first_step_but_never_all() -> None:
    for size in (2, 3, 5, 8):
        units = [f"d-{i}" for i in range(size)]
        salt = choose_salt("exp", [(units, [2_000])], minimum=1)
        inside = sum(slot_of(salt, unit) < 2_000 for unit in units)
        assert 1 <= inside < size


def test_the_control_of_a_small_fleet_has_two_devices_where_none_decides_alone() -> None:
    for number in range(50):
        units = [f"d-{number}-{i}" for i in range(5)]
        salt = choose_salt("exp", [(units, [4_000])], minimum=2)
        inside = sum(slot_of(salt, unit) < 4_000 for unit in units)
        assert inside in (2, 3), units
    # Of three, two are with the candidate and one is left: more there are not.
    assert choose_salt("exp", [(["a", "b", "c"], [6_000])], minimum=3)


def test_every_arm_and_cohort_of_a_small_fleet_gets_devices() -> None:
    one, two = [f"a-{i}" for i in range(6)], [f"b-{i}" for i in range(6)]
    salt = choose_salt("exp", [(one, [2_000, 2_000]), (two, [2_000])], minimum=1)
    for low, high in ((0, 2_000), (2_000, 4_000), (4_000, SLOTS)):
        assert any(low <= slot_of(salt, unit) < high for unit in one)
    assert any(slot_of(salt, unit) < 2_000 for unit in two)


def test_a_large_fleet_gets_the_first_salt() -> None:
    units = [f"d-{i}" for i in range(2_000)]
    assert choose_salt("exp", [(units, [500])], minimum=1) == "exp.0"


MEMBERS = {
    "pending": Member("a", "candidate", 1.0, False),
    "unreachable": Member("b", "candidate", 1e6, False, unreachable_after=7_200),
    "failed": Member("c", "candidate", 1e6, True, 0, 10),
    "regressed": Member("d", "candidate", 1.0, False, 30, 60),
    "healthy": Member("e", "candidate", 1.0, False, 3, 60),
}


def test_devices_are_counted_by_state_and_shares_are_of_those_with_exposure() -> None:
    for state, member in MEMBERS.items():
        row = count([member], (500, 10_000), alpha=0.01)["candidate"]
        assert row[state] == 1, (state, row)
    every = count([*MEMBERS.values()], (500, 10_000), alpha=0.01)
    assert every["candidate"]["exposed"] == 3
    assert shares(every["candidate"])["regressed"] == pytest.approx(1 / 3)
    assert shares(dict.fromkeys(every["candidate"], 0)) == {}


REFUSED = {
    "an empty file": ("", "expected model, strategy and candidate"),
    "an unknown key": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nsteeps: [0.1]\n", ":4: steeps: unknown",
    ),
    "an unknown strategy": ("model: m\nstrategy: moon\ncandidate: '1.1'\n", "expected one of"),
    "a version that YAML takes for a number": (
        "model: m\nstrategy: canary\ncandidate: 1.1\n", ":3: candidate: expected a string, got 1.1",
    ),
    "steps that go down": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nsteps: [0.5, 0.2]\n",
        "expected shares that rise, got 0.5, 0.2",
    ),
    "steps in percent": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nsteps: [1, 5, 25, 50, 100]\n",
        "(0.05 is 5%), got 1, 5, 25, 50, 100",
    ),
    "steps beyond everybody": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nsteps: [0.5, 2]\n", "up to 1",
    ),
    "a first step of everybody": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nsteps: [1.0]\n", "nothing to compare with",
    ),
    "weights that leave nothing to the control": (
        "model: m\nstrategy: ab\narms:\n- {name: a, version: '1.1', weight: 0.6}\n"
        "- {name: b, version: '1.2', weight: 0.4}\n", "weights: expected a sum below 1",
    ),
    "an arm of no weight": (
        "model: m\nstrategy: ab\narms:\n- {name: a, version: '1.1', weight: 0}\n",
        "weight: expected 0.0001 to below 1 (0.3 is 30%), got 0",
    ),
    "a weight in percent": (
        "model: m\nstrategy: ab\narms:\n- {name: a, version: '1.1', weight: 30}\n",
        "(0.3 is 30%), got 30",
    ),
    "one version on two arms": (
        "model: m\nstrategy: ab\narms:\n- {name: a, version: '1.1', weight: 0.1}\n"
        "- {name: b, version: '1.1', weight: 0.1}\n", "different versions, got ['1.1', '1.1']",
    ),
    "a cohort that has had its turn": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nstages:\n"
        "- cohort: {attribute: region, values: [eu, us]}\n"
        "- cohort: {attribute: region, values: [us]}\n", "all of region=us have had their turn",
    ),
    "a verdict on no device": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nminimum_devices: 0\n",
        "minimum_devices: expected at least 1, got 0",
    ),
    "a time below none": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nunreachable: -1\n", "unreachable: expected",
    ),
    "a chance in percent": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nguardrails: {alpha: 5}\n",
        "alpha: expected above 0 and below 0.5, got 5",
    ),
    "two arms of one name": (
        "model: m\nstrategy: ab\narms:\n- {name: a, version: '1.1', weight: 0.1}\n"
        "- {name: a, version: '1.2', weight: 0.1}\n", "different names",
    ),
    "arms in a canary": (
        "model: m\nstrategy: canary\narms:\n- {name: a, version: '1.1', weight: 0.1}\n",
        "canary expects one version",
    ),
    "a candidate in an ab": ("model: m\nstrategy: ab\ncandidate: '1.1'\n", "ab expects arms"),
    "stages in a shadow run": (
        "model: m\nstrategy: shadow\ncandidate: '1.1'\nstages: [{}]\n", "stages: shadow has none",
    ),
    "everybody before the last stage": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nstages:\n- {}\n"
        "- {cohort: {attribute: region, values: [eu]}}\n", "so the last",
    ),
    "a cohort of no values": (
        "model: m\nstrategy: ab\narms: [{name: a, version: '1.1', weight: 0.1}]\n"
        "cohort: {attribute: region, values: []}\n", "expected at least one value of region",
    ),
    "a reward in a shadow run": (
        "model: m\nstrategy: shadow\ncandidate: '1.1'\noutcomes: [{name: r, metric: reward}]\n",
        "nobody rewards a shadow",
    ),
    "an outcome in interleaving": (
        "model: m\nstrategy: interleave\ncandidate: '1.1'\noutcomes: [{name: r, metric: reward}]\n",
        "decided by sessions won",
    ),
    "a minimum effect of a canary as a whole": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nminimum_effect: 0.1\n",
        "minimum_effect: canary has one for each outcome",
    ),
    "a share of sessions beyond all": (
        "model: m\nstrategy: interleave\ncandidate: '1.1'\nminimum_effect: 0.5\n",
        "minimum_effect: expected 0 to below 0.5, got 0.5",
    ),
    "a metric that no device has": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\noutcomes: [{name: r, metric: happiness}]\n",
        "outcomes[0].metric: expected one of",
    ),
    "a share of a canary's requests": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nshare: 0.5\n", "is for whole units",
    ),
    "keys in a canary": (
        "model: m\nstrategy: canary\ncandidate: '1.1'\nunit: key\n", "only ab is by key",
    ),
    "a version that YAML reads as a number": (
        "model: m\nstrategy: canary\ncandidate: 1.1\n", 'got 1.1; put quotes around it: "1.1"',
    ),
    "an arm's version that YAML reads as a number": (
        "model: m\nstrategy: ab\narms: [{name: a, version: 1.10, weight: 0.1}]\n",
        'got 1.10; put quotes around it: "1.10"',
    ),
    "text for a time": ("model: m\nstrategy: canary\ncandidate: '1.1'\nsoak: soon\n", "90s, 10m"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_declaration_that_means_nothing_is_refused(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        parse_experiment(text)
    assert message in str(caught.value), caught.value


def test_a_declaration_is_read_whole() -> None:
    spec = parse_experiment(
        "model: digits\nstrategy: canary\ncandidate: '1.1'\nsoak: 1h\nno_data: 2d\n"
        "stages:\n- cohort: {attribute: region, values: [eu]}\n  steps: [0.05, 0.5]\n- {}\n"
        "guardrails: {alpha: 0.001, latency: {quantile: 0.9, at_most: 1.5}, then: pause}\n"
        "design: {horizon: 20000}\napproval: true\n"
    )
    assert (spec.soak_seconds, spec.no_data_seconds) == (3_600, 172_800)
    assert [stage.name for stage in spec.path] == ["region=eu", "everybody"]
    assert spec.path[1].steps == (0.01, 0.05, 0.25, 0.5, 1.0)
    assert spec.guardrails.latency == LatencyGuard(0.9, 1.5)


@pytest.mark.parametrize("times", [0.6, 1.4])
def test_who_waits_is_told_about_how_long(times: float) -> None:
    """With as many outcomes as that, less a bit, it still waits, and passes with a bit more."""
    few = decide(CANARY, seen(arm(0.9, n=400), arm(0.9, n=400), soaked=3_600.0))
    told = re.search(r"; about ([0-9.]+) hours more, if it goes on so$", few.reason)
    assert told is not None, few.reason
    n = round(400 * (1 + float(told[1]) * times) / 200) * 200
    action = decide(CANARY, seen(arm(0.9, n=n), arm(0.9, n=n), soaked=1e5)).action
    assert action == ("wait" if times < 1 else "pass")


PACES = {
    "outcomes that are missing come as they came": (until(60, 100, 60.0), "about 40 seconds more"),
    "nothing came yet": (until(0, 100, 60.0), ""),
    "sessions: half as wide takes more than four times as long": (
        until_won(0.55, 0.45, 0.65, 300, 0.0, 3_600.0, 0.05),
        "hours more",
    ),
    "sessions: as often as not, and all would matter": (
        until_won(0.5, 0.4, 0.6, 300, 0.0, 60.0, 0.05),
        "",
    ),
}


@pytest.mark.parametrize("wins", [160, 150])
def test_who_waits_for_sessions_is_told_about_how_long(wins: int) -> None:
    """For a winner, or for no gain that matters."""
    spec = replace(MIXED, minimum_effect=0.05)

    def at(times: float) -> GateDecision:
        decided = won(round(wins * times), round((300 - wins) * times))
        found = InterleaveEvidence(decided, 0, 1_000)
        return decide_interleave(spec, Evidence(interleave=found, soaked=3_600.0))

    (told,) = re.findall(r"; about ([0-9.]+) hours more, if it goes on so$", at(1.0).reason)
    assert at(1 + 0.7 * float(told)).action == "wait"
    assert at(1 + 1.3 * float(told)).action == "conclude"


@pytest.mark.parametrize("case", PACES)
def test_the_pace(case: str) -> None:
    told, expected = PACES[case]
    assert (expected in told, bool(told)) == (True, bool(expected))


def test_a_declared_end_bounds_how_long_one_waits() -> None:
    spec = replace(AB, design=Design(horizon=16_000))
    decision = decide(spec, trial(0.3, 0.3, 0.3))
    (told,) = re.findall(r"about ([0-9.]+) minutes? more", decision.reason)
    worth = min(row.n for row in decision.figures.outcomes if row.outcome == "clicks")
    assert float(told) == pytest.approx(16_000 / worth - 1, abs=0.1)
