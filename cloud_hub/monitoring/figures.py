"""Figures of findings, a dataclass for each kind of signal. They are stored and shown as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cloud_hub.database.documents import omitted
from cloud_hub.statistics.detectors.label_free import EstimatedAccuracy

if TYPE_CHECKING:
    from cloud_hub.statistics.detectors.output_shift import FeaturePart
    from cloud_hub.statistics.detectors.seasonal import Usual
    from cloud_hub.statistics.fairness import GroupRate


@dataclass(frozen=True)
class MeanChange:
    """Mean of a numeric feature, in its own unit, in the reference and in the window."""

    mean_before: float | None
    mean_after: float | None


@dataclass(frozen=True)
class SharesChange:
    """Categories whose shares changed most, with the change (-1 to 1)."""

    shares_changed: Mapping[str, float]


@dataclass(frozen=True)
class DriftedCohort:
    """Devices with one value of an attribute, against the reference; ``n`` observations."""

    attribute: str
    value: str
    n: int
    ks: float
    psi: float


@dataclass(frozen=True)
class OutputShift:
    """Part of each drifted feature in the change of the mean of ``output``."""

    output: str
    changed_by: float | None
    parts: tuple[FeaturePart, ...]
    explained_share: float | None


@dataclass(frozen=True)
class NotExplained:
    """Reason why the parts of drifted features in the outputs are not given."""

    note: str


@dataclass(frozen=True)
class DriftFigures:
    """Distances of a window from its reference; ``n`` observations.

    ``usual`` is there where a season is the reference, ``note`` where there is no verdict,
    ``cohorts`` and ``output`` in alarms.
    """

    n: int
    p: float
    ks: float
    psi: float
    js: float
    wasserstein: float
    significant: bool
    moved: MeanChange | SharesChange
    usual: Usual | None = omitted()
    note: str | None = omitted()
    cohorts: tuple[DriftedCohort, ...] | None = omitted()
    output: OutputShift | NotExplained | None = omitted()


@dataclass(frozen=True)
class RateFigures:
    """Share of ``n`` observations, in the window and at training."""

    n: int
    rate: float
    rate_at_training: float
    p: float


@dataclass(frozen=True)
class CohortRate(RateFigures):
    """The same of the devices with one value of an attribute."""

    attribute: str
    value: str
    alarming: bool


@dataclass(frozen=True)
class DomainFigures(RateFigures):
    """Share of values that training never saw; ``cohorts``, the worst first, in alarms."""

    cohorts: tuple[CohortRate, ...] | None = omitted()


@dataclass(frozen=True)
class ChangedDevice:
    """A device that changed, and in what: the ``place`` or ``spread`` of a number (of training
    ranks, -1 to 1), or the share of a category, of ``missing`` or of ``outside``.
    """

    device: str
    what: str
    before: float
    after: float
    p: float


@dataclass(frozen=True)
class ChangedCohort:
    """Devices with one value of an attribute that changed together; ``changed`` of ``of`` also each
    by itself.
    """

    attribute: str
    value: str
    changed: int
    of: int
    p: float


@dataclass(frozen=True)
class DevicesFigures:
    """Which of ``of`` devices changed, for people in ``who``; ``changed`` counts those that did by
    themselves, and all of a cohort that did as a whole. ``p`` is the smallest.
    """

    who: str
    changed: int
    of: int
    p: float
    against: str
    devices: tuple[ChangedDevice, ...] | None = omitted()
    cohorts: tuple[ChangedCohort, ...] | None = omitted()


@dataclass(frozen=True)
class OutlierFigures:
    """Outlier score of an output."""

    score: float
    note: str = "about 1 where outputs are as on held-out rows"


@dataclass(frozen=True)
class FairnessFigures:
    """Largest difference of accuracy between groups, with its bounds."""

    best: str | None
    worst: str | None
    low: float
    high: float
    groups: tuple[GroupRate, ...]


@dataclass(frozen=True)
class SelectionFigures:
    """Largest difference of the shares of ``answer`` between groups, with its bounds."""

    answer: str
    most: str | None
    least: str | None
    low: float
    high: float
    groups: tuple[GroupRate, ...]


@dataclass(frozen=True)
class ErrorFigures:
    """Errors among late labels against their base rate.

    An alarm is raised when ``evidence`` reaches ``alarm_from``; ``alarmed_at`` and ``risen_since``
    are Unix seconds.
    """

    labelled: int
    errors: int
    base_rate: float | None
    evidence: float
    alarm_from: float
    alarmed_at: int | None
    risen_since: int | None


@dataclass(frozen=True)
class ConceptFigures(ErrorFigures):
    """The same over all rows; ``coverage`` is the share of predictions that have labels."""

    coverage: float | None


@dataclass(frozen=True)
class MeanErrorFigures:
    """Errors of numbers against what they were, in the unit of the target, each cut at
    ``largest_error``. Alarms as in :class:`ErrorFigures`.
    """

    measured: int
    mae: float
    base_mae: float | None
    largest_error: float
    evidence: float
    alarm_from: float
    alarmed_at: int | None
    risen_since: int | None


Figures: TypeAlias = (
    DriftFigures
    | DomainFigures
    | DevicesFigures
    | OutlierFigures
    | EstimatedAccuracy
    | FairnessFigures
    | SelectionFigures
    | ErrorFigures
    | ConceptFigures
    | MeanErrorFigures
)
