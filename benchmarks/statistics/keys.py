"""Tests by key: false winners, guardrails that trip, and what buckets of keys cost in power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.fleets import ab
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level, power
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import CANDIDATE
from cloud_hub.statistics.keys import compare_buckets, log_excess, opposite
from cloud_hub.statistics.samples import Floats
from cloud_hub.statistics.sequential import log_e_value
from edge_sdk.contract.key_buckets import BUCKETS
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome

LOOKS: Final = 12
A_KEY: Final = 200
"""Requests of a key on average, in all."""

LEAST_OUTCOMES: Final = 100
SPEC: Final = ab(
    unit="key",
    minimum_devices=1,
    minimum_outcomes=LEAST_OUTCOMES,
    outcomes=(Outcome("accuracy", "accuracy"),),
)
RIGHT: Final = 0.9


@dataclass(frozen=True)
class Keys:
    """Keys of a fleet: where each is, its arm, and what it counted until each look, [looks, K]."""

    device: NDArray[np.intp]
    bucket: NDArray[np.intp]
    inside: NDArray[np.bool_]
    n: Floats
    right: Floats


@dataclass(frozen=True)
class Scene:
    """What is simulated.

    ``correlation`` is that of two outcomes of one key. ``share`` of the keys have the candidate,
    on which wrong answers are ``risk`` times as many. Traffic of keys is ``alike``, or
    log-normal with a standard deviation of 1.5.
    """

    devices: int
    keys: int
    correlation: float = 0.3
    share: float = 0.5
    traffic: Literal["alike", "log-normal"] = "log-normal"
    risk: float = 1.0

    def draw(self, random: np.random.Generator) -> Keys:
        """Draw a fleet: devices differ, too, on both arms alike."""
        own = np.clip(random.normal(RIGHT, 0.04, self.devices), 0.7, 0.98)
        device = random.integers(0, self.devices, self.keys)
        mean, scale = own[device], 1 / self.correlation - 1
        right = random.beta(mean * scale, (1 - mean) * scale)
        inside = random.random(self.keys) < self.share
        right = np.where(inside, 1 - np.minimum(1.0, self.risk * (1 - right)), right)
        size = random.lognormal(0, 1.5, self.keys) if self.traffic == "log-normal" else 1.0
        a_look = A_KEY * size / np.mean(size) / LOOKS * np.ones(self.keys)
        asked = random.poisson(a_look, (LOOKS, self.keys))
        good = random.binomial(asked, right)
        bucket = random.integers(0, BUCKETS, self.keys)
        sums = (np.cumsum(each, axis=0, dtype=np.float64) for each in (asked, good))
        return Keys(device, bucket, inside, *sums)

    @property
    def name(self) -> str:
        """For people."""
        shares = "" if self.share == 0.5 else f", {self.share:.0%} of them on the candidate"
        return (
            f"{self.devices} device(s), {self.keys:,} keys{shares}, correlation "
            f"{self.correlation:g}, {self.traffic} traffic"
        )


CELLS: Final = (
    Scene(1, 200),
    Scene(1, 40, traffic="alike"),
    Scene(5, 500, 0.3),
    Scene(50, 2_000, 0.1),
    Scene(50, 2_000, 0.3, share=0.05),
)


def run(effort: Effort) -> list[Row]:
    """A/A by key in several fleets, then what is found."""
    rows: list[Row] = []
    for number, scene in enumerate(effort.cells(CELLS, quick=1)):
        runs = effort.runs_for_level(300, 0.01)
        ours = [_judged(scene, (41, number, i), by_bucket=True) for i in range(runs)]
        winners, trips = (sum(each[k] for each in ours) for k in (0, 1))
        rows += [
            level(f"A/A, {scene.name}: false winners", winners, runs, 0.05, claim="4"),
            level("guardrails that trip on it", trips, runs, 0.01, claim="4"),
            _by_device_rates(scene, number, effort.runs(300)),
        ]
    return rows if effort.quick else [*rows, *_power(effort)]


def _by_device_rates(scene: Scene, number: int, runs: int) -> Row:
    theirs = [_judged(scene, (41, number, i), by_bucket=False) for i in range(runs)]
    result = "; ".join(exact_rate(sum(each[k] for each in theirs), runs) for k in (0, 1))
    return Row("the same by device instead of by key: winners; trips", "", result, claim="4")


def _power(effort: Effort) -> list[Row]:
    rows = []
    runs = effort.runs(200)
    for buckets in (32, 128, 0):
        found = sum(_found(Scene(10, 2_000, 0.1, risk=1.4), buckets, i) for i in range(runs))
        kind = f"{buckets} buckets" if buckets else "every key by itself"
        what = f"2,000 keys, correlation 0.1, wrong 10% → 14%: found by {kind}"
        rows.append(Row(what, "", exact_rate(found, runs), claim="4"))
    bad = Scene(10, 2_000, 0.1, risk=3.0)
    tripped = sum(_judged(bad, (43, i), by_bucket=True)[1] for i in range(runs))
    what = "the same keys, three times as often wrong: guardrail trips within 200 requests a key"
    return [*rows, power(what, tripped, runs, 0.9, claim="4")]


def _judged(scene: Scene, seed: tuple[int, ...], *, by_bucket: bool) -> tuple[bool, bool]:
    """Whether any look calls a winner, either way, and whether a guardrail trips at any."""
    keys = scene.draw(generator(*seed))
    if not by_bucket:
        return _by_device(keys, scene.devices)
    right = [_buckets(keys, mine, keys.bucket, BUCKETS) for mine in (~keys.inside, keys.inside)]
    enough = np.min([np.sum(arm[..., 0], axis=-1) for arm in right], axis=0) >= LEAST_OUTCOMES
    winner = log_e_value(compare_buckets(*right)) >= -np.log(SPEC.design.alpha)
    worse = compare_buckets(*(opposite(arm) for arm in right))
    trips = log_excess(worse) >= -np.log(SPEC.guardrails.alpha)
    return bool(np.any(winner & enough)), bool(np.any(trips))


def _by_device(keys: Keys, devices: int) -> tuple[bool, bool]:
    """The same by the gate on sums by device, as if units were devices."""
    winner = trips = False
    for look in range(LOOKS):
        figures = decide(SPEC, evidence_at(keys, devices, look, by_bucket=False)).figures
        (outcome,) = figures.outcomes or ()
        winner |= min(outcome.outcomes) >= LEAST_OUTCOMES and outcome.p <= SPEC.design.alpha
        trips |= any(guard.trips for guard in figures.guardrails or ())
    return winner, trips


def _buckets(keys: Keys, mine: NDArray[np.bool_], bucket: NDArray[np.intp], count: int) -> Floats:
    """Right answers of one arm by bucket at each look, [looks, count, 3]."""
    asked, good = (
        np.array([np.bincount(bucket[mine], row[mine], minlength=count) for row in sums])
        for sums in (keys.n, keys.right)
    )
    return np.stack([asked, good, good], axis=-1)


def evidence_at(keys: Keys, devices: int, look: int, *, by_bucket: bool) -> Evidence:
    """Return what the hub has after a look.

    Args:
        keys: of the fleet.
        devices: on which they are.
        look: from 0.
        by_bucket: as devices report it; else as they did before there were buckets.
    """
    arms = {
        name: _arm(keys, devices, look, mine, by_bucket=by_bucket)
        for name, mine in ((CONTROL, ~keys.inside), (CANDIDATE, keys.inside))
    }
    return Evidence(arms, soaked=1.0)


def _arm(
    keys: Keys, devices: int, look: int, mine: NDArray[np.bool_], *, by_bucket: bool
) -> ArmEvidence:
    place = (keys.device * BUCKETS + keys.bucket)[mine]
    asked, good = (
        np.bincount(place, sums[look, mine], minlength=devices * BUCKETS)
        for sums in (keys.n, keys.right)
    )
    counts: Floats = np.stack([asked, good, good], axis=-1).astype(np.float64)
    tables = counts.reshape(devices, BUCKETS, 3)
    right = {f"d-{i}": table for i, table in enumerate(tables) if table[:, 0].any()}
    wrong = {d: opposite(table) for d, table in right.items()}
    sums = {d: table.sum(axis=0).tolist() for d, table in right.items()}
    return ArmEvidence(
        {"accuracy": {d: (n, total, squares) for d, (n, total, squares) in sums.items()}},
        {"wrong labels": {(d, 0): (n - total, n) for d, (n, total, _) in sums.items()}},
        exposed=frozenset(sums),
        predictions=int(asked.sum()),
        key_outcomes={"accuracy": right} if by_bucket else {},
        key_failures={"wrong labels": wrong} if by_bucket else {},
    )


def _found(scene: Scene, buckets: int, run: int) -> bool:
    """Whether any look finds the difference, with so many buckets; 0 for each key by itself."""
    keys = scene.draw(generator(47, run))
    place = keys.bucket % buckets if buckets else np.arange(scene.keys)
    arms = [_buckets(keys, m, place, buckets or scene.keys) for m in (~keys.inside, keys.inside)]
    return bool(np.any(log_e_value(compare_buckets(*arms)) >= -np.log(SPEC.design.alpha)))


PART = Part(
    "Tests by key",
    f"Each key is right with a chance of its own, about {RIGHT:.0%}, and asks {A_KEY} times on "
    f"average, in all. The comparison and the guardrail of the hub look {LOOKS} times. One "
    "device is enough here (`minimum_devices: 1`).",
    run,
    quick=True,
)
