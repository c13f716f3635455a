"""Batch, online or both: one model answers in four ways, on one machine and in one run.

Invariants:

* The larger model answers in the cloud: for the batch job, and when a device asks it. The smaller
  one is what a device computes by itself. Both take the same 30 columns.
* The hub is a process of its own; devices are in this one, with monitoring as by default.
* The four take turns in every round, so that each ratio is of one moment.
* Rates of the hub are per second of its processes' time, which is what one core gives.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from numpy.typing import NDArray

from benchmarks.lookups import CONNECTIONS, cpu_seconds, drive, publish, serving_hub
from benchmarks.models import converted, larger_perceptron, perceptron
from cloud_hub.client import AdminClient
from edge_sdk.bench.harness import FULL, Candidate, Effort, interleave
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.device import EdgeDevice
from edge_sdk.model.release import Release

LARGE: Final = "large"
HERE: Final = "shop"
ASKING: Final = "shop-online"
"""The line of the model whose devices always ask the cloud."""

HELD: Final = "batch, held by the device"
ASKED: Final = "batch, asked of the hub"
LOCAL: Final = "online, on the device"
CLOUD: Final = "online, in the cloud"
CHANGED: Final = 20
"""One entity of so many has another row in the second generation."""

POLICY: Final = """
cloud: large
cascade: {{mode: {mode}, deadline_ms: 60000}}
batch:
  users:
    source: {{parquet: {path}}}
    entity: user
    entities: all
"""
WAIT_SECONDS: Final = 900.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Costs:
    """What a generation of answers costs, from its source to the device.

    Attributes:
        hub_seconds: of the processor, of the hub and its worker.
        computing: seconds from its start to the whole table.
        publishing: seconds until its packs are out.
        age: of the answer that a device gives as soon as it has it, seconds.
        downloaded: bytes that the device downloads.
    """

    hub_seconds: float
    computing: float
    publishing: float
    age: float
    downloaded: int


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure the four ways.

    Args:
        folder: for releases, source, hub and devices.
        effort: fewer entities and questions unless it is the full one.
        tell: called with a line for each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 1_000_000 if effort is FULL else 2_000
    small, large = perceptron(), larger_perceptron()
    releases = {name: converted(small, name, folder) for name in (HERE, ASKING)}
    releases[LARGE] = converted(large, LARGE, folder)
    source = Source(folder / "users.parquet", count, releases[HERE])
    with serving_hub(folder) as (pid, admin):
        for release in releases.values():
            publish(admin, folder, release)
        for name, mode in ((HERE, "local"), (ASKING, "cloud")):
            policy = POLICY.format(mode=mode, path=source.path)
            admin.put(f"models/{name}/policy", policy.encode())
        with contextlib.ExitStack() as stack:
            held, asking = (
                stack.enter_context(_device(admin, folder / f"device-{n}", n))
                for n in (HERE, ASKING)
            )
            tell(f"a generation of {count:,} entities, and the next one")
            first = _generation(admin, pid, held)
            source.change()
            second = _generation(admin, pid, held)
            tell(f"{second}; four ways to ask")
            token = (folder / "data" / "admin.token").read_text().strip()
            answers = _answers(AskedHub(admin.url, pid, token), held, asking, source, effort)
    return answers + Findings(facts=_facts(count, first, second))


class Source:
    """The rows of N entities, in a file and in memory."""

    def __init__(self, path: Path, count: int, release: Release) -> None:
        self.path = path
        self.count = count
        self._names = [column.name for column in release.manifest.signature.columns]
        size = (count, len(self._names))
        self.rows: NDArray[np.float32] = np.random.default_rng(0).random(size, dtype=np.float32)
        self._write()

    def change(self) -> None:
        """Give some entities other rows."""
        self.rows[::CHANGED] = 1.0 - self.rows[::CHANGED]
        self._write()

    def _write(self) -> None:
        columns = {name: self.rows[:, i] for i, name in enumerate(self._names)}
        users = [f"user-{i}" for i in range(self.count)]
        new = self.path.with_suffix(".new")
        pq.write_table(pa.table({"user": users, **columns}), new)
        new.replace(self.path)


def _generation(admin: AdminClient, pid: int, device: EdgeDevice) -> Costs:
    used = cpu_seconds(pid, children=True)
    number = admin.post(f"models/{HERE}/batch/users/generations")["id"]

    def published() -> bool:
        record = admin.get(f"generations/{number}")
        assert record["status"] not in ("failed", "cancelled"), record["reason"]
        status = admin.get(f"models/{HERE}/entities")
        assert not status["refused"], status["refused"]
        return status["index"] is not None and status["index"]["generation"] == number

    _wait(published)
    seen = time.time()
    record = admin.get(f"generations/{number}")
    share = admin.get(f"models/{HERE}/entities")["index"]["shares"][""]
    result = device.sync()
    assert result.errors == {}, result.errors
    p = device.predict(entity="user-7")
    assert p.source == "pack"
    assert p.age is not None
    delta = share["delta"] or share["file"]
    return Costs(
        cpu_seconds(pid, children=True) - used,
        record["computed_at"] - record["started_at"],
        seen - record["computed_at"],
        p.age,
        delta["length"],
    )


@dataclass(frozen=True)
class AskedHub:
    """The hub that is asked: where it is, its process, the administrator's token."""

    url: str
    pid: int
    token: str


