"""The reference of metrics: those of a hub, and those of a device's local server."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import Final

OPENING: Final = """\
<!-- Made from the code by handbook/metrics.py. -->

# Metrics

A hub answers `GET /metrics` in Prometheus' text format for whoever has the role viewer;
[Operations](../OPERATIONS.md) says how to scrape it, and `deploy/grafana/edge-hub.json` is a
dashboard over these. No label names a device, a token or a path.

| metric | kind | tells |
|---|---|---|
"""


def page() -> str:
    """Return the page."""
    return OPENING + "\n".join(_rows(_text())) + "\n"


def _rows(text: str) -> list[str]:
    told = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE))
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    return [f"| `{name}` | {kind} | {told[name]} |" for name, kind in kinds]


def _text() -> str:
    from cloud_hub.hub import initialise, open_hub
    from cloud_hub.observability.figures import figures_of
    from cloud_hub.observability.metrics import HubMetrics
    from cloud_hub.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "hub", tick_seconds=0)
        initialise(settings)
        hub = open_hub(settings)
        try:
            figures = figures_of(hub, hub.readiness.checks(), time.time())
            return HubMetrics().text(figures).decode()
        finally:
            hub.close()
