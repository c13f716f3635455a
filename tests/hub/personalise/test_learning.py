"""A hub learns from the sums of its devices: taken once, held against its priors, and followed."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from cloud_hub.cli.data.personal_evidence import evidence_text
from cloud_hub.database.documents import as_document
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Conflict
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec
from cloud_hub.hub import Hub
from cloud_hub.personalise.learned.evidence_page import to_html
from cloud_hub.personalise.learned.learning import LEAST_VOICES
from cloud_hub.telemetry.retention import clean
from cloud_hub.telemetry.tables import personal_reports
from cloud_hub.web.numbers import share_text
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, Upload
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.personal.report import PersonalReport
from edge_sdk.contract.plan import Outcome
from tests.edge.personalise.simulated_units import class_prior
from tests.hub.personalise.reporting_units import Fleet
from tests.simulated_device import enrolled, vouched

MEANS = np.eye(3, 4) * 3
NUMBERS = itertools.count(1)
POLICY = "personalise: {mode: on, report_days: 0, minimum_units: 20}"


@pytest.fixture
def hub(serving: Hub) -> Hub:
    """A hub whose model has a prior, of which it is not known yet whether it helps."""
    serving.policies.apply("demo", POLICY, actor="test")
    publish(serving)
    return serving


def publish(hub: Hub, **changes: Any) -> None:
    manifest = hub.registry.version("demo", "1.0").manifest
    prior = replace(class_prior(MEANS, helps=False), manifest=manifest, **changes)
    hub.personalise.publish(prior, figures={}, verdict="", source="a test", actor="test")


def prior_of(hub: Hub) -> PersonalPrior:
    record = hub.personalise.store.newest("demo")
    assert record is not None
    return hub.personalise.prior(record)


def made(hub: Hub, seed: int = 0, units: int = 24, **fleet: Any) -> PersonalReport:
    """The report of a device as of now."""
    report = Fleet(**fleet).summed(prior_of(hub), units, np.random.default_rng(seed))
    now = int(time.time())
    return replace(report, start=now - 60, at=now)


def send(hub: Hub, device: str, report: PersonalReport) -> str:
    """Deliver a report; return why it was refused, or nothing."""
    message = Message("boot", next(NUMBERS), "personal", to_plain(report))
    reply = hub.telemetry.ingest(EnrolledDevice(device, ("demo",)), Upload((message,)))
    assert reply.accepted + len(reply.rejected) == 1
    return reply.rejected[0].reason if reply.rejected else ""


def everybody(hub: Hub, count: int, **fleet: Any) -> list[str]:
    devices = vouched(hub, count)
    for i, device in enumerate(devices):
        assert send(hub, device, made(hub, i, **fleet)) == ""
    return devices


def stored(hub: Hub) -> int:
    with hub.engine.connect() as db:
        return int(db.execute(select(func.count()).select_from(personal_reports)).scalar_one())


def test_enough_devices_whose_units_gain_make_the_next_generation(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    hub.learning.tick(time.time())
    new = prior_of(hub)
    assert (new.generation, new.helps) == (2, True)
    assert new.classes is not None
    assert min(new.classes.shift.numbers()) > 1.2
    plan = hub.plans.current("demo")
    assert plan is not None
    assert plan.serving.prior == hub.personalise.store.records("demo")[-1].ref
    record = hub.personalise.store.records("demo")[-1]
    assert "20 devices about generation 1" in record.source
    assert "personalising helps" in record.verdict


def test_devices_begin_anew_with_each_generation(hub: Hub) -> None:
    devices = everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    hub.learning.tick(time.time())
    assert hub.learning.evidence("demo").voices == 0  # type: ignore[union-attr]
    for i, device in enumerate(devices):
        assert send(hub, device, made(hub, 100 + i, gain=-0.1)) == ""
    hub.learning.tick(time.time() + 61)
    assert (prior_of(hub).generation, prior_of(hub).helps) == (3, False)


def test_too_few_devices_or_too_early_make_none(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES - 1, shift=2.0, gain=0.08)
    hub.learning.tick(time.time())
    assert prior_of(hub).generation == 1
    evidence = hub.learning.evidence("demo")
    assert evidence is not None
    assert evidence.said == "19 of 20 devices have reported their sums"
    hub.policies.apply("demo", POLICY.replace("report_days: 0", "report_days: 2"), actor="test")
    send(hub, vouched(hub, 1)[0], made(hub, 99, shift=2.0, gain=0.08))
    hub.learning.tick(time.time() + 86_400)
    assert prior_of(hub).generation == 1
    hub.learning.tick(time.time() + 2 * 86_400 + 61)
    assert prior_of(hub).generation == 2


def test_devices_that_one_secret_let_in_are_one_voice(hub: Hub) -> None:
    token = hub.fleet.new_token("demo", uses=40, seconds=60, actor="test")
    for i in range(40):
        assert send(hub, enrolled(hub, token), made(hub, i, gain=0.3)) == ""
    hub.learning.tick(time.time())
    assert prior_of(hub).generation == 1
    assert hub.learning.evidence("demo").voices == 1  # type: ignore[union-attr]


def test_nothing_new_is_made_where_devices_say_what_the_prior_says(hub: Hub) -> None:
    everybody(hub, 60, gain=0.0)
    hub.learning.tick(time.time())
    assert prior_of(hub).generation == 1
    evidence = hub.learning.evidence("demo")
    assert evidence is not None
    assert "is not shown to help or to harm" in evidence.said
    assert evidence.gain is not None
    assert evidence.gain[1] < 0 < evidence.gain[2]


def test_while_an_experiment_runs_its_arms_keep_their_priors(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    spec = ExperimentSpec(
        "demo", "ab", arms=(ArmSpec("plain", "1.0", 0.5, "without"),),
        outcomes=(Outcome("served", "served_accuracy"),), minimum_devices=1,
    )  # fmt: skip
    id_ = hub.experiments.run(spec, actor="test").id
    hub.learning.tick(time.time())
    assert prior_of(hub).generation == 1
    hub.experiments.stop(id_, actor="test", reason="enough")
    hub.learning.tick(time.time() + 61)
    assert prior_of(hub).generation == 2


def test_a_device_is_heard_once_for_a_generation(hub: Hub) -> None:
    (device,) = vouched(hub, 1)
    assert send(hub, device, made(hub)) == ""
    assert "told its sums of generation 1 before" in send(hub, device, made(hub, 5))
    assert stored(hub) == 1


def test_the_same_message_again_is_a_duplicate_and_no_refusal(hub: Hub) -> None:
    (device,) = vouched(hub, 1)
    upload = Upload((Message("boot", 1, "personal", to_plain(made(hub))),))
    replies = [hub.telemetry.ingest(EnrolledDevice(device, ("demo",)), upload) for _ in range(2)]
    assert [(r.accepted, r.duplicates) for r in replies] == [(1, 0), (0, 1)]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a generation that never was": ({"generation": 7}, "no such prior was made"),
    "a generation of no table's numbers": ({"generation": 1 << 40}, "no such prior was made"),
    "sums in another basis": ({"basis": "f" * 64}, "its sums are in another basis"),
    "sums that were closed tomorrow": ({"at": int(time.time()) + 86_400}, "check its clock"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_device_of_this_hub_can_have_is_refused(hub: Hub, name: str) -> None:
    changes, words = REFUSED[name]
    (device,) = vouched(hub, 1)
    assert words in send(hub, device, replace(made(hub), **changes))
    assert stored(hub) == 0


def test_more_labels_than_the_device_can_have_had_are_refused_and_flagged(hub: Hub) -> None:
    policy = POLICY + "\nreporting: {requests_per_second: 1}"
    hub.policies.apply("demo", policy, actor="test")
    (device,) = vouched(hub, 1)
    assert "labels, expected at most" in send(hub, device, made(hub, units=24))
    assert stored(hub) == 0


def test_a_forgotten_device_leaves_no_sums_behind(hub: Hub) -> None:
    first, second = vouched(hub, 2)
    for device in (first, second):
        send(hub, device, made(hub))
    hub.fleet.forget(first, reason="its owner asked", actor="test")
    assert stored(hub) == 1


def test_sums_are_kept_as_long_as_the_policy_keeps_sums(hub: Hub) -> None:
    everybody(hub, 2)
    kept = hub.registry.policy("demo").retention
    clean(hub.engine, "demo", time.time() + (kept.sum_days - 1) * 86_400, kept)
    assert stored(hub) == 2
    clean(hub.engine, "demo", time.time() + (kept.sum_days + 1) * 86_400, kept)
    assert stored(hub) == 0


def test_a_model_that_is_switched_off_has_no_evidence_and_learns_nothing(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    hub.personalise.switch("demo", on=False, actor="test", reason="complaints")
    hub.learning.tick(time.time())
    assert prior_of(hub).generation == 1
    assert hub.learning.evidence("demo") is None


def test_a_prior_whose_file_is_damaged_is_told_and_stops_no_other_model(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    record = hub.personalise.store.newest("demo")
    assert record is not None
    next(hub.settings.data.rglob(f"*{record.sha256}")).write_bytes(b"nonsense")
    with pytest.raises(ExceptionGroup, match="demo.*cannot be read"):
        hub.learning.tick(time.time())
    assert prior_count(hub) == 1


def prior_count(hub: Hub) -> int:
    return len(hub.personalise.store.records("demo"))


def test_what_devices_said_is_shown_as_lines_and_as_a_page(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    evidence = hub.learning.evidence("demo")
    assert evidence is not None
    assert "personalising helps: labels right +" in evidence.said
    text, page = evidence_text(as_document(evidence)), to_html(evidence)
    for shown in ("20 devices", "units gained", "log loss"):
        assert shown in text
    assert "units that gained" in page
    assert share_text(evidence.off) in page


def test_before_devices_said_anything_the_page_says_how_many_are_needed(hub: Hub) -> None:
    evidence = hub.learning.evidence("demo")
    assert evidence is not None
    few = "0 of 20 devices have reported their sums"
    assert few in evidence_text(as_document(evidence))
    assert few in to_html(evidence)


def test_a_device_with_sums_of_other_dimensions_keeps_nobody_from_being_heard(hub: Hub) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)
    report = made(hub)
    longer: dict[str, Any] = {
        name: (*getattr(report, name), 0.0) for name in ("shift", "squares", "cross")
    }
    send(hub, vouched(hub, 1)[0], replace(report, **longer))
    assert hub.learning.evidence("demo").voices == LEAST_VOICES  # type: ignore[union-attr]
    hub.learning.tick(time.time())
    assert prior_of(hub).generation == 2


def test_a_prior_that_waits_for_its_plan_is_not_undone_by_what_devices_said_of_the_one_before(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)

    def taken(*arguments: object, **more: object) -> None:
        raise Conflict("demo: the plan changed meanwhile, try again")

    with monkeypatch.context() as patch:
        patch.setattr(hub.plans, "change", taken)
        publish(hub)
        hub.learning.tick(time.time())
    assert prior_of(hub).generation == 2
    hub.personalise.renew("demo", actor="test", reason="a test")
    hub.learning.tick(time.time() + 61)  # of generation 2 nobody has spoken yet
    assert prior_of(hub).generation == 2


def test_a_generation_that_could_not_be_published_is_made_at_the_next_look(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody(hub, LEAST_VOICES, shift=2.0, gain=0.08)

    def taken(*arguments: object, **more: object) -> None:
        raise Conflict("demo: another prior became generation 2 meanwhile; fit again")

    with monkeypatch.context() as patch:
        patch.setattr(hub.personalise, "publish", taken)
        with pytest.raises(ExceptionGroup, match="meanwhile"):
            hub.learning.tick(time.time())
    hub.learning.tick(time.time() + 61)
    assert prior_of(hub).generation == 2
