"""The hub is killed at every write of every decision on an experiment, and opened again.

Either all of a decision was made or nothing of it; what devices see is what the hub knows; and the
hub goes on from there. A kill is an exception that nothing catches, raised in place of the write.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from cloud_hub.experiments.verdict.spec import (
    ArmSpec,
    ExperimentSpec,
    Guardrails,
    LatencyGuard,
    StageSpec,
)
from cloud_hub.hub import Hub, open_hub
from cloud_hub.registry import metadata_folder
from cloud_hub.settings import Settings
from edge_sdk.contract.plan import Cohort, Outcome
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import Device, fleet
from tests.new_hub import initialise

CANARY = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=0, minimum_outcomes=50,
    stages=(StageSpec(Cohort("region", ("eu",)), (0.5, 0.9, 1.0)), StageSpec()),
    guardrails=Guardrails(0.001, latency=LatencyGuard(0.9, 3.0)), no_data_seconds=4_000.0,
)  # fmt: skip
SHORT = replace(CANARY, stages=(), steps=(0.5, 1.0))
ABN = ExperimentSpec(
    "demo", "ab", arms=(ArmSpec("one", "1.1", 0.3), ArmSpec("two", "1.2", 0.3)),
    soak_seconds=0, outcomes=(Outcome("accuracy", "accuracy"),),
)  # fmt: skip


class Killed(BaseException):
    """The process would be gone here."""


@contextmanager
def killed(hub: Hub, at: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that ``hub`` writes is counted: the write number ``at`` does not take place."""
    numbers = itertools.count()

    def write() -> None:
        if next(numbers) == at:
            raise Killed

    def statement(_1: Any, _2: Any, sql: str, *_: Any) -> None:
        if not sql.lstrip().startswith(("SELECT", "PRAGMA")):
            write()

    def write_file(path: Path, data: bytes) -> None:
        write()
        keep(path, data)

    keep = metadata_folder.write_atomic
    event.listen(hub.engine, "before_cursor_execute", statement)
    event.listen(hub.engine, "commit", lambda _: write())
    with monkeypatch.context() as patch:
        patch.setattr(metadata_folder, "write_atomic", write_file)
        yield


def begun(spec: ExperimentSpec) -> Callable[[Hub], None]:
    def make(hub: Hub) -> None:
        devices = fleet(hub, 24)
        hub.experiments.run(spec, actor="test")
        for device in devices:
            device.sync()
        hub.experiments.tick(time.time())

    return make


def reported(spec: ExperimentSpec, right: dict[str, float]) -> Callable[[Hub], None]:
    """It runs, and everybody reported; the next look decides."""

    def make(hub: Hub) -> None:
        devices = fleet(hub, 24)
        hub.experiments.run(spec, actor="test")
        for device in devices:
            device.sync()
            device.report(time.time(), 1_000, right[device.given.arm])

    return make


def failing(spec: ExperimentSpec, arm: str) -> Callable[[Hub], None]:
    def make(hub: Hub) -> None:
        devices = fleet(hub, 24)
        hub.experiments.run(spec, actor="test")
        for device in devices:
            device.sync()
        for device in [d for d in devices if d.given.arm == arm]:
            device.fails()

    return make


def paused(hub: Hub) -> None:
    begun(CANARY)(hub)
    hub.experiments.pause("demo-canary-1", actor="test", reason="a look")


def first(devices: list[Device], arm: str) -> Device:
    return next(d for d in devices if d.given.arm == arm)


def by_hand(act: str, spec: ExperimentSpec = CANARY, **more: str) -> Callable[[Hub], None]:
    id_ = f"demo-{spec.strategy}-1"
    return lambda hub: getattr(hub.experiments, act)(id_, actor="ann", reason="by hand", **more)


def tick(hub: Hub) -> None:
    hub.experiments.tick(time.time())


