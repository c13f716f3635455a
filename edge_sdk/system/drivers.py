"""Facts of this machine on which the answers and the speed of an accelerator depend."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Final

_MODULES: Final = ("nvidia", "amdgpu", "i915", "xe", "intel_vpu", "amdxdna", "msm", "panfrost")
"""Kernel modules of accelerators; most have no version but the kernel's."""


def driver_facts(root: Path = Path("/")) -> dict[str, str]:
    """Return kernel, processor and drivers by name, as far as the system tells.

    Args:
        root: folder in which ``proc`` and ``sys`` lie.
    """
    facts = {"kernel": platform.release(), "machine": platform.machine()}
    cpu = re.search(r"^model name\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    board = _read(root / "proc/device-tree/model").strip("\0\n")
    facts |= {"cpu": cpu[1]} if cpu is not None else {}
    facts |= {"board": board} if board else {}
    for name in _MODULES:
        module = root / "sys/module" / name
        if module.is_dir():
            facts[f"driver {name}"] = _read(module / "version").strip() or "of the kernel"
    return facts


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
