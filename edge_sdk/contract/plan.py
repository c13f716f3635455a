"""The plan of one model: which release serves, and which experiment runs on whom.

A plan is static and signed; every device evaluates it locally with :func:`assign` (the release of
a unit) and :func:`holdings` (the releases that a device needs), which are pure and exact: integers
and SHA-256 only, the same result on every platform.

Invariants:

* An arm owns *slots* of ``0 .. SLOTS - 1``. Raising its weight gives it more slots (:func:`widen`)
  and takes none away, so no unit ever leaves an arm because of a weight.
* A dropped arm keeps its slots, so no unit moves between the others: units in them get the serving
  release and count for no arm. As control they would bias it, because units whose device the arm
  failed on would be missing.
* A canary that goes from cohort to cohort lists the finished ones in ``completed``; a device that
  joins late finds its place by its attributes alone.
* A device in an experiment also holds the serving release, to go back to it at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.limits import PLAN_BYTES
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.names import CONTROL, Version, check_digest, check_name, check_provider
from edge_sdk.contract.personal.session_features import SessionFeatures
from edge_sdk.contract.serving_terms import CascadePolicy, Personalisation, Reporting, Sharing
from edge_sdk.contract.version import PLAN_FORMAT

SLOTS: Final = 10_000
"""Slots of an experiment: weights are hundredths of a percent."""

Strategy = Literal["shadow", "ab", "canary", "interleave"]


@dataclass(frozen=True)
class PackRef:
    """A pack in the repository: it is the signed target ``packs/MODEL/SHA256.pack``."""

    file: FileRef

    def target(self, model: str) -> str:
        """Path of the signed target."""
        return f"packs/{model}/{self.file.sha256}.pack"


@dataclass(frozen=True)
class PriorRef(PackRef):
    """A personal prior in the repository: the signed target ``packs/MODEL/SHA256.prior``.

    It is below ``packs/`` because that is what publishers may sign at every hub: a path of its own
    would need the offline keys of each.
    """

    def target(self, model: str) -> str:
        """Path of the signed target."""
        return f"packs/{model}/{self.file.sha256}.prior"


@dataclass(frozen=True)
class ReleaseRef:
    """A release by the SHA-256 of its manifest, with what belongs to it, if any: its packs of
    answers and features, and the personal prior of units without history.
    """

    version: str
    manifest: str
    pack: PackRef | None = None
    features: PackRef | None = None
    prior: PriorRef | None = None

    def __post_init__(self) -> None:
        Version.parse(self.version)
        check_digest("manifest", self.manifest)

    @property
    def packs(self) -> tuple[PackRef, ...]:
        """The packs that there are."""
        return tuple(file for file in (self.pack, self.features) if file is not None)

    @property
    def files(self) -> tuple[PackRef, ...]:
        """The files that there are beside the release."""
        return self.packs if self.prior is None else (*self.packs, self.prior)


@dataclass(frozen=True)
class Cohort:
    """Devices whose ``attribute`` has one of ``values``."""

    attribute: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        check_name("attribute", self.attribute)
        require(bool(self.values), f"cohort: expected at least one value of {self.attribute}")

    def includes(self, attributes: Mapping[str, str]) -> bool:
        """Return True for a device that belongs to it."""
        return attributes.get(self.attribute) in self.values


@dataclass(frozen=True)
class Arm:
    """A candidate release and the slots (half-open ``[low, high)`` ranges) whose units get it."""

    name: str
    release: ReleaseRef
    slots: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        check_name("arm", self.name)
        require(
            self.name != CONTROL, f"arm: {CONTROL!r} is the serving release, choose another name"
        )
        for low, high in self.slots:
            require(0 <= low < high <= SLOTS, f"slots: expected ranges within 0 and {SLOTS}")

    @property
    def weight(self) -> int:
        """Number of slots that it owns."""
        return sum(high - low for low, high in self.slots)


Measure = Literal[
    "accuracy", "served_accuracy", "reward", "latency", "errors", "energy", "mae", "rmse"
]  # fmt: skip
GROWING: Final[tuple[Measure, ...]] = ("accuracy", "served_accuracy", "reward")
"""Measures of which more is better, unless an outcome says otherwise; of the others less is."""


@dataclass(frozen=True)
class Outcome:
    """Outcome that an experiment is judged by.

    ``metric`` is one that devices report: ``accuracy`` of the model's own answers on late labels,
    ``served_accuracy`` of what was served (by a pack, the cloud or personalised), mean ``reward``,
    mean ``latency`` (log2 of µs, from the histograms), share of ``errors``, ``energy`` (joules of
    the device for each prediction), of a regressor ``mae`` (mean absolute error on late labels) and
    ``rmse`` (root of the mean squared one). ``direction`` is the better
    direction, if it differs from :data:`GROWING`. ``minimum_effect`` is the smallest change, in the
    metric's own unit, that matters.
    """

    name: str
    metric: Measure
    direction: Literal["up", "down"] | None = None
    minimum_effect: float = 0.0

    def __post_init__(self) -> None:
        check_name("outcome", self.name)
        require(self.minimum_effect >= 0, f"{self.name}: expected a minimum effect of at least 0")

    @property
    def upward(self) -> bool:
        """True if more is better."""
        return self.metric in GROWING if self.direction is None else self.direction == "up"


@dataclass(frozen=True)
class Experiment:
    """A running experiment. Units outside the cohort or every arm get the serving release.

    ``shadow`` and ``interleave``: devices in the arm's slots get the serving release; for ``share``
    of the requests the arm's release answers unseen, or its ranking is mixed in. ``ab``: units
    (devices, or with ``unit="key"`` keys that the application passes) get the arm that owns their
    slot. ``canary``: so do devices; those of ``completed`` cohorts all get the candidate.
    ``dropped`` are arms of an A/B/n test that ended while the others continue. ``paused``: units
    stay where they are and none enters; shadow and interleaving stop.
    """

    id: str
    strategy: Strategy
    salt: str
    arms: tuple[Arm, ...]
    cohort: Cohort | None = None
    unit: Literal["device", "key"] = "device"
    completed: tuple[Cohort, ...] = ()
    share: float = 1.0
    paused: bool = False
    outcomes: tuple[Outcome, ...] = ()
    dropped: tuple[Arm, ...] = ()

    def __post_init__(self) -> None:
        check_name("id", self.id)
        require(bool(self.arms), "arms: expected at least one")
        names = [arm.name for arm in self.declared]
        require(len(set(names)) == len(names), "arms: expected different names")
        ranges = sorted(slots for arm in self.declared for slots in arm.slots)
        apart = all(a[1] <= b[0] for a, b in pairwise(ranges))
        require(apart, "arms: expected slots that do not overlap")
        outcomes = [outcome.name for outcome in self.outcomes]
        require(len(set(outcomes)) == len(outcomes), "outcomes: expected different names")
        self._check_strategy()

    def _check_strategy(self) -> None:
        what, arms = self.strategy, len(self.arms)
        require(what == "ab" or arms == 1, f"arms: {what} tries one candidate, got {arms}")
        require(what == "ab" or self.unit == "device", f"unit: {what} is by device, not by key")
        require(what == "canary" or not self.completed, f"completed: {what} has no stages")
        require(what == "ab" or not self.dropped, f"dropped: {what} ends with its only arm")
        require(0 < self.share <= 1, f"share: expected above 0 and at most 1, got {self.share}")
        # A share of requests means something only where the serving release answers each of them.
        partial = what in ("shadow", "interleave") or self.share == 1
        require(partial, f"share: {what} is for whole units; give the arms fewer slots instead")
        idle = [arm.name for arm in self.arms if not arm.slots]
        reached = bool(self.completed) or not idle
        require(reached, f"arms: {idle} own no slots, so nobody would get them")
        require(what != "ab" or self.control > 0, "arms: ab leaves no slots to the serving release")

    @property
    def declared(self) -> tuple[Arm, ...]:
        """Arms that it began with."""
        return (*self.arms, *self.dropped)

    @property
    def control(self) -> int:
        """Number of the control's slots."""
        return SLOTS - sum(arm.weight for arm in self.declared)

    def takes_part(self, attributes: Mapping[str, str]) -> bool:
        """Return True for a device in the experiment, in an arm or as control."""
        return self._completes(attributes) or not self.cohort or self.cohort.includes(attributes)

    def arm_of(self, unit: str, attributes: Mapping[str, str]) -> Arm | None:
        """Return the arm of a unit that takes part, dropped or not; ``None`` for control."""
        # Only a canary has completed cohorts, and it has exactly one arm.
        if self._completes(attributes):
            return self.arms[0]
        slot = slot_of(self.salt, unit)
        inside = (a for a in self.declared if any(low <= slot < high for low, high in a.slots))
        return next(inside, None)

    def drop(self, names: Collection[str]) -> Experiment:
        """Return it without the arms ``names``, which keep their slots.

        Raises:
            ContractError: it has no such arm.
        """
        left = tuple(arm for arm in self.arms if arm.name not in names)
        gone = tuple(arm for arm in self.arms if arm.name in names)
        require(len(gone) == len(set(names)), f"drop: expected arms of {self.id}, got {names}")
        return replace(self, arms=left, dropped=(*self.dropped, *gone))

    def _completes(self, attributes: Mapping[str, str]) -> bool:
        return any(cohort.includes(attributes) for cohort in self.completed)


