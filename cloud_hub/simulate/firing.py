"""Triggers of a policy over a simulated fleet: the hub's own rules, fed with drawn labels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.triggers.facts import (
    Batches,
    Facts,
    LabelBatch,
    LabelCounts,
    StartedRun,
    TriggerState,
    VersionFacts,
)
from cloud_hub.triggers.latching import counted, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_hub.policy.schema.sections import Policy, TriggerRule
    from cloud_hub.simulate.drawing import DrawnWindow
    from cloud_hub.simulate.population import Places, Population
    from cloud_hub.simulate.scenario import LateLabels

MOST_HEARD: Final = 1_000
"""Devices whose labels rules on accuracy see; of more a simulation says no more than they do."""

NOT_DRAWN: Final = {
    "drift": "distributions of features are not drawn",
    "volume": "shared rows are not drawn",
    "webhook": "other systems do not call",
    "manual": "nobody fires by hand",
    "mae_above": "errors of numbers are not drawn",
}


@dataclass
class _Late:
    """Labels of one window that have not come yet, of some devices."""

    start: float
    end: float
    at: Places
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    came: float = 0.0


def not_simulated(policy: Policy) -> dict[str, str]:
    """Return the rules of a policy that a simulation leaves out, each with its reason."""
    return {rule.name: reason for rule in policy.triggers if (reason := _lacks(rule))}


def _lacks(rule: TriggerRule) -> str:
    for leaf in rule.when.leaves():
        if leaf.performance is not None and leaf.performance.mae_above is not None:
            return NOT_DRAWN["mae_above"]
        if leaf.kind in NOT_DRAWN:
            return NOT_DRAWN[leaf.kind]
    return ""


class SimulatedTriggers:
    """The rules of a policy, with what they know and have done.

    Args:
        policy: with its triggers, budget and calendar.
        population: the fleet.
        late: how labels come.
        rng: chooses the devices that are heard, and which labels have come.
    """

    def __init__(
        self, policy: Policy, population: Population, late: LateLabels, rng: np.random.Generator
    ) -> None:
        left_out = not_simulated(policy)
        self.rules = [rule for rule in policy.triggers if rule.name not in left_out]
        self._policy, self._population, self._late, self._rng = policy, population, late, rng
        self._states = {rule.name: TriggerState() for rule in self.rules}
        self._runs: list[StartedRun] = []
        count = min(MOST_HEARD, len(population))
        self.places = np.sort(rng.choice(len(population), count, replace=False))
        self._coming: list[_Late] = []
        self._labels: list[LabelCounts] = []
        self._order = 0

    @property
    def needs_labels(self) -> bool:
        """True if a rule looks at accuracy."""
        leaves = (leaf for rule in self.rules for leaf in rule.when.leaves())
        return any(leaf.performance is not None for leaf in leaves)

    def begin_version(self) -> None:
        """Another version serves: nothing is known of it yet."""
        self._coming, self._labels = [], []

    def add(self, drawn: DrawnWindow, start: float, end: float) -> None:
        """Add a window of devices that are heard.

        Args:
            drawn: what they report of the version that serves.
            start: of the window, Unix seconds.
            end: of the window, Unix seconds.
        """
        wrong = drawn.wrong.astype(np.int64)
        right = drawn.labelled.astype(np.int64) - wrong
        self._coming.append(_Late(start, end, drawn.index, right, wrong))

    def look(self, now: float, since: float, version: str) -> Iterator[tuple[TriggerRule, str]]:
        """Evaluate every rule once, and yield those that fire with their evidence.

        Args:
            now: Unix seconds.
            since: when the version began to serve, Unix seconds.
            version: that serves.
        """
        facts = self._facts(now, since, version)
        for rule in self.rules:
            before, runs = self._states[rule.name], counted(rule, self._runs)
            decision = evaluate(rule, facts, before, self._policy.budget, runs)
            self._states[rule.name] = decision.state
            if decision.outcome == "fired":
                self._runs.append(StartedRun(now, rule.when.kind))
                yield rule, str(decision.verdict.evidence)

    def _facts(self, now: float, since: float, version: str) -> Facts:
        batches = self._batches(now)
        year = 366 * 86_400.0
        days = self._policy.calendar.occurrences(now - 1, now + year)
        return Facts(
            now, since, VersionFacts(version, since, 0), labels=tuple(self._labels),
            batches=batches, groups={by: dict.fromkeys(each, ()) for by, each in batches.items()},
            days=days,
        )  # fmt: skip

    def _batches(self, now: float) -> Batches:
        """Labels that came since the last look, of all devices heard and by attribute."""
        found: dict[str, dict[str, list[LabelBatch]]] = defaultdict(lambda: defaultdict(list))
        scale = len(self._population) / len(self.places)
        for window in self._coming:
            share = self._late.came(now - window.end)
            left = 1 - window.came
            chance = min(1.0, (share - window.came) / left) if left > 0 else 0.0
            right, wrong = (self._rng.binomial(x, chance) for x in (window.right, window.wrong))
            window.right, window.wrong, window.came = (
                window.right - right, window.wrong - wrong, share,
            )  # fmt: skip
            labelled = right + wrong
            for i in np.flatnonzero(labelled).tolist():
                self._put(found, window, i, int(labelled[i]), int(right[i]), now)
            if labelled.any():
                total, correct = (round(scale * float(x.sum())) for x in (labelled, right))
                self._labels.append(LabelCounts(window.start, total, correct, now))
        self._coming = [w for w in self._coming if w.right.any() or w.wrong.any()]
        return {by: {g: tuple(rows) for g, rows in each.items()} for by, each in found.items()}

    def _put(
        self, found: dict[str, dict[str, list[LabelBatch]]], window: _Late, i: int,
        labelled: int, correct: int, now: float,
    ) -> None:  # fmt: skip
        place = int(window.at[i])
        self._order += 1
        name = self._population.names[place]
        batch = LabelBatch(self._order, window.start, name, labelled, correct, now)
        found[""][""].append(batch)
        for by, group in self._population.attributes[self._population.cohort[place]].items():
            found[by][group].append(batch)
