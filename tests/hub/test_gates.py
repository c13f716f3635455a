"""The offline gate, and how a device is."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.fleet.health import health
from cloud_hub.policy import GatePolicy
from cloud_hub.runs.gate import Slice, failures, judge


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
