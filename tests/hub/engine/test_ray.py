"""A real Ray cluster of two nodes: what it computes is what is computed here, to the byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.batch.worker import outcome_of
from cloud_hub.engine.engine import IsolatedLimits, SpreadTask
from cloud_hub.engine.ray_engine import RayEngine
from cloud_hub.engine import ray_engine
from cloud_hub.errors import HubFault
from cloud_hub.freshness.analysis import FreshnessQuestion, freshness
from cloud_hub.freshness.spreading import spread_losses
from cloud_hub.policy.schema import BatchJob, BatchSource
from cloud_hub.settings import EngineSettings
from tests.edge.builders import make_release
from tests.hub.batch.shop import users
from tests.hub.freshness.test_freshness import DAY, drifting, train
from tests.ray_cluster import RayNodes, two_nodes
from tests.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ECHO = "cloud_hub.engine.probe:echo"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    pytest.importorskip("ray", reason="needs Ray: pip install ray")
    with two_nodes() as nodes:
        yield nodes


def test_results_come_in_the_order_of_the_items(cluster: RayNodes) -> None:
    items = [str(i).encode() for i in range(12)]
    engine = RayEngine(cluster.address)
    assert engine.problem() == ""
    assert list(engine.spread(SpreadTask(ECHO, b"no "), items)) == [b"no " + i for i in items]


def test_what_a_task_says_is_raised_here(cluster: RayNodes) -> None:
    with pytest.raises(HubFault, match="expected a function of cloud_hub, got os:getcwd"):
        list(RayEngine(cluster.address).spread(SpreadTask("os:getcwd", b""), [b""]))


def test_a_node_with_other_versions_is_named(
    cluster: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "code_versions", lambda: {"numpy": "0.1"})
    with pytest.raises(HubFault, match=r"expected the versions of the hub, got numpy .* 0\.1"):
        list(RayEngine(cluster.address).spread(SpreadTask(ECHO, b""), [b""]))


def test_code_of_users_runs_in_an_isolated_process_with_its_limits(cluster: RayNodes) -> None:
    engine = RayEngine(cluster.address)
    isolated = IsolatedLimits(seconds=300, memory_mb=4_000)
    assert list(engine.spread(SpreadTask(ECHO, b"a", isolated), [b"b"])) == [b"ab"]
    with pytest.raises(HubFault, match="used .* MB of memory, the policy allows 1 MB"):
        list(engine.spread(SpreadTask(ECHO, b"a", IsolatedLimits(300, 1)), [b"b"]))


def test_cancelled_work_ends(cluster: RayNodes) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b""

    spread = RayEngine(cluster.address).spread(SpreadTask(ECHO, b""), endless())
    results = iter(spread)
    next(results)
    threading.Timer(0.0, spread.cancel).start()
    with pytest.raises(HubFault, match="cancelled"):
        for _ in results:
            pass


@pytest.mark.parametrize("output", ["parquet", "sql"])
def test_a_batch_job_is_the_same_to_the_byte_though_a_node_is_killed_in_the_middle(
    cluster: RayNodes, tmp_path: Path, output: str
) -> None:
    path = users(tmp_path / "users.parquet", 20_000)
    here = computed(tmp_path / "here", path, output, EngineSettings())
    killer = threading.Thread(target=lambda: (progressed(tmp_path), cluster.kill_second()))
    killer.start()
    there = computed(tmp_path / "ray", path, output, EngineSettings("ray", cluster.address))
    killer.join()
    cluster.add()
    assert there == here


def progressed(folder: Path) -> None:
    wait_for(lambda: list((folder / "ray").rglob("part-*.parquet"))
             or list((folder / "ray").rglob("predictions-*.db")), "the first part")  # fmt: skip


def computed(
    folder: Path, source: Path, output: str, engine: EngineSettings
) -> list[tuple[str, object]]:
    """Compute a generation; return its files, or the rows of its database."""
    job = BatchJob(
        BatchSource(parquet=str(source)), entity="user", output=output, partition_rows=1_000,  # type: ignore[arg-type]
        attributes=("region",),
    )  # fmt: skip
    work = folder / "batch" / "1"
    work.mkdir(parents=True)
    release = make_release(folder / "made")
    task = BatchTask(
        1, "demo", "users", job, 0.0, "demo 1.0", str(release.folder), str(folder), str(work),
        engine=engine,
    )  # fmt: skip
    outcome = outcome_of(task)
    assert isinstance(outcome, BatchOutcome)
    assert (outcome.status, outcome.rows, outcome.parts) == ("whole", 20_000, 20), outcome.reason
    if output == "parquet":
        files = sorted(folder.rglob("part-*.parquet"))
        return [(path.name, path.read_bytes()) for path in files]
    import sqlite3

    with sqlite3.connect(folder / "predictions/demo/users/predictions-1.db") as db:
        rows = [("rows", row) for row in db.execute("SELECT rowid, * FROM rows")]
    db.close()
    return rows


def test_freshness_is_the_same_as_in_this_process(cluster: RayNodes) -> None:
    history, question = drifting(0.5, days=60, a_day=40), FreshnessQuestion((15 * DAY, 5 * DAY))
    entry = "tests.hub.freshness.test_freshness:train"
    known = spread_losses(
        RayEngine(cluster.address), entry, str(Path(__file__).parents[3]), history, question
    )
    here = freshness(train, history, question)
    assert freshness(train, history, question, known=(known, {})).as_json() == here.as_json()
    assert np.isfinite(here.schedules["never"].mean)
