"""``make bytes``: what an update costs on the wire; writes ``BYTES.md``.

Two tables. Files: the bytes of one file in each of the forms in which it could travel. Fleet: what
devices and a real hub said to each other over HTTP for one update, metadata, plan, certificate and
the heads of requests among it, in both directions, per device.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import bsdiff4
import numpy as np
import uvicorn
from numpy.typing import NDArray

from benchmarks.wire_files import Pair, file_pairs, trained_network
from cloud_hub.app import create_app
from cloud_hub.forms.making import make_patch
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.packs.publishing import ANSWERS, publish_pack
from cloud_hub.settings import Settings
from edge_sdk import EdgeDevice
from edge_sdk.bench import machine
from edge_sdk.config import DeviceConfig
from edge_sdk.model.release import Release
from edge_sdk.packs.delta import write_delta
from edge_sdk.packs.writer import write_pack
from edge_sdk.system.compression import zstd
from tests.cutting_proxy import CuttingProxy
from tests.edge.builders import make_release

HERE: Final = Path(__file__).parent
DEVICES: Final = 200
LATE: Final = 5
"""One device in so many holds the version before the one that most hold."""

WAIT_SECONDS: Final = 600.0
CHURN: Final = 0.05
Ballast = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Sizes:
    """Bytes of one file in each form."""

    name: str
    whole: int
    zstd: int
    bsdiff: int
    compressed: int
    delta: int
    seconds: tuple[float, float]
    """Of bsdiff4 and of our delta, to make."""

    @property
    def ours(self) -> int:
        """What a device downloads."""
        return min(self.whole, self.compressed, self.delta)


@dataclass(frozen=True)
class Traffic:
    """Bytes per device of one update over HTTP, all told, and of the files of the release."""

    name: str
    files: int
    wire: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=__doc__)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--megabytes", type=float, default=5.0, help="of the network")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of BYTES.md")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        sizes = [measured(pair, folder) for pair in file_pairs(folder, arguments.megabytes)]
        traffic = list(fleets(folder, arguments.devices, arguments.megabytes))
    text = report(sizes, traffic, arguments.devices)
    (arguments.out / "BYTES.md").write_text(text)
    print(text)
    return 0


def measured(pair: Pair, folder: Path) -> Sizes:
    """Return the bytes of a new file in each form."""
    print(f"{pair.name}: {pair.new.stat().st_size} bytes", file=sys.stderr)
    raw, patch = pair.new.read_bytes(), folder / "patch"
    begun = time.perf_counter()
    bsdiff = len(bsdiff4.diff(pair.base.read_bytes(), raw))
    between = time.perf_counter()
    if pair.is_pack:
        header = write_delta(pair.base, pair.new, folder / "delta")
        make_patch(None, folder / "delta" if header else pair.new, patch)
    else:
        make_patch(pair.base, pair.new, patch)
    ended = time.perf_counter()
    delta = patch.stat().st_size
    make_patch(None, pair.new, patch)
    compressed = patch.stat().st_size
    best = len(zstd.compress(raw, 19))
    times = (between - begun, ended - between)
    return Sizes(pair.name, len(raw), best, bsdiff, compressed, delta, times)


@contextmanager
def served(folder: Path) -> Iterator[tuple[Hub, str]]:
    """Serve a new hub in this process."""
    settings = Settings(folder, tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    config = uvicorn.Config(create_app(hub), port=0, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + WAIT_SECONDS
    while not server.started and time.monotonic() < ends:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield hub, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)


@dataclass(frozen=True)
class Line:
    """One model of a hub, and the devices that follow it."""

    hub: Hub
    url: str
    model: str
    folder: Path
    devices: int

    def publish(self, version: str, ballast: Ballast) -> Release:
        """Let a version serve."""
        release = make_release(
            self.folder / "made", self.model, version, seed=int(version[-1]), ballast=ballast
        )
        self.hub.registry.publish(release, actor="benchmark", override="benchmark")
        self.hub.plans.promote(self.model, version, actor="benchmark", reason="benchmark")
        return release

    def released(self, version: str, ballast: Ballast) -> int:
        """Let a version serve; return the bytes of its files."""
        files = self.publish(version, ballast).manifest.files
        return sum(ref.length for ref in files.values())

    def sync(self, numbers: range, url: str) -> None:
        """Have some devices follow what serves, one after the other."""
        config = DeviceConfig(request_seconds=60.0, monitoring=False)
        for number in numbers:
            state = self.folder / "devices" / f"{self.model}-{number}"
            token = None if state.exists() else self._token()
            with EdgeDevice(
                state, hub=url, token=token, model=self.model, config=config, background=False
            ) as device:
                result = device.sync()
                if result.errors:
                    raise RuntimeError(f"a device failed: {result.errors}")

    def _token(self) -> str:
        return self.hub.fleet.new_token(self.model, uses=1, seconds=3_600, actor="benchmark")

    def update(self, change: Callable[[], int], name: str) -> Traffic:
        """Return what it costs everybody to follow a change, whose files have so many bytes."""
        print(f"fleet: {name}", file=sys.stderr)
        files = change()
        self.hub.forms.make()
        proxy = CuttingProxy(self.url)
        self.sync(range(self.devices), proxy.url)
        proxy.close()
        return Traffic(name, files, (proxy.down + proxy.up) / self.devices)


def fleets(folder: Path, devices: int, megabytes: float) -> Iterator[Traffic]:
    """Yield the traffic of each kind of update."""
    kinds = {
        "head-only fine-tune": "head", "full fine-tune (noise 1e-4)": "full",
        "full retrain": "anew",
    }  # fmt: skip
    with served(folder / "hub") as (hub, url):
        for name, kind in kinds.items():
            line = Line(hub, url, f"fleet-{kind}", folder, devices)
            before, oldest = trained_network(megabytes), trained_network(megabytes, "full", 5)
            line.publish("1.0", oldest)
            late = devices // LATE
            line.sync(range(late), url)
            line.publish("1.1", before)
            line.sync(range(late, devices), url)
            after = trained_network(megabytes, kind)
            yield line.update(functools.partial(line.released, "1.2", after), name)
        yield _packs(Line(hub, url, "fleet-pack", folder, devices))


def _packs(line: Line) -> Traffic:
    release = line.publish("1.0", {})
    entries = 20_000
    keys = np.random.default_rng(1).integers(0, 256, (entries, 16), np.uint8)
    _publish_answers(line, release, keys)
    line.sync(range(line.devices), line.url)
    keys = keys.copy()
    changed = int(entries * CHURN)
    keys[:changed] = np.random.default_rng(2).integers(0, 256, (changed, 16), np.uint8)
    return line.update(lambda: _publish_answers(line, release, keys), "pack churn of 5%")


def _publish_answers(line: Line, release: Release, keys: NDArray[np.uint8]) -> int:
    path = line.folder / "new.pack"
    spread = keys[:, :12].astype(np.float32).reshape(len(keys), 3, 4).sum(axis=2)
    probabilities = spread / spread.sum(axis=1, keepdims=True)
    label = probabilities.argmax(axis=1).astype(np.int32)
    outputs = {"label": label, "probabilities": probabilities.astype(np.float32)}
    write_pack(path, release, keys, outputs, answered_by="benchmark 1.0")
    published = publish_pack(line.hub.registry, line.hub.plans, line.model, path, ANSWERS)
    line.hub.plans.change(
        line.model,
        lambda plan: replace(plan, serving=replace(plan.serving, pack=published.pack)),
        actor="benchmark",
        reason="benchmark",
    )
    return published.pack.file.length


def report(sizes: Sequence[Sizes], traffic: Sequence[Traffic], devices: int) -> str:
    """Return the page."""
    text = [
        "# Bytes on the wire",
        "Written by `make bytes`. Ratios to the whole file, smaller is better; seconds are those "
        "of making the delta, once, at the hub.",
        f"Machine: {', '.join(f'{name} {value}' for name, value in machine.facts().items())}; "
        f"zstd {zstd.zstd_version}, bsdiff4 {bsdiff4.__version__}.",
        "## Files",
        "*compressed* is our form without a base, *delta* the one of what the device holds; a "
        "device takes the smallest of these and the whole file.",
        "| update | bytes | zstd -19 | bsdiff4 | compressed | delta | **device takes** | "
        "bsdiff4 s | delta s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    text[-1] += "".join(f"\n{_row(size)}" for size in sizes)
    text += [
        "## Fleet",
        f"{devices} devices, one in {LATE} of them a version behind; HTTP in both directions, "
        "with metadata, plan, check-in and heads, per device.",
        "| update | bytes of the files | on the wire | share |\n|---|---:|---:|---:|",
    ]
    text[-1] += "".join(
        f"\n| {t.name} | {t.files:,} | {t.wire:,.0f} | {t.wire / t.files:.3f} |" for t in traffic
    )
    return "\n\n".join(text) + "\n"


def _row(s: Sizes) -> str:
    shares = (s.zstd, s.bsdiff, s.compressed, s.delta)
    columns = " | ".join(f"{count / s.whole:.3f}" for count in shares)
    times = " | ".join(f"{seconds:.2f}" for seconds in s.seconds)
    return f"| {s.name} | {s.whole:,} | {columns} | **{s.ours / s.whole:.3f}** | {times} |"


if __name__ == "__main__":
    sys.exit(main())
