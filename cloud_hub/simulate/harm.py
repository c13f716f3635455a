"""Harm that versions truly did, which no gate sees: it is reckoned from the scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cloud_hub.simulate.outcome import VersionHarm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.simulate.drawing import TrueRates
    from cloud_hub.simulate.scenario import Scenario


class HarmMeter:
    """Adds up failures: errors, and answers that are wrong, labelled or not.

    A version is bad in a cohort where it fails more often than the one that it replaced by more
    than the policy's margin of accuracy.
    """

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        cohorts = scenario.cohorts
        busy = [scenario.requests if c.requests is None else c.requests for c in cohorts]
        self._cohorts = [cohort.name for cohort in cohorts]
        self._busy = np.array(busy)
        metric = policy.experiment.metric
        self._margin = policy.experiment.acceptable if metric == "accuracy" else 0.02
        self._before: dict[int, int] = {}
        self._hours: dict[int, float] = {}
        self._excess: dict[int, float] = {}
        self._most: dict[int, NDArray[np.int64]] = {}
        self.requests = self.failures = 0.0

    def replaces(self, version: int, before: int) -> None:
        """Say which version one is to replace, by their numbers."""
        self._before.setdefault(version, before)

    def add(self, counts: NDArray[np.int64], rates: Sequence[TrueRates], hours: float) -> None:
        """Add a window.

        Args:
            counts: devices by cohort and version, [cohorts, versions].
            rates: of each version.
            hours: length of the window.
        """
        failing = [r.errors + (1 - r.errors) * r.wrong for r in rates]
        for version, chance in enumerate(failing):
            there = counts[:, version]
            asked = there * self._busy * hours
            self.requests += float(asked.sum())
            self.failures += float(asked @ chance)
            if version not in self._before or not there.any():
                continue
            most = self._most.get(version, np.zeros_like(there))
            self._most[version] = np.maximum(most, there)
            worse = np.maximum(chance - failing[self._before[version]], 0.0)
            bad = worse > self._margin
            lasted = float(there[bad].sum()) * hours
            self._hours[version] = self._hours.get(version, 0.0) + lasted
            more = float((asked * worse)[bad].sum())
            self._excess[version] = self._excess.get(version, 0.0) + more

    def harm(self, names: Sequence[str]) -> dict[str, VersionHarm]:
        """Return the harm of each version that was tried.

        Args:
            names: of the versions, by number.
        """
        return {names[v]: VersionHarm(self._hours[v], self._excess[v]) for v in sorted(self._hours)}

    def exposed(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return the most devices at a time that each version tried served, by cohort.

        Args:
            names: of the versions, by number.
        """
        return {
            names[v]: dict(zip(self._cohorts, most.tolist(), strict=True))
            for v, most in sorted(self._most.items())
        }
