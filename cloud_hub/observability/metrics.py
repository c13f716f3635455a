"""What is counted of a hub, in Prometheus' text format.

No label names a device, a token or a path: labels are models, kinds, parts of the loop, groups of
routes and classes of status, of which there are as many as somebody has published or written.

Where one hub has several workers, the environment names a folder (``PROMETHEUS_MULTIPROC_DIR``) in
which they share their counters, and whichever worker is asked answers for all of them. What comes
from the database and the machine is the same whoever is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.observability.figures import Figure

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the histogram of answers, in seconds."""

SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"


class HubMetrics:
    """Counters of one process of a hub.

    Prometheus' client is imported here and not with the module: it decides at that moment whether
    workers share their counters, which are forked before.
    """

    def __init__(self) -> None:
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Histogram,
            ProcessCollector,
            disable_created_metrics,
        )

        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        if SHARED not in os.environ:
            ProcessCollector(registry=registry)
        self._requests = Counter(
            "edge_hub_http_requests",
            "Requests that were answered.",
            ("group", "method", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "edge_hub_http_request_duration_seconds",
            "Time from a request to the end of its answer.",
            ("group",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._rows = Counter(
            "edge_hub_inference_rows",
            "Rows that the hub's models answered, for devices and for callers.",
            ("model", "asker"),
            registry=registry,
        )
        # Looking a child up by its labels takes three times as long as counting.
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._askers: dict[tuple[str, str], Any] = {}

    def answered(self, group: str, method: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            group: of routes.
            method: of HTTP.
            status: of HTTP; its class is counted.
            seconds: that it took.
        """
        key = (group, method, status // 100)
        if key not in self._children:
            count = self._requests.labels(group, method, f"{status // 100}xx")
            self._children[key] = (count, self._seconds.labels(group))
        count, times = self._children[key]
        count.inc()
        times.observe(seconds)

    def inferred(self, model: str, asker: str, rows: int) -> None:
        """Count rows that a model of the hub answered.

        Args:
            model: that was asked.
            asker: ``device`` or ``caller``.
            rows: how many.
        """
        if (model, asker) not in self._askers:
            self._askers[model, asker] = self._rows.labels(model, asker)
        self._askers[model, asker].inc(rows)

    def text(self, figures: Iterable[Figure]) -> bytes:
        """Return all metrics in the text format.

        Args:
            figures: what is read at this moment, from the database and the machine.
        """
        from prometheus_client import CollectorRegistry, generate_latest

        now = CollectorRegistry()
        now.register(_Collected([_gauge(figure) for figure in figures]))
        return generate_latest(self._counters()) + generate_latest(now)

    def _counters(self) -> CollectorRegistry:
        if SHARED not in os.environ:
            return self._registry
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return shared


class _Collected:
    """A collector of metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """Return them."""
        return self._metrics


def _gauge(figure: Figure) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    gauge = GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
    for labels, value in figure.values:
        gauge.add_metric(labels, value)
    return gauge
