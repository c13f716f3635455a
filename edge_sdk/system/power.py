"""Whether this machine runs on its battery, as Linux says in ``/sys/class/power_supply``.

Sources:
    Linux kernel, Documentation/ABI/testing/sysfs-class-power.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SUPPLIES: Final = Path("/sys/class/power_supply")
_OWN: Final = "System"
"""Scope of what feeds the machine; a mouse has a battery, too, of scope ``Device``."""


def on_battery(root: Path = SUPPLIES) -> bool:
    """Return whether a battery feeds the machine and nothing else does; False where nobody says."""
    discharging, mains = False, False
    for supply in _supplies(root):
        if _text(supply / "scope", _OWN) != _OWN:
            continue
        if _text(supply / "type") == "Battery":
            discharging |= _text(supply / "status") == "Discharging"
        else:
            mains |= _text(supply / "online") == "1"
    return discharging and not mains


def _supplies(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []


def _text(path: Path, default: str = "") -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return default
