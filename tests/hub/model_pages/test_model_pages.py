"""Every page of a model: with nothing there, with much, and with names from outside."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.hub import Hub
from cloud_hub.monitoring.store import FigureRecord
from cloud_hub.pages.models.card import blocks
from cloud_hub.pages.models.lineage import tree
from cloud_hub.pages.models.monitoring_view import history_chart
from cloud_hub.pages.models.prediction import predicted_end
from cloud_hub.registry.service import VersionRecord
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import fleet
from tests.hub.model_pages.conftest import Reader, words
from tests.hub.telemetry.reporting_fleet import Simulated

PAGES = (
    "", "/experiments", "/monitoring", "/triggers", "/triggers/dry-run", "/runs", "/packs", "/cost",
    "/policy", "/policy/edit",
)  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>'\"&{{191*7919}}"

POLICY = """
cloud: demo
monitoring: {groups: [region]}
triggers:
  - {name: drift, when: {drift: {}}}
train: {entry: "tests.loop:train"}
"""


def test_a_model_without_a_version_has_all_its_pages(inner: Hub, reader: Reader) -> None:
    assert "No model yet" in words(reader.get("/models"))
    inner.registry.ensure_model("empty")
    assert "No version yet" in words(reader.get("/models/empty"))
    for page in PAGES:
        reader.get(f"/models/empty{page}")
    assert "nothing serves yet" in words(reader.get("/models/empty/monitoring"))
    assert "did you mean" in words(reader.get("/models/emty", 404))
    reader.get("/models/empty/rollback", 404)
    reader.get("/models/empty/versions/1.0", 404)


def test_who_is_not_signed_in_is_sent_to_do_so(serving: Hub, reader: Reader) -> None:
    reader.token = ""
    for page in PAGES:
        reader.get(f"/models/demo{page}", 303)
    reader.post("/models/demo/rollback", 303, serial="1", reason="x")
    plan = serving.plans.current("demo")
    assert plan is not None
    assert plan.serial == 1


def test_names_from_outside_are_text_and_nothing_else(
    tried: Hub, reader: Reader, tmp_path: Path
) -> None:
    release = make_release(tmp_path / "hostile", version="2.0", seed=3)
    tried.registry.publish(release, actor=HOSTILE, override=HOSTILE)
    for device in fleet(tried, 8, (HOSTILE, "eu")):
        device.sync()
    tried.plans.promote("demo", "1.1", actor=HOSTILE, reason=HOSTILE)
    id_ = tried.experiments.canary("demo", "2.0", actor=HOSTILE).id
    tried.experiments.pause(id_, actor=HOSTILE, reason=HOSTILE)
    tried.monitoring.raise_alarm("demo", "1.1", f"skew:{HOSTILE}", {HOSTILE: HOSTILE}, time.time())
    deeper = ("/versions/2.0", "/compare?before=1.0&after=2.0", f"/experiments/{id_}")
    for page in (*PAGES, *deeper, f"/experiments/{id_}/stop"):
        text = reader.get(f"/models/demo{page}")
        assert "<img src=x" not in text
        assert "{{191*7919}}" not in text or "1512529" not in words(text)
    assert HOSTILE in words(reader.get("/models/demo"))
    assert HOSTILE in words(reader.get("/models/demo/monitoring"))


def test_a_version_shows_its_certificate_lineage_and_difference(tried: Hub, reader: Reader) -> None:
    page = words(reader.get("/models/demo/versions/1.1"))
    assert "Certificate" in page
    assert "stateless" in page
    page = words(reader.get("/models/demo/compare?before=1.0&after=1.1"))
    assert "status serving published differs" in page
    reader.get("/models/demo/compare?before=1.0&after=9.9", 404)


def test_monitoring_shows_the_worst_first_and_an_alarm_is_acknowledged_once(
    serving: Hub, reader: Reader
) -> None:
    simulated = Simulated(serving)
    for number in range(3):
        simulated.window(number, shift=0.8)
        serving.monitoring.tick(simulated.after(number))
    page = reader.get("/models/demo/monitoring")
    text = words(page)
    assert text.index("Drift of f1") < text.index("Drift of f0")
    assert 'aria-label="f1: reference and now"' in page
    assert 'aria-label="Drift of f1 by window"' in page
    assert "f0: reference and now" in reader.get("/models/demo/monitoring?feature=f0")
    stale = "/models/demo/monitoring/acknowledge"
    reader.post(stale, 409, signal="drift:f1", alarm="0")
    reader.confirm(f"{stale}?signal=drift%3Af1")
    (alarm,) = serving.monitoring.alarms("demo", open_only=False)
    assert alarm.acknowledged_by == "admin"
    reader.get(f"{stale}?signal=drift%3Af1", 404)


def test_a_chart_of_a_signal_has_a_line_a_version_in_order_of_time_and_ends_at_gaps() -> None:
    starts = {"1.1": (60, 120, 180), "1.0": (0, 30, 60, 90, 6_000), "2.0": (240,)}
    records = [
        FigureRecord(i, "demo", version, "drift:f1", "drift", at, at + 30, False, 0.1, {})
        for version, windows in starts.items()
        for i, at in enumerate(windows)
    ]
    lines = re.findall(r'<polyline points="([^"]*)"', history_chart(records))
    assert [len(line.split()) for line in lines] == [4, 1, 3]
    for line in lines:
        times = [float(point.partition(",")[0]) for point in line.split()]
        assert times == sorted(times)
    assert history_chart(records[-1:]) == history_chart([]) == ""


def test_a_rule_is_fired_and_armed_again_and_tried_on_the_past(
    serving: Hub, reader: Reader
) -> None:
    serving.policies.apply("demo", POLICY.split("train:")[0], actor="test")
    assert "drift" in words(reader.get("/models/demo/triggers"))
    assert "would not have fired" in words(reader.get("/models/demo/triggers/dry-run?days=1"))
    reader.confirm("/models/demo/triggers/fire?trigger=drift", reason="new camera")
    assert "new camera" in words(reader.get("/models/demo/triggers"))
    reader.get("/models/demo/triggers/explode?trigger=drift", 404)
    reader.get("/models/demo/runs/new")
    reader.confirm("/models/demo/runs/new", 409, reason="no train in the policy")


def test_a_page_of_a_thousand_devices_stays_small(tried: Hub, reader: Reader) -> None:
    devices = fleet(tried, 1_000, ("eu", "us", "asia"))
    for device in devices[:500]:
        device.sync()
    id_ = tried.experiments.canary("demo", "1.1", actor="test").id
    for page in ("", "/packs", "/monitoring", f"/experiments/{id_}"):
        reader.get(f"/models/demo{page}")
    asked = words(reader.get("/models/demo/promote?version=1.1"))
    assert "1,000 take part" in asked
    assert "none yet (500)" in asked


def version(name: str, parent: str | None = None) -> VersionRecord:
    return VersionRecord(
        "demo", name, "0" * 64, parent, "stateful", {}, 1, "published", None, 0.0, "test", None
    )


def test_versions_stand_below_their_parents_whatever_a_publisher_claims() -> None:
    records = [
        version("1.0"), version("1.1", "1.0"), version("2.0"), version("1.2", "1.1"),
        version("1.3", "1.0"), version("3.0", "9.9"), version("4.0", "4.0"),
    ]  # fmt: skip
    rows = [(row.record.version, row.depth) for row in tree(records)]
    assert rows == [
        ("4.0", 0), ("3.0", 0), ("2.0", 0), ("1.0", 0), ("1.3", 1), ("1.1", 1), ("1.2", 2),
    ]  # fmt: skip


def test_a_card_becomes_headings_lists_tables_and_text() -> None:
    table = "| a | b |\n|---|---|\n| 1 \\| 2 | 3 |"
    text = f"# demo 1.0\n\nFor `digits`.\n\n## Data\n\n{table}\n\n- x\n- y"
    found = [(block.kind, block.rows) for block in blocks(text)]
    assert found == [
        ("heading", (("demo 1.0",),)), ("text", (("For digits.",),)), ("heading", (("Data",),)),
        ("table", (("a", "b"), ("1 | 2", "3"))), ("list", (("x",), ("y",))),
    ]  # fmt: skip


def test_an_end_is_predicted_from_what_is_missing_at_the_present_rate(tried: Hub) -> None:
    fleet(tried, 12)
    spec = ExperimentSpec(
        "demo", "canary", candidate="1.1", steps=(0.5, 0.75, 1.0), soak_seconds=100,
        minimum_outcomes=100,
    )  # fmt: skip
    record = tried.experiments.run(spec, actor="test")
    began = record.step_started_at
    end = predicted_end(record, began + 10)
    assert end is not None
    assert (end.earliest, end.likely) == (began + 200, None)
    assert predicted_end(replace(record, status="paused"), began + 10) is None


@pytest.mark.parametrize("what", ["", "x", "-1", "9" * 30])
def test_a_form_without_the_serial_of_a_plan_is_not_understood(
    tried: Hub, reader: Reader, what: str
) -> None:
    reader.post("/models/demo/rollback", 422, serial=what, reason="x")
