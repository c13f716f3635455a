"""When a device adds to the hub's sums over units, and what that may cost them.

Invariants:

* A device reports once for each generation of a prior, a fixed time after it came, and no unit is
  in a report twice. Nothing about a unit is kept for it: the sums are made of the units' own
  states in that moment, so a unit that was forgotten before is in none of them.
* Without noise there is no report of fewer than ``minimum_units`` units: it waits until there are
  so many.
* With noise the report goes out at its time whatever it holds, be it no unit at all: when a device
  reports says nothing of who uses it. All reports of a model keep within
  :data:`~edge_sdk.personalise.sums.noise.TOTAL_EPSILON`; afterwards there is none.
* That a report was made is on the disk before it leaves, so a power cut may lose it and never
  doubles it. Where the disk takes nothing, nothing is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from edge_sdk.contract.personal.report import DELTA, PersonalReport
from edge_sdk.personalise.sums.noise import affordable, multiplier_of
from edge_sdk.personalise.sums.unit_sums import Summary, UnitSums, scales_of
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.contract.serving_terms import Personalisation

_log = Log(__name__)

SUMS: Final = "personal_sums"
"""When the sums of a generation began, and whether they were sent, by generation."""

KEPT: Final = 8
"""Generations that are remembered, the newest. Two serve at once while an experiment tries one."""

SPENT: Final = "personal_spent"
"""Sum of 1/σ² of all reports with noise about the model."""

DAY: Final = 86_400.0
AGAIN: Final = 3_600.0
"""Seconds after which a device with too few units looks again, at the latest."""


class Values(Protocol):
    """Values on the device's disk; :class:`~edge_sdk.update.model_state.ModelState` has them."""

    @property
    def on_disk(self) -> bool:
        """Return whether what is stored outlives the process."""

    def get(self, name: str) -> Any:
        """Return the JSON value under ``name``, or ``None``."""

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value under ``name``."""


class Contributions:
    """Reports of one model on one device.

    Args:
        values: of the model on the device's disk.
        prior: that units begin with.
        terms: of the plan.
        cohort: of this device, empty for none.
        gauss: normal numbers of (mean, deviation); by default of the system's randomness.
    """

    def __init__(
        self,
        values: Values,
        prior: PersonalPrior,
        terms: Personalisation,
        cohort: str = "",
        gauss: Callable[[float, float], float] | None = None,
    ) -> None:
        self._values, self._prior, self._terms, self._cohort = values, prior, terms, cohort
        self._gauss, self._next = gauss, -math.inf

    def collect(
        self, now: float, summaries: Callable[[], Iterable[Summary]]
    ) -> list[PersonalReport]:
        """Return the report, once it is due; else nothing, at next to no cost.

        Args:
            now: Unix seconds.
            summaries: of all units of the prior's basis; asked only when a report is due.
        """
        if now < self._next or not self._values.on_disk:
            return []
        begun = self._begun(now)
        self._next = begun["start"] + self._terms.report_days * DAY
        if begun["sent"]:
            self._next = math.inf
        elif now >= self._next:
            # In a week of waiting an hour is nothing; where it is minutes it would be.
            self._next = now + min(AGAIN, self._terms.report_days * DAY / 24)
            return self._report(begun["start"], now, summaries)
        return []

    def _begun(self, now: float) -> dict[str, Any]:
        """The sums of this generation: when they began, and whether they were sent."""
        known, generation = self._known(), self._prior.generation
        if generation not in known:
            # One that is older than all that are remembered was over long ago.
            sent = len(known) >= KEPT and generation < min(known)
            known[generation] = {"start": now, "sent": sent}
            if not sent:
                self._remember(known)
        begun = known[generation]
        # A clock that was set back must not put the report off by as much.
        return {**begun, "start": min(begun["start"], now)}

    def _known(self) -> dict[int, dict[str, Any]]:
        found = self._values.get(SUMS)
        entries = found.items() if isinstance(found, dict) else ()
        return {int(name): each for name, each in entries if name.isdecimal() and _readable(each)}

    def _remember(self, known: dict[int, dict[str, Any]]) -> None:
        newest = sorted(known)[-KEPT:]
        self._values.put(SUMS, {str(generation): known[generation] for generation in newest})

    def _report(
        self, start: float, now: float, summaries: Callable[[], Iterable[Summary]]
    ) -> list[PersonalReport]:
        epsilon, multiplier = self._terms.epsilon, None
        if epsilon is not None:
            multiplier = multiplier_of(epsilon, DELTA)
            if not affordable(self._spent, multiplier, DELTA):
                self._close(start, None)
                _log.info("%s: units have given all that noise can hide", self._prior.model)
                return []
        sums = UnitSums(scales_of(self._prior), multiplier)
        for unit in summaries():
            sums.add(unit)
        if multiplier is None and sums.units < self._terms.minimum_units:
            return []
        self._close(start, multiplier)
        prior, delta = self._prior, None if epsilon is None else DELTA
        return [
            PersonalReport(
                prior.model, prior.version, prior.generation, prior.basis_digest,
                int(start), int(now), cohort=self._cohort, epsilon=epsilon, delta=delta,
                **sums.numbers(self._gauss),
            )
        ]  # fmt: skip

    def _close(self, start: float, multiplier: float | None) -> None:
        """Note on the disk that nothing more is reported for this generation, and what it cost."""
        self._next = math.inf
        if multiplier is not None:
            # First: a power cut in between costs ε and no privacy.
            self._values.put(SPENT, self._spent + multiplier**-2)
        self._remember({**self._known(), self._prior.generation: {"start": start, "sent": True}})

    @property
    def _spent(self) -> float:
        found = self._values.get(SPENT)
        if found is None:
            return 0.0
        # A value that the disk has damaged is no licence to begin anew.
        return float(found) if isinstance(found, float | int) and found >= 0 else math.inf


def _readable(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and isinstance(found.get("start"), float | int)
        and isinstance(found.get("sent"), bool)
    )