GOOD, BAD = {"control": 0.9, "candidate": 0.97}, {"control": 0.9, "candidate": 0.4}
DECISIONS: dict[str, tuple[Callable[[Hub], object], Callable[[Hub], object], str]] = {
    "it starts": (
        lambda hub: fleet(hub, 24), lambda hub: hub.experiments.run(CANARY, actor="test"), "running"
    ),
    "a step passes": (reported(CANARY, GOOD), tick, "running"),
    "the last step passes and it is promoted": (reported(SHORT, GOOD), tick, "promoted"),
    "the last step passes and a person is asked": (
        reported(replace(SHORT, approval=True), GOOD), tick, "waiting",
    ),
    "a guardrail takes it back": (reported(CANARY, BAD), tick, "aborted"),
    "a guardrail pauses it": (
        failing(replace(CANARY, guardrails=Guardrails(then="pause")), "candidate"), tick, "paused",
    ),
    "an arm is dropped": (failing(ABN, "one"), tick, "running"),
    "a person drops an arm": (begun(ABN), by_hand("drop", ABN, arm="two"), "running"),
    "a person pauses it": (begun(CANARY), by_hand("pause"), "paused"),
    "a person resumes it": (paused, by_hand("resume"), "running"),
    "a person stops it": (begun(CANARY), by_hand("stop"), "stopped"),
}  # fmt: skip


def known(hub: Hub) -> tuple[Any, ...]:
    """All that a decision changes, without times."""
    plan = hub.plans.current("demo")
    records = [
        (r.status, r.stage, r.step, r.dropped.keys(), r.spec) for r in hub.experiments.records()
    ]
    told = [
        (look.event, look.reason)
        for record in hub.experiments.records()
        for look in hub.experiments.store.history(record.id)
        if look.event != "look"
    ]
    audited = [entry.action for entry in hub.audit.entries("demo")]
    versions = [(v.version, v.status) for v in hub.registry.versions("demo")]
    return plan, records, told, audited, versions


def agrees(hub: Hub) -> None:
    """Plan, record and what devices see are of one mind."""
    plan = hub.plans.current("demo")
    assert plan is not None
    assert hub.repository.has_plan(plan)
    for record in hub.experiments.records():
        trial = plan.experiment
        assert record.open == (trial is not None)
        if trial is not None:
            assert (record.id, record.status == "paused") == (trial.id, trial.paused)
            assert {arm.name for arm in record.running} == {arm.name for arm in trial.arms}
            stage = record.spec.path[record.stage]
            assert record.strategy == "ab" or trial.cohort == stage.cohort


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a hub that serves 1.0 and knows 1.1 and 1.2."""
    folder = tmp_path_factory.mktemp("prepared")
    settings = Settings(folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    for seed, version in enumerate(("1.0", "1.1", "1.2")):
        release = make_release(folder / version, version=version, seed=seed)
        hub.registry.publish(release, actor="test")
    hub.plans.promote("demo", "1.0", actor="test", reason="first")
    hub.close()
    return settings.data


def copy(data: Path, to: Path) -> Settings:
    shutil.copytree(data, to)
    return Settings(to, tick_seconds=0)


@pytest.mark.parametrize("case", DECISIONS)
def test_a_kill_at_any_write_leaves_all_of_a_decision_or_nothing(
    case: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, decide, ends_as = DECISIONS[case]
    ready = copy(prepared, tmp_path / "ready")
    hub = open_hub(ready)
    before(hub)
    was = known(hub)
    hub.close()
    undone, found = 0, []
    for at in itertools.count():
        hub = open_hub(copy(ready.data, tmp_path / f"{at}"))
        through = False
        try:
            with killed(hub, at, monkeypatch):
                decide(hub)
                through = True
        except Killed:
            pass
        hub.engine.dispose()

        again = open_hub(hub.settings)
        agrees(again)
        if known(again) == was:
            undone += 1
            decide(again)
            agrees(again)
        found.append(known(again))
        (record,) = again.experiments.records()
        assert record.status == ends_as
        again.close()
        if through:
            break
    assert undone >= 3  # statements of one transaction, and its commit
    assert len(found) > undone
    assert all(after == found[-1] for after in found)
