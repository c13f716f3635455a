"""A hub with very many versions: one of them by name, a page of them, the plan.

The rows are put into its tables as a publisher's uploads would have left them; the releases of the
page are folders of their own, and are read for the first time within the measurement. What the
signed metadata of so many versions takes is no part of it: docs/SCALE.md says what holds there.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import insert

from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import MODEL, ServedHub, prepare, served
from cloud_hub.api.token_files import ADMIN_FILE
from cloud_hub.hub import Hub, open_hub
from cloud_hub.registry.tables import models, versions
from cloud_hub.settings import Settings

MODELS: Final = 100
VERSIONS: Final = 10_000
PAGE: Final = 50
ASKED: Final = 200
CHUNK: Final = 50_000
WHAT: Final = "10,000 versions × 100 models over HTTP: resolve, page of 50, plan"
GOAL: Final = "≤ 5, ≤ 20, ≤ 20 ms"


def asking(bench: Bench) -> list[ScaleRow]:
    """Ask a hub with many versions, each question from one connection; the medians count."""
    count, each = (5, 200) if bench.quick else (MODELS, VERSIONS)
    data = bench.folder / "hub"
    tokens = prepare(data, 1)
    hub = open_hub(Settings(data, tick_seconds=0))
    try:
        _fill(hub, count, each)
        promoting = _promoted(hub, count, each)
    finally:
        hub.close()
    admin = (data / ADMIN_FILE).read_text().strip()
    random = np.random.default_rng(0)
    with served(data, tokens) as serving:

        def paths(ending: Callable[[], str]) -> Iterator[str]:
            while True:
                yield f"/v1/models/m{random.integers(count)}{ending()}"

        resolve = _asked(serving, admin, paths(lambda: f"/versions/{random.integers(each)}.0"))
        cold = _asked(serving, admin, _pages(each, PAGE * 4), times=4)
        warm = _asked(serving, admin, _pages(each, PAGE * 4))
        plan = _asked(serving, admin, paths(lambda: "/plan"))
    p50 = [1e3 * float(np.median(seconds)) for seconds in (resolve, warm, plan)]
    p99 = [1e3 * float(np.quantile(seconds, 0.99)) for seconds in (resolve, warm, plan)]
    found = (
        f"{p50[0]:.1f}, {p50[1]:.1f}, {p50[2]:.1f} ms (p99 {p99[0]:.1f}, {p99[1]:.1f}, "
        f"{p99[2]:.1f}); a page whose releases nobody has read yet "
        f"{1e3 * float(np.median(cold)):.0f} ms; a promote {1e3 * promoting:.0f} ms"
    )
    met = p50[0] <= 5 and p50[1] <= 20 and p50[2] <= 20
    return [ScaleRow("versions", WHAT, GOAL, found, met)]


def _fill(hub: Hub, count: int, each: int) -> None:
    """Add models ``m0``, ``m1``, … with versions ``0.0``, ``1.0``, …, oldest first."""
    record = hub.registry.version(MODEL, "1.0")
    cache = hub.settings.data / "cache"
    # A hub that has published it has its folder already.
    folder = hub.registry.release(MODEL, "1.0").folder
    own = {}
    for number in range(each - min(each, PAGE * 4), each):
        own[number] = hashlib.sha256(str(number).encode()).hexdigest()
        shutil.copytree(folder, cache / own[number])
    plain = {**vars(record), "status": "published"}
    rows: list[dict[str, Any]] = []
    with hub.engine.begin() as db:
        db.execute(insert(models), [{"model": f"m{n}", "policy": ""} for n in range(count)])
        for name in (f"m{n}" for n in range(count)):
            for number in range(each):
                manifest = own.get(number, record.manifest) if name == "m0" else record.manifest
                rows.append(
                    {**plain, "model": name, "version": f"{number}.0", "manifest": manifest,
                     "published_at": 1e9 + number}
                )  # fmt: skip
            if len(rows) >= CHUNK or name == f"m{count - 1}":
                db.execute(insert(versions), rows)
                rows.clear()


def _promoted(hub: Hub, count: int, each: int) -> float:
    """Let a version of every model serve; return the median seconds of one."""
    took = []
    for name in (f"m{n}" for n in range(count)):
        began = time.perf_counter()
        hub.plans.promote(name, f"{each // 2}.0", actor="benchmark", reason="first")
        took.append(time.perf_counter() - began)
    return float(np.median(took))


def _pages(each: int, newest: int) -> Iterator[str]:
    """Paths of pages of the newest versions of one model, again and again."""
    while True:
        for end in range(each - 1, each - newest, -PAGE):
            yield f"/v1/models/m0/versions?limit={PAGE}&before={end}.0"


def _asked(hub: ServedHub, token: str, paths: Iterator[str], times: int = ASKED) -> Sequence[float]:
    """Return the seconds of so many answers, one after the other."""
    took = []
    for _ in range(times):
        request = urllib.request.Request(
            f"http://127.0.0.1:{hub.port}{next(paths)}",
            headers={"Authorization": f"Bearer {token}"},
        )
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
        took.append(time.perf_counter() - began)
    return took
