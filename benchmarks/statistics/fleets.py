"""Simulated fleets: who is on which arm by the real plan evaluation, what they report by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cloud_hub.experiments.schedule import begin
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence, Row
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.experiments.verdict.spec import CANDIDATE, ArmSpec, ExperimentSpec
from cloud_hub.statistics.clustered import compare
from cloud_hub.statistics.samples import Contrast, Floats, Sample
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Measure, Plan, ReleaseRef, assign

SERVING = ReleaseRef("1.0", "a" * 64)
TRIED = ReleaseRef("1.1", "b" * 64)


def ab(**more: object) -> ExperimentSpec:
    """An A/B test of one arm against the control, half and half, judged at once."""
    arm = ArmSpec(CANDIDATE, TRIED.version, 0.5)
    options = {"soak_seconds": 0.0, "minimum_outcomes": 1, **more}
    return ExperimentSpec("fleet", "ab", arms=(arm,), **options)  # type: ignore[arg-type]


def candidates(spec: ExperimentSpec, units: Sequence[str], salt: str) -> NDArray[np.bool_]:
    """Return which units the first plan of an experiment gives the candidate, [U].

    Args:
        spec: the experiment.
        units: their names, [U].
        salt: of the experiment.
    """
    trial = begin(spec, "trial", {CANDIDATE: TRIED}, salt)
    plan = Plan("fleet", 1, SERVING, trial)
    return np.array([assign(plan, unit, {}).arm == CANDIDATE for unit in units])


def split(n: Floats, total: Floats, inside: NDArray[np.bool_]) -> tuple[Sample, Sample]:
    """Return control's and candidate's sample of 0/1 outcomes.

    Args:
        n: outcomes of each device, [..., D].
        total: their sum, [..., D].
        inside: devices with the candidate, [D].
    """
    return (
        Sample.of_successes(total * ~inside, n * ~inside),
        Sample.of_successes(total * inside, n * inside),
    )


@dataclass(frozen=True)
class Unlike:
    """A fleet of few and unlike devices, ``control`` and ``candidate`` of them.

    Devices are right with chances of their own (beta) whose mean is ``rate``; two labels of one are
    correlated by ``correlation``. ``traffic`` is the standard deviation of the log of how busy they
    are, ``largest`` the share of all labels that one device has, if any. ``past`` labels a device
    are from before, and ``moved`` is the share of devices that have changed since.
    """

    control: int
    candidate: int
    correlation: float
    traffic: float = 0.0
    largest: float = 0.0
    past: int = 0
    rate: float = 0.8
    moved: float = 0.0

    @property
    def name(self) -> str:
        """For tables."""
        busy = f"lognormal({self.traffic:g})" if self.traffic else "equal"
        parts = [f"{self.control}/{self.candidate} devices, correlation {self.correlation:g}"]
        parts.append(f"traffic {busy}")
        parts += [f"one device with {self.largest:.0%} of it"] if self.largest else []
        parts += [f"own past of {self.past} labels"] if self.past else []
        parts += [f"{self.moved:.0%} of devices changed since"] if self.moved else []
        return ", ".join(parts)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Devices with the candidate, [D]."""
        return np.arange(self.control + self.candidate) >= self.control

    def own(self, random: np.random.Generator, runs: int) -> Floats:
        """The devices' own chances to be right, [R, D]."""
        spread = (1 - self.correlation) / self.correlation
        shape = (runs, self.control + self.candidate)
        return random.beta(self.rate * spread, (1 - self.rate) * spread, shape)

    def busy(self, random: np.random.Generator, runs: int) -> Floats:
        """How busy devices are, 1 on average, [R, D]."""
        shape = (runs, self.control + self.candidate)
        busy = np.exp(self.traffic * random.standard_normal(shape))
        if self.largest:
            chosen = np.arange(shape[1]) == random.integers(shape[1], size=runs)[:, None]
            rest = np.sum(busy * ~chosen, axis=1, keepdims=True)
            busy = np.where(chosen, self.largest / (1 - self.largest) * rest, busy)
        return cast(Floats, busy / busy.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Trials:
    """Runs of one fleet: labels and right ones added up to each look, [R, L, D], and its past."""

    inside: NDArray[np.bool_]
    n: Floats
    total: Floats
    past: Sample | None

    def contrast(self) -> Contrast:
        """The arms' difference at every look of every run, arrays [R, L]."""
        return compare(*split(self.n, self.total, self.inside), past=self.past)

    def evidence(self, run: int, look: int, **more: float) -> Evidence:
        """The evidence that the hub has at one look."""
        found = evidence_of(
            "accuracy", self.n[run, look], self.total[run, look], self.inside, **more
        )
        if self.past is None:
            return found
        n, right = self.past.n[run, 0], self.past.total[run, 0]
        names = device_names(self.inside)
        past = {
            name: ExposureSums(labelled=int(a), correct=int(b))
            for name, a, b in zip(names, n, right, strict=True)
        }
        return replace(found, past=past)

    def watched(self, run: int, look: int, **more: float) -> Evidence:
        """The same with its wrong labels, as guardrails see them, of one period."""
        found = self.evidence(run, look, **more)
        arms = {
            name: replace(
                arm,
                failures={
                    "wrong labels": {
                        (device, 0): (n - right, n)
                        for device, (n, right, _) in arm.outcomes["accuracy"].items()
                    }
                },
            )
            for name, arm in found.arms.items()
        }
        return replace(found, arms=arms)


def trials(
    random: np.random.Generator, fleet: Unlike, runs: int, labels: Floats, effect: float = 0.0
) -> Trials:
    """Simulate runs.

    Args:
        random: the generator.
        fleet: whose devices they are.
        runs: how many, ``R``.
        labels: mean labels of a device until each look, [L].
        effect: of the candidate on the chance to be right.
    """
    before, busy = fleet.own(random, runs), fleet.busy(random, runs)
    own = np.where(random.random(before.shape) < fleet.moved, fleet.own(random, runs), before)
    more = np.diff(labels, prepend=0.0)
    n = random.poisson(busy[:, None] * more[:, None])
    right = random.binomial(n, np.clip(own + effect * fleet.inside, 0, 1)[:, None])
    past = None
    if fleet.past:
        asked = random.poisson(busy * fleet.past)
        found = random.binomial(asked, before)
        past = Sample.of_successes(found[:, None].astype(float), asked[:, None].astype(float))
    sums = [np.cumsum(each, axis=1).astype(float) for each in (n, right)]
    return Trials(fleet.inside, sums[0], sums[1], past)


def device_names(inside: NDArray[np.bool_]) -> list[str]:
    """Names by which :func:`evidence_of` knows devices, in their order."""
    number = np.where(inside, np.cumsum(inside), np.cumsum(~inside)) - 1
    return [
        f"{CANDIDATE if tried else CONTROL}-{i}" for tried, i in zip(inside, number, strict=True)
    ]


def evidence_of(
    measure: Measure, n: Floats, total: Floats, inside: NDArray[np.bool_], **more: float
) -> Evidence:
    """Return the evidence that the hub has after reports of all devices.

    Args:
        measure: of the outcomes.
        n: outcomes of each device, [D].
        total: their sum, [D].
        inside: devices with the candidate, [D].
        more: fields of the evidence.
    """
    arms: Mapping[str, ArmEvidence] = {
        name: _arm(measure, n[chosen], total[chosen], name)
        for name, chosen in ((CONTROL, ~inside), (CANDIDATE, inside))
    }
    return Evidence(arms, **more)  # type: ignore[arg-type]


def _arm(measure: Measure, n: Floats, total: Floats, name: str) -> ArmEvidence:
    rows: dict[str, Row] = {
        f"{name}-{i}": (float(a), float(b), float(b))
        for i, (a, b) in enumerate(zip(n, total, strict=True))
    }
    return ArmEvidence({measure: rows}, exposed=frozenset(rows), predictions=int(n.sum()))
