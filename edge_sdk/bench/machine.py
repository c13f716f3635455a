"""Description of the machine of a benchmark: fixed properties, and changing conditions."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from edge_sdk.system.operating_system import usable_cores

_CPU: Final = "sys/devices/system/cpu/cpu0/cpufreq"
_SAME: Final = {"governor": f"{_CPU}/scaling_governor", "most kHz": f"{_CPU}/scaling_max_freq"}
_PACKAGES: Final = (
    "numpy", "onnxruntime", "edge-deployment-sdk-core", "edge-deployment-sdk-native",
)  # fmt: skip

# Bits of the firmware's word, as documented for `vcgencmd get_throttled`.
_THROTTLED: Final = {
    0: "under-voltage now", 1: "frequency capped now", 2: "throttled now",
    3: "soft temperature limit now", 16: "under-voltage since boot",
    17: "frequency capped since boot", 18: "throttled since boot",
    19: "soft temperature limit since boot",
}  # fmt: skip


def facts(root: Path = Path("/")) -> dict[str, str]:
    """Return fixed properties that affect latency: processor, cores, versions, governor."""
    values = {
        "cpu": _cpu(root),
        "cores": str(usable_cores()),
        "board": _read(root / "proc/device-tree/model"),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        **{name: _read(root / path) for name, path in _SAME.items()},
    }
    return {name: value for name, value in values.items() if value}


def conditions(root: Path = Path("/")) -> dict[str, str]:
    """Return conditions that change: clock rate, temperature, throttling, load, if available."""
    values = {
        "MHz": _megahertz(root),
        "°C": _degrees(_read(root / "sys/class/thermal/thermal_zone0/temp")),
        "throttling": throttling(root),
        "load": _read(root / "proc/loadavg").split(" ")[0],
    }
    return {name: value for name, value in values.items() if value}


def throttling(root: Path = Path("/")) -> str:
    """Describe throttling of the machine; empty if it is not reported.

    On a Raspberry Pi this is the firmware's status word (from sysfs or ``vcgencmd``), on x86 the
    kernel's count of throttling events since boot.
    """
    word = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled") or _vcgencmd()
    if word:
        return firmware_throttling(word)
    counts = root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    events = [int(text) for path in counts if (text := _read(path)).isdigit()]
    return f"{sum(events)} events since boot" if events else ""


def firmware_throttling(word: str) -> str:
    """Translate the firmware's status word, such as ``throttled=0x50005``."""
    match = re.search(r"(?:0x)?([0-9a-fA-F]+)\s*$", word)
    if match is None:
        return ""
    bits = int(match[1], 16)
    return ", ".join(text for bit, text in _THROTTLED.items() if bits >> bit & 1) or "none"


def _vcgencmd() -> str:
    program = shutil.which("vcgencmd")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu(root: Path) -> str:
    lines = _read(root / "proc/cpuinfo").splitlines()
    named = {a.strip(): b.strip() for a, _, b in (line.partition(":") for line in lines)}
    return named.get("model name") or named.get("Model") or platform.processor() or "unknown"


def _megahertz(root: Path) -> str:
    scaled = _read(root / f"{_CPU}/scaling_cur_freq")
    if scaled.isdigit():
        return str(int(scaled) // 1_000)
    match = re.search(r"^cpu MHz\s*:\s*(\d+)", _read(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1] if match else ""


def _degrees(millidegrees: str) -> str:
    return f"{int(millidegrees) / 1e3:.1f}" if millidegrees.lstrip("-").isdigit() else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _read(path: Path) -> str:
    try:
        # Device-tree files end with a NUL.
        return path.read_text(errors="replace").strip().rstrip("\0")
    except OSError:
        return ""
