"""OpenTelemetry: traces and metrics over OTLP, where the environment names a collector.

FastAPI records the requests and exports them, each process its own, as the variables ``OTEL_…``
say; the hub adds its gauges, those of ``/metrics``, from the process that leads.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterable, Mapping, MutableMapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import HubFault
from cloud_hub.observability.figures import Figure, figures_of

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "fastapi.telemetry")

PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""What is asked every few seconds and says nothing."""

KEPT_SECONDS: Final = 5.0


def otlp_options(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``FastAPI`` is told; nothing where no collector is named.

    Args:
        environment: variables of this process.

    Raises:
        HubFault: a collector is named, and what speaks to it is not installed.
    """
    if not any(environment.get(name) for name in ENDPOINTS):
        return {}
    if missing := [name for name in NEEDED if not _is_there(name)]:
        extra = 'pip install "edge-deployment-sdk[otel]"'
        raise HubFault(f"OpenTelemetry: {missing[0]} is not installed; {extra}")
    # No logs: a validation error's record would hold what somebody sent.
    options = {"auto_configure": True, "logs": False, "operation_spans": False}
    return {"telemetry": {**options, "exclude": is_probe}}


def is_probe(scope: MutableMapping[str, Any]) -> bool:
    """Return whether a request is one of those that supervisors send."""
    return scope.get("path") in PROBES


def export_gauges(hub: Hub) -> None:
    """Have the gauges of ``/metrics`` exported too; once for each process.

    Args:
        hub: whose they are.
    """
    from opentelemetry.metrics import get_meter

    read = _Read(hub)
    meter = get_meter("edge-hub")
    for figure in read.figures():
        callback = functools.partial(_observed, read, figure.name)
        meter.create_observable_gauge(figure.name, [callback], description=figure.help)


class _Read:
    """Gauges of a hub, kept for a moment: each is asked for by itself."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._at, self._kept = -KEPT_SECONDS, list[Figure]()

    def figures(self) -> list[Figure]:
        """Return all gauges."""
        with self._lock:
            if time.monotonic() - self._at >= KEPT_SECONDS:
                checks = self._hub.readiness.checks()
                self._kept = figures_of(self._hub, checks, time.time())
                self._at = time.monotonic()
            return self._kept

    def leads(self) -> bool:
        """Return whether this process speaks for the hub: of several workers one does."""
        return self._hub.loop.leads or self._hub.settings.servers == 1


def _observed(read: _Read, name: str, _: Any) -> Iterable[Any]:
    from opentelemetry.metrics import Observation

    if not read.leads():
        return
    for figure in read.figures():
        if figure.name == name:
            for labels, value in figure.values:
                yield Observation(value, dict(zip(figure.labels, labels, strict=True)))


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
