"""Trees of counter files as Linux has them in /sys."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RANGE: Final = 262_143_328_850
"""Microjoules after which the counter of a processor package begins again."""


def powercap(root: Path, **zones: int) -> Path:
    """RAPL zones ``package`` and ``psys``, with ``cores`` within the package, in microjoules."""
    names = {"package": "intel-rapl:0", "cores": "intel-rapl:0:0", "psys": "intel-rapl:1"}
    for kind, microjoules in zones.items():
        zone = root / names[kind]
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "name").write_text({"package": "package-0"}.get(kind, kind) + "\n")
        (zone / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (zone / "energy_uj").write_text(f"{microjoules}\n")
    return root


def board(root: Path, *chips: str, microjoules: int = 0) -> Path:
    """Sensors that count, one for each chip."""
    for i, chip in enumerate(chips):
        folder = root / f"hwmon{i}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{chip}\n")
        (folder / "energy1_input").write_text(f"{microjoules}\n")
    return root
