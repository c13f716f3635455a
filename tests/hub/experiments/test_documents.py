"""Documents: what is stored of an experiment comes back as it was, with or without its fields."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from cloud_hub.experiments.documents import (
    read_figures,
    read_state,
    seen_document,
    state_document,
)
from cloud_hub.experiments.record import Acknowledgement, ExperimentState
from cloud_hub.experiments.verdict.evidence import (
    ArmEvidence,
    Evidence,
    InterleaveEvidence,
    ShadowEvidence,
)
from cloud_hub.experiments.verdict.figures import FailureExcess, Figures, Look
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.spec import ExperimentSpec, Guardrails, LatencyGuard
from edge_sdk.contract.codec import from_plain

RULES = Guardrails(latency=LatencyGuard())
ROWS = {"a": (40.0, 4.0, 4.0), "b": (40.0, 2.0, 2.0)}
ARM = ArmEvidence(
    {"accuracy": ROWS}, {"errors": {("a", 0): (1, 40)}}, {"a": (0,) * 30 + (9,) + (0,) * 33},
    frozenset("ab"), frozenset("a"), 80,
)  # fmt: skip
EVIDENCE = Evidence(
    {"control": ARM, "candidate": ARM},
    ShadowEvidence(ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, {"queue": 3}),
    InterleaveEvidence(ROWS, 1, 20, {"control": 4}, {"candidate": 10}, {}, ROWS),
)


def figures(strategy: str, evidence: Evidence) -> Figures:
    spec = ExperimentSpec("m", strategy, candidate="1.1", guardrails=RULES)  # type: ignore[arg-type]
    decision = judge(spec, evidence, {})
    return replace(decision.figures, devices={"candidate": {"healthy": 2}})


@pytest.mark.parametrize("evidence", [EVIDENCE, Evidence()], ids=["data", "no data"])
@pytest.mark.parametrize("strategy", ["canary", "shadow", "interleave"])
def test_figures_come_back_as_they_were(strategy: str, evidence: Evidence) -> None:
    was = figures(strategy, evidence)
    text = json.dumps(seen_document(was), allow_nan=False)
    assert read_figures(json.loads(text)) == was


def test_a_strategys_figures_have_its_own_sections_only() -> None:
    both = {"guardrails", "soaked", "silent", "devices"}
    for strategy, sections in (
        ("canary", {"arms", "outcomes", "allocation"}),
        ("shadow", {"shadow", "outcomes"}),
        ("interleave", {"interleave"}),
    ):
        assert set(seen_document(figures(strategy, EVIDENCE))) == both | sections


def test_an_end_of_an_interval_that_is_nowhere_is_null() -> None:
    (latency,) = [g for g in figures("canary", Evidence()).guardrails or () if "p99" in g.name]
    document = seen_document(Figures(guardrails=(latency,)))
    plain = json.loads(json.dumps(document))
    assert plain["guardrails"][0]["figures"]["high"] is None


def test_entries_without_figures_are_read_as_empty() -> None:
    declared = ExperimentSpec("m", "canary", candidate="1.1")
    for event, seen in (("started", declared), ("resumed", Acknowledgement(3, 1.0, 1.0))):
        assert read_figures(seen_document(seen), event) == Figures()
    assert from_plain(ExperimentSpec, seen_document(declared)) == declared


def test_figures_of_an_older_hub_are_read_and_damaged_ones_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = {"candidate": [1, 9], "control": [0, 9], "e_value": 1.0}
    guard = {
        "name": "errors",
        "arm": "candidate",
        "trips": False,
        "reason": "",
        "figures": failures,
    }
    (old,) = read_figures({"guardrails": [guard]}).guardrails or ()
    assert old.figures == FailureExcess((1, 9), (0, 9), 1.0)
    assert read_figures({"guardrails": [{**guard, "figures": {}}]}) == Figures()
    assert "cannot be read" in caplog.text


def test_the_state_comes_back_as_it_was_and_an_old_one_is_read() -> None:
    look = Look(0.5, 0.1, 0.01, 50.0)
    dropped = figures("canary", EVIDENCE).against("candidate", at=1.0, actor="ann", reason="bad")
    state = ExperimentState(
        7, 1.0, 3, 1.0, {"accuracy/candidate": (look,)}, "two", {"candidate": dropped}
    )
    assert read_state(json.loads(json.dumps(state_document(state)))) == state
    assert read_state({"serial": 7, "failures_since": 0.0}) == ExperimentState(7)
    assert math.isclose(read_state({"looks": {}}).failures_since, 0.0)


def test_guardrails_that_do_not_trip_read_as_quiet() -> None:
    for strategy in ("canary", "shadow", "interleave"):
        for guard in figures(strategy, Evidence()).guardrails or ():
            assert (guard.trips, guard.reason.startswith("quiet: ")) == (False, True), guard
    (failed, *_) = figures("canary", EVIDENCE).guardrails or ()
    assert (failed.trips, failed.reason.startswith("quiet: candidate failed on 1 of 2")) == (
        False, True,
    )  # fmt: skip
