"""A hub over HTTP whose processes are killed, and a disk that is full.

Kills of workers, and of hubs by the dozen, are in tests/campaigns/batch_kills.py.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloud_hub.batch import task as files
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.policy.schema import BatchJob, BatchSource
from edge_sdk.contract.codec import encode
from tests.conftest import Publish
from tests.edge.builders import make_release
from tests.hub.batch.shop import users
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

COUNT = 60_000


def test_a_hub_and_its_worker_that_are_killed_go_on_and_the_answers_stay(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("demo")
    path = users(tmp_path / "users.parquet", COUNT)
    text = f"batch: {{users: {{source: {{parquet: {path}}}, entity: user, partition_rows: 4000}}}}"
    hub.admin.put("models/demo/policy", text.encode())
    first = hub.admin.post("models/demo/batch/users/generations")
    wait_for(lambda: show(hub, first["id"])["status"] == "whole", "the first generation")
    expected = hub.admin.get("models/demo/predictions/user-7")
    assert expected["generation"] == first["id"]
    second = hub.admin.post("models/demo/batch/users/generations")
    rng = random.Random(7)
    for _ in range(3):
        time.sleep(rng.uniform(0.2, 1.5))
        killed_worker(hub)
        hub.kill()
        hub.start()
        answer = hub.admin.get("models/demo/predictions/user-7")
        assert answer["probabilities"] == expected["probabilities"]
        whole = show(hub, second["id"])["status"] == "whole"
        # It may have become whole just after the answer: of the first there is one either way.
        assert answer["generation"] == first["id"] or (answer["generation"], whole) == (
            second["id"], True,
        )  # fmt: skip
    wait_for(lambda: show(hub, second["id"])["status"] == "whole", "the second generation")
    record = show(hub, second["id"])
    assert (record["rows"], record["done"]) == (COUNT, record["partitions"])
    wait_for(
        lambda: hub.admin.get("models/demo/predictions/user-7")["generation"] == second["id"],
        "the newest to answer",
    )
    link = hub.data / "predictions" / "demo" / "users" / "predictions.db"
    with sqlite3.connect(link) as db:
        counted = db.execute("SELECT count(*), count(DISTINCT entity) FROM predictions").fetchone()
    db.close()
    assert counted == (COUNT, COUNT)


@pytest.mark.parametrize("output", ["sql", "parquet"])
def test_a_disk_that_takes_no_more_is_a_reason_in_words(tmp_path: Path, output: str) -> None:
    path = users(tmp_path / "users.parquet", COUNT)
    job = BatchJob(BatchSource(parquet=str(path)), entity="user", output=output)  # type: ignore[arg-type]
    work = tmp_path / "data" / "batch" / "1"
    work.mkdir(parents=True)
    release = make_release(tmp_path / "made").folder
    task = BatchTask(
        1, "demo", "users", job, 0.0, "demo 1.0", str(release), str(tmp_path / "data"), str(work)
    )
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
    code += "from cloud_hub.batch.worker import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code], input=encode(task), check=True, timeout=PATIENCE)
    outcome = files.load(work, BatchOutcome)
    assert outcome is not None
    assert outcome.status == "failed"
    assert "predictions cannot be written" in outcome.reason
    store = open_store(job.output, tmp_path / "data", None)
    assert store.done(task.place) == {}


def show(hub: HubProcess, id_: int) -> dict[str, object]:
    record: dict[str, object] = hub.admin.get(f"generations/{id_}")
    return record


def killed_worker(hub: HubProcess) -> None:
    """Kill the workers of this hub, and no others."""
    found = subprocess.run(
        ["pgrep", "-P", str(hub.pid)], capture_output=True, text=True, check=False
    )
    for pid in found.stdout.split():
        subprocess.run(["kill", "-9", pid], check=False)
