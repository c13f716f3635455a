"""One device, several processes: attached ones, forked ones, workers of a real gunicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from edge_sdk import AsyncEdgeDevice, EdgeDevice
from edge_sdk.cli.main import main
from edge_sdk.errors import ContractError, DeviceInUse, EdgeError, InputError, StateError
from edge_sdk.processes import calls
from edge_sdk.processes.client import OwnerClient
from edge_sdk.processes.frames import HEAD, packed, receive
from edge_sdk.processes.listener import connect
from edge_sdk.processes.owner import CLIENTS, SECRET_BYTES
from edge_sdk.system.owner_file import OWNER_FILE, read_owner
from tests.conftest import Publish
from tests.edge.builders import make_release, rows, softmax
from tests.edge.system.test_operating_system import ELSEWHERE
from tests.forked import in_a_child
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


class Opening:
    """Keywords that open a device of one model at the hub."""

    def __init__(self, hub: HubProcess, model: str) -> None:
        self.hub, self.model, self.token = hub.url, model, hub.token(model)

    def opened(self, state: Path, **more: Any) -> EdgeDevice:
        return EdgeDevice(state, hub=self.hub, model=self.model, token=self.token, **more)


@pytest.fixture
def owner(hub: HubProcess, publish: Publish, tmp_path: Path) -> Iterator[EdgeDevice]:
    """A device that this process runs, in the folder ``d``."""
    model = f"m{time.time_ns()}"
    publish(model)
    with Opening(hub, model).opened(tmp_path / "d") as device:
        yield device


def reported(hub: HubProcess, device: EdgeDevice) -> dict[str, int]:
    """Predictions by source that the device has counted and sent when it is closed."""
    model = device.status()["model"]
    device.close()
    windows = hub.admin.get(f"models/{model}/telemetry")["windows"]
    totals: dict[str, int] = {}
    for window in windows:
        for source, count in window["predictions"].items():
            totals[source] = totals.get(source, 0) + count
    return totals


def test_an_attached_process_asks_and_is_counted_as_the_owner_is(
    hub: HubProcess, owner: EdgeDevice, tmp_path: Path
) -> None:
    with EdgeDevice.attach(tmp_path / "d") as device:
        for row, expected in zip(rows(5), softmax(rows(5), 0), strict=True):
            p = device.predict(row)
            assert np.allclose(p.probabilities, expected, atol=1e-6)
            q = owner.predict(row)
            assert (p.label, p.confidence, p.version, p.source, p.degraded) == (
                q.label, q.confidence, q.version, q.source, q.degraded,
            )  # fmt: skip
            owner.feedback(p.id, label=1)
            device.feedback(q.id, label=1)
            assert device.predict(row.tolist()).label == p.label
        batch = device.predict_batch(rows(4))
        assert batch.labels is not None
        assert np.array_equal(batch.labels, softmax(rows(4), 0).argmax(axis=1))
        device.feedback(batch.ids[3], reward=1.0)
        mine, theirs = device.explain(rows(1)[0]), owner.explain(rows(1)[0])
        assert dict(mine.parts) == dict(theirs.parts)
        assert device.sync().errors == {}
        status = device.status()
        assert status["owner"]["pid"] == os.getpid()
        assert status["device"] == owner.status()["device"]
        for refused, kind in (([1.0], "shape"), ({"x": object()}, "dtype")):
            with pytest.raises(InputError) as caught:
                device.predict(refused)
            assert caught.value.kind == kind
        with pytest.raises(InputError, match="has its label already"):
            owner.feedback(p.id, label=1)
        for call in (device.stream, device.reports):
            with pytest.raises(StateError):
                call()
    assert owner.predict(rows(1)[0]).source == "model"  # who detaches closes nothing
    assert reported(hub, owner) == {"model": 20}


def test_an_attached_process_asks_each_of_several_models(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("arm", seed=1)
    publish("leg", seed=2)
    publish("toe", seed=3)
    token = hub.admin.post("enrolment-tokens", model=["arm", "leg"])["token"]
    more = hub.token("toe")
    row = rows(1)[0]
    with (
        EdgeDevice(tmp_path / "d", hub=hub.url, token=token) as owner,
        EdgeDevice.attach(tmp_path / "d") as device,
    ):
        assert device.models == ("arm", "leg")
        for name, seed in (("arm", 1), ("leg", 2)):
            model = device.model(name)
            p = model.predict(row)
            assert np.allclose(p.probabilities, softmax(row[None], seed)[0], atol=1e-6)
            assert len(model.predict_batch(rows(3))) == 3
            assert model.manifest == owner.model(name).manifest
            assert (model.name, model.serves, model.status()["version"]) == (name, True, "1.0")
            device.feedback(p.id, label=1)
            with pytest.raises(InputError, match="has its label already"):
                owner.feedback(p.id, label=1)
        with pytest.raises(InputError, match=r"several models, arm, leg: say device\.model"):
            device.predict(row)
        with pytest.raises(InputError, match="expected one of arm, leg, got 'toe'"):
            device.model("toe")
        assert device.join("toe", more).predict(row).version == "1.0"
        assert owner.models == device.models == ("arm", "leg", "toe")


def test_models_and_streams_that_a_child_inherits_are_its_parents(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("fin", seed=1)
    publish("gill", seed=2)
    token = hub.admin.post("enrolment-tokens", model=["fin", "gill"])["token"]
    row = rows(1)[0]
    with EdgeDevice(tmp_path / "d", hub=hub.url, token=token) as owner:
        gill, stream = owner.model("gill"), owner.model("fin").stream()
        kept, before = gill.predict, gill.predict(row)

        def child() -> None:
            assert owner.model("gill") is gill
            assert gill.predict(row).id != before.id
            gill.feedback(before.id, label=1)
            assert gill.status()["owner"]["pid"] == os.getppid()
            for inherited in (kept, stream.predict):
                with pytest.raises(StateError, match="taken before the process forked"):
                    inherited(row)
            with pytest.raises(InputError, match=r"several models, fin, gill: say device\.model"):
                owner.predict(row)
            assert in_a_child(lambda: gill.predict(row)) == 0
            with pytest.raises(InputError, match="expected the name of a model, got None"):
                owner.model(None)  # type: ignore[arg-type]

        assert in_a_child(child) == 0
        with pytest.raises(InputError, match="has its label already"):
            owner.feedback(before.id, label=1)
        gill._service.collect(final=True)
        assert owner.sync().errors == {}
    windows = hub.admin.get("models/gill/telemetry")["windows"]
    assert sum(window["predictions"].get("model", 0) for window in windows) == 3


def test_the_command_line_works_while_an_application_runs_the_device(
    hub: HubProcess, owner: EdgeDevice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = str(tmp_path / "d")
    assert main(["status", state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["owner"]["pid"] == os.getpid()
    assert main(["sync", state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == {}
    assert main(["logs", state]) == 0
    assert "update to 1.0 activated" in capsys.readouterr().out
    assert main(["logs", state, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"time", "level", "logger", "message"} == set(records[-1])
    assert main(["identity", state]) == 1
    refusal = capsys.readouterr().err
    assert f"process {os.getpid()} runs this device" in refusal
    assert "EdgeDevice.attach" in refusal
    owner.close()
    assert main(["logs", state]) == 1
    assert "no process runs this device" in capsys.readouterr().err
    assert main(["status", state, "--json"]) == 0
    assert "owner" not in json.loads(capsys.readouterr().out)


def test_a_second_owner_is_told_who_has_the_device(owner: EdgeDevice, tmp_path: Path) -> None:
    with pytest.raises(DeviceInUse, match=f"process {os.getpid()} runs this device; attach to it"):
        EdgeDevice(tmp_path / "d", hub=owner.status()["hub"])


def test_the_socket_is_for_its_user_alone_and_goes_with_its_owner(
    owner: EdgeDevice, tmp_path: Path
) -> None:
    state = tmp_path / "d"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for name in ("owner.sock", OWNER_FILE):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600
    owner.close()
    assert not {"owner.sock", OWNER_FILE} & {path.name for path in state.iterdir()}


def test_an_owner_that_is_closed_twice_leaves_the_next_one_alone(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    """``with`` closes a device, and atexit closes it again when others run it by then."""
    publish("twice")
    opening, state = Opening(hub, "twice"), tmp_path / "d"
    with opening.opened(state) as first:
        pass
    with opening.opened(state), EdgeDevice.attach(state) as device:
        first.close()
        assert device.predict(rows(1)[0]).source == "model"
        with EdgeDevice.attach(state) as late:
            assert late.predict(rows(1)[0]).source == "model"


def test_an_owner_without_threads_to_spare_refuses_in_words(
    owner: EdgeDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "edge-attached":
            raise RuntimeError("can't start new thread")
        begin(thread)

    with monkeypatch.context() as now:
        now.setattr(threading.Thread, "start", start)
        with (
            pytest.raises(StateError, match="no more threads: ask again later"),
            EdgeDevice.attach(tmp_path / "d") as device,
        ):
            device.predict(rows(1)[0])
    with EdgeDevice.attach(tmp_path / "d") as device:
        assert device.predict(rows(1)[0]).source == "model"


def test_the_owner_keeps_few_answers_of_batches_whose_ids_nobody_asks_for(
    owner: EdgeDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BATCH_BYTES", 1_000)
    with EdgeDevice.attach(tmp_path / "d") as device:
        batches = [device.predict_batch(rows(50)) for _ in range(9)]
        assert owner._owner is not None
        assert len(owner._owner._calls._batches) <= 3
        device.feedback(batches[-1].ids[0], label=1)
        with pytest.raises(InputError, match="expected one of the last"):
            device.feedback(batches[0].ids[0], label=1)


def test_the_manifest_is_that_of_the_release_that_answered_last(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("renewed")
    state, row = tmp_path / "d", rows(1)[0]
    with Opening(hub, "renewed").opened(state) as owner, EdgeDevice.attach(state) as device:
        assert device.manifest.version == device.predict(row).version == "1.0"
        publish("renewed", "1.1", seed=1)
        owner.sync()
        assert device.predict(row).version == "1.1"
        assert device.manifest.version == "1.1"  # though the other one came a moment ago


def test_a_table_and_a_row_of_one_are_answered_by_an_owner_without_pandas(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("tabular")
    opening, state = Opening(hub, "tabular"), tmp_path / "d"
    frame = pd.DataFrame(rows(4), columns=["f0", "f1", "f2", "f3"])
    process = owner_process(opening, state)
    with EdgeDevice.attach(state) as device:
        expected = softmax(rows(4), 0)
        for one in (frame[1:2], frame.iloc[1]):
            p = device.predict(one)
            assert np.allclose(p.probabilities, expected[1], atol=1e-6)
        batch = device.predict_batch(frame[["f3", "f2", "f1", "f0"]])
        assert np.allclose(batch.probabilities, expected, atol=1e-6)
        assert device.explain(frame.iloc[0]).parts.keys() == {*frame.columns}
    ended(process)


@pytest.mark.parametrize("reason", ["a long path", "a path long elsewhere", "no Unix sockets"])
def test_without_a_unix_socket_the_loopback_takes_those_who_know_the_secret(
    hub: HubProcess, publish: Publish, tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"loopback{len(reason)}"
    publish(model)
    state = tmp_path / ("x" * 120 if reason == "a long path" else "d")
    if reason == "a path long elsewhere":
        (tmp_path / ("x" * 120)).mkdir()
        monkeypatch.chdir(tmp_path / ("x" * 120))
        state = Path("d")
    if reason == "no Unix sockets":
        monkeypatch.delattr(socket, "AF_UNIX")
    with Opening(hub, model).opened(state) as owner:
        address = read_owner(state)
        assert address is not None
        assert (address.unix, len(address.secret)) == (None, 64)
        with EdgeDevice.attach(state.absolute()) as device:
            assert device.predict(rows(1)[0]).source == "model"
        said = ({"secret": "wrong"}, {"secret": None}, {"call": "status", "with": {}}, [1])
        # One that promises more than a secret has is not read to its end.
        for sent in (*map(packed, said), HEAD.pack(SECRET_BYTES, 1) + b"[1"):
            with connect(state, address, PATIENCE) as stranger:
                stranger.sendall(sent)
                with contextlib.suppress(OSError):
                    assert stranger.recv(1) == b""
        assert owner.predict(rows(1)[0]).source == "model"


def test_hostile_messages_end_their_connection_and_nothing_else(
    owner: EdgeDevice, tmp_path: Path
) -> None:
    state = tmp_path / "d"
    address = read_owner(state)
    assert address is not None
    hostile = [
        b"GET / HTTP/1.1\r\n\r\n",
        HEAD.pack(0xFFFFFFFF, 0xFFFFFFFF),
        HEAD.pack(3, 0) + b"[[[",
        HEAD.pack(100_000, 0) + b"[" * 100_000,
        b"\x00" * 9,
    ]
    for raw in hostile:
        with connect(state, address, PATIENCE) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(EOFError, OSError):
                assert "error" in receive(client)
                assert client.recv(1) == b""
    client = OwnerClient(state)
    wrong: list[tuple[Any, Any]] = [
        ("close", {}),
        ("__class__", {}),
        ("predict", []),
        ("predict", {"nonsense": 1}),
        ("predict", {"x": {"$array": ["|O8", [1], 0]}}),
        ("remember", {"batch": "nothing"}),
        ("remember", {}),
        ("logs", {"after": "x"}),
        ("predict", {"x": np.zeros((3, 4, 5))}),
        ("feedback", {"prediction": [1], "label": {"a": 1}}),
    ]
    for name, options in wrong:
        with contextlib.suppress(EdgeError):
            client.call(name, options)
    client.close()
    # Half a message holds its connection, and nobody else's call.
    with connect(state, address, PATIENCE) as slow, EdgeDevice.attach(state) as device:
        slow.sendall(packed({"call": "status", "with": {}})[:-1])
        assert device.predict(rows(1)[0]).source == "model"
    with pytest.raises(ContractError, match="expected a call of predict, "):
        client.call("close", {})
    client.close()
    assert owner.predict(rows(1)[0]).source == "model"


def test_a_hundred_processes_ask_at_once_and_one_too_many_is_refused_in_words(
    owner: EdgeDevice, tmp_path: Path
) -> None:
    state = tmp_path / "d"
    row = rows(1)[0]

    def ask(_: int) -> list[str]:
        with EdgeDevice.attach(state) as device:
            return [device.predict(row).id for _ in range(20)]

    with ThreadPoolExecutor(100) as pool:
        ids = [each for some in pool.map(ask, range(100)) for each in some]
    assert len(set(ids)) == 2_000
    address = read_owner(state)
    assert address is not None
    wait_for(
        lambda: owner._owner is not None and not owner._owner.status()["clients"], "them to go"
    )
    with contextlib.ExitStack() as open_ones:
        for _ in range(CLIENTS):
            open_ones.enter_context(connect(state, address, PATIENCE))
        wait_for(
            lambda: owner._owner is not None and owner._owner.status()["clients"] == CLIENTS,
            "all of them",
        )
        with (
            pytest.raises(StateError, match="connections to this device are open"),
            EdgeDevice.attach(state) as late,
        ):
            late.predict(row)
    assert owner.predict(row).source == "model"


OWNER = """
import sys, time
from edge_sdk import EdgeDevice
state, hub, model, token = sys.argv[1:]
with EdgeDevice(state, hub=hub, model=model, token=token) as device:
    print("runs", flush=True)
    sys.stdin.read()
