"""Heavy work here and on a Ray cluster of two nodes on this machine, in one run.

``python -m benchmarks.engine`` measures trainings of the freshness analysis one after the other
and side by side, and the build of a pack by entity from a generation that is there. Nodes share the
cores of one machine, so what is gained is what two processes gain; what is lost is what travelling
costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cloud_hub.engine.local import LocalEngine
from cloud_hub.engine.ray_engine import RayEngine
from cloud_hub.freshness.analysis import FreshnessQuestion, LabelledHistory, freshness
from cloud_hub.freshness.spreading import spread_losses
from cloud_hub.runs.context import TrainingContext

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from cloud_hub.hub import Hub

ROOT: Final = Path(__file__).parents[1]
DAY: Final = 86_400.0
ENTRY: Final = "benchmarks.engine:train"
QUESTION: Final = FreshnessQuestion((60 * DAY, 14 * DAY, 2 * DAY))
"""On 240 days: 60 trainings of the schedules and 8 of the curve of ages."""


def train(context: TrainingContext) -> Any:
    """Train what takes about a second, in one thread."""
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(n_estimators=60, max_depth=3, random_state=context.seed)
    return model.fit(context.fresh.X, context.fresh.y)


def history(days: int = 240, a_day: int = 40, features: int = 12) -> LabelledHistory:
    """Return rows of two classes whose border turns."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, days * DAY, days * a_day))
    angle = np.pi * times / (days * DAY)
    X = rng.normal(size=(len(times), features)).astype(np.float32)
    y = (X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle) > 0).astype(np.int64)
    return LabelledHistory(X, y, times)


def trainings(engine: Engine | None, days: int = 240) -> tuple[float, str]:
    """Return the seconds of the analysis and its result; ``None``: in this process, in turn."""
    rows, began = history(days), time.perf_counter()
    known = {} if engine is None else spread_losses(engine, ENTRY, str(ROOT), rows, QUESTION)
    result = freshness(train, rows, QUESTION, known=(known, {}))
    return time.perf_counter() - began, json.dumps(result.as_json())


def entity_pack(hub: Hub, engine: Engine) -> tuple[float, str]:
    """Return the seconds from a whole generation to its signed index, and the pack's digest."""
    hub.repository.publish_entities("demo", b"")
    hub.entity_packs.build_with(engine)
    began = time.perf_counter()
    hub.entity_packs.tick(time.time())
    seconds, index = time.perf_counter() - began, hub.entity_packs.index("demo")
    if index is None:
        raise RuntimeError(hub.entity_packs.status("demo").refused)
    [share] = index.shares.values()
    return seconds, share.file.sha256


def hub_with_generation(folder: Path, entities: int) -> Hub:
    """Return a hub whose model has answered many entities."""
    from cloud_hub.hub import initialise, open_hub
    from cloud_hub.settings import Settings
    from tests.edge.builders import make_release
    from tests.hub.batch.shop import computed, declare, job, users

    settings = Settings(folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    hub.registry.publish(make_release(folder / "made"), actor="bench")
    hub.plans.promote("demo", "1.0", actor="bench", reason="measured")
    path = users(folder / "users.parquet", entities)
    declare(hub, job(f"{{parquet: {path}}}", "entities: all"))
    began = time.perf_counter()
    record = computed(hub)
    if record.status != "whole":
        raise RuntimeError(record.reason)
    print(f"{entities:,} entities answered and stored in {time.perf_counter() - began:.1f} s")
    return hub


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["trainings", "pack"])
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # in each process: else one training takes both cores
    from tests.ray_cluster import two_nodes

    found: dict[str, Any] = {"machine": f"{platform.processor()}, {os.cpu_count()} cores"}
    with two_nodes() as nodes, tempfile.TemporaryDirectory() as name:
        ray = RayEngine(nodes.address)
        if given.only != "pack":
            found["trainings"] = _beside(trainings, {"in turn": None,
                "two processes": LocalEngine(2, processes=True), "ray": ray})  # fmt: skip
        if given.only != "trainings":
            hub = hub_with_generation(Path(name), given.entities)
            try:
                found["pack"] = _beside(
                    lambda engine: entity_pack(hub, engine), {"local": LocalEngine(), "ray": ray}
                )
            finally:
                hub.close()
    print(json.dumps(found, indent=1))
    return 0


def _beside(measure: Callable[[Any], tuple[float, str]], engines: dict[str, Any]) -> dict[str, Any]:
    """Measure each engine, twice in turn; return seconds (the better), and that results agree."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    results = set()
    for _ in range(2):
        for name, engine in engines.items():
            took, result = measure(engine)
            seconds[name].append(took)
            results.add(result)
            print(f"{name}: {took:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    return {**{name: min(times) for name, times in seconds.items()}, "same": len(results) == 1}


if __name__ == "__main__":
    sys.exit(main())
