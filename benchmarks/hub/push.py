"""From a promote to the verified plan on every connected device.

Each client waits at the hub as a device does. On news it asks for what a device asks for, a next
root among it, and checks what a device checks: the signatures of timestamp, snapshot and plans by
the keys that root and targets name, their versions, and length and hash of the plan. All clients
share one core, which verifies five hundred times what a device does once.
"""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from benchmarks.hub.generator import http_request
from benchmarks.hub.measured_rows import etag_of
from benchmarks.hub.returning import StaleConnection, Visit
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.seeded import SeededDevice, seed_devices
from benchmarks.hub.served import ServedHub, database_options, served
from cloud_hub.api.token_files import ADMIN_FILE
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings
from edge_sdk.contract.plan import Plan
from tests.edge.builders import make_release

CLIENTS: Final = 500
MODEL: Final = "demo"
SETTLED_SECONDS: Final = 3.0
PATIENCE: Final = 120.0
WHAT: Final = "publish → plan received and verified on 500 connected clients"
GOAL: Final = "p99 ≤ 5 s"


SignedByHub = Metadata[Timestamp] | Metadata[Snapshot] | Metadata[Targets]


@dataclass(frozen=True)
class TrustedKeys:
    """Metadata that names the keys of the others, as a device has it."""

    root: Metadata[Root]
    targets: Metadata[Targets]


def pushing(bench: Bench) -> list[ScaleRow]:
    """Promote while clients wait, and note when each has the verified plan."""
    return [pushed(bench)]


def pushed(bench: Bench, database: str | None = None) -> ScaleRow:
    """Promote at a hub whose tables are in SQLite, or at a URL, while clients wait."""
    count = 20 if bench.quick else CLIENTS
    data = bench.folder / "hub"
    settings = Settings(data, database, tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        for seed, version in enumerate(("1.0", "2.0")):
            release = make_release(bench.folder / "made", version=version, seed=seed)
            hub.registry.publish(release, actor="benchmark", override="benchmark")
        hub.plans.promote(MODEL, "1.0", actor="benchmark", reason="first")
        read = hub.repository.files.raw
        keys = TrustedKeys(
            Metadata[Root].from_bytes(hub.repository.root().encode()),
            Metadata[Targets].from_bytes(read(_newest_targets(read))),
        )
        devices = seed_devices(hub, MODEL, count)
    finally:
        hub.close()
    with served(data, [devices[0].credential], database_options(database)) as serving:
        admin = (data / ADMIN_FILE).read_text().strip()
        before, refused = serving.processor_seconds, Counter[str]()
        waits = asyncio.run(_waits(serving, devices, keys, admin, refused))
        each = 1e3 * (serving.processor_seconds - before) / count
    p50, p99 = (float(np.quantile(waits, q)) for q in (0.5, 0.99))
    words = (
        f"p50 {p50:.2f} s, p99 {p99:.2f} s, the last {max(waits):.2f} s; "
        f"{refused.total()} answers 503 with Retry-After; {each:.1f} ms of the hub's processor "
        "time a client, the promote among it"
    )
    return ScaleRow("push", WHAT.replace("500", str(count)), GOAL, words, p99 <= 5)


async def _waits(
    hub: ServedHub,
    devices: Sequence[SeededDevice],
    keys: TrustedKeys,
    admin: str,
    refused: Counter[str],
) -> list[float]:
    """Return the seconds from the promote to the verified plan, of each device.

    Args:
        hub: that is asked.
        devices: that wait.
        keys: by which they verify.
        admin: token of who promotes.
        refused: counts answers 503, by path.
    """
    etag = etag_of(hub)
    clients = [asyncio.create_task(_client(hub, each, etag, keys, refused)) for each in devices]
    await asyncio.sleep(SETTLED_SECONDS)  # all of them wait by now
    began = time.perf_counter()
    # Beside the event loop, as a person does it beside the devices.
    threading.Thread(target=_promote, args=(hub, admin), daemon=True).start()
    async with asyncio.timeout(PATIENCE):
        return [at - began for at in await asyncio.gather(*clients)]


async def _client(
    hub: ServedHub, device: SeededDevice, etag: str, keys: TrustedKeys, refused: Counter[str]
) -> float:
    """Wait for news and return the moment at which the new plan is verified."""
    loop = asyncio.get_running_loop()

    async def opened() -> tuple[asyncio.BaseTransport, Visit]:
        return await loop.create_connection(lambda: Visit(loop, keep=True), "127.0.0.1", hub.port)

    transport, visit = await opened()

    async def get(path: str, headers: Sequence[str] = (), expected: int = 200) -> bytes:
        nonlocal transport, visit
        request = http_request("GET", path, device.credential, headers=headers)
        while True:
            try:
                status, wait = await visit.ask(request)
            except StaleConnection:  # as a device does whose connection the hub had closed
                transport, visit = await opened()
                continue
            if status != 503:
                break
            refused[path] += 1
            await asyncio.sleep(wait)
            transport.close()  # the hub closes what is idle for some seconds
            transport, visit = await opened()
        if status != expected:
            raise RuntimeError(f"{path}: expected {expected}, got {status}")
        return bytes(visit.body)

    try:
        waiting = (f"If-None-Match: {etag}", "Prefer: wait=50")
        timestamp = Metadata[Timestamp].from_bytes(
            await get("/v1/metadata/timestamp.json", waiting)
        )
        await get(f"/v1/metadata/{keys.root.signed.version + 1}.root.json", expected=404)
        _check(keys.root.signed, "timestamp", timestamp)
        meta = timestamp.signed.snapshot_meta
        raw = await get(f"/v1/metadata/{meta.version}.snapshot.json")
        meta.verify_length_and_hashes(raw)
        snapshot = Metadata[Snapshot].from_bytes(raw)
        _check(keys.root.signed, "snapshot", snapshot)
        listed = snapshot.signed.meta["plans.json"]
        raw = await get(f"/v1/metadata/{listed.version}.plans.json")
        listed.verify_length_and_hashes(raw)
        plans = Metadata[Targets].from_bytes(raw)
        _check(keys.targets.signed, "plans", plans)
        target = plans.signed.targets[f"plans/{MODEL}.json"]
        raw = await get(f"/v1/targets/plans/{target.hashes['sha256']}.{MODEL}.json")
        target.verify_length_and_hashes(raw)
        if Plan.from_json(raw).serving.version != "2.0":
            raise RuntimeError("expected the plan that was published")
        return time.perf_counter()
    finally:
        transport.close()


def _check(keys: Root | Targets, role: str, signed: SignedByHub) -> None:
    keys.verify_delegate(role, signed.signed_bytes, signed.signatures)


def _newest_targets(read: Callable[[str], bytes]) -> str:
    """Return the name of the newest targets metadata."""
    meta = Metadata[Timestamp].from_bytes(read("timestamp.json")).signed.snapshot_meta
    snapshot = Metadata[Snapshot].from_bytes(read(f"{meta.version}.snapshot.json"))
    return f"{snapshot.signed.meta['targets.json'].version}.targets.json"


def _promote(hub: ServedHub, admin: str) -> None:
    url = f"http://127.0.0.1:{hub.port}/v1/models/{MODEL}/promote?version=2.0&reason=benchmark"
    headers = {"Authorization": f"Bearer {admin}"}
    request = urllib.request.Request(url, b"", headers)
    urllib.request.urlopen(request, timeout=PATIENCE).read()
