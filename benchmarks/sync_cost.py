"""What a sync of a device costs: bytes on the wire, bytes written, wake-ups.

``python -m benchmarks.sync_cost`` prints the table of docs/ENERGY.md, from a real hub.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess

IDLE_SECONDS: Final = 10.0


class CountingProxy:
    """Forwards connections to a port of this machine, and counts bytes each way."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.up = self.down = self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            self.connections += 1
            hub = socket.create_connection(("127.0.0.1", self._to))
            for source, sink, name in ((client, hub, "up"), (hub, client, "down")):
                pump = threading.Thread(target=self._pump, args=(source, sink, name), daemon=True)
                pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, name: str) -> None:
        try:
            while data := source.recv(1 << 16):
                setattr(self, name, getattr(self, name) + len(data))
                sink.sendall(data)
        finally:
            sink.close()


def written() -> int:
    """Bytes that this process has caused to be written to storage."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def wake_ups(ids: list[int]) -> int:
    """Times that threads of this process woke up by themselves."""
    total = 0
    for number in ids:
        status = Path(f"/proc/self/task/{number}/status").read_text()
        total += int(status.split("voluntary_ctxt_switches:")[1].split()[0])
    return total


def row(name: str, proxy: CountingProxy, act: Callable[[], object]) -> str:
    """One line of the table: what ``act`` cost."""
    before = proxy.up, proxy.down, written()
    act()
    time.sleep(0.2)  # the last bytes pass the proxy
    up, down, disk = (
        a - b for a, b in zip((proxy.up, proxy.down, written()), before, strict=True)
    )  # fmt: skip
    return f"| {name} | {up:,} | {down:,} | {disk / 1024:,.0f} |"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        hub = HubProcess(place)
        try:
            print("\n".join(measured(place, hub)))
        finally:
            hub.kill()


def measured(place: Path, hub: HubProcess) -> list[str]:
    """Return the lines of both tables."""
    release = make_release(place / "made")
    hub.admin.publish(release.folder, hub.key, override="bench")
    hub.admin.post("models/demo/promote", version="1.0")
    proxy = CountingProxy(int(hub.url.rpartition(":")[2]))
    options = {"hub": proxy.url, "token": hub.token("demo"), "model": "demo"}
    lines = ["| a sync with | bytes up | bytes down | KiB written |", "|---|---|---|---|"]
    with EdgeDevice(place / "state", background=False, **options) as device:  # type: ignore[arg-type]
        device.sync()
        lines.append(row("nothing to say", proxy, device.sync))
        for x in rows(500):
            device.predict(x)
        device._service.collect(final=True)
        lines.append(row("one window report, 4 features", proxy, device.sync))
        release = make_release(place / "made", version="1.1", seed=1)
        hub.admin.publish(release.folder, hub.key, override="bench")
        hub.admin.post("models/demo/promote", version="1.1")
        lines.append(row("a new version of 5 KB", proxy, device.sync))
        lines.append(row("nothing to say, after it", proxy, device.sync))
    lines += ["", "| | wake-ups a second, idle |", "|---|---|"]
    for name, battery in (("on the mains", False), ("on a battery", True)):
        config = DeviceConfig(sync_seconds=60.0)
        with EdgeDevice(
            place / "state", config=config, battery=lambda: battery, **options  # type: ignore[arg-type]  # noqa: B023
        ) as device:  # fmt: skip
            time.sleep(3.0)
            ids = [t.native_id for t in threading.enumerate() if t.name.startswith("edge-")]
            before = wake_ups([i for i in ids if i is not None])
            time.sleep(IDLE_SECONDS)
            woke = wake_ups([i for i in ids if i is not None]) - before
            lines.append(f"| {name} | {woke / IDLE_SECONDS:.1f} |")
    return lines


if __name__ == "__main__":
    main()
