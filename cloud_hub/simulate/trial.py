"""An experiment in a simulation: evidence as the hub would have it, judged by the hub's own gates.

What decides is all elsewhere: :mod:`cloud_hub.experiments.schedule` (steps, slots),
:func:`cloud_hub.experiments.verdict.judge.judge`, :mod:`cloud_hub.experiments.verdict.moves`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from cloud_hub.experiments import schedule
from cloud_hub.experiments.evidence_rows import COLUMNS
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.labelling import with_labels
from cloud_hub.experiments.verdict.moves import end_of, move_of
from cloud_hub.experiments.verdict.spec import CANDIDATE, cohort_name, judged_by_labels
from cloud_hub.simulate.drawing import NOISE, TrueRates, draw_latency
from cloud_hub.simulate.labels import StepLabels
from cloud_hub.simulate.panel import Panel, histograms
from cloud_hub.simulate.seating import seat
from cloud_hub.statistics.allocation import Allocation, check_allocation
from cloud_hub.statistics.heterogeneity import MOST
from cloud_hub.statistics.samples import DeviceRows
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import SLOTS, ReleaseRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud_hub.experiments.verdict.decision import GateDecision, Looks
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.simulate.drawing import DrawnWindow
    from cloud_hub.simulate.labels import LabelSums
    from cloud_hub.simulate.population import Places, Population
    from cloud_hub.simulate.scenario import LateLabels
    from cloud_hub.statistics.samples import Floats

DAY: Final = 86_400
KNOWN: Final = ("accuracy", "served_accuracy", "errors", "latency")
"""Measures that a simulation draws."""


def reference(version: str) -> ReleaseRef:
    """Return a release that plans can name; nobody downloads it."""
    return ReleaseRef(version, hashlib.sha256(version.encode()).hexdigest())


def check_simulated(spec: ExperimentSpec) -> None:
    """Refuse an experiment whose evidence a simulation does not draw.

    Raises:
        Invalid: says what is not drawn.
    """
    if spec.strategy not in ("canary", "ab") or spec.unit != "device" or spec.tries_personalisation:
        raise Invalid(
            f"{spec.strategy} of {spec.model}: expected a canary or an A/B/n test by device, of "
            "versions; pairs of answers, sessions and keys are not simulated"
        )
    strange = [outcome.metric for outcome in spec.outcomes if outcome.metric not in KNOWN]
    if strange:
        raise Invalid(f"outcomes: expected some of {list(KNOWN)}, got {strange}; not simulated")


@dataclass
class _StepSums:
    """What the devices of the step's seats reported since it began, [N] each."""

    devices: int
    requests: NDArray[np.int32] = field(init=False)
    errors: NDArray[np.int32] = field(init=False)
    latency: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.requests = np.zeros(self.devices, dtype=np.int32)
        self.errors = np.zeros(self.devices, dtype=np.int32)
        self.latency = np.zeros((2, self.devices))

    def clear(self) -> None:
        for each in (self.requests, self.errors, self.latency):
            each[:] = 0


