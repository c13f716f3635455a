"""Foreign code beside the hub's keys: what trainings, states and models of others can get at.

Everything here is mounted against a real hub folder with real keys, by code that really runs.
"""

from __future__ import annotations

import operator
import os
import pickle
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import skops.io

from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub
from cloud_hub.runs import pipeline
from cloud_hub.runs.store import RunCause, RunRecord
from cloud_hub.settings import WorkerSettings
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import finish, let_read, request, unchanged
from tests.waiting import wait_for

THIEF = """
import sys
sys.path.insert(0, {repository!r})
from tests.hub.runs.thief import steal
from tests.hub.runs.trainers import good

def loot():
    steal({hub!r}, {pid}, {port})

class Loot:
    def __reduce__(self):
        return (loot, ())

def train(context):
    loot()
    return good(context)
"""


@pytest.fixture
def listener() -> Iterator[int]:
    """Stands for the hub's port; this hub serves nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def code(inner: Hub, tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the module ``burglary``, which knows where the hub is."""
    monkeypatch.setenv("HUB_SECRET", "of the hub's environment")
    folder = tmp_path / "code"
    folder.mkdir()
    known = {"hub": str(inner.settings.data), "pid": os.getpid(), "port": listener}
    repository = str(Path(__file__).parents[3])
    (folder / "burglary.py").write_text(THIEF.format(repository=repository, **known))
    let_read(folder)
    return folder


def loot(hub: Hub, run: RunRecord) -> list[str]:
    """What the thief got, who must have been there."""
    lines = hub.runs.log(run.id).splitlines()
    assert "the thief was here" in lines, lines
    return [line for line in lines if line.startswith("GOT")]


@pytest.mark.usefixtures("cold_workers")
def test_a_training_that_steals_gets_nothing_of_the_hub(ready: Ready, code: Path) -> None:
    hub = ready(how="entry: burglary:train", path=code)
    run = request(hub)
    assert loot(hub, run) == []
    assert run.status == "experiment", run.reason  # it trained as well, with what it has
    for words in ("user ", "no secret readable", "at most 4096 MB for 3600 s"):
        assert words in run.isolation
    assert not list(hub.settings.data.rglob("pwned*"))


