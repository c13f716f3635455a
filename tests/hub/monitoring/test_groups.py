"""Groups of rows, from devices to alarms: a model that gets worse for some of the rows alone."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from cloud_hub.cli.monitoring import status_text
from cloud_hub.database.documents import as_document
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.hub import Hub
from cloud_hub.monitoring.groups import comparable
from cloud_hub.policy.schema import parse_policy
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.statistics.fairness import selection
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.groups import GroupSums
from converters import convert
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.groups import GroupColumn, GroupCounts
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    Message,
    Upload,
    UploadReply,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.contract.window import Window
from edge_sdk.model.prediction import BatchPrediction
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.contract.examples import histogram_text
from tests.hub.enrolled import long_ago
from tests.simulated_device import enrolled

WINDOW, ROWS, DEVICES = 60, 500, 4
BEGIN = 1_700_000_040  # a whole minute
WOMEN = np.arange(ROWS) % 20 == 0
SEX = np.where(WOMEN, "f", "m")
POLICY = """
reporting: {window: 60s}
monitoring: {acceptable_disparity: 0.05}
triggers:
  - name: all
    when: {performance: {below: 0.9, minimum: 300, lookback: 9999d, false_alarm_every: 30d}}
  - name: women
    when:
      performance:
        {below: 0.9, minimum: 300, lookback: 9999d, by: sex, false_alarm_every: 30d}
  - {name: fair, when: {drift: {kinds: [fairness]}}}
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A classifier of two classes; a twentieth of its check rows is labelled otherwise."""
    random = np.random.default_rng(0)
    X = random.standard_normal((3_000, 4)).astype(np.float32)
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    check = random.standard_normal((2_000, 4)).astype(np.float32)
    y = model.predict(check)
    y[::20] = ~y[::20]
    sex = np.where(np.arange(2_000) // 20 % 4 == 1, "f", "m")
    return convert(
        model, pd.DataFrame(check).assign(sex=sex), y, name="demo", variants=["float32"],
        groups=["sex"], out=tmp_path_factory.mktemp("made") / "r",
    )  # fmt: skip


@dataclass
class Fleet:
    """Real devices without a network: what they report is handed to the hub."""

    hub: Hub
    release: Release
    now: float = BEGIN

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(1)
        self._sequence = itertools.count(1)
        token = self.hub.fleet.new_token("demo", uses=DEVICES, seconds=60, actor="test")
        terms = ServingTerms(reporting=Reporting(WINDOW, 100, 0))
        self.devices = {
            enrolled(self.hub, token): Predictor(
                self.release, terms, tag=f"t{i}", clock=lambda: self.now
            )
            for i in range(DEVICES)
        }
        long_ago(self.hub)

    def send(self, device: str, *bodies: Body) -> UploadReply:
        messages = [
            Message("b1", next(self._sequence), kind_of(b), to_plain(b))  # type: ignore[arg-type]
            for b in bodies
        ]
        return self.hub.telemetry.ingest(EnrolledDevice(device, ("demo",)), Upload(tuple(messages)))

    def window(
        self,
        number: int,
        *,
        wrong: dict[str, float] = {},  # noqa: B006
        change: Callable[[NDArray[Any]], None] = lambda x: None,
    ) -> list[str]:
        """Every device answers its rows, hears of all labels, and reports; the alarms raised.

        A share of 5% (of a group: ``wrong``) of labels differ; ``change`` is made to the rows.
        """
        self.now = BEGIN + number * WINDOW
        for name, device in self.devices.items():
            x = self.random.standard_normal((ROWS, 4)).astype(np.float32)
            change(x)
            for part in (slice(0, ROWS // 2), slice(ROWS // 2, ROWS)):  # few enough to count all
                batch = device.predict_batch(x[part], {"sex": SEX[part]})
                self._label(device, batch, [wrong.get(sex, 0.05) for sex in SEX[part]])
            self.now += WINDOW
            reply = self.send(name, *device.monitor.collect(self.now))
            assert not reply.rejected, reply.rejected
            self.now -= WINDOW
        at = BEGIN + (number + 1) * WINDOW + 151.0
        return [alarm.signal for alarm in self.hub.monitoring.tick(at)]

    def _label(self, device: Predictor, batch: BatchPrediction, wrong: list[float]) -> None:
        assert batch.labels is not None
        flipped = (self.random.random(len(batch)) < wrong).tolist()
        for name, label, other in zip(batch.ids, batch.labels.tolist(), flipped, strict=True):
            device.feedback(name.rpartition("-")[2], label=label != other)


@pytest.fixture
def fleet(inner: Hub, release: Release) -> Fleet:
    inner.registry.publish(release, actor="test")
    inner.policies.apply("demo", POLICY, actor="test")
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    return Fleet(inner, release)


def signal(hub: Hub, name: str) -> dict[str, Any]:
    found = {row.signal: as_document(row) for row in hub.monitoring.status("demo").signals}
    return found[name]


def rules(fleet: Fleet) -> dict[str, tuple[str, dict[str, Any]]]:
    # A minute after it began to serve: how fast this machine is decides nothing.
    rows = fleet.hub.triggers.status("demo", time.time() + 60)
    return {row.trigger: (row.outcome, as_document(row.evidence)) for row in rows}


def test_a_model_that_gets_worse_for_one_group_alone_is_found_by_its_group(fleet: Fleet) -> None:
    before = [found for number in range(8) for found in fleet.window(number)]
    assert before == []
    raised = [s for number in range(8, 13) for s in fleet.window(number, wrong={"f": 0.3})]
    assert sorted(raised) == ["concept:sex=f", "fairness:sex"]
    overall, women = signal(fleet.hub, "concept:errors"), signal(fleet.hub, "concept:sex=f")
    assert not overall["alarming"]
    assert overall["figures"]["errors"] / overall["figures"]["labelled"] < 0.075
    assert women["figures"]["evidence"] > 100 * overall["figures"]["evidence"]
    assert women["figures"]["base_rate"] < 0.08
    fair = signal(fleet.hub, "fairness:sex")
    assert (fair["figures"]["best"], fair["figures"]["worst"]) == ("m", "f")
    outcomes = rules(fleet)
    assert outcomes["all"][0] == "quiet"
    assert outcomes["women"][0] == "fired"
    assert outcomes["women"][1]["groups"][0]["group"] == "f"
    worst = outcomes["women"][1]["groups"][0]
    assert worst["evidence_seconds"] >= worst["fires_at_seconds"] >= 2 * 30 * 86_400
    assert outcomes["fair"][0] == "fired"
    said = status_text(as_document(fleet.hub.monitoring.status("demo")))
    assert re.search(r"concept:sex=other ", said)  # of the first windows
    assert not re.search(r"\n +other +n=", said)  # who they were, nobody knows
    assert re.search(r"! concept:sex=f +labelled=\d+ errors=\d+", said)
    assert re.search(r"\n +m +n=\d+ rate=0\.9\d+ low=", said)


def test_an_answered_alarm_of_a_group_may_come_again_unless_it_is_normal(fleet: Fleet) -> None:
    for number in range(7):
        fleet.window(number, wrong={"f": 0.4})
    hub = fleet.hub
    hub.monitoring.acknowledge("demo", "concept:sex=f", actor="anna")
    assert "concept:sex=f" in fleet.window(7, wrong={"f": 0.4})
    hub.monitoring.acknowledge("demo", "concept:sex=f", actor="anna", rebase=True)
    assert "concept:sex=f" not in fleet.window(8, wrong={"f": 0.4})
    with pytest.raises(Conflict, match="only drift and concept have a reference"):
        hub.monitoring.acknowledge("demo", "fairness:sex", actor="anna", rebase=True)
    with pytest.raises(NotFound, match="no signal 'concept:sex=x'"):
        hub.monitoring.acknowledge("demo", "concept:sex=x", actor="anna")


def test_answers_that_move_in_one_group_are_held_against_its_own_reference(fleet: Fleet) -> None:
    def sure(x: NDArray[Any]) -> None:
        x[WOMEN, 0] = np.sign(x[WOMEN, 0]) * 2.5

    assert [s for number in range(8) for s in fleet.window(number)] == []
    raised = [s for number in range(8, 16) for s in fleet.window(number, change=sure)]
    assert raised == ["drift:sex=f:confidence"]
    (row,) = fleet.hub.monitoring.alarms("demo")
    assert row.evidence["n"] == 4 * DEVICES * int(WOMEN.sum())
    assert row.evidence["moved"]["mean_after"] > row.evidence["moved"]["mean_before"] + 0.03


def test_a_group_that_is_selected_less_is_shown_and_alarms_where_that_was_declared(
    fleet: Fleet,
) -> None:
    def fewer(x: NDArray[Any]) -> None:
        x[WOMEN, 0] -= 1.0

    assert "selection:sex" not in [s for n in range(4) for s in fleet.window(n, change=fewer)]
    figures = signal(fleet.hub, "selection:sex")["figures"]
    assert (figures["answer"], figures["most"], figures["least"]) == ("1", "m", "f")
    assert figures["low"] > 0.15
    declared = POLICY.replace("{acceptable_dis", "{acceptable_selection: 0.15, acceptable_dis")
    fleet.hub.policies.apply("demo", declared, actor="test")
    assert "selection:sex" in [s for n in range(4, 8) for s in fleet.window(n, change=fewer)]


def test_selection_of_many_classes_is_about_the_answer_that_differs_most() -> None:
    answers = {"f": {"a": 500, "b": 300, "c": 200}, "m": {"a": 500, "c": 500}, "x": {"b": 9}}
    found = selection(answers, ["a", "b", "c"], acceptable=0.2)
    assert found is not None
    assert found[0] in "bc"
    assert found[1].alarming
    assert [group.n for group in found[1].groups] == [1_000, 1_000, 9]
    assert selection({}, [], acceptable=0.1) is None


def hundred(release: Release) -> GroupCounts:
    """A hundred predictions, all in the first bins."""
    sizes = [output.bins + 2 for output in release.profile().outputs]
    return GroupCounts(100, histogram_text(*((100, *[0] * (size - 1)) for size in sizes)))


def test_other_is_compared_only_where_it_is_a_group_of_its_own() -> None:
    found = {"sex": {"f": 1, "other": 2}, "age": {"..30": 3, "other": 4, "missing": 5}}
    sex = GroupColumn("sex", values=("f", "other"))
    assert comparable(found, [sex, GroupColumn("age", edges=(30.0,))]) == {
        "sex": {"f": 1, "other": 2},
        "age": {"..30": 3, "missing": 5},
    }


# sentence: (column, group, whether its histograms are cut short, why it is refused)
REFUSED = {
    "a column that the release does not declare": ("age", "f", False, "'age' is declared by no"),
    "a group that the column does not have": ("sex", "x", False, "sex has no group 'x'"),
    "histograms of another layout": ("sex", "f", True, "histograms: expected [4, "),
}


@pytest.mark.parametrize(("column", "group", "cut", "why"), REFUSED.values(), ids=REFUSED)
def test_reports_of_groups_that_cannot_be_are_refused(
    fleet: Fleet, column: str, group: str, cut: bool, why: str
) -> None:
    where = Window("demo", "1.0", BEGIN, BEGIN + WINDOW)
    counts = GroupCounts(100, histogram_text((100, 0))) if cut else hundred(fleet.release)
    digest = fleet.release.profile_digest
    device = next(iter(fleet.devices))
    report = WindowReport(where, digest, {}, groups={column: {group: counts}})
    (rejection,) = fleet.send(device, report).rejected
    assert why in rejection.reason
    labels = FeedbackReport(where, 1, 1, 1, 1, groups={"age": {"f": (1, 1)}})
    (rejection,) = fleet.send(device, labels).rejected
    assert "'age' is declared by no release, ['sex'] are" in rejection.reason


def test_a_report_that_comes_again_counts_its_groups_once(fleet: Fleet) -> None:
    where = Window("demo", "1.0", BEGIN, BEGIN + WINDOW)
    digest = fleet.release.profile_digest
    bodies: list[Body] = [
        WindowReport(where, digest, {}, groups={"sex": {"f": hundred(fleet.release)}}),
        FeedbackReport(where, 9, 7, 9, 7, groups={"sex": {"f": (9, 7)}}),
    ]
    upload = Upload(
        tuple(Message("b9", i, kind_of(b), to_plain(b)) for i, b in enumerate(bodies, 1))
    )
    device = next(iter(fleet.devices))
    for accepted in (2, 0):
        assert (
            fleet.hub.telemetry.ingest(EnrolledDevice(device, ("demo",)), upload).accepted
            == accepted
        )
    sums = GroupSums(fleet.hub.engine)
    assert sums.windows("demo", "1.0") == [("sex", "f", BEGIN, 100, 9, 7)]
    assert sums.answers("demo", "1.0") == {"sex": {"f": {"0": 100}}}


def test_sums_of_groups_are_kept_by_the_hour_and_forgotten_in_the_end(fleet: Fleet) -> None:
    for number in range(5):
        fleet.window(number)
    sums = GroupSums(fleet.hub.engine)
    whole = sums.labels("demo", "1.0", until=1e12)
    days = Retention(report_days=1, sum_days=3)
    retention.clean(fleet.hub.engine, "demo", BEGIN + 2 * 86_400, days)
    rows = sums.windows("demo", "1.0")
    assert {row.start % 3_600 for row in rows} == {0}
    assert sums.labels("demo", "1.0", until=1e12) == whole
    assert sum(row.observations for row in rows) == 4 * DEVICES * ROWS  # the fifth waits
    retention.clean(fleet.hub.engine, "demo", BEGIN + 5 * 86_400, days)
    assert sums.windows("demo", "1.0") == []


def test_groups_of_devices_may_fire_a_trigger_too(fleet: Fleet) -> None:
    token = fleet.hub.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    device = enrolled(fleet.hub, token, attributes={"region": "eu"})
    long_ago(fleet.hub)
    for begin in range(BEGIN, BEGIN + 60 * WINDOW, WINDOW):
        window = Window("demo", "1.0", begin, begin + WINDOW)
        fleet.send(device, FeedbackReport(window, 20, 10, 20, 10))
    text = POLICY.replace("by: sex", "by: region")
    fleet.hub.policies.apply("demo", text, actor="test")
    outcome, evidence = rules(fleet)["women"]
    assert (outcome, evidence["groups"][0]["group"]) == ("fired", "eu")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("monitoring: {acceptable_selection: 1.5}", "acceptable_selection: expected 0 to 1"),
        (POLICY.replace("by: sex", "by: ''"), "by: expected a column or an attribute"),
    ],
)
def test_a_policy_of_groups_that_means_nothing_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse_policy(text)