@dataclass(frozen=True)
class Plan:
    """The signed target ``plans/MODEL.json``. ``serial`` only ever rises.

    ``providers`` are the accelerators (execution providers of onnxruntime) on which devices may run
    the model, besides the CPU; none for all that a device has. Without ``personalise`` no device
    learns anything of a unit. ``sessions`` are the running features of units' sessions.
    """

    model: str
    serial: int
    serving: ReleaseRef
    experiment: Experiment | None = None
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()
    providers: tuple[str, ...] = ()
    personalise: Personalisation | None = None
    sessions: SessionFeatures | None = None
    format: Literal[1] = PLAN_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        for name in self.providers:
            check_provider("providers", name)
        require(self.serial >= 1, f"serial: expected at least 1, got {self.serial}")

    @classmethod
    def from_json(cls, raw: bytes) -> Plan:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=PLAN_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)


@dataclass(frozen=True)
class Assignment:
    """Release of one unit; ``experiment`` is ``None`` if it takes part in none.

    ``shadow`` is the arm whose release answers without being served; ``interleaved`` the one whose
    rankings are mixed with the serving release's. In both cases ``arm`` is control.
    """

    release: ReleaseRef
    arm: str = CONTROL
    experiment: str | None = None
    shadow: Arm | None = None
    interleaved: Arm | None = None


