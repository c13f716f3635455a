"""Joules of the whole device while one release alone answers.

Invariants:

* The meter is read where a device folds, starts or ends, never in a call that predicts; an app's
  own meter is read in a thread that may hang as long as it likes.
* Joules are reported only of an interval between two good readings in which one release answered
  and nothing ran beside it, so that no version is charged with what another one drew.
* A meter that fails costs the interval, which is counted with its reason, and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.window import Energy
from edge_sdk.errors import StateError
from edge_sdk.telemetry.meters import InTime, Meter, find_meter, why_none

if TYPE_CHECKING:  # not needed at start
    from edge_sdk.contract.messages import Body

SYNCS: Final = 20
"""Syncs whose joules the status averages, the newest."""

READ_SECONDS: Final = 60.0
"""At most between two readings, so that a counter begins again no more than once in between."""


@dataclass(frozen=True)
class MeterFault:
    """The reason why joules of an interval are unknown: a word to count by, and a message."""

    kind: str
    message: str


@dataclass(frozen=True)
class EnergyInterval:
    """Joules that the device drew while ``who`` answered alone; ``fault`` if they are unknown."""

    who: object
    joules: float
    seconds: float
    fault: MeterFault | None = None


class EnergyUse:
    """Intervals of one device, one after the other.

    Args:
        meter: joules so far; ``None`` where nothing counts them.
        name: of the meter, for people; without a meter why there is none.
        clock: seconds that only go forward.
    """

    def __init__(
        self, meter: Meter | None, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._meter = meter
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._who: object = None
        self._window = 0
        self._began = self._read_at = clock()
        self._last: float | None = None
        self._joules = 0.0
        self._fault: MeterFault | None = None
        self._last_message = ""
        self._latest: Energy | None = None
        self._why = ""
        self._dropped: Counter[str] = Counter()
        self._drawn = 0.0
        self._syncs: deque[tuple[float, float]] = deque(maxlen=SYNCS)

    def begin(self, who: object, window: int) -> None:
        """``who`` answers from now on and has not answered before; ``window`` is that of now."""
        if self._meter is None or self._why:
            return
        with self._lock:
            self._read()
            self._start(who, window)

    def give_up(self, why: str) -> None:
        """Charge no release with joules from now on; those of syncs are measured all the same.

        Args:
            why: a sentence, for the status.
        """
        with self._lock:
            self._why = why

    def mix(self) -> None:
        """Something else answers too, or no longer does: this window's joules are nobody's."""
        self._who = None

    def collect(self, who: object, window: int, *, final: bool = False) -> EnergyInterval | None:
        """Return the interval that ends with a window, or (with ``final``) now.

        Args:
            who: answers alone now, or ``None``.
            window: number of the window that it is now.
            final: end the interval now.
        """
        if self._meter is None or self._why:
            return None
        with self._lock:
            if window == self._window and not final:
                if self._clock() - self._read_at >= READ_SECONDS:
                    self._read()
                return None
            self._read()
            ended = None
            if who is not None and who is self._who:
                seconds = self._clock() - self._began
                ended = EnergyInterval(who, self._joules, seconds, self._fault)
            self._start(who, window)
            return ended

    def charged(self, bodies: list[Body], interval: EnergyInterval) -> list[Body]:
        """Return ``bodies`` with the joules of ``interval`` in the first of their window reports.

        They are all reports of its release about it: of more than one window where the device was
        idle for long.
        """
        from edge_sdk.contract.messages import WindowReport

        windows = [body for body in bodies if isinstance(body, WindowReport)]
        made = sum(sum(w.predictions.values()) + w.lost.get("ring", 0) for w in windows)
        if not made:
            return bodies
        first, energy = windows[0], self._shared(interval, made)
        charged = replace(first, energy=energy)
        if energy is None:
            charged = replace(first, lost={**first.lost, "meter": 1})
        return [charged if body is first else body for body in bodies]

    def _shared(self, interval: EnergyInterval, made: int) -> Energy | None:
        """The energy of ``made`` predictions; an interval that cannot be is dropped."""
        fault = interval.fault
        if not fault:
            try:
                joules, seconds = round(interval.joules, 6), round(interval.seconds, 3)
                self._latest = Energy(joules, made, seconds)
                return self._latest
            except ContractError as error:
                fault = MeterFault("cannot be", str(error))
        self._dropped[fault.kind] += 1
        self._last_message = fault.message
        return None

    @contextlib.contextmanager
    def syncing(self) -> Iterator[None]:
        """Measure the joules that the device draws while the block runs, predictions included."""
        before, began = self._so_far(), self._clock()
        yield
        after = self._so_far() if before is not None else None
        if before is not None and after is not None:
            self._syncs.append((after - before, self._clock() - began))

    def _so_far(self) -> float | None:
        """Joules between good readings so far; ``None`` where this one is none."""
        if self._meter is None:
            return None
        with self._lock:
            self._read()
            return None if self._last is None else self._drawn

    def status(self) -> dict[str, Any]:
        """Return the meter, the latest figures, and counts of dropped intervals by reason."""
        if self._meter is None:
            return {"meter": None, "why": self._name}
        status: dict[str, Any] = {"meter": self._name, "dropped": dict(self._dropped)}
        if self._why:
            status["why"] = self._why
        if self._last_message:
            status["said"] = self._last_message
        if self._latest is not None:
            latest = self._latest
            status["joules_per_1000_predictions"] = 1e3 * latest.joules / latest.predictions
            status["watts"] = latest.joules / latest.seconds
        if syncs := tuple(self._syncs):
            joules, seconds = map(sum, zip(*syncs, strict=True))
            status["joules_a_sync"], status["seconds_a_sync"] = (
                joules / len(syncs), seconds / len(syncs),
            )  # fmt: skip
        return status

    def _start(self, who: object, window: int) -> None:
        message = self._fault.message if self._fault is not None else self._last_message
        self._who, self._window = who, window
        self._began, self._joules = self._clock(), 0.0
        self._fault = MeterFault("no beginning", message) if self._last is None else None

    def _read(self) -> None:
        """Add what was drawn since the reading before; a bad reading is the interval's fault."""
        assert self._meter is not None
        # Without a last reading until this one is good: what a fault hides is charged to nobody.
        before, self._last, self._read_at = self._last, None, self._clock()
        try:
            now = float(self._meter())
        except Exception as error:
            self._fault = MeterFault("raised", f"{type(error).__name__}: {error}")
            return
        if not math.isfinite(now):
            self._fault = MeterFault("no number", f"{now} J")
            return
        self._last = now
        if before is not None and now < before:
            self._fault = MeterFault("backwards", f"{before} J, then {now} J")
        elif before is not None:
            self._joules += now - before
            self._drawn += now - before


def energy_use(meter: Meter | None) -> EnergyUse:
    """Return the energy use by an app's own meter, or by the machine's counters.

    Raises:
        StateError: ``meter`` is no function.
    """
    if meter is None:
        counters = find_meter()
        return EnergyUse(counters, str(counters) if counters is not None else why_none())
    if not callable(meter):
        raise StateError(
            f"energy: expected a function that returns joules so far, got {meter!r:.60}"
        )
    return EnergyUse(InTime(meter), "the app's own")
