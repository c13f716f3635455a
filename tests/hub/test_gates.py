"""Two judgements: the offline gate and the canary gate."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.experiments.gate import ArmEvidence, decide
from cloud_hub.experiments.service import choose_salt
from cloud_hub.fleet.health import health
from cloud_hub.policy import CanaryPolicy, GatePolicy
from cloud_hub.runs.gate import Slice, failures, judge
from edge_sdk.contract.plan import slot_of

POLICY = CanaryPolicy(minimum_labels=100, soak_seconds=10, margin=0.02, alpha=0.05)
GOOD = ArmEvidence(labelled=1_000, correct=950, predictions=2_000, devices=3)
POOR = ArmEvidence(labelled=1_000, correct=700, predictions=2_000, devices=3)

CANARIES: dict[str, tuple[ArmEvidence, ArmEvidence, float, str, str]] = {
    "a better one passes": (GOOD, POOR, 60, "pass", "accuracy is at least"),
    "a better one soaks first": (GOOD, POOR, 5, "wait", "soaking"),
    "a worse one is withdrawn": (POOR, GOOD, 60, "abort", "fails more often"),
    "a worse one is withdrawn before it has soaked": (POOR, GOOD, 0, "abort", "fails more often"),
    "without any data it waits": (ArmEvidence(), ArmEvidence(), 1e6, "wait", "0 of 100 labels"),
    "without a control it waits": (GOOD, ArmEvidence(), 1e6, "wait", "control: 0 of 100"),
    "few labels that look good wait": (
        ArmEvidence(labelled=50, correct=50), GOOD, 60, "wait", "candidate: 50 of 100",
    ),
    "an equal one on little data is undecided": (
        ArmEvidence(labelled=200, correct=180), ArmEvidence(labelled=200, correct=180), 60,
        "wait", "undecided",
    ),
    "one that fails on a device is withdrawn": (
        ArmEvidence(failed_devices=1), GOOD, 0, "abort", "failed on 1 device",
    ),
    "one that crashes is withdrawn without a label": (
        ArmEvidence(predictions=50, errors=50), ArmEvidence(predictions=2_000, errors=1), 0,
        "abort", "fails more often",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CANARIES)
def test_a_canary(case: str) -> None:
    candidate, control, soaked, action, reason = CANARIES[case]
    decision = decide(POLICY, candidate, control, soaked=soaked)
    assert (decision.action, reason in decision.reason) == (action, True), decision.reason
    assert decision.figures["candidate"]["labelled"] == candidate.labelled


def test_a_small_fleet_gets_its_devices_into_the_first_step_but_never_all() -> None:
    for size in (2, 3, 5, 8):
        units = [f"d-{i}" for i in range(size)]
        salt = choose_salt("exp", units, 2_000, minimum=1)
        inside = sum(slot_of(salt, unit) < 2_000 for unit in units)
        assert 1 <= inside < size


def test_a_large_fleet_gets_the_first_salt() -> None:
    units = [f"d-{i}" for i in range(2_000)]
    assert choose_salt("exp", units, 500, minimum=1) == "exp.0"


def of(right: int, n: int) -> np.ndarray:
    return np.arange(n) < right


OFFLINE: dict[str, tuple[dict[str, Slice], str]] = {
    "better on both": (
        {"fresh": Slice(of(95, 100), of(60, 100)), "history": Slice(of(96, 100), of(95, 100))}, "",
    ),
    "worse on fresh rows": ({"fresh": Slice(of(90, 100), of(91, 100))}, "fresh: 0.900"),
    "forgets what it knew": (
        {"fresh": Slice(of(95, 100), of(60, 100)), "history": Slice(of(80, 100), of(95, 100))},
        "forgetting: 0.800 against 0.950",
    ),
    "forgets a little, as allowed": ({"history": Slice(of(94, 100), of(95, 100))}, ""),
    "too few rows to decide": ({"fresh": Slice(of(0, 10), of(10, 10))}, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", OFFLINE)
def test_the_offline_gate(case: str) -> None:
    slices, message = OFFLINE[case]
    checks = judge(slices, GatePolicy(max_forgetting=0.02), candidate_bytes=10)
    found = failures(checks)
    assert (message in found) if message else found == ""


def test_the_offline_gate_refuses_a_model_that_is_too_large() -> None:
    checks = judge({}, GatePolicy(max_bytes=9), candidate_bytes=10)
    assert "10 bytes, allowed 9" in failures(checks)


@pytest.mark.parametrize(
    ("plan", "failed", "silent", "expected"),
    [
        (3, False, 0, "healthy"),
        (2, False, 0, "pending"),
        (3, True, 0, "failed"),
        (3, False, 1e6, "unreachable"),
        (2, True, 1e6, "unreachable"),
    ],
)
def test_health(plan: int, failed: bool, silent: float, expected: str) -> None:
    found = health(serial=3, plan=plan, failed=failed, seen_at=0, now=silent)
    assert found == expected
