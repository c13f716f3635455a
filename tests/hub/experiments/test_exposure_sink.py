"""What devices report of an experiment is added up as it comes in."""

from __future__ import annotations

import functools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from cloud_hub.experiments.exposure_rows import ExposureRows
from cloud_hub.experiments.exposure_sink import DAY, ExposureAdditions, added
from cloud_hub.experiments.tables import exposures
from cloud_hub.experiments.verdict.spec import (
    ExperimentSpec,
    Guardrails,
    LabelRules,
    LatencyGuard,
)
from cloud_hub.hub import Hub
from edge_sdk.contract.key_buckets import BUCKETS, BucketRequests
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.window import LATENCY_BINS, Window
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import fleet

SPEC = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=0,
    guardrails=Guardrails(latency=LatencyGuard()), labels=LabelRules(settle_seconds=0),
)  # fmt: skip


@pytest.fixture
def trial(serving: Hub, tmp_path: Path) -> tuple[Hub, str]:
    """A hub with a canary that has just begun."""
    serving.registry.publish(make_release(tmp_path / "1.1", version="1.1", seed=3), actor="test")
    return serving, serving.experiments.run(SPEC, actor="test").id


def window(id_: str, start: int, arm: str = "candidate") -> Window:
    return Window("demo", "1.1", start, start + 1, id_, arm)


def take(hub: Hub, device: str, *bodies: WindowReport | FeedbackReport) -> None:
    with hub.engine.begin() as db:
        additions = ExposureAdditions(db)
        for body in bodies:
            additions.add(device, body)
        additions.write()


def rows(hub: Hub) -> list[dict[str, Any]]:
    with hub.engine.connect() as db:
        return [dict(row) for row in db.execute(select(exposures)).mappings()]