"""


def owner_process(opening: Opening, state: Path) -> subprocess.Popen[bytes]:
    words = [str(state), opening.hub, opening.model, opening.token]
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"runs\n"
    return process


def ended(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    if kill:
        process.kill()
    process.communicate(timeout=PATIENCE)


def test_attached_processes_outlive_their_owner_and_reach_the_next_one(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("outlived")
    opening, state, row = Opening(hub, "outlived"), tmp_path / "d", rows(1)[0]
    process = owner_process(opening, state)
    device = EdgeDevice.attach(state)
    first = device.predict(row)
    refusals: list[Exception] = []

    def refused() -> None:
        try:
            device.predict(row)
        except StateError as error:
            refusals.append(error)

    os.kill(process.pid, signal.SIGSTOP)
    waiting = threading.Thread(target=refused)
    waiting.start()
    ended(process, kill=True)  # as it is asked
    waiting.join(PATIENCE)
    assert len(refusals) == 1
    with pytest.raises(StateError, match="which ran this device, does not answer"):
        device.predict(row)
    with pytest.raises(StateError):
        EdgeDevice.attach(state, timeout=0.2)
    process = owner_process(opening, state)  # no lock and no socket of the killed one is in its way
    assert device.predict(row).label == first.label
    with pytest.raises(InputError, match="recent prediction"):
        device.feedback(first.id, label=1)
    ended(process)
    with pytest.raises(StateError, match="no process runs this device"):
        device.predict(row)
    late = threading.Thread(target=lambda: late_owners.append(owner_process(opening, state)))
    late_owners: list[subprocess.Popen[bytes]] = []
    late.start()
    with EdgeDevice.attach(state, timeout=PATIENCE) as again:
        assert again.predict(row).label == first.label
    late.join(PATIENCE)
    ended(late_owners[0])
    device.close()


def test_looks_of_many_at_a_device_that_nobody_runs_take_turns(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("looked-at")
    state = tmp_path / "d"
    Opening(hub, "looked-at").opened(state).close()
    command = [sys.executable, "-m", "edge_sdk.cli.main", "status", str(state), "--json"]
    looks = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    outs = [look.communicate(timeout=PATIENCE)[0] for look in looks]
    assert {json.loads(out)["version"] for out in outs} == {"1.0"}


def test_an_asyncio_process_attaches_and_never_waits_in_its_loop(
    owner: EdgeDevice, tmp_path: Path
) -> None:
    async def ask() -> None:
        async with AsyncEdgeDevice.attach(tmp_path / "d") as device:
            device._rule.took(0.0)  # however quick it is
            assert device._rule.runs_inline()
            asking = asyncio.ensure_future(device.predict(rows(1)[0]))
            await asyncio.sleep(0)
            assert not asking.done()
            assert (await asking).source == "model"
            (name,) = device.device.models
            model = device.model(name)
            for _ in range(2):
                assert (await model.predict(rows(1)[0])).source == "model"
                model._rule.took(0.0)
            assert model._answering()().may_wait()
            with pytest.raises(InputError, match=f"expected one of {name}, got 'toe'"):
                await device.model("toe").predict(rows(1)[0])

    asyncio.run(ask())


# Fork


def test_a_forked_child_is_attached_to_its_parent(
    hub: HubProcess, owner: EdgeDevice, tmp_path: Path
) -> None:
    row, kept = rows(1)[0], owner.predict
    before = owner.predict(row)

    def child() -> None:
        assert isinstance(owner, EdgeDevice)
        assert threading.active_count() == 1
        p = owner.predict(row)
        assert p.id != before.id
        owner.feedback(before.id, label=1)
        assert owner.status()["owner"]["pid"] == os.getppid()
        with pytest.raises(StateError, match="taken before the process forked"):
            kept(row)
        assert in_a_child(lambda: owner.predict(row)) == 0
        owner.close()
        owner.predict(row)

    assert in_a_child(child) == 0
    with pytest.raises(InputError, match="has its label already"):
        owner.feedback(before.id, label=1)
    assert reported(hub, owner)["model"] >= 4


def test_a_child_of_a_device_without_threads_is_refused_in_words(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("quiet")
    with Opening(hub, "quiet").opened(tmp_path / "d", background=False) as device:

        def child() -> None:
            with pytest.raises(StateError, match="background=False"):
                device.predict(rows(1)[0])

        assert in_a_child(child) == 0
        assert device.predict(rows(1)[0]).source == "model"


def test_children_that_are_forked_in_the_middle_of_everything_answer(
    owner: EdgeDevice, tmp_path: Path
) -> None:
    """Locks that other threads hold at that moment are never asked for in a child."""
    row, stop = rows(1)[0], threading.Event()

    def work() -> None:
        while not stop.is_set():
            owner.predict(row)
            owner.sync()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        assert [in_a_child(lambda: owner.predict(row)) for _ in range(20)] == [0] * 20
    finally:
        stop.set()
        for worker in workers:
            worker.join()


APP = """
import atexit, json, os
from edge_sdk import EdgeDevice
if os.environ["HOW"] == "offline":
    device = EdgeDevice.offline(os.environ["STATE"].split(os.pathsep))
