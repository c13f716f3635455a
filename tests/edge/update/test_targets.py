"""What a device wants under a plan, and what it does with what it has."""

from __future__ import annotations

from typing import Any

import pytest

from edge_sdk.contract.plan import SLOTS, Arm, Experiment, Plan, ReleaseRef
from edge_sdk.update.state import SlotRef, UpdateState
from edge_sdk.update.targets import (
    CurrentAssignment,
    DesiredState,
    current_assignment,
    desired_state,
)

SERVING = ReleaseRef("1.0", "a" * 64)
B, C = ReleaseRef("1.1", "b" * 64), ReleaseRef("1.2", "c" * 64)
HERE = {ref: SlotRef.of(ref) for ref in (SERVING, B, C)}
ALL = ((0, SLOTS),)
TWO = (Arm("b", B, ((0, 3_000),)), Arm("c", C, ((3_000, 6_000),)))


def plan(strategy: str = "canary", arms: tuple[Arm, ...] = (Arm("b", B, ALL),), **m: Any) -> Plan:
    return Plan("m", 2, SERVING, Experiment("exp", strategy, "salt", arms, **m))  # type: ignore[arg-type]


def want(of: Plan, *failed: ReleaseRef) -> DesiredState:
    return desired_state(of, "device", {}, entered=False, failed=lambda ref: ref in failed)


@pytest.mark.parametrize("failed", [SERVING, B, C])
@pytest.mark.parametrize("strategy", ["ab", "key"])
def test_where_a_release_of_an_experiment_failed_the_device_leaves_it(
    failed: ReleaseRef, strategy: str
) -> None:
    of = plan("ab", TWO, unit="key" if strategy == "key" else "device")
    if strategy == "ab":
        of = plan(arms=(Arm("b", failed, ALL),))
    assert want(of, failed) == DesiredState.only(SERVING)
    assert want(of) != DesiredState.only(SERVING)


def test_a_candidate_comes_with_what_serves_to_go_back_to() -> None:
    found = want(plan())
    assert (found.assignment.release, found.releases, found.home) == (B, (SERVING, B), SERVING)
    assert want(Plan("m", 1, SERVING)).home is None


# sentence: (plan, slots on disk with what serves first, experiment, arm, what runs beside)
STANDINGS: dict[str, tuple[Plan, list[ReleaseRef], str | None, str, list[str]]] = {
    "no experiment": (Plan("m", 1, SERVING), [SERVING], None, "control", []),
    "a candidate that serves": (plan(), [B, SERVING], "exp", "b", []),
    "a candidate that is not here yet": (plan(), [SERVING], None, "control", []),
    "a control": (plan(arms=(Arm("b", B, ((0, 1),)),)), [SERVING], "exp", "control", []),
    "a control that is still behind": (
        plan(arms=(Arm("b", B, ((0, 1),)),)), [C], None, "control", [],
    ),
    "a shadow": (plan("shadow"), [SERVING, B], "exp", "control", ["b"]),
    "a shadow that is not here yet": (plan("shadow"), [SERVING], "exp", "control", []),
    "a shadow beside another than what serves": (plan("shadow"), [C, B], None, "control", []),
    "a shadow that is paused": (plan("shadow", paused=True), [SERVING, B], "exp", "control", []),
    "interleaving": (plan("interleave"), [SERVING, B], "exp", "control", ["b"]),
    "an A/A": (plan(arms=(Arm("b", SERVING, ALL),)), [SERVING], "exp", "b", []),
    "arms by key": (plan("ab", TWO, unit="key"), [SERVING, B, C], None, "control", ["b", "c"]),
    "arms by key of which one is missing": (
        plan("ab", TWO, unit="key"), [SERVING, B], None, "control", [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STANDINGS)
def test_a_device_stands_where_its_releases_put_it(case: str) -> None:
    of, disk, experiment, arm, beside = STANDINGS[case]
    current, *others = (HERE[ref] for ref in disk)
    found = current_assignment(of, want(of), UpdateState(current=current, held=tuple(others)))
    assert (found.experiment, found.arm) == (experiment, arm)
    names = [name for name, _ in found.beside.candidates] if found.beside is not None else []
    assert names == beside


def test_a_device_that_failed_the_candidate_stands_nowhere() -> None:
    state = UpdateState(current=HERE[SERVING])
    assert current_assignment(plan(), want(plan(), B), state) == CurrentAssignment()
