"""Promotions and rollbacks: said twice, tried without effect, and past an experiment's verdict."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.experiments.store import ExperimentRecord
from cloud_hub.hub import Hub
from cloud_hub.plans.service import PlanPreview
from tests.conftest import Publish
from tests.edge.builders import make_release
from tests.servers import HubProcess


@pytest.fixture
def two(serving: Hub, tmp_path: Path) -> Hub:
    """1.0 serves, 1.1 is published."""
    serving.registry.publish(make_release(tmp_path / "next", version="1.1", seed=2), actor="test")
    return serving


def serial(hub: Hub) -> int:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serial


def aborted(hub: Hub) -> ExperimentRecord:
    """A canary of 1.1 that its guardrails took back."""
    started = hub.experiments.canary("demo", "1.1", actor="test")
    hub.plans.rollback("demo", actor="hub", reason="aborted")
    hub.registry.set_status("demo", "1.1", "rolled_back")
    hub.experiments.store.note(
        started, status="aborted", reason="errors: 9% against 1%", ended_at=started.started_at
    )
    return hub.experiments.get(started.id)


def test_a_promotion_said_again_after_a_lost_answer_succeeds_and_changes_nothing(two: Hub) -> None:
    first = two.plans.promote("demo", "1.1", actor="ann", reason="better")
    again = two.plans.promote("demo", "1.1", actor="ann", reason="better")
    assert (again, serial(two)) == (first, 2)
    assert [e.action for e in two.audit.entries("demo")].count("plan") == 2


def test_a_version_whose_canary_aborted_is_promoted_with_a_reason_only(two: Hub) -> None:
    experiment = aborted(two)
    before = serial(two)
    for attempt in (two.plans.promote, two.plans.preview_promotion):
        with pytest.raises(Conflict, match=f"{experiment.id} took it back: errors: 9%") as caught:
            attempt("demo", "1.1", **({} if "preview" in attempt.__name__ else BY_ANN))
        assert "--override REASON" in str(caught.value)
    assert serial(two) == before
    plan = two.plans.promote("demo", "1.1", **BY_ANN, override="the meter was broken")
    assert plan.serving.version == "1.1"
    assert two.audit.entries("demo")[-1].detail["override"] == "the meter was broken"
    assert two.plans.promote("demo", "1.1", **BY_ANN) == plan  # said again: no reason is needed


BY_ANN = {"actor": "ann", "reason": "x"}


def test_a_version_that_a_person_rolled_back_needs_no_override(two: Hub) -> None:
    two.plans.promote("demo", "1.1", **BY_ANN)
    two.plans.rollback("demo", **BY_ANN)
    assert two.plans.promote("demo", "1.1", **BY_ANN).serving.version == "1.1"


def test_an_experiment_that_was_stopped_by_hand_is_no_objection(two: Hub) -> None:
    started = two.experiments.canary("demo", "1.1", actor="test")
    two.experiments.stop(started.id, **BY_ANN)
    assert two.plans.preview_promotion("demo", "1.1").changes


def test_a_preview_says_what_the_change_does_and_does_nothing(two: Hub) -> None:
    entries = two.audit.entries()
    assert two.plans.preview_promotion("demo", "1.1") == PlanPreview(
        "demo", "1.0", "1.1", None, True
    )
    assert not two.plans.preview_promotion("demo", "1.0").changes
    with pytest.raises(Conflict, match="no other version served"):
        two.plans.preview_rollback("demo")
    with pytest.raises(NotFound, match="not published"):
        two.plans.preview_promotion("demo", "7.0")
    assert (two.audit.entries(), serial(two)) == (entries, 1)
    two.plans.promote("demo", "1.1", **BY_ANN)
    assert two.plans.preview_rollback("demo") == PlanPreview("demo", "1.1", "1.0", None, True)


def test_a_preview_names_the_experiment_that_ends(two: Hub) -> None:
    id_ = two.experiments.canary("demo", "1.1", actor="test").id
    ends = PlanPreview("demo", "1.0", "1.0", id_, True)
    assert two.plans.preview_rollback("demo") == ends
    assert two.plans.preview_promotion("demo", "1.0") == ends


def test_changes_are_logged_for_the_operator(two: Hub, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cloud_hub"):
        two.plans.promote("demo", "1.1", **BY_ANN)
        two.plans.rollback("demo", **BY_ANN)
    assert [record.getMessage() for record in caplog.records] == [
        "demo: plan 2 signed and published",
        "demo 1.1 promoted by ann",
        "demo: plan 3 signed and published",
        "demo 1.1 rolled back to 1.0 by ann",
    ]


def test_the_routes_preview_and_repeat(hub: HubProcess, publish: Publish) -> None:
    publish("steps")
    publish("steps", "1.1", promote=False)
    path = "models/steps"
    preview = hub.admin.post(f"{path}/promote", version="1.1", dry_run=True)
    assert preview == {
        "model": "steps", "serving": "1.0", "serves_next": "1.1", "ends": None, "changes": True,
        "dry_run": True,
    }  # fmt: skip
    assert hub.admin.get(f"{path}/plan")["serving"]["version"] == "1.0"
    with pytest.raises(HubFault, match="no other version served"):
        hub.admin.post(f"{path}/rollback", dry_run=True)
    first = hub.admin.post(f"{path}/promote", version="1.1")
    assert hub.admin.post(f"{path}/promote", version="1.1") == first
    assert hub.admin.post(f"{path}/rollback", dry_run=True)["serves_next"] == "1.0"
    assert hub.admin.get(f"{path}/plan") == first | {"serving_aliases": []}