elif os.environ["HOW"] == "preload":
    device = EdgeDevice(os.environ["STATE"], hub=os.environ["HUB"], token=os.environ["TOKEN"],
                        model=os.environ["MODEL"])
else:
    device = EdgeDevice.attach(os.environ["STATE"], timeout=60)
atexit.register(device.close)
model = device.model(os.environ["MODEL"])  # as applications hold it

def app(environment, start):
    name = environment["QUERY_STRING"]
    if name:
        model.feedback(name, label=1)
    p = model.predict([0.1, 0.2, 0.3, 0.4])
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "id": p.id, "label": p.label}).encode()]
"""


@contextlib.contextmanager
def gunicorn(folder: Path, how: str, **settings: str) -> Iterator[str]:
    """A real gunicorn with three workers, with these variables of its environment; its address."""
    (folder / "served_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ, **settings, "HOW": how,
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
    }  # fmt: skip
    options = [] if how == "attach" else ["--preload"]
    command = [
        sys.executable, "-m", "gunicorn", *options, "--workers", "3", "--no-control-socket",
        "--bind", f"127.0.0.1:{port}", "served_app:app",
    ]  # fmt: skip
    with (folder / "gunicorn.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/"

        def answers() -> bool:
            assert process.poll() is None, (folder / "gunicorn.log").read_text()
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(url, timeout=PATIENCE).ok
            return False

        wait_for(answers, "gunicorn")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.parametrize("how", ["preload", "attach"])
def test_workers_of_gunicorn_answer_as_one_device(
    hub: HubProcess, publish: Publish, tmp_path: Path, how: str
) -> None:
    """With --preload workers had the parent's lock, database and ids, and none of its threads."""
    model = f"gunicorn-{how}"
    publish(model)
    opening, state = Opening(hub, model), tmp_path / "d"
    process = None if how == "preload" else owner_process(opening, state)
    terms = {"HUB": hub.url, "TOKEN": opening.token, "MODEL": model, "STATE": str(state)}
    with gunicorn(tmp_path, how, **terms) as url:
        made, ask = asked_of_all_workers(url)
        names = [name for some in made.values() for name in some]
        assert len(set(names)) == len(names)
        for name in names[:10]:  # a label comes to whichever worker it comes to
            assert requests.get(f"{url}?{name}", timeout=PATIENCE).ok
        with EdgeDevice.attach(state) as device:
            assert device.status()["owner"]["pid"] not in made
            with pytest.raises(InputError, match="has its label already"):
                device.feedback(names[0], label=1)
        worker = next(iter(made))
        os.kill(worker, signal.SIGKILL)  # its parent starts another one
        wait_for(lambda: list(pool_free(ask)) and len(made) == 4, "another worker")
    if process is not None:
        ended(process)
    with opening.opened(state) as device:  # the folder is free again
        assert device.predict(rows(1)[0]).version == "1.0"
    total = sum(
        window["predictions"].get("model", 0)
        for window in hub.admin.get(f"models/{model}/telemetry")["windows"]
    )
    assert total >= len(names) + 10


