"""The section ``personalise`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.names import check_name
from edge_sdk.contract.serving_terms import Exploration, Personalisation

LONGEST: Final = 1e6
"""Labels or days of a half-life: as good as never."""


@dataclass(frozen=True)
class PersonalisePolicy:
    """How devices adapt to a unit (user, session), in private.

    ``mode``: ``off``; ``learn``: devices gather and report, and nobody is served a correction;
    ``on``: they serve it where the prior says that it helps, or the unit has shown it.
    ``unit_column`` names the units in labelled rows, for the prior that units without history begin
    with; it is no feature of the model. ``cohort`` is an attribute of devices, and a column of
    those rows: each of its values has a prior mean of its own.

    A device with fewer than ``minimum_units`` adds nothing to the hub's sums, unless ``epsilon``
    gives each of its reports noise (differential privacy by unit; at most 2). It reports once for
    each generation of a prior, ``report_days`` after that came. What was learned of a
    unit weighs half after ``half_life_labels`` further labels of it, or ``half_life_days`` (left
    out: as the fit of the prior found best). A ranking is with a chance of at most ``explore`` not
    the one that the unit's model thinks best, drawn as ``exploration`` says. Units take
    ``memory_bytes`` of a device's RAM at most, and the least recently used wait on its disk.
    """

    mode: Literal["off", "learn", "on"] = "off"
    unit_column: str | None = None
    cohort: str | None = None
    minimum_units: int = 20
    epsilon: float | None = None
    report_days: float = 7.0
    half_life_labels: float | None = None
    half_life_days: float | None = None
    exploration: Exploration = "thompson"
    explore: float = 0.1
    memory_bytes: int = 8_000_000

    def __post_init__(self) -> None:
        require(self.unit_column != "", "unit_column: expected the name of a column")
        if self.cohort is not None:
            check_name("cohort", self.cohort)
        same = self.cohort is not None and self.cohort == self.unit_column
        require(not same, "cohort: a cohort has many units, so it is not the unit_column")
        for name, least in (("half_life_labels", 1.0), ("half_life_days", 0.01)):
            value = getattr(self, name)
            fits = value is None or least <= value <= LONGEST
            require(fits, f"{name}: expected {least:g} to {LONGEST:g}, got {value}")
        self._terms("on")  # refuses what no plan could say

    @property
    def terms(self) -> Personalisation | None:
        """What the plan says of it; ``None`` if it is off."""
        return None if self.mode == "off" else self._terms(self.mode)

    def _terms(self, mode: Literal["learn", "on"]) -> Personalisation:
        return Personalisation(
            mode=mode,
            minimum_units=self.minimum_units,
            epsilon=self.epsilon,
            report_days=self.report_days,
            exploration=self.exploration,
            explore=self.explore,
            memory_bytes=self.memory_bytes,
        )
