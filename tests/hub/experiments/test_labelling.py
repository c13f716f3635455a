"""Labels that come late and not at random: what the gate does, and what people are told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.statistics.labels import HEALTHY, WORSE, Case, fate
from cloud_hub.cli.experiment_text import status_text
from cloud_hub.errors import Invalid
from cloud_hub.experiments.documents import (
    read_figures,
    record_document,
    report_document,
    seen_document,
)
from cloud_hub.experiments.report_page import to_html
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.label_table import LabelTableBuilder, hour_of
from cloud_hub.experiments.verdict.labelling import settle
from cloud_hub.experiments.verdict.spec import ExperimentSpec, LabelRules, parse_experiment
from cloud_hub.hub import Hub
from cloud_hub.statistics.label_coverage import HOUR
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.names import CONTROL
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import Device, fleet

DAY = 24 * HOUR
SPEC = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=0, no_data_seconds=30 * DAY
)
NAMES = [case.name for case in WORSE]


@pytest.mark.parametrize("case", WORSE, ids=NAMES)
def test_a_worse_candidate_is_not_promoted_however_it_is_labelled(case: Case) -> None:
    assert "promoted" not in {fate(case, number) for number in range(3)}


@pytest.mark.parametrize("case", [WORSE[0], WORSE[4]], ids=[NAMES[0], NAMES[4]])
def test_labels_counted_as_they_come_would_have_promoted_it(case: Case) -> None:
    assert {fate(case, number, settled=False) for number in range(3)} == {"promoted"}


@pytest.mark.parametrize("case", HEALTHY, ids=[case.name for case in HEALTHY])
def test_a_healthy_candidate_is_not_taken_back_however_it_is_labelled(case: Case) -> None:
    assert "aborted" not in {fate(case, number) for number in range(3)}


def test_a_healthy_candidate_that_is_labelled_alike_is_promoted() -> None:
    assert {fate(HEALTHY[0], number) for number in range(5)} == {"promoted"}


Hour = tuple[tuple[str, str], int, int, int, int]
"""Arm and device, answers, labels, right ones, and the end of the hour."""


def hour(device: str, answers: int, labelled: int, right: int, ended: int = 0) -> Hour:
    return (device.split("-")[0], device), answers, labelled, right, ended


def evidence(rows: list[Hour], now: float, rules: LabelRules = SPEC.labels) -> Evidence:
    builder = LabelTableBuilder()
    for seat, answers, labelled, right, ended in rows:
        came = {"0": labelled, "right": right}
        builder.add(seat, 0, [hour_of(ended, answers=answers, came=came)])
    table = builder.build()
    names = {arm: frozenset(d for a, d in table.seats if a == arm) for arm, _ in table.seats}
    arms = {arm: ArmEvidence(exposed=devices, predictions=10_000) for arm, devices in names.items()}
    settled, settling = settle(rules, arms, table, table, now)
    return Evidence(settled, soaked=now, settling=settling)


def everyone(answers: int, candidate: tuple[int, int], control: tuple[int, int]) -> list[Hour]:
    """Ten devices an arm, each with so many (labels, right ones)."""
    return [
        hour(f"{arm}-{i}", answers, *counts)
        for arm, counts in (("candidate", candidate), (CONTROL, control))
        for i in range(10)
    ]


def test_why_a_promotion_is_held_back_is_one_sentence() -> None:
    rows = everyone(10_000, (6_100, 5_673), (7_100, 6_390))
    decision = judge(SPEC, evidence(rows, 10.0 * DAY), {})
    assert decision.action == "wait"
    assert decision.reason.startswith(
        "no verdict: labelled 61.0% of candidate's answers and 71.0% of control's; "
        "the arms are labelled differently: at worst accuracy changes by -0.1"
    )
    assert "may be -0.04" in decision.reason


def test_a_gap_that_is_not_known_well_enough_is_said_to_be_that() -> None:
    rows = everyone(1_500, (750, 675), (750, 675))
    reason = judge(SPEC, evidence(rows, 10.0 * DAY), {}).reason
    assert "labelling is not shown to be alike" in reason


def test_a_band_that_is_declared_allows_more() -> None:
    rows = everyone(10_000, (6_100, 5_673), (7_100, 6_390))
    wide = replace(SPEC, labels=LabelRules(band=0.3))
    assert judge(wide, evidence(rows, 10.0 * DAY), {}).action == "pass"


def test_where_every_answer_has_a_label_nothing_is_hidden_and_nothing_waited_for() -> None:
    rows = everyone(1_000, (1_000, 900), (1_000, 900))
    decision = judge(SPEC, evidence(rows, 1.0), {})
    assert decision.action == "pass"
    labels = decision.figures.labels
    assert labels is not None
    assert (labels.settles, labels.waiting) == (0.0, 0)
    assert labels.arms[CONTROL].lowest == labels.arms[CONTROL].highest == 0.9


def test_labels_of_windows_that_did_not_settle_do_not_count() -> None:
    rows = everyone(1_000, (700, 630), (700, 630))
    found = evidence(rows, DAY - 1.0)
    assert found.arms["candidate"].outcomes["accuracy"] == {}
    decision = judge(SPEC, found, {})
    assert decision.action == "wait"
    assert "14,000 labels are of windows that count 1 day after their end" in decision.reason


def test_waiting_labels_are_not_silence() -> None:
    rows = everyone(1_000, (700, 630), (700, 630))
    spec = replace(SPEC, no_data_seconds=60)
    assert judge(spec, evidence(rows, DAY - 1.0), {}).action == "wait"


def test_a_clock_that_is_ahead_settles_nothing() -> None:
    arms = ("candidate", CONTROL)
    rows = [hour(f"{arm}-{i}", 1_000, 700, 630, 10**9) for arm in arms for i in range(9)]
    assert judge(SPEC, evidence(rows, 10.0 * DAY), {}).action == "wait"


@pytest.mark.parametrize("counts", [(0, 0), (5, 0), (5, 5)])
def test_few_labels_or_of_one_class_are_no_verdict(counts: tuple[int, int]) -> None:
    rows = everyone(1_000, counts, counts)
    assert judge(SPEC, evidence(rows, 10.0 * DAY), {}).action == "wait"


def test_without_a_control_there_is_no_verdict() -> None:
    rows = [hour(f"candidate-{i}", 1_000, 700, 630) for i in range(9)]
    assert judge(SPEC, evidence(rows, 10.0 * DAY), {}).action == "wait"


def test_more_labels_than_answers_are_all_labelled() -> None:
    rows = everyone(0, (700, 630), (700, 630))
    labels = judge(SPEC, evidence(rows, 10.0 * DAY), {}).figures.labels
    assert labels is not None
    assert labels.arms[CONTROL].answers == labels.arms[CONTROL].labelled == 7_000


def test_figures_of_labels_are_read_back_as_they_were_stored() -> None:
    figures = judge(SPEC, evidence(everyone(100, (70, 63), (70, 63)), 10.0 * DAY), {}).figures
    assert figures.labels is not None
    assert read_figures(json.loads(json.dumps(seen_document(figures)))) == figures


def test_what_is_declared_is_checked() -> None:
    text = "model: m\nstrategy: canary\ncandidate: '1.1'\nlabels: {settle: 36h, band: 0.05}\n"
    assert parse_experiment(text).labels == LabelRules(36.0 * HOUR, 0.05)
    for wrong in ("band: 0", "band: 1", "band: 2"):
        with pytest.raises(Invalid, match="two points"):
            parse_experiment(text.replace("band: 0.05", wrong))


@pytest.fixture
def tried(serving: Hub, tmp_path: Path) -> Hub:
    serving.registry.publish(make_release(tmp_path / "1.1", version="1.1", seed=3), actor="test")
    return serving


def report(device: Device, right: float, labelled: int = 700) -> None:
    """A thousand answers, some of them labelled at once."""
    device.sync()
    window = device.window(time.time())
    digest = device.hub.registry.release("demo", window.version).profile_digest
    good = round(right * labelled)
    device.send(
        WindowReport(window, digest, {"model": 1_000}),
        FeedbackReport(window, labelled, good, labelled, good),
    )


def status(hub: Hub, id_: str, after: float) -> str:
    hub.experiments.tick(time.time() + after)
    return hub.experiments.get(id_).status


def start(hub: Hub, labelled: Callable[[Device], int]) -> str:
    devices = fleet(hub, 40)
    id_ = hub.experiments.run(SPEC, actor="test").id
    for device in devices:
        device.sync()
        report(device, 0.9, labelled(device))
    return id_


def test_a_canary_whose_answers_are_not_all_labelled_is_promoted_once_they_settle(
    tried: Hub,
) -> None:
    id_ = start(tried, lambda d: 700)
    assert status(tried, id_, 60) == "running"
    assert "labels are of windows that count 1 day" in tried.experiments.get(id_).reason
    assert status(tried, id_, DAY + HOUR + 60) == "promoted"


def test_report_page_text_and_json_show_labels_and_their_worst_case(tried: Hub) -> None:
    id_ = start(tried, lambda d: 700 if d.given.arm == CONTROL else 500)
    assert status(tried, id_, DAY + HOUR + 60) == "running"
    assert tried.experiments.get(id_).reason.startswith("no verdict: labelled 50.0% of candidate's")
    built = tried.experiments.report(id_)
    labels = report_document(built)["labels"]
    assert isinstance(labels, dict)
    assert labels["arms"]["candidate"]["lowest"] == pytest.approx(0.45)
    page = to_html(built)
    assert "45.00% to 95.00%" in page
    assert "Labelled: 50.0% of candidate&#39;s answers and 70.0% of control&#39;s" in page
    record = {**record_document(built.experiment), "now": built.now}
    assert "candidate: labelled 50.0% of " in status_text(record)
    assert "of all answers 45.0% to 95.0%" in status_text(record)
