"""A hub that is killed in any step of a run: the run goes on, and nothing is done twice.

What a killed process leaves is what its files hold at that moment. So one run is made, whose folder
is copied at each of the moments; at some a hub is killed for good, and so is its worker. In
PostgreSQL, which has no files to be copied, it is killed at all of them.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from cloud_hub.hub import Hub, open_hub
from cloud_hub.runs.steps.names import STEPS
from cloud_hub.runs.tables import gate_uses
from cloud_hub.settings import Settings
from tests.hub.runs.conftest import Poor, Ready, prepare
from tests.hub.runs.retraining import finish, request
from tests.new_hub import initialise
from tests.waiting import PATIENCE

MOMENTS = {
    "the run is asked for": ("INSERT INTO runs",),
    "its first attempt begins": ("UPDATE runs", "attempts"),
    "it collects": ("INSERT INTO run_steps", "'collect'", "'running'"),
    "it has collected": ("INSERT INTO run_steps", "'collect'", "'done'"),
    "it validates": ("INSERT INTO run_steps", "'validate'", "'running'"),
    "it has validated": ("INSERT INTO run_steps", "'validate'", "'done'"),
    "it is about to train": ("INSERT INTO run_steps", "'train'", "'running'"),
    "its worker has been started": ("UPDATE runs", "isolation"),
    "its worker has ended": ("UPDATE runs", "peak_mb"),
    "what the worker did is noted": ("INSERT INTO run_steps", "'convert'"),
    "the gate is asked": ("INSERT INTO run_steps", "'gate'", "'running'"),
    "the gate has said": ("INSERT INTO run_steps", "'gate'", "'done'"),
    "it rolls out": ("INSERT INTO run_steps", "'rollout'", "'running'"),
    "its version is published": ("INSERT INTO versions",),
    "its canary is started": ("INSERT INTO experiments",),
    "its canary is noted": ("UPDATE runs", "demo-canary-1"),
    "it has rolled out": ("INSERT INTO run_steps", "'rollout'", "'done'"),
}


KILLED = ("the run is asked for", "its worker has been started", "its version is published")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, poor: Poor) -> Path:
    """Folders of a hub by moment, as they are before the statement of that moment."""
    folder = tmp_path_factory.mktemp("copies")
    settings = Settings(folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = prepare(open_hub(settings), poor, "good")

    def copy(_: Any, __: Any, statement: str, values: Any, ___: Any, ____: bool) -> None:
        text = f"{statement} {values}"
        for moment, words in MOMENTS.items():
            if all(word in text for word in words) and not (folder / moment).exists():
                shutil.copytree(settings.data, folder / moment)

    event.listen(hub.engine, "before_cursor_execute", copy)
    request(hub)
    hub.close()
    return folder


@pytest.fixture
def left(database: str | None, copies: Path, ready: Ready) -> Callable[[str], Settings]:
    """A hub that ended at a moment of its run."""

    def make(moment: str) -> Settings:
        if database is None and moment not in KILLED:
            return Settings(copies / moment, tick_seconds=0)
        hub = ready("good")
        hub.close()
        killed = subprocess.run(
            [
                *(sys.executable, "-m", "tests.hub.runs.killed_hub"),
                *(str(hub.settings.data), database or "", *MOMENTS[moment]),
            ],
            timeout=PATIENCE, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        return hub.settings

    return make


@pytest.fixture
def reopened() -> Iterator[list[Hub]]:
    """Hubs that are opened in a test, and closed in the end."""
    hubs: list[Hub] = []
    yield hubs
    for hub in hubs:
        hub.close()


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_goes_on_wherever_its_hub_is_killed(
    left: Callable[[str], Settings], reopened: list[Hub], moment: str
) -> None:
    hub = open_hub(left(moment))
    reopened.append(hub)
    if moment == "the run is asked for":
        assert hub.runs.records("demo") == []
        return
    run = finish(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    assert len(hub.runs.records("demo")) == 1
    steps = hub.runs.steps.of_run(run.id)
    assert [step.step for step in steps] == list(STEPS)
    assert all(step.good for step in steps)
    assert hub.runs.steps.records(run=run.id, status="running") == []
    assert [v.version for v in hub.registry.versions("demo")] == ["1.0", "2.0"]
    assert len(hub.experiments.records("demo")) == 1
    plan = hub.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    assert plan.experiment.id == run.experiment
    assert len(hub.datasets.records("demo", "fresh")) == 1
    with hub.engine.connect() as db:
        asked = db.execute(select(func.count()).select_from(gate_uses)).scalar()
    assert asked == 1
