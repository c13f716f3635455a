"""Figures of the local server and its device, as text for Prometheus."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

SECONDS: Final = (
    *(5e-05, 1e-04, 2.5e-04, 5e-04, 1e-03, 2.5e-03, 5e-03, 1e-02),
    *(2.5e-02, 5e-02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
"""Upper bounds of the histogram of times."""

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MIB: Final = 1 << 20

Sample = tuple[str, Mapping[str, str], float]
"""Ending of the name, labels, value."""


class ServerMetrics:
    """Counts of one server. Safe from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._predictions: Counter[tuple[str, str]] = Counter()
        self._times = [0] * (len(SECONDS) + 1)
        self._seconds = 0.0
        self._displaced = 0

    def answered(self, protocol: str, status: int) -> None:
        """Count a request by the status of its answer."""
        with self._lock:
            self._requests[protocol, status] += 1

    def predicted(self, model: str, source: str, rows: int, seconds: float) -> None:
        """Count the rows of a request to infer, and how long it took from its last byte on."""
        with self._lock:
            self._predictions[model, source] += rows
            self._times[bisect.bisect_left(SECONDS, seconds)] += 1
            self._seconds += seconds

    def displaced(self) -> None:
        """Count a connection that had to make room for another."""
        with self._lock:
            self._displaced += 1

    def text(self, connections: int, status: Mapping[str, Any]) -> str:
        """Return all figures.

        Args:
            connections: open now.
            status: of the device; empty if it cannot be reached.
        """
        with self._lock:
            requests, predictions = dict(self._requests), dict(self._predictions)
            times, seconds, displaced = list(self._times), self._seconds, self._displaced
        families = itertools.chain(
            _server(requests, predictions, connections, displaced),
            [_histogram(times, seconds)],
            _device(status),
        )
        return "".join(map(_written, families))


Family = tuple[str, str, str, Iterable[Sample]]
"""Name, type, help, samples."""


def _server(
    requests: Mapping[tuple[str, int], int],
    predictions: Mapping[tuple[str, str], int],
    connections: int,
    displaced: int,
) -> Iterator[Family]:
    yield (
        "edge_server_requests", "counter", "Requests by the status of their answer.",
        [("_total", {"protocol": p, "status": str(s)}, n) for (p, s), n in requests.items()],
    )  # fmt: skip
    yield (
        "edge_server_predictions", "counter", "Rows answered, by the source of the answer.",
        [("_total", {"model": m, "source": s}, n) for (m, s), n in predictions.items()],
    )  # fmt: skip
    yield (
        "edge_server_connections", "gauge", "Connections that are open now.",
        [("", {}, connections)],
    )  # fmt: skip
    yield (
        "edge_server_connections_displaced", "counter",
        "Connections whose clients kept the server waiting longest when another needed the place.",
        [("_total", {}, displaced)],
    )  # fmt: skip


def _histogram(times: list[int], seconds: float) -> Family:
    bounds = [*map(repr, SECONDS), "+Inf"]
    counts = list(itertools.accumulate(times))
    buckets = [("_bucket", {"le": b}, n) for b, n in zip(bounds, counts, strict=True)]
    samples = [*buckets, ("_sum", {}, seconds), ("_count", {}, counts[-1])]
    what = "Seconds from the last byte of a request to infer until its answer is there."
    return "edge_server_inference_seconds", "histogram", what, samples


def _device(status: Mapping[str, Any]) -> Iterator[Family]:
    models: Mapping[str, Mapping[str, Any]] = status.get("models", {})
    serving = {name: model for name, model in models.items() if model.get("version")}
    releases = [
        {"model": name, "version": model["version"], "variant": model.get("variant") or ""}
        for name, model in serving.items()
    ]
    yield (
        "edge_device_ready", "gauge", "1 if a release of the model serves.",
        [("", {"model": name}, float(name in serving)) for name in models],
    )  # fmt: skip
    yield (
        "edge_device_release", "gauge", "The release that serves.",
        [("_info", labels, 1) for labels in releases],
    )  # fmt: skip
    if isinstance(waiting := status.get("waiting"), int):
        what = "Messages that wait for the hub."
        yield "edge_device_messages_waiting", "gauge", what, [("", {}, waiting)]
    memory = status.get("resources", {}).get("rss_mb")
    if memory is not None:
        what = "Memory that the process which runs the device holds."
        yield "edge_device_resident_memory_bytes", "gauge", what, [("", {}, memory * _MIB)]


def _written(family: Family) -> str:
    name, kind, what, samples = family
    # In this format a counter's type line has its ending, too; an info is a gauge.
    ending = {"counter": "_total"}.get(kind, "")
    if name == "edge_device_release":
        ending = "_info"
    lines = [f"# HELP {name}{ending} {what}", f"# TYPE {name}{ending} {kind}"]
    for suffix, labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(
            f"{name}{suffix}{{{inner}}} {value!r}" if inner else f"{name}{suffix} {value!r}"
        )
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
