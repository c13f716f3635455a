"""Using experiments: commands, HTTP, Python, the planner and the report."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.cli.main import main
from cloud_hub.errors import HubFault
from cloud_hub.experiments.planner import Rates, correlation_of, plan
from cloud_hub.experiments.report_page import to_html
from cloud_hub.experiments.verdict.spec import ExperimentSpec, StageSpec
from cloud_hub.hub import Hub
from cloud_hub.web.charts import EventMark, Line, chart
from edge_sdk.contract.plan import Cohort, Outcome
from tests.conftest import Publish
from tests.hub.enrolled import long_ago
from tests.hub.experiments.fleets import fleet
from tests.hub.experiments.test_experiments import ABN, CANARY, everybody, status, tried
from tests.servers import HubProcess

__all__ = ["tried"]  # a fixture

DECLARED = """
model: {model}
strategy: canary
candidate: '1.1'
steps: [0.2, 1.0]
soak: 1h
outcomes: [{{name: accuracy, metric: accuracy, minimum_effect: 0.02}}]
"""


def edge_hub(hub: HubProcess, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main([*words, "--data", str(hub.data)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_the_commands_from_plan_to_report(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("lively")
    publish("lively", "1.1", promote=False)
    file = tmp_path / "experiment.yaml"
    file.write_text(DECLARED.format(model="lively"))
    code, out = edge_hub(hub, capsys, "experiments", "plan", str(file))
    assert (code, "nothing to plan from" in out) == (0, True), out
    code, out = edge_hub(hub, capsys, "experiments", "start", str(file))
    assert (code, "lively-canary-1: running; canary of 1.1 against 1.0" in out) == (0, True), out
    id_ = "lively-canary-1"
    for action, state in (("pause", "paused"), ("resume", "running")):
        code, out = edge_hub(hub, capsys, "experiments", action, id_, "--reason", "a look")
        assert (code, f"{id_}: {state}" in out) == (0, True), out
    code, out = edge_hub(hub, capsys, "experiments", "status", id_)
    assert (code, out.startswith(f"{id_}: running")) == (0, True)
    assert "against 1.0, 20% of everybody;" in out
    code, out = edge_hub(hub, capsys, "experiments", "start", str(file))
    assert (code, f"{id_} runs; end it first" in out) == (1, True)
    code, out = edge_hub(hub, capsys, "experiments", "stop", id_, "--reason", "enough")
    assert (code, f"{id_}: stopped" in out) == (0, True)
    code, out = edge_hub(hub, capsys, "experiments", "report", id_, "--json")
    events = [event["event"] for event in json.loads(out)["timeline"]]
    assert events == ["started", "paused", "resumed", "stopped"]
    page = tmp_path / "report.html"
    code, out = edge_hub(hub, capsys, "experiments", "report", id_, "--html", str(page))
    assert (code, "<h1>lively-canary-1</h1>" in page.read_text()) == (0, True), out
    code, out = edge_hub(hub, capsys, "experiments", "list", "lively", "--json")
    assert json.loads(out)[0]["spec"]["soak_seconds"] == 3_600


def test_commands_that_cannot_be_done_say_why(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: x\nstrategy: canary\ncandidate: '1.1'\nsteps: [0.5, 0.1]\n")
    refusals = {
        ("start", str(bad)): "bad.yaml:4: steps: expected shares that rise",
        ("plan", str(tmp_path / "none.yaml")): "No such file",
        ("status", "nobody"): "experiment nobody: not found",
        ("pause", "nobody"): "experiment nobody: not found",
        ("report", "nobody"): "experiment nobody: not found",
    }
    for words, reason in refusals.items():
        code, out = edge_hub(hub, capsys, "experiments", *words)
        assert (code, reason in out) == (1, True), out


def test_the_python_client_takes_a_text_too(hub: HubProcess, publish: Publish) -> None:
    publish("texty")
    publish("texty", "1.1", promote=False)
    client = hub.admin.experiments
    started = client.start(DECLARED.format(model="texty"))
    assert client.of_model("texty")[0]["id"] == started["id"]
    assert client.promote(started["id"], "looks good")["status"] == "promoted"
    assert hub.admin.get("models/texty/plan")["serving"]["version"] == "1.1"
    with pytest.raises(HubFault, match=r"1\.1: serves already"):
        client.start(DECLARED.format(model="texty"))


def test_a_declaration_for_another_model_than_the_path_says_is_refused(
    hub: HubProcess, publish: Publish
) -> None:
    publish("pathy")
    text = DECLARED.format(model="other").encode()
    with pytest.raises(HubFault, match="expected pathy, got other"):
        hub.admin.post("models/pathy/experiments", text)


def rates(per_device: float, correlation: float, devices: int = 500) -> Rates:
    """A week of labels, nine of ten right on average."""
    random = np.random.default_rng(0)
    own = np.full(devices, 0.9)
    if correlation:
        spread = (1 - correlation) / correlation
        own = random.beta(0.9 * spread, 0.1 * spread, devices)
    n = random.poisson(per_device * 7, devices)
    right = random.binomial(n, own)
    rows = {
        f"d{i}": (float(a), float(b), float(b))
        for i, (a, b) in enumerate(zip(n, right, strict=True))
    }
    return Rates({"accuracy": rows}, 7 * 86_400.0, devices)


SHADOW = ExperimentSpec(
    "m", "shadow", candidate="1.1", outcomes=(Outcome("a", "accuracy", "up", 0.02),)
)


def test_the_plan_says_how_long_from_the_fleets_own_rates() -> None:
    (calm,) = plan(SHADOW, rates(10, 0.0))
    (busy,) = plan(SHADOW, rates(100, 0.0))
    assert calm.days[0] is not None
    assert busy.days[0] is not None
    assert calm.days[0] == pytest.approx(10 * busy.days[0], rel=0.3)
    sequential, planned = calm.needs
    assert planned.independent < sequential.independent
    assert calm.days[1] < calm.days[0]  # type: ignore[operator]


def test_alike_devices_are_seen_and_may_never_be_enough() -> None:
    (alike,) = plan(SHADOW, rates(100, 0.2))
    assert alike.correlation == pytest.approx(0.2, abs=0.05)
    assert alike.days == (None, None)
    (apart,) = plan(SHADOW, rates(100, 0.0))
    assert apart.correlation < 0.005


def test_what_nobody_reports_cannot_be_planned() -> None:
    (found,) = plan(SHADOW, Rates({}, 0.0, 10))
    assert (found.needs, "no device reported accuracy" in found.note) == ((), True)
    vague = replace(SHADOW, outcomes=(Outcome("a", "accuracy"),))
    assert "declare a minimum_effect" in plan(vague, rates(10, 0.0))[0].note


MIXED = ExperimentSpec("m", "interleave", candidate="1.1", share=0.5, minimum_effect=0.05)


def clicked(**more: float) -> Rates:
    """A week in which each of 50 devices had 700 rankings, of which 70 were clicked on."""
    rows = dict.fromkeys((f"d{i}" for i in range(50)), (700.0, 70.0, 70.0))
    return Rates({"reward": rows}, 7 * 86_400.0, 50, **more)


def test_interleaving_is_planned_by_sessions_won() -> None:
    (best,) = plan(MIXED, clicked())
    (need,) = best.needs
    assert 1_000 < need.n < 2_000
    assert best.days[0] == pytest.approx(need.n / (50 * 10 * 0.5))
    assert "at best" in best.note
    (known,) = plan(MIXED, clicked(decided=0.25))
    assert known.days[0] == pytest.approx(4 * best.days[0])
    assert known.note == ""
    (finer,) = plan(replace(MIXED, minimum_effect=0.025), clicked())
    assert finer.needs[0].n == pytest.approx(4 * need.n, rel=0.3)


def test_interleaving_that_says_too_little_cannot_be_planned() -> None:
    (vague,) = plan(replace(MIXED, minimum_effect=0.0), clicked())
    assert (vague.needs, "declare a minimum_effect" in vague.note) == ((), True)
    (unknown,) = plan(MIXED, Rates({}, 0.0, 50))
    assert (unknown.needs[0].n > 1_000, unknown.days) == (True, (None,))
    assert "nobody clicked on a ranking" in unknown.note


def test_interleaving_on_five_devices_is_never_done() -> None:
    (few,) = plan(MIXED, replace(clicked(), devices=5))
    assert few.days == (None,)
    assert "6 are the fewest that can show anything" in few.note


def test_the_hub_plans_interleaving_from_clicks_and_from_earlier_sessions(
    tried: Hub,
) -> None:
    devices = fleet(tried, 10)
    long_ago(tried)
    for device in devices:
        device.sync()
        device.rewarded(time.time() - 43_200, 50, 20)
    spec = replace(MIXED, model="demo", share=1.0)
    (row,) = tried.experiments.preparation.plan(spec, time.time()).outcomes
    assert row.a_device_a_day == pytest.approx(40, rel=0.01)
    assert "at best" in row.note
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
        device.rankings(time.time(), wins=1, losses=2)  # and two ties
    tried.experiments.stop(id_, actor="test", reason="enough")
    found = tried.experiments.preparation.plan(spec, time.time())
    (row,) = found.outcomes
    assert row.a_device_a_day == pytest.approx(40 * 0.6, rel=0.01)
    assert "100.0% of them with the candidate beside what serves" in found.summary


@pytest.mark.parametrize(
    "rows", [{}, {"a": (1.0, 1.0, 1.0)}, {"a": (3.0, 3.0, 3.0), "b": (3.0, 3.0, 3.0)}]
)
def test_the_correlation_of_next_to_nothing_is_none(
    rows: dict[str, tuple[float, float, float]],
) -> None:
    assert correlation_of(rows) == 0.0


def test_the_hub_plans_from_what_devices_reported(tried: Hub) -> None:
    devices = fleet(tried, 10)
    long_ago(tried)
    tried.plans.promote("demo", "1.2", actor="test", reason="so that it serves")
    for device in devices:
        device.sync()
        device.report(time.time() - 86_400, 500, 0.9)
    found = tried.experiments.preparation.plan(CANARY, time.time())
    (row,) = found.outcomes
    assert row.mean == pytest.approx(0.9)
    assert row.a_device_a_day == pytest.approx(500, rel=0.01)
    assert row.days[0] > 0
    assert tried.experiments.records() == []


def test_the_report_shows_every_cohort_and_where_it_was_stopped(tried: Hub) -> None:
    devices = fleet(tried, 60, ("eu", "us", "asia"))
    stages = (
        StageSpec(Cohort("region", ("eu",))),
        StageSpec(Cohort("region", ("us",))),
        StageSpec(),
    )
    id_ = tried.experiments.run(replace(CANARY, steps=(0.5, 1.0), stages=stages), actor="test").id
    poor = ("1.1", "us")
    for _ in range(3):
        everybody(
            devices,
            lambda d: 0.4 if (d.given.release.version, d.attributes["region"]) == poor else 0.95,
        )
        status(tried, id_)
    report = tried.experiments.report(id_)
    events = [(e.event, e.step) for e in report.timeline]
    assert events == [
        ("started", "50% of region=eu"),
        ("passed", "50% of region=eu"),
        ("aborted", "50% of region=us"),
    ]
    accuracy = {(c.cohort, c.arm): c.accuracy for c in report.cohorts}
    assert accuracy["region=us", "candidate"] == pytest.approx(0.4)
    assert ("everybody", "candidate") not in accuracy
    (wrong,) = [g for g in report.guardrails if g.name == "wrong labels"]
    assert wrong.points[-1].e_value > 100 > 10 > wrong.points[0].e_value
    page = to_html(report)
    assert page.count("<svg") == 3
    assert "src=" not in page
    assert "region=us" in page


def test_a_report_says_what_was_declared_and_how_far_it_is(tried: Hub) -> None:
    stages = (StageSpec(Cohort("region", ("eu",))), StageSpec())
    fleet(tried, 20)
    id_ = tried.experiments.run(replace(CANARY, stages=stages), actor="test").id
    report = tried.experiments.report(id_)
    states = [(place.stage, [s.state for s in place.steps]) for place in report.path]
    assert states == [("region=eu", ["now", "to come"]), ("everybody", ["to come", "to come"])]
    assert report.rules[0] == "Judged by accuracy (accuracy): more is better, 0.02 matters."
    assert "The hub promotes what wins." in report.rules
    tried.experiments.stop(id_, actor="test", reason="enough")
    page = to_html(tried.experiments.report(id_))
    assert "30% stopped" in page
    assert "As declared" in page


def test_a_page_names_a_dropped_arm_with_its_evidence(tried: Hub) -> None:
    devices = fleet(tried, 40)
    id_ = tried.experiments.run(ABN, actor="test").id
    everybody(devices, lambda d: 0.8, n=60)
    status(tried, id_)
    for device in [d for d in devices if d.given.arm == "one"]:
        device.fails()
    status(tried, id_)
    report = tried.experiments.report(id_)
    page = to_html(report)
    assert "ab of demo 1.1 (one) and 1.2 (two) against 1.0" in page
    assert 'accuracy of one <span class="bad">(dropped)</span>' in page
    assert "by hub: one failed on " in page
    assert [(arm.arm, arm.state) for arm in report.arms] == [
        ("one", "dropped"), ("two", "runs"),
    ]  # fmt: skip


def test_a_page_of_what_runs_beside_shows_what_there_is_and_nothing_else(tried: Hub) -> None:
    devices = fleet(tried, 10)
    spec = ExperimentSpec(
        "demo", "interleave", candidate="1.1", soak_seconds=0, minimum_effect=0.05
    )
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
        device.rankings(time.time(), wins=6, losses=5)
    tried.experiments.tick(time.time() + 60)
    page = to_html(tried.experiments.report(id_))
    assert page.count("<svg") == 2  # the share of sessions won, and how many there were
    assert "55.0% matters" in page
    assert "Did the arms get" not in page
    assert "Sessions in the step" in page


def test_names_in_a_report_are_escaped(tried: Hub) -> None:
    id_ = tried.experiments.run(CANARY, actor="test").id
    tried.experiments.stop(id_, actor="test", reason="<script>alert(1)</script>")
    page = to_html(tried.experiments.report(id_))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_chart_is_whole_whatever_it_is_given() -> None:
    assert chart([]) == ""
    flat = chart([Line("x", [(0.0, 1.0), (1.0, 1.0)])], marks=[EventMark(0.5, "here")])
    assert flat.startswith("<svg")
    assert flat.endswith("</svg>")
    points = re.search(r'polyline points="([^"]+)"', flat)
    assert points is not None
    assert all(0 <= float(v) <= 720 for pair in points[1].split() for v in pair.split(","))


def test_a_band_that_says_nothing_for_most_of_the_time_does_not_flatten_the_rest() -> None:
    widths = [1.0] * 6 + [0.03] * 4
    points = [(60.0 * i, 0.0) for i in range(10)]
    band = [(t, -w, w) for (t, _), w in zip(points, widths, strict=True)]
    drawn = chart([Line("gain", points, band)])
    ticks = [float(text) for text in re.findall(r'class="end">(-?[0-9.e-]+)</text>', drawn)]
    assert 0 < max(ticks) <= 0.05


def test_the_times_below_a_chart_are_in_one_unit() -> None:
    drawn = chart([Line("x", [(0.0, 1.0), (240.0, 1.0)])])
    assert re.findall(r">([0-9.]+ [a-z]+)</text>", drawn) == [f"{i}.0 min" for i in range(5)]
