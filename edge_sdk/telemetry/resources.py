"""Resources of this process and machine: memory, processor time, temperature."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_sdk.system.operating_system import resident_mb

_TEMPERATURE: Final = Path("/sys/class/thermal/thermal_zone0/temp")


class ResourceUse:
    """Samples of one process. What the platform does not tell is left out of a sample.

    Units: ``rss_mb`` MiB held now; ``cpu_share`` processor seconds of this process for each second
    since the sample before (1.0 is one core); ``temperature_c`` degrees Celsius of the machine.
    """

    def __init__(self) -> None:
        self._at, self._cpu = time.monotonic(), time.process_time()

    def sample(self) -> dict[str, float]:
        """Return the figures of now."""
        now, cpu = time.monotonic(), time.process_time()
        elapsed = now - self._at
        figures = {
            "rss_mb": resident_mb(),
            "cpu_share": (cpu - self._cpu) / elapsed if elapsed > 0 else None,
            "temperature_c": temperature_c(),
        }
        self._at, self._cpu = now, cpu
        return {name: round(value, 3) for name, value in figures.items() if value is not None}


def temperature_c(path: Path = _TEMPERATURE) -> float | None:
    """Return the temperature of the first thermal zone, °C; ``None`` where there is none."""
    try:
        return int(path.read_text()) / 1e3
    except (OSError, ValueError):
        return None


def worst(samples: list[Mapping[str, float]]) -> dict[str, float]:
    """Return the largest value of each resource."""
    names = {name for sample in samples for name in sample}
    return {name: max(s[name] for s in samples if name in s) for name in sorted(names)}