class SimulatedTrial:
    """One experiment, from its first plan to its end.

    ``status`` is ``running``, ``paused`` or ``waiting`` while it is open, then ``promoted``,
    ``aborted`` or ``concluded``. ``arm`` is the number of each device's arm in the present step
    (see :mod:`cloud_hub.simulate.seating`), ``target`` the version that the plan gives it.

    Args:
        spec: what was declared, with steps as long as the fleet allows.
        number: of the experiment, from 1.
        control: version that serves.
        population: the fleet.
        late: how labels come.
        now: Unix seconds.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        number: int,
        control: str,
        population: Population,
        late: LateLabels,
        now: float,
    ) -> None:
        check_simulated(spec)
        self.id = f"{spec.strategy}-{number}"
        self.control, self.population = control, population
        devices = population.by_name()
        self.spec = spec = schedule.enlarged(spec, devices)
        groups = schedule.groups_of(spec, devices)
        salt = schedule.choose_salt(self.id, groups, spec.minimum_devices)
        versions = {arm.name: reference(arm.version) for arm in spec.tried}
        self.trial = schedule.begin(spec, self.id, versions, salt)
        self._numbers = {arm.name: number for number, arm in enumerate(spec.tried, 1)}
        self.status, self.stage, self.step, self.winner = "running", 0, 0, ""
        self.looks: Looks = {}
        self._failed: dict[int, set[int]] = {}
        self._took: dict[int, NDArray[np.bool_]] = {}
        self._slots = population.slots(salt)
        self._sums = _StepSums(len(population))
        self._labels = StepLabels(spec.labels, late, len(population))
        self._panel = Panel(late)
        self._follows = np.zeros(len(population), dtype=np.bool_)
        self._heard = now
        self._rates: dict[int, TrueRates] = {}
        self._begin_step(now)

    @property
    def open(self) -> bool:
        """True until it has ended."""
        return self.status in ("running", "paused", "waiting")

    @property
    def versions(self) -> list[str]:
        """Versions of the control and of each arm, by number."""
        return [self.control, *(arm.version for arm in self.spec.tried)]

    @property
    def place(self) -> str:
        """The step for people."""
        return schedule.shown(self.spec, self.stage, self.step)

    def _begin_step(self, now: float) -> None:
        self.began = now
        seating = seat(self.trial, self._numbers, self.population, self._slots)
        self.target, self.arm = seating.arm, np.where(seating.counted, seating.arm, -1)
        self._sums.clear()
        self._labels.begin_step()
        self._follows[:] = False
        self._heard = now
        self.looks = {}
        order = self.population.by_hash
        numbers = range(len(self._numbers) + 1)
        self._panel.begin_step({number: order[self.arm[order] == number] for number in numbers})

    def told(
        self, arm: int, drawn: DrawnWindow, rates: TrueRates, end: float, rng: np.random.Generator
    ) -> None:
        """Take the reports of one window of some devices that serve an arm of this step.

        Args:
            arm: its number.
            drawn: what they report.
            rates: of the version that they serve.
            end: of the window, Unix seconds.
            rng: decides what time they took.
        """
        sums, index = self._sums, drawn.index
        sums.requests[index] += drawn.requests
        sums.errors[index] += drawn.errors
        self._rates[arm] = rates
        if any(outcome.metric == "latency" for outcome in self.spec.outcomes):
            answers = drawn.requests - drawn.errors
            sums.latency[:, index] += draw_latency(self.population, index, answers, rates, rng)
        self._labels.add(drawn, end)
        day = int(end - 1) // DAY * DAY
        self._panel.add(arm, max(day, int(self.began)), drawn, end)
        self._follows[index] = True
        if arm and len(index):
            self._heard = end

    def look(self, now: float, rng: np.random.Generator) -> GateDecision:
        """Return what the gate decides now.

        Args:
            now: Unix seconds.
            rng: decides which labels have come.
        """
        dropped = [arm.name for arm in self.trial.dropped]
        return judge(self.spec, self.evidence(now, rng), self.looks, dropped)

    def evidence(self, now: float, rng: np.random.Generator) -> Evidence:
        """Return the evidence of the present step, as the hub's loader has it.

        Args:
            now: Unix seconds.
            rng: decides which labels have come.
        """
        self._panel.look(now, rng)
        arms = {name: self._arm(number, rng) for name, number in self._running().items()}
        settling = None
        if judged_by_labels(self.spec):
            sums, settling = self._labels.look(now, rng)
            arms = self._with_labels(arms, sums)
        return Evidence(
            arms,
            allocation=(self._allocation(),),
            soaked=now - self.began,
            silent=now - self._heard,
            settling=settling,
        )

    def _running(self) -> dict[str, int]:
        """Numbers of the arms that were not dropped, by name; the control is 0."""
        return {CONTROL: 0, **{arm.name: self._numbers[arm.name] for arm in self.trial.arms}}

    def _arm(self, number: int, rng: np.random.Generator) -> ArmEvidence:
        sums = self._sums
        places = np.flatnonzero((self.arm == number) & (sums.requests > 0))
        exposed = self._named(places)
        failed = self._named(np.array(sorted(self._failed.get(number, ())), dtype=np.intp))
        took = self._took.get(number)
        return ArmEvidence(
            outcomes={m: self._rows(places, *self._columns(m)) for m in ("errors", "latency")},
            failures=self._panel.failures(number, self.population.names),
            latency=self._histograms(number, places, rng),
            exposed=exposed,
            failed=failed if number else frozenset(),
            predictions=int(sums.requests[places].sum(dtype=np.int64)),
            activated=frozenset() if took is None else self._named(np.flatnonzero(took)),
        )

    def _columns(self, measure: str) -> tuple[Floats, Floats, Floats]:
        """How many outcomes of a measure, their sum and sum of squares, [N] each."""
        assert measure in COLUMNS
        sums = self._sums
        if measure == "errors":
            errors = sums.errors.astype(np.float64)
            return sums.requests.astype(np.float64), errors, errors
        answers = (sums.requests - sums.errors).astype(np.float64)
        return answers, sums.latency[0], sums.latency[1]

    def _rows(self, places: Places, n: Floats, total: Floats, squares: Floats) -> DeviceRows:
        chosen = places[n[places] > 0]
        columns = np.stack([each[chosen] for each in (n, total, squares)], axis=1)
        return DeviceRows(self.population.names, chosen, columns)

    def _with_labels(
        self, arms: Mapping[str, ArmEvidence], sums: LabelSums
    ) -> dict[str, ArmEvidence]:
        running = self._running().items()
        places = {name: np.flatnonzero(self.arm == number) for name, number in running}

        def rows(n: Floats, ones: Floats) -> dict[str, DeviceRows]:
            return {name: self._rows(mine, n, ones, ones) for name, mine in places.items()}

        right = rows(sums.labelled, sums.correct)
        return with_labels(
            arms, right, right,
            {
                "settled": rows(sums.answers, sums.labelled),
                "early": rows(sums.answers, sums.early),
                "so far": rows(sums.all_answers, sums.all_labelled),
            },
        )  # fmt: skip

    def _histograms(
        self, number: int, places: Places, rng: np.random.Generator
    ) -> dict[str, tuple[int, ...]]:
        if self.spec.guardrails.latency is None or number not in self._rates:
            return {}
        chosen = np.sort(rng.permutation(places)[:MOST])
        mean = self._rates[number].latency[self.population.cohort[chosen]]
        mean = mean + self.population.latency[chosen]
        n = (self._sums.requests - self._sums.errors)[chosen].astype(np.int64)
        return histograms(chosen, n, mean, self.population.names, rng, noise=NOISE)

    def _allocation(self) -> Allocation:
        told = self._follows & (self._sums.requests > 0) & (self.arm >= 0)
        counts = np.bincount(self.arm[told], minlength=len(self._numbers) + 1).tolist()
        units = {name: counts[number] for name, number in self._running().items()}
        weights = {arm.name: arm.weight / SLOTS for arm in self.trial.arms}
        weights[CONTROL] = self.trial.control / SLOTS
        return check_allocation(cohort_name(self.trial.cohort), units, weights)

    def _named(self, places: Places) -> frozenset[str]:
        return frozenset(map(self.population.names.__getitem__, places.tolist()))

    def follow(self, decision: GateDecision, now: float) -> str:
        """Do what the hub does with a decision, and return the word for it; empty for nothing.

        Args:
            decision: of the gate.
            now: Unix seconds.
        """
        self.looks = decision.looks
        move = move_of(self.status, decision)
        if move == "note":
            return ""
        if move == "abort":
            self.status = "aborted"
            return "aborted"
        if move == "pause":
            self.trial = replace(self.trial, paused=True)
            self.status = "paused"
            return "paused"
        if move == "drop":
            self.trial = self.trial.drop(decision.arms)
            self._reseat()
            return "dropped"
        if move == "advance":
            following = schedule.advance(self.spec, self.trial, self.stage, self.step)
            if following.experiment is not None:
                self.trial = following.experiment
                self.stage, self.step = following.stage, following.step
                self._begin_step(now)
                return "passed"
            decision = replace(decision, winner=self.spec.tried[0].name)
        return self._conclude(decision)

    def _conclude(self, decision: GateDecision) -> str:
        end = end_of(self.spec, decision.winner)
        self.winner = decision.winner or ""
        ends = {"promote": "promoted", "conclude": "concluded", "wait for approval": "waiting"}
        self.status = ends[end]
        return self.status

    def promote(self) -> None:
        """A person approves."""
        self.status = "promoted"

    def _reseat(self) -> None:
        """Take who is on a dropped arm back; what the others reported stays."""
        seating = seat(self.trial, self._numbers, self.population, self._slots)
        self.target, self.arm = seating.arm, np.where(seating.counted, seating.arm, -1)

    @property
    def promoted(self) -> str:
        """Version that serves in the end."""
        versions = {arm.name: arm.version for arm in self.spec.tried}
        return versions[self.winner or CANDIDATE] if self.status == "promoted" else self.control
