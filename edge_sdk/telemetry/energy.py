"""Joules of the whole device while one release alone answers.

Invariants:

* The meter is read where a device folds, starts or ends, never in a call that predicts; an app's
  own meter is read in a thread that may hang as long as it likes.
* Joules are told only of a stretch between two good readings in which one release answered and
  nothing ran beside it, so that no version is charged with what another one drew.
* A meter that fails costs the stretch, which is counted with its reason, and nothing else.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.window import Energy
from edge_sdk.errors import StateError
from edge_sdk.telemetry.meters import InTime, Meter, find_meter, why_none

if TYPE_CHECKING:  # not needed at start
    from edge_sdk.contract.messages import Body

READ_SECONDS: Final = 60.0
"""At most between two readings, so that a counter begins again no more than once in between."""


@dataclass(frozen=True)
class MeterFault:
    """Why nobody knows what was drawn: a word to count by, and what was said."""

    kind: str
    said: str


@dataclass(frozen=True)
class EnergyInterval:
    """What was drawn in a time in which ``who`` answered alone."""

    who: object
    joules: float
    seconds: float
    trouble: MeterFault | None = None


class EnergyUse:
    """Stretches of one device, one after the other.

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
        self._trouble: MeterFault | None = None
        self._said = ""
        self._latest: Energy | None = None
        self._dropped: Counter[str] = Counter()

    def begin(self, who: object, window: int) -> None:
        """``who`` answers from now on and has not answered before; ``window`` is that of now."""
        if self._meter is None:
            return
        with self._lock:
            self._read()
            self._start(who, window)

    def mix(self) -> None:
        """Something else answers too, or no longer does: until the next window nobody is told."""
        self._who = None

    def collect(self, who: object, window: int, *, final: bool = False) -> EnergyInterval | None:
        """The stretch that ends with a window, or (with ``final``) now.

        ``who`` answers alone now, or ``None``; ``window`` is that of now.
        """
        if self._meter is None:
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
                ended = EnergyInterval(who, self._joules, seconds, self._trouble)
            self._start(who, window)
            return ended

    def charged(self, bodies: list[Body], stretch: EnergyInterval) -> list[Body]:
        """``bodies`` with what ``stretch`` drew in the first of their window reports.

        They are all that its release has to tell of it, of more than one window where the device
        was not asked for long.
        """
        from edge_sdk.contract.messages import WindowReport

        windows = [body for body in bodies if isinstance(body, WindowReport)]
        made = sum(sum(w.predictions.values()) + w.lost.get("ring", 0) for w in windows)
        if not made:
            return bodies
        first, energy = windows[0], self._shared(stretch, made)
        told = replace(first, energy=energy)
        if energy is None:
            told = replace(first, lost={**first.lost, "meter": 1})
        return [told if body is first else body for body in bodies]

    def _shared(self, stretch: EnergyInterval, made: int) -> Energy | None:
        """What was drawn for ``made`` predictions; what cannot be is dropped."""
        trouble = stretch.trouble
        if not trouble:
            try:
                joules, seconds = round(stretch.joules, 6), round(stretch.seconds, 3)
                self._latest = Energy(joules, made, seconds)
                return self._latest
            except ContractError as error:
                trouble = MeterFault("cannot be", str(error))
        self._dropped[trouble.kind] += 1
        self._said = trouble.said
        return None

    def status(self) -> dict[str, Any]:
        """The meter, the latest that was told, and what was dropped for which reason."""
        if self._meter is None:
            return {"meter": None, "why": self._name}
        found: dict[str, Any] = {"meter": self._name, "dropped": dict(self._dropped)}
        if self._said:
            found["said"] = self._said
        if self._latest is not None:
            told = self._latest
            found["joules_a_prediction"] = told.joules / told.predictions
            found["watts"] = told.joules / told.seconds
        return found

    def _start(self, who: object, window: int) -> None:
        said = self._trouble.said if self._trouble is not None else self._said
        self._who, self._window = who, window
        self._began, self._joules = self._clock(), 0.0
        self._trouble = MeterFault("no beginning", said) if self._last is None else None

    def _read(self) -> None:
        """Add what was drawn since the reading before; a bad reading is the stretch's trouble."""
        assert self._meter is not None
        before, self._last, self._read_at = self._last, None, self._clock()
        try:
            now = float(self._meter())
        except Exception as error:
            self._trouble = MeterFault("raised", f"{type(error).__name__}: {error}")
            return
        if not math.isfinite(now):
            self._trouble = MeterFault("no number", f"{now} J")
            return
        self._last = now
        if before is not None and now < before:
            self._trouble = MeterFault("backwards", f"{before} J, then {now} J")
        elif before is not None:
            self._joules += now - before


def energy_use(given: Meter | None) -> EnergyUse:
    """Of an app's own meter, or of what this machine counts; raises :class:`StateError`."""
    if given is None:
        found = find_meter()
        return EnergyUse(found, str(found) if found is not None else why_none())
    if not callable(given):
        raise StateError(
            f"energy: expected a function that returns joules so far, got {given!r:.60}"
        )
    return EnergyUse(InTime(given), "the app's own")