def tomorrow() -> int:
    """Early on a day after the step began: what follows within hours is of one day."""
    return (int(time.time()) // DAY + 1) * DAY


def timed(bin_: int, times: int) -> dict[str, tuple[int, ...]]:
    return {"model": tuple(times if i == bin_ else 0 for i in range(LATENCY_BINS))}


def test_windows_of_a_day_are_one_row_with_their_sums(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    start = tomorrow()
    for i in range(20):
        at = window(id_, start + i)
        report = WindowReport(
            at, "0" * 64, {"model": 5}, errors={"model": 1}, latency=timed(30 + i % 2, 5)
        )
        take(hub, "d-1", report, FeedbackReport(at, 4, 3, 4, 3))
    found = {row["kind"]: row for row in rows(hub)}
    assert set(found) == {"window", "feedback"}
    assert (found["window"]["predictions"], found["window"]["errors"]) == (100, 20)
    assert (found["feedback"]["labelled"], found["feedback"]["correct"]) == (80, 60)
    counted = np.array(found["window"]["detail"]["latency"])
    assert counted[30] == counted[31] == 50
    hours = {str(-(-(start + i + 1) // 3_600)) for i in range(20)}
    assert found["window"]["detail"]["answers"].keys() == hours
    assert sum(found["window"]["detail"]["answers"].values()) == 100
    labels = found["feedback"]["detail"]["labels"].values()
    assert [sum(each[name] for each in labels) for name in ("0", "right")] == [80, 60]
    assert counted.sum() == found["window"]["latency_n"] == 100


def test_messages_that_are_stored_together_add_up_as_one_by_one(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    start = tomorrow()
    told = [
        (device, body)
        for i in range(6)
        for device in ("together-a", "together-b")
        for at in [window(id_, start + 1_800 * i, ("candidate", "control")[i % 2])]
        for body in (
            WindowReport(
                at, "0" * 64, {"model": 5 + i}, latency=timed(30 + i, 5),
                buckets=BucketRequests((i, *[0] * (BUCKETS - 1))) if i else None,
            ),
            FeedbackReport(at, 4, 3, 4, 3, groups={"sex": {"f": (2, 1), "m": (2, 2)}},
                           measured=2, error_sum=0.1 * i, error_squares=0.3 / (i + 1)),
        )
    ]  # fmt: skip
    for device, body in told:
        take(hub, device.replace("together", "alone"), body)
    with hub.engine.begin() as db:
        additions = ExposureAdditions(db)
        for device, body in told:
            additions.add(device, body)
        additions.write()
    found = {
        (row.pop("device"), row["arm"], row["kind"], row["start"]): row
        for row in rows(hub)
        if row.pop("received_at")
    }
    together = {key: row for key, row in found.items() if key[0].startswith("together")}
    assert len(together) * 2 == len(found) == 2 * 2 * 2 * 3
    for (device, *key), row in together.items():
        assert found[device.replace("together", "alone"), *key] == row


def test_devices_arms_and_days_have_rows_of_their_own(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    now = tomorrow()
    for device in ("d-1", "d-2"):
        for arm in ("candidate", "control"):
            for start in (now, now + DAY, now + DAY + 1):
                take(hub, device, FeedbackReport(window(id_, start, arm), 1, 1, 1, 1))
    found = rows(hub)
    assert len(found) == 8
    assert sorted(row["labelled"] for row in found) == [1, 1, 1, 1, 2, 2, 2, 2]


def test_a_window_from_before_the_step_does_not_count_for_it(trial: tuple[Hub, str]) -> None:
    """Also where both are of one day."""
    hub, id_ = trial
    units = fleet(hub, 20)
    for each in units:
        each.sync()
    device = next(each for each in units if each.given.arm == "candidate")
    record = hub.experiments.get(id_)
    began = int(record.step_started_at)
    take(hub, device.name, FeedbackReport(window(id_, began - 1), 10, 10, 10, 10))
    take(hub, device.name, FeedbackReport(window(id_, began + 1), 7, 7, 7, 7))
    plan = hub.plans.current("demo")
    assert plan is not None
    loader = hub.experiments.evidence
    evidence = loader.load(loader.snapshot(record, plan, began + 2.0))
    assert evidence.arms["candidate"].outcomes_of("accuracy") == 7
    assert sum(n for _, n in evidence.arms["candidate"].failures["wrong labels"].values()) == 17


def test_answers_of_packs_are_not_those_that_labels_are_counted_for(
    trial: tuple[Hub, str],
) -> None:
    hub, id_ = trial
    at = window(id_, tomorrow())
    take(hub, "d-1", WindowReport(at, "0" * 64, {"model": 5, "cloud": 2, "pack": 9}))
    (row,) = rows(hub)
    assert (row["predictions"], [*row["detail"]["answers"].values()]) == (16, [7])


def test_rows_of_an_older_hub_count_as_of_the_end_of_their_day(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    at = window(id_, tomorrow())
    report = WindowReport(at, "0" * 64, {"model": 5}, latency=timed(30, 5))
    take(hub, "d-1", report, FeedbackReport(at, 4, 3, 4, 3))
    with hub.engine.begin() as db:
        db.execute(update(exposures).values(detail={}))
    found = ExposureRows(hub.engine).labels(id_, time.time()).windows
    assert set(found.ended) == {at.start - at.start % DAY + DAY}
    sums = (found.answers.sum(), found.labelled.sum(), found.correct.sum())
    assert (len(found.ended), sums) == (2, (5, 4, 3))


def test_hours_are_told_apart_while_they_are_new_and_add_up_later(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    day = tomorrow()
    for hour in range(3):
        at = window(id_, day + 3_600 * hour)
        take(hub, "d-1", WindowReport(at, "0" * 64, {"model": 5}), FeedbackReport(at, 4, 3, 4, 3))
    new, old = (
        ExposureRows(hub.engine).labels(id_, day + days * DAY).windows for days in (1.5, 2.5)
    )
    assert (len(new.ended), len(old.ended)) == (6, 2)
    assert set(old.ended) == {new.ended.max()}
    for windows in (new, old):
        sums = (windows.answers.sum(), windows.labelled.sum(), windows.correct.sum())
        assert sums == (15, 12, 9)


def test_messages_that_belong_to_no_experiment_are_not_kept_here(trial: tuple[Hub, str]) -> None:
    hub, _ = trial
    take(hub, "d-1", FeedbackReport(Window("demo", "1.0", 0, 1), 1, 1, 1, 1))
    assert rows(hub) == []


DETAILS = st.fixed_dictionaries(
    {"count": st.integers(0, 99), "bins": st.lists(st.integers(0, 9), min_size=3, max_size=3)},
    optional={"skipped": st.dictionaries(st.sampled_from("abc"), st.integers(0, 9))},
)


@given(st.lists(DETAILS, min_size=2, max_size=5))
def test_details_add_up_name_by_name(details: list[dict[str, Any]]) -> None:
    total = functools.reduce(added, details)
    assert total["count"] == sum(detail["count"] for detail in details)
    assert total["bins"] == np.sum([detail["bins"] for detail in details], axis=0).tolist()
    skipped: Counter[str] = Counter()
    for detail in details:
        skipped.update(detail.get("skipped", {}))
    assert Counter(total.get("skipped", {})) == skipped


def test_errors_of_numbers_and_labels_of_groups_add_up(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    start = tomorrow()
    for i in range(2):
        report = FeedbackReport(
            window(id_, start + 60 * i), 2, 1, 2, 1, groups={"sex": {"f": (2, 1)}},
            measured=2, error_sum=1.5, error_squares=1.25, error_fourths=1.0625,
        )  # fmt: skip
        take(hub, "d", report)
    (row,) = rows(hub)
    assert (row["measured"], row["error_sum"], row["error_fourths"]) == (4, 3.0, 2.125)
    found = ExposureRows(hub.engine)
    (sums,) = found.sums(id_, 0)
    assert (sums.sums.measured, sums.sums.error_squares) == (4, 2.5)
    (groups,) = found.groups(id_, 0)
    assert (groups.device, groups.arm, groups.groups) == ("d", "candidate", {"sex": {"f": [4, 2]}})


def test_latency_of_several_days_adds_up_by_arm_and_device(trial: tuple[Hub, str]) -> None:
    hub, id_ = trial
    for day in range(2):
        at = window(id_, tomorrow() + DAY * day)
        take(hub, "d-1", WindowReport(at, "0" * 64, {"model": 5}, latency=timed(30 + day, 5)))
    take(hub, "d-2", WindowReport(at, "0" * 64, {"model": 3}, latency=timed(9, 3)))
    found = ExposureRows(hub.engine).latency(id_, 0)
    (by_device,) = found.values()
    counts = {d: {i: n for i, n in enumerate(row) if n} for d, row in by_device.items()}
    assert counts == {"d-1": {30: 5, 31: 5}, "d-2": {9: 3}}
    assert ExposureRows(hub.engine).latency(id_, at.start + DAY) == {}
