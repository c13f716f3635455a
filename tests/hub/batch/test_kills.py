"""SIGKILL at random moments: what was done stays, nothing is there twice, nothing by halves."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.batch import task as files
from cloud_hub.batch.layout import Layout, Value
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.errors import HubFault, NotFound
from cloud_hub.policy.schema import BatchJob, BatchSource
from edge_sdk.contract.codec import encode
from tests.conftest import Publish
from tests.edge.builders import make_release, rows, softmax
from tests.hub.batch.shop import user_database, users
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

KILLS = 8
COUNT = 60_000


def start(task: BatchTask) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_hub.batch.worker"], stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(encode(task))
    return process


@pytest.mark.parametrize("output", ["sql", "parquet"])
@pytest.mark.parametrize("source", ["parquet", "query"])
def test_a_worker_that_is_killed_again_and_again_ends_as_if_it_never_was(
    tmp_path: Path, output: str, source: str
) -> None:
    if source == "parquet":
        read = BatchSource(parquet=str(users(tmp_path / "users.parquet", COUNT)))
        url = None
    else:
        url = user_database(tmp_path / "shop.db", COUNT)
        read = BatchSource(query="SELECT * FROM users", url=url)
    job = BatchJob(read, entity="user", output=output, partition_rows=4_000)  # type: ignore[arg-type]
    work = tmp_path / "data" / "batch" / "1"
    work.mkdir(parents=True)
    release = make_release(tmp_path / "made")
    task = BatchTask(
        1, "demo", "users", job, 0.0, "demo 1.0", str(release.folder),
        str(tmp_path / "data"), str(work), source=url,
    )  # fmt: skip
    store = open_store(job.output, tmp_path / "data", None)
    layout = Layout((
        Value("prediction", "int64", ("prediction",)),
        Value("probabilities", "float32", tuple(f"probability_{i}" for i in range(3)), many=True),
    ))  # fmt: skip
    rng, before = random.Random(f"{output} {source}"), {}
    for _ in range(KILLS):
        process = start(task)
        pause = time.monotonic() + rng.uniform(0.5, 2.5)
        while process.poll() is None and time.monotonic() < pause:
            time.sleep(0.01)
        process.kill()
        process.wait(PATIENCE)
        if source == "query" and url is not None:  # the killed one has read a state of its own
            with sqlite3.connect(tmp_path / "shop.db") as db:
                db.execute("UPDATE users SET at = at + 1")
            db.close()
        now = dict(store.done(task.place))
        assert before.items() <= now.items(), "a part that was whole is lost"
        before = now
        if files.load(work, BatchOutcome) is None:
            with pytest.raises((NotFound, HubFault)):
                list(store.read(task.place, layout, ["entity"], 100_000))
    process = start(task)
    assert process.wait(PATIENCE) == 0
    outcome = files.load(work, BatchOutcome)
    assert outcome is not None
    assert (outcome.status, outcome.rows) == ("whole", COUNT), outcome.reason
    names: list[str] = []
    scores = []
    for batch in store.read(task.place, layout, layout.columns, 50_000):
        names += batch.column(0).to_pylist()
        scores.append(np.stack([batch.column(i).to_numpy() for i in (2, 3, 4)], axis=1))
    assert sorted(names) == sorted(f"user-{i}" for i in range(COUNT))
    place = np.array([int(name.partition("-")[2]) for name in names])
    np.testing.assert_allclose(np.concatenate(scores), softmax(rows(COUNT), 0)[place], atol=1e-5)


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
        assert answer["generation"] == (second["id"] if whole else first["id"])
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