def asked_of_all_workers(url: str) -> tuple[dict[int, list[str]], Callable[[int], None]]:
    """Ids of predictions by worker, and what asks for one more."""
    made: dict[int, list[str]] = {}

    def ask(_: int) -> None:
        reply = requests.get(url, timeout=PATIENCE).json()
        made.setdefault(reply["pid"], []).append(reply["id"])

    with ThreadPoolExecutor(8) as pool:
        wait_for(lambda: list(pool.map(ask, range(40))) and len(made) == 3, "all workers")
    return made, ask


def test_workers_of_gunicorn_share_the_models_of_an_offline_device(tmp_path: Path) -> None:
    """Each has a session of its own, though all hold the model that the master took."""
    folders = [make_release(tmp_path / name, name).folder for name in ("arm", "leg")]
    state = os.pathsep.join(map(str, folders))
    with gunicorn(tmp_path, "offline", STATE=state, MODEL="leg") as url:
        made, _ = asked_of_all_workers(url)
    names = [name for some in made.values() for name in some]
    assert len(set(names)) == len(names)


def pool_free(ask: Any) -> Iterator[None]:
    for i in range(10):
        with contextlib.suppress(requests.RequestException, KeyError):
            ask(i)
        yield


ELSEWHERE_DEVICE = """
from edge_sdk import EdgeDevice
from edge_sdk.cli.main import main
state, hub, model, token = sys.argv[1:]
with EdgeDevice(state, hub=hub, model=model, token=token) as device:
    with EdgeDevice.attach(state) as attached:
        p = attached.predict([0.1, 0.2, 0.3, 0.4])
        device.feedback(p.id, label=1)
        print(p.version, attached.status()["owner"]["listens"].partition(":")[0])
    try:
        EdgeDevice(state, hub=hub)
    except Exception as error:
        print(type(error).__name__)
    print(main(["sync", state, "--json"]))
print(main(["status", state]) )
"""


def test_a_device_joins_updates_and_is_asked_where_the_names_of_posix_are_missing(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("elsewhere")
    opening = Opening(hub, "elsewhere")
    words = [str(tmp_path / "d"), opening.hub, opening.model, opening.token]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE + ELSEWHERE_DEVICE, *words],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == ["1.0 loopback", "DeviceInUse"]
    assert "0" in lines[2:]
    assert lines[-1] == "0"
