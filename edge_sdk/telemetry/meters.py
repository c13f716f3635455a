"""Meters: functions that count the joules that this machine draws, where something does.

A *meter* is any function that returns joules so far: only what it gains between two calls is ever
looked at. Linux counts for itself in two places. Processors with RAPL (Intel, AMD) count each
package (``/sys/class/powercap``, often for root alone); some boards have a sensor that counts
(``energy1_input`` in ``/sys/class/hwmon``). A sensor that only says watts has to be asked again and
again by the app, which adds its watts to a :class:`Summed`.

Sources:
    Linux kernel, Documentation/power/powercap/powercap.rst and
    Documentation/ABI/testing/sysfs-class-hwmon.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Meter = Callable[[], float]
"""Joules so far."""

POWERCAP: Final = Path("/sys/class/powercap")
HWMON: Final = Path("/sys/class/hwmon")

CARDS: Final = ("i915", "xe", "amdgpu", "nouveau")
"""Drivers whose sensor counts a graphics card alone."""

MOST_WATTS: Final = 400.0
"""What one counter gains at most; more means that it was set back, or went around unseen."""

METER_SECONDS: Final = 1.0
"""How long a reading of an app's meter is waited for."""


@dataclass(frozen=True)
class Counter:
    """A file that counts microjoules and begins again at ``range``, if ever."""

    path: Path
    range: int | None = None

    def read(self) -> int:
        """Return its count, µJ; raises OSError or ValueError."""
        return int(self.path.read_text())


class Counters:
    """A meter of counters that add up: joules since the first call.

    It is to be read once a minute: a counter of a processor begins again after some more.
    """

    def __init__(
        self, counters: Sequence[Counter], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.counters = counters
        self._clock = clock
        self._before: tuple[float, list[int]] | None = None
        self._total = 0

    def __call__(self) -> float:
        """Raises OSError or ValueError; what was gained until the next call is then not counted."""
        last, self._before = self._before, None
        now, values = self._clock(), [counter.read() for counter in self.counters]
        if last is not None:
            at, before = last
            rows = zip(before, values, self.counters, strict=True)
            self._total += sum(gained(b, a, c.range, now - at) for b, a, c in rows)
        self._before = (now, values)
        return self._total / 1e6

    def __str__(self) -> str:
        return ", ".join(str(counter.path) for counter in self.counters)


def gained(before: int, after: int, counter_range: int | None, seconds: float) -> int:
    """Return the microjoules between two readings; the counter may have begun again once.

    Args:
        before: first reading, µJ.
        after: second reading, µJ.
        counter_range: where the counter begins again, µJ, if ever.
        seconds: between the two.

    Raises:
        ValueError: it was set back, or may have begun again more than once.
    """
    most = MOST_WATTS * 1e6 * seconds
    if counter_range is not None and counter_range < most:
        raise ValueError(f"not read for {seconds:.0f} s: it may have begun again unseen")
    if after >= before:
        return after - before
    around = after - before + (counter_range or 0)
    if not 0 <= around <= most:
        raise ValueError(f"went backwards, from {before} to {after} µJ")
    return around


def rapl(root: Path = POWERCAP) -> list[Counter]:
    """Return a counter for each processor package; none where they cannot be read."""
    counters = []
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:  # others are parts of a package, which counts for them
            counters += _readable(zone)
    return counters


def _readable(zone: Path) -> list[Counter]:
    try:
        name = zone / "name"
        if name.exists() and name.read_text().strip() == "psys":
            return []  # the whole platform, its packages included
        counter = Counter(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
        counter.read()
    except (OSError, ValueError):
        return []
    return [counter]


def hwmon(root: Path = HWMON) -> list[Counter]:
    """Return the sensors of the board that count, graphics cards left out."""
    counters = []
    for path in sorted(root.glob("hwmon*/energy*_input")):
        try:
            if (path.parent / "name").read_text().strip() not in CARDS:
                Counter(path).read()
                counters.append(Counter(path))
        except (OSError, ValueError):
            continue
    return counters


def find_meter(powercap: Path = POWERCAP, board: Path = HWMON) -> Counters | None:
    """Return a meter of the machine's own counters: the processor packages, else the board.

    Of several sensors of a board nobody says whether one counts what another counts too.
    """
    packages, sensors = rapl(powercap), hwmon(board)
    counters = packages or (sensors if len(sensors) == 1 else [])
    return Counters(counters) if counters else None


def why_none(powercap: Path = POWERCAP, board: Path = HWMON) -> str:
    """Return the reason why :func:`find_meter` has no meter, and what to do."""
    zones = [str(zone / "energy_uj") for zone in sorted(powercap.glob("intel-rapl:?"))]
    if zones:
        return (
            f"no meter: {', '.join(zones)} cannot be read by this process; let it, or run as root"
        )
    sensors = [str(counter.path) for counter in hwmon(board)]
    if sensors:
        return (
            f"no meter: several sensors count, perhaps the same twice ({', '.join(sensors)}); "
            "EdgeDevice(…, energy=…) takes a function that reads the right ones"
        )
    return (
        "no meter: neither processor nor board counts joules; EdgeDevice(…, energy=…) takes a "
        "function that does"
    )


class InTime:
    """An app's meter, read in a thread that may hang: it is not asked again before it came back."""

    def __init__(self, meter: Meter, seconds: float = METER_SECONDS) -> None:
        self._meter = meter
        self._seconds = seconds
        self._running: threading.Thread | None = None

    def __call__(self) -> float:
        """Raises what the meter raises, and TimeoutError."""
        if self._running is not None and self._running.is_alive():
            raise TimeoutError("still has not answered")
        answers: list[float | Exception] = []
        asking = threading.Thread(target=self._ask, args=(answers,), name="edge-meter", daemon=True)
        self._running = asking
        asking.start()
        asking.join(self._seconds)
        if not answers:
            raise TimeoutError(f"did not answer within {self._seconds:g} s")
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def _ask(self, answers: list[float | Exception]) -> None:
        try:
            answers.append(float(self._meter()))
        except Exception as error:
            answers.append(error)


class Summed:
    """A meter of watts: the app reads its sensor a few times a second, and adds each reading.

    Joules are those of the trapezoids between two answers. Where more than ``gap`` seconds are
    between them nobody knows; the next call then raises ValueError, and counting goes on.
    """

    def __init__(self, gap: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap = gap
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[float, float] | None = None
        self._total, self._lost = 0.0, 0.0

    def add(self, watts: float) -> None:
        """Take the sensor's reading of now; one that is not a number is ignored."""
        now, watts = self._clock(), float(watts)
        if not math.isfinite(watts):
            return
        with self._lock:
            at, before = self._last or (now, watts)
            self._last = (now, watts)
            if now - at > self._gap:
                self._lost = now - at
            else:
                self._total += (now - at) * (watts + before) / 2

    def __call__(self) -> float:
        """Raises ValueError: the sensor has not answered for a while."""
        with self._lock:
            at = self._last[0] if self._last is not None else -math.inf
            silent = max(self._lost, self._clock() - at)
            self._lost = 0.0
            if silent > self._gap:
                raise ValueError(f"no watts were added for {silent:.1f} s")
            return self._total
