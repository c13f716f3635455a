"""A hub that is killed in any step of a run: the run goes on, and nothing is done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from cloud_hub.hub import Hub, open_hub
from cloud_hub.runs.steps.names import STEPS
from cloud_hub.runs.tables import gate_uses
from cloud_hub.settings import Settings
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import finish
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
    "its canary is noted": ("UPDATE runs", "experiment-canary"),
    "it has rolled out": ("INSERT INTO run_steps", "'rollout'", "'done'"),
}


@pytest.fixture
def reopened(inner: Hub) -> Iterator[list[Hub]]:
    """Hubs that are opened on the data of ``inner`` afterwards, and closed in the end."""
    hubs: list[Hub] = []
    yield hubs
    for hub in hubs:
        hub.close()


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_goes_on_wherever_its_hub_is_killed(
    ready: Ready, reopened: list[Hub], database: str | None, moment: str
) -> None:
    hub = ready("good")
    folder = hub.settings.data
    hub.close()
    killed = subprocess.run(
        [
            sys.executable, "-m", "tests.hub.runs.killed_hub", str(folder), database or "",
            *(word.replace("experiment-canary", "demo-canary-1") for word in MOMENTS[moment]),
        ],
        timeout=PATIENCE, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    hub = open_hub(Settings(folder, database, tick_seconds=0))
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