def slot_of(salt: str, unit: str) -> int:
    """Return the slot of ``unit``: uniform over :data:`SLOTS`, independent between salts."""
    digest = hashlib.sha256(f"{salt}\0{unit}".encode()).digest()
    # Multiply and shift maps 64 bits to slots without the bias of a remainder.
    return int.from_bytes(digest[:8], "big") * SLOTS >> 64


def assign(
    plan: Plan, unit: str, attributes: Mapping[str, str], *, entered: bool = False
) -> Assignment:
    """Return the release and arm of ``unit`` under ``plan``.

    Args:
        plan: plan in force.
        unit: device id, or a key of the application, as the experiment's ``unit`` says.
        attributes: attributes of the device.
        entered: True if the device is in an arm of this very experiment already, which matters
            while it is paused. (Keys have no memory: a paused A/B by key continues as it was.)
    """
    trial = plan.experiment
    if trial is None or not trial.takes_part(attributes):
        return Assignment(plan.serving)
    arm = trial.arm_of(unit, attributes)
    if arm in trial.dropped:
        return Assignment(plan.serving)
    if trial.strategy in ("shadow", "interleave"):
        candidate = None if trial.paused else arm
        if trial.strategy == "shadow":
            return Assignment(plan.serving, CONTROL, trial.id, shadow=candidate)
        return Assignment(plan.serving, CONTROL, trial.id, interleaved=candidate)
    if arm is not None and trial.paused and trial.unit == "device" and not entered:
        return Assignment(plan.serving)  # it would have entered, so it is no control either
    if arm is None:
        return Assignment(plan.serving, CONTROL, trial.id)
    return Assignment(arm.release, arm.name, trial.id)


def holdings(
    plan: Plan, device: str, attributes: Mapping[str, str], *, entered: bool = False
) -> tuple[ReleaseRef, ...]:
    """Return the releases that a device needs: the serving one first, then candidates.

    In an A/B by key any arm may be needed, so the device holds all that were not dropped.

    Args:
        plan: plan in force.
        device: device id.
        attributes: attributes of the device.
        entered: as for :func:`assign`.
    """
    trial = plan.experiment
    candidates: list[ReleaseRef] = []
    if trial is not None and trial.unit == "key":
        candidates += [arm.release for arm in trial.arms if trial.takes_part(attributes)]
    else:
        own = assign(plan, device, attributes, entered=entered)
        unseen = (arm.release for arm in (own.shadow, own.interleaved) if arm is not None)
        candidates += [own.release, *unseen]
    # In order and without duplicates: the first one is what a device goes back to.
    return tuple(dict.fromkeys((plan.serving, *candidates)))


def widen(arms: Sequence[Arm], weights: Mapping[str, int]) -> tuple[Arm, ...]:
    """Return the arms with more slots, ``weights[name]`` of :data:`SLOTS` each.

    Free slots are assigned from the bottom; every arm keeps the slots that it owns.

    Raises:
        ContractError: a weight goes down, or their sum exceeds all slots.
    """
    if sum(weights.values()) > SLOTS:
        raise ContractError(f"weights: expected a sum of at most {SLOTS}, got {dict(weights)}")
    free = _free_slots(arms)
    widened = []
    for arm in arms:
        # Only the difference is taken from the free slots; slots owned already never move.
        more = weights[arm.name] - arm.weight
        if more < 0:
            raise ContractError(f"weights: {arm.name} has {arm.weight}; a weight only goes up")
        taken, free = _take(free, more)
        slots = _merge(sorted((*arm.slots, *taken)))
        widened.append(Arm(arm.name, arm.release, slots))
    return tuple(widened)


def _free_slots(arms: Sequence[Arm]) -> list[tuple[int, int]]:
    free, at = [], 0
    for low, high in sorted(slots for arm in arms for slots in arm.slots):
        if at < low:
            free.append((at, low))
        at = high
    return [*free, (at, SLOTS)] if at < SLOTS else free


def _take(
    free: list[tuple[int, int]], count: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    taken, rest = [], []
    for low, high in free:
        middle = min(low + count, high)
        count -= middle - low
        if low < middle:
            taken.append((low, middle))
        if middle < high:
            rest.append((middle, high))
    return taken, rest


def _merge(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in ranges:
        if merged and merged[-1][1] == low:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)
