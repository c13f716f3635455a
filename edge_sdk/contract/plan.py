"""The plan of one model: which release serves, and which experiment runs on whom.

A plan is static and signed; every device evaluates it for itself with :func:`assign`, which is
pure and exact: integers and SHA-256 only, the same answer on every platform.

Invariant: an arm owns *slots* of the circle ``0 .. SLOTS - 1``. Raising its weight gives it more
slots (:func:`widen`) and takes none away, so no unit that is in an arm ever leaves it by that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode, require
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import PLAN_BYTES
from edge_sdk.contract.manifest import FileRef, Metric
from edge_sdk.contract.names import Version, check_digest, check_name
from edge_sdk.contract.version import PLAN_FORMAT

SLOTS: Final = 10_000
Strategy = Literal["shadow", "ab", "canary", "interleave"]


@dataclass(frozen=True)
class PackRef:
    """A pack in the repository: it is the signed target ``packs/MODEL/SHA256.pack``."""

    file: FileRef

    def target(self, model: str) -> str:
        """Path of the signed target."""
        return f"packs/{model}/{self.file.sha256}.pack"


@dataclass(frozen=True)
class ReleaseRef:
    """A release (by the SHA-256 of its manifest), the pack of answers that goes with it, and the
    pack of features of entities, if any.
    """

    version: str
    manifest: str
    pack: PackRef | None = None
    features: PackRef | None = None

    def __post_init__(self) -> None:
        Version.parse(self.version)
        check_digest("manifest", self.manifest)

    @property
    def files(self) -> tuple[PackRef, ...]:
        """Both packs, as far as there are any."""
        return tuple(file for file in (self.pack, self.features) if file is not None)


@dataclass(frozen=True)
class Cohort:
    """The devices whose ``attribute`` has one of ``values``."""

    attribute: str
    values: tuple[str, ...]

    def includes(self, attributes: Mapping[str, str]) -> bool:
        """Whether a device with ``attributes`` belongs to it."""
        return attributes.get(self.attribute) in self.values


@dataclass(frozen=True)
class Arm:
    """A candidate release and the slots (half-open ``[low, high)`` ranges) whose units get it."""

    name: str
    release: ReleaseRef
    slots: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        check_name("arm", self.name)
        require(self.name != CONTROL, f"arm: {CONTROL!r} is what serves, name it otherwise")
        for low, high in self.slots:
            require(0 <= low < high <= SLOTS, f"slots: expected ranges within 0 and {SLOTS}")

    @property
    def weight(self) -> int:
        """How many of :data:`SLOTS` it owns."""
        return sum(high - low for low, high in self.slots)


CONTROL: Final = "control"


@dataclass(frozen=True)
class Experiment:
    """A running trial. Units outside the cohort and outside every arm get what serves."""

    id: str
    strategy: Strategy
    salt: str
    arms: tuple[Arm, ...]
    cohort: Cohort | None = None
    unit: Literal["device", "key"] = "device"

    def __post_init__(self) -> None:
        check_name("id", self.id)
        require(bool(self.arms), "arms: expected at least one")
        names = [arm.name for arm in self.arms]
        require(len(set(names)) == len(names), "arms: expected different names")
        ranges = sorted(slots for arm in self.arms for slots in arm.slots)
        apart = all(a[1] <= b[0] for a, b in pairwise(ranges))
        require(apart, "arms: expected slots that do not overlap")


@dataclass(frozen=True)
class Reporting:
    """How devices report. A device votes for at most ``votes`` frequent keys a window."""

    window_seconds: int = 300
    minimum_observations: int = 100
    votes: int = 100

    def __post_init__(self) -> None:
        require(self.window_seconds >= 1, "window_seconds: expected at least 1")


@dataclass(frozen=True)
class Sharing:
    """Opt-in sharing of labelled rows: asked for here, given only by a device that opted in."""

    samples: bool = False
    per_window: int = 0


@dataclass(frozen=True)
class CascadePolicy:
    """When devices ask the cloud.

    ``local``: never. ``cloud``: always, the on-device model answers in its place. ``cascade``: when
    the on-device model is less sure than the threshold. ``threshold`` and ``metric`` replace the
    manifest's certified ones; ``deadline_ms`` bounds how long a prediction waits for the cloud.
    """

    mode: Literal["local", "cascade", "cloud"] = "cascade"
    threshold: float | None = None
    deadline_ms: int = 250
    metric: Metric | None = None

    def __post_init__(self) -> None:
        require(self.deadline_ms >= 1, "deadline_ms: expected at least 1")


@dataclass(frozen=True)
class Plan:
    """The signed target ``plans/MODEL.json``. ``serial`` only ever rises."""

    model: str
    serial: int
    serving: ReleaseRef
    experiment: Experiment | None = None
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()
    format: Literal[1] = PLAN_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
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
    """What one unit is served: ``experiment`` is ``None`` where it takes part in no trial.

    ``shadow`` is the release that answers beside it without being served.
    """

    release: ReleaseRef
    arm: str = CONTROL
    experiment: str | None = None
    shadow: ReleaseRef | None = None


def slot_of(salt: str, unit: str) -> int:
    """The slot of ``unit``: uniform over :data:`SLOTS`, independent between salts."""
    digest = hashlib.sha256(f"{salt}\0{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * SLOTS >> 64


def assign(plan: Plan, unit: str, attributes: Mapping[str, str]) -> Assignment:
    """What ``unit`` (a device id, or a key that the app gives) is served under ``plan``."""
    trial = plan.experiment
    if trial is None or (trial.cohort and not trial.cohort.includes(attributes)):
        return Assignment(plan.serving)
    slot = slot_of(trial.salt, unit)
    inside = (arm for arm in trial.arms if any(low <= slot < high for low, high in arm.slots))
    arm = next(inside, None)
    if arm is None:
        return Assignment(plan.serving, CONTROL, trial.id)
    if trial.strategy == "shadow":
        return Assignment(plan.serving, arm.name, trial.id, shadow=arm.release)
    return Assignment(arm.release, arm.name, trial.id)


def widen(arms: Sequence[Arm], weights: Mapping[str, int]) -> tuple[Arm, ...]:
    """The same arms with more slots, ``weights[name]`` of :data:`SLOTS` each.

    Free slots are given from the bottom; what an arm owns stays its own.

    Raises:
        ContractError: a weight goes down, or together they are more than all slots.
    """
    if sum(weights.values()) > SLOTS:
        raise ContractError(f"weights: expected a sum of at most {SLOTS}, got {dict(weights)}")
    free = _free_slots(arms)
    widened = []
    for arm in arms:
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
