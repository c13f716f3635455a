"""A pack by entity of a million entries: from stored answers to the signed index that names it.

Invariants:

* Answers are computed and stored before; a tick then spools, builds, signs and publishes.
* On a cluster the same pack is built once more, in turns with this machine, and compared by its
  digest. Its two nodes share the cores of this machine, so what is lost is what travelling costs.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine import entity_pack, hub_with_generation
from benchmarks.hub.scale_row import ScaleRow
from benchmarks.hub.served import every_core
from cloud_hub.engine.local import LocalEngine
from cloud_hub.engine.ray_engine import RayEngine

if TYPE_CHECKING:
    from benchmarks.hub.scale_row import Bench
    from cloud_hub.engine.engine import Engine
    from cloud_hub.hub import Hub

ENTRIES: Final = 1_000_000
QUICK_ENTRIES: Final = 20_000
ROUNDS: Final = 2
SECONDS: Final = 60.0
RATIO: Final = 1.3
WHAT: Final = "pack of 10⁶ entries: build, sign, publish"
GOAL: Final = "≤ 60 s local; on Ray byte-identical and ≤ 1.3×"


def publishing(bench: Bench) -> list[ScaleRow]:
    """Publish a pack by entity here, and on a Ray cluster where Ray is installed."""
    hub = hub_with_generation(bench.folder, QUICK_ENTRIES if bench.quick else ENTRIES)
    try:
        if bench.quick or importlib.util.find_spec("ray") is None:
            return [_row(*_in_turns(hub, {"local": LocalEngine()}))]
        from tests.ray_cluster import two_nodes

        with every_core(), two_nodes() as nodes:
            engines: dict[str, Any] = {"local": LocalEngine(), "ray": RayEngine(nodes.address)}
            return [_row(*_in_turns(hub, engines))]
    finally:
        hub.close()


def _in_turns(hub: Hub, engines: dict[str, Engine]) -> tuple[dict[str, float], bool]:
    """Return the better seconds of each engine, and whether all packs are the same."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    digests = set()
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            took, digest = entity_pack(hub, engine)
            seconds[name].append(took)
            digests.add(digest)
    return {name: min(each) for name, each in seconds.items()}, len(digests) == 1


def _row(seconds: dict[str, float], same: bool) -> ScaleRow:
    local = seconds["local"]
    found, met = f"{local:.1f} s", local <= SECONDS and same
    if "ray" in seconds:
        ratio = seconds["ray"] / local
        said = "the same bytes" if same else "OTHER BYTES"
        found += f"; Ray, two nodes here: {seconds['ray']:.1f} s ({ratio:.2f}×), {said}"
        met = met and ratio <= RATIO
    return ScaleRow("pack", WHAT, GOAL, found, met, seconds)
