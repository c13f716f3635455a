"""Findings of one window, signal by signal, and the rule that makes them alarms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloud_hub.monitoring.figures import (
    CohortRate,
    DomainFigures,
    DriftedCohort,
    DriftFigures,
    FairnessFigures,
    Figures,
    MeanChange,
    OutlierFigures,
    SelectionFigures,
    SharesChange,
)
from cloud_hub.statistics.detectors.dependence import WINDOWS
from cloud_hub.statistics.detectors.distances import corrected_psi, ks_distance
from cloud_hub.statistics.detectors.domain import (
    DomainShift,
    by_cohort,
    domain_shifts,
    low_confidence,
    outlier_score,
)
from cloud_hub.statistics.detectors.drift import FeatureDrift, fleet_drift
from cloud_hub.statistics.detectors.label_free import estimated_accuracy
from cloud_hub.statistics.detectors.output_shift import mean_of_bins, share_changes
from cloud_hub.statistics.fairness import LEAST, Disparity, GroupRate
from cloud_hub.telemetry.histograms import group_output
from edge_sdk.contract.histograms import OUTSIDE

if TYPE_CHECKING:
    from cloud_hub.statistics.detectors.seasonal import Usual
    from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile

Kind = Literal["drift", "domain", "devices", "estimate", "concept", "fairness"]
DROP = 0.02
"""Smallest drop of the estimated accuracy that alarms, however sure it is."""

COHORTS = 3
"""Cohorts that a finding names."""

UNKNOWN = f"no verdict: fewer than {WINDOWS} earlier windows, which tell chance from drift"


@dataclass(frozen=True)
class Finding:
    """One signal in one window. ``effect`` is its size, in the unit of its kind: of drift the
    larger of KS distance and corrected PSI, of devices the share that changed, else a difference of
    shares. ``expected`` says why nobody need be alarmed: a rare day, on which it is usual.
    """

    signal: str
    kind: Kind
    alarming: bool
    effect: float
    figures: Figures
    expected: str | None = None


@dataclass(frozen=True)
class FleetWindow:
    """One window of a version over a fleet: ``histograms`` [devices, bins + 2] by name, devices in
    order; ``attributes`` of each device.
    """

    start: int
    end: int
    devices: tuple[str, ...]
    histograms: Mapping[str, NDArray[np.int64]]
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def pooled(self, name: str) -> list[int]:
        """Return the histogram [bins + 2] over all devices."""
        counts: list[int] = self.histograms[name].sum(axis=0).tolist()
        return counts


@dataclass(frozen=True)
class References:
    """References that a window is compared with: ``training`` always; ``others`` replace it by
    name (a season, [bins + 2], or each device's own past, [devices, bins + 2]); ``usual`` is how
    large a signal's effect usually is; ``past`` are earlier windows, which tell how much windows
    vary by themselves. ``None``: it is not asked, and rows of a few devices count as independent.
    """

    training: ReferenceProfile
    others: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    usual: Mapping[str, Usual] = field(default_factory=dict)
    past: Sequence[FleetWindow] | None = None

    def pooled_past(self, names: Iterable[str]) -> dict[str, NDArray[Any]] | None:
        """Return the earlier windows over all devices, [windows, bins + 2] by name."""
        if self.past is None:
            return None
        return {
            name: np.array([w.pooled(name) for w in self.past if name in w.histograms])
            for name in names
        }


def evaluate(window: FleetWindow, against: References, *, outputs: bool) -> list[Finding]:
    """Return the finding of every signal that histograms alone give.

    Args:
        window: histograms of all devices.
        against: references of the version.
        outputs: also look for drift of labels, confidences and values.
    """
    profile = against.training
    compared = (*profile.features, *profile.outputs) if outputs else profile.features
    return [
        *_drift(window, against, compared),
        *(_drift(window, against, group_outputs(window, profile)) if outputs else ()),
        *_domain(window, against),
        *_outputs(window, against),
    ]


def group_outputs(window: FleetWindow, profile: ReferenceProfile) -> list[FeatureProfile]:
    """Return the outputs of declared groups that are large enough to be compared with training."""
    profiles = []
    for group in profile.groups:
        for output, counts in zip(profile.outputs, group.outputs, strict=True):
            name = group_output(group.column, group.group, output.name)
            seen = window.histograms.get(name)
            if seen is not None and min(int(seen.sum()), group.rows) >= LEAST:
                profiles.append(replace(output, name=name, counts=counts, correct=None))
    return profiles


def _drift(
    window: FleetWindow, against: References, compared: Sequence[FeatureProfile]
) -> Iterator[Finding]:
    profiles = {feature.name: feature for feature in compared}
    reference = {name: against.others.get(name, f.counts) for name, f in profiles.items()}
    # The window's start as the seed: a window that is evaluated again gets the same p-values.
    drifts = fleet_drift(
        reference,
        window.histograms,
        seed=window.start,
        past=against.pooled_past(profiles),
        categorical=[name for name, f in profiles.items() if f.categories is not None],
    )
    for drift in drifts:
        signal = f"drift:{drift.name}"
        usual = against.usual.get(signal)
        alarming = drift.drifted and (usual is None or drift.effect > usual.limit)
        # A reference of one row [bins + 2], or of one a device, becomes one of the whole fleet.
        before = np.asarray(reference[drift.name]).reshape(-1, profiles[drift.name].bins + 2)
        whole = before.sum(axis=0)
        change = measure_change(profiles[drift.name], whole.tolist(), window.pooled(drift.name))
        cohorts = drifted_cohorts(whole, window, drift.name) if alarming else None
        figures = _drift_figures(drift, change, usual, cohorts)
        yield Finding(signal, "drift", alarming, drift.effect, figures)


def _drift_figures(
    drift: FeatureDrift,
    change: MeanChange | SharesChange,
    usual: Usual | None,
    cohorts: tuple[DriftedCohort, ...] | None,
) -> DriftFigures:
    return DriftFigures(
        n=drift.n,
        p=drift.p,
        ks=round(drift.ks, 4),
        psi=round(drift.psi, 4),
        js=round(drift.js, 4),
        wasserstein=round(drift.wasserstein, 4),
        significant=drift.drifted or drift.shifted,
        moved=change,
        usual=usual,
        note=None if drift.verdict else UNKNOWN,
        cohorts=cohorts,
    )


def measure_change(
    feature: FeatureProfile, reference: Sequence[int], observed: Sequence[int]
) -> MeanChange | SharesChange:
    """Return the change of a feature in its own unit: means of a number, shares of categories.

    Args:
        feature: with its edges or categories.
        reference: histogram [bins + 2].
        observed: histogram [bins + 2].
    """
    if feature.edges is not None:
        before = mean_of_bins(reference, feature.edges)
        after = mean_of_bins(observed, feature.edges)
        return MeanChange(_rounded(before), _rounded(after))
    assert feature.categories is not None
    changes = share_changes(reference, observed, feature.categories)
    largest = sorted(changes, key=lambda name: -abs(changes[name]))[:COHORTS]
    return SharesChange({name: round(changes[name], 4) for name in largest})


def drifted_cohorts(
    reference: NDArray[Any], window: FleetWindow, name: str
) -> tuple[DriftedCohort, ...]:
    """Return the cohorts of devices that are farthest from the reference, the worst first.

    Args:
        reference: histogram [bins + 2].
        window: histograms and attributes of devices.
        name: of the feature or output.
    """
    sums: dict[tuple[str, str], NDArray[Any]] = {}
    for device, counts in zip(window.devices, window.histograms[name], strict=True):
        for cohort in window.attributes.get(device, {}).items():
            sums[cohort] = sums[cohort] + counts if cohort in sums else counts
    cohorts = [
        DriftedCohort(
            attribute,
            value,
            n=int(counts.sum()),
            ks=round(ks_distance(reference, counts), 4),
            psi=round(corrected_psi(reference, counts), 4),
        )
        for (attribute, value), counts in sums.items()
        if counts.sum()
    ]
    return tuple(sorted(cohorts, key=lambda each: -max(each.ks, each.psi))[:COHORTS])


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _domain(window: FleetWindow, against: References) -> Iterator[Finding]:
    reference = {f.name: known_range(f) for f in against.training.features}
    observed = {name: window.histograms[name] for name in reference}
    past = against.pooled_past(reference)
    for shift in domain_shifts(reference, observed, past=past, seed=window.start):
        cohorts = _cohorts(shift, reference[shift.name], window) if shift.alarming else None
        figures = DomainFigures(*_rates(shift), cohorts=cohorts)
        name = f"domain:{shift.name}:{shift.kind}"
        yield Finding(name, "domain", shift.alarming, shift.rate - shift.reference, figures)


def known_range(feature: FeatureProfile) -> Sequence[int]:
    """Return the counts of training, of a number with one more outside of the range.

    No value of training is outside of its own range, and yet others are: as many as are above the
    second largest of training (the ends of the range are two gaps between ordered values, and all
    gaps are alike). The exact test of rates with one occurrence at training says how many are
    usual; with none, a profile of few samples alarms too often.
    """
    if feature.edges is None or len(feature.edges) < 2:
        return feature.counts
    return (*feature.counts[:OUTSIDE], feature.counts[OUTSIDE] + 1)


def _rates(shift: DomainShift) -> tuple[int, float, float, float]:
    """The values of RateFigures."""
    return shift.n, round(shift.rate, 5), round(shift.reference, 5), shift.p


def _cohorts(
    shift: DomainShift, reference: Sequence[int], window: FleetWindow
) -> tuple[CohortRate, ...]:
    """The worst cohorts of devices first."""
    rows = window.histograms[shift.name].tolist()
    by_device = dict(zip(window.devices, rows, strict=True))
    worst = by_cohort(shift, reference, by_device, window.attributes)[:COHORTS]
    return tuple(
        CohortRate(*_rates(s), attribute=s.cohort[0], value=s.cohort[1], alarming=s.alarming)
        for s in worst
        if s.cohort is not None
    )


def _outputs(window: FleetWindow, against: References) -> Iterator[Finding]:
    """Findings on the outputs themselves, before any label."""
    past = against.pooled_past(output.name for output in against.training.outputs)
    for output in against.training.outputs:
        seen = window.pooled(output.name)
        score = outlier_score(np.asarray(output.counts), np.asarray(seen))
        figures = OutlierFigures(round(score, 2))
        yield Finding(f"outlier:{output.name}", "domain", False, score, figures)
        if output.name != "confidence":
            continue
        unsure = low_confidence(
            known_range(output),
            window.histograms[output.name],
            past=None if past is None else past[output.name],
            seed=window.start,
        )
        rise = unsure.rate - unsure.reference
        rates = DomainFigures(*_rates(unsure))
        yield Finding("domain:low confidence", "domain", unsure.alarming, rise, rates)
        if output.correct is not None:
            yield from _estimate(output.counts, output.correct, seen)


def _estimate(
    reference: Sequence[int], correct: Sequence[int], seen: Sequence[int]
) -> Iterator[Finding]:
    estimate = estimated_accuracy(reference, correct, seen)
    if estimate is not None:
        figures = replace(
            estimate,
            accuracy=round(estimate.accuracy, 4),
            low=round(estimate.low, 4),
            high=round(estimate.high, 4),
            reference=round(estimate.reference, 4),
            unknown=round(estimate.unknown, 4),
        )
        drop = estimate.reference - estimate.accuracy
        alarming = estimate.dropped and drop >= DROP
        yield Finding("estimate:accuracy", "estimate", alarming, drop, figures)


def fairness_finding(name: str, disparity: Disparity) -> Finding:
    """Return the largest difference of accuracy between groups as a finding.

    ``name`` is the column or the attribute.
    """
    figures = FairnessFigures(disparity.most, disparity.least, *_bounds(disparity))
    return Finding(
        f"fairness:{name}", "fairness", disparity.alarming, disparity.difference, figures
    )


def selection_finding(column: str, answer: str, disparity: Disparity) -> Finding:
    """Return the largest difference of an answer's shares between groups as a finding.

    Args:
        column: column whose groups are compared.
        answer: label whose shares differ most.
        disparity: of its shares.
    """
    figures = SelectionFigures(answer, disparity.most, disparity.least, *_bounds(disparity))
    return Finding(
        f"selection:{column}", "fairness", disparity.alarming, disparity.difference, figures
    )


def _bounds(disparity: Disparity) -> tuple[float, float, tuple[GroupRate, ...]]:
    return round(disparity.low, 4), round(disparity.high, 4), disparity.groups


def extend_streaks(streaks: Mapping[str, int], findings: Sequence[Finding]) -> dict[str, int]:
    """Return in how many windows in a row each signal was alarming, this one included.

    A window without a signal does not end its streak: small groups are not in every window.
    """
    here = {f.signal for f in findings}
    unchanged = {signal: count for signal, count in streaks.items() if signal not in here}
    return unchanged | {f.signal: streaks.get(f.signal, 0) + 1 for f in findings if f.alarming}


def due_alarms(
    findings: Sequence[Finding], streaks: Mapping[str, int], in_a_row: Mapping[Kind, int]
) -> list[Finding]:
    """Return the findings that are alarms: alarming for as many windows as their kind needs.

    Args:
        findings: of the newest window.
        streaks: windows in a row by signal, the newest included; see :func:`extend_streaks`.
        in_a_row: windows needed by kind; one where a kind is missing.
    """
    return [
        f for f in findings if f.alarming and streaks.get(f.signal, 0) >= in_a_row.get(f.kind, 1)
    ]
