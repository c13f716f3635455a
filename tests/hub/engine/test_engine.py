"""Engines without a cluster: this machine, and Ray that nobody started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cloud_hub.engine.engine import SpreadTask
from cloud_hub.engine.folders import packed_folder, unpack_folder
from cloud_hub.engine.local import LocalEngine
from cloud_hub.engine.opening import engine_of
from cloud_hub.engine.ray_engine import RayEngine
from cloud_hub.engine.versions import code_versions, version_problem
from cloud_hub.errors import EngineUnavailable, HubFault, Invalid
from cloud_hub.freshness.analysis import FreshnessQuestion, freshness
from cloud_hub.freshness.spreading import spread_losses
from cloud_hub.hub import Hub, open_hub
from cloud_hub.settings import EngineSettings, Settings
from tests.hub.batch.shop import declare, job, settled, users
from tests.hub.freshness.test_freshness import DAY, drifting, train
from tests.waiting import wait_for

ECHO = SpreadTask("cloud_hub.engine.probe:echo", b"x")
NOWHERE = "127.0.0.1:9"
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("engine", [LocalEngine(), LocalEngine(3), LocalEngine(2, processes=True)])
def test_results_come_in_the_order_of_the_items(engine: LocalEngine) -> None:
    items = [str(i).encode() for i in range(10)]
    assert list(engine.spread(ECHO, items)) == [b"x" + item for item in items]
    assert engine.problem() == ""


def test_only_functions_of_the_hub_are_computed() -> None:
    with pytest.raises(Invalid, match="expected a function of cloud_hub, got os:getcwd"):
        list(LocalEngine().spread(SpreadTask("os:getcwd", b""), [b""]))


def test_cancelled_work_ends_before_the_next_item() -> None:
    spread = LocalEngine().spread(ECHO, [b"1", b"2"])
    results = iter(spread)
    next(results)
    spread.cancel()
    with pytest.raises(HubFault, match="cancelled"):
        next(results)


def test_a_cluster_that_is_not_there_is_one_sentence() -> None:
    engine = RayEngine(NOWHERE)
    with pytest.raises(EngineUnavailable, match=f"Ray at {NOWHERE} cannot be reached: "):
        list(engine.spread(ECHO, [b""]))
    assert "heavy work waits. Start it with ray start --head" in engine.problem()


def test_ray_without_an_address_is_refused() -> None:
    with pytest.raises(Invalid, match="expected the address of a cluster"):
        engine_of(EngineSettings("ray"))


def test_versions_that_differ_are_named() -> None:
    own = code_versions()
    assert version_problem(own, own, "a") == ""
    said = version_problem(own, {**own, "numpy": "0.1", "cloud_hub": "none"}, "node-7")
    assert said.startswith("Ray node node-7: expected the versions of the hub, got ")
    assert f"numpy 0.1 instead of {own['numpy']}" in said


def test_a_folder_travels_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "file").write_bytes(b"1")
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    (tmp_path / "b").mkdir()
    raw = packed_folder(tmp_path / "a")
    assert raw == packed_folder(tmp_path / "a")
    unpack_folder(raw, tmp_path / "b")
    assert sorted(p.name for p in (tmp_path / "b").rglob("*")) == ["deep", "file"]
    with pytest.raises(HubFault, match="cannot be unpacked"):
        unpack_folder(b"no archive" * 100, tmp_path / "b")


@pytest.mark.slow
def test_trainings_in_processes_come_to_the_same() -> None:
    history, question = drifting(0.5, days=60, a_day=20), FreshnessQuestion((15 * DAY, 5 * DAY))
    entry, engine = "tests.hub.freshness.test_freshness:train", LocalEngine(2, processes=True)
    known = spread_losses(engine, entry, str(ROOT), history, question)
    here = freshness(train, history, question)
    assert freshness(train, history, question, known=(known, {})).as_json() == here.as_json()


@pytest.mark.slow
def test_a_job_waits_for_a_cluster_and_says_so_and_the_hub_goes_on(
    serving: Hub, tmp_path: Path
) -> None:
    settings = serving.settings
    serving.close()
    away = open_hub(
        Settings(settings.data, settings.database, engine=EngineSettings("ray", NOWHERE))
    )
    try:
        declare(away, job(f"{{parquet: {users(tmp_path / 'users.parquet')}}}"))
        id_ = away.batches.run("demo", "users", actor="test").id

        def waits() -> bool:
            away.batches.tick(time.time())
            return "cannot be reached" in away.batches.get(id_).reason

        wait_for(waits, "the job to say what it waits for")
        assert away.batches.get(id_).status == "running"
        assert "cannot be reached" in away.heavy.problem()
        [told] = [check for check in away.readiness.checks() if check.name == "engine"]
        assert told.state == "warn"
        assert "heavy work waits" in told.says
    finally:
        away.close()
    back = open_hub(settings)  # and goes on, where it was, with another engine
    try:
        assert settled(back, id_).status == "whole"
    finally:
        back.close()
