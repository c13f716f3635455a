"""Evidence of an experiment at one look, by device. Pure data; the gates judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from cloud_hub.statistics.samples import sums_of
from edge_sdk.contract.names import CONTROL

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.measures import ExposureSums
    from cloud_hub.statistics.allocation import Allocation
    from cloud_hub.statistics.heterogeneity import Counts
    from cloud_hub.statistics.samples import Floats
    from edge_sdk.contract.plan import Measure

Row = tuple[float, float, float]
"""How many, their sum, their sum of squares."""

Came = Literal["settled", "early", "so far"]
"""Labels of settled windows, those of them that came early, and the labels of all windows."""

OFF: Final = "size of errors"
"""Kind of failure of a number: by what share of the largest error that counts it is off."""

GROUPS: Final = "groups"
"""Guardrail on the wrong labels of declared groups of rows."""

PAIRED: Final = ("labelled", "disagreements", "confidence", "value", "latency", "errors", "off")
"""Fields of :class:`ShadowEvidence` that are tables of rows by device."""


@dataclass(frozen=True)
class ArmEvidence:
    """One arm since the stage began, from devices of the stage's cohort.

    ``outcomes`` are by measure and device; those of accuracy are of settled windows only.
    ``labels`` have answers, and how many of them got a label, by device. ``failures`` are by kind
    (``errors``, ``wrong labels``, :data:`OFF`), device and period, since a person last acknowledged
    what had failed; ``groups`` are wrong labels by declared group of rows (``sex=f``) in the same
    way. An error counts as ``largest_error`` at most, where there is such a bound. ``latency`` are
    histograms by device. ``exposed`` devices reported predictions on it; on ``failed`` ones it
    could not be activated or was taken back since; on ``activated`` ones it was.

    Of a test by key, ``key_outcomes`` and ``key_failures`` are the same as ``outcomes`` and
    ``failures``, by bucket of the keys: arrays [buckets, 3] of rows by device; verdicts and
    guardrails are on those. Labels of a key count as they come, as buckets do not say when.
    ``without_buckets`` are devices that report none.
    """

    outcomes: Mapping[Measure, Mapping[str, Row]] = field(default_factory=dict)
    failures: Mapping[str, Mapping[tuple[str, int], Counts]] = field(default_factory=dict)
    latency: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    exposed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    predictions: int = 0
    activated: frozenset[str] = frozenset()
    labels: Mapping[Came, Mapping[str, Row]] = field(default_factory=dict)
    groups: Mapping[str, Mapping[tuple[str, int], Counts]] = field(default_factory=dict)
    largest_error: float | None = None
    key_outcomes: Mapping[Measure, Mapping[str, Floats]] = field(default_factory=dict)
    key_failures: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    without_buckets: frozenset[str] = frozenset()

    @property
    def tried(self) -> frozenset[str]:
        """Devices on which it ran, was activated or failed.

        A failure is told at once and exposure after a window: without those where it was activated
        an early look would see the failures alone.
        """
        return self.exposed | self.failed | self.activated

    def failures_by_device(self, kind: str) -> dict[str, Counts]:
        """Return (failures, requests) of a kind by device, over all periods."""
        return by_device(self.failures.get(kind, {}))

    def outcomes_of(self, measure: Measure) -> int:
        """Number of outcomes of a measure."""
        return round(float(sums_of(self.outcomes.get(measure, {}))[0]))


def by_device(counts: Mapping[tuple[str, int], Counts]) -> dict[str, Counts]:
    """Add up counts by device and period over the periods."""
    totals: dict[str, Counts] = {}
    for (device, _), (failed, requests) in counts.items():
        before = totals.get(device, (0, 0))
        totals[device] = (before[0] + failed, before[1] + requests)
    return totals


def of_all_devices(tables: Mapping[str, Floats]) -> Floats:
    """Return sums by bucket of keys over all devices, [buckets, 3]: a key is one, wherever it is.

    Args:
        tables: the same of each; none have no buckets either, [0, 3].
    """
    return np.sum([*tables.values()], axis=0) if tables else np.zeros((0, 3))


@dataclass(frozen=True)
class ShadowEvidence:
    """A candidate in shadow of what served: pairs of answers to the same inputs, by device.

    ``labelled`` are 1 where only the candidate was right, -1 where only the incumbent was, else 0.
    ``confidence``, ``value``, ``latency`` (log2 of the ratio) and ``off`` (by how much a number was
    off, once its label came) are candidate minus incumbent.
    ``errors`` are those of the candidate among its inputs.
    """

    labelled: Mapping[str, Row] = field(default_factory=dict)
    disagreements: Mapping[str, Row] = field(default_factory=dict)
    confidence: Mapping[str, Row] = field(default_factory=dict)
    value: Mapping[str, Row] = field(default_factory=dict)
    latency: Mapping[str, Row] = field(default_factory=dict)
    errors: Mapping[str, Row] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    off: Mapping[str, Row] = field(default_factory=dict)

    @property
    def devices(self) -> frozenset[str]:
        """Devices that compared answers, or on which the candidate failed to give one."""
        return frozenset(self.disagreements) | frozenset(self.errors)

    @property
    def tried(self) -> frozenset[str]:
        """Devices on which the candidate ran or failed."""
        return self.devices | self.failed

    @property
    def compared(self) -> int:
        """Inputs that both answered."""
        return round(sum(row[0] for row in self.disagreements.values()))

    @property
    def won(self) -> int:
        """Labelled inputs on which only the candidate was right."""
        return round(sum((row[2] + row[1]) / 2 for row in self.labelled.values()))

    @property
    def lost(self) -> int:
        """Labelled inputs on which only the incumbent was right."""
        return round(sum((row[2] - row[1]) / 2 for row in self.labelled.values()))


@dataclass(frozen=True)
class InterleaveEvidence:
    """Sessions by device; ties and sessions without clicks decide nothing.

    ``decided`` are sessions that either team won, with the sum and the squares of 1 where it was
    the candidate. ``errors`` are those of the candidate among its requests.
    """

    decided: Mapping[str, Row] = field(default_factory=dict)
    ties: int = 0
    sessions: int = 0
    clicks: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, Row] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()

    @property
    def devices(self) -> frozenset[str]:
        """Devices with a decided session, or with requests to the candidate."""
        return frozenset(self.decided) | frozenset(self.errors)

    @property
    def tried(self) -> frozenset[str]:
        """Devices on which the candidate ran or failed."""
        return self.devices | self.failed

    @property
    def wins(self) -> int:
        """Sessions that the candidate won."""
        return round(sum(row[1] for row in self.decided.values()))

    @property
    def losses(self) -> int:
        """Sessions that what serves won."""
        return round(sum(row[0] - row[1] for row in self.decided.values()))


@dataclass(frozen=True)
class Settling:
    """When labels count: ``seconds`` after their window.

    ``early`` (seconds) is the age by which about half of them have come; 0 where labels come too
    fast to tell. ``waiting`` labels are of windows that are not settled.
    """

    seconds: float
    early: float = 0.0
    waiting: int = 0


@dataclass(frozen=True)
class Evidence:
    """Everything at one look.

    ``soaked`` is how long the step has lasted, ``silent`` how long no candidate reported in it, in
    seconds. ``past`` is what each device reported of what serves in the week before the experiment
    began; one that joined since, or whose windows are not kept, has none. ``settling`` is ``None``
    where nothing is judged by labels.
    """

    arms: Mapping[str, ArmEvidence] = field(default_factory=dict)
    shadow: ShadowEvidence = ShadowEvidence()
    interleave: InterleaveEvidence = InterleaveEvidence()
    allocation: tuple[Allocation, ...] = ()
    soaked: float = 0.0
    silent: float = 0.0
    past: Mapping[str, ExposureSums] = field(default_factory=dict)
    settling: Settling | None = None

    @property
    def control(self) -> ArmEvidence:
        """Evidence of what serves, with which the candidates are compared."""
        return self.arms.get(CONTROL, ArmEvidence())
