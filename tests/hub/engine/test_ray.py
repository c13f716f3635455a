"""A real Ray cluster of two nodes: what it computes is what is computed here, to the byte."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.batch.worker import outcome_of
from cloud_hub.certificates import answers
from cloud_hub.database.documents import as_document
from cloud_hub.engine import ray_engine
from cloud_hub.engine.engine import IsolatedLimits, SpreadTask
from cloud_hub.engine.local import LocalEngine
from cloud_hub.engine.ray_engine import RayEngine
from cloud_hub.errors import HubFault
from cloud_hub.freshness import spreading
from cloud_hub.freshness.analysis import FreshnessQuestion, freshness
from cloud_hub.freshness.spreading import spread_losses
from cloud_hub.hub import Hub, open_hub
from cloud_hub.policy.schema import BatchJob, BatchSource
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.settings import EngineSettings
from cloud_hub.simulate.repeat import repeat
from edge_sdk.model.release import Feed
from tests.edge.builders import make_release
from tests.hub.batch.shop import computed as run_job
from tests.hub.batch.shop import declare, job, users
from tests.hub.freshness.test_freshness import DAY, drifting, train
from tests.hub.runs.conftest import Ready, poor, ready  # noqa: F401, the fixtures
from tests.hub.runs.retraining import request
from tests.hub.simulate.scenarios import canary, fleet
from tests.ray_cluster import RayNodes, two_nodes
from tests.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SOON = "triggers: [{name: soon, when: {every: 10m}, cooldown: 1s, not_before: 0s}]"
ECHO = "cloud_hub.engine.probe:echo"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    if importlib.util.find_spec("ray") is None:  # not imported: it reads its settings then
        pytest.skip("needs Ray: pip install 'edge-deployment-sdk[ray]'")
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


def test_a_batch_job_in_sql_has_the_same_rows_in_the_same_order(
    cluster: RayNodes, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet", 20_000)
    here = computed(tmp_path / "here", path, "sql", EngineSettings())
    assert computed(tmp_path / "ray", path, "sql", ray_of(cluster)) == here


def test_a_pack_that_nodes_build_is_the_same_to_the_byte(
    cluster: RayNodes, serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet", 2_000)
    declare(serving, job(f"{{parquet: {path}}}", "entities: region, attributes: [region]"))
    assert run_job(serving).status == "whole"
    serving.entity_packs.tick(time.time())
    here = serving.entity_packs.index("demo")
    assert here is not None
    assert set(here.shares) == {"eu", "us"}
    serving.repository.publish_entities("demo", b"")
    serving.entity_packs.build_with(RayEngine(cluster.address))
    serving.entity_packs.tick(time.time())
    assert serving.entity_packs.status("demo").refused == ""
    assert serving.entity_packs.index("demo") == here


def ray_of(cluster: RayNodes) -> EngineSettings:
    return EngineSettings("ray", cluster.address)


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


def test_freshness_is_the_same_as_in_this_process(
    cluster: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "TASKS", 2)
    history, question = drifting(0.5, days=60, a_day=40), FreshnessQuestion((15 * DAY, 5 * DAY))
    entry = "tests.hub.freshness.test_freshness:train"
    known = spread_losses(
        RayEngine(cluster.address), entry, str(Path(__file__).parents[3]), history, question
    )
    here = freshness(train, history, question)
    assert freshness(train, history, question, known=(known, {})).as_json() == here.as_json()
    assert np.isfinite(here.schedules["never"].mean)


def test_simulations_under_many_seeds_are_the_same(cluster: RayNodes) -> None:
    scenario, policy = fleet(), parse_policy("model: fleet\n")
    here = repeat("", scenario, policy, canary(), seed=3, times=3)
    engine = RayEngine(cluster.address)
    assert repeat("", scenario, policy, canary(), seed=3, times=3, engine=engine) == here


def test_a_replay_of_triggers_on_a_node_finds_the_same_firings(
    cluster: RayNodes, serving: Hub
) -> None:
    serving.registry.set_policy("demo", SOON, "test")
    now = time.time()
    span = {"since": now - 60, "until": now + 3_600}
    here = serving.triggers.dry_run("demo", **span)
    serving.triggers.compute_with(RayEngine(cluster.address))
    assert as_document(serving.triggers.dry_run("demo", **span)) == as_document(here)
    assert here.rules[0].firings


def test_a_certificate_on_more_rows_is_the_same_to_the_byte(
    cluster: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SHARE_ROWS", 256)
    release = make_release(tmp_path / "made")
    rows = np.random.default_rng(0).normal(size=(1_000, 4)).astype(np.float32)
    feed = {release.manifest.signature.inputs[0].name: rows}
    here = answers.variant_answers(LocalEngine(), release, feed)
    there = answers.variant_answers(RayEngine(cluster.address), release, feed)
    assert as_bytes(there) == as_bytes(here)


def as_bytes(found: dict[str, Feed]) -> dict[tuple[str, str], bytes]:
    return {(v, name): a.tobytes() for v, own in found.items() for name, a in own.items()}


def test_a_run_trains_on_a_node_and_its_release_is_taken_here(
    cluster: RayNodes,
    ready: Ready,  # noqa: F811
    inner: Hub,
) -> None:
    code = Path(__file__).parents[1] / "runs"  # what travels
    ready(how="entry: trainers:good", path=code)
    inner.close()
    hub = open_hub(replace(inner.settings, engine=ray_of(cluster)))
    try:
        run = request(hub)
        assert (run.status, run.version) == ("experiment", "2.0"), run.reason
        assert "no secret readable" in run.isolation
        assert run.peak_mb > 0
    finally:
        hub.close()


def test_a_node_that_is_killed_in_the_middle_changes_no_byte(
    cluster: RayNodes, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet", 20_000)
    here = computed(tmp_path / "here", path, "parquet", EngineSettings())

    def kill() -> None:
        wait_for(lambda: list((tmp_path / "ray").rglob("part-*.parquet")), "the first part")
        cluster.kill_second()

    killer = threading.Thread(target=kill)
    killer.start()
    there = computed(tmp_path / "ray", path, "parquet", ray_of(cluster))
    killer.join()
    assert there == here