def _answers(
    hub: AskedHub, held: EdgeDevice, asking: EdgeDevice, source: Source, effort: Effort
) -> Findings:
    stride = max(1, source.count // 20_000)
    names = [f"user-{i}" for i in range(0, source.count, stride)]
    rows = list(source.rows[::stride].copy())
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {hub.token}"
        address = f"{hub.url}/v1/models/{HERE}/predictions/"
        candidates = [
            Candidate(HELD, lambda name: held.predict(entity=name), names),
            Candidate(ASKED, lambda name: _json(session, address + name), names),
            Candidate(LOCAL, held.predict, rows),
            Candidate(CLOUD, asking.predict, rows),
        ]
        # Once each: at its first touch the checksum of a block of the pack is compared.
        assert all(held.predict(entity=name).source == "pack" for name in names)
        sources = [held.predict(rows[0]).source, asking.predict(rows[0]).source]
        assert sources == ["model", "cloud"], sources
        # Few: two of the four are round trips.
        calls = 50 if effort is FULL else 20
        rounds = interleave("one answer", candidates, effort.batch_rounds, calls)
    many = 16_000 if effort is FULL else 640
    rates = {
        HELD: _rate(candidates[0], many),
        LOCAL: _rate(candidates[2], many),
        ASKED: _hub_rate(hub.pid, many, lambda: _drive(hub, source.count, many)),
        CLOUD: _hub_rate(hub.pid, many // 16, lambda: _ask_often(asking, rows, many // 16)),
    }
    return Findings(
        rounds.timings,
        tuple(
            GoalRow(15, f"how much longer an answer takes than {HELD}: {way}",
                    rounds.ratio(way, HELD), "x")
            for way in (ASKED, LOCAL, CLOUD)
        ),
        {f"{way}: answers a second of one core": round(rate) for way, rate in rates.items()},
    )  # fmt: skip


def _rate(candidate: Candidate, calls: int) -> float:
    """Return the answers a second of a loop at full speed, counting included."""
    ask, inputs = candidate.ask, candidate.inputs
    began = time.process_time()
    for i in range(calls):
        ask(inputs[i % len(inputs)])
    return calls / (time.process_time() - began)


def _hub_rate(pid: int, calls: int, ask: Callable[[], object]) -> float:
    used = cpu_seconds(pid)
    ask()
    return calls / (cpu_seconds(pid) - used)


def _drive(hub: AskedHub, entities: int, calls: int) -> None:
    drive(hub.url, f"/v1/models/{HERE}/predictions/user-{{}}", hub.token, calls, entities)


def _ask_often(device: EdgeDevice, rows: list[Any], calls: int) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        some = itertools.islice(itertools.cycle(rows), calls)
        sources = {p.source for p in pool.map(device.predict, some)}
    assert sources == {"cloud"}


def _json(session: requests.Session, url: str) -> Any:
    response = session.get(url)
    assert response.status_code == 200
    return json.loads(response.content)


def _facts(count: int, first: Costs, second: Costs) -> dict[str, float]:
    of = f"{count:,} entities"
    return {
        f"{of}: seconds of the hub's cores, to compute and to pack": round(first.hub_seconds, 2),
        f"{of}: seconds from the start of the job to the whole table": round(first.computing, 2),
        f"{of}: seconds until the packs are out": round(first.publishing, 2),
        f"{of}: bytes that the device downloads, of an entity": round(first.downloaded / count, 1),
        f"{of}: age of the first answer on the device, s": round(first.age, 2),
        f"{of}, the next generation: age of its first answer on the device, s": round(
            second.age, 2
        ),
        f"{of}, the next generation, a twentieth of them new: bytes of an entity": round(
            second.downloaded / count, 1
        ),
    }


@contextlib.contextmanager
def _device(admin: AdminClient, state: Path, model: str) -> Iterator[EdgeDevice]:
    token = admin.post("enrolment-tokens", model=model, count=1)["tokens"][0]["token"]
    with EdgeDevice(state, hub=admin.url, token=token, model=model, background=False) as device:
        device.sync()
        yield device


def _wait(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not reached():
        assert time.monotonic() < end, "the hub takes too long"
        time.sleep(0.1)