@pytest.mark.usefixtures("cold_workers")
def test_a_stolen_state_is_unpickled_where_there_are_no_keys(
    ready: Ready, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may publish may leave a pickle as the state from which the next training goes on."""
    hub = ready("stateful", "stateful")
    monkeypatch.syspath_prepend(code)
    monkeypatch.setenv("PYTHONPATH", f"{code}:{os.environ.get('PYTHONPATH', '')}")
    import burglary  # type: ignore[import-not-found]

    digest = hub.blobs.put(pickle.dumps(burglary.Loot()))
    from sqlalchemy import update

    from cloud_hub.registry.tables import versions

    with hub.engine.begin() as db:
        db.execute(update(versions).values(training_state=digest))
    run = request(hub)
    assert run.status == "failed"
    assert loot(hub, run) == []
    unchanged(hub)


def evil_skops(command: str) -> bytes:
    """A skops file that runs a command when it is loaded: ``operator.call(getoutput, command)``."""
    import io
    import json
    import zipfile

    def schema(value: Any) -> Any:
        with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as archive:
            return json.loads(archive.read("schema.json"))

    whole = schema(operator.methodcaller("x", "y"))
    whole["__class__"] = "call"
    whole["attrs"] = schema((subprocess.getoutput, command))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(whole))
    return buffer.getvalue()


@pytest.fixture
def webhook() -> Iterator[str]:
    """A pipeline's address that takes every job."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def piped(hub: Hub, left: dict[str, bytes]) -> RunRecord:
    """A run whose pipeline leaves these files."""
    run = hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    if hub.runs.get(run.id).status != "training":
        return hub.runs.get(run.id)
    folder = hub.runs.folder(run.id)
    for kind, raw in left.items():
        pipeline.leave(folder, kind, raw)
    pipeline.finish(folder, "")
    return finish(hub)


def test_a_skops_file_that_runs_code_is_refused_with_its_types(
    ready: Ready, webhook: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    hub = ready(how=f"webhook: '{webhook}'", extra="reach: 'http://127.0.0.1:9'")
    run = piped(hub, {"skops": evil_skops(f"cp {hub.settings.data}/admin.token {mark}")})
    assert run.status == "failed"
    assert "holds types that skops does not know" in run.reason
    assert not mark.exists()
    unchanged(hub)


def test_a_skops_file_that_the_operator_trusts_still_reads_no_key(
    ready: Ready, webhook: str, tmp_path: Path
) -> None:
    place = tmp_path / "loot"
    place.mkdir()
    place.chmod(0o777)
    hub = ready(how=f"webhook: '{webhook}'", extra="reach: 'http://127.0.0.1:9'")
    trusting(hub, trust_pipelines=True)
    secrets = f"{hub.settings.data}/admin.token {hub.settings.data}/keys"
    run = piped(hub, {"skops": evil_skops(f"touch ran; cp -r {secrets} {place} 2>&1 >&2")})
    assert (run.status, "conversion" in run.reason or "predict" in run.reason) == ("failed", True)
    assert list(place.iterdir()) == []


def trusting(hub: Hub, **settings: Any) -> None:
    hub.workers.settings = WorkerSettings(**settings)


def expose(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the launcher find that nothing was given up, as where the kernel offers nothing."""
    from dataclasses import replace

    found = replace(hub.workers.isolation, exposed=("admin.token",))
    monkeypatch.setitem(hub.workers.__dict__, "isolation", found)


def test_a_hub_that_can_isolate_nothing_refuses_pipelines_and_says_why(
    ready: Ready, webhook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = ready(how=f"webhook: '{webhook}'", extra="reach: 'http://127.0.0.1:9'")
    expose(hub, monkeypatch)
    run = piped(hub, {})
    assert run.status == "failed"
    assert "what a pipeline sends is not loaded here" in run.reason
    assert "admin.token" in run.reason


def test_a_hub_that_can_isolate_nothing_begins_anew_rather_than_load_a_state(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = ready("good", "stateful")
    expose(hub, monkeypatch)
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    (run,) = hub.runs.records("demo")
    assert (run.mode, run.version) == ("stateless", "2.0")
    assert run.mode_reason == "nothing here isolates what a stored state may hold"
    assert not (hub.runs.folder(run.id) / "parent.state").exists()
    hub.runs.stop()


def test_a_launcher_that_finds_a_secret_in_reach_starts_nothing_foreign(
    inner: Hub, tmp_path: Path
) -> None:
    """Measured at each start and not only when the hub begins."""
    work = inner.workers.new_folder()
    readable = tmp_path / "code"
    readable.mkdir()
    (readable / "secret").write_text("x")
    let_read(readable)
    inner.workers._secrets = lambda: [readable / "secret"]  # type: ignore[method-assign]
    arguments: dict[str, Any] = {"reads": [readable], "foreign": True}
    from cloud_hub.isolation.process_limits import ProcessLimits

    limits = ProcessLimits(60.0, 1_000)
    process = inner.workers.start("this", [], work, tmp_path / "log", limits, **arguments)
    process.wait()  # its limit ends it
    assert process.isolation.exposed == ("secret",)
    assert "was not started: nothing here keeps foreign code" in process.ended()
    shutil.rmtree(work)


def test_a_training_whose_code_is_in_the_hubs_data_is_refused(ready: Ready) -> None:
    hub = ready("good")
    inside = hub.settings.data / "code"
    inside.mkdir()
    text = hub.registry.policy_text("demo")
    path = next(line for line in text.splitlines() if "path:" in line)
    hub.registry.set_policy("demo", text.replace(path, f"  path: {inside}"), "test")
    run = request(hub)
    assert (run.status, "is in the hub's data" in run.reason) == ("failed", True)
    assert not (hub.runs.folder(run.id) / "work").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the user of a worker")
def test_a_worker_of_a_hub_that_is_root_is_another_user(inner: Hub) -> None:
    found = inner.workers.isolation
    assert found.user == "nobody" or "without its rights" in found.user
    assert (found.capabilities, found.protects) == (0, True)


def test_settings_that_cannot_be_are_said_at_once(tmp_path: Path) -> None:
    from cloud_hub.isolation.workers import Workers

    with pytest.raises(HubFault, match="worker user no-such-user: "):
        Workers(tmp_path, WorkerSettings(user="no-such-user"))
    with pytest.raises(HubFault, match="is in the hub's data, which no training may read"):
        Workers(tmp_path, WorkerSettings(reads=(tmp_path / "keys",)))


def test_a_killed_hubs_worker_folder_is_removed_with_the_next_attempt(ready: Ready) -> None:
    hub = ready("hangs")
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    (training,) = hub.runs._training._running.values()
    wait_for(lambda: (training.work / "helper").exists(), "the training")
    training.process.kill()
    hub.runs._training._running.clear()  # as a killed hub leaves it
    hub.runs.tick(time.time())
    assert not training.work.exists()
    hub.runs.stop()


def test_a_training_that_fills_the_disk_is_ended(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.runs.training.FOLDER_BYTES", 64 << 20)
    hub = ready("fills_the_disk")
    run = request(hub)
    assert run.reason == "wrote more than 64 MB"
    assert not (hub.runs.folder(run.id) / "work").exists()
